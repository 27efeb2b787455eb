//! A new master, which serves or does not.

use super::*;

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
