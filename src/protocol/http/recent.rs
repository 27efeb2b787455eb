//! Requests that come again, octet for octet, and what was worked out for them.
//!
//! What a head asks for follows from its octets and the settings alone, unless
//! the client's address, a password or a program has a say in it. So a worker
//! remembers a few heads of that kind which it was sent twice, and what they lead
//! to: whoever polls a page, fetches it over and over, or sends what another sent
//! before, is spared the reading. The file is opened, and asked what it is, as for
//! every request. If it is the same file, and the second of the last answer is not
//! over, the head of the answer is the same as well.
//!
//! Heads are compared whole, so that no other request can be taken for one of
//! them. What is remembered is bounded; a head must come twice to be remembered,
//! and takes no place of one that came meanwhile. It lies in the worker's memory,
//! cookies and all, until another takes its place, but for heads with an
//! Authorization, which are never remembered. Nobody waits: where another thread
//! of the worker looks, a request is read as if it were new.

use std::sync::{Mutex, MutexGuard};

use super::accept::Accept;
use super::exchange::Exchange;
use super::files::Candidate;
use super::notes::Notes;
use super::site::RuleNumber;
use crate::mix::mix_in;
use crate::protocol::{Facts, Output};

/// Heads that are remembered at once.
const MOST: usize = 8;
/// The longest that is remembered, in octets.
const LONGEST: usize = 1024;
/// Heads that may have come once, each known by a number.
const SEEN: usize = 256;

/// What a worker remembers of the requests it was sent.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    places: Vec<Place>,
    /// The place that is given away next.
    next: usize,
    /// How many heads there have been.
    count: u32,
    seen: Box<[u64]>,
}

/// A head, and what follows from it.
#[derive(Debug)]
struct Place {
    number: u32,
    /// It came since the last time that its place was wanted.
    used: bool,
    head: Vec<u8>,
    lead: Lead,
    notes: Notes,
    /// The head of the last answer with a whole file …
    answer: Vec<u8>,
    /// … and when it is the same again.
    validity: Option<Validity>,
}

/// What an answer depends on, besides its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// As what the file was opened, and under which rule.
    pub(super) candidate: Candidate,
    pub(super) rule: RuleNumber,
    /// What it is.
    pub(super) facts: Facts,
    /// The second, since 1970: the Date.
    pub(super) second: i64,
}

/// Which of the remembered heads a request has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    place: u8,
    number: u32,
}

/// What a head leads to; the rest is in the notes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lead {
    /// The head begins with so many octets of method and target.
    pub(super) described: usize,
    pub(super) exchange: Exchange,
    pub(super) accept: Accept,
    pub(super) rule: RuleNumber,
    /// What is opened first.
    pub(super) candidate: Candidate,
}

/// A request that came before: how long its head is, and what it leads to.
pub(super) struct Known {
    pub(super) ticket: Ticket,
    pub(super) length: usize,
    pub(super) lead: Lead,
}

impl Recent {
    /// Whether `input` begins with a head that is remembered; then the notes are
    /// as they were for it. `last` is looked at first.
    pub(super) fn recall(
        &self,
        input: &[u8],
        last: Option<Ticket>,
        notes: &mut Notes,
    ) -> Option<Known> {
        let mut memory = self.look()?;
        let last = last.map_or(0, |ticket| usize::from(ticket.place));
        let is_it = |place: &Place| input.starts_with(&place.head);
        let number = match memory.places.get(last) {
            Some(place) if is_it(place) => last,
            Some(_) => memory.places.iter().position(is_it)?,
            None => return None,
        };
        let place = &mut memory.places[number];
        place.used = true;
        notes.copy(&place.notes);
        Some(Known {
            ticket: Ticket {
                place: number as u8,
                number: place.number,
            },
            length: place.head.len(),
            lead: place.lead,
        })
    }

    /// Remembers a head, if this is the second time and a place is to be had.
    pub(super) fn note(&self, head: &[u8], lead: Lead, notes: &Notes) -> Option<Ticket> {
        let mut memory = self.look().filter(|_| head.len() <= LONGEST)?;
        let known = memory.places.iter().position(|place| place.head == head);
        if let Some(place) = known {
            // It did not come in one piece, or nobody could look.
            return Some(memory.ticket(place));
        }
        if !memory.has_seen(head) {
            return None;
        }
        let place = memory.free_place()?;
        memory.count = memory.count.wrapping_add(1);
        let kept = Place {
            number: memory.count,
            used: true,
            head: head.to_vec(),
            lead,
            notes: notes.clone(),
            answer: Vec::new(),
            validity: None,
        };
        match memory.places.get_mut(place) {
            Some(old) => *old = kept,
            None => memory.places.push(kept),
        }
        Some(memory.ticket(place))
    }

    /// Writes the head of the answer, if it is the same as the last time.
    pub(super) fn repeat(&self, ticket: Ticket, now: &Validity, output: &mut Output) -> bool {
        let Some(mut memory) = self.look() else {
            return false;
        };
        let place = memory.place(ticket);
        let same = place.filter(|place| place.validity.as_ref() == Some(now));
        same.inspect(|place| output.push(&place.answer)).is_some()
    }

    /// What was answered, and when that is the answer again.
    pub(super) fn learn(
        &self,
        ticket: Ticket,
        exchange: Exchange,
        validity: Validity,
        answer: &[u8],
    ) {
        let Some(mut memory) = self.look() else {
            return;
        };
        if let Some(place) = memory.place(ticket)
            // Not where the search led elsewhere, or came to the file by another
            // way: another time it may not.
            && (place.lead.candidate, place.lead.rule) == (validity.candidate, validity.rule)
            && place.lead.exchange == exchange
        {
            place.validity = Some(validity);
            place.answer.clear();
            place.answer.extend_from_slice(answer);
        }
    }

    /// Not if somebody else is at it; nor after a panic, for what is half
    /// written might be believed.
    fn look(&self) -> Option<MutexGuard<'_, Memory>> {
        self.0.try_lock().ok()
    }
}

impl Memory {
    /// Whether the head has come before, as far as can be told from a number:
    /// one that is mistaken for another is remembered the first time.
    fn has_seen(&mut self, head: &[u8]) -> bool {
        if self.seen.is_empty() {
            self.seen = Box::new([0; SEEN]);
        }
        let number = mix_in(0, head);
        let seen = &mut self.seen[number as usize % SEEN];
        std::mem::replace(seen, number) == number
    }

    /// Where a head can be remembered: the next place in turn, unless its head
    /// came again meanwhile. That one is asked once more before it goes.
    fn free_place(&mut self) -> Option<usize> {
        let place = self.next;
        self.next = (place + 1) % MOST;
        let used = self.places.get_mut(place).map(|kept| &mut kept.used);
        let is_wanted = used.is_some_and(std::mem::take);
        (!is_wanted).then_some(place)
    }

    fn ticket(&self, place: usize) -> Ticket {
        Ticket {
            place: place as u8,
            number: self.places[place].number,
        }
    }

    /// The place of a ticket, unless it was given away since.
    fn place(&mut self, ticket: Ticket) -> Option<&mut Place> {
        let place = self.places.get_mut(usize::from(ticket.place))?;
        (place.number == ticket.number).then_some(place)
    }
}

#[cfg(test)]
mod tests;
