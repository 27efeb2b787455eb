//! Upgrades: one master replaces another, and nobody notices.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::load::{Habit, Load};
use harness::server::{program, write_configuration};
use harness::{SOON, Server, eventually, get, install, on_each_model, process};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

on_each_model! {
    upgrades_under_load_lose_nothing
    limits_hold_after_an_upgrade_and_begin_anew
}

const MASTER: &str = "pid_file = \"pid\"\ncontrol_socket = \"control\"\nupgrade_timeout = \"10s\"";

/// `keepalive_timeout` is longer than a client can be without a processor, which
/// would lose it a request by no fault of an upgrade.
fn web(model: &str, keys: &str) -> String {
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 2\nhttp.root = \"www\"\nhttp.keepalive_timeout = \"5s\"\n\
         linger_timeout = \"100ms\"\n{keys}\n"
    )
}

/// A server whose program's file is a link in its directory, to be pointed
/// elsewhere.
fn start(master: &str, pools: &str) -> Server {
    let directory = TempDir::new().unwrap();
    let place = directory.path();
    fs::create_dir(place.join("www")).unwrap();
    fs::write(place.join("www/index.html"), "index\n").unwrap();
    std::os::unix::fs::symlink(program(), place.join("preforkd")).unwrap();
    write_configuration(place, master, pools);
    let mut command = Command::new(place.join("preforkd"));
    command.args(["run", "-c", "preforkd.toml"]);
    command.current_dir(place);
    Server::launch(command, directory)
}

/// The program's file is something else from now on.
fn replace(server: &Server, text: &str) {
    let place = server.directory.path();
    fs::remove_file(place.join("preforkd")).unwrap();
    install(place, &[("preforkd", text)]);
}

/// What a command to the running master comes to.
fn ask(server: &Server, words: &[&str]) -> Output {
    let mut command = harness::preforkd();
    command.args(words).arg("--control");
    command.arg(server.directory.path().join("control"));
    harness::server::outcome(command)
}

/// The master, as its pid file says: at each moment one that lives.
fn master(directory: &Path) -> u32 {
    let text = fs::read_to_string(directory.join("pid")).unwrap();
    let pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
    pid.unwrap_or_else(|| panic!("the pid file holds {text:?}"))
}

fn upgrade(server: &mut Server, generation: u32) -> u32 {
    let before = master(server.directory.path());
    let outcome = ask(server, &["upgrade", "--wait"]);
    let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert_eq!(
        outcome.status.code(),
        Some(0),
        "{outcome:?}\n{}",
        server.log
    );
    assert!(
        said.contains(&format!("generation {generation};")),
        "{said}"
    );
    let after = eventually("the pid file names the new master", SOON, || {
        Some(master(server.directory.path())).filter(|pid| *pid != before)
    });
    server.wait_for_generation(generation);
    eventually("the old master is gone", SOON, || {
        (!process::is_alive(before)).then_some(())
    });
    after
}

/// The new master stops, and nobody is left.
fn stop(mut server: Server) {
    assert_eq!(server.wait(SOON).code(), Some(0), "the first master's end");
    let pid = master(server.directory.path());
    process::signal(pid, Signal::SIGTERM);
    server.assert_nobody_left();
    server.assert_no_complaints();
    for name in ["pid", "control"] {
        assert!(!server.directory.path().join(name).exists(), "{name}");
    }
}

fn upgrades_under_load_lose_nothing(model: &str) {
    upgrade_again_and_again(model, 2);
}

fn upgrade_again_and_again(model: &str, times: u32) {
    for (accept, habit) in [
        ("shared", Habit::Fresh),
        ("shared", Habit::KeepAlive),
        ("reuseport", Habit::Fresh),
        ("reuseport", Habit::KeepAlive),
    ] {
        let mut server = start(MASTER, &web(model, &format!("accept = \"{accept}\"")));
        let address = server.address("web");
        let load = Load::start(address, "/", b"index\n", 2, habit);
        for generation in 2..=times + 1 {
            load.wait_for(50);
            upgrade(&mut server, generation);
            assert_eq!(server.address("web"), address, "the port stays");
        }
        load.wait_for(50);
        let (answered, losses) = load.stop();
        assert!(
            losses.is_empty(),
            "{accept} {habit:?}: {answered} and {losses:?}\n{}",
            server.log
        );
        stop(server);
    }
}

#[test]
#[ignore = "long"]
fn fifty_upgrades_under_load_lose_nothing() {
    for model in harness::MODELS {
        upgrade_again_and_again(model, 50);
    }
}

/// A program that exits, one that hangs, one that cannot be run, none at all,
/// and a configuration that is wrong.
#[test]
fn a_successor_that_fails_changes_nothing() {
    let master_table = MASTER.replace("10s", "1s");
    let mut server = start(&master_table, &web("prefork", "accept = \"reuseport\""));
    server.expect("upgrade");
    server.expect("unknown key `wrokers`");
    let (pid, workers) = (server.pid(), server.workers());
    let files = process::descriptors(pid).len();
    let load = Load::start(server.address("web"), "/", b"index\n", 2, Habit::KeepAlive);
    for (program, status, reason) in [
        (
            "#!/bin/sh\nexit 1\n",
            75,
            "exited with status 1 before it served",
        ),
        ("#!/bin/sh\nexec sleep 1000\n", 75, "was not ready in time"),
        (
            "#!/bin/sh\nexec 3>&- 4>&- 5>&-; exec sleep 1000\n",
            75,
            "was not ready in time",
        ),
        ("#!/nowhere\n", 71, "No such file or directory"),
    ] {
        replace(&server, program);
        let mark = server.log.mark();
        let outcome = ask(&server, &["upgrade", "--wait"]);
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert_eq!(outcome.status.code(), Some(status), "{program}: {said}");
        // The lines on which an operator relies: see `bury` in src/master/succession.rs.
        server.log.wait_for_after(mark, reason, SOON);
        server.log.wait_for_after(mark, "carries on", SOON);
    }
    let path = server.directory.path().join("preforkd");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(program(), &path).unwrap();
    server.configure(&master_table, &web("prefork", "wrokers = 3"));
    let outcome = ask(&server, &["upgrade", "--wait"]);
    assert_eq!(outcome.status.code(), Some(78));
    server
        .log
        .wait_for("exited with status 78 before it served", SOON);

    load.wait_for(20);
    let (_, losses) = load.stop();
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(master(server.directory.path()), pid);
    assert_eq!(server.workers(), workers);
    eventually("as many descriptors as before", SOON, || {
        (process::descriptors(pid).len() == files).then_some(())
    });
    server.stop();
}

#[test]
fn the_pid_file_names_a_living_master_at_each_moment() {
    let mut server = start(MASTER, &web("event", ""));
    let over = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (over, place) = (Arc::clone(&over), server.directory.path().to_owned());
        std::thread::spawn(move || {
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                let pid = master(&place);
                // It may hand over and leave between the two looks.
                assert!(process::is_alive(pid) || master(&place) != pid);
                looks += 1;
            }
            looks
        })
    };
    let signalled = master(server.directory.path());
    process::signal(signalled, Signal::SIGUSR2);
    server.wait_for_generation(2);
    eventually("the old master is gone", SOON, || {
        (!process::is_alive(signalled)).then_some(())
    });
    for generation in 3..=5 {
        eventually("the pid file names the new master", SOON, || {
            let outcome = ask(&server, &["status", "--json"]);
            let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
            let number = format!("\"generation\":{}", generation - 1);
            (text.contains(&number) && text.contains("\"running\"")).then_some(())
        });
        upgrade(&mut server, generation);
    }
    over.store(true, Ordering::Relaxed);
    assert!(watcher.join().unwrap() > 0);
    stop(server);
}

#[test]
fn a_request_under_way_is_answered_and_seen_by_the_new_master() {
    let mut server = start(MASTER, &web("prefork", ""));
    let large = fs::File::create(server.directory.path().join("www/large")).unwrap();
    large.set_len(64 << 20).unwrap();
    let mut client = harness::Client::connect(server.address("web"));
    client.send("GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let begun = client.read(1000).len();
    let outcome = ask(&server, &["upgrade", "--wait"]);
    assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    server.wait_for_generation(2);
    let old = server.pid();
    // The answer comes in the turn that decides, the title in the next one.
    eventually("the title says to whom it leaves", SOON, || {
        let title = process::title(old);
        title
            .starts_with("preforkd: master, leaving to process ")
            .then_some(())
    });
    // The new one shows whom the old one still has.
    eventually("the status has both generations", SOON, || {
        let outcome = ask(&server, &["status"]);
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let draining = |line: &str| line.starts_with("web[") && line.contains(" 1 draining");
        text.lines().any(draining).then_some(())
    });
    let total = begun + client.read_to_end().len();
    assert!(total > 64 << 20);
    stop(server);
}

/// The newest master would not know what the oldest one's workers have counted.
fn limits_hold_after_an_upgrade_and_begin_anew(model: &str) {
    let keys = "limits.connections_per_address = 2\nhttp.header_timeout = \"30s\"";
    // With as many places as the limit has, and one for who is turned away.
    let pools = web(model, keys).replace("workers = 2", "workers = 3");
    let mut server = start(MASTER, &pools);
    // The lines of `tell` in src/master/crew/limits.rs.
    server.expect("its limits");
    // Whoever is in has its first answer, and is about to ask again.
    let begin = |server: &Server| {
        let mut client = harness::Client::connect(server.address("web"));
        let _ = client
            .stream
            .write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        let answer = client.try_answer(true).ok()?;
        assert!([200, 503].contains(&answer.status));
        let _ = client.stream.write_all(b"GET / HTTP/1.1\r\nHost: te");
        (answer.status == 200).then_some(client)
    };
    let held = [begin(&server).unwrap(), begin(&server).unwrap()];
    assert!(begin(&server).is_none(), "{model}");
    let outcome = ask(&server, &["upgrade", "--wait"]);
    assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    server.wait_for_generation(2);
    // Those whom the old master still has are not the new one's.
    // For a moment they may come to the old one all the same, where nobody may.
    let others = [0, 1].map(|_| eventually("a place", SOON, || begin(&server)));
    assert!(begin(&server).is_none(), "{model}");
    for mut client in held.into_iter().chain(others) {
        client.send("st\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().status, 200, "{model}");
    }
    drop(eventually("there is a place again", SOON, || {
        begin(&server)
    }));
    stop(server);
}

#[test]
fn no_upgrade_follows_another_before_that_has_ended() {
    let mut server = start(MASTER, &web("prefork", ""));
    server.expect("upgrade: not now");
    let large = fs::File::create(server.directory.path().join("www/large")).unwrap();
    large.set_len(64 << 20).unwrap();
    let mut client = harness::Client::connect(server.address("web"));
    client.send("GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let begun = client.read(1000).len();
    let first = server.pid();
    let outcome = ask(&server, &["upgrade", "--wait"]);
    assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    server.wait_for_generation(2);
    let second = eventually("the pid file names the new master", SOON, || {
        Some(master(server.directory.path())).filter(|pid| *pid != first)
    });
    let why =
        format!("upgrade: not now: the master before this one, process {first}, still has workers");
    for words in [&["upgrade", "--wait"][..], &["upgrade"]] {
        let outcome = ask(&server, words);
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert_eq!(outcome.status.code(), Some(75), "{said}");
        assert!(said.contains(&why), "{said}");
    }
    let mark = server.log.mark();
    process::signal(second, Signal::SIGUSR2);
    server.log.wait_for_after(mark, &why, SOON);
    assert_eq!(get(server.address("web"), "/").status, 200);
    assert_eq!(master(server.directory.path()), second);

    let total = begun + client.read_to_end().len();
    assert!(total > 64 << 20);
    assert_eq!(server.wait(SOON).code(), Some(0), "the first master's end");
    let third = upgrade(&mut server, 3);
    assert_ne!(third, second);
    stop(server);
}

#[test]
fn the_last_deaths_are_passed_on() {
    let mut server = start(MASTER, &web("prefork", ""));
    server.expect("killed by SIGKILL");
    server.expect("died young");
    let deaths = |server: &Server, count: usize| {
        eventually("the deaths are told", SOON, || {
            let outcome = ask(server, &["status", "--deaths", "--json"]);
            let answer: serde_json::Value = serde_json::from_slice(&outcome.stdout).ok()?;
            let deaths = answer["deaths"].as_array()?.clone();
            (deaths.len() == count).then_some(deaths)
        })
    };
    process::signal(server.workers()[0], Signal::SIGKILL);
    let before = deaths(&server, 1);
    assert_eq!(before[0]["how"], "killed by SIGKILL");
    let second = upgrade(&mut server, 2);
    assert_eq!(deaths(&server, 1), before);
    // It goes on with its own.
    process::signal(process::children(second)[0], Signal::SIGKILL);
    let after = deaths(&server, 2);
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1]["generation"], 2);
    stop(server);
}

#[test]
fn an_upgrade_takes_the_new_configuration() {
    let pools = format!(
        "{}[pool.gone]\nlisten = \"unix:gone\"\nservice = \"echo\"\nworkers = 1\n\
         [pool.kept]\nlisten = \"unix:kept\"\nservice = \"echo\"\nworkers = 1\n",
        web("prefork", "accept = \"reuseport\"")
    );
    let mut server = start(MASTER, &pools);
    let address = server.address("web");
    let load = Load::start(address, "/", b"index\n", 2, Habit::Fresh);
    for (generation, (model, accept, workers)) in (2..).zip([
        ("event", "reuseport", 4),
        ("prefork", "reuseport", 1),
        ("threads", "shared", 2),
        ("prefork", "shared", 3),
        ("event", "shared", 2),
    ]) {
        let keys = format!("accept = \"{accept}\"");
        let pools = web(model, &keys).replace("workers = 2", &format!("workers = {workers}"));
        server.configure(
            MASTER,
            &format!(
                "{pools}[pool.kept]\nlisten = \"unix:kept\"\nservice = \"echo\"\nworkers = 1\n"
            ),
        );
        load.wait_for(20);
        upgrade(&mut server, generation);
        assert_eq!(server.address("web"), address);
        load.wait_for(20);
        assert!(server.directory.path().join("kept").exists());
        assert!(!server.directory.path().join("gone").exists());
    }
    let (answered, losses) = load.stop();
    assert!(
        losses.is_empty(),
        "{answered} and {losses:?}\n{}",
        server.log
    );
    let kept = server.directory.path().join("kept");
    std::os::unix::net::UnixStream::connect(kept).unwrap();
    stop(server);
}

/// A new master that is given up, or told to stop, when some of its workers
/// accept already: what both have goes on as if it had never been.
#[test]
fn a_successor_that_leaves_early_shuts_no_door() {
    for stopped in [false, true] {
        let pools = format!(
            "{}[pool.kept]\nlisten = \"unix:kept\"\nservice = \"echo\"\nworkers = 1\n",
            web("prefork", "")
        );
        let mut server = start(MASTER, &pools);
        for line in ["upgrade", "cannot start: ", "died young", "generation 2"] {
            server.expect(line);
        }
        // Its master has room for these listeners, and its workers have not.
        let listen: Vec<String> = (0..40).map(|one| format!("\"unix:{one}\"")).collect();
        let many = format!(
            "{pools}[pool.zoo]\nlisten = [{}]\nservice = \"echo\"\nworkers = 1\n",
            listen.join(", ")
        );
        server.configure(MASTER, &many);
        let script = format!(
            "#!/bin/sh\nulimit -n 80\nexec {} \"$@\"\n",
            program().display()
        );
        replace(&server, &script);
        server.signal(Signal::SIGUSR2);
        let said = server.log.wait_for("upgrade: pid ", SOON);
        server.log.wait_for("worker zoo[0]", SOON);
        if stopped {
            let (_, pid) = said.split_once("upgrade: pid ").unwrap();
            let (pid, _) = pid.split_once(' ').unwrap();
            process::signal(pid.parse().unwrap(), Signal::SIGTERM);
        }
        server.log.wait_for("carries on", SOON);
        assert_eq!(get(server.address("web"), "/").status, 200);
        let kept = server.directory.path().join("kept");
        std::os::unix::net::UnixStream::connect(kept).unwrap();
        server.stop();
    }
}

/// What comes while a new master is starting: a stop ends it, a reload waits.
#[test]
fn what_is_asked_for_during_an_upgrade() {
    let asked = |request: Signal, line: &str| {
        let mut server = start(&MASTER.replace("10s", "1s"), &web("prefork", ""));
        server.expect("upgrade");
        server.expect("not now");
        replace(&server, "#!/bin/sh\nexec sleep 1000\n");
        server.signal(Signal::SIGUSR2);
        server.log.wait_for("upgrade: pid ", SOON);
        server.signal(request);
        server.log.wait_for(line, SOON);
        server.log.wait_for("carries on", SOON);
        if request == Signal::SIGHUP {
            server.wait_for_generation(2);
        }
        assert_eq!(get(server.address("web"), "/").status, 200);
        server.stop();
    };
    // Side by side, for each waits.
    std::thread::scope(|scope| {
        for (request, line) in [
            (Signal::SIGHUP, "the next one follows it"),
            (Signal::SIGUSR2, "not now: an upgrade is under way"),
            (Signal::SIGTTIN, "not now: an upgrade is under way"),
            (Signal::SIGWINCH, "not now: an upgrade is under way"),
        ] {
            scope.spawn(move || asked(request, line));
        }
    });
    let mut server = start(MASTER, &web("prefork", ""));
    server.expect("upgrade");
    replace(&server, "#!/bin/sh\nexec sleep 1000\n");
    server.signal(Signal::SIGUSR2);
    server.log.wait_for("upgrade: pid ", SOON);
    server.stop();
}

/// The old master dies before the new one serves, which then is on its own.
#[test]
fn the_new_master_outlives_a_killed_old_one() {
    let mut server = start(MASTER, &web("event", ""));
    server.expect("");
    // One that begins with a delay, so that the kill comes first.
    let path = server.directory.path().join("go");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!(
        "#!/bin/sh\nread line < {}\nexec {} \"$@\"\n",
        path.display(),
        program().display()
    );
    replace(&server, &script);
    let load = Load::start(server.address("web"), "/", b"index\n", 1, Habit::Fresh);
    load.wait_for(20);
    server.signal(Signal::SIGUSR2);
    server.log.wait_for("upgrade: pid ", SOON);
    fs::write(&path, "go\n").unwrap();
    server.wait_for_generation(2);
    server.signal(Signal::SIGKILL);
    server.wait(SOON);
    eventually("the pid file names the new master", SOON, || {
        Some(master(server.directory.path())).filter(|&pid| process::is_alive(pid))
    });
    load.wait_for(20);
    let (_, losses) = load.stop();
    assert!(losses.is_empty(), "{losses:?}\n{}", server.log);
    let pid = master(server.directory.path());
    process::signal(pid, Signal::SIGTERM);
    server.assert_nobody_left();
}
