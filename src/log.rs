//! Where messages go: one line an event, tagged with role and pid.
//!
//! The lines pass through the `log` façade, so every module just says
//! `log::info!`. This module owes them a place, whole lines, and no wait: a
//! stalled reader of stderr or a dead syslog daemon costs lines, which are
//! counted and reported, never time. It must never be able to fail a caller.

mod batch;

pub use batch::Torn;

use crate::calendar::Civil;
use crate::config::{Facility, Log, LogTarget};
use crate::sys::clock;
use log::{Level, LevelFilter, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Where syslogd(8) listens.
const SYSLOG_SOCKET: &str = "/dev/log";
/// The longest syslog datagram: what RFC 3164 §4.1 grants every receiver is
/// 1,024 octets; today's take 8 KiB.
const SYSLOG_LINE: usize = 8 * 1024;

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Starts logging to `target`; later calls redirect it.
///
/// # Errors
/// Where the target cannot be opened; then what was in force stays in force.
pub fn start(target: &Log) -> io::Result<()> {
    let sink = Sink::open(&target.to)?;
    install(sink, target.level);
    Ok(())
}

/// As [`start`], with a target that is open already.
pub fn install(sink: Sink, level: LevelFilter) {
    let logger = LOGGER.get_or_init(|| Logger {
        state: Mutex::new(State {
            sink: Sink::Off,
            role: String::from("master"),
            lost: 0,
        }),
    });
    logger.lock().sink = sink;
    // Only the first call can succeed; the logger stays the same one.
    let _ = log::set_logger(logger);
    log::set_max_level(level);
}

/// Says in each line from now on who speaks: `master`, `web[0]`.
pub fn set_role(role: &str) {
    if let Some(logger) = LOGGER.get() {
        role.clone_into(&mut logger.lock().role);
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
    role: String,
    lost: u64,
}

impl Logger {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while a line was written leaves nothing half-done that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut state = self.lock();
        let State { sink, role, lost } = &mut *state;
        if *lost > 0 {
            let apology =
                format!("{role}: {lost} log lines were lost: the reader was too slow or gone");
            if sink.message(Level::Warn, role, &apology) {
                *lost = 0;
            }
        }
        if !sink.message(record.level(), role, &record.args().to_string()) {
            *lost += 1;
        }
    }

    fn flush(&self) {}
}

/// An open destination for lines.
#[derive(Debug)]
pub enum Sink {
    /// Nowhere.
    Off,
    /// Standard error.
    Stderr,
    /// A file, opened for appending: the kernel keeps whole lines whole.
    File {
        /// To find it again after a rotation.
        path: PathBuf,
        /// The open file.
        file: File,
    },
    /// The syslog daemon.
    Syslog {
        /// Connected, or `None` until the daemon can be reached (again).
        socket: Option<UnixDatagram>,
        /// The facility of every line.
        facility: Facility,
        /// The program name in every line.
        tag: String,
        /// Where the daemon listens.
        path: PathBuf,
    },
}

impl Sink {
    /// Opens `target`. A syslog daemon that is not there yet is no error: it
    /// may come.
    ///
    /// # Errors
    /// What open(2) says of a file.
    pub fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::Off => Self::Off,
            LogTarget::Stderr => Self::Stderr,
            LogTarget::File(path) => Self::File {
                path: path.clone(),
                file: open_log(path)?,
            },
            LogTarget::Syslog { facility, tag } => Self::Syslog {
                socket: connect_syslog(Path::new(SYSLOG_SOCKET)),
                facility: *facility,
                tag: tag.clone(),
                path: PathBuf::from(SYSLOG_SOCKET),
            },
        })
    }

    /// The same destination once more, for a process that is about to part
    /// from this one.
    ///
    /// # Errors
    /// As dup(2).
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Off => Self::Off,
            Self::Stderr => Self::Stderr,
            Self::File { path, file } => Self::File {
                path: path.clone(),
                file: file.try_clone()?,
            },
            Self::Syslog {
                socket,
                facility,
                tag,
                path,
            } => Self::Syslog {
                socket: socket.as_ref().map(UnixDatagram::try_clone).transpose()?,
                facility: *facility,
                tag: tag.clone(),
                path: path.clone(),
            },
        })
    }

    /// Whether lines go anywhere at all.
    pub const fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Opens a file anew under its name; nothing to do for the others.
    ///
    /// # Errors
    /// What open(2) says; the old file stays in use.
    pub fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            *file = open_log(path)?;
        }
        Ok(())
    }

    /// The descriptor behind it, where it has one of its own.
    pub fn descriptor(&self) -> Option<RawFd> {
        match self {
            Self::Off | Self::Stderr | Self::Syslog { socket: None, .. } => None,
            Self::File { file, .. } => Some(file.as_raw_fd()),
            Self::Syslog {
                socket: Some(socket),
                ..
            } => Some(socket.as_raw_fd()),
        }
    }

    /// The descriptor behind it, where it is a file.
    pub fn file_descriptor(&self) -> Option<RawFd> {
        match self {
            Self::File { file, .. } => Some(file.as_raw_fd()),
            Self::Off | Self::Stderr | Self::Syslog { .. } => None,
        }
    }

    /// Writes one event.
    fn message(&mut self, level: Level, role: &str, text: &str) -> bool {
        if let Self::Syslog { .. } = self {
            return self.datagram(level, &format!("{role}: {}", escaped(text)));
        }
        let wall = clock::wall();
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = wall.local;
        let line = format!(
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03} {} [{}] {role} {}: {}\n",
            wall.nanoseconds / 1_000_000,
            wall.local.offset(),
            std::process::id(),
            level.as_str().to_ascii_lowercase(),
            escaped(text),
        );
        match self {
            Self::Off | Self::Syslog { .. } => true,
            Self::Stderr => write_stderr(line.as_bytes()),
            Self::File { file, .. } => file.write_all(line.as_bytes()).is_ok(),
        }
    }

    /// Sends one RFC 3164 line. The `syslog` crate gives the codes; its own
    /// formatter panics where the local time cannot be told, as in a process
    /// with threads, and its backend waits for a stalled reader.
    fn datagram(&mut self, level: Level, text: &str) -> bool {
        let Self::Syslog {
            socket,
            facility,
            tag,
            path,
        } = self
        else {
            return false;
        };
        let Civil {
            day,
            hour,
            minute,
            second,
            ..
        } = clock::wall().local;
        let month = clock::wall().local.month_name();
        let priority = u32::from(facility.0) << 3 | severity(level) as u32;
        let mut line = format!(
            "<{priority}>{month} {day:2} {hour:02}:{minute:02}:{second:02} {tag}[{}]: {text}",
            std::process::id(),
        );
        if line.len() > SYSLOG_LINE {
            line.truncate(line.floor_char_boundary(SYSLOG_LINE));
        }
        for attempt in 0..2 {
            match socket.as_ref().map(|open| open.send(line.as_bytes())) {
                Some(Ok(_)) => return true,
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The daemon was restarted, or is not there yet: connect once.
                Some(Err(_)) | None if attempt == 0 => *socket = connect_syslog(path),
                Some(Err(_)) | None => {}
            }
        }
        false
    }
}

const fn severity(level: Level) -> syslog::Severity {
    match level {
        Level::Error => syslog::Severity::LOG_ERR,
        Level::Warn => syslog::Severity::LOG_WARNING,
        Level::Info => syslog::Severity::LOG_INFO,
        Level::Debug | Level::Trace => syslog::Severity::LOG_DEBUG,
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    // O_NONBLOCK keeps a FIFO without a reader from holding us up; it means
    // nothing for a file.
    File::options()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

fn connect_syslog(path: &Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(path).ok()?;
    Some(socket)
}

/// Writes to stderr unless that would wait: a pipe whose reader has stopped
/// must not stop a master. O_NONBLOCK would be the terminal's or the parent's
/// too, so it is poll(2) that tells; room in a pipe means a page of it.
fn write_stderr(lines: &[u8]) -> bool {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let writable = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0)
        && ready[0]
            .revents()
            .is_some_and(|found| found.contains(PollFlags::POLLOUT));
    writable && stderr.lock().write_all(lines).is_ok()
}

/// Whether standard error is a terminal or a pipe, which someone may be
/// reading now, rather than a file or /dev/null.
pub fn stderr_is_watched() -> bool {
    let metadata = std::fs::metadata("/proc/self/fd/2");
    metadata.is_ok_and(|found| {
        let kind = found.file_type();
        kind.is_fifo() || kind.is_socket() || kind.is_char_device()
    })
}

/// Control characters would let a client forge lines or drive a terminal.
fn escaped(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            clean.extend(char.escape_default());
        } else {
            clean.push(char);
        }
    }
    clean
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escaped("a\nb\x1b[31m é"), "a\\nb\\u{1b}[31m é");
    }

    #[test]
    fn a_file_is_found_again_after_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut sink = Sink::open(&LogTarget::File(path.clone())).unwrap();
        assert_eq!(sink.batch(b"one\n", &mut Torn::default()), 0);
        std::fs::rename(&path, directory.path().join("log.1")).unwrap();
        sink.reopen().unwrap();
        assert!(sink.message(Level::Info, "web[0]", "two"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.ends_with(&format!("[{}] web[0] info: two\n", std::process::id())),
            "{text}"
        );
    }

    #[test]
    fn syslog_is_found_again_and_never_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut sink = Sink::Syslog {
            socket: None,
            facility: Facility(3),
            tag: String::from("t"),
            path: path.clone(),
        };
        assert!(!sink.message(Level::Info, "web[0]", "nobody hears this"));
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert!(sink.message(Level::Warn, "web[0]", "one\ntwo"));
        let mut room = [0; 512];
        let count = daemon.recv(&mut room).unwrap();
        let line = String::from_utf8_lossy(&room[..count]).into_owned();
        assert!(line.starts_with("<28>"), "{line}");
        assert!(
            line.ends_with(&format!(" t[{}]: web[0]: one\\ntwo", std::process::id())),
            "{line}"
        );
        // The daemon restarts: its socket is another one.
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert!(sink.message(Level::Info, "web[0]", "three"));
        assert!(daemon.recv(&mut room).is_ok());
        // It stalls: lines are lost, and nobody is held up.
        let sent = (0..10_000)
            .filter(|_| sink.message(Level::Info, "web[0]", "flood"))
            .count();
        assert!(sent < 10_000);
    }
}
