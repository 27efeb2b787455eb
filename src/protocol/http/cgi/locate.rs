//! Where in a path a program may be meant. What follows it is PATH_INFO
//! (RFC 3875 §4.1.5), so a program can stand in the middle of a path, and
//! only opening the candidates tells: the first one that is a file is it.
//!
//! Paths are decoded and normalised, without a slash at either end.

use crate::protocol::http::site::{Content, HostNumber, Map, RuleNumber};

/// A part of a path that may be a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Place {
    /// The rule that says so.
    pub(in super::super) rule: RuleNumber,
    /// So many octets of the path are the program's.
    pub(in super::super) end: usize,
}

/// The first candidate of `path` that ends behind `from`.
pub(in super::super) fn next(
    map: &Map,
    host: HostNumber,
    path: &[u8],
    from: usize,
) -> Option<Place> {
    if !map.has_programs(host) {
        return None;
    }
    let mut start = if from == 0 { 0 } else { from + 1 };
    while start < path.len() {
        let end = memchr::memchr(b'/', &path[start..]).map_or(path.len(), |at| start + at);
        let rule = map.find(host, &path[..end], false);
        if root_of(map, rule).is_some_and(|(_, skip)| end > skip) {
            return Some(Place { rule, end });
        }
        start = end + 1;
    }
    None
}

/// Root number of the programs of a rule, and what of a path does not count
/// below it; `None` where files are not run.
pub(super) fn root_of(map: &Map, rule: RuleNumber) -> Option<(usize, usize)> {
    let rule = map.rule(rule);
    match rule.content {
        Content::Files { root, skip } if rule.cgi => Some((root, skip)),
        Content::Files { .. } | Content::Redirect(_) | Content::Respond(_) | Content::Report(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::pretend;
    use super::*;

    fn all(path: &str) -> Vec<String> {
        let map = Map::new(&pretend::sites::site_of_programs());
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(place) = next(&map, Map::DEFAULT, path.as_bytes(), from) {
            from = place.end;
            let (root, skip) = root_of(&map, place.rule).expect("it may run");
            found.push(format!("{root}:{}", &path[skip..from]));
        }
        found
    }

    #[test]
    fn candidates_come_from_the_left() {
        for (path, expected) in [
            ("cgi-bin/env", &["1:env"][..]),
            ("cgi-bin/a/b", &["1:a", "1:a/b"]),
            ("cgi-bin", &[]),
            ("cgi-binx/a", &[]),
            ("x/cgi-bin/a", &[]),
            ("a.cgi", &["0:a.cgi"]),
            ("d/a.CGI/info/b.cgi", &["0:d/a.CGI", "0:d/a.CGI/info/b.cgi"]),
            (".cgi", &[]),
            ("a.cgix", &[]),
            ("", &[]),
        ] {
            assert_eq!(all(path), expected, "{path}");
        }
    }
}
