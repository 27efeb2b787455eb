//! Random histories: what must hold after each step, whatever came before.

use super::*;
use proptest::prelude::*;

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
