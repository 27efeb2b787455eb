//! The transitions of a request that comes in: from its first octet over its
//! head to what is planned, and through its content.

use std::time::Instant;

use super::super::accept::Accept;
use super::super::auth;
use super::super::body::{Decoder, Framing};
use super::super::clause::Clause;
use super::super::coding::Codings;
use super::super::exchange::{Exchange, Persistence};
use super::super::files::Plan;
use super::super::recent::{Known, Lead, Ticket};
use super::super::request::{Method, Request, Version};
use super::super::response;
use super::super::route::{self, Route};
use super::super::scan::Scan;
use super::super::site::{Content, Map};
use super::super::status::{Refusal, Status};
use super::super::target::Target;
use super::super::trust;
use super::{Connection, State, Wish};
use crate::protocol::{Pace, Turn, Verdict};

/// How a request goes on whose head has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) plan: Plan,
    /// `None`: there is no content, or it has been read.
    pub(super) decoder: Option<Decoder>,
    pub(super) expects_continue: bool,
}

impl Next {
    /// Without content.
    pub(super) const fn certain(plan: Plan) -> Self {
        Self {
            plan,
            decoder: None,
            expects_continue: false,
        }
    }
}

/// The request did not arrive in time.
pub(super) const TIMEOUT: Refusal = Refusal::new(Status::RequestTimeout, Clause::Timeout);

/// Its content has stopped coming …
pub(super) const SILENCE: Refusal = Refusal::new(Status::RequestTimeout, Clause::BodyTimeout);

/// … or comes too slowly.
pub(super) const TRICKLE: Refusal = Refusal::new(Status::RequestTimeout, Clause::BodyRate);

/// How the content of a request comes in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Until when the next octet must come.
    silent_until: Instant,
    pace: Pace,
}

/// Content is gathered before a program runs, and there is a bound on all of it.
const TOO_MUCH_WAITS: Refusal = Refusal::new(Status::Unavailable, Clause::ProgramContent);

/// How much of a request line that was refused is noted, in octets.
const REFUSED_LINE: usize = 1024;

impl Connection {
    /// Skips one empty line, and notices the first octet of a request.
    pub(super) fn read_blank(
        &mut self,
        deadline: Instant,
        blank: bool,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match (turn.input.unread(), blank) {
            ([], _) | ([b'\r'], false) => {
                self.notes.rest();
                let idle = true;
                Some(Wish::Receive { deadline, idle })
            }
            ([b'\r', b'\n', ..], false) => {
                turn.input.consume(2);
                self.state = State::AwaitRequest {
                    deadline,
                    blank: true,
                };
                None
            }
            ([..], _) => {
                self.notes.clear();
                self.client = self.peer.remote.map(|address| address.ip().to_canonical());
                (self.rule, self.files) = (Map::BARE, Map::BARE);
                (self.accept, self.listing) = (Accept::default(), None);
                self.begun = self.site.log.map(|_| turn.now);
                if let Some(wish) = self.begin_again(turn) {
                    return wish;
                }
                self.state = State::AwaitHead {
                    deadline: turn.now + self.site.header_timeout,
                    scan: Scan::default(),
                };
                None
            }
        }
    }

    /// A request that came before, octet for octet: all that was worked out for
    /// it holds again.
    fn begin_again(&mut self, turn: &mut Turn<'_>) -> Option<Option<Wish>> {
        let unread = turn.input.unread();
        let known = self
            .site
            .recent
            .recall(unread, self.ticket, &mut self.notes);
        let Some(Known {
            ticket,
            length,
            lead,
        }) = known
        else {
            self.ticket = None;
            return None;
        };
        let client = trust::client(&self.peer, &unread[..length], &self.site.trust);
        if !self.site.map.rule(lead.rule).access.permits(client) {
            self.notes.clear();
            self.ticket = None;
            return None;
        }
        self.id = Some(turn.activity.begin());
        turn.activity.describe(&[&unread[..lead.described]]);
        self.client = client;
        self.accept = lead.accept;
        (self.rule, self.files) = (lead.rule, lead.rule);
        self.ticket = Some(ticket);
        self.errand = None;
        turn.content.clear();
        turn.input.consume(length);
        Some(self.carry_out(lead.exchange, Plan::Open(lead.candidate), turn))
    }

    /// A head is whole: `length` octets of the input.
    pub(super) fn begin(&mut self, length: usize, turn: &mut Turn<'_>) -> Option<Wish> {
        let head = &turn.input.unread()[..length];
        let request = match Request::parse(head, &self.site.limits) {
            Ok(request) => request,
            Err(refusal) => return self.refuse_head(refusal, turn),
        };
        self.id = Some(turn.activity.begin());
        turn.activity
            .describe(&[request.raw.0, b" ", request.raw.1]);
        if let Target::Path {
            query: Some(query), ..
        } = request.target
        {
            self.notes.set_query(query);
        }
        if let Some(format) = self.site.log {
            let host = request.authority().map_or(&b""[..], |found| found.host);
            self.notes.set_line(format, host, first_line(head));
            self.notes
                .set_fields(format, request.referer, request.user_agent);
        }
        // RFC 9110 §13.2.1, §14.2: of no concern to a method that selects no
        // representation, not even where a program sends us on to a file.
        let reads = matches!(request.method, Method::Get | Method::Head);
        if let Some(section) = request.criteria.filter(|_| reads) {
            self.notes.set_criteria(section);
        }
        if let Some(field) = request.authorization.filter(|_| self.site.map.is_locked()) {
            self.notes.set_credentials(|out| auth::decode(field, out));
        }
        let exchange = Exchange::of(&request);
        let expects_continue = request.expects_continue;
        self.accept = request.accept;
        self.client = trust::client(&self.peer, head, &self.site.trust);
        let trusted = trust::is_trusted(&self.peer, &self.site.trust);
        let map = &self.site.map;
        let found = route::route(&request, self.client, trusted, map, &mut self.notes);
        let framing = request.framing;
        self.errand = match &found {
            Ok(route) => self.errand(&request, head, route),
            Err(_) => None,
        };
        self.ticket = match &found {
            Ok(route) if self.errand.is_none() => self.note(&request, head, route),
            Ok(_) | Err(_) => None,
        };
        turn.content.clear();
        turn.input.consume(length);
        let route = match found {
            Ok(route) => route,
            Err(refusal) => return self.refuse(exchange, refusal, turn),
        };
        (self.rule, self.files) = (route.rule, route.rule);
        if let Content::Report(report) = self.rule().content
            && report.is_probe()
        {
            self.begun = None;
            turn.activity.probe();
        }
        let decoder = match Decoder::new(framing, self.body_limit()) {
            Ok(decoder) => decoder,
            Err(refusal) => return self.refuse(exchange, refusal, turn),
        };
        let next = Next {
            plan: route.plan,
            decoder,
            expects_continue,
        };
        if route.locked {
            self.unlock(exchange, next, turn)
        } else {
            self.proceed(exchange, next, turn)
        }
    }

    /// Remembers what was worked out for a head that comes again and again,
    /// unless more than its octets had a say in it, or it holds a password.
    fn note(&self, request: &Request<'_>, head: &[u8], route: &Route) -> Option<Ticket> {
        let Plan::Open(candidate) = route.plan else {
            return None;
        };
        let by_octets = matches!(request.target, Target::Path { secured: false, .. });
        let is_all = request.framing == Framing::None && !request.expects_continue;
        if !by_octets || !is_all || route.locked || request.authorization.is_some() {
            return None;
        }
        let lead = Lead {
            described: request.raw.0.len() + 1 + request.raw.1.len(),
            exchange: Exchange::of(request),
            accept: request.accept,
            rule: route.rule,
            candidate,
        };
        self.site.recent.note(head, lead, &self.notes)
    }

    /// Reads the content, if there is any, and then does what is planned.
    pub(super) fn proceed(
        &mut self,
        mut exchange: Exchange,
        next: Next,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let Next {
            plan,
            decoder,
            expects_continue,
        } = next;
        let is_certain = match plan {
            Plan::Answer(_) | Plan::Respond | Plan::Report(_) | Plan::Health | Plan::Readiness => {
                true
            }
            Plan::Open(_) | Plan::Program => false,
        };
        if is_certain {
            // No program will want the content.
            self.errand = None;
        }
        let Some(decoder) = decoder else {
            return self.carry_out(exchange, plan, turn);
        };
        // RFC 9110 §10.1.1: a final answer that is certain comes instead of 100,
        // and the content is not asked for.
        if is_certain && expects_continue {
            exchange.persistence = Persistence::Abandon;
            return self.carry_out(exchange, plan, turn);
        }
        if expects_continue {
            turn.output.push(response::CONTINUE);
            turn.activity.answer(100);
        }
        self.state = State::AwaitBody {
            exchange,
            plan,
            decoder,
            arrival: Arrival {
                silent_until: turn.now + self.site.body.span,
                pace: Pace::begin(turn.now, 0),
            },
        };
        None
    }

    pub(super) fn read_body(
        &mut self,
        exchange: Exchange,
        plan: Plan,
        mut decoder: Decoder,
        mut arrival: Arrival,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let limit = self.body_limit();
        let most = self.site.cgi.most_content(limit);
        if !turn.input.is_empty() {
            arrival.silent_until = turn.now + self.site.body.span;
        }
        while !turn.input.is_empty() {
            match decoder.proceed(turn.input.unread(), limit) {
                Ok(progress) => {
                    let content = &turn.input.unread()[progress.content];
                    if self.errand.is_some() && !turn.content.push(content, most) {
                        return self.refuse(exchange, TOO_MUCH_WAITS, turn);
                    }
                    turn.input.consume(progress.consumed);
                    arrival.pace.pass(progress.consumed);
                    if progress.complete {
                        return self.carry_out(exchange, plan, turn);
                    }
                }
                Err(refusal) => return self.refuse(exchange, refusal, turn),
            }
        }
        // A trickle keeps every deadline for the next octet.
        if !self.keeps_pace(&mut arrival, turn.now) {
            return self.refuse(exchange, TRICKLE, turn);
        }
        self.state = State::AwaitBody {
            exchange,
            plan,
            decoder,
            arrival,
        };
        Some(Wish::Receive {
            deadline: self.judgement(&arrival),
            idle: false,
        })
    }

    /// No octet has come by the deadline of [`Connection::read_body`], which is
    /// that of the next octet, or that of the rate: then those before it may
    /// have been enough.
    pub(super) fn on_late_body(
        &mut self,
        exchange: Exchange,
        arrival: Arrival,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        if arrival.silent_until <= self.judgement(&arrival) {
            self.refuse(exchange, SILENCE, turn)
        } else {
            // Reads on, and judges on the way.
            None
        }
    }

    /// Whether content comes as fast as it must.
    fn keeps_pace(&self, arrival: &mut Arrival, now: Instant) -> bool {
        match arrival.pace.judge(now, 0, self.site.body) {
            Verdict::Early | Verdict::Kept => true,
            Verdict::Slow | Verdict::Stalled => self.site.body.rate == 0,
        }
    }

    /// When the content is to be judged, if none comes before.
    fn judgement(&self, arrival: &Arrival) -> Instant {
        match self.site.body.rate {
            0 => arrival.silent_until,
            _ => arrival.silent_until.min(arrival.pace.due(self.site.body)),
        }
    }

    /// Refuses a request whose head is still in the input, whole or not.
    pub(super) fn refuse_head(&mut self, refusal: Refusal, turn: &mut Turn<'_>) -> Option<Wish> {
        self.name(turn);
        self.rule = Map::BARE;
        let exchange = Exchange {
            version: Version::Http11,
            codings: Codings::NONE,
            head_only: turn.input.unread().starts_with(b"HEAD "),
            persistence: Persistence::Abandon,
        };
        self.refuse(exchange, refusal, turn)
    }

    /// Takes note of a request whose head is still in the input, whole or not,
    /// and will not be read.
    pub(super) fn name(&mut self, turn: &mut Turn<'_>) {
        self.id = Some(turn.activity.begin());
        let unread = turn.input.unread();
        let line = first_line(&unread[..unread.len().min(REFUSED_LINE)]);
        turn.activity.describe(&[line]);
        if let Some(format) = self.site.log {
            self.notes.set_line(format, b"", line);
        }
    }

    /// The longest content the request may have, in octets.
    fn body_limit(&self) -> u64 {
        if self.rule == Map::BARE {
            self.site.limits.body
        } else {
            self.rule().max_body
        }
    }
}

/// What stands before the first line end.
fn first_line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end]
}
