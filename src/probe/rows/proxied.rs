//! Rows 134 to 139: the PROXY protocol, where the listener expects it; "spec" is
//! what HAProxy publishes as `proxy-protocol.txt`.
//!
//! Whose address counts is not seen from outside: only that a request behind a
//! header that is right is answered, and none behind a wrong one.

use super::super::Level::{Must, Own};
use super::super::site::Site;
use super::super::{Case, Need, Row, Step, doing};
use super::{OK, rule};
use std::time::Duration;

const NEEDS: &[Need] = &[Need::ProxyProtocol];
/// Between two segments of a header.
const BETWEEN: Duration = Duration::from_millis(50);
/// What a header of version 2 begins with (spec §2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Two addresses of TCP over IPv4, and their ports.
const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0xc3, 0x50, 0, 80];
/// TLV types of spec §2.2.3.
const CRC32C: u8 = 0x03;
const NOOP: u8 = 0x04;
/// One that is for whoever has a use for it (spec §2.2.8).
const CUSTOM: u8 = 0xe0;

pub(super) const ROWS: &[Row] = &[
    rule(
        134,
        "PROXY v1: a line, also in pieces",
        "PROXY protocol §2.1",
        Must,
        |site| {
            let line = "PROXY TCP4 192.0.2.1 192.0.2.2 50000 80\r\n";
            let request = site.get("").into_bytes();
            let (first, second) = line.split_at(11);
            let pieces = vec![
                Step::Send(first.into()),
                Step::Pause(BETWEEN),
                Step::Send([second.as_bytes(), &request].concat()),
            ];
            vec![
                taken(site, line.as_bytes()),
                taken(site, b"PROXY TCP6 2001:db8::1 2001:db8::2 50000 80\r\n"),
                doing(pieces).bare().kept(&[OK]),
            ]
        },
    )
    .needs(NEEDS),
    rule(
        135,
        "PROXY v1 that is malformed",
        "PROXY protocol §2.1",
        Must,
        |site| {
            let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(120));
            let lines = [
                "PROXY TCP4 192.0.2.1 192.0.2.2 50000 80\n",
                "PROXY TCP4 192.0.2.01 192.0.2.2 50000 80\r\n",
                "PROXY TCP4 2001:db8::1 2001:db8::2 50000 80\r\n",
                "PROXY TCP6 192.0.2.1 192.0.2.2 50000 80\r\n",
                "PROXY TCP4 192.0.2.1 192.0.2.2 50000 65536\r\n",
                "PROXY UDP4 192.0.2.1 192.0.2.2 50000 80\r\n",
                "proxy TCP4 192.0.2.1 192.0.2.2 50000 80\r\n",
                &long,
            ];
            lines
                .iter()
                .map(|line| dropped(site, line.as_bytes()))
                .collect()
        },
    )
    .needs(NEEDS),
    rule(
        136,
        "PROXY UNKNOWN and LOCAL",
        "PROXY protocol §2.1",
        Must,
        |site| {
            vec![
                taken(site, b"PROXY UNKNOWN\r\n"),
                taken(site, b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"),
                taken(site, &block(0x20, 0, &[])),
                taken(site, &block(0x20, 0, b"whatever")),
                taken(site, &block(0x20, 0x11, &ADDRESSES)),
            ]
        },
    )
    .needs(NEEDS),
    rule(
        137,
        "PROXY v2 that is malformed",
        "PROXY protocol §2.2",
        Must,
        |site| {
            [
                block(0x11, 0x11, &ADDRESSES),
                block(0x31, 0x11, &ADDRESSES),
                block(0x22, 0x11, &ADDRESSES),
                block(0x2f, 0x11, &ADDRESSES),
                block(0x21, 0x11, &ADDRESSES[..11]),
                block(0x21, 0x21, &ADDRESSES),
            ]
            .iter()
            .map(|header| dropped(site, header))
            .collect()
        },
    )
    .needs(NEEDS),
    rule(138, "no PROXY header", "PROXY protocol §2", Must, |site| {
        vec![dropped(site, b"")]
    })
    .needs(NEEDS),
    rule(
        139,
        "PROXY v2 with TLVs",
        "PROXY protocol §2.2.3",
        Must,
        |site| {
            let custom = [&tlv(NOOP, b"")[..], &tlv(CUSTOM, b"anything")].concat();
            let wrong = with_checksum(|sum| !sum);
            let wrong = doing(vec![Step::Send(
                [&wrong[..], site.get("").as_bytes()].concat(),
            )]);
            vec![
                taken(
                    site,
                    &block(0x21, 0x11, &[&ADDRESSES[..], &custom].concat()),
                ),
                taken(site, &with_checksum(|sum| sum)),
                // Whoever does not reckon it takes it for one that is unknown.
                wrong.bare().closed(&[]).kept(&[OK]).level(Own),
            ]
        },
    )
    .needs(NEEDS),
];

/// A request behind this header, which is answered.
fn taken(site: &Site, header: &[u8]) -> Case {
    behind(site, header).kept(&[OK])
}

/// A request behind this header, which is not.
fn dropped(site: &Site, header: &[u8]) -> Case {
    behind(site, header).closed(&[])
}

fn behind(site: &Site, header: &[u8]) -> Case {
    let octets = [header, site.get("").as_bytes()].concat();
    doing(vec![Step::Send(octets)]).bare()
}

/// A header of version 2: version and command, family and transport, and what
/// follows its length.
fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// A header with a checksum (spec §2.2.4), which is reckoned with its own octets
/// as zeros; `told` says what stands there.
fn with_checksum(told: fn(u32) -> u32) -> Vec<u8> {
    let rest = [&ADDRESSES[..], &tlv(CRC32C, &[0; 4])].concat();
    let mut header = block(0x21, 0x11, &rest);
    let sum = told(crc32c(&header)).to_be_bytes();
    let at = header.len() - sum.len();
    header[at..].copy_from_slice(&sum);
    header
}

/// RFC 3720 §12.1, bit by bit.
fn crc32c(octets: &[u8]) -> u32 {
    !octets.iter().fold(u32::MAX, |sum, octet| {
        (0..8).fold(sum ^ u32::from(*octet), |sum, _| {
            (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720 §B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
