//! Echo: ping-pong and streams, through each model of ours and through what
//! else returns octets.
//!
//! The floor makes the same system calls and nothing besides; to be ahead of it
//! is not asked for. To be ahead of the others means less processor time of the
//! server for a round trip, or for a MiB: that is what a server costs, while
//! the rate also has the client's own pace in it, which is what bounds the fast
//! ones here. Rates and times are in the tables.

pub(crate) mod histogram;
pub(crate) mod load;
pub(crate) mod servers;

use crate::machine::{SERVER_CORE, free_address};
use crate::table::{Samples, Table, Verdict, figure, ratio};
use crate::{Bench, Failure};
use load::{Load, Tally, Work};
use servers::Server;
use std::time::Duration;

/// A load under the name that the tables give it.
pub(crate) struct Task {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) work: Work,
    pub(crate) clients: usize,
}

const TASKS: &[Task] = &[
    Task {
        name: "ping-64",
        about: "64 octets there and back, 32 connections",
        work: Work::PingPong(64),
        clients: 32,
    },
    Task {
        name: "ping-c1",
        about: "64 octets there and back, 1 connection",
        work: Work::PingPong(64),
        clients: 1,
    },
    Task {
        name: "ping-4k",
        about: "4 KiB there and back, 32 connections",
        work: Work::PingPong(4096),
        clients: 32,
    },
    Task {
        name: "stream",
        about: "64 KiB pieces both ways at once, 8 connections",
        work: Work::Stream(64 * 1024),
        clients: 8,
    },
];

/// What is measured of each server.
pub(crate) const RATE: &str = "rounds/s";
const OCTETS: &str = "MB/s";
const COST: &str = "CPU us/round";
const COST_OF_MEBIBYTE: &str = "CPU us/MiB";
const MIDDLE: &str = "p50 us";
const TAIL: &str = "p99 us";

/// How far `fork` may be behind the textbook, in processor time.
const NEAR: f64 = 1.1;

/// The part `echo`.
///
/// # Errors
/// A server of ours, or the floor, does not serve. Others that do not are named
/// and left out.
pub(crate) fn run(bench: &mut Bench) -> Result<(), Failure> {
    let servers = servers::installed(bench, servers::ALL);
    let mut samples = Samples::default();
    let mut verdicts = Vec::new();
    for task in TASKS {
        if !bench.options.wants_work(task.name) {
            continue;
        }
        measure(bench, &servers, task, &mut samples)?;
        bench.report.table(&table(&samples, &servers, task));
        judge(&samples, &servers, task, &mut verdicts);
    }
    bench.report.samples(&samples);
    bench.report.verdicts(verdicts);
    Ok(())
}

/// Puts the load of `task` on each of `servers`, in turn, round after round. A
/// server of another's that fails is not asked again.
///
/// # Errors
/// A server of ours does not serve.
pub(crate) fn measure(
    bench: &mut Bench,
    servers: &[&Server],
    task: &Task,
    samples: &mut Samples,
) -> Result<(), Failure> {
    let mut servers = servers.to_vec();
    for round in 0..bench.options.rounds {
        let mut failed = Vec::new();
        for server in &servers {
            match once(bench, server, task) {
                Ok(tally) => note(samples, server, task, round, &tally),
                Err(failure) if server.is_ours() => return Err(failure),
                Err(failure) => failed.push((server.name, failure)),
            }
        }
        for (name, failure) in failed {
            servers.retain(|server| server.name != name);
            let line = format!(
                "{}: without {name} from round {round} on: {failure}",
                task.name
            );
            bench.report.say(&line);
        }
    }
    Ok(())
}

fn once(bench: &Bench, server: &Server, task: &Task) -> Result<Tally, Failure> {
    let address = free_address()?;
    let command = server.command(bench, address, task.clients)?;
    let running = bench
        .machine
        .start(server.name, &command, address, SERVER_CORE)?;
    let load = Load {
        work: task.work,
        clients: task.clients,
        warm_up: Duration::from_secs(1),
        window: bench.options.duration(),
    };
    let tally = load.run(address, &mut || running.cpu());
    tally.map_err(|error| format!("{}: {}: {error}", server.name, task.name).into())
}

#[allow(clippy::cast_precision_loss, reason = "figures to look at")]
fn note(samples: &mut Samples, server: &Server, task: &Task, round: u32, tally: &Tally) {
    let seconds = tally.elapsed.as_secs_f64();
    let (rounds, octets) = (tally.rounds as f64, tally.octets as f64);
    let cost = tally.processor.as_secs_f64() * 1e6;
    let quantile = |share| {
        let time = tally.times.quantile(share);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    };
    for (measure, value) in [
        (RATE, rounds / seconds),
        (OCTETS, octets / seconds / 1e6),
        (COST, cost / rounds),
        (COST_OF_MEBIBYTE, cost / (octets / 1_048_576.0)),
        (MIDDLE, quantile(0.5)),
        (TAIL, quantile(0.99)),
    ] {
        samples.add(task.name, server.name, round, measure, value);
    }
}

/// What a round trip costs the server; of a stream, what a MiB costs.
pub(crate) fn cost_of(task: &Task) -> &'static str {
    match task.work {
        Work::PingPong(_) | Work::Visit(_) => COST,
        Work::Stream(_) => COST_OF_MEBIBYTE,
    }
}

/// One row a server, and its cost beside the floor's or the textbook's.
pub(crate) fn table(samples: &Samples, servers: &[&Server], task: &Task) -> Table {
    let base = match task.work {
        Work::PingPong(_) | Work::Stream(_) => servers::FLOOR,
        Work::Visit(_) => servers::TEXTBOOK,
    };
    let speed = match task.work {
        Work::PingPong(_) | Work::Visit(_) => RATE,
        Work::Stream(_) => OCTETS,
    };
    let cost = cost_of(task);
    let title = format!("{}: {}", task.name, task.about);
    let beside = format!("/ {base}");
    let mut table = Table::new(&title, &["server", speed, cost, &beside, MIDDLE, TAIL]);
    for server in servers {
        let median = |measure| figure(samples.median(task.name, server.name, measure));
        table.row(vec![
            server.name.to_owned(),
            median(speed),
            median(cost),
            ratio(samples.ratio(task.name, server.name, cost, base)),
            median(MIDDLE),
            median(TAIL),
        ]);
    }
    table
}

/// Each model but fork beside the best of the others; fork beside the textbook.
fn judge(samples: &Samples, servers: &[&Server], task: &Task, verdicts: &mut Vec<Verdict>) {
    let cost = cost_of(task);
    let others: Vec<&str> = servers
        .iter()
        .filter(|server| server.is_other())
        .map(|server| server.name)
        .collect();
    let best = samples.least(task.name, &others, cost);
    for server in servers.iter().filter(|server| server.is_ours()) {
        let (base, limit) = match best {
            _ if server.name == servers::FORK => (servers::TEXTBOOK, NEAR),
            Some((name, _)) => (name, 1.0),
            None => continue,
        };
        let what = format!("{}, {}: {cost} / {base}", server.name, task.name);
        let measured = samples.ratio(task.name, server.name, cost, base);
        verdicts.push(Verdict::at_most(&what, measured, limit, ""));
    }
}
