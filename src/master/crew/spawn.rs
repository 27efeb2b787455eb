//! How workers come: forked, with rows, a seat and all that they are told.
//!
//! Owes that whatever was taken for a worker that could not be forked is given back,
//! and that no signal reaches a process that still has its parent's handlers.

use super::programs::Program;
use super::{Crew, Worker};
use crate::log::Output;
use crate::master::message::{CohortId, WorkerId};
use crate::master::wear;
use crate::net::{Listener, ListenerSet};
use crate::scoreboard::{Place, Row, View};
use crate::sys::process;
use crate::worker::{self, Assignment};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::getpid;
use std::io;
use std::sync::Arc;
use std::time::Instant;

impl Crew {
    /// Forks a worker. `child_first` runs in the new process before anything
    /// else, to rid it of what only the master may have.
    ///
    /// # Errors
    /// As fork(2); or where the scoreboard is full.
    pub fn spawn(
        &mut self,
        id: WorkerId,
        cohort_id: CohortId,
        slot: usize,
        child_first: impl FnOnce(),
    ) -> io::Result<()> {
        let cohort = self.cohorts.get(&cohort_id);
        let listeners = cohort.map_or_else(Vec::new, |cohort| {
            cohort.opened.listeners(&cohort.listeners, slot)
        });
        self.fork(id, cohort_id, slot, listeners, child_first)
    }

    /// Forks a worker that empties the queues that worker `of` has left, and
    /// leaves; but for those of the listeners in `staying`, which are others' by now.
    ///
    /// # Errors
    /// As [`Crew::spawn`].
    pub fn spawn_heir(
        &mut self,
        id: WorkerId,
        cohort: CohortId,
        slot: usize,
        of: WorkerId,
        staying: &ListenerSet,
        child_first: impl FnOnce(),
    ) -> io::Result<()> {
        let listeners = self.estates.remove(&of).unwrap_or_default();
        self.fork(id, cohort, slot, listeners, child_first)?;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.heir = true;
        }
        // A test waits for this line.
        log::info!(
            "worker {} has left a queue: pid {} empties it",
            self.name(id),
            self.pid(id)
        );
        self.retire(id, staying);
        Ok(())
    }

    fn fork(
        &mut self,
        id: WorkerId,
        cohort_id: CohortId,
        slot: usize,
        listeners: Vec<Arc<Listener>>,
        child_first: impl FnOnce(),
    ) -> io::Result<()> {
        let cohort = self
            .cohorts
            .get_mut(&cohort_id)
            .ok_or_else(|| io::Error::other("no such cohort"))?;
        let log = match cohort.opened.own_log()? {
            Some(own) => Some(own),
            None => cohort.log.as_ref().map(Output::try_clone).transpose()?,
        };
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let names = |app| cohort.listener_names(app);
        let pool = &cohort.opened.pool;
        let program = pool.service.app();
        let program = program.map(|app| Program::new(pool, app, names(app)));
        let (mut program, belongings) = program.transpose()?.unzip();
        let row_count = cohort.opened.rows();
        let full = || io::Error::other("the scoreboard is full");
        let first_row = self.rows.take(row_count).ok_or_else(full)?;
        let Some(seat) = cohort.seats.iter().position(|taken| !taken) else {
            self.rows.give_back(first_row, row_count);
            return Err(full());
        };
        let rows: Vec<Row> = (first_row..first_row + row_count)
            .map(|index| self.scoreboard.row(index))
            .collect();
        let view = View {
            own: self.scoreboard.table(),
            before: self.before,
        };
        let pass = self.registers.pass(&cohort.opened);
        let shard = pass.and_then(|pass| pass.shard);
        let spawned = Instant::now();
        let entry = cohort.entry;
        if let Some(row) = rows.first() {
            let place = Place {
                entry,
                slot,
                generation: cohort.generation,
                rows: row_count,
            };
            row.assign(place, spawned);
        }
        self.scoreboard.note_rows(first_row + row_count);
        let pool = &cohort.opened.pool;
        let entry_of = |one| cohort.listeners.entry_of(pool, one);
        // What nobody knows any more is no entry with a PROXY header.
        let entries = listeners
            .iter()
            .map(|one| entry_of(one).unwrap_or(usize::MAX));
        let entries = entries.collect();
        let all = SigSet::all();
        // Signals wait while there are two of us with one set of handlers.
        let mask = all.thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let name = pool.name.clone();
        let assignment = Assignment {
            pool: Arc::clone(&cohort.opened.pool),
            slot,
            seat,
            generation: cohort.generation,
            entries,
            listeners: listeners.clone(),
            datagram_ports: cohort.listeners.datagram_ports(),
            roots: cohort.opened.roots.clone(),
            access_log: Arc::clone(&cohort.opened.access_log),
            custom: cohort.opened.custom.clone(),
            board: cohort.board.clone(),
            rows,
            view,
            life: Arc::clone(&self.life),
            parked: Arc::clone(&self.parked),
            title: self.title,
            master: getpid(),
            graceful_timeout: cohort.graceful_timeout,
            once: cohort.once,
            connections: wear::spread(pool.connections_per_worker, slot, id.0),
            requests: wear::spread(pool.requests_per_worker, slot, id.0),
            mask,
            pass,
            channel: theirs,
            log,
            detached: self.detached,
            belongings,
        };
        let forked = process::fork_into(move || {
            child_first();
            worker::enter(assignment)
        });
        mask.thread_set_mask()?;
        let pid = match forked {
            Ok(pid) => pid,
            Err(error) => {
                self.settle_rows(entry, (first_row, row_count), |_| {});
                self.rows.give_back(first_row, row_count);
                self.registers.close(&name, shard);
                return Err(error);
            }
        };
        // The worker says the same, when it is ready.
        self.scoreboard
            .row(first_row)
            .occupy(pid.as_raw().unsigned_abs());
        if let Some(program) = &mut program {
            program.introduce(&pool.name, slot, pid);
        }
        cohort.seats[seat] = true;
        let worker = Worker {
            pid,
            cohort: cohort_id,
            slot,
            seat,
            first_row,
            row_count,
            shard,
            listeners,
            spawned,
            channel: ours,
            // A program is not asked for its opinion of that.
            born_after: match program {
                Some(_) => u64::MAX,
                None => self.reopening,
            },
            ready: None,
            wished: false,
            retired: false,
            heir: false,
            killed: None,
            process: String::new(),
            program,
        };
        self.workers.insert(id, worker);
        self.unready.push(id);
        self.note_spawned(entry);
        log::debug!("worker {} pid {pid} spawned", self.name(id));
        Ok(())
    }
}
