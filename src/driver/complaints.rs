//! Lines of the error log that clients can provoke: as many as a person reads,
//! the others counted.

use crate::protocol::{CloseReason, OpenError, Peer, Subject};
use log::Level;
use log::kv::Value;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many such lines a worker writes in a [`WINDOW`].
const MOST: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// Grants such lines, to all lanes of one worker.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the window began, and how many lines were written in it.
    since: Option<Instant>,
    written: u32,
    suppressed: u64,
    /// Whether a warning was among them.
    graver: bool,
}

impl Complaints {
    /// Whether a line of this level may be written now. What was not said
    /// before is told first. Lines that nobody wants to read do not count.
    pub fn may_speak(&self, level: Level, now: Instant) -> bool {
        log::log_enabled!(level) && self.grant(level, now)
    }

    fn grant(&self, level: Level, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = |since| now.saturating_duration_since(since) < WINDOW;
        if !state.since.is_some_and(current) {
            (state.since, state.written) = (Some(now), 0);
            state.tell();
        }
        let may = state.written < MOST;
        if may {
            state.written += 1;
        } else {
            state.suppressed += 1;
            state.graver |= level <= Level::Warn;
        }
        may
    }

    /// Tells how many lines were not written, if the window in which that was
    /// is over.
    pub fn settle(&self, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state
            .since
            .is_some_and(|since| now.saturating_duration_since(since) >= WINDOW)
        {
            state.tell();
        }
    }

    /// As [`Complaints::settle`], whenever it was: the worker leaves.
    pub fn finish(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.tell();
    }
}

impl State {
    fn tell(&mut self) {
        if self.suppressed > 0 {
            let count = std::mem::take(&mut self.suppressed);
            let level = if std::mem::take(&mut self.graver) {
                Level::Warn
            } else {
                Level::Info
            };
            // A test waits for this line.
            log::log!(
                target: crate::log::TALLY,
                level,
                "{count} more complaints about requests were not written"
            );
        }
    }
}

/// Whom a line is about: a request, or a connection that made none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'p>(pub(super) &'p Peer, pub(super) Option<Subject>);

impl Who<'_> {
    /// The client's address, for the fields of a line.
    fn client(&self) -> Value<'_> {
        let address = match &self.1 {
            Some(subject) => subject.client.as_ref().map(Value::from_display),
            None => self.0.remote.as_ref().map(Value::from_display),
        };
        address.unwrap_or_else(|| Value::from("unix:"))
    }

    /// The name of its request, for the fields of a line.
    fn request_id(&self) -> Value<'_> {
        let subject = self.1.as_ref();
        subject.map_or_else(Value::null, |one| Value::from_display(&one.request))
    }
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(subject) => subject.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

/// Says why a connection ended. A client that breaks a rule is news, but no
/// trouble of ours; what is trouble is a warning; the rest is for those who
/// ask for debug lines.
pub(super) fn report(complaints: &Complaints, who: Who<'_>, reason: CloseReason, now: Instant) {
    let level = match reason {
        CloseReason::Refused(_) => Level::Info,
        CloseReason::Program(_) | CloseReason::Internal | CloseReason::Truncated => Level::Warn,
        CloseReason::Complete
        | CloseReason::PeerClosed
        | CloseReason::CutShort
        | CloseReason::Idle
        | CloseReason::RequestTimeout
        | CloseReason::BodyTimeout
        | CloseReason::SlowBody
        | CloseReason::WriteStalled
        | CloseReason::SlowReader
        | CloseReason::Reset
        | CloseReason::RequestLimit
        | CloseReason::Draining
        | CloseReason::Overflow => Level::Debug,
    };
    if level < Level::Debug && !complaints.may_speak(level, now) {
        return;
    }
    let name = reason.name();
    match reason.rule() {
        // Tests wait for this line.
        Some(rule) => log::log!(
            level,
            client = who.client(), request_id = who.request_id(), reason = name, rule = rule;
            "{who}: closed: {name}: {rule}"
        ),
        None => log::log!(
            level,
            client = who.client(), request_id = who.request_id(), reason = name;
            "{who}: closed: {name}"
        ),
    }
}

/// Says why a file that is there was not opened; that there is none is no
/// trouble of ours.
pub(super) fn report_open(
    complaints: &Complaints,
    who: Who<'_>,
    path: &[u8],
    error: OpenError,
    now: Instant,
) {
    let (level, why) = match error {
        OpenError::NotFound => return,
        OpenError::Denied => (Level::Info, "permission denied"),
        OpenError::Escapes => (Level::Info, "it leads out of the root"),
        OpenError::Exhausted => (
            Level::Warn,
            "out of descriptors or memory, or leased to somebody",
        ),
        OpenError::Failed => (Level::Warn, "it cannot be opened"),
    };
    if complaints.may_speak(level, now) {
        // A test waits for this line.
        log::log!(
            level,
            client = who.client(), request_id = who.request_id();
            "{who}: open {}: {why}",
            path.escape_ascii()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_ends_with_its_second() {
        let (complaints, now) = (Complaints::default(), Instant::now());
        let granted = (0..100)
            .filter(|_| complaints.grant(Level::Info, now))
            .count();
        assert_eq!(granted, 20);
        let suppressed = || complaints.0.lock().map(|state| state.suppressed).ok();
        assert_eq!(suppressed(), Some(80));
        complaints.settle(now + WINDOW / 2);
        assert_eq!(suppressed(), Some(80), "it still goes on");
        complaints.settle(now + WINDOW);
        assert_eq!(suppressed(), Some(0), "told");
        assert!(complaints.grant(Level::Info, now + WINDOW));
        for _ in 0..20 {
            complaints.grant(Level::Info, now + WINDOW);
        }
        assert_eq!(suppressed(), Some(1));
        complaints.finish();
        assert_eq!(suppressed(), Some(0));
    }
}
