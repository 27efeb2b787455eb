//! What must hold for any octets of a proxy: see [`crate::fuzzing`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::CloseReason;
use super::super::echo::EchoService;
use super::super::harness::{Finale, PATIENCE, World};
use super::ProxyService;
use super::header::{Header, Origin, parse};
use crate::config::{Clients, Network};

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

/// A connection through a proxy to a service that says everything back: however
/// the octets arrive, it gets those behind the header and no other; without a
/// header nobody gets a word.
pub fn proxied(octets: &[u8]) {
    let everybody = Network::parse("0.0.0.0/0").expect("that is a prefix");
    let senders = Clients {
        networks: vec![everybody],
        unix: false,
    };
    let echo = Arc::new(EchoService::new(PATIENCE));
    let service = ProxyService::new(echo, senders, Duration::from_secs(3));
    let world = World::new(service);
    let (reason, said) = match parse(octets) {
        Ok(Some(Header { length, .. })) => (CloseReason::Complete, &octets[length..]),
        Ok(None) if octets.is_empty() => (CloseReason::PeerClosed, octets),
        Ok(None) => (CloseReason::CutShort, &[][..]),
        Err(broken) => (CloseReason::Refused(broken.rule()), &[][..]),
    };
    for size in [1, 7, 64, octets.len().max(1)] {
        let segments: Vec<&[u8]> = octets.chunks(size).collect();
        let seen = world.run(&segments, Finale::Finish);
        assert_eq!(seen.ending.reason, reason, "{size} octets at once");
        assert_eq!(seen.output, said, "{size} octets at once");
    }
}
