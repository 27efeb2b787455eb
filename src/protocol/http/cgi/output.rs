//! What a program answers: the header section of its output (RFC 3875 §6).
//!
//! ```text
//! generic-response = 1*header-field NL [ response-body ]
//! header-field     = ( CGI-field | generic-field ) NL
//! CGI-field        = Content-Type | Location | Status
//! NL               = LF, or CRLF (§6.3.4 has it so for every system of today)
//! ```
//!
//! A program that answers otherwise is wrong, and that is said: nothing is
//! guessed. What describes the connection is the server's own to say, and left
//! out (§6.3.4, §6.3.5); no octet of a value can end a line.

use super::environment::trim;
use crate::protocol::http::request::is_token_octet;

/// The longest header section, in octets.
pub(in super::super) const LONGEST: usize = 32 * 1024;

/// Fields that are not the program's to say. In lower case.
const DROPPED: &[&[u8]] = &[
    b"connection",
    b"content-length",
    b"date",
    b"keep-alive",
    b"proxy-connection",
    b"server",
    b"status",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// What a program answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reply<'a> {
    /// What follows is for the client.
    Document(Document<'a>),
    /// The answer is that of another path, with its query, of this server
    /// (§6.2.2).
    Local(&'a [u8]),
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Document<'a> {
    /// 200 to 599.
    pub(in super::super) status: u16,
    /// The phrase behind it; empty where none was given.
    pub(in super::super) reason: &'a [u8],
    /// The lines, for [`Document::fields`].
    lines: &'a [u8],
    /// The length that the program promises.
    pub(in super::super) length: Option<u64>,
    /// It has a Content-Type, and so may have a body.
    pub(in super::super) typed: bool,
    /// It sends the client elsewhere.
    pub(in super::super) located: bool,
}

impl<'a> Document<'a> {
    /// The fields to be sent on.
    pub(in super::super) fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        lines(self.lines)
            .filter_map(|line| split(line).ok())
            .filter(|(name, _)| !DROPPED.iter().any(|known| name.eq_ignore_ascii_case(known)))
    }
}

/// Finds the end of the header section: octets with the empty line included.
/// `line` is where the line under way begins, and is kept from call to call.
pub(in super::super) fn end_of_head(bytes: &[u8], line: &mut usize) -> Option<usize> {
    loop {
        let start = (*line).min(bytes.len());
        let end = start + memchr::memchr(b'\n', &bytes[start..])?;
        let is_empty = matches!(&bytes[start..end], b"" | b"\r");
        *line = end + 1;
        if is_empty {
            return Some(end + 1);
        }
    }
}

/// Reads a whole header section; the text names the rule that it breaks.
pub(in super::super) fn parse(head: &[u8]) -> Result<Reply<'_>, &'static str> {
    let (mut media_type, mut location, mut status) = (None, None, None);
    let mut lengths = Lengths::default();
    for line in lines(head) {
        if line.starts_with(b"HTTP/") {
            return Err("rfc3875-5 nph output is not supported");
        }
        let (name, value) = split(line)?;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let slot = match name.len() {
            6 if is("status") => &mut status,
            8 if is("location") => &mut location,
            12 if is("content-type") => &mut media_type,
            14 if is("content-length") => {
                lengths.add(value);
                continue;
            }
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err("rfc3875-6.3 CGI field repeated");
        }
    }
    let status = status.map(parse_status).transpose()?;
    if let Some(b"") = media_type {
        return Err("rfc3875-6.3.1 Content-Type is empty");
    }
    let location = location.map(parse_location).transpose()?;
    let (status, reason) = match (status, location) {
        (None, Some(Location::Local(path))) => return Ok(Reply::Local(path)),
        (None, Some(Location::Absolute)) => (302, &b"Found"[..]),
        (Some(status), _) => status,
        (None, None) if media_type.is_some() => (200, &b"OK"[..]),
        (None, None) => return Err("rfc3875-6.3 no CGI field"),
    };
    Ok(Reply::Document(Document {
        status,
        reason,
        lines: head,
        length: lengths.said(),
        typed: media_type.is_some(),
        located: location.is_some(),
    }))
}

/// The lines before the empty one, without their ends.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
}

/// header-field = field-name ":" [ field-value ]
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let colon = memchr::memchr(b':', line).ok_or("rfc3875-6.3 header-field")?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    if name.is_empty() || !name.iter().copied().all(is_token_octet) {
        return Err("rfc3875-6.3 field-name");
    }
    if value
        .iter()
        .any(|&byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err("rfc3875-6.3 field-value");
    }
    Ok((name, value))
}

/// status-code SP reason-phrase. An interim answer is not a program's to give.
fn parse_status(value: &[u8]) -> Result<(u16, &[u8]), &'static str> {
    const RULE: &str = "rfc3875-6.3.3 Status";
    let (code, rest) = value.split_at_checked(3).ok_or(RULE)?;
    let code = code.iter().try_fold(0, |code: u16, digit| {
        digit
            .is_ascii_digit()
            .then(|| code * 10 + u16::from(digit - b'0'))
    });
    match (code, rest) {
        (Some(code @ 200..=599), [] | [b' ' | b'\t', ..]) => Ok((code, trim(rest))),
        (_, _) => Err(RULE),
    }
}

#[derive(Clone, Copy)]
enum Location<'a> {
    Local(&'a [u8]),
    Absolute,
}

/// local-Location = abs-path [ "?" query ]; client-Location = absolute URI
/// with or without fragment (§6.3.2).
fn parse_location(value: &[u8]) -> Result<Location<'_>, &'static str> {
    const RULE: &str = "rfc3875-6.3.2 Location";
    if value.is_empty() || !value.iter().all(u8::is_ascii_graphic) {
        return Err(RULE);
    }
    if value.starts_with(b"/") {
        return Ok(Location::Local(value));
    }
    let colon = memchr::memchr(b':', value).ok_or(RULE)?;
    let (scheme, rest) = (&value[..colon], &value[colon + 1..]);
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let is_scheme =
        scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(inside);
    if is_scheme && !rest.is_empty() {
        Ok(Location::Absolute)
    } else {
        Err(RULE)
    }
}

/// Content-Length as far as it is believed: once, and a number.
#[derive(Default)]
struct Lengths {
    seen: bool,
    value: Option<u64>,
}

impl Lengths {
    fn add(&mut self, value: &[u8]) {
        let number = std::str::from_utf8(value)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok());
        self.value = number.filter(|_| !self.seen);
        self.seen = true;
    }

    fn said(&self) -> Option<u64> {
        self.value
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn document(head: &str) -> Document<'_> {
        let mut line = 0;
        assert_eq!(end_of_head(head.as_bytes(), &mut line), Some(head.len()));
        match parse(head.as_bytes()).unwrap() {
            Reply::Document(document) => document,
            Reply::Local(path) => panic!("sent to {path:?}"),
        }
    }

    fn rule(head: &str) -> &'static str {
        parse(head.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_end_is_found_however_the_octets_come() {
        for (head, rest) in [
            ("Content-Type: a/b\n\n", "body\n\n"),
            ("Content-Type: a/b\r\n\r\n", "\r\n\r\n"),
            ("A: b\r\nContent-Type: a/b\n\r\n", ""),
            ("\n", "x"),
        ] {
            let text = format!("{head}{rest}");
            let whole = end_of_head(text.as_bytes(), &mut 0);
            assert_eq!(whole, Some(head.len()), "{text:?}");
            let mut line = 0;
            let stepwise = (1..=text.len()).find_map(|length| {
                end_of_head(&text.as_bytes()[..length], &mut line).map(|end| (end, length))
            });
            assert_eq!(stepwise, Some((head.len(), head.len())), "{text:?}");
        }
        assert_eq!(end_of_head(b"A: b\n", &mut 0), None);
    }

    #[test]
    fn documents() {
        // Rule 123.
        let plain = document("Content-Type: text/html\n\n");
        assert_eq!(
            (plain.status, plain.reason, plain.typed),
            (200, &b"OK"[..], true)
        );
        let given = document("Status: 404 Not Here\nContent-type:a/b\r\nX-A:  b \n\n");
        assert_eq!((given.status, given.reason), (404, &b"Not Here"[..]));
        let fields: Vec<_> = given.fields().collect();
        assert_eq!(
            fields,
            [(&b"Content-type"[..], &b"a/b"[..]), (b"X-A", b"b")]
        );
        assert_eq!(document("Status: 204\n\n").reason, b"");
        assert!(!document("Status: 204\n\n").typed);
    }

    #[test]
    fn redirects() {
        // Rule 124.
        assert_eq!(parse(b"Location: /p?q\n\n"), Ok(Reply::Local(b"/p?q")));
        let found = document("Location: http://a/#f\n\n");
        assert_eq!(
            (found.status, found.located, found.typed),
            (302, true, false)
        );
        let given = document("Status: 303 See Other\nLocation: /p\n\n");
        assert_eq!((given.status, given.located), (303, true));
        for value in ["", "p", "a b:c", ":x", "http:", "/\u{e4}", "1:x"] {
            let head = format!("Location: {value}\n\n");
            assert_eq!(rule(&head), "rfc3875-6.3.2 Location", "{value}");
        }
    }

    #[test]
    fn what_the_server_says_itself_is_left_out() {
        // Rule 125.
        let document = document(
            "Content-Type: a/b\nConnection: keep-alive\nTransfer-Encoding: chunked\n\
             Content-Length: 5\nDate: x\nserver: y\nX: 1\nSet-Cookie: a\nSet-Cookie: b\n\n",
        );
        let names: Vec<_> = document.fields().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [&b"Content-Type"[..], b"X", b"Set-Cookie", b"Set-Cookie"]
        );
        assert_eq!(document.length, Some(5));
    }

    #[test]
    fn lengths_are_believed_if_they_can_be() {
        for (fields, expected) in [
            ("Content-Length: 0010\n", Some(10)),
            ("Content-Length: 5\nContent-Length: 5\n", None),
            ("Content-Length: +5\n", None),
            ("Content-Length: 5, 5\n", None),
            ("Content-Length: 18446744073709551616\n", None),
            ("Content-Length:\n", None),
        ] {
            let head = format!("Content-Type: a/b\n{fields}\n");
            assert_eq!(document(&head).length, expected, "{fields}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (head, expected) in [
            ("X: y\n\n", "rfc3875-6.3 no CGI field"),
            ("\n", "rfc3875-6.3 no CGI field"),
            (
                "HTTP/1.1 200 OK\n\n",
                "rfc3875-5 nph output is not supported",
            ),
            ("hello\n\n", "rfc3875-6.3 header-field"),
            ("Content-Type : a/b\n\n", "rfc3875-6.3 field-name"),
            (" x: y\n\n", "rfc3875-6.3 field-name"),
            (": y\n\n", "rfc3875-6.3 field-name"),
            ("X: a\rb\n\n", "rfc3875-6.3 field-value"),
            ("X: a\0b\n\n", "rfc3875-6.3 field-value"),
            ("Content-Type:\n\n", "rfc3875-6.3.1 Content-Type is empty"),
            (
                "Content-Type: a\nContent-Type: a\n\n",
                "rfc3875-6.3 CGI field repeated",
            ),
            ("Status: 099\n\n", "rfc3875-6.3.3 Status"),
            ("Status: 100\n\n", "rfc3875-6.3.3 Status"),
            ("Status: 600\n\n", "rfc3875-6.3.3 Status"),
            ("Status: 2000\n\n", "rfc3875-6.3.3 Status"),
            ("Status: OK\n\n", "rfc3875-6.3.3 Status"),
        ] {
            assert_eq!(rule(head), expected, "{head:?}");
        }
    }
}
