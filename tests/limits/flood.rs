//! A flood from one address, in a network namespace of its own: clients of
//! another address are served as before.

use super::{connect, enter, enter_soon, on_each_model, pool, serve, status};
use crate::harness::{Client, SOON, eventually, let_time_pass, process};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

on_each_model! {
    another_address_is_served_as_before
    kills_in_its_middle_change_no_count
}

/// So many requests are timed, at least.
const REQUESTS: usize = 1000;
/// As many clients must have been turned away meanwhile, where there is a flood.
const A_FLOOD: u64 = 100;
/// So many clients flood.
const FLOOD: usize = 32;
/// What the machine itself may take, which runs flood, clients and server on a few
/// processors.
const NOISE: Duration = Duration::from_millis(5);
/// A machine that is busy with something else gets another try: it makes times longer,
/// never shorter, and the one that must be seen is the short one.
const TRIES: usize = 10;

fn another_address_is_served_as_before(model: &str) {
    if !in_a_network_of_its_own(model, "another_address_is_served_as_before") {
        return;
    }
    let keys = "limits.connections_per_address = 4\nlimits.over = \"reset\"";
    let server = serve(&pool(model, keys));
    let address = server.address("web");
    for round in 1..=TRIES {
        let quiet = slowest_but_one_percent(address, || true);
        let over = AtomicBool::new(false);
        let turned_away = AtomicU64::new(0);
        let busy = std::thread::scope(|scope| {
            for _ in 0..FLOOD {
                scope.spawn(|| flood(address, &over, &turned_away));
            }
            // Also where this one fails.
            let _end = End(&over);
            slowest_but_one_percent(address, || turned_away.load(Ordering::Relaxed) > A_FLOOD)
        });
        let begun = Instant::now();
        drop(enter_soon(&server, 2));
        let recovered = begun.elapsed();
        let turned_away = turned_away.into_inner();
        println!(
            "{model}: p99 {quiet:?} quiet, {busy:?} in a flood of {turned_away} turned away; \
             recovered in {recovered:?}"
        );
        let good = busy <= 2 * quiet + NOISE && recovered < Duration::from_secs(1);
        if good {
            break;
        }
        assert!(
            round < TRIES,
            "{busy:?} against {quiet:?}, recovered in {recovered:?}"
        );
    }
    server.stop();
}

/// Workers are killed while the flood is on; then the limit admits as many as ever.
fn kills_in_its_middle_change_no_count(model: &str) {
    if !in_a_network_of_its_own(model, "kills_in_its_middle_change_no_count") {
        return;
    }
    let keys = "limits.connections_per_address = 3\nlimits.over = \"reset\"";
    let mut server = serve(&pool(model, keys));
    for pattern in ["SIGKILL", "died young", "killed", "has left", "worker"] {
        server.expect(pattern);
    }
    let (over, turned_away) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..FLOOD {
            scope.spawn(|| flood(server.address("web"), &over, &turned_away));
        }
        let _end = End(&over);
        for _ in 0..10 {
            let before = turned_away.load(Ordering::Relaxed);
            eventually("the flood is on", SOON, || {
                (turned_away.load(Ordering::Relaxed) > before + 20).then_some(())
            });
            process::end(&server.workers());
        }
    });
    let held: Vec<Client> = (0..3).map(|_| enter_soon(&server, 2)).collect();
    for _ in 0..4 {
        assert!(enter(&server, 2).is_none(), "exactly three");
    }
    // Of those who were killed, and of the flood, nobody is left.
    eventually("those three alone are in", SOON, || {
        (status(&server)["active"] == 3).then_some(())
    });
    drop(held);
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
}

/// The flood ends with it.
struct End<'f>(&'f AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Comes again and again, and stays as long as it may.
fn flood(address: SocketAddr, over: &AtomicBool, turned_away: &AtomicU64) {
    while !over.load(Ordering::SeqCst) {
        let Ok(mut client) = connect(address, 2) else {
            turned_away.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        // Who is let in keeps a worker for itself, and says nothing.
        let time = Some(Duration::from_millis(200));
        client.stream.set_read_timeout(time).unwrap();
        let refused = |error: &std::io::Error| error.kind() != std::io::ErrorKind::WouldBlock;
        if client.try_answer(false).is_err_and(|error| refused(&error)) {
            turned_away.fetch_add(1, Ordering::Relaxed);
            // Some sixteen hundred a second in all: what is timed is whether it takes
            // the others' places, and not their processors, which it shares here.
            let_time_pass(Duration::from_millis(20));
        }
    }
}

/// How long the slowest of a hundred takes, but for one: from connect to answer.
fn slowest_but_one_percent(address: SocketAddr, enough: impl Fn() -> bool) -> Duration {
    let time = || {
        let begun = Instant::now();
        let mut client = connect(address, 3).unwrap();
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        client.read_to_end();
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..REQUESTS).map(|_| time()).collect();
    let begun = Instant::now();
    while !enough() {
        assert!(begun.elapsed() < SOON, "there is no flood");
        times.push(time());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Whether this is the process that has a network of its own. Otherwise it runs the
/// test in one, if one can be made here, and says so where none can.
fn in_a_network_of_its_own(model: &str, test: &str) -> bool {
    const MARK: &str = "PREFORKD_TEST_NETWORK";
    let test = &format!("flood::{model}::{test}");
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "sh", "-c"]);
    let script = "ip link set lo up || exit 99; exec \"$@\"";
    let itself = std::env::current_exe().unwrap();
    unshare.args([script, "sh"]).arg(itself);
    unshare
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1");
    let output = unshare.output();
    let code = output.as_ref().ok().and_then(|output| output.status.code());
    let said = output.map(|one| {
        let texts = [one.stdout, one.stderr];
        texts
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat()
    });
    match code {
        Some(0) => {
            let said = said.unwrap();
            assert!(said.contains("1 passed"), "it has another name: {said}");
            println!("{said}");
        }
        Some(101) => panic!("{}", said.unwrap()),
        None if said.is_ok() => panic!("it was killed: {said:?}"),
        _ => eprintln!("skipped: no network namespace can be made here: {said:?}"),
    }
    false
}
