//! Workers that cannot live: what the master says of them, how often, and
//! what it does when that does not end.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::{outcome, write_configuration};
use harness::{Client, SOON, Server, eventually, preforkd, process};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A pool to die, and one that lives on.
const POOLS: &str = "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 12\n\
                     [pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n";

/// Kills the workers of the pool web as soon as they are there.
struct Killer {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Killer {
    fn of(server: &mut Server) -> Self {
        for line in ["killed by SIGKILL", "died young", "no worker is ready"] {
            server.expect(line);
        }
        server.expect("worker after worker dies young");
        server.expect("more of the same");
        let master = server.pid();
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let mut victims = process::children(master);
                victims.retain(|&pid| process::title(pid).starts_with("preforkd: web["));
                process::end(&victims);
                harness::let_time_pass(Duration::from_millis(5));
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    fn stop(self) {}
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Where it panicked, the test fails of that soon enough.
            let _ = thread.join();
        }
    }
}

fn status(server: &Server, arguments: &[&str]) -> String {
    let mut command = preforkd();
    command.arg("status").args(arguments);
    command.arg("-c").arg(server.configuration());
    let output = outcome(command);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The row of the pool web.
fn pool_status(server: &Server) -> serde_json::Value {
    let json: serde_json::Value = serde_json::from_str(&status(server, &["--json"])).unwrap();
    let pools = json["pools"].as_array().unwrap();
    pools
        .iter()
        .find(|pool| pool["name"] == "web")
        .unwrap()
        .clone()
}

fn count(server: &Server, text: &str) -> usize {
    let lines = server.log.lines();
    let errors = lines.iter().filter(|line| !line.contains(" debug: "));
    errors.filter(|line| line.contains(text)).count()
}

#[test]
fn while_workers_keep_dying_everybody_can_see_it() {
    const TITLE: &str = "preforkd: master, pool web: workers keep dying";
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("manager");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_nonblocking(true).unwrap();
    let path = write_configuration(directory.path(), "control_socket = \"control\"", POOLS);
    let mut command = preforkd();
    command.args(["run", "-c"]).arg(path);
    command.env("NOTIFY_SOCKET", socket);
    let mut server = Server::launch(command, directory);
    assert_eq!(process::title(server.pid()), "preforkd: master");
    let healthy = pool_status(&server);
    assert_eq!(
        (&healthy["breaker"], &healthy["wanted"]),
        (&"closed".into(), &12.into())
    );
    assert_eq!(
        (&healthy["ready"], &healthy["model"]),
        (&12.into(), &"prefork".into())
    );

    let killer = Killer::of(&mut server);
    server
        .log
        .wait_for("pool web: worker after worker dies young", SOON);
    eventually("the title", SOON, || {
        (process::title(server.pid()) == TITLE).then_some(())
    });
    eventually("the status line", SOON, || {
        let mut room = [0; 1024];
        let length = manager.recv(&mut room).ok()?;
        let text = String::from_utf8_lossy(&room[..length]).into_owned();
        let told = "; pool web: workers keep dying";
        (text.starts_with("STATUS=generation 1 serves, ") && text.ends_with(told)).then_some(())
    });
    let broken = pool_status(&server);
    assert!(
        ["open", "probing"].contains(&broken["breaker"].as_str().unwrap()),
        "{broken}"
    );
    let table = status(&server, &[]);
    assert!(
        table.contains("POOL ") && (table.contains("start ") || table.contains("early ")),
        "{table}"
    );

    // The others serve on.
    let mut client = Client::connect(server.address("echo"));
    client.send("x");
    assert_eq!(client.read(1), b"x");
    drop(client);

    killer.stop();
    server
        .log
        .wait_for("pool web: the one that was tried lives", SOON);
    eventually("the plain title again", SOON, || {
        (process::title(server.pid()) == "preforkd: master").then_some(())
    });
    let healed = eventually("all are there", SOON, || {
        let pool = pool_status(&server);
        (pool["ready"] == 12).then_some(pool)
    });
    let deaths = &healed["deaths"];
    let young = deaths["early"].as_u64().unwrap() + deaths["start"].as_u64().unwrap();
    let all: u64 = deaths
        .as_object()
        .unwrap()
        .values()
        .filter_map(|one| one.as_u64())
        .sum();
    assert!(young >= 10 && all >= 12, "{deaths}");
    // Counts outlive a generation.
    server.reload(2);
    let after = eventually("the old workers are counted", SOON, || {
        let pool = pool_status(&server);
        (pool["deaths"]["finished"] == 12).then_some(pool)
    });
    assert_eq!(after["deaths"]["early"], deaths["early"]);
    assert_eq!(
        (&after["generation"], &after["breaker"]),
        (&2.into(), &"closed".into())
    );
    server.stop();
}

#[test]
fn a_pool_that_cannot_live_ends_the_master_in_time() {
    let master = "breaker_exit_after = \"1s\"";
    let mut server = Server::run_with(TempDir::new().unwrap(), master, POOLS);
    let mut client = Client::connect(server.address("echo"));
    client.send("x");
    assert_eq!(client.read(1), b"x");
    let killer = Killer::of(&mut server);
    let line = server.log.wait_for("(breaker_exit_after): giving up", SOON);
    assert!(
        line.contains("pool web: no worker has lived for "),
        "{line}"
    );
    assert!(line.contains("; the last: killed by SIGKILL"), "{line}");
    killer.stop();
    // Gracefully: who is being served is served.
    client.send("y");
    assert_eq!(client.read(1), b"y");
    drop(client);
    assert_eq!(server.wait(SOON).code(), Some(75));
    server.assert_nobody_left();
    assert_eq!(count(&server, "giving up"), 1);
}

#[test]
fn a_stop_while_workers_keep_dying_is_a_good_one() {
    let master = "breaker_exit_after = \"1h\"";
    let mut server = Server::run_with(TempDir::new().unwrap(), master, POOLS);
    let killer = Killer::of(&mut server);
    server
        .log
        .wait_for("pool web: worker after worker dies young", SOON);
    killer.stop();
    server.stop();
}

/// The most descriptors that the master may have from now on; more than `most`
/// it cannot get back.
/// Signals that have a number and no name (signal(7), real-time signals).
#[test]
fn a_death_by_a_signal_without_a_name_is_a_death() {
    let pools = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n\
                 [pool.fork]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nmodel = \"fork\"\n\
                 workers = 1\nmax_connections = 1\n";
    let mut server = Server::run(pools);
    server.expect("exited with status 163");
    server.expect("exited 163");
    server.expect("died young");
    let end = |pid: u32| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("kill -35 {pid}")]);
        assert!(outcome(command).status.success());
    };
    let of_pool = |pool: &str| {
        let mut workers = server.workers();
        workers.retain(|&pid| process::title(pid).starts_with(&format!("preforkd: {pool}[")));
        workers
    };
    let before = of_pool("echo");
    before.iter().copied().for_each(end);
    eventually("another worker", SOON, || {
        let now = of_pool("echo");
        (now.len() == 1 && now != before).then_some(())
    });
    // A worker's child takes its only lane along, and gives it back.
    for _ in 0..2 {
        let mut client = Client::connect(server.address("fork"));
        client.send("x");
        assert_eq!(client.read(1), b"x");
        process::descendants(of_pool("fork")[0])
            .into_iter()
            .for_each(end);
        assert_eq!(client.read_to_end(), b"");
    }
    server.stop();
}

fn limit_descriptors(server: &Server, soft: u64, most: u64) {
    let status = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string()])
        .arg(format!("--nofile={soft}:{most}"))
        .status();
    assert!(status.expect("prlimit(1) of util-linux").success());
}

const PLENTY: u64 = 500;

/// A pool with more listeners than a worker will be able to copy.
fn many_listeners(directory: &Path, workers: usize) -> String {
    let listen: Vec<String> = (0..40)
        .map(|number| format!("\"unix:{number}.sock\""))
        .collect();
    let listen = listen.join(", ");
    // The kernel takes no longer names for them than some 100 octets.
    assert!(directory.as_os_str().len() < 90);
    format!(
        "[pool.web]\nlisten = [\"127.0.0.1:0\", {listen}]\nservice = \"echo\"\nworkers = {workers}\n"
    )
}

/// Makes a server whose workers could start so far, and now cannot any more.
fn server_that_cannot_start_workers(workers: usize) -> Server {
    let directory = TempDir::new().unwrap();
    let pools = many_listeners(directory.path(), workers);
    let mut server = Server::run_with(directory, "control_socket = \"control\"", &pools);
    for line in [
        "cannot start: ",
        "killed by SIGKILL",
        "died young",
        "no worker is ready",
    ] {
        server.expect(line);
    }
    server.expect("worker after worker dies young");
    server.expect("more of the same");
    server.expect("spawn web[");
    server
}

#[test]
fn a_worker_that_cannot_start_is_explained_once() {
    let server = server_that_cannot_start_workers(4);
    // Enough for what the master does to fork, not for the worker's copies.
    let used = process::descriptors(server.pid()).len() as u64;
    limit_descriptors(&server, used + 8, PLENTY);
    process::end(&server.workers());
    server
        .log
        .wait_for("pool web: worker after worker dies young", SOON);
    let tried = |server: &Server| pool_status(server)["deaths"]["start"].as_u64().unwrap();
    let deaths = eventually("a probe after the breaker opened", SOON, || {
        let deaths = tried(&server);
        (deaths >= 8).then_some(deaths)
    });
    let why = "cannot start: dup: Too many open files (os error 24); exited with status 71";
    assert_eq!(count(&server, why), 1, "{}", server.log);
    assert_eq!(count(&server, "cannot start"), 1, "{}", server.log);
    assert_eq!(count(&server, "worker after worker dies young"), 1);
    assert!(count(&server, "died young, ") <= 10, "{}", server.log);
    // It heals, and that is told with what was left out.
    limit_descriptors(&server, PLENTY, PLENTY);
    let line = server
        .log
        .wait_for("more of the same, and none for now: ", SOON);
    assert!(line.contains(why), "{line}");
    let (_, rest) = line.split_once("pool web: ").unwrap();
    let untold: u64 = rest.split(' ').next().unwrap().parse().unwrap();
    assert!(
        untold >= deaths - 1 && untold == tried(&server) - 1,
        "{line}"
    );
    server.wait_for_workers(4, "web[");
    let mut client = Client::connect(server.address("web"));
    client.send("x");
    assert_eq!(client.read(1), b"x");
    drop(client);
    server.stop();
}

#[test]
fn a_fork_that_is_refused_is_told_once() {
    let server = server_that_cannot_start_workers(4);
    limit_descriptors(&server, 3, PLENTY);
    process::end(&server.workers());
    server
        .log
        .wait_for("pool web: worker after worker dies young", SOON);
    assert_eq!(count(&server, "spawn web["), 1, "{}", server.log);
    let line = server.log.wait_for("spawn web[", SOON);
    assert!(
        line.contains("]: EMFILE") || line.contains("Too many open files"),
        "{line}"
    );
    limit_descriptors(&server, PLENTY, PLENTY);
    server
        .log
        .wait_for("more of the same, and none for now: spawn: ", SOON);
    server.wait_for_workers(4, "web[");
    server.stop();
}

/// Descriptors and memory of a process.
fn belongings(pid: u32) -> (usize, u64) {
    let descriptors = process::descriptors(pid).len();
    (descriptors, process::anonymous_memory(pid))
}

/// That nothing was left behind between two looks at its belongings.
fn assert_nothing_left(before: (usize, u64), after: (usize, u64)) {
    assert_eq!(before.0, after.0, "descriptors");
    assert!(after.1 <= before.1 + 128, "KiB: {before:?} {after:?}");
}

/// What a master, and what dies below it, spends on a pool whose workers
/// cannot start.
#[test]
#[ignore = "long"]
fn an_open_breaker_costs_next_to_nothing() {
    let server = server_that_cannot_start_workers(8);
    let used = process::descriptors(server.pid()).len() as u64;
    limit_descriptors(&server, used + 8, PLENTY);
    process::end(&server.workers());
    server
        .log
        .wait_for("pool web: worker after worker dies young", SOON);
    let dead = || pool_status(&server)["deaths"]["start"].as_u64().unwrap();
    let master = server.pid();
    let (deaths, before) = (dead(), belongings(master));
    let (spent, begun) = (process::family_time(master), Instant::now());
    harness::let_time_pass(Duration::from_secs(30));
    let (spent, time) = (process::family_time(master) - spent, begun.elapsed());
    let (deaths, after) = (dead() - deaths, belongings(master));
    let share = spent.as_secs_f64() / time.as_secs_f64() * 100.0;
    println!("{deaths} deaths in {time:?}: {spent:?} of processor time, {share:.2} %");
    println!("descriptors and KiB: {before:?}, {after:?}");
    assert!(share < 2.0, "{share} %");
    assert_nothing_left(before, after);
    assert!(process::zombies(master).is_empty());
    limit_descriptors(&server, PLENTY, PLENTY);
    server.wait_for_workers(8, "web[");
    server.stop();
}

/// What a spawn and a reaping cost, and that ten thousand of them leave nothing
/// behind: workers that serve one connection each, and come and go at full
/// speed. Back-off and breaker see to it that so many early deaths take days.
#[test]
#[ignore = "long"]
fn ten_thousand_workers_come_and_go_without_a_trace() {
    const WORKERS: u64 = 10_000;
    let pool = "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 2\nconnections_per_worker = 1\n";
    let master = "control_socket = \"control\"\nlog = { to = \"stderr\", level = \"info\" }";
    let server = Server::run_with(TempDir::new().unwrap(), master, pool);
    let (address, master) = (server.address("web"), server.pid());
    let dead = || pool_status(&server)["deaths"]["finished"].as_u64().unwrap();
    let bury = |count: u64| {
        let goal = dead() + count;
        while dead() < goal {
            for _ in 0..100 {
                let mut client = Client::connect(address);
                client.send("x");
                assert_eq!(client.read(1), b"x");
                client.finish();
                client.read_to_end();
            }
        }
        eventually("two are there", SOON, || {
            (server.workers().len() == 2).then_some(())
        });
    };
    bury(200);
    let (deaths, before) = (dead(), belongings(master));
    let (spent, begun) = (process::processor_time(master), Instant::now());
    bury(WORKERS);
    let (spent, time) = (process::processor_time(master) - spent, begun.elapsed());
    let (deaths, after) = (dead() - deaths, belongings(master));
    println!("{deaths} workers in {time:?}: {spent:?} of the master's processor time");
    println!("descriptors and KiB: {before:?}, {after:?}");
    assert_nothing_left(before, after);
    assert!(process::zombies(master).is_empty());
    server.stop();
}
