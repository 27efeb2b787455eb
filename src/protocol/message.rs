//! A fixed text, then close. With [`super::daytime`] and [`super::time`] it
//! shares the shape of a service that speaks once.
//!
//! Such a service must never let the client's bytes destroy its text: a client
//! may have sent something that nobody reads, and close(2) over unread bytes
//! is answered with RST. So it always ends with [`Manner::Linger`].

use std::sync::Arc;

use super::{
    Action, CloseReason, Ending, Manner, Outcome, Peer, Protocol, Responder, Service, Turn,
};

/// A service that sends one text to everybody.
#[derive(Clone, Debug)]
pub struct MessageService {
    text: Arc<[u8]>,
}

impl MessageService {
    /// A service that sends `text` as it is; nothing is added at its end.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self {
            text: text.into().into(),
        }
    }
}

impl Service for MessageService {
    fn connection(&self, _peer: &Peer) -> Box<dyn Protocol> {
        Box::new(Message {
            text: Arc::clone(&self.text),
        })
    }
}

/// Over UDP everybody gets the text, whatever they ask; it must fit a datagram.
impl Responder for MessageService {
    fn answer<'a>(&'a self, _request: &'a [u8]) -> Option<&'a [u8]> {
        Some(&self.text)
    }
}

struct Message {
    text: Arc<[u8]>,
}

impl Protocol for Message {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        speak_once(outcome, turn, |turn| turn.output.push(&self.text))
    }
}

/// Says what `speech` writes when the connection is new, and leaves.
pub(super) fn speak_once(
    outcome: Outcome,
    turn: &mut Turn<'_>,
    speech: impl FnOnce(&mut Turn<'_>),
) -> Action<'static> {
    let reason = match outcome {
        Outcome::Connected => {
            speech(turn);
            CloseReason::Complete
        }
        Outcome::Broken { reason, .. } => reason,
        // Nothing was asked for but to close.
        Outcome::Received
        | Outcome::PeerFinished
        | Outcome::TimedOut
        | Outcome::Flushed
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
        manner: Manner::Linger,
    })
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Finale, World};
    use super::*;

    #[test]
    fn sends_the_text_and_lingers() {
        // Rule 133.
        let world = World::new(MessageService::new("Message received."));
        let seen = world.run(&[b"junk"], Finale::Silence);
        assert_eq!(seen.output, b"Message received.");
        assert_eq!(seen.ending.reason, CloseReason::Complete);
        assert_eq!(seen.ending.manner, Manner::Linger);
    }

    #[test]
    fn a_datagram_is_answered_with_the_text() {
        // Rule 133.
        let service = MessageService::new("Message received.");
        for request in [&b""[..], b"junk"] {
            assert_eq!(service.answer(request), Some(&b"Message received."[..]));
        }
    }
}
