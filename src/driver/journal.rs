//! The access log on its way out: lines wait in the worker for company, whole
//! lines go out in one call, and what cannot go out is counted.
//!
//! A line waits at most a second and until there are 32 KiB of them; whoever
//! may wait longer for something else writes them first. It is a driver's duty
//! to ask [`Lines::due`] before it waits. Where standard error is the log,
//! somebody looks on, and nothing is held back.

use crate::log::{Sink, TALLY, Torn};
use crate::sys::clock;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one lane that are not written yet.
#[derive(Debug, Default)]
pub struct Lines {
    /// Whole lines, each ended by `\n`.
    pub text: Vec<u8>,
    /// Since when the first of them waits.
    since: Option<Instant>,
}

impl Lines {
    /// Lines past this are written without waiting for a pause, in octets.
    const ENOUGH: usize = 32 * 1024;
    /// How old a line may be when a wait begins, and how long that wait may be
    /// then: half of the second that is promised.
    pub const HELD: Duration = Duration::from_millis(500);

    /// Takes note of what a protocol has written.
    pub fn note(&mut self, now: Instant) {
        if !self.text.is_empty() {
            self.since.get_or_insert(now);
        }
    }

    /// When they must be written; `None`: there are none.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + Self::HELD)
    }

    /// Whether there are so many that they should not wait for others.
    pub fn is_enough(&self) -> bool {
        self.text.len() >= Self::ENOUGH
    }

    /// Whether they should be written before a wait.
    pub fn are_due(&self, now: Instant, log: &AccessLog) -> bool {
        self.due().is_some_and(|due| due <= now || log.is_watched)
    }

    /// Writes them; answers how many went out.
    pub fn write(&mut self, log: &AccessLog) -> u64 {
        if self.text.is_empty() {
            return 0;
        }
        let written = log.write(&self.text);
        self.text.clear();
        self.since = None;
        // A burst of long ones need not be remembered.
        self.text.shrink_to(2 * Self::ENOUGH);
        written
    }
}

/// Where access-log lines go; shared by the threads of a worker.
#[derive(Debug)]
pub struct AccessLog {
    state: Mutex<State>,
    /// Whether anybody reads them.
    pub on: bool,
    /// Whether somebody looks on as they come.
    is_watched: bool,
}

#[derive(Debug)]
struct State {
    sink: Sink,
    /// The rest of a line whose beginning was written.
    torn: Torn,
    /// Lines that did not go out and were not told of yet.
    lost: u64,
    /// When it was told last, in seconds since 1970.
    told: i64,
}

impl AccessLog {
    /// Takes an open sink.
    pub fn new(sink: Sink) -> Self {
        Self {
            on: sink.is_on(),
            is_watched: matches!(sink, Sink::Stderr),
            state: Mutex::new(State {
                sink,
                torn: Torn::default(),
                lost: 0,
                told: 0,
            }),
        }
    }

    /// Opens the file anew, after it was moved away.
    ///
    /// # Errors
    /// What open(2) says.
    pub fn reopen(&self) -> std::io::Result<()> {
        self.lock().sink.reopen()
    }

    /// The descriptor behind it, where it is a file.
    pub fn file_descriptor(&self) -> Option<std::os::fd::RawFd> {
        self.lock().sink.file_descriptor()
    }

    /// The descriptor that a forked worker must keep.
    pub fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        self.lock().sink.descriptor()
    }

    /// Tells of lines that were lost and that nobody told of yet: the last
    /// thing that a worker says.
    pub fn settle(&self) {
        self.lock().tell();
    }

    fn write(&self, lines: &[u8]) -> u64 {
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        let mut state = self.lock();
        let State {
            sink, torn, lost, ..
        } = &mut *state;
        let missing = sink.batch(lines, torn);
        *lost += missing;
        if *lost > 0 && state.told != clock::wall().unix {
            state.tell();
        }
        count.saturating_sub(missing)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while lines were written leaves nothing that matters half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self) {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.told = clock::wall().unix;
            let noun = if lost == 1 { "line" } else { "lines" };
            match self.torn.error() {
                // A test waits for this line.
                Some(error) => {
                    log::warn!(target: TALLY, "access log: {lost} {noun} lost: {error}");
                }
                None => {
                    log::warn!(target: TALLY, "access log: {lost} {noun} lost: nobody takes them");
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::LogTarget;

    #[test]
    fn lines_wait_half_a_second_or_for_company() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = AccessLog::new(Sink::open(&LogTarget::File(path.clone())).unwrap());
        let (mut lines, now) = (Lines::default(), Instant::now());
        lines.note(now);
        assert!(!lines.are_due(now + Lines::HELD, &log), "there are none");
        lines.text.extend_from_slice(b"one\n");
        lines.note(now);
        lines.text.extend_from_slice(b"two\n");
        lines.note(now + Lines::HELD / 2);
        assert_eq!(lines.due(), Some(now + Lines::HELD), "the first one counts");
        assert!(!lines.are_due(now + Lines::HELD / 2, &log));
        assert!(lines.are_due(now + Lines::HELD, &log));
        assert_eq!(lines.write(&log), 2);
        assert_eq!(lines.due(), None);
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        lines.text.resize(Lines::ENOUGH, b'\n');
        lines.note(now);
        assert!(lines.is_enough() && !lines.are_due(now, &log));
        let watched = AccessLog::new(Sink::Stderr);
        assert!(lines.are_due(now, &watched), "somebody looks on");
    }

    #[test]
    fn what_is_lost_is_counted() {
        let path = "/dev/full".into();
        let log = AccessLog::new(Sink::open(&LogTarget::File(path)).unwrap());
        log.lock().told = clock::wall().unix;
        assert_eq!(log.write(b"one\ntwo\n"), 0);
        log.write(b"three\n");
        // Told at once only where the second has changed meanwhile.
        assert!([3, 1, 0].contains(&log.lock().lost));
        log.lock().lost = 3;
        log.settle();
        let state = log.lock();
        assert_eq!(state.lost, 0);
        assert_eq!(
            state.torn.error().unwrap().kind(),
            std::io::ErrorKind::StorageFull
        );
    }
}
