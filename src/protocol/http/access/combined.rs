//! The combined format.
//!
//! ```text
//! 203.0.113.9 - - [01/Jul/2026:12:30:05 +0200] "GET / HTTP/1.1" 200 512 "-" "curl/8"
//! ```
//!
//! What the client sent is written with control characters, quotes,
//! backslashes and octets past ASCII as `\xHH`. No content is `-`.

use super::{Line, digits};
use crate::protocol::http::notes::Notes;
use crate::protocol::http::put::{Put, Stamp};

/// Appends the line to `out`.
pub(super) fn write(line: &Line<'_>, notes: &Notes, out: &mut Vec<u8>) {
    match line.client {
        Some(address) => address.put(out),
        None => "unix:".put(out),
    }
    out.extend_from_slice(b" - ");
    let user = out.len();
    escape(or_dash(notes.user().unwrap_or_default()), out);
    // The one text that stands there without quotes: a space would end it.
    for byte in &mut out[user..] {
        if *byte == b' ' {
            *byte = b'_';
        }
    }
    " [".put(out);
    Stamp(&line.wall.local).put(out);
    "] \"".put(out);
    out.extend_from_slice(or_dash(notes.line()));
    "\" ".put(out);
    u64::from(line.status).put(out);
    match line.octets {
        0 => " -".put(out),
        octets => {
            out.push(b' ');
            octets.put(out);
        }
    }
    out.push(b' ');
    match notes.fields() {
        b"" => write_fields(None, None, out),
        fields => out.extend_from_slice(fields),
    }
    out.push(b'\n');
}

/// Appends `"Referer" "User-Agent"`, escaped.
pub(super) fn write_fields(referer: Option<&[u8]>, user_agent: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(or_dash(referer.unwrap_or_default()), out);
    out.extend_from_slice(b"\" \"");
    escape(or_dash(user_agent.unwrap_or_default()), out);
    out.push(b'"');
}

/// Appends `text` so that it cannot end a line or a quotation.
pub(super) fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(&digits(byte));
            }
            byte => out.push(byte),
        }
    }
}

fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{plain, text};
    use super::*;
    use crate::config::LineFormat::Combined;
    use crate::protocol::harness::WALL;

    #[test]
    fn the_combined_format() {
        let mut notes = Notes::default();
        notes.set_line(Combined, b"a", b"GET / HTTP/1.1");
        notes.set_fields(Combined, Some(b"http://r/"), Some(b"curl/8"));
        assert_eq!(
            text(&plain(), Combined, &notes),
            "203.0.113.9 - - [01/Jul/2026:12:30:05 +0200] \"GET / HTTP/1.1\" 200 512 \
             \"http://r/\" \"curl/8\"\n"
        );
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        let mut wall = WALL;
        wall.local.offset_minutes = -210;
        let line = Line {
            client: None,
            wall: &wall,
            octets: 0,
            ..plain()
        };
        assert_eq!(
            text(&line, Combined, &Notes::default()),
            "unix: - - [01/Jul/2026:12:30:05 -0330] \"-\" 200 - \"-\" \"-\"\n"
        );
    }

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        // Rule 109.
        let mut notes = Notes::default();
        notes.set_line(Combined, b"", b"GET /\"\\\x1b[0m\r\n\x7f\xe4 x");
        notes.set_fields(Combined, Some(b"a\"b"), Some(b"\t"));
        let line = text(&plain(), Combined, &notes);
        assert!(line.contains("\"GET /\\x22\\x5C\\x1B[0m\\x0D\\x0A\\x7F\\xE4 x\" 200 512 "));
        assert!(line.ends_with(" \"a\\x22b\" \"\\x09\"\n"));
        assert_eq!(line.matches('\n').count(), 1);
    }
}
