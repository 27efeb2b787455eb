//! What is served under which name and path: the hosts, and for each path the
//! one rule that holds.
//!
//! A [`Rule`] says everything that holds for a path, so that a request finds one and
//! asks no other. How the rules come out of the layers of a configuration is in
//! `layers`; here is how a request finds its own. Paths are compared as they are
//! opened: decoded and normalised. Nothing here depends on a request's length but by
//! a factor, and no client can make it grow.

mod layers;

use std::sync::Arc;

use super::report::Report;
use super::status::Status;
use crate::config::{Access, Auth};

/// Everything that holds for a path.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Which of the hosts it belongs to.
    pub(super) host: HostNumber,
    /// What is there.
    pub(super) content: Content,
    /// Names tried for a directory, in order.
    pub(super) index: Arc<[String]>,
    /// Whether names that begin with a dot are served.
    pub(super) dotfiles: bool,
    /// Whether a directory without an index is listed.
    pub(super) listing: bool,
    /// The path of a file that is sent instead of nothing, as
    /// [`resolve`](super::target::resolve) writes it.
    pub(super) fallback: Option<Arc<str>>,
    /// Paths of files for answers that went wrong, in the same form.
    pub(super) error_pages: Arc<[(Status, String)]>,
    /// Field lines of every answer.
    pub(super) fields: Arc<[u8]>,
    /// Field lines of answers that went well: what is said of caches.
    pub(super) cache_fields: Arc<[u8]>,
    /// Who may come in.
    pub(super) access: Arc<Access>,
    /// Who must say a password.
    pub(super) auth: Option<Arc<Auth>>,
    /// The longest request body, in octets.
    pub(super) max_body: u64,
    /// Files are programs, and are run.
    pub(super) cgi: bool,
}

/// What is under a path.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Files: below root number `root`, the path without its first `skip` octets.
    Files { root: usize, skip: usize },
    /// Something elsewhere.
    Redirect(Arc<Redirect>),
    /// A fixed answer.
    Respond(Arc<Respond>),
    /// What the server says of itself.
    Report(Report),
}

/// Where a client is sent.
#[derive(Debug)]
pub(super) struct Redirect {
    pub(super) status: Status,
    /// A path with one leading slash, or an absolute URI.
    pub(super) to: String,
    /// What is appended: the path without so many octets; `None`: nothing.
    pub(super) skip: Option<usize>,
}

/// A fixed answer.
#[derive(Debug)]
pub(super) struct Respond {
    pub(super) status: Status,
    pub(super) content_type: String,
    pub(super) body: String,
}

/// A rule's place among all rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RuleNumber(u32);

/// A host's place among all hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostNumber(usize);

/// All hosts with their rules.
#[derive(Debug)]
pub(super) struct Map {
    rules: Vec<Rule>,
    /// The default host first.
    hosts: Vec<Paths>,
    /// Names in lower case, sorted.
    names: Vec<(String, HostNumber)>,
    /// What follows `*.`, sorted.
    wildcards: Vec<(String, HostNumber)>,
    /// Where the server says how it is, whatever the host.
    reports: Vec<(String, RuleNumber)>,
    strict: bool,
    locked: bool,
}

/// The rules of a host by path.
#[derive(Debug)]
struct Paths {
    /// Sorted by path.
    places: Vec<Place>,
    /// Octets of the longest path.
    longest: usize,
    /// In lower case, with their dots.
    extensions: Vec<String>,
    /// Whether there are programs.
    programs: bool,
}

/// The rules for one path, without a slash at either end.
#[derive(Debug, Default)]
struct Place {
    path: String,
    /// For the path itself, where it is not meant as a directory …
    exact: Option<Refined>,
    /// … and for it and everything below.
    prefix: Option<Refined>,
}

/// The first rule of several: itself, then one for each extension of the host.
#[derive(Clone, Copy, Debug)]
struct Refined(u32);

impl Map {
    /// No rule at all, for answers before one is found.
    pub(super) const BARE: RuleNumber = RuleNumber(0);
    /// The default host.
    pub(super) const DEFAULT: HostNumber = HostNumber(0);

    /// The rule of this number.
    pub(super) fn rule(&self, number: RuleNumber) -> &Rule {
        &self.rules[number.0 as usize]
    }

    /// The rule for a path, if that is where the server says how it is; it is
    /// written as for [`Map::find`].
    pub(super) fn report(&self, path: &[u8], directory: bool) -> Option<RuleNumber> {
        let here = |(known, _): &&(String, RuleNumber)| known.as_bytes() == path && !directory;
        self.reports.iter().find(here).map(|(_, number)| *number)
    }

    /// Whether any rule wants a password.
    pub(super) fn is_locked(&self) -> bool {
        self.locked
    }

    /// Whether any file of any host is a program.
    pub(super) fn any_programs(&self) -> bool {
        self.hosts.iter().any(|host| host.programs)
    }

    /// Whether any file of a host is a program.
    pub(super) fn has_programs(&self, host: HostNumber) -> bool {
        self.hosts[host.0].programs
    }

    /// The host of this name; `None` for one that is not served here. Case and
    /// a dot at the end do not matter (RFC 9110 §4.2.3), and no name at all is
    /// the default host (RFC 9112 §3.3).
    pub(super) fn host(&self, name: &[u8]) -> Option<HostNumber> {
        if name.is_empty() {
            return Some(Self::DEFAULT);
        }
        self.find_host(name.strip_suffix(b".").unwrap_or(name))
            .or((!self.strict).then_some(Self::DEFAULT))
    }

    /// The exact name, else the wildcard that says most of it.
    fn find_host(&self, name: &[u8]) -> Option<HostNumber> {
        if name.len() > LONGEST_HOST || (self.names.is_empty() && self.wildcards.is_empty()) {
            return None;
        }
        if let Some(number) = look_up(&self.names, name) {
            return Some(number);
        }
        let mut rest = name;
        while let Some(dot) = memchr::memchr(b'.', rest) {
            // `*` stands for at least one label that is not empty.
            let begins_inside = rest.len() < name.len() || dot > 0;
            rest = &rest[dot + 1..];
            if begins_inside && let Some(number) = look_up(&self.wildcards, rest) {
                return Some(number);
            }
        }
        None
    }

    /// The one rule for a path, which is without slashes at its ends;
    /// `directory`: it was asked for with one.
    pub(super) fn find(&self, host: HostNumber, path: &[u8], directory: bool) -> RuleNumber {
        let paths = &self.hosts[host.0];
        let refined = paths.refined(path, directory);
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let extension = paths
            .extensions
            .iter()
            .enumerate()
            .filter(|(_, ending)| !directory && ends_with(name, ending))
            .max_by_key(|(_, ending)| ending.len());
        match extension {
            Some((at, _)) => RuleNumber(refined.0 + 1 + at as u32),
            None => RuleNumber(refined.0),
        }
    }
}

impl Paths {
    /// Exactly this path, else the longest one above it.
    fn refined(&self, path: &[u8], directory: bool) -> Refined {
        let place = |path: &[u8]| {
            let by_path = |place: &Place| place.path.as_bytes().cmp(path);
            let at = self.places.binary_search_by(by_path).ok()?;
            Some(&self.places[at])
        };
        let mut above = path;
        if path.len() <= self.longest {
            let exact = place(path).and_then(|place| place.exact);
            if let Some(refined) = exact.filter(|_| !directory) {
                return refined;
            }
        } else {
            // Nothing longer has a rule; what is left ends at a slash.
            above = parent(&path[..=self.longest]);
        }
        loop {
            if let Some(refined) = place(above).and_then(|place| place.prefix) {
                return refined;
            }
            if above.is_empty() {
                // Every host has a rule for "/": see `Builder::paths`.
                return self
                    .places
                    .first()
                    .and_then(|place| place.prefix)
                    .unwrap_or(Refined(0));
            }
            above = parent(above);
        }
    }
}

/// What stands before the last slash.
fn parent(path: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'/', path).unwrap_or(0);
    &path[..end]
}

/// Hosts have no longer names (RFC 1035 §2.3.4), in octets.
const LONGEST_HOST: usize = 253;

fn look_up(names: &[(String, HostNumber)], name: &[u8]) -> Option<HostNumber> {
    let lower = |byte: &u8| byte.to_ascii_lowercase();
    let at = names
        .binary_search_by(|(known, _)| known.bytes().cmp(name.iter().map(lower)))
        .ok()?;
    Some(names[at].1)
}

/// Whether a name has this ending and something before it.
fn ends_with(name: &[u8], ending: &str) -> bool {
    name.len() > ending.len()
        && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending.as_bytes())
}
