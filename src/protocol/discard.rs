//! RFC 863: takes everything, says nothing, closes when the peer has closed.
//!
//! It must never keep or send an octet.

use super::{
    Action, CloseReason, Ending, Manner, Outcome, Patience, Peer, Protocol, Responder, Service,
    Turn,
};

/// The discard service.
#[derive(Clone, Copy, Debug)]
pub struct DiscardService {
    patience: Patience,
}

impl DiscardService {
    /// A service that closes a connection after `patience.idle` of silence.
    pub fn new(patience: Patience) -> Self {
        Self { patience }
    }
}

impl Service for DiscardService {
    fn connection(&self, _peer: &Peer) -> Box<dyn Protocol> {
        Box::new(Discard {
            patience: self.patience,
        })
    }
}

/// The discard service over UDP: "no response is sent" (RFC 863).
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscardDatagrams;

impl Responder for DiscardDatagrams {
    fn answer<'a>(&'a self, _request: &'a [u8]) -> Option<&'a [u8]> {
        None
    }
}

struct Discard {
    patience: Patience,
}

impl Protocol for Discard {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        let reason = match outcome {
            Outcome::Connected | Outcome::Received => {
                turn.input.consume(usize::MAX);
                return Action::Receive {
                    deadline: turn.now + self.patience.idle,
                    idle: true,
                };
            }
            Outcome::PeerFinished => CloseReason::Complete,
            Outcome::TimedOut if turn.draining => CloseReason::Draining,
            Outcome::TimedOut => CloseReason::Idle,
            Outcome::Broken { reason, .. } => reason,
            Outcome::Flushed
            | Outcome::Found(_)
            | Outcome::Missing(_)
            | Outcome::Sent
            | Outcome::Read
            | Outcome::Computed(_)
            | Outcome::Reported
            | Outcome::Overloaded
            | Outcome::Program(_)
            | Outcome::HandedOver(_)
            | Outcome::Listed { .. } => CloseReason::Internal,
        };
        Action::Close(Ending {
            reason,
            manner: Manner::AtOnce,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Finale, PATIENCE, World};
    use super::*;

    #[test]
    fn says_nothing_and_closes_at_end_of_file() {
        // Rule 132.
        let world = World::new(DiscardService::new(PATIENCE));
        world.every_way(b"anything at all", Finale::Finish, |seen| {
            assert!(seen.output.is_empty());
            assert_eq!(seen.ending.reason, CloseReason::Complete);
        });
    }

    #[test]
    fn a_datagram_has_no_answer() {
        // Rule 132.
        assert_eq!(DiscardDatagrams.answer(b"anything at all"), None);
        assert_eq!(DiscardDatagrams.answer(b""), None);
    }

    #[test]
    fn silence_ends_it() {
        let seen = World::new(DiscardService::new(PATIENCE)).run(&[], Finale::Silence);
        assert_eq!(seen.ending.reason, CloseReason::Idle);
    }
}
