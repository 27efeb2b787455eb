//! Lines that come again and again: which of them are written. Pure.
//!
//! Two things protect the disk and whoever reads. The same line (level and
//! text) is written [`IN_FULL`] times within a [`WINDOW`]; then it is counted,
//! and told of once, with its number, when the window is over or the process
//! leaves. And a process writes at most [`MOST`] lines a second, whatever they
//! say; what is over that is counted as well. Lines that differ in a number are
//! not the same: whoever writes them in a loop has to count for himself.
//!
//! Owes that none is forgotten: what was not written is in some count.

use log::Level;
use std::fmt;
use std::time::{Duration, Instant};

/// How often the same line is written within a [`WINDOW`]: an operator who
/// asks for the same thing again sees that he did.
const IN_FULL: u32 = 3;
/// For so long after the first one the same line is counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Lines of one process in a second.
const MOST: u32 = 200;
const SECOND: Duration = Duration::from_secs(1);
/// Lines that are kept apart.
const KNOWN: usize = 8;
/// A longer one, in octets, is taken for another each time: what makes it long
/// is a client's, and is not kept.
const LONGEST: usize = 1024;

/// What this process has written of late, and what it has not.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: Vec<Known>,
    second: Option<Instant>,
    written: u32,
    dropped: u64,
    /// Whether a warning was among the dropped.
    graver: bool,
}

#[derive(Debug)]
struct Known {
    level: Level,
    text: String,
    first: Instant,
    times: u32,
    untold: u64,
}

/// What has to be told in place of lines that were not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The same line.
    Same {
        /// Its level.
        level: Level,
        /// It.
        text: String,
        /// How often it was not written, at least once.
        times: u64,
    },
    /// Lines of all sorts.
    Flood {
        /// How many, at least one.
        lines: u64,
        /// The gravest of their levels, but no graver than a warning.
        level: Level,
    },
}

impl Notice {
    pub(super) fn level(&self) -> Level {
        match self {
            Self::Same { level, .. } | Self::Flood { level, .. } => *level,
        }
    }
}

impl fmt::Display for Notice {
    // Tests wait for these lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same { text, times, .. } => {
                let seconds = WINDOW.as_secs();
                write!(f, "{text} ({times} more of the same within {seconds} s)")
            }
            Self::Flood { lines, .. } => {
                let noun = if *lines == 1 {
                    "line was"
                } else {
                    "lines were"
                };
                write!(
                    f,
                    "{lines} {noun} not written: more than {MOST} in a second"
                )
            }
        }
    }
}

impl Repeats {
    /// Whether a line is written, and what has to be told of another one whose
    /// place it takes. With `always` the number of lines in this second does not
    /// matter. Ask [`Repeats::due`] first.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        level: Level,
        text: &str,
        always: bool,
    ) -> (bool, Option<Notice>) {
        if text.len() > LONGEST {
            return (self.hear_news(now, level, always), None);
        }
        let same = |one: &&mut Known| one.level == level && one.text == text;
        if let Some(known) = self.known.iter_mut().find(same) {
            if known.times >= IN_FULL {
                known.untold += 1;
                return (false, None);
            }
            known.times += 1;
            return (self.hear_news(now, level, always), None);
        }
        if !self.hear_news(now, level, always) {
            return (false, None);
        }
        // They stand in the order of their first.
        let full = self.known.len() == KNOWN;
        let gone = full.then(|| self.known.remove(0)).and_then(notice);
        self.known.push(Known {
            level,
            text: text.to_owned(),
            first: now,
            times: 1,
            untold: 0,
        });
        (true, gone)
    }

    /// As [`Repeats::hear`], for lines that are news each time, such as those
    /// that have a number of others in them and are summed up by their reader.
    pub(super) fn hear_news(&mut self, now: Instant, level: Level, always: bool) -> bool {
        let may = self.may_write(now, always);
        if !may {
            self.dropped += 1;
            self.graver |= level <= Level::Warn;
        }
        may
    }

    /// What is over, and is to be told now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Notice> {
        let over = |known: &mut Known| now.saturating_duration_since(known.first) >= WINDOW;
        let mut notices: Vec<Notice> = self.known.extract_if(.., over).filter_map(notice).collect();
        if self.is_past(now) {
            notices.extend(self.flood());
        }
        notices
    }

    /// All that was not told: the process leaves, or lines go elsewhere.
    pub(super) fn finish(&mut self) -> Vec<Notice> {
        let known = std::mem::take(&mut self.known);
        let mut notices: Vec<Notice> = known.into_iter().filter_map(notice).collect();
        notices.extend(self.flood());
        notices
    }

    /// Whether something was not told.
    pub(super) fn owes(&self) -> bool {
        self.dropped > 0 || self.known.iter().any(|known| known.untold > 0)
    }

    fn is_past(&self, now: Instant) -> bool {
        self.second
            .is_none_or(|since| now.saturating_duration_since(since) >= SECOND)
    }

    fn may_write(&mut self, now: Instant, always: bool) -> bool {
        if self.is_past(now) {
            (self.second, self.written) = (Some(now), 0);
        }
        let may = self.written < MOST || always;
        self.written += u32::from(self.written < MOST);
        may
    }

    fn flood(&mut self) -> Option<Notice> {
        let lines = std::mem::take(&mut self.dropped);
        let graver = std::mem::take(&mut self.graver);
        let level = if graver { Level::Warn } else { Level::Info };
        (lines > 0).then_some(Notice::Flood { lines, level })
    }
}

fn notice(known: Known) -> Option<Notice> {
    let Known {
        level,
        text,
        untold,
        ..
    } = known;
    (untold > 0).then_some(Notice::Same {
        level,
        text,
        times: untold,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the logger does it; answers how many lines were written, and how many
    /// are in the counts of notices.
    fn say(
        repeats: &mut Repeats,
        now: Instant,
        level: Level,
        text: &str,
        always: bool,
    ) -> (u64, u64) {
        let mut notices = repeats.due(now);
        let (written, more) = repeats.hear(now, level, text, always);
        notices.extend(more);
        (u64::from(written), counted(&notices))
    }

    fn counted(notices: &[Notice]) -> u64 {
        let of = |notice: &Notice| match notice {
            Notice::Same { times, .. } => *times,
            Notice::Flood { lines, .. } => *lines,
        };
        notices.iter().map(of).sum()
    }

    #[test]
    fn the_same_is_counted_for_a_window() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let mut written = 0;
        for _ in 0..15 {
            written += say(&mut repeats, now, Level::Warn, "a", false).0;
        }
        assert_eq!(written, u64::from(IN_FULL));
        assert!(repeats.owes());
        // Neither another text nor another level is the same.
        assert_eq!(say(&mut repeats, now, Level::Warn, "b", false), (1, 0));
        assert_eq!(say(&mut repeats, now, Level::Info, "a", false), (1, 0));
        assert_eq!(repeats.due(now + WINDOW - Duration::from_nanos(1)), []);
        let notices = repeats.due(now + WINDOW);
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].level(), Level::Warn);
        assert_eq!(
            notices[0].to_string(),
            "a (12 more of the same within 10 s)"
        );
        assert!(!repeats.owes() && repeats.finish().is_empty());
        assert_eq!(
            say(&mut repeats, now + WINDOW, Level::Warn, "a", false),
            (1, 0)
        );
    }

    #[test]
    fn a_flood_is_cut_at_its_second_but_for_what_is_always_written() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let mut written = 0;
        for number in 0..1000 {
            let text = number.to_string();
            written += say(&mut repeats, now, Level::Info, &text, false).0;
        }
        assert_eq!(written, u64::from(MOST));
        assert_eq!(say(&mut repeats, now, Level::Error, "x", true).0, 1);
        assert!(!repeats.hear_news(now, Level::Warn, false));
        let notices = repeats.due(now + SECOND);
        let expected = Notice::Flood {
            lines: 801,
            level: Level::Warn,
        };
        assert_eq!(notices, [expected]);
        assert_eq!(
            notices[0].to_string(),
            "801 lines were not written: more than 200 in a second"
        );
        assert_eq!(
            say(&mut repeats, now + SECOND, Level::Info, "y", false),
            (1, 0)
        );
    }

    #[test]
    fn long_lines_are_not_kept() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let long = "x".repeat(LONGEST + 1);
        for _ in 0..5 {
            assert_eq!(say(&mut repeats, now, Level::Info, &long, false), (1, 0));
        }
        assert!(repeats.known.is_empty());
    }

    proptest! {
        #[test]
        fn none_is_forgotten(lines in proptest::collection::vec((0u8..20, 0u64..3000, any::<bool>()), 1..600)) {
            let (mut repeats, mut now) = (Repeats::default(), Instant::now());
            let (mut written, mut told) = (0, 0);
            for (number, pause, always) in &lines {
                // Mostly at once, sometimes after seconds.
                now += Duration::from_millis(pause.saturating_sub(2900) * 100);
                let (one, more) = say(&mut repeats, now, Level::Info, &number.to_string(), *always);
                written += one;
                told += more;
            }
            told += counted(&repeats.finish());
            prop_assert_eq!(written + told, lines.len() as u64);
            prop_assert!(!repeats.owes());
        }
    }
}
