//! From a request to the objects that are opened for it, and from what was
//! found to the answer. Opens nothing itself.
//!
//! A path without a slash at its end names a file: it is opened as it is, and
//! a directory there is redirected to its slash, so that relative links work.
//! A path with a slash names a directory: each index name is tried in it, then
//! the directory itself, to tell what is missing from what is forbidden.
//!
//! What is sent of a file that was found, `delivery` decides.

use super::notes::Notes;
use super::site::Rule;
use super::status::Status;
use crate::protocol::{Facts, FileKind, OpenError, View};

/// What to do about a request, before anything was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Open the path in the notes, as this candidate.
    Open(Candidate),
    /// The answer is certain.
    Answer(Status),
    /// It is fixed: the rule has it.
    Respond,
    /// Look for the program that answers.
    Program,
    /// Tell how the server is …
    Report(View),
    /// … whether it answers …
    Health,
    /// … or whether new clients are welcome.
    Readiness,
}

/// In which role an object is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    /// The path as it was asked for.
    Exact,
    /// The index name of this number, in the directory that was asked for.
    Index(u16),
    /// That directory itself.
    Directory,
    /// The file that is sent where nothing was found.
    Fallback,
    /// The file that is sent with this status.
    ErrorPage(Status),
}

/// What an opened object, or the failure to open it, leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send this file.
    Send,
    /// Open another.
    Try(Candidate),
    /// Answer with a page.
    Answer(Status),
    /// Answer with our own page: the configured one cannot be had.
    AnswerPlainly(Status),
    /// There is nothing: answer so, or with the fallback.
    Nothing,
    /// List this directory.
    List,
}

/// What follows from an object that is open.
pub(super) fn found(
    candidate: Candidate,
    facts: &Facts,
    rule: &Rule,
    notes: &mut Notes,
) -> Verdict {
    match (candidate, facts.kind) {
        (
            Candidate::Exact | Candidate::Index(_) | Candidate::Fallback | Candidate::ErrorPage(_),
            FileKind::File,
        ) => Verdict::Send,
        (Candidate::ErrorPage(status), FileKind::Directory | FileKind::Other) => {
            Verdict::AnswerPlainly(status)
        }
        (Candidate::Fallback, FileKind::Directory) => Verdict::Answer(Status::NotFound),
        (Candidate::Exact, FileKind::Directory) => Verdict::Answer(Status::MovedPermanently),
        (Candidate::Index(number), FileKind::Directory) => Verdict::Try(after(number, rule, notes)),
        (Candidate::Directory, FileKind::Directory) if rule.listing => Verdict::List,
        (Candidate::Directory, FileKind::Directory) => Verdict::Answer(Status::Forbidden),
        // A file does not become a directory by a slash.
        (Candidate::Directory, FileKind::File) => Verdict::Answer(Status::NotFound),
        (
            Candidate::Exact | Candidate::Index(_) | Candidate::Directory | Candidate::Fallback,
            FileKind::Other,
        ) => Verdict::Answer(Status::Forbidden),
    }
}

/// What follows from an object that could not be opened.
pub(super) fn missing(
    candidate: Candidate,
    error: OpenError,
    rule: &Rule,
    notes: &mut Notes,
) -> Verdict {
    match (candidate, error) {
        (Candidate::Index(number), OpenError::NotFound) => Verdict::Try(after(number, rule, notes)),
        (Candidate::Exact | Candidate::Directory, OpenError::NotFound) => Verdict::Nothing,
        (Candidate::Fallback, OpenError::NotFound) => Verdict::Answer(Status::NotFound),
        (Candidate::ErrorPage(status), _) => Verdict::AnswerPlainly(status),
        (_, OpenError::Denied | OpenError::Escapes) => Verdict::Answer(Status::Forbidden),
        (_, OpenError::Exhausted) => Verdict::Answer(Status::Unavailable),
        (_, OpenError::Failed) => Verdict::Answer(Status::InternalError),
    }
}

/// Whether the last name of a path has an extension: then a part of a page was
/// meant, not a page.
pub(super) fn has_extension(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    name.contains(&b'.')
}

/// The first candidate for a directory.
pub(super) fn first(rule: &Rule, notes: &mut Notes) -> Candidate {
    index(0, rule, notes)
}

fn after(number: u16, rule: &Rule, notes: &mut Notes) -> Candidate {
    index(number.saturating_add(1), rule, notes)
}

/// The candidate of this number, or the directory when the names are used up.
/// The path in the notes is made to fit.
fn index(number: u16, rule: &Rule, notes: &mut Notes) -> Candidate {
    match rule.index.get(usize::from(number)) {
        Some(name) if number < u16::MAX => {
            notes.set_index(name);
            Candidate::Index(number)
        }
        Some(_) | None => {
            notes.clear_index();
            Candidate::Directory
        }
    }
}
