//! The same complaint again and again: which of them are worth a line. Pure.
//!
//! An error that cannot heal by itself comes back with every try. The first
//! time it is told in full; then it is counted, and told in one line when it
//! goes on for long, and in one when it is over. Complaints that take turns
//! are told apart, up to a few.

use std::time::{Duration, Instant};

/// What goes on is told again after this.
pub const REMINDER: Duration = Duration::from_secs(600);
/// What has not come back for this long is over: longer than any back-off and
/// any pause of the breaker.
pub const QUIET: Duration = Duration::from_secs(60);
/// Complaints that are kept apart.
const KNOWN: usize = 8;

/// The complaints of one pool.
#[derive(Debug, Default)]
pub struct Repeats {
    known: Vec<Complaint>,
}

#[derive(Debug)]
struct Complaint {
    text: String,
    /// Not told since the last line about it.
    untold: u64,
    told: Instant,
    heard: Instant,
}

/// What to do about a complaint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It is new: tell it in full.
    New,
    /// It was told, and is counted.
    Known,
    /// It was told long ago: say that it came so many times since.
    GoesOn(u64),
}

/// A complaint that has come to its end, and how often it had come untold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Its text.
    pub text: String,
    /// How often it was not told, at least once.
    pub untold: u64,
}

impl Repeats {
    /// Somebody complains. `text` must not hold what differs from time to
    /// time, such as a process id.
    pub fn hear(&mut self, now: Instant, text: &str) -> Hearing {
        let Some(known) = self.known.iter_mut().find(|known| known.text == text) else {
            if self.known.len() == KNOWN {
                // The one that came last is the one that was heard longest ago.
                self.known
                    .sort_by_key(|known| std::cmp::Reverse(known.heard));
                self.known.pop();
            }
            self.known.push(Complaint {
                text: text.to_owned(),
                untold: 0,
                told: now,
                heard: now,
            });
            return Hearing::New;
        };
        known.heard = now;
        known.untold += 1;
        if now.saturating_duration_since(known.told) < REMINDER {
            return Hearing::Known;
        }
        known.told = now;
        Hearing::GoesOn(std::mem::take(&mut known.untold))
    }

    /// Complaints that have not come back for long.
    pub fn faded(&mut self, now: Instant) -> Vec<Over> {
        let faded = |known: &mut Complaint| now.saturating_duration_since(known.heard) >= QUIET;
        self.known.extract_if(.., faded).filter_map(over).collect()
    }

    /// All is well again: every complaint is over.
    pub fn settle(&mut self) -> Vec<Over> {
        self.known.drain(..).filter_map(over).collect()
    }
}

fn over(complaint: Complaint) -> Option<Over> {
    let Complaint { text, untold, .. } = complaint;
    (untold > 0).then_some(Over { text, untold })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn two_hundred_times_the_same_are_few_lines() {
        let mut repeats = Repeats::default();
        let mut now = Instant::now();
        let (mut lines, mut counted) = (0, 0);
        for _ in 0..200 {
            now += 30 * SECOND;
            match repeats.hear(now, "setuid: no") {
                Hearing::New => lines += 1,
                Hearing::Known => {}
                Hearing::GoesOn(times) => {
                    lines += 1;
                    counted += times;
                }
            }
            assert_eq!(repeats.faded(now), []);
        }
        // An hour and 40 minutes: one in full, and one each 10 minutes.
        assert_eq!(lines, 10);
        let over = repeats.faded(now + QUIET);
        assert_eq!(over.len(), 1);
        assert_eq!(1 + counted + over[0].untold, 200, "none is forgotten");
        assert_eq!(repeats.hear(now + QUIET, "setuid: no"), Hearing::New);
    }

    #[test]
    fn complaints_that_take_turns_are_told_apart() {
        let mut repeats = Repeats::default();
        let now = Instant::now();
        for round in 0..100 {
            for text in ["fork: no", "setuid: no"] {
                let first = round == 0;
                assert_eq!(repeats.hear(now, text) == Hearing::New, first, "{text}");
            }
        }
        let untold: Vec<u64> = repeats.settle().iter().map(|over| over.untold).collect();
        assert_eq!(untold, [99, 99]);
        assert_eq!(repeats.settle(), []);
    }

    #[test]
    fn there_is_room_for_a_few() {
        let mut repeats = Repeats::default();
        let mut now = Instant::now();
        for number in 0..100 {
            now += SECOND;
            assert_eq!(repeats.hear(now, &number.to_string()), Hearing::New);
        }
        assert_eq!(repeats.known.len(), KNOWN);
        assert_eq!(repeats.hear(now, "99"), Hearing::Known);
    }
}
