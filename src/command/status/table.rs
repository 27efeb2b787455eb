//! The status as a person reads it: what is wrong, the master, its pools, their
//! workers.

use super::columns::{self, Cell, Column, numbers, words};
use super::line::{self, Line, Style, duration, octets, rate, seconds};
use super::problems::{is_broken, problems};
use crate::status::{Inbox, Lane, Phase, PoolStatus, Queue, Status, WorkerStatus};
use std::collections::BTreeMap;

/// Which workers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workers {
    /// Every one.
    All,
    /// Not those that wait for a connection.
    Busy,
    /// Not more of those than make this many rows; then a line says how many
    /// there are.
    Rows(usize),
}

const POOLS: [Column; 19] = [
    words("POOL", 0),
    numbers("GEN", 3),
    words("SERVICE", 6),
    words("MODEL", 5),
    numbers("WANTED", 0),
    numbers("READY", 0),
    numbers("MOST", 4),
    numbers("IDLE", 1),
    numbers("ACTIVE", 1),
    words("BREAKER", 1),
    numbers("CONN/S", 5),
    numbers("REQ/S", 2),
    numbers("IN/S", 7),
    numbers("OUT/S", 5),
    numbers("QUEUE", 2),
    numbers("SKEW", 7),
    numbers("CONNECTIONS", 8),
    numbers("REQUESTS", 8),
    words("DEATHS", 2),
];

const CLOSES: [Column; 7] = [
    words("POOL", 0),
    numbers("1XX", 1),
    numbers("2XX", 0),
    numbers("3XX", 1),
    numbers("4XX", 0),
    numbers("5XX", 0),
    words("CLOSES", 0),
];

const WORKERS: [Column; 14] = [
    words("WORKER", 0),
    numbers("PID", 0),
    numbers("GEN", 4),
    words("PHASE", 3),
    numbers("AGE", 5),
    numbers("ACTIVE", 6),
    numbers("CONNECTIONS", 8),
    numbers("REQUESTS", 7),
    numbers("RECEIVED", 8),
    numbers("SENT", 8),
    numbers("SINCE", 1),
    numbers("LEFT", 0),
    words("STATE", 0),
    words("CLIENT", 2),
];

/// The whole table; at most `width` columns of the terminal wide.
pub(super) fn table(status: &Status, workers: Workers, width: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    let problems = problems(status);
    if !problems.is_empty() {
        lines.push(Line::new(Style::Serious, "PROBLEMS"));
        lines.extend(problems);
        lines.push(Line::default());
    }
    lines.push(head(status));
    let place = format!("listening on {}", status.listening);
    lines.push(Line::new(Style::Plain, &place));
    let dropped = format!("queue_dropped {}", status.queue_dropped);
    lines.push(Line::new(Style::Plain, &dropped));
    let rows: Vec<_> = status.pools.iter().map(pool).collect();
    lines.push(Line::default());
    lines.extend(columns::lines(&POOLS, &rows, width));
    let rows: Vec<_> = status.pools.iter().map(closes).collect();
    lines.push(Line::default());
    lines.extend(columns::lines(&CLOSES, &rows, width));
    lines.extend(status.pools.iter().flat_map(turned_away));
    lines.push(Line::default());
    lines.extend(worker_lines(status, workers, width));
    lines
}

/// One line of the master. Tests rely on `master PID STATE, generation N`.
pub(super) fn head(status: &Status) -> Line {
    let mut line = Line::new(
        Style::Plain,
        &format!(
            "master {} {}, generation {}",
            status.pid,
            status.state.name(),
            status.generation
        ),
    );
    // A master that does not know its version knows none of this.
    if status.version.is_empty() {
        return line;
    }
    let uptime = seconds(status.uptime);
    let more = format!(", preforkd {}, up {uptime}, ", status.version);
    line.push(Style::Plain, &more);
    match status.ready {
        true => line.push(Style::Plain, "ready"),
        false => line.push(Style::Serious, "not ready"),
    }
    line.push(
        Style::Plain,
        &format!(", {}", line::counted(status.reloads, "reload")),
    );
    if status.reloads_refused > 0 {
        let refused = format!(" and {} refused", status.reloads_refused);
        line.push(Style::Notable, &refused);
    }
    line
}

fn pool(pool: &PoolStatus) -> Vec<Cell> {
    let missing = pool.wanted.saturating_sub(pool.ready);
    let ready = match (pool.ready, missing) {
        (0, 1..) => Style::Serious,
        (_, 1..) => Style::Notable,
        (_, 0) => Style::Plain,
    };
    vec![
        Cell::from(pool.name.as_str()),
        Cell::from(pool.generation.to_string()),
        Cell::from(pool.service.as_str()),
        Cell::from(pool.model.as_str()),
        Cell::from(pool.wanted.to_string()),
        Cell::styled(ready, pool.ready.to_string()),
        Cell::from(pool.most.to_string()),
        Cell::from(pool.idle.to_string()),
        Cell::from(pool.active.to_string()),
        breaker(pool),
        Cell::from(rate(pool.rates.connections)),
        Cell::from(rate(pool.rates.requests)),
        Cell::from(octets(pool.rates.received)),
        Cell::from(octets(pool.rates.sent)),
        queue(pool),
        Cell::from(
            pool.skew
                .map_or_else(String::new, |skew| format!("{skew:.2}")),
        ),
        Cell::from(pool.connections.to_string()),
        Cell::from(pool.requests.to_string()),
        Cell::from(counted(&pool.deaths)),
    ]
}

/// The breaker of a pool, as it is to be seen.
pub(super) fn breaker(pool: &PoolStatus) -> Cell {
    let style = if is_broken(pool) {
        Style::Serious
    } else {
        Style::Plain
    };
    Cell::styled(style, pool.breaker.as_str())
}

/// Length and limit of a queue, connections or octets of datagrams; nothing where the
/// kernel does not say.
pub(super) fn queue(pool: &PoolStatus) -> Cell {
    if let Some(inbox) = pool.inbox {
        return datagrams(inbox);
    }
    let Some(Queue { length, limit }) = pool.queue else {
        return Cell::default();
    };
    let style = if limit > 0 && length >= limit {
        Style::Serious
    } else if length > limit / 2 {
        Style::Notable
    } else {
        Style::Plain
    };
    Cell::styled(style, format!("{length}/{limit}"))
}

/// Such a queue, and how many it had no room for, as ss(8) writes it.
fn datagrams(inbox: Inbox) -> Cell {
    let [length, limit] = [inbox.length, inbox.limit].map(|count| octets(count as f64));
    let lost = match inbox.dropped {
        0 => String::new(),
        lost => format!(",d{lost}"),
    };
    let style = if inbox.is_filling() || inbox.dropped > 0 {
        Style::Notable
    } else {
        Style::Plain
    };
    Cell::styled(style, format!("{length}/{limit}{lost}"))
}

fn closes(pool: &PoolStatus) -> Vec<Cell> {
    let class = |class: &str| Cell::from(pool.answers.get(class).unwrap_or(&0).to_string());
    let mut row = vec![Cell::from(pool.name.as_str())];
    row.extend(["1xx", "2xx", "3xx", "4xx", "5xx"].map(class));
    row.push(Cell::from(counted(&pool.closes)));
    row
}

/// `web turned away: address 12`, for a pool that has somebody.
fn turned_away(pool: &PoolStatus) -> Vec<Line> {
    let groups = [
        (&pool.shed, "turned away"),
        (&pool.spared, "not turned away, for dry_run"),
    ];
    let some = groups
        .into_iter()
        .filter(|(counts, _)| counts.values().any(|count| *count > 0));
    some.map(|(counts, what)| {
        let text = format!("{} {what}: {}", pool.name, counted(counts));
        Line::new(Style::Plain, &text)
    })
    .collect()
}

/// `early 2, signal 1`: what there was of each kind.
fn counted(counts: &BTreeMap<String, u64>) -> String {
    let counts = counts.iter().filter(|(_, count)| **count > 0);
    let words: Vec<String> = counts
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    if words.is_empty() {
        String::from("none")
    } else {
        words.join(", ")
    }
}

fn worker_lines(status: &Status, which: Workers, width: Option<usize>) -> Vec<Line> {
    let count = |workers: &[&WorkerStatus]| -> usize {
        workers.iter().map(|worker| worker.lanes.len().max(1)).sum()
    };
    let mut workers: Vec<&WorkerStatus> = status.workers.iter().collect();
    workers.sort_by_key(|worker| (&worker.pool, worker.slot, worker.generation));
    let fold = match which {
        Workers::All => false,
        Workers::Busy => true,
        Workers::Rows(most) => count(&workers) > most,
    };
    let all = workers.len();
    if fold {
        workers.retain(|worker| is_busy(worker));
    }
    let folded = all - workers.len();
    let rows: Vec<_> = workers.iter().flat_map(|worker| rows(worker)).collect();
    let mut columns = WORKERS.to_vec();
    columns.push(words("REQUEST", 0));
    let mut lines = columns::lines(&columns, &rows, width);
    if folded > 0 && which != Workers::Busy {
        let text = format!("and {folded} that wait for a connection (| cat shows them)");
        lines.push(Line::new(Style::Faint, &text));
    }
    lines
}

/// Whether a worker does anything but to wait for a connection.
pub(super) fn is_busy(worker: &WorkerStatus) -> bool {
    worker.phase != Phase::Ready || worker.active > 0 || !is_idle(worker)
}

/// Whether no lane of it does anything.
fn is_idle(worker: &WorkerStatus) -> bool {
    worker.lanes.is_empty() && matches!(worker.doing.as_str(), "idle" | "")
}

/// What the one with the connections has to say: a row for each lane that is
/// busy, the counts of the worker in the first.
fn rows(worker: &WorkerStatus) -> Vec<Vec<Cell>> {
    let mut row = vec![
        Cell::from(format!("{}[{}]", worker.pool, worker.slot)),
        Cell::from(worker.pid.to_string()),
        Cell::from(worker.generation.to_string()),
        phase(worker.phase),
        Cell::from(seconds(worker.age)),
        Cell::from(worker.active.to_string()),
        Cell::from(worker.connections.to_string()),
        Cell::from(worker.requests.to_string()),
        Cell::from(octets(worker.received as f64)),
        Cell::from(octets(worker.sent as f64)),
    ];
    if worker.lanes.is_empty() {
        // Tests rely on `idle` at the end of a row.
        let doing = match (worker.doing.as_str(), worker.phase) {
            ("" | "idle", Phase::Starting) => "starting",
            ("", _) => "idle",
            (doing, _) => doing,
        };
        row.extend([Cell::default(), Cell::default(), Cell::from(doing)]);
        return vec![row];
    }
    let mut rows = Vec::new();
    for one in &worker.lanes {
        row.extend(lane(one));
        rows.push(row.clone());
        // What is the worker's is told once, so that it can be added up.
        row.truncate(5);
        row.resize(10, Cell::default());
    }
    rows
}

/// What a lane does: since, left, state, client, request.
pub(super) fn lane(lane: &Lane) -> [Cell; 5] {
    [
        Cell::from(duration(lane.since)),
        left(lane),
        state(lane),
        Cell::from(lane.peer.clone().unwrap_or_default()),
        Cell::from(lane.request.as_str()),
    ]
}

fn state(lane: &Lane) -> Cell {
    if lane.active > 1 {
        return Cell::from(format!("{}({})", lane.state, lane.active));
    }
    Cell::from(lane.state.as_str())
}

/// The time until its deadline.
fn left(lane: &Lane) -> Cell {
    match lane.deadline {
        None => Cell::default(),
        Some(_) if lane.is_late() => Cell::styled(Style::Serious, "OVERDUE"),
        Some(left) => Cell::from(duration(left)),
    }
}

fn phase(phase: Phase) -> Cell {
    let style = match phase {
        Phase::Ready => Style::Plain,
        Phase::Starting | Phase::Draining | Phase::Gone => Style::Notable,
        Phase::Killed => Style::Serious,
    };
    Cell::styled(style, phase.name())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::status::{MasterState, Rates};

    fn sample() -> Status {
        let counts = |counts: &[(&str, u64)]| {
            let counts = counts.iter();
            counts
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect()
        };
        let pool = PoolStatus {
            name: String::from("web"),
            generation: 3,
            service: String::from("http"),
            model: String::from("prefork"),
            wanted: 3,
            ready: 3,
            most: 8,
            idle: 2,
            active: 1,
            breaker: String::from("closed"),
            connections: 14,
            requests: 17,
            rates: Rates {
                connections: 0.5,
                requests: 12.25,
                received: 300.0,
                sent: 2e6,
            },
            queue: Some(Queue {
                length: 0,
                limit: 511,
            }),
            skew: Some(1.5),
            answers: counts(&[("2xx", 12), ("4xx", 2)]),
            closes: counts(&[("complete", 3), ("idle", 0), ("reset", 1)]),
            deaths: counts(&[("signal", 1)]),
            ..PoolStatus::default()
        };
        let busy = Lane {
            state: String::from("writing"),
            since: 12.0,
            peer: Some(String::from("203.0.113.9:4711")),
            request: String::from("GET /\x1b[2J"),
            deadline: Some(-1.0),
            active: 1,
        };
        let worker = |slot, lanes: Vec<Lane>| WorkerStatus {
            pool: String::from("web"),
            slot,
            generation: 3,
            pid: 100,
            age: 60,
            doing: String::from(if lanes.is_empty() { "idle" } else { "writing" }),
            lanes,
            ..WorkerStatus::default()
        };
        Status {
            version: String::from("0.1.0"),
            pid: 7,
            generation: 3,
            ready: true,
            uptime: 11_520,
            reloads: 2,
            listening: String::from("web 127.0.0.1:80"),
            pools: vec![pool],
            workers: vec![
                worker(2, vec![]),
                worker(0, vec![busy.clone(), busy]),
                worker(1, vec![]),
            ],
            ..Status::default()
        }
    }

    fn text(status: &Status, workers: Workers, width: Option<usize>) -> Vec<String> {
        let lines = table(status, workers, width);
        lines.iter().map(|line| line.text(false)).collect()
    }

    #[test]
    fn the_table_says_it_all() {
        assert_eq!(
            text(&sample(), Workers::All, None).join("\n"),
            "PROBLEMS\n\
             web[0] pid 100 is overdue by 1.0s\n\
             \n\
             master 7 running, generation 3, preforkd 0.1.0, up 3h12m, ready, 2 reloads\n\
             listening on web 127.0.0.1:80\n\
             queue_dropped 0\n\
             \n\
             POOL GEN SERVICE MODEL   WANTED READY MOST IDLE ACTIVE BREAKER CONN/S REQ/S IN/S OUT/S QUEUE SKEW CONNECTIONS REQUESTS  DEATHS\n\
             web    3 http    prefork      3     3    8    2      1 closed     0.5  12.2  300  1.9M 0/511 1.50          14       17  signal 1\n\
             \n\
             POOL 1XX 2XX 3XX 4XX 5XX  CLOSES\n\
             web    0  12   0   2   0  complete 3, reset 1\n\
             \n\
             WORKER PID GEN PHASE   AGE ACTIVE CONNECTIONS REQUESTS RECEIVED SENT SINCE    LEFT STATE   CLIENT            REQUEST\n\
             web[0] 100   3 ready 1m00s      0           0        0        0    0   12s OVERDUE writing 203.0.113.9:4711  GET /\\u{1b}[2J\n\
             web[0] 100   3 ready 1m00s      -           -        -        -    -   12s OVERDUE writing 203.0.113.9:4711  GET /\\u{1b}[2J\n\
             web[1] 100   3 ready 1m00s      0           0        0        0    0     -       - idle\n\
             web[2] 100   3 ready 1m00s      0           0        0        0    0     -       - idle"
        );
    }

    #[test]
    fn a_queue_of_datagrams_is_measured_in_octets() {
        let mut status = sample();
        for (length, dropped, expected) in [
            (0, 0, " 0/208K "),
            (4608, 0, " 4.5K/208K "),
            (150 << 10, 12, " 150K/208K,d12 "),
        ] {
            status.pools[0].inbox = Some(Inbox {
                length,
                limit: 208 << 10,
                dropped,
            });
            let lines = text(&status, Workers::All, None);
            let row = lines.iter().find(|line| line.starts_with("web    3 http"));
            assert!(row.unwrap().contains(expected), "{lines:#?}");
        }
    }

    #[test]
    fn colours_are_for_what_is_to_be_seen() {
        let lines = table(&sample(), Workers::All, None);
        let coloured: Vec<String> = lines.iter().map(|line| line.text(true)).collect();
        let reds: Vec<&String> = coloured
            .iter()
            .filter(|line| line.contains("OVERDUE"))
            .collect();
        assert_eq!(reds.len(), 2);
        assert!(
            reds.iter().all(|line| line.matches('\x1b').count() == 3),
            "{reds:?}"
        );
        // What the client sent is none of it.
        assert!(coloured.iter().all(|line| !line.contains("\x1b[2J")));
    }

    #[test]
    fn idle_workers_make_way() {
        let rows = |workers| {
            let lines = text(&sample(), workers, None);
            let rows = lines.iter().filter(|line| line.starts_with("web["));
            (rows.count() - 1, lines.last().unwrap().clone())
        };
        assert_eq!(rows(Workers::Busy).0, 2);
        let (count, last) = rows(Workers::Rows(3));
        assert_eq!(count, 2);
        assert_eq!(last, "and 2 that wait for a connection (| cat shows them)");
        assert_eq!(rows(Workers::Rows(4)).0, 4);
    }

    #[test]
    fn narrow_terminals_keep_what_matters() {
        for width in [20, 40, 80, 120, 200] {
            let lines = text(&sample(), Workers::All, Some(width));
            let table = lines.iter().skip(7);
            assert!(table.clone().all(|line| line.len() <= width), "{lines:#?}");
            assert!(table.clone().any(|line| line.contains("READY")));
            if width >= 40 {
                assert!(
                    table.clone().any(|line| line.contains("OVERDUE")),
                    "{lines:#?}"
                );
            }
        }
    }

    #[test]
    fn an_older_master_is_shown_as_far_as_it_tells() {
        let status: Status = serde_json::from_str(
            r#"{"pid":7,"generation":1,"state":"stopping","listening":"","pools":[],"workers":
               [{"pool":"web","slot":0,"pid":8,"phase":"ready","doing":"reading GET / for 1.0s"}]}"#,
        )
        .unwrap();
        assert_eq!(status.state, MasterState::Stopping);
        let lines = text(&status, Workers::Busy, None);
        assert!(lines.contains(&String::from("master 7 stopping, generation 1")));
        assert!(lines.last().unwrap().ends_with(" reading GET / for 1.0s"));
    }
}
