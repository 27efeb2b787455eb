//! The long haul: hundreds of reloads and of killed workers under load, with
//! figures, and a master that is as lean afterwards as before.

use super::cell::site;
use super::table::{Accept, Model};
use crate::harness::crowd::{Crowd, Habit, Manners};
use crate::harness::ledger::{Fate, Ledger};
use crate::harness::server::outcome;
use crate::harness::{SOON, Server, eventually, let_time_pass, preforkd, process};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Clients of each habit.
const CLIENTS: usize = 64;
const RELOADS: u32 = 200;
/// In how many turns they are made.
const TURNS: u32 = 10;
const KILLS: usize = 100;
/// How long, each turn, the server is watched without anything done to it.
const CALM: Duration = Duration::from_secs(1);
/// What a client waits when the scheduler gives one other process its turn: no
/// latency below says anything about a server on a machine with two processors.
const SLICE: Duration = Duration::from_millis(3);
/// A worker that is older has not died young.
const OLD: Duration = Duration::from_millis(1100);
/// By how much the master's memory may have grown, in KiB.
const GROWTH: u64 = 256;

/// How a pool is sized so that 64 kept connections and 64 others do not
/// saturate it, and how fast reloads may follow each other.
struct Dose {
    workers: usize,
    keys: &'static str,
    /// What clients without a kept connection think, at most.
    think: Duration,
    /// From the beginning of a reload to that of the next, if it is over by then.
    pace: Duration,
}

const fn dose(model: Model, accept: Accept) -> Dose {
    match (model, accept) {
        // A process for each kept connection, and some for the others.
        (Model::Prefork, Accept::Shared) => Dose {
            workers: 80,
            keys: "",
            think: Duration::from_millis(100),
            pace: Duration::from_secs(1),
        },
        // The kernel deals out by a hash: a client waits behind a kept
        // connection that came to the same slot, so none is kept for long.
        (Model::Prefork, Accept::Reuseport) => Dose {
            workers: 128,
            keys: "http.keepalive_requests = 20",
            think: Duration::from_millis(100),
            pace: Duration::from_secs(1),
        },
        (Model::Event, _) => Dose {
            workers: 2,
            keys: "",
            think: Duration::from_millis(100),
            pace: Duration::from_millis(100),
        },
        (Model::Threads, _) => Dose {
            workers: 4,
            keys: "threads_per_worker = 48",
            think: Duration::from_millis(100),
            pace: Duration::from_millis(250),
        },
        // A process is made for each connection that is not kept.
        (Model::Fork, _) => Dose {
            workers: 4,
            keys: "",
            think: Duration::from_millis(200),
            pace: Duration::from_millis(250),
        },
    }
}

struct Haul {
    name: String,
    model: Model,
    dose: Dose,
    server: Server,
}

/// All of it on one model; prints what it finds, and panics where a promise
/// was not kept.
pub(crate) fn run(model: Model, accept: Accept) {
    let name = format!("{} {}", model.name(), accept.name());
    let dose = dose(model, accept);
    let master = "log = { to = \"stderr\", level = \"info\" }\ncontrol_socket = \"control\"";
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nhttp.root = \"www\"\n\
         model = \"{}\"\naccept = \"{}\"\nworkers = {}\nlinger_timeout = \"100ms\"\n{}\n",
        model.name(),
        accept.name(),
        dose.workers,
        dose.keys
    );
    let server = Server::run_with(site(), master, &pools);
    let mut haul = Haul {
        name,
        model,
        dose,
        server,
    };
    // One reload before anything is measured: what is made once has been made.
    haul.reload();
    haul.rest();
    let before = haul.state();
    haul.reloads();
    haul.kills();
    haul.rest();
    let after = haul.state();
    println!(
        "{:18} master before and after (descriptors, KiB anonymous, KiB PSS): {before:?} {after:?}",
        haul.name
    );
    assert_eq!(before.0, after.0, "{}: descriptors", haul.name);
    assert!(after.1 <= before.1 + GROWTH, "{}: memory", haul.name);
    haul.server.stop();
}

impl Haul {
    fn crowds(&self) -> Vec<Crowd> {
        let kept = (Habit::KeepAlive, Duration::from_millis(20));
        let fresh = (Habit::Fresh, self.dose.think);
        let address: SocketAddr = self.server.address("web");
        let start = |(habit, think)| {
            Crowd::start(Manners {
                address,
                path: "/".to_owned(),
                body: b"index\n".to_vec(),
                habit,
                clients: CLIENTS,
                think: Duration::ZERO..think,
                patience: SOON,
                keepalive: Duration::from_secs(5),
                seed: 20,
            })
        };
        [kept, fresh].into_iter().map(start).collect()
    }

    /// As an operator does it.
    fn reload(&self) {
        let control = self.server.directory.path().join("control");
        let mut command = preforkd();
        command.args(["reload", "--wait", "--control"]).arg(control);
        let output = outcome(command);
        assert!(output.status.success(), "{output:?}\n{}", self.server.log);
    }

    /// Waits until nothing is under way.
    fn rest(&self) {
        let workers = self.dose.workers;
        eventually("nobody drains any more", SOON, || {
            let titles: Vec<_> = self
                .server
                .workers()
                .into_iter()
                .map(process::title)
                .collect();
            let calm = titles.iter().all(|title| title.contains("idle"));
            (titles.len() == workers && calm).then_some(())
        });
        eventually("no zombie", SOON, || {
            process::zombies(self.server.pid()).is_empty().then_some(())
        });
    }

    /// The master's descriptors, and its anonymous and proportional memory in KiB.
    fn state(&self) -> (usize, u64, u64) {
        let master = self.server.pid();
        (
            process::descriptors(master).len(),
            process::anonymous_memory(master),
            process::proportional_memory(master),
        )
    }

    /// Reloads and calm by turns: what else the machine is busy with falls on
    /// both alike.
    fn reloads(&self) {
        let crowds = self.crowds();
        crowds.iter().for_each(|crowd| crowd.wait_for(500));
        let (mut calm, mut busy) = (Vec::new(), Vec::new());
        let mut reloading = Duration::ZERO;
        for _ in 0..TURNS {
            let begun = Instant::now();
            let_time_pass(CALM);
            calm.push(begun..Instant::now());
            let begun = Instant::now();
            for _ in 0..RELOADS / TURNS {
                let next = Instant::now() + self.dose.pace;
                let asked = Instant::now();
                self.reload();
                reloading += asked.elapsed();
                let_time_pass(next.saturating_duration_since(Instant::now()));
            }
            busy.push(begun..Instant::now());
        }
        let mut ledger = Ledger::default();
        crowds
            .into_iter()
            .for_each(|crowd| ledger.add(crowd.stop()));
        let rate = |count: usize, times: &[Range<Instant>]| {
            let time: Duration = times.iter().map(|one| one.end - one.start).sum();
            count as u128 * 1000 / time.as_millis()
        };
        let (usual, then) = (ledger.latencies(&calm), ledger.latencies(&busy));
        println!(
            "{:18} {RELOADS} reloads of {:?}, one in {:?}: {ledger}; calm {}/s {usual}; reloads {}/s {then}",
            self.name,
            reloading / RELOADS,
            self.dose.pace,
            rate(usual.count(), &calm),
            rate(then.count(), &busy),
        );
        let complaints = ledger.complaints();
        assert!(ledger.faults.is_empty(), "{}:\n{complaints}", self.name);
        let most = (usual.percentile(99) * 3).max(SLICE);
        assert!(
            then.percentile(99) <= most,
            "{}: {usual}, then {then}",
            self.name
        );
    }

    fn kills(&mut self) {
        for line in ["killed by SIGKILL", "for 127.0.0.1:"] {
            self.server.expect(line);
        }
        let crowds = self.crowds();
        crowds.iter().for_each(|crowd| crowd.wait_for(500));
        let begun = Instant::now();
        let mut times = Ledger::default();
        let mut born: BTreeMap<u32, Instant> = BTreeMap::new();
        for _ in 0..KILLS {
            let workers = eventually("a full crew", SOON, || {
                let found = self.ready_workers();
                (found.len() == self.dose.workers).then_some(found)
            });
            let now = Instant::now();
            born.retain(|pid, _| workers.contains(pid));
            workers.iter().for_each(|&pid| {
                born.entry(pid).or_insert(now);
            });
            // The oldest, so that none dies young and its slot has to wait.
            let (&victim, &since) = born.iter().min_by_key(|(_, since)| **since).unwrap();
            let_time_pass((since + OLD).saturating_duration_since(now));
            let killed = Instant::now();
            process::signal(victim, Signal::SIGKILL);
            // A title that is not "starting" comes with READY, or after it.
            let ready = eventually("a replacement", SOON, || {
                let new = self.ready_workers();
                let replaced = new.len() == workers.len() && !new.contains(&victim);
                replaced.then(Instant::now)
            });
            times.serve(ready, ready - killed);
        }
        let over = Instant::now();
        let mut ledger = Ledger::default();
        crowds
            .into_iter()
            .for_each(|crowd| ledger.add(crowd.stop()));
        let times = times.latencies(&[begun..over]);
        println!(
            "{:18} {KILLS} kills: {ledger}; READY again {times}; latency {}",
            self.name,
            ledger.latencies(&[begun..over])
        );
        let each = self.model.clients_of_one(48, 2 * CLIENTS);
        let idle = ledger.count(Fate::ClosedIdle);
        let lost = ledger.lost() - idle;
        let complaints = ledger.complaints();
        assert!(
            lost <= KILLS * each,
            "{}: {lost} lost:\n{complaints}",
            self.name
        );
        assert_eq!(
            ledger.count(Fate::Refused),
            0,
            "{}:\n{complaints}",
            self.name
        );
        assert!(
            times.percentile(99) < Duration::from_millis(100),
            "{}: {times}",
            self.name
        );
    }

    fn ready_workers(&self) -> Vec<u32> {
        let master = self.server.pid();
        let mut found = process::children(master);
        found.retain(|&pid| {
            let title = process::title(pid);
            // The children of a dead worker become the master's, but no workers.
            let is_worker = self.model != Model::Fork
                || [" idle", " child"].iter().any(|word| title.contains(word));
            title.contains("web[") && !title.contains("starting") && is_worker
        });
        found
    }
}
