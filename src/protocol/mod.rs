//! The contract between protocols and drivers, and nothing else.
//!
//! A *protocol* decides; a *driver* moves bytes. A protocol is a state machine
//! without input or output of its own: it is given bytes, the time and what
//! came of its last wish, and it answers with bytes and its next wish. It owns
//! no socket, file, clock or log, so the same machine runs on every model, and
//! a test runs it without any of them.
//!
//! ```text
//!            Outcome                          Action
//!   driver ───────────▶ Protocol::resume ───────────▶ driver
//!     ▲      + Turn (now, input, output, …)             │
//!     └─────────── carries the action out ◀─────────────┘
//! ```
//!
//! One action gives exactly one outcome, so a protocol reads like a
//! conversation: [`Action::Receive`] comes back as [`Outcome::Received`],
//! [`Outcome::PeerFinished`], [`Outcome::TimedOut`] or [`Outcome::Broken`];
//! [`Action::Open`] as [`Outcome::Found`] or [`Outcome::Missing`]; and so on.
//! A program that is run is a second peer, see [`program`]; one that gets the
//! connection itself is all that is left of it, see [`session`]; services for
//! datagrams have a contract of their own, see [`datagram`].
//! Read [`echo`] first: it is the contract at its smallest.

pub mod activity;
pub mod chargen;
pub mod datagram;
pub mod daytime;
pub mod discard;
pub mod echo;
pub mod exec;
pub mod http;
pub mod message;
pub mod pace;
pub mod program;
pub mod proxy;
pub mod session;
pub mod subject;
pub mod time;

mod buffer;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, missing_docs))]
mod harness;

pub use crate::calendar::{Civil, Wall, utc_date};
pub use crate::status::Readiness;
pub use activity::Activity;
pub use buffer::{Input, Output};
pub use datagram::Responder;
pub use pace::{Floor, Pace, Verdict};
pub use program::{Content, Program, ProgramEnd, ProgramLimits, ProgramNews, RunError};
pub use session::{Errors, HandOver, SessionCut, SessionEnd, SessionLimits};
pub use subject::{RequestId, Subject};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a listener serves: makes the state machine for each new connection.
///
/// One value serves a whole worker, from several threads where the model is
/// `threads`. It must not keep anything that one client could grow.
pub trait Service: Send + Sync {
    /// The machine for a connection that was just accepted from `peer`.
    fn connection(&self, peer: &Peer) -> Box<dyn Protocol>;

    /// Whether its machines want to know [`Peer::local`], which costs a call
    /// for each connection.
    fn wants_local(&self) -> bool {
        false
    }

    /// Whether the first wish of its machines is [`Action::HandOver`]: then no
    /// process of ours need stand beside the program, and nothing that follows a
    /// PROXY header may be taken off the socket.
    fn hands_over(&self) -> bool {
        false
    }
}

/// Any closure from a peer to a machine is a service.
impl<F> Service for F
where
    F: Fn(&Peer) -> Box<dyn Protocol> + Send + Sync,
{
    fn connection(&self, peer: &Peer) -> Box<dyn Protocol> {
        self(peer)
    }
}

/// One connection's state machine.
pub trait Protocol: Send {
    /// Goes on after `outcome` and says what must happen next.
    ///
    /// The first call of a connection has [`Outcome::Connected`]; the last one
    /// is the one that returns [`Action::Close`]. After [`Outcome::Broken`]
    /// only `Close` makes sense, and the driver takes any answer for it.
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_>;

    /// The connection waits between two requests, and is one of many: what can be
    /// had again when the next one comes should not be held until then.
    fn rest(&mut self) {}

    /// Whom a line of the log about this connection is about; `None` where it
    /// has made no request, or makes none. Asked for when something went wrong.
    fn subject(&self) -> Option<Subject> {
        None
    }
}

/// What a protocol sees of the world in one call, and where it writes.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Monotonic time, for deadlines.
    pub now: Instant,
    /// Time of day, for `Date`, log lines and RFC 867.
    pub wall: &'a Wall,
    /// The worker is on its way out: answer what has begun, promise nothing more.
    pub draining: bool,
    /// Whether new clients are welcome to the server as a whole.
    pub readiness: Readiness,
    /// The two ends of the connection.
    pub peer: &'a Peer,
    /// Bytes received and not yet consumed.
    pub input: &'a mut Input,
    /// Bytes to send. The driver sends them before it waits for anything. After
    /// [`Outcome::Broken`] it holds those that did not leave, and never will.
    pub output: &'a mut Output,
    /// Entries of a directory that was to be listed; the protocol takes them.
    pub entries: &'a mut Vec<Entry>,
    /// What a program that is run next will read.
    pub content: &'a mut Content,
    /// What the program wrote and nobody has consumed.
    pub program: &'a mut Input,
    /// What the server says of itself, after [`Outcome::Reported`]; the protocol
    /// takes it.
    pub report: &'a mut Vec<u8>,
    /// Whole access-log lines, each ended by `\n`; the driver writes them out,
    /// within a second.
    pub access_log: &'a mut Vec<u8>,
    /// What the scoreboard and the process title shall show.
    pub activity: &'a mut Activity,
}

/// What a protocol asks of its driver.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'p> {
    /// Wait for bytes that are not in [`Turn::input`] yet, until `deadline`.
    /// What is in `output` is sent meanwhile.
    Receive {
        /// When to give up with [`Outcome::TimedOut`].
        deadline: Instant,
        /// Nothing has begun: the client may be silent without being at fault.
        idle: bool,
    },
    /// As a `Receive` of what has begun, which takes `most` octets off the socket,
    /// 1 or more, and leaves what follows for whoever reads it next.
    ReceiveAtMost {
        /// When to give up with [`Outcome::TimedOut`].
        deadline: Instant,
        /// The most octets to take.
        most: usize,
    },
    /// The client is not who connected, but this one, who counts from now on: for
    /// [`Turn::peer`], what is shown and logged, rules and limits. Comes back as
    /// [`Outcome::Connected`]; who is not welcome is the driver's to turn away, and
    /// nothing, or [`Outcome::Broken`], is heard of it.
    Meet(Peer),
    /// Send all of [`Turn::output`], then go on with [`Outcome::Flushed`]. Where
    /// there is an access log, [`Turn::now`] is then the time when the kernel had
    /// taken the last octet; else nobody looks at the clock for it. The bound on
    /// output is the protocol's: ask for this when it is long.
    Flush,
    /// Open `path`, NUL-free, relative to root number `root`, never outside it.
    Open {
        /// Index into the service's list of roots.
        root: usize,
        /// The path below the root, without a leading slash; empty is the root itself.
        path: &'p [u8],
    },
    /// Send `length` octets from `offset` of the file found last, after `output`.
    ///
    /// The file stays open for more of this, and for `Read`, until another is
    /// found, or until the protocol asks for `Receive`, `Run` or `Close`.
    SendFile {
        /// Where in the file to begin.
        offset: u64,
        /// How many octets to send.
        length: u64,
    },
    /// Fill `into` with octets of the file found last, all of it, at once: on
    /// an event loop everybody waits for that, so the protocol keeps it short.
    Read {
        /// Where in the file to begin.
        offset: u64,
        /// What is to be filled.
        into: &'p mut [u8],
    },
    /// Do work that takes longer than other clients should wait. What is in
    /// `output` may wait until it is done.
    Compute(Work),
    /// Have written down how the server is. It takes a moment, in which others
    /// need not wait; what is in `output` may wait until it is done.
    Report(View),
    /// Read the next entries of the directory found last into
    /// [`Turn::entries`], a few at a time, in no order. `root` and `path` are
    /// those it was opened with, to tell where symbolic links in it lead.
    List {
        /// Index into the service's list of roots.
        root: usize,
        /// The path below the root.
        path: &'p [u8],
    },
    /// Run a program, with [`Turn::content`] as its standard input. There is at
    /// most one at a time.
    Run(Program<'p>),
    /// Send all of [`Turn::output`], then wait for what the program writes, or
    /// for its end, until `deadline`.
    Hear {
        /// When to give up with [`Outcome::TimedOut`]. It is moved on by as
        /// long as the peer has made the driver wait since the program was
        /// run: that is not the program's fault.
        deadline: Instant,
    },
    /// Give the connection to a program, with neither input nor output left: it
    /// comes back as [`Outcome::HandedOver`], and then there is no connection
    /// any more, unless the program could not be started.
    HandOver(HandOver<'p>),
    /// Send `output`, then end the connection, and a program that still runs.
    Close(Ending),
}

/// In which form the server tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A page in HTML.
    Page {
        /// After so many seconds it is to be loaded again, 1 to 3600.
        refresh: Option<u16>,
    },
    /// Lines with Apache's names, for agents that know these.
    Auto,
    /// All of it, as JSON.
    Json,
    /// As metrics, in the text format of Prometheus.
    Metrics,
}

/// Work without any effect but its answer, which it gives on any thread.
#[derive(Clone)]
pub struct Work(Arc<dyn Fn() -> bool + Send + Sync>);

impl Work {
    /// Work that is done by calling this once.
    pub fn new(work: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self(work)
    }

    /// Does it.
    pub fn run(&self) -> bool {
        (self.0)()
    }
}

impl PartialEq for Work {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Work {}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

/// A row of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as it is in the file system.
    pub name: Vec<u8>,
    /// What it is; for a symbolic link, what it leads to.
    pub kind: FileKind,
    /// Size in octets.
    pub length: u64,
    /// Time of last modification, seconds since 1970.
    pub mtime: i64,
}

/// What came of the last [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection is new, or its client is, see [`Action::Meet`].
    Connected,
    /// At least one octet was added to [`Turn::input`].
    Received,
    /// The peer sends no more (end of file); it may still be reading.
    PeerFinished,
    /// The deadline of a `Receive` or a `Hear` passed without a new octet.
    TimedOut,
    /// All output has been handed to the kernel.
    Flushed,
    /// The file, directory or other object is open.
    Found(Facts),
    /// It could not be opened.
    Missing(OpenError),
    /// The file range is sent, or is in the output whole.
    Sent,
    /// The octets of the file are where they were wanted.
    Read,
    /// The work is done, with this answer.
    Computed(bool),
    /// It is written down, in [`Turn::report`].
    Reported,
    /// There is more such work than can be done, or nobody who could do it: try
    /// again later.
    Overloaded,
    /// The next entries are in [`Turn::entries`]; some that may not be opened
    /// are left out. A failure is [`Outcome::Missing`].
    Listed {
        /// Whether there may be further ones.
        more: bool,
    },
    /// Something came of a `Run` or a `Hear`.
    Program(ProgramNews),
    /// The program that had the connection is gone, or did not get it.
    HandedOver(SessionEnd),
    /// The connection is beyond use; `sent` octets of a file range had left.
    Broken {
        /// Octets of the last [`Action::SendFile`] that were sent; otherwise 0.
        sent: u64,
        /// What broke it.
        reason: CloseReason,
    },
}

/// What an opened object is; the handle itself stays with the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// File, directory or neither.
    pub kind: FileKind,
    /// Size in octets.
    pub length: u64,
    /// Time of last modification: seconds since 1970 …
    pub mtime: i64,
    /// … and nanoseconds, 0..1_000_000_000.
    pub mtime_nanoseconds: u32,
    /// Device and inode number.
    pub identity: (u64, u64),
}

/// The kinds of object that matter to a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A socket, device or FIFO: not to be served.
    Other,
}

/// Why an object could not be opened (openat2(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// ENOENT, ENOTDIR, ENAMETOOLONG.
    NotFound,
    /// EACCES, EPERM.
    Denied,
    /// EXDEV, ELOOP: the path or a symbolic link leads out of the root, or in a circle.
    Escapes,
    /// EMFILE, ENFILE, ENOMEM, or EAGAIN, where somebody has a lease on it: try again
    /// later.
    Exhausted,
    /// Anything else.
    Failed,
}

/// How a connection ends, once its output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The one reason that status, metrics and log will name.
    pub reason: CloseReason,
    /// How careful to be with bytes that are still under way.
    pub manner: Manner,
}

/// Whether the peer may still be sending when we close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The peer owes us nothing: close(2) at once.
    AtOnce,
    /// The peer may be sending: half-close, discard what comes up to a bound,
    /// close. A plain close(2) would answer its bytes with RST, and RST
    /// destroys the answer before the peer has read it (RFC 9112 §9.6).
    Linger,
}

/// The closed list of reasons for which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The service is complete; nobody is at fault.
    Complete,
    /// The peer closed first, between requests.
    PeerClosed,
    /// The peer closed in the middle of a request.
    CutShort,
    /// A keep-alive connection, or one that never spoke, was silent too long.
    Idle,
    /// A request began and its head did not arrive whole in time.
    RequestTimeout,
    /// The head of a request arrived, and then none of its body for too long.
    BodyTimeout,
    /// The body of a request arrived more slowly than the minimum rate.
    SlowBody,
    /// The peer took none of our bytes for too long.
    WriteStalled,
    /// The peer took our bytes more slowly than the minimum rate.
    SlowReader,
    /// The connection was reset, or broke otherwise (ECONNRESET, EPIPE …).
    Reset,
    /// The request broke a rule; the text names it, e.g. `rfc9112-6.3 content-length`.
    Refused(&'static str),
    /// The connection had its configured number of requests.
    RequestLimit,
    /// The worker is draining.
    Draining,
    /// The file shrank while it was being sent.
    Truncated,
    /// The peer sent more than the protocol could hold.
    Overflow,
    /// A program did not do what was expected of it; the text says what, e.g.
    /// `rfc3875-6.3.1 no Content-Type`.
    Program(&'static str),
    /// We failed: out of descriptors or memory, or an unexpected error.
    Internal,
}

impl CloseReason {
    /// Whether the connection ends as was meant, with nobody at fault so far:
    /// what breaks it before its last octet is sent is the better reason.
    pub const fn is_planned(self) -> bool {
        match self {
            Self::Complete | Self::RequestLimit | Self::Draining => true,
            Self::PeerClosed
            | Self::CutShort
            | Self::Idle
            | Self::RequestTimeout
            | Self::BodyTimeout
            | Self::SlowBody
            | Self::WriteStalled
            | Self::SlowReader
            | Self::Reset
            | Self::Refused(_)
            | Self::Truncated
            | Self::Overflow
            | Self::Program(_)
            | Self::Internal => false,
        }
    }

    /// The rule that was broken, by the client or by a program.
    pub const fn rule(self) -> Option<&'static str> {
        match self {
            Self::Refused(rule) | Self::Program(rule) => Some(rule),
            Self::Complete
            | Self::PeerClosed
            | Self::CutShort
            | Self::Idle
            | Self::RequestTimeout
            | Self::BodyTimeout
            | Self::SlowBody
            | Self::WriteStalled
            | Self::SlowReader
            | Self::Reset
            | Self::RequestLimit
            | Self::Draining
            | Self::Truncated
            | Self::Overflow
            | Self::Internal => None,
        }
    }

    /// The name under which it is counted and logged.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::PeerClosed => "peer-closed",
            Self::CutShort => "cut-short",
            Self::Idle => "idle",
            Self::RequestTimeout => "request-timeout",
            Self::BodyTimeout => "body-timeout",
            Self::SlowBody => "slow-body",
            Self::WriteStalled => "write-stalled",
            Self::SlowReader => "slow-reader",
            Self::Reset => "reset",
            Self::Refused(_) => "refused",
            Self::RequestLimit => "request-limit",
            Self::Draining => "draining",
            Self::Truncated => "truncated",
            Self::Overflow => "overflow",
            Self::Program(_) => "program",
            Self::Internal => "internal",
        }
    }
}

/// The other end of a connection, and ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The client's address; `None` on a unix socket.
    pub remote: Option<SocketAddr>,
    /// Our address as the client sees it, for a service that
    /// [wants it](Service::wants_local); `None` on a unix socket.
    pub local: Option<SocketAddr>,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.remote {
            Some(address) => address.fmt(f),
            None => f.write_str("unix:"),
        }
    }
}

/// The time that simple stream services grant a silent client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Silence after which a connection is closed.
    pub idle: Duration,
}
