//! What is kept of a request once its octets have left the input.
//!
//! One buffer with marks in it, reused from request to request, so that a
//! keep-alive connection allocates nothing once it has found its size:
//!
//! ```text
//! ┌───────┬───────────────┬──────────────────┬──────────┬───────────────┬───────────┬───────┐
//! │ query │ request line* │ Referer*, agent* │ criteria │ user:password │ base path │ index │
//! └───────┴───────────────┴──────────────────┴──────────┴───────────────┴───────────┴───────┘
//!   query ▲          line ▲           fields ▲ criteria ▲          path ▲      base ▲
//!                         * in the form of the access log; empty without one
//! ```
//!
//! Invariant: `query <= line <= fields <= criteria <= path <= base <= text.len()`.
//! The criteria are the fields that conditional requests and ranges need.
//! Nothing here may outlive its request: [`Notes::clear`] comes first. Copies are
//! kept of those of requests that come again (`recent`).

use super::coding::Coding;
use super::criteria::{self, Criteria};
use super::{access, auth};
use crate::config::LineFormat;

/// A retained buffer is at most this large while a connection is idle.
const RETAINED: usize = 1024;

/// The buffer and its marks.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    text: Vec<u8>,
    query: u32,
    line: u32,
    fields: u32,
    criteria: u32,
    path: u32,
    base: u32,
    directory: bool,
    admitted: bool,
}

impl Notes {
    /// Forgets the last request, not its memory.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        (self.query, self.line, self.fields) = (0, 0, 0);
        (self.criteria, self.path, self.base) = (0, 0, 0);
        (self.directory, self.admitted) = (false, false);
    }

    /// Becomes like other notes, in its own memory.
    pub(super) fn copy(&mut self, other: &Self) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.extend_from_slice(&other.text);
        *self = Self { text, ..*other };
    }

    /// Gives memory back that an idle connection has no use for.
    pub(super) fn rest(&mut self) {
        self.clear();
        if self.text.capacity() > RETAINED {
            self.text = Vec::new();
        }
    }

    /// Notes the query, what follows `?`. First of all.
    pub(super) fn set_query(&mut self, query: &[u8]) {
        self.text.extend_from_slice(query);
        self.query = self.mark();
        self.line = self.query;
        self.end_fields(self.query);
    }

    /// Notes host and request line as the log has them. After the query.
    pub(super) fn set_line(&mut self, format: LineFormat, host: &[u8], line: &[u8]) {
        access::write_line(format, host, line, &mut self.text);
        self.line = self.mark();
        self.end_fields(self.line);
    }

    /// Notes the two fields that the log has. After the line.
    pub(super) fn set_fields(
        &mut self,
        format: LineFormat,
        referer: Option<&[u8]>,
        user_agent: Option<&[u8]>,
    ) {
        access::write_fields(format, referer, user_agent, &mut self.text);
        self.end_fields(self.mark());
    }

    /// Notes the conditions and ranges of a field section. After the fields.
    pub(super) fn set_criteria(&mut self, section: &[u8]) {
        criteria::note(section, &mut self.text);
        self.criteria = self.mark();
        (self.path, self.base) = (self.criteria, self.criteria);
    }

    /// Notes what `write` appends: a name and a password with a colon between.
    /// After the criteria.
    pub(super) fn set_credentials(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        if write(&mut self.text) {
            self.path = self.mark();
            self.base = self.path;
        }
    }

    /// Name and password, if there are any.
    pub(super) fn credentials(&self) -> Option<&[u8]> {
        let credentials = &self.text[self.criteria as usize..self.path as usize];
        (!credentials.is_empty()).then_some(credentials)
    }

    /// The password was right.
    pub(super) fn admit(&mut self) {
        self.admitted = true;
    }

    /// Whose password was right.
    pub(super) fn user(&self) -> Option<&[u8]> {
        let credentials = self.credentials().filter(|_| self.admitted)?;
        Some(auth::split(credentials).0)
    }

    /// Notes the path that `write` appends. Last of all.
    pub(super) fn set_path<T, E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
    ) -> Result<T, E> {
        let result = write(&mut self.text);
        if result.is_err() {
            self.text.truncate(self.path as usize);
        }
        self.base = self.mark();
        result
    }

    /// Forgets query and path, for another request in the place of this one,
    /// but not what the log will say, nor who the client is and what it wants
    /// of the answer.
    pub(super) fn restart(&mut self, query: &[u8]) {
        let (line, fields) = (self.line - self.query, self.fields - self.query);
        let criteria = self.criteria - self.query;
        let admitted = self.admitted;
        let kept = self.text[self.query as usize..self.path as usize].to_vec();
        self.clear();
        self.set_query(query);
        self.text.extend_from_slice(&kept);
        (self.line, self.fields) = (self.query + line, self.query + fields);
        self.criteria = self.query + criteria;
        self.path = self.mark();
        self.base = self.path;
        self.admitted = admitted;
    }

    /// Notes whether the path was asked for with a slash at its end.
    pub(super) fn set_directory(&mut self, directory: bool) {
        self.directory = directory;
    }

    /// Whether the path was asked for with a slash at its end.
    pub(super) fn is_directory(&self) -> bool {
        self.directory
    }

    /// Puts another path in the place of the one that was asked for.
    pub(super) fn replace_path(&mut self, path: &[u8]) {
        self.text.truncate(self.path as usize);
        self.text.extend_from_slice(path);
        self.base = self.mark();
        self.directory = false;
    }

    /// The path of the index file is the one that was asked for.
    pub(super) fn settle_index(&mut self) {
        self.base = self.mark();
        self.directory = false;
    }

    /// Makes the path that of `name` in the directory that was asked for.
    pub(super) fn set_index(&mut self, name: &str) {
        self.clear_index();
        if self.base > self.path {
            self.text.push(b'/');
        }
        self.text.extend_from_slice(name.as_bytes());
    }

    /// Makes the path that of its sibling in this coding.
    pub(super) fn set_sibling(&mut self, coding: Coding) {
        self.text.extend_from_slice(coding.suffix().as_bytes());
    }

    /// Goes back from there.
    pub(super) fn clear_sibling(&mut self, coding: Coding) {
        let length = self.text.len().saturating_sub(coding.suffix().len());
        self.text.truncate(length.max(self.base as usize));
    }

    /// Goes back to the path that was asked for.
    pub(super) fn clear_index(&mut self) {
        self.text.truncate(self.base as usize);
    }

    pub(super) fn query(&self) -> &[u8] {
        &self.text[..self.query as usize]
    }

    /// Host and request line, as the log has them.
    pub(super) fn line(&self) -> &[u8] {
        &self.text[self.query as usize..self.line as usize]
    }

    /// The two fields, as the log has them; empty where none were noted.
    pub(super) fn fields(&self) -> &[u8] {
        &self.text[self.line as usize..self.fields as usize]
    }

    /// The conditions and ranges.
    pub(super) fn criteria(&self) -> Criteria<'_> {
        Criteria::new(&self.text[self.fields as usize..self.criteria as usize])
    }

    /// The path to open, relative to the root.
    pub(super) fn path(&self) -> &[u8] {
        &self.text[self.path as usize..]
    }

    /// The fields end here, and nothing follows them yet.
    fn end_fields(&mut self, mark: u32) {
        (self.fields, self.criteria) = (mark, mark);
        (self.path, self.base) = (mark, mark);
    }

    /// A head is shorter than [`crate::protocol::Input::LIMIT`] and grows
    /// sixfold at most by being escaped, so marks fit in 32 bits.
    fn mark(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_apart() {
        let mut notes = Notes::default();
        notes.set_query(b"q=1");
        notes.set_line(LineFormat::Combined, b"a", b"GET /a?q=1 HTTP/1.1");
        notes.set_fields(LineFormat::Combined, None, Some(b"curl"));
        notes.set_criteria(b"Range: bytes=0-1\r\n\r\n");
        notes
            .set_path(|out| {
                out.extend_from_slice(b"a");
                Ok::<_, ()>(())
            })
            .unwrap();
        notes.set_index("index.html");
        notes.set_index("index.htm");
        assert_eq!(notes.query(), b"q=1");
        assert_eq!(notes.line(), b"GET /a?q=1 HTTP/1.1");
        assert_eq!(notes.fields(), b"\"-\" \"curl\"");
        assert!(notes.criteria().has(criteria::Criterion::Range));
        assert_eq!(notes.path(), b"a/index.htm");
        notes.set_sibling(Coding::Gzip);
        assert_eq!(notes.path(), b"a/index.htm.gz");
        notes.clear_sibling(Coding::Gzip);
        assert_eq!(notes.path(), b"a/index.htm");
        notes.clear_index();
        assert_eq!(notes.path(), b"a");
    }

    #[test]
    fn another_request_keeps_the_line() {
        let mut notes = Notes::default();
        notes.set_query(b"q=1");
        notes.set_line(LineFormat::Combined, b"a", b"GET /a?q=1 HTTP/1.1");
        notes.set_fields(LineFormat::Combined, None, Some(b"curl"));
        notes.set_criteria(b"Range: bytes=0-1\r\n\r\n");
        notes.replace_path(b"a");
        notes.restart(b"long=2");
        assert_eq!(notes.query(), b"long=2");
        assert_eq!(notes.line(), b"GET /a?q=1 HTTP/1.1");
        assert_eq!(notes.fields(), b"\"-\" \"curl\"");
        assert!(notes.criteria().has(criteria::Criterion::Range));
        assert_eq!(notes.path(), b"");
    }

    #[test]
    fn the_index_of_the_root_has_no_slash() {
        let mut notes = Notes::default();
        notes.set_index("index.html");
        assert_eq!(notes.path(), b"index.html");
    }

    #[test]
    fn a_path_that_fails_leaves_nothing() {
        let mut notes = Notes::default();
        notes.set_line(LineFormat::Combined, b"a", b"x");
        let failed = notes.set_path(|out| {
            out.push(b'a');
            Err::<(), _>(())
        });
        assert!(failed.is_err());
        assert_eq!(notes.path(), b"");
    }

    #[test]
    fn rest_keeps_small_buffers_alone() {
        let mut notes = Notes::default();
        notes.set_query(&[b'a'; 100]);
        notes.rest();
        assert!(notes.text.capacity() >= 100);
        notes.set_query(&[b'a'; 5000]);
        notes.rest();
        assert_eq!(notes.text.capacity(), 0);
    }
}
