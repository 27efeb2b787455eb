//! What a connection has to do with the program that has it: next to nothing.

use super::{Connection, Stage, Want};
use crate::driver::{Duty, Lane};
use crate::protocol::{CloseReason, Outcome, RunError, SessionEnd};
use crate::scoreboard::{Row, RowState};
use crate::sys::socket;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

impl Connection {
    /// The program has the socket, and the driver does not look at it any more:
    /// it is closed here, so that the program alone decides when the client sees
    /// its end. A socket that does nothing stands in its place. Answers whether
    /// that was news: later, and for whom no program has, nothing happens.
    pub fn let_go(&mut self, duty: &Duty) -> bool {
        let Stage::Session = self.stage else {
            return false;
        };
        if !self.parted {
            // It cannot fail: both descriptors are open.
            let _ = socket::put_under(duty.parked.as_fd(), self.stream.as_fd());
        }
        !std::mem::replace(&mut self.parted, true)
    }

    /// Whether a program has, or had, the socket.
    pub fn has_parted(&self) -> bool {
        self.parted
    }

    /// Tells a row of its own of the program that has the connection.
    pub fn show_program(&self, lane: &Lane<'_>, row: Row) {
        if let Some(session) = &self.session {
            row.set_peer(self.peer.remote);
            row.set_active(1);
            row.set_text(session.text());
            row.set_state(RowState::Session, lane.now);
            row.occupy(session.id().unsigned_abs());
        }
    }

    /// The program that runs, beside the connection or with it: its id, and what
    /// is readable when there is news of it.
    pub fn program(&self) -> Option<(i32, BorrowedFd<'_>)> {
        let session = self.session.as_deref();
        let session = session.map(|session| (session.id(), session.as_fd()));
        session.or_else(|| self.child().map(|child| (child.id(), child.as_fd())))
    }

    /// Looks after the program; `None` means go on driving.
    #[cold]
    pub(super) fn attend(&mut self, lane: &mut Lane<'_>) -> Option<Want> {
        let Some(session) = &mut self.session else {
            self.break_off(CloseReason::Internal);
            return None;
        };
        let duty = lane.duty;
        let leaving = duty.is_retired().then_some(duty.limits.graceful);
        match session.look(lane.now, leaving) {
            Some(end) => {
                self.session = None;
                self.stage = Stage::Resume(Outcome::HandedOver(end));
                None
            }
            None => {
                let deadline = session.due(lane.now);
                lane.set_state(RowState::Session);
                Some(Want::Session { deadline })
            }
        }
    }

    /// There was no process; `None` means go on driving.
    #[cold]
    pub(super) fn wait_for_process(&mut self, at: Instant, lane: &mut Lane<'_>) -> Option<Want> {
        if at <= lane.now {
            let refused = SessionEnd::NotStarted(RunError::Busy);
            self.stage = Stage::Resume(Outcome::HandedOver(refused));
            return None;
        }
        lane.set_state(RowState::Reading);
        Some(Want::ProgramAlone { deadline: at })
    }
}
