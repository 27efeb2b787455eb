//! The PROXY protocol in front of a service: who the client is, is what the
//! first octets of the connection say.
//!
//! ```text
//!                 Connected            whole header          welcome
//!   (new) ──▶ Reading ──▶ … Received … ──▶ Meet ──▶ Named ──▶ Passing ⟲
//!     │          │                                    │
//!     │          └─ Broken, TimedOut, PeerFinished ──▶ Close ◀─ not welcome
//!     └─ Stranger ──▶ Close
//! ```
//!
//! Owes what the specification that HAProxy publishes, `proxy-protocol.txt`,
//! asks of a receiver (§2): both versions are taken, from the senders that are
//! listed and nobody else; there always is a header, and nothing is guessed from
//! its absence; the whole of it comes in time; exactly its octets are consumed.
//! Then the driver is told of the client by [`Action::Meet`], and the machine of
//! the service is made for that one and gets every call. Must never make that
//! machine before, nor answer anybody a word.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod header;
#[cfg(test)]
mod rules;

use super::{Action, CloseReason, Ending, Manner, Outcome, Peer, Protocol, Service, Subject, Turn};
use crate::config::Clients;
use header::{Header, Origin};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A service behind proxies.
pub struct ProxyService {
    inner: Arc<dyn Service>,
    senders: Clients,
    timeout: Duration,
}

impl ProxyService {
    /// What `inner` serves, to the clients that `senders` name. `timeout` is how
    /// long a header may take, from the accept to its last octet.
    pub fn new(inner: Arc<dyn Service>, senders: Clients, timeout: Duration) -> Self {
        Self {
            inner,
            senders,
            timeout,
        }
    }
}

impl Service for ProxyService {
    fn connection(&self, peer: &Peer) -> Box<dyn Protocol> {
        let is_sender = self.senders.contain(peer.remote.map(|one| one.ip()));
        let stage = if is_sender {
            Stage::Reading {
                inner: Arc::clone(&self.inner),
                patience: Patience::Of(self.timeout),
            }
        } else {
            Stage::Stranger
        };
        Box::new(Proxied { stage })
    }

    fn wants_local(&self) -> bool {
        self.inner.wants_local()
    }
}

/// A connection that begins with a header.
struct Proxied {
    stage: Stage,
}

enum Stage {
    /// Nobody who may say who the client is.
    Stranger,
    /// Waiting for the rest of the header.
    Reading {
        inner: Arc<dyn Service>,
        patience: Patience,
    },
    /// The header is consumed, and the driver judges whom it names.
    Named { inner: Arc<dyn Service> },
    /// The service has it.
    Passing {
        machine: Box<dyn Protocol>,
        /// What came behind the header has not been told of.
        untold: bool,
    },
}

#[derive(Clone, Copy)]
enum Patience {
    /// So long, once the connection begins.
    Of(Duration),
    Until(Instant),
}

/// What became of the wait for a header.
enum Step {
    /// Go on with this.
    Wait(Action<'static>),
    /// It is whole, and names this client.
    Named(Peer),
}

const STRANGER: CloseReason = CloseReason::Refused("proxy-2 sender is not one of proxy_from");
const LATE: CloseReason = CloseReason::Refused("proxy-2 no whole header in time");

impl Protocol for Proxied {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        match &mut self.stage {
            Stage::Stranger => return close(reason_of(outcome, STRANGER)),
            Stage::Reading { inner, patience } => {
                match read(outcome, patience, inner.hands_over(), turn) {
                    Step::Wait(action) => return action,
                    Step::Named(peer) => {
                        let inner = Arc::clone(inner);
                        self.stage = Stage::Named { inner };
                        return Action::Meet(peer);
                    }
                }
            }
            Stage::Named { inner } => {
                if outcome != Outcome::Connected {
                    return close(reason_of(outcome, CloseReason::Internal));
                }
                self.stage = Stage::Passing {
                    machine: inner.connection(turn.peer),
                    untold: false,
                };
            }
            Stage::Passing { .. } => {}
        }
        let Stage::Passing { machine, untold } = &mut self.stage else {
            return close(CloseReason::Internal);
        };
        let told = match outcome {
            Outcome::Flushed if std::mem::take(untold) => Outcome::Received,
            other => other,
        };
        match machine.resume(told, turn) {
            // What the client said may have come with the header. The machine
            // hears of it once the driver, which has nothing to wait for, is back.
            Action::Receive { .. } if outcome == Outcome::Connected && !turn.input.is_empty() => {
                *untold = true;
                Action::Flush
            }
            action => action,
        }
    }

    fn rest(&mut self) {
        if let Stage::Passing { machine, .. } = &mut self.stage {
            machine.rest();
        }
    }

    fn subject(&self) -> Option<Subject> {
        match &self.stage {
            Stage::Passing { machine, .. } => machine.subject(),
            Stage::Stranger | Stage::Reading { .. } | Stage::Named { .. } => None,
        }
    }
}

/// Reads the header as far as it has come. `exact`: not an octet more may be
/// taken off the socket.
fn read(outcome: Outcome, patience: &mut Patience, exact: bool, turn: &mut Turn<'_>) -> Step {
    let end = |reason| Step::Wait(close(reason));
    let until = match *patience {
        Patience::Of(time) => turn.now + time,
        Patience::Until(moment) => moment,
    };
    *patience = Patience::Until(until);
    match outcome {
        Outcome::Connected => {}
        Outcome::Received => match header::parse(turn.input.unread()) {
            Ok(None) => {}
            Ok(Some(Header { length, origin })) => {
                turn.input.consume(length);
                return Step::Named(named(origin, turn.peer));
            }
            Err(broken) => return end(CloseReason::Refused(broken.rule())),
        },
        // A load balancer that only looks whether somebody listens.
        Outcome::PeerFinished if turn.input.is_empty() => return end(CloseReason::PeerClosed),
        Outcome::PeerFinished => return end(CloseReason::CutShort),
        Outcome::TimedOut => return end(LATE),
        Outcome::Broken { reason, .. } => return end(reason),
        // Nothing of the kind was asked for.
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
        | Outcome::Listed { .. } => return end(CloseReason::Internal),
    }
    let (deadline, octets) = (until, turn.input.unread());
    Step::Wait(if exact {
        let most = header::wanted(octets);
        Action::ReceiveAtMost { deadline, most }
    } else {
        let idle = false;
        Action::Receive { deadline, idle }
    })
}

/// Who the client is. A proxy that speaks for itself is its own client; so is
/// one whose client came over a unix socket of its machine, which has no address
/// that would mean anything on ours (§2.2).
fn named(origin: Origin, connection: &Peer) -> Peer {
    match origin {
        Origin::Tcp { client, server } => Peer {
            remote: Some(client),
            local: Some(server),
        },
        Origin::Connection | Origin::Unix => *connection,
    }
}

fn reason_of(outcome: Outcome, otherwise: CloseReason) -> CloseReason {
    match outcome {
        Outcome::Broken { reason, .. } => reason,
        Outcome::Connected
        | Outcome::Received
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
        | Outcome::Listed { .. } => otherwise,
    }
}

/// At once: whoever breaks the protocol is owed no answer.
fn close(reason: CloseReason) -> Action<'static> {
    let manner = Manner::AtOnce;
    Action::Close(Ending { reason, manner })
}
