//! The one table from signals to requests; past it nobody sees a number.

use super::message::Request;
use signal_hook::consts::{
    SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// What a signal to the master means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A child has something to be waited for.
    Reap,
    /// Somebody asks for something.
    Request(Request),
    /// Nothing that this version does.
    Unknown(i32),
}

const TABLE: [(i32, Meaning); 10] = [
    (SIGCHLD, Meaning::Reap),
    (SIGTERM, Meaning::Request(Request::Stop)),
    (SIGINT, Meaning::Request(Request::Stop)),
    (SIGQUIT, Meaning::Request(Request::Stop)),
    (SIGHUP, Meaning::Request(Request::Reload)),
    (SIGUSR1, Meaning::Request(Request::Reopen)),
    (SIGUSR2, Meaning::Request(Request::Upgrade)),
    (SIGWINCH, Meaning::Request(Request::DrainWorkers)),
    (SIGTTIN, Meaning::Request(Request::MoreWorkers)),
    (SIGTTOU, Meaning::Request(Request::FewerWorkers)),
];

/// The signals of the master: handlers only take note and wake the loop.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// Registers a handler for each signal of the table.
    ///
    /// # Errors
    /// What socketpair(2) or sigaction(2) say.
    pub fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let signals = TABLE.map(|(signal, _)| signal);
        Ok(Self {
            delivery: SignalDelivery::with_pipe(read, write, SignalOnly, signals)?,
        })
    }

    /// What has come since the last call; a signal that came twice comes once.
    pub fn pending(&mut self) -> Vec<Meaning> {
        let meaning = |signal| {
            let row = TABLE.iter().find(|(number, _)| *number == signal);
            row.map_or(Meaning::Unknown(signal), |(_, meaning)| *meaning)
        };
        self.delivery.pending().map(meaning).collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}
