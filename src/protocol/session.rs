//! What a protocol says of a program that gets the connection itself, and what
//! it hears of it. Data alone: starting, watching and ending it is the driver's
//! work.
//!
//! The program has the socket as its standard input and output, and from then
//! on nobody else has it: not an octet of the session passes through the
//! server, and the client sees the end of the connection when the program, or
//! the last of those that it started, has closed it.
//!
//! ```text
//!   HandOver ─▶ HandedOver(Ended, Cut or NotStarted) ─▶ Close
//! ```

use super::{ProgramEnd, RunError};
use std::ffi::CStr;
use std::time::Duration;

/// A program to be given the connection. The driver adds to its environment
/// what only the socket says: `TCPCONNNUM`, or on a unix socket `UNIXLOCALPATH`,
/// `UNIXREMOTEPID`, `UNIXREMOTEEUID` and `UNIXREMOTEEGID`.
///
/// What is in [`Turn::input`](super::Turn) would be lost to the program, and
/// nobody would send what is in the output: both must be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOver<'p> {
    /// The program, an absolute path.
    pub program: &'p CStr,
    /// Where it runs, an absolute path.
    pub directory: &'p CStr,
    /// Its arguments, the name of the program first, each ended by NUL.
    pub arguments: &'p [u8],
    /// Its environment: `NAME=value`, each ended by NUL (environ(7)).
    pub environment: &'p [u8],
    /// Where its standard error goes.
    pub errors: Errors,
    /// What it may use, and for how long.
    pub limits: &'p SessionLimits,
}

/// Where the standard error of a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// To the log, a line each.
    Log,
    /// To the client.
    Socket,
}

/// What a program that has a connection may use; `None` is no limit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Address space, in octets (RLIMIT_AS).
    pub memory: Option<u64>,
    /// Processor time, in whole seconds (RLIMIT_CPU).
    pub processor_time: Option<Duration>,
    /// Descriptors (RLIMIT_NOFILE).
    pub open_files: Option<u64>,
    /// Processes of its user, its own and others (RLIMIT_NPROC).
    pub processes: Option<u64>,
    /// The largest file it may write, in octets (RLIMIT_FSIZE).
    pub file_size: Option<u64>,
    /// The largest core file, in octets (RLIMIT_CORE).
    pub core: u64,
    /// Added to the nice value, 0..=19.
    pub nice: u8,
    /// Permission bits that its files do not get, 0..=0o777.
    pub umask: u32,
    /// The whole session.
    pub timeout: Option<Duration>,
    /// How long nothing may pass in either direction, on TCP.
    pub idle: Duration,
    /// How long one that shall end has between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The program ended by itself.
    Ended(ProgramEnd),
    /// It was ended.
    Cut(SessionCut),
    /// It could not be started, and the socket is still the driver's.
    /// [`RunError::Busy`] comes after a pause: whoever still wishes asks again.
    NotStarted(RunError),
}

/// Why a session is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionCut {
    /// Nothing passed for too long, or there is no connection any more.
    Idle,
    /// [`SessionLimits::timeout`] is over.
    Overdue,
    /// The worker leaves.
    Draining,
}

impl SessionCut {
    /// What the log says of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Overdue => "it took too long",
            Self::Draining => "the worker leaves",
        }
    }
}
