//! Rows 1 to 37 and 112: request lines, fields, Host and targets.

use crate::row::End::{Closed, Kept, Refused};
use crate::row::{Row, get, of, row, with};

fn host(value: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: {value}\r\n\r\n")
}

pub(crate) fn rows() -> Vec<Row> {
    let target = |length: usize| of(&format!("/{}", "x".repeat(length - 1)));
    let mut rows = vec![
        row(1, "GET / HTTP/1.1\nHost: a\n\n", &[400], Refused).has(&["rfc9112-2.2 bare LF"]),
        row(
            1,
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            &[400],
            Refused,
        ),
        row(1, "GET / HTTP/1.1\r\nHost: a\r\n\n", &[400], Refused),
        row(2, get("X: a\rb\r\n"), &[400], Refused),
        row(2, get("X: a\r\r\n"), &[400], Refused),
        row(3, format!("\r\n{}", get("")), &[200], Kept).has(&["of a"]),
        row(
            4,
            "GET /a HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n",
            &[400],
            Refused,
        ),
        row(
            4,
            "GET /a HTTP/1.1\r\n\tX: 1\r\nHost: a\r\n\r\n",
            &[400],
            Refused,
        ),
        row(5, "GET /a HTTP/1.1\r\nHost : a\r\n\r\n", &[400], Refused),
        row(5, "GET /a HTTP/1.1\r\nHost\t: a\r\n\r\n", &[400], Refused),
        row(6, get("X: 1\r\n 2\r\n"), &[400], Refused).has(&["obs-fold"]),
        row(6, get("X: 1\r\n\t\r\n"), &[400], Refused).has(&["obs-fold"]),
        row(7, get(": x\r\n"), &[400], Refused),
        row(7, get("x\r\n"), &[400], Refused),
        row(8, get("X: \0\r\n"), &[400], Refused),
        row(9, get("X: \x01\r\n"), &[400], Refused),
        row(9, get("X: \x7f\r\n"), &[400], Refused),
        row(10, get("X: \u{e4}\u{80}\u{ff}\r\n"), &[200], Kept),
        row(11, get("X[: 1\r\n"), &[400], Refused),
        row(11, get("X\": 1\r\n"), &[400], Refused),
        row(11, get("\u{ef}: 1\r\n"), &[400], Refused),
        row(12, get("Connection:\t close \t\r\n"), &[200], Closed),
        row(12, get("Connection: \x0bclose\r\n"), &[400], Refused),
        row(12, get("Connection: \x0cclose\r\n"), &[400], Refused),
        row(12, get("Connection: \u{85}close\r\n"), &[200], Kept),
        row(12, get("Connection: \u{a0}close\r\n"), &[200], Kept),
        row(13, "\x16\x03\x01\x02\0\x01\0\x01\u{fc}", &[400], Refused),
        row(13, "\0\u{ff}junk", &[400], Refused),
        row(14, with("get / HTTP/1.1", ""), &[501], Refused),
        row(15, with("ABC / HTTP/1.1", ""), &[501], Refused),
        row(16, "A".repeat(100_000), &[501], Refused),
        row(17, with("GET  /a HTTP/1.1", ""), &[400], Refused),
        row(17, with("GET\t/a\tHTTP/1.1", ""), &[400], Refused),
        row(17, with("GET /a  HTTP/1.1", ""), &[400], Refused),
        row(17, with("GET /a HTTP/1.1 ", ""), &[400], Refused),
        row(17, with(" GET /a HTTP/1.1", ""), &[400], Refused),
        row(18, of("/a b"), &[400], Refused),
        row(19, of("/#f"), &[400], Refused),
        row(19, of("/\u{80}"), &[400], Refused),
        row(19, of("!"), &[400], Refused),
        row(20, target(8000 - "GET  HTTP/1.1".len()), &[404], Kept),
        row(20, target(8000), &[404], Kept),
        row(21, target(8193), &[414], Refused),
        row(21, format!("GET /{}", "x".repeat(8300)), &[414], Refused),
        row(22, with("GET / HTTP/2.0", ""), &[505], Refused),
        row(22, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505], Refused),
        row(23, with("GET /a HTTP/1.2", ""), &[200], Kept),
        row(23, with("GET /a HTTP/1.9", ""), &[200], Kept),
        row(25, "GET /\r\n", &[400], Refused),
        row(25, "GET / \r\n\r\n", &[400], Refused),
        row(
            26,
            "GET http://example.org/x HTTP/1.1\r\nHost: b\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["of example.org"]),
        row(
            26,
            "GET http://b/x HTTP/1.1\r\nHost: example.org\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["of x"]),
        row(27, of("http://elsewhere.example/x"), &[200], Kept).has(&["of x"]),
        row(28, of("*"), &[400], Refused),
        row(29, with("OPTIONS * HTTP/1.1", ""), &[204], Kept),
        row(30, with("CONNECT h:443 HTTP/1.1", ""), &[405], Closed),
        row(30, with("CONNECT h HTTP/1.1", ""), &[400], Refused),
        row(
            31,
            with("TRACE /a HTTP/1.1", "X-Secret: y\r\n"),
            &[405],
            Kept,
        )
        .lacks(&["X-Secret"]),
        row(32, "GET / HTTP/1.1\r\n\r\n", &[400], Refused),
        row(33, get("Host: a\r\n"), &[400], Refused),
        row(33, get("hOST: b\r\n"), &[400], Refused),
        row(35, host(""), &[200], Kept),
        row(36, "GET /x HTTP/1.0\r\n\r\n", &[200], Closed).has(&["of x"]),
        row(37, host("A.EXAMPLE:80"), &[200], Kept),
        row(
            37,
            "GET /x HTTP/1.1\r\nHost: EXAMPLE.org:80\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["of example.org"]),
        row(
            37,
            "GET /x HTTP/1.1\r\nHost: example.ORG.\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["of example.org"]),
        row(
            112,
            get(&format!("X: {}\r\n", "x".repeat(33_000))),
            &[431],
            Refused,
        ),
        row(112, get(&"X: y\r\n".repeat(99)), &[200], Kept),
        row(112, get(&"X: y\r\n".repeat(100)), &[431], Refused),
    ];
    for version in [
        "http/1.1",
        "HTTP/1",
        "HTTP/01.1",
        "HTTP/1.10",
        "HTTP/ 1.1",
        "HTTP/1,1",
        "HTTP1.1",
    ] {
        rows.push(row(
            24,
            with(&format!("GET /a {version}"), ""),
            &[400],
            Refused,
        ));
    }
    for value in [
        "###", "a/b", "u@a", "a, b", "a:x", "a b", "a:65536", "[::1", "::1", "a:1:2",
    ] {
        rows.push(row(34, host(value), &[400], Refused).has(&["rfc9112-3.2 host"]));
    }
    rows
}
