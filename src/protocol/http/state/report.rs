//! The transitions of a request that asks how the server is.

use super::super::exchange::Exchange;
use super::super::report::{self, HEALTHY, TEXT};
use super::super::response;
use super::super::status::Status;
use super::file::Held;
use super::{Connection, State, Wish};
use crate::protocol::{Turn, View};

impl Connection {
    /// Has it written down.
    pub(super) fn report(
        &mut self,
        exchange: Exchange,
        view: View,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        if let Some(wish) = self.object(exchange, turn) {
            return wish;
        }
        self.state = State::AwaitReport { exchange, view };
        Some(Wish::Report(view))
    }

    /// It is written down.
    pub(super) fn on_report(
        &mut self,
        exchange: Exchange,
        view: View,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let text = std::mem::take(turn.report);
        let parting = self.parting(exchange, Status::Ok, turn);
        let envelope = self.envelope(exchange, Status::Ok, parting);
        let (content_type, length) = (report::content_type(view), text.len() as u64);
        response::write_text_head(turn.output, envelope, turn.wall, content_type, length);
        if exchange.head_only {
            return self.finish(Status::Ok, 0, parting, turn);
        }
        self.held = Held::Report(text);
        self.send_piece(0, parting, turn)
    }

    /// That there is an answer says that all is well.
    pub(super) fn tell_health(&mut self, exchange: Exchange, turn: &mut Turn<'_>) -> Option<Wish> {
        self.tell(exchange, Status::Ok, HEALTHY, turn)
    }

    /// Whether new clients are welcome. That they are not is no reason to send
    /// away those that are here.
    pub(super) fn tell_readiness(
        &mut self,
        exchange: Exchange,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let status = match turn.readiness.is_ready() {
            true => Status::Ok,
            false => Status::Unavailable,
        };
        self.tell(exchange, status, turn.readiness.line(), turn)
    }

    fn tell(
        &mut self,
        exchange: Exchange,
        status: Status,
        line: &str,
        turn: &mut Turn<'_>,
    ) -> Option<Wish> {
        let parting = self.parting(exchange, Status::Ok, turn);
        let envelope = self.envelope(exchange, status, parting);
        let length = line.len() as u64;
        response::write_text_head(turn.output, envelope, turn.wall, TEXT, length);
        if exchange.head_only {
            return self.finish(status, 0, parting, turn);
        }
        turn.output.push(line.as_bytes());
        self.finish(status, length, parting, turn)
    }
}
