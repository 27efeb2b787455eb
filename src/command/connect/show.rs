//! How octets that come from the other side are shown.
//!
//! Owes that what is piped on is exactly what came, and that what is shown on a
//! terminal cannot drive it. Does nothing itself: octets in, octets out.

use super::super::screen::Screen;

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
    screen: Screen,
    sent: u64,
    received: u64,
    /// Whether a line is open on the terminal.
    in_line: bool,
}

impl Shown {
    pub(super) fn new(manner: Manner) -> Self {
        Self {
            manner,
            screen: Screen::default(),
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
                self.screen.show(octets, out);
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
        self.screen.finish(out);
        if self.in_line || out.last().is_some_and(|last| *last != b'\n') {
            match self.manner {
                Manner::Tame => out.push(b'\n'),
                Manner::Exact | Manner::Hex => {}
            }
        }
        self.in_line = false;
    }
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
    fn on_a_terminal_an_open_line_is_ended() {
        for (pieces, expected) in [
            (&[&b"plain\n"[..]][..], "plain\n"),
            (&[b"no ", b"end"], "no end\n"),
            (&[], ""),
            (&[b"\n"], "\n"),
            (&[b"\x1b[2J\xc3"], "\\u{1b}[2J\\xc3\n"),
        ] {
            assert_eq!(shown(Manner::Tame, pieces), expected);
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
}
