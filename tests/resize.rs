//! Pools that grow, shrink and have their workers replaced while clients are
//! served: nobody is lost, and what a deadline cuts is told.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::control::status;
use harness::load::{Habit, Load};
use harness::server::outcome;
use harness::{Client, SOON, Server, eventually, on_each_model, preforkd, process};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::process::Output;
use tempfile::TempDir;

on_each_model! {
    a_pool_is_scaled_and_nobody_is_lost
    workers_are_replaced_all_the_time_and_nobody_is_lost
    a_generation_that_is_given_up_loses_nobody
    what_a_deadline_cuts_is_told
    a_slot_that_goes_during_a_reload_is_there_again_after_it
}

/// Larger than what the kernel buffers for one connection.
const LARGE: u64 = 64 << 20;

const HABITS: [Habit; 2] = [Habit::Fresh, Habit::KeepAlive];
const ACCEPTS: [&str; 2] = ["shared", "reuseport"];

const MASTER: &str = "control_socket = \"control\"\ngraceful_timeout = \"20s\"";
/// Nobody can read a line for each of that many connections in time, and the
/// server waits for no reader of its log.
const QUIET: &str = "control_socket = \"control\"\nlog = { to = \"stderr\", level = \"info\" }";

fn site() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let large = std::fs::File::create(directory.path().join("www/large")).unwrap();
    large.set_len(LARGE).unwrap();
    directory
}

/// A client that gets no processor for as long as `keepalive_timeout` finds its
/// connection closed with its request on the way, and by no fault of a resize:
/// so that is long here.
fn web(model: &str, workers: u32, keys: &str) -> String {
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = {workers}\nhttp.root = \"www\"\nhttp.keepalive_timeout = \"5s\"\n\
         linger_timeout = \"100ms\"\n{keys}\n"
    )
}

fn ask(server: &Server, arguments: &[&str]) -> Output {
    let mut command = preforkd();
    let socket = server.directory.path().join("control");
    command.args(arguments).arg("--control").arg(socket);
    outcome(command)
}

fn scale(server: &Server, workers: u32) {
    let output = ask(server, &["scale", "web", &workers.to_string(), "--wait"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{output:?}\n{}", server.log);
    assert_eq!(said, format!("pool web has {workers} workers\n"));
}

/// That the clients of `load` were all answered, and that no queue was closed
/// with somebody in it; answers how many requests were answered.
fn assert_nobody_lost(server: &Server, load: Load, what: &str) -> u64 {
    let (answered, losses) = load.stop();
    assert!(
        losses.is_empty(),
        "{what}: {answered} and {} lost: {losses:?}\n{}",
        losses.len(),
        server.log
    );
    assert_eq!(status(server)["queue_dropped"], 0, "{what}");
    answered
}

fn change_size(model: &str, clients: usize, sizes: impl Iterator<Item = u32> + Clone) {
    for (accept, habit) in ACCEPTS.into_iter().flat_map(|a| HABITS.map(|h| (a, h))) {
        let pools = web(model, 2, &format!("accept = \"{accept}\""));
        let server = Server::run_with(site(), QUIET, &pools);
        let load = Load::start(server.address("web"), "/", b"index\n", clients, habit);
        load.wait_for(20);
        let mut count = 0;
        for workers in sizes.clone() {
            scale(&server, workers);
            let report = status(&server);
            assert_eq!(
                report["workers"].as_array().unwrap().len(),
                workers as usize
            );
            load.wait_for(20);
            count += 1;
        }
        let what = format!("{model} {accept} {habit:?}");
        let answered = assert_nobody_lost(&server, load, &what);
        println!("{what}: {count} changes, {answered} answered, 0 lost");
        server.stop();
    }
}

fn a_pool_is_scaled_and_nobody_is_lost(model: &str) {
    change_size(model, 4, [16, 2, 5, 1].into_iter());
}

/// The long version: `cargo test --release --test resize -- --ignored`.
#[test]
#[ignore = "long"]
fn a_hundred_changes_of_size_lose_nobody() {
    for model in harness::MODELS {
        change_size(model, 16, [16, 2].into_iter().cycle().take(100));
    }
}

/// Whoever has been a worker of the pool so far.
fn generations_of_workers(server: &Server, seen: &mut BTreeSet<u64>) -> usize {
    let report = status(server);
    let workers = report["workers"].as_array().unwrap().iter();
    seen.extend(workers.map(|one| one["pid"].as_u64().unwrap()));
    seen.len()
}

fn workers_are_replaced_all_the_time_and_nobody_is_lost(model: &str) {
    for (accept, habit) in ACCEPTS.into_iter().flat_map(|a| HABITS.map(|h| (a, h))) {
        let keys = "requests_per_worker = 10\nmin_worker_lifetime = \"1ms\"";
        let pools = web(model, 4, &format!("accept = \"{accept}\"\n{keys}"));
        let server = Server::run_with(site(), QUIET, &pools);
        let load = Load::start(server.address("web"), "/", b"index\n", 4, habit);
        let mut seen = BTreeSet::new();
        // Two hundred requests, each by a process of its own on the model fork.
        eventually("twenty workers, one after the other", 3 * SOON, || {
            (generations_of_workers(&server, &mut seen) >= 20).then_some(())
        });
        assert_nobody_lost(&server, load, &format!("{model} {accept} {habit:?}"));
        server.stop();
    }
}

/// The new generation binds six sockets, and has one worker READY, but its
/// third finds no room on the scoreboard.
fn a_generation_that_is_given_up_loses_nobody(model: &str) {
    for habit in HABITS {
        let accept = "accept = \"reuseport\"";
        let mut server = Server::run_with(site(), QUIET, &web(model, 2, accept));
        server.expect("the scoreboard is full");
        server.expect("died young");
        server.expect("its workers die before they serve: generation 1 stays");
        let load = Load::start(server.address("web"), "/", b"index\n", 8, habit);
        load.wait_for(20);
        let wide = format!("{accept}\nmax_connections = 32000");
        server.configure(QUIET, &web("fork", 6, &wide));
        let output = ask(&server, &["reload", "--wait"]);
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        load.wait_for(20);
        assert_nobody_lost(&server, load, &format!("{model} {habit:?}"));
        server.wait_for_workers(0, "gen 2");
        server.stop();
    }
}

/// A client that takes nothing, an old generation, a worker too many, a stop:
/// each has its line, with how many connections that cost, and whose.
fn what_a_deadline_cuts_is_told(model: &str) {
    let master = "control_socket = \"control\"\ngraceful_timeout = \"1s\"";
    let begin = |server: &Server| {
        let mut client = Client::connect(server.address("web"));
        client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
        client.read(1000);
        client
    };
    let asserts_names = |line: &str, client: &Client| {
        let name = client.name().to_string();
        // A worker with many connections shows their number alone.
        assert!(model == "event" || line.contains(&name), "{name} in {line}");
        assert!(line.contains("/large"), "{line}");
    };
    let mut server = Server::run_with(site(), master, &web(model, 1, ""));
    server.expect("has not finished in time");
    server.expect("stopping at once: ending");
    server.expect("SIGKILL; it was");

    let mut first = begin(&server);
    server.reload(2);
    // The lines on which this relies: src/master/notice.rs.
    let line = server.log.wait_for("generation 1 has not finished", SOON);
    assert!(line.contains(" 1 worker with 1 connection cut: web[0] "));
    asserts_names(&line, &first);
    assert!((first.drain() as u64) < LARGE, "it was cut");

    // Whoever is accepted by the second of two workers goes with it.
    scale(&server, 2);
    let places = if model == "prefork" { 2 } else { 16 };
    let clients: Vec<Client> = (0..places).map(|_| begin(&server)).collect();
    let output = ask(&server, &["scale", "web", "1", "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pattern = "worker web[1] has not finished in time: ";
    let lines = server.log.lines();
    let told = lines.iter().find(|line| line.contains(pattern));
    // With several places in a worker the other one may have taken all.
    assert!(told.is_some() || model != "prefork", "{}", server.log);
    assert!(told.is_none_or(|line| line.contains(" cut: ")), "{told:?}");
    drop(clients);

    let mut last = begin(&server);
    let mark = server.log.mark();
    server.signal(Signal::SIGTERM);
    let line = server
        .log
        .wait_for_after(mark, "generation 2 has not", SOON);
    asserts_names(&line, &last);
    server.assert_good_end();
    assert!((last.drain() as u64) < LARGE, "it was cut");
}

#[test]
fn what_cannot_be_scaled_is_refused_with_the_reason() {
    // It begins with as many as it may have: who is idle is counted all the time.
    let spare = "[pool.spare]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\n\
                 start_workers = 8\nmax_workers = 8\n";
    let pools = format!("{}\n{spare}", web("prefork", 2, ""));
    let mut server = Server::run_with(site(), MASTER, &pools);
    server.expect("scale refused: ");
    for (pool, workers, reason) in [
        ("nowhere", "3", "there is no pool nowhere, but web, spare"),
        ("spare", "3", "change max_spare_workers or max_workers"),
        ("web", "0", "0 is not in 1..=4096"),
        ("web", "5000", "5000 is not in 1..=4096"),
        ("web", "many", "invalid digit"),
    ] {
        let output = ask(&server, &["scale", pool, workers]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(reason), "{reason:?} in {said}");
    }
    assert_eq!(status(&server)["workers"].as_array().unwrap().len(), 10);
    server.stop();
}

#[test]
fn a_reload_goes_back_to_what_the_file_says() {
    let mut server = Server::run_with(site(), MASTER, &web("prefork", 2, ""));
    scale(&server, 5);
    server.wait_for_workers(5, "web[");
    server.reload(2);
    server.wait_for_workers(2, "web[");
    server.wait_for_workers(2, "gen 2");
    server.stop();
}

/// What was asked for after the reload is for what the reload brings.
#[test]
fn a_scale_during_a_reload_is_for_the_next_generation_too() {
    let mut server = Server::run_with(site(), MASTER, &web("prefork", 2, ""));
    let clients: Vec<Client> = (0..3)
        .map(|_| Client::connect(server.address("web")))
        .collect();
    // Whichever of the two is carried out first.
    server.signal(Signal::SIGHUP);
    server.log.wait_for("reload asked for by signal", SOON);
    scale(&server, 4);
    server.wait_for_generation(2);
    let output = ask(&server, &["scale", "web", "4", "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    drop(clients);
    server.wait_for_workers(4, "gen 2");
    server.stop();
}

#[test]
fn a_worker_more_and_less_by_signal_is_the_same_resize() {
    let server = Server::run_with(site(), MASTER, &web("event", 2, ""));
    server.signal(Signal::SIGTTIN);
    server.wait_for_workers(3, "web[");
    scale(&server, 6);
    server.signal(Signal::SIGTTOU);
    server.wait_for_workers(5, "web[");
    let titles: Vec<String> = server.workers().into_iter().map(process::title).collect();
    assert!(titles.iter().all(|title| !title.contains("web[5]")));
    server.stop();
}

/// A worker less is asked for while the reload that brings it back is under way:
/// the last slot's socket refuses new clients until then, and no longer. Where
/// the reload is over too soon the slot is gone, so there are several tries.
fn a_slot_that_goes_during_a_reload_is_there_again_after_it(model: &str) {
    let pools = web(model, 4, "accept = \"reuseport\"");
    let mut server = Server::run_with(site(), MASTER, &pools);
    let load = Load::start(server.address("web"), "/", b"index\n", 4, Habit::Fresh);
    for generation in 2..12 {
        server.signal(Signal::SIGHUP);
        server.signal(Signal::SIGTTOU);
        server.wait_for_generation(generation);
        eventually("each slot has clients", SOON, || {
            let report = status(&server);
            let workers = report["workers"].as_array().unwrap();
            let busy = |one: &&serde_json::Value| {
                one["generation"] == generation && one["connections"] != 0
            };
            let busy = workers.iter().filter(busy).count();
            (busy >= 3 && busy == workers.len()).then_some(())
        });
    }
    load.wait_for(100);
    assert_nobody_lost(&server, load, model);
    server.stop();
}

/// Who comes to empty the queue of a slot that went leaves open what a newer
/// generation has again, whose own worker may be gone for the moment.
#[test]
fn an_heir_leaves_a_slot_open_that_came_back() {
    let came = (0..5).any(|_| comes_back_with_an_heir());
    assert!(came, "no worker left a queue that another one was to empty");
}

/// Answers whether there was an heir: where the reload is over too soon the slot is
/// gone, and where death comes too late it is no early one.
fn comes_back_with_an_heir() -> bool {
    let pools = "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\n\
                 model = \"event\"\naccept = \"reuseport\"\nworkers = 2";
    let mut server = Server::run_with(site(), MASTER, pools);
    server.expect("killed by SIGKILL");
    server.expect("died young");
    let address = server.address("web");
    let clients: Vec<Client> = (0..32).map(|_| Client::connect(address)).collect();
    let find = |server: &Server, generation: u64, phase: &str| {
        let report = status(server);
        let mut workers = report["workers"].as_array().unwrap().iter();
        let worker = workers.find(|one| {
            one["slot"] == 1 && one["generation"] == generation && one["phase"] == phase
        })?;
        Some((
            worker["pid"].as_u64()? as u32,
            worker["connections"].as_u64()?,
        ))
    };
    // The worker of the last slot has clients, and so stays for a while when it goes.
    let (old, _) = eventually("somebody comes to the last slot", SOON, || {
        find(&server, 1, "ready").filter(|(_, connections)| *connections > 0)
    });
    server.signal(Signal::SIGHUP);
    server.signal(Signal::SIGTTOU);
    server.wait_for_generation(2);
    if find(&server, 2, "ready").is_none() {
        return false;
    }
    // Its successor dies early, and comes back later and later.
    for death in 1..=3 {
        let (new, _) = eventually("somebody serves", SOON, || find(&server, 2, "ready"));
        process::signal(new, Signal::SIGKILL);
        let told = format!("died young, {death} in a row");
        if server.log.try_wait_for(0, &told, SOON / 10).is_none() {
            return false;
        }
    }
    process::signal(old, Signal::SIGKILL);
    eventually("somebody serves again", SOON, || find(&server, 2, "ready"));
    // The line tells of an heir: see `spawn_heir` in src/master/crew/spawn.rs.
    let lines = server.log.lines();
    let came = lines.iter().any(|line| line.contains("has left a queue"));
    for _ in 0..40 {
        TcpStream::connect_timeout(&address, SOON / 3).unwrap();
    }
    drop(clients);
    server.stop();
    came
}
