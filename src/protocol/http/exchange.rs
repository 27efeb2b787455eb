//! One request and its answer: how the answer is framed, and what may follow.

use super::coding::Codings;
use super::request::{Method, Request, Version};
use super::response::Envelope;
use super::site::Rule;
use super::status::Status;
use crate::protocol::{CloseReason, Ending, Manner, RequestId};

/// What of a request outlives its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// The client's version.
    pub(super) version: Version,
    /// The method is HEAD.
    pub(super) head_only: bool,
    /// Codings that are better than none.
    pub(super) codings: Codings,
    /// What may follow the answer.
    pub(super) persistence: Persistence,
}

/// What may follow an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// Another request.
    Keep,
    /// Nothing: the client wants it so.
    Close,
    /// Nothing, and octets of this request will not be read.
    Abandon,
}

impl Exchange {
    /// The exchange that a request opens.
    pub(super) fn of(request: &Request<'_>) -> Self {
        let persistence = if request.method == Method::Connect {
            // What follows CONNECT was never meant to be a request.
            Persistence::Abandon
        } else if request.options.persists(request.version) {
            Persistence::Keep
        } else {
            Persistence::Close
        };
        Self {
            version: request.version,
            head_only: request.method == Method::Head,
            codings: request.codings,
            persistence,
        }
    }

    /// What its answer says about itself.
    pub(super) fn envelope(
        self,
        status: Status,
        closes: bool,
        id: Option<RequestId>,
        rule: &Rule,
    ) -> Envelope<'_> {
        Envelope {
            status,
            id,
            version: self.version,
            closes,
            head_only: self.head_only,
            by_accept: false,
            rule,
        }
    }

    /// How the connection ends after an answer with `status`; `None` if it
    /// goes on. `last`: the connection has had its number of requests.
    pub(super) fn parting(self, status: Status, draining: bool, last: bool) -> Option<Ending> {
        let (reason, manner) = match (self.persistence, status) {
            (Persistence::Abandon, _) => (CloseReason::Complete, Manner::Linger),
            (Persistence::Close, Status::Unavailable | Status::InternalError) => {
                (CloseReason::Internal, Manner::AtOnce)
            }
            (Persistence::Close, _) => (CloseReason::Complete, Manner::AtOnce),
            // The client has not heard of it yet, and its next request may be
            // under way: met by RST it would cost the client this answer (RFC
            // 9112 §9.6).
            //
            // A connection less is a descriptor more.
            (Persistence::Keep, Status::Unavailable | Status::InternalError) => {
                (CloseReason::Internal, Manner::Linger)
            }
            (Persistence::Keep, _) if draining => (CloseReason::Draining, Manner::Linger),
            (Persistence::Keep, _) if last => (CloseReason::RequestLimit, Manner::Linger),
            (Persistence::Keep, _) => return None,
        };
        Some(Ending { reason, manner })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partings() {
        let parting = |persistence, status, draining, last| {
            let exchange = Exchange {
                version: Version::Http11,
                head_only: false,
                codings: Codings::NONE,
                persistence,
            };
            exchange
                .parting(status, draining, last)
                .map(|ending| (ending.reason, ending.manner))
        };
        let (ok, full) = (Status::Ok, Status::Unavailable);
        let at_once = |reason| Some((reason, Manner::AtOnce));
        let lingers = |reason| Some((reason, Manner::Linger));
        assert_eq!(parting(Persistence::Keep, ok, false, false), None);
        for (persistence, status, draining, last, expected) in [
            (
                Persistence::Keep,
                ok,
                true,
                true,
                lingers(CloseReason::Draining),
            ),
            (
                Persistence::Keep,
                ok,
                false,
                true,
                lingers(CloseReason::RequestLimit),
            ),
            (
                Persistence::Keep,
                full,
                false,
                false,
                lingers(CloseReason::Internal),
            ),
            (
                Persistence::Close,
                full,
                false,
                false,
                at_once(CloseReason::Internal),
            ),
            (
                Persistence::Close,
                ok,
                true,
                false,
                at_once(CloseReason::Complete),
            ),
            (
                Persistence::Abandon,
                ok,
                false,
                false,
                lingers(CloseReason::Complete),
            ),
        ] {
            assert_eq!(parting(persistence, status, draining, last), expected);
        }
    }
}
