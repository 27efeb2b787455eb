//! A JSON object a line (RFC 8259).
//!
//! Every line has every key; what is not known is null. What the client sent
//! may be any octets: those that are UTF-8 stand there as such, any other
//! octet as `\xHH` within the text, and a backslash as `\x5C`, so that the
//! octets can be had back. What could end a line, drive a terminal or turn the
//! direction of text has JSON's own escapes.

use std::io::Write;

use super::{Line, digits};
use crate::escape;
use crate::protocol::CloseReason;
use crate::protocol::http::notes::Notes;
use crate::protocol::http::put::Put;

/// Appends the line to `out`.
pub(super) fn write(line: &Line<'_>, notes: &Notes, out: &mut Vec<u8>) {
    let (year, month, day) = line.wall.utc_date();
    let second = line.wall.unix.rem_euclid(86_400);
    // Writing to a buffer in memory cannot fail, here and below.
    let _ = write!(
        out,
        "{{\"time\":\"{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z\",\"client\":",
        second / 3600,
        second / 60 % 60,
        second % 60,
        line.wall.nanoseconds / 1_000_000,
    );
    out.push(b'"');
    match line.client {
        Some(address) => address.put(out),
        None => "unix:".put(out),
    }
    out.push(b'"');
    out.extend_from_slice(b",\"user\":");
    quote(notes.user(), out);
    out.push(b',');
    match notes.line() {
        b"" => write_line(b"", b"", out),
        written => out.extend_from_slice(written),
    }
    let duration = u64::try_from(line.duration.as_micros()).unwrap_or(u64::MAX);
    for (key, number) in [
        (",\"status\":", u64::from(line.status)),
        (",\"bytes\":", line.octets),
        (",\"duration_us\":", duration),
    ] {
        key.put(out);
        number.put(out);
    }
    out.push(b',');
    match notes.fields() {
        b"" => write_fields(None, None, out),
        written => out.extend_from_slice(written),
    }
    let _ = write!(
        out,
        ",\"request_id\":\"{}\",\"request\":{},\"reason\":",
        line.id, line.number,
    );
    quote(line.reason.map(|reason| reason.name().as_bytes()), out);
    out.extend_from_slice(b",\"rule\":");
    quote(
        line.reason.and_then(CloseReason::rule).map(str::as_bytes),
        out,
    );
    out.extend_from_slice(b"}\n");
}

/// Appends what is said of a request line, which may be any octets: what
/// stands before its first space is the method, and behind its last one the
/// version, if it looks like one.
pub(super) fn write_line(host: &[u8], line: &[u8], out: &mut Vec<u8>) {
    let (method, rest) = halves(line, memchr::memchr(b' ', line));
    let (target, version) = halves(rest, memchr::memrchr(b' ', rest));
    let (target, version) = match version {
        version if version.starts_with(b"HTTP/") => (target, version),
        _ if rest.starts_with(b"HTTP/") => (&b""[..], rest),
        _ => (rest, &b""[..]),
    };
    for (key, text) in [
        ("\"host\":", host),
        (",\"method\":", method),
        (",\"target\":", target),
        (",\"version\":", version),
    ] {
        out.extend_from_slice(key.as_bytes());
        quote(Some(text).filter(|text| !text.is_empty()), out);
    }
}

/// Appends what is said of the two fields.
pub(super) fn write_fields(referer: Option<&[u8]>, user_agent: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"referer\":");
    quote(referer, out);
    out.extend_from_slice(b",\"user_agent\":");
    quote(user_agent, out);
}

/// What stands before and behind `space`; without one all is the first half.
fn halves(text: &[u8], space: Option<usize>) -> (&[u8], &[u8]) {
    match space {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

/// Appends a string, or null.
fn quote(text: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(text) = text else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'"');
    for part in text.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\x5C"),
                letter if escape::is_unruly(letter) => {
                    let _ = write!(out, "\\u{:04x}", u32::from(letter));
                }
                letter => {
                    let mut room = [0; 4];
                    out.extend_from_slice(letter.encode_utf8(&mut room).as_bytes());
                }
            }
        }
        for &byte in part.invalid() {
            out.extend_from_slice(b"\\\\x");
            out.extend_from_slice(&digits(byte));
        }
    }
    out.push(b'"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{plain, text};
    use super::*;
    use crate::config::LineFormat::Json;
    use proptest::prelude::*;
    use serde_json::Value;

    fn parsed(line: &Line<'_>, notes: &Notes) -> Value {
        let text = text(line, Json, notes);
        assert!(text.ends_with("}\n") && text.matches('\n').count() == 1);
        serde_json::from_str(&text).unwrap()
    }

    /// The octets that a text of the log stands for.
    fn octets(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\\x") {
            out.extend_from_slice(before.as_bytes());
            out.push(u8::from_str_radix(&after[..2], 16).unwrap());
            rest = &after[2..];
        }
        out.extend_from_slice(rest.as_bytes());
        out
    }

    #[test]
    fn the_whole_line() {
        let mut notes = Notes::default();
        notes.set_line(Json, b"a.example", b"GET /a?q HTTP/1.1");
        notes.set_fields(Json, None, Some(b"curl/8"));
        let line = Line {
            reason: Some(CloseReason::Refused("rfc9112-3 method")),
            ..plain()
        };
        assert_eq!(
            text(&line, Json, &notes),
            "{\"time\":\"2026-07-01T10:30:05.250Z\",\"client\":\"203.0.113.9\",\"user\":null,\
             \"host\":\"a.example\",\"method\":\"GET\",\"target\":\"/a?q\",\"version\":\"HTTP/1.1\",\
             \"status\":200,\"bytes\":512,\"duration_us\":1234,\"referer\":null,\
             \"user_agent\":\"curl/8\",\"request_id\":\"000000000000feed\",\"request\":3,\
             \"reason\":\"refused\",\"rule\":\"rfc9112-3 method\"}\n"
        );
    }

    #[test]
    fn what_is_missing_is_null() {
        let found = parsed(&plain(), &Notes::default());
        for key in [
            "user",
            "host",
            "method",
            "target",
            "version",
            "referer",
            "user_agent",
            "reason",
            "rule",
        ] {
            assert_eq!(found[key], Value::Null, "{key}");
        }
    }

    #[test]
    fn any_request_line_is_taken_apart() {
        for (line, method, target, version) in [
            ("GET /a HTTP/1.1", "GET", "/a", "HTTP/1.1"),
            ("GET /a b HTTP/1.1", "GET", "/a b", "HTTP/1.1"),
            ("GET  HTTP/1.1", "GET", "", "HTTP/1.1"),
            ("GET HTTP/1.1", "GET", "", "HTTP/1.1"),
            ("GET /a", "GET", "/a", ""),
            ("GET", "GET", "", ""),
            (" ", "", "", ""),
            ("\x16\x03\x01", "\x16\x03\x01", "", ""),
        ] {
            let mut notes = Notes::default();
            notes.set_line(Json, b"", line.as_bytes());
            let found = parsed(&plain(), &notes);
            let of = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
            assert_eq!(
                [of("method"), of("target"), of("version")],
                [method, target, version],
                "{line:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_line_parses_and_loses_no_octet(
            line in proptest::collection::vec(any::<u8>(), 0..60),
            host in proptest::collection::vec(any::<u8>(), 0..20),
            referer in proptest::collection::vec(any::<u8>(), 0..60),
            agent in "\\PC*|[\\\\x0-9A-F\u{80}-\u{a0}\"]*",
            name in proptest::collection::vec(any::<u8>(), 1..20),
        ) {
            let mut notes = Notes::default();
            notes.set_line(Json, &host, &line);
            notes.set_fields(Json, Some(&referer), Some(agent.as_bytes()));
            notes.set_credentials(|out| {
                out.extend_from_slice(&name);
                out.push(b':');
                true
            });
            notes.admit();
            let raw = text(&plain(), Json, &notes);
            prop_assert!(!raw[..raw.len() - 1].chars().any(escape::is_unruly), "{raw}");
            let found: Value = serde_json::from_str(&raw).unwrap();
            let of = |key: &str| octets(found[key].as_str().unwrap_or_default());
            prop_assert_eq!(of("host"), host);
            prop_assert_eq!(of("referer"), referer);
            prop_assert_eq!(of("user_agent"), agent.into_bytes());
            let before_colon = name.split(|&byte| byte == b':').next().unwrap().to_vec();
            prop_assert_eq!(of("user"), before_colon);
            // The parts of the line are its words in their order.
            let mut joined = of("method");
            for key in ["target", "version"] {
                joined.extend(of(key));
            }
            let spaces = |text: &[u8]| text.iter().filter(|&&byte| byte == b' ').count();
            let without = |text: &[u8]| -> Vec<u8> {
                text.iter().copied().filter(|&byte| byte != b' ').collect()
            };
            prop_assert_eq!(without(&joined), without(&line));
            prop_assert!(spaces(&line) - spaces(&joined) <= 2);
        }
    }
}
