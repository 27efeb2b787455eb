//! What becomes of a client, from the numbers of those who are in.
//!
//! Two clients that come to the last place at once must not both get it. Each
//! announces itself before it counts, so at least one of them sees the other; who
//! sees that there would be too many with those who are not sure yet, goes back
//! and tries [again](Verdict::Again), and who sees too many without them is
//! [shed](Verdict::Shed).

use crate::config::{EarlyDrop, Limits};

/// Why a client is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A rule names it.
    Denied,
    /// Its source came too fast.
    Rate,
    /// All places are taken.
    Full,
    /// By chance, before all places are taken.
    Early,
    /// Its address has as many as it may.
    Address,
    /// Its network has as many as it may.
    Network,
}

impl Cause {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every cause, in the order of the status.
    pub const ALL: [Self; 6] = [
        Self::Denied,
        Self::Rate,
        Self::Full,
        Self::Early,
        Self::Address,
        Self::Network,
    ];

    /// The word for status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Rate => "rate",
            Self::Full => "full",
            Self::Early => "early",
            Self::Address => "address",
            Self::Network => "network",
        }
    }
}

/// How many connections there are, without the one that asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the pool.
    pub total: u32,
    /// Of the client's address.
    pub address: u32,
    /// Of the client's network.
    pub network: u32,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those who are in.
    pub sure: Counts,
    /// Those, and who asks at this moment.
    pub with_others: Counts,
}

/// What is to be kept of the limits when a client is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The most in the pool; 0 is any number.
    pub total: u32,
    /// The most of an address; 0 is any number.
    pub address: u32,
    /// The most of a network; 0 is any number.
    pub network: u32,
    /// When chance decides.
    pub early: Option<EarlyDrop>,
}

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is let in.
    Admit,
    /// It is turned away.
    Shed(Cause),
    /// It depends on others that ask at this moment; if it does so for too long,
    /// this is why it is turned away.
    Again(Cause),
}

impl Bounds {
    /// All that the limits say.
    pub fn of(limits: &Limits) -> Self {
        Self {
            total: limits.connections,
            address: limits.connections_per_address,
            network: limits.connections_per_network,
            early: limits.random_early_drop,
        }
    }

    /// Of them, what concerns everybody, whoever it is.
    pub const fn of_all(self) -> Self {
        Self {
            total: self.total,
            address: 0,
            network: 0,
            early: None,
        }
    }

    /// Of them, what concerns a client that has its place already.
    pub const fn of_source(self) -> Self {
        Self { total: 0, ..self }
    }

    /// Whether nothing has to be counted.
    pub const fn is_empty(&self) -> bool {
        self.total == 0 && self.address == 0 && self.network == 0 && self.early.is_none()
    }
}

/// Judges a client. `chance` is any number, each as likely as the others.
pub fn judge(bounds: &Bounds, tally: &Tally, chance: u32) -> Verdict {
    let limits = [
        (
            Cause::Full,
            bounds.total,
            tally.sure.total,
            tally.with_others.total,
        ),
        (
            Cause::Address,
            bounds.address,
            tally.sure.address,
            tally.with_others.address,
        ),
        (
            Cause::Network,
            bounds.network,
            tally.sure.network,
            tally.with_others.network,
        ),
    ];
    for (cause, limit, sure, _) in limits {
        if limit > 0 && sure >= limit {
            return Verdict::Shed(cause);
        }
    }
    // Chance is asked once: who goes back and tries again has passed it, or may
    // as well be unlucky now.
    let total = tally.with_others.total;
    if bounds
        .early
        .is_some_and(|early| chance_is_against(early, total, chance))
    {
        return Verdict::Shed(Cause::Early);
    }
    for (cause, limit, _, with_others) in limits {
        if limit > 0 && with_others >= limit {
            return Verdict::Again(cause);
        }
    }
    Verdict::Admit
}

/// Whether a client that finds `connections` open is turned away.
pub fn chance_is_against(early: EarlyDrop, connections: u32, chance: u32) -> bool {
    u64::from(chance) < threshold(early, connections)
}

/// Below which chance that is: 0 is never, 2^32 always.
fn threshold(early: EarlyDrop, connections: u32) -> u64 {
    const CERTAINTY: u64 = 1 << 32;
    let EarlyDrop { start, rate, full } = early;
    if connections >= full {
        return CERTAINTY;
    }
    let Some(past) = connections.checked_sub(start) else {
        return 0;
    };
    let (past, span, rate) = (u64::from(past), u64::from(full - start), u64::from(rate));
    // `full` is more than `connections`, which are no fewer than `start`.
    let percent_of_span = rate * span + (100 - rate) * past;
    CERTAINTY / 100 * percent_of_span / span
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(total: u32, address: u32, network: u32) -> Counts {
        Counts {
            total,
            address,
            network,
        }
    }

    fn settled(counts: Counts) -> Tally {
        Tally {
            sure: counts,
            with_others: counts,
        }
    }

    const BOUNDS: Bounds = Bounds {
        total: 3,
        address: 1,
        network: 2,
        early: None,
    };

    /// Each number of each kind, sure or not, against the rule said in words.
    #[test]
    fn every_verdict_up_to_the_limits_and_past_them() {
        let some = || 0..5u32;
        for (total, address, network) in
            some().flat_map(|a| some().flat_map(move |b| some().map(move |c| (a, b, c))))
        {
            let sure = counts(total, address, network);
            for (more_total, more_address, more_network) in
                [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1)]
            {
                let with_others = counts(
                    total + more_total,
                    address + more_address,
                    network + more_network,
                );
                let verdict = judge(&BOUNDS, &Tally { sure, with_others }, 0);
                let expected = if total >= 3 {
                    Verdict::Shed(Cause::Full)
                } else if address >= 1 {
                    Verdict::Shed(Cause::Address)
                } else if network >= 2 {
                    Verdict::Shed(Cause::Network)
                } else if total + more_total >= 3 {
                    Verdict::Again(Cause::Full)
                } else if address + more_address >= 1 {
                    Verdict::Again(Cause::Address)
                } else if network + more_network >= 2 {
                    Verdict::Again(Cause::Network)
                } else {
                    Verdict::Admit
                };
                assert_eq!(verdict, expected, "{sure:?} {with_others:?}");
            }
        }
    }

    #[test]
    fn nothing_is_limited_by_nothing() {
        let many = settled(counts(u32::MAX, u32::MAX, u32::MAX));
        assert_eq!(judge(&Bounds::default(), &many, 0), Verdict::Admit);
        assert!(Bounds::default().is_empty());
        assert!(!BOUNDS.is_empty());
        let of_all = judge(&BOUNDS.of_all(), &settled(counts(2, 9, 9)), 0);
        assert_eq!(of_all, Verdict::Admit);
        let of_source = judge(&BOUNDS.of_source(), &settled(counts(9, 0, 1)), 0);
        assert_eq!(of_source, Verdict::Admit);
    }

    const SSHD: EarlyDrop = EarlyDrop {
        start: 10,
        rate: 30,
        full: 100,
    };

    #[test]
    fn the_curve_is_that_of_sshd() {
        let percent =
            |connections| threshold(SSHD, connections) as f64 / f64::from(u32::MAX) * 100.0;
        for (connections, expected) in [
            (0, 0.0),
            (9, 0.0),
            (10, 30.0),
            (55, 65.0),
            (99, 99.22),
            (100, 100.0),
            (1000, 100.0),
        ] {
            let found = percent(connections);
            assert!((found - expected).abs() < 0.01, "{connections}: {found}");
        }
        let hard = EarlyDrop {
            start: 5,
            rate: 100,
            full: 5,
        };
        assert_eq!((threshold(hard, 4), threshold(hard, 5)), (0, 1 << 32));
        let all = EarlyDrop {
            start: 5,
            rate: 100,
            full: 9,
        };
        assert!(chance_is_against(all, 5, u32::MAX - 100));
    }

    #[test]
    fn chance_is_kept_over_many_throws() {
        // Each number once in a while: the share is the probability.
        let bounds = Bounds {
            early: Some(SSHD),
            ..Bounds::default()
        };
        let shed = |total| {
            let tally = settled(counts(total, 0, 0));
            let throws = (0..1000u32).map(|throw| throw * (u32::MAX / 1000));
            throws
                .filter(|chance| judge(&bounds, &tally, *chance) != Verdict::Admit)
                .count()
        };
        assert_eq!(shed(9), 0);
        assert!((299..=301).contains(&shed(10)), "{}", shed(10));
        assert!((649..=651).contains(&shed(55)), "{}", shed(55));
        assert_eq!(shed(100), 1000);
    }

    #[test]
    fn each_cause_has_its_place_and_its_name() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
            assert!(
                Cause::ALL[..index]
                    .iter()
                    .all(|other| other.name() != cause.name())
            );
        }
    }

    proptest! {
        #[test]
        fn more_connections_are_never_safer(
            start in 1u32..1000,
            rate in 1u8..=100,
            span in 0u32..1000,
            connections in 0u32..3000,
        ) {
            let early = EarlyDrop { start, rate, full: start + span };
            prop_assert!(threshold(early, connections) <= threshold(early, connections + 1));
            prop_assert!(threshold(early, connections) <= 1 << 32);
        }
    }
}
