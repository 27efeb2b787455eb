//! What watches servers, fed with what we tell of ourselves: Python's
//! prometheus_client with the metrics, collectd's plugin for Apache with
//! `server-status?auto`.
//!
//! Wants python3-prometheus-client and collectd-core as Debian packages them;
//! `.ci/run` installs them. Both ask a server that was busy at its own paths, as
//! they would ask anywhere, and are clients like others: what they ask counts.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;
#[path = "accounting/watch.rs"]
#[allow(dead_code, reason = "nobody watches here")]
mod watch;

use harness::server::outcome;
use harness::{Client, SOON, Server, eventually, get};
use preforkd::status::{Status, prometheus};
use std::fs;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server that has answered 30 requests, a third of them with 404, and has a
/// client who says nothing more.
fn start() -> (Server, Client, Status) {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    fs::write(directory.path().join("www/index.html"), [b'x'; 4096]).unwrap();
    let pools = "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\n\
                 workers = 4\nhttp.root = \"www\"\nhttp.header_timeout = \"5m\"\n\
                 http.status = {}\n\
                 [pool.echo]\nlisten = \"unix:echo.sock\"\n\
                 service = \"echo\"\nworkers = 1\n";
    let server = Server::run_with(directory, "control_socket = \"control\"", pools);
    let address = server.address("web");
    for number in 0..30 {
        get(address, if number % 3 == 0 { "/missing" } else { "/" });
    }
    let mut silent = Client::connect(address);
    silent.send("GET / HT");
    let control = server.directory.path().join("control");
    let status = eventually("all is counted, and one is being read", SOON, || {
        let status = watch::status(&control)?;
        let web = &status.pools[0];
        let ended: u64 = web.closes.values().sum();
        (web.active == 1 && ended == 30).then_some(status)
    });
    (server, silent, status)
}

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the metrics from a URL, or from standard input, parses them as
/// Prometheus does, and prints a line a sample: its family's type, its name and
/// labels, and its value.
const PARSER: &str = r#"
import sys, urllib.request
from prometheus_client.parser import text_string_to_metric_families
if len(sys.argv) > 1:
    answer = urllib.request.urlopen(sys.argv[1], timeout=20)
    kind = answer.headers['Content-Type']
    assert kind == 'text/plain; version=0.0.4; charset=utf-8', kind
    text = answer.read().decode('utf-8')
else:
    text = sys.stdin.read()
families = list(text_string_to_metric_families(text))
names = [family.name for family in families]
assert len(names) == len(set(names)), names
seen = set()
for family in families:
    assert family.type in ('counter', 'gauge'), family
    assert len(family.documentation) > 3, family
    for sample in family.samples:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        assert key not in seen, key
        seen.add(key)
        assert sample.name.startswith('preforkd_'), sample
        assert sample.name.endswith('_total') == (family.type == 'counter'), sample
        assert sample.value >= 0, sample
        labels = ','.join('%s=%s' % item for item in sorted(sample.labels.items()))
        print(family.type, sample.name, labels, sample.value, sep='|')
"#;

/// What the parser makes of the metrics that it gets from `url`, or else of `file`.
fn parsed(url: Option<String>, file: Stdio) -> String {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", PARSER]).args(url).stdin(file);
    let output = outcome(command);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn assert_samples(found: &str, samples: &[&str]) {
    for sample in samples {
        assert!(found.lines().any(|one| one == *sample), "{sample}\n{found}");
    }
}

#[test]
#[ignore = "peers: needs python3-prometheus-client"]
fn the_metrics_are_what_prometheus_reads() {
    let (server, silent, _) = start();
    let url = format!("http://{}/metrics", server.address("web"));
    // Whoever asks is served by one more worker, and is not answered yet.
    assert_samples(
        &parsed(Some(url.clone()), Stdio::null()),
        &[
            "counter|preforkd_connections_total|pool=web|32.0",
            "counter|preforkd_requests_total|pool=web|31.0",
            "counter|preforkd_requests_total|pool=echo|0.0",
            "counter|preforkd_responses_total|class=2xx,pool=web|20.0",
            "counter|preforkd_responses_total|class=4xx,pool=web|10.0",
            "counter|preforkd_closes_total|pool=web,reason=complete|30.0",
            "counter|preforkd_worker_deaths_total|cause=signal,pool=web|0.0",
            "gauge|preforkd_connections_active|pool=web|2.0",
            "gauge|preforkd_lanes_idle|pool=web|2.0",
            "gauge|preforkd_ready||1.0",
            "gauge|preforkd_workers|phase=ready,pool=web|4.0",
        ],
    );
    let second = parsed(Some(url), Stdio::null());
    assert_samples(
        &second,
        &[
            "counter|preforkd_requests_total|pool=web|32.0",
            "counter|preforkd_responses_total|class=2xx,pool=web|21.0",
        ],
    );
    drop(silent);
    server.stop();
}

/// No configuration has such a name, but another program may that serves with us
/// as its library.
#[test]
#[ignore = "peers: needs python3-prometheus-client"]
fn prometheus_reads_any_name_of_a_pool() {
    let (server, silent, mut status) = start();
    status.pools[1].name = String::from("a \"strange\" \\ one");
    let path = server.directory.path().join("metrics");
    fs::write(&path, prometheus::text(&status)).unwrap();
    let found = parsed(None, Stdio::from(fs::File::open(&path).unwrap()));
    assert_samples(
        &found,
        &[
            "counter|preforkd_requests_total|pool=web|30.0",
            "counter|preforkd_requests_total|pool=a \"strange\" \\ one|0.0",
        ],
    );
    drop(silent);
    server.stop();
}

/// How often collectd is to have asked.
const READINGS: usize = 3;

#[test]
#[ignore = "peers: needs collectd-core"]
fn collectd_reads_what_it_reads_of_apache() {
    let (server, silent, status) = start();
    let place = server.directory.path();
    let configuration = place.join("collectd.conf");
    let shown = place.display();
    fs::write(
        &configuration,
        format!(
            "Hostname \"here\"\nInterval 1\nBaseDir \"{shown}\"\nPIDFile \"{shown}/collectd.pid\"\n\
             TypesDB \"/usr/share/collectd/types.db\"\n\
             LoadPlugin logfile\n<Plugin logfile>\nFile \"{shown}/collectd.log\"\n</Plugin>\n\
             LoadPlugin csv\n<Plugin csv>\nDataDir \"csv\"\nStoreRates false\n</Plugin>\n\
             LoadPlugin apache\n<Plugin apache>\n<Instance \"us\">\n\
             URL \"http://{}/server-status?auto\"\nServer \"apache\"\n</Instance>\n</Plugin>\n",
            server.address("web")
        ),
    )
    .unwrap();
    let collectd = Command::new("/usr/sbin/collectd")
        .args(["-f", "-C"])
        .arg(&configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("collectd: {error}: is it installed?"));
    let collectd = Ended(collectd);
    // The values of a series, one a reading; the file's name ends in the day.
    let values = |series: &str| -> Option<Vec<f64>> {
        let files = fs::read_dir(place.join("csv/here/apache-us")).ok()?;
        let start = format!("{series}-20");
        let file = files
            .flatten()
            .find(|file| file.file_name().to_str().unwrap().starts_with(&start))?;
        let text = fs::read_to_string(file.path()).ok()?;
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let values = whole.lines().skip(1).map(|line| {
            let (_, value) = line.split_once(',').unwrap();
            value.parse().unwrap()
        });
        let values: Vec<f64> = values.take(READINGS).collect();
        (values.len() == READINGS).then_some(values)
    };
    // It keeps its connection, so that one more worker serves it all the time, and
    // each of its questions is counted by the answer to it.
    let steady = [
        ("apache_connections", 2.0),
        ("apache_idle_workers", 2.0),
        ("apache_scoreboard-reading", 1.0),
        ("apache_scoreboard-sending", 1.0),
        ("apache_scoreboard-waiting", 2.0),
        ("apache_scoreboard-open", 0.0),
    ];
    let growing = ["apache_requests", "apache_bytes"];
    let deadline = std::time::Instant::now() + SOON;
    let all = steady.iter().map(|(series, _)| *series).chain(growing);
    eventually("collectd has read", SOON + SOON, || {
        let log = fs::read_to_string(place.join("collectd.log"));
        assert!(std::time::Instant::now() < deadline, "collectd: {log:?}");
        all.clone()
            .all(|series| values(series).is_some())
            .then_some(())
    });
    drop(collectd);
    let log = fs::read_to_string(place.join("collectd.log")).unwrap_or_default();
    for (series, wanted) in steady {
        let found = values(series).unwrap();
        assert_eq!(found, [wanted; READINGS], "{series}\n{log}");
    }
    let [requests, octets] = growing.map(|series| values(series).unwrap());
    assert_eq!(requests, [31.0, 32.0, 33.0], "{log}");
    // Of whole kilobytes.
    let sent = (status.pools[0].sent / 1024 * 1024) as f64;
    assert_eq!(octets[0], sent, "{log}");
    assert!(octets[0] < octets[2], "its own answers count: {octets:?}");
    assert!(!log.contains("apache plugin: "), "it complains: {log}");
    drop(silent);
    server.stop();
}
