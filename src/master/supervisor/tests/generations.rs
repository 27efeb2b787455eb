//! How one generation follows another, or does not.

use super::*;

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
