//! A row: what is sent, and what must and must not come back; and the client
//! that sends it and judges the answers.
//!
//! Behind each request the client sends another one, the probe, with
//! `Connection: close`. If the connection is to stay it is answered, and
//! answered right: so no octet of the request was left over or missing. If the
//! connection is to end it is not answered at all.

use crate::harness::Client;
use crate::site::Site;
use std::io::{ErrorKind, Write};

/// How the connection is after the last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It stays: the probe is answered.
    Kept,
    /// The answer says that it ends, and it does, because the client wants it
    /// so, or nothing can follow.
    Closed,
    /// A rule was broken: the same, and the client can read the answer whatever
    /// it still sends.
    Refused,
    /// It ends without an answer, for the client stopped in the middle.
    Cut,
}

/// A look at all answers to a row; the text says what is wrong.
type Judge = fn(&[Answer]) -> Result<(), String>;

pub(crate) struct Row {
    pub(crate) rule: u16,
    send: String,
    answers: &'static [u16],
    end: End,
    has: Vec<&'static str>,
    lacks: Vec<&'static str>,
    until_close: bool,
    of_no_file: bool,
    judge: Option<Judge>,
}

/// A row of rule number `rule`; 0 is none of the list. U+0080 to U+00FF in
/// `send` stand for single octets, and `{digits}`, `{page}` and `{page.gz}` for
/// the tags of these files.
pub(crate) fn row(rule: u16, send: impl Into<String>, answers: &'static [u16], end: End) -> Row {
    Row {
        rule,
        send: send.into(),
        answers,
        end,
        has: Vec::new(),
        lacks: Vec::new(),
        until_close: false,
        of_no_file: false,
        judge: None,
    }
}

/// A request with this request line and these further fields.
pub(crate) fn with(line: &str, fields: &str) -> String {
    format!("{line}\r\nHost: a\r\n{fields}\r\n")
}

/// A GET of `target` with further fields.
pub(crate) fn ask(target: &str, fields: &str) -> String {
    with(&format!("GET {target} HTTP/1.1"), fields)
}

pub(crate) fn get(fields: &str) -> String {
    ask("/a", fields)
}

pub(crate) fn of(target: &str) -> String {
    ask(target, "")
}

pub(crate) fn post(fields: &str, content: &str) -> String {
    with("POST /a HTTP/1.1", fields) + content
}

pub(crate) const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
pub(crate) const EXPECT: &str = "Expect: 100-continue\r\n";

/// What is sent behind everything.
const PROBE: &str = "GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
/// What it brings.
pub(crate) const PROBED: &str = "the probe\n";

impl Row {
    pub(crate) fn has(mut self, has: &[&'static str]) -> Self {
        self.has.extend_from_slice(has);
        self
    }

    pub(crate) fn lacks(mut self, lacks: &[&'static str]) -> Self {
        self.lacks.extend_from_slice(lacks);
        self
    }

    /// The end of the answer is the end of the connection.
    pub(crate) fn until_close(mut self) -> Self {
        self.until_close = true;
        self
    }

    /// What 304 is about has no tag.
    pub(crate) fn of_no_file(mut self) -> Self {
        self.of_no_file = true;
        self
    }

    /// Looks at all answers besides.
    pub(crate) fn judged(mut self, judge: Judge) -> Self {
        self.judge = Some(judge);
        self
    }

    /// The octets, without the probe.
    fn octets(&self, site: &Site) -> Vec<u8> {
        let mut text = self.send.clone();
        for (name, tag) in &site.tags {
            text = text.replace(name, tag);
        }
        text.chars().map(|letter| letter as u8).collect()
    }

    /// Sends the row and judges what comes.
    pub(crate) fn run(&self, site: &Site, delivery: Delivery) -> Result<(), String> {
        let mut octets = self.octets(site);
        if self.end != End::Cut {
            octets.extend_from_slice(PROBE.as_bytes());
        }
        let mut client = Client::connect(site.address("web"));
        delivery.send(&mut client, &octets);
        if self.end == End::Cut {
            client.finish();
        }
        let output = self.receive(&mut client);
        let verdict = output.and_then(|output| {
            let shown = String::from_utf8_lossy(&output[..output.len().min(3000)]).into_owned();
            let verdict = self.judge_output(&output);
            verdict.map_err(|fault| format!("{fault}\nanswered {shown}"))
        });
        verdict.map_err(|fault| {
            let sent = &self.send[..self.send.floor_char_boundary(300)];
            let (model, rule) = (&site.model, self.rule);
            format!("rule {rule} on {model}, {delivery:?}: {fault}\nto {sent:?}")
        })
    }

    /// All that comes up to the end of the connection.
    fn receive(&self, client: &mut Client) -> Result<Vec<u8>, String> {
        let mut output = Vec::new();
        let mut room = [0; 16 * 1024];
        loop {
            match std::io::Read::read(&mut client.stream, &mut room) {
                Ok(0) => return Ok(output),
                Ok(count) => output.extend_from_slice(&room[..count]),
                // Who said that nothing follows, and sent the probe, has it coming.
                Err(error)
                    if error.kind() == ErrorKind::ConnectionReset && self.end == End::Closed =>
                {
                    return Ok(output);
                }
                Err(error) => {
                    let text = String::from_utf8_lossy(&output).into_owned();
                    return Err(format!("no end: {error} after {text:.2000}"));
                }
            }
        }
    }

    fn judge_output(&self, output: &[u8]) -> Result<(), String> {
        let to_head = self.send.starts_with("HEAD ");
        let mut answers = split(output, to_head, self)?;
        let probed = answers
            .last()
            .is_some_and(|answer| answer.body == PROBED.as_bytes());
        if probed != (self.end == End::Kept) {
            return Err(format!("the probe is answered: {probed}"));
        }
        let last = if probed { answers.pop() } else { None };
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        if statuses != self.answers {
            return Err(format!("{statuses:?}, not {:?}", self.answers));
        }
        let own = &output[..output.len() - last.map_or(0, |answer| answer.length)];
        let text = String::from_utf8_lossy(own).into_owned();
        for wanted in &self.has {
            if !text.contains(wanted) {
                return Err(format!("{wanted:?} is missing"));
            }
        }
        for unwanted in &self.lacks {
            if text.contains(unwanted) {
                return Err(format!("{unwanted:?} is there"));
            }
        }
        let to_old = self.send.contains(" HTTP/1.0\r\n");
        for (at, answer) in answers.iter().enumerate() {
            answer.judge(to_old, self.of_no_file)?;
            let ends = at + 1 == answers.len() && self.end != End::Kept;
            if answer.closes() != ends {
                return Err(format!("answer {at} says that it is the last: {}", !ends));
            }
            if to_old && !ends && answer.field("Connection") != Some("keep-alive") {
                return Err("HTTP/1.0 is not told that the connection stays".to_owned());
            }
        }
        self.judge.map_or(Ok(()), |judge| judge(&answers))
    }
}

/// In which pieces octets are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delivery {
    Whole,
    /// Two segments, the first of this length.
    Two(usize),
    /// One by one.
    Single,
}

/// From here on a long request is sent in one piece, even octet by octet.
const PATIENCE: usize = 1200;

impl Delivery {
    /// The ways in which a row is sent.
    pub(crate) fn all(row: &Row, site: &Site) -> Vec<Self> {
        let octets = row.octets(site);
        let in_line_end = octets.iter().position(|&byte| byte == b'\r');
        vec![
            Self::Whole,
            Self::Two(in_line_end.map_or(1, |at| at + 1)),
            Self::Two(octets.len().saturating_sub(2)),
            Self::Single,
        ]
    }

    /// Sends what the server will still take.
    fn send(self, client: &mut Client, octets: &[u8]) {
        let stream = &mut client.stream;
        // A server that has refused need not read on.
        let mut send = |part: &[u8]| stream.write_all(part).is_ok();
        match self {
            Self::Whole => {
                send(octets);
            }
            Self::Two(length) => {
                let (first, second) = octets.split_at(length.min(octets.len()));
                send(first);
                // The other side may well take it in this moment.
                std::thread::yield_now();
                send(second);
            }
            Self::Single => {
                let (first, rest) = octets.split_at(octets.len().min(PATIENCE));
                let _ = first.chunks(1).all(&mut send) && send(rest);
            }
        }
    }
}

/// An answer, taken apart by a client that is strict.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    to_head: bool,
    framing: Framing,
    /// Octets in all.
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length,
    Chunked,
    Close,
}

/// Fields that stand in an answer at most once.
const SINGLE: &[&str] = &[
    "accept-ranges",
    "allow",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "retry-after",
    "server",
    "transfer-encoding",
];

impl Answer {
    /// The value of a field, by its name in any case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }

    /// What every answer must be: rules 74, 76, 77, 91, 95, 104 and their kin.
    fn judge(&self, to_old: bool, of_no_file: bool) -> Result<(), String> {
        let fault = |text: &str| Err(format!("{}: {text}", self.status));
        let has = |name| self.field(name).is_some();
        for name in SINGLE {
            let same = |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
            if self.fields.iter().filter(same).count() > 1 {
                return fault(&format!("{name} is repeated"));
            }
        }
        if self.status < 200 {
            return if to_old || !self.fields.is_empty() {
                fault("an interim answer to HTTP/1.0, or with fields")
            } else {
                Ok(())
            };
        }
        if !self.field("Date").is_some_and(is_now) {
            return fault("Date is missing or wrong");
        }
        if has("Content-Length") && has("Transfer-Encoding") || to_old && has("Transfer-Encoding") {
            return fault("Transfer-Encoding where it must not be");
        }
        if matches!(self.status, 204 | 304) {
            let fields = [
                "Content-Length",
                "Transfer-Encoding",
                "Content-Type",
                "Content-Range",
            ];
            if fields.into_iter().any(has) {
                return fault("a field about content that is none");
            }
        } else if !has("Content-Type") && !(self.body.is_empty()) {
            return fault("Content-Type is missing");
        }
        let owed: &[&str] = match self.status {
            206 if !self
                .field("Content-Type")
                .is_some_and(|media| media.starts_with("multipart/")) =>
            {
                &["Content-Range", "ETag", "Accept-Ranges"]
            }
            206 => &["ETag"],
            301 | 302 | 303 | 307 | 308 => &["Location"],
            304 if !of_no_file => &["ETag"],
            401 => &["WWW-Authenticate"],
            405 => &["Allow"],
            416 => &["Content-Range"],
            503 => &["Retry-After"],
            _ => &[],
        };
        if let Some(name) = owed.iter().find(|name| !has(name)) {
            return fault(&format!("{name} is missing"));
        }
        if self
            .field("Location")
            .is_some_and(|to| to.starts_with("//"))
        {
            return fault("Location leads to another host");
        }
        if self.status != 206 && self.status != 416 && has("Content-Range") {
            return fault("Content-Range without a range");
        }
        if self.status >= 400
            && ["ETag", "Last-Modified", "Cache-Control"]
                .into_iter()
                .any(has)
        {
            return fault("a field that outlives the error");
        }
        Ok(())
    }
}

/// Takes answers apart, up to the last octet.
fn split(output: &[u8], to_head: bool, row: &Row) -> Result<Vec<Answer>, String> {
    let mut answers: Vec<Answer> = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        // Of several answers to HEAD only the probe's has content.
        let probe = memchr::memmem::find(rest, PROBED.as_bytes());
        let is_probe = answers.len() == row.answers.len() && probe.is_some();
        let answer = parse(rest, to_head && !is_probe, row.until_close)?;
        rest = &rest[answer.length..];
        answers.push(answer);
    }
    Ok(answers)
}

fn parse(output: &[u8], to_head: bool, until_close: bool) -> Result<Answer, String> {
    let end = memchr::memmem::find(output, b"\r\n\r\n").ok_or("a head does not end")?;
    let head = std::str::from_utf8(&output[..end]).map_err(|_| "a head is not ASCII")?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .filter(|rest| rest.len() >= 4);
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("no status line: {line:?}"))?;
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(": ")
            .ok_or_else(|| format!("no field: {line:?}"))?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if name.is_empty() || !name.bytes().all(token) || !value.bytes().all(visible) {
            return Err(format!("no field: {line:?}"));
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    let mut answer = Answer {
        status,
        fields,
        body: Vec::new(),
        to_head,
        framing: Framing::None,
        length: end + 4,
    };
    answer.take_body(&output[end + 4..], until_close)?;
    Ok(answer)
}

impl Answer {
    fn take_body(&mut self, rest: &[u8], until_close: bool) -> Result<(), String> {
        let length = self.field("Content-Length").map(str::parse::<usize>);
        self.framing = match (length.clone(), self.field("Transfer-Encoding")) {
            _ if self.status < 200 || matches!(self.status, 204 | 304) => Framing::None,
            (Some(_), None) => Framing::Length,
            (None, Some("chunked")) => Framing::Chunked,
            (None, None) if until_close && self.closes() => Framing::Close,
            // HEAD may leave out what only the content would tell.
            (None, None) if self.to_head => Framing::None,
            (_, _) => return Err(format!("{}: no framing: {:?}", self.status, self.fields)),
        };
        if self.to_head {
            return Ok(());
        }
        let used = match self.framing {
            Framing::None => 0,
            Framing::Close => {
                self.body = rest.to_vec();
                rest.len()
            }
            Framing::Length => {
                let length = length
                    .and_then(Result::ok)
                    .ok_or("Content-Length is no number")?;
                self.body = rest
                    .get(..length)
                    .ok_or("less than Content-Length")?
                    .to_vec();
                length
            }
            Framing::Chunked => {
                let (body, used) = dechunk(rest).ok_or("bad chunks")?;
                self.body = body;
                used
            }
        };
        self.length += used;
        Ok(())
    }
}

/// The content of chunks without extensions and trailers, and their length.
fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let end = memchr::memmem::find(bytes.get(at..)?, b"\r\n")?;
        let digits = std::str::from_utf8(&bytes[at..at + end]).ok()?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        at += end + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
        (bytes.get(at - 2..at)? == b"\r\n").then_some(())?;
        if size == 0 {
            return Some((body, at));
        }
    }
}

/// Whether this is the form of today, and the time of now.
fn is_now(date: &str) -> bool {
    let Ok(time) = httpdate::parse_http_date(date) else {
        return false;
    };
    let now = std::time::SystemTime::now();
    let apart = now
        .duration_since(time)
        .or_else(|_| time.duration_since(now));
    httpdate::fmt_http_date(time) == date && apart.is_ok_and(|apart| apart.as_secs() < 60)
}
