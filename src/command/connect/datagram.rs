//! Datagrams: each line or text is one, and what is answered is shown.
//!
//! A datagram may get lost, and so may its answer: after the end of the input it
//! waits until as many have come as went, or as many as were asked for, or
//! until nothing has come for a time.

use super::exchange::{End, Tally, unreadable};
use super::input::{Crlf, Found, Input, is_passing};
use super::output::{Gone, Output};
use crate::client::dial::{associate, until};
use crate::client::{Cause, Failure, Options};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;
use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The most that a datagram holds: what IPv4 leaves of 65,535 octets.
const LARGEST: usize = 65_507;

/// How long an answer is waited for where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of what was sent is kept for the host's next address.
const KEPT: usize = 64 * 1024;

/// What was agreed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) idle: Option<Duration>,
    pub(super) crlf: bool,
    /// After how many answers it ends.
    pub(super) count: Option<u32>,
}

/// Datagrams to one of the addresses of a host, and from it.
pub(super) struct Datagrams<'d> {
    options: &'d Options,
    rules: Rules,
    input: Input,
    output: &'d mut Output,
    tally: Tally,
    socket: Socket,
    name: SocketAddr,
    /// The host's other addresses, for where nobody is at this one.
    others: std::vec::IntoIter<SocketAddr>,
    /// What was sent before the first answer.
    kept: Vec<Vec<u8>>,
    /// A line that has no end yet.
    line: Vec<u8>,
    crlf: Crlf,
    went: u32,
    came: u32,
    ended: bool,
    last: Instant,
}

impl<'d> Datagrams<'d> {
    /// Begins with the first of `addresses`, of which there is one.
    ///
    /// # Errors
    /// As socket(2), bind(2) and connect(2).
    pub(super) fn new(
        addresses: Vec<SocketAddr>,
        options: &'d Options,
        rules: Rules,
        input: Input,
        output: &'d mut Output,
    ) -> Result<Self, Failure> {
        let mut others = addresses.into_iter();
        let (name, socket) = next(&mut others, options)?;
        Ok(Self {
            options,
            rules,
            input,
            output,
            tally: Tally::default(),
            socket,
            name,
            others,
            kept: Vec::new(),
            line: Vec::new(),
            crlf: Crlf::default(),
            went: 0,
            came: 0,
            ended: false,
            last: Instant::now(),
        })
    }

    /// Carries it on to its end, and shows all that came.
    pub(super) fn run(mut self) -> (Tally, SocketAddr, Result<End, Failure>) {
        let end = loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(end)) => break Ok(end),
                Err(stop) => break stop,
            }
        };
        let flushed = match end {
            Ok(End::Gone) => Ok(()),
            Ok(End::Signal(_)) => self.output.flush(Some(Duration::from_secs(1))),
            Ok(End::Complete) | Err(_) => self.output.flush(None),
        };
        let end = match flushed {
            Ok(()) => end,
            Err(Ok(Gone)) => end.map(|_| End::Gone),
            Err(Err(failure)) => end.and(Err(failure)),
        };
        (self.tally, self.name, end)
    }

    fn turn(&mut self) -> Result<Option<End>, Result<End, Failure>> {
        let wanted = match self.rules.count {
            Some(count) => count,
            None if self.ended => self.went,
            None => u32::MAX,
        };
        if self.came >= wanted {
            return Ok(Some(End::Complete));
        }
        let receives = self.output.has_room();
        let reads = !self.ended || self.input.has_keys();
        let input = match reads {
            true => self.input.watched(),
            false => Vec::new(),
        };
        let at_once = reads && input.is_empty();
        // While somebody may still send, silence is no failure unless it is said.
        let patience = match (self.rules.idle, self.ended) {
            (Some(idle), _) => Some(idle),
            (None, true) => Some(PATIENCE),
            (None, false) => None,
        };
        let silent = patience.map(|patience| self.last + patience);
        let timeout = match silent {
            _ if at_once => PollTimeout::ZERO,
            Some(time) => until(time),
            None => PollTimeout::NONE,
        };
        // A socket that is watched for nothing would still report its errors.
        let socket = || PollFd::new(self.socket.as_fd(), PollFlags::POLLIN);
        let mut watched: Vec<PollFd<'_>> = receives.then(socket).into_iter().collect();
        let inputs = input.len();
        watched.extend(input);
        watched.extend(self.output.watched());
        match poll(&mut watched, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Err(Failure::of("poll", self.name, &errno.into()))),
        }
        let ready: Vec<bool> = watched
            .iter()
            .map(|fd| fd.revents().is_some_and(|events| !events.is_empty()))
            .collect();
        let (on_socket, rest) = ready.split_at(usize::from(receives));
        let (on_input, on_output) = rest.split_at(inputs);
        let on_input = on_input.contains(&true);
        if on_output.contains(&true) {
            self.output.write().map_err(|stop| match stop {
                Ok(Gone) => Ok(End::Gone),
                Err(failure) => Err(failure),
            })?;
        }
        if on_socket.contains(&true) {
            self.receive().map_err(Err)?;
        } else if at_once || on_input {
            return self.read();
        } else if silent.is_some_and(|time| time <= Instant::now()) {
            return self.silence(wanted).map(Some).map_err(Err);
        }
        Ok(None)
    }

    /// Nothing has come for as long as it was waited for.
    fn silence(&self, wanted: u32) -> Result<End, Failure> {
        let asked = self.rules.count.is_some();
        if self.came > 0 && !asked {
            return Ok(End::Complete);
        }
        let patience = self.rules.idle.unwrap_or(PATIENCE).as_secs_f64();
        let message = match asked {
            true => format!(
                "{}: {} of {wanted} answers, then none for {patience}s",
                self.name, self.came
            ),
            false => format!("{}: no answer within {patience}s", self.name),
        };
        Err(Failure::new(Cause::Timeout, message))
    }

    fn receive(&mut self) -> Result<(), Failure> {
        let mut room = vec![0; 65_536];
        match (&self.socket).read(&mut room) {
            Ok(count) => {
                self.last = Instant::now();
                self.tally.first.get_or_insert(self.last);
                self.tally.received += count as u64;
                self.came += 1;
                self.kept.clear();
                self.output.received(&room[..count]);
                self.output.finish();
                Ok(())
            }
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => self.refused(&error, "receive from"),
        }
    }

    /// ICMP said that nobody is there: the host may have another address.
    fn refused(&mut self, error: &std::io::Error, call: &str) -> Result<(), Failure> {
        let failure = match Cause::of(error) {
            Cause::Refused => Failure::new(
                Cause::Refused,
                format!("{}: refused: nobody has that port (ICMP)", self.name),
            ),
            _ => Failure::of(call, self.name, error),
        };
        if self.came > 0 || failure.cause != Cause::Refused {
            return Err(failure);
        }
        let Ok((name, socket)) = next(&mut self.others, self.options) else {
            return Err(failure);
        };
        (self.name, self.socket) = (name, socket);
        // Nobody had what went before.
        (self.went, self.tally.sent) = (0, 0);
        for datagram in std::mem::take(&mut self.kept) {
            self.send(datagram)?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<End>, Result<End, Failure>> {
        let given = matches!(self.input, Input::Given(_));
        match self.input.take() {
            // Somebody types on after the end.
            Ok(Found::Octets(_) | Found::End) if self.ended => {}
            Ok(Found::Octets(octets)) => {
                let octets = match self.rules.crlf {
                    true => self.crlf.apply(&octets),
                    false => octets,
                };
                if given {
                    self.send(octets).map_err(Err)?;
                } else {
                    self.line.extend(octets);
                    self.send_lines().map_err(Err)?;
                }
            }
            Ok(Found::Nothing) => {}
            Ok(Found::End) => {
                self.ended = true;
                self.last = Instant::now();
                // The last line may have no end.
                let line = std::mem::take(&mut self.line);
                if !line.is_empty() {
                    self.send(line).map_err(Err)?;
                }
            }
            Ok(Found::Signal(signal)) => return Ok(Some(End::Signal(signal))),
            Err(error) => return Err(Err(unreadable(&error))),
        }
        Ok(None)
    }

    fn send_lines(&mut self) -> Result<(), Failure> {
        while let Some(end) = memchr::memchr(b'\n', &self.line) {
            let line = self.line.drain(..=end).collect();
            self.send(line)?;
        }
        if self.line.len() > LARGEST {
            let message =
                format!("standard input: a line is longer than a datagram, {LARGEST} octets");
            return Err(Failure::new(Cause::Usage, message));
        }
        Ok(())
    }

    fn send(&mut self, datagram: Vec<u8>) -> Result<(), Failure> {
        loop {
            match self.socket.send(&datagram) {
                Ok(_) => break,
                Err(error) if is_passing(&error) => {
                    let mut watched = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                    let _ = poll(&mut watched, until(Instant::now() + PATIENCE));
                }
                // It is about the one before, which is kept.
                Err(error) => self.refused(&error, "send to")?,
            }
        }
        self.last = Instant::now();
        self.went += 1;
        self.tally.sent += datagram.len() as u64;
        self.output.sent(&datagram);
        let kept: usize = self.kept.iter().map(Vec::len).sum();
        if self.came == 0 && kept + datagram.len() <= KEPT {
            self.kept.push(datagram);
        }
        Ok(())
    }
}

/// A socket to the next address that can be had.
fn next(
    addresses: &mut std::vec::IntoIter<SocketAddr>,
    options: &Options,
) -> Result<(SocketAddr, Socket), Failure> {
    let mut last = Failure::new(Cause::Resolve, "there is no address");
    for address in addresses {
        match associate(address, options) {
            Ok(socket) => return Ok((address, socket)),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::show::Manner;
    use super::*;
    use std::net::UdpSocket;
    use std::thread;

    #[test]
    fn where_nobody_is_the_next_address_gets_it() {
        // Where nobody ever was: a socket that is closed may have a copy in a program
        // that another test starts.
        let closed = "127.0.0.84:7000".parse().unwrap();
        let open = UdpSocket::bind("127.0.0.1:0").unwrap();
        open.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let addresses = vec![closed, open.local_addr().unwrap()];
        let there = addresses[1];
        let server = thread::spawn(move || {
            let mut room = [0; 16];
            let mut heard = Vec::new();
            for _ in 0..2 {
                let (count, from) = open.recv_from(&mut room).unwrap();
                heard.push(room[..count].to_vec());
                open.send_to(b"", from).unwrap();
            }
            heard
        });
        let texts = vec![b"one".to_vec(), b"two".to_vec()];
        let mut output = Output::new(Manner::Exact, None);
        let rules = Rules {
            idle: Some(Duration::from_secs(20)),
            crlf: false,
            count: None,
        };
        let options = Options::default();
        let input = Input::Given(texts.clone().into_iter());
        let datagrams = Datagrams::new(addresses, &options, rules, input, &mut output).unwrap();
        let (tally, name, end) = datagrams.run();
        assert_eq!(end, Ok(End::Complete));
        assert_eq!((name, tally.sent), (there, 6));
        assert_eq!(server.join().unwrap(), texts);
    }
}
