//! Datagrams: echo over UDP, one by one and by the window, through ours and
//! through what else returns datagrams.
//!
//! What counts is the processor time of the server for a datagram: the rate has
//! the client's own pace in it, which is what bounds the fast ones here.

mod load;

use crate::machine::{self, SERVER_CORE};
use crate::table::{Samples, Table, Verdict, figure, ratio};
use crate::{Bench, Failure};
use load::{Load, Tally};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

struct Task {
    name: &'static str,
    about: &'static str,
    /// Sockets of the client, and how many datagrams of each are under way.
    sockets: usize,
    width: usize,
}

const TASKS: &[Task] = &[
    Task {
        name: "udp-c1",
        about: "64 octets there and back, one datagram under way",
        sockets: 1,
        width: 1,
    },
    Task {
        name: "udp-w64",
        about: "64 octets there and back, 64 datagrams under way, from 8 sockets",
        sockets: 8,
        width: 8,
    },
];

/// How many datagrams a round has at most.
const MOST: u64 = 1_000_000;
const LENGTH: usize = 64;

const RATE: &str = "datagrams/s";
const COST: &str = "CPU us/datagram";
const MIDDLE: &str = "p50 us";
const TAIL: &str = "p99 us";
const LOST: &str = "lost";

/// Who returns datagrams.
struct Server {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    /// Ours: `accept`, and how many workers.
    Ours(&'static str, u32),
    /// socat, listening so. With UDP4-LISTEN a child has all datagrams of a client
    /// as one stream, so that two that come together are returned as one: then it
    /// is left out.
    Socat(&'static str),
    /// xinetd's own echo, `wait = yes`.
    Xinetd,
}

/// What ratios are taken to.
const BASE: &str = "xinetd";

const SERVERS: &[Server] = &[
    Server {
        name: "preforkd-1",
        kind: Kind::Ours("shared", 1),
    },
    Server {
        name: "preforkd-shared-2",
        kind: Kind::Ours("shared", 2),
    },
    Server {
        name: "preforkd-reuseport-2",
        kind: Kind::Ours("reuseport", 2),
    },
    Server {
        name: BASE,
        kind: Kind::Xinetd,
    },
    Server {
        name: "socat-listen",
        kind: Kind::Socat("UDP4-LISTEN"),
    },
    Server {
        name: "socat-recvfrom",
        kind: Kind::Socat("UDP4-RECVFROM"),
    },
];

/// The part `udp`.
///
/// # Errors
/// A server of ours does not serve. Others that do not are named and left out.
pub(crate) fn run(bench: &mut Bench) -> Result<(), Failure> {
    let mut samples = Samples::default();
    let mut verdicts = Vec::new();
    for task in TASKS {
        if !bench.options.wants_work(task.name) {
            continue;
        }
        let mut servers: Vec<&Server> = SERVERS
            .iter()
            .filter(|server| bench.options.wants_server(server.name))
            .collect();
        for round in 0..bench.options.rounds {
            let mut failed = Vec::new();
            for server in &servers {
                match once(bench, server, task) {
                    Ok(tally) => note(&mut samples, server, task, round, &tally),
                    Err(failure) if server.is_ours() => return Err(failure),
                    Err(failure) => failed.push((server.name, failure)),
                }
            }
            for (name, failure) in failed {
                servers.retain(|server| server.name != name);
                let line = format!("{}: without {name}: {failure}", task.name);
                bench.report.say(&line);
            }
        }
        bench.report.table(&table(&samples, &servers, task));
        let others: Vec<&str> = servers
            .iter()
            .filter(|server| !server.is_ours())
            .map(|server| server.name)
            .collect();
        if let Some((best, _)) = samples.least(task.name, &others, COST) {
            for server in servers.iter().filter(|server| server.is_ours()) {
                let what = format!("{}, {}: {COST} / {best}", server.name, task.name);
                let measured = samples.ratio(task.name, server.name, COST, best);
                verdicts.push(Verdict::at_most(&what, measured, 1.0, ""));
            }
        }
    }
    bench.report.samples(&samples);
    bench.report.verdicts(verdicts);
    Ok(())
}

fn once(bench: &Bench, server: &Server, task: &Task) -> Result<Tally, Failure> {
    let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let command = server.command(bench, address)?;
    let serves = || answers(address).unwrap_or(false);
    let running = bench
        .machine
        .start_until(server.name, &command, SERVER_CORE, &serves)?;
    let load = Load {
        server: address,
        sockets: task.sockets,
        width: task.width,
        length: LENGTH,
        most: MOST,
        warm_up: Duration::from_secs(1),
        window: bench.options.duration(),
    };
    let tally = load.run(&mut || running.cpu());
    tally.map_err(|error| format!("{}: {}: {error}", server.name, task.name).into())
}

/// Whether a datagram comes back.
fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    client.set_read_timeout(Some(Duration::from_millis(200)))?;
    client.connect(address)?;
    client.send(b"?")?;
    Ok(client.recv(&mut [0; 9])? == 1)
}

#[allow(clippy::cast_precision_loss, reason = "figures to look at")]
fn note(samples: &mut Samples, server: &Server, task: &Task, round: u32, tally: &Tally) {
    let rounds = tally.back as f64;
    let quantile = |share| {
        let time = tally.times.quantile(share);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    };
    for (measure, value) in [
        (RATE, rounds / tally.elapsed.as_secs_f64()),
        (COST, tally.processor.as_secs_f64() * 1e6 / rounds),
        (MIDDLE, quantile(0.5)),
        (TAIL, quantile(0.99)),
        (LOST, tally.lost as f64),
    ] {
        samples.add(task.name, server.name, round, measure, value);
    }
}

fn table(samples: &Samples, servers: &[&Server], task: &Task) -> Table {
    let title = format!("{}: {}", task.name, task.about);
    let (rates, costs) = (format!("{RATE} / {BASE}"), format!("{COST} / {BASE}"));
    let head = ["server", RATE, &rates, COST, &costs, MIDDLE, TAIL, LOST];
    let mut table = Table::new(&title, &head);
    for server in servers {
        let median = |measure| figure(samples.median(task.name, server.name, measure));
        let beside = |measure| ratio(samples.ratio(task.name, server.name, measure, BASE));
        table.row(vec![
            server.name.to_owned(),
            median(RATE),
            beside(RATE),
            median(COST),
            beside(COST),
            median(MIDDLE),
            median(TAIL),
            median(LOST),
        ]);
    }
    table
}

impl Server {
    fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours(..))
    }

    /// How it is started.
    ///
    /// # Errors
    /// It is not installed, or its file cannot be written.
    fn command(&self, bench: &Bench, address: SocketAddr) -> Result<Command, Failure> {
        let port = address.port();
        let find = |name: &str| {
            let found = machine::installed(name);
            found.ok_or_else(|| Failure::from(format!("{name} is not installed")))
        };
        let write = |text: String| {
            let name = format!("{}.conf", self.name);
            bench.machine.write(&name, text.as_bytes())
        };
        let command = match self.kind {
            Kind::Ours(accept, workers) => {
                let mut command = Command::new(&bench.options.program);
                command.args(["run", "--config"]).arg(write(format!(
                    "[pool.echo]\nlisten = \"udp:{address}\"\nservice = \"echo\"\n\
                     accept = \"{accept}\"\nworkers = {workers}\nudp.rate = 0\n"
                ))?);
                command
            }
            Kind::Socat(how) => {
                let mut command = Command::new(find("socat")?);
                command.args([&format!("{how}:{port},bind=127.0.0.1,fork"), "PIPE"]);
                command
            }
            Kind::Xinetd => {
                let beside = |end: &str| bench.machine.place().join(end);
                let mut command = Command::new(find("xinetd")?);
                command.args(["-dontfork", "-f"]).arg(write(format!(
                    "defaults\n{{\n  instances = UNLIMITED\n  per_source = UNLIMITED\n  \
                     cps = 100000000 1\n}}\nservice echo\n{{\n  type = INTERNAL UNLISTED\n  \
                     id = echo-dgram\n  socket_type = dgram\n  protocol = udp\n  user = root\n  \
                     wait = yes\n  port = {port}\n  bind = 127.0.0.1\n  flags = NOLIBWRAP\n  \
                     disable = no\n}}\n"
                ))?);
                command.arg("-pidfile").arg(beside("xinetd-udp.pid"));
                command.arg("-filelog").arg(beside("xinetd-udp.log"));
                command
            }
        };
        Ok(command)
    }
}
