//! The header: what the master says of itself.

use super::Table;
use super::text;
use crate::status::{MasterState, Readiness};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where things stand in it. Which layout this is, and from when time is counted.
pub(super) const LAYOUT: usize = 0;
pub(super) const EPOCH: usize = 1;
/// Up to where rows and entries have been in use.
pub(super) const ROWS: usize = 2;
pub(super) const ENTRIES: usize = 3;
/// Whether the ledger of the master before is in this one's.
pub(super) const FOLDED: usize = 4;
/// Whether another master's table is the one to look at.
const ELSEWHERE: usize = 5;
const PID: usize = 8;
const GENERATION: usize = 9;
const STATE: usize = 10;
const READINESS: usize = 11;
const STARTED: usize = 12;
const RELOADS: usize = 13;
const RELOADS_REFUSED: usize = 14;
const QUEUE_DROPPED: usize = 15;
const RELOAD_REFUSED: usize = 16;
const LISTENING: Range<usize> = 64..WORDS;
/// All of it.
pub(super) const WORDS: usize = 1024;

/// What the master says of itself, but for where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Master {
    /// Its process id.
    pub pid: u32,
    /// The generation that serves; 0 before the first does.
    pub generation: u32,
    /// What it is about.
    pub state: MasterState,
    /// Whether new clients are welcome, as [`Table::proclaim`] said.
    pub readiness: Readiness,
    /// When it, or the first one whose place it took, was started: seconds
    /// since 1970.
    pub started: u64,
    /// Reloads that took effect since then.
    pub reloads: u64,
    /// Reloads that were refused and changed nothing.
    pub reloads_refused: u64,
    /// The last one that was asked for was: it does not run what its file says.
    pub reload_refused: bool,
    /// Clients that were lost in queues that were closed.
    pub queue_dropped: u64,
}

impl Table {
    /// Says how the master stands, but for its readiness. For the master.
    pub fn set_master(&self, master: &Master) {
        let state = MasterState::ALL.iter().position(|one| *one == master.state);
        self.put(PID, u64::from(master.pid));
        self.put(GENERATION, u64::from(master.generation));
        self.put(STATE, state.unwrap_or_default() as u64);
        self.put(STARTED, master.started);
        self.put(RELOADS, master.reloads);
        self.put(RELOADS_REFUSED, master.reloads_refused);
        self.put(RELOAD_REFUSED, u64::from(master.reload_refused));
        self.put(QUEUE_DROPPED, master.queue_dropped);
    }

    /// What [`Table::set_master`] said.
    pub fn master(&self) -> Master {
        let state = self.get(STATE) as usize;
        Master {
            pid: self.get(PID) as u32,
            generation: self.get(GENERATION) as u32,
            state: MasterState::ALL
                .get(state)
                .copied()
                .unwrap_or(MasterState::Running),
            readiness: self.readiness(),
            started: self.get(STARTED),
            reloads: self.get(RELOADS),
            reloads_refused: self.get(RELOADS_REFUSED),
            reload_refused: self.get(RELOAD_REFUSED) != 0,
            queue_dropped: self.get(QUEUE_DROPPED),
        }
    }

    /// Whether new clients are welcome, from now on. For the master.
    pub fn proclaim(&self, readiness: Readiness) {
        self.put(READINESS, readiness as u64);
    }

    /// What [`Table::proclaim`] said: one word, for who asks often.
    pub fn readiness(&self) -> Readiness {
        let known = Readiness::ALL.get(self.get(READINESS) as usize);
        known.copied().unwrap_or_default()
    }

    /// Says whether another master's table is the one to look at: two that serve
    /// at once, as in an upgrade, cannot both tell what has been counted. For the
    /// master.
    pub fn set_elsewhere(&self, is_elsewhere: bool) {
        self.words[ELSEWHERE].store(u64::from(is_elsewhere), Ordering::Release);
    }

    /// What [`Table::set_elsewhere`] said.
    pub fn is_elsewhere(&self) -> bool {
        self.words[ELSEWHERE].load(Ordering::Acquire) != 0
    }

    /// Says where it listens; cut at 7,664 octets. For the master.
    pub fn set_listening(&self, text: &str) {
        text::write(&self.words[LISTENING], text.as_bytes());
    }

    /// What [`Table::set_listening`] said; empty where the master died over it.
    pub fn listening(&self) -> String {
        text::read_patiently(&self.words[LISTENING])
    }

    fn put(&self, at: usize, value: u64) {
        let word: &AtomicU64 = &self.words[at];
        word.store(value, Ordering::Relaxed);
    }

    fn get(&self, at: usize) -> u64 {
        self.words[at].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Scoreboard;
    use super::*;

    #[test]
    fn the_header_gives_back_what_was_written() {
        let table = Scoreboard::new().unwrap().table();
        let words = Readiness::ALL.into_iter().cycle();
        for (state, readiness) in MasterState::ALL.into_iter().zip(words) {
            let master = Master {
                pid: 4711,
                generation: 3,
                state,
                readiness,
                started: 1_795_271_000,
                reloads: 2,
                reloads_refused: 1,
                reload_refused: state == MasterState::Running,
                queue_dropped: 9,
            };
            table.set_master(&master);
            table.proclaim(readiness);
            assert_eq!((table.master(), table.readiness()), (master, readiness));
        }
        assert!(!table.is_elsewhere());
        table.set_elsewhere(true);
        assert!(table.is_elsewhere());
        table.set_listening("web 127.0.0.1:80");
        assert_eq!(table.listening(), "web 127.0.0.1:80");
        table.set_listening(&"x".repeat(10_000));
        assert_eq!(table.listening().len(), 7664);
    }
}
