//! Answers, taken apart by a client that is strict in what ends where (RFC 9112
//! §6.3) and takes whatever fields it gets.

/// How the end of an answer is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no content: an interim answer, 204, 304, or one to HEAD.
    None,
    /// Content-Length says it.
    Length,
    /// Chunks.
    Chunked,
    /// The end of the connection.
    Close,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status, 100 to 999.
    pub status: u16,
    /// Its fields, in their order; octets from 0x80 on stand for the characters
    /// of these numbers.
    pub fields: Vec<(String, String)>,
    /// Its content, chunks taken off.
    pub content: Vec<u8>,
    /// How its end was known.
    pub framing: Framing,
    /// How many octets it had.
    pub length: usize,
}

/// What there is of an answer so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// All of it.
    Whole(Answer),
    /// It goes on; where it lasts to the end of the connection, this is what it
    /// is if that has come.
    Part(Option<Answer>),
    /// It is none; the text says why.
    Malformed(String),
}

/// A head that is longer is none.
const LONGEST_HEAD: usize = 256 * 1024;

impl Answer {
    /// The value of a field, by its name in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// The values of all fields of this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let same = move |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
        let found = self.fields.iter().filter(same);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether a field that is a list has this member, in any case.
    pub fn lists(&self, name: &str, member: &str) -> bool {
        let mut members = self.values(name).flat_map(|value| value.split(','));
        members.any(|found| found.trim().eq_ignore_ascii_case(member))
    }

    /// Whether it says that the connection ends.
    pub fn closes(&self) -> bool {
        self.lists("Connection", "close")
    }

    /// Whether another answer to the same request follows it.
    pub const fn is_interim(&self) -> bool {
        self.status < 200
    }
}

/// The first answer of `octets`, which is to HEAD if `to_head`.
pub fn parse(octets: &[u8], to_head: bool) -> Parsed {
    let Some(end) = memchr::memmem::find(octets, b"\r\n\r\n") else {
        // What cannot become a status line need not be waited for.
        let begin = &octets[..octets.len().min(5)];
        return if !b"HTTP/".starts_with(begin) {
            Parsed::Malformed("it does not begin with HTTP/".to_owned())
        } else if octets.len() > LONGEST_HEAD {
            Parsed::Malformed("a head without an end".to_owned())
        } else {
            Parsed::Part(None)
        };
    };
    match head(&octets[..end], to_head) {
        Ok(mut answer) => {
            answer.length = end + 4;
            content(answer, &octets[end + 4..])
        }
        Err(fault) => Parsed::Malformed(fault),
    }
}

fn head(octets: &[u8], to_head: bool) -> Result<Answer, String> {
    let text: String = octets.iter().copied().map(char::from).collect();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    // RFC 9112 §4: HTTP-version SP status-code SP [ reason-phrase ]; many leave
    // out the second blank together with the phrase.
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "));
    let digits = rest.and_then(|rest| rest.get(..3));
    let status = digits.and_then(|digits| digits.parse::<u16>().ok());
    let status = status.filter(|status| *status >= 100);
    let status = status.ok_or_else(|| format!("no status line: {line:.80}"))?;
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty() && !name.contains([' ', '\t']))
            .ok_or_else(|| format!("no field line: {line:.80}"))?;
        let value = value.trim_matches([' ', '\t']);
        if value.contains(['\r', '\n', '\0']) {
            return Err(format!("a control character in the field {name:.80}"));
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    let mut answer = Answer {
        status,
        fields,
        content: Vec::new(),
        framing: Framing::None,
        length: 0,
    };
    answer.framing = framing(&answer, to_head)?;
    Ok(answer)
}

/// RFC 9112 §6.3.
fn framing(answer: &Answer, to_head: bool) -> Result<Framing, String> {
    if to_head || answer.is_interim() || matches!(answer.status, 204 | 304) {
        return Ok(Framing::None);
    }
    if let Some(coding) = answer.field("Transfer-Encoding") {
        if answer.field("Content-Length").is_some() {
            return Err("both Transfer-Encoding and Content-Length".to_owned());
        }
        return if coding.eq_ignore_ascii_case("chunked") {
            Ok(Framing::Chunked)
        } else {
            Err(format!("the unknown transfer coding {coding:.80}"))
        };
    }
    let mut lengths = answer.values("Content-Length");
    let Some(first) = lengths.next() else {
        return Ok(Framing::Close);
    };
    if lengths.any(|other| other != first) || length(first).is_none() {
        return Err(format!("Content-Length is no number: {first:.80}"));
    }
    Ok(Framing::Length)
}

fn length(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn content(mut answer: Answer, rest: &[u8]) -> Parsed {
    match answer.framing {
        Framing::None => Parsed::Whole(answer),
        Framing::Length => {
            let length = answer.field("Content-Length").and_then(length);
            match length.and_then(|length| rest.get(..length)) {
                Some(content) => {
                    answer.content = content.to_vec();
                    answer.length += content.len();
                    Parsed::Whole(answer)
                }
                None => Parsed::Part(None),
            }
        }
        Framing::Chunked => match chunks(rest) {
            Ok(Some(length)) => {
                answer.content = joined(&rest[..length]);
                answer.length += length;
                Parsed::Whole(answer)
            }
            Ok(None) => Parsed::Part(None),
            Err(fault) => Parsed::Malformed(fault),
        },
        Framing::Close => {
            answer.content = rest.to_vec();
            answer.length += rest.len();
            Parsed::Part(Some(answer))
        }
    }
}

/// A chunk that begins here: its size, and how long the line is that says it
/// (RFC 9112 §7.1); extensions are ignored.
fn chunk(octets: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let Some(end) = memchr::memmem::find(octets, b"\r\n") else {
        return if octets.len() > 4096 {
            Err("a chunk size without an end".to_owned())
        } else {
            Ok(None)
        };
    };
    let digits = octets[..end].iter();
    let digits: String = digits
        .take_while(|byte| byte.is_ascii_hexdigit())
        .map(|&byte| char::from(byte))
        .collect();
    let size = usize::from_str_radix(&digits, 16).ok();
    let size = size.filter(|size| *size <= super::MOST_TAKEN);
    match size {
        Some(size) => Ok(Some((size, end + 2))),
        None => Err(format!("the chunk size {digits:.20}")),
    }
}

/// How many octets the chunks and their trailer have; `None` if there are more
/// to come.
fn chunks(octets: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some((size, line)) = chunk(octets.get(at..).unwrap_or_default())? else {
            return Ok(None);
        };
        if size == 0 {
            break at += line;
        }
        at += line + size;
        match octets.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Err("a chunk is longer than it says".to_owned()),
            None => return Ok(None),
        }
    }
    // The trailer section: field lines, then an empty one.
    loop {
        let rest = octets.get(at..).unwrap_or_default();
        match memchr::memmem::find(rest, b"\r\n") {
            Some(0) => return Ok(Some(at + 2)),
            Some(end) => at += end + 2,
            None => return Ok(None),
        }
    }
}

/// The content of chunks that are known to be right.
fn joined(octets: &[u8]) -> Vec<u8> {
    let (mut at, mut content) = (0, Vec::new());
    while let Ok(Some((size, line))) = chunk(octets.get(at..).unwrap_or_default()) {
        let begin = at + line;
        content.extend_from_slice(octets.get(begin..begin + size).unwrap_or_default());
        at = begin + size + 2;
        if size == 0 {
            break;
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(octets: &[u8]) -> Answer {
        match parse(octets, false) {
            Parsed::Whole(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Whole, octet by octet, and with what follows.
    #[test]
    fn answers_end_where_they_say() {
        for (octets, content) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"[..], &b"ab"[..]),
            (b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", b""),
            (b"HTTP/1.1 100\r\n\r\n", b""),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1;x=y\r\na\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
                b"a0123456789",
            ),
        ] {
            let mut followed = octets.to_vec();
            followed.extend_from_slice(b"HTTP/1.1 500");
            let answer = whole(&followed);
            assert_eq!(answer.length, octets.len());
            assert_eq!(answer.content, content);
            for end in 0..octets.len() {
                assert_eq!(parse(&octets[..end], false), Parsed::Part(None), "{end}");
            }
        }
        assert_eq!(
            whole(b"HTTP/1.0 304 Not\r\nContent-Length: 9\r\n\r\n").length,
            39
        );
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert!(matches!(parse(head, true), Parsed::Whole(_)));
        let Parsed::Part(Some(answer)) = parse(b"HTTP/1.1 200 OK\r\n\r\nabc", false) else {
            panic!("up to the end of the connection");
        };
        assert_eq!(
            (answer.framing, &answer.content[..]),
            (Framing::Close, &b"abc"[..])
        );
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for octets in [
            &b"<html>"[..],
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            let shown = String::from_utf8_lossy(octets);
            assert!(
                matches!(parse(octets, false), Parsed::Malformed(_)),
                "{shown}"
            );
        }
    }

    proptest! {
        /// Whatever comes, it is an answer, the begin of one, or none; and an
        /// answer is no longer than what came.
        #[test]
        fn nothing_that_comes_is_fatal(
            begin in "(HTTP/1\\.1 200 OK\r\n(Content-Length: [0-9]{0,30}\r\n|Transfer-Encoding: chunked\r\n)?(\r\n)?)?",
            rest in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'f'), any::<u8>()], 0..80),
            to_head in any::<bool>(),
        ) {
            let octets = [begin.as_bytes(), &rest].concat();
            if let Parsed::Whole(answer) = parse(&octets, to_head) {
                prop_assert!(answer.length <= octets.len());
                prop_assert!(answer.content.len() <= octets.len());
                prop_assert_eq!(parse(&octets[..answer.length], to_head), Parsed::Whole(answer));
            }
        }
    }

    #[test]
    fn fields_are_found_in_any_case() {
        let answer = whole(b"HTTP/1.1 204 x\r\nconnection: foo, Close\r\nX:\t\xe4 \r\n\r\n");
        assert!(answer.closes() && answer.lists("Connection", "FOO"));
        assert_eq!(answer.field("x"), Some("\u{e4}"));
    }
}
