//! The command line, as clap reads it. What a command does stands in
//! `command/`; here is only what it is called and what it takes.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Where the configuration is looked for.
pub const DEFAULT_CONFIG: &str = "/etc/preforkd/preforkd.toml";

/// A prefork multiprocess TCP and HTTP server for Linux.
#[derive(Debug, Parser)]
#[command(name = "preforkd", version, about, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "Exit status:
  0   fine
  64  wrong usage
  69  not available: nothing is running, or the address or pid file is taken
  70  our fault
  71  the system refused
  75  workers keep dying
  77  no permission
  78  wrong configuration

Signals to the master:
  TERM, QUIT, INT  stop: finish what is open, at most graceful_timeout; again: at once
  HUP              reload the configuration and replace the workers
  USR1             open the log files anew
  USR2             start the program's file anew, on the same sockets, and leave to it
  WINCH            drain all workers and keep the master; HUP brings new ones
  TTIN, TTOU       one worker more, one less, in pools of a fixed size";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the pools of a configuration file
    Run(Run),
    /// Read a configuration file and say what is wrong, and where
    Check(Check),
    /// Serve without a configuration file
    Serve(Serve),
    /// Show what the running master and its workers do
    Status(Ask),
    /// Have the running master read its configuration and replace its workers
    Reload(Order),
    /// Have the running master finish what is open, and end
    Stop(Order),
    /// Have the running master start the program's file anew, and leave to it
    Upgrade(Order),
    /// Have the running master and its workers open the log files anew
    Reopen(Order),
    /// Give a pool of a fixed size another number of workers, until the next reload
    Scale(Scale),
}

/// `preforkd run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Go to the background, and return once the workers are ready
    #[arg(long)]
    pub daemon: bool,
}

/// `preforkd check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Print the whole configuration as it will be used
    #[arg(long)]
    pub print: bool,
}

/// `preforkd serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// What a connection gets
    #[arg(value_enum)]
    pub service: ServiceName,
    /// http: the directory; message: the text
    #[arg(value_name = "ARG")]
    pub argument: Option<std::ffi::OsString>,
    /// Where to listen: HOST:PORT (an IPv6 host in brackets), :PORT or unix:PATH;
    /// port 0 lets the kernel choose; may be given several times
    #[arg(short, long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// How a worker spends itself
    #[arg(short, long, value_enum, default_value = "prefork")]
    pub model: ModelName,
    /// Whether all workers accept on the same sockets or each on its own
    #[arg(short, long, value_enum, default_value = "shared")]
    pub accept: AcceptName,
    /// How many workers; without it as many as the model usually has
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub workers: Option<u32>,
    /// Serve one connection, then exit
    #[arg(long)]
    pub once: bool,
    /// Log what happens; twice, everything; http logs its requests
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Services that need no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServiceName {
    /// Files below a directory, over HTTP
    Http,
    /// Every byte back (RFC 862)
    Echo,
    /// Nothing (RFC 863)
    Discard,
    /// Date and time as text (RFC 867)
    Daytime,
    /// Characters without end (RFC 864)
    Chargen,
    /// Seconds since 1900, in four octets (RFC 868)
    Time,
    /// A fixed text
    Message,
}

/// The models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelName {
    /// One connection at a time
    Prefork,
    /// Many connections in one loop
    Event,
    /// A fixed number of threads, each one connection at a time
    Threads,
    /// A fresh process for each connection
    Fork,
}

/// Whose the listeners are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcceptName {
    /// All workers accept on the same sockets
    Shared,
    /// Each worker has its own SO_REUSEPORT socket
    Reuseport,
}

/// The commands that have a running master do something.
#[derive(Debug, Args)]
pub struct Order {
    /// Whom to ask.
    #[command(flatten)]
    pub ask: Ask,
    /// Return when it is done, with the exit status that says how it went
    #[arg(long)]
    pub wait: bool,
}

/// `preforkd scale`.
#[derive(Debug, Args)]
pub struct Scale {
    /// The pool's name
    pub pool: String,
    /// How many workers, 1 to 4096
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub workers: u32,
    /// Whom to ask, and whether to wait.
    #[command(flatten)]
    pub order: Order,
}

/// The commands that talk to a running master.
#[derive(Debug, Args)]
pub struct Ask {
    /// The configuration file that names the control socket
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// The control socket itself
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub control: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}
