//! How a plan is carried out: candidates are opened one after the other, until
//! one is the answer or none is left.

use super::super::exchange::Exchange;
use super::super::files::{self, Candidate, Plan, Verdict};
use super::{Connection, State, Wish};
use crate::protocol::{CloseReason, Facts, OpenError, Turn};

impl Connection {
    pub(super) fn carry_out(
        &mut self,
        exchange: Exchange,
        plan: Plan,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match plan {
            Plan::Open(candidate) => {
                self.state = State::AwaitFile {
                    exchange,
                    candidate,
                };
                Some(Wish::Open)
            }
            Plan::Answer(status) => self.answer(exchange, status, turn),
            Plan::Respond => self.respond(exchange, turn),
            Plan::Program => self.seek_program(exchange, turn),
            Plan::Report(view) => self.report(exchange, view, turn),
            Plan::Health => self.tell_health(exchange, turn),
            Plan::Readiness => self.tell_readiness(exchange, turn),
        }
    }

    pub(super) fn on_found(
        &mut self,
        exchange: Exchange,
        candidate: Candidate,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        if let Some(wish) = self.repeat(exchange, candidate, facts, turn) {
            return wish;
        }
        let rule = self.site.map.rule(self.rule);
        match files::found(candidate, facts, rule, &mut self.notes) {
            Verdict::Send => self.on_file(exchange, candidate, facts, turn),
            verdict => self.follow(exchange, verdict, turn),
        }
    }

    pub(super) fn on_missing(
        &mut self,
        exchange: Exchange,
        candidate: Candidate,
        error: OpenError,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let rule = self.site.map.rule(self.rule);
        let verdict = files::missing(candidate, error, rule, &mut self.notes);
        self.follow(exchange, verdict, turn)
    }

    fn follow(
        &mut self,
        exchange: Exchange,
        verdict: Verdict,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match verdict {
            Verdict::Try(candidate) => self.carry_out(exchange, Plan::Open(candidate), turn),
            Verdict::Answer(status) => self.answer(exchange, status, turn),
            Verdict::AnswerPlainly(status) => self.answer_plainly(exchange, status, turn),
            Verdict::Nothing => self.on_nothing(exchange, turn),
            Verdict::List => self.list(exchange, turn),
            // There is nothing to send.
            Verdict::Send => self.close(CloseReason::Internal, turn),
        }
    }
}
