//! Who a client is, as a configuration names it: address prefixes, and unix
//! sockets as a whole.
//!
//! Owes that an address means the same however it is written: an IPv4 address
//! that came in on an IPv6 socket counts as IPv4.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use toml::Spanned;
use toml::de::DeValue;

use super::kind::{Kind, Shown, each};
use super::mistake::Mistake;
use super::wording::{abridged, quote};

/// All addresses that begin with the same bits, e.g. `10.0.0.0/8` (RFC 4632 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// The first address; its bits past `bits` are zero.
    address: IpAddr,
    /// How many bits count: 0..=32 for IPv4, 0..=128 for IPv6.
    bits: u8,
}

/// A set of clients: address prefixes, and those of unix sockets or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// The prefixes.
    pub networks: Vec<Network>,
    /// Whether those belong to it that connect to a unix socket, who have no
    /// address.
    pub unix: bool,
}

/// Who may come in: the longest prefix that fits a client decides. Where none
/// fits, everybody may come in if `allow` names nobody, else nobody may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Who may.
    pub allow: Clients,
    /// Who may not; where both name the same prefix, this one holds.
    pub deny: Clients,
}

impl Clients {
    /// Those of this machine: loopback, and unix sockets.
    pub(crate) fn local() -> Self {
        Self {
            networks: vec![
                Network {
                    address: Ipv4Addr::new(127, 0, 0, 0).into(),
                    bits: 8,
                },
                Network {
                    address: Ipv6Addr::LOCALHOST.into(),
                    bits: 128,
                },
            ],
            unix: true,
        }
    }
}

impl Network {
    /// Reads `10.0.0.0/8`, `::1`, `2001:db8::/32`.
    ///
    /// # Errors
    /// What is wrong, and what was probably meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| format!("expected {EXPECTED}"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = |bits: &&str| !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
        let bits: u8 = match bits {
            None => most,
            Some(bits) => Some(bits)
                .filter(digits)
                .and_then(|bits| bits.parse().ok())
                .filter(|bits| *bits <= most)
                .ok_or_else(|| format!("expected 0 to {most} bits behind the /"))?,
        };
        // No client ever counts as one of these.
        if let (IpAddr::V4(plain), true) = (address.to_canonical(), address.is_ipv6())
            && let Some(bits) = bits.checked_sub(96)
        {
            let address = cut(plain.into(), bits);
            return Err(format!("did you mean \"{}\"?", Self { address, bits }));
        }
        let first = Self {
            address: cut(address, bits),
            bits,
        };
        if first.address == address {
            Ok(first)
        } else {
            Err(format!("did you mean \"{first}\"?"))
        }
    }

    /// Whether `address` begins with these bits.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && cut(address, self.bits) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        if self.bits == whole {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

impl Clients {
    /// Whether it names nobody.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether it names the client of this address; `None` is one on a unix
    /// socket.
    pub fn contain(&self, client: Option<IpAddr>) -> bool {
        self.bits_for(client).is_some()
    }

    /// How many bits the longest prefix has that fits.
    fn bits_for(&self, client: Option<IpAddr>) -> Option<u8> {
        match client {
            None => self.unix.then_some(0),
            Some(address) => self
                .networks
                .iter()
                .filter(|network| network.contains(address))
                .map(|network| network.bits)
                .max(),
        }
    }
}

impl Access {
    /// Whether the client of this address may come in; `None` is one on a unix
    /// socket.
    pub fn permits(&self, client: Option<IpAddr>) -> bool {
        if self.allow.is_empty() && self.deny.is_empty() {
            return true;
        }
        match (self.allow.bits_for(client), self.deny.bits_for(client)) {
            (None, None) => self.allow.is_empty(),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(allowed), Some(denied)) => allowed > denied,
        }
    }
}

/// The first address that shares its first `bits` with this one.
fn cut(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

const EXPECTED: &str = "addresses such as \"10.0.0.0/8\" or \"::1\", or \"unix:\"";

/// `allow`, `deny`, `trusted_proxies`: an array, or one of them.
pub(crate) struct ClientList;

impl Kind<Clients> for ClientList {
    fn expected(&self) -> String {
        EXPECTED.to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Clients> {
        let listed = each(name, value, EXPECTED, found, |text| {
            if text == "unix:" {
                return Ok(None);
            }
            let not = |why| (format!("{} is no address prefix", abridged(text)), why);
            Network::parse(text).map(Some).map_err(not)
        })?;
        Some(Clients {
            unix: listed.contains(&None),
            networks: listed.into_iter().flatten().collect(),
        })
    }

    fn show(&self, value: &Clients) -> Shown {
        let mut items: Vec<String> = value
            .networks
            .iter()
            .map(|network| quote(&network.to_string()))
            .collect();
        if value.unix {
            items.push(quote("unix:"));
        }
        Shown::array(items)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::kind::tests::read;
    use proptest::prelude::*;

    fn clients(text: &str) -> Clients {
        read(&ClientList, text).unwrap()
    }

    #[test]
    fn prefixes_are_read_and_guessed() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("::1", "::1"),
            ("::/0", "::/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(Network::parse(text).unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("10.0.0.1/8", "did you mean \"10.0.0.0/8\"?"),
            ("2001:db8::1/32", "did you mean \"2001:db8::/32\"?"),
            ("::ffff:10.1.2.3", "did you mean \"10.1.2.3\"?"),
            ("::ffff:10.0.0.0/104", "did you mean \"10.0.0.0/8\"?"),
            ("::ffff:0:0/96", "did you mean \"0.0.0.0/0\"?"),
            ("10.0.0.0/33", "expected 0 to 32 bits"),
            ("10.0.0.0/", "expected 0 to 32 bits"),
            ("10.0.0.0/+8", "expected 0 to 32 bits"),
            ("::/129", "expected 0 to 128 bits"),
            ("10/8", "expected addresses"),
            ("example.org", "expected addresses"),
            ("", "expected addresses"),
        ] {
            let error = Network::parse(text).unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_longest_prefix_decides() {
        let access = Access {
            allow: clients("['10.0.0.0/8', '10.1.2.3', 'unix:']"),
            deny: clients("'10.1.0.0/16'"),
        };
        for (address, permitted) in [
            ("10.0.0.1", true),
            ("10.1.0.1", false),
            ("10.1.2.3", true),
            ("::ffff:10.1.0.1", false),
            ("::ffff:10.2.0.1", true),
            ("192.0.2.1", false),
            ("::1", false),
        ] {
            let client = Some(address.parse().unwrap());
            assert_eq!(access.permits(client), permitted, "{address}");
        }
        assert!(access.permits(None));
    }

    #[test]
    fn where_nothing_fits_what_is_said_decides() {
        let somebody = Some("192.0.2.1".parse().unwrap());
        let denying = Access {
            deny: clients("'10.0.0.0/8'"),
            ..Access::default()
        };
        assert!(denying.permits(somebody) && denying.permits(None));
        let allowing = Access {
            allow: clients("'10.0.0.0/8'"),
            ..Access::default()
        };
        assert!(!allowing.permits(somebody) && !allowing.permits(None));
        let both = Access {
            allow: clients("'192.0.2.1'"),
            deny: clients("'192.0.2.1'"),
        };
        assert!(!both.permits(somebody));
        assert!(Access::default().permits(somebody));
    }

    proptest! {
        #[test]
        fn a_prefix_is_read_back_and_holds_its_first_address(
            address in any::<IpAddr>(),
            bits in 0u8..=128,
        ) {
            let bits = if address.is_ipv4() { bits % 33 } else { bits };
            let network = Network { address: cut(address, bits), bits };
            // Of two ways to write an IPv4 prefix one is right.
            prop_assume!(network.address.to_canonical() == network.address || bits < 96);
            prop_assert_eq!(Network::parse(&network.to_string()), Ok(network));
            if address.to_canonical() == address {
                prop_assert!(network.contains(address));
            }
        }
    }
}
