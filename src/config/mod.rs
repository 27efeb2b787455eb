//! The configuration as the program uses it: complete, checked, immutable, one
//! value per generation.
//!
//! The way in is one-directional: `file` reads the text and keeps where each
//! value stands, `check` turns that into a [`Config`] or into [`Mistakes`] that
//! point at their lines; [`load()`] does both. What a check asks of the machine
//! goes through [`System`]. Nothing here opens a socket or a log.
//!
//! The keys are declared once, in the tables of `file`; messages, `preforkd
//! check --print` and [`keys()`] for the manual all follow that list.

mod address;
mod app;
mod cgi;
mod check;
mod command;
mod datagram;
mod defaults;
mod endpoint;
mod exec;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod htpasswd;
mod kind;
mod limits;
mod load;
mod media;
mod mistake;
mod network;
mod number;
mod place;
mod print;
mod site;
mod system;
mod table;
mod tos;
mod units;
mod web;
mod wording;

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use address::parse_listen;
pub use app::{App, Orphaned, ProgramSignal, Ready, Stream};
pub use command::USUAL_PATH;
pub use endpoint::{Endpoint, Keepalive, Proxy, SocketOptions, Tos};
pub use exec::{Exec, StandardError};
pub use file::keys;
pub use htpasswd::Passwords;
pub use limits::{EarlyDrop, Full, Limits, Rate, Refusal};
pub use load::{LoadError, Loaded, load, load_again, parse};
pub use media::MediaTypes;
pub use mistake::{Mistake, Mistakes, Severity, Span};
pub use network::{Access, Clients, Network};
pub use site::{
    Auth, Cgi, Content, ERROR_PAGE_STATUSES, ErrorPage, Forwarded, Header, Host, PathRule, Pattern,
    RESPOND_STATUSES, Redirect, Respond, Root, Scope, StatusPages, Trust,
};
pub use system::{Account, System, ThisMachine};
pub use table::Key;
pub use units::{format_duration, format_size, parse_duration, parse_size};

/// Everything the master needs to know, for one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The `[master]` table.
    pub master: Master,
    /// The `[pool.NAME]` tables, in the order of the file; at least one.
    pub pools: Vec<Pool>,
}

/// The `[master]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Written and locked while the master lives; `None` for no pid file.
    pub pid_file: Option<PathBuf>,
    /// Where `preforkd status` and friends connect; `None` for no control socket.
    pub control_socket: Option<PathBuf>,
    /// The id of the group whose members may connect there, besides root and the
    /// master's own user; `None` for nobody else.
    pub control_group: Option<u32>,
    /// Where messages go, and which.
    pub log: Log,
    /// How long a graceful stop, and the drain of an old generation, may take.
    pub graceful_timeout: Duration,
    /// How long a stop that is asked for is announced before it begins.
    pub drain_delay: Duration,
    /// How long the new master of an upgrade may take until it serves.
    pub upgrade_timeout: Duration,
    /// How many generations may serve or drain at once, 2..=16.
    pub max_generations: u32,
    /// How long worker after worker of a pool may die young, with none that
    /// lives, before the master gives up; zero is never.
    pub breaker_exit_after: Duration,
    /// Whether workers keep their process titles current.
    pub process_titles: bool,
    /// Serve one connection, then exit 0 (`preforkd serve … --once`).
    pub once: bool,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The destination.
    pub to: LogTarget,
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: log::LevelFilter,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, pid, role, level, text.
    Text,
    /// A JSON object (RFC 8259).
    Json,
}

/// A destination for log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard error.
    Stderr,
    /// A file, opened for appending, reopened on request.
    File(PathBuf),
    /// The syslog daemon.
    Syslog {
        /// One of syslog(3)'s facilities.
        facility: Facility,
        /// The program name in each line, without the pid.
        tag: String,
    },
}

/// A syslog facility: the code of RFC 5424 §6.2.1, 0..=23, e.g. 3 for `daemon`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(pub u8);

/// The most listeners of a pool: a worker is told in the bits of one word whose
/// queues it has to empty.
pub const MAX_LISTENERS: usize = 64;

/// A set of listeners, a service and a number of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name: 1 to 32 of `a-z A-Z 0-9 - _`.
    pub name: String,
    /// Where it listens: one to [`MAX_LISTENERS`].
    pub listen: Vec<Endpoint>,
    /// The kernel's accept queue, already clamped to net.core.somaxconn.
    pub backlog: u32,
    /// How long a TCP client is not accepted that has sent nothing; zero: it is
    /// at once.
    pub defer_accept: Duration,
    /// Who may connect at all.
    pub access: Access,
    /// What becomes of who may not: [`Refusal::Close`] or [`Refusal::Reset`].
    pub denied: Refusal,
    /// How many may be in at once, and how fast they may come.
    pub limits: Option<Limits>,
    /// What a connection gets.
    pub service: Service,
    /// How a worker spends itself.
    pub model: Model,
    /// Whose the listeners are.
    pub accept: Accept,
    /// How many workers.
    pub size: Size,
    /// Threads of a worker on the model `threads`, 1..=1024.
    pub threads_per_worker: u32,
    /// Connections a worker holds at once on the models `event` and `fork`.
    pub max_connections: u32,
    /// Connections after which a worker is replaced, a tenth more or less; 0 is
    /// never.
    pub connections_per_worker: u64,
    /// Requests after which a worker is replaced, a tenth more or less; 0 is
    /// never.
    pub requests_per_worker: u64,
    /// Octets of memory of its own with which a worker is replaced; 0 is never.
    pub max_worker_memory: u64,
    /// How long a worker serves at least before it is replaced for wear.
    pub min_worker_lifetime: Duration,
    /// How long a worker may go without a sign of life before it is killed.
    pub worker_timeout: Duration,
    /// How long a worker may take to report READY.
    pub spawn_timeout: Duration,
    /// Silence after which a connection of a simple service is closed.
    pub idle_timeout: Duration,
    /// How long a peer may take none of our bytes.
    pub write_timeout: Duration,
    /// Octets a second that a peer must take of what makes us wait, on the
    /// average over each `write_timeout`; 0 is any.
    pub send_min_rate: u64,
    /// How long a closing connection is drained of what the peer still sends.
    pub linger_timeout: Duration,
    /// Where its workers' messages go, and which; `None` is the master's log.
    pub log: Option<Log>,
    /// Whom the workers run as; `None` leaves them as the master is.
    pub identity: Option<Identity>,
    /// What holds for datagrams, where it listens for those.
    pub datagrams: Datagrams,
}

/// A user with its groups, looked up when the configuration was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's name, as configured.
    pub user: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

impl Pool {
    /// The longest time for which a client of it is left to the kernel that has
    /// sent nothing.
    pub fn longest_deferral(&self) -> Duration {
        let entries = self.listen.iter();
        let of_entry = |one: &Endpoint| one.options.defer_accept.unwrap_or(self.defer_accept);
        entries.map(of_entry).max().unwrap_or(self.defer_accept)
    }
}

/// A place to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Listen {
    /// TCP.
    Tcp {
        /// Address and port; port 0 lets the kernel choose.
        address: SocketAddr,
        /// An IPv6 socket takes no IPv4 connections; meaningless for IPv4.
        v6only: bool,
    },
    /// UDP: datagrams instead of connections.
    Udp {
        /// Address and port; port 0 lets the kernel choose.
        address: SocketAddr,
        /// An IPv6 socket takes no IPv4 datagrams; meaningless for IPv4.
        v6only: bool,
    },
    /// A unix stream socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Permission bits, 0..=0o777.
        mode: u32,
    },
    /// Sockets that the service manager listens on and passes to us
    /// (sd_listen_fds(3)).
    Fd {
        /// The name of one or several of them, or the number of one, from 3 on.
        name: String,
        /// Which of that name are meant. A master that knew of one kind alone says
        /// nothing of it.
        #[serde(default)]
        kind: SocketKind,
    },
}

/// What comes by a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SocketKind {
    /// Connections.
    #[default]
    Stream,
    /// Datagrams.
    Datagram,
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { address, .. } => address.fmt(f),
            Self::Udp { address, .. } => write!(f, "udp:{address}"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Fd { name, kind } => match kind {
                SocketKind::Stream => write!(f, "fd:{name}"),
                SocketKind::Datagram => write!(f, "udp:fd:{name}"),
            },
        }
    }
}

impl Listen {
    /// Whether there are datagrams to be had, and no connections.
    pub const fn is_datagram(&self) -> bool {
        match self.kind() {
            SocketKind::Datagram => true,
            SocketKind::Stream => false,
        }
    }

    /// What comes by its sockets.
    pub const fn kind(&self) -> SocketKind {
        match self {
            Self::Udp { .. } => SocketKind::Datagram,
            Self::Tcp { .. } | Self::Unix { .. } => SocketKind::Stream,
            Self::Fd { kind, .. } => *kind,
        }
    }

    /// What it is, where its sockets cannot be of this kind.
    pub const fn unfit_for(&self, accept: Accept) -> Option<&'static str> {
        match (accept, self) {
            (Accept::Shared, _) | (Accept::Reuseport, Self::Tcp { .. } | Self::Udp { .. }) => None,
            (Accept::Reuseport, Self::Unix { .. }) => Some("a unix socket"),
            (Accept::Reuseport, Self::Fd { .. }) => Some("what is passed"),
        }
    }
}

/// The `[pool.NAME.udp]` table: what holds for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagrams {
    /// Answers a second that a source gets from a worker, on the average; 0 is
    /// any. A source is an IPv4 address, or the first 64 bits of an IPv6 address.
    pub rate: u32,
    /// Answers that a source gets at once, if it has had none for a while; 1 or
    /// more.
    pub burst: u32,
    /// Whether chargen may answer with more octets than it was asked with.
    pub amplify: bool,
}

/// How a worker spends itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// One connection at a time, blocking.
    Prefork,
    /// Many connections in one epoll loop.
    Event,
    /// A fixed number of threads, each one connection at a time, blocking.
    Threads,
    /// A fresh process for each connection.
    Fork,
}

impl Model {
    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prefork => "prefork",
            Self::Event => "event",
            Self::Threads => "threads",
            Self::Fork => "fork",
        }
    }
}

/// Whose the listening sockets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accept {
    /// All workers of the pool accept on the same sockets.
    Shared,
    /// Each slot has its own SO_REUSEPORT sockets.
    Reuseport,
}

impl Accept {
    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Reuseport => "reuseport",
        }
    }
}

/// How many workers a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Always this many, 1..=4096.
    Fixed(u32),
    /// As many as keep some idle; `min_spare <= max_spare <= max`, `start <= max`.
    Spare {
        /// Workers to begin with.
        start: u32,
        /// Fewer idle ones than this: spawn.
        min_spare: u32,
        /// More idle ones than this: retire.
        max_spare: u32,
        /// Never more workers than this, 1..=4096.
        max: u32,
    },
}

impl Size {
    /// The largest number of workers the pool may have, in one generation.
    pub const fn max(self) -> u32 {
        match self {
            Self::Fixed(workers) => workers,
            Self::Spare { max, .. } => max,
        }
    }
}

/// What a connection gets.
#[allow(clippy::large_enum_variant, reason = "there is one of it a pool")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// RFC 862: every byte back.
    Echo,
    /// RFC 863: nothing.
    Discard,
    /// RFC 867: date and time as text.
    Daytime,
    /// RFC 868: seconds since 1900, four octets.
    Time,
    /// RFC 864: characters without end.
    Chargen,
    /// A fixed text, then close.
    Message(Vec<u8>),
    /// HTTP/1.1.
    Http(Http),
    /// Programs that accept for themselves.
    App(Box<App>),
    /// A program for each connection.
    Exec(Exec),
    /// A service that the program using the library brings along.
    Custom,
}

impl Service {
    /// The word of the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Daytime => "daytime",
            Self::Time => "time",
            Self::Chargen => "chargen",
            Self::Message(_) => "message",
            Self::Http(_) => "http",
            Self::App(_) => "app",
            Self::Exec(_) => "exec",
            Self::Custom => "custom",
        }
    }

    /// What the service http needs to know, where it is that.
    pub const fn http(&self) -> Option<&Http> {
        if let Self::Http(http) = self {
            Some(http)
        } else {
            None
        }
    }

    /// What the service app needs to know, where it is that.
    pub const fn app(&self) -> Option<&App> {
        if let Self::App(app) = self {
            Some(app)
        } else {
            None
        }
    }

    /// What the service exec needs to know, where it is that.
    pub const fn exec(&self) -> Option<&Exec> {
        if let Self::Exec(exec) = self {
            Some(exec)
        } else {
            None
        }
    }
}

/// The form of a line of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// That of Apache, which every log analyser reads.
    Combined,
    /// A JSON object (RFC 8259).
    Json,
}

/// The `[pool.NAME.http]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The directory that is served, absolute.
    pub root: PathBuf,
    /// Names tried for a directory, in order.
    pub index: Vec<String>,
    /// Where a line for each request goes.
    pub access_log: LogTarget,
    /// The form of that line.
    pub access_log_format: LineFormat,
    /// Whether answers say the request's name in X-Request-ID.
    pub request_id: bool,
    /// Whether names that begin with a dot are served (`/.well-known/` always is).
    pub dotfiles: bool,
    /// Media types that count before the built-in ones.
    pub mime_types: Option<MediaTypes>,
    /// The charset that text is said to have; `None` says nothing.
    pub charset: Option<String>,
    /// Whether `.zst`, `.br` and `.gz` files are sent instead of the file beside them.
    pub precompressed: bool,
    /// Whether compressible files without such a sibling are compressed.
    pub gzip: bool,
    /// The smallest file that is compressed, in octets.
    pub gzip_min_size: u64,
    /// How much compressed content a worker keeps, in octets.
    pub gzip_cache: usize,
    /// How many files a worker keeps open.
    pub file_cache: usize,
    /// How long a request head may take, from its first octet to its last.
    pub header_timeout: Duration,
    /// How long a request body may stay without a new octet.
    pub body_timeout: Duration,
    /// Octets a second of a request body that must come, on the average over
    /// each `body_timeout`; 0 is any.
    pub body_min_rate: u64,
    /// How long an idle connection is kept for another request.
    pub keepalive_timeout: Duration,
    /// Requests after which a connection is closed; 0 is never.
    pub keepalive_requests: u64,
    /// The longest request target, in octets.
    pub max_target: usize,
    /// The longest header section, request line included, in octets.
    pub max_header: usize,
    /// The most header fields.
    pub max_fields: usize,
    /// The longest request body, in octets.
    pub max_body: u64,
    /// What symbolic links may do.
    pub symlinks: Symlinks,
    /// Whether a directory without an index is listed.
    pub listing: bool,
    /// The path of a file that is sent where nothing was found.
    pub fallback: Option<String>,
    /// Files for answers that went wrong.
    pub error_pages: Vec<ErrorPage>,
    /// Fields of answers.
    pub headers: Vec<Header>,
    /// Who may come in.
    pub access: Access,
    /// Who must say a password.
    pub auth: Option<Auth>,
    /// Whom we believe about who the client is.
    pub trust: Trust,
    /// Whether a host that has no table is refused with 421.
    pub strict_hosts: bool,
    /// Paths of every host, in the order of the file.
    pub paths: Vec<PathRule>,
    /// The hosts by name, in the order of the file.
    pub hosts: Vec<Host>,
    /// Where the server says how it is; `None`: nowhere.
    pub status: Option<Box<StatusPages>>,
    /// What programs may do.
    pub cgi: Box<Cgi>,
}

/// What symbolic links may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// Lead to anything below the root.
    Beneath,
    /// Nothing: a path with one in it is refused.
    Never,
}
