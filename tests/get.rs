//! `preforkd get`: beside servers that break off, stall, lie and lead astray,
//! our own, others', and with curl as the judge.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;
#[path = "get/scripted.rs"]
mod scripted;

use harness::server::outcome;
use harness::terminal::Terminal;
use harness::{SOON, Server, eventually, preforkd};
use scripted::{Scripted, Step};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// What came of it.
struct Got {
    status: i32,
    out: Vec<u8>,
    err: String,
}

impl Got {
    fn of(command: Command) -> Self {
        let output = outcome(command);
        Self {
            status: output.status.code().unwrap(),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    #[track_caller]
    fn is_failure(&self, status: i32, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(
            self.err.starts_with("preforkd: ") && self.err.contains(part),
            "{part}: {self:?}"
        );
    }

    #[track_caller]
    fn is_fine(&self) {
        assert_eq!(self.status, 0, "{self:?}");
    }
}

impl fmt::Debug for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = &self.out[..self.out.len().min(500)];
        let (status, err) = (self.status, &self.err);
        write!(
            f,
            "status {status}, {err:?}, output {:?}",
            begin.escape_ascii().to_string()
        )
    }
}

fn get(arguments: &[&str]) -> Got {
    let mut command = preforkd();
    command.arg("get").args(arguments);
    Got::of(command)
}

/// Octets that are nowhere the same.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut octets = Vec::with_capacity(count + 8);
    while octets.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend_from_slice(&state.to_le_bytes());
    }
    octets.truncate(count);
    octets
}

/// Our own server with a few files, a program and redirects.
fn server() -> Server {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("www");
    fs::create_dir_all(root.join("cgi-bin")).unwrap();
    let index = root.join("index.html");
    fs::write(&index, "index\n".repeat(1000)).unwrap();
    // What has just been written may change again, and is not compressed.
    let index = fs::File::options().write(true).open(index).unwrap();
    let before = SystemTime::now() - Duration::from_secs(60);
    index.set_modified(before).unwrap();
    fs::write(root.join("text.txt"), "once more with feeling\n").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("noise"), noise(3_000_000)).unwrap();
    let script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; echo \"$REQUEST_METHOD $CONTENT_TYPE $HTTP_X_A\"; cat\n";
    let path = root.join("cgi-bin/say");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let socket = directory.path().join("web.sock");
    Server::run_with(
        directory,
        "",
        &format!(
            "[pool.web]\nlisten = [\"127.0.0.1:0\", \"[::1]:0\", \"unix:{}\"]\nservice = \"http\"\n\
             workers = 2\nlinger_timeout = \"100ms\"\n[pool.web.http]\nroot = \"www\"\ngzip = true\n\
             path.\"/cgi-bin/\" = {{ cgi = true }}\npath.\"/old/\" = {{ redirect = \"/\" }}\n",
            socket.display()
        ),
    )
}

/// The address of a path on it, as HOST:PORT/PATH.
fn at(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address("web"))
}

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
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
            &["-t", "0.3"][..],
            vec![Step::Read, Step::Hush],
            "before an answer",
        ),
        (&["--idle", "300ms"], vec![Step::Read, Step::Hush], "--idle"),
        (
            &["--timeout", "300ms"],
            vec![Step::Read, Step::Send(half.clone()), Step::Hush],
            "after 5 of 9 octets",
        ),
        // A trickle keeps the one awake, and not the other.
        (
            &["--timeout", "0.5", "--idle", "0.4"],
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
    command.args(["get", "-o", "/dev/null", "-t", "0.5", "--idle", "9"]);
    command.arg(peer.url("/"));
    Got::of(command).is_failure(28, "the time is over (--timeout), after ");
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
    get(&["--idle", "5", "-t", "20", &peer.url("/")]).is_fine();
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
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
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
fn what_is_sent_is_what_was_said() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("data");
    fs::write(&file, "from a file\n").unwrap();
    let data = format!("@{}", file.display());
    let agent = concat!("User-Agent: preforkd/", env!("CARGO_PKG_VERSION"));
    for (flags, path, begin, end) in [
        (
            &[][..],
            "/a/../b?c=d#e",
            "GET /a/../b?c=d HTTP/1.1\r\nHost: ",
            "",
        ),
        (
            &["-H", "Host: x", "-H", "accept:"],
            "/",
            "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent",
            "",
        ),
        (&["-H", "User-Agent: y"], "/", "GET / HTTP/1.1\r\n", ""),
        (&["-X", "PURGE"], "/", "PURGE / HTTP/1.1\r\n", ""),
        (
            &["--post", "a=b&c"],
            "/",
            "POST / HTTP/1.1\r\n",
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\n\r\na=b&c",
        ),
        (
            &["--post", &data, "-X", "PUT"],
            "/",
            "PUT / HTTP/1.1\r\n",
            "Content-Type: application/octet-stream\r\nContent-Length: 12\r\n\r\nfrom a file\n",
        ),
        (
            &["--post", ""],
            "/",
            "POST / HTTP/1.1\r\n",
            "Content-Length: 0\r\n\r\n",
        ),
        (
            &["-r", "-5", "--post", "x", "-H", "Content-Type: a/b"],
            "/",
            "POST / HTTP/1.1\r\n",
            "Range: bytes=-5\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\nx",
        ),
    ] {
        let peer = Scripted::one_by_one(&[PLAIN]);
        let url = peer.url(path);
        get(&[flags, &[&url]].concat()).is_fine();
        let asked = peer.asked().remove(0);
        assert!(asked.starts_with(begin) && asked.ends_with(end), "{asked}");
        let replaced = flags.iter().any(|flag| flag.starts_with("User-Agent"));
        assert_eq!(asked.contains(agent), !replaced, "{asked}");
    }
    // A name and a password of the address.
    let peer = Scripted::one_by_one(&[PLAIN]);
    let url = format!("http://u:p@{}/", peer.address);
    get(&[&url]).is_fine();
    assert!(peer.asked()[0].contains("\r\nAuthorization: Basic dTpw\r\n"));
    // Standard input.
    let peer = Scripted::one_by_one(&[PLAIN]);
    let mut child = preforkd()
        .args(["get", "--post", "-", &peer.url("/")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"typed").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(peer.asked()[0].ends_with("Content-Length: 5\r\n\r\ntyped"));
}

#[test]
fn an_answer_that_comes_before_all_was_sent_is_read() {
    let directory = TempDir::new().unwrap();
    let large = directory.path().join("large");
    fs::write(&large, noise(8 << 20)).unwrap();
    let answer = b"HTTP/1.1 413 x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop".to_vec();
    let peer = Scripted::new(vec![vec![Step::Send(answer), Step::Hush]]);
    let data = format!("@{}", large.display());
    let got = get(&["-i", "--post", &data, &peer.url("/")]);
    got.is_fine();
    assert!(got.text().starts_with("HTTP/1.1 413") && got.text().ends_with("stop"));
}

#[test]
fn redirects_are_followed_as_far_as_they_may() {
    let to = |status: u16, place: &str| {
        format!("HTTP/1.1 {status} x\r\nLocation: {place}\r\nContent-Length: 4\r\n\r\ngone")
    };
    // Relative, and an end.
    let peer = Scripted::one_by_one(&[&to(302, "../c?d"), &to(301, "?e"), PLAIN]);
    let got = get(&["-L", &peer.url("/a/b")]);
    assert_eq!((got.status, got.text()), (0, "hello"), "{got:?}");
    let lines: Vec<String> = peer
        .asked()
        .iter()
        .map(|request| request.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "GET /a/b HTTP/1.1",
            "GET /c?d HTTP/1.1",
            "GET /c?e HTTP/1.1"
        ]
    );
    // Not asked for.
    let peer = Scripted::one_by_one(&[&to(302, "/x")]);
    assert_eq!(get(&[&peer.url("/")]).text(), "gone");
    // What becomes of a POST.
    for (status, line, length) in [
        (302, "GET /x HTTP/1.1", false),
        (303, "GET /x HTTP/1.1", false),
        (307, "POST /x HTTP/1.1", true),
        (308, "POST /x HTTP/1.1", true),
    ] {
        let peer = Scripted::one_by_one(&[&to(status, "/x"), PLAIN]);
        get(&["-L", "--post", "abc", &peer.url("/")]).is_fine();
        let asked = &peer.asked()[1];
        assert!(asked.starts_with(line), "{status}: {asked}");
        assert_eq!(asked.contains("Content-Length: 3"), length, "{asked}");
        assert_eq!(asked.ends_with("abc"), length, "{asked}");
    }
    // To another port, which is told no secret.
    let other = Scripted::one_by_one(&[PLAIN]);
    let peer = Scripted::one_by_one(&[&to(307, "/same"), &to(307, &other.url("/x"))]);
    let url = format!("http://u:p@{}/", peer.address);
    get(&["-L", "-H", "Cookie: c", "-H", "X: y", &url]).is_fine();
    for asked in peer.asked() {
        assert!(
            asked.contains("Authorization: ") && asked.contains("Cookie: "),
            "{asked}"
        );
    }
    let asked = other.asked().remove(0);
    assert!(
        !asked.contains("Authorization: ") && !asked.contains("Cookie: "),
        "{asked}"
    );
    assert!(asked.contains("\r\nX: y\r\n"));
    // On and on, in a circle, and away.
    let peer = Scripted::one_by_one(&[&to(302, "/1"), &to(302, "/2"), &to(302, "/3")]);
    get(&["-L", "--max-redirects", "2", &peer.url("/")]).is_failure(47, "more than 2 times");
    let peer = Scripted::one_by_one(&[&to(302, "/1"), &to(302, "/")]);
    get(&["-L", &peer.url("/")]).is_failure(47, "in a circle");
    let peer = Scripted::one_by_one(&[&to(302, "https://127.0.0.1/")]);
    get(&["-L", &peer.url("/")]).is_failure(1, "TLS");
    let peer = Scripted::one_by_one(&[&to(302, "http://a b/\x01")]);
    get(&["-L", &peer.url("/")]).is_failure(8, "field-value");
    let peer = Scripted::one_by_one(&[&to(302, "http://a$/")]);
    get(&["-L", &peer.url("/")]).is_failure(8, "no host");
}

#[test]
fn a_file_is_as_it_was_until_an_answer_takes_its_place() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    let name = path.to_str().unwrap();
    for (answer, status) in [
        ("HTTP/1.1 404 x\r\nContent-Length: 2\r\n\r\nno", 22),
        (
            "HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 2\r\n\r\nno",
            22,
        ),
        ("HTTP/1.1 304 x\r\n\r\n", 0),
        ("HTTP/1.1 200 OK\r\nContent-Le", 18),
        ("nonsense", 8),
        ("", 52),
    ] {
        fs::write(&path, "as it was").unwrap();
        let peer = Scripted::one_by_one(&[answer]);
        let got = get(&["-o", name, &peer.url("/")]);
        assert_eq!((got.status, got.text()), (status, ""), "{answer}: {got:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "as it was", "{answer}");
        fs::remove_file(&path).unwrap();
        let peer = Scripted::one_by_one(&[answer]);
        assert_eq!(get(&["-o", name, &peer.url("/")]).status, status);
        assert!(!path.exists(), "{answer}");
    }
    fs::write(&path, "as it was").unwrap();
    let peer = Scripted::one_by_one(&[PLAIN]);
    let got = get(&["-o", name, &peer.url("/")]);
    assert_eq!((got.status, got.err.as_str()), (0, ""), "{got:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "hello");
    // Named as the address ends, here.
    let peer = Scripted::one_by_one(&[PLAIN]);
    let mut command = preforkd();
    command.current_dir(directory.path());
    command.args(["get", "-O", &peer.url("/a/.name?x/y")]);
    Got::of(command).is_fine();
    assert_eq!(
        fs::read_to_string(directory.path().join("name")).unwrap(),
        "hello"
    );
}

#[test]
fn what_was_cut_is_gone_on_with() {
    let server = server();
    let whole = noise(3_000_000);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("noise");
    let name = path.to_str().unwrap();
    // A server that breaks off.
    let mut cut =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", whole.len()).into_bytes();
    cut.extend_from_slice(&whole[..1_234_567]);
    let peer = Scripted::answering(&cut, false);
    let got = get(&["-o", name, &peer.url("/")]);
    got.is_failure(18, "1234567 of 3000000 octets");
    assert!(
        got.err
            .contains("has 1234567 octets, and -C goes on from there"),
        "{got:?}"
    );
    assert!(fs::read(&path).unwrap() == whole[..1_234_567]);
    // And one that does not.
    get(&["-C", "-o", name, &at(&server, "/noise")]).is_fine();
    assert!(fs::read(&path).unwrap() == whole);
    let again = get(&["-C", "-o", name, &at(&server, "/noise")]);
    assert_eq!((again.status, again.err.as_str()), (0, ""), "{again:?}");
    assert!(fs::read(&path).unwrap() == whole);
    // Nothing yet; and one that is longer than what is there.
    fs::remove_file(&path).unwrap();
    get(&["-C", "-o", name, &at(&server, "/noise")]).is_fine();
    assert!(fs::read(&path).unwrap() == whole);
    get(&["-C", "-o", name, &at(&server, "/text.txt")]).is_failure(33, "not the same");
    assert!(fs::read(&path).unwrap() == whole);
    // A server that sends another part, or everything.
    fs::write(&path, "hel").unwrap();
    let wrong = "HTTP/1.1 206 x\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n\r\nllo";
    let peer = Scripted::one_by_one(&[wrong]);
    get(&["-C", "-o", name, &peer.url("/")]).is_failure(33, "those from 2 on came");
    assert_eq!(fs::read_to_string(&path).unwrap(), "hel");
    let peer = Scripted::one_by_one(&[PLAIN]);
    let got = get(&["-C", "-o", name, &peer.url("/")]);
    assert!(
        got.status == 0 && got.err.contains("begins anew"),
        "{got:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "hello");
    assert!(peer.asked()[0].contains("\r\nRange: bytes=3-\r\n"));
    server.stop();
}

#[test]
fn our_own_server_is_understood() {
    let server = server();
    let text = "once more with feeling\n";
    assert_eq!(get(&[&at(&server, "/text.txt")]).text(), text);
    assert_eq!(
        get(&["-r", "5-8", &at(&server, "/text.txt")]).text(),
        "more"
    );
    assert_eq!(
        get(&["-r", "-8", &at(&server, "/text.txt")]).text(),
        "feeling\n"
    );
    let whole = get(&["-r", "0-4", &at(&server, "/cgi-bin/say")]);
    assert!(
        whole.status == 0 && whole.err.contains("sends everything"),
        "{whole:?}"
    );
    let parts = get(&["-r", "0-3,10-13", &at(&server, "/text.txt")]);
    assert!(parts.text().contains("\r\n\r\nwith\r\n--"), "{parts:?}");
    let head = get(&["-I", &at(&server, "/text.txt")]);
    assert!(head.text().starts_with("HTTP/1.1 200 OK\r\n"), "{head:?}");
    assert!(
        head.text().contains("\r\nContent-Length: 23\r\n") && head.text().ends_with("\r\n\r\n")
    );
    assert_eq!(get(&[&at(&server, "/empty")]).text(), "");
    assert_eq!(get(&["-L", &at(&server, "/old/text.txt")]).text(), text);
    // What is compressed on its way comes out as it was.
    let packed = get(&["-v", "--compressed", &at(&server, "/")]);
    assert_eq!(packed.text(), "index\n".repeat(1000));
    assert!(
        packed.err.contains("< Content-Encoding: gzip\n"),
        "{packed:?}"
    );
    let plain = get(&["-v", &at(&server, "/")]);
    assert!(!plain.err.contains("Content-Encoding") && plain.err.contains("> GET / HTTP/1.1\n"));
    // Not there, and whether that is a failure.
    let missing = get(&[&at(&server, "/nope")]);
    assert!(
        missing.status == 0 && missing.text().contains("404 Not Found"),
        "{missing:?}"
    );
    let missing = get(&["-f", &at(&server, "/nope")]);
    missing.is_failure(22, "/nope: 404 Not Found");
    assert_eq!(missing.text(), "");
    // A program, with content.
    let said = get(&[
        "--post",
        "a=b",
        "-H",
        "X-A: c",
        &at(&server, "/cgi-bin/say"),
    ]);
    assert_eq!(said.text(), "POST application/x-www-form-urlencoded c\na=b");
    // Every way there.
    let places = server.addresses_of("web");
    for place in places {
        let got = match place.strip_prefix("unix:") {
            Some(path) => get(&["--unix", path, "http://localhost/text.txt"]),
            None => get(&[&format!("{place}/text.txt")]),
        };
        assert_eq!(got.text(), text, "{place}: {got:?}");
    }
    let refused = get(&["-6", &at(&server, "/text.txt")]);
    assert_eq!(refused.status, 6, "{refused:?}");
    let from = get(&["--source", "127.0.0.5", &at(&server, "/text.txt")]);
    assert_eq!(from.text(), text);
    server.stop();
}

#[test]
fn broken_compression_is_told() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\nthis is no gzip data";
    let peer = Scripted::one_by_one(&[answer]);
    get(&["--compressed", &peer.url("/")]).is_failure(61, "no gzip");
    let peer = Scripted::one_by_one(&[answer]);
    assert_eq!(get(&[&peer.url("/")]).text(), "this is no gzip data");
}

#[test]
fn times_are_told_in_words_and_as_json() {
    let server = server();
    let url = at(&server, "/text.txt");
    let text = get(&["--timing", &url]);
    for word in ["lookup ", "connect ", "first octet ", "total ", "23 octets"] {
        assert!(text.err.contains(word), "{text:?}");
    }
    let got = get(&["--json", "-L", &at(&server, "/old/text.txt")]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(told["url"], url);
    assert_eq!(
        (&told["status"], &told["redirects"]),
        (&200.into(), &1.into())
    );
    assert_eq!(told["octets"], 23);
    let time = |name: &str| told[name].as_u64().unwrap();
    assert!(
        time("connect_us") + time("first_octet_us") <= time("total_us"),
        "{told}"
    );
    // Again and again, over one connection.
    let got = get(&["--repeat", "50", "--json", &url]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(
        (&told["count"], &told["connections"]),
        (&50.into(), &1.into())
    );
    assert_eq!(
        (&told["statuses"]["200"], &told["octets"]),
        (&50.into(), &(50 * 23).into())
    );
    let each = &told["each_us"];
    assert!(each["min"].as_u64() <= each["median"].as_u64());
    assert!(each["median"].as_u64() <= each["max"].as_u64(), "{told}");
    let text = get(&["--repeat", "3", &url]);
    assert!(
        text.err.contains("3 answers over 1 connection in ") && text.out.is_empty(),
        "{text:?}"
    );
    assert!(text.err.contains("median"), "{text:?}");
    server.stop();
}

#[test]
fn a_kept_connection_that_ends_is_tried_once_more() {
    let keeps = |answers: usize, end: Step| {
        let mut script = Vec::new();
        for _ in 0..answers {
            script.push(Step::Read);
            script.push(Step::Send(PLAIN.as_bytes().to_vec()));
        }
        script.push(end);
        script
    };
    // The second connection answers the third request.
    let peer = Scripted::new(vec![keeps(2, Step::Read), keeps(1, Step::Hush)]);
    // `Read` notes the third request and then closes without an answer.
    let got = get(&["--repeat", "3", "--json", &peer.url("/")]);
    got.is_fine();
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(
        (&told["count"], &told["connections"]),
        (&3.into(), &2.into())
    );
    assert_eq!(peer.asked().len(), 4);
    // Not for what may be done once only.
    let peer = Scripted::new(vec![keeps(1, Step::Read)]);
    let got = get(&["--repeat", "2", "--post", "x", &peer.url("/")]);
    got.is_failure(52, "without an answer");
    // And once only.
    let peer = Scripted::new(vec![keeps(1, Step::Read), vec![Step::Read]]);
    get(&["--repeat", "2", &peer.url("/")]).is_failure(52, "without an answer");
    // Who closes each time is asked on a new one each time.
    let closes = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let peer = Scripted::one_by_one(&[closes, closes]);
    let got = get(&["--repeat", "2", "--json", &peer.url("/")]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(told["connections"], 2, "{told}");
    // Nothing may come between two answers.
    let surplus = format!("{PLAIN}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let peer = Scripted::one_by_one(&[&surplus, PLAIN]);
    let got = get(&["--repeat", "2", "--json", &peer.url("/")]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(told["connections"], 2, "{told}");
}

#[test]
fn a_terminal_gets_text_and_a_bar() {
    let content = "a\x1b[31mb\r\nc\u{202e}\0";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nX: \u{85}\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    );
    let peer = Scripted::one_by_one(&[&answer]);
    let mut command = preforkd();
    command.args(["get", "-i", &peer.url("/")]);
    let mut terminal = Terminal::start(&command, 100, 30);
    assert!(terminal.wait().success());
    let shown = || String::from_utf8_lossy(&terminal.written()).into_owned();
    eventually("what came is shown", SOON, || {
        shown().contains("\\u{0}").then_some(())
    });
    let shown = shown();
    assert!(
        shown.contains("a\\u{1b}[31mb\r\nc\\u{202e}\\u{0}"),
        "{shown:?}"
    );
    assert!(
        shown.contains("X: \\u{85}") && !shown.contains('\x1b'),
        "{shown:?}"
    );
    // A file has a bar there, and nothing anywhere else.
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    let server = server();
    let url = at(&server, "/noise");
    let mut command = preforkd();
    command.args(["get", "-o", path.to_str().unwrap(), &url]);
    let mut terminal = Terminal::start(&command, 100, 30);
    assert!(terminal.wait().success());
    eventually("a bar is shown", SOON, || {
        let shown = String::from_utf8_lossy(&terminal.written()).into_owned();
        shown.contains("2.86 MiB/2.86 MiB").then_some(())
    });
    assert!(fs::read(&path).unwrap() == noise(3_000_000));
    let got = get(&["-o", path.to_str().unwrap(), &url]);
    assert_eq!(
        (got.status, got.text(), got.err.as_str()),
        (0, "", ""),
        "{got:?}"
    );
    server.stop();
}

#[test]
fn a_reader_that_has_gone_has_read_enough() {
    let server = server();
    let mut child = preforkd()
        .args(["get", &at(&server, "/noise")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let full = fs::File::create("/dev/full").unwrap();
    let status = preforkd()
        .args(["get", &at(&server, "/text.txt")])
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(71));
    server.stop();
}

#[test]
fn every_exit_status_stands_in_the_readme() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, section) = readme.split_once("### Asking a server\n").unwrap();
    let section = section.split("\n### ").next().unwrap();
    let rows: BTreeSet<&str> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    for (status, meaning) in preforkd::cli::get::exit_statuses() {
        let row = format!("| `{status}` | {meaning} |");
        assert!(
            rows.contains(row.as_str()),
            "README.md, Asking a server, lacks\n{row}"
        );
    }
}

/// Whether a program is there; a test that wants it is left out otherwise.
fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|path| path.join(program).exists());
    if !found {
        eprintln!("left out: there is no {program}");
    }
    found
}

/// What curl makes of it: what it writes, and its exit status.
fn curl(arguments: &[&str]) -> (i32, Vec<u8>) {
    let mut command = Command::new("curl");
    command
        .args(["-q", "-sS", "--max-time", "10"])
        .args(arguments);
    command.stdin(Stdio::null());
    let got = Got::of(command);
    (got.status, got.out)
}

#[test]
fn curl_comes_to_the_same() {
    if !has("curl") {
        return;
    }
    let server = server();
    for (flags, path) in [
        (&[][..], "/text.txt"),
        (&[], "/noise"),
        (&[], "/nope"),
        (&["-f"], "/nope"),
        (&["-r", "5-8"], "/text.txt"),
        (&["-r", "-3"], "/noise"),
        (&["-r", "100-"], "/text.txt"),
        (&["-f", "-r", "100-"], "/text.txt"),
        (&["-L"], "/old/text.txt"),
        (&[], "/old/text.txt"),
        (&["-H", "Accept: application/json"], "/nope"),
        (&["-H", "X-A: b"], "/cgi-bin/say"),
        (&["-X", "OPTIONS"], "/"),
        (&["-X", "DELETE"], "/text.txt"),
        (&["--compressed"], "/"),
    ] {
        let url = at(&server, path);
        let arguments = [flags, &[&url]].concat();
        let ours = get(&arguments);
        assert_eq!((ours.status, ours.out), curl(&arguments), "{arguments:?}");
    }
    let url = at(&server, "/cgi-bin/say");
    let ours = get(&["--post", "a=b", &url]);
    assert_eq!((ours.status, ours.out), curl(&["-d", "a=b", &url]));
    // Of a bad answer: what was written, and whether it is a failure.
    for answer in [
        PLAIN,
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        "",
    ] {
        let peer = Scripted::one_by_one(&[answer]);
        let ours = get(&[&peer.url("/")]);
        let peer = Scripted::one_by_one(&[answer]);
        assert_eq!(
            (ours.status, ours.out),
            curl(&[&peer.url("/")]),
            "{answer:?}"
        );
    }
    server.stop();
}

/// A server of somebody else's; killed at the end.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same of anybody who serves `noise` and `text.txt`.
fn assert_served(base: &str, has_ranges: bool) {
    let whole = noise(300_000);
    assert!(get(&[&format!("{base}/noise")]).out == whole);
    assert_eq!(
        get(&[&format!("{base}/text.txt")]).text(),
        "once more with feeling\n"
    );
    let head = get(&["-I", &format!("{base}/noise")]);
    assert!(
        head.text()
            .to_lowercase()
            .contains("content-length: 300000\r\n"),
        "{head:?}"
    );
    get(&["-f", &format!("{base}/nope")]).is_failure(22, "404");
    get(&["--repeat", "5", &format!("{base}/noise")]).is_fine();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("part");
    fs::write(&path, &whole[..123_456]).unwrap();
    let got = get(&["-C", "-o", path.to_str().unwrap(), &format!("{base}/noise")]);
    got.is_fine();
    assert_eq!(got.err.contains("begins anew"), !has_ranges, "{got:?}");
    assert!(fs::read(&path).unwrap() == whole);
}

fn site() -> TempDir {
    let directory = TempDir::new().unwrap();
    // Who serves it may be another user.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.path().join("noise"), noise(300_000)).unwrap();
    fs::write(
        directory.path().join("text.txt"),
        "once more with feeling\n",
    )
    .unwrap();
    directory
}

#[test]
fn the_server_of_python_is_understood() {
    if !has("python3") {
        return;
    }
    let site = site();
    let child = Command::new("python3")
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"])
        .current_dir(site.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut other = Other(child);
    let mut line = String::new();
    let mut out = BufReader::new(other.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    // `Serving HTTP on 127.0.0.1 port 40001 (http://127.0.0.1:40001/) ...`
    let (_, rest) = line.split_once("(http://").unwrap();
    let (place, _) = rest.split_once("/)").unwrap();
    assert_served(&format!("http://{place}"), false);
}

#[test]
fn nginx_is_understood() {
    let mut command = Command::new("nginx");
    let paths = std::env::var("PATH").unwrap_or_default();
    // Where Debian has it, which is in no user's path.
    let paths = format!("{paths}:/usr/sbin");
    if !std::env::split_paths(&paths).any(|path| path.join("nginx").exists()) {
        eprintln!("left out: there is no nginx");
        return;
    }
    let (site, place) = (site(), TempDir::new().unwrap());
    let socket = place.path().join("nginx.sock");
    let user = if nix::unistd::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let (root, own) = (site.path().display(), place.path().display());
    let text = format!(
        "daemon off; worker_processes 1; pid {own}/pid; {user} error_log {own}/log;
         events {{ worker_connections 64; }}
         http {{
           access_log off; default_type text/plain;
           client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
           fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
           server {{ listen unix:{}; root {root}; }}
         }}",
        socket.display()
    );
    let configuration = place.path().join("nginx.conf");
    fs::write(&configuration, text).unwrap();
    command.env("PATH", paths).args(["-e", "stderr", "-p"]);
    command.arg(place.path()).arg("-c").arg(&configuration);
    let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut other = Other(child.unwrap());
    let name = socket.to_str().unwrap().to_owned();
    eventually("nginx serves", SOON, || {
        assert!(other.0.try_wait().unwrap().is_none(), "nginx has ended");
        std::os::unix::net::UnixStream::connect(&name).ok()
    });
    let whole = get(&["--unix", &name, "http://localhost/noise"]);
    assert!(whole.out == noise(300_000), "{}", whole.err);
    assert_eq!(
        get(&["--unix", &name, "-r", "5-8", "http://localhost/text.txt"]).text(),
        "more"
    );
    get(&["--unix", &name, "-f", "http://localhost/nope"]).is_failure(22, "404 Not Found");
    let got = get(&[
        "--unix",
        &name,
        "--repeat",
        "20",
        "--json",
        "http://localhost/noise",
    ]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(
        (&told["count"], &told["connections"]),
        (&20.into(), &1.into())
    );
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("part");
    fs::write(&path, &noise(300_000)[..123_456]).unwrap();
    let got = get(&[
        "--unix",
        &name,
        "-C",
        "-o",
        path.to_str().unwrap(),
        "http://localhost/noise",
    ]);
    assert!(got.status == 0 && got.err.is_empty(), "{got:?}");
    assert!(fs::read(&path).unwrap() == noise(300_000));
    // It goes by SIGTERM, and takes its worker along.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(other.0.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    eventually("nginx ends", SOON, || other.0.try_wait().unwrap());
}
