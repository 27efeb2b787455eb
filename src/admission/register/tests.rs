#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

use super::*;
use crate::scoreboard::RowAllocator;
use proptest::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// What the master does about shards.
struct Shards {
    register: Register,
    places: RowAllocator,
    lines: RowAllocator,
}

impl Shards {
    fn new() -> Self {
        Self {
            register: Register::new().unwrap(),
            places: RowAllocator::with_room(MAX_SHARDS),
            lines: RowAllocator::with_room(MAX_LINES),
        }
    }

    fn open(&mut self, shape: Shape) -> Shard {
        let first = self.lines.take(shape.lines()).unwrap();
        let index = self.places.take(1).unwrap();
        self.register.open(index, first, shape)
    }

    fn close(&mut self, shard: Shard) {
        let (index, first, lines) = shard.place();
        shard.close();
        self.places.give_back(index, 1);
        self.lines.give_back(first, lines);
    }
}

/// A source with a network of sixteen.
fn source(number: u64) -> Claim {
    let of = |number: u64| mix(number) | 1 << 63;
    Claim::new(Some(of(number)), Some(of((1 << 32) | (number / 16))))
}

const EARNEST: (bool, bool) = (false, false);

fn bounds(total: u32, address: u32, network: u32) -> Bounds {
    Bounds {
        total,
        address,
        network,
        early: None,
    }
}

fn table(connections: usize) -> Shape {
    Shape::table(connections, 2, MAX_LINES)
}

#[test]
fn shapes_are_packed_and_cut_to_what_there_is() {
    for shape in [
        Shape::Lanes(1),
        Shape::Lanes(65_536),
        table(1),
        table(10_240),
    ] {
        assert_eq!(Shape::unpack(shape.pack(77)), Some((shape, 77)));
    }
    assert_eq!(table(10_240), Shape::Sets(8192), "512 KiB");
    assert_eq!(Shape::table(1 << 20, 2, 1000), Shape::Sets(512));
    assert_eq!(Shape::table(10, 0, MAX_LINES), Shape::Sets(1));
    assert_eq!((Shape::Lanes(1).lines(), Shape::Lanes(5).lines()), (1, 2));
    // What no master has written.
    for word in [
        0,
        u64::MAX,
        3 << 62,
        2 << 62 | 3 << 32,
        1 << 62 | MAX_LINES as u64,
    ] {
        let fits = Shape::unpack(word).is_some();
        assert_eq!(fits, word == 1 << 62 | MAX_LINES as u64, "{word:x}");
    }
}

#[test]
fn each_limit_holds_over_all_shards() {
    let mut shards = Shards::new();
    let lanes = shards.open(Shape::Lanes(3));
    let many = shards.open(table(100));
    let bounds = bounds(4, 2, 3);
    let mut claims = Vec::new();
    let mut admit = |shard: &Shard, entry, number| {
        let mut claim = source(number);
        let shed = shard.admit(entry, &mut claim, &bounds, EARNEST, 0);
        claims.push((*shard, entry, claim));
        shed
    };
    assert_eq!(admit(&lanes, 0, 1), None);
    assert_eq!(admit(&many, 0, 1), None);
    assert_eq!(admit(&lanes, 1, 1), Some(Cause::Address));
    assert_eq!(admit(&many, 0, 1), Some(Cause::Address));
    assert_eq!(admit(&lanes, 1, 2), None);
    assert_eq!(admit(&many, 0, 3), Some(Cause::Network));
    assert_eq!(admit(&many, 0, 100), None);
    assert_eq!(admit(&many, 0, 200), Some(Cause::Full));
    let register = shards.register;
    assert_eq!(register.total(), 4);
    let (shard, entry, claim) = claims[1];
    shard.release(entry, claim);
    assert_eq!(register.total(), 3);
    let mut claim = source(1);
    assert_eq!(lanes.admit(2, &mut claim, &bounds, EARNEST, 0), None);
    // A death: what it had is free, whoever comes next.
    shards.close(lanes);
    assert_eq!(register.total(), 1);
    let heir = shards.open(Shape::Lanes(3));
    let admitted = (0..3).filter(|entry| {
        heir.admit(*entry, &mut source(1), &bounds, EARNEST, 0)
            .is_none()
    });
    assert_eq!(admitted.count(), 2);
}

#[test]
fn a_dry_run_counts_whom_it_spares() {
    let mut shards = Shards::new();
    let shard = shards.open(table(10));
    let one = bounds(0, 1, 0);
    let admit = || shard.admit(0, &mut source(1), &one, (true, false), 0);
    assert_eq!(
        [admit(), admit(), admit()],
        [None, Some(Cause::Address), Some(Cause::Address)]
    );
    assert_eq!(shards.register.total(), 3, "all three are in");
}

#[test]
fn a_place_is_reserved_and_given_back() {
    let mut shards = Shards::new();
    let all = [
        shards.open(Shape::Lanes(1)),
        shards.open(table(10)),
        shards.open(Shape::Lanes(1)),
    ];
    let two = bounds(2, 1, 0);
    assert!(all[0].reserve(0, &two) && all[1].reserve(0, &two));
    assert!(!all[2].reserve(0, &two));
    let reserved = (false, true);
    assert_eq!(all[0].admit(0, &mut source(1), &two, reserved, 0), None);
    let mut claim = source(1);
    assert_eq!(
        all[1].admit(0, &mut claim, &two, reserved, 0),
        Some(Cause::Address)
    );
    assert!(
        all[2].reserve(0, &two),
        "who was turned away has left its place"
    );
    all[2].leave(0);
    assert_eq!(all[1].admit(0, &mut source(2), &two, EARNEST, 0), None);
    assert_eq!(shards.register.total(), 2);
}

#[test]
fn a_proxy_names_its_clients_later() {
    for shape in [Shape::Lanes(2), table(10)] {
        let mut shards = Shards::new();
        let shard = shards.open(shape);
        let other = shards.open(Shape::Lanes(1));
        let one = bounds(2, 1, 0);
        let named = |entry| {
            let nobody = Claim::default();
            let mut claim = nobody;
            assert_eq!(shard.admit(entry, &mut claim, &one, EARNEST, 0), None);
            claim = source(1);
            let shed = shard.rename(entry, nobody, &mut claim, &one, false, 0);
            (shed, claim)
        };
        let (shed, first) = named(0);
        assert_eq!(shed, None);
        let (shed, second) = named(1);
        assert_eq!((shed, second), (Some(Cause::Address), Claim::default()));
        assert_eq!(
            shards.register.total(),
            2,
            "it is still there, to hear of it"
        );
        assert_eq!(
            other.admit(0, &mut source(2), &one, EARNEST, 0),
            Some(Cause::Full)
        );
        shard.release(1, second);
        shard.release(0, first);
        assert_eq!(shards.register.total(), 0);
        assert_eq!(other.admit(0, &mut source(1), &one, EARNEST, 0), None);
    }
}

#[test]
fn a_full_table_counts_each_of_its_sources() {
    let mut shards = Shards::new();
    let shard = shards.open(table(10_240));
    let bounds = bounds(0, 1, 16);
    let mut claims: Vec<Claim> = (0..10_240).map(source).collect();
    for claim in &mut claims {
        assert_eq!(shard.admit(0, claim, &bounds, EARNEST, 0), None);
        assert!(
            claim.address != 0 && claim.network != 0,
            "there was no room"
        );
    }
    for number in 0..10_240 {
        let shed = shard.admit(0, &mut source(number), &bounds, EARNEST, 0);
        assert_eq!(shed, Some(Cause::Address), "{number}");
    }
    for claim in claims {
        shard.release(0, claim);
    }
    let words = shard.words();
    assert!(
        words[LINE..]
            .iter()
            .all(|word| word.load(Ordering::Relaxed) & SAID == 0)
    );
    assert_eq!(shards.register.total(), 0);
}

/// Workers come, are let in, leave, and die with whatever they have, also in the
/// middle of asking; meanwhile a limit never breaks, and afterwards it admits as
/// many as ever.
#[test]
fn never_over_and_never_stuck_whoever_dies() {
    const LIMIT: usize = 5;
    let shards = Mutex::new(Shards::new());
    let register = shards.lock().unwrap().register;
    let bounds = bounds(0, LIMIT as u32, 0);
    let inside = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let admitted: usize = std::thread::scope(|scope| {
        let worker = |number: u64| {
            let (inside, over, shards) = (&inside, &over, &shards);
            move || {
                let shape = if number.is_multiple_of(2) {
                    Shape::Lanes(4)
                } else {
                    table(4)
                };
                let (mut dice, mut count) = (number, 0);
                for _ in 0..150 {
                    let shard = shards.lock().unwrap().open(shape);
                    let mut held: Vec<(usize, Claim)> = Vec::new();
                    for _ in 0..20 {
                        dice = mix(dice);
                        if dice % 3 == 0 && !held.is_empty() {
                            let (entry, claim) = held.swap_remove(0);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            shard.release(entry, claim);
                            continue;
                        }
                        let free = (0..4).find(|entry| held.iter().all(|one| one.0 != *entry));
                        let Some(entry) = free else { continue };
                        let mut claim = source(7);
                        if shard
                            .admit(entry, &mut claim, &bounds, EARNEST, 0)
                            .is_none()
                        {
                            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                            over.fetch_or(now > LIMIT, Ordering::SeqCst);
                            held.push((entry, claim));
                            count += 1;
                        }
                    }
                    // Its death, as it asks once more.
                    if held.len() < 4 {
                        let entry = (0..4).find(|entry| held.iter().all(|one| one.0 != *entry));
                        shard.write(entry.unwrap(), source(7), PROVISIONAL);
                    }
                    inside.fetch_sub(held.len(), Ordering::SeqCst);
                    shards.lock().unwrap().close(shard);
                }
                count
            }
        };
        let hands: Vec<_> = (0..4).map(|number| scope.spawn(worker(number))).collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).sum()
    });
    assert!(!over.load(Ordering::SeqCst), "more than the limit at once");
    assert!(admitted > 1000, "{admitted}");
    assert_eq!(register.total(), 0, "the dead have left something");
    let mut shards = shards.into_inner().unwrap();
    let shard = shards.open(Shape::Lanes(20));
    let again = (0..20).filter(|entry| {
        shard
            .admit(*entry, &mut source(7), &bounds, EARNEST, 0)
            .is_none()
    });
    assert_eq!(again.count(), LIMIT);
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Come { worker: usize, source: u64 },
    Leave { worker: usize, which: usize },
    Die { worker: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..4, 0u64..40).prop_map(|(worker, source)| Step::Come { worker, source }),
        3 => (0usize..4, 0usize..8).prop_map(|(worker, which)| Step::Leave { worker, which }),
        1 => (0usize..4).prop_map(|worker| Step::Die { worker }),
    ]
}

proptest! {
    /// Against lists of who is where.
    #[test]
    fn the_register_says_what_a_list_says(steps in proptest::collection::vec(step(), 1..200)) {
        const BOUNDS: Bounds = Bounds { total: 12, address: 2, network: 6, early: None };
        let shapes = [Shape::Lanes(4), table(4), Shape::Lanes(4), table(4)];
        let mut shards = Shards::new();
        let mut own: Vec<Shard> = shapes.iter().map(|shape| shards.open(*shape)).collect();
        let mut lists: Vec<Vec<(usize, u64, Claim)>> = vec![Vec::new(); 4];
        for step in steps {
            match step {
                Step::Come { worker, source: number } => {
                    let of = |wanted: fn(u64) -> u64| {
                        let all = lists.iter().flatten();
                        all.filter(|(_, other, _)| wanted(*other) == wanted(number)).count()
                    };
                    let (total, address, network) = (of(|_| 0), of(|one| one), of(|one| one / 16));
                    let taken = |entry: &usize| lists[worker].iter().any(|one| one.0 == *entry);
                    let Some(entry) = (0..4).find(|entry| !taken(entry)) else { continue };
                    let mut claim = source(number);
                    let shed = own[worker].admit(entry, &mut claim, &BOUNDS, EARNEST, 0);
                    let expected = if total >= 12 {
                        Some(Cause::Full)
                    } else if address >= 2 {
                        Some(Cause::Address)
                    } else if network >= 6 {
                        Some(Cause::Network)
                    } else {
                        None
                    };
                    prop_assert_eq!(shed, expected);
                    if shed.is_none() {
                        lists[worker].push((entry, number, claim));
                    }
                }
                Step::Leave { worker, which } => {
                    if which < lists[worker].len() {
                        let (entry, _, claim) = lists[worker].swap_remove(which);
                        own[worker].release(entry, claim);
                    }
                }
                Step::Die { worker } => {
                    lists[worker].clear();
                    shards.close(own[worker]);
                    own[worker] = shards.open(shapes[worker]);
                }
            }
            let all: usize = lists.iter().map(Vec::len).sum();
            prop_assert_eq!(shards.register.total() as usize, all);
        }
    }
}
