//! The standard error of a program: lines of the log, made harmless, up to a
//! bound.
//!
//! Must never wait, nor read on for as long as somebody writes.

use crate::escape;
use nix::sys::epoll::Epoll;
use nix::unistd::read;
use std::os::fd::OwnedFd;

/// The standard error of a program, as lines of the log.
#[derive(Debug)]
pub(in crate::driver) struct ErrorLines {
    /// Our end of the pipe, until it is at its end.
    pipe: Option<OwnedFd>,
    pub(in crate::driver) complaints: Complaints,
}

impl ErrorLines {
    pub(in crate::driver) fn new(pipe: Option<OwnedFd>, label: String) -> Self {
        Self {
            pipe,
            complaints: Complaints::new(label),
        }
    }

    /// Takes in what is there; a pipe at its end leaves the set.
    pub(in crate::driver) fn hear(&mut self, ready: &Epoll) {
        let Some(pipe) = &self.pipe else { return };
        let mut room = [0; 4096];
        // A bound: others want their turn too, and the rest stays in the pipe.
        for _ in 0..16 {
            match read(pipe, &mut room) {
                Ok(0) => {
                    let _ = ready.delete(pipe);
                    self.pipe = None;
                    return;
                }
                Ok(count) => self.complaints.add(&room[..count]),
                Err(_) => return,
            }
        }
    }
}

/// What a program complains of.
#[derive(Debug)]
pub(in crate::driver) struct Complaints {
    pub(in crate::driver) label: String,
    line: Vec<u8>,
    /// The line under way was longer than a line may be.
    cut: bool,
    written: u32,
    dropped: u64,
}

impl Complaints {
    /// Lines of one program that are written; what comes later is counted.
    const MOST: u32 = 200;
    /// The longest line, in octets.
    const LONGEST: usize = 1024;

    fn new(label: String) -> Self {
        Self {
            label,
            line: Vec::new(),
            cut: false,
            written: 0,
            dropped: 0,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.line.len() < Self::LONGEST {
                self.line.push(byte);
            } else {
                self.cut = true;
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.cut);
        if line.is_empty() {
            return;
        }
        if self.written < Self::MOST {
            self.written += 1;
            let dots = if cut { " …" } else { "" };
            // A test waits for this line.
            log::warn!("{}: {}{dots}", self.label, printable(&line));
        } else {
            self.dropped += 1;
        }
    }

    pub(in crate::driver) fn finish(&mut self) {
        self.end_line();
        if self.dropped > 0 {
            let (label, dropped) = (&self.label, self.dropped);
            log::warn!("{label}: {dropped} more lines on its standard error");
        }
    }
}

/// Text that cannot end a line, or do something to a terminal.
pub(in crate::driver) fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    escape::plain(&String::from_utf8_lossy(bytes), &mut shown);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_lines_and_bounded() {
        let mut complaints = Complaints::new("x".to_owned());
        complaints.add(b"one\n\ntwo");
        assert_eq!((complaints.written, &complaints.line[..]), (1, &b"two"[..]));
        complaints.add(&[b'a'; 5000]);
        assert_eq!((complaints.line.len(), complaints.cut), (1024, true));
        complaints.add("\nx".repeat(1000).as_bytes());
        assert_eq!(complaints.written, Complaints::MOST);
        assert_eq!(complaints.dropped, 1001 - 200);
        assert_eq!(printable(b"a\x1b[0m\tb\xff"), "a\\u{1b}[0m\\tb\u{fffd}");
    }
}
