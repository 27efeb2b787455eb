//! What programs say of themselves, and what they write.

use super::{MASTER, NOTIFY, PYTHON, answerer, ask, has, pool, refused, running, start};
use crate::harness::{SOON, Server, eventually, let_time_pass, process};
use nix::sys::signal::Signal;
use std::fs;
use std::time::{Duration, Instant};

/// The state of the first worker, and its text.
fn row(server: &Server) -> (String, String) {
    let json: serde_json::Value =
        serde_json::from_str(&ask(server, &["status", "--json"])).unwrap();
    let worker = &json["workers"][0];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (text(&worker["doing"]), text(&worker["lanes"][0]["request"]))
}

#[test]
fn ready_is_when_it_says_so() {
    if !has(PYTHON) {
        return;
    }
    // The one says it itself, the other has a child say it that is gone at once.
    for word in [
        "notify:STATUS=all fine\\nMAINPID=1\\nREADY=1",
        "child:STATUS=all fine\\nREADY=1",
    ] {
        let began = Instant::now();
        let server = start(&pool(&["sleep:0.5", word, "serve"], "", NOTIFY));
        assert!(began.elapsed() >= Duration::from_millis(500));
        let expected = (String::from("serving: all fine"), String::from("all fine"));
        eventually("the status is shown", SOON, || {
            (row(&server) == expected).then_some(())
        });
        let shown = ask(&server, &["status"]);
        assert!(
            shown.contains(" program ") && shown.contains("all fine"),
            "{shown}"
        );
        let [pid] = server.workers()[..] else {
            panic!()
        };
        assert!(
            process::title(pid).starts_with(PYTHON),
            "its own command line"
        );
        assert_eq!(answerer(&server), pid);
        server.stop();
    }
}

#[test]
fn ready_is_when_it_has_lived_for_so_long() {
    if !has(PYTHON) {
        return;
    }
    let began = Instant::now();
    let server = start(&pool(&["facts", "serve"], "", "ready = \"700ms\""));
    assert!(began.elapsed() >= Duration::from_millis(700));
    let found = super::facts(&server, 0);
    let variables = found["environment"].as_object().unwrap();
    assert!(!variables.contains_key("NOTIFY_SOCKET"), "nobody listens");
    assert_eq!(row(&server).0, "serving");
    server.stop();
}

#[test]
fn who_is_not_ready_in_time_is_ended() {
    if !has(PYTHON) {
        return;
    }
    let deeds = ["notify:READY=0\\nSTATUS=hm", "sleep:60"];
    let (status, said) = refused(&pool(&deeds, "spawn_timeout = \"300ms\"", NOTIFY));
    assert_eq!(status, Some(75), "{said}");
    assert!(said.contains("was not READY in time"), "{said}");
}

#[test]
fn another_process_does_not_speak_for_it() {
    if !has(PYTHON) {
        return;
    }
    // The second pool's program speaks to the socket of the first.
    let quiet = pool(&["facts", "sleep:1", "notify:READY=1", "serve"], "", NOTIFY);
    let server = start(&quiet);
    let socket = super::facts(&server, 0)["environment"]["NOTIFY_SOCKET"].clone();
    let name = socket
        .as_str()
        .unwrap()
        .strip_prefix('@')
        .unwrap()
        .to_owned();
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(
            &name,
        );
    let stranger = std::os::unix::net::UnixDatagram::unbound().unwrap();
    stranger
        .send_to_addr(b"STATUS=a lie", &address.unwrap())
        .unwrap();
    server.log.wait_for("speaks for it: unheard", SOON);
    assert_eq!(row(&server).1, "");
    server.stop();
}

#[test]
fn a_sign_of_life_is_owed_by_whoever_gave_one() {
    if !has(PYTHON) {
        return;
    }
    let keys = "worker_timeout = \"1s\"";
    // One that never promised anything is left alone.
    let server = start(&pool(&["notify:READY=1", "serve"], keys, NOTIFY));
    let pid = answerer(&server);
    let_time_pass(Duration::from_millis(2500));
    assert_eq!(answerer(&server), pid);
    server.stop();
    for promise in ["WATCHDOG=1", "WATCHDOG_USEC=500000", "WATCHDOG=trigger"] {
        let word = format!("notify:READY=1\\n{promise}");
        let mut server = start(&pool(&[&word, "serve"], keys, NOTIFY));
        server.expect("shows no sign of life");
        server
            .log
            .wait_for("shows no sign of life; it is serving", SOON);
        server.log.wait_for("[finished] exited with status 0", SOON);
        server.stop();
    }
}

#[test]
fn who_was_told_to_end_owes_no_sign_of_life() {
    if !has(PYTHON) {
        return;
    }
    let deeds = [
        "notify:READY=1\\nWATCHDOG_USEC=1000000",
        "serve",
        "sleep:2.5",
        "say:finished",
    ];
    let mut server = start(&pool(&deeds, "", NOTIFY));
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
    server.log.wait_for("info: finished", SOON);
}

#[test]
fn who_says_that_it_stops_has_a_successor_first() {
    if !has(PYTHON) {
        return;
    }
    let deeds = ["notify:READY=1", "await:now", "notify:STOPPING=1", "serve"];
    let keys = "min_worker_lifetime = \"1ms\"";
    let server = start(&pool(&deeds, keys, NOTIFY));
    let [first] = server.workers()[..] else {
        panic!()
    };
    let now = server.directory.path().join("now");
    fs::write(&now, "").unwrap();
    server.log.wait_for("[finished]", SOON);
    fs::remove_file(&now).unwrap();
    assert!(!process::is_alive(first));
    // There was somebody all the time.
    answerer(&server);
    let lines = server.log.lines();
    assert!(!lines.iter().any(|line| line.contains("no worker is ready")));
    server.stop();
}

#[test]
fn what_it_writes_is_in_the_log_line_by_line() {
    if !has(PYTHON) {
        return;
    }
    let long = format!("write:{}", "x".repeat(5000));
    let deeds = [
        "say:one\\ntwo \u{1b}[2J",
        "complain:three",
        &long,
        "notify:READY=1",
        "serve",
        "write:the last words",
    ];
    let mut pools = pool(&deeds, "log = \"web.log\"", NOTIFY);
    pools.push_str("reopen_signal = \"USR1\"\n");
    let pools = pools.replace("\"notify:READY=1\"", "\"note:USR1\", \"notify:READY=1\"");
    let server = start(&pools);
    let pid = answerer(&server);
    let log = server.directory.path().join("web.log");
    let read = || fs::read_to_string(&log).unwrap_or_default();
    let mark = format!("[{pid}] web[0] info: ");
    // READY comes another way, and may overtake what was written before.
    let text = eventually("five lines", SOON, || {
        let text = read();
        (text.matches(&mark).count() >= 5).then_some(text)
    });
    let said: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once(&mark)?.1))
        .collect();
    assert_eq!(said[..3], ["one", "two \\u{1b}[2J", "three"], "{text}");
    let lengths: Vec<usize> = said[3..].iter().map(|line| line.len()).collect();
    assert_eq!(lengths, [2048, 2048], "the rest has no end yet");
    // After a rotation it is in the new file, and the program hears of it.
    fs::rename(&log, server.directory.path().join("web.log.1")).unwrap();
    ask(&server, &["reopen", "--wait"]);
    eventually("the new file", SOON, || {
        read().contains("info: xxxx").then_some(())
    });
    assert!(read().contains("xnoted USR1\n"), "{}", read());
    server.stop_leaving(|directory| {
        let text = fs::read_to_string(directory.join("web.log")).unwrap();
        assert!(text.ends_with("info: the last words\n"), "{text}");
    });
}

#[test]
fn the_output_can_go_elsewhere() {
    if !has(PYTHON) {
        return;
    }
    let deeds = ["say:to nobody", "complain:as it is", "serve"];
    let own = "ready = \"500ms\"\nstdout = \"off\"\nstderr = \"inherit\"";
    let server = start(&pool(&deeds, "", own));
    let line = server.log.wait_for("as it is", SOON);
    assert_eq!(line, "as it is");
    assert!(
        !server
            .log
            .lines()
            .iter()
            .any(|line| line.contains("to nobody"))
    );
    server.stop();
}

#[test]
fn a_flood_costs_the_flooder() {
    if !has(PYTHON) {
        return;
    }
    let flooder = pool(&["notify:READY=1", "flood:100000"], "", NOTIFY);
    let other = pool(&["notify:READY=1", "serve"], "", NOTIFY).replace("pool.web", "pool.calm");
    let directory = tempfile::TempDir::new().unwrap();
    let pools = format!(
        "{}\nlog = \"off\"\n{}",
        flooder.split("[pool.web.app]").next().unwrap(),
        format_args!(
            "[pool.web.app]{}\n{other}",
            flooder.split("[pool.web.app]").nth(1).unwrap()
        )
    );
    let server = Server::run_with(directory, MASTER, &pools);
    let before = (process::processor_time(server.pid()), Instant::now());
    let_time_pass(Duration::from_secs(1));
    let used = process::processor_time(server.pid()) - before.0;
    let share = used.as_secs_f64() / before.1.elapsed().as_secs_f64();
    // It writes as fast as it can; the master does not read as fast as it can.
    assert!(share < 0.6, "the master used {share:.2} of a processor");
    assert!(process::anonymous_memory(server.pid()) < 32 << 10);
    // And everything else goes on.
    for _ in 0..10 {
        assert_eq!(crate::harness::get(server.address("calm"), "/").status, 200);
    }
    ask(&server, &["status"]);
    server.signal(Signal::SIGTERM);
    let mut server = server;
    server.assert_good_end();
}

/// A line costs the master the same however short it is, so it is lines that count,
/// those of all programs together.
#[test]
fn short_lines_are_no_cheaper() {
    let keys = "workers = 16\nlog = \"web.log\"";
    let pools = running("[\"/usr/bin/yes\"]", keys, "ready = \"300ms\"");
    let mut server = start(&pools);
    let log = server.directory.path().join("web.log");
    let begun = Instant::now();
    let written = || fs::metadata(&log).unwrap().len();
    let before = written();
    // Whoever asks the master for something does not wait for sixteen full pipes.
    for _ in 0..5 {
        ask(&server, &["status"]);
    }
    let_time_pass(Duration::from_secs(1).saturating_sub(begun.elapsed()));
    let octets = (written() - before) as f64 / begun.elapsed().as_secs_f64();
    // `2026-11-21 20:42:57.159 +0000 [27952] web[13] info: y`
    let lines = octets / 53.0;
    // As many as `LINES` and `PIECE` of src/master/crew/programs.rs come to.
    assert!(lines > 100.0, "some are written: {lines:.0} a second");
    assert!(lines < 110_000.0, "{lines:.0} a second");
    // Each of them is heard, whoever floods the master besides.
    for slot in 0..16 {
        let line = format!(" web[{slot}] info: y\n");
        eventually("a line of each", SOON, || {
            fs::read_to_string(&log)
                .unwrap()
                .contains(&line)
                .then_some(())
        });
    }
    // Each leaves a pipe that is full of lines, and all of them are written.
    server.signal(Signal::SIGTERM);
    server.wait(6 * SOON);
    server.assert_good_end();
}
