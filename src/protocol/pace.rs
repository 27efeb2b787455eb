//! How fast octets pass, judged over one span of time after the other.
//!
//! A rate over the whole of a transfer would be no bound: whoever takes a
//! gigabyte at once could take the rest an octet at a time for a month. So what
//! was done in one span counts for nothing in the next. It owes a slow but
//! honest peer that nothing is judged before a whole span has passed.
//!
//! ```text
//!   begin          due = begin + span     due
//!     ├───────────────────┼────────────────┼─▶ time
//!       enough: Kept       not: Slow, or Stalled where nothing passed
//! ```

use std::time::{Duration, Instant};

/// The least that must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Over how long it is judged.
    pub span: Duration,
    /// Octets a second, on the average over a span; 0: any octet is enough.
    pub rate: u64,
}

/// A span that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    since: Instant,
    octets: i64,
}

/// What is to be said of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not over.
    Early,
    /// Enough has passed; the next span has begun.
    Kept,
    /// Less has passed than must.
    Slow,
    /// Nothing has passed.
    Stalled,
}

impl Pace {
    /// A span that begins `now`, when `octets` had passed already. That count
    /// may be below 0, and only its growth matters.
    pub const fn begin(now: Instant, octets: i64) -> Self {
        Self { since: now, octets }
    }

    /// So many more have passed, for whoever keeps no count of his own and
    /// judges with 0.
    pub const fn pass(&mut self, octets: usize) {
        self.octets = self.octets.saturating_sub_unsigned(octets as u64);
    }

    /// When it is over.
    pub fn due(&self, floor: Floor) -> Instant {
        self.since + floor.span
    }

    /// Judges the span at `now`, when `octets` have passed. Of one that is judged
    /// late no more is asked than of another.
    pub fn judge(&mut self, now: Instant, octets: i64, floor: Floor) -> Verdict {
        if now < self.due(floor) {
            return Verdict::Early;
        }
        let passed = u128::try_from(octets.saturating_sub(self.octets)).unwrap_or(0);
        // Both sides in octets times milliseconds: nothing is rounded away.
        let least = u128::from(floor.rate) * floor.span.as_millis();
        if passed == 0 {
            Verdict::Stalled
        } else if passed * 1000 < least {
            Verdict::Slow
        } else {
            *self = Self::begin(now, octets);
            Verdict::Kept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Floor = Floor {
        span: Duration::from_secs(10),
        rate: 500,
    };

    #[test]
    fn a_span_is_judged_when_it_is_over_and_by_itself() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut pace = Pace::begin(begin, 0);
        assert_eq!(pace.judge(at(9), 0, FLOOR), Verdict::Early);
        assert_eq!(pace.judge(at(10), 1_000_000, FLOOR), Verdict::Kept);
        assert_eq!(pace.due(FLOOR), at(20));
        // The million counts no more.
        assert_eq!(pace.judge(at(20), 1_004_999, FLOOR), Verdict::Slow);
        assert_eq!(pace.judge(at(20), 1_005_000, FLOOR), Verdict::Kept);
        assert_eq!(pace.judge(at(30), 1_005_000, FLOOR), Verdict::Stalled);
        assert_eq!(pace.judge(at(60), 1_010_000, FLOOR), Verdict::Kept, "late");
        assert_eq!(pace.due(FLOOR), at(70));
    }

    #[test]
    fn the_span_can_count_for_itself() {
        let begin = Instant::now();
        let mut pace = Pace::begin(begin, 0);
        for _ in 0..5000 {
            pace.pass(1);
        }
        assert_eq!(pace.judge(pace.due(FLOOR), 0, FLOOR), Verdict::Kept);
        pace.pass(4999);
        assert_eq!(pace.judge(pace.due(FLOOR), 0, FLOOR), Verdict::Slow);
    }

    #[test]
    fn without_a_rate_any_octet_is_enough() {
        let begin = Instant::now();
        let floor = Floor { rate: 0, ..FLOOR };
        let mut pace = Pace::begin(begin, -5);
        let later = begin + FLOOR.span;
        assert_eq!(pace.judge(later, -5, floor), Verdict::Stalled);
        assert_eq!(
            pace.judge(later, -6, floor),
            Verdict::Stalled,
            "it grew back"
        );
        assert_eq!(pace.judge(later, -4, floor), Verdict::Kept);
    }
}
