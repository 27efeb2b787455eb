//! One connection: a socket, a protocol, two buffers and an open file.
//!
//! [`Connection::drive`] carries out what the protocol asks until the kernel
//! has nothing for us, and says what to wait for; how to wait is the driver's
//! business. It waits only where it is told to, for bytes. The stages are here;
//! `turn` shows the protocol the world and begins what it asks for, `sending`,
//! `uptake` and `ahead` are about the peer that takes it or does not, `starts`
//! about how a program comes to run, `programs` and `sessions` about one that does,
//! and `ending` and `rest` about having no more to do.
//!
//! ```text
//!            ┌────────────── Resume(outcome) ◀───────────────┐
//!            ▼                                               │
//!   protocol.resume ─▶ Receiving ── bytes, end, deadline ────┤
//!                   ─▶ Flushing ─── all sent ────────────────┤
//!                   ─▶ Sending ──── file sent ───────────────┤
//!                   ─▶ Working ──── done, or too much ───────┤
//!                   ─▶ (open, list)  found, missing ─────────┤
//!                   ─▶ Launching ── started, not started ────┤
//!                   ─▶ Hearing ──── octets, end, deadline ───┘
//!                   ─▶ Launching ─▶ Session ─ gone, Postponed
//!                   ─▶ Ending ── all sent ─▶ Lingering ─▶ Closed
//!                                  └─▶ Dismissing ─┘  where a program still runs
//! ```

mod ahead;
mod ending;
mod programs;
mod rest;
mod sending;
mod sessions;
mod starts;
mod turn;
mod uptake;

use super::Lane;
use super::complaints::Who;
use super::effects::Directory;
use super::files::Opened;
use super::program::Child;
use super::session::Session;
use crate::admission::Claim;
use crate::net::Stream;
use crate::protocol::{
    CloseReason, Content, Ending, Entry, Input, Outcome, Output, Peer, Protocol, Work,
};
use crate::scoreboard::{Counter, RowState};
pub use rest::Resting;
use sending::Progress;
use starts::Launching;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use uptake::Uptake;

/// A client's connection.
pub struct Connection {
    stream: Stream,
    peer: Peer,
    /// What it is counted under.
    claim: Claim,
    protocol: Box<dyn Protocol>,
    input: Input,
    output: Output,
    file: Option<Arc<Opened>>,
    /// The directory that is being listed, and what was read of it.
    directory: Option<Directory>,
    entries: Vec<Entry>,
    /// What nobody has taken yet of what the stage is about.
    work: Option<Work>,
    /// Where the report will be that the work is to bring.
    report: Option<Arc<Mutex<Vec<u8>>>>,
    content: Content,
    /// Where content is that was too much to be held.
    stored: Option<File>,
    /// The program that was run last; it may have ended.
    child: Option<Box<Child>>,
    /// What it wrote.
    written: Input,
    /// The program that has the connection.
    session: Option<Box<Session>>,
    /// A program of either kind, until it runs.
    launching: Option<Launching>,
    /// The socket is that program's alone.
    parted: bool,
    stage: Stage,
    /// What the peer takes of what it is sent.
    uptake: Uptake,
    /// Whether the peer has ever sent anything.
    heard: bool,
    /// The most octets that the next receive may take off the socket.
    most: usize,
}

/// What the connection is in the middle of.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The protocol is to go on after this.
    Resume(Outcome),
    /// Waiting for bytes, and sending what is left to send meanwhile.
    Receiving { deadline: Instant, idle: bool },
    /// Sending all output.
    Flushing,
    /// Somebody does work for it.
    Working,
    /// Somebody starts a program.
    Launching,
    /// Somebody has, or nobody had the time for it.
    Started { by_somebody: bool },
    /// Sending all output, then a range of the file.
    Sending { offset: u64, left: u64, sent: u64 },
    /// Sending all output, then waiting for the program.
    Hearing { deadline: Instant },
    /// A program has the connection.
    Session,
    /// There was no process for one; another try at this moment.
    Postponed { at: Instant },
    /// Sending all output, then closing.
    Ending(Ending),
    /// Half-closed, and waiting for the program to end as it was told.
    Dismissing(Ending),
    /// Half-closed: discarding what the peer still sends.
    Lingering {
        deadline: Instant,
        budget: usize,
        reason: CloseReason,
    },
    /// Over.
    Closed(CloseReason),
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Bytes from the peer, or `deadline`.
    Read {
        /// When to call [`Connection::expire`].
        deadline: Instant,
    },
    /// Room for bytes to the peer, or `deadline`.
    Write {
        /// When to call [`Connection::expire`].
        deadline: Instant,
    },
    /// Whichever comes first.
    Either {
        /// When to call [`Connection::expire`].
        deadline: Instant,
    },
    /// Somebody to do the work of [`Connection::take_work`], and to say what
    /// came of it. What the peer does meanwhile does not matter.
    Work,
    /// As [`Want::Work`], which starts a program here and must be done by a thread
    /// that lives as long as that may; or `deadline`.
    Start {
        /// When to call [`Connection::expire`].
        deadline: Instant,
    },
    /// The program ([`Connection::child`]), or `deadline`; of the socket only
    /// that it broke, which [`Connection::hang_up`] wants to know.
    Program {
        /// When to call [`Connection::expire`].
        deadline: Instant,
    },
    /// The program or `deadline`, and nothing of the socket.
    ProgramAlone {
        /// When to call [`Connection::expire`].
        deadline: Instant,
    },
    /// The program that has the connection, or `deadline`. The driver forgets the
    /// socket, and then has it closed here ([`Connection::let_go`]).
    Session {
        /// When to call [`Connection::drive`].
        deadline: Instant,
    },
    /// Nothing: it is over, for this reason.
    Closed(CloseReason),
}

/// Octets sent in one turn after which other connections get theirs.
const TURN: u64 = 8 * 1024 * 1024;

impl Connection {
    /// A connection that was just accepted, and let in under `claim`.
    pub fn new(stream: Stream, peer: &Peer, claim: Claim, lane: &Lane<'_>) -> Self {
        let service = lane.duty.service_of(stream.listener());
        let mut peer = *peer;
        if service.wants_local() {
            peer.local = stream.local();
        }
        let protocol = service.connection(&peer);
        let stage = Stage::Resume(Outcome::Connected);
        Self::bare(stream, (peer, claim), protocol, stage, lane)
    }

    fn bare(
        stream: Stream,
        (peer, claim): (Peer, Claim),
        protocol: Box<dyn Protocol>,
        stage: Stage,
        lane: &Lane<'_>,
    ) -> Self {
        Self {
            stream,
            protocol,
            peer,
            claim,
            input: Input::default(),
            output: Output::default(),
            file: None,
            directory: None,
            entries: Vec::new(),
            work: None,
            report: None,
            content: Content::counted_by(Arc::clone(&lane.duty.programs.content)),
            stored: None,
            child: None,
            written: Input::default(),
            session: None,
            launching: None,
            parted: false,
            stage,
            uptake: Uptake::default(),
            heard: false,
            most: usize::MAX,
        }
    }

    /// Goes on as far as it can without waiting.
    pub fn drive(&mut self, lane: &mut Lane<'_>) -> Want {
        let mut budget = TURN;
        loop {
            match self.stage {
                Stage::Resume(outcome) => {
                    self.resume(outcome, lane);
                    if let Outcome::Listed { .. } = outcome {
                        // Nor must a large directory keep others waiting.
                        budget = budget.saturating_sub(TURN / 8);
                        if budget == 0 {
                            return Want::Write {
                                deadline: lane.now + lane.duty.limits.uptake.span,
                            };
                        }
                    }
                }
                Stage::Working => return Want::Work,
                Stage::Launching => return self.await_start(lane),
                Stage::Started { by_somebody } => self.started(by_somebody, lane),
                Stage::Receiving { deadline, idle } => {
                    return match self.send(lane, false) {
                        Progress::Done => {
                            self.uptake.rest();
                            lane.set_state(if idle {
                                RowState::KeepAlive
                            } else {
                                RowState::Reading
                            });
                            self.rest(lane);
                            Want::Read { deadline }
                        }
                        Progress::Blocked => Want::Either {
                            deadline: self.judgement(lane).min(deadline),
                        },
                        Progress::Failed => continue,
                    };
                }
                Stage::Flushing => match self.send(lane, false) {
                    Progress::Done => {
                        // What was sent is a line of the log soon: when?
                        if lane.duty.access_log.on {
                            lane.now = Instant::now();
                        }
                        self.stage = Stage::Resume(Outcome::Flushed);
                        // An endless sender must let others have their turn.
                        budget = budget.saturating_sub(Output::ENOUGH as u64);
                        if budget == 0 {
                            return Want::Write {
                                deadline: lane.now + lane.duty.limits.uptake.span,
                            };
                        }
                    }
                    Progress::Blocked => return self.want_write(lane),
                    Progress::Failed => {}
                },
                Stage::Sending { offset, left, sent } => match self.send(lane, left > 0) {
                    Progress::Done => {
                        if let Some(want) = self.send_file(lane, offset, left, sent, &mut budget) {
                            return want;
                        }
                    }
                    Progress::Blocked => return self.want_write(lane),
                    Progress::Failed => {}
                },
                Stage::Hearing { deadline } => match self.send(lane, false) {
                    Progress::Done => {
                        if let Some(want) = self.hear(lane, deadline, &mut budget) {
                            return want;
                        }
                    }
                    Progress::Blocked => return self.want_write(lane),
                    Progress::Failed => {}
                },
                Stage::Dismissing(ending) => {
                    if let Some(want) = self.await_child(ending, lane) {
                        return want;
                    }
                }
                Stage::Session => {
                    if let Some(want) = self.attend(lane) {
                        return want;
                    }
                }
                Stage::Postponed { at } => {
                    if let Some(want) = self.wait_for_process(at, lane) {
                        return want;
                    }
                }
                Stage::Ending(ending) => match self.send(lane, false) {
                    Progress::Done => self.end(ending, lane),
                    Progress::Blocked => return self.want_write(lane),
                    Progress::Failed => {}
                },
                Stage::Lingering { deadline, .. } => {
                    lane.set_state(RowState::Closing);
                    return Want::Read { deadline };
                }
                Stage::Closed(reason) => return Want::Closed(reason),
            }
        }
    }

    /// Takes in what the peer sent; call [`Connection::drive`] afterwards.
    /// With `patience_until` it waits, at most so long.
    pub fn receive(&mut self, lane: &mut Lane<'_>, patience_until: Option<Instant>) {
        if !matches!(
            self.stage,
            Stage::Receiving { .. } | Stage::Lingering { .. }
        ) {
            return;
        }
        lane.spares.lend_input(&mut self.input);
        let room = self.input.room();
        if room.is_empty() {
            self.break_off(CloseReason::Overflow);
            return;
        }
        let count = room.len().min(self.most);
        let room = &mut room[..count];
        let received = match patience_until {
            Some(deadline) => {
                let patience = deadline.saturating_duration_since(lane.now);
                self.stream.receive_within(room, patience)
            }
            None => self.stream.receive(room),
        };
        if patience_until.is_some() {
            lane.look_at_clock();
        }
        match (received, &mut self.stage) {
            (Err(error), _) if would_wait(&error) => {}
            (Ok(0), Stage::Receiving { .. }) => self.stage = Stage::Resume(Outcome::PeerFinished),
            (Ok(count), Stage::Receiving { .. }) => {
                lane.row.add(Counter::Received, count as u64);
                self.input.filled(count);
                self.heard = true;
                self.stage = Stage::Resume(Outcome::Received);
            }
            (Ok(0), Stage::Lingering { reason, .. }) => self.stage = Stage::Closed(*reason),
            (Ok(count), Stage::Lingering { budget, reason, .. }) => {
                *budget = budget.saturating_sub(count);
                if *budget == 0 {
                    self.stage = Stage::Closed(*reason);
                }
            }
            (Err(_), Stage::Lingering { reason, .. }) => self.stage = Stage::Closed(*reason),
            (_, _) => self.break_off(CloseReason::Reset),
        }
    }

    /// The deadline of the last [`Want`] may have passed; call
    /// [`Connection::drive`] afterwards.
    pub fn expire(&mut self, lane: &mut Lane<'_>) {
        if self.uptake.is_under_way() {
            if !self.keeps_up(lane) {
                return;
            }
            if self.uptake.is_to_look(lane.now) {
                self.read_ahead(lane);
            }
        }
        match self.stage {
            Stage::Receiving { deadline, .. } if deadline <= lane.now => {
                self.stage = Stage::Resume(Outcome::TimedOut);
            }
            Stage::Hearing { deadline } if self.program_is_late(deadline, lane.now) => {
                self.stage = Stage::Resume(Outcome::TimedOut);
            }
            Stage::Launching => self.call_off(lane),
            Stage::Hearing { .. } | Stage::Dismissing(_) => {
                if let Some(child) = &mut self.child {
                    child.advance(lane.now);
                }
            }
            Stage::Lingering {
                deadline, reason, ..
            } if deadline <= lane.now => {
                self.stage = Stage::Closed(reason);
            }
            Stage::Resume(_)
            | Stage::Receiving { .. }
            | Stage::Flushing
            | Stage::Working
            | Stage::Sending { .. }
            | Stage::Started { .. }
            | Stage::Session
            | Stage::Postponed { .. }
            | Stage::Ending(_)
            | Stage::Lingering { .. }
            | Stage::Closed(_) => {}
        }
    }

    /// The work that [`Want::Work`] and [`Want::Start`] are about, once.
    pub fn take_work(&mut self) -> Option<Work> {
        self.work.take()
    }

    /// What came of the work; `None`: nobody has the time for it. Call
    /// [`Connection::drive`] afterwards.
    pub fn worked(&mut self, answer: Option<bool>) {
        if let Stage::Launching = self.stage {
            self.work = None;
            let by_somebody = answer.is_some();
            self.stage = Stage::Started { by_somebody };
        }
        if let Stage::Working = self.stage {
            self.work = None;
            self.stage = Stage::Resume(match (answer, &self.report) {
                (Some(true), Some(_)) => Outcome::Reported,
                (Some(answer), None) => Outcome::Computed(answer),
                (Some(false), Some(_)) | (None, _) => Outcome::Overloaded,
            });
        }
    }

    /// Whether the client is between requests. Such a connection may be closed
    /// when we run short; one that has not said a word may not, for its first
    /// request is most likely on its way.
    pub fn is_idle(&self) -> bool {
        self.heard && matches!(self.stage, Stage::Receiving { idle: true, .. })
    }

    /// Whom a line of the log is about.
    pub(super) fn who(&self) -> Who<'_> {
        Who(&self.peer, self.protocol.subject())
    }

    /// Nothing has happened yet: gives the socket back.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// It is over: the buffers serve another.
    pub fn recycle(mut self, lane: &mut Lane<'_>) {
        self.input.consume(usize::MAX);
        self.rest(lane);
        lane.spares.take_back_input(&mut self.written);
        lane.release(self.claim);
    }

    /// Ends it without another word.
    pub fn abandon(&mut self, reason: CloseReason) {
        self.stage = Stage::Closed(reason);
    }

    /// Gives back what an idle connection does not need: whoever is busy next
    /// takes the buffers over.
    fn rest(&mut self, lane: &mut Lane<'_>) {
        self.file = None;
        self.directory = None;
        self.entries = Vec::new();
        if self.input.is_empty() {
            lane.spares.take_back_input(&mut self.input);
        }
        lane.spares.take_back_output(&mut self.output);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
