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
//! What belongs to one cohort is in [`super::cohort`].

use super::cohort::{Cohort, Loss, Outbox, Stage};
use super::message::{
    CohortId, Command, Cut, Event, Notice, Outlook, PoolSpec, Request, Settings, Sizing, Verdict,
    WorkerId,
};
use crate::status::{Phase, Readiness};
use std::collections::BTreeMap;
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
            // process may have been stopped past the deadline itself.
            Event::Woke => self.judge_upgrade(now),
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

    /// Reads the configuration, or waits with that until an old generation is
    /// gone: each has a deadline.
    fn load(&mut self) {
        if self.is_crowded() {
            self.state = State::Crowded;
            self.out.tell(Notice::TooManyGenerations);
            return;
        }
        self.state = State::Loading { again: false };
        self.out.push(Command::Load);
    }

    /// A stop is asked for: those who send clients here get time to hear of it,
    /// where there is somebody who serves them meanwhile. Whatever was under way
    /// has no purpose any more.
    fn withdraw(&mut self, now: Instant) {
        let serves = self.cohorts.iter().any(|one| one.stage == Stage::Serving);
        if !serves || self.settings.drain_delay.is_zero() {
            return self.stop(now, Command::StopListening, Verdict::Stopped);
        }
        self.proclaim(Readiness::Stopping);
        if self.is_upgrading() {
            self.out.push(Command::EndSuccessor);
        }
        if let State::Proving { generation, .. } = self.state {
            self.drain_after(now, generation);
            self.out.push(Command::Abandon(generation));
        }
        let delay = self.settings.drain_delay;
        self.out.tell(Notice::Withdrawing { delay });
        let until = now + delay;
        self.state = State::Withdrawing { until };
    }

    /// Says how it stands with new clients, where that is news.
    fn proclaim(&mut self, readiness: Readiness) {
        if self.readiness != readiness {
            self.readiness = readiness;
            self.out.push(Command::Proclaim(readiness));
        }
    }

    /// Everybody finishes what he has; `first` says what becomes of the
    /// listeners, and the master ends with `verdict`.
    fn stop(&mut self, now: Instant, first: Command, verdict: Verdict) {
        // After an upgrade the new master has the word.
        if first != Command::HandOver {
            self.proclaim(Readiness::Stopping);
            if self.is_upgrading() {
                self.out.push(Command::EndSuccessor);
            }
        }
        self.out.tell(Notice::Stopping);
        self.out.push(first);
        let deadline = now + self.settings.graceful_timeout;
        self.state = State::Stopping { deadline, verdict };
        for cohort in &mut self.cohorts {
            cohort.drain(deadline, &mut self.out);
        }
    }

    fn stop_at_once(&mut self, verdict: Verdict) {
        self.out.tell(Notice::StoppingAtOnce);
        self.state = State::Killing { verdict };
        for cohort in &mut self.cohorts {
            cohort.kill_all(&mut self.out);
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

    // Generations.

    fn loaded(&mut self, generation: u32, settings: Settings, pools: Vec<(CohortId, PoolSpec)>) {
        let again = match self.state {
            State::Steady | State::Crowded => false,
            State::Loading { again }
            | State::Proving { again, .. }
            | State::Upgrading { again, .. } => again,
            State::Withdrawing { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended => {
                self.out.push(Command::Abandon(generation));
                return;
            }
        };
        self.settings = settings;
        self.state = State::Proving { generation, again };
        for (id, spec) in pools {
            self.cohorts.push(Cohort::new(id, generation, spec));
        }
    }

    fn load_failed(&mut self) {
        if let State::Loading { again } = self.state {
            self.finish_reload(again);
        }
    }

    fn finish_reload(&mut self, again: bool) {
        self.state = State::Steady;
        if again {
            self.load();
        }
    }

    /// Whether another generation would be one too many.
    fn is_crowded(&self) -> bool {
        let mut numbers: Vec<u32> = self
            .cohorts
            .iter()
            .map(|cohort| cohort.generation)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() >= self.settings.max_generations as usize
    }

    /// Every cohort older than `generation` finishes what it has.
    fn drain_before(&mut self, now: Instant, generation: u32) {
        let deadline = now + self.settings.graceful_timeout;
        for cohort in self
            .cohorts
            .iter_mut()
            .filter(|one| one.generation < generation)
        {
            if cohort.stage != Stage::Draining {
                cohort.drain(deadline, &mut self.out);
            }
        }
    }

    /// The generation that has to prove itself is not wanted any more. Those of
    /// its workers that are READY may have clients.
    fn drain_after(&mut self, now: Instant, generation: u32) {
        let until = now + self.settings.graceful_timeout;
        let cohorts = self.cohorts.iter_mut();
        for cohort in cohorts.filter(|one| one.generation == generation) {
            cohort.drain(until, &mut self.out);
        }
    }

    /// The new generation's workers do not live: it goes, the old one stays.
    fn give_up(&mut self, now: Instant, generation: u32, again: bool) {
        self.out.tell(Notice::NotViable(generation));
        let until = now + self.settings.graceful_timeout;
        for cohort in self
            .cohorts
            .iter_mut()
            .filter(|one| one.generation == generation)
        {
            // A start that fails, fails at once. Else whoever is READY has taken
            // clients of the generation that stays, and finishes with them; so
            // may one be of whom that is not known yet.
            if generation == 1 {
                cohort.kill_all(&mut self.out);
            } else {
                cohort.drain(until, &mut self.out);
            }
        }
        self.out.push(Command::Abandon(generation));
        // Without a generation that ever served there is nothing to fall back on.
        if self.proved {
            self.finish_reload(again);
        } else {
            let verdict = Verdict::NeverServed;
            self.state = State::Killing { verdict };
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

    /// Ends whoever has not finished in time with all his generation, and says
    /// once for each what that costs.
    fn cut_generations(&mut self) {
        let mut late: BTreeMap<u32, Vec<WorkerId>> = BTreeMap::new();
        for (generation, worker) in std::mem::take(&mut self.out.cut) {
            late.entry(generation).or_default().push(worker);
        }
        for (generation, workers) in late {
            self.out.tell(Notice::GenerationCut {
                generation,
                workers: workers.clone(),
            });
            for worker in workers {
                self.out.push(Command::Kill(worker, Cut::Overdue));
            }
        }
    }

    /// Whether the generation that has to prove itself has, or never will.
    fn judge_generation(&mut self, now: Instant) {
        let State::Proving { generation, again } = self.state else {
            return;
        };
        let mut cohorts = self
            .cohorts
            .iter()
            .filter(|one| one.generation == generation);
        if cohorts.clone().any(Cohort::is_hopeless) {
            self.give_up(now, generation, again);
        } else if cohorts.all(Cohort::is_proved) {
            for cohort in self
                .cohorts
                .iter_mut()
                .filter(|one| one.generation == generation)
            {
                cohort.serve();
            }
            self.proved = true;
            // Whoever hears that it serves may ask at once.
            self.proclaim(Readiness::Ready);
            self.out.push(Command::Promote(generation));
            self.drain_before(now, generation);
            // What had to wait until it serves, waits no longer.
            let drained = now + self.settings.graceful_timeout;
            for cohort in self
                .cohorts
                .iter_mut()
                .filter(|one| one.generation == generation)
            {
                cohort.settle(now, drained, &mut self.out);
            }
            self.finish_reload(again);
        }
    }

    /// Whether a pool's workers have died for too long. A reload may be the
    /// remedy: it is not judged before that has ended, which it does.
    fn judge_breakers(&mut self, now: Instant) {
        let (State::Steady | State::Crowded) = self.state else {
            return;
        };
        if let Some((cohort, since, at)) = self.gives_up_at()
            && at <= now
        {
            let open = now.saturating_duration_since(since);
            self.out.tell(Notice::GivingUp { cohort, open });
            self.stop(now, Command::StopListening, Verdict::WorkersDie);
        }
    }

    /// The pool whose breaker has been open longest, since when, and until
    /// when it may be.
    fn gives_up_at(&self) -> Option<(CohortId, Instant, Instant)> {
        let patience = self.settings.breaker_exit_after?;
        let broken = self
            .cohorts
            .iter()
            .filter_map(|one| Some((one.id, one.broken_since()?)));
        let (cohort, since) = broken.min_by_key(|(_, since)| *since)?;
        Some((cohort, since, since + patience))
    }

    /// Whether a stop is done, or has taken too long.
    fn judge_stop(&mut self, now: Instant) {
        let anyone = self.workers().next().is_some();
        let verdict = match self.state {
            State::Stopping { deadline, verdict } if anyone && now >= deadline => {
                return self.stop_at_once(verdict);
            }
            State::Withdrawing { until } if now >= until => {
                return self.stop(now, Command::StopListening, Verdict::Stopped);
            }
            State::Stopping { verdict, .. } | State::Killing { verdict } => verdict,
            State::Withdrawing { .. }
            | State::Steady
            | State::Crowded
            | State::Loading { .. }
            | State::Proving { .. }
            | State::Upgrading { .. }
            | State::Ended => return,
        };
        if !anyone {
            self.out.push(Command::Exit(verdict));
            self.state = State::Ended;
        }
    }

    fn drop_empty(&mut self) {
        let out = &mut self.out;
        self.cohorts.retain(|cohort| {
            let done = cohort.stage == Stage::Draining && cohort.is_empty();
            if done {
                out.push(Command::Drop(cohort.id));
            }
            !done
        });
    }
}

#[cfg(test)]
mod tests;
