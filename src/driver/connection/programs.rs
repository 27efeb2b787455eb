//! What a connection has to do with the program that answers it: it listens to
//! it, waits for its end, and tells it to end.

use super::{Connection, Stage, Want};
use crate::driver::Lane;
use crate::driver::program::{Child, Heard};
use crate::protocol::{CloseReason, Ending, Outcome, ProgramNews};
use crate::scoreboard::RowState;
use std::time::Instant;

impl Connection {
    /// The socket broke while only the program was waited for; call
    /// [`Connection::drive`] afterwards. A client that merely sends no more
    /// still gets its answer, and does not count.
    pub fn hang_up(&mut self) {
        if let Stage::Hearing { .. } = self.stage {
            self.break_off(CloseReason::Reset);
        }
    }

    /// The program that runs.
    pub fn child(&self) -> Option<&Child> {
        self.child.as_deref().filter(|child| !child.has_ended())
    }

    /// Listens to the program; `None` means go on driving.
    pub(super) fn hear(
        &mut self,
        lane: &mut Lane<'_>,
        deadline: Instant,
        budget: &mut u64,
    ) -> Option<Want> {
        let deadline = deadline + self.uptake.waited();
        let Some(child) = &mut self.child else {
            self.break_off(CloseReason::Internal);
            return None;
        };
        lane.set_state(RowState::Writing);
        lane.spares.lend_input(&mut self.written);
        let before = self.written.unread().len();
        match child.hear(&mut self.written, lane.now) {
            Heard::Bytes => {
                let count = self.written.unread().len() - before;
                self.stage = Stage::Resume(Outcome::Program(ProgramNews::Wrote));
                *budget = budget.saturating_sub(count as u64);
                // An endless writer must let others have their turn.
                (*budget == 0).then(|| Want::Write {
                    deadline: lane.now + lane.duty.limits.uptake.span,
                })
            }
            Heard::Nothing => {
                self.uptake.rest();
                Some(Want::Program {
                    deadline: child.due().map_or(deadline, |due| due.min(deadline)),
                })
            }
            Heard::Full => {
                self.break_off(CloseReason::Overflow);
                None
            }
            Heard::Ended(end) => {
                self.stage = Stage::Resume(Outcome::Program(ProgramNews::Ended(end)));
                None
            }
        }
    }

    /// Whether the deadline of a `Hear` is over for the program: as long as the
    /// client has not taken what it wrote, it is not the program that is late.
    pub(super) fn program_is_late(&self, deadline: Instant, now: Instant) -> bool {
        self.output.is_empty() && deadline + self.uptake.waited() <= now
    }

    /// Waits for a program that was told to end; `None` means go on driving.
    pub(super) fn await_child(&mut self, ending: Ending, lane: &mut Lane<'_>) -> Option<Want> {
        let gone = |child: &mut Box<Child>| child.is_gone(lane.now);
        if self.child.as_mut().is_none_or(gone) {
            self.child = None;
            self.end(ending, lane);
            return None;
        }
        lane.set_state(RowState::Closing);
        let due = self.child.as_ref().and_then(|child| child.due());
        let deadline = due.unwrap_or(lane.now);
        Some(Want::ProgramAlone { deadline })
    }
}

/// Tells a program that still runs to end, and the log which one was to blame;
/// whom it answered is said when the connection is closed.
pub(super) fn dismiss(child: &mut Option<Box<Child>>, reason: CloseReason, now: Instant) {
    let Some(child) = child else { return };
    if let CloseReason::Program(rule) = reason {
        log::info!("{}: {rule}", child.label());
    }
    child.tell(now);
}
