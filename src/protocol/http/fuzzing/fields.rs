//! Other fields of a request: codings, credentials, and who the client is.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::coding::{Accepted, Coding, Codings};
use super::super::{auth, trust};
use super::shown;
use crate::config::{Clients, Forwarded, Network, Trust};
use crate::protocol::Peer;
use crate::protocol::harness::PEER;

/// Values of Accept-Encoding, a line each: nothing is sent that was refused or
/// never named, and the way in which a list is written does not matter.
pub fn accept_encoding(octets: &[u8]) {
    let lines = || octets.split(|&byte| byte == b'\n');
    let chosen = codings(lines());
    let list: Vec<Coding> = (0..4).map(|place| chosen.get(place)).collect();
    let count = list
        .iter()
        .position(|one| *one == Coding::Identity)
        .unwrap_or(4);
    assert!(count <= 3 && list[count..].iter().all(|one| *one == Coding::Identity));
    let text = octets.to_ascii_lowercase();
    let says = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    for (at, coding) in list[..count].iter().enumerate() {
        assert!(!list[..at].contains(coding), "{coding:?} twice");
        let name = coding.name().expect("it is not identity").as_bytes();
        assert!(says(name) || says(b"*"), "{coding:?} of {}", shown(octets));
        let refused = [name, b";q=0"].concat();
        let members = || {
            text.split(|byte| matches!(byte, b',' | b'\n'))
                .map(<[u8]>::trim_ascii)
        };
        assert!(
            members().all(|member| member != refused),
            "{coding:?} of {}",
            shown(octets)
        );
    }
    let members = || octets.split(|byte| matches!(byte, b',' | b'\n'));
    assert_eq!(codings(members()), chosen, "a line a member");
    let backwards: Vec<&[u8]> = members().collect();
    assert_eq!(codings(backwards.into_iter().rev()), chosen, "backwards");
    assert_eq!(
        codings(octets.to_ascii_uppercase().split(|&byte| byte == b'\n')),
        chosen
    );
    assert_eq!(codings(lines().chain([&b"unknown;q=0.5, "[..]])), chosen);
}

fn codings<'a>(values: impl Iterator<Item = &'a [u8]>) -> Codings {
    let mut accepted = Accepted::default();
    for value in values {
        accepted.add(value);
    }
    accepted.codings()
}

/// The value of an Authorization: it comes to `user:password` or to nothing,
/// and can be written again.
pub fn authorization(octets: &[u8]) {
    let mut out = b"kept".to_vec();
    let fits = auth::decode(octets, &mut out);
    assert!(out.starts_with(b"kept"));
    let credentials = &out[4..];
    if !fits {
        assert!(credentials.is_empty());
        return;
    }
    assert!(!credentials.iter().any(u8::is_ascii_control));
    let (user, password) = auth::split(credentials);
    assert_eq!([user, b":", password].concat(), credentials);
    assert!(!user.contains(&b':'));
    assert_eq!(
        octets[6..].trim_ascii_start(),
        STANDARD.encode(credentials).as_bytes()
    );
}

/// The value of X-Forwarded-For, Forwarded or X-Real-IP, by which a client that
/// is no proxy of ours changes nothing, and nobody what our proxies say.
pub fn forwarded(octets: &[u8]) {
    let value: Vec<u8> = octets
        .iter()
        .copied()
        .filter(|&byte| byte == b'\t' || !byte.is_ascii_control())
        .collect();
    let proxies = Clients {
        networks: Network::parse("10.0.0.0/8").into_iter().collect(),
        unix: false,
    };
    let proxy = Peer {
        remote: Some((IpAddr::from([10, 0, 0, 1]), 5).into()),
        local: None,
    };
    for (field, name, lie) in [
        (Forwarded::XForwardedFor, "X-Forwarded-For", "192.0.2.66, "),
        (Forwarded::Forwarded, "Forwarded", "for=192.0.2.66, "),
        (Forwarded::XRealIp, "X-Real-IP", "192.0.2.66, "),
    ] {
        let proxies = proxies.clone();
        let trust = Trust { proxies, field };
        let head = |lie: &str| {
            let start = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: {lie}");
            [start.as_bytes(), &value, b"\r\n\r\n"].concat()
        };
        let stranger = PEER.remote.map(|address| address.ip());
        assert_eq!(trust::client(&PEER, &head(""), &trust), stranger);
        let client = trust::client(&proxy, &head(""), &trust);
        assert!(client.is_some(), "a client without an address");
        if !trust.proxies.contain(client) {
            let lied = trust::client(&proxy, &head(lie), &trust);
            assert_eq!(lied, client, "{name}: {}", shown(&value));
        }
    }
}
