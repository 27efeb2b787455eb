//! Every transition of the request cycle. The only file here that talks to
//! the driver.
//!
//! ```text
//!          Connected                      first octet
//!   New ─────────────▶ AwaitRequest ─────────────────────▶ AwaitHead
//!                       ▲   ▲    │                          │  │  │
//!               Flushed │   │    │ PeerFinished, TimedOut   │  │  │ TimedOut: 408
//!        AwaitFlush ────┘   │    ▼                          │  │  │ refused: 4xx, 5xx
//!             ▲             │  Closed ◀─────────────────────│──│──┘
//!             │ output      │    ▲                 content  │  │ no content
//!             │ is long     │    │ close           to come  ▼  │
//!             └─────┬───────┘    │                AwaitBody │  │
//!                answered ───────┘                       │  │  │
//!                   ▲ ▲ ▲                                ▼  ▼  ▼
//!              Sent │ │ └──────── the answer is certain ── plan
//!                   │ │ a page                               │ Open
//!          AwaitSent  └──────────────────── AwaitFile ◀──────┘
//!               ▲       a file                │ │  ▲ │
//!               └─────────────────────────────┘ │  └─┘ next candidate
//! ```
//!
//! Between AwaitFile and AwaitSent there is more, where a file comes in another
//! coding or in parts: `file` has that part of the picture, and its transitions.
//!
//! States are named for what is awaited. Broken leads from all of them to
//! Closed, and so does an outcome that fits no wish of ours. What comes later
//! has its place: content that is handed on hangs on AwaitBody, a program's
//! output is one more state beside AwaitSent.
//!
//! Answers leave in the order of their requests, because the next request is
//! read only when the answer before it is in the output. The machine owes each
//! request that it answers one line in the access log. It must never wait
//! without a deadline, and never let a second request begin after it said
//! `Connection: close`.

mod file;

use std::sync::Arc;
use std::time::Instant;

use file::{Held, Search, Series};

use super::Site;
use super::access;
use super::body::Decoder;
use super::coding::Codings;
use super::exchange::{Exchange, Persistence};
use super::files::{self, Candidate, Plan, Verdict};
use super::notes::Notes;
use super::request::{Request, Version};
use super::response;
use super::scan::Scan;
use super::status::{Refusal, Status};
use super::target::Target;
use crate::protocol::{
    Action, CloseReason, Ending, Facts, Manner, OpenError, Outcome, Output, Peer, Protocol, Turn,
};

/// One connection. It is small while it is idle: an event worker keeps ten
/// thousand of them.
#[derive(Debug)]
pub(super) struct Connection {
    site: Arc<Site>,
    peer: Peer,
    /// Requests answered so far.
    answered: u64,
    notes: Notes,
    held: Held,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The connection itself.
    New,
    /// The first octet of a request; `blank`: the empty line that may stand
    /// before it was seen (RFC 9112 §2.2).
    AwaitRequest { deadline: Instant, blank: bool },
    /// The rest of a head. The deadline counts from the first octet and is not
    /// renewed: a trickle does not hold a worker.
    AwaitHead { deadline: Instant, scan: Scan },
    /// The rest of the content, which is dropped, so that the next request
    /// begins where it should.
    AwaitBody {
        exchange: Exchange,
        plan: Plan,
        decoder: Decoder,
    },
    /// What became of opening a candidate.
    AwaitFile {
        exchange: Exchange,
        candidate: Candidate,
    },
    /// What became of opening a sibling of a file that was found.
    AwaitSibling(Search),
    /// The octets of a file, to compress them.
    AwaitRead { exchange: Exchange, facts: Facts },
    /// The end of a file that is being sent.
    AwaitSent {
        status: Status,
        octets: u64,
        parting: Option<Ending>,
    },
    /// The end of one of several parts of a file.
    AwaitPart(Series),
    /// Room for more of what was compressed: what follows is at `at`.
    AwaitPiece { at: usize, parting: Option<Ending> },
    /// Room: enough answers are gathered, and the client must take them first.
    AwaitFlush,
    /// Nothing.
    Closed,
}

/// An [`Action`] that borrows nothing yet.
enum Wish {
    Receive { deadline: Instant, idle: bool },
    Flush,
    Open,
    SendFile { offset: u64, length: u64 },
    Read,
    Close(Ending),
}

impl Protocol for Connection {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        let mut wish = self.hear(outcome, turn);
        let wish = loop {
            match wish {
                Some(wish) => break wish,
                None => wish = self.read_on(turn),
            }
        };
        match wish {
            Wish::Receive { deadline, idle } => Action::Receive { deadline, idle },
            Wish::Flush => Action::Flush,
            Wish::Open => Action::Open {
                root: 0,
                path: self.notes.path(),
            },
            Wish::SendFile { offset, length } => Action::SendFile { offset, length },
            Wish::Read => Action::Read {
                offset: 0,
                into: match &mut self.held {
                    Held::Raw(room) => room,
                    Held::Nothing | Held::Compressed(_) => &mut [],
                },
            },
            Wish::Close(ending) => Action::Close(ending),
        }
    }
}

impl Connection {
    pub(super) fn new(site: Arc<Site>, peer: Peer) -> Self {
        Self {
            site,
            peer,
            answered: 0,
            notes: Notes::default(),
            held: Held::Nothing,
            state: State::New,
        }
    }

    /// The table of outcomes and states. `None`: read on from the input.
    fn hear(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Option<Wish> {
        match (outcome, self.state) {
            (Outcome::Connected, State::New) => {
                let deadline = turn.now + self.site.header_timeout;
                self.state = State::AwaitRequest {
                    deadline,
                    blank: false,
                };
                None
            }
            (
                Outcome::Received,
                State::AwaitRequest { .. } | State::AwaitHead { .. } | State::AwaitBody { .. },
            ) => None,
            (Outcome::PeerFinished, State::AwaitRequest { .. }) => {
                self.close(CloseReason::PeerClosed)
            }
            // Incomplete: whatever it was to be, it is not answered with
            // success (RFC 9112 §8).
            (Outcome::PeerFinished, State::AwaitHead { .. } | State::AwaitBody { .. }) => {
                self.close(CloseReason::CutShort)
            }
            (Outcome::TimedOut, State::AwaitRequest { .. }) if turn.draining => {
                self.close(CloseReason::Draining)
            }
            (Outcome::TimedOut, State::AwaitRequest { .. }) => self.close(CloseReason::Idle),
            (Outcome::TimedOut, State::AwaitHead { .. }) => self.refuse_head(TIMEOUT, turn),
            (Outcome::TimedOut, State::AwaitBody { exchange, .. }) => {
                self.refuse(exchange, TIMEOUT, turn)
            }
            (
                Outcome::Found(facts),
                State::AwaitFile {
                    exchange,
                    candidate,
                },
            ) => self.on_found(exchange, candidate, &facts, turn),
            (
                Outcome::Missing(error),
                State::AwaitFile {
                    exchange,
                    candidate,
                },
            ) => self.on_missing(exchange, candidate, error, turn),
            (Outcome::Found(facts), State::AwaitSibling(search)) => {
                self.on_sibling(search, &facts, turn)
            }
            (Outcome::Missing(_), State::AwaitSibling(search)) => self.on_no_sibling(search, turn),
            (Outcome::Read, State::AwaitRead { exchange, facts }) => {
                self.on_read(exchange, &facts, turn)
            }
            (Outcome::Sent, State::AwaitPart(series)) => self.send_part(series, turn),
            (Outcome::Flushed, State::AwaitPiece { at, parting }) => {
                self.send_piece(at, parting, turn)
            }
            (
                Outcome::Sent,
                State::AwaitSent {
                    status,
                    octets,
                    parting,
                },
            ) => {
                self.log(status, octets, turn);
                self.answered(parting, turn)
            }
            (Outcome::Flushed, State::AwaitFlush) => {
                self.await_request(turn);
                None
            }
            (Outcome::Broken { sent, reason }, State::AwaitSent { status, .. }) => {
                self.log(status, sent, turn);
                self.close(reason)
            }
            (Outcome::Broken { sent, reason }, State::AwaitPart(series)) => {
                self.log(Status::PartialContent, series.octets(sent), turn);
                self.close(reason)
            }
            (Outcome::Broken { reason, .. }, State::AwaitPiece { at, .. }) => {
                self.log(Status::Ok, at as u64, turn);
                self.close(reason)
            }
            (
                Outcome::Broken { reason, .. },
                State::New
                | State::AwaitRequest { .. }
                | State::AwaitHead { .. }
                | State::AwaitBody { .. }
                | State::AwaitFile { .. }
                | State::AwaitSibling(_)
                | State::AwaitRead { .. }
                | State::AwaitFlush
                | State::Closed,
            ) => self.close(reason),
            // Not what was asked for: the driver is broken. The connection is
            // given up, the worker is not.
            (
                Outcome::Connected
                | Outcome::Received
                | Outcome::PeerFinished
                | Outcome::TimedOut
                | Outcome::Found(_)
                | Outcome::Missing(_)
                | Outcome::Sent
                | Outcome::Read
                | Outcome::Computed(_)
                | Outcome::Overloaded
                | Outcome::Listed { .. }
                | Outcome::Flushed,
                State::New
                | State::AwaitRequest { .. }
                | State::AwaitHead { .. }
                | State::AwaitBody { .. }
                | State::AwaitFile { .. }
                | State::AwaitSibling(_)
                | State::AwaitRead { .. }
                | State::AwaitSent { .. }
                | State::AwaitPart(_)
                | State::AwaitPiece { .. }
                | State::AwaitFlush
                | State::Closed,
            ) => self.close(CloseReason::Internal),
        }
    }

    /// Goes on with what is in the input.
    fn read_on(&mut self, turn: &mut Turn<'_>) -> Option<Wish> {
        match self.state {
            State::AwaitRequest { deadline, blank } => self.read_blank(deadline, blank, turn),
            State::AwaitHead { deadline, mut scan } => {
                match scan.proceed(turn.input.unread(), &self.site.limits) {
                    Ok(Some(length)) => self.begin(length, turn),
                    Ok(None) => {
                        self.state = State::AwaitHead { deadline, scan };
                        let idle = false;
                        Some(Wish::Receive { deadline, idle })
                    }
                    Err(refusal) => self.refuse_head(refusal, turn),
                }
            }
            State::AwaitBody {
                exchange,
                plan,
                decoder,
            } => self.read_body(exchange, plan, decoder, turn),
            // None of these reads.
            State::New
            | State::AwaitFile { .. }
            | State::AwaitSibling(_)
            | State::AwaitRead { .. }
            | State::AwaitSent { .. }
            | State::AwaitPart(_)
            | State::AwaitPiece { .. }
            | State::AwaitFlush
            | State::Closed => self.close(CloseReason::Internal),
        }
    }

    /// Skips one empty line, and notices the first octet of a request.
    fn read_blank(&mut self, deadline: Instant, blank: bool, turn: &mut Turn<'_>) -> Option<Wish> {
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
                self.state = State::AwaitHead {
                    deadline: turn.now + self.site.header_timeout,
                    scan: Scan::default(),
                };
                None
            }
        }
    }

    /// A head is whole: `length` octets of the input.
    fn begin(&mut self, length: usize, turn: &mut Turn<'_>) -> Option<Wish> {
        let head = &turn.input.unread()[..length];
        let request = match Request::parse(head, &self.site.limits) {
            Ok(request) => request,
            Err(refusal) => return self.refuse_head(refusal, turn),
        };
        turn.activity.requests += 1;
        turn.activity
            .describe(&[request.raw.0, b" ", request.raw.1]);
        if let Target::Path {
            query: Some(query), ..
        } = request.target
        {
            self.notes.set_query(query);
        }
        if self.site.logs {
            self.notes.set_line(first_line(head));
            self.notes.set_fields(request.referer, request.user_agent);
        }
        if let Some(section) = request.criteria {
            self.notes.set_criteria(section);
        }
        let mut exchange = Exchange::of(&request);
        let expects_continue = request.expects_continue;
        let verdict = files::plan(&request, &self.site, &mut self.notes);
        let decoder = Decoder::new(request.framing, self.site.limits.body);
        turn.input.consume(length);
        let (plan, decoder) = match (verdict, decoder) {
            (Ok(plan), Ok(decoder)) => (plan, decoder),
            (Err(refusal), _) | (_, Err(refusal)) => return self.refuse(exchange, refusal, turn),
        };
        let Some(decoder) = decoder else {
            return self.carry_out(exchange, plan, turn);
        };
        match plan {
            // RFC 9110 §10.1.1: a final answer that is certain comes instead
            // of 100, and the content is not asked for.
            Plan::Answer(_) if expects_continue => {
                exchange.persistence = Persistence::Abandon;
                self.carry_out(exchange, plan, turn)
            }
            Plan::Open(_) | Plan::Answer(_) => {
                if expects_continue {
                    turn.output.push(response::CONTINUE);
                }
                self.state = State::AwaitBody {
                    exchange,
                    plan,
                    decoder,
                };
                None
            }
        }
    }

    fn read_body(
        &mut self,
        exchange: Exchange,
        plan: Plan,
        mut decoder: Decoder,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        while !turn.input.is_empty() {
            match decoder.proceed(turn.input.unread(), self.site.limits.body) {
                Ok(progress) => {
                    turn.input.consume(progress.consumed);
                    if progress.complete {
                        return self.carry_out(exchange, plan, turn);
                    }
                }
                Err(refusal) => return self.refuse(exchange, refusal, turn),
            }
        }
        self.state = State::AwaitBody {
            exchange,
            plan,
            decoder,
        };
        Some(Wish::Receive {
            deadline: turn.now + self.site.body_timeout,
            idle: false,
        })
    }

    fn carry_out(&mut self, exchange: Exchange, plan: Plan, turn: &mut Turn<'_>) -> Option<Wish> {
        match plan {
            Plan::Open(candidate) => {
                self.state = State::AwaitFile {
                    exchange,
                    candidate,
                };
                Some(Wish::Open)
            }
            Plan::Answer(status) => self.answer(exchange, status, turn),
        }
    }

    fn on_found(
        &mut self,
        exchange: Exchange,
        candidate: Candidate,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match files::found(candidate, facts, &self.site, &mut self.notes) {
            Verdict::Send => self.on_file(exchange, facts, turn),
            Verdict::Try(candidate) => self.carry_out(exchange, Plan::Open(candidate), turn),
            Verdict::Answer(status) => self.answer(exchange, status, turn),
        }
    }

    fn on_missing(
        &mut self,
        exchange: Exchange,
        candidate: Candidate,
        error: OpenError,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match files::missing(candidate, error, &self.site, &mut self.notes) {
            Verdict::Try(candidate) => self.carry_out(exchange, Plan::Open(candidate), turn),
            Verdict::Answer(status) => self.answer(exchange, status, turn),
            // There is nothing to send.
            Verdict::Send => self.close(CloseReason::Internal),
        }
    }

    /// Answers with a page about `status`.
    fn answer(&mut self, exchange: Exchange, status: Status, turn: &mut Turn<'_>) -> Option<Wish> {
        let parting = self.parting(exchange, status, turn);
        let envelope = exchange.envelope(status, parting.is_some());
        let octets = response::write_page(turn.output, envelope, turn.wall, None, &self.notes);
        self.log(status, octets, turn);
        self.answered(parting, turn)
    }

    fn parting(&self, exchange: Exchange, status: Status, turn: &Turn<'_>) -> Option<Ending> {
        let limit = self.site.keepalive_requests;
        let last = limit > 0 && self.answered + 1 >= limit;
        exchange.parting(status, turn.draining, last)
    }

    /// An answer is in the output, or sent.
    fn answered(&mut self, parting: Option<Ending>, turn: &mut Turn<'_>) -> Option<Wish> {
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

    fn await_request(&mut self, turn: &Turn<'_>) {
        self.state = State::AwaitRequest {
            deadline: turn.now + self.site.keepalive_timeout,
            blank: false,
        };
    }

    /// Refuses a request whose head is still in the input, whole or not.
    fn refuse_head(&mut self, refusal: Refusal, turn: &mut Turn<'_>) -> Option<Wish> {
        let unread = turn.input.unread();
        let line = first_line(&unread[..unread.len().min(REFUSED_LINE)]);
        turn.activity.requests += 1;
        turn.activity.describe(&[line]);
        if self.site.logs {
            self.notes.set_line(line);
        }
        let exchange = Exchange {
            version: Version::Http11,
            codings: Codings::NONE,
            head_only: unread.starts_with(b"HEAD "),
            persistence: Persistence::Abandon,
        };
        self.refuse(exchange, refusal, turn)
    }

    /// Says why a request is not carried out, and ends the connection in
    /// stages, so that the client can read it (RFC 9112 §9.6).
    fn refuse(
        &mut self,
        exchange: Exchange,
        refusal: Refusal,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let Refusal { status, rule } = refusal;
        let envelope = exchange.envelope(status, true);
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
    fn close(&mut self, reason: CloseReason) -> Option<Wish> {
        self.state = State::Closed;
        Some(Wish::Close(Ending {
            reason,
            manner: Manner::AtOnce,
        }))
    }

    fn log(&self, status: Status, octets: u64, turn: &mut Turn<'_>) {
        if self.site.logs {
            let log = &mut *turn.access_log;
            access::write_line(log, &self.peer, turn.wall, &self.notes, status, octets);
        }
    }
}

/// The request did not arrive in time.
const TIMEOUT: Refusal = Refusal::new(Status::RequestTimeout, "rfc9110-15.5.9 request timeout");

/// How much of a request line that was refused is noted, in octets.
const REFUSED_LINE: usize = 1024;

/// What stands before the first line end.
fn first_line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end]
}

#[cfg(test)]
mod walk;
