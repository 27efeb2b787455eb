//! One answer, from its first octet to its last: every transition.
//!
//! ```text
//!         1xx
//!        ┌───┐
//!        ▼   │
//! ──▶ Head ──┴─┬─▶ Length ─────┬─▶ Done
//!              ├─▶ Chunked ────┤
//!              ├─▶ UntilClose ─┤ (the end of the connection)
//!              └───────────────┘ (no content)
//! ```
//!
//! Octets come in, what they mean comes out; who brings them, and by when, is
//! the caller's affair. Must never take for complete what is not, nor an octet
//! for content that the head does not make one.

use super::fault::Fault;
use super::head::{Head, Reader};
use crate::protocol::http::wire::{Chunks, Delimiter, delimiter};
use std::ops::Range;

/// Answers of 1xx before the real one.
const MAX_INTERIM: u32 = 32;

/// An answer, as far as it has come.
#[derive(Clone, Debug)]
pub struct Exchange {
    state: State,
    is_head: bool,
    interim: u32,
    /// Octets of content so far.
    received: u64,
    /// Whether the head, and how it delimits its content, let another request
    /// follow.
    persists: bool,
}

#[derive(Clone, Debug)]
enum State {
    Head(Reader),
    Length { expected: u64 },
    Chunked(Chunks),
    UntilClose,
    Done,
}

/// What some octets mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing by themselves: framing, or a part of a head.
    Nothing,
    /// An answer with a status of 1xx, which is not the real one.
    Interim(Head),
    /// The head.
    Head(Head),
    /// These octets of the input are content.
    Content(Range<usize>),
}

impl Exchange {
    /// The answer to a request; to one with HEAD if `is_head`.
    pub fn new(is_head: bool) -> Self {
        Self {
            state: State::Head(Reader::default()),
            is_head,
            interim: 0,
            received: 0,
            persists: false,
        }
    }

    /// Goes on with `input`, and answers how many of its octets are used up and
    /// what they mean. Call again with what is left, until nothing is, or until
    /// [`Exchange::is_done`].
    ///
    /// # Errors
    /// What is wrong with the answer. There is no way on from there.
    pub fn proceed(&mut self, input: &[u8]) -> Result<(usize, Event), Fault> {
        match &mut self.state {
            State::Head(reader) => {
                let (used, head) = reader.proceed(input)?;
                let event = match head {
                    None => Event::Nothing,
                    Some(head) if head.status() == 101 => return Err(Fault::Switched),
                    Some(head) if head.status() < 200 => {
                        self.interim += 1;
                        if self.interim > MAX_INTERIM {
                            return Err(Fault::TooManyInterim(MAX_INTERIM));
                        }
                        Event::Interim(head)
                    }
                    Some(head) => {
                        self.begin_content(&head)?;
                        Event::Head(head)
                    }
                };
                Ok((used, event))
            }
            State::Length { expected } => {
                let left = *expected - self.received;
                let count = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                let is_last = count as u64 == left;
                self.received += count as u64;
                if is_last {
                    self.state = State::Done;
                }
                Ok((count, Event::Content(0..count)))
            }
            State::Chunked(chunks) => {
                let progress = chunks.proceed(input).map_err(Fault::Rule)?;
                self.received += progress.content.len() as u64;
                if progress.complete {
                    self.state = State::Done;
                }
                let event = match progress.content.is_empty() {
                    true => Event::Nothing,
                    false => Event::Content(progress.content),
                };
                Ok((progress.consumed, event))
            }
            State::UntilClose => {
                self.received += input.len() as u64;
                Ok((input.len(), Event::Content(0..input.len())))
            }
            State::Done => Ok((0, Event::Nothing)),
        }
    }

    /// Where the content ends (RFC 9112 §6.3).
    fn begin_content(&mut self, head: &Head) -> Result<(), Fault> {
        let delimiter = delimiter(
            head.is_http10(),
            head.values("content-length"),
            head.values("transfer-encoding"),
        );
        let delimiter = delimiter.map_err(Fault::Rule)?;
        let closes = head.lists("connection", "close");
        self.persists = !closes && (!head.is_http10() || head.lists("connection", "keep-alive"));
        if self.is_head || matches!(head.status(), 204 | 304) {
            self.state = State::Done;
            return Ok(());
        }
        self.state = match delimiter {
            Delimiter::Length(0) => State::Done,
            Delimiter::Length(expected) => State::Length { expected },
            Delimiter::Chunked => State::Chunked(Chunks::new()),
            Delimiter::None => {
                self.persists = false;
                State::UntilClose
            }
        };
        Ok(())
    }

    /// The server has sent all it is going to send.
    ///
    /// # Errors
    /// What is missing.
    pub fn end(&mut self) -> Result<(), Fault> {
        let received = self.received;
        let outcome = match &self.state {
            State::Head(reader) => match reader.received() {
                0 if self.interim == 0 => Err(Fault::Nothing),
                count => Err(Fault::CutInHead(count)),
            },
            State::Length { expected } => Err(Fault::Short {
                received,
                expected: *expected,
            }),
            State::Chunked(_) => Err(Fault::CutInChunks(received)),
            State::UntilClose | State::Done => Ok(()),
        };
        if outcome.is_ok() {
            self.state = State::Done;
        }
        outcome
    }

    /// Whether all of it is there.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether another request may follow on the connection (RFC 9112 §9.3),
    /// if the answer is done and nothing came behind it.
    pub const fn persists(&self) -> bool {
        self.persists
    }

    /// Octets of content so far.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Octets of content there will be, where the head says so.
    pub const fn expected(&self) -> Option<u64> {
        match self.state {
            State::Length { expected } => Some(expected),
            State::Head(_) | State::Chunked(_) | State::UntilClose | State::Done => None,
        }
    }

    /// Whether anything of an answer has come.
    pub fn has_begun(&self) -> bool {
        match &self.state {
            State::Head(reader) => self.interim > 0 || reader.received() > 0,
            State::Length { .. } | State::Chunked(_) | State::UntilClose | State::Done => true,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// How an answer went.
    #[derive(Debug, PartialEq, Eq)]
    struct Outcome {
        status: u16,
        content: Vec<u8>,
        /// Octets behind the answer.
        surplus: usize,
        persists: bool,
    }

    fn read_in_pieces(octets: &[u8], size: usize, is_head: bool) -> Result<Outcome, Fault> {
        let mut exchange = Exchange::new(is_head);
        let (mut status, mut content, mut used) = (0, Vec::new(), 0);
        for piece in octets.chunks(size.max(1)) {
            let mut rest = piece;
            while !rest.is_empty() && !exchange.is_done() {
                let (count, event) = exchange.proceed(rest)?;
                assert!(count > 0, "no progress");
                match event {
                    Event::Nothing | Event::Interim(_) => {}
                    Event::Head(head) => status = head.status(),
                    Event::Content(range) => content.extend_from_slice(&rest[range]),
                }
                used += count;
                rest = &rest[count..];
            }
        }
        exchange.end()?;
        assert_eq!(exchange.received(), content.len() as u64);
        Ok(Outcome {
            status,
            content,
            surplus: octets.len() - used,
            persists: exchange.persists(),
        })
    }

    fn answer(octets: &str, is_head: bool) -> Result<Outcome, Fault> {
        let octets = octets.as_bytes();
        let whole = read_in_pieces(octets, octets.len(), is_head);
        for size in [1, 2, 5] {
            let pieces = read_in_pieces(octets, size, is_head);
            match (&whole, &pieces) {
                (Err(Fault::NotHttp(_)), Err(Fault::NotHttp(_))) => {}
                (whole, pieces) => assert_eq!(whole, pieces, "{size}"),
            }
        }
        whole
    }

    fn good(octets: &str) -> (u16, String, usize, bool) {
        let outcome = answer(octets, false).unwrap();
        let content = String::from_utf8(outcome.content).unwrap();
        (outcome.status, content, outcome.surplus, outcome.persists)
    }

    #[test]
    fn content_ends_where_the_head_says() {
        for (octets, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                (200, "hello", 0, true),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world",
                (200, "hello", 7, true),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n",
                (200, "", 0, false),
            ),
            (
                "HTTP/1.1 404 no\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: x\r\n\r\n",
                (404, "hello", 0, true),
            ),
            ("HTTP/1.1 200 OK\r\n\r\nhello", (200, "hello", 0, false)),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                (200, "hello", 0, false),
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx",
                (200, "x", 0, true),
            ),
            (
                "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n",
                (204, "", 0, true),
            ),
            (
                "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n",
                (304, "", 0, true),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                (200, "x", 0, true),
            ),
        ] {
            let (status, content, surplus, persists) = expected;
            let expected = (status, content.to_owned(), surplus, persists);
            assert_eq!(good(octets), expected, "{octets}");
        }
        let head = answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true).unwrap();
        assert_eq!((head.content.len(), head.persists), (0, true));
    }

    #[test]
    fn what_is_short_is_told_with_both_numbers() {
        for (octets, fault) in [
            ("", Fault::Nothing),
            ("HTTP/1.1 2", Fault::CutInHead(10)),
            ("HTTP/1.1 100 x\r\n\r\n", Fault::CutInHead(0)),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
                Fault::Short {
                    received: 4,
                    expected: 5,
                },
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                Fault::CutInChunks(5),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
                Fault::CutInChunks(5),
            ),
        ] {
            assert_eq!(answer(octets, false), Err(fault), "{octets}");
        }
    }

    #[test]
    fn bad_framing_is_refused() {
        for (fields, rule) in [
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                "rfc9112-6.1 content-length beside transfer-encoding",
            ),
            (
                "Content-Length: 5\r\nContent-Length: 6",
                "rfc9112-6.3 content-length repeated",
            ),
            ("Content-Length: +5", "rfc9112-6.3 content-length"),
            ("Content-Length: ", "rfc9112-6.3 content-length"),
            ("Transfer-Encoding: gzip", "rfc9112-6.3 transfer-encoding"),
            (
                "Transfer-Encoding: gzip, chunked",
                "rfc9112-6.1 transfer-coding",
            ),
        ] {
            let octets = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
            assert_eq!(answer(&octets, false), Err(Fault::Rule(rule)), "{fields}");
        }
        let in_10 = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let rule = Fault::Rule("rfc9112-6.1 transfer-encoding in HTTP/1.0");
        assert_eq!(answer(in_10, false), Err(rule));
        for (chunks, rule) in [
            ("+5\r\nhello\r\n", "rfc9112-7.1 chunk-size"),
            ("x", "rfc9112-7.1 chunk-size"),
            ("11111111111111111\r\n", "rfc9112-7.1 chunk-size"),
            ("5\nhello", "rfc9112-7.1 chunk-size"),
            ("5\r\nhello!", "rfc9112-7.1 chunk line end"),
            ("0\r\nX\r\n", "rfc9112-7.1.2 trailer"),
        ] {
            let octets = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            assert_eq!(answer(&octets, false), Err(Fault::Rule(rule)), "{chunks}");
        }
    }

    #[test]
    fn what_comes_before_the_answer_has_bounds() {
        let few = "HTTP/1.1 102 x\r\n\r\n".repeat(32);
        let real = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(good(&format!("{few}{real}")).0, 200);
        let many = "HTTP/1.1 102 x\r\n\r\n".repeat(33);
        assert_eq!(answer(&many, false), Err(Fault::TooManyInterim(32)));
        let switched = "HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n";
        assert_eq!(answer(switched, false), Err(Fault::Switched));
    }
}
