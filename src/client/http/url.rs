//! http:// addresses (RFC 3986, RFC 9110 §4.2.1): read, and resolved against
//! one another.
//!
//! What is typed is what is sent: a path keeps its dot segments and its empty
//! ones, because whoever tries a server wants to see what it makes of them.
//! Only what cannot stand in a request line at all is percent-encoded: spaces
//! and octets above 0x7F. A reference in a Location field is resolved as
//! RFC 3986 §5.2 says, dot segments included.

use std::fmt;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

/// The port of http:// (RFC 9110 §4.2.1).
const DEFAULT_PORT: u16 = 80;

/// An http:// address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    target: String,
    credentials: Option<String>,
}

/// Why a text is no address that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// TLS, which this program does not speak.
    #[error("`{0}` wants TLS, which is not built in yet: only http:// can be asked")]
    Tls(String),
    /// Another scheme than http.
    #[error("`{0}` is no http:// address")]
    Scheme(String),
    /// A control character somewhere in it.
    #[error("an address has no control characters: {0:?}")]
    Control(String),
    /// What stands for the host is none.
    #[error(
        "`{0}` is no host: a name of letters, digits, `-`, `.` and `_`, an address, or one of IPv6 in brackets was expected"
    )]
    Host(String),
    /// What stands for the port is none.
    #[error("`{0}` is no port: a number from 1 to 65535 was expected")]
    Port(String),
    /// `%` without two hexadecimal digits, or an octet that no text has, in
    /// what stands before `@`.
    #[error("what stands before `@` is no name and password")]
    Credentials,
}

impl Url {
    /// Reads what somebody typed; without a scheme it is http://.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let text = sendable(text.as_bytes())?;
        let rest = match scheme(&text) {
            Some((name, rest)) if rest.starts_with("//") => {
                check_scheme(name, &text)?;
                &rest[2..]
            }
            // `localhost:8080/x` has a port, and no scheme.
            Some(_) | None => text.strip_prefix("//").unwrap_or(&text),
        };
        Self::at_authority(rest)
    }

    /// The address that a Location field means (RFC 9110 §10.2.2), seen from
    /// this one. A fragment is dropped, and so are credentials of this one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn resolve(&self, reference: &[u8]) -> Result<Self, Mistake> {
        let reference = sendable(reference.trim_ascii())?;
        if let Some((name, rest)) = scheme(&reference) {
            check_scheme(name, &reference)?;
            let Some(rest) = rest.strip_prefix("//") else {
                return Err(Mistake::Host(String::new()));
            };
            return Ok(Self::at_authority(rest)?.without_dot_segments());
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Ok(Self::at_authority(rest)?.without_dot_segments());
        }
        let reference = without_fragment(&reference);
        let path = split_query(&self.target).0;
        let target = match reference.as_bytes().first() {
            None => self.target.clone(),
            Some(b'?') => format!("{path}{reference}"),
            Some(b'/') => reference.to_owned(),
            // What follows the last slash gives way (RFC 3986 §5.2.3).
            Some(_) => {
                let directory = path.rfind('/').map_or("/", |slash| &path[..=slash]);
                format!("{directory}{reference}")
            }
        };
        let resolved = Self {
            target,
            credentials: None,
            ..self.clone()
        };
        Ok(resolved.without_dot_segments())
    }

    /// As if there had been none.
    #[cfg(any(test, fuzzing))]
    pub(super) fn forget_credentials(&mut self) {
        self.credentials = None;
    }

    /// What follows `http://`.
    fn at_authority(rest: &str) -> Result<Self, Mistake> {
        let rest = without_fragment(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(decode(credentials)?), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place)?;
        Ok(Self {
            // A zone is written `%25lo` there, and `%lo` elsewhere (RFC 6874 §2).
            host: host.replacen("%25", "%", 1),
            port,
            target: match target {
                "" => String::from("/"),
                target if target.starts_with('?') => format!("/{target}"),
                target => target.to_owned(),
            },
            credentials,
        })
    }

    /// As RFC 3986 §5.2.4 removes them.
    fn without_dot_segments(mut self) -> Self {
        let (path, query) = split_query(&self.target);
        let mut kept: Vec<&str> = Vec::new();
        let mut segments = path.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            match segment {
                "." => {}
                ".." => {
                    kept.pop();
                }
                other => {
                    kept.push(other);
                    continue;
                }
            }
            // `/a/..` is a directory still.
            if is_last {
                kept.push("");
            }
        }
        self.target = format!("/{}{query}", kept.join("/"));
        self
    }

    /// The host: a name or an address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 1 to 65535.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as a request line has them; begins with `/`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// `name:password`, decoded, if the address has them.
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// The value of the Host field (RFC 9110 §7.2): brackets around an IPv6
    /// address, without its zone, and the port if it is not 80.
    pub fn authority(&self) -> String {
        let mut text = if self.host.contains(':') {
            let (address, _) = self.host.split_once('%').unwrap_or((&self.host, ""));
            format!("[{address}]")
        } else {
            self.host.clone()
        };
        if self.port != DEFAULT_PORT {
            text.push_str(&format!(":{}", self.port));
        }
        text
    }

    /// Whether what was meant for the one may be told the other: host and port
    /// are the same (RFC 9110 §4.3.1).
    pub fn is_same_origin(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// A name for a file: the last segment of the path as it is written, without
    /// leading dots; `None` if nothing is left. It has no slash and no control
    /// character, so that it cannot lead out of a directory.
    pub fn file_name(&self) -> Option<&str> {
        let path = split_query(&self.target).0;
        let name = path.rsplit('/').next()?.trim_start_matches('.');
        (!name.is_empty()).then_some(name)
    }
}

/// Without credentials: they are nobody's to read in a message.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.target)
    }
}

/// scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) (RFC 3986 §3.1), and what
/// follows its colon.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once(':')?;
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    (begins && name.bytes().all(inside)).then_some((name, rest))
}

fn check_scheme(name: &str, text: &str) -> Result<(), Mistake> {
    if name.eq_ignore_ascii_case("http") {
        Ok(())
    } else if name.eq_ignore_ascii_case("https") {
        Err(Mistake::Tls(text.to_owned()))
    } else {
        Err(Mistake::Scheme(text.to_owned()))
    }
}

/// The text with what a request line cannot have percent-encoded.
fn sendable(octets: &[u8]) -> Result<String, Mistake> {
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        match octet {
            b'!'..=b'~' => text.push(char::from(octet)),
            b' ' | 0x80.. => text.push_str(&format!("%{octet:02X}")),
            0..=0x1f | 0x7f => {
                let shown = String::from_utf8_lossy(octets).into_owned();
                return Err(Mistake::Control(shown));
            }
        }
    }
    Ok(text)
}

fn without_fragment(text: &str) -> &str {
    text.split('#').next().unwrap_or(text)
}

/// The path, and the query with its question mark.
fn split_query(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

fn decode(text: &str) -> Result<String, Mistake> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| Mistake::Credentials)?;
    if decoded.chars().any(char::is_control) {
        return Err(Mistake::Credentials);
    }
    Ok(decoded.into_owned())
}

/// Host and port; no port, or an empty one (RFC 3986 §3.2.3), is 80.
fn split_port(place: &str) -> Result<(&str, u16), Mistake> {
    let wrong = || Mistake::Host(place.to_owned());
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or_else(wrong)?;
        let address = inside
            .split_once('%')
            .map_or(inside, |(address, _)| address);
        address.parse::<Ipv6Addr>().map_err(|_| wrong())?;
        match after.strip_prefix(':') {
            Some(port) => (inside, port),
            None if after.is_empty() => (inside, ""),
            None => return Err(wrong()),
        }
    } else {
        place.split_once(':').unwrap_or((place, ""))
    };
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if host.is_empty() || (!place.starts_with('[') && !host.bytes().all(inside)) {
        return Err(wrong());
    }
    if port.is_empty() {
        return Ok((host, DEFAULT_PORT));
    }
    // `+80` would be a number, too.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|&number| digits && number > 0);
    let number = number.ok_or_else(|| Mistake::Port(port.to_owned()))?;
    Ok((host, number))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_sent() {
        for (typed, host, authority, target) in [
            ("http://a", "a", "a", "/"),
            ("a", "a", "a", "/"),
            ("HTTP://A.example:80/x", "A.example", "A.example", "/x"),
            (
                "localhost:8080/x?y#z",
                "localhost",
                "localhost:8080",
                "/x?y",
            ),
            ("http://a?q", "a", "a", "/?q"),
            ("http://a:/", "a", "a", "/"),
            ("http://a/../b/./c//d", "a", "a", "/../b/./c//d"),
            ("http://a/b c/é", "a", "a", "/b%20c/%C3%A9"),
            ("http://a/%zz|\"", "a", "a", "/%zz|\""),
            ("http://[::1]:8080/", "::1", "[::1]:8080", "/"),
            ("[fe80::1%25lo]/", "fe80::1%lo", "[fe80::1]", "/"),
            ("http://a/b@c:d", "a", "a", "/b@c:d"),
        ] {
            let url = Url::parse(typed).unwrap();
            assert_eq!(url.host(), host, "{typed}");
            assert_eq!(url.authority(), authority, "{typed}");
            assert_eq!(url.target(), target, "{typed}");
            assert_eq!(url.credentials(), None, "{typed}");
        }
    }

    #[test]
    fn credentials_are_read_and_never_shown() {
        let url = Url::parse("http://u%40x:p%3Aq@a:81/").unwrap();
        assert_eq!(url.credentials(), Some("u@x:p:q"));
        assert_eq!(url.to_string(), "http://a:81/");
        assert_eq!(Url::parse("http://u%0d:p@a/"), Err(Mistake::Credentials));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (typed, expected) in [
            ("https://a/", "Tls"),
            ("HTTPS://a/", "Tls"),
            ("ftp://a/", "Scheme"),
            ("http://", "Host"),
            ("", "Host"),
            ("http:///x", "Host"),
            ("http://a_b$/", "Host"),
            ("http://bücher.example/", "Host"),
            ("http://[::1", "Host"),
            ("http://[::1]x", "Host"),
            ("http://[1.2.3.4]/", "Host"),
            ("http://::1/", "Host"),
            ("http://a:0/", "Port"),
            ("http://a:65536/", "Port"),
            ("http://a:+80/", "Port"),
            ("http://a:x/", "Port"),
            ("http://a/\r\nX: y", "Control"),
            ("http://a/\0", "Control"),
        ] {
            let mistake = Url::parse(typed).unwrap_err();
            let name = format!("{mistake:?}");
            assert!(name.starts_with(expected), "{typed:?}: {name}");
        }
    }

    /// The examples of RFC 3986 §5.4, as far as they are of http and sendable.
    #[test]
    fn references_are_resolved() {
        let base = Url::parse("http://a/b/c/d;p?q").unwrap();
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("http://b:81/x/../y?z", "http://b:81/y?z"),
            ("HTTP://b", "http://b/"),
            (" /a b ", "http://a/a%20b"),
        ] {
            let resolved = base.resolve(reference.as_bytes()).unwrap();
            assert_eq!(resolved.to_string(), expected, "{reference:?}");
        }
        for (reference, expected) in [
            ("https://a/", "Tls"),
            ("mailto:x", "Scheme"),
            ("http:g", "Host"),
            ("//", "Host"),
            ("/a\tb", "Control"),
        ] {
            let name = format!("{:?}", base.resolve(reference.as_bytes()).unwrap_err());
            assert!(name.starts_with(expected), "{reference:?}: {name}");
        }
        let raw = base.resolve(b"/\xe4").unwrap();
        assert_eq!(raw.target(), "/%E4");
        let secret = Url::parse("http://u:p@a/").unwrap();
        assert_eq!(secret.resolve(b"/x").unwrap().credentials(), None);
    }

    #[test]
    fn a_file_name_stays_in_its_directory() {
        for (typed, expected) in [
            ("http://a/b/c.iso?x/y", Some("c.iso")),
            ("http://a/", None),
            ("http://a/b/", None),
            ("http://a/..", None),
            ("http://a/.bashrc", Some("bashrc")),
            ("http://a/x%2Fy", Some("x%2Fy")),
        ] {
            assert_eq!(Url::parse(typed).unwrap().file_name(), expected, "{typed}");
        }
    }
}
