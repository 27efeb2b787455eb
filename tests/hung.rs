//! Workers that show no sign of life, and those that only seem so.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::{Client, SOON, Server, eventually, get, on_each_model, process};
use nix::sys::signal::Signal;
use std::time::Duration;
use tempfile::TempDir;

on_each_model! {
    a_worker_that_hangs_is_replaced_and_killed
    a_silent_client_is_no_hung_worker
    a_stopped_master_kills_nobody
}

fn server(model: &str, keys: &str) -> Server {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 1\nworker_timeout = \"1s\"\nlinger_timeout = \"100ms\"\n\
         http.root = \"www\"\nhttp.header_timeout = \"{keys}\"\n"
    );
    Server::run_with(directory, "", &pools)
}

/// A client in the middle of a request, and the process that serves it.
fn begin(server: &Server) -> (Client, u32) {
    let mut client = Client::connect(server.address("web"));
    client.send("GET / HTTP/1.1\r\n");
    let serving = eventually("somebody serves", SOON, || {
        let everyone = process::descendants(server.pid());
        let busy = |pid: &u32| {
            let title = process::title(*pid);
            ["reading", "serving"]
                .iter()
                .any(|word| title.contains(word))
        };
        // The one that was forked last is the one that has the connection.
        everyone.into_iter().filter(busy).max()
    });
    (client, serving)
}

fn a_worker_that_hangs_is_replaced_and_killed(model: &str) {
    let mut server = server(model, "2s");
    let (_client, serving) = begin(&server);
    process::signal(serving, Signal::SIGSTOP);
    server.log.wait_for("no sign of life", SOON);
    eventually("it is killed", SOON, || {
        (!process::is_alive(serving)).then_some(())
    });
    eventually("another one serves", SOON, || {
        harness::client::try_get(server.address("web"), "/")
            .ok()
            .filter(|answer| answer.status == 200)
    });
    for line in ["no sign of life", "SIGKILL", "has not finished in time"] {
        server.expect(line);
    }
    server.stop();
}

fn a_silent_client_is_no_hung_worker(model: &str) {
    // Longer than worker_timeout and the grace of a hung worker together.
    let server = server(model, "5s");
    let (mut client, serving) = begin(&server);
    let answer = client.answer();
    assert_eq!(answer.status, 408);
    drop(client);
    if model != "fork" {
        assert!(process::is_alive(serving));
    }
    assert_eq!(get(server.address("web"), "/").status, 200);
    server.stop();
}

fn a_stopped_master_kills_nobody(model: &str) {
    let server = server(model, "2s");
    let workers = server.workers();
    let (mut client, _) = begin(&server);
    let everyone = process::descendants(server.pid());
    for &pid in everyone.iter().chain([&server.pid()]) {
        process::signal(pid, Signal::SIGSTOP);
    }
    // As long as a laptop's lid is shut: there is nothing to wait for but time.
    harness::let_time_pass(Duration::from_secs(4));
    for &pid in everyone.iter().chain([&server.pid()]) {
        process::signal(pid, Signal::SIGCONT);
    }
    assert_eq!(client.answer().status, 408);
    assert_eq!(server.workers(), workers);
    server.stop();
}
