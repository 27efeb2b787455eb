//! Taking a connection off a queue, and what each error of accept4(2) means.

use crate::net::Stream;
use crate::protocol::Peer;
use crate::sys;
use std::io;
use std::os::fd::BorrowedFd;

/// What came of one accept4(2).
#[derive(Debug)]
pub enum Accepted {
    /// A client.
    Connection(Stream, Peer),
    /// The queue is empty.
    Nothing,
    /// A client gave up in the queue, the network hiccupped, or a signal came: go on.
    Again,
    /// Out of descriptors or memory: pause, for the queue keeps its clients.
    Exhausted(io::Error),
    /// The socket does not listen: this worker is retiring.
    Parked,
    /// Anything else: this worker cannot trust its listener.
    Sick(io::Error),
}

/// Takes one connection off the worker's listener of this `number`; with
/// `nonblocking` its socket will not block. Whether this call itself waits is the
/// listener's own affair.
pub fn accept(listener: BorrowedFd<'_>, number: usize, nonblocking: bool) -> Accepted {
    match sys::socket::accept(listener, nonblocking) {
        Ok((fd, remote)) => {
            let local = None;
            let stream = Stream::new(fd, nonblocking).through(number);
            Accepted::Connection(stream, Peer { remote, local })
        }
        Err(error) => classify(error),
    }
}

fn classify(error: io::Error) -> Accepted {
    match error.raw_os_error().unwrap_or(0) {
        libc::EAGAIN => Accepted::Nothing,
        libc::EINTR => Accepted::Again,
        // accept(2): errors that are pending on the new socket are passed on,
        // and should be treated like EAGAIN.
        libc::ECONNABORTED
        | libc::ECONNRESET
        | libc::ENETDOWN
        | libc::EPROTO
        | libc::ENOPROTOOPT
        | libc::EHOSTDOWN
        | libc::ENONET
        | libc::EHOSTUNREACH
        | libc::EOPNOTSUPP
        | libc::ENETUNREACH
        | libc::ETIMEDOUT
        // A firewall rule forbade it.
        | libc::EPERM => Accepted::Again,
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => Accepted::Exhausted(error),
        libc::EINVAL => Accepted::Parked,
        _ => Accepted::Sick(error),
    }
}
