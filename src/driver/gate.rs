//! The way in: whoever was accepted passes here before a word is exchanged, or is
//! turned away.
//!
//! Owes that a pool without rules and limits pays one comparison a connection, that
//! nobody has to wait for a client that is turned away, and that such a client can
//! read what it is told. What is decided, and by which numbers, is [`admission`]'s.
//!
//! [`admission`]: crate::admission

use super::{Duty, Lane};
use crate::admission::bucket::Pace;
use crate::admission::verdict::Bounds;
use crate::admission::{Cause, Claim, Register, Secret, Shard};
use crate::config::{Access, Full, Limits, Refusal};
use crate::net::Stream;
use crate::protocol::Peer;
use log::Level;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// What a worker lets in.
#[derive(Debug)]
pub struct Gate {
    access: Access,
    denied: Refusal,
    /// Where it is noted who was turned away.
    register: Option<Register>,
    counted: Option<Counted>,
}

/// What is counted.
#[derive(Debug)]
struct Counted {
    limits: Limits,
    bounds: Bounds,
    pace: Option<Pace>,
    secret: Secret,
    register: Register,
    /// The worker's own; without one, whom it has is not counted.
    shard: Option<Shard>,
    /// What a client is told.
    answer: Vec<u8>,
}

/// What the master gives a worker of a pool with limits or rules.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The pool's.
    pub register: Register,
    /// The pool's.
    pub secret: Secret,
    /// The worker's own; `None` where nothing is to be counted, or there was no room.
    pub shard: Option<Shard>,
}

/// Whose address a socket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The client's own.
    Client,
    /// That of a proxy, which names the client later (see [`Lane::admit_client`]):
    /// until then the connection counts in the total alone.
    Proxy,
}

/// Clients that were told something and may still have to read it: their sockets
/// are closed later, for to close one in which octets wait is to reset it
/// (RFC 1122 §4.2.2.13).
#[derive(Debug, Default)]
pub struct Partings(VecDeque<(Stream, Instant)>);

/// How often a place is looked for while all are taken.
pub(super) const PATIENCE: Duration = Duration::from_millis(10);

impl Gate {
    /// What the configuration of a pool comes to: nothing, where it has no rules
    /// and no limits. `pass` is there where it has limits.
    pub fn new(
        (access, denied): (&Access, Refusal),
        limits: Option<&Limits>,
        is_http: bool,
        pass: Option<Pass>,
    ) -> Option<Box<Self>> {
        let counted = limits.zip(pass).map(|(limits, pass)| Counted {
            bounds: Bounds::of(limits),
            pace: limits.accept_rate.map(Pace::from),
            secret: pass.secret,
            register: pass.register,
            shard: pass.shard,
            answer: answer(limits, is_http),
            limits: limits.clone(),
        });
        let is_open = access.allow.is_empty() && access.deny.is_empty();
        let gate = Self {
            access: access.clone(),
            denied,
            register: pass.map(|pass| pass.register),
            counted,
        };
        (!is_open || gate.counted.is_some()).then(|| Box::new(gate))
    }

    /// Whether a place must be free before a client is taken from the queue.
    pub fn waits(&self) -> bool {
        self.counted
            .as_ref()
            .is_some_and(|one| one.limits.waits() && one.shard.is_some())
    }

    /// Whether what comes from this address may, by the rules of the pool. Who may
    /// not is noted, and nothing is said.
    pub(super) fn permits(&self, source: IpAddr) -> bool {
        let may = self.access.permits(Some(source));
        if !may && let Some(register) = &self.register {
            register.head().note_denied();
        }
        may
    }

    /// Nobody is in lane `entry` any more.
    pub(super) fn vacate(&self, entry: usize) {
        if let Some(shard) = self.counted.as_ref().and_then(|one| one.shard) {
            shard.leave(entry);
        }
    }

    /// Why the client of this address may not come, if it may not, and what becomes
    /// of it then. What it is counted under goes to `claim`.
    fn ask(
        &self,
        duty: &Duty,
        at: At,
        client: Option<SocketAddr>,
        step: Step<'_>,
    ) -> Option<(Cause, Refusal)> {
        let address = client.map(|address| address.ip());
        if step.is_about_client() && !self.access.permits(address) {
            if let Some(register) = &self.register {
                register.head().note_denied();
            }
            self.tell_denied(duty, client, at.now);
            return Some((Cause::Denied, self.denied));
        }
        let counted = self.counted.as_ref()?;
        let cause = counted.ask(at, address, step)?;
        let spared = counted.limits.dry_run;
        counted.note(duty, cause, spared, at.now);
        (!spared).then(|| (cause, counted.refusal(cause)))
    }

    /// Rules are not there to be read about all day: bounded, as all that clients
    /// can provoke.
    fn tell_denied(&self, duty: &Duty, client: Option<SocketAddr>, now: Instant) {
        if duty.complaints.may_speak(Level::Info, now) {
            let peer = Peer {
                remote: client,
                local: None,
            };
            // A test relies on this line.
            log::info!("{peer} may not connect here");
        }
    }
}

/// Where and when a client asks.
#[derive(Clone, Copy, Debug)]
struct At {
    entry: usize,
    now: Instant,
    chance: u32,
}

/// At which step of its coming a client asks.
enum Step<'c> {
    /// It was accepted; its place was reserved or not.
    Accepted {
        claim: &'c mut Claim,
        whose: Whose,
        reserved: bool,
    },
    /// A proxy has named it.
    Named { claim: &'c mut Claim },
}

impl Step<'_> {
    /// Whether the address is that of the client: a proxy's is for the listener to
    /// judge, which knows whom it believes.
    fn is_about_client(&self) -> bool {
        match self {
            Self::Accepted { whose, .. } => *whose == Whose::Client,
            Self::Named { .. } => true,
        }
    }
}

impl Counted {
    fn ask(&self, at: At, client: Option<IpAddr>, step: Step<'_>) -> Option<Cause> {
        let limits = &self.limits;
        let is_exempt = limits.exempt.contain(client);
        let known = client.filter(|_| limits.tells_sources_apart() && !is_exempt);
        match step {
            Step::Accepted {
                claim,
                whose,
                reserved,
            } => {
                let known = known.filter(|_| whose == Whose::Client);
                if let Some(cause) = known.and_then(|client| self.is_hasty(client, at.now)) {
                    if limits.dry_run {
                        // It comes in, and counts.
                        self.enter(at, known, claim, Bounds::default(), reserved);
                    }
                    return Some(cause);
                }
                let bounds = if is_exempt || whose == Whose::Proxy {
                    self.bounds.of_all()
                } else {
                    self.bounds
                };
                self.enter(at, known, claim, bounds, reserved)
            }
            Step::Named { .. } if is_exempt => None,
            Step::Named { claim } => {
                let hasty = known.and_then(|client| self.is_hasty(client, at.now));
                if hasty.is_some() && !limits.dry_run {
                    return hasty;
                }
                let shard = self.shard?;
                let before = *claim;
                *claim = known.map(|client| self.claim(client)).unwrap_or_default();
                let (bounds, anyway) = (&self.bounds, limits.dry_run);
                let shed = shard.rename(at.entry, before, claim, bounds, anyway, at.chance);
                hasty.or(shed)
            }
        }
    }

    fn is_hasty(&self, client: IpAddr, now: Instant) -> Option<Cause> {
        let pace = self.pace?;
        let source = self.secret.source(client);
        let may = self.register.is_slow(source, pace, now);
        (!may).then_some(Cause::Rate)
    }

    fn enter(
        &self,
        at: At,
        client: Option<IpAddr>,
        claim: &mut Claim,
        bounds: Bounds,
        reserved: bool,
    ) -> Option<Cause> {
        let shard = self.shard?;
        if let Some(client) = client {
            *claim = self.claim(client);
        }
        let how = (self.limits.dry_run, reserved);
        shard.admit(at.entry, claim, &bounds, how, at.chance)
    }

    fn claim(&self, client: IpAddr) -> Claim {
        let limits = &self.limits;
        let source = || self.secret.source(client);
        let network = || {
            self.secret
                .network(client, limits.ipv4_network, limits.ipv6_network)
        };
        Claim::new(
            (self.bounds.address > 0).then(source),
            (self.bounds.network > 0).then(network),
        )
    }

    fn refusal(&self, cause: Cause) -> Refusal {
        match (cause, self.limits.full) {
            (Cause::Full, Full::Refuse(refusal)) => refusal,
            (Cause::Full, Full::Wait)
            | (Cause::Denied | Cause::Rate | Cause::Early | Cause::Address | Cause::Network, _) => {
                self.limits.over
            }
        }
    }

    fn note(&self, duty: &Duty, cause: Cause, spared: bool, now: Instant) {
        if self
            .register
            .head()
            .note(cause, spared, self.register.stamp(now))
        {
            duty.board.ring();
        }
    }
}

impl<'d> Lane<'d> {
    /// Whether there is a place for the next client, which is then kept for it until
    /// [`Lane::admit`] or [`Lane::leave`]. Where nobody has to wait for one, there
    /// always is.
    pub(super) fn reserve(&self) -> bool {
        let Some(counted) = self
            .duty
            .gate
            .as_ref()
            .and_then(|gate| gate.counted.as_ref())
        else {
            return true;
        };
        match counted.shard {
            Some(shard) if counted.limits.waits() => shard.reserve(self.entry, &counted.bounds),
            Some(_) | None => true,
        }
    }

    /// Nobody came for the place that was [reserved](Lane::reserve).
    pub(super) fn leave(&self) {
        if let Some(gate) = self.duty.gate.as_ref().filter(|gate| gate.waits()) {
            gate.vacate(self.entry);
        }
    }

    /// Lets in a client that was accepted; or turns it away, and answers nothing.
    /// What is answered must be [released](Lane::release) when its connection is
    /// over, if no [`Connection`](super::connection::Connection) has it.
    #[inline]
    pub fn admit(&mut self, stream: Stream, peer: &Peer) -> Option<(Stream, Claim)> {
        match &self.duty.gate {
            None => Some((stream, Claim::default())),
            Some(gate) => self.pass(gate, stream, peer),
        }
    }

    fn pass(&mut self, gate: &Gate, stream: Stream, peer: &Peer) -> Option<(Stream, Claim)> {
        let whose = if self.duty.expects_proxy(stream.listener()) {
            Whose::Proxy
        } else {
            Whose::Client
        };
        let mut claim = Claim::default();
        let step = Step::Accepted {
            claim: &mut claim,
            whose,
            reserved: gate.waits(),
        };
        // Minutes may have gone by in accept4(2).
        let now = Instant::now();
        self.partings.settle(now);
        let at = self.asking(now);
        match gate.ask(self.duty, at, peer.remote, step) {
            None => Some((stream, claim)),
            Some((_, refusal)) => {
                // Where a place was kept for it.
                self.leave();
                let answer = gate.counted.as_ref().map_or(&[][..], |one| &one.answer);
                self.partings.turn_away(stream, refusal, answer, now);
                None
            }
        }
    }

    /// Whether the client that a proxy has named may come in. `claim` is that of the
    /// connection, which goes on, or is to be ended as is answered.
    ///
    /// # Errors
    /// What is to become of it, and what it is told.
    pub fn admit_client(
        &mut self,
        claim: &mut Claim,
        client: Option<SocketAddr>,
    ) -> Result<(), (Refusal, &'d [u8])> {
        let duty: &'d Duty = self.duty;
        let Some(gate) = &duty.gate else {
            return Ok(());
        };
        let at = self.asking(self.now);
        match gate.ask(duty, at, client, Step::Named { claim }) {
            None => Ok(()),
            Some((_, refusal)) => {
                let answer = gate.counted.as_ref().map_or(&[][..], |one| &one.answer);
                Err((refusal, answer))
            }
        }
    }

    /// A connection is over.
    #[inline]
    pub fn release(&self, claim: Claim) {
        if let Some(gate) = &self.duty.gate
            && let Some(shard) = gate.counted.as_ref().and_then(|one| one.shard)
        {
            shard.release(self.entry, claim);
        }
    }

    fn asking(&mut self, now: Instant) -> At {
        self.dice = self.dice.wrapping_add(1);
        At {
            entry: self.entry,
            now,
            chance: (crate::mix::mix(self.dice) >> 32) as u32,
        }
    }
}

impl Partings {
    /// So many at most; the kernel has the rest of it.
    const MOST: usize = 16;
    /// So long a client has to read.
    const TIME: Duration = Duration::from_secs(1);

    fn turn_away(&mut self, stream: Stream, refusal: Refusal, answer: &[u8], now: Instant) {
        match refusal {
            Refusal::Reset => stream.give_up(),
            Refusal::Answer if !answer.is_empty() => {
                // What does not fit is a client that reads nothing.
                let sent = stream.send(answer, false);
                if sent.is_ok() && stream.finish().is_ok() {
                    if self.0.len() >= Self::MOST
                        && let Some((oldest, _)) = self.0.pop_front()
                    {
                        part(oldest);
                    }
                    self.0.push_back((stream, now));
                }
            }
            Refusal::Close | Refusal::Answer => part(stream),
        }
    }

    /// When [`Partings::settle`] is due; nothing where there is none.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.front().map(|(_, since)| *since + Self::TIME)
    }

    /// Closes those that had their time.
    pub(super) fn settle(&mut self, now: Instant) {
        let had_its_time =
            |(_, since): &(Stream, Instant)| now.saturating_duration_since(*since) >= Self::TIME;
        while self.0.front().is_some_and(had_its_time)
            && let Some((stream, _)) = self.0.pop_front()
        {
            part(stream);
        }
    }
}

/// Takes what came meanwhile, as far as that is little, and closes.
fn part(stream: Stream) {
    let mut room = [0; 4096];
    // A mistake is its end as well.
    let _ = stream.receive(&mut room);
}

/// Whether somebody waits in a queue, now.
pub(super) fn has_clients(queue: BorrowedFd<'_>) -> bool {
    let mut ready = [PollFd::new(queue, PollFlags::POLLIN)];
    // A failure cannot happen with one good descriptor; the next call would tell.
    poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// What a client is told that is turned away.
fn answer(limits: &Limits, is_http: bool) -> Vec<u8> {
    if !is_http {
        return limits.banner.clone().unwrap_or_default().into_bytes();
    }
    let seconds = limits.retry_after.as_millis().div_ceil(1000);
    // RFC 9110 §15.6.4 and §10.2.3; a server error needs no Date (§6.6.1). Whatever
    // the method was, there is no content.
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )
    .into_bytes()
}
