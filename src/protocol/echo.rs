//! RFC 862: every octet back. The contract at its smallest; read this first.
//!
//! ```text
//!                 Connected, Received, Flushed
//!                ┌─────────────┐
//!                ▼             │
//!   (new) ──▶ listening ── Receive or Flush
//!                │
//!                └─ PeerFinished, TimedOut, Broken ──▶ Close
//! ```
//!
//! The machine has no state of its own: what is still to be returned waits in
//! [`Turn::output`]. It owes the client every octet it took, also after the
//! client's end of file. It must never hold more than [`HOLD`] octets and what
//! one `Receive` brought.
//!
//! Over UDP a datagram comes back as it is, [`EchoDatagrams`].

use super::{
    Action, CloseReason, Ending, Manner, Outcome, Patience, Peer, Protocol, Responder, Service,
    Turn,
};

/// Octets that may wait for the client before we stop reading, 1 MiB: a client
/// may send as much before it reads the first octet back.
pub const HOLD: usize = 1024 * 1024;

/// The echo service.
#[derive(Clone, Copy, Debug)]
pub struct EchoService {
    patience: Patience,
}

impl EchoService {
    /// A service that closes a connection after `patience.idle` of silence.
    pub fn new(patience: Patience) -> Self {
        Self { patience }
    }
}

impl Service for EchoService {
    fn connection(&self, _peer: &Peer) -> Box<dyn Protocol> {
        Box::new(Echo {
            patience: self.patience,
        })
    }
}

/// The echo service over UDP: "any data received is sent back" (RFC 862).
#[derive(Clone, Copy, Debug, Default)]
pub struct EchoDatagrams;

impl Responder for EchoDatagrams {
    fn answer<'a>(&'a self, request: &'a [u8]) -> Option<&'a [u8]> {
        Some(request)
    }
}

struct Echo {
    patience: Patience,
}

impl Protocol for Echo {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        match outcome {
            Outcome::Connected | Outcome::Received | Outcome::Flushed => {
                turn.output.push(turn.input.unread());
                turn.input.consume(usize::MAX);
                if turn.output.len() >= HOLD {
                    return Action::Flush;
                }
                Action::Receive {
                    deadline: turn.now + self.patience.idle,
                    idle: true,
                }
            }
            // Close sends what is still in the output first.
            Outcome::PeerFinished => close(CloseReason::Complete),
            Outcome::TimedOut if turn.draining => close(CloseReason::Draining),
            Outcome::TimedOut => close(CloseReason::Idle),
            Outcome::Broken { reason, .. } => close(reason),
            // No file was ever asked for.
            Outcome::Found(_)
            | Outcome::Missing(_)
            | Outcome::Sent
            | Outcome::Read
            | Outcome::Computed(_)
            | Outcome::Reported
            | Outcome::Overloaded
            | Outcome::Program(_)
            | Outcome::HandedOver(_)
            | Outcome::Listed { .. } => close(CloseReason::Internal),
        }
    }
}

fn close(reason: CloseReason) -> Action<'static> {
    Action::Close(Ending {
        reason,
        manner: Manner::AtOnce,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::harness::{Finale, PATIENCE, World};
    use super::*;

    #[test]
    fn returns_every_octet_and_closes_after_the_peer() {
        let world = World::new(EchoService::new(PATIENCE));
        world.every_way(b"hello\r\n\0\xff", Finale::Finish, |seen| {
            assert_eq!(seen.output, b"hello\r\n\0\xff");
            assert_eq!(seen.ending.reason, CloseReason::Complete);
        });
    }

    #[test]
    fn a_datagram_comes_back_as_it_is() {
        // Rule 130: also without an octet, and with as many as fit.
        for request in [Vec::new(), b"hello".to_vec(), vec![9; 65_507]] {
            assert_eq!(EchoDatagrams.answer(&request), Some(&request[..]));
        }
    }

    #[test]
    fn a_mebibyte_then_fin_comes_back_whole() {
        // Rule 129.
        let data: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
        let segments: Vec<&[u8]> = data.chunks(60_000).collect();
        let seen = World::new(EchoService::new(PATIENCE)).run(&segments, Finale::Finish);
        assert!(seen.output == data);
        assert!(seen.deepest <= HOLD + 128 * 1024);
    }

    #[test]
    fn a_client_that_reads_late_is_served_up_to_the_hold() {
        let world = World::new(EchoService::new(PATIENCE)).reads_late();
        let data = vec![7; HOLD - 1];
        let segments: Vec<&[u8]> = data.chunks(4096).collect();
        let seen = world.run(&segments, Finale::Finish);
        assert_eq!(seen.flushes, 0);
        assert_eq!(seen.output.len(), HOLD - 1);
    }

    #[test]
    fn silence_ends_it() {
        let seen = World::new(EchoService::new(PATIENCE)).run(&[b"x"], Finale::Silence);
        assert_eq!(seen.output, b"x");
        assert_eq!(seen.ending.reason, CloseReason::Idle);
        assert_eq!(seen.elapsed, PATIENCE.idle);
    }
}
