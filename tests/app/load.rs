//! Servers of others, reloaded again and again under load: no request is lost.

use super::{MASTER, PYTHON, ask, has, running, script};
use crate::harness::Server;
use crate::harness::crowd::{Crowd, Manners};
use crate::harness::ledger::Fate;
use crate::harness::load::{Habit, Load};
use nix::sys::signal::Signal;
use std::time::Duration;
use tempfile::TempDir;

const NODE: &str = "/usr/bin/node";

/// A server of tests/app/, run by this program; nothing where it is not there.
fn server(program: &str, accept: &str) -> Option<Server> {
    let name = match program {
        NODE => "server.js",
        _ => "server.py",
    };
    server_of(program, &script(name), accept)
}

fn server_of(program: &str, file: &str, accept: &str) -> Option<Server> {
    if !has(program) {
        return None;
    }
    let command = super::array(&[program, file]);
    let keys = format!("accept = \"{accept}\"\nworkers = 2");
    let pools = running(&command, &keys, "ready = \"400ms\"");
    Some(Server::run_with(TempDir::new().unwrap(), MASTER, &pools))
}

fn reloads(program: &str, accept: &str, habit: Habit, count: u32) {
    if let Some(server) = server(program, accept) {
        let told = format!("{program} {accept} {habit:?}");
        reload_under_load(server, b"index\n", habit, count, &told);
    }
}

fn reload_under_load(mut server: Server, body: &[u8], habit: Habit, count: u32, told: &str) {
    let load = Load::start(server.address("web"), "/", body, 4, habit);
    for generation in 2..count + 2 {
        load.wait_for(30);
        server.reload(generation);
    }
    load.wait_for(30);
    let (answered, losses) = load.stop();
    assert!(
        losses.is_empty(),
        "{answered} and {losses:?}\n{}",
        server.log
    );
    assert!(answered > u64::from(count) * 30);
    println!("{told}: {count} reloads, {answered} answers, none lost");
    server.stop();
}

/// Side by side: to be ready is a matter of time.
fn a_few_reloads(program: &'static str) {
    std::thread::scope(|scope| {
        for (accept, habit) in [
            ("shared", Habit::Fresh),
            ("shared", Habit::KeepAlive),
            ("reuseport", Habit::Fresh),
        ] {
            scope.spawn(move || reloads(program, accept, habit, 2));
        }
    });
}

#[test]
fn python_loses_nothing_over_reloads() {
    a_few_reloads(PYTHON);
}

#[test]
fn node_loses_nothing_over_reloads() {
    a_few_reloads(NODE);
}

/// What the README shows is as good, for clients with a connection a request.
#[test]
fn a_few_lines_are_enough() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (program, name) in [(PYTHON, "hello.py"), (NODE, "hello.js")] {
        let file = root.join("conf/app").join(name);
        if let Some(server) = server_of(program, file.to_str().unwrap(), "shared") {
            reload_under_load(server, b"hello\n", Habit::Fresh, 2, name);
        }
    }
}

#[test]
#[ignore = "long"]
fn python_loses_nothing_over_fifty_reloads() {
    for accept in ["shared", "reuseport"] {
        for habit in [Habit::Fresh, Habit::KeepAlive] {
            reloads(PYTHON, accept, habit, 50);
        }
    }
}

#[test]
#[ignore = "long"]
fn node_loses_nothing_over_fifty_reloads() {
    for accept in ["shared", "reuseport"] {
        for habit in [Habit::Fresh, Habit::KeepAlive] {
            reloads(NODE, accept, habit, 50);
        }
    }
}

/// Clients who are still coming when the stop begins are served or refused.
fn a_stop_loses_nothing(program: &str) {
    let Some(mut server) = server(program, "shared") else {
        return;
    };
    let crowd = Crowd::start(Manners {
        address: server.address("web"),
        path: String::from("/"),
        body: b"index\n".to_vec(),
        habit: Habit::Fresh,
        clients: 16,
        think: Duration::ZERO..Duration::from_millis(5),
        patience: crate::harness::SOON,
        keepalive: Duration::MAX,
        seed: 7,
    });
    crowd.wait_for(200);
    ask(&server, &["status"]);
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
    let ledger = crowd.stop();
    assert_eq!(ledger.lost(), 0, "{ledger}\n{}", ledger.complaints());
    assert!(
        ledger.count(Fate::Refused) > 0,
        "they came to the end: {ledger}"
    );
}

#[test]
fn a_stop_of_python_servers_loses_nothing() {
    a_stop_loses_nothing(PYTHON);
}

#[test]
fn a_stop_of_node_servers_loses_nothing() {
    a_stop_loses_nothing(NODE);
}
