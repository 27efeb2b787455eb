//! Clients that drip: an octet of a head, of a body, or of the answer now and
//! then, by the hundred. They are cut at their deadlines, what they held is
//! free again, and a client that keeps its pace does not notice them.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::crowd::{Crowd, Habit, Manners};
use harness::server::outcome;
use harness::{Client, SOON, Server, eventually, let_time_pass, on_each_model, preforkd, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use tempfile::TempDir;

on_each_model! {
    the_drain_of_a_refused_client_is_bounded
    a_client_that_has_its_answer_is_not_judged
}

/// What a client drips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drip {
    /// The head of its request.
    Head,
    /// The body of its request.
    Body,
    /// It takes the answer so.
    Answer,
}

const DRIPS: [Drip; 3] = [Drip::Head, Drip::Body, Drip::Answer];

/// The deadlines of a server, and the pace of its clients.
#[derive(Clone, Copy, Debug)]
struct Times {
    header: Duration,
    body: Duration,
    write: Duration,
    /// Between two octets of a client.
    pause: Duration,
    /// By how much a deadline may be missed on a busy machine.
    slack: Duration,
}

/// Seconds less, so that the usual run is short.
const SHORT: Times = Times {
    header: Duration::from_millis(1500),
    body: Duration::from_millis(1500),
    write: Duration::from_millis(1500),
    pause: Duration::from_millis(200),
    slack: Duration::from_secs(10),
};

/// As the defaults are.
const USUAL: Times = Times {
    header: Duration::from_secs(10),
    body: Duration::from_secs(20),
    write: Duration::from_secs(30),
    pause: Duration::from_secs(1),
    slack: Duration::from_secs(5),
};

struct Dripper {
    drip: Drip,
    socket: Socket,
    begun: Instant,
    /// How long it was served, and the status it saw.
    ended: Option<(Duration, String)>,
}

impl Dripper {
    /// Each has a source address among several: there are only so many ports
    /// for each.
    fn begin(number: usize, address: SocketAddr) -> Self {
        let drip = DRIPS[number % DRIPS.len()];
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        if drip == Drip::Answer {
            // As far away as most clients are: small segments, a small window.
            socket.set_recv_buffer_size(4096).unwrap();
            socket.set_tcp_mss(1400).unwrap();
        }
        let host = u8::try_from(2 + number % 8).unwrap();
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
        socket.bind(&source.into()).unwrap();
        let begun = Instant::now();
        socket.connect(&address.into()).unwrap();
        let mut dripper = Self {
            drip,
            socket,
            begun,
            ended: None,
        };
        let begin = match drip {
            Drip::Head => "GET / HTTP/1.1\r\nHost: test\r\nX: ",
            Drip::Body => "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n",
            Drip::Answer => "GET /large HTTP/1.1\r\nHost: test\r\n\r\n",
        };
        dripper.socket.write_all(begin.as_bytes()).unwrap();
        dripper.socket.set_nonblocking(true).unwrap();
        dripper
    }

    /// An octet more; notes the end where it has come.
    fn drip(&mut self) {
        if self.ended.is_some() {
            return;
        }
        // Whoever sends is told before the end, whoever reads has the kernel's
        // word for it: there is always something to read.
        let told = match self.drip {
            Drip::Head | Drip::Body => PollFlags::POLLIN,
            Drip::Answer => PollFlags::empty(),
        };
        let mut ready = [PollFd::new(self.socket.as_fd(), told)];
        let ended = poll(&mut ready, PollTimeout::ZERO).unwrap() > 0;
        if ended {
            let mut room = [0; 512];
            let count = match self.drip {
                Drip::Head | Drip::Body => self.socket.read(&mut room).unwrap_or(0),
                Drip::Answer => 0,
            };
            let status = String::from_utf8_lossy(&room[..count]);
            let status = status.split(' ').nth(1).unwrap_or_default().to_owned();
            self.ended = Some((self.begun.elapsed(), status));
            return;
        }
        // The server may just be closing: that is seen the next time.
        let _ = match self.drip {
            Drip::Head | Drip::Body => self.socket.write(b"x"),
            Drip::Answer => self.socket.read(&mut [0]),
        };
    }

    /// What became of it must be what its kind of drip deserves.
    fn assert_cut(&self, times: &Times) {
        let Some((served, status)) = &self.ended else {
            panic!("{:?} is still served", self.drip);
        };
        let (least, most, expected) = match self.drip {
            Drip::Head => (times.header, times.header, "408"),
            Drip::Body => (times.body, times.body, "408"),
            // A span begins when the server is first made to wait.
            Drip::Answer => (times.write, 2 * times.write, ""),
        };
        let least = least.saturating_sub(times.pause);
        let most = most + 2 * times.pause + times.slack;
        assert!(
            (least..=most).contains(served) && status == expected,
            "{:?}: cut after {served:?} with {status:?}; expected {least:?} to {most:?}, {expected:?}",
            self.drip
        );
    }
}

fn server(pool: &str, times: &Times) -> Server {
    let directory = TempDir::new().unwrap();
    let www = directory.path().join("www");
    std::fs::create_dir(&www).unwrap();
    std::fs::write(www.join("index.html"), "index\n").unwrap();
    let large = std::fs::File::create(www.join("large")).unwrap();
    large.set_len(64 << 20).unwrap();
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\n{pool}\n\
         write_timeout = \"{}ms\"\nlinger_timeout = \"500ms\"\n\
         [pool.web.http]\nroot = \"www\"\nfile_cache = 0\nheader_timeout = \"{}ms\"\nbody_timeout = \"{}ms\"\n",
        times.write.as_millis(),
        times.header.as_millis(),
        times.body.as_millis(),
    );
    let master = "control_socket = \"control\"\nlog = { to = \"stderr\", level = \"info\" }";
    Server::run_with(directory, master, &pools)
}

/// How many connections ended for this reason.
fn closes(server: &Server, reason: &str) -> u64 {
    let mut command = preforkd();
    let control = server.directory.path().join("control");
    command.args(["status", "--json", "--control"]).arg(control);
    let status: serde_json::Value = serde_json::from_slice(&outcome(command).stdout).unwrap();
    status["pools"][0]["closes"][reason].as_u64().unwrap()
}

/// `count` clients that drip, in equal parts, and a few that do not; answers
/// the 99th percentile of the latter while they were alone, and while all the
/// others were there.
fn besiege(pool: &str, count: usize, times: &Times) -> [Duration; 2] {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(most as usize > count + 100, "RLIMIT_NOFILE: {most}");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let server = server(pool, times);
    let address = server.address("web");
    let descriptors = || -> usize {
        let everyone = process::descendants(server.pid()).into_iter();
        everyone.map(|pid| process::descriptors(pid).len()).sum()
    };
    let before = descriptors();
    let crowd = Crowd::start(Manners {
        address,
        path: "/".to_owned(),
        body: b"index\n".to_vec(),
        habit: Habit::Fresh,
        clients: 4,
        think: Duration::from_millis(10)..Duration::from_millis(30),
        patience: SOON,
        keepalive: Duration::from_secs(5),
        seed: 7,
    });
    // So long it takes on this machine as it is.
    let alone = Instant::now();
    crowd.wait_for(100);
    let begun = Instant::now();
    let mut drippers: Vec<Dripper> = (0..count).map(|at| Dripper::begin(at, address)).collect();
    let opened = Instant::now();
    let slices = 50;
    let end = opened + 2 * times.write + times.body + times.slack;
    while drippers.iter().any(|one| one.ended.is_none()) && Instant::now() < end {
        for slice in drippers.chunks_mut(count.div_ceil(slices)) {
            slice.iter_mut().for_each(Dripper::drip);
            let_time_pass(times.pause / slices as u32);
        }
    }
    let cut = Instant::now();
    drippers.iter().for_each(|one| one.assert_cut(times));
    let ledger = crowd.stop();
    assert!(ledger.faults.is_empty(), "{}", ledger.complaints());
    let latencies = ledger.latencies(&[begun..cut]);
    let quiet = ledger.latencies(&[alone..begun]);
    println!(
        "quiet: {quiet}; {count} that drip, opened in {:.1?}, all cut after {:.1?}; {} answers meanwhile: {latencies}",
        opened - begun,
        cut - begun,
        latencies.count(),
    );
    // Every one of them under the name of what it did, once its connection is over:
    // who was told something is waited for.
    let each = |drip| drippers.iter().filter(|one| one.drip == drip).count() as u64;
    let expected = [Drip::Head, Drip::Body, Drip::Answer].map(each);
    eventually("each is counted by what it did", SOON, || {
        let [head, body, stalled, slow] = [
            "request-timeout",
            "slow-body",
            "write-stalled",
            "slow-reader",
        ]
        .map(|reason| closes(&server, reason));
        ([head, body, stalled + slow] == expected).then_some(())
    });
    // Their sockets are still open here, and those of the server are not.
    eventually("all descriptors are free", SOON, || {
        (descriptors() <= before + 10).then_some(())
    });
    drop(drippers);
    server.stop();
    [quiet, latencies].map(|times| times.percentile(99))
}

/// Who takes little at a time, but takes it, gets all of it, however long the
/// kernel's buffer keeps us waiting for room, and the worker is not thought to
/// hang.
fn patience_with_an_honest_reader(model: &str, unix: bool) {
    const LENGTH: usize = 3 << 20;
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    let large = std::fs::File::create(directory.path().join("www/large")).unwrap();
    large.set_len(LENGTH as u64).unwrap();
    let path = directory.path().join("socket");
    let listen = if unix {
        format!("unix:{}", path.display())
    } else {
        "127.0.0.1:0".to_owned()
    };
    let server = Server::run_with(
        directory,
        "",
        &format!(
            "[pool.web]\nlisten = \"{listen}\"\nservice = \"http\"\nmodel = \"{model}\"\n\
             workers = 1\nwrite_timeout = \"400ms\"\nworker_timeout = \"1s\"\n\
             linger_timeout = \"100ms\"\nsend_min_rate = \"50KiB\"\nhttp.root = \"www\"\n"
        ),
    );
    let mut stream = if unix {
        let stream = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        stream
            .connect(&socket2::SockAddr::unix(&path).unwrap())
            .unwrap();
        stream
    } else {
        let stream = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        stream.set_recv_buffer_size(16 << 10).unwrap();
        stream.set_tcp_mss(1400).unwrap();
        stream.connect(&server.address("web").into()).unwrap();
        stream
    };
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = "GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let begun = Instant::now();
    let (mut total, mut room) = (0, vec![0; 4 << 10]);
    loop {
        let count = stream.read(&mut room).unwrap();
        total += count;
        if count == 0 {
            break;
        }
        // 400 KiB a second, also where a busy machine lets us sleep longer; and after
        // three seconds as fast as it can.
        let due = |time: Duration| time.as_millis() as usize * 400 * 1024 / 1000;
        while begun.elapsed() < Duration::from_secs(3) && total > due(begun.elapsed()) {
            let_time_pass(Duration::from_millis(5));
        }
    }
    assert!(
        total > LENGTH && total < LENGTH + 1000,
        "{total}: not all of it"
    );
    assert!(begun.elapsed() >= Duration::from_secs(3), "it was not slow");
    server.stop();
}

#[test]
fn prefork_has_patience_with_an_honest_reader() {
    patience_with_an_honest_reader("prefork", false);
}

#[test]
fn an_event_loop_has_patience_with_an_honest_reader() {
    patience_with_an_honest_reader("event", false);
}

#[test]
fn a_reader_of_a_unix_socket_is_judged_by_what_it_takes() {
    patience_with_an_honest_reader("prefork", true);
}

/// A refused client may still be sending, so that it can read the answer: for
/// so long, and so much.
fn the_drain_of_a_refused_client_is_bounded(model: &str) {
    for (linger, pause, chunk) in [
        // A trickle ends by time …
        (Duration::from_millis(600), Duration::from_millis(20), 1),
        // … and a flood by its amount, long before that.
        (Duration::from_secs(600), Duration::ZERO, 64 << 10),
    ] {
        let pools = format!(
            "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
             workers = 1\nlinger_timeout = \"{}ms\"\nhttp.root = \".\"\n",
            linger.as_millis()
        );
        let server = Server::run(&pools);
        let mut client = Client::connect(server.address("web"));
        let begun = Instant::now();
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999\r\n\r\n");
        assert_eq!(client.answer().status, 413);
        let end = begun + SOON;
        // An octet after the server has closed is answered by RST.
        while client.stream.write_all(&vec![b'x'; chunk]).is_ok() {
            assert!(Instant::now() < end, "the drain has no end");
            let_time_pass(pause);
        }
        if chunk == 1 {
            assert!(begun.elapsed() >= linger, "{:?}", begun.elapsed());
        }
        server.log.wait_for("closed: refused", SOON);
        server.stop();
    }
}

/// A client that made the server wait and then took all of its answer has the
/// time of the drain, whatever was to be judged before.
fn a_client_that_has_its_answer_is_not_judged(model: &str) {
    // More than both sides' buffers hold.
    const LENGTH: usize = 4 << 20;
    const SPAN: Duration = Duration::from_secs(1);
    let directory = TempDir::new().unwrap();
    let large = std::fs::File::create(directory.path().join("large")).unwrap();
    large.set_len(LENGTH as u64).unwrap();
    let pools = format!(
        "[pool.web]\nlisten = {{ address = \"127.0.0.1:0\", sndbuf = 65536 }}\n\
         service = \"http\"\nmodel = \"{model}\"\n\
         workers = 1\nlinger_timeout = \"600s\"\nwrite_timeout = \"{}ms\"\n\
         [pool.web.http]\nroot = \".\"\nkeepalive_requests = 1\n",
        SPAN.as_millis()
    );
    let server = Server::run_with(directory, "", &pools);
    // On a busy machine it may take too long, and be cut for that.
    let mut client = eventually("it takes all of it in time", 3 * SOON, || {
        let begun = Instant::now();
        let mut client = Client::connect(server.address("web"));
        client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
        // Long enough for the server to be made to wait.
        let_time_pass(SPAN / 5);
        let answer = client.try_answer(true).ok()?;
        assert_eq!(answer.body.len(), LENGTH);
        (begun.elapsed() < SPAN * 4 / 5).then_some(client)
    });
    let begun = Instant::now();
    while begun.elapsed() < 3 * SPAN {
        // An octet after the server has closed would be answered by RST.
        client.stream.write_all(b"x").unwrap();
        let_time_pass(SPAN / 10);
    }
    drop(client);
    server.stop();
}

/// On a machine that does other work as well.
const BEARABLE: Duration = Duration::from_millis(500);
const PROMISED: Duration = Duration::from_millis(50);

#[test]
fn five_hundred_slow_clients_of_an_event_loop() {
    let [quiet, p99] = besiege("model = \"event\"\nworkers = 1", 500, &SHORT);
    assert!(p99 <= BEARABLE + 3 * quiet, "{p99:?}, {quiet:?} alone");
}

#[test]
fn forty_slow_clients_of_a_prefork_pool() {
    let [quiet, p99] = besiege("model = \"prefork\"\nworkers = 50", 40, &SHORT);
    assert!(p99 <= BEARABLE + 3 * quiet, "{p99:?}, {quiet:?} alone");
}

#[test]
#[ignore = "long"]
fn ten_thousand_slow_clients_of_event_loops() {
    let [_, p99] = besiege("model = \"event\"\nworkers = 2", 10_000, &USUAL);
    assert!(p99 <= PROMISED, "{p99:?}");
}

#[test]
#[ignore = "long"]
fn two_hundred_slow_clients_of_a_prefork_pool() {
    let [_, p99] = besiege("model = \"prefork\"\nworkers = 256", 200, &USUAL);
    assert!(p99 <= PROMISED, "{p99:?}");
}
