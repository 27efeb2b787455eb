//! Where what comes is shown: standard output, or above the line that somebody
//! types.
//!
//! Owes bounded memory: who reads asks first whether there is room.

use super::input::is_passing;
use super::prompt::Printer;
use super::show::{Manner, Shown};
use crate::client::{Cause, Failure, failure};
use nix::poll::{PollFd, PollFlags};
use std::io::{self, Stdout};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Above this nothing more is read.
const MOST: usize = 256 * 1024;

/// A pipe that has room takes this much at once, and the call does not wait
/// (pipe(7), PIPE_BUF).
const PIECE: usize = 4096;

/// How long a line may be shown late because its end is missing.
const HELD: Duration = Duration::from_millis(150);

/// Where what comes is shown.
pub(super) struct Output {
    shown: Shown,
    pending: Vec<u8>,
    place: Place,
}

enum Place {
    Standard {
        stdout: Stdout,
        at_once: usize,
    },
    /// Whole lines only; since when one waits for its end.
    Above(Printer, Option<Instant>),
}

/// Nobody reads any more: no failure, and nothing more to do.
pub(super) struct Gone;

/// Why nothing could be shown.
pub(super) type Stop = Result<Gone, Failure>;

impl Output {
    /// To standard output.
    pub(super) fn standard(manner: Manner) -> Self {
        let stdout = io::stdout();
        // A file takes everything, and does not wait for anybody.
        let is_file = nix::sys::stat::fstat(&stdout)
            .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG);
        Self {
            shown: Shown::new(manner),
            pending: Vec::new(),
            place: Place::Standard {
                stdout,
                at_once: if is_file { MOST } else { PIECE },
            },
        }
    }

    /// Above the line that is typed.
    pub(super) const fn above(printer: Printer, manner: Manner) -> Self {
        Self {
            shown: Shown::new(manner),
            pending: Vec::new(),
            place: Place::Above(printer, None),
        }
    }

    pub(super) fn received(&mut self, octets: &[u8]) {
        self.shown.received(octets, &mut self.pending);
    }

    pub(super) fn sent(&mut self, octets: &[u8]) {
        self.shown.sent(octets, &mut self.pending);
    }

    /// Nothing more comes, or what came is a whole.
    pub(super) fn finish(&mut self) {
        self.shown.finish(&mut self.pending);
    }

    pub(super) const fn has_room(&self) -> bool {
        self.pending.len() < MOST
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// What poll(2) is to watch before [`Output::write`].
    pub(super) fn watched(&self) -> Option<PollFd<'_>> {
        match &self.place {
            Place::Standard { stdout, .. } if !self.is_empty() => {
                Some(PollFd::new(stdout.as_fd(), PollFlags::POLLOUT))
            }
            Place::Standard { .. } | Place::Above(..) => None,
        }
    }

    /// When [`Output::write`] wants to be called, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.place {
            Place::Standard { .. } => None,
            Place::Above(_, Some(since)) => Some(*since + HELD),
            Place::Above(_, None) => (!self.is_empty()).then(Instant::now),
        }
    }

    /// Shows what can be shown now; poll(2) said that there is room, or
    /// [`Output::deadline`] is over.
    pub(super) fn write(&mut self) -> Result<(), Stop> {
        match &mut self.place {
            Place::Standard { stdout, at_once } => {
                let piece = &self.pending[..self.pending.len().min(*at_once)];
                // Not through std's buffer, which would keep what has no end yet.
                match nix::unistd::write(&*stdout, piece).map_err(io::Error::from) {
                    Ok(count) => drop(self.pending.drain(..count)),
                    Err(error) if is_passing(&error) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return Err(Ok(Gone));
                    }
                    Err(error) => {
                        let message = format!("standard output: {}", failure::words(&error));
                        return Err(Err(Failure::new(Cause::System, message)));
                    }
                }
            }
            Place::Above(printer, since) => {
                let whole = memchr::memrchr(b'\n', &self.pending).map_or(0, |end| end + 1);
                let now = Instant::now();
                let waits = since.get_or_insert(now);
                if whole == 0 && now.duration_since(*waits) >= HELD {
                    self.shown.finish(&mut self.pending);
                }
                let whole = memchr::memrchr(b'\n', &self.pending).map_or(0, |end| end + 1);
                if whole > 0 {
                    let lines: Vec<u8> = self.pending.drain(..whole).collect();
                    printer.print(String::from_utf8_lossy(&lines).into_owned());
                    *since = (!self.pending.is_empty()).then_some(now);
                }
                if self.pending.is_empty() {
                    *since = None;
                }
            }
        }
        Ok(())
    }

    /// Shows the rest, at the end, for as long as `patience`.
    pub(super) fn flush(&mut self, patience: Duration) -> Result<(), Stop> {
        self.finish();
        let end = Instant::now() + patience;
        while !self.is_empty() && Instant::now() < end {
            let mut watched: Vec<PollFd<'_>> = self.watched().into_iter().collect();
            let _ = nix::poll::poll(&mut watched, crate::client::dial::until(end));
            self.write()?;
        }
        if let Place::Above(printer, _) = &mut self.place {
            printer.settle();
        }
        Ok(())
    }
}
