//! Who is in: what the workers of a pool have written down of their connections,
//! in memory that they share.
//!
//! ```text
//!  words: │ head │ directory │ buckets │ shard │ shard │ … │
//! ```
//!
//! A *shard* is what one worker has: nobody else writes to it while the worker
//! lives, and the master clears it when it is dead. The *directory* names the
//! shards, so that whoever counts finds them. There is a register a pool, not a
//! generation: connections that an old one finishes count like the others.
//!
//! A worker with one connection a lane has an *entry* for each lane, two words:
//!
//! ```text
//!  │ address: tag, asks or is in │ network: tag │
//! ```
//!
//! One with many in a loop has a table of numbers by tag, and one entry for whoever
//! asks. A tag is in one of two sets of eight words; each set is a cache line, so to
//! count an address costs two lines a worker, however many connections there are.
//!
//! ```text
//!  │ total │ entry │ … │   │ tag, number │ × 8 │ × sets
//! ```
//!
//! Of two sources with the same tag (once in 2^41) each counts for the other. Where
//! both its sets have no word for a tag, the connection counts in the total alone:
//! there are four words for each connection that the worker may have, so that comes
//! to pass only where the memory was not enough for that.

mod table;

use super::bucket::{self, Buckets, Pace};
use super::episode::Head;
use super::source::Claim;
use super::verdict::{Bounds, Cause, Counts, Tally, Verdict, judge};
use crate::mix::mix;
use crate::sys::memory;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Instant;
use table::{number, put_in, take_out};

/// The register of a pool, as the master made it and every worker inherits it.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    words: &'static [AtomicU64],
    epoch: Instant,
}

/// How a worker writes down whom it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// So many lanes, each with one connection.
    Lanes(usize),
    /// One lane with many: so many sets.
    Sets(usize),
}

/// What one worker has.
#[derive(Clone, Copy, Debug)]
pub struct Shard {
    register: Register,
    /// Its place in the directory.
    index: usize,
    /// Its first line.
    first: usize,
    shape: Shape,
}

/// Where the parts begin.
const DIRECTORY: usize = super::episode::WORDS;
const BUCKETS: usize = DIRECTORY + MAX_SHARDS;
const ARENA: usize = BUCKETS + bucket::WORDS;
const WORDS: usize = ARENA + MAX_LINES * LINE;

/// Shards at once: twice as many as a cohort has slots.
pub const MAX_SHARDS: usize = 8192;
/// Lines of all shards together: 64 MiB, of which only those are real memory that
/// were ever written to.
pub const MAX_LINES: usize = 1 << 20;
/// Words of a cache line.
const LINE: usize = 8;
/// Words of an entry.
const ENTRY: usize = 2;

/// In a line of their own, before the sets: the number of connections, and the
/// entry of who asks.
const TOTAL: usize = 0;
const ASKS: usize = 2;

/// A word is a tag and what is said of it.
const TAG: u32 = 22;
const SAID: u64 = (1 << TAG) - 1;
/// The tag of who is not told apart.
const ANYBODY: u64 = 1;
/// Of an entry: it asks …
const PROVISIONAL: u64 = 1;
/// … or it is in.
const SURE: u64 = 2;

/// How often who meets others that ask at the same moment tries again.
const TRIES: usize = 32;

impl Shape {
    /// For a worker that may have so many connections at once in one lane, each
    /// counted under so many tags; no more than `lines`.
    pub fn table(connections: usize, tags: usize, lines: usize) -> Self {
        let words = connections.saturating_mul(tags).saturating_mul(2);
        let sets = words.div_ceil(LINE).max(1).next_power_of_two();
        let most = lines.saturating_sub(1).max(1);
        let most = 1 << most.ilog2();
        Self::Sets(sets.min(most))
    }

    /// Lines that it takes.
    pub const fn lines(self) -> usize {
        match self {
            Self::Lanes(lanes) => (lanes * ENTRY).div_ceil(LINE),
            Self::Sets(sets) => 1 + sets,
        }
    }

    /// As the directory has it: never 0.
    const fn pack(self, first: usize) -> u64 {
        let (kind, number) = match self {
            Self::Lanes(lanes) => (1, lanes),
            Self::Sets(sets) => (2, sets),
        };
        kind << 62 | (number as u64) << 32 | first as u64
    }

    fn unpack(word: u64) -> Option<(Self, usize)> {
        let number = (word >> 32 & 0x3fff_ffff) as usize;
        let first = word as u32 as usize;
        let shape = match word >> 62 {
            1 => Self::Lanes(number),
            2 if number.is_power_of_two() => Self::Sets(number),
            _ => return None,
        };
        // A sick worker can scribble.
        let fits = first.checked_add(shape.lines())? <= MAX_LINES;
        fits.then_some((shape, first))
    }
}

impl Register {
    /// An empty one.
    ///
    /// # Errors
    /// Where the kernel has no memory for it.
    pub fn new() -> io::Result<Self> {
        let (words, _) = memory::shared_words("preforkd-register", WORDS)?;
        Ok(Self {
            words,
            epoch: Instant::now(),
        })
    }

    /// A moment in microseconds, as the register has it.
    pub fn stamp(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Whom it turned away, and when.
    pub fn head(&self) -> Head {
        Head::new(&self.words[..DIRECTORY])
    }

    /// Whether a source may come at `now`.
    pub fn is_slow(&self, source: u64, pace: Pace, now: Instant) -> bool {
        let buckets = Buckets::new(&self.words[BUCKETS..ARENA]);
        buckets.admit(source, pace, self.stamp(now))
    }

    /// Makes a shard, place `index` of the directory, from line `first` on: both
    /// are free. For the master.
    pub fn open(&self, index: usize, first: usize, shape: Shape) -> Shard {
        let shard = Shard {
            register: *self,
            index: index % MAX_SHARDS,
            first,
            shape,
        };
        let word = shape.pack(first);
        self.words[DIRECTORY + shard.index].store(word, Ordering::Release);
        self.head().note_shards(shard.index + 1);
        shard
    }

    /// Forgets all that was noted. For the master, once nobody else has it.
    pub fn clear(&self) {
        for word in &self.words[..ARENA] {
            // A page that nobody touched stays none.
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
    }

    /// How many connections are in; for tests and whoever looks.
    pub fn total(&self) -> u32 {
        self.count(Claim::default(), None).sure.total
    }

    /// Counts over all shards, but for what `own` points to.
    fn count(&self, claim: Claim, own: Option<&AtomicU64>) -> Tally {
        let mut count = Count::new(claim, own);
        let shards = self.head().shards().min(MAX_SHARDS);
        for word in &self.words[DIRECTORY..DIRECTORY + shards] {
            // What it names was written before.
            let word = word.load(Ordering::Acquire);
            let Some((shape, first)) = Shape::unpack(word) else {
                continue;
            };
            let words = self.lines(first, shape);
            match shape {
                Shape::Lanes(_) => count.entries(words),
                Shape::Sets(sets) => {
                    // Who comes in is noted below before it is gone here.
                    count.entries(&words[ASKS..ASKS + ENTRY]);
                    count.table(words, sets);
                }
            }
        }
        count.tally()
    }

    fn lines(&self, first: usize, shape: Shape) -> &'static [AtomicU64] {
        let start = ARENA + first * LINE;
        &self.words[start..start + shape.lines() * LINE]
    }
}

/// A count under way.
struct Count<'o> {
    address: u64,
    network: u64,
    claim: Claim,
    own: Option<&'o AtomicU64>,
    sure: Counts,
    asking: Counts,
}

impl<'o> Count<'o> {
    fn new(claim: Claim, own: Option<&'o AtomicU64>) -> Self {
        Self {
            address: tag(claim.address),
            network: tag(claim.network),
            claim,
            own,
            sure: Counts::default(),
            asking: Counts::default(),
        }
    }

    fn entries(&mut self, words: &[AtomicU64]) {
        for entry in words.chunks_exact(ENTRY) {
            let said = entry[0].load(Ordering::Acquire);
            if said == 0 || self.own.is_some_and(|own| std::ptr::eq(own, &entry[0])) {
                continue;
            }
            let counts = if said & SAID == SURE {
                &mut self.sure
            } else {
                &mut self.asking
            };
            counts.total += 1;
            if self.address != 0 && said >> TAG == self.address {
                counts.address += 1;
            }
            if self.network != 0 && entry[1].load(Ordering::Relaxed) >> TAG == self.network {
                counts.network += 1;
            }
        }
    }

    fn table(&mut self, words: &[AtomicU64], sets: usize) {
        let most = SAID as u32;
        let total = words[TOTAL].load(Ordering::Acquire).min(u64::from(most)) as u32;
        self.sure.total = self.sure.total.saturating_add(total);
        let Claim { address, network } = self.claim;
        let counts = &mut self.sure;
        counts.address = counts.address.saturating_add(number(words, sets, address));
        counts.network = counts.network.saturating_add(number(words, sets, network));
    }

    fn tally(self) -> Tally {
        let sum = |one: u32, other: u32| one.saturating_add(other);
        let Self { sure, asking, .. } = self;
        Tally {
            sure,
            with_others: Counts {
                total: sum(sure.total, asking.total),
                address: sum(sure.address, asking.address),
                network: sum(sure.network, asking.network),
            },
        }
    }
}

impl Shard {
    /// Takes a place for whoever comes next, in lane `entry`; answers whether there
    /// is one.
    pub fn reserve(&self, entry: usize, bounds: &Bounds) -> bool {
        let nobody = Claim::default();
        let bounds = bounds.of_all();
        let shed = self.ask(entry, nobody, &bounds, 0, (None, 0));
        if shed.is_none() {
            // It is taken, whoever asks meanwhile.
            self.write(entry, nobody, SURE);
        } else {
            self.leave(entry);
        }
        shed.is_none()
    }

    /// Gives back what was [reserved](Shard::reserve).
    pub fn leave(&self, entry: usize) {
        self.entry(entry)[0].store(0, Ordering::Release);
    }

    /// Lets in who stands behind `claim`, in lane `entry`, or says why not. With
    /// `anyway` it comes in all the same; where its place was `reserved`, that is
    /// not counted again. `claim` is what [`Shard::release`] must be given.
    pub fn admit(
        &self,
        entry: usize,
        claim: &mut Claim,
        bounds: &Bounds,
        (anyway, reserved): (bool, bool),
        chance: u32,
    ) -> Option<Cause> {
        let total = if reserved { 0 } else { bounds.total };
        let bounds = Bounds { total, ..*bounds };
        let kept = reserved.then(Claim::default);
        let shed = self.ask(entry, *claim, &bounds, chance, (kept, 0));
        if shed.is_some() && !anyway {
            self.leave(entry);
            return shed;
        }
        match self.shape {
            Shape::Lanes(_) => self.write(entry, *claim, SURE),
            Shape::Sets(sets) => {
                let words = self.words();
                self.enter(words, sets, claim);
                let total = words[TOTAL].load(Ordering::Relaxed);
                words[TOTAL].store(total + 1, Ordering::Release);
                // Whoever looks here first finds it there.
                self.leave(entry);
            }
        }
        shed
    }

    /// Who was let in as anybody is now known to be behind `claim`; otherwise as
    /// [`Shard::admit`]. Who may not stay keeps the place until it is released.
    pub fn rename(
        &self,
        entry: usize,
        before: Claim,
        claim: &mut Claim,
        bounds: &Bounds,
        anyway: bool,
        chance: u32,
    ) -> Option<Cause> {
        let bounds = bounds.of_source();
        let there = match self.shape {
            Shape::Lanes(_) => (Some(before), 0),
            // It is in the table.
            Shape::Sets(_) => (None, 1),
        };
        let shed = self.ask(entry, *claim, &bounds, chance, there);
        let stays = shed.is_none() || anyway;
        if !stays {
            *claim = before;
        }
        match self.shape {
            Shape::Lanes(_) => self.write(entry, *claim, SURE),
            Shape::Sets(sets) => {
                let words = self.words();
                if stays {
                    self.enter(words, sets, claim);
                    take_out(words, sets, before.address);
                    take_out(words, sets, before.network);
                }
                self.leave(entry);
            }
        }
        shed
    }

    /// The connection is over.
    pub fn release(&self, entry: usize, claim: Claim) {
        match self.shape {
            Shape::Lanes(_) => self.leave(entry),
            Shape::Sets(sets) => {
                let words = self.words();
                let total = words[TOTAL].load(Ordering::Relaxed);
                words[TOTAL].store(total.saturating_sub(1), Ordering::Release);
                take_out(words, sets, claim.address);
                take_out(words, sets, claim.network);
            }
        }
    }

    /// The worker is dead: nothing of it counts any more. For the master.
    pub fn close(self) {
        self.register.words[DIRECTORY + self.index].store(0, Ordering::Release);
        for word in self.words() {
            // A page that nobody touched stays none.
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
        fence(Ordering::Release);
    }

    /// Its place in the directory, its first line, and how many lines it has.
    pub fn place(&self) -> (usize, usize, usize) {
        (self.index, self.first, self.shape.lines())
    }

    /// Announces who asks, counts, and judges. Who goes back for a moment is then
    /// what it was before, if it was somebody: its place is `kept`. So many of those
    /// that are counted, `itself`, are who asks.
    fn ask(
        &self,
        entry: usize,
        claim: Claim,
        bounds: &Bounds,
        chance: u32,
        (kept, itself): (Option<Claim>, u32),
    ) -> Option<Cause> {
        if bounds.is_empty() {
            return None;
        }
        let mut tries = 0;
        loop {
            self.write(entry, claim, PROVISIONAL);
            // Of two who ask, one at least sees the other.
            fence(Ordering::SeqCst);
            let own = &self.entry(entry)[0];
            let mut tally = self.register.count(claim, Some(own));
            for counts in [&mut tally.sure, &mut tally.with_others] {
                counts.total = counts.total.saturating_sub(itself);
            }
            match judge(bounds, &tally, chance) {
                Verdict::Admit => return None,
                Verdict::Shed(cause) => return Some(cause),
                Verdict::Again(cause) if tries == TRIES => return Some(cause),
                Verdict::Again(_) => {
                    match kept {
                        Some(before) => self.write(entry, before, SURE),
                        None => self.leave(entry),
                    }
                    tries += 1;
                    // Not all at the same pace, for then they meet again.
                    let spins = mix(self.index as u64 ^ (tries as u64) << 32) % 64;
                    (0..spins).for_each(|_| std::hint::spin_loop());
                    std::thread::yield_now();
                }
            }
        }
    }

    fn write(&self, entry: usize, claim: Claim, said: u64) {
        let words = self.entry(entry);
        words[1].store(tag(claim.network) << TAG, Ordering::Relaxed);
        let address = match tag(claim.address) {
            0 => ANYBODY,
            tag => tag,
        };
        words[0].store(address << TAG | said, Ordering::Release);
    }

    /// Notes a connection in the table. Where there is no room for a tag, it is not
    /// counted under it.
    fn enter(&self, words: &[AtomicU64], sets: usize, claim: &mut Claim) {
        for source in [&mut claim.address, &mut claim.network] {
            if *source != 0 && !put_in(words, sets, *source) {
                *source = 0;
            }
        }
    }

    fn words(&self) -> &'static [AtomicU64] {
        self.register.lines(self.first, self.shape)
    }

    fn entry(&self, entry: usize) -> &'static [AtomicU64] {
        let at = match self.shape {
            Shape::Lanes(lanes) => entry % lanes.max(1) * ENTRY,
            Shape::Sets(_) => ASKS,
        };
        &self.words()[at..at + ENTRY]
    }
}

const fn tag(source: u64) -> u64 {
    source >> TAG
}

#[cfg(test)]
mod tests;
