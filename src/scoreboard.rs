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
//!  words: │ header │ board 0 │ board 1 │ … │ row 0 │ row 1 │ row 2 │ …
//!                    a board a cohort        a run of rows a worker
//! ```
//!
//! A *board* belongs to a cohort (a pool in one generation): a bit for each
//! slot that is idle, and what the master tells all its workers. A bit cannot
//! drift as a counter would: when a worker dies, the master clears its bit. A
//! worker has one row, or one for each of its threads, or one for itself and
//! one for each of its children: a *lane* each.

use crate::sys::memory;
use nix::sys::eventfd::EventFd;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The whole table, as the master made it and every worker inherits it.
#[derive(Clone, Debug)]
pub struct Scoreboard {
    words: &'static [AtomicU64],
    memory: Arc<OwnedFd>,
    epoch: Instant,
    bell: Arc<EventFd>,
}

/// Words of the header: which layout this is, and from when time is counted.
const HEADER: usize = 64;
/// Changes whenever a word changes its place or its meaning.
const LAYOUT: u64 = 0x7072_6566_6f72_0001;
/// All of them.
const WORDS: usize = HEADER + BOARD * MAX_BOARDS + ROW * MAX_ROWS;
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

/// What a row says its lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// Waiting for a connection.
    Idle,
    /// Waiting for, or taking in, a request.
    Reading,
    /// Sending.
    Writing,
    /// Between two requests of one connection.
    KeepAlive,
    /// Closing in stages.
    Closing,
    /// Serving several connections at once (event) or none itself (fork).
    Serving,
}

impl RowState {
    const ALL: [Self; 6] = [
        Self::Idle,
        Self::Reading,
        Self::Writing,
        Self::KeepAlive,
        Self::Closing,
        Self::Serving,
    ];

    /// The word for titles, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Reading => "reading",
            Self::Writing => "writing",
            Self::KeepAlive => "keep-alive",
            Self::Closing => "closing",
            Self::Serving => "serving",
        }
    }
}

/// The counters of a row; each only grows while its worker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Connections accepted.
    Connections,
    /// Requests begun.
    Requests,
    /// Octets received.
    Received,
    /// Octets sent.
    Sent,
}

impl Counter {
    /// Every counter, in the order of the row.
    pub const ALL: [Self; 4] = [
        Self::Connections,
        Self::Requests,
        Self::Received,
        Self::Sent,
    ];

    /// The word for status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

/// Where things stand in the header.
mod header_field {
    pub(super) const LAYOUT: usize = 0;
    pub(super) const EPOCH: usize = 1;
    pub(super) const ROWS: usize = 2;
}

/// Where things stand in a row.
mod field {
    pub(super) const PID: usize = 0;
    pub(super) const READY: usize = 1;
    pub(super) const STATE: usize = 2;
    pub(super) const SINCE: usize = 3;
    pub(super) const TICK: usize = 4;
    pub(super) const DEADLINE: usize = 5;
    pub(super) const ACTIVE: usize = 6;
    pub(super) const PEER_KIND: usize = 7;
    pub(super) const PEER_HIGH: usize = 8;
    pub(super) const PEER_LOW: usize = 9;
    pub(super) const LAST_OWNER: usize = 10;
    pub(super) const WISH: usize = 11;
    pub(super) const REOPENED: usize = 12;
    pub(super) const PLACE: usize = 13;
    pub(super) const GENERATION: usize = 14;
    pub(super) const COUNTERS: usize = 16;
    pub(super) const TEXT_VERSION: usize = 32;
    pub(super) const TEXT_LENGTH: usize = 33;
    pub(super) const TEXT: usize = 34;
    pub(super) const TEXT_WORDS: usize = 12;
}

impl Scoreboard {
    /// A new table with a bell that workers ring for the master.
    ///
    /// # Errors
    /// Where the kernel has no memory or descriptor for it.
    pub fn new() -> io::Result<Self> {
        use nix::sys::eventfd::EfdFlags;
        let (words, memory) = memory::shared_words("preforkd-scoreboard", WORDS)?;
        let epoch = Instant::now();
        words[header_field::LAYOUT].store(LAYOUT, Ordering::Relaxed);
        words[header_field::EPOCH].store(monotonic()?, Ordering::Relaxed);
        Ok(Self {
            words,
            memory: Arc::new(memory),
            epoch,
            bell: Arc::new(EventFd::from_value_and_flags(
                0,
                EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
            )?),
        })
    }

    /// Board number `index`, which must be below [`MAX_BOARDS`].
    pub fn board(&self, index: usize) -> Board {
        let start = HEADER + index % MAX_BOARDS * BOARD;
        Board {
            words: &self.words[start..start + BOARD],
            bell: Arc::clone(&self.bell),
        }
    }

    /// Row number `index`, which must be below [`MAX_ROWS`].
    pub fn row(&self, index: usize) -> Row {
        row(self.words, self.epoch, index)
    }

    /// Notes that rows below `end` have been in use: to look at others would
    /// cost memory, page by page. For the master.
    pub fn note_rows(&self, end: usize) {
        self.words[header_field::ROWS].fetch_max(end as u64, Ordering::Relaxed);
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

/// The table of another master, to be read.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    words: &'static [AtomicU64],
    epoch: Instant,
}

impl Inherited {
    /// Maps the memory of another master.
    ///
    /// # Errors
    /// EINVAL for one that is laid out in another way; or as mmap(2).
    pub fn open(memory: &OwnedFd) -> io::Result<Self> {
        let words = memory::words_of(memory, WORDS)?;
        if words[header_field::LAYOUT].load(Ordering::Relaxed) != LAYOUT {
            return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
        }
        let then = words[header_field::EPOCH].load(Ordering::Relaxed);
        let age = Duration::from_nanos(monotonic()?.saturating_sub(then));
        let now = Instant::now();
        Ok(Self {
            words,
            epoch: now.checked_sub(age).unwrap_or(now),
        })
    }

    /// The first rows of its workers, as far as they are taken.
    pub fn workers(&self) -> impl Iterator<Item = Row> {
        let end = self.words[header_field::ROWS].load(Ordering::Relaxed) as usize;
        let rows = (0..end.min(MAX_ROWS)).map(|index| row(self.words, self.epoch, index));
        rows.filter(|row| row.is_ready() && row.pid() != 0)
    }
}

fn row(words: &'static [AtomicU64], epoch: Instant, index: usize) -> Row {
    let start = HEADER + MAX_BOARDS * BOARD + index % MAX_ROWS * ROW;
    Row {
        words: &words[start..start + ROW],
        epoch,
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

/// One lane's row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    words: &'static [AtomicU64],
    epoch: Instant,
}

impl Row {
    /// Empties the row. For the master, before a spawn and after a reap.
    pub fn clear(&self) {
        for word in self.words {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Notes whose row it is: the `pool`th pool of its generation, and the slot
    /// there. For the master, before a spawn, and for whoever follows it.
    pub fn assign(&self, generation: u32, pool: usize, slot: usize) {
        self.store(field::PLACE, (pool as u64) << 32 | slot as u64);
        self.store(field::GENERATION, u64::from(generation));
    }

    /// What [`Row::assign`] noted: generation, pool, slot.
    pub fn assignment(&self) -> (u32, usize, usize) {
        let place = self.load(field::PLACE);
        let generation = self.load(field::GENERATION) as u32;
        (generation, (place >> 32) as usize, place as u32 as usize)
    }

    /// Writes who occupies the row.
    pub fn occupy(&self, pid: u32) {
        self.store(field::PID, u64::from(pid));
    }

    /// The process id of the lane, 0 where nobody is in it.
    pub fn pid(&self) -> u32 {
        self.load(field::PID) as u32
    }

    /// The worker serves from now on.
    pub fn set_ready(&self) {
        self.words[field::READY].store(1, Ordering::Release);
    }

    /// Whether the worker said that it serves.
    pub fn is_ready(&self) -> bool {
        self.words[field::READY].load(Ordering::Acquire) != 0
    }

    /// The worker has served as much as it may and asks for a successor.
    pub fn ask_for_successor(&self) {
        self.words[field::WISH].store(1, Ordering::Release);
    }

    /// Whether the worker asked for a successor.
    pub fn wants_successor(&self) -> bool {
        self.words[field::WISH].load(Ordering::Acquire) != 0
    }

    /// Tells the worker, before it is told to retire, of which listeners it is
    /// among the last owners: bit N is its Nth one. Nobody else will take what
    /// waits in their queues. The master's one word in a worker's row.
    pub fn make_last_owner(&self, listeners: u64) {
        self.words[field::LAST_OWNER].store(listeners, Ordering::SeqCst);
    }

    /// What [`Row::make_last_owner`] said.
    pub fn last_owner_of(&self) -> u64 {
        self.words[field::LAST_OWNER].load(Ordering::SeqCst)
    }

    /// Where the worker notes which reopening of logs it has done: its signal
    /// handler does, which can have nothing but the word itself.
    pub fn reopened(&self) -> &'static AtomicU64 {
        &self.words[field::REOPENED]
    }

    /// What the lane does from `now` on.
    pub fn set_state(&self, state: RowState, now: Instant) {
        self.store(field::STATE, state as u64);
        self.store(field::SINCE, self.stamp(now));
    }

    /// What the lane does, and for how long it has, seen from `now`.
    pub fn state(&self, now: Instant) -> (RowState, Duration) {
        let state = RowState::ALL
            .get(self.load(field::STATE) as usize)
            .copied()
            .unwrap_or(RowState::Idle);
        (state, self.age(self.load(field::SINCE), now))
    }

    /// A sign of life.
    pub fn tick(&self, now: Instant) {
        self.store(field::TICK, self.stamp(now));
    }

    /// How long ago the last sign of life was.
    pub fn since_tick(&self, now: Instant) -> Duration {
        self.age(self.load(field::TICK), now)
    }

    /// Until when what the lane does may last; `None`: it may last for ever.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.store(field::DEADLINE, deadline.map_or(0, |at| self.stamp(at)));
    }

    /// How long ago the lane should have moved on; `None` where it may wait for
    /// ever, or is still in time.
    pub fn overdue(&self, now: Instant) -> Option<Duration> {
        let deadline = self.load(field::DEADLINE);
        let overdue = self.age(deadline, now);
        (deadline > 0 && !overdue.is_zero()).then_some(overdue)
    }

    /// How many connections are open.
    pub fn set_active(&self, connections: u64) {
        self.store(field::ACTIVE, connections);
    }

    /// How many connections are open.
    pub fn active(&self) -> u64 {
        self.load(field::ACTIVE)
    }

    /// Adds to a counter; only the row's one writer may.
    pub fn add(&self, counter: Counter, amount: u64) {
        let at = field::COUNTERS + counter as usize;
        self.store(at, self.load(at).wrapping_add(amount));
    }

    /// Reads a counter.
    pub fn count(&self, counter: Counter) -> u64 {
        self.load(field::COUNTERS + counter as usize)
    }

    /// Whom the lane serves; `None` for nobody, or for a unix socket's peer.
    pub fn set_peer(&self, peer: Option<SocketAddr>) {
        let (kind, high, low) = match peer {
            None => (0, 0, 0),
            Some(address) => {
                let (kind, bits) = match address.ip() {
                    IpAddr::V4(ip) => (4, u128::from(ip.to_bits())),
                    IpAddr::V6(ip) => (6, ip.to_bits()),
                };
                (
                    kind | u64::from(address.port()) << 8,
                    (bits >> 64) as u64,
                    bits as u64,
                )
            }
        };
        self.store(field::PEER_KIND, kind);
        self.store(field::PEER_HIGH, high);
        self.store(field::PEER_LOW, low);
    }

    /// Whom the lane serves.
    pub fn peer(&self) -> Option<SocketAddr> {
        let kind = self.load(field::PEER_KIND);
        let (high, low) = (self.load(field::PEER_HIGH), self.load(field::PEER_LOW));
        let ip = match kind & 0xff {
            4 => IpAddr::V4((low as u32).into()),
            6 => IpAddr::V6((u128::from(high) << 64 | u128::from(low)).into()),
            _ => return None,
        };
        Some(SocketAddr::new(ip, (kind >> 8) as u16))
    }

    /// What is being worked on, e.g. `GET /a.iso`; cut at 96 octets.
    ///
    /// The version is odd while the text is being written, so that a reader
    /// never takes half of one text and half of another for a third.
    pub fn set_text(&self, text: &[u8]) {
        let version = self.load(field::TEXT_VERSION);
        self.store(field::TEXT_VERSION, version.wrapping_add(1));
        std::sync::atomic::fence(Ordering::Release);
        let text = &text[..text.len().min(field::TEXT_WORDS * 8)];
        for (index, chunk) in text.chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.store(field::TEXT + index, u64::from_ne_bytes(bytes));
        }
        self.store(field::TEXT_LENGTH, text.len() as u64);
        self.words[field::TEXT_VERSION].store(version.wrapping_add(2), Ordering::Release);
    }

    /// What was last worked on; empty where a text is just being written, or
    /// was left half-written by a death.
    pub fn text(&self) -> String {
        let before = self.words[field::TEXT_VERSION].load(Ordering::Acquire);
        let length = (self.load(field::TEXT_LENGTH) as usize).min(field::TEXT_WORDS * 8);
        let words = &self.words[field::TEXT..field::TEXT + field::TEXT_WORDS];
        let bytes: Vec<u8> = words
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .take(length)
            .collect();
        std::sync::atomic::fence(Ordering::Acquire);
        if before % 2 == 1 || self.load(field::TEXT_VERSION) != before {
            return String::new();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn load(&self, at: usize) -> u64 {
        self.words[at].load(Ordering::Relaxed)
    }

    fn store(&self, at: usize, value: u64) {
        self.words[at].store(value, Ordering::Relaxed);
    }

    fn stamp(&self, at: Instant) -> u64 {
        // 0 means "none" where a moment may be missing.
        (at.saturating_duration_since(self.epoch).as_nanos() as u64).max(1)
    }

    fn age(&self, stamp: u64, now: Instant) -> Duration {
        Duration::from_nanos(self.stamp(now).saturating_sub(stamp))
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
    fn a_row_gives_back_what_was_written() {
        let board = Scoreboard::new().unwrap();
        let row = board.row(7);
        let now = Instant::now();
        for peer in [
            None,
            Some("127.0.0.1:80".parse().unwrap()),
            Some("[2001:db8::1]:65535".parse().unwrap()),
        ] {
            row.set_peer(peer);
            assert_eq!(row.peer(), peer);
        }
        row.set_text(b"GET /a.iso");
        assert_eq!(row.text(), "GET /a.iso");
        row.set_text(&[b'x'; 200]);
        assert_eq!(row.text().len(), 96);
        for state in RowState::ALL {
            row.set_state(state, now);
            assert_eq!(
                row.state(now + Duration::from_secs(3)),
                (state, Duration::from_secs(3))
            );
        }
        row.add(Counter::Sent, 5);
        row.add(Counter::Sent, 6);
        assert_eq!(row.count(Counter::Sent), 11);
        assert_eq!(board.row(8).pid(), 0);
    }

    #[test]
    fn another_master_reads_whose_rows_they_are() {
        let board = Scoreboard::new().unwrap();
        let row = board.row(3);
        row.assign(7, 1, 20);
        row.occupy(4711);
        row.set_ready();
        row.set_state(RowState::Writing, Instant::now());
        let memory = board.memory().try_clone_to_owned().unwrap();
        let inherited = Inherited::open(&memory).unwrap();
        assert_eq!(inherited.workers().count(), 0, "no row was noted");
        board.note_rows(4);
        let found: Vec<Row> = inherited.workers().collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].pid(), found[0].assignment()), (4711, (7, 1, 20)));
        let (state, since) = found[0].state(Instant::now());
        assert!(state == RowState::Writing && since < Duration::from_secs(5));
        let other = tempfile::tempfile().unwrap();
        assert!(Inherited::open(&other.into()).is_err());
    }

    #[test]
    fn a_text_cut_off_by_a_death_reads_as_empty() {
        let row = Scoreboard::new().unwrap().row(0);
        row.set_text(b"whole");
        row.words[field::TEXT_VERSION].fetch_add(1, Ordering::Relaxed);
        assert_eq!(row.text(), "");
    }

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
