//! Log files that are moved away while lines are written to them.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::load::{Habit, Load};
use harness::server::outcome;
use harness::{Server, get, on_each_model, preforkd};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

on_each_model! {
    every_line_is_in_one_file_and_none_comes_late
}

/// How often the files are moved away under load.
const ROTATIONS: usize = 5;

fn server(model: &str) -> Server {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 3\nlinger_timeout = \"100ms\"\nhttp.root = \"www\"\n\
         http.access_log = \"./access.log\"\nhttp.keepalive_timeout = \"300ms\"\n"
    );
    Server::run_with(directory, "control_socket = \"control\"", &pools)
}

fn control(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = preforkd();
    command.args(arguments).arg("--control");
    command.arg(server.directory.path().join("control"));
    let output = outcome(command);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "a torn line in {}",
        path.display()
    );
    text.lines().map(str::to_owned).collect()
}

fn every_line_is_in_one_file_and_none_comes_late(model: &str) {
    let server = server(model);
    let directory = server.directory.path().to_owned();
    let current = directory.join("access.log");
    let load = Load::start(server.address("web"), "/", b"index\n", 3, Habit::Fresh);
    let mut total = 0;
    let mut moved = Vec::new();
    for number in 0..ROTATIONS {
        load.wait_for(50);
        // Lines wait a moment in their worker, and go to the file that is there then.
        harness::eventually("lines are written", harness::SOON, || {
            (fs::metadata(&current).unwrap().len() > 0).then_some(())
        });
        let old = directory.join(format!("access.{number}"));
        fs::rename(&current, &old).unwrap();
        assert_eq!(
            control(&server, &["reopen", "--wait"]),
            (Some(0), "logs reopened\n".into())
        );
        // From here on it may be compressed: nobody writes to it any more.
        let count = lines(&old).len();
        total += count;
        moved.push((old, count));
    }
    let (answered, losses) = load.stop();
    assert_eq!(losses, Vec::<String>::new());
    assert_eq!(get(server.address("web"), "/last").status, 404);
    let mut seen = HashSet::new();
    for (path, count) in moved {
        let found = lines(&path);
        assert_eq!(found.len(), count, "lines came late to {}", path.display());
        // Each client has a port of its own for each connection, for a while.
        seen.extend(found);
    }
    harness::eventually("the last line is written", harness::SOON, || {
        let last = lines(&current);
        (total + last.len() == answered as usize + 1).then_some(())
    });
    assert!(lines(&current).iter().any(|line| line.contains("/last")));
    assert!(!seen.is_empty());
    server.stop();
}

#[test]
fn a_file_that_cannot_be_reopened_is_no_success() {
    let mut server = server("prefork");
    server.expect("reopening the access log of web");
    let current = server.directory.path().join("access.log");
    fs::rename(&current, current.with_extension("old")).unwrap();
    fs::create_dir(&current).unwrap();
    let (status, text) = control(&server, &["reopen", "--wait"]);
    assert_eq!(status, Some(71), "{text}");
    let expected = "reopening the access log of web: Is a directory";
    assert!(text.contains(expected), "{text}");
    fs::remove_dir(&current).unwrap();
    assert_eq!(
        control(&server, &["reopen", "--wait"]),
        (Some(0), "logs reopened\n".into())
    );
    server.stop();
}

#[test]
fn a_reload_that_is_waited_for_says_how_it_went() {
    let mut server = server("prefork");
    let (status, text) = control(&server, &["reload", "--wait"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.starts_with("generation 2 serves: web 127.0.0.1:"),
        "{text}"
    );
    let file = server.configuration();
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("workers = 3", "wrokers = 3")).unwrap();
    let (status, text) = control(&server, &["reload", "--wait"]);
    assert_eq!(status, Some(78), "{text}");
    assert!(text.contains("unknown key `wrokers`"), "{text}");
    server.expect("unknown key `wrokers`");
    server.expect("reload refused");
    fs::write(&file, good).unwrap();
    assert_eq!(control(&server, &["reload", "--wait"]).0, Some(0));
    assert_eq!(control(&server, &["stop", "--wait"]).0, Some(0));
    server.assert_good_end();
}
