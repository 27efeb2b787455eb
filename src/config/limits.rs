//! Limits before the first octet: what `[pool.NAME.limits]` comes to.
//!
//! Owes the meaning of each number and word. What is decided by them, and when, is
//! `admission`'s.

use std::fmt;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::kind::{Kind, Shown, cannot_be, string};
use super::mistake::Mistake;
use super::network::Clients;
use super::wording::quote;

/// The `[pool.NAME.limits]` table. They hold for all workers of the pool together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that may be open; 0 is any number.
    pub connections: u32,
    /// Connections of one source: an IPv4 address or an IPv6 /64; 0 is any number.
    pub connections_per_address: u32,
    /// Connections of one network; 0 is any number.
    pub connections_per_network: u32,
    /// How many bits of an IPv4 address are its network, 1..=32.
    pub ipv4_network: u8,
    /// How many bits of an IPv6 address are its network, 1..=64.
    pub ipv6_network: u8,
    /// How fast connections of one source may come.
    pub accept_rate: Option<Rate>,
    /// When chance turns some clients away, before all would have to be.
    pub random_early_drop: Option<EarlyDrop>,
    /// Whom only `connections` concerns.
    pub exempt: Clients,
    /// What becomes of clients while `connections` are open.
    pub full: Full,
    /// What becomes of a client over one of the other limits.
    pub over: Refusal,
    /// What such a client is told, if it is [answered](Refusal::Answer) and the
    /// service is not http.
    pub banner: Option<String>,
    /// When a client of the service http is told to come back.
    pub retry_after: Duration,
    /// Everybody is let in, and who would not have been is counted.
    pub dry_run: bool,
}

impl Limits {
    /// Whether something is counted by where a client comes from.
    pub const fn tells_sources_apart(&self) -> bool {
        self.connections_per_address > 0
            || self.connections_per_network > 0
            || self.accept_rate.is_some()
    }

    /// Whether somebody is turned away by a word.
    pub fn answers(&self) -> bool {
        self.over == Refusal::Answer || self.full == Full::Refuse(Refusal::Answer)
    }

    /// Whether clients stay in the accept queue while no place is free.
    pub fn waits(&self) -> bool {
        self.connections > 0 && self.full == Full::Wait && !self.dry_run
    }
}

/// So many, each so long, after a number at once: "20/s" with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In how long: a second, a minute or an hour.
    pub per: Duration,
    /// How many may come at once after a silence; at least 1.
    pub burst: u32,
}

/// From `start` connections on a client is turned away with a probability of
/// `rate` percent, which rises in a straight line to certainty at `full`
/// (MaxStartups of sshd_config(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyDrop {
    /// At least 1.
    pub start: u32,
    /// 1..=100.
    pub rate: u8,
    /// At least `start`.
    pub full: u32,
}

/// What becomes of clients while all places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// They stay in the accept queue until one is free.
    Wait,
    /// They are accepted and turned away.
    Refuse(Refusal),
}

/// How a client is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// By RST: it knows at once, and nothing is left of it.
    Reset,
    /// By an end without a word.
    Close,
    /// By a word: 503 with Retry-After from the service http, the banner from
    /// others.
    Answer,
}

pub(crate) const FULL: &[(&str, Full)] = &[
    ("wait", Full::Wait),
    ("reset", Full::Refuse(Refusal::Reset)),
    ("close", Full::Refuse(Refusal::Close)),
    ("answer", Full::Refuse(Refusal::Answer)),
];

pub(crate) const OVER: &[(&str, Refusal)] = &[
    ("reset", Refusal::Reset),
    ("close", Refusal::Close),
    ("answer", Refusal::Answer),
];

/// Who is not let in at all is not told why.
pub(crate) const DENIED: &[(&str, Refusal)] =
    &[("close", Refusal::Close), ("reset", Refusal::Reset)];

/// `accept_rate`: its burst is another key's.
pub(crate) struct RateKind;

/// `random_early_drop`.
pub(crate) struct EarlyDropKind;

const SECOND: Duration = Duration::from_secs(1);
const UNITS: [(&str, Duration); 3] = [
    ("s", SECOND),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3600)),
];

/// As many as tell their moments apart in microseconds.
const MOST_A_UNIT: u32 = 100_000;

impl Rate {
    /// Reads `20/s`, `100/m`, `1000/h`; the burst is the number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let count = whole(count, MOST_A_UNIT)?;
        let (_, per) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        Some(Self {
            count,
            per,
            burst: count,
        })
    }

    /// From one to the next, on the average.
    pub fn interval(&self) -> Duration {
        self.per / self.count.max(1)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.into_iter().find(|(_, per)| *per == self.per);
        write!(f, "{}/{}", self.count, unit.map_or("s", |(name, _)| name))
    }
}

impl EarlyDrop {
    /// Reads `10:30:100`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let start = whole(parts.next()?, 1 << 20)?;
        let rate = u8::try_from(whole(parts.next()?, 100)?).ok()?;
        let full = whole(parts.next()?, 1 << 20)?;
        let whole = parts.next().is_none() && start <= full;
        whole.then_some(Self { start, rate, full })
    }
}

impl fmt::Display for EarlyDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.start, self.rate, self.full)
    }
}

/// A whole number from 1 to `most`, in digits alone.
fn whole(text: &str, most: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits)?;
    (1..=most).contains(&number).then_some(number)
}

impl Kind<Rate> for RateKind {
    fn expected(&self) -> String {
        format!("a rate such as \"20/s\", \"100/m\" or \"1000/h\", of 1 to {MOST_A_UNIT}")
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Rate> {
        let text = string(name, value, || self.expected(), found)?;
        let expected = || format!("expected {}", self.expected());
        Rate::parse(text).or_else(|| cannot_be(name, value, text, expected(), found))
    }

    fn show(&self, value: &Rate) -> Shown {
        Shown::Value(quote(&value.to_string()))
    }
}

impl Kind<EarlyDrop> for EarlyDropKind {
    fn expected(&self) -> String {
        "START:RATE:FULL such as \"10:30:100\": from 10 connections on 30 percent, from 100 on all"
            .to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<EarlyDrop> {
        let text = string(name, value, || self.expected(), found)?;
        let expected = || format!("expected {}", self.expected());
        EarlyDrop::parse(text).or_else(|| cannot_be(name, value, text, expected(), found))
    }

    fn show(&self, value: &EarlyDrop) -> Shown {
        Shown::Value(quote(&value.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for text in ["1/s", "20/s", "100/m", "1000/h", "100000/s"] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), text);
        }
        let rate = Rate::parse("30/m").unwrap();
        assert_eq!((rate.burst, rate.interval()), (30, 2 * SECOND));
        for text in [
            "", "20", "0/s", "20/d", "/s", "+1/s", "1.5/s", "100001/s", "1/s ", "1/ms",
        ] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn early_drops_are_read_and_written() {
        for text in ["10:30:100", "1:1:1", "5:100:5"] {
            assert_eq!(EarlyDrop::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "10",
            "10:30",
            "10:30:9",
            "0:30:9",
            "10:0:100",
            "10:101:100",
            "1:2:3:4",
            "a:1:2",
            "10:30:",
        ] {
            assert_eq!(EarlyDrop::parse(text), None, "{text}");
        }
    }
}
