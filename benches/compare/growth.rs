//! The part `growth`: what more workers, more cores and more connections do to
//! requests a second, to their cost, and to the slowest of them.
//!
//! wrk stays on its one core throughout. Where there is a third core, a server
//! on two of them has the first and the third; else it has to share the second
//! with wrk, and what is gained is at most what wrk leaves of it.

use crate::http::cost;
use crate::load::{self, Asking, Outcome};
use crate::plot::{Axis, Line, Plot, Scale};
use crate::servers::{self, Task};
use crate::table::{Samples, Table, figure, ratio};
use crate::{Bench, Failure, machine};
use std::time::Duration;

const RATE: &str = "requests/s";
const CPU: &str = "CPU µs/request";
const P99: &str = "p99 µs";
const ERRORS: &str = "errors";

/// Octets of the small file.
const BODY: usize = 612;

/// Connections to pools of different sizes.
const CLIENTS: u32 = 64;

/// How many workers prefork has for the curves, as `max_workers` usually is.
const MOST_WORKERS: u32 = 256;

/// From one to as many as an event worker is given, or as the limit of open
/// files allows.
const CONNECTIONS: [u32; 5] = [1, 10, 100, 1_000, 10_000];

/// As far as prefork goes: whoever is above has to wait for a worker.
const PREFORK_CONNECTIONS: [u32; 4] = [1, 10, 100, MOST_WORKERS];

/// With so many connections the backlog overflows while wrk connects, and some
/// come only when their kernel tries again, a second later.
const MANY: u32 = 1_000;

/// What makes that second a small part of a round.
const LONGER: u32 = 3;

pub(crate) fn run(bench: &mut Bench) -> Result<(), Failure> {
    if machine::installed("wrk").is_none() {
        bench.report.say("Left out: wrk is not installed.");
        return Ok(());
    }
    if bench.options.wants_work("workers") {
        workers(bench)?;
    }
    if bench.options.wants_work("connections") {
        connections(bench)?;
    }
    Ok(())
}

/// One pool.
struct Pool {
    name: &'static str,
    server: &'static str,
    /// Of event.
    workers: u32,
    reuseport: bool,
    cores: u32,
}

impl Pool {
    const fn event(name: &'static str, workers: u32, reuseport: bool, cores: u32) -> Self {
        Self {
            name,
            server: "event",
            workers,
            reuseport,
            cores,
        }
    }

    const fn prefork(name: &'static str, cores: u32) -> Self {
        Self {
            name,
            server: "prefork",
            workers: 0,
            reuseport: false,
            cores,
        }
    }
}

const POOLS: &[Pool] = &[
    Pool::event("event, 1 worker, 1 core", 1, false, 1),
    Pool::event("event, 1 worker, 2 cores", 1, false, 2),
    Pool::event("event, 2 workers, 1 core", 2, false, 1),
    Pool::event("event, 2 workers, 2 cores", 2, false, 2),
    Pool::event("event, 2 workers, reuseport, 1 core", 2, true, 1),
    Pool::event("event, 2 workers, reuseport, 2 cores", 2, true, 2),
    Pool::prefork("prefork, 64 workers, 1 core", 1),
    Pool::prefork("prefork, 64 workers, 2 cores", 2),
];

fn workers(bench: &mut Bench) -> Result<(), Failure> {
    let (two, how) = if bench.machine.cores() > 2 {
        ("0,2", "two cores are 0 and 2, and wrk has 1 for itself")
    } else {
        (
            "0,1",
            "two cores are 0 and 1, and wrk shares 1 with the server",
        )
    };
    let mut samples = Samples::default();
    for round in 0..bench.options.rounds {
        for pool in POOLS {
            if !bench.options.wants_server(pool.server) {
                continue;
            }
            let mut task = Task::new(BODY, CLIENTS);
            task.workers = pool.workers;
            task.reuseport = pool.reuseport;
            if pool.cores == 2 {
                task.cores = two;
            }
            let point = Point {
                work: "workers",
                label: pool.name,
                server: pool.server,
                connections: CLIENTS,
            };
            point.measure(bench, task, round, &mut samples)?;
        }
    }
    let title = format!("Workers and cores: {BODY} octets, {CLIENTS} connections; {how}");
    let mut table = Table::new(&title, &["pool", RATE, "÷ first", CPU, P99, ERRORS]);
    for pool in POOLS {
        let median = |measure| samples.median("workers", pool.name, measure);
        table.row(vec![
            pool.name.to_owned(),
            figure(median(RATE)),
            ratio(samples.ratio("workers", pool.name, RATE, POOLS[0].name)),
            figure(median(CPU)),
            figure(median(P99)),
            figure(median(ERRORS)),
        ]);
    }
    bench.report.table(&table);
    bench.report.samples(&samples);
    Ok(())
}

/// The servers of the curves, and how far each is followed.
const CURVES: [(&str, &[u32]); 4] = [
    ("floor-epoll", &CONNECTIONS),
    ("event", &CONNECTIONS),
    ("floor-prefork", &PREFORK_CONNECTIONS),
    ("prefork", &PREFORK_CONNECTIONS),
];

fn connections(bench: &mut Bench) -> Result<(), Failure> {
    let present = servers::present(bench, &CURVES.map(|(name, _)| name));
    let curves: Vec<_> = CURVES
        .iter()
        .filter(|(name, _)| present.iter().any(|one| one.name == *name))
        .collect();
    let most = bench.machine.connections();
    let mut samples = Samples::default();
    for round in 0..bench.options.rounds {
        for &&(server, steps) in &curves {
            for count in steps.iter().map(|&count| count.min(most)) {
                let task = Task::new(BODY, MOST_WORKERS);
                let point = Point {
                    work: &count.to_string(),
                    label: server,
                    server,
                    connections: count,
                };
                point.measure(bench, task, round, &mut samples)?;
            }
        }
    }
    bench.report.say(&format!(
        "Connections: {BODY} octets over kept ones. Prefork has {MOST_WORKERS} workers, and no \
         figure above {MOST_WORKERS} connections: who is above waits in the backlog until \
         another one leaves. To connect is a part of each round, which is why those of {MANY} \
         connections and more take {LONGER} times as long."
    ));
    for (measure, file) in [(RATE, "rate"), (CPU, "cpu"), (P99, "p99")] {
        let mut columns = vec!["connections"];
        columns.extend(curves.iter().map(|(name, _)| *name));
        let mut table = Table::new(&format!("Growth of {measure}"), &columns);
        let mut steps: Vec<u32> = [&CONNECTIONS[..], &PREFORK_CONNECTIONS[..]].concat();
        steps.iter_mut().for_each(|count| *count = most.min(*count));
        steps.sort_unstable();
        steps.dedup();
        for count in steps {
            let work = count.to_string();
            let mut row = vec![work.clone()];
            row.extend(
                curves
                    .iter()
                    .map(|(name, _)| figure(samples.median(&work, name, measure))),
            );
            table.row(row);
        }
        bench.report.table(&table);
        let lines = curves.iter().map(|(name, steps)| Line {
            name: (*name).to_owned(),
            points: steps
                .iter()
                .filter_map(|&count| {
                    let count = count.min(most);
                    let value = samples.median(&count.to_string(), name, measure)?;
                    Some((f64::from(count), value))
                })
                .collect(),
        });
        let plot = Plot {
            title: format!("{measure} by connections, {BODY} octets, kept"),
            x: Axis {
                label: "connections",
                scale: Scale::Logarithmic,
            },
            y: Axis {
                label: measure,
                scale: Scale::Logarithmic,
            },
            lines: lines.collect(),
        };
        bench.report.plot(&format!("growth-{file}"), &plot)?;
    }
    let failed = curves.iter().flat_map(|(name, steps)| {
        let samples = &samples;
        steps.iter().filter_map(move |&count| {
            let count = count.min(most);
            let errors = samples.median(&count.to_string(), name, ERRORS)?;
            (errors > 0.0).then(|| format!("{name} with {count} connections: {errors}"))
        })
    });
    let failed: Vec<String> = failed.collect();
    if !failed.is_empty() {
        let text = format!("Errors a round: {}.", failed.join("; "));
        bench.report.say(&text);
    }
    bench.report.samples(&samples);
    Ok(())
}

/// What is measured, and under which name it is kept.
struct Point<'a> {
    work: &'a str,
    label: &'a str,
    server: &'a str,
    connections: u32,
}

impl Point<'_> {
    /// One round; a server that does not serve is told of, and left out.
    fn measure(
        &self,
        bench: &mut Bench,
        task: Task,
        round: u32,
        samples: &mut Samples,
    ) -> Result<(), Failure> {
        match self.once(bench, task) {
            Ok((outcome, used)) => {
                let mut add = |measure, value| {
                    samples.add(self.work, self.label, round, measure, value);
                };
                add(RATE, outcome.per_second);
                add(CPU, cost(used, &outcome));
                add(P99, outcome.p99);
                add(ERRORS, outcome.errors);
            }
            Err(failure) => {
                let text = format!("{}, {}: {failure}", self.label, self.work);
                bench.report.say(&text);
            }
        }
        Ok(())
    }

    fn once(&self, bench: &Bench, task: Task) -> Result<(Outcome, Duration), Failure> {
        let (mut server, address) = servers::named(self.server).start(bench, task)?;
        let asking = Asking {
            path: "/s.html",
            connections: self.connections,
            fields: &[],
            script: None,
        };
        load::ask(address, asking, Duration::from_secs(1))?;
        let before = server.cpu();
        let times = if self.connections < MANY { 1 } else { LONGER };
        let outcome = load::ask(address, asking, bench.options.duration() * times)?;
        let used = server.cpu().saturating_sub(before);
        server.still_serves()?;
        Ok((outcome, used))
    }
}
