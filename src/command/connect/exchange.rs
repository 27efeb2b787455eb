//! A stream: what is typed goes, what comes is shown, both at once.
//!
//! ```text
//!   sending:    Open ─ end of input ─▶ Ending ─ all is sent ─▶ Ended
//!                └──────── a send fails ────────────────────▶ Broken
//!   receiving:  Open ─ the other side's end ─▶ Ended
//! ```
//!
//! It ends when receiving has, once what came is shown and what was read is
//! sent. Owes that neither direction waits for the other, and bounded memory.

use super::input::{Crlf, Found, Input};
use super::output::{Gone, Output};
use crate::cli::client::AtEof;
use crate::client::dial::until;
use crate::client::{Cause, Failure, failure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// With more than this to send nothing more is read.
const MOST: usize = 256 * 1024;

/// What was agreed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) at_eof: AtEof,
    pub(super) keep_sending: bool,
    pub(super) idle: Option<Duration>,
    pub(super) crlf: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// When the first octet came.
    pub(super) first: Option<Instant>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The other side ended it, or the input with [`AtEof::Quit`].
    Complete,
    /// Nobody reads what comes any more.
    Gone,
    /// A signal came that ends the program, or Ctrl-C.
    Signal(i32),
}

#[derive(Debug)]
enum Sending {
    Open,
    Ending,
    Ended,
    Broken(Failure),
}

#[derive(Debug, PartialEq, Eq)]
enum Receiving {
    Open,
    Ended,
}

/// An exchange of octets with the other side.
pub(super) struct Exchange<'e> {
    socket: &'e Socket,
    /// The other side's name.
    name: &'e str,
    rules: Rules,
    input: Input,
    output: &'e mut Output,
    tally: Tally,
    sending: Sending,
    receiving: Receiving,
    crlf: Crlf,
    /// What was read and not sent.
    unsent: Vec<u8>,
    room: Vec<u8>,
    /// When an octet moved last, from or to whom ever.
    last: Instant,
}

/// Why it ended before its time.
enum Stop {
    End(End),
    Failed(Failure),
}

impl From<super::output::Stop> for Stop {
    fn from(stop: super::output::Stop) -> Self {
        match stop {
            Ok(Gone) => Self::End(End::Gone),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// What poll(2) said.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    input: bool,
    receive: bool,
    send: bool,
    output: bool,
}

impl<'e> Exchange<'e> {
    pub(super) fn new(
        socket: &'e Socket,
        name: &'e str,
        rules: Rules,
        input: Input,
        output: &'e mut Output,
    ) -> Self {
        Self {
            socket,
            name,
            rules,
            input,
            output,
            tally: Tally::default(),
            sending: Sending::Open,
            receiving: Receiving::Open,
            crlf: Crlf::default(),
            unsent: Vec::new(),
            room: vec![0; PIECE],
            last: Instant::now(),
        }
    }

    /// Carries it on to its end, and shows all that came.
    pub(super) fn run(mut self) -> (Tally, Result<End, Failure>) {
        let mut end = loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(end)) => break Ok(end),
                Err(Stop::End(end)) => break Ok(end),
                Err(Stop::Failed(failure)) => break Err(failure),
            }
        };
        if end != Ok(End::Gone) {
            // What came before a failure came, and whoever reads it may take his
            // time; but a signal does not wait for a terminal that stands still.
            let patience = matches!(end, Ok(End::Signal(_))).then_some(Duration::from_secs(1));
            match self.output.flush(patience) {
                Ok(()) => {}
                Err(Ok(Gone)) => end = end.map(|_| End::Gone),
                Err(Err(failure)) => end = end.and(Err(failure)),
            }
        }
        (self.tally, end)
    }

    fn turn(&mut self) -> Result<Option<End>, Stop> {
        if let Some(end) = self.end()? {
            return Ok(Some(end));
        }
        let ready = self.wait()?;
        if ready.output {
            self.output.write()?;
            self.last = Instant::now();
        }
        if ready.receive {
            self.receive()?;
        }
        if ready.send {
            self.send();
        }
        if ready.input {
            self.read()?;
        }
        if matches!(self.sending, Sending::Ending) && self.unsent.is_empty() {
            self.sending = Sending::Ended;
            if self.rules.at_eof != AtEof::Keep {
                // Where it fails the other side has gone, which is heard next.
                let _ = self.socket.shutdown(Shutdown::Write);
            }
        }
        Ok(None)
    }

    /// Whether it is over.
    fn end(&mut self) -> Result<Option<End>, Stop> {
        let quits = self.rules.at_eof == AtEof::Quit;
        match (&self.sending, &self.receiving) {
            (Sending::Ended, _) if quits => Ok(Some(End::Complete)),
            (_, Receiving::Open) => Ok(None),
            (Sending::Ended, Receiving::Ended) => Ok(Some(End::Complete)),
            (Sending::Broken(_), Receiving::Ended) if self.unsent.is_empty() => {
                Ok(Some(End::Complete))
            }
            (Sending::Broken(failure), Receiving::Ended) => Err(Stop::Failed(failure.clone())),
            // It may have ended its direction alone: what was read is for it.
            (Sending::Open, Receiving::Ended) if self.rules.keep_sending => Ok(None),
            (Sending::Open, Receiving::Ended) if self.unsent.is_empty() => Ok(Some(End::Complete)),
            (Sending::Open | Sending::Ending, Receiving::Ended) => Ok(None),
        }
    }

    /// Waits until something can be done.
    fn wait(&mut self) -> Result<Ready, Stop> {
        let reads = matches!(self.sending, Sending::Open)
            && self.unsent.len() < MOST
            && (self.receiving == Receiving::Open || self.rules.keep_sending);
        let receives = self.receiving == Receiving::Open && self.output.has_room();
        let sends = !self.unsent.is_empty() && !matches!(self.sending, Sending::Broken(_));
        let mut socket = PollFlags::empty();
        socket.set(PollFlags::POLLIN, receives);
        socket.set(PollFlags::POLLOUT, sends);
        let input = match reads || self.input.has_keys() {
            true => self.input.watched(),
            false => Vec::new(),
        };
        let at_once = (reads || self.input.has_keys()) && input.is_empty();
        // Where nobody reads what came it is not the other side that is silent.
        let idle = self.rules.idle.filter(|_| self.output.has_room());
        let idle = idle.map(|idle| self.last + idle);
        let timeout = match idle {
            _ if at_once => PollTimeout::ZERO,
            Some(time) => until(time),
            None => PollTimeout::NONE,
        };
        // A socket that is watched for nothing would still report its errors.
        let on_socket = (!socket.is_empty()).then(|| PollFd::new(self.socket.as_fd(), socket));
        let inputs = input.len();
        let mut watched: Vec<PollFd<'_>> = on_socket.into_iter().chain(input).collect();
        let others = watched.len();
        watched.extend(self.output.watched());
        match poll(&mut watched, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => {
                return Err(Stop::Failed(Failure::of("poll", self.name, &errno.into())));
            }
        }
        let events: Vec<PollFlags> = watched
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()))
            .collect();
        let (on_socket, rest) = events.split_at(others - inputs);
        let (on_input, on_output) = rest.split_at(inputs);
        let on_socket = on_socket.first().copied().unwrap_or(PollFlags::empty());
        let any = |events: &[PollFlags]| events.iter().any(|events| !events.is_empty());
        let broken = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        let ready = Ready {
            input: at_once || any(on_input),
            receive: receives && on_socket.intersects(PollFlags::POLLIN | broken),
            send: sends && on_socket.intersects(PollFlags::POLLOUT | broken),
            output: any(on_output),
        };
        let is_idle = !ready.receive && !ready.send && idle.is_some_and(is_over);
        if is_idle && !(ready.input || ready.output) {
            let idle = self.rules.idle.unwrap_or_default().as_secs_f64();
            let message = format!("{}: nothing came or went for {idle}s", self.name);
            return Err(Stop::Failed(Failure::new(Cause::Timeout, message)));
        }
        Ok(ready)
    }

    fn receive(&mut self) -> Result<(), Stop> {
        match (&*self.socket).read(&mut self.room) {
            Ok(0) => self.receiving = Receiving::Ended,
            Ok(count) => {
                self.last = Instant::now();
                self.tally.first.get_or_insert(self.last);
                self.tally.received += count as u64;
                self.output.received(&self.room[..count]);
            }
            Err(error) if super::input::is_passing(&error) => {}
            Err(error) => {
                return Err(Stop::Failed(Failure::of("receive from", self.name, &error)));
            }
        }
        Ok(())
    }

    fn send(&mut self) {
        match self.socket.send(&self.unsent) {
            Ok(count) => {
                self.last = Instant::now();
                self.tally.sent += count as u64;
                self.output.sent(&self.unsent[..count]);
                self.unsent.drain(..count);
            }
            Err(error) if super::input::is_passing(&error) => {}
            // What it sent before is still to be had.
            Err(error) => {
                let words = failure::words(&error);
                let left = self.unsent.len();
                let message = format!("send to {}: {words}: {left} octets were left", self.name);
                self.sending = Sending::Broken(Failure::new(Cause::of(&error), message));
            }
        }
    }

    fn read(&mut self) -> Result<(), Stop> {
        let is_open = matches!(self.sending, Sending::Open);
        match self.input.take() {
            // Somebody types on after the end.
            Ok(Found::Octets(_) | Found::End) if !is_open => {}
            Ok(Found::Octets(octets)) if self.rules.crlf => {
                self.unsent.extend(self.crlf.apply(&octets));
            }
            Ok(Found::Octets(octets)) => self.unsent.extend(octets),
            Ok(Found::Nothing) => {}
            Ok(Found::End) => self.sending = Sending::Ending,
            Ok(Found::Signal(signal)) => return Err(Stop::End(End::Signal(signal))),
            Err(error) => return Err(Stop::Failed(unreadable(&error))),
        }
        Ok(())
    }
}

/// Why standard input could not be read.
pub(super) fn unreadable(error: &io::Error) -> Failure {
    let message = format!("standard input: {}", failure::words(error));
    Failure::new(Cause::System, message)
}

fn is_over(time: Instant) -> bool {
    time <= Instant::now()
}
