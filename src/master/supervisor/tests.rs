//! The supervisor in a pretend world: workers are entries in a map, the clock
//! is a variable, and everything it asks for happens only when a test says so.

use super::super::breaker;
use super::super::cohort::{
    FIRST_DELAY, FULL_QUIET, HUNG_PATIENCE, LONGEST_DELAY, PROOF_DEATHS, SILENCE, YOUNG,
};
use super::super::message::{Cut, PoolSpec, Standing};
use super::*;
use crate::config::Size;
use proptest::prelude::*;
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

#[test]
fn one_worker_goes_ahead_and_the_rest_follow() {
    let mut world = World::new(SETTINGS);
    world.load(&[Size::Fixed(4)]);
    assert_eq!(world.workers.len(), 1);
    assert!(world.promoted.is_empty());
    let canary = *world.workers.keys().next().expect("one");
    world.ready(canary);
    assert_eq!(world.workers.len(), 4);
    assert!(world.promoted.is_empty(), "not before all are READY");
    world.all_ready();
    assert_eq!(world.promoted, [1]);
    assert!(world.supervisor.is_steady());
    assert_eq!(
        world.supervisor.next_deadline(),
        None,
        "nothing to wait for"
    );
}

#[test]
fn a_first_generation_that_does_not_live_ends_the_master() {
    let mut world = World::new(SETTINGS);
    world.load(&[Size::Fixed(2)]);
    for death in 1..=PROOF_DEATHS {
        let worker = *world.workers.keys().next().expect("tried again");
        world.dies(worker, false);
        assert_eq!(world.exit.is_some(), death == PROOF_DEATHS);
        world.pass(LONGEST_DELAY);
    }
    assert_eq!(world.exit, Some(Verdict::NeverServed));
    assert!(world.notices.contains(&Notice::NotViable(1)));
}

#[test]
fn a_stop_waits_for_the_last_worker() {
    let mut world = World::serving(&[Size::Fixed(2), SPARE]);
    world.request(Request::Stop);
    assert!(world.handshakes_refused);
    let said = [Readiness::Ready, Readiness::Stopping];
    assert_eq!(
        (&world.proclaimed[..], world.draining_when_said),
        (&said[..], 0)
    );
    assert_eq!(world.with(Told::Retire).len(), 5);
    assert_eq!(world.exit, None);
    world.leave();
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

#[test]
fn a_stop_that_takes_too_long_or_is_asked_for_twice_kills() {
    for twice in [false, true] {
        let mut world = World::serving(&[Size::Fixed(2)]);
        world.request(Request::Stop);
        if twice {
            world.request(Request::Stop);
        } else {
            let due = world.supervisor.next_deadline().expect("a deadline");
            assert_eq!(due, world.now + SETTINGS.graceful_timeout);
            world.pass(SETTINGS.graceful_timeout);
        }
        assert_eq!(world.with(Told::Kill).len(), 2, "twice: {twice}");
        world.leave();
        assert_eq!(world.exit, Some(Verdict::Stopped));
    }
}

const DELAY: Duration = Duration::from_secs(5);
const PATIENT: Settings = Settings {
    drain_delay: DELAY,
    ..SETTINGS
};

#[test]
fn a_stop_is_announced_before_it_begins() {
    let mut world = World::serving_with(&[Size::Fixed(2)], PATIENT);
    assert_eq!(world.proclaimed, [Readiness::Ready]);
    world.request(Request::Stop);
    assert_eq!(world.proclaimed, [Readiness::Ready, Readiness::Stopping]);
    let until = world.now + DELAY;
    assert_eq!(world.supervisor.withdraws_until(), Some(until));
    assert_eq!(world.supervisor.next_deadline(), Some(until));
    assert!(!world.supervisor.is_steady());
    assert!(!world.handshakes_refused && world.with(Told::Retire).is_empty());
    assert_eq!(world.notices, [Notice::Withdrawing { delay: DELAY }]);
    // Everything goes on: who dies has a successor, and sizes may change.
    world.pass(YOUNG);
    world.dies(world.with(Told::Nothing)[0], false);
    world.all_ready();
    world.request(Request::MoreWorkers);
    world.all_ready();
    assert_eq!(world.with(Told::Nothing).len(), 3);
    // But nothing new begins.
    for request in [Request::Reload, Request::Upgrade, Request::DrainWorkers] {
        world.request(request);
        let why = "the master is about to stop";
        assert_eq!(world.notices.last(), Some(&Notice::Ignored(request, why)));
    }
    assert!(world.loads == 0 && !world.successor && world.with(Told::Retire).is_empty());
    world.pass(until - world.now);
    assert!(world.handshakes_refused);
    assert_eq!(world.with(Told::Retire).len(), 3);
    assert_eq!(world.supervisor.withdraws_until(), None);
    assert_eq!(world.proclaimed.len(), 2);
    let due = world.supervisor.next_deadline();
    assert_eq!(due, Some(world.now + SETTINGS.graceful_timeout));
    world.leave();
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

#[test]
fn a_stop_that_is_announced_and_asked_for_again_kills() {
    let mut world = World::serving_with(&[Size::Fixed(2)], PATIENT);
    world.request(Request::Stop);
    world.request(Request::Stop);
    assert!(world.handshakes_refused);
    assert_eq!(world.with(Told::Kill).len(), 2);
    world.leave();
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

#[test]
fn a_stop_is_not_put_off_where_nobody_serves() {
    let mut world = World::new(PATIENT);
    world.load(&[Size::Fixed(2)]);
    world.request(Request::Stop);
    assert!(world.handshakes_refused && world.supervisor.withdraws_until().is_none());
    assert_eq!(world.proclaimed, [Readiness::Stopping]);

    let mut world = World::serving_with(&[Size::Fixed(2)], PATIENT);
    world.request(Request::DrainWorkers);
    world.request(Request::Stop);
    assert!(world.handshakes_refused);
    let said = [Readiness::Ready, Readiness::Drained, Readiness::Stopping];
    assert_eq!(world.proclaimed, said);
    world.leave();
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

#[test]
fn what_is_under_way_has_no_purpose_once_a_stop_is_announced() {
    // A generation that has to prove itself.
    let mut world = World::serving_with(&[Size::Fixed(2)], PATIENT);
    world.request(Request::Reload);
    world.request(Request::Reload);
    world.load(&[Size::Fixed(2)]);
    let canary = *world.workers.keys().last().expect("a new one");
    world.ready(canary);
    world.request(Request::Stop);
    assert_eq!(world.abandoned, [2]);
    assert!(!world.with(Told::Nothing).contains(&canary));
    assert_eq!(world.with(Told::Nothing).len(), 2, "the old ones serve");
    world.pass(DELAY);
    world.leave();
    assert_eq!((world.exit, world.loads), (Some(Verdict::Stopped), 1));

    // One that is being loaded.
    let mut world = World::serving_with(&[Size::Fixed(2)], PATIENT);
    world.request(Request::Reload);
    world.request(Request::Stop);
    world.load(&[Size::Fixed(2)]);
    assert_eq!((world.workers.len(), &world.abandoned[..]), (2, &[2][..]));

    // A new master.
    let mut world = World::serving_with(&[Size::Fixed(2)], PATIENT);
    world.request(Request::Upgrade);
    world.request(Request::Stop);
    assert!(!world.successor);
    world.send(Event::SuccessorFailed);
    assert!(world.supervisor.withdraws_until().is_some());
    world.pass(DELAY);
    world.leave();
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

#[test]
fn a_reload_and_an_upgrade_leave_us_ready() {
    let mut world = World::serving_with(&[Size::Fixed(2)], PATIENT);
    world.request(Request::Reload);
    world.load(&[Size::Fixed(2)]);
    world.all_ready();
    world.leave();
    world.request(Request::Upgrade);
    world.send(Event::SuccessorServes);
    assert!(world.handed_over);
    world.leave();
    assert_eq!(world.proclaimed, [Readiness::Ready]);
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

#[test]
fn a_reload_retires_the_old_only_when_all_of_the_new_are_ready() {
    let mut world = World::serving(&[Size::Fixed(3)]);
    world.request(Request::Reload);
    assert_eq!(world.loads, 1);
    world.load(&[Size::Fixed(3)]);
    assert_eq!(world.workers.len(), 4, "three old ones and a canary");
    assert!(world.with(Told::Retire).is_empty());
    world.all_ready();
    assert_eq!(world.promoted, [1, 2]);
    assert_eq!(world.with(Told::Retire).len(), 3);
    world.leave();
    assert_eq!(world.workers.len(), 3);
    assert!(world.supervisor.is_steady());
}

#[test]
fn a_reload_that_cannot_be_read_changes_nothing() {
    let mut world = World::serving(&[Size::Fixed(3)]);
    world.request(Request::Reload);
    world.send(Event::LoadFailed);
    assert_eq!(world.with(Told::Nothing).len(), 3);
    assert!(world.supervisor.is_steady());
}

#[test]
fn a_new_generation_that_does_not_live_leaves_the_old_one_serving() {
    for too_slow in [false, true] {
        let mut world = World::serving(&[Size::Fixed(2)]);
        world.request(Request::Reload);
        world.load(&[Size::Fixed(2)]);
        for _ in 0..PROOF_DEATHS {
            world.pass(LONGEST_DELAY / 4);
            let unready = world.workers.iter().find(|(_, worker)| !worker.2);
            let worker = *unready.expect("a try").0;
            if too_slow {
                world.pass(10 * SECOND);
                assert_eq!(world.workers[&worker].3, Told::Kill);
            }
            world.dies(worker, false);
        }
        assert_eq!(world.abandoned, [2], "too slow: {too_slow}");
        assert_eq!(world.promoted, [1]);
        assert_eq!(world.with(Told::Nothing).len(), 2);
        assert!(world.supervisor.is_steady());
    }
}

#[test]
fn who_was_ready_in_a_generation_that_is_given_up_finishes() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    world.request(Request::Reload);
    world.load(&[Size::Fixed(3)]);
    let first = *world.workers.keys().last().expect("one goes ahead");
    world.ready(first);
    while world.abandoned.is_empty() {
        let dying = *world.workers.keys().last().expect("a try");
        world.dies(dying, false);
        world.pass(LONGEST_DELAY / 8);
    }
    assert!(world.with(Told::Retire).contains(&first));
    assert!(world.with(Told::Kill).is_empty());
    assert_eq!(world.with(Told::Nothing).len(), 2);
    world.leave();
    assert_eq!(world.workers.len(), 2);
}

#[test]
fn reloads_asked_for_during_a_reload_become_one_more() {
    let mut world = World::serving(&[Size::Fixed(1)]);
    for _ in 0..3 {
        world.request(Request::Reload);
    }
    assert_eq!(world.loads, 1);
    world.load(&[Size::Fixed(1)]);
    world.request(Request::Reload);
    world.all_ready();
    assert_eq!(world.loads, 2);
    world.load(&[Size::Fixed(1)]);
    world.all_ready();
    assert_eq!(world.loads, 2);
    assert!(world.supervisor.is_steady());
}

#[test]
fn a_reload_waits_where_too_many_generations_live() {
    let mut world = World::serving(&[Size::Fixed(1)]);
    for _ in 0..2 {
        world.request(Request::Reload);
        world.load(&[Size::Fixed(1)]);
        world.all_ready();
    }
    // Generations 1 and 2 drain, 3 serves: that is as many as may live.
    world.request(Request::Reload);
    assert_eq!(world.loads, 2);
    assert!(world.notices.contains(&Notice::TooManyGenerations));
    // The oldest is cut at its deadline, and the reload goes on.
    world.pass(SETTINGS.graceful_timeout);
    assert_eq!(world.with(Told::Kill).len(), 2);
    assert_eq!(world.loads, 2);
    world.leave();
    assert_eq!(world.loads, 3);
    world.load(&[Size::Fixed(1)]);
    world.all_ready();
    assert_eq!(world.promoted, [1, 2, 3, 4]);
}

#[test]
fn an_upgrade_ends_in_a_stop_without_a_refusal() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    world.request(Request::Upgrade);
    assert!(world.successor);
    assert!(world.with(Told::Retire).is_empty(), "not before it serves");
    world.send(Event::SuccessorServes);
    assert!(world.handed_over && world.successor && !world.handshakes_refused);
    assert_eq!(world.with(Told::Retire).len(), 2);
    world.leave();
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

#[test]
fn a_successor_that_is_gone_or_late_changes_nothing() {
    for late in [false, true] {
        let mut world = World::serving(&[Size::Fixed(2)]);
        world.request(Request::Upgrade);
        world.request(Request::Upgrade);
        world.request(Request::FewerWorkers);
        // A worker that dies meanwhile is replaced as ever.
        world.pass(YOUNG);
        let worker = world.with(Told::Nothing)[0];
        world.dies(worker, false);
        world.all_ready();
        world.request(Request::Reload);
        assert_eq!(world.loads, 0, "it waits");
        if late {
            world.pass(SETTINGS.upgrade_timeout);
            assert!(world.notices.contains(&Notice::SuccessorLate));
            assert!(!world.successor, "it was ended");
        }
        world.send(Event::SuccessorFailed);
        // Too late to serve.
        world.send(Event::SuccessorServes);
        assert!(!world.handed_over);
        assert_eq!(world.loads, 1, "now it comes");
        world.send(Event::LoadFailed);
        assert_eq!(world.with(Told::Nothing).len(), 2);
        assert!(world.supervisor.is_steady());
    }
}

#[test]
fn a_successor_is_late_only_when_everything_was_heard() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    world.request(Request::Upgrade);
    // The master was stopped, and something else is heard first.
    world.now += 2 * SETTINGS.upgrade_timeout;
    world.request(Request::Reopen);
    assert!(world.successor, "it may serve by now");
    world.send(Event::SuccessorServes);
    assert!(world.handed_over && world.successor);
}

#[test]
fn a_stop_during_an_upgrade_ends_the_successor() {
    let mut world = World::serving(&[Size::Fixed(1)]);
    world.request(Request::Upgrade);
    world.request(Request::Stop);
    assert!(!world.successor && world.handshakes_refused && !world.handed_over);
    world.send(Event::SuccessorFailed);
    world.leave();
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

#[test]
fn an_upgrade_is_not_begun_during_a_reload() {
    let mut world = World::serving(&[Size::Fixed(1)]);
    world.request(Request::Reload);
    world.request(Request::Upgrade);
    world.load(&[Size::Fixed(1)]);
    world.request(Request::Upgrade);
    assert!(!world.successor);
    world.all_ready();
    world.request(Request::Upgrade);
    assert!(world.successor, "while the old generation drains it may");
}

#[test]
fn a_worker_that_dies_young_is_spawned_later_and_later() {
    let mut world = World::serving(&[Size::Fixed(1)]);
    let mut delays = Vec::new();
    for _ in 0..12 {
        let worker = *world.workers.keys().next().expect("one");
        world.dies(worker, false);
        assert!(world.workers.is_empty());
        let died = world.now;
        while world.workers.is_empty() {
            let due = world.supervisor.next_deadline().expect("a back-off");
            world.pass(due - world.now);
        }
        delays.push(world.now - died);
        world.all_ready();
    }
    for (index, delay) in delays.iter().enumerate() {
        let middle = (FIRST_DELAY * 2u32.pow(index as u32)).min(LONGEST_DELAY);
        assert!(
            *delay >= middle * 3 / 4 && *delay <= middle * 5 / 4,
            "{index}: {delay:?}"
        );
    }
    // One that has served is replaced at once, and so is one that has lived.
    let worker = *world.workers.keys().next().expect("one");
    world.workers.remove(&worker);
    world.send(Event::Exited {
        worker,
        clean: false,
        served: true,
        left: false,
    });
    assert_eq!(world.workers.len(), 1);
    world.all_ready();
    world.pass(YOUNG);
    let worker = *world.workers.keys().next().expect("one");
    world.dies(worker, false);
    assert_eq!(world.workers.len(), 1);
    world.all_ready();
    let worker = *world.workers.keys().next().expect("one");
    world.dies(worker, false);
    let due = world.supervisor.next_deadline().expect("a back-off");
    assert!(due - world.now <= FIRST_DELAY * 5 / 4);
}

#[test]
fn a_pool_whose_workers_die_young_tries_with_one() {
    let mut world = World::serving(&[Size::Fixed(12)]);
    for _ in 0..breaker::DEATHS {
        let worker = *world.workers.keys().next().expect("one");
        world.dies(worker, false);
    }
    let opened = |pause| Notice::BreakerOpened {
        cohort: CohortId(0),
        pause,
    };
    assert!(world.notices.contains(&opened(breaker::FIRST_PAUSE)));
    assert_eq!(world.workers.len(), 2, "those that live serve on");
    world.pass(breaker::FIRST_PAUSE - SECOND / 100);
    assert_eq!(
        world.workers.len(),
        2,
        "the back-offs are over, the breaker is open"
    );
    world.pass(SECOND / 100);
    assert_eq!(world.workers.len(), 3, "a probe");
    let probe = *world.workers.keys().last().expect("a probe");
    world.ready(probe);
    let outlook = |world: &World| world.supervisor.outlook(CohortId(0)).expect("it serves");
    assert_eq!(outlook(&world).breaker, Standing::Probing);
    world.dies(probe, false);
    assert_eq!(outlook(&world).breaker, Standing::Open);
    assert_eq!((outlook(&world).wanted, outlook(&world).ready), (12, 2));
    let told = |notice: &&Notice| matches!(notice, Notice::BreakerOpened { .. });
    assert_eq!(world.notices.iter().filter(told).count(), 1, "once");
    world.pass(2 * breaker::FIRST_PAUSE);
    world.all_ready();
    assert_eq!(world.workers.len(), 3);
    world.pass(YOUNG);
    assert_eq!(outlook(&world).breaker, Standing::Closed);
    assert!(world.notices.contains(&Notice::BreakerClosed(CohortId(0))));
    assert_eq!(world.workers.len(), 12);
}

/// Kills workers as soon as they are there until the breaker is open.
fn break_pool(world: &mut World) {
    let broken = |world: &World| {
        let outlook = world.supervisor.outlook(CohortId(0)).expect("it serves");
        !outlook.breaker.is_closed()
    };
    while !broken(world) {
        let worker = *world.workers.keys().next().expect("one");
        world.dies(worker, false);
    }
}

/// Every worker that is spawned dies at once, for so long, whether it was
/// READY or not; answers how many there were.
fn massacre(world: &mut World, time: Duration, ready: bool) -> usize {
    let (end, mut count) = (world.now + time, 0);
    while world.now < end && world.exit.is_none() {
        while let Some((&worker, _)) = world.workers.iter().next() {
            if ready {
                world.ready(worker);
            }
            world.dies(worker, false);
            count += 1;
        }
        let due = world.supervisor.next_deadline().expect("another try");
        world.pass(due.saturating_duration_since(world.now));
    }
    count
}

#[test]
fn a_pool_that_cannot_live_costs_a_bounded_number_of_forks_and_lines() {
    for (workers, ready) in [(1, false), (1, true), (8, false), (8, true), (200, false)] {
        let mut world = World::serving(&[Size::Fixed(workers)]);
        world.notices.clear();
        let first = massacre(&mut world, 3600 * SECOND, ready);
        let second = massacre(&mut world, 3600 * SECOND, ready);
        let lines = world.notices.len();
        println!(
            "{workers} workers, READY {ready}: {first} deaths in the first hour, {second} in the second, {lines} lines"
        );
        let outlook = world.supervisor.outlook(CohortId(0));
        assert!(outlook.is_some_and(|outlook| !outlook.breaker.is_closed()));
        // The workers that were there, ten until it opens, one each 30 s.
        assert!(first <= workers as usize + 10 + 130, "{first}");
        assert!(second <= 121, "{second}");
        assert!(first + second >= 200, "{first} and {second}");
        // Back-offs, the breaker, one each ten minutes, desertions until it opens.
        assert!(lines <= 60, "{lines}: {:?}", world.notices);
    }
}

#[test]
fn a_breaker_that_stays_open_ends_the_master_where_that_is_wanted() {
    let patience = 60 * SECOND;
    let settings = Settings {
        breaker_exit_after: Some(patience),
        ..SETTINGS
    };
    for stopped in [None, Some(1), Some(2), Some(3)] {
        let mut world = World::new(settings);
        world.load_with(&[Size::Fixed(20), Size::Fixed(1)], settings);
        world.all_ready();
        break_pool(&mut world);
        let opened = world.now;
        let due = world.supervisor.next_deadline().expect("a probe");
        assert!(due < opened + patience);
        if stopped == Some(1) {
            // Asked to stop while it is open: that is a stop like any other.
            world.request(Request::Stop);
            world.leave();
            assert_eq!(world.exit, Some(Verdict::Stopped));
            continue;
        }
        while world.now < opened + patience {
            let due = world
                .supervisor
                .next_deadline()
                .expect("a probe, or the end");
            world.pass(due - world.now);
            let unready = |worker: &&(CohortId, usize, bool, Told)| !worker.2;
            if world.workers.values().any(|worker| unready(&worker))
                && world.now < opened + patience
            {
                let probe = *world.workers.keys().last().expect("a probe");
                world.dies(probe, false);
            }
        }
        let cohort = CohortId(0);
        let notice = Notice::GivingUp {
            cohort,
            open: patience,
        };
        assert_eq!(
            world.notices.iter().filter(|one| **one == notice).count(),
            1
        );
        assert!(world.handshakes_refused);
        assert_eq!(world.exit, None, "gracefully");
        assert!(world.with(Told::Nothing).is_empty());
        if let Some(times) = stopped {
            // Asked to stop now, it does so as asked; once more, and at once.
            world.request(Request::Stop);
            assert!(world.with(Told::Kill).is_empty());
            (2..times).for_each(|_| world.request(Request::Stop));
            assert_eq!(world.with(Told::Kill).is_empty(), times == 2);
        }
        world.leave();
        let verdict = match stopped {
            None => Verdict::WorkersDie,
            Some(_) => Verdict::Stopped,
        };
        assert_eq!(world.exit, Some(verdict));
    }
}

#[test]
fn a_reload_is_waited_for_and_begins_the_count_anew() {
    let settings = Settings {
        breaker_exit_after: Some(2 * SECOND),
        ..SETTINGS
    };
    let mut world = World::new(settings);
    world.load_with(&[Size::Fixed(20)], settings);
    world.all_ready();
    break_pool(&mut world);
    world.pass(SECOND);
    world.request(Request::Reload);
    world.load_with(&[Size::Fixed(2)], settings);
    world.pass(5 * SECOND);
    assert!(
        world
            .supervisor
            .next_deadline()
            .is_some_and(|due| due > world.now)
    );
    world.all_ready();
    assert_eq!(world.promoted, [1, 2]);
    world.leave();
    world.pass(5 * SECOND);
    assert_eq!((world.exit, world.workers.len()), (None, 2));
    assert!(world.supervisor.is_steady());
}

/// To fork thousands may take longer than one of them has to be READY.
#[test]
fn nobody_is_late_because_the_master_is() {
    let mut world = World::new(SETTINGS);
    world.load(&[Size::Fixed(4)]);
    // The first one shows that it can be done.
    let first = world.with(Told::Nothing)[0];
    world.ready(first);
    let workers = world.with(Told::Nothing).split_off(1);
    assert_eq!(workers.len(), 3);
    for worker in &workers {
        world.now += 6 * SECOND;
        world.send(Event::Spawned(*worker));
    }
    // What the others said by then is heard next.
    world.ready(workers[1]);
    world.ready(workers[0]);
    world.send(Event::Woke);
    assert!(world.cuts.is_empty(), "{:?}", world.cuts);
    world.pass(10 * SECOND);
    assert_eq!(world.cuts[&workers[2]], Cut::NotReady);
}

#[test]
fn a_kill_says_what_it_is_for() {
    let mut world = World::serving(&[Size::Fixed(3)]);
    let [hung, late, last] = world.with(Told::Nothing)[..] else {
        panic!("three")
    };
    world.send(Event::Hung(hung));
    world.request(Request::FewerWorkers);
    world.pass(HUNG_PATIENCE);
    assert_eq!(world.cuts[&hung], Cut::Hung);
    let successor = *world.workers.keys().last().expect("spawned");
    world.pass(10 * SECOND);
    assert_eq!(world.cuts[&successor], Cut::NotReady);
    world.pass(SETTINGS.graceful_timeout);
    assert_eq!(world.cuts[&last], Cut::Overdue);
    world.request(Request::Stop);
    world.request(Request::Stop);
    assert_eq!(world.cuts[&late], Cut::AtOnce);
}

#[test]
fn a_pool_without_a_ready_worker_is_not_silent() {
    let told = |world: &World, notice| world.notices.iter().filter(|one| **one == notice).count();
    let mut world = World::serving(&[Size::Fixed(1)]);
    let worker = *world.workers.keys().next().expect("one");
    world.dies(worker, false);
    world.pass(SILENCE / 2);
    world.all_ready();
    assert_eq!(
        told(&world, Notice::NobodyServes(CohortId(0))),
        0,
        "over in a moment"
    );
    let worker = *world.workers.keys().next().expect("one");
    world.dies(worker, false);
    for _ in 0..8 {
        world.pass(SILENCE / 4);
    }
    assert_eq!(told(&world, Notice::NobodyServes(CohortId(0))), 1, "once");
    world.all_ready();
    assert_eq!(told(&world, Notice::SomebodyServes(CohortId(0))), 1);
}

#[test]
fn a_queue_that_was_left_gets_an_heir() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    world.request(Request::FewerWorkers);
    let leaver = world.with(Told::Retire)[0];
    let slot = world.slot_of(leaver);
    world.dies_leaving_a_queue(leaver);
    let heir = world.with(Told::Retire)[0];
    assert_eq!(world.slot_of(heir), slot);
    assert_eq!(world.workers.len(), 2);
    // It has as long as any drain, and then it is over.
    world.pass(SETTINGS.graceful_timeout);
    assert_eq!(world.with(Told::Kill), [heir]);
    world.dies(heir, false);
    assert_eq!(world.workers.len(), 1);
    // Who is ended at once leaves nothing.
    world.request(Request::Stop);
    world.request(Request::Stop);
    let last = world.with(Told::Kill)[0];
    world.dies_leaving_a_queue(last);
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

#[test]
fn who_hangs_on_the_way_out_is_killed_sooner() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    world.request(Request::FewerWorkers);
    let leaver = world.with(Told::Retire)[0];
    for _ in 0..2 {
        world.send(Event::Hung(leaver));
        world.pass(HUNG_PATIENCE / 2);
    }
    assert_eq!(world.with(Told::Kill), [leaver]);
    let told = world
        .notices
        .iter()
        .filter(|one| **one == Notice::Hung(leaver));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_worn_worker_serves_until_its_successor_is_ready() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    let worn = world.with(Told::Nothing)[1];
    world.send(Event::WantsSuccessor(worn));
    assert_eq!(world.workers.len(), 2, "not before it has lived a while");
    let due = world.supervisor.next_deadline();
    assert_eq!(due, Some(world.now + SECOND));
    world.pass(SECOND);
    assert_eq!(world.workers.len(), 3);
    assert_eq!(world.workers[&worn].3, Told::Nothing);
    let successor = *world.workers.keys().last().expect("spawned");
    assert_eq!(world.slot_of(successor), world.slot_of(worn));
    world.ready(successor);
    assert_eq!(world.workers[&worn].3, Told::Retire);
    world.leave();
    assert_eq!(world.workers.len(), 2);
}

#[test]
fn a_quarter_of_a_pool_is_replaced_for_wear_at_a_time() {
    let mut world = World::serving(&[Size::Fixed(8)]);
    for worker in world.with(Told::Nothing) {
        world.send(Event::WantsSuccessor(worker));
    }
    world.pass(SECOND);
    let mut replaced = 0;
    while replaced < 8 {
        assert_eq!(world.workers.len(), 10, "after {replaced}");
        let coming = world.workers.iter().filter(|(_, worker)| !worker.2);
        let coming: Vec<WorkerId> = coming.map(|(id, _)| *id).collect();
        for worker in coming {
            world.ready(worker);
        }
        assert_eq!(world.with(Told::Retire).len(), 2);
        world.leave();
        replaced += 2;
    }
    assert_eq!(world.workers.len(), 8);
    assert!(world.supervisor.next_deadline().is_none());
}

#[test]
fn whoever_is_worn_and_goes_for_another_reason_gets_one_successor() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    let worn = world.with(Told::Nothing);
    for worker in &worn {
        world.send(Event::WantsSuccessor(*worker));
    }
    world.pass(SECOND / 2);
    world.send(Event::Hung(worn[0]));
    world.send(Event::Exited {
        worker: worn[1],
        clean: true,
        served: true,
        left: false,
    });
    world.workers.remove(&worn[1]);
    world.all_ready();
    world.leave();
    world.pass(2 * SECOND);
    assert_eq!(world.workers.len(), 2);
    assert!(world.supervisor.next_deadline().is_none());
}

#[test]
fn a_hung_worker_is_replaced_at_once_and_soon_killed() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    let hung = world.with(Told::Nothing)[0];
    world.send(Event::Hung(hung));
    world.send(Event::Hung(hung));
    assert_eq!(world.workers[&hung].3, Told::Retire);
    assert_eq!(world.workers.len(), 3, "a successor at once");
    world.pass(HUNG_PATIENCE);
    assert_eq!(world.workers[&hung].3, Told::Kill);
    world.dies(hung, false);
    assert_eq!(world.workers.len(), 2);
    assert!(world.notices.contains(&Notice::Hung(hung)));
}

#[test]
fn a_spare_pool_grows_when_it_runs_short_and_shrinks_when_it_is_quiet() {
    let mut world = World::serving(&[SPARE]);
    let cohort = CohortId(0);
    world.send(Event::Counted { cohort, idle: 0 });
    for _ in 0..10 {
        world.pass(SECOND / 100);
        world.all_ready();
        world.send(Event::Counted { cohort, idle: 0 });
    }
    assert_eq!(world.workers.len(), 10, "up to its maximum and no further");
    assert_eq!(
        world
            .notices
            .iter()
            .filter(|one| **one == Notice::AtMaximum(cohort))
            .count(),
        1
    );
    for idle in (5..=10).rev() {
        world.send(Event::Counted { cohort, idle });
        world.pass(SECOND);
    }
    assert_eq!(world.with(Told::Retire).len(), 6);
}

/// A pool at its maximum with a spare worker now and then is told of once.
#[test]
fn a_pool_that_is_full_for_long_is_told_of_once() {
    let mut world = World::serving(&[SPARE]);
    let cohort = CohortId(0);
    let told = |world: &World| {
        let of_it = |one: &&Notice| **one == Notice::AtMaximum(cohort);
        world.notices.iter().filter(of_it).count()
    };
    let mut busy = |times: usize, expected: usize| {
        for idle in [0, 3].into_iter().cycle().take(times) {
            world.pass(SECOND / 100);
            world.all_ready();
            world.send(Event::Counted { cohort, idle });
        }
        assert_eq!(told(&world), expected);
        world.send(Event::Counted { cohort, idle: 3 });
        world.pass(2 * FULL_QUIET);
    };
    busy(1000, 1);
    busy(1000, 2);
}

#[test]
fn workers_can_be_added_and_taken_away() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    world.request(Request::MoreWorkers);
    assert_eq!(world.workers.len(), 3);
    world.all_ready();
    world.request(Request::FewerWorkers);
    world.request(Request::FewerWorkers);
    assert_eq!(world.with(Told::Retire).len(), 2);
    world.request(Request::FewerWorkers);
    assert_eq!(world.with(Told::Nothing).len(), 1, "never the last");
}

/// What is said of the way of cohort 0 to `workers`.
fn resized(world: &mut World, workers: u32) -> Sizing {
    let cohort = CohortId(0);
    let limit = world.limits.entry(cohort).or_default();
    *limit = workers.max(*limit);
    world.request(Request::Resize { cohort, workers });
    world.supervisor.sizing(cohort)
}

#[test]
fn a_pool_is_resized_when_the_new_are_ready_and_the_old_are_gone() {
    let cohort = CohortId(0);
    let mut world = World::serving(&[Size::Fixed(2), Size::Fixed(3)]);
    assert_eq!(resized(&mut world, 6), Sizing::UnderWay);
    assert_eq!(world.workers.len(), 6 + 3, "only the one that was meant");
    world.all_ready();
    assert_eq!(world.supervisor.sizing(cohort), Sizing::Done { workers: 6 });
    assert_eq!(resized(&mut world, 1), Sizing::UnderWay);
    assert_eq!(world.with(Told::Retire).len(), 5);
    world.leave();
    assert_eq!(world.supervisor.sizing(cohort), Sizing::Done { workers: 1 });
    // A worker that is being replaced is there.
    let worn = *world.workers.keys().next().expect("one");
    world.pass(SECOND);
    world.send(Event::WantsSuccessor(worn));
    assert_eq!(world.supervisor.sizing(cohort), Sizing::Done { workers: 1 });
    world.request(Request::Stop);
    assert_eq!(world.supervisor.sizing(cohort), Sizing::Over);
    assert_eq!(resized(&mut world, 3), Sizing::Over, "not while stopping");
    assert!(matches!(world.notices.last(), Some(Notice::Ignored(..))));
}

#[test]
fn a_pool_that_grows_with_workers_that_die_young_says_so() {
    let mut world = World::serving(&[Size::Fixed(1)]);
    resized(&mut world, 2);
    for _ in 0..PROOF_DEATHS {
        assert_eq!(world.supervisor.sizing(CohortId(0)), Sizing::UnderWay);
        let new = *world.workers.keys().last().expect("spawned");
        world.dies(new, false);
        world.pass(SECOND);
    }
    assert_eq!(world.supervisor.sizing(CohortId(0)), Sizing::Dying);
    world.all_ready();
    let done = Sizing::Done { workers: 2 };
    assert_eq!(world.supervisor.sizing(CohortId(0)), done, "after all");
}

/// The workers that died are not wanted any more: nobody is to be tried, and
/// what serves on is not given up.
#[test]
fn a_breaker_closes_when_no_worker_is_missing() {
    let mut world = World::serving(&[Size::Fixed(1)]);
    let settled = world.with(Told::Nothing);
    assert_eq!(resized(&mut world, 4), Sizing::UnderWay);
    let id = CohortId(0);
    let standing = |world: &World| world.supervisor.outlook(id).map(|one| one.breaker);
    while standing(&world) == Some(Standing::Closed) {
        let young = world.workers.keys().find(|one| !settled.contains(one));
        match young.copied() {
            Some(young) => world.dies(young, false),
            None => world.pass(FIRST_DELAY),
        }
    }
    resized(&mut world, 1);
    world.leave();
    world.pass(breaker::LONGEST_PAUSE);
    assert_eq!(standing(&world), Some(Standing::Closed));
    let due = world.supervisor.next_deadline();
    assert!(due.is_none_or(|due| due > world.now), "it would spin");
    assert_eq!(world.with(Told::Nothing), settled);
}

/// A pool that is short while its breaker is open waits for that, and not for
/// the next moment in which it might grow.
#[test]
fn an_open_breaker_is_not_asked_again_and_again() {
    let mut world = World::serving(&[Size::Spare {
        start: 5,
        min_spare: 5,
        max_spare: 8,
        max: 20,
    }]);
    let cohort = CohortId(0);
    let settled = world.with(Told::Nothing);
    world.send(Event::Counted { cohort, idle: 3 });
    loop {
        let outlook = world.supervisor.outlook(cohort).expect("it serves");
        if outlook.breaker == Standing::Open {
            break;
        }
        let young = world.workers.keys().find(|one| !settled.contains(one));
        match young.copied() {
            Some(young) => world.dies(young, false),
            None => world.pass(SECOND / 100),
        }
    }
    world.send(Event::Counted { cohort, idle: 0 });
    let mut turns = 0;
    let end = world.now + breaker::FIRST_PAUSE / 2;
    while world.now < end {
        let due = world.supervisor.next_deadline().expect("a probe");
        world.pass(due.saturating_duration_since(world.now));
        turns += 1;
    }
    assert!(turns <= 2, "{turns}");
    assert_eq!(world.workers.len(), settled.len() + 1, "the probe");
}

#[test]
fn what_has_to_prove_itself_keeps_the_size_it_was_loaded_with() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    world.request(Request::Reload);
    world.load(&[Size::Fixed(2)]);
    assert_eq!(resized(&mut world, 4), Sizing::UnderWay);
    world.all_ready();
    assert_eq!(world.supervisor.sizing(CohortId(0)), Sizing::Over);
    world.leave();
    assert_eq!(world.workers.len(), 2);
}

#[test]
fn a_spare_pool_and_one_that_is_not_there_cannot_be_resized() {
    let mut world = World::serving(&[SPARE]);
    let before = world.workers.len();
    for cohort in [CohortId(0), CohortId(77)] {
        world.request(Request::Resize { cohort, workers: 9 });
        assert_eq!(world.supervisor.sizing(cohort), Sizing::Over);
        assert_eq!(world.notices.pop(), Some(Notice::NothingToResize));
    }
    assert_eq!(world.workers.len(), before);
}

#[test]
fn a_generation_that_is_cut_is_told_of_once() {
    let mut world = World::serving(&[Size::Fixed(2), Size::Fixed(3)]);
    let workers = world.with(Told::Nothing);
    world.request(Request::Reload);
    world.load(&[Size::Fixed(1)]);
    world.all_ready();
    world.pass(SETTINGS.graceful_timeout);
    let cut = |notice: &Notice| match notice {
        Notice::GenerationCut {
            generation: 1,
            workers,
        } => Some(workers.len()),
        _ => None,
    };
    let told: Vec<usize> = world.notices.iter().filter_map(cut).collect();
    assert_eq!(told, [5]);
    assert_eq!(world.with(Told::Kill), workers);
}

#[test]
fn drained_workers_come_back_with_a_reload() {
    let mut world = World::serving(&[Size::Fixed(2)]);
    world.request(Request::DrainWorkers);
    world.leave();
    assert!(world.workers.is_empty());
    assert_eq!(world.exit, None);
    world.request(Request::Reload);
    world.load(&[Size::Fixed(2)]);
    world.all_ready();
    assert_eq!(world.workers.len(), 2);
    let said = [Readiness::Ready, Readiness::Drained, Readiness::Ready];
    assert_eq!(world.proclaimed, said);
}

#[test]
fn once_means_once() {
    let settings = Settings {
        once: true,
        ..SETTINGS
    };
    let mut world = World::new(settings);
    world.load_with(&[Size::Fixed(1)], settings);
    world.all_ready();
    let worker = *world.workers.keys().next().expect("one");
    world.send(Event::WantsSuccessor(worker));
    assert_eq!(world.workers.len(), 1, "no successor");
    world.dies(worker, true);
    assert_eq!(world.exit, Some(Verdict::Stopped));
}

/// What a random history is made of. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Ready(usize),
    Death(usize, bool),
    Wish(usize),
    Hang(usize),
    Obedience,
    Request(u8),
    SuccessorFails,
    Abandonment(usize),
    Resize(usize, u32),
    Load(u8),
    Count(usize, u32),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<usize>().prop_map(Step::Ready),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, clean)| Step::Death(which, clean)),
        1 => any::<usize>().prop_map(Step::Wish),
        1 => any::<usize>().prop_map(Step::Hang),
        3 => Just(Step::Obedience),
        2 => (0..6u8).prop_map(Step::Request),
        1 => Just(Step::SuccessorFails),
        1 => any::<usize>().prop_map(Step::Abandonment),
        2 => (any::<usize>(), 1..7u32).prop_map(|(which, workers)| Step::Resize(which, workers)),
        3 => any::<u8>().prop_map(Step::Load),
        3 => (any::<usize>(), 0..12u32).prop_map(|(which, idle)| Step::Count(which, idle)),
        6 => (0..12_000u64).prop_map(Step::Pass),
    ]
}

/// One step, and what must hold after it whatever came before.
fn take(world: &mut World, step: &Step) {
    let pick = |world: &World, which: usize| {
        let count = world.workers.len();
        (count > 0).then(|| *world.workers.keys().nth(which % count).expect("in range"))
    };
    match *step {
        Step::Ready(which) => {
            if let Some(worker) = pick(world, which) {
                world.ready(worker);
            }
        }
        Step::Death(which, clean) => {
            if let Some(worker) = pick(world, which) {
                world.dies(worker, clean);
            }
        }
        Step::Wish(which) => {
            if let Some(worker) = pick(world, which) {
                world.send(Event::WantsSuccessor(worker));
            }
        }
        Step::Hang(which) => {
            if let Some(worker) = pick(world, which) {
                world.send(Event::Hung(worker));
            }
        }
        Step::Obedience => world.leave(),
        Step::Request(which) => world.request(match which {
            0 | 1 => Request::Reload,
            2 => Request::MoreWorkers,
            3 => Request::FewerWorkers,
            4 => Request::Upgrade,
            _ => Request::Reopen,
        }),
        Step::Abandonment(which) => {
            let leaving = [world.with(Told::Retire), world.with(Told::Kill)].concat();
            if !leaving.is_empty() {
                world.dies_leaving_a_queue(leaving[which % leaving.len()]);
            }
        }
        Step::SuccessorFails => {
            if std::mem::take(&mut world.successor) {
                world.send(Event::SuccessorFailed);
            }
        }
        Step::Resize(which, workers) => {
            let cohort = CohortId(which as u64 % world.next_cohort.max(1));
            let limit = world.limits.entry(cohort).or_default();
            *limit = workers.max(*limit);
            world.request(Request::Resize { cohort, workers });
        }
        Step::Load(kind) if world.loads > 0 => {
            world.loads -= 1;
            if kind % 4 == 0 {
                world.send(Event::LoadFailed);
            } else {
                world.load(&[Size::Fixed(1 + u32::from(kind % 3)), SPARE]);
            }
        }
        Step::Load(_) => {}
        Step::Count(which, idle) => {
            let cohort = CohortId(which as u64 % world.next_cohort.max(1));
            world.send(Event::Counted { cohort, idle });
        }
        Step::Pass(milliseconds) => world.pass(Duration::from_millis(milliseconds)),
    }
    holds(world);
}

fn holds(world: &World) {
    // Everyone who lives is known, and nobody else.
    let mut known: Vec<WorkerId> = world.supervisor.workers().collect();
    known.sort_unstable();
    assert_eq!(known, world.workers.keys().copied().collect::<Vec<_>>());
    // Never more than the cap, for those that are not on their way out, and
    // never two in one slot but a worker and its successor.
    let mut in_cohort: BTreeMap<CohortId, u32> = BTreeMap::new();
    let mut in_slot: BTreeMap<(CohortId, usize), u32> = BTreeMap::new();
    for (cohort, slot, _, told) in world.workers.values() {
        if *told == Told::Nothing {
            *in_cohort.entry(*cohort).or_default() += 1;
            *in_slot.entry((*cohort, *slot)).or_default() += 1;
        }
    }
    for (cohort, count) in &in_cohort {
        // A quarter may be shadowed by successors, and TTIN may have added some.
        let cap = world.limits[cohort] + world.added;
        assert!(*count <= cap + cap / 4 + 1, "{count} of {cap}");
    }
    assert!(in_slot.values().all(|count| *count <= 2), "{in_slot:?}");
    // No timer is lost: what was told to retire has a deadline ahead.
    if !world.with(Told::Retire).is_empty() || world.workers.values().any(|worker| !worker.2) {
        let due = world.supervisor.next_deadline();
        let all_killed = world
            .workers
            .values()
            .all(|worker| worker.2 || worker.3 == Told::Kill);
        assert!(due.is_some() || (world.with(Told::Retire).is_empty() && all_killed));
    }
    let due = world.supervisor.next_deadline();
    assert!(
        due.is_none_or(|due| due > world.now),
        "a deadline that passed was dealt with"
    );
    // Generations are bounded.
    let cohort_of = |worker: &(CohortId, usize, bool, Told)| world.generation_of[&worker.0];
    let mut generations: Vec<u32> = world.workers.values().map(cohort_of).collect();
    generations.sort_unstable();
    generations.dedup();
    assert!(generations.len() <= SETTINGS.max_generations as usize);
    assert!(world.exit.is_none() || world.workers.is_empty());
    // Nobody is sent to a server that refuses.
    let said = world.proclaimed.last();
    assert!(!world.handshakes_refused || said == Some(&Readiness::Stopping));
}

/// A history of `steps`, and then: a stop that ends, whatever happens before it
/// begins.
fn history(steps: &[Step], breaker_exit_after: Option<Duration>, drain_delay: Duration) {
    let settings = Settings {
        breaker_exit_after,
        drain_delay,
        ..SETTINGS
    };
    let mut world = World::new(settings);
    world.load_with(&[Size::Fixed(2), SPARE], settings);
    for step in steps {
        if world.exit.is_some() {
            break;
        }
        take(&mut world, step);
        let served = world.promoted.last().is_some();
        let anyone = !world.workers.is_empty() || world.supervisor.next_deadline().is_some();
        assert!(
            world.exit.is_some() || anyone || !served,
            "a pool with nobody in it and nobody to come"
        );
    }
    if world.exit.is_none() {
        world.request(Request::Stop);
        for step in steps {
            if world.exit.is_some() || world.supervisor.withdraws_until().is_none() {
                break;
            }
            take(&mut world, step);
        }
    }
    if world.exit.is_none() {
        world.pass(drain_delay);
    }
    if world.exit.is_none() {
        world.pass(SETTINGS.graceful_timeout);
        world.leave();
        assert!(world.exit.is_some(), "a stop ends");
    }
    assert!(world.workers.is_empty(), "everyone spawned was reaped once");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold(
        steps in prop::collection::vec(step(), 0..300),
        patience in prop::option::of(0..20_000u64),
        delay in prop::option::of(0..20_000u64),
    ) {
        let delay = Duration::from_millis(delay.unwrap_or(0));
        history(&steps, patience.map(Duration::from_millis), delay);
    }
}

/// A million events: `cargo test --release -- --ignored a_million_events`.
#[test]
#[ignore = "long"]
fn a_million_events() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let steps = prop::collection::vec(step(), 10_000);
    for round in 0..100 {
        let tree = steps.new_tree(&mut runner).expect("steps");
        let patience = (round % 2 == 1).then_some(20 * SECOND);
        let delay = if round % 3 == 1 {
            20 * SECOND
        } else {
            Duration::ZERO
        };
        history(
            &proptest::strategy::ValueTree::current(&tree),
            patience,
            delay,
        );
    }
}
