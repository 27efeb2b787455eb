//! The ends of answers: a page about a status, what follows an answer that is
//! written, and how a connection is left.
//!
//! Every answer's line in the access log is written here, once, when it is
//! known how many octets of it there are.

use std::net::SocketAddr;
use std::sync::Arc;

use super::super::access;
use super::super::conditional::{self, Verdict};
use super::super::exchange::Exchange;
use super::super::files::{Candidate, Plan};
use super::super::response::{self, Envelope};
use super::super::status::{Refusal, Status};
use super::request::TIMEOUT;
use super::{Connection, State, Wish};
use crate::protocol::{CloseReason, Ending, Manner, Output, Peer, Turn};

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
        self.log(status, octets, turn);
        self.answered(parting, turn)
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
        self.log(status, 0, turn);
        Some(self.answered(parting, turn))
    }

    /// What an answer under the rule says about itself.
    pub(super) fn envelope(
        &self,
        exchange: Exchange,
        status: Status,
        parting: Option<Ending>,
    ) -> Envelope<'_> {
        Envelope {
            by_accept: self.accept.decides(),
            ..exchange.envelope(status, parting.is_some(), self.rule())
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

    /// An answer is in the output, or sent.
    pub(super) fn answered(
        &mut self,
        parting: Option<Ending>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        self.answered += 1;
        self.errand = None;
        turn.content.clear();
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
        let Refusal { status, rule } = refusal;
        let envelope = exchange.envelope(status, true, self.rule());
        let octets =
            response::write_page(turn.output, envelope, turn.wall, Some(rule), &self.notes);
        self.log(status, octets, turn);
        self.state = State::Closed;
        Some(Wish::Close(Ending {
            reason: if refusal == TIMEOUT {
                CloseReason::RequestTimeout
            } else {
                CloseReason::Refused(rule)
            },
            manner: Manner::Linger,
        }))
    }

    /// Ends the connection without an answer.
    pub(super) fn close(&mut self, reason: CloseReason) -> Option<Wish> {
        self.state = State::Closed;
        Some(Wish::Close(Ending {
            reason,
            manner: Manner::AtOnce,
        }))
    }

    pub(super) fn log(&self, status: Status, octets: u64, turn: &mut Turn<'_>) {
        if self.site.logs {
            let log = &mut *turn.access_log;
            let client = Peer {
                remote: self.client.map(|address| SocketAddr::new(address, 0)),
                local: None,
            };
            access::write_line(log, &client, turn.wall, &self.notes, status, octets);
        }
    }
}
