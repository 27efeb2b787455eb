//! The PROXY protocol in front of the real program: rows 134 to 139 of what
//! clients are owed over the wire, on each model and however the octets arrive;
//! and haproxy, nginx and curl as those who send it.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::{outcome, write_configuration};
use harness::{Client, SOON, Server, eventually, install, on_each_model, own, preforkd, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

on_each_model! {
    rows_134_136_and_139_the_client_of_the_header_counts
    rows_135_137_138_and_139_what_is_broken_is_dropped
    each_drop_is_told_with_its_rule
    only_listed_senders_are_heard
    a_header_that_does_not_come_is_not_waited_for
    everything_else_goes_by_the_client
    limits_of_the_pool_go_by_the_client
    rules_of_the_pool_go_by_the_client
    looks_whether_somebody_listens_fill_no_log
    haproxy_and_nginx_in_front
}

const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 2, 0xdc, 4, 1, 187];

fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[command, family][..],
        &length,
        rest,
    ]
    .concat()
}

fn line(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 198.51.100.2 56324 443\r\n").into_bytes()
}

/// A site whose listener has these keys, besides `proxy_protocol`, in `pools`.
fn start(model: &str, listen: &str, keys: &str) -> Server {
    let directory = TempDir::new().unwrap();
    let place = directory.path();
    fs::create_dir(place.join("www")).unwrap();
    fs::write(place.join("www/index.html"), "index\n").unwrap();
    let text = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n\
                echo \"$REMOTE_ADDR $REMOTE_PORT $SERVER_ADDR $SERVER_PORT\"\n";
    install(&place.join("www"), &[("env", text)]);
    let pools = format!(
        "[pool.web]\nlisten = {{ address = \"127.0.0.1:0\", proxy_protocol = true{listen} }}\n\
         service = \"http\"\nmodel = \"{model}\"\nworkers = 2\nlinger_timeout = \"100ms\"\n\
         [pool.web.http]\nroot = \"www\"\npath.\"/env\" = {{ cgi = true }}\n\
         access_log = {{ to = \"./access.log\", format = \"json\" }}\n{keys}\n"
    );
    Server::run_with(directory, "control_socket = \"control\"", &pools)
}

/// Connects from this address of the loopback.
fn connect_from(local: &str, to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let local: SocketAddr = format!("{local}:0").parse().unwrap();
    socket.bind(&local.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    Client::of(socket.into())
}

/// How octets arrive.
#[derive(Clone, Copy, Debug)]
enum Way {
    Whole,
    /// The header's end in the second segment.
    TwoSegments,
    ByteByByte,
}

const WAYS: [Way; 3] = [Way::Whole, Way::TwoSegments, Way::ByteByByte];

/// Sends as far as the other side lets us.
fn deliver(client: &mut Client, bytes: &[u8], way: Way, header: usize) {
    let cut = header.saturating_sub(3).max(1).min(bytes.len());
    let parts: Vec<&[u8]> = match way {
        Way::Whole => vec![bytes],
        Way::TwoSegments => vec![&bytes[..cut], &bytes[cut..]],
        Way::ByteByByte => bytes.chunks(1).collect(),
    };
    for part in parts {
        if client.stream.write_all(part).is_err() {
            return;
        }
    }
}

fn access_log(server: &Server, count: usize) -> Vec<Value> {
    let path = server.directory.path().join("access.log");
    eventually("the lines of the access log", SOON, || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        (lines.len() >= count).then_some(lines)
    })
}

fn rows_134_136_and_139_the_client_of_the_header_counts(model: &str) {
    let server = start(model, "", "");
    let address = server.address("web");
    let mut v6 = [0; 36];
    (v6[0], v6[1], v6[2], v6[3], v6[15], v6[31]) = (0x20, 1, 0x0d, 0xb8, 7, 1);
    v6[32..].copy_from_slice(&[0xdc, 4, 1, 187]);
    let with = |vectors: &[u8]| block(0x21, 0x11, &[&V4, vectors].concat());
    let named = "192.0.2.7 56324 198.51.100.2 443\n";
    let mut expected = Vec::new();
    for (header, said) in [
        (line("192.0.2.7"), Some(named)),
        (
            b"PROXY TCP6 2001:db8::7 ::1 56324 443\r\n".to_vec(),
            Some("2001:db8::7 56324 ::1 443\n"),
        ),
        (block(0x21, 0x11, &V4), Some(named)),
        (with(b"\x01\0\x02h2\xee\0\0\x04\0\x01\0"), Some(named)),
        (block(0x21, 0x21, &v6), Some("2001:db8::7 56324 ::1 443\n")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ff:ff ff:ff 1 1\r\n".to_vec(), None),
        (block(0x20, 0x00, b""), None),
        (block(0x20, 0x11, &[7; 40]), None),
        (block(0x21, 0x00, b""), None),
        (block(0x21, 0x31, &[b'/'; 216]), None),
    ] {
        for way in WAYS {
            let mut client = Client::connect(address);
            let own = client.name();
            let own = format!("{} {} 127.0.0.1 {}\n", own.ip(), own.port(), address.port());
            let said = said.map_or(own, str::to_owned);
            let bytes = [&header[..], b"GET /env HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            deliver(&mut client, &bytes, way, header.len());
            // The body of a program is in chunks.
            let head = client.answer();
            assert_eq!(head.status, 200);
            let size = format!("{:x}\r\n{said}\r\n0\r\n\r\n", said.len());
            let body = client.read(size.len());
            let shown = header.escape_ascii();
            assert_eq!(String::from_utf8(body).unwrap(), size, "{way:?} {shown}");
            // The connection is kept, and the client is remembered.
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert_eq!(client.answer().body, b"index\n");
            assert_eq!(client.read_to_end(), b"");
            expected.push(said.split(' ').next().unwrap().to_owned());
        }
    }
    let mut logged: Vec<String> = access_log(&server, 2 * expected.len())
        .iter()
        .map(|line| line["client"].as_str().unwrap().to_owned())
        .collect();
    let mut twice: Vec<String> = expected
        .iter()
        .flat_map(|one| [one.clone(), one.clone()])
        .collect();
    logged.sort();
    twice.sort();
    assert_eq!(logged, twice);
    server.stop();
}

/// Broken headers, and the rule that each breaks.
fn broken() -> Vec<(Vec<u8>, &'static str)> {
    let text = |line: &str| line.as_bytes().to_vec();
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    vec![
        (
            text("PROXY TCP4 192.0.2.7 198.51.100.2 1 2\n"),
            "proxy-2.1 line end",
        ),
        (
            text("PROXY TCP4 01.2.3.4 198.51.100.2 1 2\r\n"),
            "proxy-2.1 address",
        ),
        (
            text("PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n"),
            "proxy-2.1 address",
        ),
        (
            text("PROXY TCP4 192.0.2.7 198.51.100.2 1 65536\r\n"),
            "proxy-2.1 port",
        ),
        (
            text("PROXY TCP4 192.0.2.7 198.51.100.2 1\r\n"),
            "proxy-2.1 words",
        ),
        (
            text("PROXY UDP4 192.0.2.7 198.51.100.2 1 2\r\n"),
            "proxy-2.1 family",
        ),
        (text(&long), "proxy-2.1 longer than 107 octets"),
        (block(0x11, 0x11, &V4), "proxy-2.2 version or command"),
        (block(0x22, 0x11, &V4), "proxy-2.2 version or command"),
        (
            block(0x21, 0x11, &V4[..11]),
            "proxy-2.2 length of addresses",
        ),
        (block(0x21, 0x12, &V4), "proxy-2.2 family or transport"),
        (
            block(0x21, 0x11, &[&V4[..], b"\x03\0\x04abcd"].concat()),
            "proxy-2.2.3 checksum",
        ),
        (
            block(0x21, 0x11, &[&V4[..], b"\x01\0\x09h2"].concat()),
            "proxy-2.2.1 length of a TLV",
        ),
        (
            text("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            "proxy-2 no header",
        ),
        (
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03".to_vec(),
            "proxy-2 no header",
        ),
    ]
}

fn rows_135_137_138_and_139_what_is_broken_is_dropped(model: &str) {
    let server = start(model, "", "");
    let address = server.address("web");
    let mut count = 0;
    for (header, rule) in broken() {
        for way in WAYS {
            let mut client = Client::connect(address);
            let bytes = [&header[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            deliver(&mut client, &bytes, way, header.len());
            assert_eq!(client.drain(), 0, "{way:?} {rule}: not a word");
            count += 1;
        }
    }
    // Who was dropped is counted.
    eventually("each of them is counted", SOON, || {
        let mut command = preforkd();
        command.args(["status", "--json", "--control"]);
        command.arg(server.directory.path().join("control"));
        let status: Value = serde_json::from_slice(&outcome(command).stdout).unwrap();
        let closes = &status["pools"][0]["closes"]["refused"];
        (*closes == count).then_some(())
    });
    // And nobody else suffers.
    let mut client = Client::connect(address);
    client.send(line("192.0.2.7"));
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().body, b"index\n");
    server.stop();
}

fn each_drop_is_told_with_its_rule(model: &str) {
    let server = start(model, "", "");
    for (header, rule) in broken() {
        let mut client = Client::connect(server.address("web"));
        let name = client.name();
        client.send(&header);
        assert_eq!(client.drain(), 0);
        // See `report` in src/driver/complaints.rs.
        server
            .log
            .wait_for(&format!("{name}: closed: refused: {rule}"), SOON);
    }
    server.stop();
}

fn only_listed_senders_are_heard(model: &str) {
    let server = start(
        model,
        ", proxy_from = [\"127.0.0.2\", \"127.0.1.0/24\"]",
        "",
    );
    let address = server.address("web");
    for from in ["127.0.0.2", "127.0.1.77"] {
        let mut client = connect_from(from, address);
        client.send([&line("192.0.2.7")[..], b"GET / HTTP/1.0\r\n\r\n"].concat());
        assert_eq!(client.answer().status, 200);
    }
    // At once: nobody has to send anything for that.
    let mut stranger = connect_from("127.0.0.3", address);
    assert_eq!(stranger.drain(), 0);
    let name = stranger.name();
    let line = format!("{name}: closed: refused: proxy-2 sender is not one of proxy_from");
    server.log.wait_for(&line, SOON);
    server.stop();
}

fn a_header_that_does_not_come_is_not_waited_for(model: &str) {
    let server = start(model, ", proxy_timeout = \"300ms\"", "");
    for begun in ["", "PROXY TCP4 192.0.2.7 "] {
        let since = Instant::now();
        let mut client = Client::connect(server.address("web"));
        // One octet more now and then buys no time.
        client.send(begun);
        assert_eq!(client.drain(), 0);
        assert!(since.elapsed() >= Duration::from_millis(250));
        let line = format!(
            "{}: closed: refused: proxy-2 no whole header in time",
            client.name()
        );
        server.log.wait_for(&line, SOON);
    }
    server.stop();
}

fn everything_else_goes_by_the_client(model: &str) {
    let keys = "allow = [\"192.0.2.0/24\", \"127.0.0.1\"]\ntrusted_proxies = \"192.0.2.7\"\n";
    let server = start(model, "", keys);
    let address = server.address("web");
    let get = |header: &[u8], fields: &str| {
        let mut client = Client::connect(address);
        client.send(header);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        (client.answer().status, client)
    };
    // Access rules: that of the header, not that of the proxy.
    assert_eq!(get(&line("192.0.2.9"), "").0, 200);
    assert_eq!(get(&line("198.51.100.9"), "").0, 403);
    assert_eq!(get(b"PROXY UNKNOWN\r\n", "").0, 200);
    // A further proxy before the one that sends the header.
    let forwarded = "X-Forwarded-For: 198.51.100.1\r\n";
    assert_eq!(get(&line("192.0.2.7"), forwarded).0, 403);
    assert_eq!(get(&line("192.0.2.9"), forwarded).0, 200, "not believed");
    // ps shows whom it serves.
    let (status, mut kept) = get(&line("192.0.2.9"), "");
    assert_eq!(status, 200);
    if ["prefork", "fork"].contains(&model) {
        eventually("the title names the client", SOON, || {
            let all = process::group(server.pid());
            let titles: Vec<String> = all.into_iter().map(process::title).collect();
            titles
                .iter()
                .any(|one| one.contains("192.0.2.9:56324"))
                .then_some(())
        });
    }
    kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(kept.answer().status, 200);
    // A line about a request names the client and nobody else.
    kept.send("broken\r\n\r\n");
    assert_eq!(kept.answer().status, 400);
    server.log.wait_for("192.0.2.9", SOON);
    server.stop();
}

/// A site with these keys of its pool, for which each model has eight places.
fn start_limited(model: &str, keys: &str) -> Server {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let workers = if model == "prefork" { 8 } else { 1 };
    let pools = format!(
        "[pool.web]\nlisten = {{ address = \"127.0.0.1:0\", proxy_protocol = true }}\n\
         service = \"http\"\nmodel = \"{model}\"\nworkers = {workers}\nhttp.root = \"www\"\n\
         http.keepalive_timeout = \"60s\"\n{keys}\n"
    );
    let mut server = Server::run_with(directory, "control_socket = \"control\"", &pools);
    // The lines of `tell` in src/master/crew/limits.rs.
    server.expect("its limits");
    server
}

/// The status of the first answer to this client; `None`: it was closed without one.
fn enter(server: &Server, header: &[u8]) -> (Option<u16>, Client) {
    let mut client = Client::connect(server.address("web"));
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    // It may be closed before all of it was sent.
    let _ = client.stream.write_all(&[header, request].concat());
    let status = client.try_answer(true).ok().map(|answer| answer.status);
    (status, client)
}

fn limits_of_the_pool_go_by_the_client(model: &str) {
    let mut server = start_limited(model, "limits.connections_per_address = 2");
    for pattern in ["SIGKILL", "died young", "killed", "has left", "worker"] {
        server.expect(pattern);
    }
    let enters = |name: &str| enter(&server, &line(name));
    let enters_soon = |name: &str| {
        eventually("somebody is let in", SOON, || {
            let (status, client) = enters(name);
            (status == Some(200)).then_some(client)
        })
    };
    for round in 0..3 {
        let held = [0, 1].map(|_| enters_soon("192.0.2.7"));
        for _ in 0..3 {
            let (status, _) = enters("192.0.2.7");
            assert_eq!(status, Some(503), "round {round}");
        }
        // The proxy's own address counts for none of its clients.
        let others = ["192.0.2.8", "192.0.2.9"].map(|name| enters(name).0);
        assert_eq!(others, [Some(200); 2], "round {round}");
        let looks = enter(&server, b"PROXY UNKNOWN\r\n").0;
        assert_eq!(looks, Some(200), "round {round}: the proxy for itself");
        if round == 1 {
            // Who serves is gone, and with it what was written under another name.
            process::end(&process::descendants(server.pid()));
        }
        drop(held);
    }
    let held = [0, 1].map(|_| enters_soon("192.0.2.7"));
    assert_eq!(enters("192.0.2.7").0, Some(503), "exactly two");
    drop(held);
    server.signal(Signal::SIGTERM);
    server.assert_good_end();

    // One at once, and the next one in an hour.
    let server = start_limited(model, "limits.accept_rate = \"1/h\"");
    let enters = |name: &str| enter(&server, &line(name)).0;
    for name in ["192.0.2.7", "192.0.2.8"] {
        assert_eq!([enters(name), enters(name)], [Some(200), Some(503)]);
    }
    server.stop();
}

fn rules_of_the_pool_go_by_the_client(model: &str) {
    let server = start_limited(model, "allow = \"192.0.2.0/24\"\ndeny = \"192.0.2.66\"");
    assert_eq!(enter(&server, &line("192.0.2.9")).0, Some(200));
    assert_eq!(enter(&server, &line("192.0.2.66")).0, None);
    assert_eq!(enter(&server, &line("198.51.100.9")).0, None);
    // The line of `tell_denied` in src/driver/gate.rs.
    server
        .log
        .wait_for("192.0.2.66:56324 may not connect here", SOON);
    // Who speaks for itself is asked for as itself: the proxy is not among them.
    assert_eq!(enter(&server, b"PROXY UNKNOWN\r\n").0, None);
    assert_eq!(enter(&server, &block(0x20, 0x00, b"")).0, None);
    server.stop();
}

fn looks_whether_somebody_listens_fill_no_log(model: &str) {
    let server = start(model, "", "");
    let address = server.address("web");
    for count in 0..60 {
        let mut client = Client::connect(address);
        match count % 3 {
            0 => client.reset(),
            1 => {
                client.finish();
                assert_eq!(client.drain(), 0);
            }
            _ => {
                client.send(block(0x20, 0x00, b""));
                client.finish();
                assert_eq!(client.drain(), 0);
            }
        }
    }
    let told = server.log.to_string();
    let shown: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("closed: ") && !line.contains(" debug: "))
        .collect();
    assert!(shown.is_empty(), "{shown:#?}");
    server.stop();
}

#[test]
fn event_who_rests_in_a_crowd_is_remembered() {
    let server = start("event", "", "keepalive_timeout = \"60s\"");
    let address = server.address("web");
    let name = |number: usize| format!("192.0.2.{}", number % 250);
    // More than a loop keeps awake, on each of two workers.
    let mut crowd: Vec<Client> = (0..1200).map(|_| Client::connect(address)).collect();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (number, client) in crowd.iter_mut().enumerate() {
        client.send([&line(&name(number))[..], request].concat());
    }
    for client in &mut crowd {
        assert_eq!(client.answer().status, 200);
    }
    for (number, client) in crowd.iter_mut().enumerate() {
        client.send(format!("GET /?{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
    }
    let lines = access_log(&server, 2400);
    let mut seen = 0;
    for line in &lines {
        let target = line["target"].as_str().unwrap();
        if let Some(number) = target.strip_prefix("/?") {
            assert_eq!(line["client"], name(number.parse().unwrap()));
            seen += 1;
        }
    }
    assert_eq!(seen, 1200);
    drop(crowd);
    server.stop();
}

#[test]
fn fork_a_child_that_is_killed_is_told_with_its_client() {
    let mut server = start("fork", "", "");
    let mut client = Client::connect(server.address("web"));
    client.send([&line("192.0.2.9")[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    assert_eq!(client.answer().status, 200);
    let child = eventually("the child's title", SOON, || {
        let mut all = process::group(server.pid()).into_iter();
        all.find(|pid| process::title(*pid).contains("192.0.2.9:56324"))
    });
    server.expect("killed by SIGKILL");
    process::signal(child, Signal::SIGKILL);
    let line = format!("child {child} for 192.0.2.9:56324 killed by SIGKILL");
    server.log.wait_for(&line, SOON);
    server.stop();
}

#[test]
fn a_service_that_speaks_first_waits_for_the_header() {
    for model in harness::MODELS {
        let server = Server::run(&format!(
            "[pool.say]\nservice = \"message\"\nmessage = \"hello\"\nmodel = \"{model}\"\n\
             listen = {{ address = \"127.0.0.1:0\", proxy_protocol = true }}\n"
        ));
        let mut client = Client::connect(server.address("say"));
        client.send(b"PROXY TCP4 192.0.2.7");
        let none = client
            .stream
            .set_read_timeout(Some(Duration::from_millis(50)));
        none.unwrap();
        assert!(client.stream.read(&mut [0]).is_err(), "{model}: too early");
        client.stream.set_read_timeout(Some(SOON)).unwrap();
        client.send(b" 192.0.2.8 1 2\r\n");
        assert_eq!(client.read_to_end(), b"hello", "{model}");
        // Else it is waited for.
        drop(client);
        server.stop();
    }
}

#[test]
fn a_listener_without_it_stands_beside_one_with_it() {
    for model in harness::MODELS {
        let server = Server::run(&format!(
            "[pool.echo]\nservice = \"echo\"\nmodel = \"{model}\"\n\
             listen = [\"127.0.0.1:0\", {{ address = \"127.0.0.1:0\", proxy_protocol = true }}]\n"
        ));
        let addresses = server.addresses_of("echo");
        let header = line("192.0.2.7");
        for (place, length) in addresses.iter().zip([header.len() + 5, 5]) {
            let mut client = Client::connect(place.parse().unwrap());
            client.send([&header[..], b"hello"].concat());
            assert!(client.read(length).ends_with(b"hello"), "{model} {place}");
            client.finish();
            assert_eq!(client.read_to_end(), b"");
        }
        server.stop();
    }
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            process::signal(self.0.id(), Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("-v").output().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Starts a proxy, once it takes connections on all of `ports`.
fn run_proxy(mut command: Command, place: &Path, ports: &[SocketAddr]) -> Running {
    let output = fs::File::create(place.join("proxy.log")).unwrap();
    let errors = output.try_clone().unwrap();
    let child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .unwrap();
    let mut running = Running(child);
    for port in ports {
        eventually("the proxy listens", SOON, || {
            let ended = running.0.try_wait().unwrap();
            let said = || fs::read_to_string(place.join("proxy.log")).unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", said());
            TcpStream::connect(port).ok()
        });
    }
    running
}

/// Requests over kept connections, from addresses of their own: the access log
/// names these and not the proxy.
fn ask_through(proxy: SocketAddr, names: [&str; 2], count: usize) {
    for name in names {
        let mut client = connect_from(name, proxy);
        for number in 0..count {
            client.send(format!("GET /?{name}-{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(client.answer().body, b"index\n");
        }
    }
}

fn assert_named(server: &Server, total: usize) {
    let asked = |line: &Value| {
        line["target"]
            .as_str()
            .is_some_and(|one| one.contains("?127"))
    };
    let lines = eventually("all lines", SOON, || {
        let mut lines = access_log(server, total);
        lines.retain(asked);
        (lines.len() >= total).then_some(lines)
    });
    assert_eq!(lines.len(), total);
    for line in lines {
        let target = line["target"].as_str().unwrap();
        let client = line["client"].as_str().unwrap();
        assert!(target.starts_with(&format!("/?{client}-")), "{line}");
    }
}

fn haproxy_and_nginx_in_front(model: &str) {
    let server = start(model, "", "");
    let backend = server.address("web");
    let mut total = 0;
    if is_installed("/usr/sbin/haproxy") {
        let place = TempDir::new().unwrap();
        let path = place.path().join("haproxy.cfg");
        let ports: Vec<SocketAddr> = (0..4).map(|_| own::address()).collect();
        let mut text = String::from(
            "defaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n",
        );
        // The checks of the last two speak for the proxy itself (LOCAL).
        for (number, (port, how)) in ports
            .iter()
            .zip([
                "tcp|send-proxy check inter 50ms",
                "tcp|send-proxy-v2 check inter 50ms",
                "http|send-proxy check check-send-proxy inter 50ms",
                "http|send-proxy-v2 proxy-v2-options crc32c check check-send-proxy inter 50ms",
            ])
            .enumerate()
        {
            let (mode, options) = how.split_once('|').unwrap();
            text += &format!(
                "listen l{number}\n mode {mode}\n bind {port}\n server s {backend} {options}\n"
            );
        }
        fs::write(&path, text).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(&path);
        let haproxy = run_proxy(command, place.path(), &ports);
        for port in &ports {
            ask_through(*port, ["127.0.0.5", "127.0.0.6"], 3);
            total += 6;
        }
        assert_named(&server, total);
        // Some health checks later nothing of them is told.
        harness::let_time_pass(Duration::from_millis(300));
        drop(haproxy);
    }
    if has_stream_module() {
        let place = TempDir::new().unwrap();
        let path = place.path().join("nginx.conf");
        let port = own::address();
        let text = format!(
            "load_module {STREAM};\ndaemon off;\npid {0}/pid;\n\
             error_log stderr;\nevents {{}}\n\
             stream {{ server {{ listen {port}; proxy_pass {backend}; proxy_protocol on; }} }}\n",
            place.path().display()
        );
        fs::write(&path, text).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(place.path()).arg("-c").arg(&path);
        let nginx = run_proxy(command, place.path(), &[port]);
        ask_through(port, ["127.0.0.7", "127.0.0.8"], 3);
        total += 6;
        assert_named(&server, total);
        drop(nginx);
    }
    let told = server.log.to_string();
    let refused: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("refused"))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    server.stop();
}

const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

fn has_stream_module() -> bool {
    let found = Path::new(STREAM).exists();
    if !found {
        eprintln!("skipped: nginx with libnginx-mod-stream is not installed");
    }
    found
}

#[test]
fn curl_sends_the_header() {
    if !is_installed("curl") {
        return;
    }
    let server = start("prefork", "", "");
    let url = format!("http://{}/env", server.address("web"));
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "--haproxy-protocol", &url]);
    let output = outcome(command);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("127.0.0.1 "), "{text} {:?}", output.stderr);
    assert!(text.ends_with(&format!(" 127.0.0.1 {}\n", server.address("web").port())));
    server.stop();
}

#[test]
fn a_reload_changes_who_is_believed() {
    let directory = TempDir::new().unwrap();
    let pools = |from: &str| {
        format!(
            "[pool.echo]\nservice = \"echo\"\n\
             listen = {{ address = \"unix:s\", proxy_protocol = true, proxy_from = \"{from}\" }}\n"
        )
    };
    let mut server = Server::run_with(directory, "", &pools("unix:"));
    let path = server.directory.path().join("s");
    let ask = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        // It may be gone before we have said so much.
        let _ = stream.write_all(&[&line("192.0.2.7")[..], b"hello"].concat());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        said
    };
    assert_eq!(ask(), b"hello");
    write_configuration(server.directory.path(), "", &pools("127.0.0.1"));
    server.reload(2);
    eventually("the new generation alone serves", SOON, || {
        ask().is_empty().then_some(())
    });
    server.stop();
}
