//! A head as it is written: the status line, the fields that every answer has, and
//! those that its status owes.
//!
//! Owes that whatever a status must say is said wherever it is answered. Must never
//! write a value of the client's as it came: see [`redirect`].

use std::fmt::Arguments;
use std::io::Write;

use super::Envelope;
use crate::protocol::http::notes::Notes;
use crate::protocol::http::put::{Date, Put};
use crate::protocol::http::redirect;
use crate::protocol::http::representation::Representation;
use crate::protocol::http::request::Version;
use crate::protocol::http::site::{Content, Rule};
use crate::protocol::http::status::Status;
use crate::protocol::{Output, Wall};

/// Seconds after which a client may come back when we are out of resources.
pub(super) const RETRY_AFTER: &str = "1";

/// The field with the request's name; no standard has it, and everybody uses it.
pub(super) const REQUEST_ID: &str = "X-Request-ID";

/// Most heads are shorter, in octets.
const USUAL: usize = 512;

/// A head that is being written.
pub(super) struct Head<'o>(pub(super) &'o mut Vec<u8>);

impl<'o> Head<'o> {
    pub(super) fn begin(output: &'o mut Output, envelope: Envelope<'_>, wall: &Wall) -> Self {
        let line = envelope.status.line().as_bytes();
        Self::begin_with(output, envelope, wall, &[line])
    }

    /// As [`Head::begin`], with a status line of these words.
    pub(super) fn begin_with(
        output: &'o mut Output,
        envelope: Envelope<'_>,
        wall: &Wall,
        line: &[&[u8]],
    ) -> Self {
        let mut head = Self(output.tail());
        head.0.reserve(USUAL);
        head.0.extend_from_slice(b"HTTP/1.1 ");
        for part in line {
            head.0.extend_from_slice(part);
        }
        head.0.extend_from_slice(b"\r\n");
        head.field("Date", Date(wall.unix));
        head.field("Server", "preforkd");
        if let Some(id) = envelope.id {
            head.formatted(REQUEST_ID, format_args!("{id}"));
        }
        match (envelope.closes, envelope.version) {
            (true, _) => head.field("Connection", "close"),
            (false, Version::Http10) => head.field("Connection", "keep-alive"),
            (false, Version::Http11) => {}
        }
        head.0.extend_from_slice(&envelope.rule.fields);
        // A cache must not keep what went wrong.
        if envelope.status.code() < 400 {
            head.0.extend_from_slice(&envelope.rule.cache_fields);
        }
        if envelope.by_accept {
            head.field("Vary", "Accept");
        }
        head
    }

    // Inlined, the names are moved by instructions and not by calls.
    #[inline(always)]
    pub(super) fn field(&mut self, name: &str, value: impl Put) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        value.put(self.0);
        self.0.extend_from_slice(b"\r\n");
    }

    pub(super) fn formatted(&mut self, name: &str, value: Arguments<'_>) {
        // Writing to a buffer in memory cannot fail.
        let _ = write!(self.0, "{name}: {value}\r\n");
    }

    /// What 200, 206 and 304 about a file have in common.
    pub(super) fn lasting(&mut self, file: &Representation) {
        self.field("ETag", file.tag);
        if file.negotiable {
            self.field("Vary", "Accept-Encoding");
        }
    }

    /// Where a redirection leads.
    fn location(&mut self, rule: &Rule, notes: &Notes) {
        self.0.extend_from_slice(b"Location: ");
        redirect::write_location(self.0, rule, notes);
        self.0.extend_from_slice(b"\r\n");
    }

    /// What an answer of this status has to say besides.
    pub(super) fn duties(&mut self, status: Status, rule: &Rule, notes: &Notes) {
        match status {
            Status::MethodNotAllowed | Status::NoContent => self.field("Allow", allow(rule)),
            Status::Unavailable => self.field("Retry-After", RETRY_AFTER),
            Status::MovedPermanently
            | Status::Found
            | Status::SeeOther
            | Status::TemporaryRedirect
            | Status::PermanentRedirect => self.location(rule, notes),
            Status::Unauthorized => self.challenge(rule),
            Status::Ok
            | Status::PartialContent
            | Status::NotModified
            | Status::PreconditionFailed
            | Status::RangeNotSatisfiable
            | Status::BadRequest
            | Status::Forbidden
            | Status::NotFound
            | Status::RequestTimeout
            | Status::Gone
            | Status::ContentTooLarge
            | Status::UriTooLong
            | Status::ExpectationFailed
            | Status::Misdirected
            | Status::HeaderTooLarge
            | Status::LegalReasons
            | Status::InternalError
            | Status::NotImplemented
            | Status::GatewayTimeout
            | Status::Scripted(_)
            | Status::VersionNotSupported => {}
        }
    }

    /// RFC 7617 §2, §2.1. A realm is visible ASCII.
    fn challenge(&mut self, rule: &Rule) {
        let Some(auth) = &rule.auth else {
            return;
        };
        self.0
            .extend_from_slice(b"WWW-Authenticate: Basic realm=\"");
        for &byte in auth.realm.as_bytes() {
            if matches!(byte, b'"' | b'\\') {
                self.0.push(b'\\');
            }
            self.0.push(byte);
        }
        self.0.extend_from_slice(b"\", charset=\"UTF-8\"\r\n");
    }

    pub(super) fn end(self) {
        self.0.extend_from_slice(b"\r\n");
    }
}

/// Methods that what is under a rule has.
fn allow(rule: &Rule) -> &'static str {
    match rule.content {
        Content::Files { .. } if rule.cgi => "GET, HEAD, OPTIONS, POST, PUT, DELETE, PATCH",
        Content::Files { .. } | Content::Respond(_) => "GET, HEAD, OPTIONS",
        Content::Report(_) => "GET, HEAD",
        Content::Redirect(_) => "GET, HEAD, OPTIONS, POST, PUT, DELETE, PATCH",
    }
}
