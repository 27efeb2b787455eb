//! The page with a few workers and with thousands, and with clients that would
//! like to write in it.

use super::*;
use crate::status::{Inbox, Lane, Queue, Rates};

/// A lane in this state, for so long.
fn lane(state: &str, since: f64, request: &str) -> Lane {
    Lane {
        state: state.to_owned(),
        since,
        peer: Some("203.0.113.9:40000".to_owned()),
        request: request.to_owned(),
        deadline: Some(20.0 - since),
        active: 1,
    }
}

fn worker(slot: usize, phase: Phase, lanes: Vec<Lane>) -> WorkerStatus {
    WorkerStatus {
        pool: "web".to_owned(),
        slot,
        generation: 3,
        pid: 1000 + slot as i32,
        phase,
        doing: "idle".to_owned(),
        age: 4000,
        active: lanes.len() as u64,
        connections: 12_345,
        requests: 67_890,
        received: 1 << 20,
        sent: 1 << 30,
        idle_lanes: usize::from(lanes.is_empty()),
        lanes,
    }
}

/// A server of so many workers, every fifth of them busy in one way or another.
fn server(count: usize) -> Status {
    let busy = [
        ("writing", "GET /downloads/image.iso"),
        ("reading", "POST /upload"),
        ("keep-alive", "GET /"),
        ("closing", "GET /missing"),
    ];
    let workers: Vec<WorkerStatus> = (0..count)
        .map(|slot| {
            let phase = match slot % 50 {
                48 => Phase::Draining,
                49 => Phase::Starting,
                _ => Phase::Ready,
            };
            let (state, request) = busy[slot / 5 % busy.len()];
            let lanes = match slot % 5 {
                0 => vec![lane(state, (slot % 23) as f64, request)],
                _ => Vec::new(),
            };
            worker(slot, phase, lanes)
        })
        .collect();
    let counts = |pairs: &[(&str, u64)]| {
        let pairs = pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        pairs.collect()
    };
    Status {
        version: "0.1.0".to_owned(),
        pid: 999,
        generation: 3,
        state: MasterState::Running,
        ready: true,
        started: 1_782_900_000,
        uptime: 273_600,
        reloads: 2,
        reloads_refused: 1,
        reload_refused: false,
        listening: "web 0.0.0.0:8080 unix:/run/web.sock".to_owned(),
        queue_dropped: 0,
        pools: vec![PoolStatus {
            name: "web".to_owned(),
            generation: 3,
            service: "http".to_owned(),
            model: "prefork".to_owned(),
            accept: "shared".to_owned(),
            wanted: count,
            ready: count,
            most: 4096,
            idle: count - count.div_ceil(5),
            active: count.div_ceil(5) as u64,
            breaker: "closed".to_owned(),
            inbox: None,
            connections: 123_456,
            requests: 1_234_567,
            logged: 990,
            probes: 4321,
            received: 123 << 20,
            sent: 45 << 30,
            rates: Rates {
                connections: 12.5,
                requests: 1534.2,
                received: 200_000.0,
                sent: 30_000_000.0,
            },
            queue: Some(Queue {
                length: 3,
                limit: 4096,
            }),
            skew: Some(1.12),
            answers: counts(&[("1xx", 0), ("2xx", 1_200_000), ("4xx", 34_000), ("5xx", 7)]),
            closes: counts(&[("complete", 100_000), ("idle", 23_000), ("reset", 456)]),
            shed: counts(&[("full", 0)]),
            spared: counts(&[("full", 0)]),
            shedding: false,
            spawned: count as u64 + 9,
            deaths: counts(&[("finished", 8), ("signal", 1)]),
        }],
        workers,
    }
}

const LOOK: Look<'_> = Look {
    pool: "web",
    refresh: None,
};

/// The tags of a page in their order, without their attributes; every quote that
/// opens in a tag closes there.
fn tags(page: &str) -> Vec<String> {
    let (head, body) = page.split_once("</style>").expect("a style sheet");
    let (before, _) = head.split_once("<style>").expect("its beginning");
    let mut found = Vec::new();
    for part in [before, body] {
        for rest in part.split('<').skip(1) {
            let mut quoted = false;
            let end = rest.find(|sign| {
                quoted ^= sign == '"';
                sign == '>' && !quoted
            });
            let tag = &rest[..end.expect("a tag ends")];
            let name = tag.split([' ', '>']).next().unwrap_or_default();
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn tags_that_must_close_do() {
    let page = page(&server(60), LOOK);
    let mut open: Vec<String> = Vec::new();
    for tag in tags(&page) {
        // These have no end, or may leave it out (HTML, 13.1.2.4).
        if matches!(&*tag, "!doctype" | "meta" | "th" | "td") {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None => open.push(tag),
        }
    }
    // What was cut out for this test is the style's.
    assert_eq!(open, [""; 0]);
}

#[test]
fn what_a_client_says_stays_a_text() {
    let evil = "GET /\"><script>alert(1)</script><img src=x onerror='y'>&lt;";
    let mut status = server(1);
    status.workers[0].lanes[0].request = evil.to_owned();
    status.workers[0].lanes[0].peer = Some("<b>\u{202e}".to_owned());
    status.workers[0].lanes[0].state = "\"<i>".to_owned();
    status.workers[0].pool = "<p>".to_owned();
    status.pools[0].name = "<p>".to_owned();
    status.workers[0].doing = "<q>".to_owned();
    let plain = tags(&page(&server(1), LOOK));
    let page = page(&status, LOOK);
    assert_eq!(tags(&page).len(), plain.len(), "{page}");
    for tag in ["<script", "<img", "<b>", "<q>", "\u{202e}", "onerror='"] {
        assert!(!page.contains(tag), "{tag}");
    }
    // In the cell's title and in the table.
    assert_eq!(page.matches("&lt;script&gt;alert(1)").count(), 2);
    assert!(page.contains("&quot;&gt;") && page.contains("&amp;lt;"));
    // And the page brings nothing along that a browser could load or run.
    for word in [
        "http:",
        "https:",
        "//",
        "src=",
        "url(",
        "@import",
        "javascript",
    ] {
        let found = page.replace("src=x", "").contains(word);
        assert!(!found, "{word}");
    }
}

#[test]
fn thousands_of_workers_make_no_large_page() {
    for (count, most) in [(2, 16), (256, 128), (4096, 512), (20_000, 512)] {
        let page = page(&server(count), LOOK);
        let kib = page.len() / 1024;
        assert!(kib <= most, "{count} workers: {kib} KiB");
        let rows = page.matches("<tr><th scope=row>").count();
        assert_eq!(rows, count.min(MAX_ROWS));
        let (_, rest) = page.split_once("<div class=board").unwrap();
        let (board, _) = rest.split_once("</div>").unwrap();
        assert_eq!(board.matches("<i").count(), count.min(board::MAX_CELLS));
        assert_eq!(page.contains("not drawn"), count > board::MAX_CELLS);
        let shown = format!("{} of {} rows", Number(rows as u64), Number(count as u64));
        assert!(page.contains(&shown), "{shown}");
    }
}

#[test]
fn threads_have_cells_of_their_own() {
    let mut status = server(1);
    status.workers[0] = worker(0, Phase::Ready, vec![lane("writing", 1.0, "GET /a"); 3]);
    status.workers[0].idle_lanes = 13;
    let page = page(&status, LOOK);
    assert!(
        page.contains("<p class=soft>13 idle, 3 writing</p>"),
        "{page}"
    );
    assert_eq!(page.matches(">_</i>").count(), 13);
    assert_eq!(page.matches("<tr><th scope=row>").count(), 3);
}

#[test]
fn who_is_late_or_at_work_comes_first() {
    let mut status = server(5);
    status.workers = vec![
        worker(0, Phase::Ready, Vec::new()),
        worker(1, Phase::Ready, vec![lane("keep-alive", 4.0, "GET /k")]),
        worker(2, Phase::Ready, vec![lane("writing", 2.0, "GET /w")]),
        worker(3, Phase::Draining, vec![lane("reading", 30.0, "GET /late")]),
        worker(4, Phase::Ready, vec![lane("writing", 9.0, "GET /longer")]),
        worker(5, Phase::Starting, Vec::new()),
        worker(6, Phase::Killed, Vec::new()),
    ];
    let page = page(&status, LOOK);
    let rows = page.split("<tr><th scope=row>web[").skip(1);
    let slots: String = rows.map(|row| &row[..1]).collect();
    assert_eq!(slots, "3642150");
    assert!(page.contains("<td class=\"n bad\">10s late"));
    assert!(page.contains("<i class=\"r d late\" title=\"web[3], reading for 30s, "));
    assert!(page.contains(">r</i>"), "it drains");
    assert!(page.contains("<li>web[3], process 1003, should have moved on 10s ago.</li>"));
    status.workers[3].lanes = vec![lane("reading", 30.0, "GET /late"); 2];
    status.workers[1].lanes[0].deadline = Some(-70.0);
    let page = self::page(&status, LOOK);
    let line =
        "<li>3 lanes should have moved on already, that of web[1], process 1001, 1m 10s ago.";
    assert!(page.contains(line), "{page}");
}

#[test]
fn who_is_at_work_is_not_late_at_once() {
    // As the lane that answers with this page is seen.
    let mut status = server(1);
    let mut own = lane("writing", 0.0, "GET /server-status");
    own.deadline = Some(-0.002);
    status.workers[0] = worker(0, Phase::Ready, vec![own]);
    let page = page(&status, LOOK);
    assert!(page.contains("<td class=n>now<td>"), "{page}");
    assert!(!page.contains("class=alarm") && page.contains("<i class=w "));
}

#[test]
fn a_pool_without_workers_is_on_the_board() {
    let mut status = server(1);
    status.workers.clear();
    let page = page(&status, LOOK);
    let board = "<h3>web</h3>\n<p class=soft>no worker</p>\n<div class=board";
    assert!(page.contains(board), "{page}");
}

#[test]
fn many_connections_of_one_lane_are_a_number() {
    let mut status = server(1);
    let mut serving = lane("serving", 3.0, "GET /last");
    (serving.peer, serving.active, serving.deadline) = (None, 370, None);
    status.workers[0] = worker(0, Phase::Ready, vec![serving]);
    let page = page(&status, LOOK);
    let cell = "<i class=\"m z\" title=\"web[0], serving for 3.0s, GET /last\">370</i>";
    assert!(page.contains(cell), "{page}");
    assert!(page.contains("<td>370 of them"));
}

#[test]
fn what_is_wrong_is_said_at_the_top() {
    assert!(!page(&server(3), LOOK).contains("class=alarm"));
    let mut status = server(3);
    (status.ready, status.state) = (false, MasterState::Withdrawing);
    status.queue_dropped = 2;
    status.reload_refused = true;
    status.pools[0].breaker = "open".to_owned();
    status.pools[0].ready = 0;
    status.pools[0].queue = Some(Queue {
        length: 110,
        limit: 128,
    });
    status.pools[0].inbox = Some(Inbox {
        length: 150 << 10,
        limit: 208 << 10,
        dropped: 7,
    });
    let page = page(&status, LOOK);
    assert!(page.contains("></meter>150 KiB of 208 KiB; 7 lost</dd>"));
    let (_, rest) = page.split_once("<ul class=alarm role=status>").unwrap();
    let (alarms, _) = rest.split_once("</ul>").unwrap();
    for line in [
        "A stop was asked for",
        "Pool web: workers keep dying, the breaker is open.",
        "Pool web: no worker is ready.",
        "Pool web: 110 of 128 places in the accept queue are taken.",
        "Pool web: datagrams that wait take 150 KiB of 208 KiB; what has no room is lost.",
        "2 clients were lost in queues that were closed.",
        "The last reload was refused and changed nothing: the log says why.",
    ] {
        assert!(alarms.contains(line), "{alarms}");
    }
    assert!(page.contains("<title>not ready: preforkd status</title>"));
}

#[test]
fn it_is_loaded_again_where_that_is_wanted() {
    let look = Look {
        refresh: Some(7),
        ..LOOK
    };
    let page = page(&server(1), look);
    assert!(page.contains("<meta http-equiv=refresh content=7>"));
    assert!(page.contains("Loaded again every 7 s"));
    assert!(!self::page(&server(1), LOOK).contains("http-equiv"));
    assert!(page.contains("as of 2026-07-04 14:00:00 UTC"), "{page}");
    assert!(page.contains("http, prefork, shared, generation 3; answers this"));
}

#[test]
fn letters_stand_out_from_what_is_behind_them() {
    // WCAG 2.2, 1.4.3: a contrast of 4.5 at least, in both themes.
    let style = include_str!("page.css");
    let mut themes = style.split(":root{").skip(1);
    for theme in [themes.next().unwrap(), themes.next().unwrap()] {
        let colour = |name: &str| {
            let (_, rest) = theme.split_once(&format!("--{name}:#")).unwrap();
            let digits: Vec<u32> = rest.chars().map_while(|sign| sign.to_digit(16)).collect();
            let wide = digits.len() == 3;
            let part = |at: usize| {
                let value = match wide {
                    true => digits[at] * 17,
                    false => digits[2 * at] * 16 + digits[2 * at + 1],
                };
                let share = f64::from(value) / 255.0;
                match share <= 0.04045 {
                    true => share / 12.92,
                    false => ((share + 0.055) / 1.055).powf(2.4),
                }
            };
            0.2126 * part(0) + 0.7152 * part(1) + 0.0722 * part(2)
        };
        let contrast = |one: &str, other: &str| {
            let (one, other) = (colour(one) + 0.05, colour(other) + 0.05);
            one.max(other) / one.min(other)
        };
        for behind in ["page", "card"] {
            for letters in ["text", "soft", "link", "good", "bad"] {
                let found = contrast(letters, behind);
                assert!(found >= 4.5, "{letters} on {behind}: {found:.2}");
            }
        }
        assert!(contrast("text", "alarm") >= 4.5);
        for cell in [
            "idle", "read", "write", "keep", "close", "many", "start", "kill",
        ] {
            let found = contrast("ink", cell);
            assert!(found >= 4.5, "ink on {cell}: {found:.2}");
        }
    }
}
