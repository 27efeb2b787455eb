//! Authorities: `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2).
//!
//! Used for the Host field and for the authority of a request target. Nothing
//! here looks a name up, and userinfo is never accepted.

use std::net::Ipv6Addr;

/// An authority whose grammar was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// The host as it was sent; empty is valid in a Host field.
    pub(super) host: &'a [u8],
    /// The port, where one was sent; `a:` sends none.
    pub(super) port: Option<u16>,
}

/// Reads an authority; `None` where the grammar forbids it.
pub(super) fn parse(value: &[u8]) -> Option<Authority<'_>> {
    let (host, rest) = if value.first() == Some(&b'[') {
        let end = value.iter().position(|&byte| byte == b']')?;
        if !is_ip_literal(&value[1..end]) {
            return None;
        }
        value.split_at(end + 1)
    } else {
        let end = value
            .iter()
            .position(|&byte| byte == b':')
            .unwrap_or(value.len());
        if !is_reg_name(&value[..end]) {
            return None;
        }
        value.split_at(end)
    };
    let port = match rest {
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(parse_port(digits)?),
        [..] => return None,
    };
    Some(Authority { host, port })
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |port, &digit| {
        let value = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        port.checked_mul(10)?.checked_add(value)
    })
}

/// reg-name = *( unreserved / pct-encoded / sub-delims ); IPv4 addresses are
/// a subset.
fn is_reg_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        // Most names have no escapes.
        let plain = rest.iter().take_while(|&&byte| REG_NAME[byte as usize]);
        rest = match &rest[plain.count()..] {
            [] => return true,
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                tail
            }
            [..] => return false,
        };
    }
}

/// IP-literal without its brackets: IPv6address / IPvFuture. Zones are not
/// part of it.
fn is_ip_literal(literal: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = literal {
        let Some(dot) = future.iter().position(|&byte| byte == b'.') else {
            return false;
        };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address
                .iter()
                .all(|&byte| byte == b':' || is_unreserved_or_delimiter(byte));
    }
    std::str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_unreserved_or_delimiter(byte: u8) -> bool {
    REG_NAME[byte as usize]
}

/// unreserved / sub-delims (RFC 3986 §2.2, §2.3).
const REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let marks = b"-._~!$&'()*+,;=";
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports() {
        for (value, host, port) in [
            ("", "", None),
            ("a", "a", None),
            ("A.EXAMPLE:80", "A.EXAMPLE", Some(80)),
            ("a.example.", "a.example.", None),
            ("a:", "a", None),
            ("192.0.2.7:65535", "192.0.2.7", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::7]:8080", "[2001:db8::7]", Some(8080)),
            ("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]", Some(1)),
            ("[v1.fe80:x]", "[v1.fe80:x]", None),
            ("a%20b", "a%20b", None),
        ] {
            let host = host.as_bytes();
            assert_eq!(
                parse(value.as_bytes()),
                Some(Authority { host, port }),
                "{value}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        // Rule 34 and its kin.
        for value in [
            "###",
            "a/b",
            "u@a",
            "a, b",
            "a b",
            "a:x",
            "a:+1",
            "a:65536",
            "a:99999999999999999999",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[fe80::1%eth0]",
            "[]",
            "[1.2.3.4]",
            "[v.x]",
            "[v1.]",
            "a%2",
            "a%zz",
            "a\\b",
            "\u{e4}",
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value}");
        }
    }
}
