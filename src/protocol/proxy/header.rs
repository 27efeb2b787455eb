//! The header of the PROXY protocol, versions 1 and 2: who a proxy says that
//! the client is.
//!
//! ```text
//! v1:  "PROXY" SP ( "TCP4" / "TCP6" ) SP source SP destination
//!              SP source-port SP destination-port CRLF           §2.1
//!      "PROXY UNKNOWN" [ SP *OCTET ] CRLF
//! v2:  signature(12) version+command(1) family+transport(1) length(2)
//!      addresses TLV*                                            §2.2
//! ```
//!
//! Sections are those of the specification that HAProxy publishes,
//! `proxy-protocol.txt`. What a listener expects is always there, or the
//! connection is dropped: nothing is guessed from the first octets (§2), and
//! whom to believe is for the caller to know. No input or output is done here;
//! [`parse`] is given all that has come so far, again and again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whom the header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: the proxy speaks for itself, or does not know. The addresses of
    /// the connection count.
    Connection,
    /// A client over TCP.
    Tcp {
        /// Where it came from.
        client: SocketAddr,
        /// Where it went.
        server: SocketAddr,
    },
    /// A client on a unix socket of the proxy's machine.
    Unix,
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many octets it takes, 15..=65551; the client's begin behind it.
    pub length: usize,
    /// Whom it names.
    pub origin: Origin,
}

/// Why a connection is to be dropped; the text names the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(&'static str);

impl Broken {
    /// The rule that was broken, e.g. `proxy-2.1 line end`.
    pub const fn rule(self) -> &'static str {
        self.0
    }
}

/// The shortest header of version 1, `PROXY UNKNOWN` and CRLF, in octets.
const SHORTEST_LINE: usize = 15;
/// The longest header of version 1, its CRLF included, in octets (§2.1).
const LONGEST_LINE: usize = 107;
/// What version 2 begins with (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Octets before the addresses of version 2.
const FIXED: usize = 16;
/// The vector with a checksum (§2.2.3, PP2_TYPE_CRC32C).
const CHECKSUM: u8 = 0x03;

/// Reads the header that `octets` begin with; `None` while its end has not come.
///
/// # Errors
/// What has come cannot become a header: the connection is to be dropped.
pub fn parse(octets: &[u8]) -> Result<Option<Header>, Broken> {
    const LINE: &[u8] = b"PROXY ";
    if begins(octets, SIGNATURE) {
        parse_block(octets)
    } else if begins(octets, LINE) {
        parse_line(octets)
    } else {
        Err(Broken("proxy-2 no header"))
    }
}

/// How many octets behind `octets`, which [`parse`] takes for the beginning of a
/// header, belong to it for certain: at least 1.
pub fn wanted(octets: &[u8]) -> usize {
    let end = match octets {
        [b'\r', ..] => match octets.get(14..FIXED) {
            Some(&[high, low]) => FIXED + usize::from(u16::from_be_bytes([high, low])),
            Some(_) | None => FIXED,
        },
        // A line goes on until its CRLF.
        [.., b'\r'] => octets.len() + 1,
        _ => SHORTEST_LINE.max(octets.len() + 2),
    };
    end.saturating_sub(octets.len()).max(1)
}

/// Whether `octets` begin with `mark`, as far as they have come.
fn begins(octets: &[u8], mark: &[u8]) -> bool {
    let count = octets.len().min(mark.len());
    octets[..count] == mark[..count]
}

/// Version 1, a line of text.
fn parse_line(octets: &[u8]) -> Result<Option<Header>, Broken> {
    let window = &octets[..octets.len().min(LONGEST_LINE)];
    let Some(feed) = memchr::memchr(b'\n', window) else {
        return match window.len() {
            LONGEST_LINE => Err(Broken("proxy-2.1 longer than 107 octets")),
            _ => Ok(None),
        };
    };
    let line = window[..feed].strip_suffix(b"\r");
    let line = line.ok_or(Broken("proxy-2.1 line end"))?;
    Ok(Some(Header {
        length: feed + 1,
        origin: parse_words(line)?,
    }))
}

fn parse_words(line: &[u8]) -> Result<Origin, Broken> {
    // Whatever follows that is not looked at (§2.1).
    if line == b"PROXY UNKNOWN" || line.starts_with(b"PROXY UNKNOWN ") {
        return Ok(Origin::Connection);
    }
    const RULE: Broken = Broken("proxy-2.1 words");
    let text = std::str::from_utf8(line).map_err(|_| RULE)?;
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or(RULE);
    let (_, family) = (word()?, word()?);
    let (client, server) = (word()?, word()?);
    let (client_port, server_port) = (parse_port(word()?)?, parse_port(word()?)?);
    if words.next().is_some() {
        return Err(RULE);
    }
    let address: fn(&str) -> Option<IpAddr> = match family {
        "TCP4" => |text| text.parse().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse().ok().map(IpAddr::V6),
        _ => return Err(Broken("proxy-2.1 family")),
    };
    let address = |text| address(text).ok_or(Broken("proxy-2.1 address"));
    Ok(Origin::Tcp {
        client: SocketAddr::new(address(client)?, client_port),
        server: SocketAddr::new(address(server)?, server_port),
    })
}

/// 0..=65535 without a sign or a zero in front (§2.1).
fn parse_port(text: &str) -> Result<u16, Broken> {
    const RULE: Broken = Broken("proxy-2.1 port");
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || text.len() > 1 && text.starts_with('0') {
        return Err(RULE);
    }
    text.parse().map_err(|_| RULE)
}

/// Version 2, a block of octets.
fn parse_block(octets: &[u8]) -> Result<Option<Header>, Broken> {
    let local = match octets.get(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Broken("proxy-2.2 version or command")),
    };
    let Some(&[family, high, low]) = octets.get(13..FIXED).and_then(|rest| rest.first_chunk())
    else {
        return Ok(None);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    let header = |origin| Ok(Some(Header { length, origin }));
    let Some(block) = octets.get(..length) else {
        return Ok(None);
    };
    // What a proxy says of itself, as for its health checks, is skipped (§2.2).
    if local {
        return header(Origin::Connection);
    }
    let (origin, vectors) = parse_addresses(family, &block[FIXED..])?;
    check_vectors(block, block.len() - vectors)?;
    header(origin)
}

/// Reads the addresses; answers how many octets follow them as well.
fn parse_addresses(family: u8, rest: &[u8]) -> Result<(Origin, usize), Broken> {
    const SHORT: Broken = Broken("proxy-2.2 length of addresses");
    match family {
        0x11 => {
            let (octets, rest) = rest.split_first_chunk::<12>().ok_or(SHORT)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *octets;
            let client = Ipv4Addr::new(a, b, c, d).into();
            let server = Ipv4Addr::new(e, f, g, h).into();
            Ok((tcp(client, server, ports), rest.len()))
        }
        0x21 => {
            let (client, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let (server, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let (ports, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
            let (client, server) = (Ipv6Addr::from(*client), Ipv6Addr::from(*server));
            Ok((tcp(client.into(), server.into(), *ports), rest.len()))
        }
        0x31 => {
            let (_, rest) = rest.split_first_chunk::<216>().ok_or(SHORT)?;
            Ok((Origin::Unix, rest.len()))
        }
        // How long the addresses of an unknown family are, nobody knows: what
        // follows is not looked at.
        0x00 => Ok((Origin::Connection, 0)),
        // Datagrams do not come over a stream; others are nobody's.
        _ => Err(Broken("proxy-2.2 family or transport")),
    }
}

fn tcp(client: IpAddr, server: IpAddr, ports: [u8; 4]) -> Origin {
    let [a, b, c, d] = ports;
    Origin::Tcp {
        client: SocketAddr::new(client, u16::from_be_bytes([a, b])),
        server: SocketAddr::new(server, u16::from_be_bytes([c, d])),
    }
}

/// Goes over what stands behind the addresses, from `start` on: a type, a
/// length of two octets and a value each (§2.2.1). Of these the checksum is
/// checked; the others are skipped.
fn check_vectors(block: &[u8], start: usize) -> Result<(), Broken> {
    const RULE: Broken = Broken("proxy-2.2.1 length of a TLV");
    let mut at = start;
    while at < block.len() {
        let (&[kind, high, low], _) = block[at..].split_first_chunk().ok_or(RULE)?;
        let value = at + 3;
        let end = value + usize::from(u16::from_be_bytes([high, low]));
        let octets = block.get(value..end).ok_or(RULE)?;
        if kind == CHECKSUM {
            check_sum(block, value, octets)?;
        }
        at = end;
    }
    Ok(())
}

/// CRC32C of the whole header with zeros in the place of the sum (§2.2.3).
fn check_sum(block: &[u8], place: usize, said: &[u8]) -> Result<(), Broken> {
    const RULE: Broken = Broken("proxy-2.2.3 checksum");
    let said: [u8; 4] = said.try_into().map_err(|_| RULE)?;
    let hole = place..place + said.len();
    let octets = block.iter().enumerate();
    let octets = octets.map(|(at, byte)| if hole.contains(&at) { 0 } else { *byte });
    if crc32c(octets) == u32::from_be_bytes(said) {
        Ok(())
    } else {
        Err(RULE)
    }
}

/// The Castagnoli polynomial, bit by bit: a header is short (RFC 9260, App. A).
fn crc32c(octets: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !octets.fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            sum >> 1 ^ (POLYNOMIAL & 0u32.wrapping_sub(sum & 1))
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What comes of `octets`: the same whole, and octet by octet, and whatever
    /// follows.
    fn read(octets: &[u8]) -> Result<Option<Header>, Broken> {
        let whole = parse(octets);
        if let Ok(Some(header)) = whole {
            let mut taken = 0;
            while parse(&octets[..taken]) == Ok(None) {
                taken += wanted(&octets[..taken]);
            }
            assert_eq!(taken, header.length, "never more than the header");
        }
        let stepwise = (0..=octets.len())
            .map(|count| parse(&octets[..count]))
            .find(|result| *result != Ok(None));
        assert_eq!(stepwise.unwrap_or(Ok(None)), whole, "{octets:?}");
        if whole != Ok(None) {
            assert_eq!(parse(&[octets, b"GET / HTTP/1.1\r\n"].concat()), whole);
        }
        whole
    }

    fn tcp(client: &str, server: &str) -> Origin {
        Origin::Tcp {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
        }
    }

    fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0, 80, 1, 187];

    #[test]
    fn lines() {
        // Rule 134.
        for (line, origin) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
                tcp("192.0.2.1:56324", "198.51.100.2:443"),
            ),
            (
                "PROXY TCP6 2001:DB8::1 ::ffff:192.0.2.1 0 65535\r\n",
                tcp("[2001:db8::1]:0", "[::ffff:192.0.2.1]:65535"),
            ),
            (
                "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
                tcp("255.255.255.255:65535", "255.255.255.255:65535"),
            ),
        ] {
            let length = line.len();
            let expected = Ok(Some(Header { length, origin }));
            assert_eq!(read(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn broken_lines_are_refused() {
        // Rules 135 and 138.
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
            "PROXY TCP4 01.2.3.4 198.51.100.2 56324 443\r\n",
            "PROXY TCP4 1.2.3 198.51.100.2 56324 443\r\n",
            "PROXY TCP4 ::1 ::1 56324 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 56324 443\r\n",
            "PROXY TCP6 ::1%1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 056 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +56 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2  443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
            "PROXY TCP4 192.0.2.1  198.51.100.2 56324 443\r\n",
            "PROXY TCP4\t192.0.2.1 198.51.100.2 56324 443\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.2 56324 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 56324 443\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY UNKNOWN\n",
            "PROXY \r\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
            "proxy TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
            "GET / HTTP/1.1\r\n",
            "\r\n\r\n\r\n",
            "\x16\x03\x01",
        ] {
            assert!(read(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_line_has_an_end() {
        // Rule 135.
        let line = |count: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(count));
        assert_eq!(line(91).len(), LONGEST_LINE);
        assert!(matches!(read(line(91).as_bytes()), Ok(Some(_))));
        assert!(read(line(92).as_bytes()).is_err());
        assert_eq!(parse(&line(92).as_bytes()[..106]), Ok(None));
        assert!(parse(&line(92).as_bytes()[..107]).is_err());
    }

    #[test]
    fn who_names_nobody_is_who_connects() {
        // Rule 136.
        let unknown = [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff:f \xff 65535\r\n".to_vec(),
            block(0x20, 0x00, b""),
            block(0x20, 0x11, b"short"),
            block(0x20, 0xff, &[0; 300]),
            block(0x21, 0x00, b""),
            block(0x21, 0x00, &[7; 40]),
        ];
        for octets in unknown {
            let origin = Origin::Connection;
            let length = octets.len();
            assert_eq!(read(&octets), Ok(Some(Header { length, origin })));
        }
    }

    #[test]
    fn blocks() {
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[31]) = (0x20, 0x01, 1, 2);
        v6[32..].copy_from_slice(&[0, 80, 1, 187]);
        for (octets, origin) in [
            (
                block(0x21, 0x11, &V4),
                tcp("192.0.2.1:80", "198.51.100.2:443"),
            ),
            (block(0x21, 0x21, &v6), tcp("[2001::1]:80", "[::2]:443")),
            (block(0x21, 0x31, &[b'/'; 216]), Origin::Unix),
        ] {
            let length = octets.len();
            assert_eq!(read(&octets), Ok(Some(Header { length, origin })));
        }
        let most = block(0x20, 0x00, &[0; 65_535]);
        assert_eq!(parse(&most).unwrap().unwrap().length, 65_551);
        assert_eq!(parse(&most[..65_550]), Ok(None));
    }

    #[test]
    fn broken_blocks_are_refused() {
        // Rule 137.
        for octets in [
            block(0x11, 0x11, &V4),
            block(0x31, 0x11, &V4),
            block(0x22, 0x11, &V4),
            block(0x2f, 0x11, &V4),
            block(0x21, 0x11, &V4[..11]),
            block(0x21, 0x21, &[0; 35]),
            block(0x21, 0x31, &[0; 215]),
            block(0x21, 0x12, &V4),
            block(0x21, 0x10, &V4),
            block(0x21, 0x41, &V4),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
        ] {
            assert!(read(&octets).is_err(), "{octets:?}");
        }
    }

    #[test]
    fn vectors_are_skipped_and_a_checksum_is_checked() {
        // Rule 139.
        let with = |vectors: &[u8]| block(0x21, 0x11, &[&V4, vectors].concat());
        let origin = tcp("192.0.2.1:80", "198.51.100.2:443");
        let fine = |octets: &[u8]| {
            let length = octets.len();
            assert_eq!(read(octets), Ok(Some(Header { length, origin })));
        };
        fine(&with(b"\x01\0\x02h2\xee\0\0\x04\0\x01\0"));
        for vectors in [
            &b"\x01"[..],
            b"\x01\0",
            b"\x01\0\x02h",
            b"\x03\0\x03abc",
            b"\x03\0\0",
        ] {
            assert!(read(&with(vectors)).is_err(), "{vectors:?}");
        }
        let mut octets = with(b"\x04\0\x01\0\x03\0\x04\0\0\0\0\x04\0\0");
        let sum = crc32c(octets.iter().copied()).to_be_bytes();
        let place = octets.len() - 7;
        octets[place..place + 4].copy_from_slice(&sum);
        fine(&octets);
        for at in [FIXED, place, octets.len() - 3] {
            let mut other = octets.clone();
            other[at] ^= 0x10;
            assert!(read(&other).is_err(), "{at}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_castagnoli() {
        // RFC 3720, B.4.
        assert_eq!(crc32c([0; 32].into_iter()), 0x8a91_36aa);
        assert_eq!(crc32c([0xff; 32].into_iter()), 0x62a8_ab43);
        assert_eq!(crc32c(0..32), 0x46dd_794e);
    }
}
