//! The access log: a line an answer, in the combined format.
//!
//! ```text
//! 203.0.113.9 - - [01/Jul/2026:12:30:05 +0200] "GET / HTTP/1.1" 200 512 "-" "curl/8"
//! ```
//!
//! What the client sent is written with control characters, quotes,
//! backslashes and octets past ASCII as `\xHH`: a line is one line, and its
//! quotes pair, whoever reads it. The octets counted are those of the content
//! that were sent, `-` for none.

use std::io::Write;

use super::notes::Notes;
use super::status::Status;
use crate::protocol::{Peer, Wall};

/// Appends the line for an answer to `out`.
pub(super) fn write_line(
    out: &mut Vec<u8>,
    peer: &Peer,
    wall: &Wall,
    notes: &Notes,
    status: Status,
    octets: u64,
) {
    // Writing to a buffer in memory cannot fail, here and below.
    let _ = match peer.remote {
        Some(address) => write!(out, "{}", address.ip()),
        None => write!(out, "{peer}"),
    };
    out.extend_from_slice(b" - ");
    let user = out.len();
    escape(or_dash(notes.user().unwrap_or_default()), out);
    // The one text that stands there without quotes: a space would end it.
    for byte in &mut out[user..] {
        if *byte == b' ' {
            *byte = b'_';
        }
    }
    let local = &wall.local;
    let east = local.offset_minutes.unsigned_abs();
    let _ = write!(
        out,
        " [{:02}/{}/{:04}:{:02}:{:02}:{:02} {}{:02}{:02}] \"",
        local.day,
        local.month_name(),
        local.year,
        local.hour,
        local.minute,
        local.second,
        if local.offset_minutes < 0 { '-' } else { '+' },
        east / 60,
        east % 60,
    );
    out.extend_from_slice(or_dash(notes.line()));
    let _ = write!(out, "\" {} ", status.code());
    let _ = match octets {
        0 => write!(out, "- "),
        octets => write!(out, "{octets} "),
    };
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
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'\\', b'x', DIGITS[high], DIGITS[low]]);
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
    use super::super::super::harness::{PEER, WALL};
    use super::*;

    fn line(notes: &Notes, peer: &Peer, wall: &Wall, octets: u64) -> String {
        let mut out = Vec::new();
        write_line(&mut out, peer, wall, notes, Status::Ok, octets);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn the_combined_format() {
        let mut notes = Notes::default();
        notes.set_line(b"GET / HTTP/1.1");
        notes.set_fields(Some(b"http://r/"), Some(b"curl/8"));
        assert_eq!(
            line(&notes, &PEER, &WALL, 512),
            "203.0.113.9 - - [01/Jul/2026:12:30:05 +0200] \"GET / HTTP/1.1\" 200 512 \
             \"http://r/\" \"curl/8\"\n"
        );
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        let unix = Peer {
            remote: None,
            local: None,
        };
        let mut wall = WALL;
        wall.local.offset_minutes = -210;
        assert_eq!(
            line(&Notes::default(), &unix, &wall, 0),
            "unix: - - [01/Jul/2026:12:30:05 -0330] \"-\" 200 - \"-\" \"-\"\n"
        );
    }

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        // Rule 109.
        let mut notes = Notes::default();
        notes.set_line(b"GET /\"\\\x1b[0m\r\n\x7f\xe4 x");
        notes.set_fields(Some(b"a\"b"), Some(b"\t"));
        let line = line(&notes, &PEER, &WALL, 1);
        assert!(line.contains("\"GET /\\x22\\x5C\\x1B[0m\\x0D\\x0A\\x7F\\xE4 x\" 200 1 "));
        assert!(line.ends_with(" \"a\\x22b\" \"\\x09\"\n"));
        assert_eq!(line.matches('\n').count(), 1);
    }
}
