//! What a request head says (RFC 9112 §3, §5).
//!
//! httparse tokenises field lines; all else is decided here, and strictly. A
//! head comes in whole, as [`super::scan`] found it, with CRLF at each line's
//! end. [`Request`] borrows from it and allocates nothing. It must never
//! accept what another recipient could read as another request.

use memchr::memchr;

use super::accept::Accept;
use super::body::{Framing, FramingFields};
use super::clause::Clause;
use super::coding::{Accepted, Codings};
use super::criteria::Criterion;
use super::host::{self, Authority};
use super::persistence::ConnectionOptions;
use super::status::{Refusal, Status};
use super::target::{self, Target};
use crate::config::Http;
use crate::protocol::Input;

/// The most fields a request may have, whatever the settings say.
const MAX_FIELDS: usize = 256;
/// What most requests have; a table of this size costs less to prepare.
const USUAL_FIELDS: usize = 32;

/// The bounds of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Octets of the request target.
    pub(super) target: usize,
    /// Octets of the head, request line and empty line included.
    pub(super) header: usize,
    /// Field lines.
    pub(super) fields: usize,
    /// Octets of the content, decoded.
    pub(super) body: u64,
}

impl Limits {
    /// The configured bounds, cut to what the buffers hold.
    pub(super) fn new(settings: &Http) -> Self {
        Self {
            target: settings.max_target,
            header: settings.max_header.min(Input::LIMIT),
            fields: settings.max_fields.min(MAX_FIELDS),
            body: settings.max_body,
        }
    }
}

/// The methods of RFC 9110 §9 and PATCH. Anything else is answered with 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Options,
    Post,
    Put,
    Delete,
    Patch,
    Connect,
    Trace,
}

impl Method {
    /// Methods are case-sensitive (RFC 9110 §9.1).
    fn parse(token: &[u8]) -> Option<Self> {
        Some(match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" => Self::Options,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"PATCH" => Self::Patch,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            _ => return None,
        })
    }
}

/// The version, as far as it changes an answer: a later minor version of
/// HTTP/1 counts as 1.1 (RFC 9110 §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
}

/// A request head that breaks no rule.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// The method and the target as they were sent.
    pub(super) raw: (&'a [u8], &'a [u8]),
    pub(super) target: Target<'a>,
    pub(super) version: Version,
    pub(super) options: ConnectionOptions,
    pub(super) framing: Framing,
    /// `Expect: 100-continue` from a client that may have one.
    pub(super) expects_continue: bool,
    /// The Host field; `None` only in HTTP/1.0.
    pub(super) host: Option<Authority<'a>>,
    pub(super) accept: Accept,
    pub(super) authorization: Option<&'a [u8]>,
    pub(super) referer: Option<&'a [u8]>,
    pub(super) user_agent: Option<&'a [u8]>,
    /// The codings that the client prefers to none.
    pub(super) codings: Codings,
    /// The field section, if it holds conditions or ranges.
    pub(super) criteria: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Whom it is for: the target outweighs the Host field (RFC 9112 §3.2.2).
    pub(super) fn authority(&self) -> Option<Authority<'a>> {
        match self.target {
            Target::Path { authority, .. } => authority.or(self.host),
            Target::Authority | Target::Server => self.host,
        }
    }

    /// Reads a whole head, empty line included, as [`super::scan`] found it.
    pub(super) fn parse(head: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let end = memchr(b'\n', head).ok_or(Refusal::bad(Clause::RequestLine))?;
        let (line, fields) = head.split_at(end + 1);
        let line = RequestLine::parse(line.strip_suffix(b"\r\n").unwrap_or(line))?;
        let section = fields;
        let fields = Fields::parse(section, limits)?;
        let Some(method) = line.method else {
            return Err(Refusal::new(Status::NotImplemented, Clause::Method));
        };
        fields.check_host(line.version)?;
        Ok(Self {
            method,
            raw: (line.token, line.target),
            target: target::parse(method, line.target)?,
            version: line.version,
            options: fields.options,
            framing: fields.framing.decide(line.version)?,
            expects_continue: fields.expectation.decide(line.version)?,
            host: fields.host,
            accept: fields.accept,
            authorization: fields.authorization,
            referer: fields.referer,
            user_agent: fields.user_agent,
            codings: fields.accepted.codings(),
            criteria: fields.has_criteria.then_some(section),
        })
    }
}

/// request-line = method SP request-target SP HTTP-version
struct RequestLine<'a> {
    token: &'a [u8],
    /// `None` for a token that is nobody's method.
    method: Option<Method>,
    target: &'a [u8],
    version: Version,
}

impl<'a> RequestLine<'a> {
    /// Exactly two single spaces: whoever splits at other white space may see
    /// another target (RFC 9112 §3).
    fn parse(line: &'a [u8]) -> Result<Self, Refusal> {
        let mut parts = line.split(|&byte| byte == b' ');
        let (Some(token), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::bad(Clause::RequestLine));
        };
        let version = parse_version(version)?;
        let method = Method::parse(token);
        // The form is judged later; an unknown method outweighs it.
        target::check_octets(target)?;
        Ok(Self {
            token,
            method,
            target,
            version,
        })
    }
}

/// HTTP-version = "HTTP" "/" DIGIT "." DIGIT, in capitals (RFC 9112 §2.3).
fn parse_version(text: &[u8]) -> Result<Version, Refusal> {
    match text {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            match (major, minor) {
                (b'1', b'0') => Ok(Version::Http10),
                (b'1', _) => Ok(Version::Http11),
                (_, _) => Err(Refusal::new(
                    Status::VersionNotSupported,
                    Clause::MajorVersion,
                )),
            }
        }
        [..] => Err(Refusal::bad(Clause::Version)),
    }
}

/// The fields that mean something to us.
#[derive(Default)]
struct Fields<'a> {
    hosts: usize,
    host: Option<Authority<'a>>,
    options: ConnectionOptions,
    framing: FramingFields<'a>,
    expectation: Expectation,
    accept: Accept,
    authorization: Option<&'a [u8]>,
    referer: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    accepted: Accepted,
    has_criteria: bool,
}

impl<'a> Fields<'a> {
    fn parse(block: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut table = [httparse::EMPTY_HEADER; USUAL_FIELDS];
        match httparse::parse_headers(block, &mut table) {
            Err(httparse::Error::TooManyHeaders) if limits.fields > USUAL_FIELDS => {
                let mut table = [httparse::EMPTY_HEADER; MAX_FIELDS];
                Self::collect(block, httparse::parse_headers(block, &mut table), limits)
            }
            parsed => Self::collect(block, parsed, limits),
        }
    }

    fn collect(
        block: &'a [u8],
        parsed: httparse::Result<(usize, &[httparse::Header<'a>])>,
        limits: &Limits,
    ) -> Result<Self, Refusal> {
        let lines = match parsed {
            Ok(httparse::Status::Complete((used, lines))) if used == block.len() => lines,
            Err(httparse::Error::TooManyHeaders) => return Err(too_many()),
            Ok(_) | Err(_) => return Err(diagnose(block)),
        };
        if lines.len() > limits.fields {
            return Err(too_many());
        }
        let mut fields = Self::default();
        for line in lines {
            fields.add(line.name, line.value)?;
        }
        Ok(fields)
    }

    fn add(&mut self, name: &'a str, value: &'a [u8]) -> Result<(), Refusal> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // The length rules most names out before a letter is compared.
        match name.len() {
            4 if is("host") => {
                self.hosts += 1;
                let host = host::parse(value).ok_or(Refusal::bad(Clause::Host))?;
                self.host = Some(host);
            }
            6 if is("accept") => self.accept.add(value),
            6 if is("expect") => self.expectation.add(value),
            7 if is("referer") => self.referer = Some(value),
            10 if is("connection") => self.options.add(value),
            10 if is("user-agent") => self.user_agent = Some(value),
            // Of two one might be checked and the other believed.
            13 if is("authorization") && self.authorization.replace(value).is_some() => {
                return Err(Refusal::bad(Clause::AuthorizationRepeated));
            }
            14 if is("content-length") => self.framing.add_length(value),
            15 if is("accept-encoding") => self.accepted.add(value),
            17 if is("transfer-encoding") => self.framing.add_coding(value),
            _ if Criterion::of(name.as_bytes()).is_some() => self.has_criteria = true,
            _ => {}
        }
        Ok(())
    }

    /// One Host, and only HTTP/1.0 may do without (RFC 9112 §3.2).
    fn check_host(&self, version: Version) -> Result<(), Refusal> {
        match (self.hosts, version) {
            (1, _) | (0, Version::Http10) => Ok(()),
            (0, Version::Http11) => Err(Refusal::bad(Clause::HostMissing)),
            (_, _) => Err(Refusal::bad(Clause::HostRepeated)),
        }
    }
}

/// What the Expect fields ask for (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Default)]
enum Expectation {
    #[default]
    None,
    Continue,
    Unknown,
}

impl Expectation {
    fn add(&mut self, value: &[u8]) {
        for item in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            *self = match self {
                _ if item.is_empty() => continue,
                Self::None | Self::Continue if item.eq_ignore_ascii_case(b"100-continue") => {
                    Self::Continue
                }
                Self::None | Self::Continue | Self::Unknown => Self::Unknown,
            }
        }
    }

    /// Whether 100 is asked for; HTTP/1.0 cannot ask for anything.
    fn decide(self, version: Version) -> Result<bool, Refusal> {
        match (version, self) {
            (Version::Http10, _) | (Version::Http11, Self::None) => Ok(false),
            (Version::Http11, Self::Continue) => Ok(true),
            (Version::Http11, Self::Unknown) => {
                Err(Refusal::new(Status::ExpectationFailed, Clause::Expectation))
            }
        }
    }
}

/// The values of a field in a head that [`Request::parse`] took, the last one
/// first. `name` is in lower case.
pub(super) fn field_values_from_last<'a>(
    head: &'a [u8],
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    head.rsplit(|&byte| byte == b'\n').filter_map(move |line| {
        let (field, value) = line.split_at(memchr(b':', line)?);
        let is_it = field.eq_ignore_ascii_case(name.as_bytes());
        is_it.then(|| value[1..].trim_ascii())
    })
}

const fn too_many() -> Refusal {
    Refusal::new(Status::HeaderTooLarge, Clause::FieldCount)
}

/// Finds the rule that a refused field section breaks first.
fn diagnose(block: &[u8]) -> Refusal {
    for (at, line) in block.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Refusal::bad(if at == 0 {
                Clause::LeadingSpace
            } else {
                Clause::ObsFold
            });
        }
        let Some(colon) = memchr(b':', line) else {
            return Refusal::bad(Clause::FieldLine);
        };
        let (name, value) = line.split_at(colon);
        if name.ends_with(b" ") || name.ends_with(b"\t") {
            return Refusal::bad(Clause::SpaceBeforeColon);
        }
        if name.is_empty() || !name.iter().copied().all(is_token_octet) {
            return Refusal::bad(Clause::FieldName);
        }
        if value.contains(&b'\r') {
            return Refusal::bad(Clause::BareCr);
        }
        if value
            .iter()
            .any(|&byte| byte.is_ascii_control() && byte != b'\t')
        {
            return Refusal::bad(Clause::FieldValue);
        }
    }
    Refusal::bad(Clause::FieldLine)
}

/// tchar (RFC 9110 §5.6.2).
pub(super) fn is_token_octet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::scan::Scan;
    use super::*;

    const LIMITS: Limits = Limits {
        target: 100,
        header: 1000,
        fields: 40,
        body: 100,
    };

    /// What a head comes to, however it is cut.
    fn read(head: &[u8]) -> Result<Request<'_>, Refusal> {
        let whole = Scan::default().proceed(head, &LIMITS);
        let mut scan = Scan::default();
        let stepwise = (1..=head.len())
            .map(|length| scan.proceed(&head[..length], &LIMITS))
            .find(|verdict| *verdict != Ok(None))
            .unwrap_or(Ok(None));
        assert_eq!(whole, stepwise, "{:?}", String::from_utf8_lossy(head));
        let length = whole?.expect("the head is whole");
        assert_eq!(length, head.len());
        Request::parse(&head[..length], &LIMITS)
    }

    fn status(head: &[u8]) -> u16 {
        read(head).map_or_else(|refusal| refusal.status.code(), |_| 200)
    }

    #[test]
    fn a_usual_request() {
        let request = read(
            b"GET /a?b HTTP/1.1\r\nHost: example:80\r\nUser-Agent:  x y \t\r\n\
              referer:http://r/\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.raw, (&b"GET"[..], &b"/a?b"[..]));
        assert_eq!(request.version, Version::Http11);
        assert_eq!(request.user_agent, Some(&b"x y"[..]));
        assert_eq!(request.referer, Some(&b"http://r/"[..]));
        assert!(!request.options.persists(request.version));
        assert_eq!(request.framing, Framing::None);
    }

    #[test]
    fn request_lines() {
        for (line, expected) in [
            ("GET / HTTP/1.1", 200),
            ("GET / HTTP/1.2", 200),
            ("GET / HTTP/1.0", 200),
            ("get / HTTP/1.1", 501),
            ("ABC / HTTP/1.1", 501),
            ("G=T / HTTP/1.1", 400),
            (" GET / HTTP/1.1", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET\t/\tHTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            ("GET /a b HTTP/1.1", 400),
            ("GET /#f HTTP/1.1", 400),
            ("GET ! HTTP/1.1", 400),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/0.9", 505),
            ("GET / http/1.1", 400),
            ("GET / HTTP/1", 400),
            ("GET / HTTP/01.1", 400),
            ("GET / HTTP/1.10", 400),
            ("GET / HTTP/ 1.1", 400),
            ("GET /", 400),
            ("GET / ", 400),
        ] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(status(head.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn field_lines() {
        for (field, expected) in [
            ("X: 1", 200),
            ("X:", 200),
            ("X: \u{e4}", 200),
            ("X: a\tb", 200),
            ("X : 1", 400),
            ("X\t: 1", 400),
            (": 1", 400),
            ("X", 400),
            ("X: 1\r\n y", 400),
            ("X[: 1", 400),
            ("X\"y: 1", 400),
            ("\u{ef}: 1", 400),
            ("X: a\rb", 400),
            ("X: a\r\r", 400),
            ("X: a\0b", 400),
            ("X: \x01", 400),
            ("X: \x7f", 400),
            ("X: \x0b1", 400),
            ("X: 1\nY: 2", 400),
            ("Host: b", 400),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(status(head.as_bytes()), expected, "{field:?}");
        }
        assert_eq!(status(b"GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n"), 400);
    }

    #[test]
    fn refusals_name_their_rule() {
        for (field, rule) in [
            (" X: 1", "rfc9112-2.2 white space before the first field"),
            ("X : 1", "rfc9112-5.1 white space before colon"),
            ("X: 1\r\n y", "rfc9112-5.2 obs-fold"),
            ("X", "rfc9112-5 field-line"),
            ("(: x", "rfc9112-5.1 field-name"),
            ("X: \r1", "rfc9112-2.2 bare CR"),
            ("X: \0", "rfc9110-5.5 field-value"),
            ("X: 1\nY: 2", "rfc9112-2.2 bare LF"),
        ] {
            let head = format!("GET / HTTP/1.1\r\n{field}\r\nHost: a\r\n\r\n");
            assert_eq!(read(head.as_bytes()).unwrap_err().rule.name(), rule);
        }
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let target = |length| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length));
        assert_eq!(status(target(99).as_bytes()), 200);
        assert_eq!(status(target(100).as_bytes()), 414);

        let fields = |count| {
            let more = "X: 1\r\n".repeat(count);
            format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")
        };
        assert_eq!(status(fields(39).as_bytes()), 200);
        assert_eq!(status(fields(40).as_bytes()), 431);

        let head = |length: usize| {
            let rest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
            let filler = "x".repeat(length - rest);
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {filler}\r\n\r\n")
        };
        assert_eq!(status(head(1000).as_bytes()), 200);
        assert_eq!(status(head(1001).as_bytes()), 431);
    }

    #[test]
    fn expectations() {
        // Rules 58, 60 and 61.
        for (version, field, expected) in [
            ("1.1", "100-continue", Some(true)),
            ("1.1", "100-Continue", Some(true)),
            ("1.1", "", Some(false)),
            ("1.1", "foo", None),
            ("1.1", "100-continue, foo", None),
            ("1.0", "100-continue", Some(false)),
            ("1.0", "foo", Some(false)),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\nExpect: {field}\r\n\r\n");
            let verdict = read(head.as_bytes()).map(|request| request.expects_continue);
            assert_eq!(verdict.ok(), expected, "{version} {field}");
        }
    }
}
