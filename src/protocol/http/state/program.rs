//! The transitions of a program: from a candidate to the end of its output.
//!
//! ```text
//!   plan ─▶ AwaitScript ─▶ AwaitStart ─▶ AwaitAnswer ─▶ AwaitOutput ─▶ answered
//!    ▲        │  └─▲ next    │ refused     │  │ no head    │ Ended
//!    │        ▼ candidate    ▼             │  ▼            ▼
//!    │      AwaitFile     answered         │ 500, 504   cut short: Closed
//!    └───────────── AwaitRedirect ◀────────┘ sent to another path
//! ```
//!
//! A file that is found to be a program, an index for instance, comes in at
//! AwaitStart.

use super::super::cgi::framing::Body;
use super::super::cgi::output::{self, Reply};
use super::super::cgi::{self, Errand, MOST_REDIRECTS};
use super::super::exchange::{Exchange, Persistence};
use super::super::files::{self, Candidate, Plan};
use super::super::request::Request;
use super::super::response;
use super::super::route::{self, Route};
use super::super::status::Status;
use super::super::target::Target;
use super::{Connection, Next, State, Wish};
use crate::protocol::{
    CloseReason, Ending, FileKind, Manner, OpenError, ProgramEnd, RunError, Turn,
};

/// It wrote nothing for too long, or took too long in all.
pub(super) const TOO_LONG: &str = "no answer in time";

impl Connection {
    /// What a program must know of a request, if one may answer it.
    pub(super) fn errand(
        &self,
        request: &Request<'_>,
        head: &[u8],
        route: &Route,
    ) -> Option<Box<Errand>> {
        route.may_run.then(|| {
            let (cgi, map) = (&self.site.cgi, &self.site.map);
            let peer = &self.peer;
            let mut errand = Errand::new(request, head, cgi, peer, self.client, &self.notes);
            if let Some(id) = self.id {
                errand.set_name(id);
            }
            if let Some(place) = route.program {
                errand.settle(map, place);
            }
            errand
        })
    }

    /// Looks whether the candidate is a program.
    pub(super) fn seek_program(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Option<Wish> {
        match self.errand.as_ref().map(|errand| errand.refused()) {
            None => self.close(CloseReason::Internal, turn),
            Some(Some(rule)) => self.fail(exchange, Status::NotImplemented, rule, turn),
            Some(None) => {
                self.state = State::AwaitScript { exchange };
                Some(Wish::OpenScript)
            }
        }
    }

    /// The candidate is there.
    pub(super) fn on_script(
        &mut self,
        exchange: Exchange,
        kind: FileKind,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match kind {
            FileKind::File => self.run(exchange, turn),
            FileKind::Directory => self.seek_deeper(exchange, turn),
            FileKind::Other => self.answer(exchange, Status::Forbidden, turn),
        }
    }

    /// The candidate cannot be opened; one that cannot be read may still be run.
    pub(super) fn on_no_script(
        &mut self,
        exchange: Exchange,
        error: OpenError,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let status = match error {
            OpenError::Denied => return self.run(exchange, turn),
            OpenError::NotFound => Status::NotFound,
            OpenError::Escapes => Status::Forbidden,
            OpenError::Exhausted => Status::Unavailable,
            OpenError::Failed => Status::InternalError,
        };
        self.answer(exchange, status, turn)
    }

    /// The candidate is a directory: the next one, or the files of the path.
    fn seek_deeper(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Option<Wish> {
        let Some(errand) = &mut self.errand else {
            return self.close(CloseReason::Internal, turn);
        };
        let map = &self.site.map;
        let current = map.rule(self.rule);
        if let Some(place) = errand.next(map, self.rule) {
            let rule = map.rule(place.rule);
            let locked = rule.auth.is_some() && rule.auth != current.auth;
            if !rule.access.permits(self.client) {
                return self.answer(exchange, Status::Forbidden, turn);
            }
            errand.settle(map, place);
            if locked {
                (self.rule, self.files) = (place.rule, place.rule);
                return self.unlock(exchange, Next::certain(Plan::Program), turn);
            }
            return self.seek_program(exchange, turn);
        }
        let reads = errand.reads();
        let directory = self.notes.is_directory();
        let whole = map.find(current.host, self.notes.path(), directory);
        let locked = map.rule(whole).auth.is_some() && map.rule(whole).auth != current.auth;
        (self.rule, self.files) = (whole, whole);
        let plan = if !(reads || directory) {
            Plan::Answer(Status::MethodNotAllowed)
        } else if directory {
            let rule = self.site.map.rule(whole);
            Plan::Open(files::first(rule, &mut self.notes))
        } else {
            Plan::Open(Candidate::Exact)
        };
        if locked {
            return self.unlock(exchange, Next::certain(plan), turn);
        }
        self.carry_out(exchange, plan, turn)
    }

    /// The file that was found is a program: an index, or a fallback.
    pub(super) fn run_file(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Option<Wish> {
        let Some(errand) = &mut self.errand else {
            return self.answer_plainly(exchange, Status::InternalError, turn);
        };
        errand.settle_on_file(&self.site.map, self.files, self.notes.path());
        match errand.refused() {
            Some(rule) => self.fail(exchange, Status::NotImplemented, rule, turn),
            None => self.run(exchange, turn),
        }
    }

    /// Runs the candidate.
    fn run(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Option<Wish> {
        let Some(errand) = &mut self.errand else {
            return self.close(CloseReason::Internal, turn);
        };
        let (cgi, map) = (&self.site.cgi, &self.site.map);
        let user = self.notes.user();
        errand.complete(cgi, map, self.rule, user, turn.content.len(), turn.now);
        self.state = State::AwaitStart { exchange };
        Some(Wish::Run)
    }

    pub(super) fn on_not_started(
        &mut self,
        exchange: Exchange,
        error: RunError,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match cgi::not_started(error) {
            Ok(status) => self.answer(exchange, status, turn),
            Err((status, rule)) => self.fail(exchange, status, rule, turn),
        }
    }

    /// Waits for what the program writes next.
    pub(super) fn listen(&mut self, turn: &mut Turn<'_>) -> Option<Wish> {
        match &self.errand {
            Some(errand) => Some(Wish::Hear {
                deadline: errand.deadline(&self.site.cgi, turn.now),
            }),
            None => self.close(CloseReason::Internal, turn),
        }
    }

    /// There is more of the header section, or with `end` there will be none.
    pub(super) fn on_answer(
        &mut self,
        exchange: Exchange,
        line: u32,
        end: Option<ProgramEnd>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        const FAILED: Status = Status::InternalError;
        let written = turn.program.unread();
        let mut at = line as usize;
        let length = output::end_of_head(written, &mut at);
        let rule = match (length, end) {
            (Some(length), _) if length <= output::LONGEST => {
                return self.on_head(exchange, length, end, turn);
            }
            (None, None) if written.len() < output::LONGEST => {
                let line = at as u32;
                self.state = State::AwaitAnswer { exchange, line };
                return self.listen(turn);
            }
            (None, Some(_)) if written.is_empty() => "rfc3875-6.2 no output",
            (None, Some(_)) => "rfc3875-6.2 header section without its end",
            (_, _) => "header section too long",
        };
        self.fail(exchange, FAILED, rule, turn)
    }

    /// The header section is whole: `length` octets of what it wrote.
    fn on_head(
        &mut self,
        exchange: Exchange,
        length: usize,
        end: Option<ProgramEnd>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let written = turn.program.unread();
        let document = match output::parse(&written[..length]) {
            Err(rule) => return self.fail(exchange, Status::InternalError, rule, turn),
            Ok(Reply::Local(path)) => {
                let Some(errand) = &mut self.errand else {
                    return self.close(CloseReason::Internal, turn);
                };
                errand.set_location(path);
                turn.program.consume(usize::MAX);
                if end.is_some() {
                    return self.redirect(exchange, turn);
                }
                self.state = State::AwaitRedirect { exchange };
                return self.listen(turn);
            }
            Ok(Reply::Document(document)) => document,
        };
        // Without a type there may be no content (§6.3.1), which its end tells.
        let bare = !document.typed && !document.located && !matches!(document.status, 204 | 304);
        if bare && written.len() > length {
            let rule = "rfc3875-6.3.1 no Content-Type";
            return self.fail(exchange, Status::InternalError, rule, turn);
        }
        if bare && end.is_none() {
            self.state = State::AwaitAnswer { exchange, line: 0 };
            return self.listen(turn);
        }
        let mut body = Body::of(&document, exchange);
        let mut exchange = exchange;
        if body == Body::UntilClose && exchange.persistence == Persistence::Keep {
            exchange.persistence = Persistence::Close;
        }
        let status = document.status;
        let named = Status::Scripted(status);
        let parting = self.parting(exchange, named, turn);
        let envelope = self.envelope(exchange, named, parting);
        response::write_program_head(turn.output, envelope, turn.wall, &document, body);
        turn.program.consume(length);
        let octets = body.forward(turn.program, turn.output);
        if let Some(end) = end {
            return self.on_end(named, body, octets, parting, end, turn);
        }
        self.state = State::AwaitOutput {
            status,
            body,
            octets,
            parting,
        };
        self.listen(turn)
    }

    /// There is more of the body.
    pub(super) fn on_output(
        &mut self,
        status: u16,
        mut body: Body,
        octets: u64,
        parting: Option<Ending>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let octets = octets + body.forward(turn.program, turn.output);
        if body.is_excessive() {
            // The client has all of it; the program is told to end.
            let ending = Ending {
                reason: CloseReason::Program("rfc3875-6.4 more than is sent"),
                manner: Manner::Linger,
            };
            return self.finish(Status::Scripted(status), octets, Some(ending), turn);
        }
        self.state = State::AwaitOutput {
            status,
            body,
            octets,
            parting,
        };
        self.listen(turn)
    }

    /// The program has ended. What it left unfinished is not finished for it:
    /// a client must be able to tell (RFC 9112 §8).
    pub(super) fn on_end(
        &mut self,
        status: Status,
        body: Body,
        octets: u64,
        parting: Option<Ending>,
        end: ProgramEnd,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let killed = matches!(end, ProgramEnd::Killed(_));
        let fault = if killed && !body.is_complete() {
            "killed before its answer was whole"
        } else if !body.finish(turn.output) {
            "rfc3875-6.3 less than its Content-Length"
        } else {
            return self.finish(status, octets, parting, turn);
        };
        self.cut(status.code(), octets, CloseReason::Program(fault), turn)
    }

    /// Answers with what another path of this server has (§6.2.2).
    pub(super) fn redirect(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Option<Wish> {
        let Some(mut before) = self.errand.take() else {
            return self.close(CloseReason::Internal, turn);
        };
        if before.redirects >= MOST_REDIRECTS {
            let rule = "rfc3875-6.2.2 one local redirect after another";
            return self.fail(exchange, Status::InternalError, rule, turn);
        }
        let head = before.redirected_head();
        let Ok(request) = Request::parse(&head, &self.site.limits) else {
            let rule = "rfc3875-6.3.2 Location";
            return self.fail(exchange, Status::InternalError, rule, turn);
        };
        let query = match request.target {
            Target::Path { query, .. } => query.unwrap_or_default(),
            Target::Authority | Target::Server => b"",
        };
        self.notes.restart(query);
        // What a program says is a path of this server.
        let map = &self.site.map;
        let route = match route::route(&request, self.client, true, map, &mut self.notes) {
            Ok(route) => route,
            Err(refusal) => {
                return self.fail(exchange, Status::InternalError, refusal.rule.name(), turn);
            }
        };
        (self.rule, self.files) = (route.rule, route.rule);
        self.errand = self.errand(&request, &head, &route);
        if let Some(errand) = &mut self.errand {
            errand.follow(&mut before);
        }
        let next = Next::certain(route.plan);
        if route.locked {
            self.unlock(exchange, next, turn)
        } else {
            self.proceed(exchange, next, turn)
        }
    }

    /// The program is to blame, or we are for it: says so, and ends the
    /// connection; a program that still runs ends with it.
    pub(super) fn fail(
        &mut self,
        exchange: Exchange,
        status: Status,
        rule: &'static str,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        // Octets that are unread, or under way, would turn close(2) into RST.
        let last = exchange.persistence == Persistence::Close && turn.input.is_empty();
        let ending = Ending {
            reason: CloseReason::Program(rule),
            manner: if last { Manner::AtOnce } else { Manner::Linger },
        };
        let envelope = self.envelope(exchange, status, Some(ending));
        let octets = response::write_page(turn.output, envelope, turn.wall, None, &self.notes);
        turn.activity.answer(status.code());
        // Not when it is sent: the program shall hear of it now.
        self.log(status.code(), octets, Some(ending.reason), turn);
        self.errand = None;
        self.state = State::Closed;
        Some(Wish::Close(ending))
    }
}
