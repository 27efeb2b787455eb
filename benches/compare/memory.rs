//! The part `memory`: what an idle client costs, and what an idle worker.
//!
//! Memory is the proportional one (PSS) of all processes of a server; what the
//! kernel keeps for a socket is the same for all of them and not in it.

use crate::machine::Server;
use crate::servers::{self, Contestant, Task};
use crate::table::{Samples, Table, Verdict, figure, quantile, ratio};
use crate::{Bench, Failure};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Clients that have had an answer and say no more.
const IDLE: u32 = 10_000;

/// Fresh clients, of whose times the 99th hundredth is taken.
const FRESH: u32 = 2_000;

const WORKERS: u32 = 256;
const FEWER_WORKERS: u32 = WORKERS / 2;

/// Octets of the small file.
const BODY: usize = 612;

const CONNECTION: &str = "bytes/connection";
const ALONE: &str = "p99 µs, alone";
const CROWDED: &str = "p99 µs, among the idle";
const MEAN: &str = "KiB/worker";
const MARGINAL: &str = "KiB/worker, the next";
const SERVED: &str = "KiB/worker, after an answer";

pub(crate) fn run(bench: &mut Bench) -> Result<(), Failure> {
    if bench.options.wants_work("connections") {
        connections(bench)?;
    }
    if bench.options.wants_work("workers") {
        workers(bench)?;
    }
    Ok(())
}

fn connections(bench: &mut Bench) -> Result<(), Failure> {
    const WORK: &str = "connections";
    // Fewer where the limit of open files says so.
    let idle = bench.machine.connections().min(IDLE);
    let names = [
        "floor-epoll",
        "nginx",
        "apache-event",
        "lighttpd",
        "h2o",
        "event",
    ];
    let all = servers::present(bench, &names);
    let mut samples = Samples::default();
    for round in 0..bench.options.rounds {
        for contestant in &all {
            if let Err(failure) = idle_clients(bench, contestant, idle, round, &mut samples) {
                let name = contestant.name;
                bench.report.say(&format!("{WORK}: {name}: {failure}"));
            }
        }
    }
    let title = format!("{idle} idle kept connections, each with an answer behind it");
    let columns = ["server", CONNECTION, ALONE, CROWDED, "ratio"];
    let mut table = Table::new(&title, &columns);
    let slower = |name: &str| {
        let crowded = samples.median(WORK, name, CROWDED)?;
        Some(crowded / samples.median(WORK, name, ALONE)?)
    };
    for contestant in &all {
        let median = |measure| samples.median(WORK, contestant.name, measure);
        table.row(vec![
            contestant.name.to_owned(),
            figure(median(CONNECTION)),
            figure(median(ALONE)),
            figure(median(CROWDED)),
            ratio(slower(contestant.name)),
        ]);
    }
    bench.report.table(&table);
    bench.report.verdicts(vec![
        Verdict::at_most(
            "event: PSS of an idle kept connection",
            samples.median(WORK, "event", CONNECTION),
            300.0,
            " bytes",
        ),
        Verdict::at_most(
            "event: p99 of a fresh client, among the idle ÷ alone",
            slower("event"),
            1.5,
            "",
        ),
    ]);
    bench.report.samples(&samples);
    Ok(())
}

fn idle_clients(
    bench: &Bench,
    contestant: &Contestant,
    idle: u32,
    round: u32,
    samples: &mut Samples,
) -> Result<(), Failure> {
    let (mut server, address) = contestant.start(bench, Task::new(BODY, 64))?;
    // It comes first, so that whatever a server makes once is there before.
    let alone = fresh_clients(address)?;
    server.settle();
    let before = server.pss();
    let held = hold(address, idle)?;
    server.settle();
    let after = server.pss();
    let crowded = fresh_clients(address)?;
    server.still_serves()?;
    let still = held.iter().filter(|client| is_open(client)).count();
    if still < held.len() {
        let gone = held.len() - still;
        return Err(format!("it closed {gone} of {idle} idle connections").into());
    }
    drop(held);
    let mut add = |measure, value| {
        samples.add("connections", contestant.name, round, measure, value);
    };
    add(CONNECTION, octets(after, before) / f64::from(idle));
    add(ALONE, alone);
    add(CROWDED, crowded);
    Ok(())
}

fn workers(bench: &mut Bench) -> Result<(), Failure> {
    const WORK: &str = "workers";
    let names = ["floor-prefork", "apache-prefork", "prefork"];
    let all = servers::present(bench, &names);
    let mut samples = Samples::default();
    for round in 0..bench.options.rounds {
        for contestant in &all {
            if let Err(failure) = idle_workers(bench, contestant, round, &mut samples) {
                let name = contestant.name;
                bench.report.say(&format!("{WORK}: {name}: {failure}"));
            }
        }
    }
    let title = format!(
        "{WORKERS} idle prefork workers; \"the next\" is a {FEWER_WORKERS}th of what {WORKERS} \
         have more than {FEWER_WORKERS}"
    );
    let mut table = Table::new(&title, &["server", MEAN, MARGINAL, SERVED]);
    for contestant in &all {
        let median = |measure| figure(samples.median(WORK, contestant.name, measure));
        table.row(vec![
            contestant.name.to_owned(),
            median(MEAN),
            median(MARGINAL),
            median(SERVED),
        ]);
    }
    bench.report.table(&table);
    let verdict = |what: &str, measure: &str| {
        let measured = samples.median(WORK, "prefork", measure);
        Verdict::at_most(
            &format!("prefork: PSS of an idle worker{what}"),
            measured,
            64.0,
            " KiB",
        )
    };
    bench.report.verdicts(vec![
        verdict("", MEAN),
        verdict(", the next one", MARGINAL),
        verdict(", after an answer", SERVED),
    ]);
    bench.report.samples(&samples);
    Ok(())
}

fn idle_workers(
    bench: &Bench,
    contestant: &Contestant,
    round: u32,
    samples: &mut Samples,
) -> Result<(), Failure> {
    let fewer = {
        let (server, _) = contestant.start(bench, Task::new(BODY, FEWER_WORKERS))?;
        count(&server, FEWER_WORKERS)?;
        server.pss()
    };
    let (mut server, address) = contestant.start(bench, Task::new(BODY, WORKERS))?;
    count(&server, WORKERS)?;
    let all = server.pss();
    let mean = server.pss_of_workers();
    // As many clients at once as there are workers: one for each.
    drop(hold(address, WORKERS)?);
    server.settle();
    let served = server.pss_of_workers();
    count(&server, WORKERS)?;
    server.still_serves()?;
    let mut add = |measure, octets: f64| {
        samples.add("workers", contestant.name, round, measure, octets / 1024.0);
    };
    add(MEAN, octets(mean, 0) / f64::from(WORKERS));
    add(
        MARGINAL,
        octets(all, fewer) / f64::from(WORKERS - FEWER_WORKERS),
    );
    add(SERVED, octets(served, 0) / f64::from(WORKERS));
    Ok(())
}

/// A server without its first process has `workers` of them.
fn count(server: &Server, workers: u32) -> Result<(), Failure> {
    let found = server.tree().len() - 1;
    if u32::try_from(found) == Ok(workers) {
        return Ok(());
    }
    Err(format!("it has {found} workers and not {workers}").into())
}

/// The difference, which may be below 0.
#[allow(clippy::cast_precision_loss, reason = "octets of a server's memory")]
fn octets(more: u64, less: u64) -> f64 {
    more as f64 - less as f64
}

const REQUEST: &[u8] = b"GET /s.html HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET /s.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Longer than any answer takes on a machine that works.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections of which each has had an answer, all open at the end.
fn hold(address: SocketAddr, count: u32) -> Result<Vec<TcpStream>, Failure> {
    let mut held = Vec::new();
    for number in 0..count {
        let client = ask(address, REQUEST).map_err(|error| format!("client {number}: {error}"))?;
        // Ten thousand that end leave no ten thousand in TIME-WAIT.
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        held.push(client);
    }
    Ok(held)
}

/// Microseconds that 99 of 100 clients took at most, from connecting to the
/// last octet of the answer.
fn fresh_clients(address: SocketAddr) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for _ in 0..FRESH {
        let begin = Instant::now();
        ask(address, LAST_REQUEST)?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    Ok(quantile(&mut times, 0.99).unwrap_or(f64::NAN))
}

/// Connects, sends, and reads the answer whole.
fn ask(address: SocketAddr, request: &[u8]) -> io::Result<TcpStream> {
    let mut client = TcpStream::connect_timeout(&address, PATIENCE)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(request)?;
    let mut buffer = [0; 4096];
    let mut filled = 0;
    // An answer of all of them fits: a head, and the body of the small file.
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        match client.read(room)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            octets => filled += octets,
        }
        let input = &buffer[..filled];
        let end = input.windows(4).position(|four| four == b"\r\n\r\n");
        if end.is_some_and(|end| filled >= end + 4 + BODY) {
            return Ok(client);
        }
    }
}

/// Whether the other side has neither closed nor sent anything.
fn is_open(client: &TcpStream) -> bool {
    let looked = client
        .set_nonblocking(true)
        .and_then(|()| client.peek(&mut [0]));
    matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
