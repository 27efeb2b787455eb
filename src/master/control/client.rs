//! One client of the control socket: what it says by lines, and what it has not
//! taken yet.
//!
//! Owes that nothing of it waits, and that what is held for it is bounded: one
//! line of what it says, and one answer, which it may share with others.

use super::gate::Asker;
use super::{Answer, encoded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A query's longest line.
pub(super) const LINE: usize = 4096;
/// How long a client may take for its first query, for a line that it has
/// begun, and for any octet of an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may say nothing between two queries.
const QUIET: Duration = Duration::from_secs(60);
/// How long it may wait for an outcome.
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(3600);

/// A client that was let in.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) by: Asker,
    /// A query of it is being answered; what else it says waits.
    pub(super) asking: bool,
    /// When it was let in.
    pub(super) since: Instant,
    /// When it last began a line, ended one, or took something of an answer.
    pub(super) heard_of: Instant,
    stream: UnixStream,
    heard: Vec<u8>,
    unsent: Arc<[u8]>,
    sent: usize,
    /// It has had an answer.
    answered: bool,
    /// It says no more.
    finished: bool,
}

impl Client {
    /// On a stream that does not block.
    pub(super) fn new(id: u64, stream: UnixStream, by: Asker, now: Instant) -> Self {
        Self {
            id,
            by,
            asking: false,
            since: now,
            heard_of: now,
            stream,
            heard: Vec::new(),
            unsent: Arc::default(),
            sent: 0,
            answered: false,
            finished: false,
        }
    }

    /// What to wait for.
    pub(super) fn watch(&self) -> PollFd<'_> {
        let events = if self.asking || self.is_done() {
            // Who says no more and is waiting for an outcome would wake us
            // for ever; that it is gone is told all the same (poll(2)).
            PollFlags::empty()
        } else if self.is_owed() || self.has_line() {
            // Whoever does not take its answers is not heard meanwhile.
            PollFlags::POLLOUT
        } else {
            PollFlags::POLLIN
        };
        PollFd::new(self.stream.as_fd(), events)
    }

    /// Until when it may stay as it is.
    pub(super) fn deadline(&self) -> Instant {
        let patience = if self.asking {
            LONG_PATIENCE
        } else if self.answered && !self.is_owed() && self.heard.is_empty() {
            QUIET
        } else {
            PATIENCE
        };
        self.heard_of + patience
    }

    /// The next whole line, once what was said before is taken.
    pub(super) fn line(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.asking || self.is_owed() {
            return None;
        }
        self.read(now);
        let end = memchr::memchr(b'\n', &self.heard)?;
        let rest = self.heard.split_off(end + 1);
        self.heard_of = now;
        Some(std::mem::replace(&mut self.heard, rest))
    }

    /// Reads until there is a whole line, or no more.
    fn read(&mut self, now: Instant) {
        let mut room = [0; LINE];
        while !self.finished && !self.has_line() {
            let free = LINE - self.heard.len();
            if free == 0 {
                self.heard.clear();
                self.finished = true;
                let message = format!("a query is a line of {LINE} octets at most");
                self.say(encoded(&Answer::Error { message }), now);
                return;
            }
            match self.stream.read(&mut room[..free]) {
                Ok(0) => self.finished = true,
                Ok(count) => {
                    if self.heard.is_empty() {
                        self.heard_of = now;
                    }
                    self.heard.extend_from_slice(&room[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A broken client.
                Err(_) => self.finished = true,
            }
        }
    }

    fn has_line(&self) -> bool {
        memchr::memchr(b'\n', &self.heard).is_some()
    }

    /// Whether it has yet to take something of an answer.
    pub(super) fn is_owed(&self) -> bool {
        self.sent < self.unsent.len()
    }

    /// Whether there is nothing more to hear or to say.
    pub(super) fn is_done(&self) -> bool {
        self.finished && !self.is_owed() && !self.has_line()
    }

    /// Whether it can hear nothing more. To have said all and to listen on is
    /// something else: then only its side is shut (shutdown(2)).
    pub(super) fn is_gone(&self) -> bool {
        let mut ready = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        let _ = poll(&mut ready, PollTimeout::ZERO);
        ready[0].any().unwrap_or(true)
    }

    /// Whether it may still come in.
    pub(super) fn socket(&self) -> impl AsFd + '_ {
        &self.stream
    }

    /// Answers; whoever is owed one already is owed this one instead, but that
    /// is nobody: it was not heard meanwhile.
    pub(super) fn say(&mut self, answer: Arc<[u8]>, now: Instant) {
        self.answered = true;
        self.unsent = answer;
        self.sent = 0;
        self.write(now);
    }

    /// Sends what it is owed, as far as it takes it.
    pub(super) fn write(&mut self, now: Instant) {
        while self.is_owed() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    self.heard_of = now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.finished = true;
                    self.heard.clear();
                    self.sent = self.unsent.len();
                }
            }
        }
        // What is shared is given back as soon as nobody waits for it.
        if self.sent > 0 {
            self.unsent = Arc::default();
            self.sent = 0;
        }
    }
}
