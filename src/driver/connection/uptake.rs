//! Whether a peer takes what it is sent, and how fast.
//!
//! What counts is what its kernel has acknowledged, not what ours has taken:
//! a send buffer swallows megabytes, of which a slow reader can live for hours,
//! and is writable again only when a third of it is free, which a slow but
//! honest one may not reach within `write_timeout`. So the kernel is asked
//! (SIOCOUTQ), when the peer first makes us wait and whenever a span is over;
//! an answer that leaves at once costs nothing.
//!
//! A span goes on while octets wait for the peer. Where we have to wait for
//! something else, the next octets, a program or work, the peer is not to blame
//! and a new span begins.

use super::Connection;
use super::sending::Progress;
use crate::driver::Lane;
use crate::protocol::{CloseReason, Floor, Pace, Verdict};
use crate::scoreboard::RowState;
use std::time::{Duration, Instant};

/// What the peer takes.
#[derive(Debug, Default)]
pub(super) struct Uptake {
    /// Octets that our kernel has taken for it.
    sent: u64,
    /// The span that is under way, while the peer makes us wait.
    pace: Option<Pace>,
    /// Since when the kernel has taken nothing.
    blocked: Option<Instant>,
    /// How long it did so before, since [`Uptake::forgive`].
    waited: Duration,
    /// How often it was looked meanwhile what holds it up.
    looks: u32,
}

/// The kernel has taken nothing for so long: what holds it up? Each further look
/// comes after twice the time.
const LOOK: Duration = Duration::from_millis(200);
/// So many at most.
const LOOKS: u32 = 13;

impl Uptake {
    /// Our kernel has taken so many more.
    pub(super) fn add(&mut self, count: u64, now: Instant) {
        self.sent += count;
        if let Some(since) = self.blocked.take() {
            self.waited += now.saturating_duration_since(since);
            self.looks = 0;
        }
    }

    /// How long the peer has made us wait for it: no program is to blame for
    /// that time.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// A program begins, and nobody has waited for its client yet.
    pub(super) fn forgive(&mut self) {
        self.waited = Duration::ZERO;
    }

    /// It is not the peer that is waited for.
    pub(super) fn rest(&mut self) {
        self.pace = None;
    }

    /// Whether it is the peer that is waited for.
    pub(super) fn is_under_way(&self) -> bool {
        self.pace.is_some()
    }

    /// When [`Uptake::is_to_look`] should be asked: while the kernel takes nothing,
    /// and for the last time after some 27 minutes.
    pub(super) fn look(&self) -> Option<Instant> {
        let since = self.blocked.filter(|_| self.looks < LOOKS)?;
        Some(since + LOOK * ((2 << self.looks) - 1))
    }

    /// Whether nothing has been taken for so long that it is time to look what
    /// holds the peer up; once each time.
    pub(super) fn is_to_look(&mut self, now: Instant) -> bool {
        let is_due = self.look().is_some_and(|at| at <= now);
        self.looks += u32::from(is_due);
        is_due
    }

    /// When the peer is judged next, while it makes us wait.
    pub(super) fn due(&self, floor: Floor) -> Option<Instant> {
        self.pace.map(|pace| pace.due(floor))
    }
}

impl Connection {
    /// The kernel takes nothing more for now: from here on the peer must show
    /// that it does.
    pub(super) fn blocked(&mut self, lane: &mut Lane<'_>) -> Progress {
        lane.set_state(RowState::Writing);
        self.uptake.blocked.get_or_insert(lane.now);
        if self.uptake.pace.is_none() {
            self.uptake.pace = Some(Pace::begin(lane.now, self.taken()));
        }
        if self.keeps_up(lane) {
            Progress::Blocked
        } else {
            Progress::Failed
        }
    }

    /// Whether the peer takes what it must; one that does not is given up.
    pub(super) fn keeps_up(&mut self, lane: &Lane<'_>) -> bool {
        let floor = lane.duty.limits.uptake;
        if self.uptake.due(floor).is_none_or(|due| lane.now < due) {
            return true;
        }
        let taken = self.taken();
        let Some(pace) = &mut self.uptake.pace else {
            return true;
        };
        let reason = match pace.judge(lane.now, taken, floor) {
            Verdict::Early | Verdict::Kept => return true,
            Verdict::Slow => CloseReason::SlowReader,
            Verdict::Stalled => CloseReason::WriteStalled,
        };
        self.stream.give_up();
        self.break_off(reason);
        false
    }

    /// What the peer has taken so far. Below 0 on a unix socket now and then,
    /// where the kernel's figure has its own memory in it.
    fn taken(&self) -> i64 {
        let sent = i64::try_from(self.uptake.sent).unwrap_or(i64::MAX);
        // It cannot fail on a stream socket; if it did, all would seem taken.
        let waiting = self.stream.unacknowledged().unwrap_or(0);
        sent - i64::from(waiting)
    }
}
