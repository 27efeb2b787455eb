//! The picture as a page for people.
//!
//! It wants no script, no picture and nothing from elsewhere; it is read on a
//! telephone, in the dark and by a machine that speaks. However many workers
//! there are, it stays of a size that a browser bears: the cells of the
//! scoreboard and the rows of the table are bounded, and the page says so.
//! Everything that a client could have written is written by `words::Text`.

mod board;
mod words;

use super::{Inbox, MasterState, Phase, PoolStatus, Status, WorkerStatus};
use board::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;
use words::{Number, Octets, Rate, Span, Text};

/// What the page is to be like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look<'a> {
    /// The pool that answers.
    pub pool: &'a str,
    /// After so many seconds it is to be loaded again.
    pub refresh: Option<u16>,
}

/// So many rows the table of workers has at most.
pub const MAX_ROWS: usize = 256;

/// The least of a page, and what a pool and a worker add to it, in octets.
const USUAL: (usize, usize, usize) = (16 * 1024, 2048, 128);

/// The page.
pub fn page(status: &Status, look: Look<'_>) -> String {
    let (least, pool, worker) = USUAL;
    let room = least + status.pools.len() * pool + status.workers.len() * worker;
    let mut out = String::with_capacity(room);
    begin(&mut out, status, look);
    alarms(&mut out, status);
    tiles(&mut out, status);
    scoreboard(&mut out, status);
    pools(&mut out, status, look);
    workers(&mut out, status);
    end(&mut out, status, look);
    out
}

/// Writing to a String cannot fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {
        let _ = write!($out, $($text)*);
    };
}

fn begin(out: &mut String, status: &Status, look: Look<'_>) {
    out.push_str("<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n");
    out.push_str("<meta name=viewport content=\"width=device-width,initial-scale=1\">\n");
    out.push_str("<meta name=robots content=noindex>\n");
    if let Some(seconds) = look.refresh {
        put!(out, "<meta http-equiv=refresh content={seconds}>\n");
    }
    let title = if status.ready { "" } else { "not ready: " };
    put!(out, "<title>{title}preforkd status</title>\n<style>\n");
    out.push_str(include_str!("html/page.css"));
    out.push_str("</style>\n</head>\n<body>\n<header>\n<h1>Server status</h1>\n");
    let (class, ready) = match status.ready {
        true => ("good", "ready"),
        false => ("bad", "not ready"),
    };
    put!(
        out,
        "<p><span class={class}>{ready}</span>, {}, generation {}, up {}</p>\n</header>\n",
        status.state.name(),
        status.generation,
        Span(status.uptime as f64)
    );
    put!(
        out,
        "<p class=soft>preforkd {}, master process {}, listening on {}</p>\n",
        Text(&status.version),
        status.pid,
        Text(&status.listening)
    );
}

/// What somebody should look at, if there is anything.
fn alarms(out: &mut String, status: &Status) {
    let mut said: Vec<String> = Vec::new();
    match status.state {
        MasterState::Withdrawing => {
            said.push("A stop was asked for: clients are served until it begins.".to_owned());
        }
        MasterState::Stopping => said.push("The server is stopping.".to_owned()),
        MasterState::Running | MasterState::Reloading | MasterState::Upgrading => {
            if !status.ready {
                said.push("New clients are not welcome: nobody serves them.".to_owned());
            }
        }
    }
    for pool in &status.pools {
        let name = Text(&pool.name);
        if pool.breaker != "closed" {
            let breaker = Text(&pool.breaker);
            said.push(format!(
                "Pool {name}: workers keep dying, the breaker is {breaker}."
            ));
        }
        if pool.ready == 0 && pool.wanted > 0 {
            said.push(format!("Pool {name}: no worker is ready."));
        }
        if let Some(inbox) = pool.inbox
            && inbox.is_filling()
        {
            let [length, limit] = [inbox.length, inbox.limit].map(|count| Octets(count as f64));
            said.push(format!(
                "Pool {name}: datagrams that wait take {length} of {limit}; what has no room is lost."
            ));
        }
        if let Some(queue) = pool.queue
            && queue.is_filling()
        {
            let (length, limit) = (Number(queue.length), Number(queue.limit));
            said.push(format!(
                "Pool {name}: {length} of {limit} places in the accept queue are taken."
            ));
        }
    }
    said.extend(late(status));
    if status.queue_dropped > 0 {
        let lost = Number(status.queue_dropped);
        said.push(format!(
            "{lost} clients were lost in queues that were closed."
        ));
    }
    if status.reload_refused {
        let text = "The last reload was refused and changed nothing: the log says why.";
        said.push(text.to_owned());
    }
    if said.is_empty() {
        return;
    }
    out.push_str("<ul class=alarm role=status>\n");
    for line in said {
        put!(out, "<li>{line}</li>\n");
    }
    out.push_str("</ul>\n");
}

/// Who should have moved on already, whoever is late by most by name.
fn late(status: &Status) -> Option<String> {
    let mut count = 0;
    let mut worst: Option<(&WorkerStatus, f64)> = None;
    for worker in &status.workers {
        for lane in worker.lanes.iter().filter(|lane| lane.is_late()) {
            count += 1;
            let by = -lane.deadline.unwrap_or_default();
            if worst.is_none_or(|(_, most)| by > most) {
                worst = Some((worker, by));
            }
        }
    }
    let (worker, by) = worst?;
    let (pool, slot, pid, by) = (Text(&worker.pool), worker.slot, worker.pid, Span(by));
    Some(match count {
        1 => format!("{pool}[{slot}], process {pid}, should have moved on {by} ago."),
        _ => format!(
            "{} lanes should have moved on already, that of {pool}[{slot}], process {pid}, \
             {by} ago.",
            Number(count)
        ),
    })
}

fn tiles(out: &mut String, status: &Status) {
    let sum = |of: fn(&PoolStatus) -> f64| status.pools.iter().map(of).sum::<f64>();
    let lanes = |of: fn(&WorkerStatus) -> usize| status.workers.iter().map(of).sum::<usize>();
    let active: u64 = status.pools.iter().map(|pool| pool.active).sum();
    let requests = status.pools.iter().map(|pool| pool.requests);
    // A worker may have counted anything: see crate::scoreboard.
    let requests = requests.fold(0, u64::wrapping_add);
    let busy = lanes(|worker| worker.lanes.len());
    let all = busy + lanes(|worker| worker.idle_lanes);
    let (busy, all) = (Number(busy as u64), Number(all as u64));
    let tiles = [
        (
            "requests/s",
            Rate(sum(|pool| pool.rates.requests)).to_string(),
        ),
        (
            "connections/s",
            Rate(sum(|pool| pool.rates.connections)).to_string(),
        ),
        ("sent/s", Octets(sum(|pool| pool.rates.sent)).to_string()),
        (
            "received/s",
            Octets(sum(|pool| pool.rates.received)).to_string(),
        ),
        ("busy lanes", format!("{busy} of {all}")),
        ("open connections", Number(active).to_string()),
        ("requests so far", Number(requests).to_string()),
    ];
    out.push_str("<dl class=tiles>\n");
    for (name, value) in tiles {
        put!(
            out,
            "<div class=tile><dt>{name}</dt><dd>{value}</dd></div>\n"
        );
    }
    out.push_str("</dl>\n");
}

fn scoreboard(out: &mut String, status: &Status) {
    out.push_str("<section aria-labelledby=board>\n<h2 id=board>Scoreboard</h2>\n");
    let mut left = board::MAX_CELLS;
    let mut by_pool: BTreeMap<&str, Vec<&WorkerStatus>> = BTreeMap::new();
    for worker in &status.workers {
        by_pool.entry(&worker.pool).or_default().push(worker);
    }
    // Those that no generation has any more but to drain come last.
    let mut order: Vec<&str> = status.pools.iter().map(|pool| &*pool.name).collect();
    let gone = by_pool.keys().filter(|name| !order.contains(name));
    order.extend(gone.copied().collect::<Vec<_>>());
    for pool in order {
        put!(out, "<h3>{}</h3>\n", Text(pool));
        let workers = by_pool.get(pool).map(Vec::as_slice).unwrap_or_default();
        board::draw(out, workers, &mut left);
    }
    board::explain(out);
    out.push_str("</section>\n");
}

fn pools(out: &mut String, status: &Status, look: Look<'_>) {
    out.push_str("<section aria-labelledby=pools>\n<h2 id=pools>Pools</h2>\n<div class=pools>\n");
    for pool in &status.pools {
        self::pool(out, pool, look);
    }
    out.push_str("</div>\n</section>\n");
}

fn pool(out: &mut String, pool: &PoolStatus, look: Look<'_>) {
    put!(out, "<article>\n<h3>{}</h3>\n", Text(&pool.name));
    let here = if pool.name == look.pool {
        "; answers this"
    } else {
        ""
    };
    put!(
        out,
        "<p class=soft>{}, {}, {}, generation {}{here}</p>\n<dl>\n",
        Text(&pool.service),
        Text(&pool.model),
        Text(&pool.accept),
        pool.generation
    );
    let class = if pool.ready < pool.wanted {
        "bad"
    } else {
        "good"
    };
    put!(
        out,
        "<dt>workers</dt><dd><span class={class}>{}</span> of {} ready, {} at most; {} idle</dd>\n",
        pool.ready,
        pool.wanted,
        pool.most,
        pool.idle
    );
    let (class, meaning) = match &*pool.breaker {
        "closed" => ("good", "all is well"),
        "probing" => ("bad", "workers keep dying, one is being tried"),
        _ => ("bad", "workers keep dying, none is spawned"),
    };
    put!(
        out,
        "<dt>breaker</dt><dd><span class={class}>{}</span>: {meaning}</dd>\n",
        Text(&pool.breaker)
    );
    out.push_str("<dt>queue</dt><dd>");
    match (pool.queue, pool.inbox) {
        (_, Some(inbox)) => datagrams(out, inbox),
        (Some(queue), None) => {
            let (length, limit) = (queue.length.min(queue.limit), queue.limit.max(1));
            let high = limit.saturating_mul(4) / 5;
            put!(
                out,
                "<meter min=0 max={limit} high={high} optimum=0 value={length} \
                 aria-label=\"accept queue\"></meter>{} of {}",
                Number(queue.length),
                Number(queue.limit)
            );
        }
        (None, None) => out.push_str("<span class=soft>not known</span>"),
    }
    out.push_str("</dd>\n");
    put!(
        out,
        "<dt>now</dt><dd>{} open; {} requests/s, {} connections/s, {}/s out, {}/s in</dd>\n",
        Number(pool.active),
        Rate(pool.rates.requests),
        Rate(pool.rates.connections),
        Octets(pool.rates.sent),
        Octets(pool.rates.received)
    );
    put!(
        out,
        "<dt>so far</dt><dd>{} requests, {} of them probes; {} connections; {} out, {} in</dd>\n",
        Number(pool.requests),
        Number(pool.probes),
        Number(pool.connections),
        Octets(pool.sent as f64),
        Octets(pool.received as f64)
    );
    counted(out, "answers", &pool.answers);
    counted(out, "closes", &pool.closes);
    for (name, counts) in [("turned away", &pool.shed), ("spared", &pool.spared)] {
        if counts.values().any(|count| *count > 0) {
            counted(out, name, counts);
        }
    }
    counted(out, "deaths", &pool.deaths);
    put!(out, "<dt>forked</dt><dd>{} workers", Number(pool.spawned));
    if let Some(skew) = pool.skew {
        put!(out, "; the busiest served {skew:.2} times the mean");
    }
    out.push_str("</dd>\n</dl>\n</article>\n");
}

/// How full the queues for datagrams are, and what found no room.
fn datagrams(out: &mut String, inbox: Inbox) {
    let (length, limit) = (inbox.length.min(inbox.limit), inbox.limit.max(1));
    let high = limit.saturating_mul(4) / 5;
    put!(
        out,
        "<meter min=0 max={limit} high={high} optimum=0 value={length} \
         aria-label=\"queue of datagrams\"></meter>{} of {}; {} lost",
        Octets(inbox.length as f64),
        Octets(inbox.limit as f64),
        Number(inbox.dropped)
    );
}

/// What there was of each kind, the most frequent first.
fn counted(out: &mut String, name: &str, counts: &BTreeMap<String, u64>) {
    let mut counts: Vec<(&str, u64)> = counts
        .iter()
        .map(|(kind, count)| (&**kind, *count))
        .filter(|(_, count)| *count > 0)
        .collect();
    if name != "answers" {
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }
    put!(out, "<dt>{name}</dt><dd>");
    if counts.is_empty() {
        out.push_str("<span class=soft>none</span>");
    }
    for (at, (kind, count)) in counts.into_iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        put!(out, "{comma}{} {}", Text(kind), Number(count));
    }
    out.push_str("</dd>\n");
}

/// A row of the table: a lane that is busy, or a worker with none.
struct Row<'s> {
    worker: &'s WorkerStatus,
    lane: Option<&'s super::Lane>,
}

impl Row<'_> {
    /// What somebody looks for comes first: who is late, then who is at work,
    /// whoever has been for longest before the others.
    fn key(&self) -> (u8, f64, &str, usize) {
        let (rank, since) = match self.lane {
            Some(lane) if lane.is_late() => (0, lane.since),
            Some(lane) => match Cell::of(lane) {
                Cell::Reading | Cell::Writing | Cell::Closing | Cell::Many => (2, lane.since),
                Cell::KeepAlive | Cell::Idle | Cell::Starting | Cell::Killed => (3, lane.since),
            },
            None => match self.worker.phase {
                Phase::Killed | Phase::Gone => (1, 0.0),
                Phase::Starting | Phase::Draining => (4, 0.0),
                Phase::Ready => (5, 0.0),
            },
        };
        (rank, -since, &self.worker.pool, self.worker.slot)
    }

    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let (own, others) = (self.key(), other.key());
        own.0
            .cmp(&others.0)
            .then(own.1.total_cmp(&others.1))
            .then((own.2, own.3).cmp(&(others.2, others.3)))
    }
}

fn workers(out: &mut String, status: &Status) {
    let mut rows: Vec<Row<'_>> = Vec::with_capacity(status.workers.len());
    for worker in &status.workers {
        let lanes = worker.lanes.iter().map(|lane| Row {
            worker,
            lane: Some(lane),
        });
        rows.extend(lanes);
        if worker.lanes.is_empty() {
            rows.push(Row { worker, lane: None });
        }
    }
    let all = rows.len();
    if all > MAX_ROWS {
        rows.select_nth_unstable_by(MAX_ROWS, Row::compare);
        rows.truncate(MAX_ROWS);
    }
    rows.sort_by(Row::compare);
    out.push_str(
        "<section aria-labelledby=workers>\n<h2 id=workers>Workers</h2>\n\
         <div class=scroll role=region aria-labelledby=workers tabindex=0>\n<table>\n<caption>",
    );
    let (shown, all) = (Number(rows.len() as u64), Number(all as u64));
    put!(
        out,
        "{shown} of {all} rows, a row a busy lane or an idle worker; those that are late \
         or busy first</caption>\n<thead><tr><th scope=col>Worker<th scope=col class=n>Process\
         <th scope=col class=n>Gen.<th scope=col>Phase<th scope=col>State\
         <th scope=col class=n>For<th scope=col class=n>Due in<th scope=col>Client\
         <th scope=col>Last request<th scope=col class=n>Connections\
         <th scope=col class=n>Requests<th scope=col class=n>Sent<th scope=col class=n>Age\
         </tr></thead>\n<tbody>\n"
    );
    for row in rows {
        self::row(out, &row);
    }
    out.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn row(out: &mut String, Row { worker, lane }: &Row<'_>) {
    put!(
        out,
        "<tr><th scope=row>{}[{}]<td class=n>{}<td class=n>{}<td>{}",
        Text(&worker.pool),
        worker.slot,
        worker.pid,
        worker.generation,
        worker.phase.name()
    );
    match lane {
        Some(lane) => {
            let state = Text(&lane.state);
            put!(out, "<td><span class={}>{state}</span>", mark(lane));
            put!(out, "<td class=n>{}", Span(lane.since));
            match lane.deadline {
                Some(left) if lane.is_late() => {
                    put!(out, "<td class=\"n bad\">{} late", Span(-left));
                }
                // At work: it is due now.
                Some(left) if left <= 0.0 => out.push_str("<td class=n>now"),
                Some(left) => {
                    put!(out, "<td class=n>{}", Span(left));
                }
                None => out.push_str("<td>"),
            }
            match &lane.peer {
                Some(peer) => {
                    put!(out, "<td>{}", Text(peer));
                }
                None if lane.active > 1 => {
                    put!(out, "<td>{} of them", Number(lane.active));
                }
                None => out.push_str("<td>"),
            }
            put!(out, "<td class=q>{}", Text(&lane.request));
        }
        None => {
            let doing = if worker.phase == Phase::Ready {
                "idle"
            } else {
                &worker.doing
            };
            put!(out, "<td>{}<td><td><td><td>", Text(doing));
        }
    }
    put!(
        out,
        "<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>\n",
        Number(worker.connections),
        Number(worker.requests),
        Octets(worker.sent as f64),
        Span(worker.age as f64)
    );
}

/// The class of a lane's state in the table.
fn mark(lane: &super::Lane) -> &'static str {
    if lane.is_late() {
        "bad"
    } else {
        Cell::of(lane).class()
    }
}

fn end(out: &mut String, status: &Status, look: Look<'_>) {
    let (reloads, refused) = (Number(status.reloads), Number(status.reloads_refused));
    put!(out, "<footer>\n<p>{reloads} reloads, {refused} refused; ");
    let now = i64::try_from(status.started.saturating_add(status.uptime)).unwrap_or(i64::MAX);
    let (year, month, day) = crate::calendar::utc_date(now);
    let second = now.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    put!(
        out,
        "as of {year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC</p>\n<p>"
    );
    match look.refresh {
        Some(seconds) => {
            put!(
                out,
                "Loaded again every {seconds} s: <a href=\"?\">stop that</a>"
            );
        }
        None => out.push_str(
            "Load again every <a href=\"?refresh=2\">2 s</a>, \
             <a href=\"?refresh=10\">10 s</a>, <a href=\"?refresh=60\">60 s</a>",
        ),
    }
    out.push_str(
        "; for programs: <a href=\"?json\">JSON</a>, <a href=\"?auto\">Apache's names</a></p>\n\
         </footer>\n</body>\n</html>\n",
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
