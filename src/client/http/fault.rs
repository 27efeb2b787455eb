//! What is wrong with an answer.

use super::head::MAX_HEAD;
use crate::escape;
use std::fmt;

/// What is wrong with an answer, in words for whoever tries the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ended before the first octet of an answer.
    Nothing,
    /// It begins like this, which is not HTTP/1.
    NotHttp(Vec<u8>),
    /// It breaks this rule.
    Rule(&'static str),
    /// The head has no end within [`MAX_HEAD`] octets.
    HeadTooLong,
    /// More than so many answers with a status of 1xx came before the real one.
    TooManyInterim(u32),
    /// 101: it goes on in another protocol, which nobody asked for.
    Switched,
    /// It ended in its head, after so many octets of it.
    CutInHead(usize),
    /// It ended in its content, after so many octets of so many.
    Short {
        /// Octets of content that came.
        received: u64,
        /// As many as the head said.
        expected: u64,
    },
    /// It ended before its last chunk, after so many octets of content.
    CutInChunks(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("the server closed the connection without an answer"),
            // A record of TLS: an alert, or a handshake (RFC 8446 §5.1).
            Self::NotHttp(octets) if matches!(octets.as_slice(), [0x15 | 0x16, 3, ..]) => {
                f.write_str("the server speaks TLS there, which is not built in yet")
            }
            Self::NotHttp(octets) => {
                let mut shown = String::new();
                escape::plain(&String::from_utf8_lossy(octets), &mut shown);
                write!(f, "the answer is not HTTP/1: it begins with `{shown}`")
            }
            Self::Rule(rule) => write!(f, "the answer breaks a rule: {rule}"),
            Self::HeadTooLong => write!(f, "the answer's head is longer than {MAX_HEAD} octets"),
            Self::TooManyInterim(count) => {
                write!(f, "more than {count} answers of 1xx, and no other")
            }
            Self::Switched => f.write_str("101: the server goes on in another protocol"),
            Self::CutInHead(received) => {
                write!(f, "the answer ended in its head, after {received} octets")
            }
            Self::Short { received, expected } => write!(
                f,
                "the answer is short: {received} of {expected} octets of content came"
            ),
            Self::CutInChunks(received) => write!(
                f,
                "the answer is short: it ended before its last chunk, after {received} octets of content"
            ),
        }
    }
}

impl std::error::Error for Fault {}
