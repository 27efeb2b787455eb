//! The keyboard: octets of a terminal in raw mode, as keys.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

/// How long the rest of a key may take that begins like Esc, in milliseconds.
const REST: u8 = 50;

const ESCAPE: u8 = 0x1b;

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// q, Esc, Ctrl-C, Ctrl-D or Ctrl-\.
    Quit,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L.
    Redraw,
    /// Any other of printable ASCII.
    Char(char),
}

/// Standard input, where it is a terminal.
#[derive(Debug)]
pub(super) struct Keyboard {
    open: bool,
}

impl Keyboard {
    pub(super) fn new() -> Self {
        Self {
            open: io::stdin().is_terminal(),
        }
    }

    /// Whether there is one to listen to.
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// What was pressed since the last look.
    ///
    /// # Errors
    /// As read(2); EIO where the terminal is gone.
    pub(super) fn pending(&mut self) -> io::Result<Vec<Key>> {
        let mut typed = Vec::new();
        let mut room = [0; 256];
        while self.open
            && is_readable(if typed.last() == Some(&ESCAPE) {
                REST
            } else {
                0
            })
        {
            match nix::unistd::read(io::stdin(), &mut room) {
                Ok(0) => self.open = false,
                Ok(count) => typed.extend_from_slice(&room[..count]),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
            // Whoever pastes a book is not to be read to its end.
            if typed.len() > 4096 {
                break;
            }
        }
        Ok(keys(&typed))
    }
}

fn is_readable(milliseconds: u8) -> bool {
    let input = io::stdin();
    let mut ready = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::from(milliseconds)).is_ok_and(|count| count > 0)
}

/// Arrows and their like are an Esc with more behind it: nothing to us.
fn keys(typed: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = typed;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            ESCAPE => match rest.split_first() {
                // CSI: parameters, then one octet that ends it (ECMA-48 §5.4).
                Some((b'[', sequence)) => {
                    let end = sequence
                        .iter()
                        .position(|&one| (0x40..=0x7e).contains(&one));
                    rest = end.map_or(&[], |end| &sequence[end + 1..]);
                }
                // SS3: one more octet.
                Some((b'O', sequence)) => rest = sequence.get(1..).unwrap_or(&[]),
                // Alt and a key.
                Some((0x20..=0x7e, sequence)) => rest = sequence,
                Some(_) | None => keys.push(Key::Quit),
            },
            b'q' | b'Q' | 0x03 | 0x04 | 0x1c => keys.push(Key::Quit),
            0x1a => keys.push(Key::Suspend),
            0x0c => keys.push(Key::Redraw),
            b' '..=b'~' => keys.push(Key::Char(char::from(first))),
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_keys() {
        let cases: [(&[u8], &[Key]); 9] = [
            (b"", &[]),
            (b"q", &[Key::Quit]),
            (b"\x1b", &[Key::Quit]),
            (b"\x03", &[Key::Quit]),
            (b"s p", &[Key::Char('s'), Key::Char(' '), Key::Char('p')]),
            (b"\x1b[A\x1b[1;5Cs\x1bOP", &[Key::Char('s')]),
            (b"\x1bq\xff\xc3\xa9", &[]),
            (b"\x1b[", &[]),
            (
                b"\x1a\x0c\x1b\x1b",
                &[Key::Suspend, Key::Redraw, Key::Quit, Key::Quit],
            ),
        ];
        for (typed, expected) in cases {
            assert_eq!(keys(typed), expected, "{typed:?}");
        }
    }
}
