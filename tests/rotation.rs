//! Log files that are moved away while lines are written to them.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use flate2::read::GzDecoder;
use harness::load::{Habit, Load};
use harness::server::{outcome, program, write_configuration};
use harness::{MODELS, SOON, Server, eventually, on_each_model, preforkd};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

on_each_model! {
    every_line_is_in_one_file_and_none_comes_late
    logrotate_loses_nothing
}

/// The logs of the server, by what their names begin with: the master's, which
/// one pool shares, that of the other pool, and their access logs.
const LOGS: [&str; 4] = ["master", "web", "access", "api"];
const ANSWER: &[u8] = b"index\n";

/// A server with all its logs in files, under load on both pools.
struct Site {
    server: Server,
    loads: [Load; 2],
}

impl Site {
    fn start(model: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let place = directory.path().to_owned();
        fs::create_dir_all(place.join("www")).unwrap();
        fs::create_dir(place.join("logs")).unwrap();
        fs::write(place.join("www/index.html"), ANSWER).unwrap();
        let pool = |name: &str, keys: &str| {
            format!(
                "[pool.{name}]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
                 workers = 2\nlinger_timeout = \"100ms\"\nhttp.root = \"www\"\n{keys}\n"
            )
        };
        let pools = pool(
            "web",
            "log = { to = \"logs/web.log\", format = \"json\" }\nhttp.access_log = \"logs/access.log\"",
        ) + &pool(
            "api",
            "http.access_log = { to = \"logs/api.log\", format = \"json\" }",
        );
        // Each connection has a line of its own in the error log.
        let master = "log = { to = \"logs/master.log\", level = \"debug\" }\n\
                      control_socket = \"control\"";
        let path = write_configuration(&place, master, &pools);
        let mut command = preforkd();
        command.arg("run").arg("-c").arg(path);
        let server = Server::launch_with_log_file(command, directory);
        let line = server.log.wait_for("listening on ", SOON);
        let address = |name: &str| -> SocketAddr {
            let (_, rest) = line.split_once(&format!(" {name} ")).unwrap();
            let end = rest.find(',').unwrap_or(rest.len());
            rest[..end].parse().unwrap()
        };
        let loads =
            ["web", "api"].map(|name| Load::start(address(name), "/", ANSWER, 2, Habit::Fresh));
        Self { server, loads }
    }

    fn directory(&self) -> PathBuf {
        self.server.directory.path().join("logs")
    }

    /// Waits until each log has a line.
    fn wait_for_lines(&self) {
        eventually("each log has a line", SOON, || {
            let has = |log: &&str| {
                let log = self.directory().join(format!("{log}.log"));
                fs::metadata(log).is_ok_and(|found| found.len() > 0)
            };
            LOGS.iter().all(has).then_some(())
        });
    }

    /// Moves all logs away, with this behind their names, and has them reopened.
    fn rotate(&self, number: usize) -> Vec<(PathBuf, Vec<u8>)> {
        let moved = LOGS.map(|log| {
            let old = self.directory().join(format!("{log}.{number}"));
            fs::rename(self.directory().join(format!("{log}.log")), &old).unwrap();
            old
        });
        assert_eq!(
            control(&self.server, &["reopen", "--wait"]),
            (Some(0), "logs reopened\n".into())
        );
        // From here on they may be compressed: nobody writes to them any more.
        let content = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
        moved.map(content).into()
    }

    /// Ends the load, and then the server; answers how many requests of each
    /// pool were answered.
    fn stop(self) -> (TempDir, [u64; 2]) {
        let answered = self.loads.map(|load| {
            let (answered, losses) = load.stop();
            assert_eq!(losses, Vec::<String>::new());
            answered
        });
        let kept = TempDir::new().unwrap();
        self.server.stop_leaving(|directory| {
            fs::rename(directory.join("logs"), kept.path().join("logs")).unwrap();
        });
        (kept, answered)
    }
}

/// The lines of all files of a log, moved or not, whole each.
fn lines(directory: &Path, log: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with(&format!("{log}.")) {
            continue;
        }
        let octets = fs::read(&path).unwrap();
        let mut text = String::new();
        if name.ends_with(".gz") {
            GzDecoder::new(&*octets).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(octets).unwrap();
        }
        assert!(text.is_empty() || text.ends_with('\n'), "torn: {name}");
        all.extend(text.lines().map(str::to_owned));
    }
    all
}

/// That every line of every log is whole, and in one file: each request has one
/// line in its pool's access log, and its connection one in its pool's log.
fn assert_complete(directory: &Path, [web, api]: [u64; 2]) {
    let objects = |log: &str| -> Vec<Value> {
        let parsed = lines(directory, log).into_iter().map(|line| {
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
        });
        parsed.collect()
    };
    let combined = lines(directory, "access");
    for line in &combined {
        assert!(
            line.starts_with("127.0.0.1 - - [")
                && line.ends_with("\"GET / HTTP/1.1\" 200 6 \"-\" \"-\""),
            "{line:?}"
        );
    }
    assert_eq!(combined.len() as u64, web);
    let names = |lines: &[Value], name: fn(&Value) -> &Value| -> BTreeSet<String> {
        let names = lines
            .iter()
            .map(|line| name(line).as_str().unwrap().to_owned());
        names.collect()
    };
    let requests = objects("api");
    let requests = names(&requests, |line| &line["request_id"]);
    assert_eq!(
        (requests.len() as u64, lines(directory, "api").len() as u64),
        (api, api)
    );
    let is_close = |line: &Value| line["message"].as_str().unwrap().contains(": closed: ");
    let mut closes = objects("web");
    closes.retain(is_close);
    assert_eq!(closes.len() as u64, web);
    assert_eq!(
        names(&closes, |line| &line["fields"]["request_id"]).len() as u64,
        web
    );
    let text = lines(directory, "master");
    for line in &text {
        let (stamp, rest) = line.split_at_checked(line.find(" [").unwrap_or(0)).unwrap();
        assert!(stamp.len() == 29 && stamp.starts_with("20"), "{line:?}");
        assert!(
            rest.contains("] master ") || rest.contains("] api["),
            "{line:?}"
        );
    }
    let closes = text.iter().filter(|line| line.contains(": closed: "));
    let closes: Vec<&str> = closes
        .filter_map(|line| line.split_once("] ").map(|(_, text)| text))
        .collect();
    assert_eq!(closes.len() as u64, api);
    let apart: BTreeSet<&&str> = closes.iter().collect();
    assert_eq!(apart.len() as u64, api);
}

fn rotations(model: &str, count: usize) {
    let site = Site::start(model);
    let mut moved = Vec::new();
    for number in 0..count {
        site.loads.iter().for_each(|load| load.wait_for(20));
        if number % 3 == 0 {
            // Lines of the access log wait for company, half a second at most.
            site.wait_for_lines();
        }
        if number == count / 2 {
            // A generation that has opened its logs, and does not serve yet.
            site.server.signal(Signal::SIGHUP);
        }
        moved.extend(site.rotate(number));
    }
    for (path, content) in &moved {
        let late = fs::read(path).unwrap();
        assert!(late == *content, "lines came late to {}", path.display());
    }
    for log in LOGS {
        let holds = |(path, content): &&(PathBuf, Vec<u8>)| {
            path.file_stem().is_some_and(|stem| stem == log) && !content.is_empty()
        };
        assert!(moved.iter().filter(holds).count() > 1, "{log} has no lines");
    }
    let (kept, answered) = site.stop();
    let directory = kept.path().join("logs");
    for (path, content) in moved {
        let late = fs::read(directory.join(path.file_name().unwrap())).unwrap();
        assert!(late == content, "lines came late to {}", path.display());
    }
    assert_complete(&directory, answered);
}

fn every_line_is_in_one_file_and_none_comes_late(model: &str) {
    rotations(model, 6);
}

#[test]
#[ignore = "long"]
fn a_hundred_rotations_lose_nothing() {
    for model in MODELS {
        rotations(model, 100);
    }
}

/// What is in scripts/, with the paths of this test.
fn logrotate_loses_nothing(model: &str) {
    let Ok(version) = Command::new("logrotate").arg("--version").output() else {
        println!("skipped: logrotate is not installed");
        return;
    };
    assert!(version.status.success());
    let site = Site::start(model);
    let place = site.server.directory.path();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/preforkd.logrotate");
    let sample = fs::read_to_string(sample).unwrap();
    let ours = [
        (
            "/var/log/preforkd/",
            format!("{}/", site.directory().display()),
        ),
        (
            "preforkd reopen --wait",
            format!(
                "{} reopen --wait --control {}/control",
                program().display(),
                place.display()
            ),
        ),
    ];
    let configuration = ours.into_iter().fold(sample, |text, (sample, ours)| {
        // Not in the comments.
        let (head, rules) = text.split_once("\n/").unwrap();
        assert!(
            format!("/{rules}").contains(sample),
            "no {sample} in {rules}"
        );
        format!("{head}\n{}", format!("/{rules}").replace(sample, &ours))
    });
    let file = place.join("logrotate.conf");
    fs::write(&file, configuration).unwrap();
    for number in 1..=4 {
        site.loads.iter().for_each(|load| load.wait_for(20));
        site.wait_for_lines();
        let mut command = Command::new("logrotate");
        command
            .arg("-f")
            .arg("-s")
            .arg(place.join("state"))
            .arg(&file);
        let output = outcome(command);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        for log in LOGS {
            let oldest = site.directory().join(format!("{log}.log.{number}.gz"));
            assert!(oldest.exists(), "{}", oldest.display());
        }
    }
    let (kept, answered) = site.stop();
    assert_complete(&kept.path().join("logs"), answered);
}

/// A server with a log of each sort, which says what it does.
fn server(model: &str) -> Server {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 3\nhttp.root = \"www\"\nlog = \"./web.log\"\n\
         http.access_log = \"./access.log\"\n"
    );
    Server::run_with(directory, "control_socket = \"control\"", &pools)
}

fn control(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = preforkd();
    command.args(arguments).arg("--control");
    command.arg(server.directory.path().join("control"));
    let output = outcome(command);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

#[test]
fn a_file_that_cannot_be_reopened_is_no_success() {
    for (name, what) in [("access.log", "access log"), ("web.log", "log")] {
        let mut server = server("prefork");
        let expected = format!("reopening the {what} of web: Is a directory");
        server.expect(&expected);
        let current = server.directory.path().join(name);
        fs::rename(&current, current.with_extension("old")).unwrap();
        fs::create_dir(&current).unwrap();
        let (status, text) = control(&server, &["reopen", "--wait"]);
        assert_eq!(status, Some(71), "{text}");
        assert!(text.contains(&expected), "{text}");
        fs::remove_dir(&current).unwrap();
        assert_eq!(
            control(&server, &["reopen", "--wait"]),
            (Some(0), "logs reopened\n".into())
        );
        server.stop();
    }
}

#[test]
fn a_reload_that_is_waited_for_says_how_it_went() {
    let mut server = server("prefork");
    let (status, text) = control(&server, &["reload", "--wait"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.starts_with("generation 2 serves: web 127.0.0.1:"),
        "{text}"
    );
    let file = server.configuration();
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("workers = 3", "wrokers = 3")).unwrap();
    let (status, text) = control(&server, &["reload", "--wait"]);
    assert_eq!(status, Some(78), "{text}");
    assert!(text.contains("unknown key `wrokers`"), "{text}");
    server.expect("unknown key `wrokers`");
    server.expect("reload refused");
    fs::write(&file, good).unwrap();
    assert_eq!(control(&server, &["reload", "--wait"]).0, Some(0));
    assert_eq!(control(&server, &["stop", "--wait"]).0, Some(0));
    server.assert_good_end();
}
