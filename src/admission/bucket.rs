//! How fast a source may come: a token bucket for each, in a table of fixed size
//! in shared memory.
//!
//! A bucket is one moment, that at which it will be full again (the generic cell
//! rate algorithm of ITU-T I.371 says the same the other way round). A client that
//! comes moves it on by an interval; one that finds it further off than the burst
//! allows comes too fast, and moves nothing. A moment needs nobody to count it
//! down, so no death can leave a wrong one.
//!
//! ```text
//!  word: │ tag: 22 bits │ full again at: 42 bits of microseconds │
//! ```
//!
//! The table errs towards letting in: where a set has no room the source goes out
//! of it that has least to wait for, and begins anew when it comes again. It takes
//! 65,536 sources in a hurry at once to get there. Two sources of one set and one tag
//! (once in 2^34) share a bucket.

use crate::config::Rate;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of the table.
pub const WORDS: usize = SETS * WAYS;
const SETS: usize = 1 << 13;
/// A cache line.
const WAYS: usize = 8;

const TIME_BITS: u32 = 42;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// How often a word is tried that others change at the same moment.
const TRIES: usize = 8;

/// The table.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(&'static [AtomicU64]);

/// A rate in the words of the table, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one client to the next.
    interval: u64,
    /// How far off a full bucket may be when a client comes.
    patience: u64,
}

impl From<Rate> for Pace {
    fn from(rate: Rate) -> Self {
        let interval = u64::try_from(rate.interval().as_micros()).unwrap_or(u64::MAX);
        // Half a day is far, and nowhere near the end of the clock.
        let interval = interval.clamp(1, 1 << 32);
        let patience = interval.saturating_mul(u64::from(rate.burst.max(1)) - 1);
        Self {
            interval,
            patience: patience.min(1 << 40),
        }
    }
}

impl Pace {
    /// Where the bucket stands after a client that comes at `now`, or nothing where
    /// that is too early. Both moments are of a clock that goes round.
    fn take(self, full_at: u64, now: u64) -> Option<u64> {
        let ahead = full_at.wrapping_sub(now) & TIME;
        // What is further ahead than any bucket can be was left there long ago.
        let ahead = if ahead > self.patience + self.interval {
            0
        } else {
            ahead
        };
        (ahead <= self.patience).then(|| (now + ahead + self.interval) & TIME)
    }

    /// How long until the bucket is full.
    fn rest(self, full_at: u64, now: u64) -> u64 {
        let ahead = full_at.wrapping_sub(now) & TIME;
        if ahead > self.patience + self.interval {
            0
        } else {
            ahead
        }
    }
}

impl Buckets {
    /// In these words, [`WORDS`] of them.
    pub(super) fn new(words: &'static [AtomicU64]) -> Self {
        Self(words)
    }

    /// A client of this source comes at `now`, in microseconds; answers whether it
    /// may.
    pub fn admit(&self, source: u64, pace: Pace, now: u64) -> bool {
        let set = (source as usize % SETS) * WAYS;
        let Some(ways) = self.0.get(set..set + WAYS) else {
            return true;
        };
        let tag = source >> TIME_BITS << TIME_BITS;
        let now = now & TIME;
        for _ in 0..TRIES {
            let found = ways.iter().map(|way| (way, way.load(Ordering::Relaxed)));
            let own = found.clone().find(|(_, word)| word & !TIME == tag);
            let (way, before) = match own {
                Some(own) => own,
                None => match found.min_by_key(|(_, word)| pace.rest(word & TIME, now)) {
                    Some(least) => least,
                    None => return true,
                },
            };
            // A bucket that is nobody's yet is full.
            let full_at = if own.is_some() { before & TIME } else { now };
            let Some(next) = pace.take(full_at, now) else {
                return false;
            };
            let exchanged =
                way.compare_exchange(before, tag | next, Ordering::Relaxed, Ordering::Relaxed);
            if exchanged.is_ok() {
                return true;
            }
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000;

    fn table() -> Buckets {
        let words: Vec<AtomicU64> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        Buckets::new(words.leak())
    }

    fn pace(count: u32, burst: u32) -> Pace {
        let per = Duration::from_secs(1);
        Pace::from(Rate { count, per, burst })
    }

    const SOURCE: u64 = 0x8123_4567_89ab_cdef;

    #[test]
    fn a_burst_and_then_the_rate() {
        let (table, pace) = (table(), pace(10, 5));
        let at = |now: u64, tries: usize| {
            (0..tries)
                .filter(|_| table.admit(SOURCE, pace, now))
                .count()
        };
        let begin = 77 * SECOND;
        assert_eq!(at(begin, 20), 5, "the burst");
        assert_eq!(at(begin + SECOND / 10 - 1, 3), 0);
        assert_eq!(at(begin + SECOND / 10, 3), 1, "one more each tenth");
        assert_eq!(at(begin + SECOND * 3 / 10, 9), 2);
        assert_eq!(
            at(begin + 100 * SECOND, 9),
            5,
            "no more than the burst is saved"
        );
    }

    #[test]
    fn who_comes_too_fast_all_the_time_still_has_its_rate() {
        let (table, pace) = (table(), pace(20, 1));
        let tries = (0..10_000).map(|step| step * 1000);
        let admitted = tries.filter(|now| table.admit(SOURCE, pace, *now)).count();
        assert_eq!(admitted, 200, "in ten seconds");
    }

    #[test]
    fn the_clock_may_go_round() {
        let (table, pace) = (table(), pace(1, 2));
        let end = TIME - SECOND / 2;
        assert!(table.admit(SOURCE, pace, end));
        assert!(table.admit(SOURCE, pace, end));
        assert!(!table.admit(SOURCE, pace, end));
        let past = (end + SECOND) & TIME;
        assert!(past < end);
        assert!(table.admit(SOURCE, pace, past));
        assert!(!table.admit(SOURCE, pace, past));
        // Half the clock's way later, what is left there is of the past.
        assert!(table.admit(SOURCE, pace, past + TIME / 2));
    }

    #[test]
    fn a_set_without_room_lets_in() {
        let (table, pace) = (table(), pace(1, 1));
        // One set, tag after tag.
        let source = |number: u64| 1 << 63 | number << TIME_BITS | 5;
        for number in 0..WAYS as u64 {
            assert!(table.admit(source(number), pace, 10 * number));
            assert!(!table.admit(source(number), pace, 10 * number));
        }
        assert!(table.admit(source(99), pace, 100), "in place of the oldest");
        assert!(!table.admit(source(99), pace, 100));
        assert!(!table.admit(source(7), pace, 100));
        assert!(table.admit(source(0), pace, 100), "which begins anew");
    }

    #[test]
    fn the_slowest_and_the_fastest_rate_have_a_pace() {
        let hour = Duration::from_secs(3600);
        let slow = Pace::from(Rate {
            count: 1,
            per: hour,
            burst: 1 << 20,
        });
        assert_eq!(slow.interval, 3600 * SECOND);
        let table = table();
        assert!(table.admit(SOURCE, slow, 0));
        let fast = pace(100_000, 1);
        assert_eq!(
            fast,
            Pace {
                interval: 10,
                patience: 0
            }
        );
    }

    /// Threads at one bucket never get more than it has.
    #[test]
    fn threads_share_a_bucket() {
        let (table, pace) = (table(), pace(1, 1000));
        let admitted: usize = std::thread::scope(|scope| {
            let hands: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| table.admit(SOURCE, pace, 5)).count()))
                .collect();
            hands.into_iter().map(|hand| hand.join().unwrap()).sum()
        });
        // Who finds the word changed eight times over is let in.
        assert!((1000..1100).contains(&admitted), "{admitted}");
    }

    proptest! {
        /// Over any times, no window holds more than the burst and the rate.
        #[test]
        fn never_more_than_rate_and_burst(
            count in 1u32..50,
            burst in 1u32..20,
            steps in proptest::collection::vec(0u64..300_000, 1..200),
        ) {
            let (table, pace) = (table(), pace(count, burst));
            let mut now = TIME - 10 * SECOND;
            let begin = now;
            let mut admitted = 0u64;
            for step in steps {
                now += step;
                admitted += u64::from(table.admit(SOURCE, pace, now));
                let most = u64::from(burst) + (now - begin) / pace.interval;
                prop_assert!(admitted <= most, "{admitted} of {most}");
            }
            prop_assert!(admitted >= 1);
        }
    }
}
