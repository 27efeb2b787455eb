//! Sets of real sockets on the loopback: who gets which clients.

use super::*;
use crate::config::{Master, Service, Size, parse_listen};

fn config(accept: Accept, workers: u32) -> Config {
    let mut pool = Pool::with_defaults("echo", Service::Echo);
    pool.listen = vec![parse_listen("127.0.0.1:0").unwrap().into()];
    pool.accept = accept;
    pool.size = Size::Fixed(workers);
    Config {
        master: Master::with_defaults(),
        pools: vec![pool],
    }
}

/// Connects `count` times and says in whose queue each client waits.
fn shares(sockets: &[Arc<Listener>], count: usize) -> Vec<usize> {
    let Listen::Tcp { address, .. } = *sockets[0].local() else {
        panic!()
    };
    let clients: Vec<_> = (0..count)
        .map(|_| std::net::TcpStream::connect(address).unwrap())
        .collect();
    let queue = |one: &Arc<Listener>| {
        one.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| sys::socket::accept(one.as_fd(), false).ok()).count()
    };
    let shares = sockets.iter().map(queue).collect();
    drop(clients);
    shares
}

/// Workers are READY on all of it.
fn open_all(set: &ListenerSet) {
    set.all().for_each(|one| one.set_open());
    set.lead().unwrap();
}

/// Which of `sockets` got any of many clients.
fn served(sockets: &[Arc<Listener>]) -> Vec<bool> {
    let shares = shares(sockets, 200);
    assert_eq!(shares.iter().sum::<usize>(), 200, "{shares:?}");
    shares.into_iter().map(|share| share > 0).collect()
}

#[test]
fn members_that_go_get_no_new_clients() {
    let wide = config(Accept::Reuseport, 4);
    let narrow = config(Accept::Reuseport, 2);
    let before = ListenerSet::open(&wide, &ListenerSet::default()).unwrap();
    open_all(&before);
    let all = before.of_pool(&wide.pools[0]);
    assert_eq!(served(&all), [true; 4]);
    let after = ListenerSet::open(&narrow, &before).unwrap();
    after.lead().unwrap();
    assert_eq!(served(&all), [true, true, false, false]);
    // Two more come while two are on their way out.
    let again = ListenerSet::open(&wide, &after).unwrap();
    let mut six = again.of_pool(&wide.pools[0]);
    six.extend_from_slice(&all[2..]);
    assert_eq!(served(&six), [true, true, false, false, false, false]);
    open_all(&again);
    assert_eq!(served(&six), [true, true, true, true, false, false]);
    // They close, one after the other: the kernel numbers the others anew.
    drop((before, after, all));
    six.remove(4);
    again.lead().unwrap();
    assert_eq!(served(&six), [true, true, true, true, false]);
    six.truncate(4);
    again.lead().unwrap();
    assert_eq!(served(&six), [true; 4]);
    assert_eq!(again.lost(), 0);
}

#[test]
fn a_member_that_closes_leads_no_datagram_astray() {
    let mut config = config(Accept::Reuseport, 4);
    config.pools[0].listen = vec![parse_listen("udp:127.0.0.1:0").unwrap().into()];
    let set = ListenerSet::open(&config, &ListenerSet::default()).unwrap();
    let mut four = set.of_pool(&config.pools[0]);
    let Listen::Udp { address, .. } = *four[0].local() else {
        panic!()
    };
    // Those in the middle are on their way out; nobody empties their queues.
    let group = &set.groups[0];
    four.iter().for_each(|one| one.set_open());
    let wanted = [&four[0], &four[3]].map(|one| one.member().unwrap());
    group
        .lead(&BTreeSet::from(wanted), Newcomers::Welcome)
        .unwrap();
    four[2].refuse_handshakes().unwrap();
    let leaving = Arc::downgrade(&four.remove(1));
    drop(set);
    assert!(leaving.upgrade().is_none(), "it has closed");
    // Nobody was led anew so far.
    for _ in 0..100 {
        // To each its own flow.
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"x", address).unwrap();
    }
    let mut room = [0; 1];
    let mut take = |one: &Arc<Listener>| {
        std::iter::from_fn(|| sys::socket::receive(one.as_fd(), &mut room, false).ok()).count()
    };
    let [first, passed, last] = [0, 1, 2].map(|at| take(&four[at]));
    assert_eq!((first + last, passed), (100, 0));
}

#[test]
fn a_generation_that_is_given_up_takes_no_client_along() {
    for accept in [Accept::Shared, Accept::Reuseport] {
        let serving = ListenerSet::open(&config(accept, 1), &ListenerSet::default()).unwrap();
        open_all(&serving);
        let old = serving.of_pool(&config(accept, 1).pools[0]);
        let wide = config(Accept::Reuseport, 6);
        let unproved = ListenerSet::open(&wide, &serving).unwrap();
        let six = unproved.of_pool(&wide.pools[0]);
        // One of its workers is READY: that alone proves nothing.
        six[1].set_open();
        serving.lead().unwrap();
        assert_eq!(served(&six), [true, false, false, false, false, false]);
        drop((unproved, six));
        serving.lead().unwrap();
        assert_eq!(served(&old), [true]);
        assert_eq!(serving.lost(), 0);
    }
}

#[test]
fn whoever_waits_in_a_queue_that_is_closed_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(Accept::Shared, 1);
    let unix = Listen::Unix {
        path: directory.path().join("s"),
        mode: 0o600,
    };
    config.pools[0].listen.push(unix.into());
    let set = ListenerSet::open(&config, &ListenerSet::default()).unwrap();
    let nothing = Config {
        pools: Vec::new(),
        ..config.clone()
    };
    let next = ListenerSet::open(&nothing, &set).unwrap();
    let all = set.of_pool(&config.pools[0]);
    let Listen::Tcp { address, .. } = *all[0].local() else {
        panic!()
    };
    let tcp: Vec<_> = (0..3)
        .map(|_| std::net::TcpStream::connect(address).unwrap())
        .collect();
    let unix = std::os::unix::net::UnixStream::connect(directory.path().join("s")).unwrap();
    assert_eq!(all[0].queue(), Some((3, config.pools[0].backlog)));
    assert_eq!(all[1].queue(), None);
    drop((set, all));
    assert_eq!(next.lost(), 4);
    drop((tcp, unix));
}

#[test]
fn a_unix_socket_stays_when_its_mode_changes() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut set = ListenerSet::default();
    let mut first = None;
    for mode in [0o600, 0o666] {
        let mut config = config(Accept::Shared, 1);
        let path = path.clone();
        config.pools[0].listen = vec![Listen::Unix { path, mode }.into()];
        set = ListenerSet::open(&config, &set).unwrap();
        set.adopt(&config).unwrap();
        let one = set.of_pool(&config.pools[0]).remove(0);
        assert!(Arc::ptr_eq(
            first.get_or_insert_with(|| Arc::clone(&one)),
            &one
        ));
        let found = std::fs::metadata(directory.path().join("s")).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode);
    }
}

#[test]
fn a_shared_socket_becomes_a_group_and_back() {
    let shared = config(Accept::Shared, 3);
    let own = config(Accept::Reuseport, 3);
    let first = ListenerSet::open(&shared, &ListenerSet::default()).unwrap();
    open_all(&first);
    let second = ListenerSet::open(&own, &first).unwrap();
    open_all(&second);
    let all = second.of_pool(&own.pools[0]);
    assert_eq!(all.len(), 3);
    assert!(shares(&all, 200).iter().all(|&share| share > 0));
    let third = ListenerSet::open(&shared, &second).unwrap();
    third.lead().unwrap();
    assert_eq!(shares(&all, 100), [100, 0, 0]);
    drop((first, second, all));
    let one = third.of_pool(&shared.pools[0]);
    assert_eq!(shares(&one, 100), [100]);
}
