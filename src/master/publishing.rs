//! What the master says of itself and its pools in shared memory, where its
//! workers and the master after it read it. The control socket answers from the
//! same place, so that nobody sees another picture.

use super::Master;
use super::message::{CohortId, Outlook};
use crate::config::Pool;
use crate::scoreboard;
use crate::status::{MasterState, Status, reading};
use crate::sys::clock;
use std::time::Instant;

/// What is counted of the master's own life.
#[derive(Debug)]
pub(super) struct Publishing {
    /// Ours: asked for once, for it is a call each time.
    pid: u32,
    /// Seconds since 1970.
    started: u64,
    reloads: u64,
    reloads_refused: u64,
    /// Whether the last one was.
    reload_refused: bool,
    /// What masters before this one had lost.
    dropped_before: u64,
    /// Where it listens, as it is shown.
    listening: String,
    /// Something happened since it was last written down.
    changed: bool,
}

impl Publishing {
    /// Goes on where the master `before` left off.
    pub(super) fn new(before: Option<scoreboard::Master>) -> Self {
        Self {
            pid: std::process::id(),
            started: before.map_or_else(|| clock::since_1970().as_secs(), |one| one.started),
            reloads: before.map_or(0, |one| one.reloads),
            reloads_refused: before.map_or(0, |one| one.reloads_refused),
            // It has read its configuration just now.
            reload_refused: false,
            dropped_before: before.map_or(0, |one| one.queue_dropped),
            listening: String::new(),
            changed: true,
        }
    }

    /// Has it written down at the next turn.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    /// A reload took effect.
    pub(super) fn reloaded(&mut self) {
        self.reloads += 1;
        self.reload_refused = false;
    }

    /// A reload changed nothing.
    pub(super) fn refused(&mut self) {
        self.reloads_refused += 1;
        self.reload_refused = true;
    }
}

impl Master {
    /// Writes down how things stand, if something has happened.
    pub(super) fn publish_if_due(&mut self) {
        if self.publishing.changed {
            self.publish();
        }
    }

    /// Writes down how things stand.
    pub(super) fn publish(&mut self) {
        self.publishing.changed = false;
        self.publish_itself();
        let pools: Vec<(CohortId, Outlook)> = self
            .cohorts()
            .filter_map(|id| Some((id, self.supervisor.outlook(id)?)))
            .collect();
        self.crew.publish(&pools, self.supervisor.phases());
    }

    /// Writes down how the master itself stands: at once when it is asked for
    /// something.
    pub(super) fn publish_itself(&mut self) {
        let table = self.crew.scoreboard().table();
        let shown = self.generations.get(&self.current);
        let listening = shown.map(super::Generation::addresses).unwrap_or_default();
        if listening != self.publishing.listening {
            table.set_listening(&listening);
            self.publishing.listening = listening;
        }
        let stopping = self.supervisor.is_stopping();
        let lost = shown.map_or(0, |one| one.listeners.lost());
        table.set_master(&scoreboard::Master {
            pid: self.publishing.pid,
            generation: self.current,
            state: if stopping {
                MasterState::Stopping
            } else if self.supervisor.withdraws_until().is_some() {
                MasterState::Withdrawing
            } else if self.supervisor.is_upgrading() {
                MasterState::Upgrading
            } else if self.supervisor.is_steady() {
                MasterState::Running
            } else {
                MasterState::Reloading
            },
            readiness: table.readiness(),
            started: self.publishing.started,
            reloads: self.publishing.reloads,
            reloads_refused: self.publishing.reloads_refused,
            reload_refused: self.publishing.reload_refused,
            queue_dropped: self.publishing.dropped_before + lost,
        });
    }

    /// Takes the samples that only time makes: memory alone, but for the queues,
    /// which the kernel is asked for where somebody can see them.
    pub(super) fn take_samples(&mut self, now: Instant) {
        let current = self.generations.get(&self.current);
        let is_shown = current.is_some_and(|one| one.config.pools.iter().any(has_pages));
        if self.control.is_some() || is_shown {
            self.crew.look_at_queues();
        }
        self.look_for_drops();
        self.crew.sample(now);
        self.publishing.touch();
    }

    /// Tells of datagrams that were lost since the last time, before it is too late.
    pub(super) fn look_for_drops(&mut self) {
        self.crew.look_for_drops(self.succession.elsewhere());
    }

    /// The picture, with what is true just now; `None` where it does not hold
    /// still (see [`scoreboard::View::count`]).
    pub(super) fn status(&mut self) -> Option<Status> {
        self.crew.look_at_queues();
        self.look_for_drops();
        self.publish();
        reading::read(
            &self.crew.view(),
            Instant::now(),
            clock::since_1970().as_secs(),
        )
    }
}

/// Whether workers of the pool show the picture to clients.
fn has_pages(pool: &Pool) -> bool {
    pool.service
        .http()
        .is_some_and(|http| http.status.is_some())
}
