//! How a server ends, how its workers die and are replaced, and what becomes
//! of workers without a master.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::load::{Habit, Load};
use harness::{Client, SOON, Server, eventually, get, on_each_model, own, preforkd, process};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use tempfile::TempDir;

on_each_model! {
    a_request_under_way_is_answered_before_the_end
    a_second_term_ends_at_once
    the_deadline_of_a_stop_is_kept
    a_killed_worker_is_replaced_and_explained
    workers_go_when_the_master_is_killed
    once_ends_after_one_connection
    worn_workers_are_replaced_without_a_lost_request
    a_queue_behind_full_workers_is_served_before_the_end
    a_stop_with_many_listeners_is_a_short_one
    an_idle_server_ends_on_each_of_three_signals
}

/// Whoever is late is waited for once, not once for each listener.
fn a_stop_with_many_listeners_is_a_short_one(model: &str) {
    let listen: Vec<String> = (0..60).map(|one| format!("\"unix:{one}\"")).collect();
    let listen = listen.join(", ");
    let pools = format!(
        "[pool.web]\nlisten = [{listen}]\nservice = \"echo\"\nmodel = \"{model}\"\nworkers = 1\n"
    );
    let mut server = Server::run_with(site(), "", &pools);
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
    // One after another they would take twelve seconds.
    assert!(asked.elapsed() < Duration::from_secs(8));
}

fn site() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let large = std::fs::File::create(directory.path().join("www/large")).unwrap();
    large.set_len(LARGE).unwrap();
    directory
}

/// Larger than what the kernel buffers for one connection.
const LARGE: u64 = 64 << 20;

fn pools(model: &str, keys: &str) -> String {
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 2\nhttp.root = \"www\"\nlinger_timeout = \"100ms\"\n{keys}\n\
         [pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nmodel = \"{model}\"\nworkers = 2\n"
    )
}

fn an_idle_server_ends_on_each_of_three_signals(model: &str) {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        // A connection that waits for another request may yet send one, which
        // must not be lost: it has the time it would have anyway.
        let keys = "http.keepalive_timeout = \"300ms\"";
        let mut server = Server::run_with(site(), "", &pools(model, keys));
        let mut kept = Client::connect(server.address("web"));
        kept.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(kept.answer().status, 200);
        let asked = Instant::now();
        server.signal(signal);
        server.assert_good_end();
        // Long before `graceful_timeout`, which is half a minute.
        assert!(asked.elapsed() < SOON, "{signal}");
    }
}

fn a_request_under_way_is_answered_before_the_end(model: &str) {
    let keys = "http.keepalive_timeout = \"300ms\"";
    let pools = pools(model, keys).replace("127.0.0.1", &own::ip().to_string());
    let mut server = Server::run_with(site(), "", &pools);
    let address = server.address("web");
    let mut client = Client::connect(address);
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    let begun = client.read(1000);
    let mut half = Client::connect(address);
    half.send("GET / HTTP/1.1\r\nHo");
    // Whether it was accepted by now or waits in the queue must not matter.
    server.signal(Signal::SIGTERM);
    server.log.wait_for("stopping: no new clients", SOON);
    half.send("st: test\r\n\r\n");
    assert_eq!(half.answer().body, b"index\n", "a request half-sent");
    let rest = client.read_to_end();
    let total = (begun.len() + rest.len()) as u64;
    assert!(total > LARGE, "the whole answer: {total}");
    server.assert_good_end();
    assert!(
        Client::try_connect(address).is_err(),
        "nobody listens any more"
    );
}

fn a_second_term_ends_at_once(model: &str) {
    let mut server = Server::run_with(site(), "", &pools(model, ""));
    server.expect("stopping at once");
    server.expect("SIGKILL; it was");
    let mut client = Client::connect(server.address("web"));
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    client.read(1000);
    server.signal(Signal::SIGTERM);
    server.log.wait_for("stopping: no new clients", SOON);
    assert!(server.workers().iter().any(|&pid| process::is_alive(pid)));
    server.signal(Signal::SIGTERM);
    let asked = Instant::now();
    server.assert_good_end();
    // As above.
    assert!(asked.elapsed() < SOON);
    assert!((client.drain() as u64) < LARGE, "it was cut");
}

fn the_deadline_of_a_stop_is_kept(model: &str) {
    let master = "graceful_timeout = \"300ms\"";
    let mut server = Server::run_with(site(), master, &pools(model, ""));
    server.expect("stopping at once");
    server.expect("has not finished in time");
    server.expect("SIGKILL; it was");
    let mut client = Client::connect(server.address("web"));
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    client.read(1000);
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
    assert!((client.drain() as u64) < LARGE, "it was cut");
}

fn a_killed_worker_is_replaced_and_explained(model: &str) {
    let mut server = Server::run_with(site(), "", &pools(model, ""));
    server.expect("killed by SIGKILL");
    server.expect("died young");
    let address = server.address("web");
    let mut witness = Client::connect(server.address("echo"));
    witness.send("x");
    assert_eq!(witness.read(1), b"x");
    let before = server.workers();
    let mut client = Client::connect(address);
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    client.read(1000);
    let status = web_workers(&server);
    assert_eq!(status.len(), 2, "{}", server.log);
    // Whose it is cannot be told from outside on every model: kill both.
    for &pid in &status {
        process::signal(pid, Signal::SIGKILL);
    }
    assert!((client.drain() as u64) < LARGE);
    for &pid in &status {
        // The line on which this relies: see src/master/crew/report.rs.
        let line = server.log.wait_for(&format!("pid {pid} gen 1"), SOON);
        assert!(line.contains("worker web["), "{line}");
        assert!(line.contains("killed by SIGKILL after "), "{line}");
        assert!(line.contains("s; it was "), "{line}");
    }
    let doing = server.log.lines();
    let told = doing
        .iter()
        .any(|line| line.contains("killed by SIGKILL") && line.contains("/large"));
    assert!(told || model != "prefork", "{}", server.log);
    eventually("two new workers", SOON, || {
        let new = web_workers(&server);
        (new.len() == 2 && new.iter().all(|pid| !before.contains(pid))).then_some(())
    });
    assert_eq!(get(address, "/").status, 200);
    witness.send("y");
    assert_eq!(witness.read(1), b"y", "others are untouched");
    drop(witness);
    eventually("no zombie", SOON, || {
        process::zombies(server.pid()).is_empty().then_some(())
    });
    server.stop();
}

fn web_workers(server: &Server) -> Vec<u32> {
    let mut pids = server.workers();
    pids.retain(|&pid| process::title(pid).starts_with("preforkd: web["));
    pids
}

fn workers_go_when_the_master_is_killed(model: &str) {
    // Where nobody else can have its port in between.
    let pools = pools(model, "").replace("127.0.0.1", &own::ip().to_string());
    let mut server = Server::run_with(site(), "graceful_timeout = \"1m\"", &pools);
    server.expect("the master is gone");
    let address = server.address("web");
    let mut client = Client::connect(address);
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    client.read(1000);
    let mut idle = Client::connect(server.address("echo"));
    idle.send("x");
    assert_eq!(idle.read(1), b"x");
    server.signal(Signal::SIGKILL);
    let killed = Instant::now();
    server.wait(SOON);
    server.assert_nobody_left();
    assert!(
        // Five, and what a busy machine adds; not a minute.
        killed.elapsed() < Duration::from_secs(20),
        "{:?}",
        killed.elapsed()
    );
    let again = preforkd_serves_at(address);
    assert_eq!(again.address("echo"), address);
    again.stop();
}

fn preforkd_serves_at(address: std::net::SocketAddr) -> Server {
    Server::serve(&["echo", "--listen", &address.to_string()])
}

fn once_ends_after_one_connection(model: &str) {
    for accept in ["shared", "reuseport"] {
        let mut server = Server::serve(&["--once", "--model", model, "--accept", accept, "echo"]);
        let mut client = Client::connect(server.address("echo"));
        client.send("x");
        assert_eq!(client.read(1), b"x");
        client.finish();
        assert_eq!(client.read_to_end(), b"");
        server.assert_good_end();
    }
}

fn worn_workers_are_replaced_without_a_lost_request(model: &str) {
    for habit in [Habit::Fresh, Habit::KeepAlive] {
        let keys = "connections_per_worker = 20\nrequests_per_worker = 50";
        let server = Server::run_with(site(), "", &pools(model, keys));
        let before = web_workers(&server);
        let load = Load::start(server.address("web"), "/", b"index\n", 4, habit);
        load.wait_for(300);
        let (_, losses) = load.stop();
        assert!(losses.is_empty(), "{habit:?}: {losses:?}\n{}", server.log);
        eventually("whoever is worn is gone", SOON, || {
            let now = web_workers(&server);
            (before.iter().any(|pid| !now.contains(pid)) && now.len() == 2).then_some(())
        });
        server.stop();
    }
}

#[test]
fn a_worker_that_dies_young_again_and_again_is_backed_off() {
    let mut server = Server::serve(&["echo", "--workers", "1"]);
    server.expect("killed by SIGKILL");
    server.expect("died young");
    // Where a busy machine takes a second to start the next one.
    server.expect("no worker is ready");
    let mut delays = Vec::new();
    let mut mark = 0;
    for deaths in 1..=4 {
        // It has a second until it is no longer young: the log is the first to know.
        // The line is of src/master/crew.rs.
        let line = server.log.wait_for_after(mark, " is ready after ", SOON);
        let (_, worker) = line.split_once("worker pid ").unwrap();
        let (worker, _) = worker.split_once(' ').unwrap();
        process::signal(worker.parse().unwrap(), Signal::SIGKILL);
        // The line on which this relies: `Notice::BackingOff` in src/master/notice.rs.
        let pattern = format!("echo[0] died young, {deaths} in a row: next try in ");
        let line = server.log.wait_for_after(mark, &pattern, SOON);
        mark = server.log.mark();
        let delay = line.split("next try in ").nth(1).unwrap();
        delays.push(delay.trim_end_matches(" ms").parse::<u64>().unwrap());
    }
    assert!(delays.is_sorted_by(|a, b| a < b), "{delays:?}");
    let mut client = Client::connect(server.address("echo"));
    client.send("x");
    assert_eq!(client.read(1), b"x", "who waited is served");
    drop(client);
    server.stop();
}

#[test]
fn spare_workers_come_at_once_and_go_slowly() {
    let size = "start_workers = 2\nmin_spare_workers = 2\nmax_spare_workers = 8\nmax_workers = 12";
    let mut server = Server::run(&format!(
        "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\n{size}\n"
    ));
    server.expect("is at its maximum");
    // Two, or three where one was not ready yet when the idle were counted.
    eventually("the pool begins small", SOON, || {
        (2..=3).contains(&server.workers().len()).then_some(())
    });
    let mut clients: Vec<Client> = (0..10)
        .map(|_| Client::connect(server.address("echo")))
        .collect();
    let begun = Instant::now();
    for client in &mut clients {
        client.send("x");
        assert_eq!(client.read(1), b"x");
    }
    // One step a second, doubling, would take more than three.
    assert!(
        begun.elapsed() < Duration::from_millis(2500),
        "{:?}",
        begun.elapsed()
    );
    server.wait_for_workers(12, "echo[");
    let begun = Instant::now();
    drop(clients);
    eventually("the spare ones are retired", 3 * SOON, || {
        (server.workers().len() <= 8).then_some(())
    });
    // Four of them, one a second.
    assert!(begun.elapsed() > Duration::from_secs(3));
    server.stop();
}

#[test]
fn workers_cannot_be_ended_by_what_a_terminal_sends() {
    let server = Server::serve(&["echo", "--workers", "2"]);
    let workers = server.workers();
    for &pid in &workers {
        for signal in [
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGUSR1,
            Signal::SIGPIPE,
        ] {
            process::signal(pid, signal);
        }
    }
    let mut client = Client::connect(server.address("echo"));
    client.send("x");
    assert_eq!(client.read(1), b"x");
    drop(client);
    assert_eq!(server.workers(), workers);
    server.stop();
}

#[test]
fn wrong_usage_is_64() {
    for arguments in [
        &["serve", "nothing"][..],
        &["serve", "echo", "--workers", "0"],
        &["serve", "echo", "--listen", "nowhere"],
        &["serve", "echo", "extra"],
        &["run", "--no-such-flag"],
        &[],
    ] {
        let output = preforkd().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

fn a_queue_behind_full_workers_is_served_before_the_end(model: &str) {
    let places = match model {
        "prefork" => "",
        "threads" => "threads_per_worker = 2",
        _ => "max_connections = 2",
    };
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 1\nhttp.root = \"www\"\nlinger_timeout = \"100ms\"\n{places}\n"
    );
    let mut server = Server::run_with(site(), "", &pools);
    let mut clients: Vec<Client> = (0..8)
        .map(|_| Client::connect(server.address("web")))
        .collect();
    server.signal(Signal::SIGTERM);
    server.log.wait_for("stopping: no new clients", SOON);
    // Longer than handshakes that were under way are waited for.
    harness::let_time_pass(Duration::from_millis(300));
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer().status, 200, "{}", server.log);
    }
    drop(clients);
    server.assert_good_end();
}
