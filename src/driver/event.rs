//! Many connections in one epoll(7) loop.
//!
//! Level-triggered: an event that is not dealt with comes again, so nothing
//! can be forgotten. How clients come in is in `accepting`, what others do for the
//! loop in `errands`.

mod accepting;
mod errands;
mod place;

use super::blocking::SESSION_LOOK;
use super::connection::{Connection, Want};
use super::helpers::Helpers;
use super::{Duty, Lane, Leave};
use crate::net::Stream;
use crate::protocol::{CloseReason, Peer};
use crate::scoreboard::{Row, RowState};
use accepting::Accepting;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use place::{Body, Occupant, Place};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How often, at most, the title and the row's tick are written.
const SUMMARY: Duration = Duration::from_secs(1);

/// So many connections are a crowd: from then on those that wait for a request
/// are put to rest, until so few are left that their memory is no matter.
const CROWD: RangeInclusive<usize> = 256..=512;

/// No timer is set: some thirty years.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// What an epoll event is about; the two halves of its 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Token {
    place: u32,
    /// Which of the place's tenants: an event for one that has left must not
    /// be taken for its successor's.
    tenant: u32,
}

impl Token {
    const WAKE: Self = Self {
        place: u32::MAX,
        tenant: 0,
    };
    const LIFE: Self = Self {
        place: u32::MAX,
        tenant: 1,
    };
    const HELPERS: Self = Self {
        place: u32::MAX,
        tenant: 2,
    };
    const STARTERS: Self = Self {
        place: u32::MAX,
        tenant: 3,
    };
    const LISTENER: u32 = u32::MAX - 1;

    fn bits(self) -> u64 {
        u64::from(self.place) << 32 | u64::from(self.tenant)
    }

    fn of(bits: u64) -> Self {
        Self {
            place: (bits >> 32) as u32,
            tenant: bits as u32,
        }
    }
}

struct Loop<'d> {
    duty: &'d Duty,
    lane: Lane<'d>,
    epoll: Epoll,
    places: Vec<Place>,
    vacant: Vec<u32>,
    /// One entry a connection, no later than its deadline; a connection that
    /// turned out to have more time goes back in when the entry is due.
    timers: BinaryHeap<Reverse<(Instant, Token)>>,
    accepting: Accepting,
    helpers: Helpers,
    /// Those who start programs: other work must not be in their way.
    starters: Helpers,
    exclusive: bool,
    /// Whether there are more connections than [`CROWD`] allows, or lately were.
    crowded: bool,
    connections: u64,
    /// How many of those that are open a program has.
    sessions: u32,
    /// Whether the connections know that the worker retires.
    told: bool,
    /// When row and title may be written again, and how many connections they show.
    summary_due: Instant,
    shown: Option<(usize, bool)>,
}

/// Accepts and serves until the worker must leave.
pub fn run(duty: &Duty, shared_with_others: bool) -> Leave {
    match Loop::new(duty, shared_with_others).and_then(|mut event_loop| event_loop.run()) {
        Ok(leave) => leave,
        Err(error) => Leave::Sick(error),
    }
}

impl<'d> Loop<'d> {
    fn new(duty: &'d Duty, exclusive: bool) -> io::Result<Self> {
        let row = *duty.rows.first().ok_or(Errno::EINVAL)?;
        let lane = Lane::many(duty, row);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(
            &duty.wake,
            EpollEvent::new(EpollFlags::EPOLLIN, Token::WAKE.bits()),
        )?;
        epoll.add(
            &duty.life,
            EpollEvent::new(EpollFlags::EPOLLIN, Token::LIFE.bits()),
        )?;
        let helpers = Helpers::new()?;
        epoll.add(
            helpers.bell(),
            EpollEvent::new(EpollFlags::EPOLLIN, Token::HELPERS.bits()),
        )?;
        let starters = Helpers::starters(duty.limits.max_connections)?;
        epoll.add(
            starters.bell(),
            EpollEvent::new(EpollFlags::EPOLLIN, Token::STARTERS.bits()),
        )?;
        let now = lane.now;
        let event_loop = Self {
            duty,
            lane,
            epoll,
            places: Vec::new(),
            vacant: Vec::new(),
            timers: BinaryHeap::new(),
            accepting: Accepting::Open,
            helpers,
            starters,
            exclusive,
            crowded: false,
            connections: 0,
            sessions: 0,
            told: false,
            summary_due: now,
            shown: None,
        };
        event_loop.watch_listeners()?;
        Ok(event_loop)
    }

    fn run(&mut self) -> io::Result<Leave> {
        let mut events = vec![EpollEvent::empty(); 256];
        self.lane.row.set_state(RowState::Serving, self.lane.now);
        loop {
            self.summarise();
            if let Some(leave) = self.may_leave() {
                return Ok(leave);
            }
            let (patience, deadline) = self.patience();
            self.lane.row.set_deadline(deadline);
            let count = match self.epoll.wait(&mut events, patience) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => return Err(errno.into()),
            };
            self.lane.look_at_clock();
            // Until the next wait it is at work, and should be back at once.
            self.lane.row.set_deadline(Some(self.lane.now));
            for event in &events[..count] {
                match Token::of(event.data()) {
                    Token::LIFE => {
                        self.epoll.delete(&self.duty.life)?;
                        self.duty.orphan();
                    }
                    Token::WAKE => {
                        // Empty it; what it means is in the flag.
                        let _ = self.duty.wake.read();
                    }
                    Token::HELPERS => self.hand_out(self.helpers.collect()),
                    Token::STARTERS => self.hand_out(self.starters.collect()),
                    token if token.place == Token::LISTENER => {
                        self.accept_from(token.tenant as usize)?
                    }
                    token => self.serve(token, event.events()),
                }
            }
            self.expire();
            // Kept connections wear a worker out as well as new ones do.
            self.duty
                .may_go_on(self.connections, self.lane.activity.requests);
            self.reopen_or_shut()?;
            self.lane.write_log_if_due();
        }
    }

    /// How long there is nothing to do unless something happens, and until when.
    fn patience(&self) -> (EpollTimeout, Option<Instant>) {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let accepting = match self.accepting {
            Accepting::Open => None,
            Accepting::Paused(until) => Some(until),
            Accepting::Shut { stragglers } => stragglers,
        };
        // A title that says something else than the truth is worth a wake-up.
        let state = (self.open(), self.duty.is_retired());
        let title = (self.shown != Some(state)).then_some(self.summary_due);
        let (lines, partings) = (self.lane.lines.due(), self.lane.partings.due());
        let all = [timer, accepting, title, lines, partings];
        let mut next = all.into_iter().flatten().min();
        if self.sessions > 0 {
            let look = self.lane.now + SESSION_LOOK;
            next = Some(next.map_or(look, |at| at.min(look)));
        }
        let timeout = next.map_or(EpollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(self.lane.now);
            let milliseconds = i32::try_from(left.as_micros().div_ceil(1000)).ok();
            let timeout = milliseconds.and_then(|ms| ms.try_into().ok());
            timeout.unwrap_or(EpollTimeout::MAX)
        });
        (timeout, next)
    }

    fn open(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    // Connections.

    /// Takes in who was accepted, unless it is turned away.
    fn admit(&mut self, stream: Stream, peer: Peer) {
        let Some((stream, claim)) = self.lane.admit(stream, &peer) else {
            return;
        };
        self.connections += 1;
        self.lane.begin(&peer);
        let mut connection = Connection::new(stream, &peer, claim, &self.lane);
        // The first request is often there already: no need to be told.
        if let Want::Read { .. } = connection.drive(&mut self.lane) {
            connection.receive(&mut self.lane, None);
        }
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        let now = self.lane.now;
        let slot = &mut self.places[place as usize];
        slot.tenant = slot.tenant.wrapping_add(1);
        let token = Token {
            place,
            tenant: slot.tenant,
        };
        slot.occupant = Some(Occupant {
            body: Body::Awake(Box::new(connection)),
            interest: EpollFlags::empty(),
            watched: None,
            deadline: now,
            timer: now + NEVER,
        });
        self.lane.row.set_active(self.open() as u64);
        self.visit(token, |_, _| {});
        if !self.crowded && self.open() >= *CROWD.end() {
            self.crowded = true;
            // To be put to rest.
            self.visit_idle(|_| {});
        }
    }

    /// Something happened on a connection.
    fn serve(&mut self, token: Token, flags: EpollFlags) {
        let broken = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        self.visit(token, |connection, lane| {
            if flags.intersects(broken) {
                // A program's descriptor has neither of them.
                connection.hang_up();
            }
            if flags.intersects(broken | EpollFlags::EPOLLIN) {
                connection.receive(lane, None);
            }
        });
    }

    /// Does something about a connection, if it is still there, and then drives
    /// it as far as it goes. In a crowd most are woken for a moment: they need
    /// no memory of their own for that.
    fn visit(&mut self, token: Token, first: impl FnOnce(&mut Connection, &mut Lane<'_>)) {
        let Some(occupant) = self.occupant(token) else {
            return;
        };
        let deadline = occupant.deadline;
        let (body, closed) = match std::mem::replace(&mut occupant.body, Body::Away) {
            Body::Resting(resting) => {
                let mut connection = resting.wake(deadline, &self.lane);
                first(&mut connection, &mut self.lane);
                let closed = self.go_on(token, &mut connection);
                let body = if self.crowded && connection.may_rest() {
                    Body::Resting(connection.put_to_rest())
                } else {
                    Body::Awake(Box::new(connection))
                };
                (body, closed)
            }
            Body::Awake(mut connection) => {
                first(&mut connection, &mut self.lane);
                let closed = self.go_on(token, &mut connection);
                let body = if self.crowded && connection.may_rest() {
                    Body::Resting(connection.put_to_rest())
                } else {
                    Body::Awake(connection)
                };
                (body, closed)
            }
            Body::Away => return,
        };
        if let Some(occupant) = self.occupant(token) {
            occupant.body = body;
        }
        if let Some(reason) = closed {
            self.dismiss(token, reason);
        }
    }

    /// Visits all that are between two requests.
    fn visit_idle(&mut self, first: impl Fn(&mut Connection)) {
        for place in 0..self.places.len() as u32 {
            let slot = &self.places[place as usize];
            let token = Token {
                place,
                tenant: slot.tenant,
            };
            if slot.occupant.as_ref().is_some_and(Occupant::is_idle) {
                self.visit(token, |connection, _| first(connection));
            }
        }
    }

    /// Visits all that a program answers, or has: the worker retires.
    fn visit_programs(&mut self) {
        for place in 0..self.places.len() as u32 {
            let slot = &self.places[place as usize];
            let token = Token {
                place,
                tenant: slot.tenant,
            };
            let watched = |occupant: &Occupant| occupant.watched.is_some();
            if slot.occupant.as_ref().is_some_and(watched) {
                self.visit(token, |_, _| {});
            }
        }
    }

    fn occupant(&mut self, token: Token) -> Option<&mut Occupant> {
        let place = self.places.get_mut(token.place as usize)?;
        if place.tenant == token.tenant {
            place.occupant.as_mut()
        } else {
            None
        }
    }

    /// Drives a connection as far as it goes, and waits for what it wants.
    /// Answers why it is over, if it is.
    fn go_on(&mut self, token: Token, connection: &mut Connection) -> Option<CloseReason> {
        let mut want = connection.drive(&mut self.lane);
        if let Want::Work | Want::Start { .. } = want {
            want = self.give_away(want, token, connection);
        }
        let (interest, deadline) = match want {
            // A peer that goes away meanwhile would wake us again and again.
            Want::Work => (EpollFlags::empty(), self.lane.now + NEVER),
            Want::Start { deadline } => (EpollFlags::empty(), deadline),
            Want::Read { deadline } => (EpollFlags::EPOLLIN, deadline),
            Want::Write { deadline } => (EpollFlags::EPOLLOUT, deadline),
            Want::Either { deadline } => (EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT, deadline),
            // Errors are told whether they are asked for or not.
            Want::Program { deadline } => (EpollFlags::EPOLLERR, deadline),
            Want::ProgramAlone { deadline } | Want::Session { deadline } => {
                (EpollFlags::empty(), deadline)
            }
            Want::Closed(reason) => return Some(reason),
        };
        let program = match want {
            Want::Program { .. } | Want::ProgramAlone { .. } | Want::Session { .. } => true,
            Want::Read { .. }
            | Want::Write { .. }
            | Want::Either { .. }
            | Want::Work
            | Want::Start { .. }
            | Want::Closed(_) => false,
        };
        let occupant = self.places[token.place as usize].occupant.as_mut()?;
        let registered = occupant
            .watch_socket(&self.epoll, connection, interest, token)
            .and_then(|()| occupant.watch_program(&self.epoll, connection, program, token));
        if let Err(errno) = registered {
            log::warn!("epoll_ctl: {errno}");
            return Some(CloseReason::Internal);
        }
        // Not watched any more.
        if connection.let_go(self.duty) {
            self.sessions += 1;
            if let Some(row) = Self::row_of(self.duty, token) {
                connection.show_program(&self.lane, row);
            }
        }
        occupant.deadline = deadline;
        if deadline < occupant.timer {
            occupant.timer = deadline;
            self.timers.push(Reverse((deadline, token)));
        }
        None
    }

    /// On the model fork a connection has a row of its own.
    fn row_of(duty: &Duty, token: Token) -> Option<Row> {
        duty.rows.get(token.place as usize + 1).copied()
    }

    fn dismiss(&mut self, token: Token, reason: CloseReason) {
        let Some(occupant) = self.places[token.place as usize].occupant.take() else {
            return;
        };
        let connection = match occupant.body {
            Body::Awake(connection) => *connection,
            Body::Resting(resting) => resting.wake(occupant.deadline, &self.lane),
            Body::Away => return,
        };
        self.sessions -= u32::from(connection.has_parted());
        self.lane.end(connection.who(), reason);
        if let Some(row) = Self::row_of(self.duty, token) {
            row.vacate();
        }
        // Closing the last descriptor takes it out of the epoll set.
        connection.recycle(&mut self.lane);
        self.vacant.push(token.place);
        self.lane.row.set_active(self.open() as u64);
        self.crowded &= self.open() >= *CROWD.start();
        if let Accepting::Paused(until) = &mut self.accepting {
            *until = self.lane.now;
        }
    }

    /// Looks after every connection whose time is up.
    fn expire(&mut self) {
        while let Some(&Reverse((at, token))) = self.timers.peek() {
            if at > self.lane.now {
                return;
            }
            self.timers.pop();
            let now = self.lane.now;
            let Some(occupant) = self.occupant(token) else {
                continue;
            };
            if occupant.timer != at {
                continue;
            }
            if occupant.deadline > now {
                occupant.timer = occupant.deadline;
                let timer = occupant.deadline;
                self.timers.push(Reverse((timer, token)));
                continue;
            }
            occupant.timer = now + NEVER;
            self.visit(token, |connection, lane| connection.expire(lane));
        }
    }

    /// Keeps row and title up to date, not more often than a person can read.
    fn summarise(&mut self) {
        self.lane.partings.settle(self.lane.now);
        if self.lane.now < self.summary_due {
            return;
        }
        self.summary_due = self.lane.now + SUMMARY;
        self.lane.row.tick(self.lane.now);
        let open = self.open();
        self.shown = Some((open, self.duty.is_retired()));
        let noun = if open == 1 {
            "connection"
        } else {
            "connections"
        };
        let verb = if self.duty.is_retired() {
            "draining"
        } else {
            "serving"
        };
        let text = if open == 0 && verb == "serving" {
            "idle".to_owned()
        } else {
            format!("{verb} {open} {noun}")
        };
        self.lane.show_summary(&text);
    }
}
