//! One connection: a socket, a protocol, two buffers and an open file.
//!
//! [`Connection::drive`] carries out what the protocol asks until the kernel
//! has nothing for us, and says what to wait for; how to wait is the driver's
//! business. It waits only where it is told to, for bytes.
//!
//! ```text
//!            ┌────────────── Resume(outcome) ◀───────────────┐
//!            ▼                                               │
//!   protocol.resume ─▶ Receiving ── bytes, end, deadline ────┤
//!                   ─▶ Flushing ─── all sent ────────────────┤
//!                   ─▶ Sending ──── file sent ───────────────┤
//!                   ─▶ Working ──── done, or too much ───────┤
//!                   ─▶ (open, list)  found, missing ─────────┤
//!                   ─▶ (run) ────── started, not started ────┤
//!                   ─▶ Hearing ──── octets, end, deadline ───┘
//!                   ─▶ Ending ── all sent ─▶ Lingering ─▶ Closed
//!                                  └─▶ Dismissing ─┘  where a program still runs
//! ```

mod programs;
mod rest;
mod uptake;

use super::complaints::{Who, report_open};
use super::effects::Directory;
use super::files::{Files, Opened};
use super::program::{self, Child};
use super::{Lane, Reporter};
use crate::net::Stream;
use crate::protocol::{
    Action, CloseReason, Content, Ending, Entry, Input, Manner, OpenError, Outcome, Output, Peer,
    ProgramNews, Protocol, Turn, View, Work,
};
use crate::scoreboard::{Counter, RowState};
use programs::{dismiss, run};
pub use rest::Resting;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use uptake::Uptake;

/// A client's connection.
pub struct Connection {
    stream: Stream,
    peer: Peer,
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
    stage: Stage,
    /// What the peer takes of what it is sent.
    uptake: Uptake,
    /// Whether the peer has ever sent anything.
    heard: bool,
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
    /// Sending all output, then a range of the file.
    Sending { offset: u64, left: u64, sent: u64 },
    /// Sending all output, then waiting for the program.
    Hearing { deadline: Instant },
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
    /// Nothing: it is over, for this reason.
    Closed(CloseReason),
}

/// Files up to this size are copied into the output, so that head and body
/// leave in one call; larger ones go by sendfile(2).
const COPIED: u64 = 16 * 1024;
/// The most that one sendfile(2) is asked for: a sign of life between two.
const PIECE: u64 = 4 * 1024 * 1024;
/// What a lingering connection may still send us before we give up on it.
const LINGER_BUDGET: usize = 256 * 1024;
/// Octets sent in one turn after which other connections get theirs.
const TURN: u64 = 8 * 1024 * 1024;

/// The file has become shorter than it was when it was opened.
const TRUNCATED: Outcome = Outcome::Broken {
    sent: 0,
    reason: CloseReason::Truncated,
};

/// What came of trying to send.
enum Progress {
    Done,
    Blocked,
    Failed,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(stream: Stream, peer: &Peer, lane: &Lane<'_>) -> Self {
        let service = &lane.duty.service;
        let mut peer = *peer;
        if service.wants_local() {
            peer.local = stream.local();
        }
        let protocol = service.connection(&peer);
        Self::bare(
            stream,
            peer,
            protocol,
            Stage::Resume(Outcome::Connected),
            lane,
        )
    }

    fn bare(
        stream: Stream,
        peer: Peer,
        protocol: Box<dyn Protocol>,
        stage: Stage,
        lane: &Lane<'_>,
    ) -> Self {
        Self {
            stream,
            protocol,
            peer,
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
            stage,
            uptake: Uptake::default(),
            heard: false,
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
    pub fn expire(&mut self, lane: &Lane<'_>) {
        if !self.keeps_up(lane) {
            return;
        }
        match self.stage {
            Stage::Receiving { deadline, .. } if deadline <= lane.now => {
                self.stage = Stage::Resume(Outcome::TimedOut);
            }
            Stage::Hearing { deadline } if self.program_is_late(deadline, lane.now) => {
                self.stage = Stage::Resume(Outcome::TimedOut);
            }
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
            | Stage::Ending(_)
            | Stage::Lingering { .. }
            | Stage::Closed(_) => {}
        }
    }

    /// The work that [`Want::Work`] is about, once.
    pub fn take_work(&mut self) -> Option<Work> {
        self.work.take()
    }

    /// What came of the work; `None`: nobody has the time for it. Call
    /// [`Connection::drive`] afterwards.
    pub fn worked(&mut self, answer: Option<bool>) {
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
    }

    /// Ends it without another word.
    pub fn abandon(&mut self, reason: CloseReason) {
        self.stage = Stage::Closed(reason);
    }

    /// One turn of the protocol, and the beginning of what it asks for.
    fn resume(&mut self, outcome: Outcome, lane: &mut Lane<'_>) {
        lane.spares.lend_output(&mut self.output);
        let draining = lane.duty.is_retired();
        let requests = lane.activity.requests;
        let now = lane.now;
        let files = &lane.duty.files;
        let readiness = lane.duty.reporter.readiness();
        let mut report = self.report.take().map(take_report).unwrap_or_default();
        let (wall, access_log, activity) = lane.parts();
        let mut turn = Turn {
            now,
            wall,
            draining,
            readiness,
            peer: &self.peer,
            input: &mut self.input,
            output: &mut self.output,
            entries: &mut self.entries,
            content: &mut self.content,
            program: &mut self.written,
            report: &mut report,
            access_log,
            activity,
        };
        let action = self.protocol.resume(outcome, &mut turn);
        if matches!(
            action,
            Action::Receive { .. } | Action::Run(_) | Action::Close(_)
        ) {
            (self.file, self.directory) = (None, None);
        }
        let broken = matches!(outcome, Outcome::Broken { .. });
        let mut unopened = None;
        self.stage = match action {
            Action::Close(ending) if !broken => {
                dismiss(&mut self.child, ending.reason, now);
                Stage::Ending(ending)
            }
            Action::Close(ending) => {
                dismiss(&mut self.child, ending.reason, now);
                Stage::Dismissing(Ending {
                    manner: Manner::AtOnce,
                    ..ending
                })
            }
            _ if broken => {
                dismiss(&mut self.child, CloseReason::Internal, now);
                Stage::Dismissing(Ending {
                    reason: CloseReason::Internal,
                    manner: Manner::AtOnce,
                })
            }
            Action::Run(program) => {
                // A program that has ended keeps its seat until it is forgotten.
                self.child = None;
                self.uptake.forgive();
                let stored = self.stored.take();
                let started = run(&program, &mut self.content, stored, lane.duty);
                Stage::Resume(match started {
                    Ok(child) => {
                        self.child = Some(Box::new(child));
                        Outcome::Program(ProgramNews::Started)
                    }
                    Err(error) => Outcome::Program(ProgramNews::NotStarted(error)),
                })
            }
            Action::Hear { deadline } => Stage::Hearing { deadline },
            Action::Receive { deadline, idle } => Stage::Receiving { deadline, idle },
            Action::Flush => Stage::Flushing,
            Action::Open { root, path } => {
                let found = files.kept(root, path, now).ok_or(()).or_else(|()| {
                    lane.set_state(RowState::Writing);
                    files.open(root, path, now)
                });
                Stage::Resume(match found {
                    Ok(opened) => {
                        let facts = opened.facts();
                        self.file = Some(opened);
                        Outcome::Found(facts)
                    }
                    // What was found before may still be wanted.
                    Err(error) => {
                        if error != OpenError::NotFound {
                            unopened = Some((path.to_vec(), error));
                        }
                        Outcome::Missing(error)
                    }
                })
            }
            Action::List { root, path } => {
                lane.set_state(RowState::Writing);
                let (file, entries) = (self.file.take(), &mut self.entries);
                Stage::Resume(list(
                    &mut self.directory,
                    file,
                    entries,
                    files,
                    (root, path),
                ))
            }
            Action::Compute(work) => {
                self.work = Some(work);
                self.uptake.rest();
                Stage::Working
            }
            Action::Report(view) => {
                lane.set_state(RowState::Writing);
                let (work, report) = order_report(&lane.duty.reporter, view);
                (self.work, self.report) = (Some(work), Some(report));
                self.uptake.rest();
                Stage::Working
            }
            // Many small ranges must not pile up in the output.
            Action::SendFile { offset, length }
                if length <= COPIED && self.output.len() < Output::ENOUGH =>
            {
                let file = self.file.as_deref();
                let copied = copy_file(file, &mut self.output, (offset, length), lane);
                Stage::Resume(copied.map_or(TRUNCATED, |()| Outcome::Sent))
            }
            Action::Read { offset, into } => {
                let read = read_file(self.file.as_deref(), into, offset, lane);
                Stage::Resume(read.map_or(TRUNCATED, |()| Outcome::Read))
            }
            Action::SendFile { offset, length } => Stage::Sending {
                offset,
                left: length,
                sent: 0,
            },
        };
        if broken {
            self.output.reset();
        }
        if let Some((path, error)) = unopened {
            report_open(&lane.duty.complaints, self.who(), &path, error, now);
        }
        if self.child.as_ref().is_some_and(|child| child.has_ended()) {
            self.child = None;
            lane.spares.take_back_input(&mut self.written);
        }
        if self.content.is_empty() {
            self.stored = None;
        }
        if self.content.held().len() >= Content::ENOUGH
            && let Err(error) = program::store(&mut self.content, &mut self.stored)
        {
            let who = self.who();
            log::error!("{who}: memory for the content of a request: {error}");
            self.break_off(CloseReason::Internal);
        }
        let begun = lane.activity.requests - requests;
        if begun > 0 {
            lane.row.add(Counter::Requests, begun);
            lane.show_activity();
        }
        lane.count_answers();
        lane.note_log();
    }

    /// Sends output until it is gone or the kernel takes no more.
    fn send(&mut self, lane: &mut Lane<'_>, more: bool) -> Progress {
        while !self.output.is_empty() {
            match self.stream.send(self.output.unsent(), more) {
                Ok(count) => {
                    lane.row.add(Counter::Sent, count as u64);
                    self.output.advance(count);
                    self.uptake.add(count as u64, lane.now);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_wait(&error) => return self.blocked(lane),
                Err(_) => {
                    self.break_off(CloseReason::Reset);
                    return Progress::Failed;
                }
            }
        }
        Progress::Done
    }

    /// Sends a piece of the file; `None` means go on driving.
    fn send_file(
        &mut self,
        lane: &mut Lane<'_>,
        offset: u64,
        left: u64,
        sent: u64,
        budget: &mut u64,
    ) -> Option<Want> {
        if left == 0 {
            self.stage = Stage::Resume(Outcome::Sent);
            return None;
        }
        let Some(file) = &self.file else {
            self.break_off(CloseReason::Internal);
            return None;
        };
        lane.set_state(RowState::Writing);
        match self
            .stream
            .send_file(&file.file, offset, left.min(PIECE) as usize)
        {
            Ok(0) => self.break_off(CloseReason::Truncated),
            Ok(count) => {
                let count = count as u64;
                lane.row.add(Counter::Sent, count);
                self.uptake.add(count, lane.now);
                self.stage = Stage::Sending {
                    offset: offset + count,
                    left: left - count,
                    sent: sent + count,
                };
                *budget = budget.saturating_sub(count);
                if *budget == 0 && left > count {
                    return Some(Want::Write {
                        deadline: lane.now + lane.duty.limits.uptake.span,
                    });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if would_wait(&error) => match self.blocked(lane) {
                Progress::Blocked => return Some(self.want_write(lane)),
                Progress::Done | Progress::Failed => {}
            },
            Err(error) if is_peer_gone(&error) => self.break_off(CloseReason::Reset),
            Err(_) => self.break_off(CloseReason::Internal),
        }
        None
    }

    /// All is sent: close at once, or half-close and drain. A program that
    /// still runs comes first: whoever has its answer need not wait for that.
    fn end(&mut self, ending: Ending, lane: &Lane<'_>) {
        // From here on time is up when the program's is, or that of the drain.
        self.uptake.rest();
        if self.child().is_some() {
            // A socket that is broken already cannot be half-closed.
            let _ = self.stream.finish();
            self.stage = Stage::Dismissing(ending);
            return;
        }
        self.stage = match ending.manner {
            Manner::AtOnce => Stage::Closed(ending.reason),
            Manner::Linger => match self.stream.finish() {
                Ok(()) => {
                    self.input.reset();
                    let deadline = lane.now + lane.duty.limits.linger_timeout;
                    Stage::Lingering {
                        deadline,
                        budget: LINGER_BUDGET,
                        reason: ending.reason,
                    }
                }
                Err(_) => Stage::Closed(ending.reason),
            },
        };
    }

    /// The connection is beyond use; the protocol hears of it once.
    fn break_off(&mut self, reason: CloseReason) {
        self.uptake.rest();
        // What is left of the output goes once the protocol has seen how much
        // it is.
        self.stage = match self.stage {
            Stage::Ending(ending) if ending.reason.is_planned() => {
                self.output.reset();
                Stage::Dismissing(Ending {
                    manner: Manner::AtOnce,
                    reason,
                })
            }
            Stage::Ending(ending) | Stage::Dismissing(ending) => {
                self.output.reset();
                Stage::Dismissing(Ending {
                    manner: Manner::AtOnce,
                    ..ending
                })
            }
            Stage::Lingering { reason, .. } | Stage::Closed(reason) => Stage::Closed(reason),
            Stage::Sending { sent, .. } => Stage::Resume(Outcome::Broken { sent, reason }),
            Stage::Resume(_)
            | Stage::Receiving { .. }
            | Stage::Flushing
            | Stage::Working
            | Stage::Hearing { .. } => Stage::Resume(Outcome::Broken { sent: 0, reason }),
        };
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

    fn want_write(&self, lane: &Lane<'_>) -> Want {
        Want::Write {
            deadline: self.judgement(lane),
        }
    }

    /// When the peer is judged that makes us wait.
    fn judgement(&self, lane: &Lane<'_>) -> Instant {
        self.uptake.due(lane.duty.limits.uptake).unwrap_or(lane.now)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Copies a small file range into the output, so that it leaves with the head;
/// `None` where the file is shorter than it was.
fn copy_file(
    file: Option<&Opened>,
    output: &mut Output,
    (offset, length): (u64, u64),
    lane: &mut Lane<'_>,
) -> Option<()> {
    if let Some(octets) = file.and_then(|file| file.held(offset, length)) {
        output.push(octets);
        return Some(());
    }
    let tail = output.tail();
    let start = tail.len();
    tail.resize(start + length as usize, 0);
    let read = read_file(file, &mut tail[start..], offset, lane);
    if read.is_none() {
        tail.truncate(start);
    }
    read
}

/// The work of writing a report, and where that will be.
fn order_report(reporter: &Arc<dyn Reporter>, view: View) -> (Work, Arc<Mutex<Vec<u8>>>) {
    let report = Arc::new(Mutex::new(Vec::new()));
    let (reporter, place) = (Arc::clone(reporter), Arc::clone(&report));
    let write = move || {
        let Some(text) = reporter.report(view) else {
            return false;
        };
        *place.lock().unwrap_or_else(PoisonError::into_inner) = text;
        true
    };
    (Work::new(Arc::new(write)), report)
}

fn take_report(report: Arc<Mutex<Vec<u8>>>) -> Vec<u8> {
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *report)
}

/// `None` where the file is shorter than it was.
fn read_file(
    file: Option<&Opened>,
    into: &mut [u8],
    offset: u64,
    lane: &mut Lane<'_>,
) -> Option<()> {
    let file = file?;
    if !file.is_in_memory() {
        lane.set_state(RowState::Writing);
    }
    file.read(into, offset, lane.wall())
}

/// Reads on in the directory that was opened as `file`, or was being read.
fn list(
    slot: &mut Option<Directory>,
    file: Option<Arc<Opened>>,
    entries: &mut Vec<Entry>,
    files: &Files,
    (root, path): (usize, &[u8]),
) -> Outcome {
    let begin = |opened: Arc<Opened>| match Directory::new(&opened.file) {
        Err(OpenError::Exhausted) if files.give_up() => Directory::new(&opened.file),
        begun => begun,
    };
    let begun = match (slot.take(), file) {
        (Some(directory), _) => Ok(directory),
        (None, Some(opened)) => begin(opened),
        (None, None) => Err(OpenError::Failed),
    };
    let mut directory = match begun {
        Ok(directory) => directory,
        Err(error) => return Outcome::Missing(error),
    };
    match directory.read(files.roots(), root, path, entries) {
        Ok(more) => {
            *slot = Some(directory).filter(|_| more);
            Outcome::Listed { more }
        }
        Err(error) => Outcome::Missing(error),
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn is_peer_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
    )
}
