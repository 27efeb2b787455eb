//! `preforkd status`: its exit status, its tables, and the live view at a
//! terminal.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::crowd::{Crowd, Habit, Manners};
use harness::server::{outcome, write_configuration};
use harness::terminal::Terminal;
use harness::{Client, SOON, Server, eventually, own, preforkd, process};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const BOTH: &str = "pid_file = \"pid\"\ncontrol_socket = \"control\"";
const PID_FILE: &str = "pid_file = \"pid\"";
const ECHO: &str = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 2\n";
const WEB: &str = "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nworkers = 3\n\
                   http.root = \".\"\nlinger_timeout = \"100ms\"\n";

/// The status command of the server whose files are in `place`.
fn status(place: &Path, words: &[&str]) -> Command {
    let mut command = preforkd();
    command.arg("status").args(words);
    command.arg("-c").arg(place.join("preforkd.toml"));
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A server whose files stay when it is gone.
fn launch(place: &TempDir) -> Server {
    let mut command = preforkd();
    command
        .args(["run", "-c"])
        .arg(place.path().join("preforkd.toml"));
    Server::launch(command, TempDir::new().unwrap())
}

/// Its master ends without a chance to tidy up.
fn kill(server: &mut Server) {
    server.signal(Signal::SIGKILL);
    server.wait(SOON);
    server.assert_nobody_left();
}

#[test]
fn the_exit_status_is_that_of_an_init_script() {
    for master in [BOTH, PID_FILE] {
        let place = TempDir::new().unwrap();
        write_configuration(place.path(), master, ECHO);
        let look = || outcome(status(place.path(), &[]));
        let before = look();
        assert_eq!(code(&before), 3, "{before:?}");
        let mut server = launch(&place);
        let pid = server.pid();
        let running = look();
        assert_eq!(code(&running), 0, "{running:?}");
        let told = if master == BOTH {
            format!("master {pid} running, generation 1")
        } else {
            format!("running, pid {pid}; no control socket is configured")
        };
        assert!(text(&running).starts_with(&told), "{running:?}");
        // That it runs is no answer to whoever asks for deaths.
        let deaths = outcome(status(place.path(), &["--deaths"]));
        let expected = if master == BOTH { 0 } else { 4 };
        assert_eq!(code(&deaths), expected, "{deaths:?}");
        kill(&mut server);
        let dead = look();
        assert_eq!(code(&dead), 1, "{dead:?}");
        assert!(text(&dead).contains(&format!("of process {pid} is left")));
        // The number is a living process's by now.
        fs::write(
            place.path().join("pid"),
            format!("{}\n", std::process::id()),
        )
        .unwrap();
        let recycled = look();
        assert_eq!(code(&recycled), 1, "{recycled:?}");
        // A status that only looked is no obstacle, nor is what it looked at.
        launch(&place).stop();
        let stopped = look();
        assert_eq!(code(&stopped), 3, "{stopped:?}");
        assert!(text(&stopped).starts_with("not running: there is no pid file"));
    }
}

#[test]
fn a_master_that_does_not_answer_is_known_by_its_pid_file() {
    let place = TempDir::new().unwrap();
    write_configuration(place.path(), BOTH, ECHO);
    let server = launch(&place);
    server.signal(Signal::SIGSTOP);
    let control = place.path().join("control");
    let looks = [
        status(place.path(), &[]),
        status(place.path(), &["--json"]),
        by_control(&control),
    ];
    // Side by side, for each waits.
    let looks = looks.map(|command| std::thread::spawn(move || outcome(command)));
    let [plain, json, control] = looks.map(|look| look.join().unwrap());
    server.signal(Signal::SIGCONT);
    assert_eq!((code(&plain), code(&json)), (0, 0));
    let told = format!("running, pid {}; it does not answer", server.pid());
    assert!(text(&plain).starts_with(&told), "{plain:?}");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["running"], &json["pid"]),
        (&true.into(), &server.pid().into())
    );
    // Somebody is there, and more cannot be said.
    assert_eq!(code(&control), 4, "{control:?}");
    server.stop();
}

fn by_control(control: &Path) -> Command {
    let mut command = preforkd();
    command.args(["status", "--control"]).arg(control);
    command
}

#[test]
fn what_cannot_be_known_is_said() {
    let place = TempDir::new().unwrap();
    let look = |words: &[&str]| {
        let output = outcome(status(place.path(), words));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            told.starts_with("preforkd: ") || told.starts_with("error: "),
            "{told}"
        );
        (code(&output), told)
    };
    let (code, told) = look(&[]);
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("No such file"), "{told}");
    write_configuration(place.path(), "control_sock = \"control\"", ECHO);
    let (code, told) = look(&[]);
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("preforkd.toml:"), "{told}");
    write_configuration(place.path(), "", ECHO);
    let (code, told) = look(&[]);
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("no control socket is configured, and no pid file"));
    let (code, told) = look(&["--watch"]);
    assert_eq!(code, 4, "{told}");
    for wrong in [
        &["--watch", "0"][..],
        &["--watch", "3601"],
        &["--watch", "NaN"],
        &["--watch", "--deaths"],
        &["--pool"],
    ] {
        assert_eq!(look(wrong).0, 64, "{wrong:?}");
    }
    // A socket alone: nobody has ever listened there, or nobody does any more.
    let control = place.path().join("control");
    assert_eq!(outcome(by_control(&control)).status.code(), Some(3));
    own::stale_socket(&control);
    assert_eq!(outcome(by_control(&control)).status.code(), Some(3));
}

#[test]
fn who_may_not_ask_learns_from_the_pid_file() {
    const NOBODY: u32 = 65534;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: there is nobody else to be");
        return;
    }
    // The program where everybody may run it.
    let place = TempDir::new().unwrap();
    let copy = place.path().join("preforkd");
    own::copy(&copy);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.path(), mode).unwrap();
    write_configuration(place.path(), BOTH, ECHO);
    let mut server = launch(&place);
    let look = || {
        let mut command = Command::new(&copy);
        command
            .args(["status", "-c"])
            .arg(place.path().join("preforkd.toml"));
        outcome({
            command.uid(NOBODY).stdin(Stdio::null());
            command
        })
    };
    let barred = look();
    assert_eq!(code(&barred), 0, "{barred:?}");
    let told = format!("running, pid {}; no permission", server.pid());
    assert!(text(&barred).starts_with(&told), "{barred:?}");
    kill(&mut server);
    let dead = look();
    assert_eq!(code(&dead), 1, "{dead:?}");
}

/// Listens in the place of a master, and says `answer` to whatever is asked, as
/// often as it is; tells what was asked.
fn pretend(control: &Path, answer: &str) -> std::sync::mpsc::Receiver<String> {
    let listener = UnixListener::bind(control).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let answer = format!("{}\n", answer.replace('\n', " "));
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                // Who asked may have left, and who listened too.
                let _ = tell.send(std::mem::take(&mut line));
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    told
}

/// A newer master, with a client that means harm.
const WILD: &str = r#"{"answer":"status","pid":4711,"state":"running","generation":3,
    "version":"9.9.9","ready":true,"uptime":60,"listening":"web 127.0.0.1:80","novelty":[1],
    "pools":[{"name":"web","breaker":"open","wanted":2,"ready":0,"model":"prefork",
              "queue":{"length":512,"limit":511}}],
    "workers":[{"pool":"web","slot":1,"pid":4712,"phase":"ready","active":1,"lanes":[
        {"state":"writing","since":75.5,"peer":"192.0.2.1:9","deadline":-5.5,"active":1,
         "request":"GET /\u001b]0;owned\u0007\u009b31m\u202e\r\n"}]}]}"#;

const WILD_REQUEST: &str = "GET /\\u{1b}]0;owned\\u{7}\\u{9b}31m\\u{202e}\\r\\n";

fn assert_printable(output: &[u8]) {
    let wrong = |byte: &u8| !(b' '..=b'~').contains(byte) && *byte != b'\n';
    assert!(
        !output.iter().any(wrong),
        "{}",
        String::from_utf8_lossy(output)
    );
}

#[test]
fn what_is_wrong_comes_first_and_no_client_can_write_to_the_terminal() {
    let place = TempDir::new().unwrap();
    let control = place.path().join("control");
    let asked = pretend(&control, WILD);
    let plain = outcome(by_control(&control));
    assert_eq!(code(&plain), 0);
    assert_eq!(asked.recv().unwrap(), "{\"query\":\"status\"}\n");
    assert_printable(&plain.stdout);
    let table = text(&plain);
    let told: Vec<&str> = table.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(
        told,
        [
            "PROBLEMS",
            "pool web: workers keep dying (breaker open): none is spawned until the next try",
            "pool web: nobody is ready, of 2 workers wanted",
            "pool web: the accept queue is full (512 of 511): new clients are turned away",
            "web[1] pid 4712 is overdue by 5.5s",
        ]
    );
    assert!(table.contains(WILD_REQUEST), "{table}");
    let mut json = by_control(&control);
    json.arg("--json");
    let json = outcome(json);
    assert_printable(&json.stdout);
    assert_eq!(text(&json).lines().count(), 1);
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(&text(&json)), parse(&WILD.replace('\n', " ")));
    let mut other = by_control(&control);
    other.args(["--pool", "other"]);
    assert_eq!(outcome(other).status.code(), Some(64));

    let mut terminal = Terminal::start(&by_control(&control), 100, 40);
    assert_eq!(terminal.wait().code(), Some(0));
    let picture = terminal.wait_for("PROBLEMS");
    assert!(picture.strange.is_empty(), "{picture:?}");
    let red = "\x1b[1m\x1b[38;5;1mPROBLEMS\x1b[0m";
    assert!(String::from_utf8_lossy(&terminal.written()).contains(red));
    let mut live = by_control(&control);
    live.args(["--watch", "0.1"]);
    let mut terminal = Terminal::start(&live, 100, 40);
    let picture = terminal.wait_for(WILD_REQUEST);
    assert!(picture.strange.is_empty(), "{picture:?}");
    terminal.type_in("q");
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn deaths_are_told_in_a_table_and_in_full() {
    let place = TempDir::new().unwrap();
    let control = place.path().join("control");
    let answer = r#"{"answer":"deaths","deaths":[
        {"time":1700000000.5,"pool":"web","slot":1,"pid":301,"generation":2,"cause":"signal",
         "how":"killed by SIGSEGV","age":2.25,"cut":1,"last_request":"GET /\u001b[2J",
         "usage":{"user":0.5,"max_rss":2048}},
        {"time":1700000001.5,"pool":"echo","slot":0,"pid":302,"cause":"hung","how":"killed"}]}"#;
    let asked = pretend(&control, answer);
    let look = |words: &[&str]| {
        let mut command = by_control(&control);
        command.arg("--deaths").args(words);
        let output = outcome(command);
        assert_eq!(code(&output), 0, "{output:?}");
        assert_printable(&output.stdout);
        text(&output)
    };
    let table = look(&[]);
    assert_eq!(asked.recv().unwrap(), "{\"query\":\"deaths\"}\n");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().skip(1).take(4).collect())
        .collect();
    assert_eq!(
        rows,
        [
            ["WORKER", "PID", "GEN", "CAUSE"],
            ["web[1]", "301", "2", "signal"],
            ["echo[0]", "302", "0", "hung"],
        ]
    );
    assert!(
        table.contains("  last request GET /\\u{1b}[2J\n"),
        "{table}"
    );
    assert!(
        table.contains("0.50s user, 0.00s system, 2.0M octets at most"),
        "{table}"
    );
    assert!(!look(&["--pool", "echo"]).contains("web["));
    assert!(look(&["--json"]).starts_with("{\"answer\":\"deaths\""));
}

#[test]
fn a_watch_that_is_no_terminal_prints_until_nobody_reads() {
    let server = Server::run_with(TempDir::new().unwrap(), BOTH, ECHO);
    let mut command = status(server.directory.path(), &["--watch", "0.1", "--busy"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let head = format!("master {} running, generation 1", server.pid());
    let mut heads = 0;
    while heads < 3 {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended");
        assert_printable(line.as_bytes());
        heads += usize::from(line.starts_with(&head));
    }
    drop(lines);
    let ended = eventually("it ends with its reader", SOON, || {
        child.try_wait().unwrap()
    });
    assert_eq!(ended.code(), Some(0));
    server.stop();
}

/// The live view of the server in `place`.
fn watch(place: &Path, columns: u16, rows: u16) -> Terminal {
    Terminal::start(&status(place, &["--watch", "0.2"]), columns, rows)
}

#[test]
fn a_watch_survives_a_resize_and_a_dead_master() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("index.html"), "index\n").unwrap();
    write_configuration(place.path(), BOTH, WEB);
    let mut server = launch(&place);
    let mut terminal = watch(place.path(), 100, 30);
    let picture = terminal.wait_for(&format!("master {} running, generation 1", server.pid()));
    assert!(picture.alternate && picture.cursor_hidden && terminal.is_raw());
    terminal.wait_until("a row of letters", |picture| {
        let mut rows = picture.rows.iter();
        rows.any(|row| row.trim_end() == "web ___")
    });
    // It counts what is served, from one answer to the next.
    let crowd = Crowd::start(Manners {
        address: server.address("web"),
        path: "/index.html".to_owned(),
        body: b"index\n".to_vec(),
        habit: Habit::Fresh,
        clients: 1,
        think: Duration::from_millis(10)..Duration::from_millis(20),
        patience: SOON,
        keepalive: Duration::MAX,
        seed: 7,
    });
    terminal.wait_until("a rate", |picture| {
        let row = picture.rows.iter().find(|row| row.starts_with("web  "));
        let rate = row.and_then(|row| row.split_whitespace().nth(5));
        let rate = rate.and_then(|rate| rate.parse::<f64>().ok());
        assert!(rate.is_none_or(|rate| rate >= 0.0), "{row:?}");
        rate.is_some_and(|rate| rate > 0.0)
    });
    let ledger = crowd.stop();
    assert!(ledger.faults.is_empty(), "{}", ledger.complaints());
    // Smaller, at once, and larger again.
    for (columns, rows) in [(40, 8), (20, 3), (130, 50)] {
        terminal.resize(columns, rows);
        let (width, height) = (usize::from(columns), usize::from(rows));
        terminal.wait_until("the new size", |picture| {
            // Every row is written to its edge.
            picture.rows.len() == height && picture.rows.iter().all(|row| row.len() == width)
        });
    }
    kill(&mut server);
    let lost = terminal.wait_for("NO MASTER since ");
    // What was known stays.
    assert!(lost.contains("POOL"), "{lost:?}");
    let server = launch(&place);
    let head = format!("master {} running, generation 1", server.pid());
    let back = terminal.wait_until("the next master", |picture| {
        picture.contains(&head) && !picture.contains("NO MASTER")
    });
    assert!(back.strange.is_empty(), "{back:?}");
    assert!(
        !back
            .rows
            .iter()
            .any(|row| row.starts_with("web ") && row.contains(" -0"))
    );
    terminal.type_in("q");
    assert_eq!(terminal.wait().code(), Some(0));
    terminal.assert_given_back();
    server.stop();
}

#[test]
fn a_master_that_is_slow_does_not_hold_up_the_screen() {
    let place = TempDir::new().unwrap();
    write_configuration(place.path(), BOTH, ECHO);
    let server = launch(&place);
    let mut terminal = watch(place.path(), 100, 30);
    terminal.wait_for("running, generation 1");
    server.signal(Signal::SIGSTOP);
    terminal.wait_for("the master has owed an answer for ");
    terminal.type_in("?");
    terminal.wait_for("the next pool alone, then all of them");
    terminal.type_in("?");
    terminal.wait_for("NO ANSWER since ");
    server.signal(Signal::SIGCONT);
    terminal.wait_until("an answer", |picture| {
        !picture.contains("NO ANSWER") && !picture.contains("owed")
    });
    terminal.type_in(" ");
    terminal.wait_for("PAUSED");
    terminal.type_in(" q");
    assert_eq!(terminal.wait().code(), Some(0));
    server.stop();
}

#[test]
fn the_terminal_is_given_back_on_every_way_out() {
    let server = Server::run_with(TempDir::new().unwrap(), BOTH, ECHO);
    let start = || {
        let terminal = watch(server.directory.path(), 80, 24);
        let picture = terminal.wait_for("running, generation 1");
        assert!(picture.alternate && picture.cursor_hidden && terminal.is_raw());
        terminal
    };
    for keys in ["q", "\x1b", "\x03", "\x04"] {
        let mut terminal = start();
        terminal.type_in(keys);
        assert_eq!(terminal.wait().code(), Some(0), "{keys:?}");
        terminal.assert_given_back();
    }
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let mut terminal = start();
        process::signal(terminal.pid(), signal);
        assert_eq!(terminal.wait().signal(), Some(signal as i32));
        terminal.assert_given_back();
    }
    let mut terminal = start();
    terminal.close();
    // By the signal, or as there is nobody to look; whichever it sees first.
    let end = terminal.wait();
    let hung_up = end.signal() == Some(Signal::SIGHUP as i32);
    assert!(hung_up || end.code() == Some(0), "{end}");
    server.stop();
}

#[test]
fn a_worker_at_work_is_seen_in_the_live_view() {
    let place = TempDir::new().unwrap();
    let large = fs::File::create(place.path().join("large")).unwrap();
    large.set_len(64 << 20).unwrap();
    write_configuration(place.path(), BOTH, WEB);
    let server = launch(&place);
    let mut client = Client::connect(server.address("web"));
    client.send("GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    client.read(1000);
    let mut terminal = watch(place.path(), 140, 30);
    let picture = terminal.wait_for("GET /large");
    let row = picture.rows.iter().find(|row| row.contains("GET /large"));
    assert!(row.unwrap().starts_with("web["), "{picture:?}");
    // Leaving it out of a table is the other way round.
    let busy = outcome(status(place.path(), &["--busy"]));
    let busy = text(&busy);
    let rows = busy.lines().filter(|line| line.starts_with("web["));
    assert_eq!(rows.count(), 1, "{busy}");
    terminal.type_in("q");
    assert_eq!(terminal.wait().code(), Some(0));
    client.read_to_end();
    server.stop();
}
