//! What a connection has to do with the program that answers it: it listens to
//! it, waits for its end, and tells it to end.

use super::{Connection, Stage, Want};
use crate::driver::program::{Child, Heard};
use crate::driver::{Duty, Lane};
use crate::protocol::{CloseReason, Content, Ending, Outcome, Program, ProgramNews, RunError};
use crate::scoreboard::RowState;
use std::fs::File;
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

/// Starts a program. Where descriptors are short those of kept files go; who
/// sent nothing, which the first try would have used up, gets another one.
pub(super) fn run(
    program: &Program<'_>,
    content: &mut Content,
    stored: Option<File>,
    duty: &Duty,
) -> Result<Child, RunError> {
    let (roots, again) = (duty.files.roots(), content.is_empty());
    match Child::start(program, content, stored, roots, &duty.programs) {
        Err(RunError::Exhausted) if duty.files.give_up() && again => {
            Child::start(program, content, None, roots, &duty.programs)
        }
        started => started,
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
