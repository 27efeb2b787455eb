//! The head of an answer (RFC 9112 §4, §5), read as its octets come.
//!
//! As strict as the server's own reader, but for two things that a user agent
//! owes others: a field that goes on in the next line is put together
//! (RFC 9112 §5.2), and a status line may lack its reason with the space before
//! it. What is no HTTP/1 at all is known by its first octets, and not waited
//! for.

use super::fault::Fault;
use crate::protocol::http::wire::is_token;
use memchr::memchr;

/// Octets of a head, the empty line included.
pub const MAX_HEAD: usize = 64 * 1024;
/// What every status line of HTTP/1 begins with.
const BEGINNING: &[u8] = b"HTTP/1.";

/// The head of an answer that breaks no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    raw: Vec<u8>,
    is_http10: bool,
    status: u16,
    /// Names in lower case, and values without the white space around them.
    fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// As it came, with the empty line.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Whether it is of HTTP/1.0; a later minor version counts as 1.1.
    pub const fn is_http10(&self) -> bool {
        self.is_http10
    }

    /// The status: 100 to 999.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The values of the fields of this name, which is in lower case, in their
    /// order.
    pub fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        let of_name = self.fields.iter().filter(move |field| field.0 == name);
        of_name.map(|(_, value)| value.as_slice())
    }

    /// Whether a list of words has this one, in any case.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        let mut items = self
            .values(name)
            .flat_map(|value| value.split(|&b| b == b','));
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }
}

#[cfg(test)]
impl Head {
    /// The head that a test writes.
    pub(super) fn of(text: &str) -> Self {
        match Reader::default().proceed(text.as_bytes()) {
            Ok((_, Some(head))) => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

/// Reads a head, however its octets are cut.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    raw: Vec<u8>,
    /// Where the line begins that is being read.
    line: usize,
    /// What the status line said, once it is there.
    status: Option<(bool, u16)>,
    fields: Vec<(String, Vec<u8>)>,
}

impl Reader {
    /// Octets of the head so far.
    pub fn received(&self) -> usize {
        self.raw.len()
    }

    /// Goes on with `input`. Answers how many of its octets it took, and the
    /// head once it is whole; then it begins anew.
    ///
    /// # Errors
    /// What is wrong, as soon as that is certain.
    pub fn proceed(&mut self, input: &[u8]) -> Result<(usize, Option<Head>), Fault> {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            if self.raw.len() + end > MAX_HEAD {
                return Err(Fault::HeadTooLong);
            }
            self.raw.extend_from_slice(&rest[..end]);
            used += end;
            if self.status.is_none() {
                self.check_beginning()?;
            }
            if rest[end - 1] == b'\n' && self.end_line()? {
                return Ok((used, Some(self.finish()?)));
            }
        }
        Ok((used, None))
    }

    /// Whoever speaks another protocol is told so at its first octets: an end of
    /// line may never come.
    fn check_beginning(&self) -> Result<(), Fault> {
        let common = self.raw.len().min(BEGINNING.len());
        if self.raw[..common] == BEGINNING[..common] {
            return Ok(());
        }
        let shown = self.raw.len().min(24);
        Err(Fault::NotHttp(self.raw[..shown].to_vec()))
    }

    /// Judges the line that has just ended; says whether it was the empty one.
    fn end_line(&mut self) -> Result<bool, Fault> {
        let start = std::mem::replace(&mut self.line, self.raw.len());
        let line = &self.raw[start..];
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(Fault::Rule("rfc9112-2.2 bare LF"));
        };
        if self.status.is_none() {
            self.status = Some(status_line(line)?);
            return Ok(false);
        }
        match line {
            [] => return Ok(true),
            // obs-fold = OWS CRLF RWS
            [b' ' | b'\t', ..] => {
                let more = value(line)?;
                let Some((_, value)) = self.fields.last_mut() else {
                    return Err(Fault::Rule(
                        "rfc9112-2.2 white space before the first field",
                    ));
                };
                if !more.is_empty() && !value.is_empty() {
                    value.push(b' ');
                }
                value.extend_from_slice(more);
            }
            line => {
                let colon = memchr(b':', line).ok_or(Fault::Rule("rfc9112-5 field-line"))?;
                let (name, rest) = (&line[..colon], &line[colon + 1..]);
                if !is_token(name) {
                    return Err(Fault::Rule("rfc9112-5.1 field-name"));
                }
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                let value = value(rest)?.to_vec();
                self.fields.push((name, value));
            }
        }
        Ok(false)
    }

    fn finish(&mut self) -> Result<Head, Fault> {
        let whole = std::mem::take(self);
        let (is_http10, status) = whole.status.ok_or(Fault::Rule("rfc9112-4 status-line"))?;
        Ok(Head {
            raw: whole.raw,
            is_http10,
            status,
            fields: whole.fields,
        })
    }
}

/// status-line = HTTP-version SP status-code SP [ reason-phrase ]
///
/// Whether it is of HTTP/1.0, and the status.
fn status_line(line: &[u8]) -> Result<(bool, u16), Fault> {
    let wrong = Fault::Rule("rfc9112-4 status-line");
    let Some([minor, b' ', code @ ..]) = line.strip_prefix(BEGINNING) else {
        return Err(wrong);
    };
    let (code, reason) = code.split_at_checked(3).ok_or(wrong.clone())?;
    let digits = minor.is_ascii_digit() && code.iter().all(u8::is_ascii_digit);
    let is_reason = matches!(reason, [] | [b' ', ..]);
    if !digits || !is_reason || code[0] == b'0' {
        return Err(wrong);
    }
    value(reason)?;
    let digit = |at: usize| u16::from(code[at] - b'0');
    Ok((*minor == b'0', digit(0) * 100 + digit(1) * 10 + digit(2)))
}

/// A value without the white space around it. RFC 9110 §5.5 has no control
/// character in one but HTAB.
fn value(text: &[u8]) -> Result<&[u8], Fault> {
    if text
        .iter()
        .any(|&byte| byte != b'\t' && byte.is_ascii_control())
    {
        return Err(Fault::Rule("rfc9110-5.5 field-value"));
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_space(byte));
    let Some(start) = start else {
        return Ok(&[]);
    };
    let end = text.iter().rposition(|byte| !is_space(byte));
    Ok(&text[start..=end.unwrap_or(start)])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The same however it is cut, and what follows survives.
    fn read(text: &[u8]) -> Result<(usize, Option<Head>), Fault> {
        let whole = Reader::default().proceed(text);
        for size in [1, 2, 7] {
            let mut reader = Reader::default();
            let (mut used, mut head) = (0, None);
            let mut outcome = Ok(());
            for piece in text.chunks(size) {
                match reader.proceed(piece) {
                    Ok((count, found)) => {
                        used += count;
                        head = found;
                    }
                    Err(fault) => outcome = Err(fault),
                }
                if head.is_some() || outcome.is_err() {
                    break;
                }
            }
            match (&whole, outcome) {
                // Of what comes as one piece more of it can be shown.
                (Err(Fault::NotHttp(_)), Err(Fault::NotHttp(_))) => {}
                (whole, outcome) => assert_eq!(*whole, outcome.map(|()| (used, head))),
            }
        }
        whole
    }

    #[test]
    fn a_head_is_read_and_the_rest_survives() {
        let text =
            b"HTTP/1.1 200 OK\r\nContent-Length:\t5 \r\nX: a\r\nx:b,, C\r\nEmpty:\r\n\r\nhello";
        let (used, head) = read(text).unwrap();
        let head = head.unwrap();
        assert_eq!(used, text.len() - 5);
        assert_eq!(head.raw(), &text[..used]);
        assert_eq!((head.status(), head.is_http10()), (200, false));
        let values: Vec<_> = head.values("x").collect();
        assert_eq!(values, [&b"a"[..], b"b,, C"]);
        assert_eq!(head.values("content-length").next(), Some(&b"5"[..]));
        assert_eq!(head.values("empty").next(), Some(&b""[..]));
        assert!(head.lists("x", "c") && !head.lists("x", "d"));
        assert_eq!(read(&text[..used - 1]), Ok((used - 1, None)));
    }

    #[test]
    fn status_lines() {
        for (line, expected) in [
            ("HTTP/1.0 404 Not Found", Some((true, 404))),
            ("HTTP/1.2 200 ", Some((false, 200))),
            ("HTTP/1.1 200", Some((false, 200))),
            ("HTTP/1.1 599 \u{e9}\u{e8}", Some((false, 599))),
            ("HTTP/1.1 099 x", None),
            ("HTTP/1.1 20 OK", None),
            ("HTTP/1.1 2000", None),
            ("HTTP/1.1  200 OK", None),
            ("HTTP/1.1 +20 OK", None),
            ("HTTP/1.10 200 OK", None),
            ("HTTP/1.1 200 a\x01b", None),
            ("HTTP/1.1", None),
        ] {
            let head = read(format!("{line}\r\n\r\n").as_bytes());
            let found = head.ok().and_then(|(_, head)| head);
            let found = found.map(|head| (head.is_http10(), head.status()));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_http_is_known_at_once() {
        for text in [
            &b"S"[..],
            b"SSH-2.0-x",
            b"\x15\x03",
            b"HTTP/2.0 200",
            b"\r\n",
            b"<html>",
        ] {
            assert!(matches!(read(text), Err(Fault::NotHttp(_))), "{text:?}");
        }
    }

    #[test]
    fn folded_lines_are_put_together() {
        let text = b"HTTP/1.1 200 OK\r\nX: a \r\n \t b\r\n\tc\r\n  \r\nY:\r\n z\r\n\r\n";
        let (_, head) = read(text).unwrap();
        let head = head.unwrap();
        assert_eq!(head.values("x").next(), Some(&b"a b c"[..]));
        assert_eq!(head.values("y").next(), Some(&b"z"[..]));
    }

    #[test]
    fn broken_rules_are_named() {
        for (fields, rule) in [
            (&b"X: a\n"[..], "rfc9112-2.2 bare LF"),
            (
                b" X: a\r\n",
                "rfc9112-2.2 white space before the first field",
            ),
            (b"X\r\n", "rfc9112-5 field-line"),
            (b": a\r\n", "rfc9112-5.1 field-name"),
            (b"X : a\r\n", "rfc9112-5.1 field-name"),
            (b"X\xe9: a\r\n", "rfc9112-5.1 field-name"),
            (b"X: a\0b\r\n", "rfc9110-5.5 field-value"),
            (b"X: a\rb\r\n", "rfc9110-5.5 field-value"),
            (b"X: a\r\n \x1b\r\n", "rfc9110-5.5 field-value"),
        ] {
            let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
            text.extend_from_slice(fields);
            assert_eq!(read(&text), Err(Fault::Rule(rule)));
        }
    }

    #[test]
    fn a_head_has_a_bound() {
        let mut text = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        text.resize(MAX_HEAD, b'x');
        assert_eq!(read(&text), Ok((MAX_HEAD, None)));
        text.push(b'x');
        assert_eq!(read(&text), Err(Fault::HeadTooLong));
    }
}
