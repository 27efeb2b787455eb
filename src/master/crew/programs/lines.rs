//! What a program writes, cut into lines for the log. Pure.
//!
//! Owes that nothing it writes needs more memory than one line may have.

/// The longest line; what is longer goes on in the next one.
pub(super) const LONGEST: usize = 2048;

/// A line that has begun.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes octets in; `tell` hears each line that is whole by that, without
    /// its end. Empty ones are passed over.
    pub(super) fn take(&mut self, mut octets: &[u8], mut tell: impl FnMut(&str)) {
        while !octets.is_empty() {
            let room = LONGEST - self.begun.len();
            let end = memchr::memchr(b'\n', octets).filter(|at| *at <= room);
            let (more, after) = match end {
                Some(at) => (at, at + 1),
                None => (room.min(octets.len()), room.min(octets.len())),
            };
            self.begun.extend_from_slice(&octets[..more]);
            octets = &octets[after..];
            if end.is_some() || self.begun.len() == LONGEST {
                self.finish(&mut tell);
            }
        }
    }

    /// Nothing follows: what has begun is a line as well.
    pub(super) fn finish(&mut self, mut tell: impl FnMut(&str)) {
        let line = self.begun.strip_suffix(b"\r").unwrap_or(&self.begun);
        if !line.is_empty() {
            tell(&String::from_utf8_lossy(line));
        }
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut told) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.take(piece, |line| told.push(line.to_owned()));
        }
        lines.finish(|line| told.push(line.to_owned()));
        told
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let text = b"one\n\ntwo\r\nthr\xffee";
        let expected = ["one", "two", "thr\u{fffd}ee"];
        assert_eq!(told(&[text]), expected);
        let octets: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(told(&octets), expected);
        assert!(told(&[b"\n\n", b"\r\n"]).is_empty());
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let long = vec![b'x'; 2 * LONGEST + 7];
        let lengths: Vec<usize> = told(&[&long, b"\nend"]).iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, 7, 3]);
        let exact = [&vec![b'x'; LONGEST][..], b"\nend\n"].concat();
        let lengths: Vec<usize> = told(&[&exact]).iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST, 3]);
    }
}
