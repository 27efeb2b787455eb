//! How many answers a source has had lately.
//!
//! Whom a datagram comes from is whom it says to come from: who forges the address
//! of another has us send our answers there. So each source has a bucket of
//! answers that fills up at the rate of the pool.
//!
//! Owes a bound on memory, whoever sends: a table of [`SETS`] times [`WAYS`]
//! buckets. A source that finds no bucket takes over the fullest one of its set as
//! it is, so all that share a set never get more than their buckets hold, and who
//! is new never less than who has had least. Where a source stands in the table
//! nobody can know who does not know the seed.

use crate::mix::mix;
use std::net::IpAddr;

const SETS: usize = 4096;
const WAYS: usize = 4;
const SECOND: u64 = 1_000_000_000;

/// The buckets of one worker.
pub(super) struct Sources {
    sets: Vec<[Bucket; WAYS]>,
    seed: u64,
    /// How long a bucket takes to fill up by one answer, in nanoseconds.
    interval: u64,
    /// How far a bucket may be in arrears.
    most: u64,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Whose it is.
    source: u64,
    /// When it will be full again, in nanoseconds.
    full: u64,
}

impl Sources {
    /// Buckets that hold `burst` answers and fill up by `rate` a second; with a
    /// rate of 0 there is no end to them.
    pub(super) fn new(rate: u32, burst: u32, seed: u64) -> Self {
        let interval = SECOND.checked_div(u64::from(rate)).unwrap_or(0);
        let empty = [Bucket { source: 0, full: 0 }; WAYS];
        let sets = if rate == 0 { 0 } else { SETS };
        Self {
            sets: vec![empty; sets],
            seed,
            interval,
            most: interval * u64::from(burst),
        }
    }

    /// Whether `source` may have an answer, `now` nanoseconds after the beginning;
    /// if so it has had it.
    pub(super) fn grant(&mut self, source: IpAddr, now: u64) -> bool {
        let source = mix(number(source) ^ self.seed);
        let Some(set) = self.sets.get_mut(source as usize % SETS) else {
            return true;
        };
        let own = set.iter().position(|one| one.source == source);
        let fullest = || (0..WAYS).min_by_key(|at| set[*at].full).unwrap_or(0);
        let bucket = &mut set[own.unwrap_or_else(fullest)];
        let full = bucket.full.max(now) + self.interval;
        let granted = full - now <= self.most;
        bucket.source = source;
        if granted {
            bucket.full = full;
        }
        granted
    }
}

/// What counts as one source: an IPv4 address; of an IPv6 address the first 64
/// bits, for the rest is the client's to choose (RFC 4291 §2.5.4).
fn number(source: IpAddr) -> u64 {
    match source.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let mut sources = Sources::new(10, 3, 7);
        let mut granted = |address, now| {
            let each = (0..20).filter(|_| sources.grant(ip(address), now));
            each.count()
        };
        assert_eq!(granted("192.0.2.1", 0), 3);
        assert_eq!(granted("192.0.2.2", 0), 3, "another one has its own");
        assert_eq!(granted("192.0.2.1", SECOND / 10), 1);
        assert_eq!(granted("192.0.2.1", SECOND / 10 + SECOND / 5), 2);
        assert_eq!(granted("192.0.2.1", 100 * SECOND), 3, "and never more");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_a_mapped_address_is_ipv4() {
        let mut sources = Sources::new(1, 1, 7);
        assert!(sources.grant(ip("2001:db8:1:2::1"), 0));
        assert!(!sources.grant(ip("2001:db8:1:2:ffff::9"), 0));
        assert!(sources.grant(ip("2001:db8:1:3::1"), 0));
        assert!(sources.grant(ip("::ffff:192.0.2.1"), 0));
        assert!(sources.grant(ip("::ffff:192.0.2.2"), 0));
        assert!(!sources.grant(ip("192.0.2.1"), 0));
    }

    #[test]
    fn without_a_rate_there_is_no_table() {
        let mut sources = Sources::new(0, 1, 7);
        assert!((0..10_000).all(|_| sources.grant(ip("192.0.2.1"), 0)));
        assert!(sources.sets.is_empty());
    }

    #[test]
    fn a_flood_from_everywhere_gets_no_more_than_the_table_holds() {
        let mut sources = Sources::new(100, 2, 7);
        let victim = ip("192.0.2.1");
        let mut to_victim = 0;
        let mut granted = 0;
        for number in 0..200_000u32 {
            let other = IpAddr::V4((0x0a00_0000 + number).into());
            granted += usize::from(sources.grant(other, 0));
            to_victim += usize::from(sources.grant(victim, 0));
        }
        assert!(granted + to_victim <= 2 * SETS * WAYS, "{granted}");
        assert!(to_victim <= 2 * WAYS, "{to_victim}");
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_burst_and_rate(
            rate in 1u32..1000,
            burst in 1u32..50,
            seed: u64,
            gaps in proptest::collection::vec(0u64..50_000_000, 1..300),
        ) {
            let mut sources = Sources::new(rate, burst, seed);
            let (mut now, mut granted) = (0, 0u64);
            for gap in gaps {
                now += gap;
                granted += u64::from(sources.grant(ip("2001:db8::1"), now));
                let interval = SECOND / u64::from(rate);
                prop_assert!(granted <= u64::from(burst) + now / interval);
            }
        }
    }
}
