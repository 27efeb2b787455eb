//! An open destination for lines, and how one line gets there.
//!
//! Owes whole lines and no wait. What is too long for a receiver is shortened
//! so that it stays what it is: a pipe takes [`ATOM`] octets at once, and of a
//! longer line the rest would stand behind whatever another process writes
//! meanwhile, as if it were a line of its own.

use super::batch::{ATOM, Torn};
use super::line::Line;
use crate::calendar::Civil;
use crate::config::{Facility, LogFormat, LogTarget};
use crate::escape;
use crate::sys::clock;
use log::Level;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where syslogd(8) listens.
const SYSLOG_SOCKET: &str = "/dev/log";
/// The longest syslog datagram: what RFC 3164 §4.1 grants every receiver is
/// 1,024 octets; today's take 8 KiB.
pub(super) const SYSLOG_LINE: usize = 8 * 1024;

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

    /// Writes one event; answers whether it went out whole, or will.
    pub(super) fn write(&mut self, line: &Line<'_>, format: LogFormat, torn: &mut Torn) -> bool {
        let (mut text, cut) = match format {
            LogFormat::Text if matches!(self, Self::Syslog { .. }) => (line.message(), Cut::Tail),
            LogFormat::Text => (line.text(), Cut::Tail),
            LogFormat::Json => (line.json(), Cut::Quotations),
        };
        match self {
            Self::Off => true,
            Self::Syslog { .. } => self.datagram(line.level, text.as_bytes(), cut),
            Self::Stderr => {
                text.push('\n');
                let prefix = if journal_reads_stderr() {
                    format!("<{}>", severity(line.level) as u32)
                } else {
                    String::new()
                };
                let line = cut.to(text.as_bytes(), ATOM - prefix.len());
                write_stderr(&[prefix.as_bytes(), &line].concat())
            }
            Self::File { .. } => {
                text.push('\n');
                self.batch(text.as_bytes(), torn) == 0
            }
        }
    }

    /// Sends one RFC 3164 line. The `syslog` crate gives the codes; its own
    /// formatter panics where the local time cannot be told, as in a process
    /// with threads, and its backend waits for a stalled reader.
    pub(super) fn datagram(&mut self, level: Level, text: &[u8], cut: Cut) -> bool {
        let Self::Syslog {
            socket,
            facility,
            tag,
            path,
        } = self
        else {
            return false;
        };
        let wall = clock::wall();
        let Civil {
            day,
            hour,
            minute,
            second,
            ..
        } = wall.local;
        let month = wall.local.month_name();
        let priority = u32::from(facility.0) << 3 | severity(level) as u32;
        let mut line = format!(
            "<{priority}>{month} {day:2} {hour:02}:{minute:02}:{second:02} {tag}[{}]: ",
            std::process::id(),
        )
        .into_bytes();
        line.extend_from_slice(&cut.to(text, SYSLOG_LINE - line.len()));
        for attempt in 0..2 {
            match socket.as_ref().map(|open| open.send(&line)) {
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

/// How a line is shortened that is too long for where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its end is left out.
    Tail,
    /// The ends of its long quotations are, see [`escape::shortened`].
    Quotations,
}

impl Cut {
    /// The line in at most `room` octets; its line feed, if it has one, stays.
    pub(super) fn to(self, line: &[u8], room: usize) -> Cow<'_, [u8]> {
        const DOTS: &[u8] = b"...";
        if line.len() <= room {
            return Cow::Borrowed(line);
        }
        let mut short = match self {
            Self::Quotations => escape::shortened(line, room),
            Self::Tail => line.to_vec(),
        };
        if short.len() > room {
            let end: &[u8] = if line.ends_with(b"\n") { b"\n" } else { b"" };
            let text = String::from_utf8_lossy(&short);
            let kept = text.floor_char_boundary(room - DOTS.len() - end.len());
            short = [&text.as_bytes()[..kept], DOTS, end].concat();
        }
        Cow::Owned(short)
    }
}

/// Whether what is written to standard error goes to the journal, which takes
/// the level of a line from its beginning (sd-daemon(3)): it says so itself, by
/// device and inode (systemd.exec(5), `$JOURNAL_STREAM`).
fn journal_reads_stderr() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let Some(said) = std::env::var_os("JOURNAL_STREAM") else {
            return false;
        };
        let found = nix::sys::stat::fstat(io::stderr().as_fd());
        found.is_ok_and(|stat| *said == *format!("{}:{}", stat.st_dev, stat.st_ino))
    })
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
pub(super) fn write_stderr(lines: &[u8]) -> bool {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::line::Speaker;
    use super::*;

    fn write(sink: &mut Sink, format: LogFormat, level: Level, text: &str) -> bool {
        let fields: [(&str, u8); 0] = [];
        let line = Line {
            wall: &clock::wall(),
            pid: std::process::id(),
            speaker: &Speaker::Worker(String::from("web"), 0),
            level,
            text,
            fields: &fields,
        };
        sink.write(&line, format, &mut Torn::default())
    }

    fn say(sink: &mut Sink, level: Level, text: &str) -> bool {
        write(sink, LogFormat::Text, level, text)
    }

    fn syslog(path: &Path) -> Sink {
        Sink::Syslog {
            socket: None,
            facility: Facility(3),
            tag: String::from("t"),
            path: path.to_owned(),
        }
    }

    /// What syslogd gets next.
    fn datagram(daemon: &UnixDatagram) -> String {
        let mut room = vec![0; 64 * 1024];
        let count = daemon.recv(&mut room).unwrap();
        assert!(count <= SYSLOG_LINE);
        String::from_utf8(room[..count].to_vec()).unwrap()
    }

    #[test]
    fn a_file_is_found_again_after_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut sink = Sink::open(&LogTarget::File(path.clone())).unwrap();
        assert_eq!(sink.batch(b"one\n", &mut Torn::default()), 0);
        std::fs::rename(&path, directory.path().join("log.1")).unwrap();
        sink.reopen().unwrap();
        assert!(say(&mut sink, Level::Info, "two"));
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
        let mut sink = syslog(&path);
        assert!(!say(&mut sink, Level::Info, "nobody hears this"));
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert!(say(&mut sink, Level::Warn, "one\ntwo"));
        let line = datagram(&daemon);
        assert!(line.starts_with("<28>"), "{line}");
        assert!(
            line.ends_with(&format!(" t[{}]: web[0]: one\\ntwo", std::process::id())),
            "{line}"
        );
        // The daemon restarts: its socket is another one.
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert!(say(&mut sink, Level::Info, "three"));
        datagram(&daemon);
        // It stalls: lines are lost, and nobody is held up.
        let sent = (0..10_000)
            .filter(|_| say(&mut sink, Level::Info, "flood"))
            .count();
        assert!(sent < 10_000);
    }

    #[test]
    fn json_to_syslog_is_json_however_long() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut sink = syslog(&path);
        for text in ["short", &"\"\\\u{1}é\n".repeat(9000)] {
            assert!(write(&mut sink, LogFormat::Json, Level::Error, text));
            let line = datagram(&daemon);
            let object = line.split_once("]: ").unwrap().1;
            let read: serde_json::Value = serde_json::from_str(object).unwrap();
            let message = read["message"].as_str().unwrap();
            assert!(text.starts_with(message.strip_suffix("...").unwrap_or(message)));
            assert_eq!(read["level"], "error");
        }
        assert!(say(&mut sink, Level::Info, &"é".repeat(9000)));
        assert!(datagram(&daemon).ends_with("é..."));
    }

    #[test]
    fn access_lines_to_syslog_have_facility_and_tag() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut sink = Sink::Syslog {
            socket: None,
            facility: Facility(17),
            tag: String::from("site"),
            path: path.clone(),
        };
        let long = format!(
            "a - - [] \"GET /{} HTTP/1.1\" 200 1 \"-\" \"-\"\n",
            "x".repeat(60_000)
        );
        let lines = format!(
            "one\n{long}{{\"target\":\"{}\",\"n\":1}}\n",
            "\\u0001".repeat(9000)
        );
        assert_eq!(sink.batch(lines.as_bytes(), &mut Torn::default()), 0);
        let line = datagram(&daemon);
        // local1 is 17, informational 6 (RFC 5424 §6.2.1).
        assert!(line.starts_with("<142>"), "{line}");
        assert!(
            line.ends_with(&format!(" site[{}]: one", std::process::id())),
            "{line}"
        );
        let line = datagram(&daemon);
        assert!(line.ends_with("xxx...\" 200 1 \"-\" \"-\""), "{line}");
        let line = datagram(&daemon);
        let object = line.split_once("]: ").unwrap().1;
        let read: serde_json::Value = serde_json::from_str(object).unwrap();
        assert_eq!(read["n"], 1);
    }

    #[test]
    fn lines_are_cut_to_what_a_pipe_takes() {
        let line = "x".repeat(5000) + "\n";
        for cut in [Cut::Tail, Cut::Quotations] {
            let short = cut.to(line.as_bytes(), ATOM);
            assert_eq!(short.len(), ATOM);
            assert!(short.ends_with(b"x...\n"));
            assert_eq!(*cut.to(b"short\n", ATOM), *b"short\n");
        }
    }
}
