//! The breaker of a pool: when worker after worker dies young, nobody is
//! spawned any more but a probe now and then. Pure.
//!
//! A back-off belongs to a slot and slows that slot down; a pool of many slots
//! could still fork at full speed. And a pool whose workers cannot live should
//! say so once, not once a death.
//!
//! ```text
//!   Closed ──too many early deaths──▶ Open ──its time is over──▶ Probing
//!      ▲                               ▲ └──────(one spawn)───────┘ │ │
//!      │                               └────── the probe dies ──────┘ │
//!      └─────────────────────────── the probe lives ──────────────────┘
//! ```

use super::message::WorkerId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many early deaths …
pub const DEATHS: usize = 10;
/// … within this time open the breaker.
pub const WINDOW: Duration = Duration::from_secs(30);
/// How long it stays open at first; it doubles with each probe that dies …
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counts early deaths, and says how many workers may be spawned.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    deaths: VecDeque<Instant>,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing { probe: WorkerId },
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            deaths: VecDeque::new(),
            pause: FIRST_PAUSE,
        }
    }
}

impl Breaker {
    /// Whether workers are spawned as the pool wants them.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// A worker died young. Answers how long nobody is spawned, if that begins
    /// now.
    pub fn died(&mut self, worker: WorkerId, now: Instant) -> Option<Duration> {
        match self.state {
            State::Closed => {
                self.deaths.push_back(now);
                while self
                    .deaths
                    .front()
                    .is_some_and(|&at| now.saturating_duration_since(at) > WINDOW)
                {
                    self.deaths.pop_front();
                }
                if self.deaths.len() < DEATHS {
                    return None;
                }
                self.deaths.clear();
                self.pause = FIRST_PAUSE;
            }
            State::Probing { probe } if probe == worker => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
            // Stragglers from before it opened.
            State::Open { .. } | State::Probing { .. } => return None,
        }
        self.state = State::Open {
            until: now + self.pause,
        };
        Some(self.pause)
    }

    /// How many workers may be spawned now: all that are wanted, one, or none.
    pub fn allowance(&self, now: Instant) -> usize {
        match self.state {
            State::Closed => usize::MAX,
            State::Open { until } if until <= now => 1,
            State::Open { .. } | State::Probing { .. } => 0,
        }
    }

    /// A worker is being spawned; while the breaker is open, that is a probe.
    pub fn spawned(&mut self, worker: WorkerId) {
        if let State::Open { .. } = self.state {
            self.state = State::Probing { probe: worker };
        }
    }

    /// The probe, while there is one.
    pub fn probe(&self) -> Option<WorkerId> {
        match self.state {
            State::Probing { probe } => Some(probe),
            State::Closed | State::Open { .. } => None,
        }
    }

    /// The probe lives.
    pub fn close(&mut self) {
        self.state = State::Closed;
    }

    /// When [`Breaker::allowance`] changes by itself.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed | State::Probing { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn deaths_far_apart_do_not_open_it() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        for number in 0..1000 {
            now += WINDOW / (DEATHS as u32 - 1) + SECOND;
            assert_eq!(breaker.died(WorkerId(number), now), None);
        }
        assert_eq!(breaker.allowance(now), usize::MAX);
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        for number in 1..DEATHS as u64 {
            assert_eq!(breaker.died(WorkerId(number), now), None);
        }
        assert_eq!(breaker.died(WorkerId(99), now), Some(FIRST_PAUSE));
        assert_eq!(breaker.died(WorkerId(98), now), None, "a straggler");
        let mut pause = FIRST_PAUSE;
        for number in 100..110 {
            assert_eq!(breaker.allowance(now), 0);
            now += pause;
            assert_eq!(breaker.allowance(now), 1);
            breaker.spawned(WorkerId(number));
            assert_eq!(breaker.allowance(now), 0, "one probe at a time");
            pause = (pause * 2).min(LONGEST_PAUSE);
            assert_eq!(breaker.died(WorkerId(number), now), Some(pause));
        }
        now += pause;
        breaker.spawned(WorkerId(200));
        assert_eq!(breaker.probe(), Some(WorkerId(200)));
        breaker.close();
        assert!(breaker.is_closed());
        assert_eq!(
            breaker.died(WorkerId(201), now),
            None,
            "the count begins anew"
        );
    }
}
