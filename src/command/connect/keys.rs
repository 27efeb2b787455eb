//! What a terminal sends for the keys of an editor: octets in, keys out.
//!
//! Sequences as xterm sends them (ECMA-48 §5.4: CSI, parameters, a final
//! octet), and the control characters that shells know. Whatever else comes is
//! passed over whole. A key may come in pieces.

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// To be put in as it is.
    Letter(char),
    Enter,
    /// Ctrl-D: delete, or the end where there is nothing to delete.
    Eof,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// Ctrl-Z.
    Suspend,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    /// Ctrl-K: cut what is behind the cursor.
    CutBehind,
    /// Ctrl-U: cut what is before it.
    CutBefore,
    /// Ctrl-W: cut the word before it.
    CutWord,
    /// Ctrl-Y: put in what was cut.
    Paste,
    /// Ctrl-L.
    Clear,
}

/// No key has more than this; what does is none.
const LONGEST: usize = 32;

/// The octets of a key that is not whole.
#[derive(Debug, Default)]
pub(super) struct Keys {
    begun: Vec<u8>,
    /// Ctrl-V was pressed: the next octet is itself.
    quoted: bool,
}

impl Keys {
    /// The keys that these octets complete.
    pub(super) fn feed(&mut self, octets: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for &octet in octets {
            self.begun.push(octet);
            if self.quoted {
                self.quoted = false;
                keys.push(Key::Letter(char::from(octet)));
                self.begun.clear();
                continue;
            }
            match read(&self.begun) {
                Read::Key(key) => keys.push(key),
                Read::Quote => self.quoted = true,
                Read::Unknown => {}
                Read::Begun if self.begun.len() < LONGEST => continue,
                Read::Begun => {}
            }
            self.begun.clear();
        }
        keys
    }
}

enum Read {
    Key(Key),
    /// Ctrl-V.
    Quote,
    /// Whole, and nothing that is known.
    Unknown,
    Begun,
}

fn read(octets: &[u8]) -> Read {
    match octets {
        [b'\x1b'] => Read::Begun,
        [b'\x1b', b'[' | b'O'] => Read::Begun,
        [b'\x1b', b'[', parameters @ .., last] => match last {
            b'@'..=b'~' => sequence(parameters, *last),
            _ => Read::Begun,
        },
        [b'\x1b', b'O', last] => sequence(b"", *last),
        [b'\x1b', b'b'] => Read::Key(Key::WordLeft),
        [b'\x1b', b'f'] => Read::Key(Key::WordRight),
        [b'\x1b', b'\x7f'] => Read::Key(Key::CutWord),
        [b'\x1b', ..] => Read::Unknown,
        [control @ (0..b' ' | 0x7f)] => self::control(*control),
        letter => match std::str::from_utf8(letter) {
            Ok(text) => text
                .chars()
                .next()
                .map_or(Read::Unknown, |letter| Read::Key(Key::Letter(letter))),
            Err(error) if error.error_len().is_none() => Read::Begun,
            Err(_) => Read::Unknown,
        },
    }
}

fn sequence(parameters: &[u8], last: u8) -> Read {
    // `1;5D` is Ctrl-Left, `1;3D` Alt-Left.
    let modified = matches!(parameters, [b'1', b';', b'3' | b'5']);
    Read::Key(match (last, parameters) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) if modified => Key::WordRight,
        (b'C', _) => Key::Right,
        (b'D', _) if modified => Key::WordLeft,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"3") => Key::Delete,
        (_, _) => return Read::Unknown,
    })
}

/// A control character: Ctrl with the letter 64 above it.
fn control(octet: u8) -> Read {
    Read::Key(match octet {
        b'\r' | b'\n' => Key::Enter,
        0x7f | 0x08 => Key::Backspace,
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::Eof,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x09 => Key::Letter('\t'),
        0x0b => Key::CutBehind,
        0x0c => Key::Clear,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x15 => Key::CutBefore,
        0x16 => return Read::Quote,
        0x17 => Key::CutWord,
        0x19 => Key::Paste,
        0x1a => Key::Suspend,
        0x1c => Key::Quit,
        _ => return Read::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_known_whole_and_in_pieces() {
        let letters = |text: &str| text.chars().map(Key::Letter).collect::<Vec<_>>();
        for (octets, expected) in [
            (&b"ab"[..], letters("ab")),
            ("\u{e9}\u{1f980}".as_bytes(), letters("\u{e9}\u{1f980}")),
            (
                b"\x1b[A\x1b[B\x1bOC\x1b[D",
                vec![Key::Up, Key::Down, Key::Right, Key::Left],
            ),
            (b"\x1b[1;5D\x1bf", vec![Key::WordLeft, Key::WordRight]),
            (
                b"\x1b[3~\x1b[1~\x1b[F",
                vec![Key::Delete, Key::Home, Key::End],
            ),
            (b"\x04\x7f\r", vec![Key::Eof, Key::Backspace, Key::Enter]),
            // Ctrl-V, and then what it is for.
            (b"\x16\x1b\x16\x03", letters("\x1b\x03")),
            // Unknown sequences leave nothing behind.
            (b"\x1b[200~\x1b[?1;2c\x1bxa", letters("a")),
            (b"\xffa", letters("a")),
        ] {
            assert_eq!(Keys::default().feed(octets), expected, "{octets:?}");
            let mut keys = Keys::default();
            let pieces = octets.chunks(1).flat_map(|octet| keys.feed(octet));
            assert_eq!(pieces.collect::<Vec<_>>(), expected, "{octets:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_next_key_is_found(octets: Vec<u8>) {
            let mut keys = Keys::default();
            keys.feed(&octets);
            prop_assert!(keys.begun.len() < LONGEST);
            // At the latest behind the longest key there is one.
            let found = keys.feed(&[b'x'; LONGEST + 1]);
            prop_assert_eq!(found.last(), Some(&Key::Letter('x')));
        }
    }
}
