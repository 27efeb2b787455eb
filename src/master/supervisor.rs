//! The supervisor: what the master should do about what has happened.
//!
//! Pure: the time and an event go in, commands come out. It forks nothing,
//! reads no clock, writes no log, so every transition is tested with a pretend
//! clock. The master carries the commands out and reports what came of them.
//!
//! ```text
//!  cohort (a pool in one generation):
//!    Proving ──all READY──▶ Serving ──newer generation proved, or stop──▶ Draining ──last one reaped──▶ gone
//!       └──three early deaths, or too slow──▶ Draining (abandoned)
//!
//!  slot:
//!    Empty ──spawn──▶ Starting ──READY──▶ Ready
//!      ▲                 │ death, timeout    │ death
//!      └──(spare pool)── Waiting ◀───────────┘   until the back-off is over
//!
//!  worker that leaves its slot:
//!    Relieved ──successor READY──▶ Draining ──deadline──▶ Killed ──reaped──▶ gone
//! ```

use super::pool::{Census, Plan, Sizer};
use crate::config::Size;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A worker, from its spawn to its reaping; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

/// A pool in one generation; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CohortId(pub u64);

/// What the supervisor must know of a pool.
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// How many workers.
    pub size: Size,
    /// How long a worker may take to its READY.
    pub spawn_timeout: Duration,
}

/// What does not depend on a pool.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a drain may take.
    pub graceful_timeout: Duration,
    /// How many generations may live at once.
    pub max_generations: u32,
    /// End when a worker has served its one connection.
    pub once: bool,
}

/// What the operator, or somebody for him, asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Finish what is open, then end; the second time: end at once.
    Stop,
    /// Read the configuration and replace the workers.
    Reload,
    /// Open the logs anew.
    Reopen,
    /// One worker more in each pool.
    MoreWorkers,
    /// One worker less in each pool.
    FewerWorkers,
    /// Drain all workers and keep the master; a reload brings new ones.
    DrainWorkers,
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The configuration was read and everything new is open.
    Loaded {
        /// The number of the new generation.
        generation: u32,
        /// What does not depend on a pool.
        settings: Settings,
        /// Its pools.
        pools: Vec<(CohortId, PoolSpec)>,
    },
    /// It was not: everything stays as it is.
    LoadFailed,
    /// fork(2) refused.
    SpawnFailed(WorkerId),
    /// The worker says that it serves.
    Ready(WorkerId),
    /// The worker has served as much as it may.
    WantsSuccessor(WorkerId),
    /// The worker was reaped; `clean` if it exited with status 0.
    Exited {
        /// Which.
        worker: WorkerId,
        /// Whether it exited with status 0.
        clean: bool,
    },
    /// Somebody asks for something.
    Requested(Request),
    /// Workers of a spare-driven cohort that wait for a connection.
    Counted {
        /// Which cohort.
        cohort: CohortId,
        /// How many.
        idle: u32,
    },
    /// Nothing but time passed.
    Woke,
}

/// What the master shall do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Fork a worker.
    Spawn {
        /// Under this name.
        worker: WorkerId,
        /// In this cohort …
        cohort: CohortId,
        /// … and slot.
        slot: usize,
    },
    /// Tell it to finish and leave.
    Retire(WorkerId),
    /// End it at once.
    Kill(WorkerId),
    /// Read the configuration; answer with `Loaded` or `LoadFailed`.
    Load,
    /// This generation is the one that counts from now on.
    Promote(u32),
    /// This generation will not be; close what was opened for it alone.
    Abandon(u32),
    /// The cohort's last worker is gone.
    Drop(CohortId),
    /// Refuse new handshakes on every listener.
    StopListening,
    /// Open the logs anew.
    Reopen,
    /// Tell the operator.
    Tell(Notice),
    /// End the master.
    Exit(Verdict),
}

/// What the operator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A worker that died young is spawned again, later.
    BackingOff {
        /// Where.
        cohort: CohortId,
        /// Where there.
        slot: usize,
        /// Early deaths in a row.
        deaths: u32,
        /// How long it waits.
        delay: Duration,
    },
    /// A worker was not READY in time.
    NotReady(WorkerId),
    /// A worker had not finished at the end of its drain.
    CutShort(WorkerId),
    /// More workers are wanted than the pool may have.
    AtMaximum(CohortId),
    /// The new generation's workers do not live.
    NotViable(u32),
    /// A reload was asked for while one was under way; it comes next.
    ReloadQueued,
    /// Too many generations: the oldest is ended.
    TooManyGenerations(u32),
    /// The request has no meaning now.
    Ignored(Request),
    /// All generations before this one drain.
    Replaced(u32),
    /// The stop begins.
    Stopping,
    /// The stop was asked for again, or took too long.
    StoppingAtOnce,
}

/// How the master ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it was asked to.
    Stopped,
    /// The first workers did not live.
    NeverServed,
}

/// A worker that dies sooner than this after its READY died young.
pub const YOUNG: Duration = Duration::from_secs(1);
/// The first back-off; it doubles with each early death in a row …
pub const FIRST_DELAY: Duration = Duration::from_millis(100);
/// … up to this one.
pub const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// The most workers a pool can be given.
pub const MAX_WORKERS: u32 = 4096;
/// Early deaths after which a generation that has not served is given up.
pub const PROOF_DEATHS: u32 = 3;

/// The state machine. See the module's diagram.
#[derive(Debug)]
pub struct Supervisor {
    state: State,
    settings: Settings,
    cohorts: Vec<Cohort>,
    next_worker: u64,
    jitter: u64,
    commands: VecDeque<Command>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is being replaced.
    Steady,
    /// The configuration is being read; `again` if another reload was asked for.
    Loading { again: bool },
    /// A generation has to prove itself; `again` likewise.
    Proving { generation: u32, again: bool },
    /// All workers drain, until the deadline.
    Stopping { deadline: Instant },
    /// All workers are killed; the master ends with this.
    Killing { verdict: Verdict },
    /// The last command was given.
    Ended,
}

#[derive(Debug)]
struct Cohort {
    id: CohortId,
    generation: u32,
    stage: Stage,
    spec: PoolSpec,
    sizer: Sizer,
    slots: Vec<Slot>,
    leaving: Vec<Leaver>,
    idle: u32,
    proof_deaths: u32,
    at_maximum: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No worker has been READY: one goes first, and the rest when it is.
    Proving,
    Serving,
    Draining,
}

#[derive(Debug, Default)]
struct Slot {
    phase: Phase,
    /// Early deaths in a row.
    deaths: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Empty,
    /// A back-off.
    Waiting {
        until: Instant,
    },
    Starting {
        worker: WorkerId,
        until: Instant,
    },
    Ready {
        worker: WorkerId,
        since: Instant,
    },
}

impl Phase {
    const fn worker(self) -> Option<WorkerId> {
        match self {
            Self::Empty | Self::Waiting { .. } => None,
            Self::Starting { worker, .. } | Self::Ready { worker, .. } => Some(worker),
        }
    }
}

/// A worker that has no slot any more, or shares its slot with its successor.
#[derive(Clone, Copy, Debug)]
struct Leaver {
    worker: WorkerId,
    slot: usize,
    phase: Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// Serving on until its successor is READY.
    Relieved,
    /// Told to finish.
    Draining { until: Instant },
    /// Told nothing more: SIGKILL is on its way.
    Killed,
}

impl Supervisor {
    /// A supervisor with nothing to supervise; `seed` spreads the back-offs.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            state: State::Steady,
            settings,
            cohorts: Vec::new(),
            next_worker: 1,
            jitter: seed | 1,
            commands: VecDeque::new(),
        }
    }

    /// Takes note of what has happened.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Loaded {
                generation,
                settings,
                pools,
            } => self.loaded(now, generation, settings, pools),
            Event::LoadFailed => self.load_failed(),
            Event::SpawnFailed(worker)
            | Event::Exited {
                worker,
                clean: false,
            } => self.lost(now, worker, false),
            Event::Exited {
                worker,
                clean: true,
            } => self.lost(now, worker, true),
            Event::Ready(worker) => self.ready(now, worker),
            Event::WantsSuccessor(worker) => self.relieve(now, worker),
            Event::Requested(request) => self.requested(now, request),
            Event::Counted { cohort, idle } => {
                if let Some(cohort) = self.cohorts.iter_mut().find(|one| one.id == cohort) {
                    cohort.idle = idle;
                }
            }
            Event::Woke => {}
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When [`Event::Woke`] is due, at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let stop = match self.state {
            State::Stopping { deadline } => Some(deadline),
            State::Steady
            | State::Loading { .. }
            | State::Proving { .. }
            | State::Killing { .. }
            | State::Ended => None,
        };
        self.cohorts
            .iter()
            .filter_map(Cohort::next_deadline)
            .chain(stop)
            .min()
    }

    /// The workers that have been spawned and not been reaped.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.cohorts.iter().flat_map(Cohort::workers)
    }

    /// Whether the newest generation is serving and nothing is under way.
    pub fn is_steady(&self) -> bool {
        self.state == State::Steady
    }

    /// The phase of a worker, for status and logs.
    pub fn phase_of(&self, worker: WorkerId) -> &'static str {
        for cohort in &self.cohorts {
            for slot in &cohort.slots {
                match slot.phase {
                    Phase::Starting { worker: one, .. } if one == worker => return "starting",
                    Phase::Ready { worker: one, .. } if one == worker => return "ready",
                    Phase::Empty
                    | Phase::Waiting { .. }
                    | Phase::Starting { .. }
                    | Phase::Ready { .. } => {}
                }
            }
            if let Some(leaver) = cohort.leaving.iter().find(|leaver| leaver.worker == worker) {
                return match leaver.phase {
                    Leaving::Relieved => "ready",
                    Leaving::Draining { .. } => "draining",
                    Leaving::Killed => "killed",
                };
            }
        }
        "gone"
    }

    // Requests.

    fn requested(&mut self, now: Instant, request: Request) {
        match (request, self.state) {
            (_, State::Ended) => {}
            (Request::Stop, State::Steady | State::Loading { .. } | State::Proving { .. }) => {
                self.stop(now)
            }
            (Request::Stop, State::Stopping { .. }) => self.stop_at_once(),
            (Request::Stop, State::Killing { .. }) => {}
            (Request::Reload, State::Steady) => {
                self.state = State::Loading { again: false };
                self.commands.push_back(Command::Load);
            }
            (Request::Reload, State::Loading { .. }) => {
                self.queue_reload(State::Loading { again: true })
            }
            (Request::Reload, State::Proving { generation, .. }) => {
                self.queue_reload(State::Proving {
                    generation,
                    again: true,
                });
            }
            (Request::Reopen, _) => self.commands.push_back(Command::Reopen),
            (
                Request::MoreWorkers,
                State::Steady | State::Loading { .. } | State::Proving { .. },
            ) => self.resize(1),
            (
                Request::FewerWorkers,
                State::Steady | State::Loading { .. } | State::Proving { .. },
            ) => self.resize(-1),
            (
                Request::DrainWorkers,
                State::Steady | State::Loading { .. } | State::Proving { .. },
            ) => {
                let newest = self.newest();
                self.drain_before(now, newest + 1);
            }
            (
                Request::Reload
                | Request::MoreWorkers
                | Request::FewerWorkers
                | Request::DrainWorkers,
                State::Stopping { .. } | State::Killing { .. },
            ) => self.tell(Notice::Ignored(request)),
        }
    }

    fn queue_reload(&mut self, state: State) {
        self.state = state;
        self.tell(Notice::ReloadQueued);
    }

    fn stop(&mut self, now: Instant) {
        self.tell(Notice::Stopping);
        self.commands.push_back(Command::StopListening);
        let deadline = now + self.settings.graceful_timeout;
        self.state = State::Stopping { deadline };
        for cohort in &mut self.cohorts {
            cohort.drain(deadline, &mut self.commands);
        }
    }

    fn stop_at_once(&mut self) {
        self.tell(Notice::StoppingAtOnce);
        self.state = State::Killing {
            verdict: Verdict::Stopped,
        };
        for cohort in &mut self.cohorts {
            cohort.kill_all(&mut self.commands);
        }
    }

    /// A slot more or less for each pool that serves and has a fixed size.
    fn resize(&mut self, change: i32) {
        for cohort in self
            .cohorts
            .iter_mut()
            .filter(|one| one.stage == Stage::Serving)
        {
            if let Size::Fixed(workers) = cohort.sizer.size() {
                let workers = workers.saturating_add_signed(change).clamp(1, MAX_WORKERS);
                let slots = cohort.slots.len().max(workers as usize);
                cohort.slots.resize_with(slots, Slot::default);
                cohort.sizer.fix(workers);
            }
        }
    }

    // Generations.

    fn loaded(
        &mut self,
        now: Instant,
        generation: u32,
        settings: Settings,
        pools: Vec<(CohortId, PoolSpec)>,
    ) {
        let again = match self.state {
            State::Steady => false,
            State::Loading { again } | State::Proving { again, .. } => again,
            State::Stopping { .. } | State::Killing { .. } | State::Ended => {
                self.commands.push_back(Command::Abandon(generation));
                return;
            }
        };
        self.settings = settings;
        self.state = State::Proving { generation, again };
        self.cohorts.extend(
            pools
                .into_iter()
                .map(|(id, spec)| Cohort::new(id, generation, spec)),
        );
        self.limit_generations();
        self.settle(now);
    }

    fn load_failed(&mut self) {
        if let State::Loading { again } = self.state {
            self.finish_reload(again);
        }
    }

    fn finish_reload(&mut self, again: bool) {
        if again {
            self.state = State::Loading { again: false };
            self.commands.push_back(Command::Load);
        } else {
            self.state = State::Steady;
        }
    }

    /// Ends the oldest generations where too many are left.
    fn limit_generations(&mut self) {
        loop {
            let mut living: Vec<u32> = self
                .cohorts
                .iter()
                .map(|cohort| cohort.generation)
                .collect();
            living.sort_unstable();
            living.dedup();
            let killed = |cohort: &Cohort| cohort.workers().all(|worker| cohort.is_killed(worker));
            living.retain(|&one| {
                !self
                    .cohorts
                    .iter()
                    .filter(|cohort| cohort.generation == one)
                    .all(killed)
            });
            let serving = self
                .cohorts
                .iter()
                .filter(|cohort| cohort.stage == Stage::Serving);
            let oldest_serving = serving.map(|cohort| cohort.generation).min();
            let most = self.settings.max_generations as usize;
            match living.first() {
                // A generation that serves is never the one to go.
                Some(&oldest) if living.len() > most && Some(oldest) != oldest_serving => {
                    self.tell(Notice::TooManyGenerations(oldest));
                    for cohort in self
                        .cohorts
                        .iter_mut()
                        .filter(|cohort| cohort.generation == oldest)
                    {
                        cohort.kill_all(&mut self.commands);
                    }
                }
                Some(_) | None => return,
            }
        }
    }

    fn newest(&self) -> u32 {
        self.cohorts
            .iter()
            .map(|cohort| cohort.generation)
            .max()
            .unwrap_or(0)
    }

    /// Every cohort older than `generation` finishes what it has.
    fn drain_before(&mut self, now: Instant, generation: u32) {
        let deadline = now + self.settings.graceful_timeout;
        for cohort in self
            .cohorts
            .iter_mut()
            .filter(|cohort| cohort.generation < generation)
        {
            if cohort.stage != Stage::Draining {
                cohort.drain(deadline, &mut self.commands);
            }
        }
    }

    /// The new generation's workers do not live: it goes, the old one stays.
    fn give_up(&mut self, generation: u32, again: bool) {
        self.tell(Notice::NotViable(generation));
        for cohort in self
            .cohorts
            .iter_mut()
            .filter(|cohort| cohort.generation == generation)
        {
            cohort.kill_all(&mut self.commands);
        }
        self.commands.push_back(Command::Abandon(generation));
        if self
            .cohorts
            .iter()
            .all(|cohort| cohort.generation == generation)
        {
            self.state = State::Killing {
                verdict: Verdict::NeverServed,
            };
        } else {
            self.finish_reload(again);
        }
    }

    // Workers.

    fn ready(&mut self, now: Instant, worker: WorkerId) {
        let deadline = now + self.settings.graceful_timeout;
        for cohort in &mut self.cohorts {
            let starting = |slot: &Slot| matches!(slot.phase, Phase::Starting { worker: one, .. } if one == worker);
            if let Some(index) = cohort.slots.iter().position(starting) {
                cohort.slots[index].phase = Phase::Ready { worker, since: now };
                cohort.retire_relieved(index, deadline, &mut self.commands);
            }
        }
    }

    /// The worker is worn: its slot gets a successor, and it serves until that
    /// one is READY. A quarter of the pool at a time: wear comes in waves.
    fn relieve(&mut self, now: Instant, worker: WorkerId) {
        if self.settings.once {
            return;
        }
        for cohort in self
            .cohorts
            .iter_mut()
            .filter(|one| one.stage == Stage::Serving)
        {
            let relieved = cohort
                .leaving
                .iter()
                .filter(|one| one.phase == Leaving::Relieved)
                .count();
            let ready = |slot: &Slot| matches!(slot.phase, Phase::Ready { worker: one, .. } if one == worker);
            let Some(index) = cohort.slots.iter().position(ready) else {
                continue;
            };
            if relieved <= cohort.slots.len() / 4 {
                cohort.leaving.push(Leaver {
                    worker,
                    slot: index,
                    phase: Leaving::Relieved,
                });
                cohort.slots[index].phase = Phase::Waiting { until: now };
            }
        }
    }

    /// The worker is no more.
    fn lost(&mut self, now: Instant, worker: WorkerId, clean: bool) {
        let once = self.settings.once;
        let Some(cohort) = self.cohorts.iter_mut().find(|cohort| cohort.has(worker)) else {
            return;
        };
        if let Some(at) = cohort
            .leaving
            .iter()
            .position(|leaver| leaver.worker == worker)
        {
            cohort.leaving.remove(at);
            return;
        }
        let Some(index) = cohort
            .slots
            .iter()
            .position(|slot| slot.phase.worker() == Some(worker))
        else {
            return;
        };
        let young = match cohort.slots[index].phase {
            Phase::Ready { since, .. } => now.saturating_duration_since(since) < YOUNG,
            Phase::Empty | Phase::Waiting { .. } | Phase::Starting { .. } => {
                cohort.proof_deaths += 1;
                true
            }
        };
        if once && clean {
            cohort.slots[index].phase = Phase::Empty;
            self.stop(now);
            return;
        }
        let slot = &mut cohort.slots[index];
        if !young {
            slot.deaths = 0;
            // A spare-driven pool decides anew whether it needs one.
            slot.phase = match cohort.sizer.size() {
                Size::Fixed(_) => Phase::Waiting { until: now },
                Size::Spare { .. } => Phase::Empty,
            };
            return;
        }
        let notice = cohort.back_off(index, now, &mut self.jitter);
        self.commands.push_back(Command::Tell(notice));
    }

    // What holds at every moment.

    /// Brings everything in line: fills slots, cuts what is late, ends what is
    /// done. Calling it twice does no more than calling it once.
    fn settle(&mut self, now: Instant) {
        for at in 0..self.cohorts.len() {
            self.expire(now, at);
            match self.cohorts[at].stage {
                Stage::Proving => self.prove(now, at),
                Stage::Serving => self.keep_size(now, at),
                Stage::Draining => {}
            }
        }
        self.judge_generation(now);
        self.drop_empty();
        self.judge_stop(now);
    }

    /// Whether a stop is done, or has taken too long.
    fn judge_stop(&mut self, now: Instant) {
        let anyone = self.workers().next().is_some();
        let verdict = match self.state {
            State::Stopping { deadline } if anyone && now >= deadline => {
                return self.stop_at_once();
            }
            State::Stopping { .. } => Verdict::Stopped,
            State::Killing { verdict } => verdict,
            State::Steady | State::Loading { .. } | State::Proving { .. } | State::Ended => return,
        };
        if !anyone {
            self.commands.push_back(Command::Exit(verdict));
            self.state = State::Ended;
        }
    }

    /// Cuts workers whose time is up.
    fn expire(&mut self, now: Instant, at: usize) {
        let cohort = &mut self.cohorts[at];
        for index in 0..cohort.slots.len() {
            if let Phase::Starting { worker, until } = cohort.slots[index].phase
                && until <= now
            {
                self.commands
                    .push_back(Command::Tell(Notice::NotReady(worker)));
                self.commands.push_back(Command::Kill(worker));
                cohort.leaving.push(Leaver {
                    worker,
                    slot: index,
                    phase: Leaving::Killed,
                });
                cohort.proof_deaths += 1;
                let notice = cohort.back_off(index, now, &mut self.jitter);
                self.commands.push_back(Command::Tell(notice));
            }
        }
        for leaver in &mut cohort.leaving {
            if let Leaving::Draining { until } = leaver.phase
                && until <= now
            {
                leaver.phase = Leaving::Killed;
                self.commands
                    .push_back(Command::Tell(Notice::CutShort(leaver.worker)));
                self.commands.push_back(Command::Kill(leaver.worker));
            }
        }
    }

    /// One worker goes ahead; the rest follow when it is READY.
    fn prove(&mut self, now: Instant, at: usize) {
        let cohort = &mut self.cohorts[at];
        let start = cohort.sizer.start() as usize;
        let anyone_ready = cohort
            .slots
            .iter()
            .any(|slot| matches!(slot.phase, Phase::Ready { .. }));
        let wanted = if anyone_ready { start } else { 1 };
        for slot in 0..wanted.min(cohort.slots.len()) {
            match cohort.slots[slot].phase {
                Phase::Empty => cohort.spawn(slot, now, &mut self.next_worker, &mut self.commands),
                Phase::Waiting { until } if until <= now => {
                    cohort.spawn(slot, now, &mut self.next_worker, &mut self.commands);
                }
                Phase::Waiting { .. } | Phase::Starting { .. } | Phase::Ready { .. } => {}
            }
        }
    }

    /// Spawns where a back-off is over, then more or fewer as the size wants.
    fn keep_size(&mut self, now: Instant, at: usize) {
        let cohort = &mut self.cohorts[at];
        for slot in 0..cohort.slots.len() {
            if let Phase::Waiting { until } = cohort.slots[slot].phase
                && until <= now
            {
                cohort.spawn(slot, now, &mut self.next_worker, &mut self.commands);
            }
        }
        let plan = cohort.sizer.plan(now, cohort.census());
        let was_at_maximum = std::mem::replace(&mut cohort.at_maximum, plan == Plan::AtMaximum);
        match plan {
            Plan::Keep => {}
            Plan::AtMaximum => {
                if !was_at_maximum {
                    self.commands
                        .push_back(Command::Tell(Notice::AtMaximum(cohort.id)));
                }
            }
            Plan::Spawn(count) => {
                let empty = |slot: &Slot| slot.phase == Phase::Empty;
                for _ in 0..count {
                    let Some(slot) = cohort.slots.iter().position(empty) else {
                        break;
                    };
                    cohort.spawn(slot, now, &mut self.next_worker, &mut self.commands);
                }
            }
            Plan::Retire(count) => {
                let until = now + self.settings.graceful_timeout;
                for _ in 0..count {
                    cohort.retire_last(until, &mut self.commands);
                }
            }
        }
    }

    /// Whether the generation that has to prove itself has, or never will.
    fn judge_generation(&mut self, now: Instant) {
        let State::Proving { generation, again } = self.state else {
            return;
        };
        let cohorts = || {
            self.cohorts
                .iter()
                .filter(|cohort| cohort.generation == generation)
        };
        if cohorts().any(|cohort| cohort.proof_deaths >= PROOF_DEATHS) {
            self.give_up(generation, again);
        } else if cohorts().all(Cohort::is_proved) {
            let first = self
                .cohorts
                .iter()
                .all(|cohort| cohort.generation == generation);
            for cohort in self
                .cohorts
                .iter_mut()
                .filter(|cohort| cohort.generation == generation)
            {
                cohort.stage = Stage::Serving;
                cohort.idle = cohort.sizer.start();
            }
            self.commands.push_back(Command::Promote(generation));
            self.drain_before(now, generation);
            if !first {
                self.tell(Notice::Replaced(generation));
            }
            self.finish_reload(again);
        }
    }

    fn drop_empty(&mut self) {
        let commands = &mut self.commands;
        self.cohorts.retain(|cohort| {
            let done = cohort.stage == Stage::Draining && cohort.workers().next().is_none();
            if done {
                commands.push_back(Command::Drop(cohort.id));
            }
            !done
        });
    }

    fn tell(&mut self, notice: Notice) {
        self.commands.push_back(Command::Tell(notice));
    }
}

impl Cohort {
    fn new(id: CohortId, generation: u32, spec: PoolSpec) -> Self {
        Self {
            id,
            generation,
            stage: Stage::Proving,
            sizer: Sizer::new(spec.size),
            slots: (0..spec.size.max()).map(|_| Slot::default()).collect(),
            spec,
            leaving: Vec::new(),
            idle: 0,
            proof_deaths: 0,
            at_maximum: false,
        }
    }

    fn workers(&self) -> impl Iterator<Item = WorkerId> {
        let leaving = self.leaving.iter().map(|leaver| leaver.worker);
        self.slots
            .iter()
            .filter_map(|slot| slot.phase.worker())
            .chain(leaving)
    }

    fn has(&self, worker: WorkerId) -> bool {
        self.workers().any(|one| one == worker)
    }

    fn is_killed(&self, worker: WorkerId) -> bool {
        self.leaving
            .iter()
            .any(|leaver| leaver.worker == worker && leaver.phase == Leaving::Killed)
    }

    /// Whether as many workers are READY as the pool begins with.
    fn is_proved(&self) -> bool {
        let ready = self
            .slots
            .iter()
            .filter(|slot| matches!(slot.phase, Phase::Ready { .. }))
            .count();
        ready >= self.sizer.start() as usize
    }

    fn census(&self) -> Census {
        let mut census = Census {
            idle: self.idle,
            ..Census::default()
        };
        for slot in &self.slots {
            match slot.phase {
                Phase::Empty => {}
                Phase::Waiting { .. } | Phase::Starting { .. } => {
                    census.coming += 1;
                    census.total += 1;
                }
                Phase::Ready { .. } => census.total += 1,
            }
        }
        census
    }

    fn next_deadline(&self) -> Option<Instant> {
        let slots = self.slots.iter().filter_map(|slot| match slot.phase {
            Phase::Empty | Phase::Ready { .. } => None,
            // Nobody is spawned into a cohort that drains.
            Phase::Waiting { until } => (self.stage != Stage::Draining).then_some(until),
            Phase::Starting { until, .. } => Some(until),
        });
        let leaving = self.leaving.iter().filter_map(|leaver| match leaver.phase {
            Leaving::Relieved | Leaving::Killed => None,
            Leaving::Draining { until } => Some(until),
        });
        let sizer = match self.stage {
            Stage::Serving => self.sizer.next_look(),
            Stage::Proving | Stage::Draining => None,
        };
        slots.chain(leaving).chain(sizer).min()
    }

    fn spawn(
        &mut self,
        slot: usize,
        now: Instant,
        next: &mut u64,
        commands: &mut VecDeque<Command>,
    ) {
        let worker = WorkerId(*next);
        *next += 1;
        self.slots[slot].phase = Phase::Starting {
            worker,
            until: now + self.spec.spawn_timeout,
        };
        commands.push_back(Command::Spawn {
            worker,
            cohort: self.id,
            slot,
        });
    }

    /// The worker of the slot died young: the next one comes later.
    fn back_off(&mut self, index: usize, now: Instant, jitter: &mut u64) -> Notice {
        let slot = &mut self.slots[index];
        slot.deaths = slot.deaths.saturating_add(1);
        let delay = back_off(slot.deaths, jitter);
        slot.phase = Phase::Waiting { until: now + delay };
        Notice::BackingOff {
            cohort: self.id,
            slot: index,
            deaths: slot.deaths,
            delay,
        }
    }

    /// Everyone finishes what he has; nobody comes any more.
    fn drain(&mut self, until: Instant, commands: &mut VecDeque<Command>) {
        self.stage = Stage::Draining;
        for slot in 0..self.slots.len() {
            self.retire(slot, until, commands);
        }
        for leaver in &mut self.leaving {
            match leaver.phase {
                Leaving::Relieved => {
                    leaver.phase = Leaving::Draining { until };
                    commands.push_back(Command::Retire(leaver.worker));
                }
                Leaving::Draining { .. } | Leaving::Killed => {}
            }
        }
    }

    fn retire(&mut self, slot: usize, until: Instant, commands: &mut VecDeque<Command>) {
        let phase = std::mem::take(&mut self.slots[slot].phase);
        if let Some(worker) = phase.worker() {
            self.leaving.push(Leaver {
                worker,
                slot,
                phase: Leaving::Draining { until },
            });
            commands.push_back(Command::Retire(worker));
        }
    }

    /// Retires the last slot in use: what is first in the row of slots stays.
    fn retire_last(&mut self, until: Instant, commands: &mut VecDeque<Command>) {
        if let Some(slot) = self
            .slots
            .iter()
            .rposition(|slot| slot.phase != Phase::Empty)
        {
            self.idle = self.idle.saturating_sub(1);
            self.retire(slot, until, commands);
        }
    }

    /// The successor in `slot` serves: those it relieves may go.
    fn retire_relieved(&mut self, slot: usize, until: Instant, commands: &mut VecDeque<Command>) {
        for leaver in self.leaving.iter_mut().filter(|leaver| leaver.slot == slot) {
            if leaver.phase == Leaving::Relieved {
                leaver.phase = Leaving::Draining { until };
                commands.push_back(Command::Retire(leaver.worker));
            }
        }
    }

    fn kill_all(&mut self, commands: &mut VecDeque<Command>) {
        self.stage = Stage::Draining;
        for slot in 0..self.slots.len() {
            let phase = std::mem::take(&mut self.slots[slot].phase);
            if let Some(worker) = phase.worker() {
                self.leaving.push(Leaver {
                    worker,
                    slot,
                    phase: Leaving::Relieved,
                });
            }
        }
        for leaver in self
            .leaving
            .iter_mut()
            .filter(|leaver| leaver.phase != Leaving::Killed)
        {
            leaver.phase = Leaving::Killed;
            commands.push_back(Command::Kill(leaver.worker));
        }
    }
}

/// How long to wait after the `deaths`th early death in a row: doubling, capped,
/// and spread by a quarter either way so that slots do not march in step.
fn back_off(deaths: u32, jitter: &mut u64) -> Duration {
    let factor = 1u32
        .checked_shl(deaths.saturating_sub(1))
        .unwrap_or(u32::MAX);
    let delay = FIRST_DELAY.saturating_mul(factor).min(LONGEST_DELAY);
    // xorshift64: good enough to keep slots apart.
    *jitter ^= *jitter << 13;
    *jitter ^= *jitter >> 7;
    *jitter ^= *jitter << 17;
    let permille = 750 + (*jitter % 501) as u32;
    delay * permille / 1000
}
