//! The layers of a configuration, laid on top of each other.
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
//! is the upper layer. Never asked about a request.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Content, HostNumber, Map, Paths, Place, Redirect, Refined, Respond, Rule, RuleNumber};
use crate::config::{
    self, Access, Auth, Header, Host, Http, PathRule, Pattern, Root, Scope, Symlinks,
};
use crate::protocol::http::report;
use crate::protocol::http::status::Status;

impl Map {
    /// Lays the layers of `http` on top of each other.
    pub(in crate::protocol::http) fn new(http: &Http) -> Self {
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
