//! The ends of answers: a page about a status, what follows an answer that is
//! written, and how a connection is left.
//!
//! Every line in the access log is written here, once, when the kernel has
//! taken the answer's last octet, or will take no more of it.

use std::sync::Arc;

use super::super::access::{self, Line};
use super::super::conditional::{self, Verdict};
use super::super::exchange::Exchange;
use super::super::files::{Candidate, Plan};
use super::super::response::{self, Envelope};
use super::super::status::{Refusal, Status};
use super::request::{SILENCE, TIMEOUT, TRICKLE};
use super::{Connection, State, Wish};
use crate::protocol::{CloseReason, Ending, Manner, Output, Turn};

impl Connection {
    /// Answers about `status`: with a file, where one is configured for it.
    pub(super) fn answer(
        &mut self,
        exchange: Exchange,
        status: Status,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let pages = Arc::clone(&self.rule().error_pages);
        let Some((_, path)) = pages.iter().find(|(known, _)| *known == status) else {
            return self.answer_plainly(exchange, status, turn);
        };
        self.notes.replace_path(path.as_bytes());
        self.files = self.site.map.find(self.rule().host, path.as_bytes(), false);
        // A program cannot be sent as a file.
        if self.site.map.rule(self.files).cgi {
            return self.answer_plainly(exchange, status, turn);
        }
        let plan = Plan::Open(Candidate::ErrorPage(status));
        self.carry_out(exchange, plan, turn)
    }

    /// Answers with a page of our own about `status`.
    pub(super) fn answer_plainly(
        &mut self,
        exchange: Exchange,
        status: Status,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let parting = self.parting(exchange, status, turn);
        let envelope = self.envelope(exchange, status, parting);
        let octets = response::write_page(turn.output, envelope, turn.wall, None, &self.notes);
        self.finish(status, octets, parting, turn)
    }

    /// Answers with what is no file, is there and would be sent with 200, if a
    /// condition of the client's is against that: with 304 or 412. `None`: it is
    /// to be sent.
    pub(super) fn object(
        &mut self,
        exchange: Exchange,
        turn: &mut Turn<'_>,
    ) -> Option<Option<Wish>> {
        let status = match conditional::judge_unmarked(self.notes.criteria()) {
            Verdict::Proceed => return None,
            Verdict::Failed => Status::PreconditionFailed,
            Verdict::NotModified => Status::NotModified,
        };
        if status == Status::PreconditionFailed {
            return Some(self.answer(exchange, status, turn));
        }
        let parting = self.parting(exchange, status, turn);
        let envelope = self.envelope(exchange, status, parting);
        response::write_unmarked_not_modified(turn.output, envelope, turn.wall);
        Some(self.finish(status, 0, parting, turn))
    }

    /// What an answer under the rule says about itself.
    pub(super) fn envelope(
        &self,
        exchange: Exchange,
        status: Status,
        parting: Option<Ending>,
    ) -> Envelope<'_> {
        let id = self.id.filter(|_| self.site.request_id);
        Envelope {
            by_accept: self.accept.decides(),
            ..exchange.envelope(status, parting.is_some(), id, self.rule())
        }
    }

    pub(super) fn parting(
        &self,
        exchange: Exchange,
        status: Status,
        turn: &Turn<'_>,
    ) -> Option<Ending> {
        let limit = self.site.keepalive_requests;
        let last = limit > 0 && self.answered + 1 >= limit;
        exchange.parting(status, turn.draining, last)
    }

    /// An answer is in the output, or sent; it has so many octets of content.
    pub(super) fn finish(
        &mut self,
        status: Status,
        octets: u64,
        parting: Option<Ending>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        self.errand = None;
        turn.content.clear();
        turn.activity.answer(status.code());
        if self.begun.is_none() {
            return self.conclude(parting, turn);
        }
        // Who sent the next request already gets several answers at once: this
        // one leaves with the last of them, and is not waited for.
        if parting.is_none() && !turn.input.is_empty() && turn.output.len() < Output::ENOUGH {
            self.log(status.code(), octets, None, turn);
            return self.conclude(parting, turn);
        }
        self.state = State::AwaitTaken {
            status: status.code(),
            octets,
            parting,
        };
        Some(Wish::Flush)
    }

    /// An answer has come to its end: what follows it.
    pub(super) fn conclude(
        &mut self,
        parting: Option<Ending>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        self.answered += 1;
        if let Some(mut ending) = parting {
            self.state = State::Closed;
            // Unread octets would turn close(2) into RST.
            if !turn.input.is_empty() {
                ending.manner = Manner::Linger;
            }
            return Some(Wish::Close(ending));
        }
        if turn.output.len() >= Output::ENOUGH {
            self.state = State::AwaitFlush;
            return Some(Wish::Flush);
        }
        self.await_request(turn);
        None
    }

    pub(super) fn await_request(&mut self, turn: &Turn<'_>) {
        self.state = State::AwaitRequest {
            deadline: turn.now + self.site.keepalive_timeout,
            blank: false,
        };
    }

    /// Says why a request is not carried out, and ends the connection in
    /// stages, so that the client can read it (RFC 9112 §9.6).
    pub(super) fn refuse(
        &mut self,
        exchange: Exchange,
        refusal: Refusal,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let status = refusal.status;
        let rule = refusal.rule.name();
        let ending = Ending {
            reason: match refusal {
                TIMEOUT => CloseReason::RequestTimeout,
                SILENCE => CloseReason::BodyTimeout,
                TRICKLE => CloseReason::SlowBody,
                Refusal { .. } => CloseReason::Refused(rule),
            },
            manner: Manner::Linger,
        };
        let envelope = self.envelope(exchange, status, Some(ending));
        let octets =
            response::write_page(turn.output, envelope, turn.wall, Some(rule), &self.notes);
        self.finish(status, octets, Some(ending), turn)
    }

    /// Ends the connection without an answer, or without another. A request
    /// that has begun is logged.
    pub(super) fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>) -> Option<Wish> {
        if let State::AwaitHead { .. } = self.state {
            self.name(turn);
        }
        self.leave(access::unanswered(reason), 0, reason, turn)
    }

    /// Ends the connection within an answer of which `octets` of content left.
    pub(super) fn cut(
        &mut self,
        status: u16,
        octets: u64,
        reason: CloseReason,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        turn.activity.answer(status);
        self.leave(status, octets, reason, turn)
    }

    /// Ends the connection at once, and a request that is under way with it.
    pub(super) fn leave(
        &mut self,
        status: u16,
        octets: u64,
        reason: CloseReason,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        self.log(status, octets, Some(reason), turn);
        self.state = State::Closed;
        Some(Wish::Close(Ending {
            reason,
            manner: Manner::AtOnce,
        }))
    }

    /// Writes the line of the request, if it has one coming.
    pub(super) fn log(
        &mut self,
        status: u16,
        octets: u64,
        reason: Option<CloseReason>,
        turn: &mut Turn<'_>,
    ) {
        let (Some(format), Some(begun), Some(id)) = (self.site.log, self.begun.take(), self.id)
        else {
            return;
        };
        let line = Line {
            client: self.client,
            wall: turn.wall,
            status,
            octets,
            duration: turn.now.saturating_duration_since(begun),
            id,
            number: self.answered + 1,
            reason,
        };
        line.write(format, &self.notes, turn.access_log);
    }
}
