//! Where what is sent comes from.

use super::prompt::{Line, Prompt};
use nix::poll::{PollFd, PollFlags};
use std::io::{self, Read, Stdin};
use std::os::fd::AsFd;

/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// Where what is sent comes from.
pub(super) enum Input {
    /// What was given on the command line, to be sent one after the other.
    Given(std::vec::IntoIter<Vec<u8>>),
    /// Standard input.
    Standard(Stdin),
    /// Lines that somebody types.
    Typed(Box<Prompt>),
}

/// What was there.
pub(super) enum Found {
    /// This; with [`Input::Given`] one of the texts.
    Octets(Vec<u8>),
    /// Nothing for now.
    Nothing,
    /// The end.
    End,
    /// A signal that ends the program, or Ctrl-C.
    Signal(i32),
}

impl Input {
    /// What poll(2) is to watch; nothing where there always is something.
    pub(super) fn watched(&self) -> Vec<PollFd<'_>> {
        match self {
            Self::Given(_) => Vec::new(),
            Self::Standard(stdin) => vec![PollFd::new(stdin.as_fd(), PollFlags::POLLIN)],
            Self::Typed(prompt) => prompt.watched().into_iter().flatten().collect(),
        }
    }

    /// Whether it has to be watched to the end: with the terminal in our hands its
    /// keys for signals are ours to see.
    pub(super) const fn has_keys(&self) -> bool {
        matches!(self, Self::Typed(_))
    }

    /// What is there. Waits where poll(2) did not say that there is something.
    ///
    /// # Errors
    /// As read(2).
    pub(super) fn take(&mut self) -> io::Result<Found> {
        match self {
            Self::Given(texts) => Ok(texts.next().map_or(Found::End, Found::Octets)),
            Self::Standard(stdin) => {
                let mut room = vec![0; PIECE];
                match stdin.lock().read(&mut room) {
                    Ok(0) => Ok(Found::End),
                    Ok(count) => {
                        room.truncate(count);
                        Ok(Found::Octets(room))
                    }
                    Err(error) if is_passing(&error) => Ok(Found::Nothing),
                    Err(error) => Err(error),
                }
            }
            Self::Typed(prompt) => Ok(match prompt.take()? {
                Some(Line::Typed(line)) => Found::Octets(line.into_bytes()),
                Some(Line::End) => Found::End,
                Some(Line::Signal(signal)) => Found::Signal(signal),
                None => Found::Nothing,
            }),
        }
    }
}

/// Whether a call may be tried again. Somebody else may have made our standard
/// input or output non-blocking.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// LF becomes CR LF, unless the CR is there.
#[derive(Debug, Default)]
pub(super) struct Crlf {
    after_cr: bool,
}

impl Crlf {
    pub(super) fn apply(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut lines = Vec::with_capacity(octets.len() + octets.len() / 16);
        for &octet in octets {
            if octet == b'\n' && !self.after_cr {
                lines.push(b'\r');
            }
            lines.push(octet);
            self.after_cr = octet == b'\r';
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_cr_and_lf() {
        let octets = b"one\ntwo\r\n\n\rthree";
        let expected = b"one\r\ntwo\r\n\r\n\rthree";
        assert_eq!(Crlf::default().apply(octets), expected);
        let mut crlf = Crlf::default();
        let pieces = octets.chunks(1).flat_map(|piece| crlf.apply(piece));
        assert_eq!(pieces.collect::<Vec<u8>>(), expected);
    }
}
