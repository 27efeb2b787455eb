//! How a program that a connection wants comes to run: made ready here, started
//! by whoever has the time, looked after here again.

use super::{Connection, Stage, Want};
use crate::driver::blocking::PAUSE;
use crate::driver::program::NotYet;
use crate::driver::{Lane, program, session};
use crate::net::Stream;
use crate::protocol::{
    Content, HandOver, Outcome, Peer, Program, ProgramNews, RunError, SessionEnd, Work,
};
use std::fs::File;

/// A program on its way.
pub(super) enum Launching {
    /// It will answer the connection.
    Child(Box<program::Starting>),
    /// It will have it.
    Session(Box<session::Starting>),
}

impl Connection {
    /// Waits for whoever starts the program.
    #[cold]
    pub(super) fn await_start(&self, lane: &Lane<'_>) -> Want {
        let deadline = match &self.launching {
            Some(Launching::Child(starting)) => starting.deadline(),
            Some(Launching::Session(starting)) => starting.deadline(),
            None => lane.now,
        };
        Want::Start { deadline }
    }

    /// Somebody has started the program, or nobody had the time for it.
    #[cold]
    pub(super) fn started(&mut self, by_somebody: bool, lane: &Lane<'_>) {
        self.stage = match (self.launching.take(), by_somebody) {
            (Some(Launching::Child(starting)), true) => {
                match starting.finish(|| lane.duty.files.give_up()) {
                    Ok(child) => {
                        self.content.clear();
                        self.child = Some(Box::new(child));
                        Stage::Resume(Outcome::Program(ProgramNews::Started))
                    }
                    Err(NotYet::Again(starting, work)) => {
                        self.launching = Some(Launching::Child(starting));
                        self.work = Some(work);
                        Stage::Launching
                    }
                    Err(NotYet::Never(error)) => not_run(error),
                }
            }
            (Some(Launching::Session(starting)), true) => {
                match starting.finish(lane.duty, lane.now) {
                    Ok(session) => {
                        self.session = Some(Box::new(session));
                        Stage::Session
                    }
                    Err(error) => not_handed_over(error, lane),
                }
            }
            (Some(Launching::Child(_)), false) => not_run(RunError::Exhausted),
            (Some(Launching::Session(_)), false) => not_handed_over(RunError::Busy, lane),
            (None, _) => Stage::Resume(Outcome::Overloaded),
        };
    }

    /// The program may have been on its way for too long. Who starts it may still
    /// come back: then the program is ended, and nobody here hears of it.
    #[cold]
    pub(super) fn call_off(&mut self, lane: &Lane<'_>) {
        let Want::Start { deadline } = self.await_start(lane) else {
            return;
        };
        if lane.now < deadline {
            return;
        }
        self.work = None;
        self.stage = match self.launching.take() {
            Some(Launching::Child(starting)) => not_run(starting.give_up()),
            Some(Launching::Session(starting)) => {
                not_handed_over(starting.give_up(lane.duty, lane.now), lane)
            }
            None => Stage::Resume(Outcome::Overloaded),
        };
    }
}

/// Makes ready to start a program beside the connection, and says what is next.
/// Where descriptors are short those of kept files go; who sent nothing, which the
/// first try would have used up, gets another one.
#[cold]
pub(super) fn run(
    wanted: &Program<'_>,
    content: &mut Content,
    stored: Option<File>,
    (launching, work): (&mut Option<Launching>, &mut Option<Work>),
    lane: &Lane<'_>,
) -> Stage {
    let (files, programs, now) = (&lane.duty.files, &lane.duty.programs, lane.now);
    let again = content.is_empty();
    let prepare = |content: &mut Content, stored| {
        program::Starting::prepare(wanted, content, stored, files.roots(), programs, now)
    };
    let prepared = match prepare(content, stored) {
        Err(RunError::Exhausted) if files.give_up() && again => prepare(content, None),
        prepared => prepared,
    };
    match prepared {
        Ok((starting, errand)) => {
            *launching = Some(Launching::Child(Box::new(starting)));
            *work = Some(errand);
            Stage::Launching
        }
        Err(error) => not_run(error),
    }
}

/// Makes ready to start the program that is to have the connection, and says
/// what is next.
#[cold]
pub(super) fn hand_over(
    wanted: &HandOver<'_>,
    (stream, peer): (&mut Stream, &Peer),
    (launching, work): (&mut Option<Launching>, &mut Option<Work>),
    lane: &Lane<'_>,
) -> Stage {
    let text = lane.activity.text();
    match session::Starting::prepare(wanted, stream, peer, text, lane.duty, lane.now) {
        Ok((starting, errand)) => {
            *launching = Some(Launching::Session(Box::new(starting)));
            *work = Some(errand);
            Stage::Launching
        }
        Err(error) => not_handed_over(error, lane),
    }
}

fn not_run(error: RunError) -> Stage {
    Stage::Resume(Outcome::Program(ProgramNews::NotStarted(error)))
}

fn not_handed_over(error: RunError, lane: &Lane<'_>) -> Stage {
    match error {
        RunError::Busy => Stage::Postponed {
            at: lane.now + PAUSE,
        },
        RunError::NotFound
        | RunError::Denied
        | RunError::Escapes
        | RunError::Exhausted
        | RunError::Late
        | RunError::Failed => Stage::Resume(Outcome::HandedOver(SessionEnd::NotStarted(error))),
    }
}
