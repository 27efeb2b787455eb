//! The transitions between a file that was found and the end of its answer.
//!
//! ```text
//!              found                        sibling
//!  AwaitFile ────────▶ search ────────▶ AwaitSibling ──▶ deliver
//!                       │  ▲ │   Open        │
//!                       │  └─┼───────────────┘ none
//!                       │    │ compress: Read
//!                       │    └────────▶ AwaitRead ──▶ AwaitPiece ─▶ … ─▶ answered
//!                       ▼ as it is                     ▲  │ Flushed
//!                    deliver ─▶ 304, 412, 416          └──┘
//!                       ├─ whole, a part ─▶ AwaitSent ─▶ answered
//!                       └─ parts ─▶ AwaitPart ─▶ … ─▶ answered
//!                                    ▲  │ Sent
//!                                    └──┘
//! ```
//!
//! A file that is sent in parts, or was read, is still the one that the driver
//! has open; [`Search::replaced`] says when a sibling has taken its place.

use std::sync::Arc;

use super::super::coding::{Coding, Codings};
use super::super::criteria::Criterion;
use super::super::delivery::{self, Delivery};
use super::super::exchange::Exchange;
use super::super::files::{Candidate, Plan};
use super::super::gzip::Known;
use super::super::mime::Media;
use super::super::multipart::{Boundary, Parts};
use super::super::recent::Validity;
use super::super::representation::Representation;
use super::super::response::{self, Extent};
use super::super::status::Status;
use super::super::variants;
use super::{Connection, State, Wish};
use crate::protocol::{CloseReason, Ending, Facts, Output, Turn};

/// The search for a coding of a file that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    exchange: Exchange,
    /// As what it was opened.
    candidate: Candidate,
    /// The file itself.
    facts: Facts,
    /// Which of the client's codings is looked for.
    place: u8,
    /// The driver has another file open now.
    replaced: bool,
}

/// Parts that are being sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series {
    /// The whole file's length, from which the parts follow.
    length: u64,
    boundary: Boundary,
    /// The part that comes next.
    next: u8,
    /// Octets of content before the part that is being sent, delimiters
    /// included …
    before: u64,
    /// … and those of this part.
    part: u64,
    parting: Option<Ending>,
}

/// Content that does not come from the file directly.
#[derive(Debug, Default)]
pub(super) enum Held {
    #[default]
    Nothing,
    /// The file's octets, to be compressed.
    Raw(Box<[u8]>),
    /// What is sent, piece by piece.
    Compressed(Arc<[u8]>),
    /// Likewise, of the server itself.
    Report(Vec<u8>),
}

impl Connection {
    /// A file is sent; perhaps there is a better coding of it.
    pub(super) fn begin_search(
        &mut self,
        exchange: Exchange,
        candidate: Candidate,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        // A program is run; nothing of its source is sent, in whatever form.
        if self.site.map.rule(self.files).cgi {
            return self.run_file(exchange, turn);
        }
        if self.errand.as_ref().is_some_and(|errand| !errand.reads()) {
            return self.answer(exchange, Status::MethodNotAllowed, turn);
        }
        let search = Search {
            exchange,
            candidate,
            facts: *facts,
            place: 0,
            replaced: false,
        };
        self.search(search, turn)
    }

    /// A sibling was found, or something under its name.
    pub(super) fn on_sibling(
        &mut self,
        search: Search,
        found: &Facts,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let coding = search.coding();
        self.notes.clear_sibling(coding);
        if variants::is_sibling(&search.facts, found) {
            let file = self.represent(found, coding, turn);
            return self.deliver(search.exchange, &file, turn);
        }
        let replaced = true;
        self.pass_over(Search { replaced, ..search }, turn)
    }

    /// There is no such sibling, or none that may be opened.
    pub(super) fn on_no_sibling(&mut self, search: Search, turn: &mut Turn<'_>) -> Option<Wish> {
        self.notes.clear_sibling(search.coding());
        self.pass_over(search, turn)
    }

    fn pass_over(&mut self, search: Search, turn: &mut Turn<'_>) -> Option<Wish> {
        let variants = &self.site.variants;
        variants.note_absence(self.place(), search.coding(), turn.wall);
        match self.compress(&search, turn) {
            Some(wish) => wish,
            None => self.search(search.next(), turn),
        }
    }

    /// Looks for the client's codings from this one on. The last resort is the
    /// file as it is.
    fn search(&mut self, mut search: Search, turn: &mut Turn<'_>) -> Option<Wish> {
        let kind @ (_, negotiable) = self.kind();
        while negotiable && search.coding() != Coding::Identity {
            let coding = search.coding();
            let variants = &self.site.variants;
            if variants.has_sibling(self.place(), coding, turn.wall) {
                self.notes.set_sibling(coding);
                if !self.names_program() {
                    self.state = State::AwaitSibling(search);
                    return Some(Wish::Open);
                }
                self.notes.clear_sibling(coding);
            }
            if let Some(wish) = self.compress(&search, turn) {
                return wish;
            }
            search = search.next();
        }
        let mut exchange = search.exchange;
        if search.replaced {
            exchange.codings = Codings::NONE;
            return self.carry_out(exchange, Plan::Open(search.candidate), turn);
        }
        let file = represent(&search.facts, kind, Coding::Identity, turn);
        let before = turn.output.len();
        let wish = self.deliver(exchange, &file, turn);
        if file.is_settled() {
            self.learn(&search, before, turn);
        }
        wish
    }

    /// Remembers the head of an answer with a whole file, from `before` in the
    /// output, for a request that comes again and again.
    fn learn(&self, search: &Search, before: usize, turn: &Turn<'_>) {
        let State::AwaitSent {
            status: Status::Ok,
            parting: None,
            ..
        } = self.state
        else {
            return;
        };
        if let Some(ticket) = self.ticket
            && self.notes.criteria().is_empty()
            && !self.site.request_id
        {
            let validity = self.validity(search.candidate, &search.facts, turn);
            let head = &turn.output.unsent()[before..];
            self.site
                .recent
                .learn(ticket, search.exchange, validity, head);
        }
    }

    /// Answers as the last time, if that is the answer.
    pub(super) fn repeat(
        &mut self,
        exchange: Exchange,
        candidate: Candidate,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Option<Option<Wish>> {
        let ticket = self.ticket?;
        let validity = self.validity(candidate, facts, turn);
        if self.parting(exchange, Status::Ok, turn).is_some()
            || !self.site.recent.repeat(ticket, &validity, turn.output)
        {
            return None;
        }
        Some(self.send_whole(exchange, facts.length, None, turn))
    }

    /// When an answer with this file is the same.
    fn validity(&self, candidate: Candidate, facts: &Facts, turn: &Turn<'_>) -> Validity {
        Validity {
            rule: self.rule,
            candidate,
            facts: *facts,
            second: turn.wall.unix,
        }
    }

    /// Sends the whole file, after a head that is written.
    fn send_whole(
        &mut self,
        exchange: Exchange,
        length: u64,
        parting: Option<Ending>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        if exchange.head_only || length == 0 {
            return self.finish(Status::Ok, 0, parting, turn);
        }
        self.state = State::AwaitSent {
            status: Status::Ok,
            octets: length,
            parting,
        };
        Some(Wish::SendFile { offset: 0, length })
    }

    /// Whether a file under the path in the notes would be a program: such a
    /// one is nobody's sibling.
    fn names_program(&self) -> bool {
        let (map, host) = (&self.site.map, self.rule().host);
        map.has_programs(host) && map.rule(map.find(host, self.notes.path(), false)).cgi
    }

    /// Sends the file compressed, where that is the coding looked for and the
    /// file is fit for it. Not where a part is asked for: of what is made for
    /// this answer no part can be promised to fit one that was sent before.
    fn compress(&mut self, search: &Search, turn: &mut Turn<'_>) -> Option<Option<Wish>> {
        let Search {
            exchange, facts, ..
        } = *search;
        let in_part = !exchange.head_only && self.notes.criteria().has(Criterion::Range);
        if search.coding() != Coding::Gzip || in_part {
            return None;
        }
        let file = Representation {
            in_parts: false,
            ..self.represent(&facts, Coding::Gzip, turn)
        };
        let variants = &self.site.variants;
        let known = variants.compressed(&facts, file.media, file.is_settled())?;
        let criteria = self.notes.criteria();
        let delivery = delivery::decide(criteria, &file, exchange.head_only, turn.wall);
        match (known, delivery) {
            (Known::Compressed(content), Delivery::Whole) => {
                Some(self.send_compressed(exchange, &file, content, turn))
            }
            (Known::Nothing, Delivery::Whole) if search.replaced => None,
            (Known::Nothing, Delivery::Whole) => {
                // Its length is bounded by what is compressed at all.
                self.held = Held::Raw(vec![0; facts.length as usize].into());
                self.state = State::AwaitRead { exchange, facts };
                Some(Some(Wish::Read))
            }
            (Known::Useless, _) => None,
            (Known::Nothing | Known::Compressed(_), _) => Some(self.deliver(exchange, &file, turn)),
        }
    }

    /// The file was read.
    pub(super) fn on_read(
        &mut self,
        exchange: Exchange,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let Held::Raw(raw) = std::mem::take(&mut self.held) else {
            return self.close(CloseReason::Internal, turn);
        };
        match self.site.variants.compress(facts, &raw) {
            Some(content) => {
                let file = Representation {
                    in_parts: false,
                    ..self.represent(facts, Coding::Gzip, turn)
                };
                self.send_compressed(exchange, &file, content, turn)
            }
            // Then the conditions are judged anew: it is another representation.
            None => {
                let file = self.represent(facts, Coding::Identity, turn);
                self.deliver(exchange, &file, turn)
            }
        }
    }

    /// The type of the file at the path in the notes, and whether it comes in
    /// several codings.
    fn kind(&self) -> (Media, bool) {
        let variants = &self.site.variants;
        let media = variants.types.of(self.notes.path());
        (media, variants.is_negotiable(media))
    }

    /// The file at the path in the notes, in this coding.
    fn represent(&self, facts: &Facts, coding: Coding, turn: &Turn<'_>) -> Representation {
        represent(facts, self.kind(), coding, turn)
    }

    /// Answers about the file that the driver has open.
    fn deliver(
        &mut self,
        exchange: Exchange,
        file: &Representation,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let criteria = self.notes.criteria();
        match delivery::decide(criteria, file, exchange.head_only, turn.wall) {
            Delivery::Whole => {
                let parting = self.write_head(exchange, file, Extent::Whole, turn);
                self.send_whole(exchange, file.length, parting, turn)
            }
            Delivery::Part(span) => {
                let parting = self.write_head(exchange, file, Extent::Part(span), turn);
                let (offset, length) = (span.first, span.length.get());
                self.state = State::AwaitSent {
                    status: Status::PartialContent,
                    octets: length,
                    parting,
                };
                Some(Wish::SendFile { offset, length })
            }
            Delivery::Parts => self.begin_parts(exchange, file, turn),
            Delivery::NotModified => {
                let status = Status::NotModified;
                let parting = self.parting(exchange, status, turn);
                let envelope = self.envelope(exchange, status, parting);
                response::write_not_modified(turn.output, envelope, turn.wall, file);
                self.finish(status, 0, parting, turn)
            }
            Delivery::Refused => self.answer(exchange, Status::PreconditionFailed, turn),
            Delivery::Unsatisfiable => {
                let status = Status::RangeNotSatisfiable;
                let parting = self.parting(exchange, status, turn);
                let envelope = self.envelope(exchange, status, parting);
                let octets = response::write_unsatisfiable(
                    turn.output,
                    envelope,
                    turn.wall,
                    file.length,
                    &self.notes,
                );
                self.finish(status, octets, parting, turn)
            }
        }
    }

    /// Writes the head of an answer that carries the file or something of it;
    /// answers how the connection ends after it.
    fn write_head(
        &self,
        exchange: Exchange,
        file: &Representation,
        extent: Extent<'_>,
        turn: &mut Turn<'_>,
    ) -> Option<Ending> {
        let status = match extent {
            Extent::Whole => Status::Ok,
            Extent::Part(_) | Extent::Parts(_) => Status::PartialContent,
        };
        let parting = self.parting(exchange, status, turn);
        let envelope = self.envelope(exchange, status, parting);
        let content_type = self.site.variants.types.content_type(file.media);
        let output = &mut *turn.output;
        response::write_file_head(output, envelope, turn.wall, file, content_type, extent);
        parting
    }

    fn begin_parts(
        &mut self,
        exchange: Exchange,
        file: &Representation,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let Ok(spans) = delivery::spans(self.notes.criteria(), file.length) else {
            // It was just found to have some.
            return self.close(CloseReason::Internal, turn);
        };
        let boundary = Boundary::new(file.tag.value(), turn.wall);
        let parts = Parts {
            boundary,
            content_type: self.site.variants.types.content_type(file.media),
            length: file.length,
            spans: &spans,
        };
        let parting = self.write_head(exchange, file, Extent::Parts(&parts), turn);
        let series = Series {
            length: file.length,
            boundary,
            next: 0,
            before: 0,
            part: 0,
            parting,
        };
        self.send_part(series, turn)
    }

    /// Sends the next part, or ends the answer after the last. What the parts
    /// are is worked out anew from the request: that needs no memory, and their
    /// number is bounded.
    pub(super) fn send_part(&mut self, mut series: Series, turn: &mut Turn<'_>) -> Option<Wish> {
        let Ok(spans) = delivery::spans(self.notes.criteria(), series.length) else {
            return self.close(CloseReason::Internal, turn);
        };
        let types = &self.site.variants.types;
        let parts = Parts {
            boundary: series.boundary,
            content_type: types.content_type(types.of(self.notes.path())),
            length: series.length,
            spans: &spans,
        };
        series.before += series.part;
        let waiting = turn.output.len();
        let number = usize::from(series.next);
        let Some(span) = spans.get(number) else {
            response::write(turn.output, parts.end());
            series.before += (turn.output.len() - waiting) as u64;
            return self.finish(Status::PartialContent, series.before, series.parting, turn);
        };
        response::write(turn.output, parts.head(number, span));
        let (offset, length) = (span.first, span.length.get());
        series.before += (turn.output.len() - waiting) as u64;
        series.part = length;
        series.next += 1;
        self.state = State::AwaitPart(series);
        Some(Wish::SendFile { offset, length })
    }

    /// Answers with content that was compressed.
    fn send_compressed(
        &mut self,
        exchange: Exchange,
        file: &Representation,
        content: Arc<[u8]>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let length = content.len() as u64;
        let file = Representation { length, ..*file };
        let parting = self.write_head(exchange, &file, Extent::Whole, turn);
        if exchange.head_only {
            return self.finish(Status::Ok, 0, parting, turn);
        }
        self.held = Held::Compressed(content);
        self.send_piece(0, parting, turn)
    }

    /// Puts as much of it into the output as is bearable: a client that is slow
    /// costs no more memory than another.
    pub(super) fn send_piece(
        &mut self,
        at: usize,
        parting: Option<Ending>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let content: &[u8] = match &self.held {
            Held::Compressed(content) => content,
            Held::Report(content) => content,
            Held::Nothing | Held::Raw(_) => return self.close(CloseReason::Internal, turn),
        };
        let end = content.len().min(at + Output::ENOUGH);
        turn.output.push(&content[at..end]);
        if end < content.len() {
            self.state = State::AwaitPiece { at: end, parting };
            return Some(Wish::Flush);
        }
        self.held = Held::Nothing;
        self.finish(Status::Ok, end as u64, parting, turn)
    }
}

impl Search {
    /// The coding that is looked for; identity when there are no more.
    fn coding(&self) -> Coding {
        self.exchange.codings.get(self.place)
    }

    fn next(self) -> Self {
        let place = self.place + 1;
        Self { place, ..self }
    }
}

impl Series {
    /// Octets of content that have left when `sent` of this part have.
    pub(super) fn octets(&self, sent: u64) -> u64 {
        self.before + sent
    }
}

/// A file of this kind in this coding.
fn represent(
    facts: &Facts,
    (media, negotiable): (Media, bool),
    coding: Coding,
    turn: &Turn<'_>,
) -> Representation {
    Representation {
        negotiable,
        ..Representation::of(facts, media, coding, turn.wall)
    }
}
