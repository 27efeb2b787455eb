//! The accounts of clients: what became of each request, and how long it took.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

/// What became of a request, or of a connection between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// The whole answer came, and it was the right one.
    Served,
    /// Nobody listened (ECONNREFUSED).
    Refused,
    /// The connection was reset before the whole answer had come (ECONNRESET, EPIPE).
    Reset,
    /// The client lost its patience.
    TimedOut,
    /// An orderly end before the whole answer had come, or before any of it.
    CutShort,
    /// Another status or body than was wanted, or one that nobody had asked for.
    Wrong,
    /// Closed between two requests, unannounced and before the time was over.
    ClosedIdle,
}

impl Fate {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::TimedOut => "timed out",
            Self::CutShort => "cut short",
            Self::Wrong => "wrong",
            Self::ClosedIdle => "closed idle",
        }
    }
}

/// A request that was not served.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) fate: Fate,
    /// When the client knew.
    pub(crate) at: Instant,
    /// The client's end of the connection, to be found in a trace.
    pub(crate) client: Option<SocketAddr>,
    /// Where it happened.
    pub(crate) detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fate.name(), self.detail)?;
        match self.client {
            Some(client) => write!(f, " ({client})"),
            None => Ok(()),
        }
    }
}

/// The accounts of many clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// When each answer was whole, and how long it had taken: from connect(2)
    /// where a connection had to be made, else from the request.
    served: Vec<(Instant, Duration)>,
    pub(crate) faults: Vec<Fault>,
}

impl Ledger {
    pub(crate) fn serve(&mut self, at: Instant, latency: Duration) {
        self.served.push((at, latency));
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.served.extend(other.served);
        self.faults.extend(other.faults);
    }

    pub(crate) fn count(&self, fate: Fate) -> usize {
        match fate {
            Fate::Served => self.served.len(),
            Fate::Refused
            | Fate::Reset
            | Fate::TimedOut
            | Fate::CutShort
            | Fate::Wrong
            | Fate::ClosedIdle => self.faults.iter().filter(|one| one.fate == fate).count(),
        }
    }

    /// What a client would complain of: all but the served and the refused.
    pub(crate) fn lost(&self) -> usize {
        self.faults.len() - self.count(Fate::Refused)
    }

    /// How long it took, in these times.
    pub(crate) fn latencies(&self, times: &[Range<Instant>]) -> Latencies {
        let within = |(at, _): &&(Instant, Duration)| times.iter().any(|time| time.contains(at));
        let mut all: Vec<Duration> = self
            .served
            .iter()
            .filter(within)
            .map(|(_, took)| *took)
            .collect();
        all.sort_unstable();
        Latencies { all }
    }

    /// The first faults, a line each.
    pub(crate) fn complaints(&self) -> String {
        let mut text = String::new();
        for fault in self.faults.iter().take(20) {
            text.push_str(&format!("  {fault}\n"));
        }
        text
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} served", self.served.len())?;
        let mut others = BTreeMap::new();
        for fault in &self.faults {
            *others.entry(fault.fate).or_insert(0) += 1;
        }
        others
            .into_iter()
            .try_for_each(|(fate, count): (Fate, u32)| write!(f, ", {count} {}", fate.name()))
    }
}

/// Latencies, in order.
pub(crate) struct Latencies {
    all: Vec<Duration>,
}

impl Latencies {
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// The latency that this share of requests did not exceed (nearest rank);
    /// 0 where there were none.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.all.len() * percent).div_ceil(100);
        let at = rank.saturating_sub(1);
        self.all.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, most] =
            [50, 99, 100].map(|percent| self.percentile(percent).as_secs_f64() * 1000.0);
        write!(f, "p50 {p50:.1} p99 {p99:.1} max {most:.1} ms")
    }
}
