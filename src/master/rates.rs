//! What a pool does a second. Pure: the time and what was counted so far are
//! arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how long the average is taken.
const SPAN: Duration = Duration::from_secs(10);
/// Samples are not taken more often than this.
const PACE: Duration = Duration::from_millis(500);

/// What was counted, at a few moments of the last seconds.
#[derive(Debug, Default)]
pub struct Samples {
    /// The oldest first; one that is older than [`SPAN`], to count from, at most.
    taken: VecDeque<(Instant, [u64; 4])>,
}

impl Samples {
    /// Takes one more.
    pub fn take(&mut self, now: Instant, counts: [u64; 4]) {
        let since = |at: Instant| now.saturating_duration_since(at);
        if self.taken.back().is_some_and(|(at, _)| since(*at) < PACE) {
            return;
        }
        self.taken.push_back((now, counts));
        while self.taken.get(1).is_some_and(|(at, _)| since(*at) >= SPAN) {
            self.taken.pop_front();
        }
    }

    /// How many of each there were a second, between the first sample and the
    /// last.
    pub fn rates(&self) -> [f64; 4] {
        let (Some((begin, before)), Some((end, after))) = (self.taken.front(), self.taken.back())
        else {
            return [0.0; 4];
        };
        let seconds = end.saturating_duration_since(*begin).as_secs_f64();
        if seconds == 0.0 {
            return [0.0; 4];
        }
        [0, 1, 2, 3].map(|index| after[index].saturating_sub(before[index]) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut samples = Samples::default();
        assert_eq!(samples.rates(), [0.0; 4], "nothing is known");
        samples.take(start, [100, 0, 0, 0]);
        assert_eq!(
            samples.rates(),
            [0.0; 4],
            "what there was before is no rate"
        );
        samples.take(at(0.4), [900, 0, 0, 0]);
        assert_eq!(samples.rates(), [0.0; 4], "too soon to be worth a sample");
        samples.take(at(2.0), [110, 4, 0, 1]);
        assert_eq!(samples.rates(), [5.0, 2.0, 0.0, 0.5]);
        for second in 3..=30 {
            samples.take(at(f64::from(second)), [110, 4, 0, 1]);
        }
        assert_eq!(samples.rates(), [0.0; 4], "that was long ago");
        assert_eq!(samples.taken.len(), 11);
        samples.take(at(31.0), [110, 24, 0, 1]);
        assert_eq!(samples.rates(), [0.0, 2.0, 0.0, 0.0]);
        samples.take(at(32.0), [0, 24, 0, 1]);
        assert_eq!(samples.rates()[0], 0.0, "never negative");
    }
}
