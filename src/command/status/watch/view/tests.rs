#![allow(clippy::unwrap_used)]

use super::*;
use crate::status::{MasterState, Queue};

const SECOND: Duration = Duration::from_secs(1);

fn busy(state: &str, since: f64, request: &str) -> Lane {
    Lane {
        state: state.to_owned(),
        since,
        peer: Some(String::from("203.0.113.9:4711")),
        request: request.to_owned(),
        deadline: Some(30.0 - since),
        active: 1,
    }
}

fn worker(pool: &str, slot: usize, lanes: Vec<Lane>) -> WorkerStatus {
    WorkerStatus {
        pool: pool.to_owned(),
        slot,
        generation: 1,
        pid: 100 + i32::try_from(slot).unwrap(),
        requests: 10 * slot as u64,
        idle_lanes: usize::from(lanes.is_empty()),
        doing: String::from("idle"),
        lanes,
        ..WorkerStatus::default()
    }
}

fn pool(name: &str, requests: u64) -> PoolStatus {
    PoolStatus {
        name: name.to_owned(),
        breaker: String::from("closed"),
        wanted: 4,
        ready: 4,
        most: 4,
        idle: 1,
        requests,
        queue: Some(Queue {
            length: 0,
            limit: 9,
        }),
        ..PoolStatus::default()
    }
}

fn status(requests: u64) -> Status {
    Status {
        version: String::from("0.1.0"),
        pid: 7,
        generation: 1,
        ready: true,
        state: MasterState::Running,
        pools: vec![pool("web", requests), pool("echo", 0)],
        workers: vec![
            worker("web", 1, vec![busy("writing", 2.0, "GET /b")]),
            worker("web", 0, vec![busy("reading", 31.0, "GET /\x1b[31mred")]),
            worker("web", 2, vec![]),
            worker("web", 3, vec![busy("keep-alive", 1.0, "GET /c")]),
            worker("echo", 0, vec![]),
        ],
        ..Status::default()
    }
}

struct Watched {
    view: View,
    now: Instant,
}

impl Watched {
    fn new() -> Self {
        let view = View::new(Path::new("/run/control"), SECOND, None);
        let mut watched = Self {
            view,
            now: Instant::now(),
        };
        watched.view.note(watched.now, status(1000));
        watched.now += SECOND;
        watched.view.note(watched.now, status(1250));
        watched
    }

    fn text(&self, columns: usize, rows: usize) -> Vec<String> {
        let lines = self.view.lines(columns, rows, self.now, None);
        lines.iter().map(|line| line.text(false)).collect()
    }

    fn order(&self) -> Vec<String> {
        let lines = self.text(120, 40);
        let rows = lines.iter().filter(|line| line.contains(" 203.0.113.9:"));
        let names = rows.filter_map(|row| row.split(' ').next());
        names.map(str::to_owned).collect()
    }
}

#[test]
fn all_of_it_is_seen_at_a_glance() {
    let text = Watched::new().text(120, 24);
    assert_eq!(
        text[..14].join("\n"),
        "master 7 running, generation 1, preforkd 0.1.0, up 0s, ready, 0 reloads\n\
         web[0] pid 100 is overdue by 1.0s\n\
         POOL WANTED READY IDLE ACTIVE REQ/S CONN/S IN/S OUT/S QUEUE  BREAKER\n\
         web       4     4    1      0 250.0    0.0    0     0   0/9  closed\n\
         echo      4     4    1      0   0.0    0.0    0     0   0/9  closed\n\
         \n\
         web  !W_K\n\
         echo _\n\
         \n\
         WORKER PID GEN SINCE    LEFT STATE      CLIENT            REQUEST\n\
         web[0] 100   1   31s OVERDUE reading    203.0.113.9:4711  GET /\\u{1b}[31mred\n\
         web[1] 101   1  2.0s     28s writing    203.0.113.9:4711  GET /b\n\
         web[3] 103   1  1.0s     29s keep-alive 203.0.113.9:4711  GET /c\n"
    );
    assert_eq!(
        text.last().unwrap(),
        "q quit  ? help  space pause  p all pools  s by age  every 1.0s"
    );
}

#[test]
fn it_fits_wherever_it_is_shown() {
    let mut watched = Watched::new();
    let mut large = status(2000);
    for slot in 4..200 {
        large
            .workers
            .push(worker("web", slot, vec![busy("writing", 0.5, "GET /")]));
    }
    large.queue_dropped = 3;
    large.reload_refused = true;
    watched.view.note(watched.now, large);
    for help in [false, true] {
        for lost in [false, true] {
            for columns in (1..60).chain([80, 130]) {
                for rows in [1, 2, 3, 8, 60] {
                    let lines = watched.view.lines(columns, rows, watched.now, None);
                    assert!(lines.len() <= rows, "{columns}x{rows}");
                }
            }
            if !lost {
                let silence = Silence::Nobody(String::from("Connection refused"));
                watched.view.lost(watched.now, &midnight(), &silence);
            } else if !help {
                watched.view.note(watched.now, status(3000));
            }
        }
        watched.view.key('?');
    }
    // The smallest that is promised shows the master, what is wrong, a pool.
    let small = Watched::new().text(40, 8);
    assert_eq!(small.len(), 8);
    assert!(small[0].starts_with("master 7 running, generation 1"));
    assert!(
        small.iter().any(|line| line.contains("overdue")),
        "{small:#?}"
    );
    assert!(
        small
            .iter()
            .any(|line| line.starts_with("web ") && line.contains("250.0"))
    );
    assert!(
        small.iter().any(|line| line.starts_with("web  !W_K")),
        "{small:#?}"
    );
}

fn midnight() -> Civil {
    Civil {
        year: 2026,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 7,
        weekday: 4,
        offset_minutes: 0,
    }
}

#[test]
fn a_master_that_is_gone_is_told_with_its_time_and_the_picture_stays() {
    let mut watched = Watched::new();
    let silence = Silence::Nobody(String::from("Connection refused"));
    watched.view.lost(watched.now, &midnight(), &silence);
    watched.now += 12 * SECOND;
    watched.view.lost(
        watched.now,
        &Civil {
            hour: 9,
            ..midnight()
        },
        &silence,
    );
    let text = watched.text(120, 24);
    assert_eq!(
        text[1],
        "NO MASTER since 00:00:07 (12s): Connection refused"
    );
    assert!(text.iter().any(|line| line.starts_with("web  !W_K")));
    // It is back, with counters of its own.
    let mut again = status(3);
    again.pid = 8;
    again.started = 99;
    watched.view.note(watched.now, again);
    let text = watched.text(120, 24);
    assert!(text[0].starts_with("master 8 running"));
    assert!(!text.iter().any(|line| line.contains("NO MASTER")));
    let row = text.iter().find(|line| line.starts_with("web  ")).unwrap();
    assert!(row.contains(" - "), "there is no rate yet: {row}");
}

#[test]
fn a_master_that_is_slow_is_told() {
    let watched = Watched::new();
    let told = |waiting| {
        let lines = watched.view.lines(120, 24, watched.now, Some(waiting));
        lines[1].text(false)
    };
    assert_eq!(told(3 * SECOND), "the master has owed an answer for 3.0s");
    assert!(!told(SECOND / 2).contains("owed"));
}

#[test]
fn keys_do_what_the_help_says() {
    let mut watched = Watched::new();
    assert_eq!(watched.order(), ["web[0]", "web[1]", "web[3]"]);
    watched.view.key('s');
    assert_eq!(
        watched.order(),
        ["web[0]", "web[1]", "web[3]"],
        "by time left"
    );
    watched.view.key('s');
    assert_eq!(
        watched.order(),
        ["web[3]", "web[1]", "web[0]"],
        "by requests"
    );
    watched.view.key('s');
    assert_eq!(watched.order(), ["web[0]", "web[1]", "web[3]"], "by name");
    watched.view.key('s');
    assert_eq!(watched.view.order, Order::Since);

    let pools = |watched: &Watched| {
        let lines = watched.text(120, 24);
        let names = lines.iter().skip_while(|line| !line.starts_with("POOL"));
        let names: Vec<String> = names
            .skip(1)
            .take_while(|line| line.ends_with("closed"))
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect();
        names
    };
    assert_eq!(pools(&watched), ["web", "echo"]);
    watched.view.key('p');
    assert_eq!(pools(&watched), ["web"]);
    watched.view.key('p');
    assert_eq!(pools(&watched), ["echo"]);
    watched.view.key('p');
    assert_eq!(pools(&watched), ["web", "echo"]);

    watched.view.key(' ');
    assert!(watched.view.is_paused());
    watched.now += 5 * SECOND;
    assert!(watched.text(120, 24)[1].starts_with("PAUSED: this is 5.0s old"));
    watched.view.key(' ');
    watched.view.key('?');
    let help = watched.text(120, 24);
    assert!(help.iter().any(|line| line.contains("the next pool alone")));
    watched.view.key('?');
    assert_eq!(pools(&watched), ["web", "echo"]);
}

#[test]
fn each_state_has_a_letter_of_its_own() {
    let mut seen: Vec<char> = ["reading", "writing", "keep-alive", "closing", "serving"]
        .iter()
        .map(|state| letter(&busy(state, 1.0, "")).0)
        .collect();
    seen.push(letter(&busy("reading", 31.0, "")).0);
    for phase in [Phase::Starting, Phase::Draining, Phase::Killed] {
        let worker = WorkerStatus {
            phase,
            ..worker("web", 0, vec![])
        };
        seen.push(letters(&worker)[0].0);
    }
    seen.push(letters(&worker("web", 0, vec![]))[0].0);
    for letter in &seen {
        assert_eq!(seen.iter().filter(|one| *one == letter).count(), 1);
        let told = LEGEND
            .split("  ")
            .any(|told| told.trim().starts_with(*letter));
        assert!(told, "{letter} is not in the legend");
    }
}
