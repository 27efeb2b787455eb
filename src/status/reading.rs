//! The picture as the scoreboard has it: read by the master for the control
//! socket, and by each worker for its status page, so that both show the same.
//!
//! Owes that counters never go back (see [`View::count`]). The rest is what each
//! worker says of itself at the moment when it is looked at.

use super::{Inbox, Lane, MAX_LANES, Phase, PoolStatus, Queue, Rates, Status, WorkerStatus};
use crate::admission;
use crate::scoreboard::{
    Cause, Count, Counted, Counter, Identity, Row, RowState, SHED_CAUSES, Sums, Table, View,
};
use std::time::Instant;

/// What is to be seen at `now`, which is `unix` seconds since 1970. `None` as
/// [`View::count`]: ask again.
pub fn read(view: &View, now: Instant, unix: u64) -> Option<Status> {
    let count = view.count()?;
    let master = view.own.master();
    let mut workers: Vec<Seen> = count.workers.iter().map(Seen::new).collect();
    workers.sort_by(|one, other| one.key().cmp(&other.key()));
    Some(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: master.pid,
        generation: master.generation,
        state: master.state,
        ready: master.readiness.is_ready(),
        started: master.started,
        uptime: unix.saturating_sub(master.started),
        reloads: master.reloads,
        reloads_refused: master.reloads_refused,
        reload_refused: master.reload_refused,
        listening: view.own.listening(),
        queue_dropped: master.queue_dropped,
        pools: pools(&view.own, &count, &workers, now),
        workers: workers
            .iter()
            // Of some, children live on.
            .filter(|worker| worker.phase != Phase::Gone)
            .map(|worker| worker.status(now))
            .collect(),
    })
}

/// What the rows of a worker say it does, or last did, in words.
pub fn doing(rows: impl Iterator<Item = Row>, now: Instant) -> String {
    let mut rows = rows.peekable();
    if rows.peek().is_some_and(|row| !row.is_ready()) {
        return String::from("starting");
    }
    let mut busy: Vec<String> = Vec::new();
    let mut more = 0;
    for row in rows {
        let (state, since) = row.state(now);
        let active = row.active();
        let nobody = active == 0 && (row.pid() == 0 || state == RowState::Serving);
        if state == RowState::Idle || nobody {
            continue;
        }
        if busy.len() == 3 {
            more += 1;
            continue;
        }
        let peer = row
            .peer()
            .map(|peer| format!(" {peer}"))
            .unwrap_or_default();
        let text = row.text();
        if state == RowState::Program {
            let said = if text.is_empty() { "" } else { ": " };
            busy.push(format!("{}{said}{text}", state.name()));
            continue;
        }
        if state == RowState::Serving {
            busy.push(serving(active, &text));
            continue;
        }
        // The text of a program names its client.
        let peer = match state {
            RowState::Session => String::new(),
            RowState::Idle
            | RowState::Reading
            | RowState::Writing
            | RowState::KeepAlive
            | RowState::Closing
            | RowState::Serving
            | RowState::Program => peer,
        };
        let space = if text.is_empty() { "" } else { " " };
        busy.push(format!(
            "{}{peer}{space}{text} for {:.1}s",
            state.name(),
            since.as_secs_f64()
        ));
    }
    match (busy.is_empty(), more) {
        (true, _) => String::from("idle"),
        (false, 0) => busy.join("; "),
        (false, more) => format!("{}; and {more} more", busy.join("; ")),
    }
}

/// What a row says that stands for several clients. Its text is the request
/// that began last, of whichever of them.
fn serving(clients: u64, text: &str) -> String {
    let noun = if clients == 1 { "client" } else { "clients" };
    let last = if text.is_empty() { "" } else { ", last " };
    format!("serving {clients} {noun}{last}{text}")
}

/// How the lanes of a worker spend themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A row a lane, each with one connection at a time.
    Single,
    /// One lane with many connections: its row says how many.
    Many,
    /// A row that says how many, and then one for each child.
    Children,
}

/// A worker, as it was counted.
struct Seen<'c> {
    counted: &'c Counted,
    identity: Identity,
    shape: Shape,
    slot: usize,
    generation: u32,
    phase: Phase,
}

impl<'c> Seen<'c> {
    fn new(counted: &'c Counted) -> Self {
        let first = counted.table.row(counted.first);
        let place = first.place();
        let identity = counted.table.entry(counted.entry).identity();
        let shape = match identity.model.as_str() {
            "event" => Shape::Many,
            "fork" => Shape::Children,
            _ => Shape::Single,
        };
        Self {
            counted,
            identity,
            shape,
            slot: place.map_or(0, |place| place.slot),
            generation: place.map_or(0, |place| place.generation),
            phase: first.phase(),
        }
    }

    fn key(&self) -> (&str, usize, u32) {
        (&self.identity.name, self.slot, self.generation)
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        let Counted {
            table, first, rows, ..
        } = *self.counted;
        table.rows(first, rows)
    }

    /// The rows that stand for lanes.
    fn lanes(&self) -> impl Iterator<Item = Row> {
        let own = usize::from(self.shape == Shape::Children);
        self.rows().skip(own)
    }

    fn active(&self) -> u64 {
        let rows = match self.shape {
            Shape::Single => self.counted.rows,
            Shape::Many | Shape::Children => 1,
        };
        self.rows().take(rows).map(|row| row.active()).sum()
    }

    fn idle_lanes(&self, now: Instant) -> usize {
        match (self.phase, self.shape) {
            (Phase::Starting | Phase::Killed | Phase::Gone, _) => 0,
            (Phase::Ready | Phase::Draining, Shape::Single) => self
                .lanes()
                .filter(|row| row.state(now).0 == RowState::Idle)
                .count(),
            (Phase::Ready | Phase::Draining, Shape::Many | Shape::Children) => {
                usize::from(self.active() == 0)
            }
        }
    }

    fn status(&self, now: Instant) -> WorkerStatus {
        let first = self.counted.table.row(self.counted.first);
        let busy = |row: &Row| {
            let (state, _) = row.state(now);
            state != RowState::Idle && (self.shape != Shape::Many || row.active() > 0)
        };
        WorkerStatus {
            pool: self.identity.name.clone(),
            slot: self.slot,
            generation: self.generation,
            pid: i32::try_from(first.pid()).unwrap_or(0),
            phase: self.phase,
            doing: doing(self.rows(), now),
            age: first.lifetime(now).as_secs(),
            active: self.active(),
            connections: self.counted.connections,
            requests: self.counted.requests,
            received: self.counted.received,
            sent: self.counted.sent,
            idle_lanes: self.idle_lanes(now),
            lanes: self
                .lanes()
                .filter(busy)
                .take(MAX_LANES)
                .map(|row| lane(row, now))
                .collect(),
        }
    }
}

/// What one lane does.
pub fn lane(row: Row, now: Instant) -> Lane {
    let (state, since) = row.state(now);
    let deadline = row.deadline(now);
    Lane {
        state: state.name().to_owned(),
        since: since.as_secs_f64(),
        peer: row.peer().map(|peer| peer.to_string()),
        request: row.text(),
        deadline: deadline.map(|one| one.left.as_secs_f64() - one.over.as_secs_f64()),
        active: row.active(),
    }
}

/// The pools that are shown, in their order.
fn pools(own: &Table, count: &Count, workers: &[Seen<'_>], now: Instant) -> Vec<PoolStatus> {
    let shown = |(index, sums): (usize, &Sums)| {
        let facts = own.entry(index).facts();
        (facts.rank > 0).then(|| (facts.rank, pool(own, index, sums, workers, now)))
    };
    let found = count.sums.iter().enumerate().filter_map(shown);
    let mut found: Vec<(u64, PoolStatus)> = found.collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, pool)| pool).collect()
}

fn pool(own: &Table, index: usize, sums: &Sums, workers: &[Seen<'_>], now: Instant) -> PoolStatus {
    let (identity, facts) = (own.entry(index).identity(), own.entry(index).facts());
    let count = |counter| sums.count(counter);
    let counted = |group: &[Counter]| {
        let each = group.iter().map(|one| (one.name().to_owned(), count(*one)));
        each.collect()
    };
    let door = own.entry(index).doorkeeping();
    let turned_away = |counts: [u64; SHED_CAUSES]| {
        let causes = admission::Cause::ALL.iter().zip(counts);
        causes
            .map(|(cause, count)| (cause.name().to_owned(), count))
            .collect()
    };
    let deaths = Cause::ALL.map(|cause| (cause.name().to_owned(), sums.died(cause)));
    let of_pool: Vec<&Seen<'_>> = workers
        .iter()
        .filter(|worker| worker.identity.name == identity.name)
        .collect();
    let ready = |worker: &&&Seen<'_>| worker.phase == Phase::Ready;
    let [connections, requests, received, sent] = facts.rates;
    PoolStatus {
        generation: facts.generation,
        wanted: facts.wanted,
        ready: facts.ready,
        most: facts.most,
        idle: of_pool
            .iter()
            .filter(ready)
            .map(|worker| worker.idle_lanes(now))
            .sum(),
        active: of_pool.iter().map(|worker| worker.active()).sum(),
        breaker: facts.breaker,
        connections: count(Counter::Connections),
        requests: count(Counter::Requests),
        probes: count(Counter::Probes),
        logged: count(Counter::Logged),
        received: count(Counter::Received),
        sent: count(Counter::Sent),
        rates: Rates {
            connections,
            requests,
            received,
            sent,
        },
        queue: facts.queue.map(|(length, limit)| Queue {
            length: length.into(),
            limit: limit.into(),
        }),
        inbox: facts.inbox.map(|(length, limit)| Inbox {
            length: length.into(),
            limit: limit.into(),
            dropped: facts.dropped,
        }),
        skew: skew(of_pool.iter().filter(ready).map(|worker| worker.counted)),
        answers: counted(Counter::ANSWERS),
        closes: counted(Counter::CLOSES),
        shed: turned_away(door.shed),
        spared: turned_away(door.spared),
        shedding: door.shedding,
        spawned: sums.spawned,
        deaths: deaths.into_iter().collect(),
        name: identity.name,
        service: identity.service,
        model: identity.model,
        accept: identity.accept,
    }
}

/// How uneven they are loaded.
fn skew<'c>(workers: impl Iterator<Item = &'c Counted> + Clone) -> Option<f64> {
    let uneven = |load: fn(&Counted) -> u64| {
        let loads = workers.clone().map(load);
        let (mut number, mut sum, mut most) = (0.0, 0.0, 0);
        for load in loads {
            number += 1.0;
            sum += load as f64;
            most = most.max(load);
        }
        (sum > 0.0).then(|| most as f64 * number / sum)
    };
    uneven(|one| one.requests).or_else(|| uneven(|one| one.connections))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::scoreboard::{Facts, Place, Scoreboard};
    use std::time::Duration;

    /// A table with one pool of this model.
    fn table(model: &str) -> Scoreboard {
        let scoreboard = Scoreboard::new().unwrap();
        let entry = scoreboard.table().entry(0);
        entry.set_identity(&Identity {
            name: String::from("web"),
            model: model.to_owned(),
            ..Identity::default()
        });
        entry.open(false);
        entry.set_facts(&Facts {
            rank: 1,
            ..Facts::default()
        });
        scoreboard.note_entries(1);
        scoreboard
    }

    /// A worker with so many rows.
    fn worker(scoreboard: &Scoreboard, slot: usize, first: usize, rows: usize) -> Vec<Row> {
        let place = Place {
            entry: 0,
            slot,
            generation: 1,
            rows,
        };
        let row = scoreboard.row(first);
        row.assign(place, Instant::now());
        row.set_phase(place, Phase::Ready);
        row.occupy(4711);
        row.set_ready();
        scoreboard.note_rows(first + rows);
        scoreboard.table().rows(first, rows).collect()
    }

    fn look(scoreboard: &Scoreboard, now: Instant) -> Status {
        let view = View {
            own: scoreboard.table(),
            before: None,
        };
        read(&view, now, 0).unwrap()
    }

    /// What is told of the only worker: idle lanes, busy lanes, connections.
    fn lanes(status: &Status) -> (usize, usize, u64) {
        let [worker] = &status.workers[..] else {
            panic!("{status:?}")
        };
        let pool = &status.pools[0];
        assert_eq!((pool.idle, pool.active), (worker.idle_lanes, worker.active));
        (worker.idle_lanes, worker.lanes.len(), worker.active)
    }

    #[test]
    fn each_thread_is_a_lane() {
        let (scoreboard, now) = (table("threads"), Instant::now());
        let rows = worker(&scoreboard, 0, 0, 4);
        assert_eq!(lanes(&look(&scoreboard, now)), (4, 0, 0));
        rows[2].set_state(RowState::Writing, now);
        rows[2].set_active(1);
        rows[2].set_peer(Some("[2001:db8::1]:80".parse().unwrap()));
        rows[2].set_text(b"GET /a.iso");
        rows[2].set_deadline(Some(now + Duration::from_secs(2)));
        let later = now + Duration::from_secs(3);
        let status = look(&scoreboard, later);
        assert_eq!(lanes(&status), (3, 1, 1));
        let lane = &status.workers[0].lanes[0];
        assert_eq!(lane.state, "writing");
        assert_eq!(lane.peer.as_deref(), Some("[2001:db8::1]:80"));
        assert_eq!(lane.request, "GET /a.iso");
        assert!((lane.since - 3.0).abs() < 0.01, "{lane:?}");
        let deadline = lane.deadline.unwrap();
        assert!((deadline + 1.0).abs() < 0.01, "a second over: {lane:?}");
        let doing = &status.workers[0].doing;
        assert_eq!(doing, "writing [2001:db8::1]:80 GET /a.iso for 3.0s");
        rows[2].set_state(RowState::Session, now);
        rows[2].set_text(b"exec /bin/cat for [2001:db8::1]:80");
        let status = look(&scoreboard, later);
        assert_eq!(status.workers[0].lanes[0].state, "serving");
        let doing = &status.workers[0].doing;
        assert_eq!(doing, "serving exec /bin/cat for [2001:db8::1]:80 for 3.0s");
    }

    #[test]
    fn an_event_loop_is_one_lane_with_many_connections() {
        let (scoreboard, now) = (table("event"), Instant::now());
        let rows = worker(&scoreboard, 0, 0, 1);
        rows[0].set_state(RowState::Serving, now);
        assert_eq!(lanes(&look(&scoreboard, now)), (1, 0, 0));
        rows[0].set_active(90);
        let status = look(&scoreboard, now);
        assert_eq!(lanes(&status), (0, 1, 90));
        assert_eq!(status.workers[0].lanes[0].active, 90);
        assert_eq!(status.workers[0].doing, "serving 90 clients");
    }

    #[test]
    fn each_child_is_a_lane_and_its_worker_counts_them() {
        let (scoreboard, now) = (table("fork"), Instant::now());
        let rows = worker(&scoreboard, 0, 0, 5);
        rows[0].set_state(RowState::Serving, now);
        assert_eq!(lanes(&look(&scoreboard, now)), (1, 0, 0));
        rows[0].set_active(2);
        for row in &rows[3..] {
            row.occupy(4712);
            row.set_active(1);
            row.set_state(RowState::Reading, now);
        }
        assert_eq!(lanes(&look(&scoreboard, now)), (0, 2, 2));
    }

    #[test]
    fn the_skew_is_that_of_workers_that_serve() {
        let (scoreboard, now) = (table("prefork"), Instant::now());
        let skew = || look(&scoreboard, now).pools[0].skew;
        let first = worker(&scoreboard, 1, 0, 1)[0];
        let second = worker(&scoreboard, 0, 1, 1)[0];
        assert_eq!(skew(), None);
        first.add(Counter::Connections, 4);
        assert_eq!(skew(), Some(2.0), "there are no requests to go by");
        first.add(Counter::Requests, 3);
        second.add(Counter::Requests, 1);
        assert_eq!(skew(), Some(1.5));
        let leaving = worker(&scoreboard, 2, 2, 1)[0];
        leaving.add(Counter::Requests, 500);
        leaving.set_phase(leaving.place().unwrap(), Phase::Draining);
        assert_eq!(skew(), Some(1.5));
        let status = look(&scoreboard, now);
        assert_eq!(status.pools[0].requests, 504);
        let slots: Vec<_> = status.workers.iter().map(|one| one.slot).collect();
        assert_eq!(slots, [0, 1, 2], "in order");
        leaving.set_phase(leaving.place().unwrap(), Phase::Gone);
        assert_eq!(look(&scoreboard, now).workers.len(), 2);
        assert_eq!(look(&scoreboard, now).pools[0].requests, 504);
    }

    #[test]
    fn a_pool_that_is_not_shown_is_not_there() {
        let scoreboard = table("prefork");
        let now = Instant::now();
        assert_eq!(look(&scoreboard, now).pools.len(), 1);
        scoreboard.table().entry(0).hide();
        assert!(look(&scoreboard, now).pools.is_empty());
    }
}
