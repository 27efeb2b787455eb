//! From a request to the objects that are opened for it, and from what was
//! found to the answer. Opens nothing itself.
//!
//! A path without a slash at its end names a file: it is opened as it is, and
//! a directory there is redirected to its slash, so that relative links work.
//! A path with a slash names a directory: each index name is tried in it, then
//! the directory itself, to tell what is missing from what is forbidden.
//!
//! What is sent of a file that was found, `delivery` decides.

use super::Site;
use super::notes::Notes;
use super::request::{Method, Request};
use super::status::{Refusal, Status};
use super::target::{self, Target};
use crate::protocol::{Facts, FileKind, OpenError};

/// What to do about a request, before anything was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Open the path in the notes, as this candidate.
    Open(Candidate),
    /// The answer is certain.
    Answer(Status),
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
}

/// Decides about a request and notes the path, if it has one.
pub(super) fn plan(request: &Request<'_>, site: &Site, notes: &mut Notes) -> Result<Plan, Refusal> {
    let path = match request.target {
        Target::Path { path, .. } => path,
        Target::Authority => return Ok(Plan::Answer(Status::MethodNotAllowed)),
        Target::Server => return Ok(Plan::Answer(Status::NoContent)),
    };
    match request.method {
        Method::Get | Method::Head => {}
        Method::Options => return Ok(Plan::Answer(Status::NoContent)),
        Method::Post
        | Method::Put
        | Method::Delete
        | Method::Patch
        | Method::Connect
        | Method::Trace => return Ok(Plan::Answer(Status::MethodNotAllowed)),
    }
    let resolved = notes.set_path(|out| target::resolve(path, out))?;
    Ok(if resolved.hidden && !site.dotfiles {
        // As if it were not there: a name alone can be worth hiding.
        Plan::Answer(Status::NotFound)
    } else if resolved.directory {
        Plan::Open(first(site, notes))
    } else {
        Plan::Open(Candidate::Exact)
    })
}

/// What follows from an object that is open.
pub(super) fn found(
    candidate: Candidate,
    facts: &Facts,
    site: &Site,
    notes: &mut Notes,
) -> Verdict {
    match (candidate, facts.kind) {
        (Candidate::Exact | Candidate::Index(_), FileKind::File) => Verdict::Send,
        (Candidate::Exact, FileKind::Directory) => Verdict::Answer(Status::MovedPermanently),
        (Candidate::Index(number), FileKind::Directory) => Verdict::Try(after(number, site, notes)),
        // A listing, where one is wanted, goes here.
        (Candidate::Directory, FileKind::Directory) => Verdict::Answer(Status::Forbidden),
        // A file does not become a directory by a slash.
        (Candidate::Directory, FileKind::File) => Verdict::Answer(Status::NotFound),
        (Candidate::Exact | Candidate::Index(_) | Candidate::Directory, FileKind::Other) => {
            Verdict::Answer(Status::Forbidden)
        }
    }
}

/// What follows from an object that could not be opened.
pub(super) fn missing(
    candidate: Candidate,
    error: OpenError,
    site: &Site,
    notes: &mut Notes,
) -> Verdict {
    match (candidate, error) {
        (Candidate::Index(number), OpenError::NotFound) => Verdict::Try(after(number, site, notes)),
        (Candidate::Exact | Candidate::Directory, OpenError::NotFound) => {
            Verdict::Answer(Status::NotFound)
        }
        (_, OpenError::Denied | OpenError::Escapes) => Verdict::Answer(Status::Forbidden),
        (_, OpenError::Exhausted) => Verdict::Answer(Status::Unavailable),
        (_, OpenError::Failed) => Verdict::Answer(Status::InternalError),
    }
}

fn first(site: &Site, notes: &mut Notes) -> Candidate {
    index(0, site, notes)
}

fn after(number: u16, site: &Site, notes: &mut Notes) -> Candidate {
    index(number.saturating_add(1), site, notes)
}

/// The candidate of this number, or the directory when the names are used up.
/// The path in the notes is made to fit.
fn index(number: u16, site: &Site, notes: &mut Notes) -> Candidate {
    match site.index.get(usize::from(number)) {
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
