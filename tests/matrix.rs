//! Every protocol on every model in both ways of accepting: the same client,
//! the same bytes.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::{Client, Server, get};
use std::net::SocketAddr;
use tempfile::TempDir;

/// One module for each of the eight ways, in it a test for each protocol.
macro_rules! matrix {
    ($($way:ident = $model:literal $accept:literal)+) => {
        $(
            mod $way {
                matrix!(@ $model $accept echo discard daytime time chargen message);
                #[test]
                fn http() {
                    super::http($model, $accept);
                }
            }
        )+
    };
    (@ $model:literal $accept:literal $($service:ident)+) => {
        $(
            #[test]
            fn $service() {
                super::small($model, $accept, stringify!($service), super::$service);
            }
        )+
    };
}

matrix! {
    prefork_shared = "prefork" "shared"
    prefork_reuseport = "prefork" "reuseport"
    event_shared = "event" "shared"
    event_reuseport = "event" "reuseport"
    threads_shared = "threads" "shared"
    threads_reuseport = "threads" "reuseport"
    fork_shared = "fork" "shared"
    fork_reuseport = "fork" "reuseport"
}

/// Runs the scenarios of a small service against a server of two workers.
fn small(model: &str, accept: &str, service: &str, scenarios: fn(SocketAddr)) {
    let mut arguments = vec![
        "--model",
        model,
        "--accept",
        accept,
        "--workers",
        "2",
        service,
    ];
    if service == "message" {
        arguments.push(TEXT);
    }
    let server = Server::serve(&arguments);
    scenarios(server.address(service));
    server.stop();
}

const TEXT: &str = "Message received.";

/// Rule 129: RFC 862.
fn echo(address: SocketAddr) {
    let mut whole = Client::connect(address);
    whole.send("one\ntwo\n");
    assert_eq!(whole.read(8), b"one\ntwo\n");
    whole.finish();
    assert_eq!(whole.read_to_end(), b"");

    let mut bytewise = Client::connect(address);
    for byte in b"byte by byte" {
        bytewise.send([*byte]);
        assert_eq!(bytewise.read(1), [*byte]);
    }
    bytewise.finish();
    assert_eq!(bytewise.read_to_end(), b"");

    let mut silent = Client::connect(address);
    silent.finish();
    assert_eq!(silent.read_to_end(), b"");

    // A client that sends everything before it reads anything: what the buffers
    // of both sides hold, the echo must not lose or wait for.
    let pattern: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 7 % 251) as u8).collect();
    let mut eager = Client::connect(address);
    eager.send(&pattern);
    eager.finish();
    assert!(eager.read_to_end() == pattern, "a MiB, then the end");

    // And one that does both at once.
    let mut large = Client::connect(address);
    let mut sender = large.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::io::Write::write_all(&mut sender, &pattern).unwrap();
            sender.shutdown(std::net::Shutdown::Write).unwrap();
        });
        assert!(
            large.read_to_end() == pattern,
            "a MiB comes back as it went"
        );
    });
}

/// Rule 132: RFC 863.
fn discard(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.send_slowly("nobody");
    client.send(vec![b'x'; 1 << 20]);
    client.finish();
    assert_eq!(client.read_to_end(), b"");
}

/// Rule 133: RFC 867; what the client says must not cost it the answer.
fn daytime(address: SocketAddr) {
    for noise in ["", "what time is it?\n"] {
        let mut client = Client::connect(address);
        client.send(noise);
        let text = String::from_utf8(client.read_to_end()).unwrap();
        assert!(text.ends_with("\r\n") && text.contains(':'), "{text:?}");
    }
}

/// RFC 868: 2,208,988,800 is 1 January 1970.
fn time(address: SocketAddr) {
    let octets: [u8; 4] = Client::connect(address).read_to_end().try_into().unwrap();
    let told = u64::from(u32::from_be_bytes(octets));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // The four octets end in 2036 and begin anew.
    let expected = (now + 2_208_988_800) % (1 << 32);
    assert!(told.abs_diff(expected) < 60, "{told}, not {expected}");
}

/// RFC 864: without end, so this ends it, with much of it under way.
fn chargen(address: SocketAddr) {
    let mut client = Client::connect(address);
    let text = String::from_utf8(client.read(74 * 2000)).unwrap();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 2000);
    assert!(lines.iter().all(|line| line.len() == 72));
    assert!(lines[0].starts_with(" !\"#") && lines[1].starts_with("!\"#$"));
    assert_eq!(lines[0], lines[95], "95 characters, then the same again");
    drop(client);
    // Whoever served it is there for the next one.
    assert_eq!(Client::connect(address).read(4), b" !\"#");
}

/// Rule 133: the text, its end, and no RST for what was not read.
fn message(address: SocketAddr) {
    for noise in [&b""[..], b"hello?", &[b'x'; 100_000]] {
        let mut client = Client::connect(address);
        client.send(noise);
        assert_eq!(client.read_to_end(), TEXT.as_bytes());
    }
}

fn http(model: &str, accept: &str) {
    let site = TempDir::new().unwrap();
    let large: Vec<u8> = (0..8 << 20).map(|at: u32| (at / 3 % 253) as u8).collect();
    std::fs::write(site.path().join("index.html"), "<p>index</p>\n").unwrap();
    std::fs::write(site.path().join("large"), &large).unwrap();
    std::fs::create_dir(site.path().join("sub")).unwrap();
    std::fs::write(site.path().join("sub/index.html"), "<p>sub</p>\n").unwrap();
    let root = site.path().to_str().unwrap();
    let arguments = [
        "--model",
        model,
        "--accept",
        accept,
        "--workers",
        "2",
        "http",
        root,
    ];
    let server = Server::serve(&arguments);
    let address = server.address("http");
    http_answers(address);
    http_connections(address);

    let answer = get(address, "/large");
    assert!(answer.body == large, "eight MiB are the same eight MiB");
    // RFC 9112 §9.6: a client that sends no more gets its whole answer.
    let mut half = Client::connect(address);
    half.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    half.finish();
    assert!(
        half.answer().body == large,
        "also to a client that half-closed"
    );
    assert_eq!(half.read_to_end(), b"");
    server.stop();
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// One request, one answer.
fn http_answers(address: SocketAddr) {
    let index = get(address, "/");
    assert_eq!(
        (index.status, &index.body[..]),
        (200, &b"<p>index</p>\n"[..])
    );
    assert_eq!(index.field("connection"), Some("close"));
    assert!(
        index
            .field("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(index.field("date").is_some() && index.field("last-modified").is_some());

    let mut head = Client::connect(address);
    head.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    let answer = head.answer_to_head();
    assert_eq!(
        (answer.status, answer.field("content-length")),
        (200, Some("13"))
    );
    head.send("HEAD /missing HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(head.answer_to_head().status, 404);
    assert_eq!(head.read_to_end(), b"", "no body after a HEAD");

    assert_eq!(get(address, "/missing").status, 404);
    let moved = get(address, "/sub");
    assert_eq!(
        (moved.status, moved.field("location")),
        (301, Some("/sub/"))
    );
    assert_eq!(get(address, "/sub/").body, b"<p>sub</p>\n");
    assert_eq!(get(address, "/../../etc/passwd").status, 404);

    let mut wrong = Client::connect(address);
    wrong.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(wrong.answer().status, 400, "no Host");
    assert_eq!(wrong.read_to_end(), b"");

    let mut old = Client::connect(address);
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().status, 200);
    assert_eq!(old.read_to_end(), b"");
}

/// Several requests on a connection, however they arrive.
fn http_connections(address: SocketAddr) {
    let mut kept = Client::connect(address);
    for _ in 0..3 {
        kept.send(GET);
        assert_eq!(kept.answer().status, 200);
    }
    drop(kept);

    let mut pipelined = Client::connect(address);
    pipelined.send(format!(
        "{GET}GET /missing HTTP/1.1\r\nHost: test\r\n\r\n\
         GET /sub/ HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n{GET}"
    ));
    let statuses = [(); 3].map(|()| pipelined.answer().status);
    assert_eq!(statuses, [200, 404, 200], "in the order of the requests");
    assert_eq!(
        pipelined.read_to_end(),
        b"",
        "what follows a close is not answered"
    );

    let mut bytewise = Client::connect(address);
    bytewise.send_slowly(GET);
    assert_eq!(bytewise.answer().status, 200);
    bytewise.send_slowly("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(bytewise.answer().status, 200);
    assert_eq!(bytewise.read_to_end(), b"");
}
