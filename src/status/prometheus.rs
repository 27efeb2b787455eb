//! The picture as Prometheus reads it: its text format, version 0.0.4
//! (`text/plain; version=0.0.4; charset=utf-8`).
//!
//! Owes names that mean the same for ever, counters that end in `_total` and
//! never go back, and no label whose values grow without end: there is a line a
//! pool, never one a process.

use super::{MasterState, Phase, PoolStatus, Status};
use std::fmt::{Display, Write};

/// The text.
pub fn text(status: &Status) -> String {
    let mut page = Page::default();
    of_master(status, &mut page);
    of_pools(&status.pools, &mut page);
    of_workers(status, &mut page);
    page.text
}

fn of_master(status: &Status, page: &mut Page) {
    page.gauge("build_info", "Always 1; the version of the program.");
    page.sample(&[("version", &status.version)], 1);
    page.gauge(
        "start_time_seconds",
        "When the master was started, in seconds since 1970; an upgrade is no start.",
    );
    page.sample(&[], status.started);
    page.gauge(
        "ready",
        "1 while new clients are welcome, 0 once a stop was asked for.",
    );
    page.sample(&[], u8::from(status.ready));
    page.gauge("generation", "The generation that serves.");
    page.sample(&[], status.generation);
    page.gauge("state", "1 for what the master is about, 0 for the others.");
    for state in MasterState::ALL {
        let is_so = u8::from(state == status.state);
        page.sample(&[("state", state.name())], is_so);
    }
    page.counter("reloads_total", "Reloads that took effect.");
    page.sample(&[], status.reloads);
    page.counter(
        "reloads_refused_total",
        "Reloads that were refused and changed nothing.",
    );
    page.sample(&[], status.reloads_refused);
    page.gauge(
        "reload_refused",
        "1 where the last reload was refused: what runs is not what the file says.",
    );
    page.sample(&[], u8::from(status.reload_refused));
    page.counter(
        "queue_dropped_total",
        "Clients that were lost in queues that were closed.",
    );
    page.sample(&[], status.queue_dropped);
}

/// What a pool has one number of.
type Number = (&'static str, &'static str, fn(&PoolStatus) -> u64);

/// … that only grows.
const COUNTERS: &[Number] = &[
    ("connections_total", "Connections accepted.", |pool| {
        pool.connections
    }),
    ("requests_total", "Requests begun.", |pool| pool.requests),
    (
        "probes_total",
        "Requests begun that ask for health, which no access log has.",
        |pool| pool.probes,
    ),
    (
        "access_log_lines_total",
        "Lines of the access log that went out.",
        |pool| pool.logged,
    ),
    ("received_bytes_total", "Octets received.", |pool| {
        pool.received
    }),
    ("sent_bytes_total", "Octets sent.", |pool| pool.sent),
    ("workers_spawned_total", "Workers forked.", |pool| {
        pool.spawned
    }),
];

/// … that comes and goes.
const GAUGES: &[Number] = &[
    ("connections_active", "Connections that are open.", |pool| {
        pool.active
    }),
    (
        "lanes_idle",
        "Workers, or threads of them, that wait for a connection.",
        |pool| pool.idle as u64,
    ),
    ("workers_wanted", "Workers that the pool wants.", |pool| {
        pool.wanted as u64
    }),
    ("workers_ready", "Workers that serve.", |pool| {
        pool.ready as u64
    }),
    (
        "shedding",
        "1 while clients are turned away at the door, or lately were.",
        |pool| u64::from(pool.shedding),
    ),
    ("workers_max", "The most workers it may have.", |pool| {
        pool.most as u64
    }),
    (
        "pool_generation",
        "The generation of the pool that serves.",
        |pool| u64::from(pool.generation),
    ),
];

/// The words for the state of a breaker.
const BREAKER: [&str; 3] = ["closed", "open", "probing"];

fn of_pools(pools: &[PoolStatus], page: &mut Page) {
    for (name, help, number) in COUNTERS {
        page.counter(name, help);
        for pool in pools {
            page.sample(&[("pool", &pool.name)], number(pool));
        }
    }
    let groups: [(&str, &str, &str, Group); 5] = [
        (
            "responses_total",
            "Answers by the first digit of their status.",
            "class",
            |pool| &pool.answers,
        ),
        (
            "closes_total",
            "Connections that have ended, by their reason.",
            "reason",
            |pool| &pool.closes,
        ),
        (
            "shed_total",
            "Clients turned away at the door, by the cause.",
            "cause",
            |pool| &pool.shed,
        ),
        (
            "shed_dry_run_total",
            "Clients that would have been, but for a dry run.",
            "cause",
            |pool| &pool.spared,
        ),
        (
            "worker_deaths_total",
            "Workers that are gone, by what became of them.",
            "cause",
            |pool| &pool.deaths,
        ),
    ];
    for (name, help, label, group) in groups {
        page.counter(name, help);
        for pool in pools {
            for (kind, count) in group(pool) {
                page.sample(&[("pool", &pool.name), (label, kind)], count);
            }
        }
    }
    for (name, help, number) in GAUGES {
        page.gauge(name, help);
        for pool in pools {
            page.sample(&[("pool", &pool.name)], number(pool));
        }
    }
    page.gauge(
        "breaker",
        "1 for the state of the pool's breaker, 0 for the others; all is well while it is closed.",
    );
    for pool in pools {
        for state in BREAKER {
            let is_so = u8::from(pool.breaker == state);
            page.sample(&[("pool", &pool.name), ("state", state)], is_so);
        }
    }
    let queues = || pools.iter().filter_map(|pool| Some((pool, pool.queue?)));
    page.gauge(
        "queue_length",
        "Connections that wait to be accepted on the pool's TCP sockets.",
    );
    for (pool, queue) in queues() {
        page.sample(&[("pool", &pool.name)], queue.length);
    }
    page.gauge("queue_limit", "How many may.");
    for (pool, queue) in queues() {
        page.sample(&[("pool", &pool.name)], queue.limit);
    }
    let inboxes = || pools.iter().filter_map(|pool| Some((pool, pool.inbox?)));
    page.gauge(
        "datagram_queue_bytes",
        "Memory of datagrams that wait in the pool's sockets.",
    );
    for (pool, inbox) in inboxes() {
        page.sample(&[("pool", &pool.name)], inbox.length);
    }
    page.gauge("datagram_queue_limit_bytes", "How much it may be.");
    for (pool, inbox) in inboxes() {
        page.sample(&[("pool", &pool.name)], inbox.limit);
    }
    page.counter(
        "datagrams_dropped_total",
        "Datagrams that were lost for want of room there.",
    );
    for (pool, inbox) in inboxes() {
        page.sample(&[("pool", &pool.name)], inbox.dropped);
    }
    page.gauge(
        "skew_ratio",
        "Requests of the worker that had most, by their mean; 1 is even.",
    );
    for pool in pools {
        if let Some(skew) = pool.skew {
            page.sample(&[("pool", &pool.name)], skew);
        }
    }
}

type Group = fn(&PoolStatus) -> &std::collections::BTreeMap<String, u64>;

fn of_workers(status: &Status, page: &mut Page) {
    page.gauge(
        "workers",
        "Workers of all generations, by how far they are in their life.",
    );
    for pool in &status.pools {
        // Those that are gone are in nobody's picture.
        for phase in Phase::ALL.into_iter().filter(|one| *one != Phase::Gone) {
            let workers = status.workers.iter();
            let found = workers.filter(|one| one.pool == pool.name && one.phase == phase);
            let labels = [("pool", pool.name.as_str()), ("phase", phase.name())];
            page.sample(&labels, found.count());
        }
    }
}

/// The text as it grows: a family of samples after the other, each with its name,
/// its sentence and its type first.
#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn counter(&mut self, name: &'static str, help: &str) {
        self.family(name, "counter", help);
    }

    fn gauge(&mut self, name: &'static str, help: &str) {
        self.family(name, "gauge", help);
    }

    // Writing to a String cannot fail.

    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        let _ = writeln!(self.text, "# HELP preforkd_{name} {help}");
        let _ = writeln!(self.text, "# TYPE preforkd_{name} {kind}");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "preforkd_{}", self.name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"");
            self.escape(value);
            self.text.push('"');
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{after} {value}");
    }

    /// A label's value: any text but for these three.
    fn escape(&mut self, value: &str) {
        for letter in value.chars() {
            match letter {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                other => self.text.push(other),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Inbox;
    use super::super::tests::status;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_family_has_its_head_once_and_each_sample_a_family() {
        let text = text(&status());
        let mut families = BTreeSet::new();
        let mut samples = BTreeSet::new();
        let mut kind = "";
        let mut name = "";
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (family, sentence) = help.split_once(' ').unwrap();
                assert!(families.insert(family.to_owned()), "{family} comes twice");
                assert!(sentence.ends_with('.'), "{line}");
                let next = lines.next().unwrap();
                kind = next
                    .strip_prefix(&format!("# TYPE {family} "))
                    .unwrap_or_else(|| panic!("{next}"));
                assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
                name = family;
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(
                series == name || series.starts_with(&format!("{name}{{")),
                "{line}"
            );
            assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned()), "{series} comes twice");
            assert!(!series.contains("pid"), "one a process: {line}");
            assert!(kind == "counter" || kind == "gauge");
        }
        assert!(families.len() > 25 && samples.len() > 60, "{text}");
    }

    #[test]
    fn the_numbers_are_those_of_the_picture() {
        let text = text(&status());
        for line in [
            "preforkd_ready 1",
            "preforkd_state{state=\"running\"} 1",
            "preforkd_state{state=\"stopping\"} 0",
            "preforkd_requests_total{pool=\"web\"} 1000",
            "preforkd_probes_total{pool=\"web\"} 10",
            "preforkd_sent_bytes_total{pool=\"web\"} 2048000",
            "preforkd_responses_total{pool=\"web\",class=\"2xx\"} 900",
            "preforkd_closes_total{pool=\"web\",reason=\"killed\"} 1",
            "preforkd_worker_deaths_total{pool=\"web\",cause=\"signal\"} 1",
            "preforkd_queue_length{pool=\"web\"} 3",
            "preforkd_queue_limit{pool=\"web\"} 511",
            "preforkd_skew_ratio{pool=\"web\"} 1.5",
            "preforkd_breaker{pool=\"web\",state=\"closed\"} 1",
            "preforkd_workers{pool=\"web\",phase=\"ready\"} 2",
            "preforkd_workers{pool=\"web\",phase=\"draining\"} 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(!text.contains("=\"gone\""), "of which there is never one");
        // Where there are datagrams, there is how full their queues are.
        let mut status = status();
        status.pools[1].inbox = Some(Inbox {
            length: 4608,
            limit: 212_992,
            dropped: 7,
        });
        let with_datagrams = super::text(&status);
        for line in [
            "preforkd_datagram_queue_bytes{pool=\"echo\"} 4608",
            "preforkd_datagram_queue_limit_bytes{pool=\"echo\"} 212992",
            "preforkd_datagrams_dropped_total{pool=\"echo\"} 7",
        ] {
            assert!(with_datagrams.lines().any(|one| one == line), "{line}");
            assert!(!text.contains(line), "{line}");
        }
        // Of a pool of unix sockets nobody knows who waits.
        assert!(!text.contains("preforkd_queue_length{pool=\"echo\"}"));
    }

    #[test]
    fn whatever_a_pool_is_called_it_is_one_label() {
        let mut status = status();
        status.pools[0].name = String::from("a\"b\\c\nd}e 1");
        let text = text(&status);
        let line = "preforkd_requests_total{pool=\"a\\\"b\\\\c\\nd}e 1\"} 1000";
        assert!(text.lines().any(|one| one == line), "{text}");
    }
}
