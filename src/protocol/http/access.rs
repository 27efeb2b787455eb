//! The access log: a line a request, written when it is over.
//!
//! Two forms, and what is common to them: what the client sent is written so
//! that a line is one line and its quotes pair, whoever reads it; the octets
//! counted are those of the content that were handed to the kernel; the
//! client is the one that is trusted to be it. A request that got no answer
//! has a line like any other, with a status that says so ([`unanswered`]).
//!
//! A part of the line is written while the head is still there, into the
//! notes: [`write_line`] and [`write_fields`]. [`Line`] writes the whole.

mod combined;
mod json;

use std::net::IpAddr;
use std::time::Duration;

use super::notes::Notes;
use crate::config::LineFormat;
use crate::protocol::{CloseReason, RequestId, Wall};

/// What the log says of a request, beside what is in the notes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Who made it; `None` is one on a unix socket.
    pub(super) client: Option<IpAddr>,
    /// When it was over.
    pub(super) wall: &'a Wall,
    /// The status of its answer, or of [`unanswered`].
    pub(super) status: u16,
    /// Octets of content that were handed to the kernel.
    pub(super) octets: u64,
    /// From its first octet to the last one of its answer.
    pub(super) duration: Duration,
    /// Its name.
    pub(super) id: RequestId,
    /// Its number on the connection, from 1.
    pub(super) number: u64,
    /// Why the connection ends after it, if that is known.
    pub(super) reason: Option<CloseReason>,
}

impl Line<'_> {
    /// Appends the line to `out`.
    pub(super) fn write(&self, format: LineFormat, notes: &Notes, out: &mut Vec<u8>) {
        match format {
            LineFormat::Combined => combined::write(self, notes, out),
            LineFormat::Json => json::write(self, notes, out),
        }
    }
}

/// The status of a request that got none, because the connection ended for
/// `reason`: it is never sent. 499 has come to mean a client that left; what
/// was our failure is a 500.
pub(super) const fn unanswered(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::Complete
        | CloseReason::PeerClosed
        | CloseReason::CutShort
        | CloseReason::Idle
        | CloseReason::RequestTimeout
        | CloseReason::BodyTimeout
        | CloseReason::SlowBody
        | CloseReason::WriteStalled
        | CloseReason::SlowReader
        | CloseReason::Reset
        | CloseReason::Refused(_)
        | CloseReason::RequestLimit
        | CloseReason::Draining => 499,
        CloseReason::Truncated
        | CloseReason::Overflow
        | CloseReason::Program(_)
        | CloseReason::Internal => 500,
    }
}

/// Appends what the log says of a request line, and of the host it is for:
/// an empty one is none.
pub(super) fn write_line(format: LineFormat, host: &[u8], line: &[u8], out: &mut Vec<u8>) {
    match format {
        LineFormat::Combined => combined::escape(line, out),
        LineFormat::Json => json::write_line(host, line, out),
    }
}

/// Appends what the log says of Referer and User-Agent.
pub(super) fn write_fields(
    format: LineFormat,
    referer: Option<&[u8]>,
    user_agent: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    match format {
        LineFormat::Combined => combined::write_fields(referer, user_agent, out),
        LineFormat::Json => json::write_fields(referer, user_agent, out),
    }
}

/// As two hexadecimal digits.
fn digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::harness::{PEER, WALL};
    use super::*;

    /// A request of no trouble.
    pub(super) fn plain() -> Line<'static> {
        Line {
            client: PEER.remote.map(|address| address.ip()),
            wall: &WALL,
            status: 200,
            octets: 512,
            duration: Duration::from_micros(1234),
            id: RequestId::new(0xfeed),
            number: 3,
            reason: None,
        }
    }

    pub(super) fn text(line: &Line<'_>, format: LineFormat, notes: &Notes) -> String {
        let mut out = Vec::new();
        line.write(format, notes, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}
