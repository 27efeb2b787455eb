//! Writes answers: status line, fields, and the short bodies of answers that
//! are not a file.
//!
//! Everything goes straight into the output; nothing is allocated. Where a
//! value comes from the client (Location), it is encoded here, so that no
//! octet of a request can end a line of an answer. What heads have in common is in
//! `head`.

mod head;

use std::fmt::Display;
use std::io::Write;

use super::cgi::framing::Body;
use super::cgi::output::Document;
use super::listing::{End, Form, Listing};
use super::mime::ContentType;
use super::multipart::{ContentRange, Parts};
use super::notes::Notes;
use super::put::Date;
use super::range::Span;
use super::representation::Representation;
use super::request::Version;
use super::site::{Respond, Rule};
use super::status::Status;
use crate::protocol::{Output, RequestId, Wall};
use head::{Head, REQUEST_ID, RETRY_AFTER};

/// What every answer to a request has to say or to leave out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope<'s> {
    /// The status.
    pub(super) status: Status,
    /// The client's version: HTTP/1.0 is told that the connection stays.
    pub(super) version: Version,
    /// The connection ends after this answer.
    pub(super) closes: bool,
    /// The method is HEAD: the same fields, no content (RFC 9110 §9.3.2).
    pub(super) head_only: bool,
    /// The request's name, if the client is to know it.
    pub(super) id: Option<RequestId>,
    /// Another Accept may bring another answer, and caches must know.
    pub(super) by_accept: bool,
    /// The rule that holds: its fields are in every answer.
    pub(super) rule: &'s Rule,
}

/// The interim answer that lets a client send its content (RFC 9110 §15.2.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How much of a file an answer carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent<'a> {
    /// All of it.
    Whole,
    /// One part.
    Part(Span),
    /// Several parts.
    Parts(&'a Parts<'a>),
}

/// Writes the head of the answer that carries `file`, or of it what `extent`
/// says; its octets follow.
pub(super) fn write_file_head(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    file: &Representation,
    content_type: ContentType<'_>,
    extent: Extent<'_>,
) {
    let mut head = Head::begin(output, envelope, wall);
    let length = match extent {
        Extent::Whole => {
            head.field("Content-Type", content_type);
            file.length
        }
        Extent::Part(span) => {
            let range = ContentRange(span, file.length);
            head.field("Content-Type", content_type);
            head.formatted("Content-Range", format_args!("{range}"));
            span.length.get()
        }
        // RFC 9110 §15.3.7.2: each part has its own type and range.
        Extent::Parts(parts) => {
            let boundary = parts.boundary;
            head.formatted(
                "Content-Type",
                format_args!("multipart/byteranges; boundary={boundary}"),
            );
            parts.total()
        }
    };
    head.field("Content-Length", length);
    if let Some(coding) = file.coding().name() {
        head.field("Content-Encoding", coding);
    }
    if let Some(seconds) = file.last_modified {
        head.field("Last-Modified", Date(seconds));
    }
    head.field(
        "Accept-Ranges",
        if file.in_parts { "bytes" } else { "none" },
    );
    head.lasting(file);
    head.end();
}

/// Writes the whole answer that says that the client has `file`. It has those
/// fields of the file that a cache must hear of again (RFC 9110 §15.4.5), and
/// no other: the tag spares it the date.
pub(super) fn write_not_modified(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    file: &Representation,
) {
    let mut head = Head::begin(output, envelope, wall);
    head.lasting(file);
    head.end();
}

/// As [`write_not_modified`], for what is no file.
pub(super) fn write_unmarked_not_modified(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
) {
    Head::begin(output, envelope, wall).end();
}

/// As [`write_page`], for a Range that a file of `length` octets has nothing
/// of (RFC 9110 §15.5.17).
pub(super) fn write_unsatisfiable(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    length: u64,
    notes: &Notes,
) -> u64 {
    write_page_with(output, envelope, wall, None, notes, |head| {
        head.formatted("Content-Range", format_args!("bytes */{length}"));
    })
}

/// Appends a text to the output.
pub(super) fn write(output: &mut Output, text: impl Display) {
    // Writing to a buffer in memory cannot fail.
    let _ = write!(output.tail(), "{text}");
}

/// Writes a whole answer with a page about its status, and answers how many
/// octets of content it has. `rule` is the rule that was broken, for those
/// who must mend their client; a redirection goes where `notes` say.
pub(super) fn write_page(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    rule: Option<&'static str>,
    notes: &Notes,
) -> u64 {
    write_page_with(output, envelope, wall, rule, notes, |_| {})
}

/// As [`write_page`], with more fields.
fn write_page_with(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    rule: Option<&'static str>,
    notes: &Notes,
    more: impl FnOnce(&mut Head<'_>),
) -> u64 {
    let status = envelope.status;
    let page = page(status, rule);
    let length: u64 = page.iter().map(|part| part.len() as u64).sum();
    let mut head = Head::begin(output, envelope, wall);
    head.duties(status, envelope.rule, notes);
    more(&mut head);
    // RFC 9110 §8.6: 204 has no content and no length either.
    if status == Status::NoContent {
        head.end();
        return 0;
    }
    head.field("Content-Type", "text/html; charset=utf-8");
    head.field("Content-Length", length);
    head.end();
    if envelope.head_only {
        return 0;
    }
    for part in page {
        output.push(part.as_bytes());
    }
    length
}

/// Writes the head of an answer whose content is a file of `length` octets, in
/// the place of a page about its status. It says nothing of the file that would
/// outlive the error.
pub(super) fn write_error_head(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    notes: &Notes,
    content_type: ContentType<'_>,
    length: u64,
) {
    let mut head = Head::begin(output, envelope, wall);
    head.duties(envelope.status, envelope.rule, notes);
    head.field("Content-Type", content_type);
    head.field("Content-Length", length);
    head.end();
}

/// Writes the head of the answer that lists a directory; its length is not
/// known yet.
pub(super) fn write_listing_head(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    form: Form,
    end: End,
) {
    let mut head = Head::begin(output, envelope, wall);
    head.field("Content-Type", Listing::content_type(form));
    match end {
        End::Chunked => head.field("Transfer-Encoding", "chunked"),
        End::Close => {}
    }
    head.end();
}

/// Writes the head of an answer whose content is a text of `length` octets,
/// which follows.
pub(super) fn write_text_head(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    content_type: &str,
    length: u64,
) {
    let mut head = Head::begin(output, envelope, wall);
    if envelope.status == Status::Unavailable {
        head.field("Retry-After", RETRY_AFTER);
    }
    head.field("Content-Type", content_type);
    head.field("Content-Length", length);
    head.end();
}

/// Writes a whole answer with a fixed content, and answers how many octets of
/// it there are.
pub(super) fn write_fixed(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    respond: &Respond,
) -> u64 {
    let length = respond.body.len() as u64;
    write_text_head(output, envelope, wall, &respond.content_type, length);
    if envelope.head_only {
        return 0;
    }
    output.push(respond.body.as_bytes());
    length
}

/// Writes the head of a program's answer; its body follows, framed as `body`
/// says.
pub(super) fn write_program_head(
    output: &mut Output,
    envelope: Envelope<'_>,
    wall: &Wall,
    document: &Document<'_>,
    body: Body,
) {
    let code = [100, 10, 1].map(|place| b'0' + (document.status / place % 10) as u8);
    let line: [&[u8]; 3] = [&code, b" ", document.reason];
    let mut head = Head::begin_with(output, envelope, wall, &line);
    for (name, value) in document.fields() {
        // There is one name, and the logs have it.
        if envelope.id.is_some() && name.eq_ignore_ascii_case(REQUEST_ID.as_bytes()) {
            continue;
        }
        for part in [name, b": ", value, b"\r\n"] {
            head.0.extend_from_slice(part);
        }
    }
    match body {
        Body::None(None) | Body::UntilClose | Body::Over(_) => {}
        Body::None(Some(length)) | Body::Length { whole: length, .. } => {
            head.field("Content-Length", length);
        }
        Body::Chunked => head.field("Transfer-Encoding", "chunked"),
    }
    head.end();
}

/// The parts of a page about `status`. All of it is our own text.
fn page(status: Status, rule: Option<&'static str>) -> [&'static str; 10] {
    let (opening, rule, closing) = match rule {
        Some(rule) => ("<p>Rule: <code>", rule, "</code></p>\n"),
        None => ("", "", ""),
    };
    [
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>",
        status.line(),
        "</title>\n<h1>",
        status.line(),
        "</h1>\n<p>",
        status.sentence(),
        "</p>\n",
        opening,
        rule,
        closing,
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::super::harness::WALL;
    use super::super::coding::Coding;
    use super::super::mime::Types;
    use super::super::site::Map;
    use super::*;
    use crate::protocol::{Facts, FileKind};
    use std::sync::LazyLock;

    static BARE: LazyLock<Map> =
        LazyLock::new(|| Map::new(&crate::config::Http::with_defaults("/srv/www")));

    /// An answer under a rule that says nothing.
    fn envelope() -> Envelope<'static> {
        Envelope {
            status: Status::Ok,
            version: Version::Http11,
            closes: false,
            head_only: false,
            id: None,
            by_accept: false,
            rule: BARE.rule(Map::BARE),
        }
    }

    fn text(output: &Output) -> &str {
        std::str::from_utf8(output.unsent()).unwrap()
    }

    #[test]
    fn the_head_of_a_file() {
        let mut output = Output::default();
        let facts = Facts {
            kind: FileKind::File,
            length: 5,
            mtime: 784_111_777,
            mtime_nanoseconds: 0,
            identity: (0, 0),
        };
        let types = Types::new(None, Some("utf-8".to_owned()));
        let media = types.of(b"a.txt");
        let file = Representation {
            negotiable: true,
            ..Representation::of(&facts, media, Coding::Gzip, &WALL)
        };
        let content_type = types.content_type(media);
        let whole = Extent::Whole;
        write_file_head(&mut output, envelope(), &WALL, &file, content_type, whole);
        let tag = file.tag;
        assert_eq!(
            text(&output),
            format!(
                "HTTP/1.1 200 OK\r\n\
                 Date: Wed, 01 Jul 2026 10:30:05 GMT\r\n\
                 Server: preforkd\r\n\
                 Content-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: 5\r\n\
                 Content-Encoding: gzip\r\n\
                 Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                 Accept-Ranges: bytes\r\n\
                 ETag: {tag}\r\n\
                 Vary: Accept-Encoding\r\n\r\n"
            )
        );
    }

    #[test]
    fn every_page_has_the_length_it_says() {
        for status in [Status::BadRequest, Status::NotFound, Status::Unavailable] {
            let mut output = Output::default();
            let envelope = Envelope {
                status,
                ..envelope()
            };
            let rule = Some("rfc9112-5.1 field-name");
            let octets = write_page(&mut output, envelope, &WALL, rule, &Notes::default());
            let (head, body) = text(&output).split_once("\r\n\r\n").unwrap();
            assert_eq!(body.len() as u64, octets);
            assert!(head.contains(&format!("Content-Length: {octets}")));
            assert!(body.contains(status.line()) && body.contains("field-name</code></p>"));
        }
    }

    #[test]
    fn head_and_204_have_no_content() {
        // Rules 72 and 76.
        for (status, head_only, length) in [
            (Status::NotFound, true, true),
            (Status::NoContent, false, false),
        ] {
            let mut output = Output::default();
            let envelope = Envelope {
                status,
                head_only,
                ..envelope()
            };
            let octets = write_page(&mut output, envelope, &WALL, None, &Notes::default());
            assert_eq!(octets, 0);
            assert!(text(&output).ends_with("\r\n\r\n"));
            assert_eq!(text(&output).contains("Content-Length"), length);
        }
    }

    #[test]
    fn locations_are_encoded_and_stay_here() {
        let mut notes = Notes::default();
        notes.set_query(b"q=1");
        notes
            .set_path(|out| {
                out.extend_from_slice(b"a b/\\c\r\n\xe4:@");
                Ok::<_, ()>(())
            })
            .unwrap();
        let mut output = Output::default();
        let envelope = Envelope {
            status: Status::MovedPermanently,
            ..envelope()
        };
        write_page(&mut output, envelope, &WALL, None, &notes);
        assert!(text(&output).contains("\r\nLocation: /a%20b/%5Cc%0D%0A%E4:@/?q=1\r\n"));
    }

    #[test]
    fn connection_is_told_where_the_version_needs_it() {
        for (version, closes, expected) in [
            (Version::Http11, false, None),
            (Version::Http11, true, Some("close")),
            (Version::Http10, false, Some("keep-alive")),
            (Version::Http10, true, Some("close")),
        ] {
            let mut output = Output::default();
            let envelope = Envelope {
                status: Status::NotFound,
                version,
                closes,
                ..envelope()
            };
            write_page(&mut output, envelope, &WALL, None, &Notes::default());
            let found = text(&output)
                .lines()
                .find_map(|line| line.strip_prefix("Connection: "));
            assert_eq!(found, expected);
        }
    }
}
