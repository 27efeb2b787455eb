//! What processes cost: how long a worker takes from fork(2) to READY, what a
//! process a connection costs, and what the scoreboard does.
//!
//! `spawn` is the master's own figure: from just before it forks to the moment
//! when it has heard READY, which is what a client may have to wait for. It
//! tells it in its log at debug level, so a line of the log is in the figure.
//! One at a time (TTIN, which asks for one worker more) the fork, the worker's
//! list of first steps, its bell and the master's waking are all in it; with 64
//! at once the forks of the others are as well, so there it is the time from the
//! first to the last, by the log's milliseconds, divided by 64.

mod scoreboard;

use crate::echo::load::Work;
use crate::echo::servers::{self, CATS, EXEC, FORK, Server, TCPSERVER, TEXTBOOK};
use crate::echo::{self, Task};
use crate::machine::{SERVER_CORE, free_address};
use crate::table::{Samples, Table, Verdict, figure, quantile};
use crate::{Bench, Failure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const VISITS: &[Task] = &[
    Task {
        name: "visit",
        about: "connect, 64 octets there and back, close; 8 at a time",
        work: Work::Visit(64),
        clients: 8,
    },
    Task {
        name: "visit-c1",
        about: "connect, 64 octets there and back, close; one after another",
        work: Work::Visit(64),
        clients: 1,
    },
];

/// Servers with a process a connection, and ours that has them already.
const VISITED: &[&str] = &[
    "preforkd-prefork",
    FORK,
    TEXTBOOK,
    TCPSERVER,
    "tcpserver-cat",
    "xinetd",
    "socat",
    "ncat-cat",
];

/// How many workers are spawned one after another, in each round.
const ONE_BY_ONE: usize = 100;
/// How many are spawned at once.
const AT_ONCE: usize = 64;
/// What a fork to READY may take.
const SPAWN_LIMIT: f64 = 300.0;
/// How far `fork` may be behind the textbook.
const NEAR: f64 = 1.1;
/// What the fork model must at least keep up with.
const PACE: f64 = 1000.0;

/// The part `process`.
///
/// # Errors
/// A server of ours does not serve, or what it says is not understood.
pub(crate) fn run(bench: &mut Bench) -> Result<(), Failure> {
    let mut samples = Samples::default();
    let mut verdicts = Vec::new();
    if bench.options.wants_work("spawn") {
        spawn(bench, &mut samples, &mut verdicts)?;
    }
    let servers = servers::installed(bench, servers::ALL);
    let visited = |server: &&Server| VISITED.contains(&server.name);
    let mut servers: Vec<&Server> = servers.into_iter().filter(visited).collect();
    servers.extend(servers::installed(bench, servers::SUPER));
    for task in VISITS {
        if bench.options.wants_work(task.name) {
            echo::measure(bench, &servers, task, &mut samples)?;
            bench.report.table(&echo::table(&samples, &servers, task));
            judge(&samples, task, &mut verdicts);
        }
    }
    if bench.options.wants_work("scoreboard") {
        verdicts.extend(scoreboard::measure(bench, &mut samples)?);
    }
    bench.report.samples(&samples);
    bench.report.verdicts(verdicts);
    Ok(())
}

fn judge(samples: &Samples, task: &Task, verdicts: &mut Vec<Verdict>) {
    let (rate, cost) = (echo::RATE, echo::cost_of(task));
    let beside = |measure, base| samples.ratio(task.name, FORK, measure, base);
    let what = |measure: &str, base: &str| format!("{FORK}, {}: {measure} / {base}", task.name);
    verdicts.extend([
        Verdict::at_most(&what(cost, TEXTBOOK), beside(cost, TEXTBOOK), NEAR, ""),
        Verdict::at_least(&what(rate, TEXTBOOK), beside(rate, TEXTBOOK), 0.91, ""),
        Verdict::at_least(&what(rate, TCPSERVER), beside(rate, TCPSERVER), 1.0, ""),
    ]);
    for (ours, theirs) in [(EXEC, TCPSERVER), CATS] {
        let what = format!("{ours}, {}: {rate} / {theirs}", task.name);
        let measured = samples.ratio(task.name, ours, rate, theirs);
        verdicts.push(Verdict::at_least(&what, measured, 1.0, ""));
    }
    if task.clients > 1 {
        let what = format!("{FORK}, {}: connections/s", task.name);
        let measured = samples.median(task.name, FORK, rate);
        verdicts.push(Verdict::at_least(&what, measured, PACE, ""));
    }
}

/// From fork to READY.
fn spawn(
    bench: &mut Bench,
    samples: &mut Samples,
    verdicts: &mut Vec<Verdict>,
) -> Result<(), Failure> {
    const WORK: &str = "spawn";
    const SERVER: &str = "preforkd-prefork";
    if !bench.options.wants_server(SERVER) {
        return Ok(());
    }
    for round in 0..bench.options.rounds {
        let (at_once, mut single) = spawned(bench)?;
        samples.add(WORK, SERVER, round, "64 at once, us", at_once);
        for (measure, share) in [("p50 us", 0.5), ("p99 us", 0.99)] {
            let value = quantile(&mut single, share).unwrap_or(f64::NAN);
            samples.add(WORK, SERVER, round, measure, value);
        }
    }
    let median = |measure| samples.median(WORK, SERVER, measure);
    let title = "spawn: from fork to READY, us a worker";
    let mut table = Table::new(title, &["model", "p50", "p99", "64 at once"]);
    table.row(vec![
        SERVER.to_owned(),
        figure(median("p50 us")),
        figure(median("p99 us")),
        figure(median("64 at once, us")),
    ]);
    bench.report.table(&table);
    let what = "fork to READY, p50";
    verdicts.push(Verdict::at_most(what, median("p50 us"), SPAWN_LIMIT, " us"));
    Ok(())
}

/// One start with many workers, then more of them one by one: microseconds a
/// worker at once, and of each one alone.
fn spawned(bench: &Bench) -> Result<(f64, Vec<f64>), Failure> {
    let address = free_address()?;
    // Where the machine puts what this server says.
    let log = bench.machine.place().join("spawn.output");
    let text = format!(
        "[master]\nlog = {{ to = \"stderr\", level = \"debug\" }}\n\
         [pool.echo]\nlisten = \"{address}\"\nservice = \"echo\"\nworkers = {AT_ONCE}\n"
    );
    let file = bench.machine.write("spawn.toml", text.as_bytes())?;
    let mut command = Command::new(&bench.options.program);
    command.arg("run").arg("--config").arg(file);
    let running = bench
        .machine
        .start("spawn", &command, address, SERVER_CORE)?;
    // Not reaped before it is dropped, so the number is its own.
    let master = Pid::from_raw(i32::try_from(running.pid())?);
    for count in 1..=ONE_BY_ONE {
        kill(master, Signal::SIGTTIN)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while times(&log)?.len() < AT_ONCE + count {
            if Instant::now() > deadline {
                return Err("a worker that was asked for is not ready after 10 s".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let single = times(&log)?.split_off(AT_ONCE);
    Ok((at_once(&fs::read_to_string(&log)?)?, single))
}

/// What a line says before the microseconds that a worker took.
const READY: &str = " is ready after ";

/// The microseconds of each worker, in the order of their READY.
fn times(log: &Path) -> Result<Vec<f64>, Failure> {
    let text = fs::read_to_string(log)?;
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let numbers = whole.lines().filter_map(|line| line.split_once(READY));
    let numbers = numbers.map(|(_, rest)| rest.split(' ').next().unwrap_or_default().parse());
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// Microseconds from the first line about a spawn to the last about one of the
/// first workers that are ready, divided by their number.
#[allow(clippy::cast_precision_loss, reason = "a figure to look at")]
fn at_once(log: &str) -> Result<f64, Failure> {
    let first = log.lines().find(|line| line.contains(" spawned"));
    let last = log
        .lines()
        .filter(|line| line.contains(READY))
        .nth(AT_ONCE - 1);
    match (first.and_then(seconds), last.and_then(seconds)) {
        (Some(first), Some(last)) => Ok((last - first) * 1e6 / AT_ONCE as f64),
        (_, _) => Err("the log does not say when workers were spawned".into()),
    }
}

/// The seconds of the day of a line `2026-11-21 02:55:02.114 …`.
fn seconds(line: &str) -> Option<f64> {
    let mut parts = line.split(' ').nth(1)?.split(':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}
