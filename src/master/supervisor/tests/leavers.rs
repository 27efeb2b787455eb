//! How a worker leaves its slot: late, hung, worn or with a queue, and who comes after.

use super::*;

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
