//! What the server says of itself: one picture of the master, its pools and
//! their workers, that the control socket, the status pages, the metrics and
//! `preforkd status` all show.
//!
//! Owes that a fact has one name and one meaning wherever it is shown, so that
//! whoever scripts against it learns it once. Decides nothing, and asks nobody:
//! the facts come from the scoreboard, by [`reading`]. [`prometheus`] and
//! [`auto`] are the picture in the words of others. Whoever reads it may be older
//! or newer than who wrote it: what is missing is 0 or nothing, what is unknown is
//! passed over.

#[cfg(test)]
mod reader;

pub mod auto;
pub mod html;
pub mod prometheus;
pub mod reading;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole picture, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The master's process id.
    pub pid: u32,
    /// The generation that serves; 0 before the first does.
    pub generation: u32,
    /// What the master is about.
    pub state: MasterState,
    /// Whether new clients are welcome: false from the moment a stop is asked
    /// for, and before anybody serves.
    #[serde(default = "yes")]
    pub ready: bool,
    /// When the master was started, seconds since 1970; an upgrade is no start.
    pub started: u64,
    /// Seconds since then.
    pub uptime: u64,
    /// Reloads that took effect since the start.
    pub reloads: u64,
    /// Reloads that were refused and changed nothing.
    pub reloads_refused: u64,
    /// The last one was: what runs is not what the file says.
    pub reload_refused: bool,
    /// Where it listens.
    pub listening: String,
    /// Clients that were lost in queues that were closed, since the start: there
    /// should never be any.
    pub queue_dropped: u64,
    /// A row a pool of that generation.
    pub pools: Vec<PoolStatus>,
    /// A row a worker, of every generation.
    pub workers: Vec<WorkerStatus>,
}

/// A master that does not say whether clients are welcome is older than the
/// question, and serves.
const fn yes() -> bool {
    true
}

/// What the master is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", from = "String")]
pub enum MasterState {
    /// Nothing but to keep its pools.
    #[default]
    Running,
    /// Another generation has to prove itself, or the old one leaves.
    Reloading,
    /// Another master has to prove itself, or is being left to.
    Upgrading,
    /// It was asked to stop, and has it said that it is not ready; it serves as
    /// ever until that has been heard.
    Withdrawing,
    /// It finishes what is open, and ends.
    Stopping,
}

impl MasterState {
    /// Every one, in the order of the scoreboard.
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Reloading,
        Self::Upgrading,
        Self::Withdrawing,
        Self::Stopping,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Reloading => "reloading",
            Self::Upgrading => "upgrading",
            Self::Withdrawing => "withdrawing",
            Self::Stopping => "stopping",
        }
    }
}

/// Whether new clients are welcome, and if not, why: what is answered to those
/// who send clients here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// Nobody serves yet.
    #[default]
    Starting,
    /// They are.
    Ready,
    /// The workers were told to leave, and the master stays.
    Drained,
    /// A stop was asked for.
    Stopping,
}

impl Readiness {
    /// Every one, in the order of its number (`as`).
    pub const ALL: [Self; 4] = [Self::Starting, Self::Ready, Self::Drained, Self::Stopping];

    /// Whether they are welcome.
    pub const fn is_ready(self) -> bool {
        match self {
            Self::Ready => true,
            Self::Starting | Self::Drained | Self::Stopping => false,
        }
    }

    /// A line for those who ask.
    pub const fn line(self) -> &'static str {
        match self {
            Self::Ready => "ready\n",
            Self::Starting => "not ready: nobody serves yet\n",
            Self::Drained => "not ready: the workers were drained\n",
            Self::Stopping => "not ready: the server is stopping\n",
        }
    }
}

/// A word that is none of ours is a newer master's, and taken for the usual one.
impl From<String> for MasterState {
    fn from(word: String) -> Self {
        let known = Self::ALL.into_iter().find(|state| state.name() == word);
        known.unwrap_or_default()
    }
}

/// One pool. What is counted is counted over all generations that the pool was
/// in without a break, and workers that are gone are in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: u32,
    /// What a connection gets, as the configuration calls it.
    pub service: String,
    /// How its workers spend themselves.
    pub model: String,
    /// Whose the listening sockets are.
    pub accept: String,
    /// How many workers it wants; for a spare-driven pool, has or awaits.
    pub wanted: usize,
    /// How many serve.
    pub ready: usize,
    /// The most workers it may have.
    pub most: usize,
    /// Lanes that wait for a connection: workers, or threads of them.
    pub idle: usize,
    /// Connections that are open.
    pub active: u64,
    /// `closed` where all is well; `open` while no worker is spawned, for they
    /// keep dying; `probing` while one is being tried.
    pub breaker: String,
    /// Connections accepted.
    pub connections: u64,
    /// Requests begun.
    pub requests: u64,
    /// Of these, those that ask for health, which no access log has.
    pub probes: u64,
    /// Lines of the access log that went out: where there is one, as many as
    /// requests that have ended and were no probes, but for those that killed
    /// processes held back, less than a second's.
    pub logged: u64,
    /// Octets received.
    pub received: u64,
    /// Octets sent.
    pub sent: u64,
    /// What there is of it a second.
    pub rates: Rates,
    /// Its accept queues; `None` where the kernel does not say, as for unix
    /// sockets.
    pub queue: Option<Queue>,
    /// The queues of its sockets for datagrams; `None` where it has none.
    pub inbox: Option<Inbox>,
    /// How uneven its workers are loaded: requests (where there are none,
    /// connections) of the one that had most ÷ their mean. 1 is even; `None`
    /// where nobody had any.
    pub skew: Option<f64>,
    /// Answers by the first digit of their status: `1xx` to `5xx`.
    pub answers: BTreeMap<String, u64>,
    /// Connections that have ended, by their reason.
    pub closes: BTreeMap<String, u64>,
    /// Clients that were turned away at the door, by the cause; they are in no other
    /// number.
    pub shed: BTreeMap<String, u64>,
    /// Clients that would have been, but for a dry run.
    pub spared: BTreeMap<String, u64>,
    /// Whether clients are being turned away, or lately were.
    pub shedding: bool,
    /// Workers forked.
    pub spawned: u64,
    /// Workers that are gone, by what became of them.
    pub deaths: BTreeMap<String, u64>,
}

/// Per second, on the average over the last ten seconds, or since the start if
/// that is less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    /// Connections accepted.
    pub connections: f64,
    /// Requests begun.
    pub requests: f64,
    /// Octets received.
    pub received: f64,
    /// Octets sent.
    pub sent: f64,
}

/// The accept queues of a pool's TCP listeners (`tcpi_unacked` and `tcpi_sacked`
/// of a listening socket, tcp(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// Connections that wait to be accepted, in all of them.
    pub length: u64,
    /// How many may, in all of them.
    pub limit: u64,
}

impl Queue {
    /// Whether more than half of the places are taken: whoever looks after the
    /// server should know before all are.
    pub const fn is_filling(self) -> bool {
        self.limit > 0 && self.length > self.limit / 2
    }
}

/// The queues of a pool's sockets for datagrams, as ss(8) has them (`skmem`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inbox {
    /// Octets of memory that what waits takes, in all of them; the kernel's own
    /// included, so more than was sent.
    pub length: u64,
    /// How many it may take, in all of them.
    pub limit: u64,
    /// Datagrams that were lost for want of room, since the start.
    pub dropped: u64,
}

impl Inbox {
    /// Whether more than half of the room is taken.
    pub const fn is_filling(self) -> bool {
        self.limit > 0 && self.length > self.limit / 2
    }
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerStatus {
    /// Its pool.
    pub pool: String,
    /// Its slot.
    pub slot: usize,
    /// Its generation.
    pub generation: u32,
    /// Its process id.
    pub pid: i32,
    /// How far it is in its life.
    pub phase: Phase,
    /// What it does, in words.
    pub doing: String,
    /// Seconds since it was spawned.
    pub age: u64,
    /// Connections that are open.
    pub active: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Requests begun.
    pub requests: u64,
    /// Octets received.
    pub received: u64,
    /// Octets sent.
    pub sent: u64,
    /// Its lanes that wait for a connection.
    pub idle_lanes: usize,
    /// Those that do not, [`MAX_LANES`] at most.
    pub lanes: Vec<Lane>,
}

/// So many lanes of a worker are told of one by one.
pub const MAX_LANES: usize = 256;

/// How far a worker is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", from = "String")]
pub enum Phase {
    /// It is being born.
    Starting,
    /// It serves.
    #[default]
    Ready,
    /// It finishes what is open.
    Draining,
    /// It is to die at once.
    Killed,
    /// It is on nobody's list any more.
    Gone,
}

impl Phase {
    /// Every one, in the order of its number (`as`).
    pub const ALL: [Self; 5] = [
        Self::Starting,
        Self::Ready,
        Self::Draining,
        Self::Killed,
        Self::Gone,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Killed => "killed",
            Self::Gone => "gone",
        }
    }
}

/// As for [`MasterState`].
impl From<String> for Phase {
    fn from(word: String) -> Self {
        let known = Self::ALL.into_iter().find(|phase| phase.name() == word);
        known.unwrap_or_default()
    }
}

/// What one lane does: a worker with one connection at a time, a thread or a
/// child; or an event worker with all that it has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lane {
    /// `reading`, `writing`, `keep-alive`, `closing` or `serving`.
    pub state: String,
    /// For how many seconds it has.
    pub since: f64,
    /// The client's address and port; `None` for one of a unix socket, or many.
    pub peer: Option<String>,
    /// The last request, e.g. `GET /a.iso`; empty where there is none.
    pub request: String,
    /// Seconds until it should have moved on, below 0 where it should have
    /// already; `None` where it may wait for ever.
    pub deadline: Option<f64>,
    /// Connections that it has open.
    pub active: u64,
}

impl Lane {
    /// Whether it should have moved on already. One that is at work has no time
    /// left: it should be back at once, and a second is worth nobody's while.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|left| left <= -1.0)
    }
}

/// The death of a worker, with what is known of its last moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Death {
    /// When, seconds since 1970.
    pub time: f64,
    /// Its pool.
    pub pool: String,
    /// Its slot.
    pub slot: usize,
    /// Its generation.
    pub generation: u32,
    /// Its process id.
    pub pid: i32,
    /// The one word that says why, as in [`PoolStatus::deaths`].
    pub cause: String,
    /// How it ended, e.g. `killed by SIGSEGV, core dumped`.
    pub how: String,
    /// Seconds since it was spawned.
    pub age: f64,
    /// Connections that were cut by it.
    pub cut: u64,
    /// Connections that it had accepted.
    pub connections: u64,
    /// Requests that it had begun.
    pub requests: u64,
    /// Its last row: what it did, in words.
    pub doing: String,
    /// Its lanes that were busy, [`MAX_LANES`] at most.
    pub lanes: Vec<Lane>,
    /// The last request that it had begun; empty where it had none.
    pub last_request: String,
    /// What the kernel said of the process just before the master ended it
    /// (proc_pid_status(5), proc_pid_wchan(5)), e.g. `state T (stopped), in do_signal_stop`;
    /// empty where somebody or something else did.
    pub process: String,
    /// What it had used.
    pub usage: Usage,
}

/// What a process had used when it ended (getrusage(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Seconds of processor time of its own.
    pub user: f64,
    /// Seconds of processor time of the kernel for it.
    pub system: f64,
    /// The most memory it had at a time, in KiB.
    pub max_rss: u64,
    /// Page faults without input or output.
    pub minor_faults: u64,
    /// Page faults with it.
    pub major_faults: u64,
    /// Times it gave the processor up.
    pub voluntary_switches: u64,
    /// Times the processor was taken from it.
    pub involuntary_switches: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect()
    }

    fn pool(name: &str, model: &str, queue: Option<Queue>, most: usize) -> PoolStatus {
        PoolStatus {
            name: name.to_owned(),
            generation: 3,
            service: String::from("http"),
            model: model.to_owned(),
            accept: String::from("shared"),
            wanted: 2,
            ready: 2,
            most,
            idle: 0,
            active: 0,
            breaker: String::from("closed"),
            connections: 0,
            requests: 0,
            probes: 0,
            logged: 0,
            received: 0,
            sent: 0,
            rates: Rates::default(),
            queue,
            inbox: None,
            skew: None,
            answers: counts(&[("2xx", 0), ("4xx", 0)]),
            closes: counts(&[("complete", 0), ("killed", 0)]),
            shed: counts(&[("address", 0)]),
            spared: counts(&[("address", 0)]),
            shedding: false,
            spawned: 0,
            deaths: counts(&[("signal", 0)]),
        }
    }

    fn worker(pool: &str, slot: usize, phase: Phase, lanes: &[&str]) -> WorkerStatus {
        let lane = |state: &&str| Lane {
            state: (*state).to_owned(),
            since: 0.5,
            peer: Some(String::from("203.0.113.9:4711")),
            request: String::from("GET /a.iso"),
            deadline: Some(59.5),
            active: 1,
        };
        WorkerStatus {
            pool: pool.to_owned(),
            slot,
            generation: 3,
            pid: 4711,
            phase,
            doing: String::from("idle"),
            age: 100,
            active: lanes.len() as u64,
            connections: 0,
            requests: 0,
            received: 0,
            sent: 0,
            idle_lanes: 0,
            lanes: lanes.iter().map(lane).collect(),
        }
    }

    /// A server with two pools, one of them busy.
    pub(crate) fn status() -> Status {
        let queue = Queue {
            length: 3,
            limit: 511,
        };
        let mut web = pool("web", "prefork", Some(queue), 4);
        web.idle = 1;
        web.active = 3;
        web.connections = 300;
        web.requests = 1000;
        web.probes = 10;
        web.received = 4096;
        web.sent = 2_048_000;
        web.skew = Some(1.5);
        web.answers = counts(&[("2xx", 900), ("4xx", 100)]);
        web.closes = counts(&[("complete", 299), ("killed", 1)]);
        web.spawned = 4;
        web.deaths = counts(&[("signal", 1)]);
        let mut echo = pool("echo", "event", None, 3);
        echo.active = 1;
        let mut idle = worker("web", 0, Phase::Ready, &[]);
        idle.idle_lanes = 1;
        Status {
            version: String::from("1.2.3"),
            pid: 4700,
            generation: 3,
            state: MasterState::Running,
            ready: true,
            started: 1_795_271_000,
            uptime: 100,
            reloads: 2,
            reloads_refused: 1,
            reload_refused: true,
            listening: String::from("web 127.0.0.1:80"),
            queue_dropped: 0,
            pools: vec![web, echo],
            workers: vec![
                worker("echo", 0, Phase::Ready, &["serving"]),
                worker("echo", 1, Phase::Starting, &[]),
                idle,
                worker("web", 1, Phase::Ready, &["reading", "keep-alive"]),
                worker("web", 2, Phase::Draining, &["writing"]),
            ],
        }
    }
}
