//! The comparison: this server beside others, and beside a floor that answers
//! canned octets with the same system calls and parses nothing.
//!
//! `scripts/bench` runs it. All servers are measured in one run, in turn,
//! round after round, so that a machine that slows down slows all of them; what
//! counts are the ratios within a run, of medians over its rounds. Servers have
//! the first core, what asks them has the second.
//!
//! [`PARTS`] is what there is to measure. `machine` starts and ends processes
//! and reads what they cost, `table` has the figures and what becomes of them,
//! `plot` draws lines.
//!
//! What is started is ended by its id, whatever happens but a SIGKILL to the
//! bench itself, and nothing listens but on the loopback.

mod echo;
mod growth;
mod http;
mod load;
mod machine;
mod memory;
mod plot;
mod process;
mod servers;
mod table;
mod udp;

use clap::Parser;
use machine::Machine;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use table::Report;

/// What went wrong, in words for the person who ran it.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// What may be measured by itself.
struct Part {
    name: &'static str,
    /// For `--help` and as the heading of its tables.
    about: &'static str,
    run: fn(&mut Bench) -> Result<(), Failure>,
}

/// In the order in which they run.
const PARTS: &[Part] = &[
    Part {
        name: "http",
        about: "files over HTTP, beside other servers and the floor",
        run: http::run,
    },
    Part {
        name: "growth",
        about: "more workers, more cores, more connections",
        run: growth::run,
    },
    Part {
        name: "memory",
        about: "what an idle connection and an idle worker take",
        run: memory::run,
    },
    Part {
        name: "echo",
        about: "round trips and streams, on every model",
        run: echo::run,
    },
    Part {
        name: "process",
        about: "spawning workers, a process a connection, the scoreboard",
        run: process::run,
    },
    Part {
        name: "udp",
        about: "datagrams, one by one and by the window",
        run: udp::run,
    },
];

/// Measure this server beside others, on this machine.
#[derive(Debug, Parser)]
#[command(bin_name = "scripts/bench", max_term_width = 100, after_help = parts())]
pub(crate) struct Options {
    /// The parts to run; without any, all
    #[arg(value_name = "PART", value_parser = part)]
    parts: Vec<String>,
    /// How often each server is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long each measurement takes, after a second of warming up
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Only these works, as the tables name them, separated by commas
    #[arg(long, value_name = "WORK", value_delimiter = ',')]
    pub(crate) work: Vec<String>,
    /// Only these servers, as the tables name them, separated by commas
    #[arg(long, value_name = "SERVER", value_delimiter = ',')]
    pub(crate) server: Vec<String>,
    /// Where tables, plots and all rounds are written [default: target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The program that is measured, in place of the one just built
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_preforkd"), hide_default_value = true)]
    pub(crate) program: PathBuf,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Whether this work is to be done.
    pub(crate) fn wants_work(&self, name: &str) -> bool {
        self.work.is_empty() || self.work.iter().any(|work| work == name)
    }

    /// Whether this server is to be measured.
    pub(crate) fn wants_server(&self, name: &str) -> bool {
        self.server.is_empty() || self.server.iter().any(|server| server == name)
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// `--out`, or `bench` in the directory that cargo builds in.
    fn out(&self) -> PathBuf {
        // target/release/preforkd
        let built = Path::new(env!("CARGO_BIN_EXE_preforkd")).ancestors().nth(2);
        let usual = || built.unwrap_or(Path::new("target")).join("bench");
        self.out.clone().unwrap_or_else(usual)
    }
}

fn parts() -> String {
    let lines = PARTS
        .iter()
        .map(|part| format!("  {:8}  {}\n", part.name, part.about));
    format!("Parts:\n{}", lines.collect::<String>())
}

fn part(name: &str) -> Result<String, String> {
    if PARTS.iter().any(|part| part.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
    Err(format!("the parts are {}", names.join(", ")))
}

/// What every part is given.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) machine: Machine,
    pub(crate) report: Report,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match measure(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: Options) -> Result<(), Failure> {
    let report = Report::new(&options.out())?;
    let machine = Machine::new()?;
    let mut bench = Bench {
        options,
        machine,
        report,
    };
    bench
        .report
        .say(&machine::description(&bench.options.program));
    bench.report.say(&format!(
        "Servers are on core {}, and what asks them on core {}; {} rounds of {} s each, in turn. \
         The figures are medians of the rounds, and the spread is half of what lies between the \
         least and the greatest of them.",
        machine::SERVER_CORE,
        machine::LOAD_CORE,
        bench.options.rounds,
        bench.options.seconds,
    ));
    for note in bench.machine.notes() {
        bench.report.say(note);
    }
    for part in PARTS {
        let wanted = &bench.options.parts;
        if !wanted.is_empty() && !wanted.iter().any(|name| name == part.name) {
            continue;
        }
        bench.report.begin(part.name, part.about);
        (part.run)(&mut bench)?;
        bench.report.save()?;
    }
    bench.report.finish()?;
    Ok(())
}
