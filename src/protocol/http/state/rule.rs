//! The transitions that a rule asks for: a password first, another rule for an
//! index file or a fallback, a file for an error, a fixed answer.

use std::sync::Arc;

use super::super::auth::{self, Tag};
use super::super::exchange::Exchange;
use super::super::files::{self, Candidate, Plan};
use super::super::response;
use super::super::route;
use super::super::site::{Content, RuleNumber};
use super::super::status::Status;
use super::{Connection, Next, State, Wish};
use crate::protocol::{Facts, Turn};

impl Connection {
    /// Asks whether the password is right; the content waits till then, for
    /// without one the answer is certain.
    pub(super) fn unlock(
        &mut self,
        exchange: Exchange,
        next: Next,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let (Some(auth), Some(credentials)) = (&self.rule().auth, self.notes.credentials()) else {
            let plan = Plan::Answer(Status::Unauthorized);
            return self.proceed(exchange, Next { plan, ..next }, turn);
        };
        let tag = self.site.memory.tag(auth, credentials);
        if self.site.memory.knows(tag, turn.now) {
            self.notes.admit();
            return self.proceed(exchange, next, turn);
        }
        let work = auth::work(auth, credentials);
        self.state = State::AwaitVerdict {
            exchange,
            next,
            tag,
        };
        Some(Wish::Compute(work))
    }

    /// `tag`: whose password was right.
    pub(super) fn on_verdict(
        &mut self,
        exchange: Exchange,
        next: Next,
        tag: Option<Tag>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let plan = match tag {
            Some(tag) => {
                self.site.memory.learn(tag, turn.now);
                self.notes.admit();
                next.plan
            }
            None => Plan::Answer(Status::Unauthorized),
        };
        self.proceed(exchange, Next { plan, ..next }, turn)
    }

    /// A file may be sent; what of it, and in which coding, is to be found out.
    pub(super) fn on_file(
        &mut self,
        exchange: Exchange,
        candidate: Candidate,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match candidate {
            Candidate::ErrorPage(status) => self.send_error_page(exchange, status, facts, turn),
            Candidate::Index(_) => {
                // The file has an address of its own, and perhaps another rule:
                // then it is as if that had been asked for.
                let host = self.rule().host;
                let rule = self.site.map.find(host, self.notes.path(), false);
                if rule == self.rule {
                    return self.begin_search(exchange, candidate, facts, turn);
                }
                self.notes.settle_index();
                self.go_to(exchange, rule, Candidate::Exact, turn)
            }
            Candidate::Exact | Candidate::Directory | Candidate::Fallback => {
                self.begin_search(exchange, candidate, facts, turn)
            }
        }
    }

    /// There is nothing under the path: the fallback, for whoever asked for a
    /// page and not for a part of one.
    pub(super) fn on_nothing(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Option<Wish> {
        let Some(fallback) = self.rule().fallback.clone() else {
            return self.answer(exchange, Status::NotFound, turn);
        };
        if files::has_extension(self.notes.path()) {
            return self.answer(exchange, Status::NotFound, turn);
        }
        self.accept.decide();
        if !self.accept.names_html() {
            return self.answer(exchange, Status::NotFound, turn);
        }
        self.notes.replace_path(fallback.as_bytes());
        let host = self.rule().host;
        let rule = self.site.map.find(host, fallback.as_bytes(), false);
        self.go_to(exchange, rule, Candidate::Fallback, turn)
    }

    /// Answers with what the rule has fixed.
    pub(super) fn respond(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Option<Wish> {
        let Content::Respond(respond) = &self.rule().content else {
            return self.answer_plainly(exchange, Status::InternalError, turn);
        };
        let respond = Arc::clone(respond);
        let status = respond.status;
        if status == Status::Ok
            && let Some(wish) = self.object(exchange, turn)
        {
            return wish;
        }
        // It is meant, and no reason to end a connection.
        let parting = self.parting(exchange, Status::Ok, turn);
        let envelope = self.envelope(exchange, status, parting);
        let octets = response::write_fixed(turn.output, envelope, turn.wall, &respond);
        self.finish(status, octets, parting, turn)
    }

    /// Answers with the file that is configured for `status`: as it is and
    /// whole, for conditions and ranges are about what was asked for.
    fn send_error_page(
        &mut self,
        exchange: Exchange,
        status: Status,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let parting = self.parting(exchange, status, turn);
        let envelope = self.envelope(exchange, status, parting);
        let types = &self.site.variants.types;
        let content_type = types.content_type(types.of(self.notes.path()));
        let (offset, length) = (0, facts.length);
        let (output, notes) = (&mut *turn.output, &self.notes);
        response::write_error_head(output, envelope, turn.wall, notes, content_type, length);
        if exchange.head_only || length == 0 {
            return self.finish(status, 0, parting, turn);
        }
        self.state = State::AwaitSent {
            status,
            octets: length,
            parting,
        };
        Some(Wish::SendFile { offset, length })
    }

    /// Goes on under another rule, as if its path had been asked for.
    fn go_to(
        &mut self,
        exchange: Exchange,
        rule: RuleNumber,
        candidate: Candidate,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        (self.rule, self.files) = (rule, rule);
        if !self.rule().access.permits(self.client) {
            return self.answer(exchange, Status::Forbidden, turn);
        }
        let next = Next::certain(route::plan(self.rule(), candidate));
        if self.rule().auth.is_some() {
            self.unlock(exchange, next, turn)
        } else {
            self.proceed(exchange, next, turn)
        }
    }
}
