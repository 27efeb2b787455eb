//! How output and files leave a connection: until all is gone, or the kernel
//! takes no more. It never waits.

use super::{Connection, Stage, Want, would_wait};
use crate::driver::Lane;
use crate::protocol::{CloseReason, Outcome};
use crate::scoreboard::{Counter, RowState};
use std::io;
use std::time::Instant;

/// The most that one sendfile(2) is asked for: a sign of life between two.
const PIECE: u64 = 4 * 1024 * 1024;

/// What came of trying to send.
pub(super) enum Progress {
    Done,
    Blocked,
    Failed,
}

impl Connection {
    /// Sends output until it is gone or the kernel takes no more.
    pub(super) fn send(&mut self, lane: &mut Lane<'_>, more: bool) -> Progress {
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
    pub(super) fn send_file(
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

    pub(super) fn want_write(&self, lane: &Lane<'_>) -> Want {
        Want::Write {
            deadline: self.judgement(lane),
        }
    }

    /// When the peer is judged that makes us wait, or looked after.
    pub(super) fn judgement(&self, lane: &Lane<'_>) -> Instant {
        let due = self.uptake.due(lane.duty.limits.uptake);
        let due = due.unwrap_or(lane.now);
        self.uptake.look().map_or(due, |look| look.min(due))
    }
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
