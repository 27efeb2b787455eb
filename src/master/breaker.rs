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
//!
//!   Open ──its time is over, and no worker is missing──▶ Closed
//! ```

use super::message::{Standing, WorkerId};
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

/// A breaker that stays open is worth a line this often.
pub const REMINDER: Duration = Duration::from_secs(600);

/// Counts early deaths, and says how many workers may be spawned.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    deaths: VecDeque<Instant>,
    pause: Duration,
    /// While it is not closed: since when, …
    since: Option<Instant>,
    /// … how many probes have died, …
    probes: u32,
    /// … and when that was last told.
    told: Option<Instant>,
}

/// What a death means that the breaker has heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to be said.
    Silence,
    /// Nobody is spawned from now on for so long.
    Opened(Duration),
    /// It stays open, and that has not been said for long: since when, and
    /// how many probes have died.
    StillOpen(Duration, u32),
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
            since: None,
            probes: 0,
            told: None,
        }
    }
}

impl Breaker {
    /// Whether workers are spawned as the pool wants them.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// For the operator.
    pub fn standing(&self) -> Standing {
        match self.state {
            State::Closed => Standing::Closed,
            State::Open { .. } => Standing::Open,
            State::Probing { .. } => Standing::Probing,
        }
    }

    /// Since when it has not been closed, if it is not.
    pub fn open_since(&self) -> Option<Instant> {
        self.since
    }

    /// A worker died young. `in_a_row` is how many have in its slot, where it
    /// was the last worker of its pool; else 0. One slot alone backs off so far
    /// that it never comes to many deaths in a short time.
    pub fn died(&mut self, worker: WorkerId, now: Instant, in_a_row: u32) -> Verdict {
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
                self.pause = if self.deaths.len() >= DEATHS {
                    FIRST_PAUSE
                } else if in_a_row as usize >= DEATHS {
                    LONGEST_PAUSE
                } else {
                    return Verdict::Silence;
                };
                self.deaths.clear();
                (self.since, self.told, self.probes) = (Some(now), Some(now), 0);
            }
            State::Probing { probe } if probe == worker => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.probes = self.probes.saturating_add(1);
            }
            // Stragglers from before it opened.
            State::Open { .. } | State::Probing { .. } => return Verdict::Silence,
        }
        self.state = State::Open {
            until: now + self.pause,
        };
        let age =
            |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if self.probes == 0 {
            return Verdict::Opened(self.pause);
        }
        if age(self.told) < REMINDER {
            return Verdict::Silence;
        }
        self.told = Some(now);
        Verdict::StillOpen(age(self.since), self.probes)
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

    /// The probe lives, or there is none to try with.
    pub fn close(&mut self) {
        self.state = State::Closed;
        self.since = None;
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
            let verdict = breaker.died(WorkerId(number), now, 0);
            assert_eq!(verdict, Verdict::Silence);
        }
        assert_eq!(breaker.allowance(now), usize::MAX);
    }

    #[test]
    fn deaths_far_apart_open_it_where_nobody_is_left() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        for number in 1..DEATHS as u32 {
            now += WINDOW;
            let verdict = breaker.died(WorkerId(number.into()), now, number);
            assert_eq!(verdict, Verdict::Silence);
        }
        let verdict = breaker.died(WorkerId(99), now, DEATHS as u32);
        assert_eq!(verdict, Verdict::Opened(LONGEST_PAUSE));
        assert_eq!(breaker.open_since(), Some(now));
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        for number in 1..DEATHS as u64 {
            assert_eq!(breaker.died(WorkerId(number), now, 0), Verdict::Silence);
        }
        assert_eq!(breaker.standing(), Standing::Closed);
        let verdict = breaker.died(WorkerId(99), now, 0);
        assert_eq!(verdict, Verdict::Opened(FIRST_PAUSE));
        let verdict = breaker.died(WorkerId(98), now, 0);
        assert_eq!(verdict, Verdict::Silence, "a straggler");
        let opened = now;
        let mut pause = FIRST_PAUSE;
        for number in 100..110 {
            assert_eq!(breaker.standing(), Standing::Open);
            assert_eq!(breaker.allowance(now), 0);
            now += pause;
            assert_eq!(breaker.allowance(now), 1);
            breaker.spawned(WorkerId(number));
            assert_eq!(breaker.standing(), Standing::Probing);
            assert_eq!(breaker.allowance(now), 0, "one probe at a time");
            pause = (pause * 2).min(LONGEST_PAUSE);
            let verdict = breaker.died(WorkerId(number), now, 0);
            assert_eq!(verdict, Verdict::Silence, "that was said");
            assert_eq!(breaker.next_deadline(), Some(now + pause));
        }
        assert_eq!(breaker.open_since(), Some(opened));
        now += pause;
        breaker.spawned(WorkerId(200));
        assert_eq!(breaker.probe(), Some(WorkerId(200)));
        breaker.close();
        assert!(breaker.is_closed());
        assert_eq!(breaker.open_since(), None);
        let verdict = breaker.died(WorkerId(201), now, 0);
        assert_eq!(verdict, Verdict::Silence, "the count begins anew");
    }

    #[test]
    fn what_goes_on_is_told_again_now_and_then() {
        let mut breaker = Breaker::default();
        let mut now = Instant::now();
        for number in 0..DEATHS as u64 {
            breaker.died(WorkerId(number), now, 0);
        }
        let opened = now;
        let (mut told, mut probes) = (Vec::new(), 0);
        while now < opened + 3600 * SECOND {
            now = breaker.next_deadline().unwrap_or(now);
            probes += 1;
            breaker.spawned(WorkerId(1000 + u64::from(probes)));
            match breaker.died(WorkerId(1000 + u64::from(probes)), now, 0) {
                Verdict::Silence => {}
                Verdict::Opened(_) => panic!("it was open"),
                Verdict::StillOpen(open, count) => {
                    assert_eq!((open, count), (now - opened, probes));
                    told.push(open);
                }
            }
        }
        assert!((5..=6).contains(&told.len()), "{told:?}");
    }
}
