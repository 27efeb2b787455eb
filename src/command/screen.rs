//! What comes from another side, on a terminal: as text, in which no character
//! drives it.
//!
//! Owes that it is the same however the octets are cut. Does nothing itself:
//! octets in, octets out.

use crate::escape::is_unruly;

/// Turns octets into text that may be shown.
///
/// Lines end and tabs stand as they do, and a CR before an LF is left out; what
/// else is unruly, and what is no UTF-8, is shown as an escape.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// Octets whose meaning depends on what follows: at most three of a
    /// character, or a CR that may belong to an end of line.
    held: Vec<u8>,
}

impl Screen {
    /// Appends what to show for these octets, which follow those before.
    pub(super) fn show(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(octets);
        let complete = complete(&self.held);
        shown(&self.held[..complete], out);
        self.held.drain(..complete);
    }

    /// Appends what to show for octets whose rest will not come.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        shown(&std::mem::take(&mut self.held), out);
    }
}

/// How many octets can be shown without those that follow.
fn complete(octets: &[u8]) -> usize {
    if octets.ends_with(b"\r") {
        return octets.len() - 1;
    }
    let begin = octets.len().saturating_sub(3);
    let cut = (begin..octets.len()).find(|&at| {
        let cut = std::str::from_utf8(&octets[at..]);
        octets[at] >= 0xc0
            && cut.is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    });
    cut.unwrap_or(octets.len())
}

fn shown(octets: &[u8], out: &mut Vec<u8>) {
    for chunk in octets.utf8_chunks() {
        let mut letters = chunk.valid().chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\n' | '\t' => out.push(letter as u8),
                '\r' if letters.peek() == Some(&'\n') => {}
                letter if is_unruly(letter) => {
                    out.extend(letter.escape_default().map(|sign| sign as u8));
                }
                letter => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for octet in chunk.invalid() {
            out.extend_from_slice(format!("\\x{octet:02x}").as_bytes());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown_of(pieces: &[&[u8]]) -> String {
        let (mut screen, mut out) = (Screen::default(), Vec::new());
        for piece in pieces {
            screen.show(piece, &mut out);
        }
        screen.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_drives_the_terminal_however_it_is_cut() {
        let mixed = "a\tb\r\nc\rd\x1b[31mé\u{1f600}\u{202e}\0".as_bytes();
        let mixed = [mixed, b"\xff\xe2\x82", b"x\xf0\x9f\r"].concat();
        for (octets, expected) in [
            (&b""[..], ""),
            (b"no end", "no end"),
            (b"dos\r\nline\r\n", "dos\nline\n"),
            (b"\r\r\n", "\\r\n"),
            (b"over\rwritten", "over\\rwritten"),
            (b"cr at the end\r", "cr at the end\\r"),
            (b"\x1b]0;owned\x07\x7f\t", "\\u{1b}]0;owned\\u{7}\\u{7f}\t"),
            (
                "\u{9b}31m \u{202e}é\n".as_bytes(),
                "\\u{9b}31m \\u{202e}é\n",
            ),
            (b"\xff\xc3(\xe2\x82", "\\xff\\xc3(\\xe2\\x82"),
            (
                &mixed,
                "a\tb\nc\\rd\\u{1b}[31mé\u{1f600}\\u{202e}\\u{0}\\xff\\xe2\\x82x\\xf0\\x9f\\r",
            ),
        ] {
            for size in 1..=octets.len().max(1) {
                let pieces: Vec<&[u8]> = octets.chunks(size).collect();
                assert_eq!(shown_of(&pieces), expected, "{size}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_split_is_shown_alike(octets: Vec<u8>, split in 0..64usize) {
            let whole = shown_of(&[&octets]);
            let (first, second) = octets.split_at(split.min(octets.len()));
            prop_assert_eq!(&whole, &shown_of(&[first, second]));
            let quiet = |letter: char| letter == '\n' || letter == '\t' || !is_unruly(letter);
            prop_assert!(whole.chars().all(quiet));
        }
    }
}
