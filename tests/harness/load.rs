//! Clients that never pause, to see whether a request is lost while the
//! server is busy with itself.

pub(crate) use super::crowd::Habit;
use super::crowd::{Crowd, Manners};
use super::ledger::Fate;
use std::net::SocketAddr;
use std::time::Duration;

/// Requests under way, without pause, until [`Load::stop`].
pub(crate) struct Load {
    crowd: Crowd,
}

impl Load {
    /// `clients` of them ask for `path`, and want `body`.
    pub(crate) fn start(
        address: SocketAddr,
        path: &str,
        body: &[u8],
        clients: usize,
        habit: Habit,
    ) -> Self {
        let crowd = Crowd::start(Manners {
            address,
            path: path.to_owned(),
            body: body.to_vec(),
            habit,
            clients,
            think: Duration::ZERO..Duration::ZERO,
            patience: super::SOON,
            // They never pause, so no server has a reason to close.
            keepalive: Duration::MAX,
            seed: 1,
        });
        Self { crowd }
    }

    /// Requests answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.crowd.served()
    }

    /// Waits until `count` more requests have been answered.
    pub(crate) fn wait_for(&self, count: u64) {
        self.crowd.wait_for(count);
    }

    /// Ends it; answers how many requests were answered, and why others were not.
    pub(crate) fn stop(self) -> (u64, Vec<String>) {
        let ledger = self.crowd.stop();
        let losses = ledger.faults.iter().map(ToString::to_string).collect();
        (ledger.count(Fate::Served) as u64, losses)
    }
}
