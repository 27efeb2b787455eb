//! The scoreboard as a picture: a cell a lane, its colour and its sign for what
//! the lane does.
//!
//! Who cannot tell colours apart reads the sign, who cannot see it reads the
//! sentence beside it. What a cell is about stands in its title.

use super::words::{Number, Span, Text};
use crate::status::{Lane, Phase, WorkerStatus};
use std::fmt::Write;

/// So many cells are drawn on a page, of all pools together.
pub(super) const MAX_CELLS: usize = 4096;

/// What a cell stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Idle,
    Reading,
    Writing,
    KeepAlive,
    Closing,
    /// Several connections at once.
    Many,
    Starting,
    Killed,
}

impl Cell {
    const ALL: [Self; 8] = [
        Self::Idle,
        Self::Reading,
        Self::Writing,
        Self::KeepAlive,
        Self::Closing,
        Self::Many,
        Self::Starting,
        Self::Killed,
    ];

    /// What a busy lane is in the middle of.
    pub(super) fn of(lane: &Lane) -> Self {
        match &*lane.state {
            "reading" => Self::Reading,
            "writing" => Self::Writing,
            "keep-alive" => Self::KeepAlive,
            "closing" => Self::Closing,
            _ => Self::Many,
        }
    }

    /// Its sign, as in Apache's scoreboard where that has one.
    const fn sign(self) -> char {
        match self {
            Self::Idle => '_',
            Self::Reading => 'R',
            Self::Writing => 'W',
            Self::KeepAlive => 'K',
            Self::Closing => 'C',
            Self::Many => 'M',
            Self::Starting => 'S',
            Self::Killed => 'X',
        }
    }

    /// Its class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Idle => "i",
            Self::Reading => "r",
            Self::Writing => "w",
            Self::KeepAlive => "k",
            Self::Closing => "c",
            Self::Many => "m",
            Self::Starting => "s",
            Self::Killed => "x",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Idle => "waits for a client",
            Self::Reading => "reads a request",
            Self::Writing => "sends an answer",
            Self::KeepAlive => "keeps a connection for the next request",
            Self::Closing => "closes a connection",
            Self::Many => "or a number: so many connections at once",
            Self::Starting => "starts",
            Self::Killed => "is killed",
        }
    }

    const fn counted(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Reading => "reading",
            Self::Writing => "writing",
            Self::KeepAlive => "keep-alive",
            Self::Closing => "closing",
            Self::Many => "with several connections",
            Self::Starting => "starting",
            Self::Killed => "killed",
        }
    }
}

/// Draws the lanes of some workers, as long as there are cells left.
pub(super) fn draw(out: &mut String, workers: &[&WorkerStatus], left: &mut usize) {
    let mut counts = [0u64; Cell::ALL.len()];
    let mut draining = 0;
    for worker in workers {
        draining += u64::from(worker.phase == Phase::Draining);
        for (cell, _, many) in cells(worker) {
            counts[cell as usize] += many as u64;
        }
    }
    let said: Vec<String> = Cell::ALL
        .iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .map(|(cell, count)| format!("{} {}", Number(count), cell.counted()))
        .collect();
    let mut said = said.join(", ");
    if workers.is_empty() {
        said.push_str("no worker");
    }
    if draining > 0 {
        let _ = write!(said, "; {} workers drain", Number(draining));
    }
    let _ = write!(
        out,
        "<p class=soft>{said}</p>\n<div class=board aria-hidden=true>"
    );
    let mut missing = 0;
    for worker in workers {
        for (cell, lane, many) in cells(worker) {
            let drawn = many.min(*left);
            *left -= drawn;
            missing += many - drawn;
            for _ in 0..drawn {
                put(out, worker, cell, lane);
            }
        }
    }
    out.push_str("</div>\n");
    if missing > 0 {
        let missing = Number(missing as u64);
        let _ = writeln!(out, "<p class=soft>and {missing} more, not drawn</p>");
    }
}

/// What the signs mean.
pub(super) fn explain(out: &mut String) {
    out.push_str("<ul class=legend>\n");
    for cell in Cell::ALL {
        let (class, sign) = (cell.class(), cell.sign());
        let _ = writeln!(
            out,
            "<li><kbd class={class}>{sign}</kbd> {}</li>",
            cell.meaning()
        );
    }
    out.push_str(
        "<li><kbd class=\"w d\">w</kbd> a small letter, or <kbd class=d>-</kbd>: \
         the worker drains</li>\n<li><kbd class=\"w late\">W</kbd> a frame: it should have \
         moved on already</li>\n</ul>\n",
    );
}

/// The cells of a worker, those that are alike together.
fn cells(worker: &WorkerStatus) -> impl Iterator<Item = (Cell, Option<&Lane>, usize)> {
    let instead = match worker.phase {
        Phase::Starting => Some(Cell::Starting),
        Phase::Killed | Phase::Gone => Some(Cell::Killed),
        Phase::Ready | Phase::Draining => None,
    };
    let whole = instead.map(|cell| (cell, None, 1));
    let serves = instead.is_none();
    let busy = worker.lanes.iter().filter(move |_| serves);
    let busy = busy.map(|lane| (Cell::of(lane), Some(lane), 1));
    let idle = serves.then_some((Cell::Idle, None, worker.idle_lanes));
    whole.into_iter().chain(busy).chain(idle)
}

fn put(out: &mut String, worker: &WorkerStatus, cell: Cell, lane: Option<&Lane>) {
    let drains = worker.phase == Phase::Draining;
    let late = lane.is_some_and(Lane::is_late);
    out.push_str("<i");
    let number = lane.filter(|_| cell == Cell::Many).map(|lane| lane.active);
    let marks = [
        (cell != Cell::Idle, cell.class()),
        (drains, "d"),
        (late, "late"),
        (number.is_some_and(|count| count > 9), "z"),
    ];
    let classes: Vec<&str> = marks
        .iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, class)| *class)
        .collect();
    match *classes {
        [] => {}
        [class] => {
            let _ = write!(out, " class={class}");
        }
        [..] => {
            let _ = write!(out, " class=\"{}\"", classes.join(" "));
        }
    }
    let _ = write!(out, " title=\"{}[{}]", Text(&worker.pool), worker.slot);
    if let Some(lane) = lane {
        let _ = write!(out, ", {} for {}", Text(&lane.state), Span(lane.since));
        for (before, text) in [
            (", ", lane.peer.as_deref().unwrap_or_default()),
            (", ", &lane.request),
        ] {
            if !text.is_empty() {
                let _ = write!(out, "{before}{}", Text(text));
            }
        }
    }
    out.push_str("\">");
    match (number, drains) {
        (Some(count), _) => {
            let _ = write!(out, "{count}");
        }
        (None, true) if cell == Cell::Idle => out.push('-'),
        (None, true) => out.push(cell.sign().to_ascii_lowercase()),
        (None, false) => out.push(cell.sign()),
    }
    out.push_str("</i>");
}
