//! Datagrams that got no answer though there was one to give: how many, and why.
//!
//! Owes a line when that begins, one now and then while it lasts (after a second,
//! then after two, four … up to a minute), and one when it is over, with all that
//! was counted. Whoever sends the datagrams has no say in how many lines there are.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// For so long there must be none until it is over.
const QUIET: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);

/// Why a datagram got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The rules of the pool do not let its source in.
    Denied,
    /// Its source has had as many as it may.
    Rate,
    /// It comes from a port behind which is likely to be a service that answers
    /// whatever it gets.
    Reflector,
    /// It was sent to a broadcast address or a group, or says to come from one.
    NotUnicast,
    /// It was larger than any room.
    Cut,
    /// The kernel had no room for the answer.
    Full,
    /// The kernel refused the answer otherwise.
    Unsendable,
}

impl Why {
    /// How many there are.
    pub(super) const COUNT: usize = 7;
    /// Each of them.
    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Denied,
        Self::Rate,
        Self::Reflector,
        Self::NotUnicast,
        Self::Cut,
        Self::Full,
        Self::Unsendable,
    ];

    // Tests wait for these words.
    fn name(self) -> &'static str {
        match self {
            Self::Denied => "from those who may not ask",
            Self::Rate => "over the rate of their source",
            Self::Reflector => "from ports that answer by themselves",
            Self::NotUnicast => "to or from a broadcast address or a group",
            Self::Cut => "too large",
            Self::Full => "with no room for the answer",
            Self::Unsendable => "whose answer the kernel refused",
        }
    }
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts([u64; Why::COUNT]);

impl Counts {
    /// One more.
    pub(super) fn add(&mut self, why: Why, count: u64) {
        self.0[why as usize] += count;
    }

    /// How many for this reason.
    pub(super) fn of(&self, why: Why) -> u64 {
        self.0[why as usize]
    }

    /// How many there are.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = Why::ALL.into_iter().filter(|why| self.of(*why) > 0);
        for (index, why) in some.enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{} {}", self.of(why), why.name())?;
        }
        Ok(())
    }
}

/// What there is to say, and when.
#[derive(Debug, Default)]
pub(super) struct Tally(Option<Spell>);

/// A time in which datagrams got no answer.
#[derive(Debug)]
struct Spell {
    began: Instant,
    last: Instant,
    /// When a line is due, and how long after it the next one.
    next: Instant,
    step: Duration,
    all: Counts,
    untold: Counts,
}

impl Tally {
    /// A batch is done, with so many of these, the last one from `source`; answers
    /// a line if there is one to write.
    pub(super) fn note(
        &mut self,
        counts: Counts,
        source: Option<IpAddr>,
        now: Instant,
    ) -> Option<String> {
        if counts.total() == 0 {
            return None;
        }
        let Some(spell) = &mut self.0 else {
            self.0 = Some(Spell {
                began: now,
                last: now,
                next: now + QUIET,
                step: QUIET,
                all: counts,
                untold: Counts::default(),
            });
            let from = source.map(|source| format!(" (of {source})"));
            let from = from.unwrap_or_default();
            return Some(format!("datagrams without an answer: {counts}{from}"));
        };
        spell.last = now;
        for why in Why::ALL {
            spell.all.add(why, counts.of(why));
            spell.untold.add(why, counts.of(why));
        }
        None
    }

    /// Time goes by; answers a line if there is one to write.
    pub(super) fn tick(&mut self, now: Instant) -> Option<String> {
        let spell = self.0.as_mut()?;
        if now.saturating_duration_since(spell.last) >= QUIET {
            return self.finish();
        }
        if spell.untold.total() == 0 || now < spell.next {
            return None;
        }
        let untold = std::mem::take(&mut spell.untold);
        spell.step = (spell.step * 2).min(MOST);
        spell.next = now + spell.step;
        Some(format!("datagrams without an answer: {untold}"))
    }

    /// It is over, or nobody will be there to see it; answers a line if there is
    /// one to write.
    pub(super) fn finish(&mut self) -> Option<String> {
        let spell = self.0.take()?;
        let span = spell.last.saturating_duration_since(spell.began);
        let (all, seconds) = (spell.all, span.as_secs_f32());
        Some(format!(
            "datagrams without an answer: no more; in {seconds:.1} s there were {all}"
        ))
    }

    /// Whether there is something left to say.
    pub(super) fn is_silent(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn counts(of: &[(Why, u64)]) -> Counts {
        let mut counts = Counts::default();
        of.iter().for_each(|(why, count)| counts.add(*why, *count));
        counts
    }

    #[test]
    fn a_flood_is_told_at_its_beginning_now_and_then_and_at_its_end() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        assert_eq!(tally.note(Counts::default(), None, start), None);
        assert!(tally.is_silent());
        let one = counts(&[(Why::Rate, 1)]);
        let source = Some([192, 0, 2, 1].into());
        assert_eq!(
            tally.note(one, source, start).as_deref(),
            Some("datagrams without an answer: 1 over the rate of their source (of 192.0.2.1)")
        );
        let mut told = Vec::new();
        for tenth in 1..=1800 {
            let now = start + tenth * Duration::from_millis(100);
            assert_eq!(tally.note(one, source, now), None);
            if tally.tick(now).is_some() {
                told.push(tenth);
            }
        }
        assert_eq!(told, [10, 30, 70, 150, 310, 630, 1230]);
        let end = start + Duration::from_secs(180);
        assert_eq!(tally.tick(end + QUIET / 2), None, "it may go on");
        assert_eq!(
            tally.tick(end + QUIET).as_deref(),
            Some(
                "datagrams without an answer: no more; in 180.0 s there were 1801 over the rate of their source"
            )
        );
        assert!(tally.is_silent() && tally.finish().is_none());
    }

    #[test]
    fn each_reason_has_its_count() {
        let all: Vec<_> = Why::ALL.iter().map(|why| (*why, *why as u64 + 1)).collect();
        let counts = counts(&all);
        assert_eq!(counts.total(), 28);
        let text = counts.to_string();
        assert!(
            text.starts_with("1 from those who may not ask, 2 over the rate of their source, 3"),
            "{text}"
        );
        assert!(
            text.ends_with("7 whose answer the kernel refused"),
            "{text}"
        );
    }
}
