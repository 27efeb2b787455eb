//! `preforkd probe`: every rule that can be seen from outside, against ourselves
//! on each model and in all three ways that octets arrive; against servers that
//! break rules; and, where they are installed, against nginx and Apache, whose
//! differences are listed.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;
#[path = "peers/servers.rs"]
#[allow(dead_code, reason = "of the users there are none here")]
mod servers;

use harness::server::outcome;
use harness::terminal::Terminal;
use harness::{SOON, Server, install, on_each_model, own, preforkd};
use serde_json::Value;
use servers::Peer;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Rules that cannot be seen from outside, or about a protocol of their own.
const UNSEEN: [u64; 16] = [
    92, 101, 111, 116, 123, 124, 125, 126, 127, 128, 134, 135, 136, 137, 138, 139,
];
/// Rules about deadlines.
const SLOW: [u64; 4] = [69, 70, 114, 115];

/// Runs the probe to its end.
fn probe(arguments: &[&str]) -> Output {
    let mut command = preforkd();
    command.arg("probe").args(arguments);
    outcome(command)
}

/// What it finds: for each row the verdict, and what is said of it.
struct Findings {
    status: Option<i32>,
    rows: BTreeMap<u64, (String, String)>,
    whole: Value,
}

fn findings(address: SocketAddr, arguments: &[&str]) -> Findings {
    let address = address.to_string();
    let output = probe(&[&["--json", &address], arguments].concat());
    let whole: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let rows = whole["rows"].as_array().unwrap().iter().map(|row| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (
            row["row"].as_u64().unwrap(),
            (text("verdict"), text("remark")),
        )
    });
    Findings {
        status: output.status.code(),
        rows: rows.collect(),
        whole,
    }
}

impl Findings {
    fn with(&self, verdict: &str) -> BTreeSet<u64> {
        let same =
            |(row, (found, _)): (&u64, &(String, String))| (found == verdict).then_some(*row);
        self.rows.iter().filter_map(same).collect()
    }

    /// Nothing is wrong, and these alone were left out.
    fn assert_right(&self, skipped: &[u64]) {
        let wrong = ["fail", "differs", "error"].map(|verdict| self.with(verdict));
        if wrong.iter().any(|rows| !rows.is_empty()) {
            let is_wrong = |row: &&Value| !row["faults"].as_array().unwrap().is_empty();
            let rows = self.whole["rows"].as_array().unwrap();
            let rows: Vec<&Value> = rows.iter().filter(is_wrong).collect();
            panic!("{wrong:?}\n{rows:#?}");
        }
        assert_eq!(self.with("skipped"), skipped.iter().copied().collect());
        assert_eq!(self.status, Some(0));
    }
}

/// A tree with all that rows ask for.
fn build(root: &Path) {
    let text: String = (0..400).map(|number| format!("line {number}\n")).collect();
    fs::create_dir_all(root.join("directory")).unwrap();
    fs::create_dir_all(root.join("programs")).unwrap();
    fs::write(root.join("index.html"), "<p>index</p>\n").unwrap();
    fs::write(root.join("directory/index.html"), "<p>in it</p>\n").unwrap();
    fs::write(root.join("file.txt"), &text).unwrap();
    let coded = File::create(root.join("file.txt.gz")).unwrap();
    let mut coded = flate2::write::GzEncoder::new(coded, flate2::Compression::best());
    coded.write_all(text.as_bytes()).unwrap();
    coded.finish().unwrap();
    for name in ["file.txt", "file.txt.gz", "index.html"] {
        let file = File::options().write(true).open(root.join(name)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        file.set_modified(time).unwrap();
    }
    let program = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; env; cat\n";
    install(&root.join("programs"), &[("env", program)]);
}

/// A server on this model, with more keys for http.
fn serve(model: &str, keys: &str, http: &str) -> Server {
    let directory = TempDir::new().unwrap();
    build(&directory.path().join("www"));
    let giant = File::create(directory.path().join("www/giant")).unwrap();
    giant.set_len(17 << 20).unwrap();
    let mut server = Server::run_with(
        directory,
        "",
        &format!(
            "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\nworkers = 6\n{keys}\n\
             [pool.web.http]\nroot = \"www\"\nmax_body = \"100KiB\"\naccess_log = \"off\"\n{http}\n\
             [pool.web.http.path.\"/programs/\"]\ncgi = true\n"
        ),
    );
    server.expect("more complaints about requests were not written");
    server
}

const TARGETS: [&str; 6] = [
    "--path",
    "/file.txt",
    "--program",
    "/programs/env",
    "--directory",
    "/directory",
];

/// Each rule, in each way that octets arrive.
fn every_rule_is_kept(model: &str) {
    let server = serve(model, "", "");
    let skipped = [&UNSEEN[..], &SLOW].concat();
    let every_rule = |split: &str| {
        let arguments = ["--split", split, "--host", "example.org"];
        let found = findings(server.address("web"), &[&TARGETS[..], &arguments].concat());
        assert!(found.rows.len() > 130, "{}", found.rows.len());
        found.assert_right(&skipped);
        assert_eq!(found.whole["counts"]["skipped"], skipped.len());
    };
    std::thread::scope(|scope| {
        for split in ["whole", "two", "bytes"] {
            scope.spawn(move || every_rule(split));
        }
    });
    server.stop();
}

/// With deadlines that are soon over.
fn deadlines_are_kept(model: &str) {
    let server = serve(
        model,
        "write_timeout = \"600ms\"",
        "header_timeout = \"600ms\"",
    );
    let arguments = ["--slow", "--row", "69,70,114,115", "--path", "/giant"];
    findings(server.address("web"), &arguments).assert_right(&[]);
    server.stop();
}

/// What is wanted of a listener that expects the PROXY protocol, and all else
/// behind a header.
fn headers_of_proxies_are_read_or_dropped(model: &str) {
    let directory = TempDir::new().unwrap();
    build(&directory.path().join("www"));
    let pools = format!(
        "[pool.web]\nlisten = {{ address = \"127.0.0.1:0\", proxy_protocol = true, proxy_from = [\"127.0.0.0/8\"] }}\n\
         service = \"http\"\nmodel = \"{model}\"\nworkers = 2\n\
         [pool.web.http]\nroot = \"www\"\naccess_log = \"off\"\n"
    );
    let server = Server::run_with(directory, "", &pools);
    let address = server.address("web");
    let rows = [
        "--row",
        "1,38,62,72,93,134,135,136,137,138,139",
        "--path",
        "/file.txt",
    ];
    let split = ["--split", "whole,two,bytes"];
    let proxied = ["--proxy-protocol"];
    findings(address, &[&rows[..], &split, &proxied].concat()).assert_right(&[]);
    // Without it nobody is answered: neither a rule is kept nor a file found.
    let found = findings(address, &["--row", "1,62,134"]);
    assert_eq!(found.with("skipped"), [134].into());
    assert_eq!(found.with("pass"), [].into(), "{:?}", found.rows);
    server.stop();
}

/// The small services, each with its rules.
fn small_services_keep_theirs(model: &str) {
    for (service, argument, skipped) in [
        ("echo", None, &[130, 131][..]),
        ("discard", None, &[]),
        ("daytime", None, &[]),
        ("time", None, &[]),
        ("chargen", None, &[]),
        ("message", Some("Message received."), &[]),
    ] {
        let arguments = [Some(service), argument, Some("--model"), Some(model)];
        let arguments: Vec<&str> = arguments.into_iter().flatten().collect();
        let server = Server::serve(&arguments);
        let arguments = ["--service", service, "--split", "whole,two,bytes"];
        let found = findings(server.address(service), &arguments);
        found.assert_right(skipped);
        assert_eq!(found.with("pass").len(), 1, "{service}");
        server.stop();
    }
}

on_each_model! {
    every_rule_is_kept deadlines_are_kept small_services_keep_theirs
    headers_of_proxies_are_read_or_dropped
}

/// The small services over UDP, each with its rules; side by side, for silence is
/// waited for.
fn datagrams_keep_theirs(model: &str) {
    std::thread::scope(|scope| {
        for (service, argument, passed) in [
            ("echo", None, 2),
            ("discard", None, 1),
            ("daytime", None, 1),
            ("time", None, 1),
            ("chargen", None, 1),
            ("message", Some("Message received."), 1),
        ] {
            scope.spawn(move || a_service_keeps_its_rules(model, service, argument, passed));
        }
    });
}

fn a_service_keeps_its_rules(model: &str, service: &str, argument: Option<&str>, passed: usize) {
    let arguments = [Some(service), argument, Some("--model"), Some(model)];
    let mut arguments: Vec<&str> = arguments.into_iter().flatten().collect();
    arguments.extend(["--listen", "udp:0.0.0.0:0"]);
    let mut server = Server::serve(&arguments);
    // Row 131; the line is of src/driver/datagram.rs and what is below it.
    server.expect("datagrams without an answer");
    let place = server.addresses_of(service)[0].clone();
    let port = place.rsplit(':').next().unwrap().to_owned();
    // A low port can be had once.
    let source = own::ip().to_string();
    // Any of our addresses may be asked, and answers.
    for asked in ["127.0.0.1", "127.0.0.2"] {
        let address: SocketAddr = format!("{asked}:{port}").parse().unwrap();
        let arguments = ["--service", service, "-u", "-s", &source, "--idle", "1s"];
        let found = findings(address, &arguments);
        // Without the right to send from a low port that is left out.
        let skipped: &[u64] = match found.with("skipped").contains(&131) {
            true => &[131],
            false => &[],
        };
        found.assert_right(skipped);
        let right = found.with("pass").len() + skipped.len();
        assert_eq!(right, passed, "{service}");
    }
    server.stop();
}

#[test]
fn prefork_datagrams() {
    datagrams_keep_theirs("prefork");
}

#[test]
fn event_datagrams() {
    datagrams_keep_theirs("event");
}

/// One that answers twice, from elsewhere, or everybody, is found out; nobody
/// there is told by the status.
#[test]
fn who_answers_datagrams_otherwise_is_found_out() {
    let echo = |copies: usize| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut room = vec![0; 65_536];
            while let Ok((count, from)) = socket.recv_from(&mut room) {
                for _ in 0..copies {
                    let _ = socket.send_to(&room[..count], from);
                }
            }
        });
        address
    };
    let source = own::ip().to_string();
    let arguments = [
        "--service",
        "echo",
        "--udp",
        "--source",
        &source,
        "--idle",
        "300ms",
    ];
    let found = findings(echo(2), &[&arguments[..], &["--row", "130"]].concat());
    assert_eq!((found.status, found.with("fail")), (Some(76), [130].into()));
    assert!(found.rows[&130].1.contains("2 replies"), "{:?}", found.rows);
    let found = findings(echo(1), &arguments);
    assert!(found.with("pass").contains(&130));
    assert!(!found.with("pass").contains(&131), "{:?}", found.rows);
    let found = findings(echo(1), &["--service", "discard", "-u", "-i", "300ms"]);
    assert_eq!(found.with("fail"), [132].into());
    let output = probe(&["--service", "echo", "--udp", &own::address().to_string()]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(probe(&["--udp", "127.0.0.1:7"]).status.code(), Some(64));
    assert_eq!(
        probe(&["-u", "--service", "echo", "unix:/x"]).status.code(),
        Some(64)
    );
}

/// A server that does `answer` with each connection, one after another.
fn other(answer: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream);
        }
    });
    address
}

/// Whatever it is told, all is well, and it stays.
fn says_yes(mut stream: TcpStream) {
    let mut room = [0; 64 * 1024];
    stream.set_read_timeout(Some(SOON)).unwrap();
    while stream.read(&mut room).is_ok_and(|count| count > 0) {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

#[test]
fn who_breaks_rules_is_found_out() {
    let address = other(says_yes);
    let found = findings(address, &["--idle", "300ms", "--row", "5,32,33,38,62"]);
    assert_eq!(found.status, Some(76));
    let failed = found.with("fail");
    // Among them smuggling, and fewer answers than requests.
    assert_eq!(failed, [5, 32, 33, 38, 62].into());
    assert!(found.rows[&32].1.contains("200"), "{:?}", found.rows[&32]);
    // A SHOULD alone is no reason.
    let found = findings(address, &["--idle", "300ms", "--row", "14,15"]);
    assert_eq!(found.with("fail").len(), 2);
    assert_eq!(found.status, Some(0));
    assert_eq!(found.whole["counts"]["fail_must"], 0);
    // Nor is what is another's choice.
    let found = findings(address, &["--idle", "300ms", "--row", "28"]);
    assert_eq!(found.with("differs"), [28].into());
    assert_eq!(found.status, Some(0));
}

/// A server that reads no header, or takes any, is told from one that wants one.
#[test]
fn who_takes_a_header_that_is_none_is_found_out() {
    let found = findings(
        other(says_yes),
        &[
            "--idle",
            "300ms",
            "--proxy-protocol",
            "--row",
            "135,137,138",
        ],
    );
    assert_eq!(found.with("fail"), [135, 137, 138].into());
    assert_eq!(found.status, Some(76));
}

/// Whose answer is none is not waited for: nothing that still comes is right.
#[test]
fn who_answers_nonsense_is_found_out_at_once() {
    let address = other(|mut stream| {
        let mut room = [0; 4096];
        let _ = stream.read(&mut room);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nno field\r\n\r\n");
        // It stays, and says nothing more.
        while stream.read(&mut room).is_ok_and(|count| count > 0) {}
    });
    let begun = std::time::Instant::now();
    let found = findings(address, &["--idle", "60s", "--row", "1,5,14,77"]);
    assert_eq!(found.with("pass").len(), 0, "{:?}", found.rows);
    assert_eq!(found.rows.len(), 4);
    assert!(begun.elapsed() < Duration::from_secs(50));
}

#[test]
fn an_echo_that_loses_octets_is_found_out() {
    let forgets = |mut stream: TcpStream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let _ = stream.write_all(&all[..all.len().saturating_sub(1)]);
    };
    let found = findings(other(forgets), &["--service", "echo"]);
    assert_eq!((found.status, found.with("fail")), (Some(76), [129].into()));
    let (_, remark) = &found.rows[&129];
    assert!(
        remark.contains("7 octets for 8, the first 7 right"),
        "{remark}"
    );
}

#[test]
fn who_is_not_there_is_told_by_the_status() {
    let address = own::address().to_string();
    for service in ["http", "echo"] {
        let output = probe(&["--service", service, &address]);
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            text,
            format!("preforkd: connect {address}: Connection refused\n")
        );
    }
    for wrong in [
        &[][..],
        &["--row", "500", "127.0.0.1:1"],
        &["--row", "1", "--service", "echo", "127.0.0.1:1"],
        &["--path", "x", "127.0.0.1:1"],
        &["127.0.0.1"],
    ] {
        assert_eq!(probe(wrong).status.code(), Some(64), "{wrong:?}");
    }
}

/// A server that vanishes while it is probed is told from one that is wrong.
#[test]
fn who_vanishes_is_an_error() {
    let listener = TcpListener::bind((own::ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // One to see whether it is there, and the questions before all rules.
    let last = std::thread::spawn(move || {
        for _ in 0..6 {
            says_yes(listener.accept().unwrap().0);
        }
        let (stream, _) = listener.accept().unwrap();
        // Before the last one is let go: the next would wait in the queue. A program
        // that another test starts may have a copy of it, so closing is not enough.
        let whole = socket2::SockRef::from(&listener);
        whole.shutdown(std::net::Shutdown::Both).unwrap();
        says_yes(stream);
    });
    let found = findings(address, &["--idle", "2s", "--row", "3,14"]);
    last.join().unwrap();
    assert_eq!(found.with("error"), [3, 14].into());
    assert_eq!(found.status, Some(7));
    assert!(
        found.rows[&3].1.contains("Connection refused"),
        "{:?}",
        found.rows
    );
}

#[test]
fn colours_are_for_terminals() {
    let server = Server::serve(&["echo"]);
    let address = server.address("echo").to_string();
    let shown = |variable: &str| {
        let mut command = Command::new("env");
        command.arg(variable).arg(harness::server::program());
        command.args(["probe", "--service", "echo", &address]);
        let mut terminal = Terminal::start(&command, 100, 40);
        assert!(terminal.wait().success());
        terminal.wait_for("1 pass, 0 fail");
        String::from_utf8(terminal.written()).unwrap()
    };
    assert!(shown("X=1").contains("\x1b[32mpass   \x1b[0m"));
    assert!(!shown("NO_COLOR=1").contains('\x1b'));
    assert!(!shown("TERM=dumb").contains('\x1b'));
    server.stop();
}

#[test]
fn a_table_that_cannot_be_written_is_a_failure() {
    let server = Server::serve(&["echo"]);
    for arguments in [&["--service", "echo"][..], &["--service", "echo", "--json"]] {
        let mut command = preforkd();
        command.arg("probe").args(arguments);
        command.arg(server.address("echo").to_string());
        let full = File::options().write(true).open("/dev/full").unwrap();
        command.stdout(full).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(71), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.starts_with("preforkd: standard output: No space"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    server.stop();
}

#[test]
fn a_table_is_for_people_and_harmless() {
    // What it says would clear a screen.
    let nasty = |mut stream: TcpStream| {
        let mut room = [0; 4096];
        let _ = stream.read(&mut room);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: \x1b[2J\r\nDate: \x1b[2J\r\n\r\n\x1b[2J");
    };
    let address = other(nasty).to_string();
    let output = probe(&["--verbose", "--row", "77,5", &address]);
    assert_eq!(output.status.code(), Some(76));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], " ROW VERDICT LEVEL  SOURCE          RULE");
    assert!(
        lines[1].starts_with("   5 fail    must   RFC 9112 §5.1   white space before the colon: ")
    );
    assert!(text.contains("Date: \\u{1b}[2J"), "{text}");
    assert!(text.contains("     sent \"GET / HTTP/1.1\\r\\n"), "{text}");
    assert!(
        text.contains("      got \"HTTP/1.1 200 OK\\r\\nX: \\x1b[2J"),
        "{text}"
    );
    let last = lines.last().unwrap();
    assert_eq!(
        *last,
        "0 pass, 2 fail (2 must), 0 differs, 0 skipped, 0 error"
    );

    let output = probe(&["--list"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\n  38 must   RFC 9112 §6.1 "), "{text}");
    assert!(text.contains("\n 130 must   RFC 862 "), "{text}");
    assert!(text.lines().count() > 139);
    let output = probe(&["--list", "--json", "--service", "echo"]);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list["rows"].as_array().unwrap().len(), 3);
}

/// What another server does otherwise: rows with their verdict.
fn compare(peer: &Peer, known: &[(u64, &str, &str)]) -> Vec<String> {
    let arguments = [
        "--path",
        "/file.txt",
        "--directory",
        "/directory",
        "--idle",
        "2s",
    ];
    let found = findings(peer.address, &arguments);
    let mut wrong = Vec::new();
    for (row, (verdict, remark)) in &found.rows {
        let expected = known.iter().find(|(known, ..)| known == row);
        let expected = expected.map_or("pass", |(_, verdict, _)| verdict);
        if verdict != expected && verdict != "skipped" {
            wrong.push(format!("{row}: {verdict}, not {expected}: {remark}"));
        }
    }
    wrong
}

/// nginx of Debian 12, with what it does.
const NGINX: &[(u64, &str, &str)] = &[
    (7, "fail", "ignores a line that is no field"),
    (9, "differs", "takes control characters in values"),
    (11, "fail", "ignores a field whose name is no token"),
    (12, "fail", "looks for `close` anywhere in Connection"),
    (14, "fail", "400 for small letters"),
    (15, "fail", "405, as for methods that it knows"),
    (17, "differs", "takes several blanks for one"),
    (19, "differs", "takes #f and raw octets"),
    (22, "differs", "400 for the preface of HTTP/2"),
    (24, "differs", "takes HTTP/1.10 and the like"),
    (25, "differs", "answers HTTP/0.9"),
    (29, "differs", "400 for OPTIONS *"),
    (34, "fail", "takes a Host that is no host"),
    (54, "differs", "takes bare LF between chunks"),
    (55, "differs", "reads extensions without end"),
    (57, "differs", "answers GET before its content has come"),
    (73, "fail", "206 for HEAD"),
    (74, "fail", "405 without Allow"),
    (75, "fail", "405 for OPTIONS"),
    (81, "fail", "400 for If-None-Match on two lines"),
    (84, "fail", "If-Modified-Since counts beside If-None-Match"),
    (87, "fail", "If-Unmodified-Since counts beside If-Match"),
    (88, "fail", "a date that is none is before every file"),
    (107, "differs", "no Vary unless it is told to (gzip_vary)"),
    (112, "differs", "400 for a head that is too long"),
];

/// Apache of Debian 12.
const APACHE: &[(u64, &str, &str)] = &[
    (12, "fail", "takes other octets around `close` for blanks"),
    (19, "differs", "404 for raw octets"),
    (22, "differs", "answers HTTP/2.0 as 1.1"),
    (25, "differs", "answers HTTP/0.9"),
    (40, "fail", "takes an unknown coding before chunked"),
    (42, "fail", "takes chunked twice"),
    (44, "fail", "stays after Transfer-Encoding in HTTP/1.0"),
    (55, "differs", "reads extensions without end"),
    (60, "differs", "417 for HTTP/1.0"),
    (73, "fail", "206 for HEAD"),
    (84, "fail", "If-Modified-Since counts beside If-None-Match"),
    (87, "fail", "If-Unmodified-Since counts beside If-Match"),
    (95, "fail", "no Content-Range with 416"),
    (109, "differs", "404 for %00"),
    (112, "differs", "400 for a head that is too long"),
];

#[test]
#[ignore = "peers: needs nginx, apache2"]
fn nginx_and_apache_differ_where_they_may() {
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let root = directory.path().join("www");
    build(&root);
    let peer = Peer::nginx(&root, &directory.path().join("nginx"));
    assert_eq!(compare(&peer, NGINX), [""; 0], "nginx");
    let peer = Peer::apache(&root, &directory.path().join("apache"));
    assert_eq!(compare(&peer, APACHE), [""; 0], "Apache");
}
