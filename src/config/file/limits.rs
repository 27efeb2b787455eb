//! The table of a pool's limits.

use std::time::Duration;

use super::TIMEOUT;
use crate::config::kind::{Flag, Optional, Text, Word};
use crate::config::limits::{EarlyDrop, EarlyDropKind, FULL, Full, OVER, Rate, RateKind, Refusal};
use crate::config::network::{ClientList, Clients};
use crate::config::number::Count;
use crate::config::table::table;

const MOST: Count<u32> = Count {
    min: 0,
    max: 1 << 20,
};

table! {
    /// `[pool.NAME.limits]`.
    LimitsTable in "[pool.NAME.limits]" {
        connections: u32 = MOST, 0,
            "Connections of the whole pool; 0 is as many as its workers can hold.";
        connections_per_address: u32 = MOST, 0,
            "Connections of one IPv4 address, or of one IPv6 /64; 0 is any number.";
        connections_per_network: u32 = MOST, 0,
            "Connections of one network; 0 is any number.";
        ipv4_network: u8 = Count { min: 1, max: 32 }, 24,
            "How many bits of an IPv4 address are its network.";
        ipv6_network: u8 = Count { min: 1, max: 64 }, 56,
            "How many bits of an IPv6 address are its network.";
        accept_rate: Option<Rate> = Optional(RateKind, "any"), None,
            "How fast connections of one source, an IPv4 address or an IPv6 /64, may come.";
        burst: Option<u32> = Optional(Count { min: 1, max: 1 << 20 },
                "the number of `accept_rate`; only beside it"), None,
            "How many of a source may come at once after a silence.";
        random_early_drop: Option<EarlyDrop> = Optional(EarlyDropKind, "nobody is turned away by chance"), None,
            "From how many connections of the pool on a client is turned away by chance: START:RATE:FULL, as MaxStartups of sshd.";
        exempt: Clients = ClientList, Clients::default(),
            "Clients whom of all this only `connections` concerns.";
        full: Full = Word(FULL), Full::Wait,
            "What becomes of clients while `connections` are open: \"wait\" leaves them in the accept queue.";
        over: Refusal = Word(OVER), Refusal::Answer,
            "What becomes of a client over one of the other limits: \"answer\" is 503 with Retry-After from the service http, the banner from others.";
        banner: Option<String> = Optional(
                Text { max: 4096, what: "a text" }, "nothing is said; not for service = \"http\""), None,
            "What a client that is turned away with \"answer\" is told, octet for octet.";
        retry_after: Option<Duration> = Optional(TIMEOUT, "\"5s\"; only for service = \"http\""), None,
            "When a client that is turned away with 503 shall come back; in whole seconds, rounded up.";
        dry_run: bool = Flag, false,
            "Everybody is let in; who would not have been is counted and told of.";
    }
}
