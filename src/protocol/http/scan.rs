//! Where a request head ends (RFC 9112 §2.2), found as octets arrive.
//!
//! [`Scan`] judges octets in their order and looks at none twice: an attacker
//! gains nothing by sending them one by one, and the verdict does not depend
//! on how they were cut into segments. What can be refused before the head is
//! whole is refused here, as soon as it is sure, because the rest may never
//! come.
//!
//! A line ends with CRLF and with nothing else: where RFC 9112 §2.2 lets a
//! recipient take a bare LF, two recipients may disagree about where a request
//! ends, so a bare LF is refused everywhere.

use memchr::{memchr, memchr3};

use super::clause::Clause;
use super::request::{Limits, is_token_octet};
use super::status::{Refusal, Status};

/// No method that anybody registered is longer.
const MAX_METHOD: usize = 32;

/// How far the search for the end of a head has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Octets that were judged.
    at: usize,
    /// Where the line or the part of it begins that is being read.
    start: usize,
    part: Part,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Method,
    Target,
    Lines,
}

impl Scan {
    /// Goes on with `bytes`, which begins with what it was given before.
    /// Answers the length of the head once it is all there.
    pub(super) fn proceed(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, Refusal> {
        let horizon = bytes.len().min(limits.header);
        let seen = &bytes[..horizon];
        let end = loop {
            let done = match self.part {
                Part::Method => self.read_method(seen)?,
                Part::Target => self.read_target(seen, limits)?,
                Part::Lines => match self.read_line(seen)? {
                    LineEnd::Head => break Some(self.at),
                    LineEnd::Field => true,
                    LineEnd::Awaited => false,
                },
            };
            if !done {
                break None;
            }
        };
        if end.is_none() && horizon == limits.header {
            return Err(match self.part {
                Part::Method | Part::Target => target_too_long(),
                Part::Lines => Refusal::new(Status::HeaderTooLarge, Clause::HeaderSize),
            });
        }
        Ok(end)
    }

    /// Judged at once: whoever speaks another protocol (TLS, say) is told so
    /// without waiting for an end of line that may never come.
    fn read_method(&mut self, seen: &[u8]) -> Result<bool, Refusal> {
        while let Some(&byte) = seen.get(self.at) {
            if byte == b' ' && self.at > 0 {
                self.at += 1;
                self.start = self.at;
                self.part = Part::Target;
                return Ok(true);
            }
            if !is_token_octet(byte) {
                return Err(Refusal::bad(Clause::MethodToken));
            }
            self.at += 1;
            if self.at > MAX_METHOD {
                return Err(Refusal::new(Status::NotImplemented, Clause::MethodToken));
            }
        }
        Ok(false)
    }

    fn read_target(&mut self, seen: &[u8], limits: &Limits) -> Result<bool, Refusal> {
        let found = memchr3(b' ', b'\r', b'\n', &seen[self.at..]);
        let end = found.map_or(seen.len(), |offset| self.at + offset);
        if end - self.start > limits.target {
            return Err(target_too_long());
        }
        self.at = end;
        match seen.get(end) {
            Some(b' ') => {
                self.part = Part::Lines;
                Ok(true)
            }
            Some(b'\n') => Err(bare_lf()),
            // HTTP/0.9: no version, and no head would follow.
            Some(_) => Err(Refusal::bad(Clause::VersionMissing)),
            None => Ok(false),
        }
    }

    /// In the request line `start` lies behind its method, so it cannot look
    /// like the empty line that ends the head.
    fn read_line(&mut self, seen: &[u8]) -> Result<LineEnd, Refusal> {
        let Some(offset) = memchr(b'\n', &seen[self.at..]) else {
            self.at = seen.len();
            return Ok(LineEnd::Awaited);
        };
        let line = &seen[self.start..self.at + offset];
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(bare_lf());
        };
        self.at += offset + 1;
        self.start = self.at;
        Ok(if line.is_empty() {
            LineEnd::Head
        } else {
            LineEnd::Field
        })
    }
}

enum LineEnd {
    Head,
    Field,
    Awaited,
}

const fn bare_lf() -> Refusal {
    Refusal::bad(Clause::BareLf)
}

const fn target_too_long() -> Refusal {
    Refusal::new(Status::UriTooLong, Clause::TargetLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        target: 100,
        header: 1000,
        fields: 40,
        body: 100,
    };

    #[test]
    fn the_end_is_found_and_the_rest_survives() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut bytes = head.to_vec();
        bytes.extend_from_slice(b"GET /2");
        assert_eq!(
            Scan::default().proceed(&bytes, &LIMITS),
            Ok(Some(head.len()))
        );
        let mut scan = Scan::default();
        for length in 0..head.len() {
            assert_eq!(scan.proceed(&bytes[..length], &LIMITS), Ok(None));
        }
        assert_eq!(scan.proceed(&bytes, &LIMITS), Ok(Some(head.len())));
    }

    #[test]
    fn what_never_ends_is_refused_as_soon_as_it_is_sure() {
        let refused = |bytes: &[u8]| {
            let verdict = Scan::default().proceed(bytes, &LIMITS);
            verdict.map_err(|refusal| refusal.status.code())
        };
        assert_eq!(refused(&[b'A'; 32]), Ok(None));
        assert_eq!(refused(&[b'A'; 33]), Err(501));
        assert_eq!(refused(b"\x16\x03\x01"), Err(400));
        let mut line = b"GET /".to_vec();
        line.resize(104, b'x');
        assert_eq!(refused(&line), Ok(None));
        line.push(b'x');
        assert_eq!(refused(&line), Err(414));
        let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
        head.resize(999, b'x');
        assert_eq!(refused(&head), Ok(None));
        head.push(b'x');
        assert_eq!(refused(&head), Err(431));
    }
}
