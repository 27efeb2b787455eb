//! Many durations in little memory: counted by size, to about 3 %.

use std::time::Duration;

/// Bits of a duration, below its first, that tell it from another.
const DETAIL: u32 = 5;

/// Durations, by size. Those of 18 minutes and more count as that.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    all: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; place(MOST) + 1],
            all: 0,
        }
    }
}

/// The longest that is told apart, in nanoseconds.
const MOST: u64 = (1 << 40) - 1;

impl Histogram {
    /// One more.
    pub(crate) fn add(&mut self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(MOST);
        self.counts[place(nanoseconds.min(MOST))] += 1;
        self.all += 1;
    }

    /// What `share` (0 to 1) of them do not exceed; `None` where there are none.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.all as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_nanos(upper(place)))
    }
}

/// Small numbers have a place each; of others the first bits count.
fn place(number: u64) -> usize {
    let exponent = number.checked_ilog2().unwrap_or(0);
    if exponent <= DETAIL {
        return number as usize;
    }
    let shift = exponent - DETAIL;
    ((shift as usize) << DETAIL) + (number >> shift) as usize
}

/// The largest number of a place.
fn upper(place: usize) -> u64 {
    let (shift, detail) = (place >> DETAIL, place & ((1 << DETAIL) - 1));
    match shift.checked_sub(1) {
        None | Some(0) => place as u64,
        Some(shift) => (((1 << DETAIL) + detail as u64 + 1) << shift) - 1,
    }
}
