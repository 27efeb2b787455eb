//! What is sent by those who hope that two servers read it differently. Each
//! request hides another one, for `/smuggled`, in what one reading takes for
//! content and the other for the next request; it must never be answered.
//!
//! X.Y: who stands in front goes by X, we by Y. CL is Content-Length, TE is
//! Transfer-Encoding, 0 is neither.

use crate::row::End::{self, Cut, Kept, Refused};
use crate::row::{CHUNKED, Row, get, post, row, with};

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn hides(send: impl Into<String>, answers: &'static [u16], end: End) -> Row {
    row(0, send, answers, end).lacks(&["SMUGGLED"])
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = both_lengths();
    rows.extend(obfuscated());
    rows.extend(chunks());
    rows.extend(heads());
    rows
}

fn both_lengths() -> Vec<Row> {
    let length = HIDDEN.len() + 5;
    let cl = |value: usize| format!("Content-Length: {value}\r\n");
    let chunk = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    vec![
        // CL.TE and TE.CL, in both orders.
        hides(
            post(&(cl(length) + CHUNKED), "0\r\n\r\n") + HIDDEN,
            &[400],
            Refused,
        ),
        hides(
            post(&format!("{CHUNKED}{}", cl(length)), "0\r\n\r\n") + HIDDEN,
            &[400],
            Refused,
        ),
        hides(post(&(cl(4) + CHUNKED), &chunk), &[400], Refused),
        // CL.0, 0.CL: what has a length is content, whatever the method.
        hides(get(&cl(HIDDEN.len())) + HIDDEN, &[200], Kept),
        hides(
            with("HEAD /a HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[200],
            Kept,
        ),
        hides(
            with("OPTIONS * HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[204],
            Kept,
        ),
        hides(
            with("TRACE /a HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[405],
            Kept,
        ),
        hides(
            with("DELETE /dir HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[405],
            Kept,
        ),
        hides(post(&cl(HIDDEN.len()), "") + HIDDEN, &[405], Kept),
        hides(
            with("POST /old HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[301],
            Kept,
        ),
        hides(
            with("POST /locked/a HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[401],
            Kept,
        ),
        hides(
            with("POST /denied/a HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[403],
            Kept,
        ),
        hides(
            with("GET /cgi-bin/missing HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[404],
            Kept,
        ),
        hides(
            with("GET /cgi-bin/local HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[200],
            Kept,
        ),
        hides(
            "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n".to_owned()
                + &cl(HIDDEN.len())
                + "\r\n"
                + HIDDEN,
            &[200],
            Kept,
        ),
        // TE.0: the same with chunks.
        hides(get(CHUNKED) + &chunk, &[200], Kept),
        hides(with("OPTIONS * HTTP/1.1", CHUNKED) + &chunk, &[204], Kept),
        hides(with("HEAD /dir HTTP/1.1", CHUNKED) + &chunk, &[301], Kept),
        hides(
            with("POST /locked/a HTTP/1.1", CHUNKED) + &chunk,
            &[401],
            Kept,
        ),
        // What follows CONNECT, or a request that was refused, is not looked at.
        hides(
            with("CONNECT h:443 HTTP/1.1", "") + HIDDEN,
            &[405],
            End::Closed,
        ),
        hides(
            with("CONNECT h:443 HTTP/1.1", &cl(HIDDEN.len())) + HIDDEN,
            &[405],
            End::Closed,
        ),
        hides(get("Expect: foo\r\n") + HIDDEN, &[417], Refused),
        hides(with("ABC / HTTP/1.1", "") + HIDDEN, &[501], Refused),
        hides(with("GET / HTTP/2.0", "") + HIDDEN, &[505], Refused),
        hides(get("Host: b\r\n") + HIDDEN, &[400], Refused),
        hides(
            post("Content-Length: 1001\r\n", "") + HIDDEN,
            &[413],
            Refused,
        ),
        hides(get(&"X: y\r\n".repeat(100)) + HIDDEN, &[431], Refused),
        hides(get("X: \0\r\n") + HIDDEN, &[400], Refused),
        hides(
            get(
                "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 9\r\nContent-Length: 0\r\n",
            ),
            &[200],
            Kept,
        ),
        // A prefix that an answer's end would complete.
        hides(
            post(&cl(HIDDEN.len() - 4), "") + &HIDDEN[..HIDDEN.len() - 4],
            &[405],
            Kept,
        ),
        // The probe completes what stops short, and is content.
        row(0, post(&cl(HIDDEN.len() + 1), "") + HIDDEN, &[], Cut),
    ]
}

fn obfuscated() -> Vec<Row> {
    let mut rows = Vec::new();
    let body = format!("0\r\n\r\n{HIDDEN}");
    // Who stands in front may have seen only the length; so nothing but a refusal
    // will do.
    for (field, status) in [
        ("Transfer-Encoding: xchunked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding\t: chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", 400),
        ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: identity", 400),
        ("Transfer-Encoding: identity, chunked", 501),
        ("Transfer-Encoding: chunked, identity", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding: 'chunked'", 400),
        ("Transfer-Encoding: [chunked]", 400),
        ("Transfer-Encoding: chunked;x", 400),
        ("Transfer-Encoding: chunked ;q=1", 400),
        ("Transfer-Encoding: chunked x", 400),
        ("Transfer-Encoding: chu nked", 400),
        ("Transfer-Encoding: chunk", 400),
        ("Transfer-Encoding: \u{b}chunked", 400),
        ("Transfer-Encoding: \u{c}chunked", 400),
        ("Transfer-Encoding: chunked\u{b}", 400),
        ("Transfer-Encoding: \u{a0}chunked", 400),
        ("Transfer-Encoding: chunked\u{a0}", 400),
        ("Transfer-Encoding: \u{85}chunked", 400),
        ("Transfer-Encoding: \u{ef}\u{bb}\u{bf}chunked", 400),
        ("Transfer-Encoding: chunKed\u{ff}", 400),
        ("Transfer-Encoding: \u{c5}\u{bf}chunked", 400),
        ("Transfer-Encoding: \0chunked", 400),
        ("Transfer-Encoding\0: chunked", 400),
        ("Transfer-Encoding\u{b}: chunked", 400),
        ("Transfer-Encoding\u{a0}: chunked", 400),
        ("\u{b}Transfer-Encoding: chunked", 400),
        (" Transfer-Encoding: chunked", 400),
        ("X: y\r\n Transfer-Encoding: chunked", 400),
        ("Transfer-Encoding:\r\n chunked", 400),
        ("Transfer-Encoding:\r\n\tchunked", 400),
        ("X: y\rTransfer-Encoding: chunked", 400),
        ("X: y\nTransfer-Encoding: chunked", 400),
        ("X: y\n\rTransfer-Encoding: chunked", 400),
        ("\rTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r", 400),
        ("Transfer-Encoding\r\n: chunked", 400),
        ("Transfer-Encoding;: chunked", 400),
        ("Transfer Encoding: chunked", 400),
        ("\"Transfer-Encoding\": chunked", 400),
        ("Transfer-Encoding: ", 400),
        ("Transfer-Encoding: ,", 400),
        ("Transfer-Encoding: chunked,", 400),
        ("Transfer-Encoding: , chunked", 400),
        ("Transfer-Encoding: gzip", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: cow, chunked", 501),
    ] {
        let answers: &'static [u16] = if status == 400 { &[400] } else { &[501] };
        rows.push(hides(
            post(&format!("{field}\r\n"), &body),
            answers,
            Refused,
        ));
        let fields = format!("Content-Length: {}\r\n{field}\r\n", body.len());
        rows.push(hides(post(&fields, &body), &[400], Refused));
    }
    // These are the field, whatever they look like …
    for field in [
        "transfer-encoding:chunked",
        "TRANSFER-ENCODING:\tCHUNKED\t",
        "Transfer-Encoding:   chunked  ",
    ] {
        rows.push(row(
            0,
            post(&format!("{field}\r\n"), "0\r\n\r\n"),
            &[405],
            Kept,
        ));
        let fields = format!("{field}\r\nContent-Length: {}\r\n", body.len());
        rows.push(hides(post(&fields, &body), &[400], Refused));
    }
    // … and these are another one: the length alone counts.
    for field in [
        "Transfer_Encoding: chunked",
        "Transfer-Encoding-: chunked",
        "X-Transfer-Encoding: chunked",
        "Content-Encoding: chunked",
        "TE: chunked",
    ] {
        let fields = format!("{field}\r\nContent-Length: {}\r\n", body.len());
        rows.push(hides(post(&fields, &body), &[405], Kept));
    }
    for field in [
        "Content-Length : 5",
        "Content-Length\t: 5",
        " Content-Length: 5",
        "Content-Length\0: 5",
        "Content-Length: 5\0",
        "Content-Length: \u{b}5",
        "Content-Length: 5\u{a0}",
        "Content-Length: 5\r\n 0",
        "Content-Length:\r\n 5",
        "Content-Length: 5\rX: y",
        "Content-Length: 5, 5",
        "Content-Length: 5,",
        "Content-Length: ,5",
        "Content-Length: 5\r\nContent-Length:",
        "Content-Length: 5 5",
        "Content-Length: 5e0",
        "Content-Length: 0x5",
        "Content-Length: +5",
        "Content-Length: -0",
        "Content-Length: 5.",
        "Content-Length: 0b101",
        "Content-Length: 0o5",
        "Content-Length: \u{b5}",
        "Content-Length: 00000000000000000000000005\r\nContent-Length: 6",
    ] {
        rows.push(hides(
            post(&format!("{field}\r\n"), "") + HIDDEN,
            &[400],
            Refused,
        ));
    }
    rows.push(row(
        0,
        post("Content-Length: 00000000000000000000000005 \t\r\n", "hello"),
        &[405],
        Kept,
    ));
    rows.push(row(0, post("Content_Length: 5\r\n", ""), &[405], Kept));
    rows
}

fn chunks() -> Vec<Row> {
    let mut rows = Vec::new();
    let refused = |chunks: String| hides(post(CHUNKED, &chunks) + HIDDEN, &[400], Refused);
    for chunks in [
        // Line ends of other kinds.
        "5;\nhello\r\n0\r\n\r\n",
        "5;x\ny\r\nhello\r\n0\r\n\r\n",
        "5;x\ry\r\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\n\rhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloxx0\r\n\r\n",
        "5\r\nhello\r\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "0\r\n\r\r\n",
        "0\r\r\n\r\n",
        // More or less data than the size says.
        "4\r\nhello\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        // Sizes that wrap, or that some read as a number.
        "100000005\r\nhello\r\n0\r\n\r\n0",
        "FFFFFFFFFFFFFFFFF\r\nhello",
        "-1\r\nhello",
        "0005x\r\nhello\r\n0\r\n\r\n",
        "5\u{a0}\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        "5.0\r\nhello\r\n0\r\n\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "0_5\r\nhello\r\n0\r\n\r\n",
        "05h\r\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "0x0\r\n\r\n",
        "00_\r\n\r\n",
        // Trailers that are no field lines.
        "0\r\n X: y\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX: y\rz\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\n\u{e4}: y\r\n\r\n",
        "0\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    ] {
        let row = refused(chunks.to_owned());
        rows.push(if chunks.starts_with("100000005") {
            hides(post(CHUNKED, chunks) + HIDDEN, &[413], Refused)
        } else {
            row
        });
    }
    for chunks in [
        "5\r\nhello\r\n0\r\n\r\n",
        "0000000000000005\r\nhello\r\n0000\r\n\r\n",
        "5;x\r\nhello\r\n0;y\r\n\r\n",
        "5;x=y;z=\"a;b\"\r\nhello\r\n0\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "0\r\nHost: b\r\nExpect: foo\r\nConnection: close\r\n\r\n",
        "1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n",
        // Bad white space: a recipient must parse for it (RFC 9112 §7.1.1).
        "5 ;x=y\r\nhello\r\n0\r\n\r\n",
        "5\t ; x = y\r\nhello\r\n0 ; x\r\n\r\n",
    ] {
        rows.push(hides(post(CHUNKED, chunks), &[405], Kept));
    }
    rows
}

fn heads() -> Vec<Row> {
    vec![
        // A request that ends where some see the end of a line.
        hides(
            format!("GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\r\n{HIDDEN}"),
            &[400],
            Refused,
        ),
        hides(
            format!("GET /a HTTP/1.1\nHost: a\n\n{HIDDEN}"),
            &[400],
            Refused,
        ),
        hides(
            format!("GET /a HTTP/1.1\r\nHost: a\r\n\n{HIDDEN}"),
            &[400],
            Refused,
        ),
        hides(
            format!("GET /a HTTP/1.1\r\nHost: a\n\r\n{HIDDEN}"),
            &[400],
            Refused,
        ),
        hides(
            format!("GET /a HTTP/1.1\rHost: a\r\n\r\n{HIDDEN}"),
            &[400],
            Refused,
        ),
        hides(
            format!("GET /a\rX HTTP/1.1\r\nHost: a\r\n\r\n{HIDDEN}"),
            &[400],
            Refused,
        ),
        hides(format!("GET /a HTTP/1.1\r\n\r\n{HIDDEN}"), &[400], Refused),
        // HTTP/0.9 in front of it, and blanks behind it.
        hides(format!("GET /smuggled\r\n{HIDDEN}"), &[400], Refused),
        hides(format!("\n{HIDDEN}"), &[400], Refused),
        hides(format!("\r\n\r\n{HIDDEN}"), &[400], Refused),
        hides(format!("\r{HIDDEN}"), &[400], Refused),
        hides(
            post("Content-Length: 5\r\n", "hello") + "\r\n",
            &[405],
            Kept,
        ),
        // Targets and hosts that some cut elsewhere.
        hides(
            with("GET /smuggled?HTTP/1.1 /a HTTP/1.1", ""),
            &[400],
            Refused,
        ),
        hides(
            with("GET /a HTTP/1.1\tGET /smuggled HTTP/1.1", ""),
            &[400],
            Refused,
        ),
        hides(with("GET\u{a0}/smuggled HTTP/1.1", ""), &[400], Refused),
        hides(
            "GET http://a@b/smuggled HTTP/1.1\r\nHost: b\r\n\r\n",
            &[400],
            Refused,
        ),
        // The fields that a Connection field names are a proxy's business.
        row(0, get("Connection: Host\r\n"), &[200], Kept),
        hides(
            post(
                &format!(
                    "Connection: Content-Length\r\nContent-Length: {}\r\n",
                    HIDDEN.len()
                ),
                "",
            ) + HIDDEN,
            &[405],
            Kept,
        ),
        hides(
            post(
                &format!("Connection: Transfer-Encoding\r\n{CHUNKED}"),
                "0\r\n\r\n",
            ),
            &[405],
            Kept,
        ),
        row(
            0,
            get("Connection: close, Content-Length\r\nContent-Length: 5\r\n") + "hello",
            &[200],
            End::Closed,
        ),
    ]
}
