//! The live picture: what is known, and how it is shown on so many columns and
//! rows. Reads no clock and no terminal.

use super::super::columns::{self, Cell, Column, numbers, words};
use super::super::line::{Line, Style, clean, duration, octets, rate};
use super::super::problems::problems;
use super::super::table::{breaker, head, is_busy, lane, queue};
use super::super::verdict::Silence;
use super::rates::Rates;
use crate::calendar::Civil;
use crate::status::{Lane, Phase, PoolStatus, Status, WorkerStatus};
use std::path::Path;
use std::time::{Duration, Instant};

/// An answer that takes longer than this is worth a word.
const SLOW: Duration = Duration::from_secs(1);

/// What busy workers are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The longest in its state first.
    Since,
    /// The least time left first.
    Left,
    /// The most requests first.
    Requests,
    /// By name.
    Name,
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Self::Since => Self::Left,
            Self::Left => Self::Requests,
            Self::Requests => Self::Name,
            Self::Name => Self::Since,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Since => "age",
            Self::Left => "time left",
            Self::Requests => "requests",
            Self::Name => "name",
        }
    }
}

/// Since when the master has not been heard.
#[derive(Debug)]
struct Lost {
    since: Instant,
    clock: String,
    what: &'static str,
    reason: String,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct View {
    control: String,
    pause: Duration,
    status: Option<(Status, Instant)>,
    rates: Rates,
    lost: Option<Lost>,
    pool: Option<String>,
    order: Order,
    paused: bool,
    help: bool,
}

const POOLS: [Column; 11] = [
    words("POOL", 0),
    numbers("WANTED", 5),
    numbers("READY", 1),
    numbers("IDLE", 3),
    numbers("ACTIVE", 2),
    numbers("REQ/S", 0),
    numbers("CONN/S", 3),
    numbers("IN/S", 4),
    numbers("OUT/S", 2),
    numbers("QUEUE", 2),
    words("BREAKER", 1),
];

const WORKERS: [Column; 8] = [
    words("WORKER", 0),
    numbers("PID", 1),
    numbers("GEN", 5),
    numbers("SINCE", 0),
    numbers("LEFT", 2),
    words("STATE", 0),
    words("CLIENT", 4),
    words("REQUEST", 2),
];

/// What each letter of the scoreboard means, in the order of the legend.
const LEGEND: &str = "_ idle  R reading  W writing  K keep-alive  C closing  E event, fork or program  \
     S starting  G going  X killed  ! overdue";

const KEYS: [&str; 6] = [
    "q, Esc    quit",
    "space     pause, and go on",
    "s         sort the busy workers by age, time left, requests or name",
    "p         the next pool alone, then all of them",
    "Ctrl-L    draw anew",
    "?         this help, and back",
];

impl View {
    pub(super) fn new(control: &Path, pause: Duration, pool: Option<String>) -> Self {
        Self {
            control: control.display().to_string(),
            pause,
            status: None,
            rates: Rates::default(),
            lost: None,
            pool,
            order: Order::Since,
            paused: false,
            help: false,
        }
    }

    /// An answer has come.
    pub(super) fn note(&mut self, now: Instant, status: Status) {
        self.rates.note(now, &status);
        self.status = Some((status, now));
        self.lost = None;
    }

    /// None has; `local` is the time of day.
    pub(super) fn lost(&mut self, now: Instant, local: &Civil, silence: &Silence) {
        let (hour, minute, second) = (local.hour, local.minute, local.second);
        let lost = self.lost.get_or_insert_with(|| Lost {
            since: now,
            clock: format!("{hour:02}:{minute:02}:{second:02}"),
            what: "",
            reason: String::new(),
        });
        lost.reason = silence.brief();
        lost.what = match silence {
            Silence::NoSocket | Silence::Nobody(_) => "NO MASTER",
            Silence::Barred(_) | Silence::Mute(_) => "NO ANSWER",
        };
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: char) {
        match key {
            ' ' => self.paused = !self.paused,
            's' => self.order = self.order.next(),
            'p' => self.pool = self.next_pool(),
            '?' | 'h' => self.help = !self.help,
            // Nothing is on it.
            _ => {}
        }
    }

    /// After the last pool come all of them.
    fn next_pool(&self) -> Option<String> {
        let (status, _) = self.status.as_ref()?;
        let mut names = status.pools.iter().map(|pool| pool.name.clone());
        if let Some(shown) = &self.pool {
            names.find(|name| name == shown);
        }
        names.next()
    }

    /// The picture. `waiting` is how long an answer has been owed.
    pub(super) fn lines(
        &self,
        columns: usize,
        rows: usize,
        now: Instant,
        waiting: Option<Duration>,
    ) -> Vec<Line> {
        let mut lines = self.banner(columns, now, waiting);
        if self.help {
            lines.extend(KEYS.map(|key| Line::new(Style::Plain, key)));
            lines.extend(Line::new(Style::Faint, LEGEND).wrapped(columns));
        } else if let Some((status, _)) = &self.status {
            self.body(status, columns, rows, &mut lines);
        }
        // The last row tells the keys, wherever there is one to spare.
        if rows > 4 {
            lines.truncate(rows - 1);
            lines.resize(rows - 1, Line::default());
            lines.push(self.footer());
        }
        lines.truncate(rows);
        lines
    }

    /// Who it is about, and why it may not be true any more.
    fn banner(&self, columns: usize, now: Instant, waiting: Option<Duration>) -> Vec<Line> {
        let mut lines = Vec::new();
        match &self.status {
            Some((status, _)) => lines.push(head(status)),
            None => {
                let text = format!("control socket {}", self.control);
                lines.push(Line::new(Style::Plain, &text));
            }
        }
        if let Some(Lost {
            since,
            clock,
            what,
            reason,
        }) = &self.lost
        {
            let age = duration(now.saturating_duration_since(*since).as_secs_f64());
            let text = format!("{what} since {clock} ({age}): {reason}");
            lines.extend(Line::new(Style::Serious, &text).wrapped(columns));
        } else if let Some(waiting) = waiting.filter(|waiting| *waiting >= SLOW) {
            let text = format!(
                "the master has owed an answer for {}",
                duration(waiting.as_secs_f64())
            );
            lines.extend(Line::new(Style::Serious, &text).wrapped(columns));
        }
        if self.paused {
            let age = self.status.as_ref().map_or(Duration::ZERO, |(_, heard)| {
                now.saturating_duration_since(*heard)
            });
            let age = duration(age.as_secs_f64());
            let text = format!("PAUSED: this is {age} old; space goes on");
            lines.push(Line::new(Style::Notable, &text));
        }
        lines
    }

    fn footer(&self) -> Line {
        let pool = self.pool.as_deref().map_or_else(String::new, clean);
        let which = if pool.is_empty() { "all pools" } else { &pool };
        Line::new(
            Style::Faint,
            &format!(
                "q quit  ? help  space pause  p {which}  s by {}  every {}",
                self.order.name(),
                duration(self.pause.as_secs_f64())
            ),
        )
    }

    fn body(&self, status: &Status, columns: usize, rows: usize, lines: &mut Vec<Line>) {
        let shown = |name: &str| self.pool.as_deref().is_none_or(|pool| pool == name);
        // What is wrong may be much, and must leave room for the rest.
        let wrong = problems(status);
        let room = (rows / 4).max(1);
        let count = wrong.len();
        for problem in wrong.into_iter().take(room) {
            lines.push(problem.cut(columns));
        }
        if count > room {
            let text = format!("and {} problems more: preforkd status", count - room);
            lines.push(Line::new(Style::Notable, &text));
        }
        let pools: Vec<&PoolStatus> = status
            .pools
            .iter()
            .filter(|pool| shown(&pool.name))
            .collect();
        let table: Vec<_> = pools.iter().map(|pool| self.pool_row(pool)).collect();
        lines.extend(columns::lines(&POOLS, &table, Some(columns)));
        // Where there is room, parts are parted.
        let airy = rows >= 20;
        if airy {
            lines.push(Line::default());
        }
        let mut workers: Vec<&WorkerStatus> = status
            .workers
            .iter()
            .filter(|worker| shown(&worker.pool))
            .collect();
        workers.sort_by_key(|worker| (&worker.pool, worker.slot, worker.generation));
        // Half of what is left for the scoreboard, at most.
        let left = rows.saturating_sub(lines.len() + 3);
        let mut board = scoreboard(&pools, &workers, columns);
        let too_much = board.len() > (left / 2).max(1);
        board.truncate((left / 2).max(1));
        if too_much && let Some(last) = board.last_mut() {
            *last = std::mem::take(last).cut(columns.saturating_sub(4));
            last.push(Style::Faint, " ...");
        }
        lines.extend(board);
        if airy {
            lines.push(Line::default());
        }
        lines.extend(columns::lines(
            &WORKERS,
            &self.busy(&workers),
            Some(columns),
        ));
    }

    fn pool_row(&self, pool: &PoolStatus) -> Vec<Cell> {
        let speed = self.rates.of(&pool.name);
        let ready = if pool.ready == 0 && pool.wanted > 0 {
            Style::Serious
        } else if pool.ready < pool.wanted {
            Style::Notable
        } else {
            Style::Plain
        };
        let told = |text: Option<String>| Cell::from(text.unwrap_or_default());
        vec![
            Cell::from(pool.name.as_str()),
            Cell::from(pool.wanted.to_string()),
            Cell::styled(ready, pool.ready.to_string()),
            Cell::from(pool.idle.to_string()),
            Cell::from(pool.active.to_string()),
            told(speed.map(|speed| rate(speed.requests))),
            told(speed.map(|speed| rate(speed.connections))),
            told(speed.map(|speed| octets(speed.received))),
            told(speed.map(|speed| octets(speed.sent))),
            queue(pool),
            breaker(pool),
        ]
    }

    /// A row for each lane that does something.
    fn busy(&self, workers: &[&WorkerStatus]) -> Vec<Vec<Cell>> {
        let mut busy: Vec<(&WorkerStatus, Option<&Lane>)> = Vec::new();
        for worker in workers.iter().filter(|worker| is_busy(worker)) {
            if worker.lanes.is_empty() {
                busy.push((worker, None));
            }
            busy.extend(worker.lanes.iter().map(|lane| (*worker, Some(lane))));
        }
        let since = |lane: Option<&Lane>| lane.map_or(0.0, |lane| lane.since);
        let left = |lane: Option<&Lane>| lane.and_then(|lane| lane.deadline);
        match self.order {
            Order::Since => busy.sort_by(|one, other| since(other.1).total_cmp(&since(one.1))),
            Order::Left => busy.sort_by(|one, other| {
                let left = |lane| left(lane).unwrap_or(f64::INFINITY);
                left(one.1).total_cmp(&left(other.1))
            }),
            Order::Requests => busy.sort_by_key(|(worker, _)| std::cmp::Reverse(worker.requests)),
            // They are.
            Order::Name => {}
        }
        let row = |(worker, doing): &(&WorkerStatus, Option<&Lane>)| {
            let mut row = vec![
                Cell::from(format!("{}[{}]", worker.pool, worker.slot)),
                Cell::from(worker.pid.to_string()),
                Cell::from(worker.generation.to_string()),
            ];
            match doing {
                Some(doing) => row.extend(lane(doing)),
                None => {
                    row.resize(5, Cell::default());
                    row.push(Cell::from(state_of(worker)));
                }
            }
            row
        };
        busy.iter().map(row).collect()
    }
}

/// In a word what a worker does that tells of no lane.
fn state_of(worker: &WorkerStatus) -> &str {
    match worker.phase {
        Phase::Ready if !worker.doing.is_empty() => &worker.doing,
        phase
        @ (Phase::Starting | Phase::Ready | Phase::Draining | Phase::Killed | Phase::Gone) => {
            phase.name()
        }
    }
}

/// A letter a lane, pool by pool.
fn scoreboard(pools: &[&PoolStatus], workers: &[&WorkerStatus], columns: usize) -> Vec<Line> {
    let names = pools.iter().map(|pool| clean(&pool.name).len());
    // A long name must leave room for the letters.
    let indent = names.max().unwrap_or(0).min(columns / 3) + 1;
    let mut lines = Vec::new();
    for pool in pools {
        let name = clean(&pool.name);
        let name = name.get(..name.len().min(indent - 1)).unwrap_or(&name);
        let mut line = Line::new(Style::Heading, &format!("{name:<indent$}"));
        let own = workers.iter().filter(|worker| worker.pool == pool.name);
        for (letter, style) in own.flat_map(|worker| letters(worker)) {
            if line.width() >= columns {
                lines.push(line);
                line = Line::new(Style::Plain, &" ".repeat(indent));
            }
            line.push(style, letter.encode_utf8(&mut [0; 4]));
        }
        lines.push(line);
    }
    lines
}

/// What the lanes of a worker do, those that wait last.
fn letters(worker: &WorkerStatus) -> Vec<(char, Style)> {
    let count = worker.lanes.len().max(1);
    match worker.phase {
        Phase::Starting => return vec![('S', Style::Notable)],
        Phase::Draining => return vec![('G', Style::Notable); count],
        Phase::Killed => return vec![('X', Style::Serious); count],
        Phase::Gone => return vec![('.', Style::Faint)],
        Phase::Ready => {}
    }
    let mut letters: Vec<_> = worker.lanes.iter().map(letter).collect();
    let idle = worker.idle_lanes;
    letters.extend(std::iter::repeat_n(('_', Style::Faint), idle));
    if letters.is_empty() {
        // It tells nothing of its lanes.
        letters.push(if is_busy(worker) {
            ('E', Style::Good)
        } else {
            ('_', Style::Faint)
        });
    }
    letters
}

fn letter(lane: &Lane) -> (char, Style) {
    if lane.is_late() {
        return ('!', Style::Serious);
    }
    match lane.state.as_str() {
        "reading" => ('R', Style::Good),
        "writing" => ('W', Style::Good),
        "keep-alive" => ('K', Style::Plain),
        "closing" => ('C', Style::Plain),
        "serving" => ('E', Style::Good),
        // The word of another version.
        _ => ('?', Style::Plain),
    }
}

#[cfg(test)]
mod tests;
