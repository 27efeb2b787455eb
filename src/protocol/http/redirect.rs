//! Location (RFC 9110 §10.2.2).
//!
//! Whoever could choose where it leads could send our clients anywhere. So what
//! a request says gets in only behind a path or a host of our own: its path
//! normalised and encoded anew, its query as it came, for only octets that a
//! target may have got this far.

use std::io::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::notes::Notes;
use super::site::{Content, Redirect, Rule};

/// Appends the value of Location for a request under `rule`: where its redirect
/// leads, or to the directory that was asked for without its slash.
pub(super) fn write_location(out: &mut Vec<u8>, rule: &Rule, notes: &Notes) {
    match &rule.content {
        Content::Redirect(redirect) => write_redirect(out, redirect, notes),
        Content::Files { .. } | Content::Respond(_) | Content::Report(_) => {
            write_directory(out, notes)
        }
    }
}

/// The path begins with one slash, and so cannot be taken for the name of
/// another host.
fn write_directory(out: &mut Vec<u8>, notes: &Notes) {
    out.push(b'/');
    if !notes.path().is_empty() {
        write_path(out, notes.path());
        out.push(b'/');
    }
    write_query(out, notes);
}

/// The destination is ours; a query that it has of its own stays the only one.
fn write_redirect(out: &mut Vec<u8>, redirect: &Redirect, notes: &Notes) {
    let (to, query) = match redirect.to.split_once('?') {
        Some((to, query)) => (to, Some(query)),
        None => (redirect.to.as_str(), None),
    };
    out.extend_from_slice(to.as_bytes());
    let rest = redirect.skip.and_then(|skip| notes.path().get(skip..));
    if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
        if !to.ends_with('/') {
            out.push(b'/');
        }
        write_path(out, rest);
        if notes.is_directory() {
            out.push(b'/');
        }
    }
    match query {
        Some(query) => {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        None => write_query(out, notes),
    }
}

fn write_path(out: &mut Vec<u8>, path: &[u8]) {
    // Writing to a buffer in memory cannot fail.
    let _ = write!(out, "{}", percent_encode(path, PATH));
}

fn write_query(out: &mut Vec<u8>, notes: &Notes) {
    if !notes.query().is_empty() {
        out.push(b'?');
        out.extend_from_slice(notes.query());
    }
}

/// pchar and `/` (RFC 3986 §3.3) stay as they are.
pub(super) const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::site::Map;
    use super::super::target;
    use super::*;
    use crate::config::{self, Http, PathRule, Pattern, Scope};
    use proptest::prelude::*;

    /// Where a request for `path` is sent by a redirect of `pattern` to `to`.
    fn location(pattern: &str, to: &str, path: &[u8], query: &[u8]) -> Option<Vec<u8>> {
        let rule = PathRule {
            pattern: Pattern::parse(pattern).unwrap(),
            scope: Scope::default(),
            content: Some(config::Content::Redirect(config::Redirect {
                to: to.to_owned(),
                status: 301,
            })),
            cgi: None,
        };
        let map = Map::new(&Http {
            paths: vec![rule],
            ..Http::with_defaults("/srv/www")
        });
        let mut notes = Notes::default();
        notes.set_query(query);
        let resolved = notes.set_path(|out| target::resolve(path, out)).ok()?;
        notes.set_directory(resolved.directory);
        let number = map.find(Map::DEFAULT, notes.path(), resolved.directory);
        let mut out = Vec::new();
        write_location(&mut out, map.rule(number), &notes);
        Some(out)
    }

    /// Octets that mean something in a path or to a browser.
    const PIECES: &[&str] = &[
        "/",
        "//",
        "\\",
        "%5c",
        "%2f",
        "%2F%2f",
        "..",
        ".",
        "%2e",
        "%09",
        "%0b",
        "%1f",
        "%7f",
        "%ff",
        "@",
        ":",
        "evil.example",
        "a",
        "%25",
        ";",
        "%20",
    ];

    proptest! {
        #[test]
        fn a_location_leads_nowhere_else(
            pieces in prop::collection::vec(prop::sample::select(PIECES), 0..8),
            query in "[ -~&&[^ #]]{0,8}",
            to in prop::sample::select(&["/", "/new", "/new/", "/a?b=c", "https://h.example"][..]),
            pattern in prop::sample::select(&["/", "/a/", "/a", "/x/"][..]),
        ) {
            let path = format!("/{}", pieces.concat());
            let Some(found) = location(pattern, to, path.as_bytes(), query.as_bytes()) else {
                return Ok(());
            };
            let text = String::from_utf8(found).unwrap();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", text);
            let end = text.find('?').unwrap_or(text.len());
            prop_assert!(!text[..end].contains('\\'), "{}", text);
            if !text.starts_with("https://h.example/") && text[..end] != *"https://h.example" {
                prop_assert!(text.starts_with('/') && !text.starts_with("//"), "{}", text);
            }
        }
    }
}
