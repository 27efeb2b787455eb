//! Content on a terminal: as text, in which no character drives it.

use crate::escape::is_unruly;

/// Turns octets into text that may be shown, however they are cut.
///
/// Lines end and tabs stand as they do; what else is unruly, and what is no
/// UTF-8, is shown as an escape.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// Octets whose meaning depends on what follows: at most three of a
    /// character, or a CR that may belong to an end of line.
    held: Vec<u8>,
}

impl Screen {
    /// What to show for these octets, which follow those before.
    pub(super) fn show(&mut self, octets: &[u8]) -> String {
        self.held.extend_from_slice(octets);
        let held = std::mem::take(&mut self.held);
        let complete = complete(&held);
        self.held = held[complete..].to_vec();
        shown(&held[..complete])
    }

    /// What to show for octets whose rest will not come.
    pub(super) fn finish(&mut self) -> String {
        shown(&std::mem::take(&mut self.held))
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

fn shown(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        let mut letters = chunk.valid().chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\n' | '\t' => text.push(letter),
                '\r' if letters.peek() == Some(&'\n') => {}
                letter if is_unruly(letter) => text.extend(letter.escape_default()),
                letter => text.push(letter),
            }
        }
        for octet in chunk.invalid() {
            text.push_str(&format!("\\x{octet:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drives_the_terminal_however_it_is_cut() {
        let octets = "a\tb\r\nc\rd\x1b[31mé\u{1f600}\u{202e}\0".as_bytes();
        let octets = [octets, b"\xff\xe2\x82", b"x\xf0\x9f\r"].concat();
        let expected =
            "a\tb\nc\\rd\\u{1b}[31mé\u{1f600}\\u{202e}\\u{0}\\xff\\xe2\\x82x\\xf0\\x9f\\r";
        for size in 1..=octets.len() {
            let mut screen = Screen::default();
            let mut text = String::new();
            for piece in octets.chunks(size) {
                text.push_str(&screen.show(piece));
            }
            text.push_str(&screen.finish());
            assert_eq!(text, expected, "{size}");
        }
    }
}
