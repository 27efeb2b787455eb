//! When clients began to be turned away, how many were, and when it was over.
//!
//! All workers of a pool shed together, so it is told once for all of them. A
//! worker notes each client in words that they share; the one whose client is the
//! first rings the master, which tells of the begin and, when nobody was turned
//! away for a while, of the end. Those words only grow, and a death leaves nothing
//! in them that is wrong.

use super::verdict::Cause;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Words of the head.
pub(super) const WORDS: usize = 64;

/// Where things stand in it, each kind in lines of its own.
mod field {
    /// Places of the directory that have been in use.
    pub(super) const SHARDS: usize = 0;
    /// Whether clients are being turned away.
    pub(super) const SHEDDING: usize = 8;
    /// When one was last, in microseconds.
    pub(super) const LAST: usize = 9;
    /// How many were, by cause.
    pub(super) const SHED: usize = 16;
    /// How many would have been.
    pub(super) const SPARED: usize = 32;
}

const _: () = assert!(Cause::COUNT <= 16);

/// So long nobody must have been turned away until it is over.
pub const CALM: Duration = Duration::from_secs(5);

/// The words that a pool's workers share about it.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    words: &'static [AtomicU64],
}

/// How many clients were turned away, and how many would have been, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    /// Those who were.
    pub shed: [u64; Cause::COUNT],
    /// Those who were let in for want of earnest.
    pub spared: [u64; Cause::COUNT],
}

/// The head as the master finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether somebody was turned away since it was last over.
    pub shedding: bool,
    /// When somebody last was, in microseconds.
    pub last: u64,
    /// How many were.
    pub counts: Shed,
}

/// What the master has told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// What the current episode began with, and when; if there is one.
    begun: Option<(u64, Shed)>,
    /// What was counted when it was last over.
    told: Shed,
}

/// What is to be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The first ones were turned away.
    Begun(Shed),
    /// It is over, after this time.
    Over(Shed, Duration),
}

impl Head {
    pub(super) fn new(words: &'static [AtomicU64]) -> Self {
        Self { words }
    }

    /// Notes a client that may not come by the rules: as much a matter of every day as
    /// a wrong password, and no news.
    pub fn note_denied(&self) {
        self.words[field::SHED + Cause::Denied as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a client that is turned away at `now`, or with `spared` only would be;
    /// answers whether the master has to be told.
    pub fn note(&self, cause: Cause, spared: bool, now: u64) -> bool {
        let group = if spared { field::SPARED } else { field::SHED };
        self.words[group + cause as usize].fetch_add(1, Ordering::Relaxed);
        self.words[field::LAST].fetch_max(now, Ordering::Relaxed);
        let shedding = &self.words[field::SHEDDING];
        shedding.load(Ordering::Relaxed) == 0 && shedding.swap(1, Ordering::AcqRel) == 0
    }

    /// How things stand.
    pub fn look(&self) -> Look {
        let word = |at: usize| self.words[at].load(Ordering::Relaxed);
        let shedding = self.words[field::SHEDDING].load(Ordering::Acquire) != 0;
        Look {
            shedding,
            last: word(field::LAST),
            counts: Shed {
                shed: std::array::from_fn(|cause| word(field::SHED + cause)),
                spared: std::array::from_fn(|cause| word(field::SPARED + cause)),
            },
        }
    }

    /// It is over: whoever is turned away next begins anew. For the master.
    pub fn settle(&self) {
        self.words[field::SHEDDING].store(0, Ordering::Release);
    }

    pub(super) fn note_shards(&self, end: usize) {
        self.words[field::SHARDS].fetch_max(end as u64, Ordering::Release);
    }

    pub(super) fn shards(&self) -> usize {
        self.words[field::SHARDS].load(Ordering::Acquire) as usize
    }
}

impl Watch {
    /// What is to be told at `now`, in microseconds. After [`News::Over`] the head is
    /// to be [settled](Head::settle).
    pub fn look(&mut self, look: &Look, now: u64) -> Option<News> {
        let calm = u64::try_from(CALM.as_micros()).unwrap_or(u64::MAX);
        match self.begun {
            None if look.shedding => {
                self.begun = Some((look.last, self.told));
                Some(News::Begun(look.counts.since(&self.told)))
            }
            Some((at, before)) if now.saturating_sub(look.last) >= calm => {
                self.begun = None;
                self.told = look.counts;
                let took = Duration::from_micros(look.last.saturating_sub(at));
                Some(News::Over(look.counts.since(&before), took))
            }
            None | Some(_) => None,
        }
    }

    /// Whether it is under way.
    pub const fn is_shedding(&self) -> bool {
        self.begun.is_some()
    }
}

impl Shed {
    /// What came since; who was denied is not told of.
    fn since(&self, before: &Self) -> Self {
        let less = |now: &[u64; Cause::COUNT], then: &[u64; Cause::COUNT]| {
            let mut counts = std::array::from_fn(|cause| now[cause].wrapping_sub(then[cause]));
            counts[Cause::Denied as usize] = 0;
            counts
        };
        Self {
            shed: less(&self.shed, &before.shed),
            spared: less(&self.spared, &before.spared),
        }
    }
}

/// `12 clients turned away (address 10, rate 2)`.
impl fmt::Display for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            (&self.shed, "turned away"),
            (&self.spared, "not turned away, for dry_run"),
        ];
        let mut first = true;
        for (counts, what) in groups {
            let sum = counts.iter().fold(0u64, |sum, one| sum.wrapping_add(*one));
            if sum == 0 {
                continue;
            }
            let noun = if sum == 1 { "client" } else { "clients" };
            let comma = if first { "" } else { "; " };
            first = false;
            write!(f, "{comma}{sum} {noun} {what} (")?;
            let mut causes = Cause::ALL
                .iter()
                .zip(counts)
                .filter(|(_, count)| **count > 0);
            if let Some((cause, count)) = causes.next() {
                write!(f, "{} {count}", cause.name())?;
            }
            causes.try_for_each(|(cause, count)| write!(f, ", {} {count}", cause.name()))?;
            f.write_str(")")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn head() -> Head {
        let words: Vec<AtomicU64> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        Head::new(words.leak())
    }

    const SECOND: u64 = 1_000_000;

    #[test]
    fn begin_and_end_are_told_once_each() {
        let (head, mut watch) = (head(), Watch::default());
        assert_eq!(watch.look(&head.look(), 0), None);
        head.note_denied();
        assert_eq!(watch.look(&head.look(), 0), None, "that is no news");
        assert!(head.note(Cause::Address, false, SECOND), "the first rings");
        assert!(!head.note(Cause::Rate, false, 2 * SECOND));
        let begun = watch.look(&head.look(), 2 * SECOND).unwrap();
        let News::Begun(counts) = begun else {
            panic!("{begun:?}")
        };
        assert_eq!(
            counts.to_string(),
            "2 clients turned away (rate 1, address 1)"
        );
        assert_eq!(watch.look(&head.look(), 3 * SECOND), None);
        assert!(
            !head.note(Cause::Address, false, 4 * SECOND),
            "told already"
        );
        assert_eq!(watch.look(&head.look(), 9 * SECOND - 1), None);
        let over = watch.look(&head.look(), 9 * SECOND).unwrap();
        let News::Over(counts, took) = over else {
            panic!("{over:?}")
        };
        assert_eq!(
            counts.to_string(),
            "3 clients turned away (rate 1, address 2)"
        );
        assert_eq!(took, Duration::from_secs(2));
        head.settle();
        assert_eq!(watch.look(&head.look(), 20 * SECOND), None);
        assert!(head.note(Cause::Full, true, 21 * SECOND), "anew");
        let News::Begun(counts) = watch.look(&head.look(), 21 * SECOND).unwrap() else {
            panic!("it began")
        };
        assert_eq!(
            counts.to_string(),
            "1 client not turned away, for dry_run (full 1)"
        );
    }

    /// However many at once, one rings.
    #[test]
    fn one_of_many_rings() {
        let head = head();
        let rings: usize = std::thread::scope(|scope| {
            let hands: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..1000)
                            .filter(|_| head.note(Cause::Rate, false, 1))
                            .count()
                    })
                })
                .collect();
            hands.into_iter().map(|hand| hand.join().unwrap()).sum()
        });
        assert_eq!(rings, 1);
        assert_eq!(head.look().counts.shed[Cause::Rate as usize], 4000);
    }
}
