//! How the table is read: by the master, by its workers for their status pages,
//! and by the master that comes after.

use super::ledger::{Entry, MAX_LEDGER, Seal, Sums};
use super::{Counter, LAYOUT, MAX_ROWS, Row, WORDS, entry, header, monotonic, row};
use crate::sys::memory;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

/// The words of one master, as anybody reads them.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub(super) words: &'static [AtomicU64],
    pub(super) epoch: Instant,
}

/// What a worker has counted so far.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// In whose table.
    pub table: Table,
    /// The number of its first row there.
    pub first: usize,
    /// How many rows it has.
    pub rows: usize,
    /// Its pool's entry there.
    pub entry: usize,
    /// Connections accepted.
    pub connections: u64,
    /// Requests begun.
    pub requests: u64,
    /// Octets received.
    pub received: u64,
    /// Octets sent.
    pub sent: u64,
}

/// Everything that is counted, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// By entry: what the pool has counted, workers that are gone included.
    pub sums: Vec<Sums>,
    /// The workers, in the order of their rows; those of the master before last.
    pub workers: Vec<Counted>,
}

/// How often a reader begins anew.
const TRIES: usize = 300;

impl Table {
    /// Maps the memory of another master, to read it.
    ///
    /// # Errors
    /// EINVAL for one that is laid out in another way; or as mmap(2).
    pub fn inherit(memory: &OwnedFd) -> io::Result<Self> {
        let words = memory::words_of(memory, WORDS)?;
        if words[header::LAYOUT].load(Ordering::Relaxed) != LAYOUT {
            return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
        }
        let then = words[header::EPOCH].load(Ordering::Relaxed);
        let age = Duration::from_nanos(monotonic()?.saturating_sub(then));
        let now = Instant::now();
        Ok(Self {
            words,
            epoch: now.checked_sub(age).unwrap_or(now),
        })
    }

    /// Row number `index`, which must be below [`MAX_ROWS`].
    pub fn row(&self, index: usize) -> Row {
        row(self.words, self.epoch, index)
    }

    /// Entry number `index` of the ledger, which must be below [`MAX_LEDGER`].
    pub fn entry(&self, index: usize) -> Entry {
        entry(self.words, index)
    }

    /// How many entries have been in use.
    pub fn entries(&self) -> usize {
        let count = self.words[header::ENTRIES].load(Ordering::Acquire);
        (count as usize).min(MAX_LEDGER)
    }

    /// The entry of the pool of this name.
    pub fn entry_named(&self, name: &str) -> Option<usize> {
        (0..self.entries()).find(|index| self.entry(*index).identity().name == name)
    }

    /// Rows from `first` on, as far as there are some.
    pub fn rows(&self, first: usize, count: usize) -> impl Iterator<Item = Row> + use<> {
        let table = *self;
        (first..first.saturating_add(count).min(MAX_ROWS)).map(move |index| table.row(index))
    }

    fn seals(&self) -> Vec<Seal> {
        (0..self.entries())
            .map(|index| self.entry(index).seal())
            .collect()
    }

    /// Sums up by these seals.
    fn sweep(&self, seals: &[Seal]) -> Count {
        let sums = seals.iter().enumerate();
        let sums = sums.map(|(index, seal)| self.entry(index).read_sums(*seal));
        let mut count = Count {
            sums: sums.collect(),
            workers: Vec::new(),
        };
        let noted = self.words[header::ROWS].load(Ordering::Relaxed) as usize;
        let end = noted.min(MAX_ROWS);
        let mut at = 0;
        while at < end {
            let Some(place) = self.row(at).place() else {
                at += 1;
                continue;
            };
            // Nobody's rows lie within another's, whatever a sick worker wrote.
            let others = (at + 1..end).take(place.rows.saturating_sub(1));
            let rows = 1 + others
                .take_while(|index| self.row(*index).place().is_none())
                .count();
            let first = at;
            at += rows;
            let Some(seal) = seals.get(place.entry) else {
                continue;
            };
            if seal.left_out() == Some(first) {
                continue;
            }
            let mut own = Sums::default();
            self.rows(first, rows).for_each(|row| own.add_row(row));
            count.sums[place.entry].add(&own);
            count.workers.push(Counted {
                table: *self,
                first,
                rows,
                entry: place.entry,
                connections: own.count(Counter::Connections),
                requests: own.count(Counter::Requests),
                received: own.count(Counter::Received),
                sent: own.count(Counter::Sent),
            });
        }
        count
    }
}

/// The table of the master, and that of the one before it, whose workers finish
/// what they have.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The master's own.
    pub own: Table,
    /// The one before, if there was one that writes as this one does.
    pub before: Option<Table>,
}

impl View {
    /// Counts everything. What it finds is never less than what whoever counted
    /// before found, nor more than there was. `None` where workers die so fast,
    /// all the time, that no moment holds still: then somebody may ask again.
    pub fn count(&self) -> Option<Count> {
        let heirs = self.inheritance();
        (0..TRIES).find_map(|_| self.try_to_count(&heirs))
    }

    fn try_to_count(&self, heirs: &[Option<usize>]) -> Option<Count> {
        let seals = self.own.seals();
        let before = self.before.filter(|_| !self.is_folded());
        let before = before.map(|table| (table, table.seals()));
        let mut count = self.own.sweep(&seals);
        if let Some((table, old)) = &before {
            let found = table.sweep(old);
            for ((sums, seal), heir) in count.sums.iter_mut().zip(&seals).zip(heirs) {
                let more = heir.and_then(|heir| found.sums.get(heir));
                if let Some(more) = more.filter(|_| !seal.is_folded()) {
                    sums.add(more);
                }
            }
            count.workers.extend(found.workers);
        }
        // What was read is from before this; see Entry::set_seal.
        fence(Ordering::Acquire);
        let still = |table: Table, seals: &[Seal]| {
            let mut all = seals.iter().enumerate();
            all.all(|(index, seal)| table.entry(index).seal() == *seal)
        };
        let calm =
            still(self.own, &seals) && before.is_none_or(|(table, seals)| still(table, &seals));
        calm.then_some(count)
    }

    /// The entries of the master before that go on in ours.
    fn inheritance(&self) -> Vec<Option<usize>> {
        let before = self.before.filter(|_| !self.is_folded());
        let name = |index| self.own.entry(index).identity().name;
        (0..self.own.entries())
            .map(|index| before.and_then(|before| before.entry_named(&name(index))))
            .collect()
    }

    /// Whether all that the master before had is in our own ledger.
    pub fn is_folded(&self) -> bool {
        self.own.words[header::FOLDED].load(Ordering::Acquire) != 0
    }

    /// Takes over for good what the master before has counted: it is gone, and
    /// so are its workers. For the master.
    pub fn fold(&self) {
        let Some(before) = self.before.filter(|_| !self.is_folded()) else {
            return;
        };
        let found = before.sweep(&before.seals());
        let mut sums = found.sums;
        // It could not bury them any more.
        for worker in &found.workers {
            let rows = before.rows(worker.first, worker.rows);
            let counters = &mut sums[worker.entry].counters;
            let killed = &mut counters[Counter::Killed as usize];
            *killed = rows
                .map(|row| row.unfinished())
                .fold(*killed, u64::wrapping_add);
        }
        for (index, heir) in self.inheritance().into_iter().enumerate() {
            let entry = self.own.entry(index);
            if let Some(more) = heir.and_then(|heir| sums.get(heir))
                && !entry.seal().is_folded()
            {
                entry.fold(more);
            }
        }
        self.own.words[header::FOLDED].store(1, Ordering::Release);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Cause, Identity, Place, Scoreboard};
    use super::*;
    use crate::status::Phase;
    use std::sync::atomic::AtomicBool;

    const ROWS: usize = 3;

    fn alone(scoreboard: &Scoreboard) -> View {
        View {
            own: scoreboard.table(),
            before: None,
        }
    }

    /// A table with one pool of this name.
    fn table(name: &str) -> Scoreboard {
        let scoreboard = Scoreboard::new().unwrap();
        let entry = scoreboard.table().entry(0);
        entry.set_identity(&Identity {
            name: name.to_owned(),
            ..Identity::default()
        });
        entry.open(false);
        scoreboard.note_entries(1);
        scoreboard
    }

    /// Puts a worker of the pool there.
    fn spawn(scoreboard: &Scoreboard, first: usize) -> Vec<Row> {
        let place = Place {
            entry: 0,
            slot: first,
            generation: 1,
            rows: ROWS,
        };
        scoreboard.row(first).assign(place, Instant::now());
        scoreboard.note_rows(first + ROWS);
        scoreboard.table().rows(first, ROWS).collect()
    }

    /// Counts one connection in each of its rows, and its end.
    fn serve(rows: &[Row]) {
        for row in rows {
            row.add(Counter::Connections, 1);
            row.add(Counter::Complete, 1);
        }
    }

    #[test]
    fn another_process_reads_whose_rows_they_are() {
        let scoreboard = table("web");
        let rows = spawn(&scoreboard, 4);
        rows[0].occupy(4711);
        rows[2].add(Counter::Requests, 5);
        let memory = scoreboard.memory().try_clone_to_owned().unwrap();
        let own = Table::inherit(&memory).unwrap();
        let view = View { own, before: None };
        let count = view.count().unwrap();
        let [worker] = count.workers[..] else {
            panic!("{count:?}")
        };
        assert_eq!((worker.first, worker.rows, worker.requests), (4, ROWS, 5));
        let first = worker.table.row(worker.first);
        let place = first.place().unwrap();
        assert_eq!((first.pid(), place.slot, place.generation), (4711, 4, 1));
        assert_eq!(own.entry(worker.entry).identity().name, "web");
        assert!(first.lifetime(Instant::now()) < Duration::from_secs(5));
        let other = tempfile::tempfile().unwrap();
        assert!(Table::inherit(&other.into()).is_err());
    }

    #[test]
    fn a_sick_worker_spoils_no_more_than_what_it_counts() {
        let scoreboard = table("web");
        let sick = spawn(&scoreboard, 0);
        let place = sick[0].place().unwrap();
        serve(&spawn(&scoreboard, ROWS));
        for word in sick.iter().flat_map(|row| row.words) {
            word.store(u64::MAX, Ordering::Relaxed);
        }
        let view = alone(&scoreboard);
        let others = |count: &Count| {
            let mut workers = count.workers.iter();
            workers.any(|one| (one.first, one.rows, one.connections) == (ROWS, ROWS, 3))
        };
        assert!(others(&view.count().unwrap()));
        assert!(sick.iter().all(|row| row.active() == 0));
        // The master knows whose rows these are.
        sick[0].set_phase(place, Phase::Ready);
        let count = view.count().unwrap();
        assert_eq!(sick[0].place(), Some(place));
        assert!(others(&count) && count.workers[0].first == 0);
        let next = table("web");
        let heir = View {
            own: next.table(),
            before: Some(view.own),
        };
        heir.fold();
        assert!(heir.is_folded());
    }

    /// Whatever the moment: each of the steps of a settlement leaves the same
    /// sum, and so a master that dies between two of them does no harm.
    #[test]
    fn a_settlement_that_stops_half_way_is_counted_right() {
        let scoreboard = table("web");
        let view = alone(&scoreboard);
        let connections = || {
            let count = view.count().unwrap();
            (
                count.sums[0].count(Counter::Connections),
                count.workers.len(),
            )
        };
        serve(&spawn(&scoreboard, 0));
        let rows = spawn(&scoreboard, ROWS);
        serve(&rows);
        assert_eq!(connections(), (6, 2));
        let entry = scoreboard.table().entry(0);
        entry.settle(ROWS, &rows, |_| {
            assert_eq!(connections(), (6, 2), "sums are being made");
        });
        assert_eq!(connections(), (6, 1));
        // As it is between the seal and the clearing of the rows.
        let rows = spawn(&scoreboard, ROWS);
        serve(&rows);
        assert_eq!(connections(), (9, 2));
        entry.take_in(ROWS, &rows, |_| {
            assert_eq!(connections(), (9, 2), "sums are being made");
        });
        assert_eq!(connections(), (9, 1), "not twice");
        rows[1].clear();
        assert_eq!(connections(), (9, 1));
        rows[0].clear();
        assert_eq!(connections(), (9, 1));
    }

    /// Readers look all the time while workers count and die one after the other.
    #[test]
    fn no_reader_sees_a_count_go_back_or_run_ahead() {
        const WORKERS: u64 = 20_000;
        let scoreboard = table("web");
        let view = alone(&scoreboard);
        let entry = scoreboard.table().entry(0);
        let served = AtomicU64::new(0);
        let over = AtomicBool::new(false);
        let read = || {
            let (mut last, mut died, mut reads) = (0, 0, 0u64);
            while !over.load(Ordering::SeqCst) {
                let least = served.load(Ordering::SeqCst);
                let Some(count) = view.count() else { continue };
                let most = served.load(Ordering::SeqCst) + 1;
                let sums = count.sums[0];
                // Each of the rows has as many, but for what is counted just now.
                let (rows, found) = (ROWS as u64, sums.count(Counter::Connections));
                assert!(found >= least * rows, "{found} of {least} times {rows}");
                assert!(found <= most * rows, "{found} of {most} times {rows}");
                assert!(found >= last, "{found} after {last}");
                assert!(sums.died(Cause::Signal) >= died);
                assert!(sums.spawned >= sums.died(Cause::Signal));
                (last, died) = (found, sums.died(Cause::Signal));
                reads += 1;
            }
            reads
        };
        std::thread::scope(|scope| {
            let readers = [scope.spawn(read), scope.spawn(read)];
            let mut living: Vec<(usize, Vec<Row>)> = (0..4)
                .map(|index| (index * ROWS, spawn(&scoreboard, index * ROWS)))
                .collect();
            for number in 0..WORKERS {
                let which = (number % 4) as usize;
                let (first, rows) = &mut living[which];
                serve(rows);
                served.fetch_add(1, Ordering::SeqCst);
                entry.change(|sums| sums.spawned += 1);
                entry.settle(*first, rows, |sums| {
                    sums.deaths[Cause::Signal as usize] += 1;
                });
                *rows = spawn(&scoreboard, *first);
            }
            // A master at rest: now a reader comes to its end in any case.
            std::thread::sleep(Duration::from_millis(20));
            over.store(true, Ordering::SeqCst);
            for reader in readers {
                assert!(reader.join().unwrap() > 0, "nothing was ever read");
            }
        });
        let sums = view.count().unwrap().sums[0];
        assert_eq!(sums.count(Counter::Connections), WORKERS * ROWS as u64);
        assert_eq!(sums.count(Counter::Complete), WORKERS * ROWS as u64);
        assert_eq!((sums.spawned, sums.died(Cause::Signal)), (WORKERS, WORKERS));
    }

    #[test]
    fn what_the_master_before_has_counted_goes_on() {
        let (old, new) = (table("web"), table("web"));
        let view = View {
            own: new.table(),
            before: Some(old.table()),
        };
        let connections = || view.count().unwrap().sums[0].count(Counter::Connections);
        let killed = || view.count().unwrap().sums[0].count(Counter::Killed);
        serve(&spawn(&new, 0));
        let rows = spawn(&old, 0);
        serve(&rows);
        let dying = spawn(&old, ROWS);
        serve(&dying);
        dying[1].add(Counter::Connections, 1);
        assert_eq!(
            (connections(), view.count().unwrap().workers.len()),
            (10, 3)
        );
        old.table().entry(0).settle(0, &rows, |_| {});
        assert_eq!(
            (connections(), view.count().unwrap().workers.len()),
            (10, 2)
        );
        assert_eq!(killed(), 0);
        view.fold();
        assert_eq!((connections(), killed()), (10, 1));
        assert_eq!(view.count().unwrap().workers.len(), 1, "its own are left");
        view.fold();
        assert_eq!(connections(), 10, "once is enough");
        let other = table("mail");
        let view = View {
            own: other.table(),
            before: Some(old.table()),
        };
        assert_eq!(view.count().unwrap().sums[0].count(Counter::Connections), 0);
    }
}
