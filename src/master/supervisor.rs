//! The supervisor: what the master should do about what has happened.
//!
//! Pure: the time and an event go in, commands come out. It forks nothing,
//! reads no clock, writes no log, so every transition is tested with a pretend
//! clock. The master carries the commands out and reports what came of them.
//!
//! ```text
//!  supervisor:
//!    Steady ──Reload──▶ Loading ──Loaded──▶ Proving ──all READY──▶ Steady
//!     │ ▲                ▲ └─LoadFailed─┐      └──not viable──┐
//!     │ └────────────────│──────────────┴─────────────────────┘
//!     ├─too many────▶ Crowded ─an old generation gone─▶ Loading
//!     ├─Upgrade─────▶ Upgrading ──successor gone, too late──▶ Steady
//!     │                  └──successor serves──▶ Stopping
//!     └─a breaker open for too long─▶ Stopping, to end with that
//!    any of these ──Stop──▶ Withdrawing ──Stop again──────────────────┐
//!         │                     │ drain_delay over                     ▼
//!         └─no drain_delay──▶ Stopping ──Stop again, deadline──▶ Killing
//!                               └──────last worker reaped────────┴──▶ Ended
//!
//!  cohort (a pool in one generation):
//!    Proving ──all READY──▶ Serving ──newer generation, or stop──▶ Draining ──last one reaped──▶ gone
//!       └──three deaths before READY──────────────────────────────────▲
//!
//!  slot:
//!    Empty ──spawn──▶ Starting ──READY──▶ Ready
//!      ▲                 │ death, too late   │ death
//!      └──(spare pool)── Waiting ◀───────────┘   until the back-off is over
//!
//!  worker that leaves its slot:
//!    Relieved ──successor READY──▶ Draining ──deadline──▶ Killed ──reaped──▶ gone
//! ```
//!
//! What is asked of it, and what becomes of a worker, is here; what becomes of
//! a generation is in `generations`, the way to the end in `stopping`; what
//! belongs to one cohort is in [`super::cohort`].

mod generations;
mod stopping;

use super::cohort::{Cohort, Loss, Outbox, Stage};
use super::message::{
    CohortId, Command, Event, Notice, Outlook, Request, Settings, Sizing, Verdict, WorkerId,
};
use crate::status::{Phase, Readiness};
use std::time::Instant;

/// The state machine. See the module's diagram.
#[derive(Debug)]
pub struct Supervisor {
    state: State,
    settings: Settings,
    cohorts: Vec<Cohort>,
    /// Whether a generation has ever proved itself.
    proved: bool,
    /// What was said last of new clients.
    readiness: Readiness,
    out: Outbox,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is being replaced.
    Steady,
    /// A reload waits for the oldest generation to be gone.
    Crowded,
    /// The configuration is being read; `again` if another reload was asked for.
    Loading { again: bool },
    /// A generation has to prove itself; `again` likewise.
    Proving { generation: u32, again: bool },
    /// A new master is to serve by the deadline; `again` as above.
    Upgrading { deadline: Instant, again: bool },
    /// A stop was asked for and is told to those who send clients here; until
    /// then everything goes on.
    Withdrawing { until: Instant },
    /// All workers drain, until the deadline; the master ends with this.
    Stopping { deadline: Instant, verdict: Verdict },
    /// All workers are killed; the master ends with this.
    Killing { verdict: Verdict },
    /// The last command was given.
    Ended,
}

impl Supervisor {
    /// A supervisor with nothing to supervise; `seed` spreads the back-offs.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            state: State::Steady,
            settings,
            cohorts: Vec::new(),
            proved: false,
            readiness: Readiness::Starting,
            out: Outbox::new(seed),
        }
    }

    /// Takes note of what has happened.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Loaded {
                generation,
                settings,
                pools,
            } => self.loaded(generation, settings, pools),
            Event::LoadFailed => self.load_failed(),
            Event::Spawned(worker) => {
                for cohort in &mut self.cohorts {
                    cohort.spawned(worker, now);
                }
                // Of thousands in a row none changes anything else.
                return;
            }
            Event::SpawnFailed(worker) => self.lost(now, worker, false, false, false),
            Event::Exited {
                worker,
                clean,
                served,
                left,
            } => self.lost(now, worker, clean, served, left),
            Event::Ready(worker) => self.ready(now, worker),
            Event::Hung(worker) => {
                for cohort in &mut self.cohorts {
                    cohort.hung(worker, now, &mut self.out);
                }
            }
            Event::WantsSuccessor(worker) => self.wear(worker),
            Event::SuccessorServes => self.succeeded(now),
            Event::SuccessorFailed => self.carry_on(),
            Event::Requested(request) => self.requested(now, request),
            Event::Counted { cohort, idle } => {
                if let Some(cohort) = self.cohorts.iter_mut().find(|one| one.id == cohort) {
                    cohort.idle = idle;
                }
            }
            // Not before everything was heard that had come by then: this
            // process may have been stopped, or busy, past the deadline itself.
            Event::Woke => {
                self.judge_upgrade(now);
                for cohort in &mut self.cohorts {
                    cohort.expire(now, &mut self.out);
                }
            }
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.out.commands.pop_front()
    }

    /// When [`Event::Woke`] is due, at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let stop = match self.state {
            State::Stopping { deadline, .. } | State::Upgrading { deadline, .. } => Some(deadline),
            State::Withdrawing { until } => Some(until),
            State::Steady | State::Crowded => self.gives_up_at().map(|(_, _, at)| at),
            State::Loading { .. }
            | State::Proving { .. }
            | State::Killing { .. }
            | State::Ended => None,
        };
        let cohorts = self.cohorts.iter().filter_map(Cohort::next_deadline);
        cohorts.chain(stop).min()
    }

    /// The workers that have been spawned and not been reaped.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.cohorts.iter().flat_map(Cohort::workers)
    }

    /// Whether no reload and no stop is under way.
    pub fn is_steady(&self) -> bool {
        self.state == State::Steady
    }

    /// What is under way, in words.
    pub fn occupation(&self) -> &'static str {
        match self.state {
            State::Steady => "nothing is under way",
            State::Crowded | State::Loading { .. } | State::Proving { .. } => {
                "a reload is under way"
            }
            State::Upgrading { .. } => "an upgrade is under way",
            State::Withdrawing { .. } => "the master is about to stop",
            State::Stopping { .. } | State::Killing { .. } | State::Ended => {
                "the master is stopping"
            }
        }
    }

    /// Until when a stop that was asked for is put off; `None` where none is.
    pub fn withdraws_until(&self) -> Option<Instant> {
        match self.state {
            State::Withdrawing { until } => Some(until),
            State::Steady
            | State::Crowded
            | State::Loading { .. }
            | State::Proving { .. }
            | State::Upgrading { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended => None,
        }
    }

    /// Whether a new master has been started and has yet to serve.
    pub fn is_upgrading(&self) -> bool {
        matches!(self.state, State::Upgrading { .. })
    }

    /// Whether a new generation has been loaded and has yet to prove itself.
    pub fn is_proving(&self) -> bool {
        matches!(self.state, State::Proving { .. })
    }

    /// How a cohort is getting on, for status and title.
    pub fn outlook(&self, cohort: CohortId) -> Option<Outlook> {
        let cohort = self.cohorts.iter().find(|one| one.id == cohort);
        cohort.map(Cohort::outlook)
    }

    /// How far each worker is, for the status.
    pub fn phases(&self) -> impl Iterator<Item = (WorkerId, Phase)> {
        self.cohorts.iter().flat_map(Cohort::phases)
    }

    /// Whether all workers are to go, and the master after them.
    pub fn is_stopping(&self) -> bool {
        match self.state {
            State::Stopping { .. } | State::Killing { .. } | State::Ended => true,
            State::Withdrawing { .. }
            | State::Steady
            | State::Crowded
            | State::Loading { .. }
            | State::Proving { .. }
            | State::Upgrading { .. } => false,
        }
    }

    /// How far a pool is on its way to the size that was asked for.
    pub fn sizing(&self, cohort: CohortId) -> Sizing {
        let cohort = self.cohorts.iter().find(|one| one.id == cohort);
        cohort.map_or(Sizing::Over, Cohort::sizing)
    }

    // Requests.

    fn requested(&mut self, now: Instant, request: Request) {
        match (request, self.state) {
            (_, State::Ended) | (Request::Stop, State::Killing { .. }) => {}
            // Asked for the first time: it is a stop as asked from now on.
            (
                Request::Stop,
                State::Stopping {
                    deadline,
                    verdict: Verdict::WorkersDie,
                },
            ) => {
                let verdict = Verdict::Stopped;
                self.state = State::Stopping { deadline, verdict };
            }
            (Request::Stop, State::Stopping { verdict, .. }) => self.stop_at_once(verdict),
            (Request::Stop, State::Withdrawing { .. }) => {
                self.out.push(Command::StopListening);
                self.stop_at_once(Verdict::Stopped);
            }
            (
                Request::Stop,
                State::Steady
                | State::Crowded
                | State::Loading { .. }
                | State::Proving { .. }
                | State::Upgrading { .. },
            ) => self.withdraw(now),
            (Request::Reopen, _) => self.out.push(Command::Reopen),
            (Request::Reload, State::Steady) => self.load(),
            (Request::Reload, State::Upgrading { deadline, .. }) => {
                let again = true;
                self.state = State::Upgrading { deadline, again };
                self.out.tell(Notice::ReloadQueued);
            }
            (Request::Upgrade, State::Steady) => {
                let deadline = now + self.settings.upgrade_timeout;
                let again = false;
                self.state = State::Upgrading { deadline, again };
                self.out.push(Command::StartSuccessor);
            }
            (Request::Reload, State::Crowded) => self.out.tell(Notice::ReloadQueued),
            (Request::Reload, State::Loading { .. }) => {
                self.state = State::Loading { again: true };
                self.out.tell(Notice::ReloadQueued);
            }
            (Request::Reload, State::Proving { generation, .. }) => {
                let again = true;
                self.state = State::Proving { generation, again };
                self.out.tell(Notice::ReloadQueued);
            }
            (
                Request::MoreWorkers,
                State::Steady
                | State::Crowded
                | State::Loading { .. }
                | State::Proving { .. }
                | State::Withdrawing { .. },
            ) => self.resize(|_| true, |workers| workers + 1),
            (
                Request::FewerWorkers,
                State::Steady
                | State::Crowded
                | State::Loading { .. }
                | State::Proving { .. }
                | State::Withdrawing { .. },
            ) => self.resize(|_| true, |workers| workers - 1),
            (
                Request::Resize { cohort, workers },
                State::Steady
                | State::Crowded
                | State::Loading { .. }
                | State::Proving { .. }
                | State::Withdrawing { .. },
            ) => self.resize(|one| one == cohort, |_| workers),
            (Request::DrainWorkers, State::Steady | State::Crowded | State::Loading { .. }) => {
                self.proclaim(Readiness::Drained);
                self.drain_before(now, u32::MAX);
            }
            // Those that drain would be the ones that have to prove themselves.
            (Request::DrainWorkers, State::Proving { .. })
            // The successor has been given what there was.
            | (
                Request::Upgrade
                | Request::MoreWorkers
                | Request::FewerWorkers
                | Request::Resize { .. }
                | Request::DrainWorkers,
                State::Upgrading { .. },
            )
            // It is to go on as it is, and then to end.
            | (
                Request::Reload | Request::Upgrade | Request::DrainWorkers,
                State::Withdrawing { .. },
            )
            // One thing at a time, so that it is clear what is handed over.
            | (
                Request::Upgrade,
                State::Crowded | State::Loading { .. } | State::Proving { .. },
            )
            | (
                Request::Reload
                | Request::Upgrade
                | Request::MoreWorkers
                | Request::FewerWorkers
                | Request::Resize { .. }
                | Request::DrainWorkers,
                State::Stopping { .. } | State::Killing { .. },
            ) => {
                let notice = Notice::Ignored(request, self.occupation());
                self.out.tell(notice);
            }
        }
    }

    /// Another size for those cohorts of `which` that serve and have a fixed
    /// one. What has to prove itself keeps the size that it was loaded with.
    fn resize(&mut self, which: impl Fn(CohortId) -> bool, change: impl Fn(u32) -> u32) {
        let mut resized = false;
        for cohort in self.cohorts.iter_mut().filter(|one| which(one.id)) {
            resized |= cohort.resize(&change, &mut self.out);
        }
        if !resized {
            self.out.tell(Notice::NothingToResize);
        }
    }

    /// Says how it stands with new clients, where that is news.
    fn proclaim(&mut self, readiness: Readiness) {
        if self.readiness != readiness {
            self.readiness = readiness;
            self.out.push(Command::Proclaim(readiness));
        }
    }

    // The new master.

    fn succeeded(&mut self, now: Instant) {
        // One that serves after all has been ended by now.
        if self.is_upgrading() {
            self.stop(now, Command::HandOver, Verdict::Stopped);
        }
    }

    fn carry_on(&mut self) {
        if let State::Upgrading { again, .. } = self.state {
            self.finish_reload(again);
        }
    }

    fn judge_upgrade(&mut self, now: Instant) {
        if matches!(self.state, State::Upgrading { deadline, .. } if deadline <= now) {
            self.out.tell(Notice::SuccessorLate);
            self.out.push(Command::EndSuccessor);
            self.carry_on();
        }
    }

    // Workers.

    fn ready(&mut self, now: Instant, worker: WorkerId) {
        let deadline = now + self.settings.graceful_timeout;
        for cohort in &mut self.cohorts {
            cohort.ready(worker, now, deadline, &mut self.out);
        }
    }

    /// A worker has served as much as it may. With `once` that is the end of
    /// the service, which its exit will tell.
    fn wear(&mut self, worker: WorkerId) {
        if self.settings.once {
            return;
        }
        for cohort in self.cohorts.iter_mut().filter(|cohort| cohort.has(worker)) {
            cohort.wear(worker);
        }
    }

    /// A worker is no more.
    fn lost(&mut self, now: Instant, worker: WorkerId, clean: bool, served: bool, left: bool) {
        let Some(cohort) = self.cohorts.iter_mut().find(|cohort| cohort.has(worker)) else {
            return;
        };
        let serving = cohort.stage == Stage::Serving;
        let slot = cohort.slot_left_by(worker);
        let loss = cohort.lost(worker, served, now, &mut self.out);
        // Who is ended at once leaves nothing to anybody.
        if let Some(slot) = slot.filter(|_| left && !matches!(self.state, State::Killing { .. })) {
            let until = now + self.settings.graceful_timeout;
            cohort.appoint_heir(worker, slot, until, &mut self.out);
        }
        if self.settings.once && clean && serving && loss == Loss::Missing {
            self.stop(now, Command::StopListening, Verdict::Stopped);
        }
    }

    // What holds at every moment.

    /// Brings everything in line: fills slots, cuts what is late, ends what is
    /// done. Calling it twice does no more than calling it once.
    fn settle(&mut self, now: Instant) {
        let drained = now + self.settings.graceful_timeout;
        for cohort in &mut self.cohorts {
            cohort.settle(now, drained, &mut self.out);
        }
        self.cut_generations();
        self.judge_generation(now);
        self.judge_breakers(now);
        self.drop_empty();
        if self.state == State::Crowded && !self.is_crowded() {
            self.load();
        }
        self.judge_stop(now);
    }
}

#[cfg(test)]
mod tests;
