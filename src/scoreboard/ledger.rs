//! The ledger: what is known of a pool beyond its workers, an entry a pool.
//!
//! The master alone writes it. It owes every reader, in whatever process, that
//! what is counted never goes back and is never more than was: when a worker is
//! reaped, what its rows have counted moves into the entry's *sums*, and a
//! reader must find it in the rows or in the sums, never in both, never in none.
//!
//! For that an entry has its sums twice, and one word, the *seal*, says which of
//! them hold and which worker's rows do not count any more:
//!
//! ```text
//!            sums A  sums B   seal              rows of the worker
//!   before     900      ?     A                 100
//!   1.         900   1000     A                 100
//!   2.         900   1000     B, not its rows   100
//!   3.         900   1000     B, not its rows   0
//!   4.         900   1000     B                 0, and free for the next one
//! ```
//!
//! At each moment the seal tells the truth, so a master that dies between two
//! steps leaves nothing wrong and nobody waiting. A reader looks at the seals
//! before and after; where one has changed meanwhile it begins anew.

use super::{Cause, Counter, Row, text};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Pools of which the ledger can tell.
pub const MAX_LEDGER: usize = 256;
/// For how many causes a client is turned away.
pub const SHED_CAUSES: usize = 6;
/// Words of an entry, in cache lines of its own.
pub(super) const ENTRY: usize = 160;

/// Where things stand in an entry.
mod field {
    use super::Sums;

    pub(super) const SEAL: usize = 0;
    pub(super) const RANK: usize = 1;
    pub(super) const GENERATION: usize = 2;
    pub(super) const WANTED: usize = 3;
    pub(super) const READY: usize = 4;
    pub(super) const MOST: usize = 5;
    pub(super) const BREAKER: usize = 6;
    pub(super) const QUEUE: usize = 7;
    pub(super) const RATES: usize = 8;
    pub(super) const INBOX: usize = 12;
    pub(super) const DROPPED: usize = 13;
    pub(super) const IDENTITY: std::ops::Range<usize> = 16..48;
    pub(super) const SUMS: usize = 48;
    pub(super) const SHED: usize = SUMS + 2 * Sums::COUNT;
    pub(super) const SHEDDING: usize = SHED + 2 * super::SHED_CAUSES;
    pub(super) const END: usize = SHEDDING + 1;
}

const _: () = assert!(field::END <= ENTRY);

/// What is summed up of a pool: what its workers had counted, how many were
/// forked, and what they died of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// As many as there are counters, in their order.
    pub counters: [u64; Counter::COUNT],
    /// Workers forked.
    pub spawned: u64,
    /// Deaths, in the order of their causes.
    pub deaths: [u64; Cause::COUNT],
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            counters: [0; Counter::COUNT],
            spawned: 0,
            deaths: [0; Cause::COUNT],
        }
    }
}

impl Sums {
    const COUNT: usize = Counter::COUNT + 1 + Cause::COUNT;

    /// How many there were of it.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// How many died of it.
    pub fn died(&self, cause: Cause) -> u64 {
        self.deaths[cause as usize]
    }

    /// Adds what a row has counted.
    pub fn add_row(&mut self, row: Row) {
        for (sum, counter) in self.counters.iter_mut().zip(Counter::ALL) {
            *sum = sum.wrapping_add(row.count(counter));
        }
    }

    /// Adds others.
    pub fn add(&mut self, more: &Self) {
        for (sum, more) in self.words_mut().zip(more.words()) {
            *sum = sum.wrapping_add(more);
        }
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        let all = self.counters.iter().chain([&self.spawned]);
        all.chain(&self.deaths).copied()
    }

    fn words_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        let all = self.counters.iter_mut().chain([&mut self.spawned]);
        all.chain(&mut self.deaths)
    }
}

/// The word that says what holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal(u64);

impl Seal {
    const SECOND: u64 = 1;
    const FOLDED: u64 = 2;
    const LEFT_OUT: u32 = 2;
    /// Room for the number of a row, and for none.
    const LEFT_OUT_MASK: u64 = 0xff_ffff;
    const VERSION: u32 = 26;

    const fn second(self) -> bool {
        self.0 & Self::SECOND != 0
    }

    /// Whether the sums hold what another master's ledger has of this pool.
    pub(super) const fn is_folded(self) -> bool {
        self.0 & Self::FOLDED != 0
    }

    /// The first row of the worker whose rows do not count.
    pub(super) fn left_out(self) -> Option<usize> {
        let row = self.0 >> Self::LEFT_OUT & Self::LEFT_OUT_MASK;
        row.checked_sub(1).map(|row| row as usize)
    }

    /// The seal after this one.
    const fn next(self, second: bool, folded: bool, left_out: Option<usize>) -> Self {
        let row = match left_out {
            Some(row) => row as u64 + 1,
            None => 0,
        };
        let version = (self.0 >> Self::VERSION).wrapping_add(1) << Self::VERSION;
        let mut flags = if second { Self::SECOND } else { 0 };
        if folded {
            flags |= Self::FOLDED;
        }
        Self(version | row << Self::LEFT_OUT | flags)
    }
}

/// What a pool is, and how it stands, but for what is counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Its place among the pools that are shown, from 1; 0 where it is not.
    pub rank: u64,
    /// Its generation.
    pub generation: u32,
    /// How many workers it wants.
    pub wanted: usize,
    /// How many serve.
    pub ready: usize,
    /// The most it may have.
    pub most: usize,
    /// The word for its breaker, eight octets at most.
    pub breaker: String,
    /// Connections that wait to be accepted, and how many may.
    pub queue: Option<(u32, u32)>,
    /// Octets of memory of datagrams that wait to be received, and how many may.
    pub inbox: Option<(u32, u32)>,
    /// Datagrams that were lost for want of room there.
    pub dropped: u64,
    /// Connections, requests, octets received and sent, a second.
    pub rates: [f64; 4],
}

/// What of a pool hardly ever changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its name, cut so that all fits into 240 octets.
    pub name: String,
    /// What a connection gets.
    pub service: String,
    /// How its workers spend themselves.
    pub model: String,
    /// Whose the listening sockets are.
    pub accept: String,
}

/// The entry of one pool.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub(super) words: &'static [AtomicU64],
}

/// Clients that a pool has turned away at the door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doorkeeping {
    /// By cause.
    pub shed: [u64; SHED_CAUSES],
    /// Those who would have been, by cause.
    pub spared: [u64; SHED_CAUSES],
    /// Whether it does so now.
    pub shedding: bool,
}

impl Doorkeeping {
    /// With what came later.
    #[must_use]
    pub fn and(&self, later: &Self) -> Self {
        let sum = |one: &[u64; SHED_CAUSES], other: &[u64; SHED_CAUSES]| {
            std::array::from_fn(|cause| one[cause].wrapping_add(other[cause]))
        };
        Self {
            shed: sum(&self.shed, &later.shed),
            spared: sum(&self.spared, &later.spared),
            shedding: later.shedding,
        }
    }
}

impl Entry {
    /// Gives the entry to a pool of which nothing is known yet. `folded` if what
    /// another master has counted for a pool of the name is not this one's.
    pub fn open(&self, folded: bool) {
        let seal = self.seal();
        self.store(field::RANK, 0);
        self.write_sums(!seal.second(), &Sums::default());
        self.set_seal(seal.next(!seal.second(), folded, None));
    }

    /// Says what it is.
    pub fn set_identity(&self, identity: &Identity) {
        let Identity {
            name,
            service,
            model,
            accept,
        } = identity;
        let others = format!("{service}\n{model}\n{accept}\n");
        let room = (field::IDENTITY.len() - text::HEAD) * 8;
        let cut = name.floor_char_boundary(room.saturating_sub(others.len()));
        let words = &self.words[field::IDENTITY];
        text::write(words, format!("{others}{}", &name[..cut]).as_bytes());
    }

    /// What [`Entry::set_identity`] said; empty where the master died over it.
    pub fn identity(&self) -> Identity {
        let text = text::read_patiently(&self.words[field::IDENTITY]);
        let mut parts = text.splitn(4, '\n').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let (service, model, accept) = (next(), next(), next());
        Identity {
            name: next(),
            service,
            model,
            accept,
        }
    }

    /// Says how it stands.
    pub fn set_facts(&self, facts: &Facts) {
        self.store(field::GENERATION, u64::from(facts.generation));
        self.store(field::WANTED, facts.wanted as u64);
        self.store(field::READY, facts.ready as u64);
        self.store(field::MOST, facts.most as u64);
        let mut breaker = [0; 8];
        for (place, octet) in breaker.iter_mut().zip(facts.breaker.bytes()) {
            *place = octet;
        }
        self.store(field::BREAKER, u64::from_ne_bytes(breaker));
        for (at, pair) in [(field::QUEUE, facts.queue), (field::INBOX, facts.inbox)] {
            let (waiting, most) = pair.unwrap_or_default();
            self.store(at, u64::from(waiting) << 32 | u64::from(most));
        }
        self.store(field::DROPPED, facts.dropped);
        for (index, rate) in facts.rates.into_iter().enumerate() {
            self.store(field::RATES + index, rate.to_bits());
        }
        self.store(field::RANK, facts.rank);
    }

    /// Says that it is not shown.
    pub fn hide(&self) {
        self.store(field::RANK, 0);
    }

    /// What [`Entry::set_facts`] said.
    pub fn facts(&self) -> Facts {
        let breaker = self.load(field::BREAKER).to_ne_bytes();
        let breaker = breaker.split(|octet| *octet == 0).next();
        let pair = |at| {
            let pair = self.load(at);
            (pair as u32 > 0).then_some(((pair >> 32) as u32, pair as u32))
        };
        Facts {
            rank: self.load(field::RANK),
            generation: self.load(field::GENERATION) as u32,
            wanted: self.load(field::WANTED) as usize,
            ready: self.load(field::READY) as usize,
            most: self.load(field::MOST) as usize,
            breaker: String::from_utf8_lossy(breaker.unwrap_or_default()).into_owned(),
            queue: pair(field::QUEUE),
            inbox: pair(field::INBOX),
            dropped: self.load(field::DROPPED),
            rates: [0, 1, 2, 3].map(|index| f64::from_bits(self.load(field::RATES + index))),
        }
    }

    /// Changes the sums. For the master.
    pub fn change(&self, change: impl FnOnce(&mut Sums)) {
        let seal = self.seal();
        self.replace(seal, seal.is_folded(), None, change);
    }

    /// Takes in what another master has summed up of this pool: nobody adds it
    /// any more.
    pub fn fold(&self, other: &Sums) {
        self.replace(self.seal(), true, None, |sums| sums.add(other));
    }

    /// Moves what the rows of a worker have counted into the sums, with what
    /// `change` adds, and clears them: they are free. `first` is the number of
    /// the first of `rows`, which are as the worker left them. For the master.
    pub fn settle(&self, first: usize, rows: &[Row], change: impl FnOnce(&mut Sums)) {
        self.take_in(first, rows, change);
        rows.iter().for_each(Row::clear);
        let seal = self.seal();
        self.set_seal(seal.next(seal.second(), seal.is_folded(), None));
    }

    /// The first half of a settlement: the sums have it, and the rows do not count.
    pub(super) fn take_in(&self, first: usize, rows: &[Row], change: impl FnOnce(&mut Sums)) {
        let seal = self.seal();
        self.replace(seal, seal.is_folded(), Some(first), |sums| {
            rows.iter().for_each(|row| sums.add_row(*row));
            change(sums);
        });
    }

    /// The sums that hold, for the master; a reader goes through [`super::View`].
    pub fn sums(&self) -> Sums {
        self.read_sums(self.seal())
    }

    pub(super) fn seal(&self) -> Seal {
        Seal(self.words[field::SEAL].load(Ordering::Acquire))
    }

    /// The sums that hold by `seal`, if that is the one at the end, too.
    pub(super) fn read_sums(&self, seal: Seal) -> Sums {
        let mut sums = Sums::default();
        let start = Self::place(seal.second());
        for (index, sum) in sums.words_mut().enumerate() {
            *sum = self.load(start + index);
        }
        sums
    }

    fn replace(
        &self,
        seal: Seal,
        folded: bool,
        left_out: Option<usize>,
        change: impl FnOnce(&mut Sums),
    ) {
        let mut sums = self.read_sums(seal);
        change(&mut sums);
        self.write_sums(!seal.second(), &sums);
        self.set_seal(seal.next(!seal.second(), folded, left_out));
    }

    fn write_sums(&self, second: bool, sums: &Sums) {
        let start = Self::place(second);
        for (index, sum) in sums.words().enumerate() {
            self.store(start + index, sum);
        }
    }

    /// What was written before is seen by whoever sees the seal; and who sees
    /// what is written after it sees it too.
    fn set_seal(&self, seal: Seal) {
        self.words[field::SEAL].store(seal.0, Ordering::Release);
        fence(Ordering::Release);
    }

    const fn place(second: bool) -> usize {
        field::SUMS + second as usize * Sums::COUNT
    }

    /// Says whom the pool has turned away.
    pub fn set_doorkeeping(&self, door: &Doorkeeping) {
        for (index, count) in door.shed.iter().chain(&door.spared).enumerate() {
            self.store(field::SHED + index, *count);
        }
        self.store(field::SHEDDING, u64::from(door.shedding));
    }

    /// Whom it has turned away.
    pub fn doorkeeping(&self) -> Doorkeeping {
        let count = |index: usize| self.load(field::SHED + index);
        Doorkeeping {
            shed: std::array::from_fn(count),
            spared: std::array::from_fn(|index| count(SHED_CAUSES + index)),
            shedding: self.load(field::SHEDDING) != 0,
        }
    }

    fn load(&self, at: usize) -> u64 {
        self.words[at].load(Ordering::Relaxed)
    }

    fn store(&self, at: usize, value: u64) {
        self.words[at].store(value, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Scoreboard;
    use super::*;

    #[test]
    fn an_entry_gives_back_what_was_written() {
        let entry = Scoreboard::new().unwrap().table().entry(7);
        let mut identity = Identity {
            name: String::from("web"),
            service: String::from("http"),
            model: String::from("prefork"),
            accept: String::from("reuseport"),
        };
        entry.set_identity(&identity);
        assert_eq!(entry.identity(), identity);
        // What is too long loses its end, and never half a letter.
        identity.name = "ä".repeat(200);
        entry.set_identity(&identity);
        let cut = entry.identity();
        assert!(identity.name.starts_with(&cut.name) && cut.name.len() > 190);
        assert_eq!(cut.accept, "reuseport");
        for (queue, dropped) in [(None, 0), (Some((0, 511)), 7), (Some((512, 511)), u64::MAX)] {
            let facts = Facts {
                rank: 2,
                generation: 9,
                wanted: 4,
                ready: 3,
                most: 4096,
                breaker: String::from("probing"),
                queue,
                inbox: queue.map(|(waiting, most)| (waiting * 3, most * 5)),
                dropped,
                rates: [0.5, 1.5, 2.5e9, 0.0],
            };
            entry.set_facts(&facts);
            assert_eq!(entry.facts(), facts);
        }
        entry.hide();
        assert_eq!(entry.facts().rank, 0);
    }

    #[test]
    fn an_entry_that_is_opened_again_begins_anew() {
        let entry = Scoreboard::new().unwrap().table().entry(0);
        entry.open(false);
        entry.change(|sums| sums.counters.fill(5));
        entry.change(|sums| sums.deaths[Cause::Hung as usize] += 1);
        assert_eq!(entry.sums().count(Counter::Killed), 5);
        assert_eq!(entry.sums().died(Cause::Hung), 1);
        let before = entry.seal();
        entry.open(true);
        assert_eq!(entry.sums(), Sums::default());
        assert!(entry.seal().is_folded() && entry.seal() != before);
        assert_eq!(entry.seal().left_out(), None);
    }
}
