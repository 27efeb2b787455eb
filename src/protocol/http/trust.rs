//! Who the client is, where a proxy stands between.
//!
//! A proxy appends the address it was talked to from, so the list is true from
//! its right end up to the first address that is not one of our proxies; what
//! stands further left came from outside and may say anything. A list that
//! cannot be read is believed as far as it could be.

use std::net::{IpAddr, Ipv6Addr};

use super::request::field_values_from_last;
use crate::config::{Forwarded, Trust};
use crate::protocol::Peer;

/// The address of the client; `None` is one on a unix socket. `head` is a whole
/// request head whose field lines were checked.
pub(super) fn client(peer: &Peer, head: &[u8], trust: &Trust) -> Option<IpAddr> {
    let mut client = peer.remote.map(|address| address.ip().to_canonical());
    if trust.proxies.is_empty() || !trust.proxies.contain(client) {
        return client;
    }
    for value in field_values_from_last(head, name(trust.field)) {
        // An odd number of quotes in an item, and the next step fails to read it.
        for item in value.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if item.is_empty() {
                continue;
            }
            let address = match trust.field {
                Forwarded::XForwardedFor | Forwarded::XRealIp => node(item),
                Forwarded::Forwarded => element(item),
            };
            let Some(address) = address else {
                return client;
            };
            client = Some(address);
            if !trust.proxies.contain(client) || trust.field == Forwarded::XRealIp {
                return client;
            }
        }
    }
    client
}

/// Whether the peer is a proxy that is believed.
pub(super) fn is_trusted(peer: &Peer, trust: &Trust) -> bool {
    let address = || peer.remote.map(|address| address.ip().to_canonical());
    !trust.proxies.is_empty() && trust.proxies.contain(address())
}

const fn name(field: Forwarded) -> &'static str {
    match field {
        Forwarded::XForwardedFor => "x-forwarded-for",
        Forwarded::Forwarded => "forwarded",
        Forwarded::XRealIp => "x-real-ip",
    }
}

/// forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )
/// (RFC 7239 §4). The address of its `for`, which stands there once.
fn element(item: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
        if pair.is_empty() {
            continue;
        }
        let equals = memchr::memchr(b'=', pair)?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        let value = match value {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'"') => inner,
            plain if !plain.contains(&b'"') => plain,
            [..] => return None,
        };
        if name.eq_ignore_ascii_case(b"for") {
            if found.is_some() {
                return None;
            }
            found = Some(node(value)?);
        }
    }
    found
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `::1`,
/// `[::1]`, `[::1]:80`. Names that hide it (RFC 7239 §6.2, §6.3) are none.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return is_port.then(|| IpAddr::V6(address).to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    let address = address.parse().ok().map(IpAddr::V4)?;
    is_port(port).then_some(address)
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Clients, Network};
    use proptest::prelude::*;

    fn trust(field: Forwarded) -> Trust {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|text| Network::parse(text).unwrap());
        Trust {
            proxies: Clients {
                networks: networks.to_vec(),
                unix: true,
            },
            field,
        }
    }

    fn of(peer: Option<&str>, field: Forwarded, fields: &str) -> Option<String> {
        let peer = Peer {
            remote: peer.map(|address| (address.parse::<IpAddr>().unwrap(), 5).into()),
            local: None,
        };
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        client(&peer, head.as_bytes(), &trust(field)).map(|address| address.to_string())
    }

    fn listed(list: &str) -> String {
        let fields = format!("X-Forwarded-For: {list}\r\n");
        of(Some("10.0.0.1"), Forwarded::XForwardedFor, &fields).unwrap()
    }

    #[test]
    fn a_list_is_read_from_the_right_to_the_first_stranger() {
        for (list, client) in [
            ("192.0.2.1", "192.0.2.1"),
            ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.2.2.2", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1, 10.2.2.2,10.3.3.3", "192.0.2.1"),
            ("10.4.4.4, 10.2.2.2", "10.4.4.4"),
            ("192.0.2.1:4711, [2001:db8::1]:80", "192.0.2.1"),
            ("2001:db9::5, 2001:db8::1", "2001:db9::5"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, junk, 10.2.2.2", "10.2.2.2"),
            ("192.0.2.1, unknown", "10.0.0.1"),
            ("", "10.0.0.1"),
            (", 192.0.2.1,,", "192.0.2.1"),
            ("192.0.2.1:", "10.0.0.1"),
            ("192.0.2.01", "10.0.0.1"),
        ] {
            assert_eq!(listed(list), client, "{list}");
        }
        let fields = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n";
        let client = of(Some("10.0.0.1"), Forwarded::XForwardedFor, fields);
        assert_eq!(client.unwrap(), "192.0.2.1");
    }

    #[test]
    fn strangers_are_not_believed_and_unix_sockets_are() {
        let fields = "X-Forwarded-For: 6.6.6.6\r\n";
        let field = Forwarded::XForwardedFor;
        assert_eq!(of(Some("192.0.2.9"), field, fields).unwrap(), "192.0.2.9");
        assert_eq!(of(None, field, fields).unwrap(), "6.6.6.6");
        assert_eq!(of(None, field, ""), None);
        assert_eq!(
            of(Some("::ffff:10.0.0.1"), field, fields).unwrap(),
            "6.6.6.6"
        );
        let only_what_was_said = "Forwarded: for=6.6.6.6\r\nX-Real-IP: 7.7.7.7\r\n";
        assert_eq!(
            of(Some("10.0.0.1"), field, only_what_was_said).unwrap(),
            "10.0.0.1"
        );
        let real = of(Some("10.0.0.1"), Forwarded::XRealIp, only_what_was_said);
        assert_eq!(real.unwrap(), "7.7.7.7");
    }

    #[test]
    fn the_forwarded_field() {
        for (value, client) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db9::17]:4711\"", "2001:db9::17"),
            ("proto=https; for=\"192.0.2.1:80\"", "192.0.2.1"),
            ("for=192.0.2.43, for=\"[2001:db8::1]\"", "192.0.2.43"),
            ("for=_hidden, for=10.5.5.5", "10.5.5.5"),
            ("for=unknown", "10.0.0.1"),
            ("proto=http", "10.0.0.1"),
            ("for=1.1.1.1;for=2.2.2.2", "10.0.0.1"),
            ("for=\"1.1.1.1", "10.0.0.1"),
            ("by=\"a,for=6.6.6.6\"", "10.0.0.1"),
        ] {
            let fields = format!("Forwarded: {value}\r\n");
            let found = of(Some("10.0.0.1"), Forwarded::Forwarded, &fields);
            assert_eq!(found.unwrap(), client, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_a_client_says_first_changes_nothing(lie in "[ -~]{0,40}") {
            prop_assert_eq!(listed(&format!("{lie}, 192.0.2.1, 10.2.2.2")), "192.0.2.1");
        }
    }
}
