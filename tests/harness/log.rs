//! The lines that a program writes, kept, and waited for.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one program, from as many pipes as are followed.
#[derive(Clone, Default)]
pub(crate) struct Log {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    /// Pipes whose end has not come.
    open: usize,
}

impl Log {
    /// Collects what comes from `pipe`, until its end, in a thread of its own.
    pub(crate) fn follow(&self, pipe: impl Read + AsFd + Send + 'static) {
        let log = self.clone();
        // The server waits for no reader: on a busy machine this one must not
        // lose the line that somebody waits for.
        let _ = nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20));
        self.lock().open += 1;
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                log.lock().lines.push(text);
                log.shared.1.notify_all();
                line.clear();
            }
            log.lock().open -= 1;
            log.shared.1.notify_all();
        });
    }

    /// Waits until every line is here: nobody can write one any more. Whoever
    /// counts lines, or looks for one that must not be there, waits for this first.
    pub(crate) fn wait_for_end(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut lines = self.lock();
        while lines.open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                panic!("somebody has the log open still:\n{self}");
            }
            let waited = self.shared.1.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// How many lines so far, to wait for one that comes after.
    pub(crate) fn mark(&self) -> usize {
        self.lock().lines.len()
    }

    /// The first line that contains `pattern`, now or within `patience`.
    pub(crate) fn wait_for(&self, pattern: &str, patience: Duration) -> String {
        self.wait_for_after(0, pattern, patience)
    }

    /// As [`Log::wait_for`], among the lines from number `mark` on.
    pub(crate) fn wait_for_after(&self, mark: usize, pattern: &str, patience: Duration) -> String {
        self.try_wait_for(mark, pattern, patience)
            .unwrap_or_else(|| {
                panic!("no line with {pattern:?} within {patience:?} in:\n{self}");
            })
    }

    /// As [`Log::wait_for_after`]; `None` where the line did not come.
    pub(crate) fn try_wait_for(
        &self,
        mark: usize,
        pattern: &str,
        patience: Duration,
    ) -> Option<String> {
        let deadline = Instant::now() + patience;
        let mut lines = self.lock();
        loop {
            let new = lines.lines.get(mark..).unwrap_or_default();
            if let Some(found) = new.iter().find(|line| line.contains(pattern)) {
                return Some(found.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.shared.1.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The lines that complain, but for those that hold one of `expected`.
    pub(crate) fn complaints(&self, expected: &[String]) -> Vec<String> {
        let unexpected = |line: &String| {
            is_complaint(line) && !expected.iter().any(|pattern| line.contains(pattern))
        };
        self.lines().into_iter().filter(unexpected).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lock()
            .lines
            .iter()
            .try_for_each(|line| writeln!(f, "  | {line}"))
    }
}

/// Whether a line is of a level that wants somebody's attention:
/// `2026-01-31 10:00:00.000 +0000 [17] web[0] error: …`; also a message that
/// no log is there for yet (`preforkd: …`), and a panic.
fn is_complaint(line: &str) -> bool {
    let message = line.split_once("] ").map_or(line, |(_, message)| message);
    let head = message.split_once(": ").map_or(message, |(head, _)| head);
    head.ends_with(" error")
        || head.ends_with(" warn")
        || line.contains("panicked at")
        || (line.starts_with("preforkd: ") && !line.starts_with("preforkd: listening on"))
}
