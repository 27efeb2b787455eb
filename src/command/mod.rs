//! One file a command; each answers with the exit status.

mod ask;
mod check;
mod connect;
mod generate;
mod get;
mod probe;
mod reach;
mod run;
mod screen;
mod serve;
mod status;

use crate::cli::{Cli, Command, Order, Scale};
use crate::config::{self, Config, Loaded, ThisMachine};
use crate::master::control::Query;
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

/// Wrong usage (EX_USAGE of sysexits.h).
const USAGE: u8 = 64;
/// Not available (EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;
/// Our fault (EX_SOFTWARE).
const SOFTWARE: u8 = 70;
/// Wrong configuration (EX_CONFIG).
const CONFIG: u8 = 78;

/// Reads the command line and does what it says.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => match cli.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Check(arguments) => check::run(&arguments),
            Command::Serve(arguments) => serve::run(&arguments),
            Command::Status(arguments) => status::run(&arguments),
            Command::Reload(Order { ask, wait }) => ask::run(&ask, &Query::Reload { wait }),
            Command::Stop(Order { ask, wait }) => ask::run(&ask, &Query::Stop { wait }),
            Command::Upgrade(Order { ask, wait }) => ask::run(&ask, &Query::Upgrade { wait }),
            Command::Reopen(Order { ask, wait }) => ask::run(&ask, &Query::Reopen { wait }),
            Command::Scale(Scale {
                pool,
                workers,
                order: Order { ask, wait },
            }) => ask::run(
                &ask,
                &Query::Scale {
                    pool,
                    workers,
                    wait,
                },
            ),
            Command::Connect(arguments) => connect::run(&arguments),
            Command::Get(arguments) => get::run(&arguments),
            Command::Probe(arguments) => probe::run(&arguments),
            Command::Generate(arguments) => generate::run(&arguments),
        },
        Err(error) => {
            // If nobody can read it, the status has to do.
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => USAGE,
            }
        }
    }
}

/// Says on standard error what is wrong, the way every command does.
fn complain(message: impl std::fmt::Display) {
    eprintln!("preforkd: {message}");
}

/// Writes a text that may go to a file; answers the exit status.
fn deliver(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => 0,
        // A reader that has gone has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        // But half a page in a file is none.
        Err(error) => {
            complain(format_args!("standard output: {error}"));
            71
        }
    }
}

/// Reads a configuration file and says what is wrong with it; then the error is
/// the exit status.
fn load(path: &Path) -> Result<Loaded, u8> {
    config::load(path, &ThisMachine).map_err(|error| {
        complain(error.render(colour()));
        error.exit_status()
    })
}

/// As [`load`], and says too what is not as it was written.
fn load_to_use(path: &Path) -> Result<Config, u8> {
    let loaded = load(path)?;
    if !loaded.warnings.is_empty() {
        complain(loaded.warnings.render(colour()));
    }
    Ok(loaded.config)
}

/// Whether standard error can show colours.
fn colour() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
