//! Where what comes is shown: standard output, or above the line that somebody
//! types.
//!
//! Owes bounded memory: who reads asks first whether there is room.

use super::editor::Editor;
use super::input::is_passing;
use super::show::{Manner, Shown};
use crate::client::dial::until;
use crate::client::{Cause, Failure, failure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::cell::RefCell;
use std::io::{self, Stdout};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Above this nothing more is read.
const MOST: usize = 256 * 1024;

/// A pipe that has room takes this much at once, and the call does not wait
/// (pipe(7), PIPE_BUF).
const PIECE: usize = 4096;

/// Where what comes is shown.
pub(super) struct Output {
    shown: Shown,
    place: Place,
    pending: Vec<u8>,
    stdout: Stdout,
    /// How much of it is written at once.
    at_once: usize,
}

enum Place {
    Standard,
    /// Above the line that somebody types.
    Above(Rc<RefCell<Editor>>),
}

/// Nobody reads any more: no failure, and nothing more to do.
pub(super) struct Gone;

/// Why nothing could be shown.
pub(super) type Stop = Result<Gone, Failure>;

impl Output {
    /// To standard output; where somebody types at the same terminal, above that
    /// line.
    pub(super) fn new(manner: Manner, editor: Option<Rc<RefCell<Editor>>>) -> Self {
        let stdout = io::stdout();
        // A file takes everything, and does not wait for anybody.
        let is_file = nix::sys::stat::fstat(&stdout)
            .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG);
        Self {
            shown: Shown::new(manner),
            pending: Vec::new(),
            place: editor.map_or(Place::Standard, Place::Above),
            stdout,
            at_once: if is_file { MOST } else { PIECE },
        }
    }

    /// These octets came.
    pub(super) fn received(&mut self, octets: &[u8]) {
        self.add(|shown, out| shown.received(octets, out));
    }

    /// These octets went.
    pub(super) fn sent(&mut self, octets: &[u8]) {
        self.add(|shown, out| shown.sent(octets, out));
    }

    /// Nothing more comes, or what came is a whole.
    pub(super) fn finish(&mut self) {
        self.add(Shown::finish);
    }

    /// Whether more may come.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < MOST
    }

    /// What poll(2) is to watch before [`Output::write`].
    pub(super) fn watched(&mut self) -> Option<PollFd<'_>> {
        self.collect();
        let watch = || PollFd::new(self.stdout.as_fd(), PollFlags::POLLOUT);
        (!self.pending.is_empty()).then(watch)
    }

    /// Writes what is taken now; poll(2) said that there is room.
    pub(super) fn write(&mut self) -> Result<(), Stop> {
        let piece = &self.pending[..self.pending.len().min(self.at_once)];
        // Not through std's buffer, which would keep what has no end yet.
        match nix::unistd::write(&self.stdout, piece).map_err(io::Error::from) {
            Ok(count) => drop(self.pending.drain(..count)),
            Err(error) if is_passing(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(Ok(Gone)),
            Err(error) => {
                let message = format!("standard output: {}", failure::words(&error));
                return Err(Err(Failure::new(Cause::System, message)));
            }
        }
        Ok(())
    }

    /// Shows the rest, at the end, for as long as `patience` if there is a limit;
    /// the line that was being typed is taken away.
    pub(super) fn flush(&mut self, patience: Option<Duration>) -> Result<(), Stop> {
        self.finish();
        if let Place::Above(editor) = &self.place {
            editor.borrow_mut().leave();
        }
        let end = patience.map(|patience| Instant::now() + patience);
        while let Some(watched) = self.watched() {
            match poll(&mut [watched], end.map_or(PollTimeout::NONE, until)) {
                Ok(0) if end.is_some_and(|end| Instant::now() >= end) => break,
                Ok(0) | Err(Errno::EINTR) => {}
                // What went wrong is what write(2) says.
                Ok(_) | Err(_) => self.write()?,
            }
        }
        Ok(())
    }

    fn add(&mut self, show: impl FnOnce(&mut Shown, &mut Vec<u8>)) {
        match &self.place {
            Place::Standard => show(&mut self.shown, &mut self.pending),
            Place::Above(editor) => {
                let mut text = Vec::new();
                show(&mut self.shown, &mut text);
                editor.borrow_mut().show(&String::from_utf8_lossy(&text));
            }
        }
    }

    /// Takes over what the editor tells the terminal, also of what was typed.
    fn collect(&mut self) {
        if let Place::Above(editor) = &self.place {
            self.pending.append(editor.borrow_mut().out());
        }
    }
}
