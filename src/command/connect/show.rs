//! How octets that come from the other side are shown.
//!
//! Owes that what is piped on is exactly what came, and that what is shown on a
//! terminal cannot drive it. Does nothing itself: octets in, octets out.

use crate::escape::is_unruly;

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Exactly as it came.
    Exact,
    /// As text, without what a terminal obeys.
    Tame,
    /// In hexadecimal, what goes as well as what comes.
    Hex,
}

/// What was shown so far, as far as what comes next depends on it.
#[derive(Debug)]
pub(super) struct Shown {
    manner: Manner,
    /// A character that is not whole, or a CR whose LF may follow.
    begun: Vec<u8>,
    sent: u64,
    received: u64,
    /// Whether a line is open on the terminal.
    in_line: bool,
}

impl Shown {
    pub(super) const fn new(manner: Manner) -> Self {
        Self {
            manner,
            begun: Vec::new(),
            sent: 0,
            received: 0,
            in_line: false,
        }
    }

    /// These octets came.
    pub(super) fn received(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self.manner {
            Manner::Exact => out.extend_from_slice(octets),
            Manner::Tame => {
                self.begun.extend_from_slice(octets);
                let taken = tame(&self.begun, false, out);
                self.begun.drain(..taken);
                self.in_line = out.last().map_or(self.in_line, |last| *last != b'\n');
            }
            Manner::Hex => dump(b'<', &mut self.received, octets, out),
        }
    }

    /// These octets went.
    pub(super) fn sent(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self.manner {
            Manner::Exact | Manner::Tame => {}
            Manner::Hex => dump(b'>', &mut self.sent, octets, out),
        }
    }

    /// Nothing more comes for now: what is begun is shown as it is, and an open
    /// line ended.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        tame(&std::mem::take(&mut self.begun), true, out);
        if self.in_line || out.last().is_some_and(|last| *last != b'\n') {
            match self.manner {
                Manner::Tame => out.push(b'\n'),
                Manner::Exact | Manner::Hex => {}
            }
        }
        self.in_line = false;
    }
}

/// Appends `octets` as text in which a terminal obeys nothing but LF and TAB;
/// a CR before an LF is left out. Answers how many it took: at an end that is not
/// `last` a character may not be whole.
fn tame(octets: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
    let mut rest = octets;
    while !rest.is_empty() {
        let (text, broken) = match std::str::from_utf8(rest) {
            Ok(text) => (text, 0),
            Err(error) => {
                let (good, bad) = rest.split_at(error.valid_up_to());
                let broken = match error.error_len() {
                    Some(length) => length,
                    None if last => bad.len(),
                    None => 0,
                };
                // What `valid_up_to` says is valid is.
                (std::str::from_utf8(good).unwrap_or_default(), broken)
            }
        };
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\n' | '\t' => out.push(letter as u8),
                '\r' if letters.peek() == Some(&'\n') => {}
                '\r' if letters.peek().is_none() && text.len() == rest.len() && !last => {
                    return octets.len() - 1;
                }
                letter if is_unruly(letter) => {
                    out.extend(letter.escape_default().map(|sign| sign as u8));
                }
                letter => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        rest = &rest[text.len()..];
        if broken == 0 {
            break;
        }
        for octet in &rest[..broken] {
            out.extend_from_slice(format!("\\x{octet:02x}").as_bytes());
        }
        rest = &rest[broken..];
    }
    octets.len() - rest.len()
}

/// Sixteen octets a line: which way, where in the stream, in hexadecimal, and as
/// ASCII.
fn dump(way: u8, offset: &mut u64, octets: &[u8], out: &mut Vec<u8>) {
    for row in octets.chunks(16) {
        let mut line = format!("{} {offset:08x} ", char::from(way));
        for at in 0..16 {
            if at % 8 == 0 {
                line.push(' ');
            }
            match row.get(at) {
                Some(octet) => line.push_str(&format!("{octet:02x} ")),
                None => line.push_str("   "),
            }
        }
        line.push_str(" |");
        let printable = |octet: &u8| match octet {
            b' '..=b'~' => char::from(*octet),
            _ => '.',
        };
        line.extend(row.iter().map(printable));
        line.push_str("|\n");
        out.extend_from_slice(line.as_bytes());
        *offset += row.len() as u64;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(manner: Manner, pieces: &[&[u8]]) -> String {
        let mut shown = Shown::new(manner);
        let mut out = Vec::new();
        for piece in pieces {
            shown.received(piece, &mut out);
        }
        shown.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_obeys_nothing() {
        for (octets, expected) in [
            (&b"plain\n"[..], "plain\n"),
            (b"no end", "no end\n"),
            (b"", ""),
            (b"\n", "\n"),
            (b"dos\r\nline\r\n", "dos\nline\n"),
            (b"over\rwritten", "over\\rwritten\n"),
            (b"cr at the end\r", "cr at the end\\r\n"),
            (
                b"\x1b]0;owned\x07\x7f\t",
                "\\u{1b}]0;owned\\u{7}\\u{7f}\t\n",
            ),
            (
                "\u{9b}31m \u{202e}\u{e9}\n".as_bytes(),
                "\\u{9b}31m \\u{202e}\u{e9}\n",
            ),
            (b"\xff\xc3(\xe2\x82", "\\xff\\xc3(\\xe2\\x82\n"),
        ] {
            assert_eq!(shown(Manner::Tame, &[octets]), expected, "{octets:?}");
            // Octet by octet it is the same.
            let pieces: Vec<&[u8]> = octets.chunks(1).collect();
            assert_eq!(shown(Manner::Tame, &pieces), expected, "{octets:?}");
        }
    }

    #[test]
    fn what_is_piped_is_what_came() {
        assert_eq!(shown(Manner::Exact, &[b"a\r\x1b", b"b"]), "a\r\x1bb");
    }

    #[test]
    fn a_dump_tells_both_ways() {
        let mut shown = Shown::new(Manner::Hex);
        let mut out = Vec::new();
        shown.sent(b"GET / HTTP/1.1\r\nHost", &mut out);
        shown.received(b"\x1b", &mut out);
        shown.sent(b"x", &mut out);
        shown.finish(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "> 00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n\
             > 00000010  48 6f 73 74                                       |Host|\n\
             < 00000000  1b                                                |.|\n\
             > 00000014  78                                                |x|\n"
        );
    }

    proptest! {
        #[test]
        fn any_split_is_shown_alike(octets: Vec<u8>, split in 0..64usize) {
            let whole = shown(Manner::Tame, &[&octets]);
            let (first, second) = octets.split_at(split.min(octets.len()));
            prop_assert_eq!(&whole, &shown(Manner::Tame, &[first, second]));
            let quiet = |letter: char| letter == '\n' || letter == '\t' || !is_unruly(letter);
            prop_assert!(whole.chars().all(quiet));
        }
    }
}
