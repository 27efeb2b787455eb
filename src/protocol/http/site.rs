//! What is served under which name and path: the hosts, and for each path the
//! one rule that holds.
//!
//! A configuration says things in layers: the default host, a host, the shorter
//! paths that contain a path, the path itself, its extension. They are laid on
//! top of each other once, when a worker starts, so that a request finds one
//! [`Rule`] that says everything:
//!
//! ```text
//! default host ◁ host ◁ "/" ◁ "/a/" ◁ "/a/b/" ◁ "/a/b/c.php" ◁ "*.php"
//! ```
//!
//! Where the default host and a host both have a rule for one path, the host's
//! is the upper layer. Paths are compared as they are opened: decoded and
//! normalised. Nothing here depends on a request's length but by a factor, and
//! no client can make it grow.

use std::path::PathBuf;
use std::sync::Arc;

use super::report::{self, Report};
use super::status::Status;
use crate::config::{
    self, Access, Auth, Header, Host, Http, PathRule, Pattern, Root, Scope, Symlinks,
};

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

    /// Lays the layers of `http` on top of each other.
    pub(super) fn new(http: &Http) -> Self {
        let mut builder = Builder {
            http,
            roots: http.roots(),
            rules: vec![Draft::bare().finish(Self::DEFAULT, &[])],
        };
        let mut hosts = vec![builder.paths(Self::DEFAULT, None)];
        let (mut names, mut wildcards) = (Vec::new(), Vec::new());
        for host in &http.hosts {
            let number = HostNumber(hosts.len());
            hosts.push(builder.paths(number, Some(host)));
            for name in std::iter::once(&host.name).chain(&host.names) {
                match name.strip_prefix("*.") {
                    Some(rest) => wildcards.push((rest.to_owned(), number)),
                    None => names.push((name.clone(), number)),
                }
            }
        }
        names.sort();
        wildcards.sort();
        let reports = report::places(http).into_iter();
        let reports = reports.map(|place| builder.report(place)).collect();
        Self {
            reports,
            locked: builder.rules.iter().any(|rule| rule.auth.is_some()),
            rules: builder.rules,
            hosts,
            names,
            wildcards,
            strict: http.strict_hosts,
        }
    }

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

/// Lays layers on top of each other.
struct Builder<'h> {
    http: &'h Http,
    roots: Vec<Root>,
    rules: Vec<Rule>,
}

impl<'h> Builder<'h> {
    /// The rules of a host: every path of its own and of the default host.
    fn paths(&mut self, number: HostNumber, host: Option<&'h Host>) -> Paths {
        let own = host.map_or(&[][..], |host| &host.paths);
        let layers: Vec<&PathRule> = self.http.paths.iter().chain(own).collect();
        let mut base = Draft::of(self.http);
        if let Some(host) = host {
            base.put(&host.scope);
            if let Some(root) = &host.root {
                base.content = DraftContent::Files {
                    directory: root.clone(),
                    skip: 0,
                };
            }
        }
        let mut extensions = Vec::new();
        let mut patterns = vec![Pattern::Prefix("/".to_owned())];
        for layer in &layers {
            match &layer.pattern {
                Pattern::Extension(ending) => extensions.push(ending.clone()),
                Pattern::Exact(_) | Pattern::Prefix(_) => patterns.push(layer.pattern.clone()),
            }
        }
        extensions.sort();
        extensions.dedup();
        patterns.sort();
        patterns.dedup();
        let mut places: Vec<Place> = Vec::new();
        for pattern in &patterns {
            let draft = base.under(pattern, &layers);
            let refined = self.refine(number, &draft, &extensions, &layers);
            let path = path_of(pattern);
            let at = match places.binary_search_by(|place| place.path.as_str().cmp(path)) {
                Ok(at) => at,
                Err(at) => {
                    let path = path.to_owned();
                    places.insert(
                        at,
                        Place {
                            path,
                            ..Place::default()
                        },
                    );
                    at
                }
            };
            match pattern {
                Pattern::Exact(_) => places[at].exact = Some(refined),
                Pattern::Prefix(_) => places[at].prefix = Some(refined),
                Pattern::Extension(_) => {}
            }
        }
        Paths {
            longest: places
                .iter()
                .map(|place| place.path.len())
                .max()
                .unwrap_or(0),
            places,
            extensions,
            programs: layers.iter().any(|layer| layer.cgi == Some(true)),
        }
    }

    /// Adds the rule of a path where the server says how it is. What holds for
    /// the site's own paths does not hold there.
    fn report(&mut self, place: report::Place) -> (String, RuleNumber) {
        let number = RuleNumber(self.rules.len() as u32);
        let fields = place.headers.iter().filter(|one| !is_about_caches(one));
        let mut fields = lines(fields).to_vec();
        // Nor must anybody keep what went wrong here.
        fields.extend_from_slice(b"Cache-Control: no-store\r\n");
        self.rules.push(Rule {
            content: place.content,
            fields: fields.into(),
            access: place.access,
            max_body: self.http.max_body,
            ..Draft::bare().finish(Map::DEFAULT, &[])
        });
        (place.path, number)
    }

    /// Adds the rule of a path, and what each extension makes of it.
    fn refine(
        &mut self,
        number: HostNumber,
        draft: &Draft,
        extensions: &[String],
        layers: &[&PathRule],
    ) -> Refined {
        let first = Refined(self.rules.len() as u32);
        self.rules.push(draft.clone().finish(number, &self.roots));
        for ending in extensions {
            let mut refined = draft.clone();
            for layer in layers {
                if layer.pattern == Pattern::Extension(ending.clone()) {
                    refined.put_layer(layer);
                }
            }
            self.rules.push(refined.finish(number, &self.roots));
        }
        first
    }
}

/// The path of a pattern, without slashes at its ends.
fn path_of(pattern: &Pattern) -> &str {
    match pattern {
        Pattern::Exact(path) | Pattern::Prefix(path) => path.trim_matches('/'),
        Pattern::Extension(ending) => ending,
    }
}

/// A rule that more layers may come upon.
#[derive(Clone, Debug)]
struct Draft {
    content: DraftContent,
    symlinks: Symlinks,
    index: Arc<[String]>,
    dotfiles: bool,
    listing: bool,
    fallback: Option<Arc<str>>,
    error_pages: Vec<config::ErrorPage>,
    headers: Vec<Header>,
    access: Arc<Access>,
    auth: Option<Arc<Auth>>,
    max_body: u64,
    cgi: bool,
}

#[derive(Clone, Debug)]
enum DraftContent {
    Files { directory: PathBuf, skip: usize },
    Redirect(Arc<Redirect>),
    Respond(Arc<Respond>),
}

impl Draft {
    fn bare() -> Self {
        Self {
            content: DraftContent::Files {
                directory: PathBuf::new(),
                skip: 0,
            },
            symlinks: Symlinks::Never,
            index: Arc::new([]),
            dotfiles: false,
            listing: false,
            fallback: None,
            error_pages: Vec::new(),
            headers: Vec::new(),
            access: Arc::default(),
            auth: None,
            max_body: 0,
            cgi: false,
        }
    }

    /// The lowest layer.
    fn of(http: &Http) -> Self {
        Self {
            content: DraftContent::Files {
                directory: http.root.clone(),
                skip: 0,
            },
            symlinks: http.symlinks,
            index: http.index.clone().into(),
            dotfiles: http.dotfiles,
            listing: http.listing,
            fallback: http.fallback.as_deref().map(relative),
            error_pages: http.error_pages.clone(),
            headers: http.headers.clone(),
            access: Arc::new(http.access.clone()),
            auth: http.auth.clone().map(Arc::new),
            max_body: http.max_body,
            cgi: false,
        }
    }

    /// With every layer that contains `pattern`, the shortest first, and those
    /// for the pattern itself. The sort is stable: of two layers for one path
    /// the host's own comes later.
    fn under(&self, pattern: &Pattern, layers: &[&PathRule]) -> Self {
        let path = path_of(pattern);
        let contains = |layer: &Pattern| match layer {
            Pattern::Exact(_) => layer == pattern,
            Pattern::Prefix(above) => {
                let above = above.trim_matches('/');
                path.strip_prefix(above).is_some_and(|rest| {
                    above.is_empty() || rest.is_empty() || rest.starts_with('/')
                })
            }
            Pattern::Extension(_) => false,
        };
        let mut chain: Vec<&&PathRule> = layers
            .iter()
            .filter(|layer| contains(&layer.pattern))
            .collect();
        // The exact one lies on top of the prefix of the same path.
        chain.sort_by_key(|layer| {
            let exact = matches!(layer.pattern, Pattern::Exact(_));
            (path_of(&layer.pattern).len(), exact)
        });
        let mut draft = self.clone();
        for layer in chain {
            draft.put_layer(layer);
        }
        draft
    }

    fn put_layer(&mut self, layer: &PathRule) {
        self.put(&layer.scope);
        self.cgi = layer.cgi.unwrap_or(self.cgi);
        let skip = match &layer.pattern {
            Pattern::Prefix(prefix) => Some(prefix.len() - 1),
            Pattern::Exact(_) | Pattern::Extension(_) => None,
        };
        match &layer.content {
            None => {}
            Some(config::Content::Alias(directory)) => {
                self.content = DraftContent::Files {
                    directory: directory.clone(),
                    skip: skip.unwrap_or(0),
                };
            }
            Some(config::Content::Redirect(redirect)) => {
                self.content = DraftContent::Redirect(Arc::new(Redirect {
                    // The configuration lets no other pass.
                    status: Status::of(redirect.status).unwrap_or(Status::MovedPermanently),
                    to: redirect.to.clone(),
                    skip,
                }));
            }
            Some(config::Content::Respond(respond)) => {
                self.content = DraftContent::Respond(Arc::new(Respond {
                    status: Status::of(respond.status).unwrap_or(Status::Ok),
                    content_type: respond.content_type.clone(),
                    body: respond.body.clone(),
                }));
            }
        }
    }

    fn put(&mut self, scope: &Scope) {
        if let Some(index) = &scope.index {
            self.index = index.clone().into();
        }
        if let Some(fallback) = &scope.fallback {
            self.fallback = fallback.as_deref().map(relative);
        }
        if let Some(access) = &scope.access {
            self.access = Arc::new(access.clone());
        }
        if let Some(auth) = &scope.auth {
            self.auth = auth.clone().map(Arc::new);
        }
        self.dotfiles = scope.dotfiles.unwrap_or(self.dotfiles);
        self.symlinks = scope.symlinks.unwrap_or(self.symlinks);
        self.listing = scope.listing.unwrap_or(self.listing);
        self.max_body = scope.max_body.unwrap_or(self.max_body);
        for page in &scope.error_pages {
            self.error_pages.retain(|known| known.status != page.status);
            self.error_pages.push(page.clone());
        }
        for header in &scope.headers {
            self.headers
                .retain(|known| !known.name.eq_ignore_ascii_case(&header.name));
            self.headers.push(header.clone());
        }
    }

    fn finish(self, host: HostNumber, roots: &[Root]) -> Rule {
        let content = match self.content {
            DraftContent::Files { directory, skip } => {
                let wanted = (directory, self.symlinks);
                // Every pair is in the list but that of the bare rule, which
                // opens nothing.
                let root = roots.iter().position(|root| *root == wanted);
                Content::Files {
                    root: root.unwrap_or(usize::MAX),
                    skip,
                }
            }
            DraftContent::Redirect(redirect) => Content::Redirect(redirect),
            DraftContent::Respond(respond) => Content::Respond(respond),
        };
        let error_pages = self.error_pages.iter().filter_map(|page| {
            let path = page.path.trim_start_matches('/').to_owned();
            Some((Status::of(page.status)?, path))
        });
        Rule {
            host,
            content,
            index: self.index,
            dotfiles: self.dotfiles,
            listing: self.listing,
            fallback: self.fallback,
            error_pages: error_pages.collect(),
            fields: lines(
                self.headers
                    .iter()
                    .filter(|header| !is_about_caches(header)),
            ),
            cache_fields: lines(self.headers.iter().filter(|header| is_about_caches(header))),
            access: self.access,
            auth: self.auth,
            max_body: self.max_body,
            cgi: self.cgi,
        }
    }
}

/// A path without its leading slash.
fn relative(path: &str) -> Arc<str> {
    path.trim_start_matches('/').into()
}

/// What would make a cache keep an error (RFC 9111 §5).
fn is_about_caches(header: &Header) -> bool {
    ["cache-control", "expires", "pragma"]
        .iter()
        .any(|name| header.name.eq_ignore_ascii_case(name))
}

fn lines<'h>(headers: impl Iterator<Item = &'h Header>) -> Arc<[u8]> {
    headers
        .filter(|header| !header.value.is_empty())
        .flat_map(|header| format!("{}: {}\r\n", header.name, header.value).into_bytes())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
