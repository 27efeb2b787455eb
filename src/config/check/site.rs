//! Hosts, paths and what they say: names that are taken twice, keys that
//! exclude each other, and the directories and password files they need.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Checker;
use crate::config::file::http::HttpTable;
use crate::config::file::site::{AuthTable, HostTable, PathTable};
use crate::config::htpasswd::Passwords;
use crate::config::mistake::{Mistake, Span};
use crate::config::network::{Access, Clients};
use crate::config::site::{
    Auth, Content, Host, PathRule, Pattern, Redirect, Respond, Scope, host_name,
};
use crate::config::system::reason;
use crate::config::table::Entry;
use crate::config::web::Named;
use crate::config::wording::abridged;

/// The most rules for paths of one host, and as many hosts: each pair of a path
/// and an extension is worked out when a worker starts.
const MOST: usize = 256;

impl Checker<'_> {
    pub(super) fn http_auth(&mut self, table: &HttpTable) -> Option<Auth> {
        self.auth(table.auth.value.as_ref()?, &table.auth.span(&(0..0)))
    }

    pub(super) fn hosts(&mut self, tables: &[Named<HostTable>]) -> Vec<Host> {
        self.not_too_many(tables, "hosts");
        let mut taken: Vec<(String, Span)> = Vec::new();
        let mut hosts = Vec::new();
        for Named { name, span, table } in tables {
            let own = match host_name(name) {
                Ok(own) => own,
                Err(why) => {
                    let message = format!("a host cannot be called {}", abridged(name));
                    self.error(span, message, why);
                    continue;
                }
            };
            let names = &table.names.value;
            let further = names.iter().map(|name| (name, table.names.span(span)));
            for (name, at) in std::iter::once((&own, span.clone())).chain(further) {
                if let Some((_, first)) = taken.iter().find(|(known, _)| known == name) {
                    let message = format!("the name {} is taken twice", abridged(name));
                    let mistake = Mistake::error(at, message, "expected each name once");
                    self.found.push(mistake.with(first.clone(), "first here"));
                } else {
                    taken.push((name.clone(), at));
                }
            }
            let root = table.root.value.as_ref().map(|root| {
                let at = table.root.span(span);
                self.directory("root", root, &at)
            });
            hosts.push(Host {
                name: own,
                names: names.clone(),
                root,
                scope: scope!(self, table),
                paths: self.paths(&table.path.value),
            });
        }
        hosts
    }

    pub(super) fn paths(&mut self, tables: &[Named<PathTable>]) -> Vec<PathRule> {
        self.not_too_many(tables, "paths");
        let mut taken: Vec<(Pattern, Span)> = Vec::new();
        let mut rules = Vec::new();
        for Named { name, span, table } in tables {
            let pattern = match Pattern::parse(name) {
                Ok(pattern) => pattern,
                Err(why) => {
                    let message = format!("{} is no path", abridged(name));
                    self.error(span, message, why);
                    continue;
                }
            };
            if let Some((_, first)) = taken.iter().find(|(known, _)| *known == pattern) {
                let message = format!("the path {} stands there twice", abridged(name));
                let mistake = Mistake::error(span.clone(), message, "expected each path once");
                self.found.push(mistake.with(first.clone(), "first here"));
            } else {
                taken.push((pattern.clone(), span.clone()));
            }
            rules.push(PathRule {
                content: self.content(&pattern, table, span),
                cgi: table.cgi.value,
                scope: scope!(self, table),
                pattern,
            });
        }
        rules
    }

    /// What is under a path: one thing at most.
    fn content(&mut self, pattern: &Pattern, table: &PathTable, at: &Span) -> Option<Content> {
        let given = [
            ("alias", &table.alias.given),
            ("redirect", &table.redirect.given),
            ("respond", &table.respond.given),
        ];
        let mut given = given
            .into_iter()
            .filter_map(|(name, given)| Some((name, given.as_ref()?)));
        if let (Some((one, first)), Some((other, second))) = (given.next(), given.next()) {
            let message = format!("`{one}` and `{other}` exclude each other");
            let expected = "leave out one of the two";
            let mistake = Mistake::error(second.key.clone(), message, expected);
            self.found
                .push(mistake.with(first.key.clone(), "the other one"));
        }
        if table.redirect.given.is_none() {
            self.misplaced(
                &table.redirect_status,
                "redirect_status",
                "only with `redirect`",
            );
        }
        if table.redirect.given.is_some() || table.respond.given.is_some() {
            self.misplaced(&table.cgi, "cgi", "only for files");
        }
        let is_extension = matches!(pattern, Pattern::Extension(_));
        if is_extension {
            let why = "only for a path that begins with a slash";
            self.misplaced(&table.redirect, "redirect", why);
        }
        if !matches!(pattern, Pattern::Prefix(_)) {
            let why = "only for a path that ends with a slash";
            self.misplaced(&table.alias, "alias", why);
        }
        if let Some(directory) = &table.alias.value {
            let at = table.alias.span(at);
            return Some(Content::Alias(self.directory("alias", directory, &at)));
        }
        if let Some(to) = &table.redirect.value {
            if leads_back(pattern, to) {
                let message = "this path is redirected to itself";
                self.error(&table.redirect.span(at), message, "expected another path");
            }
            return Some(Content::Redirect(Redirect {
                to: to.clone(),
                status: table.redirect_status.value.unwrap_or(301),
            }));
        }
        table.respond.value.as_ref().map(|respond| {
            Content::Respond(Respond {
                status: respond.status.value,
                content_type: respond.content_type.value.clone(),
                body: respond.body.value.clone().unwrap_or_default(),
            })
        })
    }

    /// A path of the status is there once, and no rule for it has an effect.
    pub(super) fn status_paths(&mut self, table: &HttpTable) {
        let Some(status) = &table.status.value else {
            return;
        };
        let given = [
            &status.path,
            &status.metrics,
            &status.health,
            &status.readiness,
        ];
        let mut taken: Vec<(&str, Span)> = Vec::new();
        for entry in given {
            let Some(path) = &entry.value else { continue };
            let at = entry.span(&table.status.span(&(0..0)));
            if let Some((_, first)) = taken.iter().find(|(known, _)| known == path) {
                let message = format!("the path {} stands there twice", abridged(path));
                let mistake = Mistake::error(at.clone(), message, "expected each path once");
                self.found.push(mistake.with(first.clone(), "first here"));
            }
            taken.push((path, at));
        }
        let hosts = table.host.value.iter();
        let hosts = hosts.flat_map(|host| &host.table.path.value);
        for rule in table.path.value.iter().chain(hosts) {
            if let Some((_, at)) = taken.iter().find(|(path, _)| *path == rule.name) {
                let message = format!("the rule for {} has no effect", abridged(&rule.name));
                let why =
                    "the status is there: leave out the rule, or give the status another path";
                let mistake = Mistake::error(rule.span.clone(), message, why);
                self.found.push(mistake.with(at.clone(), "the status"));
            }
        }
    }

    /// Both lists together take the place of what holds around them.
    pub(super) fn access(
        &mut self,
        allow: &Entry<Option<Clients>>,
        deny: &Entry<Option<Clients>>,
    ) -> Option<Access> {
        (allow.value.is_some() || deny.value.is_some()).then(|| Access {
            allow: allow.value.clone().unwrap_or_default(),
            deny: deny.value.clone().unwrap_or_default(),
        })
    }

    pub(super) fn auth(&mut self, table: &AuthTable, at: &Span) -> Option<Auth> {
        let Some(file) = &table.file.value else {
            if table.file.given.is_none() {
                self.error(at, "`file` is missing", "add file = \"the password file\"");
            }
            return None;
        };
        let file = self.resolve(file);
        let at = table.file.span(at);
        let users = self.passwords(&file, &at)?;
        Some(Auth {
            realm: table.realm.value.clone(),
            users: Arc::new(users),
            file,
        })
    }

    fn passwords(&mut self, file: &Path, at: &Span) -> Option<Passwords> {
        let text = match self.system.read_text(file) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("read {}: {}", file.display(), reason(&error));
                self.error(at, message, "expected a password file that can be read");
                return None;
            }
        };
        match Passwords::parse(&text) {
            Ok(users) => {
                if users.is_empty() {
                    let message = format!("nobody is in {}", file.display());
                    let expected = "nobody can come in: htpasswd -B adds a user";
                    self.found
                        .push(Mistake::warning(at.clone(), message, expected));
                }
                Some(users)
            }
            Err((line, why)) => {
                let message = format!("{}:{line}: not a line of a password file", file.display());
                self.error(at, message, why);
                None
            }
        }
    }

    fn directory(&mut self, what: &str, path: &Path, at: &Span) -> PathBuf {
        let path = self.resolve(path);
        let message = match self.system.is_directory(&path) {
            Ok(true) => return path,
            Ok(false) => format!("the {what} {} is not a directory", path.display()),
            Err(error) => format!("the {what} {}: {}", path.display(), reason(&error)),
        };
        self.error(at, message, "expected a directory");
        path
    }

    fn not_too_many<T>(&mut self, tables: &[Named<T>], what: &str) {
        if let Some(first_too_many) = tables.get(MOST) {
            let message = format!("there are {} {what}", tables.len());
            self.error(
                &first_too_many.span,
                message,
                format!("expected at most {MOST}"),
            );
        }
    }
}

/// What a table of a host or a path says, as far as they are alike.
macro_rules! scope {
    ($checker:ident, $table:ident) => {
        Scope {
            index: $table.index.value.clone(),
            dotfiles: $table.dotfiles.value,
            symlinks: $table.symlinks.value,
            listing: $table.listing.value,
            fallback: $table.fallback.value.clone(),
            error_pages: $table.error_pages.value.clone(),
            headers: $table.headers.value.clone(),
            access: $checker.access(&$table.allow, &$table.deny),
            auth: match &$table.auth.value {
                None => None,
                Some(None) => Some(None),
                // One that is wrong is an error already: never nothing.
                Some(Some(auth)) => $checker.auth(auth, &$table.auth.span(&(0..0))).map(Some),
            },
            max_body: $table.max_body.value,
        }
    };
}
use scope;

/// Whether whoever follows the redirect gets it again. A prefix appends the
/// rest, so it leads back from anywhere below itself.
fn leads_back(pattern: &Pattern, to: &str) -> bool {
    let path = to.split('?').next().unwrap_or_default();
    match pattern {
        Pattern::Exact(own) => own == path,
        Pattern::Prefix(own) => path.starts_with(own.as_str()),
        Pattern::Extension(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
