//! Servers that break off, stall and lie, and those that are not there.

use crate::harness::{SOON, preforkd};
use crate::scripted::{Scripted, Step};
use crate::site::{Got, PLAIN, get, noise};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn answers_are_told_from_what_is_none() {
    let many_interim = "HTTP/1.1 102 x\r\n\r\n".repeat(40);
    for (answer, status, out, part) in [
        (PLAIN.to_owned(), 0, "hello", ""),
        (format!("{PLAIN}, world"), 0, "hello", ""),
        ("HTTP/1.0 200 OK\r\n\r\nhello".to_owned(), 0, "hello", ""),
        (
            format!("{CHUNKED}2\r\nhe\r\n3;x\r\nllo\r\n0\r\nT: x\r\n\r\n"),
            0,
            "hello",
            "",
        ),
        ("HTTP/1.1 204 x\r\n\r\n".to_owned(), 0, "", ""),
        (
            format!("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\n{PLAIN}"),
            0,
            "hello",
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx".to_owned(),
            0,
            "x",
            "",
        ),
        // Short.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".to_owned(),
            18,
            "hello",
            "5 of 9 octets",
        ),
        (
            format!("{CHUNKED}5\r\nhello\r\n"),
            18,
            "hello",
            "before its last chunk",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Le".to_owned(),
            18,
            "",
            "in its head",
        ),
        (String::new(), 52, "", "without an answer"),
        (
            "HTTP/1.1 206 x\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello"
                .to_owned(),
            33,
            "",
            "the whole was asked for",
        ),
        // Wrong.
        (
            format!("{CHUNKED}5\r\nhello5\r\n"),
            8,
            "hello",
            "chunk line end",
        ),
        (format!("{CHUNKED}+5\r\nhello\r\n"), 8, "", "chunk-size"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            8,
            "",
            "content-length beside transfer-encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".to_owned(),
            8,
            "",
            "repeated",
        ),
        (
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n".to_owned(),
            8,
            "",
            "field-value",
        ),
        ("HTTP/1.1 200 OK\nX: a\n\n".to_owned(), 8, "", "bare LF"),
        ("SSH-2.0-\x1b[31m\r\n".to_owned(), 8, "", "`S"),
        (
            "HTTP/1.1 101 x\r\n\r\n".to_owned(),
            8,
            "",
            "another protocol",
        ),
        (
            format!("{many_interim}{PLAIN}"),
            8,
            "",
            "more than 32 answers of 1xx",
        ),
    ] {
        for drips in [false, true] {
            let peer = Scripted::answering(answer.as_bytes(), drips);
            let got = get(&[&peer.url("/")]);
            assert_eq!(got.text(), out, "{answer:?}: {got:?}");
            match status {
                0 => assert_eq!((got.status, got.err.as_str()), (0, ""), "{answer:?}"),
                status => got.is_failure(status, part),
            }
            assert!(!got.err.contains('\x1b'), "{got:?}");
            assert_eq!(peer.asked().len(), 1);
        }
    }
}

#[test]
fn an_endless_head_has_an_end() {
    let script = vec![
        Step::Read,
        Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Step::Flood(b"HTTP: a lot of nothing\r\n".to_vec()),
    ];
    let peer = Scripted::new(vec![script]);
    get(&[&peer.url("/")]).is_failure(8, "longer than 65536 octets");
    let flood = b"HTTP/1.1 102 x\r\n\r\n".to_vec();
    let peer = Scripted::new(vec![vec![Step::Read, Step::Flood(flood)]]);
    get(&[&peer.url("/")]).is_failure(8, "1xx");
}

#[test]
fn nothing_is_waited_for_longer_than_said() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".to_vec();
    for (flags, steps, part) in [
        (
            &["-m", "0.6"][..],
            vec![Step::Read, Step::Hush],
            "before an answer",
        ),
        (&["--idle", "300ms"], vec![Step::Read, Step::Hush], "--idle"),
        (
            &["--max-time", "1"],
            vec![Step::Read, Step::Send(half.clone()), Step::Hush],
            "after 5 of 9 octets",
        ),
        // A trickle keeps the one awake, and not the other.
        (
            &["--max-time", "9", "-i", "0.4"],
            vec![Step::Read, Step::Drip(vec![b'H'; 1]), Step::Hush],
            "octet",
        ),
    ] {
        let peer = Scripted::new(vec![steps]);
        let mut command = preforkd();
        command.arg("get").args(flags).arg(peer.url("/"));
        let begun = Instant::now();
        let got = Got::of(command);
        got.is_failure(28, part);
        let spent = begun.elapsed();
        assert!(
            spent >= Duration::from_millis(290) && spent < SOON,
            "{spent:?}"
        );
    }
    // A server that never stops.
    let begin = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let flood = vec![Step::Read, Step::Send(begin), Step::Flood(vec![0; 65536])];
    let peer = Scripted::new(vec![flood]);
    let mut command = preforkd();
    command.args(["get", "-o", "/dev/null", "-m", "0.5", "--idle", "9"]);
    command.arg(peer.url("/"));
    Got::of(command).is_failure(28, "the time is over (--max-time), after ");
    // A server that takes nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let directory = TempDir::new().unwrap();
    let large = directory.path().join("large");
    fs::write(&large, noise(16 << 20)).unwrap();
    let data = format!("@{}", large.display());
    get(&["--idle", "0.3", "--post", &data, &url]).is_failure(28, "before an answer");
    // Slow is not silent.
    let peer = Scripted::answering(PLAIN.as_bytes(), true);
    get(&["--idle", "5", "-m", "20", &peer.url("/")]).is_fine();
}

#[test]
fn a_reset_is_told_with_how_far_it_was() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".to_vec();
    let peer = Scripted::new(vec![vec![Step::Read, Step::Reset]]);
    get(&[&peer.url("/")]).is_failure(56, "before an answer");
    let script = vec![Step::Read, Step::Send(half), Step::Reset];
    let peer = Scripted::new(vec![script]);
    let got = get(&[&peer.url("/")]);
    assert_eq!(got.status, 56, "{got:?}");
    assert!(got.err.contains("Connection reset by peer"), "{got:?}");
}

#[test]
fn who_is_not_there_is_told_apart() {
    // Bound, so that nobody else can have it, and not listening.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let free = socket.local_addr().unwrap().as_socket().unwrap();
    get(&[&format!("http://{free}/")]).is_failure(7, "Connection refused");
    get(&["--unix", "/nonexistent.sock", "http://a/"]).is_failure(7, "/nonexistent.sock");
    get(&["https://127.0.0.1/"]).is_failure(1, "wants TLS, which is not built in yet");
    get(&["ftp://127.0.0.1/"]).is_failure(1, "no http:// address");
    get(&["http://a b/"]).is_failure(64, "no host");
    get(&["http://127.0.0.1:99999/"]).is_failure(64, "no port");
    get(&["-H", "X: a\r\nY: b", "http://127.0.0.1/"]).is_failure(64, "control");
    get(&["-H", "Content-Length: 1", "http://127.0.0.1/"]).is_failure(64, "Content-Length");
    get(&["-X", "A B", "http://127.0.0.1/"]).is_failure(64, "method");
    get(&["-r", "5-2", "http://127.0.0.1/"]).is_failure(64, "0-99");
    get(&["-C", "http://127.0.0.1/"]).is_failure(64, "-o FILE");
    get(&["-O", "http://127.0.0.1/"]).is_failure(64, "-o FILE");
    get(&["--post", "@/nonexistent", "http://127.0.0.1/"]).is_failure(71, "read /nonexistent");
    get(&["-o", "/nonexistent/x", "http://127.0.0.1:1/"]).is_failure(71, "/nonexistent");
    let usage = get(&["-I", "--post", "x", "http://127.0.0.1/"]);
    assert_eq!(usage.status, 64, "{usage:?}");
}

#[test]
fn an_answer_that_comes_before_all_was_sent_is_read() {
    let directory = TempDir::new().unwrap();
    let large = directory.path().join("large");
    fs::write(&large, noise(8 << 20)).unwrap();
    let answer = b"HTTP/1.1 413 x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop".to_vec();
    let peer = Scripted::new(vec![vec![Step::Send(answer), Step::Hush]]);
    let data = format!("@{}", large.display());
    let got = get(&["--include", "--post", &data, &peer.url("/")]);
    got.is_fine();
    assert!(got.text().starts_with("HTTP/1.1 413") && got.text().ends_with("stop"));
}

#[test]
fn broken_compression_is_told() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\nthis is no gzip data";
    let peer = Scripted::one_by_one(&[answer]);
    get(&["--compressed", &peer.url("/")]).is_failure(61, "no gzip");
    let peer = Scripted::one_by_one(&[answer]);
    assert_eq!(get(&[&peer.url("/")]).text(), "this is no gzip data");
}
