//! The rules for clients, as a table: what is sent, and the answer that is
//! right. The number of a row is that of the rule. Each row holds however the
//! octets arrive: whole, in two segments at every point, or one by one.
//!
//! Rules about conditional requests, ranges and codings are in `representations`,
//! those about hosts, paths, passwords and listings in `sites`, those about time in
//! `deadlines`; what logs and counters say of requests is in `records`. Rules about
//! programs and the PROXY header join with what they are about.

mod deadlines;
mod records;
mod reports;
mod representations;
mod sites;

use super::clause::Clause;
use super::pretend::{settings, split, world, world_with};
use crate::config::{Http, LogTarget};
use crate::protocol::harness::{Finale, Seen};
use crate::protocol::{CloseReason, Manner};
use std::time::Duration;

/// How the connection is after the last answer.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It stays until the client closes it.
    Kept,
    /// The server closed it after an answer that said so.
    Closed,
    /// A rule was broken: it said so, and lingers.
    Refused,
    /// It ended without an answer to the last request.
    Cut,
}

struct Row {
    rule: u16,
    send: String,
    answers: &'static [u16],
    end: End,
    has: Vec<&'static str>,
    lacks: &'static [&'static str],
    /// What is sent with 200 is no file: it has no tag.
    is_of_no_file: bool,
}

fn row(rule: u16, send: impl Into<String>, answers: &'static [u16], end: End) -> Row {
    Row {
        rule,
        send: send.into(),
        answers,
        end,
        has: Vec::new(),
        lacks: &[],
        is_of_no_file: false,
    }
}

impl Row {
    fn has(mut self, has: &'static [&'static str]) -> Self {
        self.has.extend_from_slice(has);
        self
    }

    fn lacks(mut self, lacks: &'static [&'static str]) -> Self {
        self.lacks = lacks;
        self
    }

    fn of_no_file(mut self) -> Self {
        self.is_of_no_file = true;
        self
    }
}

/// A request for `/a` with this request line and these further fields.
fn with(line: &str, fields: &str) -> String {
    format!("{line}\r\nHost: a\r\n{fields}\r\n")
}

fn get(fields: &str) -> String {
    with("GET /a HTTP/1.1", fields)
}

fn of(target: &str) -> String {
    with(&format!("GET {target} HTTP/1.1"), "")
}

fn host(value: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: {value}\r\n\r\n")
}

fn post(fields: &str, content: &str) -> String {
    with("POST /a HTTP/1.1", fields) + content
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const EXPECT: &str = "Expect: 100-continue\r\n";

fn heads() -> Vec<Row> {
    use End::{Closed, Kept, Refused};
    vec![
        row(1, "GET / HTTP/1.1\nHost: a\n\n", &[400], Refused),
        row(2, get("X: a\rb\r\n"), &[400], Refused),
        row(3, format!("\r\n{}", get("")), &[200], Kept).has(&["of a"]),
        row(3, format!("\r\n\r\n{}", get("")), &[400], Refused),
        row(
            4,
            "GET /a HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n",
            &[400],
            Refused,
        ),
        row(5, "GET /a HTTP/1.1\r\nHost : a\r\n\r\n", &[400], Refused),
        row(6, get("X: 1\r\n 2\r\n"), &[400], Refused).has(&["obs-fold"]),
        row(7, get(": x\r\n"), &[400], Refused),
        row(7, get("x\r\n"), &[400], Refused),
        row(8, get("X: \0\r\n"), &[400], Refused),
        row(9, get("X: \x01\r\n"), &[400], Refused),
        row(10, get("X: \u{e4}\u{80}\r\n"), &[200], Kept),
        row(11, get("X[: 1\r\n"), &[400], Refused),
        row(11, get("X\": 1\r\n"), &[400], Refused),
        row(11, get("\u{ef}: 1\r\n"), &[400], Refused),
        row(12, get("Connection:\t close \t\r\n"), &[200], Closed),
        row(12, get("Connection: \x0bclose\r\n"), &[400], Refused),
        row(12, get("Connection: \u{85}close\r\n"), &[200], Kept),
        row(13, "\x16\x03\x01\x02", &[400], Refused),
        row(14, with("get / HTTP/1.1", ""), &[501], Refused),
        row(15, with("ABC / HTTP/1.1", ""), &[501], Refused),
        row(16, "A".repeat(100_000), &[501], Refused),
        row(17, with("GET  /a HTTP/1.1", ""), &[400], Refused),
        row(17, with("GET\t/a\tHTTP/1.1", ""), &[400], Refused),
        row(18, of("/a b"), &[400], Refused),
        row(19, of("/#f"), &[400], Refused),
        row(19, of("/\u{80}"), &[400], Refused),
        row(19, of("!"), &[400], Refused),
        row(20, of(&format!("/{}", "x".repeat(7986))), &[404], Kept),
        row(21, of(&format!("/{}", "x".repeat(8000))), &[414], Refused),
        row(21, format!("GET /{}", "x".repeat(8000)), &[414], Refused),
        row(22, with("GET / HTTP/2.0", ""), &[505], Refused),
        row(22, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505], Refused),
        row(23, with("GET /a HTTP/1.2", ""), &[200], Kept),
        row(24, with("GET /a http/1.1", ""), &[400], Refused),
        row(24, with("GET /a HTTP/1", ""), &[400], Refused),
        row(24, with("GET /a HTTP/01.1", ""), &[400], Refused),
        row(24, with("GET /a HTTP/1.10", ""), &[400], Refused),
        row(24, with("GET /a HTTP/ 1.1", ""), &[400], Refused),
        row(25, "GET /\r\n", &[400], Refused),
        row(
            26,
            "GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["of x"]),
        row(27, of("http://elsewhere.example/x"), &[200], Kept),
        // RFC 9110 §7.4: not over a connection that nobody has secured.
        row(27, of("https://a/x"), &[421], Kept),
        row(28, of("*"), &[400], Refused),
        row(29, with("OPTIONS * HTTP/1.1", ""), &[204], Kept),
        row(29, with("OPTIONS http://a HTTP/1.1", ""), &[204], Kept),
        row(30, with("CONNECT h:443 HTTP/1.1", ""), &[405], Closed),
        row(30, with("CONNECT h HTTP/1.1", ""), &[400], Refused),
        row(30, with("CONNECT / HTTP/1.1", ""), &[400], Refused),
        row(31, with("TRACE /a HTTP/1.1", ""), &[405], Kept),
        row(32, "GET / HTTP/1.1\r\n\r\n", &[400], Refused),
        row(33, get("Host: a\r\n"), &[400], Refused),
        row(33, get("Host: b\r\n"), &[400], Refused),
        row(34, host("###"), &[400], Refused),
        row(34, host("a/b"), &[400], Refused),
        row(34, host("u@a"), &[400], Refused),
        row(34, host("a, b"), &[400], Refused),
        row(34, host("a:x"), &[400], Refused),
        row(35, host(""), &[200], Kept),
        row(36, "GET /a HTTP/1.0\r\n\r\n", &[200], Closed),
        row(37, host("A.EXAMPLE.:80"), &[200], Kept),
        row(37, host("[::1]:8080"), &[200], Kept),
        row(
            112,
            get(&format!("X: {}\r\n", "x".repeat(20_000))),
            &[431],
            Refused,
        ),
        row(112, get(&"X: y\r\n".repeat(99)), &[200], Kept),
        row(112, get(&"X: y\r\n".repeat(100)), &[431], Refused),
    ]
}

fn bodies() -> Vec<Row> {
    use End::{Closed, Cut, Kept, Refused};
    let cl = |value: &str| get(&format!("Content-Length: {value}\r\n"));
    let te = |value: &str| get(&format!("Transfer-Encoding: {value}\r\n"));
    let chunks = |chunks: &str| get(CHUNKED) + chunks;
    vec![
        row(
            38,
            get(&format!("Content-Length: 5\r\n{CHUNKED}")),
            &[400],
            Refused,
        ),
        row(
            38,
            get(&format!("{CHUNKED}Content-Length: 5\r\n")),
            &[400],
            Refused,
        ),
        row(39, te("chunked, gzip"), &[400], Refused),
        row(39, te("gzip"), &[400], Refused),
        row(40, te("foo, chunked"), &[501], Refused),
        row(41, te("xchunked"), &[400], Refused),
        row(41, te("chunked;q=1"), &[400], Refused),
        row(41, te("\x0bchunked"), &[400], Refused),
        row(42, get(&CHUNKED.repeat(2)), &[400], Refused),
        row(42, te("chunked, chunked"), &[400], Refused),
        row(43, te(",chunked"), &[400], Refused),
        row(44, with("GET /a HTTP/1.0", CHUNKED), &[400], Refused),
        row(45, cl("+5"), &[400], Refused),
        row(45, cl("-1"), &[400], Refused),
        row(45, cl("0x5"), &[400], Refused),
        row(45, cl("1_0"), &[400], Refused),
        row(45, cl("5a"), &[400], Refused),
        row(45, cl("5 5"), &[400], Refused),
        row(45, cl(""), &[400], Refused),
        row(46, cl("5, 6"), &[400], Refused),
        row(46, cl("5\r\nContent-Length: 6"), &[400], Refused),
        row(47, cl("5, 5"), &[400], Refused),
        row(47, cl("5\r\nContent-Length: 5"), &[400], Refused),
        row(48, cl("18446744073709551616"), &[413], Refused),
        row(49, cl("0010") + "0123456789" + &of("/b"), &[200, 200], Kept).has(&["of b"]),
        row(50, post("", "") + &of("/b"), &[405, 200], Kept),
        row(51, cl("5") + "hello" + &of("/b"), &[200, 200], Kept).has(&["of b"]),
        row(51, cl("5") + "GET /" + &of("/b"), &[200, 200], Kept).has(&["of b"]),
        row(52, chunks("0x5\r\n"), &[400], Refused),
        row(52, chunks("+5\r\n"), &[400], Refused),
        row(52, chunks("-5\r\n"), &[400], Refused),
        row(52, chunks("5_0\r\n"), &[400], Refused),
        row(52, chunks("\r\n"), &[400], Refused),
        row(52, chunks(" 5\r\n"), &[400], Refused),
        row(53, chunks("10000000000000005\r\n"), &[400], Refused),
        row(54, chunks("5\nhello\r\n"), &[400], Refused),
        row(54, chunks("5\r\nhello\n"), &[400], Refused),
        row(55, chunks("A;x=y\r\n0123456789\r\n0\r\n\r\n"), &[200], Kept),
        row(55, chunks("5 ; x\r\nhello\r\n0\t;y\r\n\r\n"), &[200], Kept),
        row(
            55,
            chunks(&"1;0123456789\r\na\r\n".repeat(500)),
            &[400],
            Refused,
        ),
        row(
            56,
            chunks("0\r\nHost: b\r\nContent-Length: 9\r\n\r\n") + &of("/b"),
            &[200, 200],
            Kept,
        ),
        row(57, cl("5") + "hell", &[], Cut),
        row(57, chunks("5\r\nhello\r\n0\r\n"), &[], Cut),
        row(
            58,
            get(&format!("Content-Length: 5\r\n{EXPECT}")) + "hello",
            &[100, 200],
            Kept,
        ),
        row(
            58,
            get(&format!("{CHUNKED}{EXPECT}")) + "0\r\n\r\n",
            &[100, 200],
            Kept,
        ),
        row(
            58,
            get(&format!("Content-Length: 0\r\n{EXPECT}")),
            &[200],
            Kept,
        ),
        row(
            59,
            post(&format!("Content-Length: 5\r\n{EXPECT}"), ""),
            &[405],
            Closed,
        ),
        row(
            59,
            post(&format!("Content-Length: 1001\r\n{EXPECT}"), ""),
            &[413],
            Refused,
        ),
        row(
            60,
            "GET /a HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
            &[200],
            Closed,
        ),
        row(61, get("Expect: foo\r\n"), &[417], Refused),
        row(
            67,
            post("Content-Length: 5000\r\n", &"x".repeat(5000)),
            &[413],
            Refused,
        ),
        row(
            83,
            post("If-None-Match: *\r\nContent-Length: 3\r\n", "abc"),
            &[405],
            Kept,
        ),
        row(113, cl("1001"), &[413], Refused),
        row(
            113,
            chunks("200\r\n") + &"x".repeat(512) + "\r\n200\r\n",
            &[413],
            Refused,
        ),
    ]
}

fn connections() -> Vec<Row> {
    use End::{Closed, Cut, Kept};
    vec![
        row(62, of("/a") + &of("/b") + &of("/x"), &[200, 200, 200], Kept),
        row(63, get("Connection: close\r\n") + &of("/b"), &[200], Closed).lacks(&["of b"]),
        row(64, get("Connection: foo, Close\r\n"), &[200], Closed),
        row(65, "GET /a HTTP/1.0\r\n\r\n", &[200], Closed),
        row(
            66,
            with("GET /a HTTP/1.0", "Connection: keep-alive\r\n"),
            &[200],
            Kept,
        )
        .has(&["Connection: keep-alive", "Content-Length: 4"]),
        row(68, of("/a"), &[200], Kept).has(&["of a"]),
        row(69, "GET /a HTTP/1.1\r\nHo", &[], Cut),
        row(70, "", &[], Kept),
        row(
            71,
            get("Upgrade: h2c\r\nConnection: upgrade\r\n"),
            &[200],
            Kept,
        ),
        row(71, get("Upgrade: foo\r\n"), &[200], Kept),
    ]
}

fn answers() -> Vec<Row> {
    use End::{Closed, Kept, Refused};
    let head = |target: &str| with(&format!("HEAD {target} HTTP/1.1"), "");
    vec![
        row(72, head("/a") + &head("/b"), &[200, 200], Kept)
            .has(&["Content-Length: 4"])
            .lacks(&["of a"]),
        row(72, head("/nothing"), &[404], Kept)
            .has(&["Content-Length: "])
            .lacks(&["<h1>"]),
        row(72, head("/dir/"), &[200], Kept)
            .has(&["text/html"])
            .lacks(&["in dir"]),
        row(
            73,
            with("HEAD /a HTTP/1.1", "Range: bytes=0-0\r\n"),
            &[200],
            Kept,
        ),
        row(75, with("OPTIONS /a HTTP/1.1", ""), &[204], Kept).has(&["Allow: GET, HEAD, OPTIONS"]),
        row(76, with("OPTIONS /a HTTP/1.1", ""), &[204], Kept)
            .lacks(&["Content-Length", "Transfer-Encoding"]),
        row(77, of("/a"), &[200], Kept).has(&["Date: Wed, 01 Jul 2026 10:30:05 GMT\r\n"]),
        row(78, of("/dir?q=1"), &[301], Kept).has(&["Location: /dir/?q=1\r\n"]),
        row(79, of("//evil.example/."), &[403], Kept),
        row(79, of("//evil.example"), &[301], Kept).has(&["Location: /evil.example/\r\n"]),
        row(79, of("/%5c/..//evil.example"), &[301], Kept).has(&["Location: /evil.example/\r\n"]),
        row(92, of("/future"), &[200], Kept)
            .has(&["Last-Modified: Wed, 01 Jul 2026 10:30:05 GMT\r\n"]),
        row(108, of("/%2e%2e/x"), &[200], Kept).has(&["of x"]),
        row(108, of("/..%2fx"), &[200], Kept).has(&["of x"]),
        row(108, of("/a/..\\x"), &[404], Kept),
        row(108, of("/%c0%af"), &[404], Kept),
        row(109, of("/%00"), &[400], Refused),
        row(109, of("/%zz"), &[400], Refused),
        row(109, of("/%0d%0aX:1"), &[400], Refused).lacks(&["\nX:1"]),
        row(110, of("//a"), &[200], Kept),
        row(110, of("/./a"), &[200], Kept),
        row(110, of("/a/../b"), &[200], Kept).has(&["of b"]),
        row(111, of("/link"), &[403], Kept),
        // Files and directories, beside the numbered rules.
        row(0, of("/"), &[200], Kept).has(&["home", "Content-Type: text/html; charset=utf-8"]),
        row(0, of("/a%20b.txt"), &[200], Kept).has(&["spaces", "text/plain; charset=utf-8"]),
        row(0, of("/dir/"), &[200], Kept).has(&["in dir"]),
        row(0, of("/a/"), &[404], Kept),
        row(0, of("/bare/"), &[403], Kept),
        row(0, of("/empty"), &[200], Kept).has(&["Content-Length: 0\r\n"]),
        row(0, of("/socket"), &[403], Kept),
        row(0, of("/private"), &[403], Kept),
        row(0, of("/.secret"), &[404], Kept).lacks(&["hidden"]),
        row(0, of("/%2esecret"), &[404], Kept).lacks(&["hidden"]),
        row(0, of("/.well-known/security.txt"), &[200], Kept),
        row(0, of("/full"), &[503], Closed).has(&["Retry-After: 1\r\n"]),
        row(0, of("/broken"), &[500], Closed),
    ]
}

#[test]
fn the_table() {
    let world = world();
    for rows in [heads(), bodies(), connections(), answers()] {
        for row in rows {
            let bytes = latin1(&row.send);
            if bytes.len() < 1500 {
                world.every_way(&bytes, Finale::Finish, |seen| check(&row, seen));
                continue;
            }
            for size in [bytes.len(), bytes.len() / 2 + 1, 1000, 1] {
                let segments: Vec<&[u8]> = bytes.chunks(size).collect();
                check(&row, &world.run(&segments, Finale::Finish));
            }
        }
    }
}

/// U+0080 to U+00FF stand for single octets in the table.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| letter as u8).collect()
}

/// A listing, whose end is told in another way.
fn is_without_length(head: &str) -> bool {
    let is_listed = head.contains("\r\nVary: Accept\r\n") && !head.contains("\r\nETag: ");
    is_listed && head.starts_with("HTTP/1.1 200 ")
}

fn check(row: &Row, seen: &Seen) {
    let output = String::from_utf8_lossy(&seen.output);
    let context = format!(
        "rule {}, sent {:.200?}\nanswered {output}\nended {:?}",
        row.rule, row.send, seen.ending
    );
    let answers = split(&seen.output, row.send.starts_with("HEAD "));
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, row.answers, "{context}");
    for text in &row.has {
        assert!(output.contains(text), "{text} is missing: {context}");
    }
    for text in row.lacks {
        assert!(!output.contains(text), "{text} is there: {context}");
    }
    for (status, head) in &answers {
        // Rules 74, 76 and 77.
        assert_eq!(head.contains("\r\nDate: "), *status >= 200, "{context}");
        assert_eq!(
            head.contains("\r\nAllow: "),
            matches!(status, 204 | 405),
            "{context}"
        );
        assert_eq!(
            head.contains("\r\nContent-Length: "),
            !matches!(status, 100 | 204 | 304) && !is_without_length(head),
            "{context}"
        );
        // Rules 91, 95 and 104.
        assert_eq!(
            head.contains("\r\nETag: "),
            matches!(status, 200 | 206 | 304) && !row.is_of_no_file,
            "{context}"
        );
        assert!(
            *status != 416 || head.contains("\r\nContent-Range: bytes */"),
            "{context}"
        );
    }
    let last_closes = answers
        .last()
        .is_some_and(|(_, head)| head.contains("\r\nConnection: close\r\n"));
    let (reason, manner) = (seen.ending.reason, seen.ending.manner);
    let fits = match row.end {
        End::Kept => reason == CloseReason::PeerClosed && !last_closes,
        End::Closed => {
            matches!(reason, CloseReason::Complete | CloseReason::Internal) && last_closes
        }
        End::Refused => {
            matches!(reason, CloseReason::Refused(_)) && manner == Manner::Linger && last_closes
        }
        End::Cut => reason == CloseReason::CutShort,
    };
    assert!(fits, "{context}");
    if let CloseReason::Refused(rule) = reason {
        let clause = Clause::ALL.iter().find(|clause| clause.name() == rule);
        let fits = clause.is_some_and(|clause| clause.rows().contains(&row.rule));
        assert!(
            fits || row.rule == 0,
            "{rule} is not of this row: {context}"
        );
    }
    // A line for each request that has begun, answered or not, but for probes.
    let finals = statuses.iter().filter(|status| **status >= 200).count();
    let cut = usize::from(reason == CloseReason::CutShort);
    let lines = seen.log.lines().count() as u64;
    assert_eq!(lines + seen.probes, (finals + cut) as u64, "{context}");
    assert_eq!(seen.log.matches("\" 499 - ").count(), cut, "{context}");
}

#[test]
fn a_client_waits_for_100_and_gets_it() {
    // Rule 58: the answer must not wait for the content.
    let request = get(&format!("Content-Length: 5\r\n{EXPECT}"));
    let seen = world().run(&[request.as_bytes()], Finale::Silence);
    assert!(seen.output.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"));
}

#[test]
fn the_request_limit_is_announced() {
    let world = world_with(Http {
        keepalive_requests: 2,
        ..settings()
    });
    let seen = world.run(&[of("/a").repeat(3).as_bytes()], Finale::Finish);
    let answers = split(&seen.output, false);
    assert_eq!(answers.len(), 2);
    assert!(!answers[0].1.contains("Connection"));
    assert!(answers[1].1.contains("Connection: close"));
    assert_eq!(seen.ending.reason, CloseReason::RequestLimit);
    assert_eq!(seen.ending.manner, Manner::Linger);
}

#[test]
fn many_answers_are_gathered_and_bounded() {
    let requests = with("OPTIONS * HTTP/1.1", "").repeat(90);
    // The line of the last one says when its answer was sent.
    let seen = world().run(&[requests.as_bytes()], Finale::Finish);
    assert_eq!((seen.flushes, split(&seen.output, false).len()), (1, 90));
    assert_eq!(seen.log.lines().count(), 90);
    let world = world_with(Http {
        access_log: LogTarget::Off,
        ..settings()
    });
    let seen = world.run(&[requests.as_bytes()], Finale::Finish);
    assert_eq!((seen.flushes, split(&seen.output, false).len()), (0, 90));
    let requests = of("/large").repeat(3) + &of("/a").repeat(3);
    let seen = world.run(&[requests.as_bytes()], Finale::Finish);
    assert_eq!((seen.flushes, split(&seen.output, false).len()), (3, 6));
    // The pretend driver puts a file into the output whole.
    assert!(seen.deepest < 200_000 + 1000);
    assert_eq!(seen.requests, 6);
}

#[test]
fn hidden_names_are_not_even_looked_for() {
    let seen = world().run(&[of("/.secret").as_bytes()], Finale::Finish);
    assert!(seen.opened.is_empty());
    let world = world_with(Http {
        dotfiles: true,
        ..settings()
    });
    let seen = world.run(&[of("/.secret").as_bytes()], Finale::Finish);
    assert!(seen.output.ends_with(b"hidden"));
}
