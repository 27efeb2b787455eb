//! The load: clients of an echo server, all in one thread and one epoll loop.
//!
//! It owes the figures: a round trip counts when its last octet has come back,
//! and only if every octet was the one that was sent. It must never wait for a
//! server without a deadline, and never hold more than a fixed amount of memory.

use super::histogram::Histogram;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What each client does, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Sends so many octets and waits until they are back.
    PingPong(usize),
    /// Sends pieces of so many octets while fewer than four of them are under
    /// way, and reads what comes.
    Stream(usize),
    /// Connects, sends so many octets, waits until they are back, closes.
    Visit(usize),
}

/// A load, bounded in every direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// What each client does.
    pub(crate) work: Work,
    /// How many there are at a time.
    pub(crate) clients: usize,
    /// How long before anything counts.
    pub(crate) warm_up: Duration,
    /// How long it counts.
    pub(crate) window: Duration,
}

/// What came of a load within its window.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Messages that came back whole; with `Visit`, connections.
    pub(crate) rounds: u64,
    /// Octets that came back.
    pub(crate) octets: u64,
    /// The window as it was.
    pub(crate) elapsed: Duration,
    /// Processor time that the server took in it.
    pub(crate) processor: Duration,
    /// How long the rounds took; of a stream, nothing.
    pub(crate) times: Histogram,
}

/// No server may be silent for longer while a client waits for it.
const SILENCE: Duration = Duration::from_secs(5);
/// Pieces of a stream that may be under way.
const UNDER_WAY: usize = 4;

impl Load {
    /// Puts the load on the server at `server`; `meter` says how much processor
    /// time that server has taken so far.
    ///
    /// # Errors
    /// Where the server refuses, closes, falls silent, or returns other octets
    /// than it was sent.
    pub(crate) fn run(
        &self,
        server: SocketAddr,
        meter: &mut dyn FnMut() -> Duration,
    ) -> io::Result<Tally> {
        let mut crowd = Crowd::new(self, server)?;
        crowd.go_on_until(Instant::now() + self.warm_up)?;
        crowd.forget();
        let (begun, before) = (Instant::now(), meter());
        crowd.go_on_until(begun + self.window)?;
        let (elapsed, after) = (begun.elapsed(), meter());
        crowd.look_for_the_forgotten()?;
        Ok(Tally {
            rounds: crowd.rounds,
            octets: crowd.octets,
            elapsed,
            processor: after.saturating_sub(before),
            times: crowd.times,
        })
    }
}

/// All clients, and what they have seen.
struct Crowd {
    work: Work,
    server: SockAddr,
    epoll: Epoll,
    clients: Vec<Client>,
    /// Twice what is sent, so that any part of it can be compared at once.
    pattern: Vec<u8>,
    room: Vec<u8>,
    rounds: u64,
    octets: u64,
    times: Histogram,
}

struct Client {
    socket: Socket,
    interest: EpollFlags,
    begun: Instant,
    /// Octets that are to be sent in all, were sent, and came back.
    owed: u64,
    sent: u64,
    back: u64,
}

impl Crowd {
    fn new(load: &Load, server: SocketAddr) -> io::Result<Self> {
        let (Work::PingPong(length) | Work::Stream(length) | Work::Visit(length)) = load.work;
        let octets: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let mut crowd = Self {
            work: load.work,
            server: server.into(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            clients: Vec::with_capacity(load.clients),
            pattern: [&octets[..], &octets[..]].concat(),
            room: vec![0; length.max(64 * 1024)],
            rounds: 0,
            octets: 0,
            times: Histogram::default(),
        };
        for index in 0..load.clients {
            let client = crowd.connect(index)?;
            crowd.clients.push(client);
        }
        Ok(crowd)
    }

    /// What was seen so far does not count.
    fn forget(&mut self) {
        (self.rounds, self.octets) = (0, 0);
        self.times = Histogram::default();
    }

    /// A server that serves some and lets others wait does not serve the crowd.
    fn look_for_the_forgotten(&self) -> io::Result<()> {
        let long = |client: &&Client| client.begun.elapsed() > Duration::from_millis(500);
        let forgotten = self.clients.iter().filter(|client| client.back == 0);
        match forgotten.filter(long).count() {
            0 => Ok(()),
            some => Err(io::Error::other(format!("{some} clients were not served"))),
        }
    }

    fn length(&self) -> usize {
        self.pattern.len() / 2
    }

    fn go_on_until(&mut self, end: Instant) -> io::Result<()> {
        let mut found = [EpollEvent::empty(); 256];
        loop {
            let patience = EpollTimeout::try_from(SILENCE).unwrap_or(EpollTimeout::NONE);
            let count = match self.epoll.wait(&mut found, patience) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => return Err(errno.into()),
            };
            for event in &found[..count] {
                self.serve(event.data() as usize)?;
            }
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// A client that has begun to connect, under number `index`.
    fn connect(&mut self, index: usize) -> io::Result<Client> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        let begun = Instant::now();
        match socket.connect(&self.server) {
            Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                return Err(error);
            }
            _ => {}
        }
        let interest = EpollFlags::EPOLLOUT;
        self.epoll
            .add(&socket, EpollEvent::new(interest, index as u64))?;
        Ok(Client {
            socket,
            interest,
            begun,
            owed: self.length() as u64,
            sent: 0,
            back: 0,
        })
    }

    /// Something happened to a client: on with its work.
    fn serve(&mut self, index: usize) -> io::Result<()> {
        self.read(index)?;
        let length = self.length() as u64;
        let client = &mut self.clients[index];
        match self.work {
            Work::PingPong(_) | Work::Visit(_) if client.back < client.owed => {}
            Work::PingPong(_) => {
                let now = Instant::now();
                self.times.add(now - client.begun);
                self.rounds += 1;
                client.begun = now;
                client.owed += length;
            }
            Work::Visit(_) => {
                self.times.add(client.begun.elapsed());
                self.rounds += 1;
                // The place of the old one, which is closed by that.
                self.clients[index] = self.connect(index)?;
                return Ok(());
            }
            Work::Stream(_) => {
                let most = client.back + UNDER_WAY as u64 * length;
                client.owed = client.owed.max(most);
            }
        }
        self.write(index)
    }

    /// Takes what is there, and looks whether it is what was sent.
    fn read(&mut self, index: usize) -> io::Result<()> {
        let length = self.length();
        let client = &mut self.clients[index];
        while client.back < client.sent {
            let count = match (&client.socket).read(&mut self.room) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut seen = &self.room[..count];
            while !seen.is_empty() {
                let from = (client.back % length as u64) as usize;
                let (head, rest) = seen.split_at(seen.len().min(length));
                if head != &self.pattern[from..from + head.len()] {
                    return Err(io::Error::other("other octets came back than were sent"));
                }
                client.back += head.len() as u64;
                self.octets += head.len() as u64;
                if let Work::Stream(_) = self.work {
                    self.rounds += client.back / length as u64
                        - (client.back - head.len() as u64) / length as u64;
                }
                seen = rest;
            }
            if count < self.room.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends what is owed, as far as the kernel takes it.
    fn write(&mut self, index: usize) -> io::Result<()> {
        let length = self.length() as u64;
        let client = &mut self.clients[index];
        let mut blocked = false;
        while client.sent < client.owed && !blocked {
            let from = (client.sent % length) as usize;
            let count = (client.owed - client.sent).min(length) as usize;
            match (&client.socket).write(&self.pattern[from..from + count]) {
                Ok(count) => client.sent += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => blocked = true,
                Err(error) => return Err(error),
            }
        }
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, blocked);
        if client.interest != interest {
            client.interest = interest;
            let mut event = EpollEvent::new(interest, index as u64);
            self.epoll.modify(&client.socket, &mut event)?;
        }
        Ok(())
    }
}
