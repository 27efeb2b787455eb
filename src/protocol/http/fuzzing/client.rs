//! A client that trusts nothing: it reads answers by the grammar alone, and
//! finds nothing between them.

use super::shown;
use crate::protocol::CloseReason;
use crate::protocol::harness::Seen;

/// An answer, as a client has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) content: Vec<u8>,
}

impl Answer {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter();
        fields
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }
}

/// What the access log says of an answer.
struct Line<'a> {
    request: &'a str,
    status: u16,
    octets: u64,
}

/// As [`read_any`]; what a status demands is there as well.
pub(super) fn read(seen: &Seen) -> Vec<Answer> {
    let answers = read_any(seen);
    for answer in &answers {
        for (status, name) in [
            (401, "WWW-Authenticate"),
            (405, "Allow"),
            (416, "Content-Range"),
        ] {
            let has = answer.value(name).is_some();
            assert!(
                answer.status != status || has,
                "{name} is missing: {answer:?}"
            );
        }
    }
    answers
}

/// Reads all answers of a connection, each counted and with its line in the
/// access log. What programs say of themselves may be anything.
pub(super) fn read_any(seen: &Seen) -> Vec<Answer> {
    let mut log = seen.log.lines().map(read_line);
    let mut answers = Vec::new();
    let (mut rest, mut interim, mut over) = (&seen.output[..], false, false);
    let mut classes = [0; 5];
    while !rest.is_empty() {
        assert!(!over, "after the last answer: {}", shown(rest));
        let (mut answer, after) = read_head(rest);
        let class = usize::from(answer.status / 100).wrapping_sub(1);
        if let Some(count) = classes.get_mut(class) {
            *count += 1;
        }
        if answer.status < 200 {
            assert_eq!((answer.status, answer.fields.len()), (100, 0));
            interim = true;
            rest = after;
            continue;
        }
        let line = log.next().expect("an answer has its line in the log");
        assert_eq!(answer.status, line.status, "{}", line.request);
        let old = line.request.ends_with(" HTTP/1.0");
        assert!(!(old && interim), "100 to HTTP/1.0");
        interim = false;
        over = answer.value("Connection") == Some("close");
        let may_be_short = matches!(seen.ending.reason, CloseReason::Program(_));
        rest = read_content(&mut answer, after, &line, old, over, may_be_short);
        assert_fields(&answer);
        answers.push(answer);
    }
    // A request that was cut before it had an answer is the last one.
    if let Some(line) = log.next() {
        assert!(
            !over && matches!(line.status, 499 | 500),
            "{}",
            line.request
        );
        assert_eq!(line.octets, 0, "{}", line.request);
    }
    assert!(log.next().is_none(), "a line in the log without an answer");
    assert_eq!(seen.answers, classes, "answers are counted by their class");
    answers
}

/// Takes a line of the combined format apart.
fn read_line(line: &str) -> Line<'_> {
    let fits = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    assert!(line.bytes().all(fits), "{line:?}");
    let parts: Vec<&str> = line.split('"').collect();
    assert_eq!(parts.len(), 7, "quotes in {line}");
    let mut numbers = parts[2].split_whitespace();
    let status = numbers.next().and_then(|status| status.parse().ok());
    let octets = match numbers.next() {
        Some("-") => Some(0),
        Some(number) => number.parse().ok(),
        None => None,
    };
    Line {
        request: parts[1],
        status: status.expect("a status in the log"),
        octets: octets.expect("a length in the log"),
    }
}

/// Reads status line and fields; answers what follows them.
fn read_head(octets: &[u8]) -> (Answer, &[u8]) {
    let end = memchr::memmem::find(octets, b"\r\n\r\n")
        .unwrap_or_else(|| panic!("a head without its end: {}", shown(octets)));
    let head = &octets[..end];
    let mut lines = Vec::new();
    let mut line = head;
    while let Some(at) = memchr::memmem::find(line, b"\r\n") {
        lines.push(&line[..at]);
        line = &line[at + 2..];
    }
    lines.push(line);
    for line in &lines {
        let fits = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
        assert!(line.iter().all(fits), "octets of {}", shown(line));
    }
    let code = lines[0].strip_prefix(b"HTTP/1.1 ");
    let code = code.and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok());
    let status = code.and_then(|code| code.parse().ok());
    let fields = lines[1..].iter().map(|line| {
        let colon = memchr::memchr(b':', line).expect("a field has a colon");
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        assert!(!name.is_empty() && name.iter().all(fits), "{}", shown(line));
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
        (text(name), text(value))
    });
    let answer = Answer {
        status: status.unwrap_or_else(|| panic!("{} is no status line", shown(lines[0]))),
        fields: fields.collect(),
        content: Vec::new(),
    };
    (answer, &octets[end + 4..])
}

/// Reads the content by RFC 9112 §6.3; answers what follows it.
fn read_content<'a>(
    answer: &mut Answer,
    octets: &'a [u8],
    line: &Line<'_>,
    old: bool,
    closes: bool,
    may_be_short: bool,
) -> &'a [u8] {
    let length = answer.value("Content-Length").map(str::to_owned);
    let coding = answer.value("Transfer-Encoding").map(str::to_owned);
    assert!(length.is_none() || coding.is_none(), "{}", line.request);
    if matches!(answer.status, 204 | 304) {
        assert_eq!((&length, &coding), (&None, &None), "{}", line.request);
        assert_eq!(line.octets, 0, "{}", line.request);
        return octets;
    }
    // RFC 9110 §9.3.2.
    if line.request.starts_with("HEAD ") {
        assert_eq!(line.octets, 0, "{}", line.request);
        return octets;
    }
    let mut whole = true;
    let rest = if let Some(coding) = coding {
        assert!(coding == "chunked" && !old, "{coding} for {}", line.request);
        match read_chunks(octets, &mut answer.content) {
            Some(rest) => rest,
            None => {
                whole = false;
                b""
            }
        }
    } else if let Some(length) = length {
        let length: usize = length.parse().expect("a length is a number");
        let count = length.min(octets.len());
        whole = count == length;
        answer.content = octets[..count].to_vec();
        &octets[count..]
    } else {
        assert!(closes, "no end but that of the connection, which stays");
        answer.content = octets.to_vec();
        b""
    };
    assert!(whole || may_be_short, "{} is cut short", line.request);
    assert_eq!(answer.content.len() as u64, line.octets, "{}", line.request);
    rest
}

/// Joins chunks as we write them, without extensions or trailers; `None` where
/// the end is missing.
pub(super) fn read_chunks<'a>(octets: &'a [u8], content: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = octets;
    loop {
        let end = memchr::memmem::find(rest, b"\r\n")?;
        let digits = std::str::from_utf8(&rest[..end]).expect("a size is ASCII");
        let size = usize::from_str_radix(digits, 16).expect("a size is a number");
        rest = &rest[end + 2..];
        let chunk = rest.get(..size)?;
        content.extend_from_slice(chunk);
        assert_eq!(rest.get(size..size + 2)?, b"\r\n", "after a chunk");
        rest = &rest[size + 2..];
        if size == 0 {
            return Some(rest);
        }
    }
}

/// What has to be said once, and where.
fn assert_fields(answer: &Answer) {
    for name in [
        "Connection",
        "Content-Length",
        "Content-Range",
        "Date",
        "ETag",
        "Transfer-Encoding",
    ] {
        assert!(answer.values(name).count() <= 1, "{name} twice: {answer:?}");
    }
    assert!(answer.value("Date").is_some(), "no date: {answer:?}");
    if let Some(place) = answer.value("Location") {
        assert!(place.bytes().all(|byte| byte.is_ascii_graphic()), "{place}");
    }
}
