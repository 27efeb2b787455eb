//! Addresses as they are written, and which of them exclude each other.
//!
//! Owes one reading for the file and for `--listen`. Never asks a resolver: a
//! server whose listeners depend on DNS does not start after a power cut.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::{Listen, SocketKind};

/// The permission bits of a unix socket when nothing else is said: everyone may
/// connect, as with TCP.
pub(crate) const UNIX_MODE: u32 = 0o666;

/// What [`parse_listen`] takes, for messages.
pub(crate) const EXPECTED: &str = "expected \"127.0.0.1:8080\", \"[::1]:8080\", \":8080\", \"localhost:8080\", \"udp:127.0.0.1:7\", \"unix:PATH\" or \"fd:NAME\"";

/// Reads an address to listen on: `127.0.0.1:8080`, `[::1]:8080`,
/// `localhost:8080` (which is 127.0.0.1), `unix:PATH`; `8080` and `:8080` are
/// 0.0.0.0, every IPv4 address of the machine. `udp:` before any of these that
/// have a port is UDP. `fd:NAME` is the sockets that the
/// service manager passes by this name (sd_listen_fds(3)), `fd:3` the one of this
/// number; with `udp:` before it those of them that take datagrams.
///
/// IPv6 sockets are v6only and unix sockets have mode 0666; a unix path is
/// returned as it was written.
///
/// # Errors
///
/// Says in words what is wrong with the text and what would be right.
pub fn parse_listen(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path);
    }
    if let Some(name) = text.strip_prefix("fd:") {
        return passed(name, SocketKind::Stream);
    }
    let v6only = true;
    if let Some(text) = text.strip_prefix("udp:") {
        if let Some(name) = text.strip_prefix("fd:") {
            return passed(name, SocketKind::Datagram);
        }
        return match internet(text) {
            Ok(address) => Ok(Listen::Udp { address, v6only }),
            Err(_) if text.starts_with("unix:") => {
                Err("UDP has an address and a port: write \"udp:127.0.0.1:7\"".to_owned())
            }
            Err(why) => Err(why),
        };
    }
    let address = internet(text)?;
    Ok(Listen::Tcp { address, v6only })
}

/// An address of the machine, with a port.
fn internet(text: &str) -> Result<SocketAddr, String> {
    let address = match text.rsplit_once(':') {
        None if is_number(text) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port(text)?)),
        Some(("", number)) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port(number)?)),
        Some(("localhost", number)) => SocketAddr::from((Ipv4Addr::LOCALHOST, port(number)?)),
        Some(_) | None => text.parse().map_err(|_| why_not(text))?,
    };
    if let IpAddr::V6(ip) = address.ip()
        && let Some(v4) = ip.to_ipv4_mapped()
    {
        let port = address.port();
        return Err(format!("an IPv4 address is written \"{v4}:{port}\""));
    }
    Ok(address)
}

/// Whether the kernel would refuse to have both, or they would share one name.
///
/// A wildcard takes every address of its family, and an IPv6 wildcard that is
/// not v6only takes IPv4 too (ipv6(7), IPV6_V6ONLY). Port 0 is a different port
/// each time.
pub(crate) fn clash(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Unix { path: a, .. }, Listen::Unix { path: b, .. }) => a == b,
        // A unit gives one name to all its sockets, of both kinds.
        (Listen::Fd { name: a, kind: x }, Listen::Fd { name: b, kind: y }) => a == b && x == y,
        // The ports of TCP and those of UDP are not the same.
        (Listen::Tcp { .. }, Listen::Udp { .. })
        | (Listen::Udp { .. }, Listen::Tcp { .. })
        | (Listen::Tcp { .. } | Listen::Udp { .. }, Listen::Unix { .. } | Listen::Fd { .. })
        | (Listen::Unix { .. }, Listen::Tcp { .. } | Listen::Udp { .. } | Listen::Fd { .. })
        | (Listen::Fd { .. }, Listen::Tcp { .. } | Listen::Udp { .. } | Listen::Unix { .. }) => {
            false
        }
        (
            Listen::Tcp {
                address: a,
                v6only: a_v6only,
            },
            Listen::Tcp {
                address: b,
                v6only: b_v6only,
            },
        )
        | (
            Listen::Udp {
                address: a,
                v6only: a_v6only,
            },
            Listen::Udp {
                address: b,
                v6only: b_v6only,
            },
        ) => {
            if a.port() != b.port() || a.port() == 0 {
                return false;
            }
            match (a, b) {
                (SocketAddr::V4(_), SocketAddr::V4(_)) => {
                    a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified()
                }
                (SocketAddr::V6(x), SocketAddr::V6(y)) => {
                    // A link-local address is another one on another interface.
                    (x.ip() == y.ip() && x.scope_id() == y.scope_id())
                        || x.ip().is_unspecified()
                        || y.ip().is_unspecified()
                }
                (SocketAddr::V6(_), SocketAddr::V4(_)) => !a_v6only && a.ip().is_unspecified(),
                (SocketAddr::V4(_), SocketAddr::V6(_)) => !b_v6only && b.ip().is_unspecified(),
            }
        }
    }
}

fn unix(path: &str) -> Result<Listen, String> {
    if path.is_empty() {
        return Err("the path is missing: write \"unix:/run/preforkd/echo.sock\"".to_owned());
    }
    if path.contains('\0') {
        return Err("a path holds no NUL".to_owned());
    }
    Ok(Listen::Unix {
        path: PathBuf::from(path),
        mode: UNIX_MODE,
    })
}

/// A name as FileDescriptorName= of systemd.socket(5) has it: up to 255 octets of
/// ASCII, without control characters and colons.
fn passed(name: &str, kind: SocketKind) -> Result<Listen, String> {
    if name.is_empty() || name.len() > 255 {
        return Err("write \"fd:NAME\", with a name of 1 to 255 characters".to_owned());
    }
    if !name.bytes().all(|b| matches!(b, b' '..=b'~') && b != b':') {
        return Err("a name of a descriptor is ASCII without control characters or `:`".to_owned());
    }
    let number = || name.parse::<i32>().is_ok_and(|number| number >= 3);
    if name.bytes().all(|b| b.is_ascii_digit()) && !number() {
        return Err("descriptors are passed from \"fd:3\" on".to_owned());
    }
    let name = name.to_owned();
    Ok(Listen::Fd { name, kind })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn port(text: &str) -> Result<u16, String> {
    // `u16::from_str` would take a leading plus.
    match text.parse() {
        Ok(port) if is_number(text) => Ok(port),
        Ok(_) | Err(_) => Err(format!("{text:?} is not a port: a port is 0 to 65535")),
    }
}

/// Why a text that is no socket address is none.
fn why_not(text: &str) -> String {
    if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) {
        return format!("the port is missing: write \"{text}:8080\"");
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return format!("an IPv6 address is written \"[{bare}]:8080\"");
    }
    if let Some((host, number)) = text.rsplit_once(':') {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.parse::<IpAddr>().is_ok() {
            return match port(number) {
                Err(error) => error,
                Ok(_) => format!("an IPv6 address is written \"[{host}]:{number}\""),
            };
        }
    }
    EXPECTED.to_owned() + "; names are not looked up"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_may_look_like() {
        for (text, shown) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:80", "[::1]:80"),
            ("[fe80::1%2]:80", "[fe80::1%2]:80"),
            ("8080", "0.0.0.0:8080"),
            (":8080", "0.0.0.0:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("udp:0.0.0.0:7", "udp:0.0.0.0:7"),
            ("udp:7", "udp:0.0.0.0:7"),
            ("udp:[::1]:7", "udp:[::1]:7"),
            ("udp:localhost:7", "udp:127.0.0.1:7"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("unix:run/x:1", "unix:run/x:1"),
            ("fd:web", "fd:web"),
            ("fd:3", "fd:3"),
            ("udp:fd:dns", "udp:fd:dns"),
            ("udp:fd:3", "udp:fd:3"),
        ] {
            assert_eq!(parse_listen(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_bad_address_says_what_to_write() {
        for (text, part) in [
            ("", "expected"),
            ("127.0.0.1", "write \"127.0.0.1:8080\""),
            ("::1", "\"[::1]:8080\""),
            ("[::1]", "\"[::1]:8080\""),
            ("127.0.0.1:99999", "0 to 65535"),
            ("127.0.0.1:", "0 to 65535"),
            (":+80", "0 to 65535"),
            ("99999", "0 to 65535"),
            ("example.org:80", "names are not looked up"),
            ("[::ffff:127.0.0.1]:80", "\"127.0.0.1:80\""),
            ("udp:", "expected"),
            ("udp:0.0.0.0", "write \"0.0.0.0:8080\""),
            ("udp:unix:/a", "\"udp:127.0.0.1:7\""),
            ("udp:fd:", "1 to 255"),
            ("udp:fd:2", "from \"fd:3\" on"),
            ("udp:udp:7", "names are not looked up"),
            ("fd:", "1 to 255"),
            ("fd:a:b", "without control characters"),
            ("fd:\u{e9}", "ASCII"),
            ("fd:2", "from \"fd:3\" on"),
            ("fd:99999999999", "from \"fd:3\" on"),
            ("unix:", "path is missing"),
            ("unix:a\0b", "no NUL"),
        ] {
            let error = parse_listen(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn which_addresses_exclude_each_other() {
        let dual = |text| match parse_listen(text).unwrap() {
            Listen::Tcp { address, .. } => Listen::Tcp {
                address,
                v6only: false,
            },
            Listen::Udp { address, .. } => Listen::Udp {
                address,
                v6only: false,
            },
            Listen::Unix { .. } | Listen::Fd { .. } => panic!("{text} has no port"),
        };
        let plain = |text| parse_listen(text).unwrap();
        for (one, other, expected) in [
            (plain("127.0.0.1:80"), plain("127.0.0.1:80"), true),
            (plain("127.0.0.1:80"), plain("127.0.0.1:81"), false),
            (plain("127.0.0.1:80"), plain("127.0.0.2:80"), false),
            (plain("127.0.0.1:0"), plain("127.0.0.1:0"), false),
            (plain("0.0.0.0:80"), plain("127.0.0.1:80"), true),
            (plain("[::]:80"), plain("[::1]:80"), true),
            (plain("[fe80::1%1]:80"), plain("[fe80::1%2]:80"), false),
            (plain("[::]:80"), plain("0.0.0.0:80"), false),
            (dual("[::]:80"), plain("0.0.0.0:80"), true),
            (dual("[::]:80"), plain("127.0.0.1:80"), true),
            (dual("[::1]:80"), plain("127.0.0.1:80"), false),
            (plain("udp:127.0.0.1:80"), plain("127.0.0.1:80"), false),
            (plain("udp:127.0.0.1:80"), plain("udp:127.0.0.1:80"), true),
            (plain("udp:80"), plain("udp:127.0.0.1:80"), true),
            (plain("udp:[::]:80"), plain("udp:0.0.0.0:80"), false),
            (dual("udp:[::]:80"), plain("udp:127.0.0.1:80"), true),
            (plain("udp:80"), plain("unix:/a"), false),
            (plain("unix:/a"), plain("unix:/a"), true),
            (plain("unix:/a"), plain("unix:/b"), false),
            (plain("unix:/a"), plain("127.0.0.1:80"), false),
            (plain("fd:a"), plain("fd:a"), true),
            (plain("fd:a"), plain("fd:b"), false),
            (plain("udp:fd:a"), plain("udp:fd:a"), true),
            (plain("udp:fd:a"), plain("fd:a"), false),
            (plain("udp:fd:a"), plain("udp:7"), false),
            (plain("fd:a"), plain("unix:a"), false),
            (plain("fd:3"), plain("127.0.0.1:3"), false),
        ] {
            assert_eq!(clash(&one, &other), expected, "{one} {other}");
            assert_eq!(clash(&other, &one), expected, "{other} {one}");
        }
    }
}
