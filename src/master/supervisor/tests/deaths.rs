//! Workers that die young: back-off, the breaker, and what becomes of the master.

use super::*;

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
