//! Where messages go: one line an event, tagged with role and pid.
//!
//! The lines pass through the `log` façade, so every module just says
//! `log::info!`. This module owes them a place, whole lines, and no wait: a
//! stalled reader of stderr or a dead syslog daemon costs lines, which are
//! counted and reported, never time. It must never be able to fail a caller,
//! nor let one fill the disk with the same line (`repeats`).
//!
//! A process that was forked begins anew: what its parent has counted is its
//! parent's to tell.

mod batch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod line;
mod relay;
mod repeats;
mod sink;

pub use batch::Torn;
pub use relay::{Voice, relay};
pub use sink::{Sink, stderr_is_watched};

use crate::config::{self, LogFormat};
use crate::sys::clock;
use line::{Line, Speaker};
use log::kv::Source;
use log::{Level, LevelFilter, Metadata, Record};
use repeats::{Notice, Repeats};
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Whether there is something that was not told yet.
static OWES: AtomicBool = AtomicBool::new(false);

/// The target (in the sense of the crate `log`) of lines that have a number of
/// others in them: they are never taken for the same as the one before, for
/// whoever reads them sums them up.
pub const TALLY: &str = "tally";

/// An open log: where lines go, in which form, and which.
#[derive(Debug)]
pub struct Output {
    sink: Sink,
    format: LogFormat,
    level: LevelFilter,
}

impl Output {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// As [`Sink::open`].
    pub fn open(log: &config::Log) -> io::Result<Self> {
        Ok(Self {
            sink: Sink::open(&log.to)?,
            format: log.format,
            level: log.level,
        })
    }

    /// The same once more, for a process that is about to part from this one.
    ///
    /// # Errors
    /// As dup(2).
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            sink: self.sink.try_clone()?,
            format: self.format,
            level: self.level,
        })
    }

    /// Opens a file anew, after it was moved away.
    ///
    /// # Errors
    /// As [`Sink::reopen`]; the old file stays in use.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.sink.reopen()
    }

    /// The descriptor that a forked worker must keep.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.sink.descriptor()
    }

    /// The descriptor of a file, which may be rotated.
    pub fn file_descriptor(&self) -> Option<RawFd> {
        self.sink.file_descriptor()
    }
}

/// Starts logging to `target`; later calls redirect it.
///
/// # Errors
/// Where the target cannot be opened; then what was in force stays in force.
pub fn start(target: &config::Log) -> io::Result<()> {
    install(Output::open(target)?);
    Ok(())
}

/// As [`start`], with a log that is open already.
pub fn install(output: Output) {
    let Output {
        sink,
        format,
        level,
    } = output;
    let logger = LOGGER.get_or_init(|| Logger {
        state: Mutex::new(State::new()),
    });
    let mut state = logger.lock();
    // What was counted for the one is told there.
    state.finish();
    (state.sink, state.format) = (sink, format);
    state.torn = Torn::default();
    drop(state);
    // Only the first call can succeed; the logger stays the same one.
    let _ = log::set_logger(logger);
    log::set_max_level(level);
}

/// Says in each line from now on that a worker speaks: `web[0]`.
pub fn set_worker(pool: &str, slot: usize) {
    if let Some(logger) = LOGGER.get() {
        logger.lock().speaker = Speaker::Worker(pool.to_owned(), slot);
    }
}

/// Tells of lines that were counted, as far as it is time. To be called now and
/// then by whoever has something to do anyway; costs next to nothing.
pub fn tick(now: Instant) {
    if OWES.load(Ordering::Relaxed)
        && let Some(logger) = LOGGER.get()
    {
        logger.lock().settle(now);
    }
}

/// Tells of all lines that were counted: the process leaves.
pub fn finish() {
    if OWES.load(Ordering::Relaxed)
        && let Some(logger) = LOGGER.get()
    {
        logger.lock().finish();
    }
}

/// Opens the log file anew, after it was moved away.
///
/// # Errors
/// Where it cannot be opened; lines go on to the old file.
pub fn reopen() -> io::Result<()> {
    LOGGER
        .get()
        .map_or(Ok(()), |logger| logger.lock().sink.reopen())
}

/// The descriptor that a forked worker must keep.
pub fn descriptor() -> Option<RawFd> {
    LOGGER
        .get()
        .and_then(|logger| logger.lock().sink.descriptor())
}

/// The descriptor of the log, where it is a file, which may be rotated.
pub fn file_descriptor() -> Option<RawFd> {
    let logger = LOGGER.get()?;
    logger.lock().sink.file_descriptor()
}

#[derive(Debug)]
struct Logger {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sink: Sink,
    format: LogFormat,
    speaker: Speaker,
    /// Whose all this is.
    pid: u32,
    torn: Torn,
    repeats: Repeats,
    /// Lines that did not go out and were not told of yet.
    lost: u64,
}

impl Logger {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while a line was written leaves nothing half-done that matters.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.be_ours();
        state
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Before the lock: what is written may itself have something to say.
        let text = record.args().to_string();
        let fields = record.key_values();
        self.lock().hear(
            Instant::now(),
            record.level(),
            &text,
            &fields,
            record.target() == TALLY,
        );
    }

    fn flush(&self) {}
}

impl State {
    fn new() -> Self {
        Self {
            sink: Sink::Off,
            format: LogFormat::Text,
            speaker: Speaker::Master,
            pid: std::process::id(),
            torn: Torn::default(),
            repeats: Repeats::default(),
            lost: 0,
        }
    }

    /// In a process that was forked since, forgets what is its parent's.
    fn be_ours(&mut self) {
        let pid = std::process::id();
        if self.pid != pid {
            self.pid = pid;
            self.torn = Torn::default();
            self.repeats = Repeats::default();
            self.lost = 0;
        }
    }

    fn hear(&mut self, now: Instant, level: Level, text: &str, fields: &dyn Source, tally: bool) {
        self.settle(now);
        // Nobody asks for debug lines who does not want them all.
        let written = if level > Level::Info {
            true
        } else {
            let always = self.speaker.is_master() && level <= Level::Warn;
            if tally {
                self.repeats.hear_news(now, level, always)
            } else {
                let (written, notice) = self.repeats.hear(now, level, text, always);
                self.tell(notice);
                written
            }
        };
        if written {
            self.write(level, text, fields);
        }
        OWES.store(self.repeats.owes(), Ordering::Relaxed);
    }

    /// Tells what is to be told by now.
    fn settle(&mut self, now: Instant) {
        let notices = self.repeats.due(now);
        self.tell(notices);
        OWES.store(self.repeats.owes(), Ordering::Relaxed);
    }

    /// As [`State::settle`], whenever it was.
    fn finish(&mut self) {
        let notices = self.repeats.finish();
        self.tell(notices);
        OWES.store(false, Ordering::Relaxed);
    }

    fn tell(&mut self, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            self.write(notice.level(), &notice.to_string(), &NO_FIELDS);
        }
    }

    fn write(&mut self, level: Level, text: &str, fields: &dyn Source) {
        if self.lost > 0 {
            let apology = format!(
                "{} log lines were lost: the reader was too slow or gone",
                self.lost
            );
            if self.put(Level::Warn, &apology, &NO_FIELDS) {
                self.lost = 0;
            }
        }
        if !self.put(level, text, fields) {
            self.lost += 1;
        }
    }

    fn put(&mut self, level: Level, text: &str, fields: &dyn Source) -> bool {
        if !self.sink.is_on() {
            return true;
        }
        let line = Line {
            wall: &clock::wall(),
            pid: self.pid,
            speaker: &self.speaker,
            level,
            text,
            fields,
        };
        self.sink.write(&line, self.format, &mut self.torn)
    }
}

const NO_FIELDS: [(&str, u8); 0] = [];
