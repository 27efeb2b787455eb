//! How a listener's clients wait.

use crate::config::{Pool, SocketOptions};
use crate::sys;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// What a pool wants of the queues of its listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The accept queue, in connections.
    pub backlog: u32,
    /// How long a TCP client is left in the handshake that sends nothing.
    pub defer: Duration,
}

impl Queue {
    /// As the pool says, where the `listen` entry does not.
    pub fn of(pool: &Pool, options: &SocketOptions) -> Self {
        Self {
            backlog: options.backlog.unwrap_or(pool.backlog),
            defer: options.defer_accept.unwrap_or(pool.defer_accept),
        }
    }

    /// For listen(2).
    pub(super) fn length(self) -> i32 {
        i32::try_from(self.backlog).unwrap_or(i32::MAX)
    }

    /// Tells a TCP socket that is new, and has no such wish of itself. The kernel
    /// counts in seconds, and means by them the repetitions of its SYN-ACK that
    /// fit in.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub(super) fn begin(self, socket: &impl AsFd) -> io::Result<()> {
        if self.defer.is_zero() {
            return Ok(());
        }
        self.defer(socket)
    }

    /// As [`Queue::begin`], for a socket that may have had another wish.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub(super) fn change(self, socket: &impl AsFd) -> io::Result<()> {
        match self.defer(socket) {
            // What the kernel does not know it does not do.
            Err(_) if self.defer.is_zero() => Ok(()),
            result => result,
        }
    }

    fn defer(self, socket: &impl AsFd) -> io::Result<()> {
        let seconds = self.defer.as_millis().div_ceil(1000);
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        sys::socket::defer_accept(socket.as_fd(), seconds)
    }
}
