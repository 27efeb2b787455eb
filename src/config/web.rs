//! The kinds of value that only the service http has: paths as a client asks
//! for them, names of hosts, fields of answers, and tables by such names.

use toml::Spanned;
use toml::de::DeValue;

use super::kind::{Kind, Shown, cannot_be, each, string, wrong_type};
use super::mistake::{Mistake, Span};
use super::site::{self, ERROR_PAGE_STATUSES, ErrorPage, Header};
use super::table::{Table, in_order};
use super::wording::{abridged, quote};

/// A table with a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<T> {
    pub(crate) name: String,
    /// The name in its header.
    pub(crate) span: Span,
    pub(crate) table: T,
}

/// Tables by name: `[pool.NAME.http.host."example.org"]`. What a name may be is
/// checked later.
pub(crate) struct ByName;

/// A value, or the word "off".
pub(crate) struct OrOff<K>(pub(crate) K);

/// The path of a file as a client asks for it.
pub(crate) struct UrlPath;

/// `names`: an array of names of hosts, or one.
pub(crate) struct HostNames;

/// `redirect`: where a client is sent.
pub(crate) struct Destination;

/// A status out of a few.
pub(crate) struct StatusOf(pub(crate) &'static [u16]);

/// `headers`: a table from names to values.
pub(crate) struct Headers;

/// `error_pages`: a table from statuses to paths.
pub(crate) struct ErrorPages;

/// The value of Content-Type, or a realm: visible ASCII and spaces.
pub(crate) struct Line(pub(crate) &'static str);

impl<T: Table> Kind<Vec<Named<T>>> for ByName {
    fn expected(&self) -> String {
        format!("tables {}", T::HEADER)
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<Named<T>>> {
        let expected = Kind::<Vec<Named<T>>>::expected(self);
        let Some(entries) = value.get_ref().as_table() else {
            found.push(wrong_type(name, value, &expected));
            return None;
        };
        let mut tables = Vec::new();
        for (key, value) in in_order(entries) {
            let own = key.get_ref().as_ref();
            let Some(entries) = value.get_ref().as_table() else {
                found.push(wrong_type(own, value, &expected));
                continue;
            };
            let place = format!("`{name}.{}`", abridged(own));
            tables.push(Named {
                name: own.to_owned(),
                span: key.span(),
                table: T::read(entries, &place, found),
            });
        }
        Some(tables)
    }

    fn show(&self, _: &Vec<Named<T>>) -> Shown {
        Shown::Apart
    }
}

impl<T, K: Kind<T>> Kind<Option<T>> for OrOff<K> {
    fn expected(&self) -> String {
        format!("{}, or \"off\"", self.0.expected())
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Option<T>> {
        if value.get_ref().as_str() == Some("off") {
            return Some(None);
        }
        self.0.read(name, value, found).map(Some)
    }

    fn show(&self, value: &Option<T>) -> Shown {
        match value {
            Some(value) => self.0.show(value),
            None => Shown::Value(quote("off")),
        }
    }
}

impl Kind<String> for UrlPath {
    fn expected(&self) -> String {
        "the path of a file as a client asks for it, such as \"/index.html\"".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<String> {
        let text = string(name, value, || self.expected(), found)?;
        let why = match site::check_path(text) {
            Ok(()) if !text.ends_with('/') => return Some(text.to_owned()),
            Ok(()) => format!("expected {}", self.expected()),
            Err(why) => why,
        };
        cannot_be(name, value, text, why, found)
    }

    fn show(&self, value: &String) -> Shown {
        Shown::Value(quote(value))
    }
}

impl Kind<Vec<String>> for HostNames {
    fn expected(&self) -> String {
        "an array of names such as [\"www.example.org\"]".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<String>> {
        each(name, value, &self.expected(), found, |text| {
            let cannot = |why| (format!("a host cannot be called {}", abridged(text)), why);
            site::host_name(text).map_err(cannot)
        })
    }

    fn show(&self, value: &Vec<String>) -> Shown {
        Shown::array(value.iter().map(|name| quote(name)))
    }
}

impl Kind<String> for Destination {
    fn expected(&self) -> String {
        "a path such as \"/new\", or a URI such as \"https://example.org/\"".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<String> {
        let text = string(name, value, || self.expected(), found)?;
        let why = match destination(text) {
            Ok(()) => return Some(text.to_owned()),
            Err("") => format!("expected {}", self.expected()),
            Err(why) => why.to_owned(),
        };
        cannot_be(name, value, text, why, found)
    }

    fn show(&self, value: &String) -> Shown {
        Shown::Value(quote(value))
    }
}

/// What a Location may say that we send (RFC 9110 §10.2.2). A second slash, or
/// a backslash, which browsers take for one, would begin the name of a host.
fn destination(text: &str) -> Result<(), &'static str> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['"', '<', '>']) {
        return Err("expected visible ASCII characters: percent-encode the others");
    }
    if text.contains(['\\', '#']) {
        return Err("expected no \\ and no #");
    }
    let lower = text.to_ascii_lowercase();
    let absolute = lower
        .strip_prefix("https://")
        .or_else(|| lower.strip_prefix("http://"));
    match absolute {
        Some(rest) => {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => (name, port),
                Some(_) | None => (host, "0"),
            };
            let is_port = !port.is_empty() && port.parse::<u16>().is_ok();
            if is_port && !name.starts_with('*') && site::host_name(name).is_ok() {
                Ok(())
            } else {
                Err("expected the name of a host behind the //")
            }
        }
        None if text.starts_with("//") => {
            Err("two slashes begin the name of a host: expected one, or https://")
        }
        None if text.starts_with('/') => Ok(()),
        None => Err(""),
    }
}

impl Kind<u16> for StatusOf {
    fn expected(&self) -> String {
        let numbers: Vec<String> = self.0.iter().map(u16::to_string).collect();
        format!("one of {}", numbers.join(", "))
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<u16> {
        let Some(written) = value.get_ref().as_integer() else {
            found.push(wrong_type(name, value, &self.expected()));
            return None;
        };
        let status = u16::from_str_radix(written.as_str(), written.radix()).ok();
        let status = status.filter(|status| self.0.contains(status));
        if status.is_none() {
            let message = format!("`{name}` cannot be {}", written.as_str());
            let expected = format!("expected {}", self.expected());
            found.push(Mistake::error(value.span(), message, expected));
        }
        status
    }

    fn show(&self, value: &u16) -> Shown {
        Shown::Value(value.to_string())
    }
}

impl Kind<Vec<Header>> for Headers {
    fn expected(&self) -> String {
        "a table of names and values such as { \"Cache-Control\" = \"max-age=3600\" }".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<Header>> {
        let Some(entries) = value.get_ref().as_table() else {
            found.push(wrong_type(name, value, &self.expected()));
            return None;
        };
        let before = found.len();
        let mut headers: Vec<Header> = Vec::new();
        for (key, value) in in_order(entries) {
            let field = key.get_ref().as_ref();
            let same = |header: &Header| header.name.eq_ignore_ascii_case(field);
            let why = if headers.iter().any(same) {
                Some("it stands here twice")
            } else {
                why_no_field(field)
            };
            if let Some(why) = why {
                let message = format!("the field {} cannot be set", abridged(field));
                found.push(Mistake::error(key.span(), message, why));
            }
            let text = string(field, value, || "the field's value".to_owned(), found);
            let Some(text) = text else { continue };
            if !is_field_value(text) {
                let message = format!("{} is no value of a field", abridged(text));
                let expected = "expected visible ASCII characters with spaces between";
                found.push(Mistake::error(value.span(), message, expected));
            }
            headers.push(Header {
                name: field.to_owned(),
                value: text.to_owned(),
            });
        }
        (found.len() == before).then_some(headers)
    }

    fn show(&self, value: &Vec<Header>) -> Shown {
        let pair = |header: &Header| format!("{} = {}", quote(&header.name), quote(&header.value));
        show_pairs(value.iter().map(pair))
    }
}

/// Fields that say how the message is framed, or that are worked out for each
/// answer. In lower case, sorted.
const OURS: &[&str] = &[
    "accept-ranges",
    "age",
    "allow",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "keep-alive",
    "last-modified",
    "location",
    "proxy-connection",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "www-authenticate",
    "x-request-id",
];

fn why_no_field(name: &str) -> Option<&'static str> {
    // tchar (RFC 9110 §5.6.2).
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(is_token) {
        return Some("expected 1 to 64 letters, digits and hyphens");
    }
    let lower = name.to_ascii_lowercase();
    OURS.binary_search(&lower.as_str())
        .is_ok()
        .then_some("it is worked out for each answer")
}

/// field-value (RFC 9110 §5.5), without what is obsolete; empty is fine.
fn is_field_value(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t');
    text.len() <= 4096 && text.bytes().all(inside) && text.trim_ascii() == text
}

impl Kind<Vec<ErrorPage>> for ErrorPages {
    fn expected(&self) -> String {
        "a table of statuses and paths such as { 404 = \"/404.html\" }".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<ErrorPage>> {
        let Some(entries) = value.get_ref().as_table() else {
            found.push(wrong_type(name, value, &self.expected()));
            return None;
        };
        let before = found.len();
        let mut pages = Vec::new();
        for (key, value) in in_order(entries) {
            let text = key.get_ref().as_ref();
            let status = text.parse().ok();
            let status = status.filter(|status| ERROR_PAGE_STATUSES.contains(status));
            if status.is_none() {
                let message = format!("there is no page for {}", abridged(text));
                let expected = StatusOf(ERROR_PAGE_STATUSES).expected();
                let expected = format!("expected {expected}");
                found.push(Mistake::error(key.span(), message, expected));
            }
            if let (Some(path), Some(status)) = (UrlPath.read(text, value, found), status) {
                pages.push(ErrorPage { status, path });
            }
        }
        (found.len() == before).then_some(pages)
    }

    fn show(&self, value: &Vec<ErrorPage>) -> Shown {
        let pair = |page: &ErrorPage| format!("{} = {}", page.status, quote(&page.path));
        show_pairs(value.iter().map(pair))
    }
}

fn show_pairs(pairs: impl Iterator<Item = String>) -> Shown {
    let pairs: Vec<String> = pairs.collect();
    Shown::Value(if pairs.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", pairs.join(", "))
    })
}

impl Kind<String> for Line {
    fn expected(&self) -> String {
        format!("{} of visible ASCII characters with spaces between", self.0)
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<String> {
        let text = string(name, value, || self.expected(), found)?;
        if !text.is_empty() && is_field_value(text) {
            return Some(text.to_owned());
        }
        let expected = format!("expected {}", self.expected());
        cannot_be(name, value, text, expected, found)
    }

    fn show(&self, value: &String) -> Shown {
        Shown::Value(quote(value))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mistakes<T>(kind: &impl Kind<T>, text: &str) -> Vec<String> {
        let value = DeValue::parse(text).unwrap();
        let mut found = Vec::new();
        let read = kind.read("key", &value, &mut found);
        assert_eq!(read.is_none(), !found.is_empty(), "{text}");
        found
            .into_iter()
            .map(|m| format!("{}; {}", m.message, m.expected))
            .collect()
    }

    /// Each of these texts is refused, for its reason.
    fn assert_refused<T>(kind: &impl Kind<T>, wrong: &[(&str, &str)]) {
        for (text, why) in wrong {
            let found = mistakes(kind, text);
            assert!(found[0].contains(&format!("; {why}")), "{text}: {found:?}");
        }
    }

    #[test]
    fn the_list_of_our_own_fields_is_sorted() {
        assert!(OURS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn destinations() {
        for text in [
            "'/new'",
            "'/'",
            "'/a?b=c'",
            "'https://example.org'",
            "'HTTP://example.org:8080/x'",
            "'https://[::1]:8443/'",
            "'https://[::1]'",
            "'http://192.0.2.1/'",
        ] {
            assert_eq!(mistakes(&Destination, text), [""; 0], "{text}");
        }
        let wrong = [
            ("'//evil.example'", "two slashes begin"),
            ("'/\\evil.example'", "expected no \\"),
            ("'new'", "expected a path such as"),
            ("''", "expected a path such as"),
            ("'javascript:x'", "expected a path such as"),
            ("'https:///x'", "expected the name of a host"),
            ("'https://u@h/'", "expected the name of a host"),
            ("'https://h:/'", "expected the name of a host"),
            ("'https://h:99999/'", "expected the name of a host"),
            ("'https://*.h/'", "expected the name of a host"),
            ("'/a b'", "expected visible ASCII"),
            ("\"/a\\r\\nX: y\"", "expected visible ASCII"),
            ("'/ä'", "expected visible ASCII"),
            ("'/a#b'", "expected no \\ and no #"),
        ];
        assert_refused(&Destination, &wrong);
    }

    #[test]
    fn fields_are_fields_and_not_ours() {
        assert_eq!(mistakes(&Headers, "{ A-b = 'c d', X = '' }"), [""; 0]);
        let wrong = [
            ("{ Content-Length = '5' }", "it is worked out"),
            ("{ X-Request-ID = '5' }", "it is worked out"),
            ("{ 'a b' = '5' }", "expected 1 to 64 letters"),
            ("{ \"a\\r\\nb\" = '5' }", "expected 1 to 64 letters"),
            ("{ '' = '5' }", "expected 1 to 64 letters"),
            ("{ X = \"a\\nb\" }", "expected visible ASCII"),
            ("{ X = ' a' }", "expected visible ASCII"),
            ("{ X = 'ä' }", "expected visible ASCII"),
            ("{ X = 5 }", "expected the field's value"),
            ("{ X = '1', x = '2' }", "it stands here twice"),
            ("'X: y'", "expected a table of names"),
        ];
        assert_refused(&Headers, &wrong);
    }

    #[test]
    fn error_pages_and_fallbacks_are_files() {
        assert_eq!(mistakes(&ErrorPages, "{ 404 = '/404.html' }"), [""; 0]);
        let wrong = [
            ("{ 200 = '/x' }", "expected one of 401, 403"),
            ("{ x = '/x' }", "expected one of 401, 403"),
            ("{ 404 = 'x' }", "did you mean \"/x\"?"),
            ("{ 404 = '/x/' }", "expected the path of a file"),
            ("{ 404 = 1 }", "expected the path of a file"),
        ];
        assert_refused(&ErrorPages, &wrong);
        assert_eq!(mistakes(&OrOff(UrlPath), "'off'"), [""; 0]);
        assert_eq!(mistakes(&OrOff(UrlPath), "'/a'"), [""; 0]);
        assert_eq!(mistakes(&OrOff(UrlPath), "'no'").len(), 1);
    }

    #[test]
    fn statuses_lines_and_names() {
        assert_eq!(mistakes(&StatusOf(&[301]), "301"), [""; 0]);
        assert_eq!(mistakes(&StatusOf(&[301]), "0x12d"), [""; 0]);
        assert_eq!(mistakes(&StatusOf(&[301]), "200").len(), 1);
        assert_eq!(mistakes(&StatusOf(&[301]), "-1").len(), 1);
        assert_eq!(mistakes(&Line("a line"), "'a b'"), [""; 0]);
        assert_eq!(mistakes(&Line("a line"), "\"a\\nb\"").len(), 1);
        assert_eq!(mistakes(&HostNames, "['a', '*.b.c']"), [""; 0]);
        assert_eq!(mistakes(&HostNames, "['a b', 1]").len(), 2);
    }
}
