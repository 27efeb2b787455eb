//! Paths and names on their way in and out: targets, listings, log lines.

use percent_encoding::{percent_decode, percent_encode};

use super::super::listing::{End, Form, Listing, Need};
use super::super::request::Method;
use super::super::target::{self, Target};
use super::super::{access, host, redirect};
use super::{client, shown};
use crate::config::LineFormat;
use crate::protocol::{Entry, FileKind, Output};

/// A request target: what it comes to lies below the root, and is what it comes
/// to itself.
pub fn target(octets: &[u8]) {
    if target::check_octets(octets).is_err() {
        assert!(
            octets
                .iter()
                .any(|byte| !byte.is_ascii_graphic() || *byte == b'#')
        );
        return;
    }
    for method in [Method::Get, Method::Options, Method::Connect] {
        match target::parse(method, octets) {
            Ok(Target::Path {
                path,
                query,
                authority,
                secured,
            }) => {
                let https = octets.get(..8).unwrap_or_default();
                assert_eq!(secured, https.eq_ignore_ascii_case(b"https://"));
                if let Some(authority) = authority {
                    assert!(!authority.host.is_empty());
                    let again = match authority.port {
                        Some(port) => [authority.host, format!(":{port}").as_bytes()].concat(),
                        None => authority.host.to_vec(),
                    };
                    assert_eq!(host::parse(&again), Some(authority));
                    assert!(!again.iter().any(|byte| b"/@?#\\\"<> ".contains(byte)));
                }
                assert!(query.is_none_or(|query| octets.ends_with(query)));
                assert!(
                    path.starts_with(b"/") && !path.contains(&b'?'),
                    "{}",
                    shown(path)
                );
                assert_resolved(path);
            }
            Ok(Target::Authority) => assert_eq!(method, Method::Connect),
            Ok(Target::Server) => {
                let absolute = octets.get(..7).unwrap_or_default();
                assert!(octets == b"*" || absolute.eq_ignore_ascii_case(b"http://"));
                assert_eq!(method, Method::Options);
            }
            Err(refusal) => assert_eq!(refusal.status.code(), 400),
        }
    }
}

fn assert_resolved(path: &[u8]) {
    let mut out = b"kept|".to_vec();
    let Ok(resolved) = target::resolve(path, &mut out) else {
        assert!(path.contains(&b'%'), "{}", shown(path));
        return;
    };
    let found = out.strip_prefix(b"kept|").expect("what was there stays");
    let segments: Vec<&[u8]> = found.split(|&byte| byte == b'/').collect();
    if !found.is_empty() {
        for segment in &segments {
            assert!(!matches!(*segment, b"" | b"." | b".."), "{}", shown(found));
        }
    }
    assert!(
        !found.iter().any(|byte| b"\0\r\n".contains(byte)),
        "{}",
        shown(found)
    );
    assert!(found.len() <= path.len());
    let dotted = segments.iter().any(|segment| segment.starts_with(b"."));
    assert!(dotted || !resolved.hidden);
    assert!(!dotted || resolved.hidden || segments[0] == b".well-known");
    // As it stands in a Location, and comes back from there.
    let encoded = percent_encode(found, redirect::PATH).to_string();
    assert!(
        encoded
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#\\\"<>".contains(&byte))
    );
    let slash = if resolved.directory && !found.is_empty() {
        "/"
    } else {
        ""
    };
    let mut again = Vec::new();
    let same = target::resolve(format!("/{encoded}{slash}").as_bytes(), &mut again);
    assert_eq!((same, again.as_slice()), (Ok(resolved), found), "{encoded}");
}

/// Text of a client on its way into a log: it stays within its quotes, and can
/// be had back.
pub fn escape(octets: &[u8]) {
    let mut out = b"\"".to_vec();
    access::write_line(LineFormat::Combined, b"", octets, &mut out);
    let text = &out[1..];
    let fits = |byte: &u8| *byte == b' ' || byte.is_ascii_graphic() && *byte != b'"';
    assert!(text.iter().all(fits), "{}", shown(text));
    assert!(text.len() <= 4 * octets.len());
    let mut plain = Vec::new();
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = match (byte, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("two digits");
                (u8::from_str_radix(digits, 16).expect("two digits"), tail)
            }
            (byte, tail) => (byte, tail),
        };
        plain.push(byte);
        rest = tail;
    }
    assert_eq!(plain, octets);
    let mut json = b"{".to_vec();
    access::write_fields(LineFormat::Json, Some(octets), None, &mut json);
    json.push(b'}');
    let parsed: serde_json::Value = serde_json::from_slice(&json).expect("an object");
    assert!(parsed["referer"].is_string() && parsed["user_agent"].is_null());
    assert!(json.iter().all(|byte| !byte.is_ascii_control()));
    // What is too long for its receiver is an object all the same.
    let short = crate::escape::shortened(&json, 80);
    assert!(short.len() <= 80 && serde_json::from_slice::<serde_json::Value>(&short).is_ok());
    out.push(b'"');
    let short = crate::escape::shortened(&out, 60);
    assert!(short.len() <= 60 && short.iter().filter(|byte| **byte == b'"').count() == 2);
}

/// A query, the path of a directory, and the names in it, each ended by NUL:
/// the names get into the page as names, and nothing else does.
pub fn listing(octets: &[u8]) {
    let mut parts = octets.split(|&byte| byte == 0);
    let query = parts.next().unwrap_or_default();
    let path = parts.next().unwrap_or_default();
    let names: Vec<&[u8]> = parts.filter(|name| !name.is_empty()).collect();
    let mut expected: Vec<Vec<u8>> = names
        .iter()
        .filter(|name| !name.iter().any(|octet| b"/\r\n".contains(octet)))
        .filter(|name| !name.starts_with(b".") || path.is_empty() && **name == b".well-known")
        .map(|name| name.to_vec())
        .collect();
    expected.sort_unstable();
    for end in [End::Chunked, End::Close] {
        let page = written(Form::Html, end, path, query, &names);
        let text = String::from_utf8(page).expect("a page is UTF-8");
        assert_eq!(links(&text), expected, "{text}");
        let page = written(Form::Json, end, path, query, &names);
        let value: serde_json::Value = serde_json::from_slice(&page).expect("it is JSON");
        assert_eq!(value["sorted"], true);
        let entries = value["entries"].as_array().expect("a list of entries");
        let hrefs = entries
            .iter()
            .map(|entry| entry["href"].as_str().unwrap_or_default());
        let mut found: Vec<Vec<u8>> = hrefs.map(name_of).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

/// What is written of a directory whose every second entry is one itself.
fn written(form: Form, end: End, path: &[u8], query: &[u8], names: &[&[u8]]) -> Vec<u8> {
    let mut listing = Listing::new(form, end, false, path, query);
    let mut output = Output::default();
    let entries = names.iter().enumerate().map(|(at, name)| Entry {
        name: name.to_vec(),
        kind: if at % 2 == 0 {
            FileKind::File
        } else {
            FileKind::Directory
        },
        length: at as u64,
        mtime: -(at as i64),
    });
    let mut need = listing.take(&mut entries.collect(), true);
    assert_eq!(need, Need::Entries);
    need = listing.take(&mut Vec::new(), false);
    while need == Need::Room {
        need = listing.write(&mut output);
    }
    assert_eq!(need, Need::Nothing);
    let mut content = Vec::new();
    match end {
        End::Chunked => {
            let rest = client::read_chunks(output.unsent(), &mut content);
            assert_eq!(rest, Some(&b""[..]));
        }
        End::Close => content.extend_from_slice(output.unsent()),
    }
    assert_eq!(content.len() as u64, listing.octets());
    content
}

/// The names that the rows of a page link to, sorted.
fn links(text: &str) -> Vec<Vec<u8>> {
    let title = between(text, "<title>", "</title>");
    assert!(!title.contains(['<', '>', '"', '\'']), "{title}");
    assert!(!text.contains("<script"), "{text}");
    let (_, body) = text.split_once("<tbody>\n").expect("a page has a table");
    let mut names = Vec::new();
    for line in body.lines().filter(|line| line.starts_with("<tr>")) {
        let href = between(line, "<a href=\"", "\">");
        let shown = between(line, "\">", "</a>");
        assert!(!shown.contains(['<', '>', '"', '\'']), "{line}");
        assert_eq!(line.matches('<').count(), 10, "{line}");
        if href != "../" {
            names.push(name_of(href));
        }
    }
    names.sort_unstable();
    names
}

/// What stands between two marks, the first of each.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).expect("the first mark");
    let (found, _) = rest.split_once(end).expect("the second mark");
    found
}

/// The name behind a link, which leads nowhere but below the directory.
fn name_of(href: &str) -> Vec<u8> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%-._~/".contains(&byte);
    assert!(href.bytes().all(plain), "{href}");
    let name = href.strip_suffix('/').unwrap_or(href);
    assert!(!name.contains('/') && name != "..", "{href}");
    percent_decode(name.as_bytes()).collect()
}
