//! Datagrams that the kernel has dropped for want of room in a socket's queue, as
//! news: each is told of once.
//!
//! Owes the last ones too: those before a filter was put in front of the socket,
//! whose drops the kernel counts with the others though they are on purpose.

use crate::sys;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// What was told of one socket's, and what was not.
#[derive(Debug, Default)]
pub(super) struct Drops {
    /// The kernel's count when it was last asked: it has 32 bits, and may begin anew.
    seen: AtomicU32,
    /// Dropped, and not told of yet.
    untold: AtomicU64,
    /// What is dropped now is so on purpose.
    filtered: AtomicBool,
}

impl Drops {
    /// What there is to tell, which is told by that.
    pub(super) fn take(&self, socket: &impl AsFd) -> u64 {
        if !self.filtered.load(Ordering::Relaxed) {
            self.look(socket);
        }
        self.untold.swap(0, Ordering::Relaxed)
    }

    /// From now on what is dropped is so on purpose; to be called just before that
    /// begins.
    pub(super) fn end(&self, socket: &impl AsFd) {
        if !self.filtered.load(Ordering::Relaxed) {
            self.look(socket);
            self.filtered.store(true, Ordering::Relaxed);
        }
    }

    /// What has been dropped so far is nothing to be told of here.
    pub(super) fn begin(&self, socket: &impl AsFd) {
        let untold = self.untold.load(Ordering::Relaxed);
        self.look(socket);
        self.untold.store(untold, Ordering::Relaxed);
    }

    /// Nothing is dropped on purpose any more.
    pub(super) fn resume(&self, socket: &impl AsFd) {
        if self.filtered.swap(false, Ordering::Relaxed) {
            self.begin(socket);
        }
    }

    /// Asks the kernel; where it does not say, nothing is new.
    fn look(&self, socket: &impl AsFd) {
        if let Ok(memory) = sys::datagram::memory(socket.as_fd()) {
            let before = self.seen.swap(memory.dropped, Ordering::Relaxed);
            let new = memory.dropped.wrapping_sub(before);
            self.untold.fetch_add(u64::from(new), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn each_is_told_of_once_and_what_a_filter_drops_never() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        let send =
            |count: usize| (0..count).for_each(|_| assert_eq!(client.send(b"x").unwrap(), 1));
        let drops = Drops::default();
        assert_eq!(drops.take(&server), 0);
        // More than fit.
        send(2000);
        let full = drops.take(&server);
        assert!(0 < full && full < 2000, "{full}");
        assert_eq!(drops.take(&server), 0);
        send(3);
        drops.end(&server);
        sys::datagram::refuse_all(server.as_fd()).unwrap();
        send(4);
        // Asked a second time, as by each of several that go.
        drops.end(&server);
        assert_eq!((drops.take(&server), drops.take(&server)), (3, 0));
        sys::socket::admit_handshakes(server.as_fd()).unwrap();
        drops.resume(&server);
        assert_eq!(drops.take(&server), 0);
        send(5);
        drops.resume(&server);
        assert_eq!(drops.take(&server), 5);
    }
}
