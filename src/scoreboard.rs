//! The scoreboard: one table in shared memory for all pools and generations.
//!
//! A worker writes what it does into rows of its own; the master and anyone
//! else reads. Nothing is ever locked, nothing in it is a pointer, and every
//! word is an atomic, so a reader may see a row between two stores but never
//! anything it must not see. One writer a row at a time: a row belongs to the
//! worker from its spawn until its death, and to the master before and after.
//! The master trusts nothing it reads here: a sick worker can scribble.
//!
//! ```text
//!  words: │ header │ board 0 │ board 1 │ … │ entry 0 │ … │ row 0 │ row 1 │ row 2 │ …
//!                    a board a cohort        an entry a    a run of rows a worker
//!                                            pool: the
//!                                            ledger
//! ```
//!
//! A *board* belongs to a cohort (a pool in one generation): a bit for each
//! slot that is idle, and what the master tells all its workers. A bit cannot
//! drift as a counter would: when a worker dies, the master clears its bit. A
//! worker has one row, or one for each of its threads, or one for itself and
//! one for each of its children: a *lane* each.
//!
//! Header and *ledger* are the master's, for whoever looks: how it stands, and
//! what pools have counted whose workers are gone. [`View`] reads it all.

mod cause;
mod counter;
mod header;
mod ledger;
mod row;
mod text;
mod view;

pub use cause::Cause;
pub use counter::Counter;
pub use header::Master;
pub use ledger::{Doorkeeping, Entry, Facts, Identity, MAX_LEDGER, SHED_CAUSES, Sums};
pub use row::{Place, Remaining, Row, RowState};
pub use view::{Count, Counted, Table, View};

use crate::sys::memory;
use nix::sys::eventfd::EventFd;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The whole table, as the master made it and every worker inherits it.
#[derive(Clone, Debug)]
pub struct Scoreboard {
    table: Table,
    memory: Arc<OwnedFd>,
    bell: Arc<EventFd>,
}

/// Changes whenever a word changes its place or its meaning.
const LAYOUT: u64 = 0x7072_6566_6f72_0003;
/// All of them.
const WORDS: usize = ROWS + ROW * MAX_ROWS;
/// Where the parts begin.
const BOARDS: usize = header::WORDS;
const LEDGER: usize = BOARDS + BOARD * MAX_BOARDS;
const ROWS: usize = LEDGER + ledger::ENTRY * MAX_LEDGER;
/// Words of a row; a power of two of cache lines, so that rows never share one.
const ROW: usize = 64;
/// Words of a board: 64 of flags and settings, then the idle bits.
const BOARD: usize = 128;
const IDLE_WORDS: usize = MAX_SLOTS / 64;
const IDLE_BITS: usize = 64;

/// Slots a cohort can have.
pub const MAX_SLOTS: usize = 4096;
/// Cohorts that can exist at once.
pub const MAX_BOARDS: usize = 256;
/// Rows in all: workers, threads and children.
pub const MAX_ROWS: usize = 65_536;

impl Scoreboard {
    /// A new table with a bell that workers ring for the master.
    ///
    /// # Errors
    /// Where the kernel has no memory or descriptor for it.
    pub fn new() -> io::Result<Self> {
        use nix::sys::eventfd::EfdFlags;
        let (words, memory) = memory::shared_words("preforkd-scoreboard", WORDS)?;
        let epoch = Instant::now();
        words[header::LAYOUT].store(LAYOUT, Ordering::Relaxed);
        words[header::EPOCH].store(monotonic()?, Ordering::Relaxed);
        Ok(Self {
            table: Table { words, epoch },
            memory: Arc::new(memory),
            bell: Arc::new(EventFd::from_value_and_flags(
                0,
                EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
            )?),
        })
    }

    /// Board number `index`, which must be below [`MAX_BOARDS`].
    pub fn board(&self, index: usize) -> Board {
        let start = BOARDS + index % MAX_BOARDS * BOARD;
        Board {
            words: &self.table.words[start..start + BOARD],
            bell: Arc::clone(&self.bell),
        }
    }

    /// Row number `index`, which must be below [`MAX_ROWS`].
    pub fn row(&self, index: usize) -> Row {
        self.table.row(index)
    }

    /// What there is to read.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Notes that rows below `end` have been in use: to look at others would
    /// cost memory, page by page. For the master.
    pub fn note_rows(&self, end: usize) {
        self.table.words[header::ROWS].fetch_max(end as u64, Ordering::Relaxed);
    }

    /// Notes that entries of the ledger below `end` have been in use. For the
    /// master, once there is something to read.
    pub fn note_entries(&self, end: usize) {
        self.table.words[header::ENTRIES].fetch_max(end as u64, Ordering::Release);
    }

    /// The memory, to be passed on to the next master.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// The bell: readable when a worker wants the master to look.
    pub fn bell(&self) -> &EventFd {
        &self.bell
    }
}

fn row(words: &'static [AtomicU64], epoch: Instant, index: usize) -> Row {
    let start = ROWS + index % MAX_ROWS * ROW;
    Row {
        words: &words[start..start + ROW],
        epoch,
    }
}

fn entry(words: &'static [AtomicU64], index: usize) -> Entry {
    let start = LEDGER + index % MAX_LEDGER * ledger::ENTRY;
    Entry {
        words: &words[start..start + ledger::ENTRY],
    }
}

/// Nanoseconds on the clock that every process shares (clock_gettime(2)).
fn monotonic() -> io::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    let now = Duration::from(now);
    Ok(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// What a cohort's workers and the master tell each other.
#[derive(Clone, Debug)]
pub struct Board {
    words: &'static [AtomicU64],
    bell: Arc<EventFd>,
}

/// Where things stand in a board.
mod board_field {
    pub(super) const MIN_SPARE: usize = 0;
    pub(super) const SLOTS: usize = 1;
    pub(super) const ASKED: usize = 2;
}

impl Board {
    /// Prepares the board for a cohort of at most `slots`, whose workers ring
    /// when fewer than `min_spare` of them are idle (0: never). For the master.
    pub fn reset(&self, slots: usize, min_spare: u32) {
        for word in self.words {
            word.store(0, Ordering::Relaxed);
        }
        self.words[board_field::SLOTS].store(slots.min(MAX_SLOTS) as u64, Ordering::Relaxed);
        self.words[board_field::MIN_SPARE].store(u64::from(min_spare), Ordering::Release);
    }

    /// The worker in `slot` waits for a connection.
    pub fn set_idle(&self, slot: usize) {
        let (word, bit) = self.bit(slot);
        word.fetch_or(bit, Ordering::Relaxed);
    }

    /// The worker in `slot` does not wait any more. If it took the last spare
    /// place it rings the master, once until the master has looked.
    pub fn set_busy(&self, slot: usize) {
        let (word, bit) = self.bit(slot);
        word.fetch_and(!bit, Ordering::SeqCst);
        let spare = self.words[board_field::MIN_SPARE].load(Ordering::Relaxed);
        if spare > 0
            && (self.idle() as u64) < spare
            && self.words[board_field::ASKED].swap(1, Ordering::SeqCst) == 0
        {
            self.ring();
        }
    }

    /// Whether the worker in `slot` waits for a connection.
    pub fn is_idle(&self, slot: usize) -> bool {
        let (word, bit) = self.bit(slot);
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// How many workers wait for a connection.
    pub fn idle(&self) -> u32 {
        let slots = self.words[board_field::SLOTS].load(Ordering::Relaxed) as usize;
        let words = slots.div_ceil(64).min(IDLE_WORDS);
        let bits = &self.words[IDLE_BITS..IDLE_BITS + words];
        bits.iter()
            .map(|word| word.load(Ordering::SeqCst).count_ones())
            .sum()
    }

    /// The master is about to look: the next worker to run short rings again.
    pub fn look(&self) {
        self.words[board_field::ASKED].store(0, Ordering::SeqCst);
    }

    /// Wakes the master.
    pub fn ring(&self) {
        // The only failure is a counter at its brim: a bell that is ringing.
        let _ = self.bell.write(1);
    }

    /// The bell's descriptor, for a worker that must keep it.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn bit(&self, slot: usize) -> (&AtomicU64, u64) {
        let slot = slot % MAX_SLOTS;
        (&self.words[IDLE_BITS + slot / 64], 1 << (slot % 64))
    }
}

/// Which runs of rows are free. For the master alone.
#[derive(Debug)]
pub struct RowAllocator {
    /// Free runs as (first, length), in order, never two that touch.
    free: Vec<(usize, usize)>,
}

impl Default for RowAllocator {
    fn default() -> Self {
        Self {
            free: vec![(0, MAX_ROWS)],
        }
    }
}

impl RowAllocator {
    /// For so many of another kind.
    pub fn with_room(count: usize) -> Self {
        Self {
            free: vec![(0, count)],
        }
    }

    /// The longest run that is free.
    pub fn longest(&self) -> usize {
        let lengths = self.free.iter().map(|&(_, length)| length);
        lengths.max().unwrap_or(0)
    }

    /// Takes a run of `count` rows: the first that is long enough.
    pub fn take(&mut self, count: usize) -> Option<usize> {
        let at = self.free.iter().position(|&(_, length)| length >= count)?;
        let (first, length) = self.free[at];
        if length == count {
            self.free.remove(at);
        } else {
            self.free[at] = (first + count, length - count);
        }
        Some(first)
    }

    /// Gives back the run of `count` rows at `first`.
    pub fn give_back(&mut self, first: usize, count: usize) {
        let at = self.free.partition_point(|&(start, _)| start < first);
        self.free.insert(at, (first, count));
        if at + 1 < self.free.len() && first + count == self.free[at + 1].0 {
            self.free[at].1 += self.free.remove(at + 1).1;
        }
        if at > 0 && self.free[at - 1].0 + self.free[at - 1].1 == first {
            self.free[at - 1].1 += self.free.remove(at).1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_that_takes_the_last_spare_place_rings_once() {
        let scoreboard = Scoreboard::new().unwrap();
        let board = scoreboard.board(3);
        board.reset(100, 2);
        for slot in [0, 64, 99] {
            board.set_idle(slot);
        }
        assert_eq!(board.idle(), 3);
        board.set_busy(64);
        assert!(scoreboard.bell().read().is_err(), "two are idle: enough");
        board.set_busy(0);
        board.set_busy(99);
        assert_eq!(
            scoreboard.bell().read(),
            Ok(1),
            "one ring until the master looks"
        );
        board.look();
        board.set_idle(0);
        board.set_busy(0);
        assert_eq!(scoreboard.bell().read(), Ok(1));
    }

    #[test]
    fn rows_given_back_can_be_taken_again_in_one_run() {
        let mut rows = RowAllocator::default();
        let runs: Vec<_> = (0..4).map(|_| rows.take(MAX_ROWS / 4).unwrap()).collect();
        assert_eq!(rows.take(1), None);
        for first in [runs[2], runs[0], runs[3], runs[1]] {
            rows.give_back(first, MAX_ROWS / 4);
        }
        assert_eq!(rows.take(MAX_ROWS), Some(0));
    }
}
