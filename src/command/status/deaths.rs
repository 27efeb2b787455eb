//! The last deaths: a table of them, and all that is known of each.

use super::columns::{self, Cell, Column, numbers, words};
use super::line::{Line, Style, duration, octets};
use crate::status::{Death, Lane};
use crate::sys::clock;

const COLUMNS: [Column; 9] = [
    words("TIME", 0),
    words("WORKER", 0),
    numbers("PID", 1),
    numbers("GEN", 2),
    words("CAUSE", 0),
    numbers("AGE", 1),
    numbers("CUT", 1),
    numbers("REQUESTS", 3),
    words("HOW", 0),
];

/// A table, and below it a paragraph each, the newest last.
pub(super) fn table(deaths: &[Death], width: Option<usize>) -> Vec<Line> {
    if deaths.is_empty() {
        return vec![Line::new(Style::Plain, "no death of a worker to tell of")];
    }
    let rows: Vec<Vec<Cell>> = deaths.iter().map(row).collect();
    let mut lines = columns::lines(&COLUMNS, &rows, width);
    for death in deaths {
        lines.push(Line::default());
        lines.extend(paragraph(death));
    }
    lines
}

fn row(death: &Death) -> Vec<Cell> {
    let cut = if death.cut > 0 {
        Style::Serious
    } else {
        Style::Plain
    };
    vec![
        // One field, for awk(1).
        Cell::from(time(death.time, 'T')),
        Cell::from(name(death)),
        Cell::from(death.pid.to_string()),
        Cell::from(death.generation.to_string()),
        Cell::styled(style(death), death.cause.as_str()),
        Cell::from(duration(death.age)),
        Cell::styled(cut, death.cut.to_string()),
        Cell::from(death.requests.to_string()),
        Cell::from(death.how.as_str()),
    ]
}

fn style(death: &Death) -> Style {
    match death.cause.as_str() {
        "finished" => Style::Plain,
        "at-once" | "overdue" => Style::Notable,
        _ => Style::Serious,
    }
}

fn name(death: &Death) -> String {
    format!("{}[{}]", death.pool, death.slot)
}

fn paragraph(death: &Death) -> Vec<Line> {
    let mut head = Line::new(
        Style::Heading,
        &format!(
            "{}  {} pid {} gen {} ",
            time(death.time, ' '),
            name(death),
            death.pid,
            death.generation
        ),
    );
    head.push(style(death), &format!("[{}] {}", death.cause, death.how));
    let mut lines = vec![head];
    let mut say = |name: &str, text: &str| {
        if !text.is_empty() {
            let mut line = Line::new(Style::Faint, &format!("  {name:<13}"));
            line.push(Style::Plain, text);
            lines.push(line);
        }
    };
    let mut lived = duration(death.age);
    // Of a program nobody knows, and of others it is nothing to tell of.
    if (death.connections, death.requests, death.cut) != (0, 0, 0) {
        lived.push_str(&format!(
            ", for {} connections and {} requests; {} cut by its death",
            death.connections, death.requests, death.cut
        ));
    }
    say("lived", &lived);
    say("it was", &death.doing);
    for lane in &death.lanes {
        say("busy with", &busy(lane));
    }
    say("last request", &death.last_request);
    say("process", &death.process);
    let usage = &death.usage;
    say(
        "used",
        &format!(
            "{:.2}s user, {:.2}s system, {} octets at most",
            usage.user,
            usage.system,
            octets(usage.max_rss as f64 * 1024.0),
        ),
    );
    say(
        "",
        &format!(
            "{} minor and {} major page faults, {} voluntary and {} involuntary switches",
            usage.minor_faults,
            usage.major_faults,
            usage.voluntary_switches,
            usage.involuntary_switches
        ),
    );
    lines
}

fn busy(lane: &Lane) -> String {
    let mut text = format!("{} for {}", lane.state, duration(lane.since));
    for more in [lane.peer.as_deref().unwrap_or(""), &lane.request] {
        if !more.is_empty() {
            text.push_str(", ");
            text.push_str(more);
        }
    }
    match lane.deadline {
        Some(left) if lane.is_late() => {
            text.push_str(&format!(", overdue by {}", duration(-left)));
        }
        Some(left) => text.push_str(&format!(", {} left", duration(left))),
        None => {}
    }
    text
}

/// `2026-11-21 05:25:42.357`, local time.
fn time(seconds: f64, between: char) -> String {
    let milliseconds = (seconds * 1000.0).max(0.0) as i64;
    let local = clock::local(milliseconds / 1000);
    format!(
        "{:04}-{:02}-{:02}{between}{:02}:{:02}:{:02}.{:03}",
        local.year,
        local.month,
        local.day,
        local.hour,
        local.minute,
        local.second,
        milliseconds % 1000
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(deaths: &[Death]) -> String {
        let lines = table(deaths, None);
        let lines: Vec<String> = lines.iter().map(|line| line.text(false)).collect();
        lines.join("\n")
    }

    #[test]
    fn a_death_is_told_in_a_row_and_in_full() {
        let death = Death {
            time: 1_700_000_000.25,
            pool: String::from("web"),
            slot: 1,
            generation: 2,
            pid: 301,
            cause: String::from("signal"),
            how: String::from("killed by SIGSEGV"),
            age: 2.2,
            cut: 1,
            requests: 17,
            doing: String::from("writing GET /a for 1.0s"),
            last_request: String::from("GET /\x1b]52;c;eA==\x07"),
            lanes: vec![Lane {
                state: String::from("writing"),
                since: 1.0,
                peer: Some(String::from("192.0.2.1:9")),
                request: String::from("GET /a"),
                deadline: Some(-2.0),
                active: 1,
            }],
            ..Death::default()
        };
        let text = text(&[death]);
        let lines: Vec<&str> = text.lines().collect();
        let fields: Vec<&str> = lines[1].split_whitespace().skip(1).collect();
        assert_eq!(
            fields,
            [
                "web[1]", "301", "2", "signal", "2.2s", "1", "17", "killed", "by", "SIGSEGV"
            ]
        );
        for told in [
            ".250  web[1] pid 301 gen 2 [signal] killed by SIGSEGV",
            "  lived        2.2s, for 0 connections and 17 requests; 1 cut by its death",
            "  busy with    writing for 1.0s, 192.0.2.1:9, GET /a, overdue by 2.0s",
            "  last request GET /\\u{1b}]52;c;eA==\\u{7}",
        ] {
            assert!(text.contains(told), "{told}\nin:\n{text}");
        }
        assert!(!text.contains("process"), "{text}");
    }

    #[test]
    fn where_nobody_died_that_is_said() {
        assert_eq!(text(&[]), "no death of a worker to tell of");
    }
}
