//! The ways to the end: announced, graceful, quick, and after one connection.

use super::*;

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
