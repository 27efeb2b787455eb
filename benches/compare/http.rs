//! The part `http`: works of different kinds, each by each server.

use crate::load::{self, Asking, Outcome};
use crate::plot::{Axis, Dots, Scale};
use crate::servers::{self, Contestant, Task};
use crate::table::{Samples, Table, Verdict, figure, ratio, spread};
use crate::{Bench, Failure, machine};
use std::collections::BTreeSet;
use std::time::Duration;

/// What is asked, and how.
struct Work {
    name: &'static str,
    path: &'static str,
    /// Octets of an answer's body.
    body: usize,
    connections: u32,
    fields: &'static [&'static str],
    /// Requests that are sent at once, before the first is answered.
    depth: u32,
    /// Whether each request is another one: who remembers the last gains nothing.
    varied: bool,
}

const WORKS: &[Work] = &[
    Work {
        name: "small-keepalive",
        path: "/s.html",
        body: 612,
        connections: 64,
        fields: &[],
        depth: 1,
        varied: false,
    },
    Work {
        name: "small-varied",
        path: "/s.html",
        body: 612,
        connections: 64,
        fields: &[],
        depth: 1,
        varied: true,
    },
    Work {
        name: "small-c1",
        path: "/s.html",
        body: 612,
        connections: 1,
        fields: &[],
        depth: 1,
        varied: false,
    },
    Work {
        name: "small-c400",
        path: "/s.html",
        body: 612,
        connections: 400,
        fields: &[],
        depth: 1,
        varied: false,
    },
    Work {
        name: "small-close",
        path: "/s.html",
        body: 612,
        connections: 64,
        fields: &["Connection: close"],
        depth: 1,
        varied: false,
    },
    Work {
        name: "medium-64k",
        path: "/m.bin",
        body: 64 << 10,
        connections: 32,
        fields: &[],
        depth: 1,
        varied: false,
    },
    Work {
        name: "large-1m",
        path: "/l.bin",
        body: 1 << 20,
        connections: 16,
        fields: &[],
        depth: 1,
        varied: false,
    },
    Work {
        name: "pipelined-16",
        path: "/s.html",
        body: 612,
        connections: 64,
        fields: &[],
        depth: 16,
        varied: false,
    },
];

const RATE: &str = "requests/s";
const CPU: &str = "CPU µs/request";
const P99: &str = "p99 µs";
const ERRORS: &str = "errors";
const PSS: &str = "PSS bytes";

pub(crate) fn run(bench: &mut Bench) -> Result<(), Failure> {
    if machine::installed("wrk").is_none() {
        bench.report.say("Left out: wrk is not installed.");
        return Ok(());
    }
    let names: Vec<&str> = servers::ALL.iter().map(|one| one.name).collect();
    let all = servers::present(bench, &names);
    let mut samples = Samples::default();
    let mut works = Vec::new();
    for work in WORKS {
        if !bench.options.wants_work(work.name) {
            continue;
        }
        let able: Vec<_> = all.iter().copied().filter(|one| work.suits(one)).collect();
        measure(bench, work, &able, &mut samples);
        let table = table(work, &able, &samples);
        bench.report.table(&table);
        works.push(work);
    }
    bench.report.table(&summary(&works, &all, &samples));
    bench
        .report
        .plot("http-cpu", &picture(&works, &all, &samples))?;
    bench.report.verdicts(verdicts(&works, &samples));
    bench.report.samples(&samples);
    Ok(())
}

impl Work {
    /// Whether it shows anything of this server: the floor with sendfile has
    /// an answer a read, and nobody sends small files so.
    fn suits(&self, contestant: &Contestant) -> bool {
        contestant.name != "floor-epoll-file" || self.body > 16 << 10
    }

    fn task(&self) -> Task {
        Task::new(self.body, self.connections.max(64))
    }
}

/// Every server in each round: a machine that slows down slows all of them.
fn measure(bench: &mut Bench, work: &Work, able: &[&Contestant], samples: &mut Samples) {
    let mut complained = BTreeSet::new();
    for round in 0..bench.options.rounds {
        for contestant in able {
            if let Err(failure) = once(bench, work, contestant, round, samples)
                && complained.insert(contestant.name)
            {
                let name = contestant.name;
                bench
                    .report
                    .say(&format!("{}: {name}: {failure}", work.name));
            }
        }
    }
}

fn once(
    bench: &Bench,
    work: &Work,
    contestant: &Contestant,
    round: u32,
    samples: &mut Samples,
) -> Result<(), Failure> {
    let (mut server, address) = contestant.start(bench, work.task())?;
    let script = work.script(bench)?;
    let asking = Asking {
        path: work.path,
        connections: work.connections,
        fields: work.fields,
        script: script.as_deref(),
    };
    load::ask(address, asking, Duration::from_secs(1))?;
    let before = server.cpu();
    let outcome = load::ask(address, asking, bench.options.duration())?;
    let used = server.cpu().saturating_sub(before);
    server.still_serves()?;
    let mut add = |measure, value| samples.add(work.name, contestant.name, round, measure, value);
    add(RATE, outcome.per_second);
    add(CPU, cost(used, &outcome));
    add(P99, outcome.p99);
    add(ERRORS, outcome.errors);
    #[allow(clippy::cast_precision_loss, reason = "octets of a server's memory")]
    add(PSS, server.pss() as f64);
    Ok(())
}

/// Microseconds of processor time a request; NaN without any.
pub(crate) fn cost(used: Duration, outcome: &Outcome) -> f64 {
    if outcome.requests < 1.0 {
        return f64::NAN;
    }
    used.as_secs_f64() * 1e6 / outcome.requests
}

impl Work {
    /// The program for wrk that sends several requests at once, or another each
    /// time.
    fn script(&self, bench: &Bench) -> Result<Option<std::path::PathBuf>, Failure> {
        let text = match (self.depth, self.varied) {
            (1, false) => return Ok(None),
            (depth, false) => format!(
                "local together\n\
                 function init(arguments)\n  together = wrk.format():rep({depth})\nend\n\
                 function request()\n  return together\nend\n"
            ),
            (_, true) => "local head, tail, number\n\
                 function init(arguments)\n  number = 0\n  local whole = wrk.format()\n\
                 \x20 local at = whole:find(' HTTP/', 1, true)\n\
                 \x20 head, tail = whole:sub(1, at - 1) .. '?', whole:sub(at)\nend\n\
                 function request()\n  number = number + 1\n  return head .. number .. tail\nend\n"
                .to_owned(),
        };
        let file = format!("{}.lua", self.name);
        Ok(Some(bench.machine.write(&file, text.as_bytes())?))
    }
}

const PEERS: [&str; 5] = ["nginx", "apache-prefork", "apache-event", "lighttpd", "h2o"];

fn table(work: &Work, able: &[&Contestant], samples: &Samples) -> Table {
    let title = format!(
        "{}: {} octets, {} connections{}",
        work.name,
        work.body,
        work.connections,
        match (work.depth, work.fields) {
            (1, []) if work.varied => ", each request another one".to_owned(),
            (1, []) => String::new(),
            (1, fields) => format!(", {}", fields.join(", ")),
            (depth, _) => format!(", {depth} requests at once"),
        }
    );
    let mut table = Table::new(
        &title,
        &[
            "server",
            RATE,
            "÷ best peer",
            CPU,
            "spread",
            "÷ floor",
            "÷ best peer",
            P99,
            ERRORS,
            "PSS MiB",
        ],
    );
    let fastest = samples.most(work.name, &PEERS, RATE).map(|(_, rate)| rate);
    let cheapest = samples.least(work.name, &PEERS, CPU).map(|(_, cost)| cost);
    for contestant in able {
        let median = |measure| samples.median(work.name, contestant.name, measure);
        let to = |value: Option<f64>, base: Option<f64>| Some(value? / base?);
        table.row(vec![
            contestant.name.to_owned(),
            figure(median(RATE)),
            ratio(to(median(RATE), fastest)),
            figure(median(CPU)),
            spread(samples.spread(work.name, contestant.name, CPU)),
            ratio(samples.ratio(work.name, contestant.name, CPU, contestant.floor)),
            ratio(to(median(CPU), cheapest)),
            figure(median(P99)),
            figure(median(ERRORS)),
            figure(median(PSS).map(|octets| octets / f64::from(1 << 20))),
        ]);
    }
    table
}

/// A row a work, a column a server.
fn summary(works: &[&Work], all: &[&Contestant], samples: &Samples) -> Table {
    let mut columns = vec!["work"];
    columns.extend(all.iter().map(|one| one.name));
    let mut table = Table::new("CPU µs a request, all works", &columns);
    for work in works {
        let mut row = vec![work.name.to_owned()];
        row.extend(
            all.iter()
                .map(|one| figure(samples.median(work.name, one.name, CPU))),
        );
        table.row(row);
    }
    table
}

/// The same as a picture, held against the floor with one process.
fn picture(works: &[&Work], all: &[&Contestant], samples: &Samples) -> Dots {
    let times =
        |work: &Work, one: &Contestant| samples.ratio(work.name, one.name, CPU, "floor-epoll");
    let rows = works.iter().map(|work| {
        let values = all.iter().map(|one| times(work, one)).collect();
        (work.name.to_owned(), values)
    });
    Dots {
        title: "CPU a request; the line is the floor with one epoll loop".to_owned(),
        x: Axis {
            label: "times the floor",
            scale: Scale::Logarithmic,
        },
        mark: 1.0,
        names: all.iter().map(|one| one.name.to_owned()).collect(),
        rows: rows.collect(),
    }
}

/// What was asked of us, with the access log off and on.
fn verdicts(works: &[&Work], samples: &Samples) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let done = |name: &str| works.iter().any(|work| work.name == name);
    for own in ["event", "event-log"] {
        let mut cpu = |work: &str, base: &str, limit: f64| {
            if done(work) {
                let what = format!("{own}, {work}: CPU a request ÷ {base}");
                let measured = samples.ratio(work, own, CPU, base);
                verdicts.push(Verdict::at_most(&what, measured, limit, ""));
            }
        };
        for work in ["small-keepalive", "small-varied", "small-c400"] {
            cpu(work, "floor-epoll", 1.10);
            cpu(work, "lighttpd", 1.0);
            cpu(work, "h2o", 1.0);
        }
        cpu("small-close", "h2o", 1.0);
        cpu("medium-64k", "floor-epoll", 1.05);
        cpu("large-1m", "lighttpd", 1.0);
        let work = "pipelined-16";
        if done(work) {
            let best = samples.most(work, &PEERS, RATE);
            let name = best.map_or("the best peer", |(name, _)| name);
            let what = format!("{own}, {work}: requests/s ÷ {name}");
            let measured = best.and_then(|(name, _)| samples.ratio(work, own, RATE, name));
            verdicts.push(Verdict::at_least(&what, measured, 4.0, ""));
        }
    }
    for own in ["prefork", "prefork-log"] {
        // Of requests that are sent together, 4 × the best peer was asked.
        for work in works.iter().filter(|work| work.depth == 1) {
            let what = format!("{own}, {}: CPU a request ÷ floor-prefork", work.name);
            let measured = samples.ratio(work.name, own, CPU, "floor-prefork");
            verdicts.push(Verdict::at_most(&what, measured, 1.10, ""));
        }
        let work = "small-keepalive";
        for (base, limit) in [("apache-prefork", 3.0), ("nginx", 1.0)] {
            if done(work) {
                let what = format!("{own}, {work}: requests/s ÷ {base}");
                let measured = samples.ratio(work, own, RATE, base);
                verdicts.push(Verdict::at_least(&what, measured, limit, ""));
            }
        }
    }
    verdicts
}
