//! The access log and the error log of the real program: a line for each
//! request, once, soon, and whatever signal comes.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::load::{Habit, Load};
use harness::server::{outcome, program, write_configuration};
use harness::{Client, SOON, Server, eventually, get, install, on_each_model, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

on_each_model! {
    no_line_is_lost_by_a_stop
    no_line_is_lost_by_reloads_and_rotations_under_load
    no_line_is_lost_by_an_upgrade
    lines_come_within_a_second
    each_request_that_has_begun_has_one_line
    the_logs_speak_of_a_request_by_one_name
    lost_lines_are_counted
    a_flood_of_refusals_is_counted
}

const MASTER: &str = "pid_file = \"pid\"\ncontrol_socket = \"control\"";
const ANSWER: &[u8] = b"index\n";

fn start(model: &str, keys: &str) -> Server {
    let directory = TempDir::new().unwrap();
    let place = directory.path();
    fs::create_dir(place.join("www")).unwrap();
    fs::write(place.join("www/index.html"), ANSWER).unwrap();
    fs::write(place.join("www/large"), vec![b'L'; 8 << 20]).unwrap();
    fs::write(place.join("www/closed"), "secret").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.join("www/out")).unwrap();
    let script = "#!/bin/sh\necho \"I am $UNIQUE_ID\" >&2\nexit 1\n";
    install(&place.join("www"), &[("cry", script)]);
    std::os::unix::fs::symlink(program(), place.join("preforkd")).unwrap();
    let log = if keys.contains("access_log") {
        ""
    } else {
        "http.access_log = { to = \"./access.log\", format = \"json\" }"
    };
    let kept = match keys.contains("keepalive") {
        true => "",
        false => "http.keepalive_timeout = \"3s\"\n",
    };
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 2\nlinger_timeout = \"100ms\"\nhttp.root = \"www\"\n{log}\n\
         http.request_id = true\n{kept}{keys}\n"
    );
    write_configuration(place, MASTER, &pools);
    let mut command = Command::new(place.join("preforkd"));
    command.args(["run", "-c", "preforkd.toml"]);
    command.current_dir(place);
    Server::launch(command, directory)
}

/// The lines of all files of the log, parsed: each is a whole object.
fn lines(directory: &Path) -> Vec<Value> {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap());
    let logs = files.filter(|file| file.file_name().to_string_lossy().starts_with("access"));
    let texts = logs.map(|file| fs::read_to_string(file.path()).unwrap());
    let text: String = texts.collect();
    let parsed = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}")));
    parsed.collect()
}

/// The lines of those that got this status.
fn with_status(lines: &[Value], status: u64) -> Vec<&Value> {
    let is_it = |line: &&Value| line["status"] == status;
    lines.iter().filter(is_it).collect()
}

/// That no two requests have the same name.
fn assert_named_apart(lines: &[Value]) {
    let names: BTreeSet<&str> = lines
        .iter()
        .map(|line| line["request_id"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), lines.len());
    assert!(names.iter().all(|name| name.len() == 16));
}

fn keep_alive(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

fn no_line_is_lost_by_a_stop(model: &str) {
    // Which the stop waits for: nobody has told the clients that it is over.
    let server = start(model, "http.keepalive_timeout = \"1s\"");
    let address = server.address("web");
    let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(address)).collect();
    for _ in 0..20 {
        for client in &mut clients {
            client.send(keep_alive("/"));
            assert_eq!(client.answer().status, 200);
        }
    }
    // At once, while lines wait.
    server.stop_leaving(|directory| {
        let lines = lines(directory);
        assert_eq!(with_status(&lines, 200).len(), 40);
        assert_named_apart(&lines);
        let mut numbers: Vec<u64> = lines
            .iter()
            .map(|line| line["request"].as_u64().unwrap())
            .collect();
        numbers.sort_unstable();
        let twice = (1..=20).flat_map(|number| [number, number]);
        assert!(numbers.into_iter().eq(twice));
    });
}

fn no_line_is_lost_by_reloads_and_rotations_under_load(model: &str) {
    for habit in [Habit::Fresh, Habit::KeepAlive] {
        let mut server = start(model, "");
        let place = server.directory.path().to_owned();
        let load = Load::start(server.address("web"), "/", ANSWER, 2, habit);
        for number in 2..=3 {
            load.wait_for(50);
            server.reload(number);
            load.wait_for(50);
            let old = place.join(format!("access.{number}"));
            fs::rename(place.join("access.log"), &old).unwrap();
            let mut reopen = harness::preforkd();
            reopen.args(["reopen", "--wait", "--control"]);
            reopen.arg(place.join("control"));
            // It sends the master what SIGUSR1 does, and waits.
            assert_eq!(outcome(reopen).status.code(), Some(0));
            let written = fs::read(&old).unwrap().len();
            load.wait_for(50);
            let late = fs::read(&old).unwrap().len() - written;
            assert_eq!(late, 0, "octets came late to the old file");
        }
        load.wait_for(50);
        let (answered, losses) = load.stop();
        assert_eq!(losses, Vec::<String>::new());
        server.stop_leaving(|directory| {
            let lines = lines(directory);
            assert_eq!(with_status(&lines, 200).len() as u64, answered, "{habit:?}");
            assert_named_apart(&lines);
        });
    }
}

fn no_line_is_lost_by_an_upgrade(model: &str) {
    let mut server = start(model, "");
    let place = server.directory.path().to_owned();
    let load = Load::start(server.address("web"), "/", ANSWER, 2, Habit::KeepAlive);
    load.wait_for(50);
    server.signal(Signal::SIGUSR2);
    server.wait_for_generation(2);
    load.wait_for(50);
    let (answered, losses) = load.stop();
    assert_eq!(losses, Vec::<String>::new());
    assert_eq!(server.wait(SOON).code(), Some(0), "the first master's end");
    let master = fs::read_to_string(place.join("pid")).unwrap();
    process::signal(master.trim().parse().unwrap(), Signal::SIGTERM);
    server.assert_nobody_left();
    let lines = lines(&place);
    assert_eq!(with_status(&lines, 200).len() as u64, answered);
    assert_named_apart(&lines);
}

fn lines_come_within_a_second(model: &str) {
    let server = start(model, "http.keepalive_timeout = \"60s\"");
    let mut client = Client::connect(server.address("web"));
    let mut times = Vec::new();
    for number in 1..=4 {
        client.send(keep_alive("/"));
        client.answer();
        // The connection stays, and nobody says anything any more.
        let answered = Instant::now();
        eventually("the line is there", SOON, || {
            (lines(server.directory.path()).len() == number).then_some(())
        });
        times.push(answered.elapsed());
        // A busy machine may be late, and not each time.
        if number >= 2 && times.iter().any(|time| *time < Duration::from_secs(1)) {
            break;
        }
    }
    let best = times.iter().min().unwrap();
    assert!(*best < Duration::from_secs(1), "{times:?}");
    drop(client);
    server.stop();
}

fn each_request_that_has_begun_has_one_line(model: &str) {
    let server = start(
        model,
        "http.header_timeout = \"1s\"\nwrite_timeout = \"1s\"",
    );
    let address = server.address("web");
    // Nothing was said: no line.
    drop(Client::connect(address));
    Client::connect(address).reset();
    // Refused, and said too late.
    let refused = |head: &str| {
        let mut client = Client::connect(address);
        client.send(head);
        client.read_to_end();
    };
    refused("get /r HTTP/1.1\r\nHost: a\r\n\r\n");
    refused("GET /\u{1}\u{fc}\"\\ HTTP/1.1\r\n\r\n");
    refused("GET /late HTTP/1.1\r\n");
    // Cut by the client: in the head, and in the answer.
    let mut client = Client::connect(address);
    client.send("GET /cut HTTP/1.1\r\nHost: a");
    client.finish();
    assert_eq!(client.read_to_end(), b"");
    let mut client = Client::connect(address);
    client.send(keep_alive("/large"));
    client.read(1000);
    client.reset();
    // Nobody reads.
    let mut stalled = Client::connect(address);
    stalled.send(keep_alive("/large?stalled"));
    // The last one says so.
    let mut last = Client::connect(address);
    last.send("GET / HTTP/1.1\r\nHost: a\r\nReferer: r\r\nConnection: close\r\n\r\n");
    last.read_to_end();
    let find = |target: &str| {
        let wanted = |line: &Value| line["target"] == target;
        let found = || lines(server.directory.path()).into_iter().find(wanted);
        eventually(&format!("a line for {target}"), SOON, found)
    };
    let stalls = find("/large?stalled");
    for (target, status, reason) in [
        ("/r", 501, "refused"),
        ("/\\u{1}\u{fc}\"\\x5C", 400, "refused"),
        ("/late", 408, "request-timeout"),
        ("/cut", 499, "cut-short"),
        ("/large", 200, "reset"),
        ("/large?stalled", 200, "write-stalled"),
        ("/", 200, "complete"),
    ] {
        let line = find(&target.replace("\\u{1}", "\u{1}"));
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["reason"], reason, "{line}");
        assert_eq!(line["client"], "127.0.0.1");
        assert_eq!(line["request"], 1);
    }
    assert_eq!(find("/r")["rule"], "rfc9110-9.1 method");
    assert_eq!(
        (&find("/")["bytes"], &find("/")["referer"]),
        (&6.into(), &"r".into())
    );
    assert!(find("/late")["duration_us"].as_u64().unwrap() >= 1_000_000);
    assert!(stalls["duration_us"].as_u64().unwrap() >= 1_000_000);
    let sent = stalls["bytes"].as_u64().unwrap();
    assert!((1..8 << 20).contains(&sent), "{sent}");
    server.stop_leaving(|directory| {
        let lines = lines(directory);
        assert_eq!(lines.len(), 7, "{lines:#?}");
        assert_named_apart(&lines);
    });
}

fn the_logs_speak_of_a_request_by_one_name(model: &str) {
    let mut server = start(model, "http.path.\"/cry\" = { cgi = true }\n");
    fs::set_permissions(
        server.directory.path().join("www/closed"),
        fs::Permissions::from_mode(0o000),
    )
    .unwrap();
    let address = server.address("web");
    server.expect("program");
    let name_of = |path: &str, status: u16| {
        let answer = get(address, path);
        assert_eq!(answer.status, status, "{path}");
        answer.field("X-Request-ID").unwrap().to_owned()
    };
    let log = server.log.clone();
    let name = name_of("/cry", 500);
    for line in [
        format!("127.0.0.1 {name}: program cry ["),
        format!("]: I am {name}"),
        format!("127.0.0.1 {name}: closed: program: rfc3875-6.2 no output"),
    ] {
        log.wait_for(&line, SOON);
    }
    let name = name_of("/out", 403);
    log.wait_for(
        &format!("127.0.0.1 {name}: open out: it leads out of the root"),
        SOON,
    );
    if !nix::unistd::geteuid().is_root() {
        let name = name_of("/closed", 403);
        log.wait_for(
            &format!("127.0.0.1 {name}: open closed: permission denied"),
            SOON,
        );
    }
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n");
    let answer = client.answer();
    let name = answer.field("X-Request-ID").unwrap();
    let line = format!("info: 127.0.0.1 {name}: closed: refused: rfc9112-6.3 content-length");
    log.wait_for(&line, SOON);
    drop(client);
    let name = name.to_owned();
    server.stop_leaving(|directory| {
        assert!(
            lines(directory)
                .iter()
                .any(|line| line["request_id"] == name)
        );
    });
}

fn lost_lines_are_counted(model: &str) {
    let mut server = start(
        model,
        "http.access_log = { to = \"/dev/full\", format = \"json\" }",
    );
    server.expect("access log: ");
    for _ in 0..10 {
        assert_eq!(get(server.address("web"), "/").status, 200);
    }
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
    let lost: u64 = server
        .log
        .lines()
        .iter()
        .filter_map(|line| line.split_once("access log: ")?.1.split_once(" line"))
        .map(|(count, _)| count.parse::<u64>().unwrap())
        .sum();
    assert_eq!(lost, 10, "{}", server.log);
    assert!(
        server
            .log
            .lines()
            .iter()
            .any(|line| line.contains("No space left on device"))
    );
}

/// Requests that break a rule, on connections of their own, and all there before
/// the first answer is read: how many come in a second is the server's affair.
fn break_rules(address: SocketAddr, count: usize) {
    let broken = |_| {
        let mut client = Client::connect(address);
        client.send("get / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.finish();
        client
    };
    let mut clients: Vec<Client> = (0..count).map(broken).collect();
    for client in &mut clients {
        client.read_to_end();
    }
}

fn a_flood_of_refusals_is_counted(model: &str) {
    let mut server = start(model, "");
    break_rules(server.address("web"), 100);
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
    let lines = server.log.lines();
    let is_refusal =
        |line: &&String| line.contains("info: 127.0.0.1 ") && line.contains("closed: refused: ");
    let told = lines.iter().filter(is_refusal).count() as u64;
    let counted: u64 = lines
        .iter()
        .filter_map(|line| line.split_once(" more complaints")?.0.rsplit(' ').next())
        .map(|count| count.parse::<u64>().unwrap())
        .sum();
    assert_eq!(told + counted, 100, "{}", server.log);
    // A child of the model fork speaks for one client alone.
    assert_eq!(counted > 0, model != "fork", "{}", server.log);
}
