//! The transitions of a directory that is being listed: to and fro between
//! entries that come in and room for rows that go out.
//!
//! ```text
//!              listed          all to be sorted are there
//!  AwaitFile ────────▶ AwaitEntries ────────▶ rows ──────▶ answered
//!                       ▲  │  ▲                │ ▲
//!                       └──┘  └────────────────┤ │ Flushed
//!                      Listed    a row needs   │ │
//!                                more          └─┴─ AwaitRoom
//! ```

use super::super::exchange::Exchange;
use super::super::listing::{End, Form, Listing, Need};
use super::super::request::Version;
use super::super::response;
use super::super::status::Status;
use super::{Connection, State, Wish, left};
use crate::protocol::{CloseReason, Ending, Manner, OpenError, Turn};

impl Connection {
    /// Lists the directory that is open. HEAD is answered without looking.
    pub(super) fn list(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Option<Wish> {
        if self.errand.as_ref().is_some_and(|errand| !errand.reads()) {
            return self.answer(exchange, Status::MethodNotAllowed, turn);
        }
        self.accept.decide();
        if let Some(wish) = self.object(exchange, turn) {
            return wish;
        }
        let (form, end) = self.listing_form(exchange);
        if exchange.head_only {
            let parting = self.listing_parting(exchange, end, turn);
            let envelope = self.envelope(exchange, Status::Ok, parting);
            response::write_listing_head(turn.output, envelope, turn.wall, form, end);
            return self.finish(Status::Ok, 0, parting, turn);
        }
        let dotfiles = self.rule().dotfiles;
        let (path, query) = (self.notes.path(), self.notes.query());
        let listing = Listing::new(form, end, dotfiles, path, query);
        self.listing = Some(Box::new(listing));
        self.state = State::AwaitEntries {
            exchange,
            parting: None,
        };
        Some(Wish::List)
    }

    pub(super) fn on_entries(
        &mut self,
        exchange: Exchange,
        parting: Option<Ending>,
        more: bool,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let Some(mut listing) = self.listing.take() else {
            return self.close(CloseReason::Internal, turn);
        };
        let begun = listing.has_begun();
        let need = listing.take(turn.entries, more);
        self.listing = Some(listing);
        if need == Need::Entries {
            return Some(Wish::List);
        }
        if begun {
            return self.write_listing(exchange, parting, turn);
        }
        let (form, end) = self.listing_form(exchange);
        let parting = self.listing_parting(exchange, end, turn);
        let envelope = self.envelope(exchange, Status::Ok, parting);
        response::write_listing_head(turn.output, envelope, turn.wall, form, end);
        self.write_listing(exchange, parting, turn)
    }

    /// A directory that can be read no further: a listing that has begun is
    /// left without its end, so that nobody takes it for complete.
    pub(super) fn on_entries_missing(
        &mut self,
        exchange: Exchange,
        error: OpenError,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match (self.given_up(), error) {
            (Some(octets), _) => self.cut(Status::Ok.code(), octets, CloseReason::Internal, turn),
            (None, OpenError::Exhausted) => self.answer(exchange, Status::Unavailable, turn),
            (
                None,
                OpenError::NotFound | OpenError::Denied | OpenError::Escapes | OpenError::Failed,
            ) => self.answer(exchange, Status::InternalError, turn),
        }
    }

    /// The client is gone.
    pub(super) fn on_listing_broken(
        &mut self,
        reason: CloseReason,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        match self.given_up() {
            Some(octets) => self.cut(Status::Ok.code(), left(octets, turn), reason, turn),
            None => self.close(reason, turn),
        }
    }

    /// Gives up the listing; answers how long it is, if it has begun.
    fn given_up(&mut self) -> Option<u64> {
        let listing = self.listing.take()?;
        listing.has_begun().then(|| listing.octets())
    }

    pub(super) fn write_listing(
        &mut self,
        exchange: Exchange,
        parting: Option<Ending>,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let Some(listing) = &mut self.listing else {
            return self.close(CloseReason::Internal, turn);
        };
        match listing.write(turn.output) {
            Need::Entries => {
                self.state = State::AwaitEntries { exchange, parting };
                Some(Wish::List)
            }
            Need::Room => {
                self.state = State::AwaitRoom { exchange, parting };
                Some(Wish::Flush)
            }
            Need::Nothing => {
                let octets = listing.octets();
                self.listing = None;
                self.finish(Status::Ok, octets, parting, turn)
            }
        }
    }

    fn listing_form(&self, exchange: Exchange) -> (Form, End) {
        let form = if self.accept.prefers_json() {
            Form::Json
        } else {
            Form::Html
        };
        match exchange.version {
            Version::Http11 => (form, End::Chunked),
            // RFC 9112 §6.1: no chunks for HTTP/1.0.
            Version::Http10 => (form, End::Close),
        }
    }

    fn listing_parting(&self, exchange: Exchange, end: End, turn: &Turn<'_>) -> Option<Ending> {
        let parting = self.parting(exchange, Status::Ok, turn);
        match end {
            End::Chunked => parting,
            End::Close => parting.or(Some(Ending {
                reason: CloseReason::Complete,
                manner: Manner::AtOnce,
            })),
        }
    }
}
