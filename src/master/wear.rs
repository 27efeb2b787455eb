//! How much each worker may serve before it is replaced. Pure.

use crate::mix::mix;

/// The limit of one worker where `limit` is configured: up to a tenth more or
/// less, so that workers that began together do not wear out together. It
/// follows from the slot and the number of the spawn alone. 0 is never, and
/// stays so; any other limit stays at least 1.
pub fn spread(limit: u64, slot: usize, spawn: u64) -> u64 {
    if limit == 0 {
        return 0;
    }
    // -1000..=1000, in thousandths of a tenth.
    let offset = i128::from(mix(spawn ^ (slot as u64) << 40) % 2001) - 1000;
    let spread = i128::from(limit) + i128::from(limit) * offset / 10_000;
    u64::try_from(spread.max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn limits_are_spread_by_a_tenth_either_way() {
        let limits: BTreeSet<u64> = (0..64)
            .map(|slot| spread(10_000, slot, 1 + slot as u64))
            .collect();
        assert!(limits.iter().all(|limit| (9_000..=11_000).contains(limit)));
        assert!(limits.len() > 50, "{limits:?}");
        let (first, last) = (limits.first().copied(), limits.last().copied());
        assert!(first < Some(9_300) && last > Some(10_700), "{limits:?}");
    }

    #[test]
    fn a_limit_follows_from_slot_and_spawn() {
        assert_eq!(spread(10_000, 3, 17), spread(10_000, 3, 17));
        assert_ne!(spread(10_000, 3, 17), spread(10_000, 3, 18));
        assert_ne!(spread(10_000, 3, 17), spread(10_000, 4, 17));
    }

    #[test]
    fn never_stays_never_and_small_or_huge_limits_stay_limits() {
        for spawn in 0..100 {
            assert_eq!(spread(0, 0, spawn), 0);
            assert_eq!(spread(1, 0, spawn), 1);
            assert!(spread(u64::MAX, 0, spawn) > u64::MAX / 2);
        }
    }
}
