//! Where to connect to, as it is written.
//!
//! Owes one reading for all client commands; what is wrong with a text is said
//! with what would be right. Asks nobody: names are for [`super::resolve`].

use super::failure::{Cause, Failure};
use super::resolve::{literal, port as number};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A port of a host.
    Host {
        /// A name, or an address as it is written, without brackets:
        /// `example.org`, `127.0.0.1`, `fe80::1%eth0`.
        host: String,
        /// The port, 1 to 65535.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl Target {
    /// Reads `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// [`Cause::Usage`], with what would be right.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::unix(path);
        }
        match text.rsplit_once(':') {
            // `::1` would be host `:` and port 1.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                Self::host(host, port)
            }
            Some(_) => Err(usage(format!(
                "{text:?}: an IPv6 address with a port is written \"[{text}]:PORT\""
            ))),
            None => Err(usage(format!(
                "{text:?} has no port: write HOST PORT, HOST:PORT, [IPV6]:PORT or unix:PATH"
            ))),
        }
    }

    /// A host, perhaps in brackets, and a port by number or by name.
    ///
    /// # Errors
    /// [`Cause::Usage`], with what would be right.
    pub fn host(host: &str, port: &str) -> Result<Self, Failure> {
        let inside = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = inside.unwrap_or(host);
        if host.is_empty() || host.contains(['[', ']', '\0', ' ', '/']) {
            return Err(usage(format!("{host:?} is not the name of a host")));
        }
        if inside.is_some() && !host.contains(':') {
            return Err(usage(format!(
                "[{host}]: in brackets stands an IPv6 address"
            )));
        }
        Ok(Self::Host {
            host: host.to_owned(),
            port: number(port)?,
        })
    }

    /// A unix socket.
    ///
    /// # Errors
    /// [`Cause::Usage`] where it is none.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, Failure> {
        let path = path.into();
        if path.as_os_str().is_empty() {
            return Err(usage("unix:PATH: the path is missing"));
        }
        Ok(Self::Unix(path))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reads an address to connect from: `ADDR`, `ADDR:PORT` or `[IPV6]:PORT`; the
/// port is 0 where none is said.
///
/// # Errors
/// [`Cause::Usage`], with what would be right.
pub fn source(text: &str) -> Result<SocketAddr, Failure> {
    fn inside(text: &str) -> Option<&str> {
        text.strip_prefix('[')?.strip_suffix(']')
    }
    let alone = inside(text).unwrap_or(text);
    let with_port = || {
        let (host, port) = text.rsplit_once(':')?;
        let is_number = port.bytes().all(|octet| octet.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number)?;
        literal(inside(host).unwrap_or(host), port)
    };
    literal(alone, 0).or_else(with_port).ok_or_else(|| {
        usage(format!(
            "{text:?} is not an address to connect from: write 127.0.0.1, 127.0.0.1:5000, ::1 or [::1]:5000"
        ))
    })
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Cause::Usage, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_may_look_like() {
        for (text, shown) in [
            ("localhost:7777", "localhost:7777"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[fe80::1%lo]:80", "[fe80::1%lo]:80"),
            ("example.org:http", "example.org:80"),
            ("unix:/run/x:1", "unix:/run/x:1"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), shown);
        }
        let target = Target::host("::1", "7").unwrap();
        assert_eq!(target.to_string(), "[::1]:7");
        assert_eq!(target, Target::host("[::1]", "echo").unwrap());
    }

    #[test]
    fn a_bad_target_says_what_to_write() {
        for (text, part) in [
            ("", "has no port"),
            ("localhost", "has no port"),
            ("::1", "[::1]:PORT"),
            (":80", "not the name of a host"),
            ("a b:80", "not the name of a host"),
            ("[a]:80", "in brackets"),
            ("localhost:", "not a port"),
            ("localhost:0", "not a port"),
            ("localhost:65536", "not a port"),
            ("localhost:+80", "not a port"),
            ("localhost:nonesuch", "not a port"),
            ("unix:", "path is missing"),
        ] {
            let failure = Target::parse(text).unwrap_err();
            assert_eq!(failure.cause, Cause::Usage);
            assert!(failure.message.contains(part), "{text}: {failure}");
        }
    }

    #[test]
    fn where_to_connect_from() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1:0"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("[::1]:5000", "[::1]:5000"),
            ("[fe80::1%1]:5000", "[fe80::1%1]:5000"),
        ] {
            assert_eq!(source(text).unwrap().to_string(), shown);
        }
        for text in ["", "localhost", "127.0.0.1:", "127.0.0.1:+1", "[::1]:70000"] {
            assert_eq!(source(text).unwrap_err().cause, Cause::Usage, "{text}");
        }
    }
}
