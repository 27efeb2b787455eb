//! Reloads: what changes, what stays, and that nobody notices.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::load::{Habit, Load};
use harness::{Client, SOON, Server, eventually, get, on_each_model, process};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use tempfile::TempDir;

on_each_model! {
    a_reload_under_load_replaces_workers_and_loses_nothing
    a_broken_configuration_changes_nothing
    descriptors_are_the_same_after_reloads
    a_request_under_way_is_answered_by_the_old_generation
    sockets_come_and_go_without_a_lost_request
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

/// A client that gets no processor for as long as `keepalive_timeout` finds its
/// connection closed with its request on the way, and by no fault of a reload:
/// so that is long here.
fn web(model: &str, keys: &str) -> String {
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 2\nhttp.root = \"www\"\nhttp.keepalive_timeout = \"5s\"\n\
         linger_timeout = \"100ms\"\n{keys}\n"
    )
}

const ECHO: &str = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n";

/// That this pool echoes.
fn assert_echoes(server: &Server, pool: &str) {
    let mut client = Client::connect(server.address(pool));
    client.send("x");
    assert_eq!(client.read(1), b"x");
}

fn a_reload_under_load_replaces_workers_and_loses_nothing(model: &str) {
    for (habit, accept) in [
        (Habit::Fresh, "shared"),
        (Habit::KeepAlive, "shared"),
        (Habit::Fresh, "reuseport"),
        (Habit::KeepAlive, "reuseport"),
    ] {
        let pools = web(model, &format!("accept = \"{accept}\""));
        let mut server = Server::run_with(site(), "", &pools);
        let first = server.workers();
        let address = server.address("web");
        // With fewer places than clients some would wait for others' ends.
        let load = Load::start(address, "/", b"index\n", 2, habit);
        for generation in 2..=4 {
            load.wait_for(50);
            server.reload(generation);
            assert_eq!(server.address("web"), address, "the port stays");
        }
        load.wait_for(50);
        let (answered, losses) = load.stop();
        assert!(
            losses.is_empty(),
            "{habit:?} {accept}: {answered} and {losses:?}\n{}",
            server.log
        );
        let last = server.wait_for_workers(2, "web[");
        assert!(last.iter().all(|pid| !first.contains(pid)));
        server.wait_for_workers(2, "gen 4 ");
        server.stop();
    }
}

fn a_broken_configuration_changes_nothing(model: &str) {
    let mut server = Server::run_with(site(), "", &web(model, ""));
    server.expect("reload: ");
    server.expect("reload refused: generation 1 stays as it is");
    let workers = server.workers();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let wrong_key = web(model, "wrokers = 3");
    let no_root = web(model, "").replace("\"www\"", "\"nowhere\"");
    let address_taken = format!(
        "{}\n[pool.more]\nlisten = \"{}\"\nservice = \"echo\"\n",
        web(model, ""),
        taken.local_addr().unwrap()
    );
    let path = server.configuration();
    let at = |line: usize| format!("{}:{line}:", path.display());
    for (pools, reason) in [
        (wrong_key.as_str(), at(12)),
        ("[pool.web", at(4)),
        (no_root.as_str(), at(9)),
        (address_taken.as_str(), "address already in use".to_owned()),
    ] {
        let mark = server.log.mark();
        server.configure("", pools);
        server.signal(Signal::SIGHUP);
        // Which generation stays is told with the first few; after that it is
        // counted, and told later.
        let why = server.log.wait_for_after(mark, "reload: ", SOON);
        assert!(why.contains(&reason), "{reason} in {why}");
        assert_eq!(server.workers(), workers);
        assert_eq!(get(server.address("web"), "/").status, 200);
    }
    std::fs::remove_file(&path).unwrap();
    let mark = server.log.mark();
    server.signal(Signal::SIGHUP);
    let why = server.log.wait_for_after(mark, "reload: ", SOON);
    assert!(why.contains("No such file"), "{why}");
    server.log.wait_for("reload refused: generation 1", SOON);
    // And then a good one.
    server.configure("", &web(model, ""));
    server.reload(2);
    assert_eq!(get(server.address("web"), "/").status, 200);
    server.stop();
}

fn descriptors_are_the_same_after_reloads(model: &str) {
    reload_and_compare(model, 4);
}

fn a_request_under_way_is_answered_by_the_old_generation(model: &str) {
    let mut server = Server::run_with(site(), "", &web(model, ""));
    let address = server.address("web");
    let mut client = Client::connect(address);
    client.send("GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let begun = client.read(1000).len();
    server.reload(2);
    assert_eq!(
        get(address, "/").status,
        200,
        "the new one serves meanwhile"
    );
    let draining = || {
        let mut titles = server.workers().into_iter().map(process::title);
        titles.find(|title| title.contains("gen 1") && title.contains("draining"))
    };
    eventually("the title says that it drains", SOON, draining);
    let total = (begun + client.read_to_end().len()) as u64;
    assert!(total > LARGE);
    server.wait_for_workers(0, "gen 1 ");
    server.stop();
}

/// Descriptors of the master and of a fresh worker, before and after.
fn reload_and_compare(model: &str, reloads: u32) {
    for accept in ["shared", "reuseport"] {
        let pools = format!("{}\n{ECHO}", web(model, &format!("accept = \"{accept}\"")));
        let mut server = Server::run_with(site(), "", &pools);
        let settled = |server: &Server, generation: u32| {
            // Once they rest they have all that they need.
            server.wait_for_workers(3, &format!("gen {generation} idle"));
            server.wait_for_workers(3, "gen ");
            let counts = |pid: &u32| process::descriptors(*pid).len();
            let workers: Vec<usize> = server.workers().iter().map(counts).collect();
            (counts(&server.pid()), workers)
        };
        let before = settled(&server, 1);
        for generation in 2..=reloads + 1 {
            server.reload(generation);
        }
        // The first generation's last things go with its last worker.
        eventually("as many descriptors as before", SOON, || {
            let after = settled(&server, reloads + 1);
            (after == before).then_some(())
        });
        server.stop();
    }
}

#[test]
#[ignore = "long"]
fn descriptors_are_the_same_after_a_hundred_reloads() {
    for model in harness::MODELS {
        reload_and_compare(model, 100);
    }
}

#[test]
fn a_reload_adds_and_removes_pools() {
    let mut server = Server::run_with(site(), "", &web("prefork", ""));
    assert_eq!(server.pools(), ["web"]);
    let web_address = server.address("web");

    server.configure("", &format!("{}\n{ECHO}", web("prefork", "")));
    server.reload(2);
    assert_eq!(server.pools(), ["echo", "web"]);
    assert_eq!(server.address("web"), web_address);
    assert_echoes(&server, "echo");

    server.configure("", ECHO);
    server.reload(3);
    assert_eq!(server.pools(), ["echo"]);
    assert_echoes(&server, "echo");
    eventually("the removed pool's port is free", SOON, || {
        std::net::TcpListener::bind(web_address).ok()
    });
    server.wait_for_workers(0, "web[");
    server.stop();
}

#[test]
fn a_reload_changes_an_address_and_empties_the_old_queue() {
    let mut server = Server::run_with(site(), "", &web("prefork", ""));
    let old = server.address("web");
    let load = Load::start(old, "/", b"index\n", 2, Habit::Fresh);
    load.wait_for(20);
    let pools = web("prefork", "").replace("127.0.0.1:0", "127.0.0.2:0");
    server.configure("", &pools);
    server.signal(Signal::SIGHUP);
    server.wait_for_generation(2);
    let (_, losses) = load.stop();
    let refused = |loss: &String| loss.starts_with("refused: ");
    assert!(losses.iter().all(refused), "{losses:?}");
    let new = server.address("web");
    assert!(new.ip().to_string() == "127.0.0.2");
    assert_eq!(get(new, "/").status, 200);
    eventually("nobody listens at the old address", SOON, || {
        Client::try_connect(old).is_err().then_some(())
    });
    server.stop();
}

#[test]
fn a_reload_changes_model_and_size() {
    let mut server = Server::run_with(site(), "", &web("prefork", ""));
    let address = server.address("web");
    let load = Load::start(address, "/", b"index\n", 2, Habit::Fresh);
    for (generation, model) in (2..).zip(["event", "threads", "fork", "prefork", "event"]) {
        let workers = generation as usize % 3 + 1;
        let pools = web(model, "").replace("workers = 2", &format!("workers = {workers}"));
        server.configure("", &pools);
        load.wait_for(20);
        server.reload(generation);
        assert_eq!(server.address("web"), address);
        server.wait_for_workers(workers, &format!("gen {generation} "));
        load.wait_for(20);
    }
    let (_, losses) = load.stop();
    assert!(losses.is_empty(), "{losses:?}\n{}", server.log);
    server.stop();
}

#[test]
fn a_reload_changes_the_way_of_accepting() {
    let mut server = Server::run_with(site(), "", &web("prefork", "accept = \"shared\""));
    for (generation, accept) in (2..).zip(["reuseport", "shared"]) {
        server.configure("", &web("prefork", &format!("accept = \"{accept}\"")));
        server.reload(generation);
        assert_eq!(get(server.address("web"), "/").status, 200);
    }
    server.stop();
}

#[test]
fn reloads_that_overtake_each_other_end_in_one_generation() {
    let mut server = Server::run_with(site(), "", &web("event", ""));
    for _ in 0..20 {
        server.signal(Signal::SIGHUP);
    }
    server.wait_for_generation(2);
    eventually("one generation, two workers", SOON, || {
        let titles: Vec<String> = server.workers().into_iter().map(process::title).collect();
        let generation = titles
            .first()?
            .split(" gen ")
            .nth(1)?
            .split(' ')
            .next()?
            .to_owned();
        let same = |title: &String| title.contains(&format!(" gen {generation} "));
        (titles.len() == 2 && titles.iter().all(same)).then_some(())
    });
    assert_eq!(get(server.address("web"), "/").status, 200);
    server.stop();
}

#[test]
fn a_stalled_control_client_holds_up_nothing() {
    let directory = site();
    let socket = directory.path().join("control");
    let master = "control_socket = \"control\"";
    let mut server = Server::run_with(directory, master, &web("prefork", ""));
    // One that says half a line, and some that never read what they are told.
    let mut half = UnixStream::connect(&socket).unwrap();
    half.write_all(b"{\"query\":").unwrap();
    let deaf: Vec<UnixStream> = (0..8)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            let questions = "{\"query\":\"status\"}\n".repeat(100);
            stream.set_nonblocking(true).unwrap();
            let _ = stream.write(questions.as_bytes());
            stream
        })
        .collect();
    for generation in 2..=3 {
        server.reload(generation);
    }
    assert_eq!(get(server.address("web"), "/").status, 200);
    drop(deaf);
    server.stop();
}

#[test]
fn a_reload_that_a_stop_overtakes_is_told_why() {
    let directory = site();
    let socket = directory.path().join("control");
    let master = "control_socket = \"control\"";
    let mut server = Server::run_with(directory, master, &web("prefork", ""));
    // Both are there before the master looks.
    server.signal(Signal::SIGSTOP);
    let ask = |line: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(line).unwrap();
        stream
    };
    let mut reload = ask(b"{\"query\":\"reload\",\"wait\":true}\n");
    let _stop = ask(b"{\"query\":\"stop\"}\n");
    server.signal(Signal::SIGCONT);
    let mut heard = String::new();
    reload.read_to_string(&mut heard).unwrap();
    assert!(
        heard.contains("generation 2: a stop was asked for: generation 1 stays"),
        "{heard}"
    );
    server.assert_good_end();
}

/// Slots with a socket of their own, more and fewer of them, one for all, and
/// back: by reload and by signal.
fn sockets_come_and_go_without_a_lost_request(model: &str) {
    let pools = |accept: &str, workers: u32| {
        web(model, &format!("accept = \"{accept}\""))
            .replace("workers = 2", &format!("workers = {workers}"))
    };
    let mut server = Server::run_with(site(), "", &pools("reuseport", 4));
    // Each drain waits for stragglers, and no reload waits for a drain.
    server.expect("as many generations live as may");
    let load = Load::start(server.address("web"), "/", b"index\n", 4, Habit::Fresh);
    let mut generation = 1;
    for (accept, workers) in [
        ("reuseport", 2),
        ("reuseport", 4),
        ("shared", 3),
        ("reuseport", 3),
        ("reuseport", 1),
        ("shared", 2),
    ] {
        // The port was chosen for the pool's first entry, and stays with it.
        server.configure("", &pools(accept, workers));
        generation += 1;
        server.reload(generation);
        load.wait_for(50);
    }
    server.configure("", &pools("reuseport", 2));
    server.reload(generation + 1);
    for (signal, workers) in [
        (Signal::SIGTTIN, 3),
        (Signal::SIGTTIN, 4),
        (Signal::SIGTTOU, 3),
        (Signal::SIGTTOU, 2),
        (Signal::SIGTTOU, 1),
    ] {
        server.signal(signal);
        server.wait_for_workers(workers, "gen 8");
        load.wait_for(50);
    }
    let (answered, losses) = load.stop();
    assert_eq!(losses, Vec::<String>::new(), "of {answered}");
    server.stop();
}

#[test]
fn a_fifo_in_the_place_of_the_configuration_holds_nobody_up() {
    let mut server = Server::run_with(site(), "", &web("prefork", ""));
    std::fs::remove_file(server.configuration()).unwrap();
    let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
    nix::unistd::mkfifo(&server.configuration(), mode).unwrap();
    server.expect("not a regular file");
    server.expect("reload refused");
    server.signal(Signal::SIGHUP);
    server.log.wait_for("generation 1 stays as it is", SOON);
    assert_eq!(get(server.address("web"), "/").body, b"index\n");
    server.stop();
}
