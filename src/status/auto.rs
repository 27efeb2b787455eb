//! The picture in the words of Apache's `server-status?auto`, so that whatever
//! watches Apache can watch us: a `Name: value` a line.
//!
//! Only what is true is told: a field that we do not measure is not there
//! (`Total Duration`, `CPULoad`). What agents ask of the form is kept: the
//! version is `preforkd/` and three numbers with points between, and the
//! scoreboard is shorter than the longest line that a common reader takes.

use super::{Lane, Phase, PoolStatus, Status, WorkerStatus};
use crate::calendar;
use std::fmt::{Display, Write};

/// The letters of the scoreboard, at most.
const LETTERS: usize = 32_768;

/// The text: of one pool, or of all of them.
pub fn text(status: &Status, pool: Option<&str>) -> String {
    let wanted = |name: &str| pool.is_none_or(|pool| pool == name);
    let pools: Vec<&PoolStatus> = status
        .pools
        .iter()
        .filter(|pool| wanted(&pool.name))
        .collect();
    let workers: Vec<&WorkerStatus> = status
        .workers
        .iter()
        .filter(|worker| wanted(&worker.pool))
        .collect();
    // A worker may have counted anything: see crate::scoreboard.
    let sum = |number: fn(&PoolStatus) -> u64| {
        let numbers = pools.iter().map(|pool| number(pool));
        numbers.fold(0, u64::wrapping_add)
    };
    let (accesses, octets) = (sum(|pool| pool.requests), sum(|pool| pool.sent));
    // Apache gives no mean before the first second is over.
    let seconds = status.uptime.max(1);
    let idle = sum(|pool| pool.idle as u64);
    let leaves = |worker: &&&WorkerStatus| worker.phase == Phase::Draining;
    let busy = |worker: &&WorkerStatus| worker.lanes.len();

    let mut page = Page(String::new());
    page.line("ServerVersion", format!("preforkd/{}", status.version));
    page.line("ServerMPM", model(&pools));
    page.line("CurrentTime", moment(status.started + status.uptime));
    page.line("RestartTime", moment(status.started));
    page.line("ParentServerConfigGeneration", status.generation);
    // That one counts from 0.
    let generation = status.generation.saturating_sub(1);
    page.line("ParentServerMPMGeneration", generation);
    page.line("ServerUptimeSeconds", status.uptime);
    page.line("ServerUptime", duration(status.uptime));
    page.line("Total Accesses", accesses);
    page.line("Total kBytes", octets / 1024);
    page.line("Uptime", status.uptime);
    page.line("ReqPerSec", mean(accesses, seconds));
    page.line("BytesPerSec", mean(octets, seconds));
    page.line("BytesPerReq", mean(octets, accesses.max(1)));
    page.line("BusyWorkers", workers.iter().map(busy).sum::<usize>());
    let graceful = workers.iter().filter(leaves).map(busy).sum::<usize>();
    page.line("GracefulWorkers", graceful);
    page.line("IdleWorkers", idle);
    page.line("Processes", workers.len());
    page.line("Stopping", workers.iter().filter(leaves).count());
    page.line("ConnsTotal", sum(|pool| pool.active));
    page.line("Scoreboard", scoreboard(&pools, &workers));
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name}: {value}");
    }
}

/// The model of all pools, or `mixed`.
fn model<'s>(pools: &[&'s PoolStatus]) -> &'s str {
    let mut models = pools.iter().map(|pool| pool.model.as_str());
    let first = models.next().unwrap_or("none");
    if models.all(|model| model == first) {
        first
    } else {
        "mixed"
    }
}

fn mean(sum: u64, count: u64) -> String {
    let mean = sum as f64 / count as f64;
    // As many digits as it takes, and never an exponent.
    format!("{mean}")
}

/// A letter a lane, and a point for each worker that there could be besides.
fn scoreboard(pools: &[&PoolStatus], workers: &[&WorkerStatus]) -> String {
    let mut letters = String::new();
    for worker in workers {
        match worker.phase {
            Phase::Starting => letters.push('S'),
            Phase::Killed | Phase::Gone => letters.push('I'),
            Phase::Draining => {
                let lanes = worker.lanes.len() + worker.idle_lanes;
                letters.extend(std::iter::repeat_n('G', lanes));
            }
            Phase::Ready => {
                letters.extend(worker.lanes.iter().map(letter));
                letters.extend(std::iter::repeat_n('_', worker.idle_lanes));
            }
        }
    }
    for pool in pools {
        let serving = |worker: &&&WorkerStatus| {
            worker.pool == pool.name && matches!(worker.phase, Phase::Starting | Phase::Ready)
        };
        let room = pool
            .most
            .saturating_sub(workers.iter().filter(serving).count());
        // What a sick worker wrote there must not take all memory.
        letters.extend(std::iter::repeat_n('.', room.min(LETTERS)));
    }
    letters.truncate(LETTERS);
    letters
}

fn letter(lane: &Lane) -> char {
    match lane.state.as_str() {
        "reading" => 'R',
        "keep-alive" => 'K',
        "closing" => 'C',
        // Writing, or serving several.
        _ => 'W',
    }
}

/// `Saturday, 21-Nov-2026 14:25:00 UTC`.
fn moment(unix: u64) -> String {
    const DAYS: [&str; 7] = [
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
    ];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = calendar::utc_date(i64::try_from(unix).unwrap_or(i64::MAX));
    format!(
        "{}, {day:02}-{}-{year} {:02}:{:02}:{:02} UTC",
        DAYS[(days % 7) as usize],
        MONTHS[usize::from(month.clamp(1, 12)) - 1],
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// `1 day 2 hours 1 minute 40 seconds`.
fn duration(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "day"),
        (seconds / 3600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let told = |(count, noun): &(u64, &str)| {
        let plural = if *count == 1 { "" } else { "s" };
        format!("{count} {noun}{plural}")
    };
    let begun = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    parts[begun..]
        .iter()
        .map(told)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::status;
    use super::*;

    #[test]
    fn what_nobody_can_have_counted_does_no_harm() {
        let mut scribbled = status();
        for pool in &mut scribbled.pools {
            (pool.requests, pool.sent) = (u64::MAX, u64::MAX);
        }
        assert!(text(&scribbled, None).contains("Total Accesses: "));
    }

    #[test]
    fn all_pools_are_one_server() {
        let text = text(&status(), None);
        for line in [
            "ServerVersion: preforkd/1.2.3",
            "ServerMPM: mixed",
            "CurrentTime: Saturday, 21-Nov-2026 14:25:00 UTC",
            "RestartTime: Saturday, 21-Nov-2026 14:23:20 UTC",
            "ParentServerConfigGeneration: 3",
            "ParentServerMPMGeneration: 2",
            "ServerUptimeSeconds: 100",
            "ServerUptime: 1 minute 40 seconds",
            "Total Accesses: 1000",
            "Total kBytes: 2000",
            "Uptime: 100",
            "ReqPerSec: 10",
            "BytesPerSec: 20480",
            "BytesPerReq: 2048",
            "BusyWorkers: 4",
            "GracefulWorkers: 1",
            "IdleWorkers: 1",
            "Processes: 5",
            "Stopping: 1",
            "ConnsTotal: 4",
            // Of `echo` first; then a point for each that there could be.
            "Scoreboard: WS_RKG...",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(text.lines().all(|line| line.contains(": ")));
    }

    #[test]
    fn a_pool_can_be_asked_for() {
        let text = text(&status(), Some("web"));
        assert!(text.contains("ServerMPM: prefork\n"), "{text}");
        assert!(text.contains("Scoreboard: _RKG..\n"), "{text}");
    }

    #[test]
    fn the_scoreboard_stays_readable() {
        let mut status = status();
        status.pools[0].most = usize::MAX;
        let text = text(&status, None);
        let longest = text.lines().map(str::len).max().unwrap();
        // Where bufio.Scanner of Go, and so the usual exporter, gives up.
        assert!(longest < 64 << 10, "{longest}");
    }

    #[test]
    fn durations_begin_with_what_there_is() {
        assert_eq!(duration(0), "0 seconds");
        assert_eq!(duration(3601), "1 hour 0 minutes 1 second");
        assert_eq!(duration(90_061), "1 day 1 hour 1 minute 1 second");
        assert_eq!(moment(0), "Thursday, 01-Jan-1970 00:00:00 UTC");
    }
}
