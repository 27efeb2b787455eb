//! What is left of a connection while it waits for its next request.
//!
//! An event loop keeps ten thousand of them, and wakes a few at a time: nothing
//! is held that is not worth its octets that often. With a few hundred, waking
//! them would cost more than they hold.

use super::{Connection, Stage};
use crate::admission::Claim;
use crate::driver::Lane;
use crate::net::Stream;
use crate::protocol::{Peer, Protocol};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// A connection at rest.
pub struct Resting {
    stream: Stream,
    protocol: Box<dyn Protocol>,
    claim: Claim,
    remote: Option<SocketAddr>,
    /// Known only to services that want it.
    local: Option<Box<SocketAddr>>,
}

impl Connection {
    /// Whether it may rest: it waits for a request and has nothing else to do. One
    /// that has not said a word stays awake: its first request is on its way.
    pub fn may_rest(&self) -> bool {
        let is_bare = self.heard
            && self.input.is_bare()
            && self.output.is_bare()
            && self.child.is_none()
            && self.content.is_empty();
        is_bare && matches!(self.stage, Stage::Receiving { idle: true, .. })
    }

    /// Puts it to rest, where it [may](Connection::may_rest).
    pub fn put_to_rest(mut self) -> Resting {
        self.protocol.rest();
        Resting {
            stream: self.stream,
            protocol: self.protocol,
            claim: self.claim,
            remote: self.peer.remote,
            local: self.peer.local.map(Box::new),
        }
    }
}

impl Resting {
    /// As it was before it rested, waiting until `deadline`.
    pub fn wake(self, deadline: Instant, lane: &Lane<'_>) -> Connection {
        let peer = Peer {
            remote: self.remote,
            local: self.local.map(|address| *address),
        };
        let stage = Stage::Receiving {
            deadline,
            idle: true,
        };
        Connection {
            heard: true,
            ..Connection::bare(self.stream, (peer, self.claim), self.protocol, stage, lane)
        }
    }
}

impl AsFd for Resting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
