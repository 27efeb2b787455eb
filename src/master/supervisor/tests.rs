//! The supervisor in a pretend world: workers are entries in a map, the clock
//! is a variable, and everything it asks for happens only when a test says so.
//!
//! Here is that world; what happens in it is told in a file a theme, and at random in
//! `histories`.

mod deaths;
mod generations;
mod histories;
mod leavers;
mod sizes;
mod stops;
mod upgrades;

use super::super::breaker;
use super::super::cohort::{
    FIRST_DELAY, FULL_QUIET, HUNG_PATIENCE, LONGEST_DELAY, PROOF_DEATHS, SILENCE, YOUNG,
};
use super::super::message::{Cut, PoolSpec, Standing};
use super::*;
use crate::config::Size;
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const SETTINGS: Settings = Settings {
    graceful_timeout: Duration::from_secs(30),
    drain_delay: Duration::ZERO,
    upgrade_timeout: Duration::from_secs(20),
    max_generations: 3,
    once: false,
    breaker_exit_after: None,
};
const SPARE: Size = Size::Spare {
    start: 3,
    min_spare: 2,
    max_spare: 4,
    max: 10,
};

/// What a pretend worker has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Retire,
    Kill,
}

struct World {
    supervisor: Supervisor,
    now: Instant,
    /// Every worker that lives, whether it said READY, and what it was told.
    workers: BTreeMap<WorkerId, (CohortId, usize, bool, Told)>,
    generation: u32,
    next_cohort: u64,
    promoted: Vec<u32>,
    abandoned: Vec<u32>,
    notices: Vec<Notice>,
    loads: usize,
    exit: Option<Verdict>,
    handshakes_refused: bool,
    /// What was said of new clients, in order.
    proclaimed: Vec<Readiness>,
    /// How many had been told to retire by then.
    draining_when_said: usize,
    settings: Settings,
    handed_over: bool,
    /// Whether a new master lives.
    successor: bool,
    limits: BTreeMap<CohortId, u32>,
    generation_of: BTreeMap<CohortId, u32>,
    /// How often a worker more was asked for.
    added: u32,
    /// What each that was killed was killed for.
    cuts: BTreeMap<WorkerId, Cut>,
}

impl World {
    fn new(settings: Settings) -> Self {
        Self {
            supervisor: Supervisor::new(settings, 42),
            now: Instant::now(),
            workers: BTreeMap::new(),
            generation: 0,
            next_cohort: 0,
            promoted: Vec::new(),
            abandoned: Vec::new(),
            notices: Vec::new(),
            loads: 0,
            exit: None,
            handshakes_refused: false,
            proclaimed: Vec::new(),
            draining_when_said: 0,
            settings,
            handed_over: false,
            successor: false,
            limits: BTreeMap::new(),
            generation_of: BTreeMap::new(),
            added: 0,
            cuts: BTreeMap::new(),
        }
    }

    /// A world whose first generation serves.
    fn serving(sizes: &[Size]) -> Self {
        Self::serving_with(sizes, SETTINGS)
    }

    fn serving_with(sizes: &[Size], settings: Settings) -> Self {
        let mut world = Self::new(settings);
        world.load(sizes);
        world.all_ready();
        assert_eq!(world.promoted, [1]);
        world
    }

    fn send(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
        self.obey();
    }

    fn request(&mut self, request: Request) {
        self.added += u32::from(request == Request::MoreWorkers);
        self.send(Event::Requested(request));
    }

    fn load(&mut self, sizes: &[Size]) {
        self.load_with(sizes, self.settings);
    }

    fn load_with(&mut self, sizes: &[Size], settings: Settings) {
        self.generation += 1;
        let mut pools = Vec::new();
        for &size in sizes {
            let id = CohortId(self.next_cohort);
            self.next_cohort += 1;
            self.limits.insert(id, size.max());
            self.generation_of.insert(id, self.generation);
            let spawn_timeout = 10 * SECOND;
            pools.push((
                id,
                PoolSpec {
                    size,
                    spawn_timeout,
                    min_worker_lifetime: SECOND,
                },
            ));
        }
        self.send(Event::Loaded {
            generation: self.generation,
            settings,
            pools,
        });
    }

    /// Time passes, and nothing else.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.send(Event::Woke);
    }

    fn obey(&mut self) {
        while let Some(command) = self.supervisor.poll_command() {
            assert_eq!(self.exit, None, "nothing comes after Exit: {command:?}");
            match command {
                Command::Spawn {
                    worker,
                    cohort,
                    slot,
                } => {
                    let new = (cohort, slot, false, Told::Nothing);
                    assert_eq!(
                        self.workers.insert(worker, new),
                        None,
                        "ids are never reused"
                    );
                }
                Command::SpawnHeir {
                    worker,
                    cohort,
                    slot,
                    of,
                } => {
                    assert!(!self.workers.contains_key(&of), "it is dead");
                    let heir = (cohort, slot, true, Told::Retire);
                    assert_eq!(self.workers.insert(worker, heir), None);
                }
                Command::Retire(worker) => {
                    let told = &mut self.workers.get_mut(&worker).expect("it lives").3;
                    assert_eq!(*told, Told::Nothing, "told once");
                    *told = Told::Retire;
                }
                Command::Kill(worker, cut) => {
                    self.cuts.insert(worker, cut);
                    let told = &mut self.workers.get_mut(&worker).expect("it lives").3;
                    assert_ne!(*told, Told::Kill, "killed once");
                    *told = Told::Kill;
                }
                Command::Drop(_) | Command::Resize { .. } | Command::Reopen => {}
                Command::Load => self.loads += 1,
                Command::StartSuccessor => {
                    assert!(!self.successor, "one at a time");
                    self.successor = true;
                }
                Command::EndSuccessor => self.successor = false,
                Command::HandOver => self.handed_over = true,
                Command::Promote(generation) => self.promoted.push(generation),
                Command::Abandon(generation) => self.abandoned.push(generation),
                Command::StopListening => self.handshakes_refused = true,
                Command::Proclaim(readiness) => {
                    assert!(!self.handshakes_refused, "it is said before");
                    self.draining_when_said = self.with(Told::Retire).len();
                    assert_ne!(self.proclaimed.last(), Some(&readiness), "said once");
                    self.proclaimed.push(readiness);
                }
                Command::Tell(notice) => self.notices.push(notice),
                Command::Exit(verdict) => self.exit = Some(verdict),
            }
        }
    }

    fn with(&self, told: Told) -> Vec<WorkerId> {
        let chosen = self.workers.iter().filter(|(_, worker)| worker.3 == told);
        chosen.map(|(id, _)| *id).collect()
    }

    fn ready(&mut self, worker: WorkerId) {
        self.workers.get_mut(&worker).expect("it lives").2 = true;
        self.send(Event::Ready(worker));
    }

    /// Everybody who has not said READY says it, until nobody is left to.
    fn all_ready(&mut self) {
        loop {
            let unready = |(_, worker): &(&WorkerId, &(CohortId, usize, bool, Told))| {
                !worker.2 && worker.3 == Told::Nothing
            };
            let Some((&id, _)) = self.workers.iter().find(unready) else {
                return;
            };
            self.ready(id);
        }
    }

    fn dies(&mut self, worker: WorkerId, clean: bool) {
        self.workers.remove(&worker).expect("it lives");
        self.send(Event::Exited {
            worker,
            clean,
            served: false,
            left: false,
        });
    }

    /// Dies on its way out, before it has emptied its queue.
    fn dies_leaving_a_queue(&mut self, worker: WorkerId) {
        let told = self.workers.remove(&worker).expect("it lives").3;
        assert_ne!(told, Told::Nothing, "others have successors");
        self.send(Event::Exited {
            worker,
            clean: false,
            served: true,
            left: true,
        });
    }

    /// Everybody who was told to go goes.
    fn leave(&mut self) {
        for told in [Told::Retire, Told::Kill] {
            for worker in self.with(told) {
                self.dies(worker, told == Told::Retire);
            }
        }
    }

    fn slot_of(&self, worker: WorkerId) -> usize {
        self.workers[&worker].1
    }
}

/// What is said of the way of cohort 0 to `workers`.
fn resized(world: &mut World, workers: u32) -> Sizing {
    let cohort = CohortId(0);
    let limit = world.limits.entry(cohort).or_default();
    *limit = workers.max(*limit);
    world.request(Request::Resize { cohort, workers });
    world.supervisor.sizing(cohort)
}
