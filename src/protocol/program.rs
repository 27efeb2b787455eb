//! What a protocol says about a program that it wants run, and what it hears
//! of it. Data alone: starting, feeding and ending it is the driver's work.
//!
//! A program is a second peer of the connection. Its standard input is the
//! [`Content`] that the protocol gathered before, whole, so that nobody waits
//! for anybody: a program that reads nothing and one that writes without end
//! are the same to us. Its output comes in [`Turn::program`](super::Turn), a
//! bounded buffer that is filled only while the client takes what came before.
//!
//! ```text
//!   Run ─▶ Started ─▶ Hear ─▶ Wrote ─▶ Hear … ─▶ Ended
//!    └─▶ NotStarted    └─▶ TimedOut, Broken ─▶ Close
//! ```
//!
//! A connection that is closed takes its program along.

use super::Subject;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A program to be run, in the directory that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program<'p> {
    /// Index into the service's list of roots.
    pub root: usize,
    /// The path below the root, NUL-free, without a leading slash.
    pub path: &'p [u8],
    /// Its whole environment: `NAME=value`, each ended by NUL (environ(7)).
    pub environment: &'p [u8],
    /// What it may use.
    pub limits: ProgramLimits,
    /// For whom it is run, for lines of the log.
    pub subject: Option<Subject>,
}

/// What a program may use, and how many of its kind there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramLimits {
    /// Programs at once in one worker.
    pub children: u32,
    /// Address space, in octets (RLIMIT_AS); `None` is no limit of ours.
    pub memory: Option<u64>,
    /// Processor time, in whole seconds (RLIMIT_CPU); `None` is no limit of ours.
    pub processor_time: Option<Duration>,
    /// Added to the nice value, 0..=19 (setpriority(2)).
    pub nice: u8,
    /// How long it may take until it runs: a file may lie where nobody answers.
    /// Where nothing else is done meanwhile, as long as a worker may hang.
    pub start: Duration,
    /// How long one that shall end has between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// What is heard of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramNews {
    /// It runs.
    Started,
    /// It does not.
    NotStarted(RunError),
    /// At least one octet was added to [`Turn::program`](super::Turn).
    Wrote,
    /// It has ended, and all that it wrote was told.
    Ended(ProgramEnd),
}

/// Why a program was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunError {
    /// There is no file of that name.
    NotFound,
    /// It is no file, or may not be executed.
    Denied,
    /// The path leads out of the root.
    Escapes,
    /// [`ProgramLimits::children`] run already.
    Busy,
    /// EMFILE, ENFILE, EAGAIN, ENOMEM: try again later.
    Exhausted,
    /// It was not started within [`ProgramLimits::start`].
    Late,
    /// Anything else.
    Failed,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramEnd {
    /// With this status, 0..=255.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// Its output was at an end, it was not, and it was ended by us.
    Stopped,
}

/// What a program will find on its standard input, gathered before it runs.
///
/// All that the connections of a worker have gathered is counted together, so
/// that many slow uploads cannot take more memory than was granted.
#[derive(Debug, Default)]
pub struct Content {
    /// What the driver has not put elsewhere yet.
    held: Vec<u8>,
    length: u64,
    /// The sum over the worker.
    worker: Arc<AtomicU64>,
}

impl Content {
    /// How much is held before the driver should put it elsewhere, in octets.
    pub const ENOUGH: usize = 64 * 1024;

    /// Nothing yet; `worker` counts for all connections of one worker.
    pub fn counted_by(worker: Arc<AtomicU64>) -> Self {
        Self {
            held: Vec::new(),
            length: 0,
            worker,
        }
    }

    /// Adds `bytes`, unless the worker would then have gathered more than
    /// `most` octets; answers whether it did.
    pub fn push(&mut self, bytes: &[u8], most: u64) -> bool {
        let more = bytes.len() as u64;
        let before = self.worker.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > most {
            self.worker.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.held.extend_from_slice(bytes);
        self.length += more;
        true
    }

    /// How much was added since the last [`Content::clear`], in octets.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What is held here, for the driver: it leaves with [`Content::put_away`].
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// What was held has a copy elsewhere.
    pub fn put_away(&mut self) {
        self.held.clear();
    }

    /// Forgets everything, the memory too.
    pub fn clear(&mut self) {
        if self.length > 0 {
            self.worker.fetch_sub(self.length, Ordering::Relaxed);
            self.length = 0;
            self.held = Vec::new();
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_counted_over_the_worker() {
        let worker = Arc::new(AtomicU64::new(0));
        let mut one = Content::counted_by(Arc::clone(&worker));
        let mut other = Content::counted_by(Arc::clone(&worker));
        assert!(one.push(b"abcdef", 10));
        assert!(!other.push(b"abcde", 10), "eleven octets");
        assert!(other.push(b"abcd", 10));
        assert_eq!((one.len(), other.len()), (6, 4));
        one.put_away();
        assert_eq!((one.held(), one.len()), (&b""[..], 6));
        one.clear();
        assert!(other.push(b"abcdef", 10));
        drop(other);
        assert_eq!(worker.load(Ordering::Relaxed), 0);
    }
}
