//! How many workers a pool should have. Pure: a size, the time and a count go
//! in, a plan comes out.
//!
//! Apache looks once a second and lets a burst of clients wait for it. Here a
//! worker that takes the last spare place has the master look at once, and
//! growth doubles from tick to tick of milliseconds; shrinking stays slow, one
//! worker a second, for a quiet second says little about the next.

use crate::config::Size;
use std::time::{Duration, Instant};

/// The pace of growth: so long between two looks while the pool is short.
pub const GROWTH_TICK: Duration = Duration::from_millis(5);
/// The pace of shrinking: so long between two retirements.
pub const SHRINK_TICK: Duration = Duration::from_secs(1);

/// What the pool has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Workers that are READY and wait for a connection.
    pub idle: u32,
    /// Workers that are not READY yet, those that wait out a back-off included.
    pub coming: u32,
    /// All of them, busy ones included, without those that leave.
    pub total: u32,
}

/// What should be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Keep,
    /// Spawn this many.
    Spawn(u32),
    /// Retire this many.
    Retire(u32),
    /// More are wanted, and the maximum is reached.
    AtMaximum,
}

/// Decides on the size of one pool.
#[derive(Clone, Debug)]
pub struct Sizer {
    size: Size,
    burst: u32,
    grow_at: Option<Instant>,
    shrink_at: Option<Instant>,
}

impl Sizer {
    /// For a pool of `size`.
    pub const fn new(size: Size) -> Self {
        Self {
            size,
            burst: 1,
            grow_at: None,
            shrink_at: None,
        }
    }

    /// The size it keeps.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// How many workers the pool begins with.
    pub const fn start(&self) -> u32 {
        match self.size {
            Size::Fixed(workers) => workers,
            Size::Spare { start, .. } => start,
        }
    }

    /// Keeps `workers` from now on; a spare-driven pool becomes a fixed one.
    pub const fn fix(&mut self, workers: u32) {
        self.size = Size::Fixed(workers);
    }

    /// Whether more are wanted than `census` has or awaits, and may be had.
    pub const fn is_short(&self, census: Census) -> bool {
        match self.size {
            Size::Fixed(workers) => census.total < workers,
            Size::Spare { min_spare, max, .. } => {
                census.idle + census.coming < min_spare && census.total < max
            }
        }
    }

    /// What to do about `census` at `now`.
    pub fn plan(&mut self, now: Instant, census: Census) -> Plan {
        match self.size {
            Size::Fixed(workers) if census.total < workers => Plan::Spawn(workers - census.total),
            Size::Fixed(workers) if census.total > workers => Plan::Retire(census.total - workers),
            Size::Fixed(_) => Plan::Keep,
            Size::Spare {
                min_spare,
                max_spare,
                max,
                ..
            } => {
                if census.idle + census.coming < min_spare {
                    self.grow(now, max, census)
                } else {
                    self.burst = 1;
                    self.grow_at = None;
                    self.shrink(now, max_spare, min_spare, census)
                }
            }
        }
    }

    /// When [`Sizer::plan`] should be asked again though nothing happened.
    pub fn next_look(&self) -> Option<Instant> {
        [self.grow_at, self.shrink_at].into_iter().flatten().min()
    }

    fn grow(&mut self, now: Instant, max: u32, census: Census) -> Plan {
        self.shrink_at = None;
        if census.total >= max {
            self.grow_at = None;
            return Plan::AtMaximum;
        }
        if self.grow_at.is_some_and(|at| now < at) {
            return Plan::Keep;
        }
        let count = self.burst.min(max - census.total);
        self.burst = self.burst.saturating_mul(2);
        self.grow_at = Some(now + GROWTH_TICK);
        Plan::Spawn(count)
    }

    fn shrink(&mut self, now: Instant, max_spare: u32, min_spare: u32, census: Census) -> Plan {
        if census.idle <= max_spare || census.idle <= min_spare {
            self.shrink_at = None;
            return Plan::Keep;
        }
        match self.shrink_at {
            Some(at) if now >= at => {
                self.shrink_at = Some(now + SHRINK_TICK);
                Plan::Retire(1)
            }
            Some(_) => Plan::Keep,
            None => {
                self.shrink_at = Some(now + SHRINK_TICK);
                Plan::Keep
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPARE: Size = Size::Spare {
        start: 8,
        min_spare: 4,
        max_spare: 16,
        max: 64,
    };

    fn census(idle: u32, coming: u32, total: u32) -> Census {
        Census {
            idle,
            coming,
            total,
        }
    }

    #[test]
    fn a_fixed_pool_is_filled_and_trimmed_at_once() {
        let mut sizer = Sizer::new(Size::Fixed(4));
        let now = Instant::now();
        assert_eq!(sizer.plan(now, census(0, 0, 0)), Plan::Spawn(4));
        assert_eq!(sizer.plan(now, census(4, 0, 4)), Plan::Keep);
        sizer.fix(2);
        assert_eq!(sizer.plan(now, census(4, 0, 4)), Plan::Retire(2));
    }

    #[test]
    fn a_short_pool_doubles_its_growth_up_to_the_maximum() {
        let mut sizer = Sizer::new(SPARE);
        let mut now = Instant::now();
        let mut total = 8;
        let mut grown = Vec::new();
        // A burst that keeps everybody busy: nobody is ever idle.
        loop {
            match sizer.plan(now, census(0, 0, total)) {
                Plan::Spawn(count) => {
                    grown.push(count);
                    total += count;
                }
                Plan::AtMaximum => break,
                Plan::Keep => now = sizer.next_look().unwrap_or(now),
                Plan::Retire(_) => panic!("retired while short"),
            }
        }
        assert_eq!(grown, [1, 2, 4, 8, 16, 25]);
        assert_eq!(total, 64);
    }

    #[test]
    fn workers_on_their_way_count_as_spare() {
        let mut sizer = Sizer::new(SPARE);
        assert_eq!(sizer.plan(Instant::now(), census(1, 3, 20)), Plan::Keep);
    }

    #[test]
    fn a_surplus_shrinks_by_one_a_second_after_a_second() {
        let mut sizer = Sizer::new(SPARE);
        let now = Instant::now();
        assert_eq!(sizer.plan(now, census(20, 0, 30)), Plan::Keep);
        assert_eq!(
            sizer.plan(now + SHRINK_TICK / 2, census(20, 0, 30)),
            Plan::Keep
        );
        assert_eq!(
            sizer.plan(now + SHRINK_TICK, census(20, 0, 30)),
            Plan::Retire(1)
        );
        assert_eq!(sizer.plan(now + SHRINK_TICK, census(19, 0, 29)), Plan::Keep);
        assert_eq!(
            sizer.plan(now + SHRINK_TICK * 2, census(16, 0, 26)),
            Plan::Keep
        );
        assert_eq!(sizer.next_look(), None);
    }
}
