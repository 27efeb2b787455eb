//! What a service manager hears (sd_notify(3)): a socket of the test's own is
//! the manager.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::write_configuration;
use harness::{Client, SOON, Server, preforkd, process};
use nix::sys::signal::Signal;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ECHO: &str = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 2\n";

/// The name of the socket, in the server's directory.
const SOCKET: &str = "manager";

struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// Listens in `directory`.
    fn listen(directory: &Path) -> Self {
        let socket = UnixDatagram::bind(directory.join(SOCKET)).unwrap();
        Self { socket }
    }

    /// The next message; `None` if none comes within `patience`.
    fn hear(&self, patience: Duration) -> Option<String> {
        let patience = patience.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut room = [0; 4096];
        let count = self.socket.recv(&mut room).ok()?;
        Some(String::from_utf8(room[..count].to_vec()).unwrap())
    }

    /// Messages up to the first that begins with `start`, that one included.
    fn hear_until(&self, start: &str) -> Vec<String> {
        let deadline = Instant::now() + SOON;
        let mut heard = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.hear(left) {
                Some(text) => heard.push(text),
                None => panic!("no {start:?} among {heard:?}"),
            }
            if heard.last().unwrap().starts_with(start) {
                return heard;
            }
        }
    }
}

fn command(directory: &Path, pools: &str) -> Command {
    let path = write_configuration(directory, "", pools);
    let mut command = preforkd();
    command.args(["run", "-c"]).arg(path);
    command.env("NOTIFY_SOCKET", directory.join(SOCKET));
    command
}

fn server() -> (Server, Manager) {
    let directory = TempDir::new().unwrap();
    let manager = Manager::listen(directory.path());
    let command = command(directory.path(), ECHO);
    (Server::launch(command, directory), manager)
}

fn monotonic() -> Duration {
    let clock = nix::time::ClockId::CLOCK_MONOTONIC;
    nix::time::clock_gettime(clock).unwrap().into()
}

#[test]
fn a_start_reloads_and_a_stop_are_told() {
    let (mut server, manager) = server();
    let heard = manager.hear_until("READY=1");
    let early = |text: &&String| !text.starts_with("STATUS=");
    assert_eq!(heard.iter().filter(early).count(), 1, "{heard:?}");
    let first = heard.last().unwrap();
    let line = "\nSTATUS=generation 1 serves, 2 of 2 workers ready";
    assert!(first.ends_with(line), "{first}");

    let before = monotonic();
    server.reload(2);
    let begin = manager.hear_until("RELOADING=1").pop().unwrap();
    let (_, time) = begin.split_once("\nMONOTONIC_USEC=").unwrap();
    let time = Duration::from_micros(time.parse().unwrap());
    assert!(before <= time && time <= monotonic(), "{time:?}");
    let end = manager.hear_until("READY=1").pop().unwrap();
    assert!(end.contains("\nSTATUS=generation 2 serves"), "{end}");

    // One that is refused ends, too, and says why.
    server.expect("reload: ");
    server.expect("reload refused");
    server.configure("", "[pool.echo]\nservice = \"ekho\"\n");
    server.signal(Signal::SIGHUP);
    manager.hear_until("RELOADING=1");
    let end = manager.hear_until("READY=1").pop().unwrap();
    let (_, line) = end.split_once("STATUS=generation 2 serves").unwrap();
    assert!(
        line.contains("; the last reload changed nothing: "),
        "{end}"
    );

    server.signal(Signal::SIGTERM);
    let end = manager.hear_until("STOPPING=1").pop().unwrap();
    // As long as `graceful_timeout`, whatever the manager thinks of it.
    let (_, time) = end.split_once("\nEXTEND_TIMEOUT_USEC=").unwrap();
    let time = Duration::from_micros(time.parse().unwrap());
    assert!(time > Duration::from_secs(30), "{time:?}");
    server.assert_good_end();
    while let Some(text) = manager.hear(Duration::ZERO) {
        assert!(text.starts_with("STATUS=stopping"), "{text}");
    }
}

#[test]
fn a_stop_that_is_put_off_asks_for_time() {
    let directory = TempDir::new().unwrap();
    let manager = Manager::listen(directory.path());
    let master = "drain_delay = \"1s\"\ngraceful_timeout = \"7m\"";
    let path = write_configuration(directory.path(), master, ECHO);
    let mut command = preforkd();
    command.args(["run", "-c"]).arg(path);
    command.env("NOTIFY_SOCKET", directory.path().join(SOCKET));
    let mut server = Server::launch(command, directory);
    manager.hear_until("READY=1");
    server.signal(Signal::SIGTERM);
    let first = manager.hear_until("STOPPING=1").pop().unwrap();
    let (_, time) = first.split_once("\nEXTEND_TIMEOUT_USEC=").unwrap();
    let time = Duration::from_micros(time.parse().unwrap());
    let all = Duration::from_secs(1 + 7 * 60);
    assert!(time > all && time < 2 * all, "{time:?}");
    let lines = manager.hear_until("STATUS=stopping");
    let said =
        |line: &&String| line.contains("serves, 2 of 2 workers ready; not ready, stopping in 1s");
    assert!(lines.iter().any(|line| said(&line)), "{lines:?}");
    assert!(
        !lines.iter().any(|line| line.contains("STOPPING=1")),
        "{lines:?}"
    );
    server.assert_good_end();
}

#[test]
fn workers_have_no_way_to_the_manager() {
    let sockets = |server: &Server| {
        let all = process::descriptors(server.workers()[0]);
        all.iter().filter(|one| one.contains("socket:")).count()
    };
    let (told, _manager) = server();
    let untold = Server::run(ECHO);
    assert_eq!(sockets(&told), sockets(&untold));
    told.stop();
    untold.stop();
}

#[test]
fn the_watchdog_is_fed_by_whom_it_watches() {
    for (whose, fed) in [
        ("", true),
        ("WATCHDOG_PID=$$", true),
        ("WATCHDOG_PID=1", false),
    ] {
        let directory = TempDir::new().unwrap();
        let manager = Manager::listen(directory.path());
        let usual = command(directory.path(), ECHO);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{whose} exec \"$0\" \"$@\"")])
            .arg(usual.get_program())
            .args(usual.get_args())
            .env("NOTIFY_SOCKET", directory.path().join(SOCKET))
            .env("WATCHDOG_USEC", "200000");
        let begun = Instant::now();
        let server = Server::launch(command, directory);
        manager.hear_until("READY=1");
        if fed {
            (0..10).for_each(|_| drop(manager.hear_until("WATCHDOG=1")));
            // Ten halves of it, the first one at once. Since the start, for some of
            // them may have waited for us.
            assert!(begun.elapsed() >= Duration::from_millis(900), "too often");
        } else {
            harness::let_time_pass(Duration::from_millis(500));
            while let Some(text) = manager.hear(Duration::ZERO) {
                assert!(!text.starts_with("WATCHDOG"), "{text}");
            }
        }
        server.stop();
    }
}

#[test]
fn a_manager_that_does_not_listen_holds_nobody_up() {
    let directory = TempDir::new().unwrap();
    let manager = Manager::listen(directory.path());
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    let mut full = 0;
    while filler.send_to(b"x", directory.path().join(SOCKET)).is_ok() {
        full += 1;
    }
    assert!(full > 0);
    let command = command(directory.path(), ECHO);
    let mut server = Server::launch(command, directory);
    server.expect("the service manager cannot be told: ");
    for generation in 2..=4 {
        server.reload(generation);
        let mut client = Client::connect(server.address("echo"));
        client.send("x");
        assert_eq!(client.read(1), b"x");
    }
    let told = server.log.lines();
    let told = told.iter().filter(|line| line.contains("cannot be told"));
    assert_eq!(told.count(), 1, "{}", server.log);
    // Once it listens it hears what it missed, in order.
    let heard = manager.hear_until("READY=1\nSTATUS=generation 4 serves");
    let states: Vec<&str> = heard[full..]
        .iter()
        .filter_map(|text| text.split('=').next())
        .collect();
    let reload = ["RELOADING", "READY"];
    let wanted = [["READY"].as_slice(), &reload, &reload, &reload].concat();
    assert_eq!(states, wanted);
    server.stop();
}

#[test]
fn a_manager_that_is_not_there_is_complained_of_once() {
    for name in ["/nowhere/at/all", "@preforkd-nobody-listens", "neither"] {
        let directory = TempDir::new().unwrap();
        let mut command = command(directory.path(), ECHO);
        command.env("NOTIFY_SOCKET", name);
        let mut server = Server::launch(command, directory);
        server.reload(2);
        server.log.wait_for("master warn: ", SOON);
        let complaints = server.log.complaints(&[]);
        assert_eq!(complaints.len(), 1, "{name}: {complaints:?}");
        server.expect("the service manager cannot be told: ");
        server.expect("NOTIFY_SOCKET neither: ");
        server.stop();
    }
}
