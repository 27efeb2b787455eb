//! Request targets (RFC 9112 §3.2) and the way from a target to a path.
//!
//! The path that comes out is relative and NUL-free, and its segments are
//! neither empty nor `.` nor `..`. Percent-encoding is taken off before the
//! dot segments are, so there is one path for all that comes later: what is
//! checked is what is opened. `\` is a byte like any other.

use super::clause::Clause;
use super::host;
use super::request::Method;
use super::status::Refusal;

/// What the request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// origin-form, or absolute-form with its authority taken off.
    Path {
        /// Begins with `/`, still encoded; `/` where the target had none.
        path: &'a [u8],
        /// What follows `?`, as sent.
        query: Option<&'a [u8]>,
        /// The authority of an absolute-form, which counts instead of Host
        /// (RFC 9112 §3.2.2).
        authority: Option<host::Authority<'a>>,
        /// It is an https URI: only for a connection that is secured (RFC 9110
        /// §4.2.2).
        secured: bool,
    },
    /// authority-form, of CONNECT alone.
    Authority,
    /// `*`, of OPTIONS alone.
    Server,
}

/// A path below the root, as written by [`resolve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// It ended with a slash or a dot segment: a directory was meant.
    pub(super) directory: bool,
    /// A segment begins with a dot; `.well-known` in the first place does not count.
    pub(super) hidden: bool,
}

/// Refuses octets that no target can have. `#` begins a fragment, which is
/// never sent (RFC 9110 §7.1).
pub(super) fn check_octets(raw: &[u8]) -> Result<(), Refusal> {
    if raw
        .iter()
        .all(|&byte| byte.is_ascii_graphic() && byte != b'#')
    {
        Ok(())
    } else {
        Err(Refusal::bad(Clause::TargetOctets))
    }
}

/// Tells the four forms apart; the octets were checked.
pub(super) fn parse(method: Method, raw: &[u8]) -> Result<Target<'_>, Refusal> {
    if method == Method::Connect {
        return match host::parse(raw) {
            Some(authority) if authority.port.is_some() && !authority.host.is_empty() => {
                Ok(Target::Authority)
            }
            Some(_) | None => Err(Refusal::bad(Clause::AuthorityForm)),
        };
    }
    if raw.starts_with(b"/") {
        let (path, query) = split_query(raw);
        return Ok(Target::Path {
            path,
            query,
            authority: None,
            secured: false,
        });
    }
    if raw == b"*" {
        return if method == Method::Options {
            Ok(Target::Server)
        } else {
            Err(Refusal::bad(Clause::AsteriskForm))
        };
    }
    parse_absolute(method, raw)
}

fn parse_absolute(method: Method, raw: &[u8]) -> Result<Target<'_>, Refusal> {
    let plain = strip_scheme(raw, b"http://");
    let secured = plain.is_none();
    let rest = plain
        .or_else(|| strip_scheme(raw, b"https://"))
        .ok_or(Refusal::bad(Clause::TargetForm))?;
    let end = rest
        .iter()
        .position(|&byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let authority = host::parse(authority)
        .filter(|authority| !authority.host.is_empty())
        .ok_or(Refusal::bad(Clause::TargetAuthority))?;
    // RFC 9112 §3.2.4: a proxy had made this an asterisk.
    if method == Method::Options && rest.is_empty() && !secured {
        return Ok(Target::Server);
    }
    let (path, query) = split_query(rest);
    Ok(Target::Path {
        path: if path.is_empty() { b"/" } else { path },
        query,
        authority: Some(authority),
        secured,
    })
}

fn strip_scheme<'a>(raw: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = raw.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn split_query(raw: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', raw) {
        Some(mark) => (&raw[..mark], Some(&raw[mark + 1..])),
        None => (raw, None),
    }
}

/// Decodes and normalises `path` and appends the result to `out`, without a
/// slash at either end; the root is empty.
pub(super) fn resolve(path: &[u8], out: &mut Vec<u8>) -> Result<Resolved, Refusal> {
    let start = out.len();
    // Where the segment under way begins: at `start` or just after a slash.
    let mut segment = start;
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = if byte == b'%' {
            decode(tail)?
        } else {
            (byte, tail)
        };
        rest = tail;
        if byte == b'/' {
            segment = end_segment(out, start, segment);
        } else {
            out.push(byte);
        }
    }
    let directory = matches!(&out[segment..], b"" | b"." | b"..");
    end_segment(out, start, segment);
    if out.len() > start {
        out.pop();
    }
    let hidden = is_hidden(&out[start..]);
    Ok(Resolved { directory, hidden })
}

/// Settles the segment that begins at `segment` and answers where the next one
/// begins. Empty and `.` vanish; `..` takes its predecessor along and stops at
/// the root (RFC 3986 §5.2.4).
fn end_segment(out: &mut Vec<u8>, start: usize, segment: usize) -> usize {
    match &out[segment..] {
        b"" => {}
        b"." => out.truncate(segment),
        b".." => {
            let parent = out[start..segment.max(start + 1) - 1]
                .iter()
                .rposition(|&byte| byte == b'/')
                .map_or(start, |slash| start + slash + 1);
            out.truncate(parent);
        }
        [..] => out.push(b'/'),
    }
    out.len()
}

/// The octet that two hexadecimal digits stand for. Those that no name can
/// have, or that could end a line elsewhere, are refused.
fn decode(digits: &[u8]) -> Result<(u8, &[u8]), Refusal> {
    let [high, low, rest @ ..] = digits else {
        return Err(Refusal::bad(Clause::PercentEncoding));
    };
    let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
        return Err(Refusal::bad(Clause::PercentEncoding));
    };
    match high << 4 | low {
        0 | b'\r' | b'\n' => Err(Refusal::bad(Clause::EncodedControl)),
        byte => Ok((byte, rest)),
    }
}

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// RFC 8615 puts `/.well-known/` into the open; below it the rule holds again.
fn is_hidden(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/')
        .enumerate()
        .any(|(at, name)| name.starts_with(b".") && !(at == 0 && name == b".well-known"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolved(path: &str) -> (String, bool) {
        let mut out = b"kept|".to_vec();
        let resolved = resolve(path.as_bytes(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        (
            text.strip_prefix("kept|").unwrap().to_owned(),
            resolved.directory,
        )
    }

    #[test]
    fn paths_are_normalised_after_decoding() {
        // Rules 108 and 110.
        for (path, expected, directory) in [
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/b", "a/b", false),
            ("//a", "a", false),
            ("///", "", true),
            ("/./a", "a", false),
            ("/a/../b", "b", false),
            ("/a/b/../../c", "c", false),
            ("/a/b/..", "a", true),
            ("/a/.", "a", true),
            ("/..", "", true),
            ("/../../etc/passwd", "etc/passwd", false),
            ("/%2e%2e/x", "x", false),
            ("/..%2fx", "x", false),
            ("/a%2F%2e%2e%2F%2e%2e%2Fx", "x", false),
            ("/a/..\\x", "a/..\\x", false),
            ("/a%20b", "a b", false),
            ("/%41%7e", "A~", false),
            ("/...", "...", false),
            ("/..a/b..", "..a/b..", false),
            ("/%252e", "%2e", false),
        ] {
            assert_eq!(
                resolved(path),
                (expected.to_owned(), directory),
                "of {path}"
            );
        }
    }

    #[test]
    fn bad_encodings_are_refused() {
        // Rule 109.
        for path in ["/%", "/%4", "/%zz", "/%4g", "/%00", "/a%0d%0ab", "/%0A"] {
            assert!(resolve(path.as_bytes(), &mut Vec::new()).is_err(), "{path}");
        }
    }

    #[test]
    fn dotfiles_are_told_apart() {
        for (path, hidden) in [
            ("/a.b", false),
            ("/.htaccess", true),
            ("/a/.git/config", true),
            ("/%2egit", true),
            ("/.well-known/security.txt", false),
            ("/.well-known/.x", true),
            ("/a/.well-known/x", true),
            ("/...", true),
            ("/./a", false),
        ] {
            let resolved = resolve(path.as_bytes(), &mut Vec::new()).unwrap();
            assert_eq!(resolved.hidden, hidden, "{path}");
        }
    }

    #[test]
    fn the_four_forms() {
        let get = Method::Get;
        let of = |secured: bool| {
            move |path: &'static str, query: Option<&'static str>, host: Option<&'static str>| {
                Ok(Target::Path {
                    path: path.as_bytes(),
                    query: query.map(str::as_bytes),
                    authority: host.map(|host| host::parse(host.as_bytes()).unwrap()),
                    secured,
                })
            }
        };
        let (path, secured) = (of(false), of(true));
        assert_eq!(parse(get, b"/a?b?c"), path("/a", Some("b?c"), None));
        assert_eq!(parse(get, b"/?"), path("/", Some(""), None));
        assert_eq!(parse(get, b"http://a/x"), path("/x", None, Some("a")));
        assert_eq!(parse(get, b"HTTPS://a:1"), secured("/", None, Some("a:1")));
        assert_eq!(parse(get, b"http://a?q"), path("/", Some("q"), Some("a")));
        let options = Method::Options;
        assert_eq!(parse(options, b"*"), Ok(Target::Server));
        assert_eq!(parse(options, b"http://a:80"), Ok(Target::Server));
        assert_eq!(parse(options, b"http://a/"), path("/", None, Some("a")));
        assert_eq!(parse(options, b"http://a?"), path("/", Some(""), Some("a")));
        assert_eq!(parse(Method::Connect, b"h:443"), Ok(Target::Authority));
        for (method, raw) in [
            (get, &b"*"[..]),
            (get, b"!"),
            (get, b""),
            (get, b"a/b"),
            (get, b"h:443"),
            (get, b"http:///x"),
            (get, b"http://u@a/x"),
            (get, b"ftp://a/x"),
            (Method::Connect, b"h"),
            (Method::Connect, b"/"),
            (Method::Connect, b"/a"),
            (Method::Connect, b":443"),
        ] {
            assert!(parse(method, raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn octets_that_no_target_has() {
        // Rule 19.
        for raw in [&b"/#f"[..], b"/\x80", b"/\x7f", b"/\t", b"/a b", b"/\0"] {
            assert!(check_octets(raw).is_err(), "{raw:?}");
        }
        assert!(check_octets(b"/~a|b\\\"<>^`{}?[]").is_ok());
    }

    proptest! {
        #[test]
        fn no_path_leads_out(path in "(/|[.]|%2[eEfF]|a|%41|\\\\|%5c){0,24}") {
            let mut out = Vec::new();
            resolve(format!("/{path}").as_bytes(), &mut out).unwrap();
            prop_assert!(!out.contains(&0));
            if !out.is_empty() {
                for segment in out.split(|&byte| byte == b'/') {
                    prop_assert!(!segment.is_empty() && segment != b"." && segment != b"..");
                }
            }
        }

        #[test]
        fn a_resolved_path_resolves_to_itself(path in "(/|[.]|a|b){0,24}") {
            let (once, directory) = resolved(&format!("/{path}"));
            let again = if directory && !once.is_empty() {
                format!("/{once}/")
            } else {
                format!("/{once}")
            };
            prop_assert_eq!(resolved(&again), (once, directory));
        }
    }
}
