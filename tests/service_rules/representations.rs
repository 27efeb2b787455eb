//! Rows 80 to 91 and 93 to 107: conditions, ranges and codings.

use crate::row::End::{Closed, Kept};
use crate::row::{Row, ask, row, with};
use crate::site::MODIFIED;

const BEFORE: &str = "Sat, 05 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";
const WHOLE: &[&str] = &["\r\n\r\n0123456789"];

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = conditions();
    rows.extend(ranges());
    rows.extend(codings());
    rows
}

fn digits(fields: &str) -> String {
    ask("/digits", fields)
}

fn conditions() -> Vec<Row> {
    let one = |rule, field: &str, status: &'static [u16]| {
        row(rule, digits(&format!("{field}\r\n")), status, Kept)
    };
    let since = |date: &str| format!("If-Modified-Since: {date}");
    let unless = |date: &str| format!("If-Unmodified-Since: {date}");
    let both = |first: &str, second: &str| format!("{first}\r\n{second}");
    vec![
        one(80, "If-None-Match: W/{digits}", &[304]),
        row(
            80,
            with("HEAD /digits HTTP/1.1", "If-None-Match: {digits}\r\n"),
            &[304],
            Kept,
        ),
        one(81, "If-None-Match: \"a\", {digits}", &[304]),
        one(81, "If-None-Match: \"a\",,W/\"b\" ,\t{digits}", &[304]),
        one(81, "If-None-Match: *", &[304]),
        one(
            81,
            "If-None-Match: \"a\"\r\nIf-None-Match: {digits}",
            &[304],
        ),
        one(81, "If-None-Match: \"a\", \"b\"", &[200]),
        // Of methods that select something only programs have more than these two:
        // it is theirs to judge. OPTIONS selects nothing (RFC 9110 §13.2.1).
        row(
            82,
            with("OPTIONS /digits HTTP/1.1", "If-None-Match: *\r\n"),
            &[204],
            Kept,
        ),
        row(
            82,
            with("PUT /digits HTTP/1.1", "If-None-Match: *\r\n"),
            &[405],
            Kept,
        ),
        row(
            82,
            with("PUT /cgi-bin/env HTTP/1.1", "If-None-Match: *\r\n"),
            &[200],
            Kept,
        )
        .has(&["HTTP_IF_NONE_MATCH=*\n"]),
        row(
            83,
            with("POST /digits HTTP/1.1", "If-None-Match: {digits}\r\n"),
            &[405],
            Kept,
        ),
        row(83, ask("/nothing", "If-Match: *\r\n"), &[404], Kept),
        row(83, ask("/dir", "If-None-Match: *\r\n"), &[301], Kept),
        one(84, &both("If-None-Match: {digits}", &since(BEFORE)), &[304]),
        one(85, &both("If-None-Match: \"a\"", &since(MODIFIED)), &[200]),
        one(86, &since(AFTER), &[304]),
        one(86, &since(MODIFIED), &[304]),
        one(86, &since(BEFORE), &[200]),
        one(87, &both("If-Match: {digits}", &unless(BEFORE)), &[200]),
        one(87, &unless(BEFORE), &[412]),
        one(88, &unless("soon"), &[200]),
        one(88, &since("soon"), &[200]),
        one(88, &since("Sun, 06 Nov 1994 08:49:37 CET"), &[200]),
        one(88, &since("Sun, 32 Nov 1994 08:49:37 GMT"), &[200]),
        one(88, &since("Sun, 06 Nov 1994 25:49:37 GMT"), &[200]),
        one(88, &since("784111777"), &[200]),
        one(89, "If-Match: W/{digits}", &[412]),
        one(89, "If-Match: {digits}", &[200]),
        one(89, "If-Match: \"a\", {digits}", &[200]),
        one(89, "If-Match: *", &[200]),
        one(90, &since("Sunday, 06-Nov-94 08:49:37 GMT"), &[304]),
        one(90, &since("Sun Nov  6 08:49:37 1994"), &[304]),
        row(
            91,
            lasting("") + &lasting("If-None-Match: *\r\n"),
            &[200, 304],
            Kept,
        )
        .judged(same_fields),
        one(103, "If-None-Match: {digits}\r\nRange: bytes=0-1", &[304]),
    ]
}

/// A file about which everything is said that can be.
fn lasting(fields: &str) -> String {
    ask("/cached/page.html", fields)
}

/// Rules 91, 104 and 107: what is said of a file does not depend on how much of
/// it is sent.
fn same_fields(answers: &[crate::row::Answer]) -> Result<(), String> {
    for name in [
        "ETag",
        "Vary",
        "Cache-Control",
        "Expires",
        "Content-Location",
    ] {
        let values: Vec<_> = answers.iter().map(|answer| answer.field(name)).collect();
        let owed = name != "Content-Location";
        if values.windows(2).any(|two| two[0] != two[1]) || owed && values[0].is_none() {
            return Err(format!("{name}: {values:?}"));
        }
    }
    Ok(())
}

fn ranges() -> Vec<Row> {
    let range = |rule, value: &str, status: &'static [u16]| {
        row(rule, digits(&format!("Range: {value}\r\n")), status, Kept)
    };
    let with_if = |condition: &str, status: &'static [u16]| {
        let fields = format!("Range: bytes=2-3\r\nIf-Range: {condition}\r\n");
        row(102, digits(&fields), status, Kept)
    };
    let part = &["\r\nContent-Range: bytes 2-3/10\r\n", "\r\n\r\n23"];
    let overlapping = |count: usize| format!("bytes={}", vec!["0-"; count].join(","));
    vec![
        range(93, "bytes=0-0", &[206]).has(&[
            "Content-Range: bytes 0-0/10\r\n",
            "Content-Length: 1\r\n",
            "\r\n\r\n0",
        ]),
        range(93, "bytes=5-", &[206]).has(&[
            "bytes 5-9/10\r\n",
            "Content-Length: 5\r\n",
            "\r\n\r\n56789",
        ]),
        range(93, "bytes=-5", &[206]).has(&["bytes 5-9/10\r\n", "\r\n\r\n56789"]),
        range(93, "bytes=3-99", &[206]).has(&["bytes 3-9/10\r\n"]),
        row(
            93,
            "GET /digits HTTP/1.0\r\nRange: bytes=2-3\r\n\r\n",
            &[206],
            Closed,
        )
        .has(part),
        range(94, "bytes=-9999999", &[206])
            .has(&["bytes 0-9/10\r\n"])
            .has(WHOLE),
        range(95, "bytes=10-", &[416]).has(&["Content-Range: bytes */10\r\n"]),
        range(95, "bytes=-0", &[416]).has(&["Content-Range: bytes */10\r\n"]),
        range(95, "bytes=99999999999999999999999-", &[416]),
        range(96, "bytes=5-2", &[200]).has(WHOLE),
        range(96, "bytes=x", &[200]).has(WHOLE),
        range(96, "bytes=", &[200]).has(WHOLE),
        range(96, "bytes=-", &[200]).has(WHOLE),
        range(96, "bytes=0-1,5-2", &[200]).has(WHOLE),
        range(96, "bytes=0 - 1", &[200]).has(WHOLE),
        range(96, "bytes=+0-1", &[200]).has(WHOLE),
        range(96, "bytes=0-1-2", &[200]).has(WHOLE),
        range(96, "bytes 0-1", &[200]).has(WHOLE),
        range(96, "bytes=0-1\r\nRange: bytes=2-3", &[200]).has(WHOLE),
        range(97, "items=0-1", &[200]).has(WHOLE),
        range(97, "BYTES=2-3", &[206]).has(part),
        range(98, "bytes=0-1,4-5", &[206])
            .has(&[
                "\r\nContent-Type: multipart/byteranges; boundary=",
                "\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--",
                "\r\nContent-Range: bytes 4-5/10\r\n\r\n45\r\n--",
            ])
            .judged(parts_only),
        range(98, "bytes=,0-1 ,\t4-5,", &[206]).judged(parts_only),
        range(99, "bytes=2-3", &[206])
            .has(part)
            .lacks(&["multipart"]),
        range(99, "bytes=2-3,99-", &[206])
            .has(part)
            .lacks(&["multipart"]),
        range(100, &overlapping(1000), &[200]).has(WHOLE),
        range(100, &overlapping(64), &[206]).has(&["bytes 0-9/10\r\n"]),
        row(101, ask("/empty", "Range: bytes=0-\r\n"), &[416], Kept).has(&["bytes */0\r\n"]),
        row(101, ask("/empty", "Range: bytes=-5\r\n"), &[200], Kept),
        with_if("{digits}", &[206]).has(part),
        with_if("W/{digits}", &[200]).has(WHOLE),
        with_if("\"a\"", &[200]).has(WHOLE),
        with_if(MODIFIED, &[206]).has(part),
        with_if("Sunday, 06-Nov-94 08:49:37 GMT", &[206]).has(part),
        with_if(AFTER, &[200]).has(WHOLE),
        with_if(BEFORE, &[200]).has(WHOLE),
        with_if("soon", &[200]).has(WHOLE),
        with_if("{digits}, \"a\"", &[200]).has(WHOLE),
        row(102, digits("If-Range: \"a\"\r\n"), &[200], Kept).has(WHOLE),
        row(
            104,
            lasting("") + &lasting("Range: bytes=0-1\r\n") + &lasting("Range: bytes=0-0,-1\r\n"),
            &[200, 206, 206],
            Kept,
        )
        .judged(same_fields),
    ]
}

/// Rule 98: there is no Content-Range for all of them.
fn parts_only(answers: &[crate::row::Answer]) -> Result<(), String> {
    let field = answers[0].field("Content-Range");
    field.map_or(Ok(()), |range| Err(range.to_owned()))
}

fn codings() -> Vec<Row> {
    let page = |rule, accepted: &str| {
        row(
            rule,
            ask("/page.html", &format!("Accept-Encoding: {accepted}\r\n")),
            &[200],
            Kept,
        )
    };
    let fields = |more: &str| ask("/page.html", more);
    const ACCEPT: &str = "Accept-Encoding: gzip\r\n";
    let as_gzip = &["\r\nContent-Encoding: gzip\r\n", "(page, gzip)"];
    let as_plain = &["\r\n\r\npage page"];
    let vary = &["\r\nVary: Accept-Encoding\r\n"];
    vec![
        row(
            105,
            fields(&format!("{ACCEPT}Range: bytes=1-4\r\n")),
            &[206],
            Kept,
        )
        .has(&[
            "\r\nContent-Range: bytes 1-4/12\r\n",
            "\r\nContent-Encoding: gzip\r\n",
            "\r\n\r\npage",
        ]),
        row(
            105,
            fields(&format!(
                "{ACCEPT}Range: bytes=1-4\r\nIf-Range: {{page.gz}}\r\n"
            )),
            &[206],
            Kept,
        ),
        row(
            105,
            fields(&format!(
                "{ACCEPT}Range: bytes=1-4\r\nIf-Range: {{page}}\r\n"
            )),
            &[200],
            Kept,
        ),
        page(106, "gzip;q=0")
            .has(as_plain)
            .lacks(&["Content-Encoding"]),
        page(106, "*;q=0")
            .has(as_plain)
            .lacks(&["Content-Encoding"]),
        page(106, "br;q=0.5, gzip").has(as_gzip),
        page(106, "GZIP").has(as_gzip),
        page(106, "").has(as_plain),
        page(106, "gzip;q=0.5, *;q=0").has(as_gzip),
        page(106, "gzip, br").has(&["Content-Encoding: br\r\n", "(page, br)"]),
        page(106, "deflate, identity;q=0.1").has(as_plain),
        page(106, "gzip;q=2").has(as_plain),
        row(107, fields(ACCEPT) + &fields(""), &[200, 200], Kept)
            .has(vary)
            .judged(|answers| {
                let tags: Vec<_> = answers.iter().map(|answer| answer.field("ETag")).collect();
                let strong = tags
                    .iter()
                    .flatten()
                    .filter(|tag| tag.starts_with('"'))
                    .count()
                    == 2;
                (strong && tags[0] != tags[1])
                    .then_some(())
                    .ok_or(format!("{tags:?}"))
            }),
        row(107, fields("Range: bytes=0-1\r\n"), &[206], Kept).has(vary),
        row(107, fields("If-None-Match: *\r\n"), &[304], Kept).has(vary),
        row(
            107,
            fields(&format!("{ACCEPT}If-None-Match: {{page}}\r\n")),
            &[200],
            Kept,
        ),
        row(
            107,
            fields(&format!("{ACCEPT}If-None-Match: {{page.gz}}\r\n")),
            &[304],
            Kept,
        )
        .has(vary),
        row(107, fields("If-None-Match: {page.gz}\r\n"), &[200], Kept),
    ]
}
