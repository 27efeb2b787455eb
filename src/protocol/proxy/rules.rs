//! Rows 134 to 139 of what clients are owed, through the pretend driver: each
//! header whole, in two segments at every point, and octet by octet.

#![allow(clippy::unwrap_used)]

use super::super::echo::EchoService;
use super::super::harness::{Finale, PATIENCE, PEER, Seen, World};
use super::super::{Action, CloseReason, Ending, Manner, Outcome, Peer, Protocol, Service, Turn};
use super::ProxyService;
use crate::config::{Clients, Network};
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.2 56324 443\r\n";
const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 2, 0, 80, 1, 187];

/// Says whom it was made for and whom the driver shows it, then what it gets.
struct Telling {
    hands_over: bool,
}

struct Tale {
    peer: Peer,
}

impl Service for Telling {
    fn connection(&self, peer: &Peer) -> Box<dyn Protocol> {
        Box::new(Tale { peer: *peer })
    }

    fn hands_over(&self) -> bool {
        self.hands_over
    }
}

impl Protocol for Tale {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        assert_eq!(self.peer, *turn.peer);
        match outcome {
            Outcome::Connected => {
                // What came with the header is not this call's business.
                let said = format!("{} to {:?}:", self.peer, self.peer.local.unwrap());
                turn.output.push(said.as_bytes());
            }
            Outcome::Received => {
                turn.output.push(turn.input.unread());
                turn.input.consume(usize::MAX);
            }
            _ => {
                return Action::Close(Ending {
                    reason: CloseReason::Complete,
                    manner: Manner::AtOnce,
                });
            }
        }
        Action::Receive {
            deadline: turn.now + PATIENCE.idle,
            idle: true,
        }
    }
}

fn clients(prefixes: &[&str]) -> Clients {
    Clients {
        networks: prefixes
            .iter()
            .map(|one| Network::parse(one).unwrap())
            .collect(),
        unix: false,
    }
}

fn behind(prefix: &str, inner: impl Service + 'static) -> World {
    World::new(ProxyService::new(
        Arc::new(inner),
        clients(&[prefix]),
        TIMEOUT,
    ))
}

fn telling() -> World {
    behind("203.0.113.0/24", Telling { hands_over: false })
}

fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[command, family][..],
        &length,
        rest,
    ]
    .concat()
}

/// Both ends of the connection that the header comes over.
fn own() -> String {
    format!("{} to {:?}:", PEER, PEER.local.unwrap())
}

/// Runs `header` and what a client says behind it; the service must have
/// answered `said` and every octet.
fn accepted(header: &[u8], said: &str) {
    let bytes = [header, b"GET / HTTP/1.1\r\n\r\n"].concat();
    let expected = format!("{said}GET / HTTP/1.1\r\n\r\n");
    telling().every_way(&bytes, Finale::Finish, |seen| {
        let output = String::from_utf8_lossy(&seen.output);
        assert_eq!(output, expected, "{:?}", header.escape_ascii().to_string());
        assert_eq!(seen.ending.reason, CloseReason::Complete);
    });
}

/// Runs `bytes`; the connection must be dropped, without a word, for this rule.
fn dropped(bytes: &[u8], rule: &str) {
    telling().every_way(bytes, Finale::Silence, |seen| {
        assert_dropped(seen, rule, bytes);
    });
}

fn assert_dropped(seen: &Seen, rule: &str, bytes: &[u8]) {
    let shown = bytes.escape_ascii().to_string();
    assert_eq!(seen.output, b"", "{shown}");
    assert_eq!(seen.ending.reason.rule(), Some(rule), "{shown}");
    assert_eq!(seen.ending.manner, Manner::AtOnce);
    assert_eq!(seen.met, None);
}

#[test]
fn rule_134_a_line_says_who_the_client_is() {
    accepted(LINE, "192.0.2.7:56324 to 198.51.100.2:443:");
    let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n";
    accepted(line, "[2001:db8::7]:56324 to [2001:db8::1]:443:");
}

#[test]
fn rule_135_a_broken_line_aborts() {
    let long = [b"PROXY UNKNOWN ", &[b'x'; 100][..], b"\r\n"].concat();
    for (line, rule) in [
        (
            &b"PROXY TCP4 192.0.2.7 198.51.100.2 56324 443\n"[..],
            "proxy-2.1 line end",
        ),
        (
            b"PROXY TCP4 01.2.3.4 198.51.100.2 56324 443\r\n",
            "proxy-2.1 address",
        ),
        (
            b"PROXY TCP6 192.0.2.7 198.51.100.2 56324 443\r\n",
            "proxy-2.1 address",
        ),
        (b"PROXY TCP4 ::1 ::1 56324 443\r\n", "proxy-2.1 address"),
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.2 65536 443\r\n",
            "proxy-2.1 port",
        ),
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.2 056 443\r\n",
            "proxy-2.1 port",
        ),
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.2 56324\r\n",
            "proxy-2.1 words",
        ),
        (
            b"PROXY UDP4 192.0.2.7 198.51.100.2 56324 443\r\n",
            "proxy-2.1 family",
        ),
        (&long, "proxy-2.1 longer than 107 octets"),
    ] {
        dropped(line, rule);
    }
}

#[test]
fn rule_136_who_names_nobody_is_who_connects() {
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff:f ffff:f 65535 65535\r\n".to_vec(),
        block(0x20, 0x00, b""),
        block(0x20, 0x11, &[7; 40]),
        block(0x21, 0x00, b""),
        block(0x21, 0x31, &[b'/'; 216]),
    ] {
        accepted(&header, &own());
    }
}

#[test]
fn rule_137_a_broken_block_is_dropped() {
    for (header, rule) in [
        (block(0x11, 0x11, &V4), "proxy-2.2 version or command"),
        (block(0x31, 0x11, &V4), "proxy-2.2 version or command"),
        (block(0x22, 0x11, &V4), "proxy-2.2 version or command"),
        (
            block(0x21, 0x11, &V4[..11]),
            "proxy-2.2 length of addresses",
        ),
        (block(0x21, 0x21, &[0; 35]), "proxy-2.2 length of addresses"),
        (
            block(0x21, 0x31, &[0; 215]),
            "proxy-2.2 length of addresses",
        ),
        (block(0x21, 0x12, &V4), "proxy-2.2 family or transport"),
        (block(0x21, 0x41, &V4), "proxy-2.2 family or transport"),
    ] {
        dropped(&header, rule);
    }
}

#[test]
fn rule_138_there_is_a_header_from_whom_we_believe() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01",
        b"\n",
    ] {
        dropped(bytes, "proxy-2 no header");
    }
    let stranger = behind("198.51.100.0/24", Telling { hands_over: false });
    stranger.every_way(LINE, Finale::Finish, |seen| {
        assert_dropped(seen, "proxy-2 sender is not one of proxy_from", LINE);
        assert_eq!(seen.untaken, LINE.len(), "nobody listens to it");
    });
}

#[test]
fn rule_139_vectors_are_skipped_and_a_wrong_checksum_aborts() {
    let with = |vectors: &[u8]| block(0x21, 0x11, &[&V4, vectors].concat());
    let said = "192.0.2.7:80 to 198.51.100.2:443:";
    accepted(&with(b"\x01\0\x02h2\xee\0\0\x04\0\x01\0"), said);
    dropped(&with(b"\x03\0\x04abcd"), "proxy-2.2.3 checksum");
    dropped(&with(b"\x01\0\x09h2"), "proxy-2.2.1 length of a TLV");
}

#[test]
fn a_header_has_its_time_and_no_octet_adds_to_it() {
    let late = "proxy-2 no whole header in time";
    for count in 0..LINE.len() {
        let seen = telling().run(&[&LINE[..count]], Finale::Silence);
        assert_dropped(&seen, late, &LINE[..count]);
        assert_eq!(seen.elapsed, TIMEOUT);
    }
    // One octet every 0.1 s: of 45 octets 30 come in time.
    let slow = telling().pausing(Duration::from_millis(100));
    let single: Vec<&[u8]> = LINE.chunks(1).collect();
    let seen = slow.run(&single, Finale::Silence);
    assert_dropped(&seen, late, LINE);
    assert_eq!(seen.elapsed, TIMEOUT);
}

#[test]
fn who_only_looks_whether_somebody_listens_is_no_complaint() {
    let seen = telling().run(&[], Finale::Finish);
    assert_eq!(seen.ending.reason, CloseReason::PeerClosed);
    assert_eq!(seen.output, b"");
    let seen = telling().run(&[&LINE[..9]], Finale::Finish);
    assert_eq!(seen.ending.reason, CloseReason::CutShort);
}

#[test]
fn a_client_who_is_not_welcome_gets_no_machine() {
    let world = telling().unwelcoming();
    let seen = world.run(&[LINE, b"hello"], Finale::Finish);
    assert_eq!(seen.ending.reason, CloseReason::Refused("not welcome"));
    assert_eq!(seen.output, b"");
    let met = seen.met.unwrap();
    assert_eq!(met.to_string(), "192.0.2.7:56324");
}

#[test]
fn a_service_that_passes_its_socket_on_finds_all_that_follows_on_it() {
    let block = block(0x21, 0x11, &V4);
    for header in [LINE, b"PROXY UNKNOWN\r\n", &block] {
        let bytes = [header, b"hello"].concat();
        let world = behind("203.0.113.9", Telling { hands_over: true });
        // The machine asks for more without a bound: all of it comes then.
        let seen = world.run(&[&bytes], Finale::Finish);
        assert!(seen.output.ends_with(b":hello"));
        assert_eq!(seen.flushes, 0, "nothing came with the header");
        let world = behind("203.0.113.9", Telling { hands_over: true }).unwelcoming();
        let seen = world.run(&[&bytes], Finale::Finish);
        assert_eq!((seen.unread, seen.untaken), (Vec::new(), 5));
    }
}

#[test]
fn a_service_that_reads_at_once_is_not_told_twice() {
    let world = behind("203.0.113.9", EchoService::new(PATIENCE));
    world.every_way(&[LINE, b"hello"].concat(), Finale::Finish, |seen| {
        assert_eq!(seen.output, b"hello");
        assert_eq!(seen.ending.reason, CloseReason::Complete);
    });
}
