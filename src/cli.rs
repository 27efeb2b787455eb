//! The command line, as clap reads it. What a command does stands in
//! `command/`; here is only what it is called and what it takes.
//!
//! The help, the manual and the completions are made of these definitions: the
//! first paragraph of a command is all that the list of commands has, the others
//! stand in `preforkd help COMMAND` and in preforkd(8).

pub mod client;
pub mod get;
pub mod probe;
pub mod reference;
pub mod value;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

/// Where the configuration is looked for.
pub const DEFAULT_CONFIG: &str = "/etc/preforkd/preforkd.toml";

/// A prefork multiprocess TCP, UDP and HTTP server for Linux.
#[derive(Debug, Parser)]
#[command(name = "preforkd", version, about, max_term_width = 100, after_help = reference::after_help())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const STATUS_EXIT: &str = "Exit status, as LSB has it for init scripts:
  0   the master runs
  1   it is dead, and its pid file is left
  3   it does not run
  4   nobody can tell: the reason is on standard error
  64  wrong usage

Where the master does not answer, or has no control socket, its pid file tells: it is locked for
as long as a master lives.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the pools of a configuration file
    ///
    /// It stays in the foreground. With `--daemon` it goes to the background
    /// once the workers are ready; if they are not, it returns with the message
    /// and the exit status of what failed.
    Run(Run),
    /// Read a configuration file and say what is wrong, and where
    ///
    /// All mistakes are shown at once, each with its line. Nothing is started,
    /// and nothing that runs is touched.
    Check(Check),
    /// Serve without a configuration file
    ///
    /// It prints a line for each address it listens on, such as `listening on
    /// http 127.0.0.1:8080`; port 0 there is the port that the kernel chose.
    /// Without `--listen` it listens on 127.0.0.1: http and app on port 8080,
    /// message on 7000, exec on 7001, the others on their own port plus 7000. For
    /// exec and app the program and its arguments follow after `--`.
    Serve(Serve),
    /// Show what the running master and its workers do
    #[command(after_help = STATUS_EXIT)]
    Status(Status),
    /// Have the running master read its configuration and replace its workers
    ///
    /// As the signal HUP. With `--wait` it returns with what came of it: where
    /// all stayed as it was, with the exit status that says why, 78, 75, 71 or
    /// 69.
    Reload(Order),
    /// Have the running master finish what is open, and end
    ///
    /// As the signal TERM. With `--wait` it returns when the master is gone.
    Stop(Order),
    /// Have the running master start the program's file anew, and leave to it
    ///
    /// As the signal USR2. With `--wait` it returns when the new master serves,
    /// or with the reason for which the old one stays.
    Upgrade(Order),
    /// Have the running master and its workers open the log files anew
    ///
    /// As the signal USR1. With `--wait` it returns when nobody writes to the
    /// old files any more, so that they may be compressed at once; and with
    /// exit status 71 where a new one could not be opened.
    Reopen(Order),
    /// Give a pool of a fixed size another number of workers, until the next reload
    ///
    /// With `--wait` it returns when every new worker is ready and every
    /// superfluous one is gone: with exit status 75 where the new ones die
    /// young, and with 69 where a reload or a stop came in between. A pool that
    /// finds its size itself is refused.
    Scale(Scale),
    /// Connect to a port or a unix socket: standard input there, and back
    ///
    /// What comes from standard input is sent, what comes back is printed, both at
    /// once. At the end of the input the other side is told so, and what it still
    /// sends is read to its end. All addresses of the host are tried, IPv4 and IPv6
    /// in turn, a quarter of a second apart; the first that answers is taken. At a
    /// terminal lines can be edited, those before are to be had with the arrow keys
    /// and are kept nowhere else, and what comes cannot drive the terminal.
    #[command(after_help = client::statuses(client::FINE, &[]))]
    Connect(client::Connect),
    /// Ask a server for something over HTTP/1.1, and write down what comes
    ///
    /// The content goes to standard output, whatever the status is; all that is
    /// said of it goes to standard error. A short answer, and one that breaks a
    /// rule of HTTP, is a failure. There is no TLS yet: https:// is refused, also
    /// where a redirect leads there.
    #[command(after_help = get::after_help())]
    Get(Box<get::Get>),
    /// Hold a server against the rules of HTTP/1.1, or of a small service
    ///
    /// It prints a line for each rule: its number, the verdict, how binding it is,
    /// where it stands and what it is about.
    #[command(after_help = probe::after_help())]
    Probe(Box<probe::Probe>),
    /// Print the manual, completions for a shell, or a configuration file
    Generate(Generate),
}

/// `preforkd run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Go to the background, and return once the workers are ready
    #[arg(long)]
    pub daemon: bool,
}

/// `preforkd check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = DEFAULT_CONFIG)]
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
    /// The directory, for http; the text, for message
    #[arg(value_name = "ARG", value_hint = ValueHint::AnyPath)]
    pub argument: Option<std::ffi::OsString>,
    /// The program and its arguments, for exec and app
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<std::ffi::OsString>,
    /// Where to listen: HOST:PORT (an IPv6 host in brackets), :PORT, fd:NAME for
    /// sockets that are passed by this name, udp: before any of these for datagrams,
    /// or unix:PATH; port 0 lets the kernel choose; may be given several times
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
    /// Serve one connection, or one datagram, then exit with status 0
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
    /// A program for each connection, as inetd
    Exec,
    /// Programs that accept for themselves on descriptor 3
    App,
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

/// `preforkd status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Whom to ask.
    #[command(flatten)]
    pub ask: Ask,
    /// Show this pool alone
    #[arg(long, value_name = "NAME", conflicts_with = "json")]
    pub pool: Option<String>,
    /// Leave out the workers that wait for a connection
    #[arg(long, conflicts_with_all = ["json", "deaths"])]
    pub busy: bool,
    /// Show it again and again, every so many seconds (0.1 to 3600; 1 if none are
    /// given): on a terminal as a live view, ? there tells the keys; else a table
    /// each time
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = pause, conflicts_with = "deaths")]
    pub watch: Option<Duration>,
    /// Show the last 32 deaths of workers, the newest last, with all that is known
    /// of each
    #[arg(long)]
    pub deaths: bool,
}

/// The time between two looks.
fn pause(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let seconds = seconds.filter(|seconds| (0.1..=3600.0).contains(seconds));
    let pause = seconds.map(Duration::from_secs_f64);
    pause.ok_or_else(|| String::from("a number from 0.1 to 3600 was expected"))
}

/// The commands that talk to a running master.
#[derive(Debug, Args)]
pub struct Ask {
    /// The configuration file that names the control socket
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// The control socket itself
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with = "config")]
    pub control: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `preforkd generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// What to print
    #[arg(value_enum)]
    pub what: Generated,
}

/// What `preforkd generate` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// The manual page preforkd(8)
    Man,
    /// The manual page preforkd.toml(5)
    ManConfig,
    /// Completions for bash
    Bash,
    /// Completions for zsh
    Zsh,
    /// Completions for fish
    Fish,
    /// A configuration file with every key, its default and what it does
    Config,
}
