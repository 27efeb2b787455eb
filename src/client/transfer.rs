//! One request and its answer, over a connection.
//!
//! Owes that neither side can make the other wait for it: it reads while it
//! writes, because a server may answer before it has taken all (RFC 9112 §9.5),
//! and no wait is without its deadline where one is set. What an answer means
//! is for [`super::http`], what is done with it for whoever takes it.

use super::dial::{Dialled, until};
use super::failure::{Cause, Failure, words};
use super::http::{Event, Exchange, Fault, Head};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Octets that are read at once.
const ROOM: usize = 64 * 1024;

/// A connection over which one request follows the other.
#[derive(Debug)]
pub struct Connection {
    dialled: Dialled,
    room: Vec<u8>,
    /// Answers that came over it.
    answers: u64,
}

impl Connection {
    /// Over what was dialled.
    pub fn new(dialled: Dialled) -> Self {
        Self {
            dialled,
            room: vec![0; ROOM],
            answers: 0,
        }
    }

    /// What was dialled.
    pub const fn dialled(&self) -> &Dialled {
        &self.dialled
    }
}

/// How long it may take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// When all must be over.
    pub deadline: Option<Instant>,
    /// How long no octet may come or go.
    pub idle: Option<Duration>,
}

/// Whether the taker wants what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// All of it.
    More,
    /// Nothing: the connection may be closed.
    Enough,
}

/// Takes an answer as it comes.
pub trait Taker {
    /// An answer of 1xx.
    fn interim(&mut self, head: &Head);

    /// The head, and how many octets of content will follow, if it says so.
    ///
    /// # Errors
    /// Why it cannot be taken.
    fn head(&mut self, head: Head, expected: Option<u64>) -> Result<Wish, Failure>;

    /// A piece of content.
    ///
    /// # Errors
    /// Why it cannot be taken.
    fn content(&mut self, octets: &[u8]) -> Result<Wish, Failure>;
}

/// How an exchange went that came to its end.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When the first octet of the answer came.
    pub first: Instant,
    /// Octets of content, as they came.
    pub received: u64,
    /// Whether another request may follow.
    pub persists: bool,
    /// Octets that came behind the answer, as far as they were read with it.
    pub surplus: usize,
}

/// Why there is no answer, or not all of one.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// The connection had been kept, and ended before an octet of this answer:
    /// the server may have closed it before it saw the request.
    Stale,
    /// What is wrong.
    Failed(Failure),
}

impl Trouble {
    /// In words, and by its cause.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Stale => Fault::Nothing.into(),
            Self::Failed(failure) => failure.clone(),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault.into())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let cause = match &fault {
            Fault::Nothing => Cause::Nothing,
            Fault::CutInHead(_) | Fault::Short { .. } | Fault::CutInChunks(_) => Cause::Short,
            Fault::NotHttp(_)
            | Fault::Rule(_)
            | Fault::HeadTooLong
            | Fault::TooManyInterim(_)
            | Fault::Switched => Cause::Answer,
        };
        Self::new(cause, fault.to_string())
    }
}

/// Sends `request`, which is one with HEAD if `is_head`, and reads its answer.
///
/// # Errors
/// Why there is none, or not all of it.
pub fn exchange(
    connection: &mut Connection,
    request: &[u8],
    is_head: bool,
    patience: &Patience,
    taker: &mut dyn Taker,
) -> Result<Answered, Trouble> {
    let mut turn = Turn {
        exchange: Exchange::new(is_head),
        to_send: request,
        refused: None,
        first: None,
    };
    let result = turn.run(connection, patience, taker);
    match result {
        Err(Trouble::Failed(failure))
            if connection.answers > 0
                && !turn.exchange.has_begun()
                && matches!(failure.cause, Cause::Nothing | Cause::Reset) =>
        {
            Err(Trouble::Stale)
        }
        Ok(answered) => {
            connection.answers += 1;
            Ok(answered)
        }
        Err(trouble) => Err(trouble),
    }
}

/// An exchange under way.
struct Turn<'r> {
    exchange: Exchange,
    /// What of the request is still to be sent.
    to_send: &'r [u8],
    /// Why the other side took no more of it.
    refused: Option<Failure>,
    first: Option<Instant>,
}

impl Turn<'_> {
    fn run(
        &mut self,
        connection: &mut Connection,
        patience: &Patience,
        taker: &mut dyn Taker,
    ) -> Result<Answered, Trouble> {
        let mut active = Instant::now();
        loop {
            if self.send(&connection.dialled)? {
                active = Instant::now();
            }
            self.wait(&connection.dialled, patience, active)?;
            let mut socket: &socket2::Socket = &connection.dialled.socket;
            let count = match socket.read(&mut connection.room) {
                Ok(0) => {
                    if let Err(fault) = self.exchange.end() {
                        return Err(match (fault, self.refused.take()) {
                            (Fault::Nothing, Some(refused)) => refused.into(),
                            (fault, _) => fault.into(),
                        });
                    }
                    let first = self.first.unwrap_or(active);
                    return Ok(self.answered(first, false, 0));
                }
                Ok(count) => count,
                Err(error) if would_wait(&error) => continue,
                Err(error) => return Err(self.broken(&connection.dialled, &error).into()),
            };
            active = Instant::now();
            let first = *self.first.get_or_insert(active);
            let mut rest = &connection.room[..count];
            while !rest.is_empty() && !self.exchange.is_done() {
                let (used, event) = self.exchange.proceed(rest)?;
                let wish = match event {
                    Event::Nothing => Wish::More,
                    Event::Interim(head) => {
                        taker.interim(&head);
                        Wish::More
                    }
                    Event::Head(head) => taker.head(head, self.exchange.expected())?,
                    Event::Content(range) => taker.content(&rest[range])?,
                };
                if wish == Wish::Enough {
                    return Ok(self.answered(first, false, 0));
                }
                rest = &rest[used..];
            }
            if self.exchange.is_done() {
                let is_whole = self.to_send.is_empty() && self.refused.is_none() && rest.is_empty();
                let persists = self.exchange.persists() && is_whole;
                return Ok(self.answered(first, persists, rest.len()));
            }
        }
    }

    fn answered(&self, first: Instant, persists: bool, surplus: usize) -> Answered {
        Answered {
            first,
            received: self.exchange.received(),
            persists,
            surplus,
        }
    }

    /// Sends what the kernel takes; says whether it took anything.
    fn send(&mut self, dialled: &Dialled) -> Result<bool, Failure> {
        let before = self.to_send.len();
        while !self.to_send.is_empty() {
            // Without SIGPIPE, whatever its disposition is.
            let sent = dialled
                .socket
                .send_with_flags(self.to_send, libc::MSG_NOSIGNAL);
            match sent {
                Ok(count) => self.to_send = &self.to_send[count..],
                Err(error) if would_wait(&error) => break,
                // It takes no more: perhaps it has answered, and says why.
                Err(error) if Cause::of(&error) == Cause::Reset => {
                    self.refused = Some(Failure::of("send to", &dialled.name, &error));
                    self.to_send = &[];
                    break;
                }
                Err(error) => return Err(Failure::of("send to", &dialled.name, &error)),
            }
        }
        Ok(self.to_send.len() < before)
    }

    /// Waits until there is something to do, or a deadline passes.
    fn wait(&self, dialled: &Dialled, patience: &Patience, active: Instant) -> Result<(), Failure> {
        let silent = patience.idle.map(|idle| active + idle);
        let times = [patience.deadline, silent];
        let time = times.into_iter().flatten().min();
        let mut events = PollFlags::POLLIN;
        if !self.to_send.is_empty() {
            events |= PollFlags::POLLOUT;
        }
        let mut watched = [PollFd::new(dialled.socket.as_fd(), events)];
        let ready = poll(&mut watched, time.map_or(PollTimeout::NONE, until));
        // Whoever never stops sending must not be heard for ever.
        let is_over = patience
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now());
        match ready {
            Ok(_) if is_over => Err(self.too_late(dialled, "the time is over (--max-time)")),
            Ok(0) => match patience.idle {
                Some(idle) if silent == time => {
                    let why = format!("no octet for {}s (--idle)", idle.as_secs_f64());
                    Err(self.too_late(dialled, &why))
                }
                // A little early: poll(2) counts in milliseconds.
                Some(_) | None => Ok(()),
            },
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(Failure::of("poll", &dialled.name, &errno.into())),
        }
    }

    fn too_late(&self, dialled: &Dialled, why: &str) -> Failure {
        let what = format!("{}: {why}, {}", dialled.name, self.progress());
        Failure::new(Cause::Timeout, what)
    }

    fn broken(&self, dialled: &Dialled, error: &io::Error) -> Failure {
        let what = format!(
            "receive from {}: {}, {}",
            dialled.name,
            words(error),
            self.progress()
        );
        Failure::new(Cause::of(error), what)
    }

    /// How far the answer had come.
    fn progress(&self) -> String {
        let received = self.exchange.received();
        match self.exchange.expected() {
            Some(expected) => format!("after {received} of {expected} octets of content"),
            None if received > 0 => format!("after {received} octets of content"),
            None if self.exchange.has_begun() => String::from("in the head of an answer"),
            None => String::from("before an answer"),
        }
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
