//! What an operator sees: process titles, the status, the log file.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::outcome;
use harness::{Client, SOON, Server, eventually, get, on_each_model, preforkd, process};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

on_each_model! {
    a_title_says_what_a_worker_does
    the_status_says_what_a_worker_does
}

/// Larger than what the kernel buffers for one connection.
const LARGE: u64 = 64 << 20;

fn server(model: &str, master: &str) -> Server {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let large = fs::File::create(directory.path().join("www/large")).unwrap();
    large.set_len(LARGE).unwrap();
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 1\nhttp.root = \"www\"\nlinger_timeout = \"100ms\"\n"
    );
    Server::run_with(directory, master, &pools)
}

/// Waits until a process below the master has a title with `text` in it.
fn wait_for_title(server: &Server, text: &str) {
    eventually(text, SOON, || {
        let titles = process::descendants(server.pid())
            .into_iter()
            .map(process::title);
        titles
            .into_iter()
            .any(|title| title.contains(text))
            .then_some(())
    });
}

fn a_title_says_what_a_worker_does(model: &str) {
    let server = server(model, "");
    assert_eq!(process::title(server.pid()), "preforkd: master");
    wait_for_title(&server, "preforkd: web[0] gen 1 idle");
    let mut client = Client::connect(server.address("web"));
    client.send("GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    client.read(1000);
    match model {
        "prefork" | "fork" => {
            let name = client.name();
            wait_for_title(&server, &format!("web[0] gen 1 serving {name} GET /large"));
        }
        _ => wait_for_title(&server, "web[0] gen 1 serving"),
    }
    server.signal(Signal::SIGTERM);
    wait_for_title(&server, "web[0] gen 1 draining");
    client.read_to_end();
    let mut server = server;
    server.assert_good_end();
}

fn the_status_says_what_a_worker_does(model: &str) {
    let server = server(model, "control_socket = \"control\"");
    let socket = server.directory.path().join("control");
    assert_eq!(get(server.address("web"), "/").status, 200);
    let mut client = Client::connect(server.address("web"));
    client.send("GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    client.read(1000);
    let table = eventually("both connections are counted", SOON, || {
        let table = ask(&socket, &["status"]);
        table.contains("web[0]").then_some(table)
    });
    assert!(
        table.contains(&format!("master {} running, generation 1", server.pid())),
        "{table}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&ask(&socket, &["status", "--json"])).unwrap();
    assert_eq!(json["pid"], server.pid());
    let worker = &json["workers"][0];
    assert_eq!(
        (&worker["pool"], &worker["slot"]),
        (&"web".into(), &0.into())
    );
    assert_eq!(worker["pid"], server.workers()[0]);
    assert_eq!(worker["phase"], "ready");
    assert!(
        worker["doing"].to_string().contains("GET /large"),
        "{worker}"
    );
    client.read_to_end();
    eventually("nobody is served", SOON, || {
        ask(&socket, &["status"]).contains(" idle\n").then_some(())
    });
    server.stop();
}

fn ask(socket: &Path, arguments: &[&str]) -> String {
    let mut command = preforkd();
    command.args(arguments).arg("--control").arg(socket);
    let output = outcome(command);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_control_socket_reloads_and_stops() {
    let mut server = server("prefork", "control_socket = \"control\"");
    let socket = server.directory.path().join("control");
    ask(&socket, &["reload"]);
    server.wait_for_generation(2);
    // By the configuration that names the socket, too.
    let mut command = preforkd();
    command.args(["status", "-c"]).arg(server.configuration());
    assert_eq!(outcome(command).status.code(), Some(0));
    ask(&socket, &["stop"]);
    server.assert_good_end();
    assert!(!socket.exists());
    let mut command = preforkd();
    command.arg("status").arg("--control").arg(&socket);
    assert_eq!(
        outcome(command).status.code(),
        Some(3),
        "nothing is running"
    );
}

#[test]
fn a_control_client_that_says_no_more_is_answered() {
    let server = server("prefork", "control_socket = \"control\"");
    let mut client = UnixStream::connect(server.directory.path().join("control")).unwrap();
    client
        .write_all(b"{\"query\":\"status\"}\nx\n{\"query\":\"status\"}\n")
        .unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    let answers: Vec<bool> = text
        .lines()
        .map(|line| line.contains("\"workers\""))
        .collect();
    assert_eq!(answers, [true, false, true], "{text}");
    server.stop();
}

#[test]
fn a_control_client_that_takes_no_answer_costs_no_time() {
    let pool = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 64\n";
    let master = "control_socket = \"control\"";
    let server = Server::run_with(tempfile::TempDir::new().unwrap(), master, pool);
    let mut client = UnixStream::connect(server.directory.path().join("control")).unwrap();
    client
        .write_all(&b"{\"query\":\"status\"}\n".repeat(200))
        .unwrap();
    // Its queries have been read, and the first is answered.
    client.read_exact(&mut [0]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // What it costs is measured over a second in which nothing else happens.
    harness::let_time_pass(Duration::from_millis(300));
    let spent = process::processor_time(server.pid());
    harness::let_time_pass(Duration::from_secs(1));
    let spent = process::processor_time(server.pid()) - spent;
    assert!(spent < Duration::from_millis(300), "{spent:?}");
    drop(client);
    server.stop();
}

#[test]
fn titles_can_be_switched_off() {
    let server = server("prefork", "process_titles = false");
    assert_eq!(get(server.address("web"), "/").status, 200);
    let title = process::title(server.workers()[0]);
    assert!(
        title.contains(" run -c ") || title == "preforkd: master",
        "{title}"
    );
    server.stop();
}

#[test]
fn a_moved_log_file_is_opened_anew() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let pools = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n";
    // Where it listens is said on standard error as well, once.
    let path = harness::server::write_configuration(
        directory.path(),
        "log = { to = \"./log\", level = \"info\" }",
        pools,
    );
    let mut command = preforkd();
    command.args(["run", "-c"]).arg(path);
    let mut server = Server::launch_with_log_file(command, directory);
    let moved = server.directory.path().join("log.1");
    fs::rename(&log, &moved).unwrap();
    server.signal(Signal::SIGUSR1);
    eventually("a new log file", SOON, || {
        fs::read_to_string(&log)
            .ok()?
            .contains("log reopened")
            .then_some(())
    });
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
    assert!(
        fs::read_to_string(&log)
            .unwrap()
            .contains("all workers are gone")
    );
    assert!(!fs::read_to_string(&moved).unwrap().contains("stopping"));
}
