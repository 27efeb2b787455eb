//! What happens a second, from the counters of two answers.

use crate::status::Status;
use std::collections::BTreeMap;
use std::time::Instant;

/// What is counted of a pool, or what there is of it a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Speed {
    pub(super) connections: f64,
    pub(super) requests: f64,
    pub(super) received: f64,
    pub(super) sent: f64,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    connections: u64,
    requests: u64,
    received: u64,
    sent: u64,
}

/// The counters of the last answer, and how fast they went.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// When, of which start of which master, and each pool's counters.
    last: Option<(Instant, Master, BTreeMap<String, Counts>)>,
    speeds: BTreeMap<String, Speed>,
}

/// An upgrade keeps the time of the start and the counters, and a new start
/// neither.
#[derive(Clone, Copy, Debug)]
struct Master {
    pid: u32,
    started: u64,
}

impl Master {
    const fn counts_on(self, before: Self) -> bool {
        self.pid == before.pid || self.started == before.started
    }
}

impl Rates {
    /// Takes note of an answer that came `now`.
    pub(super) fn note(&mut self, now: Instant, status: &Status) {
        let master = Master {
            pid: status.pid,
            started: status.started,
        };
        let counts: BTreeMap<String, Counts> = status
            .pools
            .iter()
            .map(|pool| {
                let counts = Counts {
                    connections: pool.connections,
                    requests: pool.requests,
                    received: pool.received,
                    sent: pool.sent,
                };
                (pool.name.clone(), counts)
            })
            .collect();
        self.speeds.clear();
        if let Some((then, before, old)) = &self.last
            && master.counts_on(*before)
        {
            let seconds = now.saturating_duration_since(*then).as_secs_f64();
            for (name, counts) in &counts {
                if let Some(speed) = old.get(name).and_then(|old| counts.since(old, seconds)) {
                    self.speeds.insert(name.clone(), speed);
                }
            }
        }
        self.last = Some((now, master, counts));
    }

    /// How fast a pool is; `None` where there is nothing to compare with.
    pub(super) fn of(&self, pool: &str) -> Option<Speed> {
        self.speeds.get(pool).copied()
    }
}

impl Counts {
    /// `None` where a counter has gone back: it is another one.
    fn since(&self, before: &Self, seconds: f64) -> Option<Speed> {
        if seconds <= 0.0 {
            return None;
        }
        let speed = |now: u64, before| Some(now.checked_sub(before)? as f64 / seconds);
        Some(Speed {
            connections: speed(self.connections, before.connections)?,
            requests: speed(self.requests, before.requests)?,
            received: speed(self.received, before.received)?,
            sent: speed(self.sent, before.sent)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::PoolStatus;
    use std::time::Duration;

    fn status(pid: u32, started: u64, requests: u64) -> Status {
        let pool = PoolStatus {
            name: String::from("web"),
            requests,
            sent: requests * 100,
            ..PoolStatus::default()
        };
        Status {
            pid,
            started,
            pools: vec![pool],
            ..Status::default()
        }
    }

    #[test]
    fn counters_become_rates_and_never_negative_ones() {
        let mut rates = Rates::default();
        let mut now = Instant::now();
        let mut next = |status: &Status| {
            now += Duration::from_millis(500);
            rates.note(now, status);
            rates.of("web").map(|speed| (speed.requests, speed.sent))
        };
        assert_eq!(next(&status(1, 7, 100)), None, "nothing to compare with");
        assert_eq!(next(&status(1, 7, 150)), Some((100.0, 10_000.0)));
        assert_eq!(next(&status(1, 7, 150)), Some((0.0, 0.0)));
        assert_eq!(next(&status(1, 7, 20)), None, "a pool that is new");
        assert_eq!(next(&status(2, 7, 30)), Some((20.0, 2000.0)), "an upgrade");
        assert_eq!(next(&status(3, 8, 90)), None, "another start");
        assert_eq!(next(&Status::default()), None);
        assert_eq!(next(&status(3, 8, 90)), None, "one that comes back");
    }
}
