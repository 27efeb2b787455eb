//! Every transition of the request cycle: the states, and the table of what
//! follows from which outcome. The files below this one answer the table.
//!
//! ```text
//!        Connected                  first octet
//!   New ──────────▶ AwaitRequest ───────────────▶ AwaitHead ─── TimedOut, refused:
//!                    ▲  ▲   │                        │          4xx, 5xx ─▶ Closed
//!            Flushed │  │   │ PeerFinished,     head │
//!                    │  │   │ TimedOut      is whole ▼    Compute
//!        AwaitFlush ─┘  │   ▼                     locked? ────────▶ AwaitVerdict
//!            ▲          │  Closed                    │         Computed │
//!            │ output   │   ▲                        ▼◀─────────────────┘
//!            │ is long  │   │ close             content? ────────▶ AwaitBody
//!            └──────┬───┴───┘                        │                  │ complete
//!              AwaitTaken   with a log, until        │                  │
//!                   ▲       all of it was sent       │                  │
//!               answered ◀── a page, a fixed ──── plan ◀────────────────┘
//!                   ▲        answer                  │ ├─ perhaps a program: AwaitScript …
//!                   │                                │ └─ how we are: AwaitReport … ─▶ answered
//!                   │                                ▼ Open
//!                   │                             AwaitFile ──┐ Open the next candidate,
//!                   ├── AwaitSent … ◀── a file ──────┤ │  ▲   │ a file of another rule,
//!                   ├── AwaitEntries … ◀─ directory ─┤ │  └───┘ an error's page
//!                   │    to be listed                │ ▼
//!                   └── AwaitStart … ◀── a program ──┘ nothing: a page
//! ```
//!
//! The dots are drawn where they belong: in `file`, for a file may come in another
//! coding or in parts, in `listing`, and in `program`. `request` reads heads and
//! content, `plan` opens what is planned, `rule` has what rules have a say in,
//! `report` what the server says of itself, `answer` the ends of answers; `wish`
//! is what all of them end with.
//!
//! States are named for what is awaited. Broken leads from all of them to
//! Closed, and so does an outcome that fits no wish of ours.
//!
//! Answers leave in the order of their requests, because the next request is
//! read only when the answer before it is in the output. The machine owes each
//! request that has begun, answered or not, one line in the access log, when it
//! is over: `begun` is taken out with the line, so that there cannot be two,
//! and whoever takes it out before leaves a request out of the log. Where there
//! is a log, an answer is sent before the next request is read, for its line
//! tells how much was sent, and when. It must never wait
//! without a deadline, and never let a second request begin after it said
//! `Connection: close`.

mod answer;
mod file;
mod listing;
mod plan;
mod program;
mod report;
mod request;
mod rule;
mod wish;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Site;
use super::accept::Accept;
use super::auth::Tag;
use super::body::Decoder;
use super::cgi::Errand;
use super::cgi::framing::Body;
use super::exchange::{Exchange, Persistence};
use super::files::{Candidate, Plan};
use super::listing::Listing;
use super::notes::Notes;
use super::recent::Ticket;
use super::scan::Scan;
use super::session::Resting;
use super::site::{Map, Rule, RuleNumber};
use super::status::Status;
use crate::protocol::{
    CloseReason, Ending, Facts, Outcome, Peer, ProgramNews, RequestId, Subject, Turn, View,
};
use file::{Held, Search, Series};
use request::{Arrival, Next, TIMEOUT};
pub(super) use wish::Wish;

/// One connection with a request under way.
#[derive(Debug)]
pub(super) struct Connection {
    site: Arc<Site>,
    peer: Peer,
    /// Requests answered so far.
    answered: u64,
    notes: Notes,
    /// Of the request under way: who the client is …
    client: Option<IpAddr>,
    /// … which rule holds, and below whose root its files are …
    rule: RuleNumber,
    files: RuleNumber,
    /// … which form it wants …
    accept: Accept,
    /// … whether it came before …
    ticket: Option<Ticket>,
    /// … the directory that is being listed for it …
    listing: Option<Box<Listing>>,
    /// … what a program must know to answer it, where one may …
    errand: Option<Box<Errand>>,
    /// … what is sent to it from memory …
    held: Held,
    /// … when its first octet was there, until its line is in the log …
    begun: Option<Instant>,
    /// … and its name; until the next has one, that of the last.
    id: Option<RequestId>,
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
        arrival: Arrival,
    },
    /// Whether a password is right.
    AwaitVerdict {
        exchange: Exchange,
        next: Next,
        tag: Tag,
    },
    /// What the server says of itself.
    AwaitReport { exchange: Exchange, view: View },
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
    /// Entries of a directory; `parting` once its listing has begun.
    AwaitEntries {
        exchange: Exchange,
        parting: Option<Ending>,
    },
    /// Room for the next rows of a listing.
    AwaitRoom {
        exchange: Exchange,
        parting: Option<Ending>,
    },
    /// What became of opening a candidate for a program.
    AwaitScript { exchange: Exchange },
    /// Whether it runs.
    AwaitStart { exchange: Exchange },
    /// The rest of its header section, of which line `line` is under way.
    AwaitAnswer { exchange: Exchange, line: u32 },
    /// The rest of its body.
    AwaitOutput {
        status: u16,
        body: Body,
        octets: u64,
        parting: Option<Ending>,
    },
    /// Its end, and then the answer of another path.
    AwaitRedirect { exchange: Exchange },
    /// That the kernel takes the end of an answer, to log it.
    AwaitTaken {
        status: u16,
        octets: u64,
        parting: Option<Ending>,
    },
    /// Room: enough answers are gathered, and the client must take them first.
    AwaitFlush,
    /// Nothing.
    Closed,
}

impl Connection {
    /// Goes on after `outcome`.
    pub(super) fn decide(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Wish {
        let mut wish = self.hear(outcome, turn);
        loop {
            match wish {
                Some(wish) => return wish,
                None => wish = self.read_on(turn),
            }
        }
    }

    /// Whom the request under way is about, or the last one.
    pub(super) fn subject(&self) -> Option<Subject> {
        Some(Subject {
            client: self.client,
            request: self.id?,
        })
    }

    /// For any connection.
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self {
            site,
            peer: Peer::default(),
            answered: 0,
            notes: Notes::default(),
            client: None,
            rule: Map::BARE,
            files: Map::BARE,
            accept: Accept::default(),
            ticket: None,
            listing: None,
            errand: None,
            held: Held::Nothing,
            begun: None,
            id: None,
            state: State::Closed,
        }
    }

    /// Goes on with a connection that has rested. What the notes hold, the rules
    /// and what the client wants are set when a request begins.
    pub(super) fn engage(&mut self, resting: Resting, peer: &Peer) {
        self.peer = *peer;
        self.answered = resting.answered;
        self.client = resting.subject.and_then(|last| last.client);
        self.id = resting.subject.map(|last| last.request);
        self.ticket = resting.ticket;
        self.state = match resting.wait {
            Some((deadline, blank)) => State::AwaitRequest { deadline, blank },
            None => State::New,
        };
    }

    /// Forgets the connection that it served.
    pub(super) fn clear(&mut self) {
        self.notes.rest();
        (self.listing, self.errand, self.held) = (None, None, Held::Nothing);
        (self.begun, self.state) = (None, State::Closed);
    }

    /// What is left of the connection while it waits for a request.
    pub(super) fn resting(&self) -> Resting {
        Resting {
            answered: self.answered,
            subject: self.subject(),
            ticket: self.ticket,
            wait: if let State::AwaitRequest { deadline, blank } = self.state {
                Some((deadline, blank))
            } else {
                None
            },
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
                self.close(CloseReason::PeerClosed, turn)
            }
            // Incomplete: whatever it was to be, it is not answered with
            // success (RFC 9112 §8).
            (Outcome::PeerFinished, State::AwaitHead { .. } | State::AwaitBody { .. }) => {
                self.close(CloseReason::CutShort, turn)
            }
            (Outcome::TimedOut, State::AwaitRequest { .. }) if turn.draining => {
                self.close(CloseReason::Draining, turn)
            }
            (Outcome::TimedOut, State::AwaitRequest { .. }) => self.close(CloseReason::Idle, turn),
            (Outcome::TimedOut, State::AwaitHead { .. }) => self.refuse_head(TIMEOUT, turn),
            (
                Outcome::TimedOut,
                State::AwaitBody {
                    exchange, arrival, ..
                },
            ) => self.on_late_body(exchange, arrival, turn),
            (
                Outcome::Computed(right),
                State::AwaitVerdict {
                    exchange,
                    next,
                    tag,
                },
            ) => self.on_verdict(exchange, next, right.then_some(tag), turn),
            (Outcome::Reported, State::AwaitReport { exchange, view }) => {
                self.on_report(exchange, view, turn)
            }
            (
                Outcome::Overloaded,
                State::AwaitVerdict { mut exchange, .. } | State::AwaitReport { mut exchange, .. },
            ) => {
                // Whatever comes on this connection is not worth more work.
                exchange.persistence = Persistence::Abandon;
                self.answer(exchange, Status::Unavailable, turn)
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
            (
                Outcome::Sent,
                State::AwaitSent {
                    status,
                    octets,
                    parting,
                },
            ) => self.finish(status, octets, parting, turn),
            (Outcome::Sent, State::AwaitPart(series)) => self.send_part(series, turn),
            (Outcome::Flushed, State::AwaitPiece { at, parting }) => {
                self.send_piece(at, parting, turn)
            }
            (Outcome::Listed { more }, State::AwaitEntries { exchange, parting }) => {
                self.on_entries(exchange, parting, more, turn)
            }
            (Outcome::Missing(error), State::AwaitEntries { exchange, .. }) => {
                self.on_entries_missing(exchange, error, turn)
            }
            (Outcome::Flushed, State::AwaitRoom { exchange, parting }) => {
                self.write_listing(exchange, parting, turn)
            }
            (Outcome::Found(facts), State::AwaitScript { exchange }) => {
                self.on_script(exchange, facts.kind, turn)
            }
            (Outcome::Missing(error), State::AwaitScript { exchange }) => {
                self.on_no_script(exchange, error, turn)
            }
            (Outcome::Program(ProgramNews::Started), State::AwaitStart { exchange }) => {
                self.state = State::AwaitAnswer { exchange, line: 0 };
                self.listen(turn)
            }
            (Outcome::Program(ProgramNews::NotStarted(error)), State::AwaitStart { exchange }) => {
                self.on_not_started(exchange, error, turn)
            }
            (Outcome::Program(ProgramNews::Wrote), State::AwaitAnswer { exchange, line }) => {
                self.on_answer(exchange, line, None, turn)
            }
            (Outcome::Program(ProgramNews::Ended(end)), State::AwaitAnswer { exchange, line }) => {
                self.on_answer(exchange, line, Some(end), turn)
            }
            (
                Outcome::Program(ProgramNews::Wrote),
                State::AwaitOutput {
                    status,
                    body,
                    octets,
                    parting,
                },
            ) => self.on_output(status, body, octets, parting, turn),
            (
                Outcome::Program(ProgramNews::Ended(end)),
                State::AwaitOutput {
                    status,
                    body,
                    octets,
                    parting,
                },
            ) => self.on_end(Status::Scripted(status), body, octets, parting, end, turn),
            (Outcome::Program(ProgramNews::Wrote), State::AwaitRedirect { .. }) => {
                // It must not have a body (RFC 3875 §6.2.2).
                turn.program.consume(usize::MAX);
                self.listen(turn)
            }
            (Outcome::Program(ProgramNews::Ended(_)), State::AwaitRedirect { exchange }) => {
                self.redirect(exchange, turn)
            }
            (
                Outcome::TimedOut,
                State::AwaitAnswer { exchange, .. } | State::AwaitRedirect { exchange },
            ) => self.fail(exchange, Status::GatewayTimeout, program::TOO_LONG, turn),
            (Outcome::TimedOut, State::AwaitOutput { status, octets, .. }) => self.cut(
                status,
                octets,
                CloseReason::Program(program::TOO_LONG),
                turn,
            ),
            (
                Outcome::Flushed,
                State::AwaitTaken {
                    status,
                    octets,
                    parting,
                },
            ) => {
                self.log(status, octets, parting.map(|ending| ending.reason), turn);
                self.conclude(parting, turn)
            }
            (Outcome::Flushed, State::AwaitFlush) => {
                self.await_request(turn);
                None
            }
            // Content that is in the output still did not leave.
            (Outcome::Broken { sent, reason }, State::AwaitSent { status, .. }) => {
                self.cut(status.code(), sent, reason, turn)
            }
            (Outcome::Broken { sent, reason }, State::AwaitPart(series)) => {
                let octets = left(series.octets(sent), turn);
                self.cut(Status::PartialContent.code(), octets, reason, turn)
            }
            (Outcome::Broken { reason, .. }, State::AwaitPiece { at, .. }) => {
                let octets = left(at as u64, turn);
                self.cut(Status::Ok.code(), octets, reason, turn)
            }
            (
                Outcome::Broken { reason, .. },
                State::AwaitEntries { .. } | State::AwaitRoom { .. },
            ) => self.on_listing_broken(reason, turn),
            (Outcome::Broken { reason, .. }, State::AwaitOutput { status, octets, .. }) => {
                self.cut(status, left(octets, turn), reason, turn)
            }
            (
                Outcome::Broken { reason, .. },
                State::AwaitTaken {
                    status,
                    octets,
                    parting,
                },
            ) => {
                // It ends for what it would have ended for, if that was a fault.
                let planned = parting.map(|ending| ending.reason);
                let fault = planned.filter(|planned| !planned.is_planned());
                let left = left(octets, turn);
                self.leave(status, left, fault.unwrap_or(reason), turn)
            }
            (
                Outcome::Broken { reason, .. },
                State::New
                | State::AwaitRequest { .. }
                | State::AwaitHead { .. }
                | State::AwaitBody { .. }
                | State::AwaitVerdict { .. }
                | State::AwaitReport { .. }
                | State::AwaitFile { .. }
                | State::AwaitSibling(_)
                | State::AwaitRead { .. }
                | State::AwaitScript { .. }
                | State::AwaitStart { .. }
                | State::AwaitAnswer { .. }
                | State::AwaitRedirect { .. }
                | State::AwaitFlush
                | State::Closed,
            ) => self.close(reason, turn),
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
                | Outcome::Reported
                | Outcome::Overloaded
                | Outcome::Listed { .. }
                | Outcome::Program(_)
                | Outcome::HandedOver(_)
                | Outcome::Flushed,
                State::New
                | State::AwaitRequest { .. }
                | State::AwaitHead { .. }
                | State::AwaitBody { .. }
                | State::AwaitVerdict { .. }
                | State::AwaitReport { .. }
                | State::AwaitFile { .. }
                | State::AwaitSibling(_)
                | State::AwaitRead { .. }
                | State::AwaitSent { .. }
                | State::AwaitPart(_)
                | State::AwaitPiece { .. }
                | State::AwaitEntries { .. }
                | State::AwaitRoom { .. }
                | State::AwaitScript { .. }
                | State::AwaitStart { .. }
                | State::AwaitAnswer { .. }
                | State::AwaitOutput { .. }
                | State::AwaitRedirect { .. }
                | State::AwaitTaken { .. }
                | State::AwaitFlush
                | State::Closed,
            ) => self.close(CloseReason::Internal, turn),
        }
    }

    /// Goes on with what is in the input.
    fn read_on(&mut self, turn: &mut Turn<'_>) -> Option<Wish> {
        match self.state {
            State::AwaitRequest { deadline, blank } => self.read_blank(deadline, blank, turn),
            State::AwaitHead { deadline, mut scan } => {
                match scan.proceed(turn.input.unread(), &self.site.limits) {
                    Ok(Some(length)) => self.begin(length, turn),
                    // Who sends all the time is never waited for in vain: without
                    // a look at the clock its deadline would not come.
                    Ok(None) if turn.now >= deadline => self.refuse_head(TIMEOUT, turn),
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
                arrival,
            } => self.read_body(exchange, plan, decoder, arrival, turn),
            // None of these reads.
            State::New
            | State::AwaitVerdict { .. }
            | State::AwaitReport { .. }
            | State::AwaitFile { .. }
            | State::AwaitSibling(_)
            | State::AwaitRead { .. }
            | State::AwaitSent { .. }
            | State::AwaitPart(_)
            | State::AwaitPiece { .. }
            | State::AwaitEntries { .. }
            | State::AwaitRoom { .. }
            | State::AwaitScript { .. }
            | State::AwaitStart { .. }
            | State::AwaitAnswer { .. }
            | State::AwaitOutput { .. }
            | State::AwaitRedirect { .. }
            | State::AwaitTaken { .. }
            | State::AwaitFlush
            | State::Closed => self.close(CloseReason::Internal, turn),
        }
    }

    /// The rule that holds for the request under way.
    fn rule(&self) -> &Rule {
        self.site.map.rule(self.rule)
    }
}

/// Of `octets` of content that were written, how many left: the others are
/// the last ones in the output.
fn left(octets: u64, turn: &Turn<'_>) -> u64 {
    octets.saturating_sub(turn.output.len() as u64)
}

#[cfg(test)]
mod walk;
