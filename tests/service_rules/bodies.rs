//! Rows 38 to 61, 67, 83 and 113: where a request ends, and what is expected; and
//! rows 62 to 71: several requests on a connection.

use crate::row::End::{Closed, Cut, Kept, Refused};
use crate::row::{CHUNKED, EXPECT, Row, get, of, post, row, with};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = framing();
    rows.extend(expectations());
    rows.extend(connections());
    rows
}

fn framing() -> Vec<Row> {
    let cl = |value: &str| get(&format!("Content-Length: {value}\r\n"));
    let te = |value: &str| get(&format!("Transfer-Encoding: {value}\r\n"));
    let chunks = |chunks: &str| get(CHUNKED) + chunks;
    let mut rows = vec![
        row(
            38,
            get(&format!("Content-Length: 5\r\n{CHUNKED}")) + "0\r\n\r\n",
            &[400],
            Refused,
        ),
        row(
            38,
            get(&format!("{CHUNKED}Content-Length: 5\r\n")) + "0\r\n\r\n",
            &[400],
            Refused,
        ),
        row(39, te("chunked, gzip"), &[400], Refused),
        row(39, te("gzip"), &[400], Refused),
        row(39, te("identity"), &[400], Refused),
        row(40, te("foo, chunked"), &[501], Refused),
        row(40, te("gzip, chunked"), &[501], Refused),
        row(41, te("xchunked"), &[400], Refused),
        row(41, te("chunked;q=1"), &[400], Refused),
        row(41, te("\x0bchunked"), &[400], Refused),
        row(42, get(&CHUNKED.repeat(2)) + "0\r\n\r\n", &[400], Refused),
        row(42, te("chunked, chunked") + "0\r\n\r\n", &[400], Refused),
        row(43, te(",chunked") + "0\r\n\r\n", &[400], Refused),
        row(
            44,
            with("GET /a HTTP/1.0", CHUNKED) + "0\r\n\r\n",
            &[400],
            Refused,
        ),
        row(46, cl("5, 6") + "hello", &[400], Refused),
        row(46, cl("5\r\nContent-Length: 6") + "hello", &[400], Refused),
        row(47, cl("5, 5") + "hello", &[400], Refused),
        row(47, cl("5\r\nContent-Length: 5") + "hello", &[400], Refused),
        row(48, cl("18446744073709551616"), &[413], Refused),
        row(48, cl("18446744073709551621") + "hello", &[413], Refused),
        row(49, cl("0010") + "0123456789" + &of("/b"), &[200, 200], Kept).has(&["of b"]),
        row(50, post("", "") + &of("/b"), &[405, 200], Kept).has(&["of b"]),
        row(51, cl("5") + "hello" + &of("/b"), &[200, 200], Kept).has(&["of b"]),
        row(
            51,
            cl("38") + "GET /smuggled HTTP/1.1\r\nHost: abcd\r\n\r\n",
            &[200],
            Kept,
        )
        .lacks(&["SMUGGLED"]),
        row(53, chunks("10000000000000005\r\n"), &[400], Refused),
        row(
            53,
            chunks("00000000000000005\r\nhello\r\n0\r\n\r\n"),
            &[400],
            Refused,
        ),
        row(54, chunks("5\nhello\r\n0\r\n\r\n"), &[400], Refused),
        row(54, chunks("5\r\nhello\n0\r\n\r\n"), &[400], Refused),
        row(54, chunks("5\r\nhello\r\n0\n\n"), &[400], Refused),
        row(54, chunks("0\r\n\n"), &[400], Refused),
        row(54, chunks("0\r\nX: y\n\r\n"), &[400], Refused),
        row(54, chunks("5;x=y\nhello\r\n0\r\n\r\n"), &[400], Refused),
        row(55, chunks("A;x=y\r\n0123456789\r\n0\r\n\r\n"), &[200], Kept),
        row(
            55,
            chunks("a;x=\"; y\\\"\";z\r\n0123456789\r\n000;last\r\n\r\n"),
            &[200],
            Kept,
        ),
        row(
            55,
            chunks(&"1;0123456789\r\na\r\n".repeat(500)),
            &[400],
            Refused,
        ),
        row(
            55,
            chunks(&format!("1;{}", "x".repeat(5000))),
            &[400],
            Refused,
        ),
        row(
            56,
            chunks("0\r\nHost: b\r\nContent-Length: 9\r\nAuthorization: x\r\n\r\n") + &of("/b"),
            &[200, 200],
            Kept,
        )
        .has(&["of b"]),
        row(
            56,
            with("POST /cgi-bin/env HTTP/1.1", CHUNKED)
                + "3\r\nabc\r\n0\r\nX-Trailing: y\r\nContent-Length: 9\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["CONTENT_LENGTH=3\n", "abc"])
        .lacks(&["X_TRAILING"]),
        row(57, cl("5") + "hell", &[], Cut),
        row(57, chunks("5\r\nhello\r\n0\r\n"), &[], Cut),
        row(57, chunks("5\r\nhel"), &[], Cut),
        row(
            57,
            "POST /cgi-bin/say HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
            &[],
            Cut,
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
        row(
            113,
            with("GET /small/a HTTP/1.1", "Content-Length: 11\r\n"),
            &[413],
            Refused,
        ),
        row(
            113,
            with("GET /small/a HTTP/1.1", "Content-Length: 10\r\n") + "0123456789",
            &[200],
            Kept,
        ),
    ];
    for value in [
        "+5", "-1", "0x5", "1_0", "5a", "5 5", "", "5;", "5.0", "\"5\"", "\u{b2}",
    ] {
        rows.push(row(45, cl(value) + "hello", &[400], Refused).has(&["content-length"]));
    }
    for size in [
        "0x5", "+5", "-5", "5_0", "", " 5", "\t5", "5 ", "g", ";x", "5\0", "\u{b5}",
    ] {
        rows.push(row(
            52,
            chunks(&format!("{size}\r\nhello\r\n0\r\n\r\n")),
            &[400],
            Refused,
        ));
    }
    rows
}

fn expectations() -> Vec<Row> {
    let five = format!("Content-Length: 5\r\n{EXPECT}");
    vec![
        row(58, get(&five) + "hello", &[100, 200], Kept),
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
            58,
            get(&five.replace("100-c", "100-C")) + "hello",
            &[100, 200],
            Kept,
        ),
        row(59, post(&five, ""), &[405], Closed),
        row(
            59,
            post(&format!("Content-Length: 1001\r\n{EXPECT}"), ""),
            &[413],
            Refused,
        ),
        row(59, with("POST /locked/a HTTP/1.1", &five), &[401], Closed),
        row(59, with("POST /denied/a HTTP/1.1", &five), &[403], Closed),
        row(
            60,
            "GET /a HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
            &[200],
            Closed,
        ),
        row(60, "GET /a HTTP/1.0\r\nExpect: foo\r\n\r\n", &[200], Closed),
        row(61, get("Expect: foo\r\n"), &[417], Refused),
        row(61, get("Expect: 100-continue, foo\r\n"), &[417], Refused),
        row(
            67,
            post("Content-Length: 200000\r\n", &"x".repeat(200_000)),
            &[413],
            Refused,
        ),
    ]
}

fn connections() -> Vec<Row> {
    vec![
        row(62, of("/a") + &of("/b") + &of("/x"), &[200, 200, 200], Kept).judged(|answers| {
            let bodies = answers.iter().map(|answer| &answer.body[..]);
            let right = bodies.eq([&b"of a"[..], b"of b", b"of x"]);
            right.then_some(()).ok_or("not in order".to_owned())
        }),
        row(62, of("/a") + &of("/nothing") + &of("/listed/") + &of("/b"), &[200, 404, 200, 200], Kept),
        row(63, get("Connection: close\r\n") + &of("/b"), &[200], Closed).lacks(&["of b"]),
        row(64, get("Connection: foo, Close\r\n") + &of("/b"), &[200], Closed).lacks(&["of b"]),
        row(64, get("Connection: foo\r\nConnection: ,\tCLOSE,\r\n"), &[200], Closed),
        row(65, "GET /a HTTP/1.0\r\n\r\n", &[200], Closed),
        row(66, with("GET /a HTTP/1.0", "Connection: keep-alive\r\n"), &[200], Kept)
            .has(&["Content-Length: 4\r\n"]),
        row(66, with("GET /listed/ HTTP/1.0", "Connection: keep-alive\r\n"), &[200], Closed)
            .lacks(&["chunked"]).until_close(),
        row(66, with("GET /cgi-bin/say HTTP/1.0", "Connection: keep-alive\r\n"), &[200], Closed)
            .lacks(&["chunked"]).until_close(),
        row(71, get("Upgrade: h2c\r\nConnection: upgrade\r\n"), &[200], Kept).lacks(&[" 101 ", "Upgrade"]),
        row(71, get("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
            &[200], Kept).lacks(&[" 101 "]),
        row(71, get("Upgrade: foo\r\n"), &[200], Kept).lacks(&[" 101 "]),
    ]
}
