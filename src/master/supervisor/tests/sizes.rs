//! How many workers a pool has: found out, and asked for.

use super::*;

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
