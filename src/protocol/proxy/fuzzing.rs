//! What must hold for any octets of a proxy: see [`crate::fuzzing`].

use std::net::IpAddr;

use super::header::{Origin, parse};

/// A header of the PROXY protocol and what follows it: it comes to the same
/// however it arrives, nothing behind it matters, and what a line says can be
/// written and read again.
pub fn proxy_header(octets: &[u8]) {
    let whole = parse(octets);
    let steps = (0..=octets.len()).map(|count| (count, parse(&octets[..count])));
    let first = steps.into_iter().find(|(_, result)| *result != Ok(None));
    let Some((count, result)) = first else {
        assert_eq!(whole, Ok(None));
        assert!(octets.len() < 107 || octets.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
        return;
    };
    assert_eq!(result, whole);
    let Ok(Some(header)) = whole else {
        return;
    };
    assert_eq!(count, header.length);
    let text = &octets[..count];
    if !text.starts_with(b"PROXY ") {
        assert!(count >= 16 && text[12] & 0xfe == 0x20);
        assert!(text[12] == 0x21 || header.origin == Origin::Connection);
        return;
    }
    assert!(count <= 107 && text.ends_with(b"\r\n"));
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
    match header.origin {
        Origin::Connection => assert!(text.starts_with(b"PROXY UNKNOWN")),
        Origin::Unix => panic!("a line knows of no unix socket"),
        Origin::Tcp { client, server } => {
            let family = match (client.ip(), server.ip()) {
                (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
                (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
                (_, _) => panic!("two families"),
            };
            let (from, to) = (client.ip(), server.ip());
            let ports = (client.port(), server.port());
            let again = format!("PROXY {family} {from} {to} {} {}\r\n", ports.0, ports.1);
            let origin = parse(again.as_bytes()).map(|header| header.map(|one| one.origin));
            assert_eq!(origin, Ok(Some(header.origin)), "{again}");
        }
    }
}
