//! Which address of a host is tried when: Happy Eyeballs (RFC 8305).
//!
//! Owes the order and the times, and nothing else: addresses and the clock come
//! in, attempts to begin and times to wait until go out. The first connection
//! that is made ends the race; to close the others is the caller's part.
//!
//! ```text
//!             ┌── failed: the next at once ──┐
//!             ▼                              │
//!   next ─▶ Start ─▶ Wait (250 ms, or the deadline) ─▶ Start ─▶ …
//!                      └─▶ Over: all failed, or too late
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long an attempt is alone before the next begins (RFC 8305 §8, Connection
/// Attempt Delay).
pub const DELAY: Duration = Duration::from_millis(250);

/// A race between the addresses of a host.
#[derive(Debug)]
pub struct Race {
    waiting: VecDeque<SocketAddr>,
    /// How many attempts have begun and not failed.
    running: usize,
    /// Before this the next one does not begin; `None` is at once.
    not_before: Option<Instant>,
    deadline: Instant,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Begin to connect to this address, and ask again.
    Start(SocketAddr),
    /// Wait for the attempts that run, until this time at most.
    Wait(Instant),
    /// It is lost.
    Over(Lost),
}

/// How a race is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Every attempt failed.
    AllFailed,
    /// The deadline passed.
    TooLate,
}

impl Race {
    /// A race between `addresses`, which the resolver has sorted, to be won by
    /// `deadline`.
    pub fn new(addresses: &[SocketAddr], deadline: Instant) -> Self {
        Self {
            waiting: interleaved(addresses).into(),
            running: 0,
            not_before: None,
            deadline,
        }
    }

    /// What is to be done at `now`.
    pub fn next(&mut self, now: Instant) -> Step {
        if now >= self.deadline {
            return Step::Over(Lost::TooLate);
        }
        if self.not_before.is_none_or(|time| time <= now)
            && let Some(address) = self.waiting.pop_front()
        {
            self.running += 1;
            self.not_before = Some(now + DELAY);
            return Step::Start(address);
        }
        match (self.running, self.not_before) {
            (0, _) => Step::Over(Lost::AllFailed),
            (_, Some(time)) if !self.waiting.is_empty() => Step::Wait(time.min(self.deadline)),
            (_, Some(_) | None) => Step::Wait(self.deadline),
        }
    }

    /// One of the attempts failed: whoever waits is next at once.
    pub fn failed(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.not_before = None;
    }
}

/// The families in turn, beginning with that of the first address, each in the
/// order that it had (RFC 8305 §4, First Address Family Count 1). The resolver
/// puts IPv6 first wherever this machine can use it (RFC 6724 §6).
pub fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return Vec::new();
    };
    let of = |is_first: bool| {
        let family =
            move |address: &&SocketAddr| (address.is_ipv6() == first.is_ipv6()) == is_first;
        addresses.iter().filter(family).copied()
    };
    let (mut these, mut those) = (of(true), of(false));
    let mut order = Vec::with_capacity(addresses.len());
    loop {
        let pair = [these.next(), those.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses(hosts: &[&str]) -> Vec<SocketAddr> {
        let address = |host: &&str| SocketAddr::new(host.parse().unwrap(), 7);
        hosts.iter().map(address).collect()
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn families_take_turns() {
        for (given, expected) in [
            (&[][..], &[][..]),
            (&["::1"], &["::1"]),
            (
                &["::1", "::2", "::3", "10.0.0.1"],
                &["::1", "10.0.0.1", "::2", "::3"],
            ),
            (
                &["10.0.0.1", "10.0.0.2", "::1", "::2", "::3"],
                &["10.0.0.1", "::1", "10.0.0.2", "::2", "::3"],
            ),
        ] {
            assert_eq!(interleaved(&addresses(given)), addresses(expected));
        }
    }

    #[test]
    fn who_does_not_answer_is_overtaken() {
        let begun = Instant::now();
        let deadline = begun + 1000 * MS;
        let all = addresses(&["::1", "10.0.0.1", "::2"]);
        let mut race = Race::new(&all, deadline);
        for (after, step) in [
            (0, Step::Start(all[0])),
            (0, Step::Wait(begun + DELAY)),
            (249, Step::Wait(begun + DELAY)),
            (250, Step::Start(all[1])),
            // Late: the next has its whole delay all the same.
            (500, Step::Start(all[2])),
            (500, Step::Wait(deadline)),
            (999, Step::Wait(deadline)),
            (1000, Step::Over(Lost::TooLate)),
        ] {
            assert_eq!(race.next(begun + after * MS), step, "after {after} ms");
        }
    }

    #[test]
    fn who_fails_makes_room_at_once() {
        let begun = Instant::now();
        let all = addresses(&["::1", "10.0.0.1", "::2"]);
        let mut race = Race::new(&all, begun + 1000 * MS);
        assert_eq!(race.next(begun), Step::Start(all[0]));
        race.failed();
        assert_eq!(race.next(begun + MS), Step::Start(all[1]));
        assert_eq!(race.next(begun + MS), Step::Wait(begun + MS + DELAY));
        race.failed();
        assert_eq!(race.next(begun + 2 * MS), Step::Start(all[2]));
        race.failed();
        assert_eq!(race.next(begun + 3 * MS), Step::Over(Lost::AllFailed));
    }

    #[test]
    fn the_deadline_comes_before_the_next_attempt() {
        let begun = Instant::now();
        let all = addresses(&["::1", "10.0.0.1"]);
        let mut race = Race::new(&all, begun + 100 * MS);
        assert_eq!(race.next(begun), Step::Start(all[0]));
        assert_eq!(race.next(begun), Step::Wait(begun + 100 * MS));
        assert_eq!(race.next(begun + 100 * MS), Step::Over(Lost::TooLate));
        // Nobody to try is a race that all have lost.
        let mut race = Race::new(&[], begun + 100 * MS);
        assert_eq!(race.next(begun), Step::Over(Lost::AllFailed));
    }

    proptest! {
        /// Whatever fails when: each address is tried once, no wait is over
        /// before it begins, and an end comes by the deadline.
        #[test]
        fn a_race_always_ends(count in 0..12usize, six in any::<u16>(), fails in any::<u16>(), pace in 1..400u32) {
            let host = |at: usize| if six >> at & 1 == 1 {
                SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1 + at as u16], 7))
            } else {
                SocketAddr::from(([10, 0, 0, at as u8], 7))
            };
            let all: Vec<SocketAddr> = (0..count).map(host).collect();
            let begun = Instant::now();
            let deadline = begun + 3000 * MS;
            let mut race = Race::new(&all, deadline);
            let (mut now, mut tried, mut running) = (begun, Vec::new(), 0);
            for turn in 0.. {
                match race.next(now) {
                    Step::Start(address) => {
                        prop_assert!(!tried.contains(&address));
                        tried.push(address);
                        running += 1;
                    }
                    Step::Wait(until) => {
                        prop_assert!(until > now && until <= deadline);
                        prop_assert!(running > 0);
                        now = until.min(now + pace * MS);
                        if fails >> (turn % 16) & 1 == 1 {
                            race.failed();
                            running -= 1;
                        }
                    }
                    Step::Over(Lost::AllFailed) => {
                        prop_assert_eq!(tried.len(), count);
                        prop_assert_eq!(running, 0);
                        break;
                    }
                    Step::Over(Lost::TooLate) => {
                        prop_assert!(now >= deadline);
                        break;
                    }
                }
            }
        }
    }
}
