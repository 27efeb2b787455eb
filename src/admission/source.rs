//! Where a client comes from, as a number that nobody outside can choose.
//!
//! Owes that two clients of one source have one number, and that who does not
//! know the secret cannot find two sources of one: else somebody could take the
//! places of another.

use crate::mix::mix_in;
use std::net::IpAddr;

/// What makes the numbers of one pool.
#[derive(Clone, Copy, Debug)]
pub struct Secret(u64);

/// What a connection is counted under: 0 where it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Its address.
    pub(super) address: u64,
    /// Its network.
    pub(super) network: u64,
}

/// How many bits of an IPv6 address are one source: what a host has to choose from
/// as it likes (RFC 4291 §2.5.1, RFC 8981).
const IPV6_SOURCE: u8 = 64;

/// Numbers of sources are never 0.
const SOME: u64 = 1 << 63;

impl Claim {
    /// Of a source and its network, as far as they are counted.
    pub fn new(address: Option<u64>, network: Option<u64>) -> Self {
        Self {
            address: address.unwrap_or_default(),
            network: network.unwrap_or_default(),
        }
    }
}

impl Secret {
    /// Of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Of a client: an IPv4 address, also one that came in on an IPv6 socket, or the
    /// first 64 bits of an IPv6 address.
    pub fn source(self, client: IpAddr) -> u64 {
        self.network(client, 32, IPV6_SOURCE)
    }

    /// Of a client's network: so many bits of an IPv4 address, so many of the first 64
    /// of an IPv6 address.
    pub fn network(self, client: IpAddr, ipv4: u8, ipv6: u8) -> u64 {
        let (family, bits, kept) = match client.to_canonical() {
            IpAddr::V4(client) => (4, u64::from(client.to_bits()) << 32, ipv4.min(32)),
            IpAddr::V6(client) => (6, (client.to_bits() >> 64) as u64, ipv6.min(IPV6_SOURCE)),
        };
        let mask = u64::MAX.checked_shl(64 - u32::from(kept)).unwrap_or(0);
        // With the length among them, a network is no address.
        let octets = (family << 8 | u64::from(kept)).to_le_bytes();
        mix_in(mix_in(self.0, &(bits & mask).to_le_bytes()), &octets) | SOME
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_an_address_or_a_64() {
        let secret = Secret::new(7);
        let same = |one: &str, other: &str| secret.source(ip(one)) == secret.source(ip(other));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("2001:db8::1", "2001:db8::ffff:1:2:3"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("0.0.0.0", "::"));
        let other = Secret::new(8);
        assert_ne!(
            secret.source(ip("192.0.2.1")),
            other.source(ip("192.0.2.1"))
        );
    }

    #[test]
    fn a_network_is_its_first_bits_and_no_address() {
        let secret = Secret::new(7);
        let network = |text: &str, ipv4, ipv6| secret.network(ip(text), ipv4, ipv6);
        assert_eq!(network("192.0.2.1", 24, 56), network("192.0.2.200", 24, 56));
        assert_ne!(network("192.0.2.1", 24, 56), network("192.0.3.1", 24, 56));
        assert_eq!(
            network("2001:db8::1", 24, 56),
            network("2001:db8:0:ff::1", 24, 56)
        );
        assert_ne!(
            network("2001:db8::1", 24, 56),
            network("2001:db8:0:100::1", 24, 56)
        );
        assert_ne!(network("192.0.2.0", 24, 56), secret.source(ip("192.0.2.0")));
        assert_ne!(network("10.0.0.0", 8, 56), network("10.0.0.0", 16, 56));
        assert_eq!(network("10.0.0.0", 1, 1), network("127.0.0.0", 1, 1));
    }
}
