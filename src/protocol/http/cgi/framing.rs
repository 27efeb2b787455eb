//! How the body of a program's answer is sent on (RFC 3875 §6.4, RFC 9112 §6).

use std::io::Write;

use super::output::Document;
use crate::protocol::http::exchange::Exchange;
use crate::protocol::http::request::Version;
use crate::protocol::{Input, Output};

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Body {
    /// There is none, whatever the program writes; the head says this length,
    /// or none.
    None(Option<u64>),
    /// After so many octets, as the program promised; `left` are to come.
    Length {
        /// What the head says.
        whole: u64,
        /// What is still to come.
        left: u64,
    },
    /// In the chunked coding.
    Chunked,
    /// With the connection: HTTP/1.0 knows no other end.
    UntilClose,
    /// It is over, and the program went on writing: so many octets.
    Over(u64),
}

/// Octets past the end of a body, or for HEAD, after which a program is not
/// listened to any more (§4.3.3 lets it ignore that the method is HEAD).
const MOST_EXCESS: u64 = 1 << 20;

impl Body {
    /// The body of an answer.
    pub(in super::super) fn of(document: &Document<'_>, exchange: Exchange) -> Self {
        match (document.status, document.length, exchange.version) {
            // RFC 9110 §8.6, §15.3.5: no content, and nothing that says so.
            (204 | 304, _, _) => Self::None(None),
            (_, length, _) if exchange.head_only => Self::None(length),
            // RFC 9110 §15.3.6, and an answer without a type has no body.
            (205, _, _) => Self::None(Some(0)),
            (_, _, _) if !document.typed => Self::None(Some(0)),
            (_, Some(whole), _) => Self::Length { whole, left: whole },
            (_, None, Version::Http11) => Self::Chunked,
            (_, None, Version::Http10) => Self::UntilClose,
        }
    }

    /// Sends on what the program wrote; answers how many octets of it.
    pub(in super::super) fn forward(&mut self, from: &mut Input, to: &mut Output) -> u64 {
        let bytes = from.unread();
        let sent = match self {
            Self::None(_) | Self::Length { left: 0, .. } => {
                *self = Self::Over(bytes.len() as u64);
                0
            }
            Self::Over(excess) => {
                *excess += bytes.len() as u64;
                0
            }
            Self::Length { left, .. } => {
                let count =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                to.push(&bytes[..count]);
                *left -= count as u64;
                count
            }
            // A chunk of no octets would be the last one.
            Self::Chunked if bytes.is_empty() => 0,
            Self::Chunked => {
                // Writing to a buffer in memory cannot fail.
                let _ = write!(to.tail(), "{:x}\r\n", bytes.len());
                to.push(bytes);
                to.push(b"\r\n");
                bytes.len()
            }
            Self::UntilClose => {
                to.push(bytes);
                bytes.len()
            }
        };
        from.consume(usize::MAX);
        sent as u64
    }

    /// The program has written all; answers whether that was all it promised.
    pub(in super::super) fn finish(self, to: &mut Output) -> bool {
        match self {
            Self::None(_) | Self::UntilClose | Self::Over(_) => true,
            Self::Length { left, .. } => left == 0,
            Self::Chunked => {
                to.push(b"0\r\n\r\n");
                true
            }
        }
    }

    /// Whether a client has all of it by now, whatever becomes of the program.
    pub(in super::super) fn is_complete(self) -> bool {
        match self {
            Self::None(_) | Self::Over(_) | Self::Length { left: 0, .. } => true,
            Self::Length { .. } | Self::Chunked | Self::UntilClose => false,
        }
    }

    /// Whether the program writes what nobody will get, and does not stop.
    pub(in super::super) fn is_excessive(self) -> bool {
        matches!(self, Self::Over(excess) if excess > MOST_EXCESS)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::output::{Reply, parse};
    use super::*;
    use crate::protocol::http::coding::Codings;
    use crate::protocol::http::exchange::Persistence;

    fn body(head: &str, version: Version, head_only: bool) -> Body {
        let Reply::Document(document) = parse(head.as_bytes()).unwrap() else {
            panic!("{head:?} is no document");
        };
        let exchange = Exchange {
            version,
            head_only,
            codings: Codings::NONE,
            persistence: Persistence::Keep,
        };
        Body::of(&document, exchange)
    }

    #[test]
    fn each_answer_has_its_end() {
        let (new, old) = (Version::Http11, Version::Http10);
        let typed = "Content-Type: a/b\n\n";
        let long = "Content-Type: a/b\nContent-Length: 5\n\n";
        let five = Body::Length { whole: 5, left: 5 };
        for (head, version, head_only, expected) in [
            (typed, new, false, Body::Chunked),
            (typed, old, false, Body::UntilClose),
            (typed, new, true, Body::None(None)),
            (long, new, false, five),
            (long, old, false, five),
            (long, new, true, Body::None(Some(5))),
            ("Location: http://a/\n\n", new, false, Body::None(Some(0))),
            (
                "Status: 204\nContent-Type: a/b\n\n",
                new,
                false,
                Body::None(None),
            ),
            ("Status: 304\n\n", new, false, Body::None(None)),
            (
                "Status: 205\nContent-Type: a/b\n\n",
                new,
                false,
                Body::None(Some(0)),
            ),
        ] {
            assert_eq!(body(head, version, head_only), expected, "{head:?}");
        }
    }

    #[test]
    fn octets_are_framed() {
        for (mut body, expected, complete) in [
            (Body::Chunked, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", true),
            (Body::UntilClose, "abcde", true),
            (Body::Length { whole: 4, left: 4 }, "abcd", true),
            (Body::Length { whole: 6, left: 6 }, "abcde", false),
            (Body::None(Some(0)), "", true),
        ] {
            let (mut from, mut to) = (Input::default(), Output::default());
            let mut sent = 0;
            for part in ["abc", "", "de"] {
                from.push(part.as_bytes());
                sent += body.forward(&mut from, &mut to);
                assert!(from.is_empty());
            }
            assert_eq!(body.finish(&mut to), complete, "{body:?}");
            assert_eq!(std::str::from_utf8(to.unsent()).unwrap(), expected);
            assert!(sent <= 5);
        }
    }
}
