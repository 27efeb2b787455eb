//! A row: what one lane says of itself.

use super::counter::Counter;
use super::text;
use crate::status::Phase;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    /// A program that accepts for itself, and does not say what it does.
    Program,
    /// A program has the connection: what it does is not for us to see.
    Session,
}

impl RowState {
    const ALL: [Self; 8] = [
        Self::Idle,
        Self::Reading,
        Self::Writing,
        Self::KeepAlive,
        Self::Closing,
        Self::Serving,
        Self::Program,
        Self::Session,
    ];

    /// The word for titles, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Reading => "reading",
            Self::Writing => "writing",
            Self::KeepAlive => "keep-alive",
            Self::Closing => "closing",
            Self::Serving | Self::Program | Self::Session => "serving",
        }
    }
}

/// Whose a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pool's entry in the ledger.
    pub entry: usize,
    /// The worker's slot.
    pub slot: usize,
    /// Its generation.
    pub generation: u32,
    /// How many rows it has, this one and those that follow.
    pub rows: usize,
}

impl Place {
    fn seat(self) -> u64 {
        (self.entry as u64 + 1) << 32 | self.slot as u64
    }

    fn life(self, phase: Phase) -> u64 {
        let rows = (self.rows as u64 & 0xff_ffff) << 32;
        (phase as u64) << 56 | rows | u64::from(self.generation)
    }
}

/// How a deadline stands: one of the two is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// So long it is in the future.
    pub left: Duration,
    /// So long it is in the past.
    pub over: Duration,
}

/// Where things stand in a row.
mod field {
    pub(super) const PID: usize = 0;
    /// What the worker has said once: a bit each.
    pub(super) const SAID: usize = 1;
    pub(super) const STATE: usize = 2;
    pub(super) const SINCE: usize = 3;
    pub(super) const TICK: usize = 4;
    pub(super) const DEADLINE: usize = 5;
    pub(super) const ACTIVE: usize = 6;
    pub(super) const PEER_KIND: usize = 7;
    pub(super) const PEER_HIGH: usize = 8;
    pub(super) const PEER_LOW: usize = 9;
    pub(super) const LAST_OWNER: usize = 10;
    pub(super) const REOPENED: usize = 11;
    /// Slot, and entry of the ledger.
    pub(super) const PLACE: usize = 12;
    /// Generation, rows of the worker, and phase.
    pub(super) const LIFE: usize = 13;
    pub(super) const SPAWNED: usize = 14;
    pub(super) const TEXT: std::ops::Range<usize> = 15..COUNTERS;
    /// To the end of the row.
    pub(super) const COUNTERS: usize = 29;
}

/// It serves.
const READY: u64 = 1;
/// It asks for a successor.
const WORN: u64 = 2;

const _: () = assert!(field::COUNTERS + Counter::COUNT <= super::ROW);
const _: () = assert!(super::MAX_ROWS <= 0xff_ffff && super::MAX_LEDGER < 1 << 31);

/// More connections than a process can have descriptors (an `int` each).
const MOST_ACTIVE: u64 = i32::MAX as u64;

/// One lane's row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub(super) words: &'static [AtomicU64],
    pub(super) epoch: Instant,
}

impl Row {
    /// Empties the row. For the master, before a spawn and after a reap.
    pub fn clear(&self) {
        for word in self.words {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Empties the row but for what was counted, which goes on with whoever
    /// comes next. For a worker, in the rows of its children.
    pub fn vacate(&self) {
        for word in &self.words[..field::COUNTERS] {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Notes in the first row of a worker whose rows these are. For the master,
    /// just before it forks it.
    pub fn assign(&self, place: Place, spawned: Instant) {
        self.store(field::SPAWNED, self.stamp(spawned));
        self.store(field::LIFE, place.life(Phase::Starting));
        // From here on a reader takes the row for that of a worker.
        self.words[field::PLACE].store(place.seat(), Ordering::Release);
    }

    /// What [`Row::assign`] noted; `None` where this is no worker's first row.
    pub fn place(&self) -> Option<Place> {
        let place = self.words[field::PLACE].load(Ordering::Acquire);
        let life = self.load(field::LIFE);
        let entry = (place >> 32).checked_sub(1)?;
        Some(Place {
            entry: entry as usize,
            slot: place as u32 as usize,
            generation: life as u32,
            rows: (life >> 32 & 0xff_ffff) as usize,
        })
    }

    /// How far the worker is in its life, of which [`Row::assign`] told; that too
    /// is told again, for a sick worker may have written over it. For the master.
    pub fn set_phase(&self, place: Place, phase: Phase) {
        self.store(field::LIFE, place.life(phase));
        self.words[field::PLACE].store(place.seat(), Ordering::Release);
    }

    /// What [`Row::set_phase`] said.
    pub fn phase(&self) -> Phase {
        let index = (self.load(field::LIFE) >> 56) as usize;
        Phase::ALL.get(index).copied().unwrap_or(Phase::Gone)
    }

    /// For how long the worker has been there.
    pub fn lifetime(&self, now: Instant) -> Duration {
        self.age(self.load(field::SPAWNED), now)
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
        self.words[field::SAID].fetch_or(READY, Ordering::Release);
    }

    /// Whether the worker said that it serves.
    pub fn is_ready(&self) -> bool {
        self.words[field::SAID].load(Ordering::Acquire) & READY != 0
    }

    /// The worker has served as much as it may and asks for a successor.
    pub fn ask_for_successor(&self) {
        self.words[field::SAID].fetch_or(WORN, Ordering::Release);
    }

    /// Whether the worker asked for a successor.
    pub fn wants_successor(&self) -> bool {
        self.words[field::SAID].load(Ordering::Acquire) & WORN != 0
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

    /// How long the lane has until it should move on, and how long ago it should
    /// have; `None` where it may wait for ever.
    pub fn deadline(&self, now: Instant) -> Option<Remaining> {
        let deadline = self.load(field::DEADLINE);
        let left = deadline.saturating_sub(self.stamp(now));
        (deadline > 0).then(|| Remaining {
            left: Duration::from_nanos(left),
            over: self.age(deadline, now),
        })
    }

    /// How many connections are open.
    pub fn set_active(&self, connections: u64) {
        self.store(field::ACTIVE, connections);
    }

    /// How many connections are open; none where the row says more than a process
    /// can have, for then it was scribbled over. So this can be added up.
    pub fn active(&self) -> u64 {
        let active = self.load(field::ACTIVE);
        if active <= MOST_ACTIVE { active } else { 0 }
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

    /// How many connections have begun and not ended; a lane that is dead took
    /// these along.
    pub fn unfinished(&self) -> u64 {
        let ended = Counter::CLOSES.iter().map(|reason| self.count(*reason));
        let ended = ended.fold(0, u64::wrapping_add);
        self.count(Counter::Connections).saturating_sub(ended)
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
    #[inline]
    pub fn set_text(&self, text: &[u8]) {
        text::write(&self.words[field::TEXT], text);
    }

    /// Nothing is being worked on any more; what was stays there for
    /// [`Row::last_text`].
    pub fn set_text_aside(&self) {
        text::set_aside(&self.words[field::TEXT]);
    }

    /// What is being worked on; empty where a text is just being written, or was
    /// left half-written by a death.
    pub fn text(&self) -> String {
        let words = &self.words[field::TEXT];
        if text::is_aside(words) {
            return String::new();
        }
        self.last_text()
    }

    /// What was last worked on, if that is over as well; empty where
    /// [`Row::text`] is for another reason.
    pub fn last_text(&self) -> String {
        let text = text::read(&self.words[field::TEXT]).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Scoreboard;
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
        row.set_text_aside();
        row.set_text_aside();
        assert_eq!(
            (row.text().as_str(), row.last_text().as_str()),
            ("", "GET /a.iso")
        );
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
        for counter in Counter::ALL {
            row.add(counter, 7);
        }
        assert_eq!(row.count(Counter::Killed), 7);
        assert_eq!(row.text().len(), 96, "counters have words of their own");
        assert_eq!(row.unfinished(), 0, "more ends than beginnings: scribbled");
        assert_eq!(board.row(8).pid(), 0);
    }

    #[test]
    fn a_text_cut_off_by_a_death_reads_as_empty() {
        let row = Scoreboard::new().unwrap().row(0);
        row.set_text(b"whole");
        row.words[field::TEXT.start].fetch_add(1, Ordering::Relaxed);
        assert_eq!(row.text(), "");
    }
}
