//! Datagrams: a batch is received, answered and sent off, and then the next one.
//!
//! ```text
//!            recvmmsg           Responder           sendmmsg
//!   queue ───────────▶ batch ─────────────▶ answers ─────────▶
//!                        └─ dropped, counted and told of
//! ```
//!
//! Nobody is waited for, so one loop does what `prefork` and `event` mean
//! elsewhere. It waits in the call that it wants to make, recvmmsg(2), and after a
//! second without a datagram in poll(2), which has no end; so at rest a datagram
//! costs two system calls, and none costs nothing. The kernel wakes one of those who
//! sleep in recvmmsg for each datagram, in turn.
//!
//! Owes every answer to the address that asked, from the address that was asked;
//! to a retiring worker, what is in a queue that nobody else will empty; to
//! everybody else on the network, that forged datagrams do little harm: see
//! [`Terms`]. It must never wait for a receiver, nor
//! stop for an error that is about one datagram.

mod sources;
mod tally;

use super::blocking::{PAUSE, timeout};
use super::{Duty, Lane, Leave};
use crate::protocol::Responder;
use crate::scoreboard::{Counter, RowState};
use crate::sys::datagram::{Arrival, BATCH, FEW, Inbox, Parcel, receive, send};
use crate::sys::random;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sources::Sources;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use tally::{Counts, Tally, Why};

/// How often row, title and log are looked after.
const ROUND: Duration = Duration::from_secs(1);

/// Ports of services that answer whatever they get: two of them could answer each
/// other for ever (CVE-1999-0103). 0 is what can only be forged.
const REFLECTORS: [u16; 6] = [0, 7, 13, 17, 19, 37];

/// What holds for datagrams.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Answers a second that a source gets; 0 is any.
    pub rate: u32,
    /// Answers that a source gets at once.
    pub burst: u32,
    /// Ports besides the well-known ones that are not answered, in the order of
    /// their numbers: those on which we answer datagrams ourselves.
    pub reflectors: Vec<u16>,
}

/// Answers datagrams until the worker must leave.
pub fn run(duty: &Duty, responder: &mut dyn Responder, terms: &Terms) -> Leave {
    let Some(&row) = duty.rows.first() else {
        return Leave::Retired;
    };
    let seed = random::number().unwrap_or_default();
    let lane = Lane::many(duty, row);
    let mut server = Server {
        began: lane.now,
        round: None,
        looked: lane.now,
        last: lane.now,
        duty,
        lane,
        responder,
        terms,
        inbox: Inbox::default(),
        sources: Sources::new(terms.rate, terms.burst, seed),
        tally: Tally::default(),
        first: 0,
        expected: FEW,
        received: 0,
        complete: 0,
        shown: 0,
    };
    server.rest();
    let leave = server.run();
    if let Some(line) = server.tally.finish() {
        log::warn!("{line}");
    }
    leave
}

struct Server<'d> {
    duty: &'d Duty,
    lane: Lane<'d>,
    responder: &'d mut dyn Responder,
    terms: &'d Terms,
    inbox: Inbox,
    sources: Sources,
    tally: Tally,
    began: Instant,
    /// When row, title and log are looked after next; `None` while there is
    /// nothing to be said of us.
    round: Option<Instant>,
    /// When the rate was worked out last, …
    looked: Instant,
    /// … and when the last batch came.
    last: Instant,
    /// Whose turn it is among several sockets.
    first: usize,
    /// How many datagrams are asked for at once.
    expected: usize,
    /// Datagrams so far, …
    received: u64,
    /// … those of them that came to what they were to come to, …
    complete: u64,
    /// … and those that were told of.
    shown: u64,
}

/// What comes of looking for datagrams.
enum Found {
    /// Some, on the socket of this number.
    Batch(usize),
    /// None.
    Nothing,
    /// A signal has come: look again.
    Interrupted,
    /// The sockets are parked: the worker is told to retire.
    Parked,
}

impl Server<'_> {
    fn run(&mut self) -> Leave {
        while !self.duty.is_retired() {
            match self.look() {
                Ok(Found::Batch(index)) => {
                    self.serve(self.duty.queues[index].as_fd());
                    if !self.may_go_on() {
                        return Leave::Worn;
                    }
                }
                Ok(Found::Nothing) => {
                    self.lane.look_at_clock();
                    self.look_around();
                    if let Err(errno) = self.wait() {
                        return Leave::Sick(errno.into());
                    }
                }
                Ok(Found::Interrupted) => {}
                Ok(Found::Parked) if self.duty.is_retired() => break,
                Ok(Found::Parked) => return Leave::Sick(Errno::EINVAL.into()),
                Err(error) => return Leave::Sick(error),
            }
        }
        self.lane.show_summary("draining");
        self.empty_queues();
        Leave::Retired
    }

    /// Takes a batch off one of the sockets. One that is alone is waited for, for
    /// as long as there is something to be said of us in between; that is also how
    /// long the socket lets anybody wait.
    fn look(&mut self) -> io::Result<Found> {
        let listeners = &self.duty.listeners;
        let wait = listeners.len() == 1 && self.round.is_some();
        if wait {
            self.lane.row.set_deadline(None);
        }
        self.first += 1;
        for index in 0..listeners.len() {
            let index = (self.first + index) % listeners.len();
            let most = if self.duty.limits.once {
                1
            } else {
                self.expected
            };
            match receive(listeners[index].as_fd(), &mut self.inbox, most, wait) {
                Ok(0) => {}
                Ok(count) => {
                    // More may wait than was asked for.
                    self.expected = if count < FEW { FEW } else { BATCH };
                    return Ok(Found::Batch(index));
                }
                Err(error) => match classify(&error) {
                    Trouble::Passing => {}
                    Trouble::Signal => return Ok(Found::Interrupted),
                    Trouble::Memory => self.pause(&error),
                    Trouble::Parked => return Ok(Found::Parked),
                    Trouble::Lasting => return Err(error),
                },
            }
        }
        Ok(Found::Nothing)
    }

    /// Waits for datagrams, for the end of this worker or that of the master, or
    /// for the next round.
    fn wait(&mut self) -> Result<(), Errno> {
        self.lane.row.set_deadline(None);
        let patience = self.round.map_or(PollTimeout::NONE, |at| {
            timeout(at.saturating_duration_since(self.lane.now))
        });
        let listeners = self.duty.listeners.iter().map(|one| one.as_fd());
        let watched = [self.duty.wake.as_fd(), self.duty.life.as_fd()];
        let watched = watched.into_iter().chain(listeners);
        let mut ready: Vec<PollFd<'_>> = watched
            .map(|one| PollFd::new(one, PollFlags::POLLIN))
            .collect();
        match poll(&mut ready, patience) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        let [wake, life] = [0, 1].map(|at| ready[at].any().unwrap_or(false));
        if wake {
            // Empty it; what it means is in the flag.
            let _ = self.duty.wake.read();
        }
        if life {
            self.duty.orphan();
        }
        Ok(())
    }

    /// Answers the batch in the inbox, on `socket`: not by the number under which
    /// it was received, for behind that may be another socket by now.
    fn serve(&mut self, socket: BorrowedFd<'_>) {
        self.lane.look_at_clock();
        // Until the next wait it is at work, and should be back at once.
        self.lane.row.set_deadline(Some(self.lane.now));
        self.lane.row.tick(self.lane.now);
        self.wake_up();
        let now = self.lane.now;
        self.last = now;
        let age = now.saturating_duration_since(self.began).as_nanos() as u64;
        let mut counts = Counts::default();
        let (mut received, mut octets, mut source) = (0, 0, None);
        self.responder.begin(self.lane.wall());
        let arrivals = self.inbox.arrivals();
        let mut parcels: Vec<Parcel<'_>> = Vec::with_capacity(arrivals.size_hint().0);
        for (arrival, request) in arrivals {
            received += 1;
            octets += arrival.length as u64;
            let verdict = judge(arrival, &self.terms.reflectors).and_then(|to| {
                if !self
                    .duty
                    .gate
                    .as_ref()
                    .is_none_or(|gate| gate.permits(to.ip()))
                {
                    return Err(Why::Denied);
                }
                let Some(answer) = self.responder.answer(request) else {
                    return Ok(None);
                };
                if !self.sources.grant(to.ip(), age) {
                    return Err(Why::Rate);
                }
                Ok(Some(parcel(arrival, to, answer)))
            });
            match verdict {
                Ok(parcel) => parcels.extend(parcel),
                Err(why) => {
                    counts.add(why, 1);
                    source = arrival.from.map(|from| from.ip().to_canonical());
                }
            }
        }
        let (answered, sent) = send_all(socket, &parcels, &mut counts);
        let dropped = counts.total();
        let row = &self.lane.row;
        self.received += received;
        self.complete += received - dropped;
        // A datagram is a connection with one request.
        row.add(Counter::Connections, received);
        row.add(Counter::Requests, received);
        row.add(Counter::Received, octets);
        row.add(Counter::Sent, sent);
        row.add(Counter::Successful, answered);
        row.add(Counter::Complete, received - dropped);
        if dropped > 0 {
            for why in Why::ALL {
                row.add(counter(why), counts.of(why));
            }
            if let Some(line) = self.tally.note(counts, source, now) {
                log::warn!("{line}");
            }
        }
        self.look_around();
    }

    /// Whether the worker may go on, after what it has served.
    fn may_go_on(&self) -> bool {
        let connections = if self.duty.limits.once {
            self.complete
        } else {
            0
        };
        self.duty.may_go_on(connections, self.received)
    }

    /// There is something to be said of us from now on.
    fn wake_up(&mut self) {
        if self.round.is_none() {
            self.round = Some(self.lane.now + ROUND);
            self.looked = self.lane.now;
            self.shown = self.received;
            self.duty.board.set_busy(self.duty.seat);
            self.lane.row.set_state(RowState::Serving, self.lane.now);
            self.lane.show_summary("serving");
        }
    }

    /// There is nothing to be said of us any more.
    fn rest(&mut self) {
        self.round = None;
        self.duty.board.set_idle(self.duty.seat);
        self.lane.row.set_state(RowState::Idle, self.lane.now);
        self.lane.row.set_text_aside();
        self.lane.show_summary("idle");
    }

    /// Looks after row, title and log, if it is time.
    fn look_around(&mut self) {
        let now = self.lane.now;
        if self.round.is_none_or(|at| now < at) {
            return;
        }
        self.lane.row.tick(now);
        self.duty.complaints.settle(now);
        crate::log::tick(now);
        if let Some(line) = self.tally.tick(now) {
            log::warn!("{line}");
        }
        let over = self.last + ROUND;
        if over <= now && self.tally.is_silent() {
            self.rest();
            return;
        }
        if self.looked + ROUND <= now {
            self.show_rate();
        }
        let next = self.looked + ROUND;
        self.round = Some(if over > now { over.min(next) } else { next });
    }

    /// How many datagrams a second there were since the last time.
    fn show_rate(&mut self) {
        let now = self.lane.now;
        let span = now.saturating_duration_since(self.looked).as_secs_f64();
        let news = self.received - self.shown;
        (self.shown, self.looked) = (self.received, now);
        let text = format!("{} datagrams/s", (news as f64 / span).ceil());
        self.lane.row.set_text(text.as_bytes());
        self.lane.show_summary(&format!("serving {text}"));
    }

    /// Answers what waits in the queues that nobody else will empty.
    fn empty_queues(&mut self) {
        let owned = self.lane.row.last_owner_of();
        let queues = self.duty.queues.iter().enumerate();
        let queues: Vec<BorrowedFd<'_>> = queues
            .filter(|(index, _)| owned >> index & 1 == 1)
            .map(|(_, queue)| queue.as_fd())
            .collect();
        let mut until = None;
        loop {
            for queue in &queues {
                while self.take(*queue) {
                    self.serve(*queue);
                }
            }
            // One may be on its way to a socket to which no more are led.
            let now = Instant::now();
            let until = *until.get_or_insert(now + self.duty.limits.stragglers);
            if queues.is_empty() || now >= until {
                return;
            }
            let watched = queues.iter();
            let mut ready: Vec<PollFd<'_>> = watched
                .map(|queue| PollFd::new(*queue, PollFlags::POLLIN))
                .collect();
            let _ = poll(&mut ready, timeout(until - now));
        }
    }

    /// Takes a batch off a queue that is emptied; answers whether there was one.
    fn take(&mut self, queue: BorrowedFd<'_>) -> bool {
        loop {
            match receive(queue, &mut self.inbox, BATCH, false) {
                Ok(count) => return count > 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => match classify(&error) {
                    Trouble::Passing | Trouble::Signal => {}
                    Trouble::Memory => self.pause(&error),
                    Trouble::Parked | Trouble::Lasting => return false,
                },
            }
        }
    }

    /// Waits a moment, or until the worker is told to retire.
    fn pause(&self, error: &io::Error) {
        log::warn!(
            "recvmmsg: {error}: waiting {} ms; datagrams wait in the queue",
            PAUSE.as_millis()
        );
        let mut wake = [PollFd::new(self.duty.wake.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut wake, timeout(PAUSE));
    }
}

/// To whom a datagram is answered, as the socket wants it; or why it is not.
fn judge(arrival: &Arrival, reflectors: &[u16]) -> Result<SocketAddr, Why> {
    let from = arrival.from.ok_or(Why::Unsendable)?;
    if arrival.cut {
        return Err(Why::Cut);
    }
    let port = from.port();
    if REFLECTORS.contains(&port) || reflectors.binary_search(&port).is_ok() {
        return Err(Why::Reflector);
    }
    let nobodys = match from.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    if nobodys || arrival.to.is_some_and(|to| !to.unicast) {
        return Err(Why::NotUnicast);
    }
    Ok(from)
}

/// An answer, on its way from the address that was asked. By which interface is
/// for the routing table to say, but for addresses that mean something only on
/// one of them (RFC 4007 §9).
fn parcel<'a>(arrival: &Arrival, to: SocketAddr, octets: &'a [u8]) -> Parcel<'a> {
    let from = arrival.to.map(|to| to.address);
    let local = match from {
        Some(IpAddr::V6(ip)) => ip.is_unicast_link_local(),
        Some(IpAddr::V4(_)) | None => false,
    };
    let interface = arrival.to.filter(|_| local).map_or(0, |to| to.interface);
    Parcel {
        octets,
        to,
        from,
        interface,
    }
}

/// Sends what the kernel takes; answers how many that were, and how many octets.
fn send_all(socket: BorrowedFd<'_>, parcels: &[Parcel<'_>], counts: &mut Counts) -> (u64, u64) {
    let (mut rest, mut octets) = (parcels, 0);
    let mut unsent = 0;
    while !rest.is_empty() {
        match send(socket, rest) {
            Ok(count) => {
                let (sent, left) = rest.split_at(count.clamp(1, rest.len()));
                octets += sent.iter().map(|one| one.octets.len() as u64).sum::<u64>();
                rest = left;
            }
            Err(error) => match error.raw_os_error().unwrap_or(0) {
                libc::EINTR => {}
                // Nobody waits for room: what comes meanwhile would be lost instead.
                libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM => {
                    unsent += rest.len();
                    counts.add(Why::Full, rest.len() as u64);
                    rest = &[];
                }
                // ECONNREFUSED and its like tell of an answer sent before, EPERM of
                // a filter: the next one may well leave.
                _ => {
                    unsent += 1;
                    counts.add(Why::Unsendable, 1);
                    rest = &rest[1..];
                }
            },
        }
    }
    ((parcels.len() - unsent) as u64, octets)
}

/// What an error of recvmmsg(2) means.
enum Trouble {
    /// Nothing was there, or it is about a datagram that was sent before.
    Passing,
    /// A signal came; with SO_RCVTIMEO it ends the call (signal(7)).
    Signal,
    /// The kernel has no memory.
    Memory,
    /// Another socket is behind the number.
    Parked,
    /// Anything else.
    Lasting,
}

fn classify(error: &io::Error) -> Trouble {
    match error.raw_os_error().unwrap_or(0) {
        libc::EINTR => Trouble::Signal,
        libc::EAGAIN
        // What ICMP says of earlier answers (ip(7)).
        | libc::ECONNREFUSED
        | libc::EHOSTUNREACH
        | libc::ENETUNREACH
        | libc::EHOSTDOWN
        | libc::ENETDOWN
        | libc::ENOPROTOOPT
        | libc::EPROTO
        | libc::EMSGSIZE
        | libc::EPERM => Trouble::Passing,
        libc::ENOMEM | libc::ENOBUFS => Trouble::Memory,
        libc::EINVAL => Trouble::Parked,
        _ => Trouble::Lasting,
    }
}

/// Where a datagram without an answer is counted, among the ends of connections.
fn counter(why: Why) -> Counter {
    match why {
        Why::Rate => Counter::RequestLimit,
        Why::Denied | Why::Reflector | Why::NotUnicast => Counter::Refused,
        Why::Cut => Counter::Overflow,
        Why::Full => Counter::WriteStalled,
        Why::Unsendable => Counter::Reset,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sys::datagram::Destination;

    fn arrival(from: &str, to: &str) -> Arrival {
        Arrival {
            from: Some(from.parse().unwrap()),
            to: Some(Destination {
                address: to.parse().unwrap(),
                unicast: true,
                interface: 3,
            }),
            length: 1,
            cut: false,
        }
    }

    #[test]
    fn who_answers_by_itself_is_not_answered() {
        // Rule 131.
        let own = [7007, 7019];
        for port in [0, 7, 13, 17, 19, 37, 7007, 7019] {
            for host in ["192.0.2.1", "[::ffff:192.0.2.1]", "[2001:db8::1]"] {
                let arrival = arrival(&format!("{host}:{port}"), "192.0.2.9");
                assert_eq!(judge(&arrival, &own), Err(Why::Reflector), "{host}:{port}");
            }
        }
        assert!(judge(&arrival("192.0.2.1:7008", "192.0.2.9"), &own).is_ok());
    }

    #[test]
    fn what_is_for_everybody_is_answered_by_nobody() {
        // Rule 131.
        for from in [
            "0.0.0.0:5000",
            "255.255.255.255:5000",
            "224.0.0.1:5000",
            "[::]:5000",
            "[ff02::1]:5000",
            "[::ffff:224.0.0.1]:5000",
        ] {
            let verdict = judge(&arrival(from, "192.0.2.9"), &[]);
            assert_eq!(verdict, Err(Why::NotUnicast), "{from}");
        }
        let mut broadcast = arrival("192.0.2.1:5000", "192.0.2.255");
        broadcast.to.as_mut().unwrap().unicast = false;
        assert_eq!(judge(&broadcast, &[]), Err(Why::NotUnicast));
    }

    #[test]
    fn what_was_cut_is_no_whole_datagram() {
        let mut cut = arrival("192.0.2.1:5000", "192.0.2.9");
        cut.cut = true;
        assert_eq!(judge(&cut, &[]), Err(Why::Cut));
    }

    #[test]
    fn an_answer_leaves_by_an_interface_only_where_its_address_says_nothing() {
        for (to, interface) in [("192.0.2.9", 0), ("2001:db8::9", 0), ("fe80::9", 3)] {
            let arrival = arrival("192.0.2.1:5000", to);
            let sent = parcel(&arrival, arrival.from.unwrap(), b"x");
            assert_eq!((sent.from, sent.interface), (to.parse().ok(), interface));
        }
    }
}
