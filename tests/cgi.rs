//! Programs behind a path, on each model, with the real program and real
//! scripts.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::lease::Lease;
use harness::{Client, SOON, Server, eventually, install, on_each_model, process, uninterrupted};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

on_each_model! {
    answers
    large_content_and_large_output
    failures_are_told_and_logged
    who_hangs_is_ended_with_all_it_started
    a_client_that_vanishes_takes_the_program_along
    a_killed_worker_leaves_no_program
    a_stop_waits_for_a_program
    nothing_is_left_after_many
    a_client_that_does_not_read_stops_the_program
    head_of_an_endless_program_ends_it
    a_program_is_not_late_where_its_client_is
    a_client_may_go_while_its_program_starts
    a_stop_waits_for_a_start
    a_reload_leaves_a_start_alone
}

#[test]
fn prefork_kept_files_give_way() {
    kept_files_give_way("prefork");
}

#[test]
fn event_kept_files_give_way() {
    kept_files_give_way("event");
}

const SCRIPTS: &[(&str, &str)] = &[
    ("env", "printf 'Content-Type: text/plain\\n\\n'; env; cat"),
    ("say", "printf 'Content-Type: text/plain\\r\\n\\r\\n'; cat"),
    (
        "deaf",
        "printf 'Content-Type: a/b\\n\\n'; head -c 3000000 /dev/zero",
    ),
    ("local", "printf 'Location: /cgi-bin/say\\n\\n'"),
    ("mute", "echo 'a \\033 complaint' >&2; exit 1"),
    ("untyped", "printf 'X: y\\n\\nhello'"),
    ("kill", "printf 'Content-Type: a/b\\n\\nbegin'; kill -9 $$"),
    (
        "hang",
        "trap '' TERM\nsleep 1000 & echo $! > child\necho $$ > pid; while :; do sleep 1000; done",
    ),
    ("sleep", "echo $$ > pid; exec sleep 1000"),
    // Until it is let go, see `Site::let_go`: it costs nothing meanwhile.
    (
        "slow",
        "echo $$ > pid; read line < go; printf 'Content-Type: a/b\\n\\ndone'",
    ),
    (
        "flood",
        "echo $$ > pid; printf 'Content-Type: a/b\\n\\n'; exec cat /dev/zero",
    ),
    ("nph-x", "echo HTTP/1.1 200 OK"),
];

const PYTHON: &str = "#!/usr/bin/env python3
import os, sys
body = sys.stdin.buffer.read(int(os.environ.get('CONTENT_LENGTH') or 0))
sys.stdout.write('Status: 201 Made\\nContent-Type: text/plain\\nX-Len: %d\\n\\n' % len(body))
sys.stdout.write(os.environ['PATH_INFO'])
";

/// A server with these scripts.
struct Site {
    server: Server,
    address: SocketAddr,
    /// Where the scripts are, and what they write.
    scripts: PathBuf,
}

impl Site {
    fn new(model: &str, settings: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let scripts = directory.path().join("programs");
        let root = directory.path().join("root");
        std::fs::create_dir(&scripts).unwrap();
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("plain"), "plain\n").unwrap();
        let texts: Vec<String> = SCRIPTS.iter().map(|(_, text)| shell(text)).collect();
        let named = SCRIPTS.iter().map(|(name, _)| *name);
        let programs: Vec<_> = named.zip(texts.iter().map(String::as_str)).collect();
        install(&scripts, &programs);
        install(&root, &[("made.py", PYTHON)]);
        nix::unistd::mkfifo(&scripts.join("go"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let workers = if model == "prefork" { 3 } else { 1 };
        let pool = format!(
            r#"
            [pool.web]
            listen = "127.0.0.1:0"
            service = "http"
            model = "{model}"
            workers = {workers}
            [pool.web.http]
            root = "root"
            max_body = "4MiB"
            # Descriptors are counted.
            file_cache = 0
            [pool.web.http.cgi]
            grace = "300ms"
            {settings}
            [pool.web.http.path."/cgi-bin/"]
            alias = "programs"
            cgi = true
            [pool.web.http.path."*.py"]
            cgi = true
            "#
        );
        let server = Server::run_with(directory, "", &pool);
        Self {
            address: server.address("web"),
            server,
            scripts,
        }
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "", b"")
    }

    /// One request on a connection of its own.
    fn ask(&self, method: &str, target: &str, fields: &str, content: &[u8]) -> Answer {
        let mut client = self.begin(method, target, fields);
        client.send(content);
        Answer::read(&client.try_read_to_end().unwrap())
    }

    fn begin(&self, method: &str, target: &str, fields: &str) -> Client {
        let mut client = Client::connect(self.address);
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n"
        ));
        client
    }

    /// The number that a script wrote into this file.
    fn number(&self, file: &str) -> u32 {
        let path = self.scripts.join(file);
        eventually("a script has written its number", SOON, || {
            std::fs::read_to_string(&path).ok()?.trim().parse().ok()
        })
    }

    /// Waits until nobody accepts any more: then the worker has heard of the stop. Who
    /// comes now gets no answer, for which a client would wait in vain.
    fn wait_until_closed(&self) {
        eventually("no new client is taken", SOON, || {
            let taken = TcpStream::connect_timeout(&self.address, Duration::from_millis(200));
            taken.is_err().then_some(())
        });
    }

    /// Lets `count` of the slow ones go, as long as the answer is kept.
    fn let_go(&self, count: usize) -> File {
        // For reading as well, so that it waits for nobody who reads.
        let path = self.scripts.join("go");
        let mut gate = File::options().read(true).write(true).open(path).unwrap();
        // A line for each: none is missed by who comes late.
        gate.write_all(&vec![b'\n'; count]).unwrap();
        gate
    }

    fn assert_gone(&self, pid: u32) {
        eventually("the program is gone", SOON, || {
            (!process::is_alive(pid)).then_some(())
        });
    }

    /// Whatever is beneath the master, workers included.
    fn processes(&self) -> usize {
        process::descendants(self.server.pid()).len()
    }
}

/// A script of the shell.
fn shell(text: &str) -> String {
    format!("#!/bin/sh\n{text}\n")
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
    /// Its end was to be seen.
    whole: bool,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8_lossy(&bytes[..end + 2]).into_owned();
        let mut rest = &bytes[end + 4..];
        let (mut body, mut whole) = (Vec::new(), true);
        if head.contains("Transfer-Encoding: chunked") {
            whole = false;
            while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
                let size = std::str::from_utf8(&rest[..at]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                whole = size == 0;
                rest = &rest[at + 2..];
                let part = &rest[..size.min(rest.len())];
                body.extend_from_slice(part);
                rest = rest.get(size + 2..).unwrap_or_default();
            }
        } else {
            body.extend_from_slice(rest);
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head,
            body,
            whole,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn answers(model: &str) {
    let site = Site::new(model, "");
    let found = site.get("/cgi-bin/env/a/b?q");
    assert_eq!((found.status, found.whole), (200, true), "{}", found.head);
    let port = site.address.port();
    for line in [
        "GATEWAY_INTERFACE=CGI/1.1".to_owned(),
        "PATH_INFO=/a/b".to_owned(),
        "QUERY_STRING=q".to_owned(),
        "REMOTE_ADDR=127.0.0.1".to_owned(),
        format!("SERVER_PORT={port}"),
        format!(
            "PWD={}",
            std::fs::canonicalize(&site.scripts).unwrap().display()
        ),
    ] {
        assert!(found.text().lines().any(|one| one == line), "{line}");
    }
    let found = site.ask("POST", "/cgi-bin/say", "Content-Length: 5\r\n", b"hello");
    assert_eq!(found.text(), "hello");
    let chunked = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n";
    let mut client = site.begin("POST", "/cgi-bin/env", chunked);
    assert_eq!(client.answer_to_head().status, 100);
    client.send_slowly("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    let found = Answer::read(&client.read_to_end());
    assert!(found.text().contains("\nCONTENT_LENGTH=7\n") && found.text().ends_with("abcdefg"));
    let found = site.ask("PUT", "/made.py/x/", "Content-Length: 3\r\n", b"abc");
    assert_eq!((found.status, found.text()), (201, "/x/".to_owned()));
    assert!(found.head.starts_with("HTTP/1.1 201 Made\r\n") && found.head.contains("X-Len: 3\r\n"));
    let found = site.ask("POST", "/cgi-bin/local", "Content-Length: 3\r\n", b"abc");
    assert_eq!((found.status, found.text()), (200, String::new()));
    let found = site.ask("HEAD", "/cgi-bin/env", "", b"");
    assert_eq!((found.status, found.body.len()), (200, 0));
    // A connection goes on after a program, and a half-closed one to its end.
    let mut kept = Client::connect(site.address);
    kept.send("GET /cgi-bin/say HTTP/1.1\r\nHost: a\r\n\r\nGET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    kept.finish();
    let both = String::from_utf8(kept.read_to_end()).unwrap();
    assert!(both.contains("\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n") && both.ends_with("plain\n"));
    assert_eq!(site.get("/cgi-bin/none").status, 404);
    assert_eq!(site.get("/cgi-bin/pid").status, 404);
    assert_eq!(site.get("/cgi-bin/").status, 403);
    site.server.stop();
}

fn large_content_and_large_output(model: &str) {
    // Rule 127.
    let site = Site::new(model, "");
    let content = vec![b'x'; 4 << 20];
    let length = format!("Content-Length: {}\r\n", content.len());
    let found = site.ask("POST", "/cgi-bin/deaf", &length, &content);
    assert_eq!((found.whole, found.body.len()), (true, 3_000_000));
    let found = site.ask("POST", "/cgi-bin/say", &length, &content);
    assert!(found.body == content, "as it was sent");
    let more = format!("Content-Length: {}\r\n", content.len() + 1);
    assert_eq!(site.ask("POST", "/cgi-bin/say", &more, b"").status, 413);
    site.server.stop();
}

fn failures_are_told_and_logged(model: &str) {
    // Rule 126.
    let mut site = Site::new(model, "");
    site.server.expect("program");
    assert_eq!(site.get("/cgi-bin/mute").status, 500);
    let log = &site.server.log;
    log.wait_for("a \\u{1b} complaint", SOON);
    log.wait_for("exited 1", SOON);
    log.wait_for("rfc3875-6.2 no output", SOON);
    assert_eq!(site.get("/cgi-bin/untyped").status, 500);
    log.wait_for("rfc3875-6.3 no CGI field", SOON);
    let cut = site.get("/cgi-bin/kill");
    assert_eq!(
        (cut.status, cut.whole, cut.text()),
        (200, false, "begin".to_owned())
    );
    log.wait_for("killed by SIGKILL", SOON);
    assert_eq!(site.get("/cgi-bin/nph-x").status, 501);
    log.wait_for("nph scripts are not supported", SOON);
    assert_eq!(site.get("/plain").status, 200);
    site.server.stop();
}

fn who_hangs_is_ended_with_all_it_started(model: &str) {
    // Rule 126.
    let mut site = Site::new(model, "silence_timeout = \"300ms\"");
    site.server.expect("no answer in time");
    // On a busy machine it may be ended before it has written what it is.
    eventually("one that has begun is ended", SOON, || {
        let found = site.get("/cgi-bin/hang");
        assert_eq!(found.status, 504);
        site.scripts.join("pid").exists().then_some(())
    });
    site.server.log.wait_for("no answer in time", SOON);
    for file in ["pid", "child"] {
        site.assert_gone(site.number(file));
    }
    assert_eq!(site.get("/plain").status, 200);
    site.server.stop();
}

fn a_client_that_vanishes_takes_the_program_along(model: &str) {
    // Rule 128.
    let site = Site::new(model, "");
    let client = site.begin("GET", "/cgi-bin/sleep", "");
    let pid = site.number("pid");
    client.reset();
    site.assert_gone(pid);
    // One that does not listen is waited for, and that costs nothing.
    let client = site.begin("GET", "/cgi-bin/hang", "");
    let child = site.number("child");
    std::fs::remove_file(site.scripts.join("pid")).unwrap();
    let parent: u32 = eventually("it runs", SOON, || {
        let shell: u32 = process::status(child, "PPid").parse().ok()?;
        process::status(shell, "PPid").parse().ok()
    });
    let before = process::processor_time(parent);
    client.reset();
    site.assert_gone(child);
    let spent = process::processor_time(parent).saturating_sub(before);
    assert!(spent < Duration::from_millis(150), "{spent:?}");
    let _ = std::fs::remove_file(site.scripts.join("pid"));
    // One that closes in an orderly way is missed with the next octets.
    let client = site.begin("GET", "/cgi-bin/flood", "");
    let pid = site.number("pid");
    drop(client);
    site.assert_gone(pid);
    assert_eq!(site.get("/plain").status, 200);
    site.server.stop();
}

fn a_killed_worker_leaves_no_program(model: &str) {
    let mut site = Site::new(model, "");
    for pattern in ["killed by SIGKILL", "died young"] {
        site.server.expect(pattern);
    }
    let _client = site.begin("GET", "/cgi-bin/sleep", "");
    let pid = site.number("pid");
    let parent: u32 = process::status(pid, "PPid").parse().unwrap();
    process::signal(parent, Signal::SIGKILL);
    site.assert_gone(pid);
    if model != "fork" {
        site.server.log.wait_for("killed by SIGKILL", SOON);
    }
    eventually("somebody serves again", SOON, || {
        harness::client::try_get(site.address, "/plain").ok()
    });
    site.server.stop();
}

fn a_stop_waits_for_a_program(model: &str) {
    let mut site = Site::new(model, "");
    let mut client = site.begin("GET", "/cgi-bin/slow", "");
    site.number("pid");
    site.server.signal(Signal::SIGTERM);
    site.server.log.wait_for("stopping: ", SOON);
    site.wait_until_closed();
    let _gate = site.let_go(1);
    let found = Answer::read(&client.read_to_end());
    assert_eq!((found.status, found.text()), (200, "done".to_owned()));
    site.server.assert_good_end();
}

fn nothing_is_left_after_many(model: &str) {
    let site = Site::new(model, "");
    site.get("/cgi-bin/say");
    let settled = || {
        let workers = site.server.workers();
        eventually("only workers are left", SOON, || {
            (site.processes() == workers.len()).then_some(())
        });
        let open = workers.iter().map(|&pid| process::descriptors(pid).len());
        open.sum::<usize>()
    };
    let before = settled();
    for _ in 0..200 {
        assert_eq!(site.get("/cgi-bin/say").status, 200);
    }
    eventually("descriptors are as before", SOON, || {
        (settled() == before).then_some(())
    });
    for worker in site.server.workers() {
        assert_eq!(process::zombies(worker), [0; 0]);
    }
    site.server.stop();
}

fn head_of_an_endless_program_ends_it(model: &str) {
    let mut site = Site::new(model, "");
    site.server.expect("more than is sent");
    let mut client = site.begin("HEAD", "/cgi-bin/flood", "");
    let pid = site.number("pid");
    assert_eq!(client.answer_to_head().status, 200);
    site.assert_gone(pid);
    site.server.stop();
}

fn a_client_that_does_not_read_stops_the_program(model: &str) {
    let site = Site::new(model, "");
    let client = site.begin("GET", "/cgi-bin/flood", "");
    let pid = site.number("pid");
    let worker: u32 = process::status(pid, "PPid").parse().unwrap();
    let written = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
        line.and_then(|count| count.parse::<u64>().ok())
    };
    // It stands still when the sockets of both sides and the pipe are full.
    let mut last = (written(), Instant::now());
    eventually("the program waits for its client", 3 * SOON, || {
        let now = written();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(500)).then_some(())
    });
    assert!(process::private_memory(worker) < 8 << 10, "in KiB");
    drop(client);
    site.assert_gone(pid);
    site.server.stop();
}

#[test]
fn too_many_programs_are_refused_for_a_moment() {
    let mut site = Site::new("event", "max_children = 1");
    site.server.expect("max_children");
    let mut client = site.begin("GET", "/cgi-bin/slow", "");
    site.number("pid");
    let found = site.get("/cgi-bin/say");
    assert_eq!(found.status, 503);
    assert!(found.head.contains("Retry-After: "));
    assert_eq!(site.get("/plain").status, 200);
    let gate = site.let_go(1);
    assert_eq!(Answer::read(&client.read_to_end()).text(), "done");
    drop(gate);
    // A connection that only waits for its next request has no place.
    let mut kept = Client::connect(site.address);
    kept.send("GET /cgi-bin/say HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(kept.answer_to_head().status, 200);
    assert_eq!(kept.read(5), b"0\r\n\r\n");
    assert_eq!(site.get("/cgi-bin/say").status, 200);
    // One after the other: the first has left when the second comes.
    assert_eq!(site.get("/cgi-bin/local").status, 200);
    drop(kept);
    site.server.stop();
}

#[test]
fn plain_files_do_not_wait_for_fifty_programs() {
    let patience = "timeout = \"10m\"\nsilence_timeout = \"10m\"";
    let site = Site::new("event", &format!("max_children = 64\n{patience}"));
    let median = || {
        let mut times: Vec<Duration> = (0..50)
            .map(|_| {
                let begin = Instant::now();
                assert_eq!(site.get("/plain").status, 200);
                begin.elapsed()
            })
            .collect();
        times.sort();
        times[25]
    };
    let quiet = median();
    let mut clients: Vec<Client> = (0..50)
        .map(|_| site.begin("GET", "/cgi-bin/slow", ""))
        .collect();
    eventually("fifty programs run", SOON, || {
        (site.processes() > 50).then_some(())
    });
    let busy = median();
    // Whoever waited for one of them would wait for ever; what is left is what a
    // busy machine does to both figures.
    assert!(
        busy < 10 * quiet + Duration::from_millis(20),
        "{busy:?}, and {quiet:?} before"
    );
    let _gate = site.let_go(clients.len());
    for client in &mut clients {
        assert_eq!(Answer::read(&client.read_to_end()).text(), "done");
    }
    site.server.stop();
}

#[test]
fn limits_hold() {
    let site = Site::new(
        "prefork",
        "memory = \"64MiB\"\nprocessor_time = \"1s\"\nnice = 5",
    );
    let script = shell("printf 'Content-Type: a/b\\n\\n'; ulimit -v; ulimit -t; nice");
    install(&site.scripts, &[("limits", &script)]);
    let found = site.get("/cgi-bin/limits").text();
    let mut lines = found.lines();
    assert_eq!(lines.next(), Some("65536"));
    assert_eq!(lines.next(), Some("1"));
    let nice = process::nicer_by(5).to_string();
    assert_eq!(lines.next(), Some(nice.as_str()));
    site.server.stop();
}

/// Not a nice one: on a busy machine its second would be a minute.
#[test]
fn a_program_that_burns_its_time_is_ended() {
    let mut site = Site::new("prefork", "processor_time = \"1s\"");
    site.server.expect("program");
    install(&site.scripts, &[("burn", &shell("while :; do :; done"))]);
    let mut client = site.begin("GET", "/cgi-bin/burn", "");
    let patience = Some(3 * SOON);
    client.stream.set_read_timeout(patience).unwrap();
    assert_eq!(Answer::read(&client.read_to_end()).status, 500);
    site.server.log.wait_for("killed by SIGXCPU", SOON);
    site.server.stop();
}

fn a_program_is_not_late_where_its_client_is(model: &str) {
    let mut site = Site::new(model, "timeout = \"1s\"\nsilence_timeout = \"1s\"");
    site.server.expect("no answer in time");
    // If the client's time counted it would never be whole; on a busy machine a
    // second may be too little for the program's own.
    let time = eventually("an answer that is whole", 3 * SOON, || {
        let (time, answer) = read_slowly(&site);
        let whole = answer.whole && (answer.status, answer.body.len()) == (200, 3_000_000);
        whole.then_some(time)
    });
    assert!(time >= Duration::from_secs(3), "it was in time");
    site.server.stop();
}

/// How long that takes, and what came.
fn read_slowly(site: &Site) -> (Duration, Answer) {
    let mut client = site.begin("GET", "/cgi-bin/deaf", "");
    // Three megabytes in some three seconds: always some, and never all.
    client
        .stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let begun = Instant::now();
    let (mut received, mut room) = (Vec::new(), vec![0; 50_000]);
    loop {
        let count = uninterrupted(|| client.stream.read(&mut room)).unwrap();
        received.extend_from_slice(&room[..count]);
        if count == 0 {
            break;
        }
        if begun.elapsed() < Duration::from_secs(3) {
            harness::let_time_pass(Duration::from_millis(50));
        }
    }
    (begun.elapsed(), Answer::read(&received))
}

/// A request whose program is on its way, and cannot come to run yet: it has a
/// shell of its own, on which somebody has a lease. (The program's own file is
/// opened before, to see what it is.)
fn begin_to_start(site: &Site, name: &str) -> (Client, Lease) {
    let shell = site.server.directory.path().join("shell");
    std::fs::copy("/bin/sh", &shell).unwrap();
    let script = site.scripts.join(name);
    let text = std::fs::read_to_string(&script).unwrap();
    let text = text.replace("/bin/sh", shell.to_str().unwrap());
    std::fs::write(&script, text).unwrap();
    let mut lease = Lease::of(&shell);
    let client = site.begin("GET", &format!("/cgi-bin/{name}"), "");
    lease.wait_until_wanted();
    (client, lease)
}

fn a_client_may_go_while_its_program_starts(model: &str) {
    let site = Site::new(model, "");
    let (client, lease) = begin_to_start(&site, "sleep");
    client.reset();
    drop(lease);
    eventually("only workers are left", SOON, || {
        (site.processes() == site.server.workers().len()).then_some(())
    });
    assert_eq!(site.get("/cgi-bin/say").status, 200);
    site.server.stop();
}

fn a_stop_waits_for_a_start(model: &str) {
    let mut site = Site::new(model, "");
    let (mut client, lease) = begin_to_start(&site, "env");
    site.server.signal(Signal::SIGTERM);
    site.server.log.wait_for("stopping: ", SOON);
    site.wait_until_closed();
    drop(lease);
    let found = Answer::read(&client.read_to_end());
    assert_eq!((found.status, found.whole), (200, true));
    site.server.assert_good_end();
}

fn a_reload_leaves_a_start_alone(model: &str) {
    let mut site = Site::new(model, "");
    let (mut client, lease) = begin_to_start(&site, "env");
    site.server.reload(2);
    assert_eq!(site.get("/cgi-bin/say").status, 200);
    drop(lease);
    let found = Answer::read(&client.read_to_end());
    assert_eq!((found.status, found.whole), (200, true));
    site.server.stop();
}

#[test]
fn nobody_else_waits_for_a_start() {
    let site = Site::new("event", "");
    let (mut client, lease) = begin_to_start(&site, "env");
    let mut other = site.begin("POST", "/cgi-bin/say", "Content-Length: 5\r\n");
    assert_eq!(site.get("/plain").status, 200);
    assert_eq!(site.get("/cgi-bin/say").status, 200);
    other.send("hello");
    assert_eq!(Answer::read(&other.read_to_end()).text(), "hello");
    drop(lease);
    let found = Answer::read(&client.read_to_end());
    assert_eq!((found.status, found.whole), (200, true));
    assert!(found.text().contains("\nSCRIPT_NAME=/cgi-bin/env\n"));
    site.server.stop();
}

#[test]
fn a_start_that_takes_too_long_is_given_up() {
    // Long enough for a start to begin, on whatever machine.
    let settings = "silence_timeout = \"3s\"\nmax_children = 1";
    let mut site = Site::new("event", settings);
    site.server.expect("in time");
    site.server.expect("max_children");
    let (mut client, lease) = begin_to_start(&site, "sleep");
    assert_eq!(Answer::read(&client.read_to_end()).status, 504);
    site.server
        .log
        .wait_for("program sleep: cannot be run: start: not in time", SOON);
    // Its place is taken until it is known what became of it.
    assert_eq!(site.get("/cgi-bin/say").status, 503);
    drop(lease);
    eventually("there is a place", SOON, || {
        (site.get("/cgi-bin/say").status == 200).then_some(())
    });
    eventually("only the worker is left", SOON, || {
        (site.processes() == 1).then_some(())
    });
    site.server.stop();
}

/// Kept files give way to whatever else needs a descriptor.
fn kept_files_give_way(model: &str) {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    for number in 0..16 {
        std::fs::write(root.join(format!("{number}.txt")), "plain\n").unwrap();
    }
    let say = shell("printf 'Content-Type: a/b\\n\\nsaid'");
    install(&root, &[("say.cgi", &say)]);
    let pool = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 1\n[pool.web.http]\nroot = \"root\"\nlisting = true\npath.\"*.cgi\".cgi = true\n"
    );
    let mut server = Server::run_with(directory, "", &pool);
    server.expect("Too many open files");
    let worker = server.workers()[0];
    let connect = || Client::connect(server.address("web"));
    let mut limited = false;
    for target in ["/say.cgi", "/"] {
        let mut client = connect();
        for number in 0..16 {
            client.send(format!("GET /{number}.txt HTTP/1.1\r\nHost: test\r\n\r\n"));
            assert_eq!(client.answer().status, 200);
        }
        if !limited {
            limited = true;
            let taken = PathBuf::from(format!("/proc/{worker}/fd"));
            let mut free =
                (0..).filter(|number: &u32| !taken.join(number.to_string()).is_symlink());
            // Room for two more.
            let limit = free.nth(2).unwrap();
            let status = std::process::Command::new("prlimit")
                .args(["--pid", &worker.to_string()])
                .arg(format!("--nofile={limit}:{limit}"))
                .status();
            assert!(status.expect("prlimit(1) of util-linux").success());
        }
        drop(client);
        let mut client = connect();
        client.send(format!("GET {target} HTTP/1.0\r\nHost: test\r\n\r\n"));
        assert_eq!(client.answer_to_head().status, 200, "{target}");
        client.drain();
    }
    server.stop();
}
