//! One turn of the protocol: what it is shown, and the beginning of what it
//! asks for. What can be done at once is done here; for all else the stage says
//! what is waited for.

use super::programs::dismiss;
use super::starts::{hand_over, run};
use super::{Connection, Stage};
use crate::driver::complaints::report_open;
use crate::driver::effects::Directory;
use crate::driver::files::{Files, Opened};
use crate::driver::{Lane, Reporter, program};
use crate::protocol::{
    Action, CloseReason, Content, Ending, Entry, Manner, OpenError, Outcome, Output, Peer, Turn,
    View, Work,
};
use crate::scoreboard::{Counter, RowState};
use std::sync::{Arc, Mutex, PoisonError};

/// Files up to this size are copied into the output, so that head and body
/// leave in one call; larger ones go by sendfile(2).
const COPIED: u64 = 16 * 1024;

/// The file has become shorter than it was when it was opened.
const TRUNCATED: Outcome = Outcome::Broken {
    sent: 0,
    reason: CloseReason::Truncated,
};

impl Connection {
    /// One turn of the protocol, and the beginning of what it asks for.
    pub(super) fn resume(&mut self, outcome: Outcome, lane: &mut Lane<'_>) {
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
                self.uptake.rest();
                self.uptake.forgive();
                let stored = self.stored.take();
                let place = (&mut self.launching, &mut self.work);
                run(&program, &mut self.content, stored, place, lane)
            }
            // Octets that are here would never come to the program, nor to the peer.
            Action::HandOver(_) if !(self.input.is_empty() && self.output.is_empty()) => {
                Stage::Dismissing(Ending {
                    reason: CloseReason::Internal,
                    manner: Manner::AtOnce,
                })
            }
            Action::HandOver(wanted) => {
                self.uptake.rest();
                let ends = (&mut self.stream, &self.peer);
                let place = (&mut self.launching, &mut self.work);
                hand_over(&wanted, ends, place, lane)
            }
            Action::Hear { deadline } => Stage::Hearing { deadline },
            Action::Receive { deadline, idle } => Stage::Receiving { deadline, idle },
            Action::ReceiveAtMost { deadline, most } => {
                self.most = most;
                let idle = false;
                Stage::Receiving { deadline, idle }
            }
            Action::Meet(client) => self.meet(client, lane),
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
}

impl Connection {
    /// A proxy has named the client. Once a connection, and not in the way of the
    /// others.
    #[cold]
    fn meet(&mut self, client: Peer, lane: &mut Lane<'_>) -> Stage {
        self.peer = client;
        // What was heard so far was the proxy.
        self.heard = !self.input.is_empty();
        self.most = usize::MAX;
        lane.meet(&client);
        if self.admit_client(client.remote, lane) {
            Stage::Resume(Outcome::Connected)
        } else {
            // It is on its way out.
            self.stage
        }
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
