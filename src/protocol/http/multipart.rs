//! multipart/byteranges (RFC 9110 §14.6, RFC 2046 §5.1): an answer in parts.
//!
//! ```text
//! --BOUNDARY CRLF Content-Type … Content-Range … CRLF CRLF octets
//! CRLF --BOUNDARY CRLF …                           (each further part)
//! CRLF --BOUNDARY-- CRLF
//! ```
//!
//! Its length is known before the first octet is sent, so it is never chunked.
//! The boundary cannot be looked for in the file; it is made of the version of
//! the file and the nanosecond of the answer, so that no file has it in it but
//! by a chance of one in 2^64 an octet, nor can it be foreseen.

use std::fmt::{self, Write};

use super::mime::ContentType;
use super::range::{Span, Spans};
use crate::mix::mix;
use crate::protocol::Wall;

/// What stands between parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Boundary(u64);

impl Boundary {
    /// One for an answer at this moment about a file of this version.
    pub(super) fn new(version: u64, wall: &Wall) -> Self {
        let moment = wall.unix as u64 ^ u64::from(wall.nanoseconds).rotate_left(34);
        Self(mix(version ^ mix(moment)))
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "preforkd-part-{:016x}", self.0)
    }
}

/// The parts of one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) boundary: Boundary,
    pub(super) content_type: ContentType<'a>,
    /// The whole file's size, in octets.
    pub(super) length: u64,
    pub(super) spans: &'a Spans,
}

impl Parts<'_> {
    /// Octets of the whole content: delimiters, heads and parts.
    pub(super) fn total(&self) -> u64 {
        let mut count = Count(0);
        // Counting cannot fail.
        for (number, span) in self.spans.iter().enumerate() {
            let _ = write!(count, "{}", self.head(number, span));
            count.0 += span.length.get();
        }
        let _ = write!(count, "{}", self.end());
        count.0
    }

    /// The delimiter before the part of this number, and its fields.
    pub(super) fn head(&self, number: usize, span: Span) -> PartHead<'_> {
        PartHead {
            parts: self,
            number,
            span,
        }
    }

    /// The delimiter behind the last part.
    pub(super) fn end(&self) -> End {
        End(self.boundary)
    }
}

/// What stands before a part.
pub(super) struct PartHead<'a> {
    parts: &'a Parts<'a>,
    number: usize,
    span: Span,
}

impl fmt::Display for PartHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = if self.number == 0 { "" } else { "\r\n" };
        let Parts {
            boundary,
            content_type,
            length,
            ..
        } = self.parts;
        let range = ContentRange(self.span, *length);
        write!(
            f,
            "{before}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n"
        )
    }
}

/// What stands behind the last part.
pub(super) struct End(Boundary);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\r\n--{}--\r\n", self.0)
    }
}

/// The value of Content-Range for a part of a file of this length (RFC 9110
/// §14.4).
pub(super) struct ContentRange(pub(super) Span, pub(super) u64);

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(span, length) = self;
        write!(f, "bytes {}-{}/{length}", span.first, span.last())
    }
}

/// Counts what is written.
struct Count(u64);

impl Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::super::harness::WALL;
    use super::super::mime::Types;
    use super::super::range;
    use super::*;

    #[test]
    fn the_total_is_what_is_written() {
        let file: Vec<u8> = (0..250).collect();
        let spans = range::select(b"bytes=0-1,100-199,-3", 250).unwrap();
        let types = Types::new(None, Some("utf-8".to_owned()));
        let parts = Parts {
            boundary: Boundary::new(7, &WALL),
            content_type: types.content_type(types.of(b"a.txt")),
            length: 250,
            spans: &spans,
        };
        let mut out = Vec::new();
        for (number, span) in spans.iter().enumerate() {
            out.extend_from_slice(parts.head(number, span).to_string().as_bytes());
            out.extend_from_slice(&file[span.first as usize..=span.last() as usize]);
        }
        out.extend_from_slice(parts.end().to_string().as_bytes());
        assert_eq!(out.len() as u64, parts.total());
        let boundary = parts.boundary.to_string();
        let begin = format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes 0-1/250\r\n\r\n\0\x01\r\n--{boundary}\r\n"
        );
        assert!(out.starts_with(begin.as_bytes()));
        assert!(out.ends_with(format!("\r\n--{boundary}--\r\n").as_bytes()));
    }

    #[test]
    fn boundaries_differ_and_are_boundaries() {
        let one = Boundary::new(7, &WALL);
        assert_ne!(one, Boundary::new(8, &WALL));
        let mut later = WALL;
        later.nanoseconds += 1;
        assert_ne!(one, Boundary::new(7, &later));
        // RFC 2046 §5.1.1: 70 characters at most, and these need no quotes.
        let text = one.to_string();
        assert!(text.len() <= 70);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }
}
