//! The control socket: it answers whatever the workers do and whoever else asks,
//! it lets in whom it should, and it knows of the dead.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::outcome;
use harness::{Client, SOON, Server, eventually, get, preforkd, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const STATUS: &str = "{\"query\":\"status\"}\n";
const MASTER: &str = "control_socket = \"control\"";

/// The promise is that half of the answers come within this …
const TYPICAL: Duration = Duration::from_millis(50);
/// … and, on a machine that others use as well, all within this. A place that is
/// held for the five seconds that it once was does not pass.
const WORST: Duration = Duration::from_secs(2);

fn pools(workers: usize, keys: &str) -> String {
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nworkers = {workers}\n\
         linger_timeout = \"100ms\"\n{keys}\nhttp.root = \"www\"\n"
    )
}

fn server(master: &str, pools: &str) -> Server {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    Server::run_with(directory, master, pools)
}

fn socket(server: &Server) -> PathBuf {
    server.directory.path().join("control")
}

/// One question, one answer.
fn ask(socket: &Path, line: &str) -> std::io::Result<Value> {
    let mut client = UnixStream::connect(socket)?;
    client.set_read_timeout(Some(SOON))?;
    client.write_all(line.as_bytes())?;
    let mut text = String::new();
    BufReader::new(client).read_line(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// How long `count` answers on the state of things take, shortest first. Whoever
/// has to make room asks again, and that is in his time.
fn delays(socket: &Path, count: usize) -> Vec<Duration> {
    let mut delays: Vec<Duration> = (0..count)
        .map(|_| {
            let begun = Instant::now();
            while !ask(socket, STATUS).is_ok_and(|answer| answer["answer"] == "status") {
                assert!(begun.elapsed() < SOON, "no status");
            }
            begun.elapsed()
        })
        .collect();
    delays.sort_unstable();
    delays
}

/// What is held to on this machine as it is now.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    typical: Duration,
    worst: Duration,
}

impl Bounds {
    /// What is promised; or ten times what an answer takes while nobody else asks,
    /// where the machine is so busy that this is more.
    fn beside_quiet(socket: &Path) -> Self {
        let (typical, worst) = measure("quiet", socket);
        Self {
            typical: TYPICAL.max(10 * typical),
            worst: WORST.max(10 * worst),
        }
    }

    /// Asks for the status, prints how long that took, and holds it to the bounds.
    /// What the machine does to whoever asks, it does not do each time.
    fn assert_answers(self, what: &str, socket: &Path) {
        let is_soon = |_| {
            let (typical, worst) = measure(what, socket);
            typical < self.typical && worst < self.worst
        };
        assert!((0..3).any(is_soon), "{what}: not within {self:?}");
    }
}

/// How long half of the answers take, and how long the slowest.
fn measure(what: &str, socket: &Path) -> (Duration, Duration) {
    let delays = delays(socket, 200);
    let at = |share: usize| delays[(delays.len() - 1) * share / 100];
    let (typical, high, worst) = (at(50), at(99), at(100));
    println!("{what}: p50 {typical:?}, p99 {high:?}, max {worst:?}");
    (typical, worst)
}

/// What a client of a flood does, again and again.
#[derive(Clone, Copy, Debug)]
enum Mischief {
    /// Connects, and is silent.
    Silence,
    /// Connects and closes.
    Connects,
    /// Begins a line.
    HalfLines,
    /// Sends a line without an end.
    HugeLines,
    /// Asks without pause, and never reads.
    NeverReads,
    /// Asks for the status as fast as it is answered.
    Queries,
}

/// Many clients, in a thread of their own, until it is dropped.
struct Flood {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(socket: &Path, clients: usize, mischief: Mischief) -> Self {
        process::allow_many_descriptors();
        let over = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU64::new(0));
        let (seen, counted, socket) = (Arc::clone(&over), Arc::clone(&rounds), socket.to_owned());
        let thread = std::thread::spawn(move || {
            let mut crowd: Vec<Option<UnixStream>> = (0..clients).map(|_| None).collect();
            while !seen.load(Ordering::Relaxed) {
                for client in &mut crowd {
                    if !client.as_mut().is_some_and(|one| misbehave(one, mischief)) {
                        *client = connect(&socket);
                    }
                }
                counted.fetch_add(1, Ordering::Relaxed);
                // All have come, and the other processor is not ours alone.
                std::thread::yield_now();
            }
        });
        eventually("the flood has come", SOON, || {
            (rounds.load(Ordering::Relaxed) > 1).then_some(())
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|end| end.is_ok()));
    }
}

fn connect(socket: &Path) -> Option<UnixStream> {
    let client = UnixStream::connect(socket).ok()?;
    client.set_nonblocking(true).ok()?;
    Some(client)
}

/// Does its part once; answers whether the connection is still good for more.
fn misbehave(client: &mut UnixStream, mischief: Mischief) -> bool {
    let goes_on = |result: std::io::Result<usize>| match result {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    let mut room = [0; 1 << 16];
    let heard = |client: &mut UnixStream, room: &mut [u8]| goes_on(client.read(room));
    match mischief {
        Mischief::Silence => heard(client, &mut room),
        Mischief::Connects => false,
        Mischief::HalfLines => heard(client, &mut room) && goes_on(client.write(b"{\"query\":")),
        Mischief::HugeLines => {
            room.fill(b'x');
            goes_on(client.write(&room))
        }
        Mischief::NeverReads => goes_on(client.write(STATUS.repeat(100).as_bytes())),
        Mischief::Queries => goes_on(client.write(STATUS.as_bytes())) && heard(client, &mut room),
    }
}

const FLOODS: [Mischief; 6] = [
    Mischief::Silence,
    Mischief::Connects,
    Mischief::HalfLines,
    Mischief::HugeLines,
    Mischief::NeverReads,
    Mischief::Queries,
];

fn floods(clients: usize) {
    let mut server = server(MASTER, &pools(16, ""));
    let socket = socket(&server);
    let bounds = Bounds::beside_quiet(&socket);
    for mischief in FLOODS {
        let flood = Flood::start(&socket, clients, mischief);
        bounds.assert_answers(&format!("{mischief:?} of {clients}"), &socket);
        // The master has other duties.
        server.expect("killed by SIGKILL");
        server.expect("died young");
        get(server.address("web"), "/");
        let mark = server.log.mark();
        let victim = server.workers()[0];
        let begun = Instant::now();
        process::signal(victim, Signal::SIGKILL);
        let line = format!("pid {victim} gen 1");
        server.log.wait_for_after(mark, &line, bounds.worst);
        eventually("another is spawned", bounds.worst, || {
            (server.workers().len() == 16).then_some(())
        });
        println!(
            "{mischief:?} of {clients}: respawned after {:?}",
            begun.elapsed()
        );
        drop(flood);
    }
    server.stop();
}

#[test]
fn a_flood_of_64_keeps_nobody_waiting() {
    floods(64);
}

#[test]
fn a_flood_of_1000_keeps_nobody_waiting() {
    floods(1000);
}

#[test]
fn it_answers_while_all_workers_are_busy_or_hung() {
    let busy = |keys: &str| {
        let server = server(MASTER, &pools(4, keys));
        let begin = |_| {
            let mut client = Client::connect(server.address("web"));
            client.send("GET / HTTP/1.1\r\n");
            client
        };
        let clients: Vec<Client> = (0..4).map(begin).collect();
        server.wait_for_workers(4, " reading ");
        (server, clients)
    };
    let (server, clients) = busy("http.header_timeout = \"60s\"");
    let bounds = Bounds::beside_quiet(&socket(&server));
    bounds.assert_answers("all workers busy", &socket(&server));
    drop(clients);
    server.stop();
    // Whoever reads a head is missed when its time is over, and not before.
    let (mut server, clients) = busy("worker_timeout = \"1s\"\nhttp.header_timeout = \"3s\"");
    let socket = socket(&server);
    for line in ["no sign of life", "SIGKILL", "has not finished in time"] {
        server.expect(line);
    }
    for worker in server.workers() {
        process::signal(worker, Signal::SIGSTOP);
    }
    bounds.assert_answers("all workers stopped", &socket);
    // The box has them, as they were found.
    server.log.wait_for("[hung] killed by SIGKILL", SOON + SOON);
    let deaths = eventually("all are in the box", SOON, || {
        let answer = ask(&socket, "{\"query\":\"deaths\"}\n").unwrap();
        let deaths = answer["deaths"].as_array().unwrap().clone();
        (deaths.len() == 4).then_some(deaths)
    });
    for death in deaths {
        assert_eq!(death["cause"], "hung", "{death}");
        assert_eq!(death["cut"], 1, "{death}");
        let process = death["process"].as_str().unwrap();
        assert!(process.starts_with("state T (stopped)"), "{death}");
        let lane = &death["lanes"][0];
        assert_eq!(lane["state"], "reading", "{death}");
        assert!(
            lane["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{death}"
        );
        assert!(lane["deadline"].is_number(), "{death}");
    }
    drop(clients);
    server.stop();
}

#[test]
fn it_answers_while_the_pool_crash_loops() {
    let mut server = server(MASTER, &pools(32, ""));
    let socket = socket(&server);
    for line in [
        "killed by SIGKILL",
        "died young",
        "dies young",
        "no worker is ready",
    ] {
        server.expect(line);
    }
    server.expect("more of the same");
    let bounds = Bounds::beside_quiet(&socket);
    let (over, master) = (Arc::new(AtomicBool::new(false)), server.pid());
    let seen = Arc::clone(&over);
    let killer = std::thread::spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            process::end(&process::children(master));
            // Long before the next of them is born, and to look for them takes a while.
            harness::let_time_pass(Duration::from_millis(20));
        }
    });
    server.log.wait_for("died young", SOON);
    bounds.assert_answers("crash loop", &socket);
    let flood = Flood::start(&socket, 64, Mischief::Queries);
    bounds.assert_answers("crash loop, and Queries of 64", &socket);
    drop(flood);
    // No more are kept than 32, the oldest first.
    let answer = ask(&socket, "{\"query\":\"deaths\"}\n").unwrap();
    over.store(true, Ordering::Relaxed);
    killer.join().unwrap();
    let deaths = answer["deaths"].as_array().unwrap();
    assert_eq!(deaths.len(), 32);
    let times: Vec<_> = deaths
        .iter()
        .map(|one| one["time"].as_f64().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(
        deaths.iter().all(|one| one["how"] == "killed by SIGKILL"),
        "{deaths:?}"
    );
    eventually("they live again", 2 * SOON, || {
        (server.workers().len() == 32).then_some(())
    });
    server.stop();
}

/// The forks of a reload are many, and nobody waits for the last of them.
#[test]
fn who_asks_is_answered_between_the_forks_of_a_reload() {
    const WORKERS: usize = 256;
    let mut server = server(MASTER, &pools(WORKERS, ""));
    let socket = socket(&server);
    // How many of the workers of a generation are there, as long as that grows.
    let mut between = |generation: u32| {
        let forked = || {
            let answer = ask(&socket, STATUS).unwrap();
            let workers = answer["workers"].as_array().unwrap().iter();
            workers
                .filter(|one| one["generation"] == generation)
                .count()
        };
        server.signal(Signal::SIGHUP);
        let first = eventually("some are forked", SOON, || {
            // The first one has to prove itself before the others come.
            Some(forked()).filter(|count| *count > 1)
        });
        server.wait_for_generation(generation);
        first < WORKERS
    };
    // Whoever asks may himself have been kept waiting, by the machine.
    assert!(
        (2..7).any(&mut between),
        "the master is heard of after the last"
    );
    server.stop();
}

/// A day's usual deaths are not in it; the others are, with what they did last.
#[test]
fn the_box_tells_what_the_dead_did_last() {
    for model in harness::MODELS {
        let mut server = server(MASTER, &pools(1, &format!("model = \"{model}\"")));
        let socket = socket(&server);
        server.expect("killed by SIGKILL");
        server.reload(2);
        let deaths = || ask(&socket, "{\"query\":\"deaths\"}\n").unwrap();
        let worker = eventually("the old one is gone", SOON, || match server.workers()[..] {
            [worker] => Some(worker),
            _ => None,
        });
        assert_eq!(
            deaths()["deaths"],
            serde_json::json!([]),
            "it was asked to go"
        );
        assert_eq!(get(server.address("web"), "/?first").status, 200);
        // Of two threads the one tells whose state has changed last.
        eventually("the first client is gone", SOON, || {
            let answer = ask(&socket, STATUS).unwrap();
            let worker = &answer["workers"][0];
            (worker["connections"] == 1 && worker["active"] == 0).then_some(())
        });
        assert_eq!(get(server.address("web"), "/?last").status, 200);
        // A client that has not asked for anything yet takes nothing from it.
        let silent = Client::connect(server.address("web"));
        eventually("it is accepted", SOON, || {
            let answer = ask(&socket, STATUS).unwrap();
            (answer["workers"][0]["connections"] == 3).then_some(())
        });
        eventually("the others' processes are gone", SOON, || {
            (model != "fork" || process::descendants(worker).len() == 1).then_some(())
        });
        process::signal(worker, Signal::SIGKILL);
        let line = server.log.wait_for(&format!("pid {worker} gen 2"), SOON);
        let line = match line.contains("killed by") {
            true => line,
            false => server.log.wait_for("killed by SIGKILL", SOON),
        };
        for part in [
            "; it was ",
            "connections 3, requests 2, ",
            ", last request GET /?last; user 0.",
            " KiB, faults ",
        ] {
            assert!(line.contains(part), "{model}: {part:?} in {line}");
        }
        let answer = deaths();
        let death = &answer["deaths"][0];
        for (key, value) in [
            ("pool", Value::from("web")),
            ("slot", 0.into()),
            ("generation", 2.into()),
            ("pid", worker.into()),
            ("cause", "signal".into()),
            ("how", "killed by SIGKILL".into()),
            ("cut", 1.into()),
            ("connections", 3.into()),
            ("requests", 2.into()),
            ("last_request", "GET /?last".into()),
            ("process", "".into()),
        ] {
            assert_eq!(death[key], value, "{model} {key}: {death}");
        }
        assert!(
            death["usage"]["max_rss"].as_u64().unwrap() > 1000,
            "{death}"
        );
        assert!(death["usage"]["user"].as_f64().unwrap() < 10.0, "{death}");
        drop(silent);
        server.stop();
    }
}

#[test]
fn a_refused_reload_is_told_of_until_one_takes_effect() {
    let mut server = server(MASTER, &pools(1, ""));
    server.expect("reload: ");
    server.expect("reload refused: ");
    let socket = socket(&server);
    let said = || {
        let status = ask(&socket, STATUS).unwrap();
        [&status["reload_refused"], &status["reloads_refused"]].map(Value::to_string)
    };
    assert_eq!(said(), ["false", "0"]);
    let order = "{\"query\":\"reload\",\"wait\":true}\n";
    server.configure(MASTER, &pools(1, "wrokers = 2"));
    ask(&socket, order).unwrap();
    assert_eq!(said(), ["true", "1"]);
    server.configure(MASTER, &pools(1, ""));
    ask(&socket, order).unwrap();
    assert_eq!(said(), ["false", "1"]);
    server.stop();
}

#[test]
fn each_order_is_logged_with_who_gave_it() {
    let mut server = server(MASTER, &pools(1, ""));
    let socket = socket(&server);
    let who = format!(
        "asked for by control socket (uid {}, pid {})",
        nix::unistd::geteuid(),
        std::process::id()
    );
    for (line, word) in [
        (
            "{\"query\":\"reopen\",\"wait\":true}\n",
            "reopening of logs",
        ),
        ("{\"query\":\"reload\",\"wait\":true}\n", "reload"),
        (
            "{\"query\":\"scale\",\"pool\":\"web\",\"workers\":2,\"wait\":true}\n",
            "2 workers for pool web",
        ),
    ] {
        let answer = ask(&socket, line).unwrap();
        assert_eq!(answer["status"], 0, "{answer}");
        server.log.wait_for(&format!("{word} {who}"), SOON);
    }
    server.expect("there is no pool mail");
    ask(
        &socket,
        "{\"query\":\"scale\",\"pool\":\"mail\",\"workers\":2}\n",
    )
    .unwrap();
    server
        .log
        .wait_for(&format!("there is no pool mail, but web; {who}"), SOON);
    let answer = ask(&socket, "{\"query\":\"stop\"}\n").unwrap();
    assert_eq!(answer["answer"], "done");
    server.log.wait_for(&format!("stop {who}"), SOON);
    server.assert_good_end();
}

/// `preforkd status` as a user who is in no group but this one; its exit status,
/// and what it says.
fn status_as_member(socket: &Path, group: u32) -> (Option<i32>, String) {
    let mut command = Command::new("setpriv");
    let groups = format!("--groups={group}");
    command.args(["--reuid=65534", "--regid=65534", groups.as_str()]);
    command.arg(harness::server::program());
    command.args(["status", "--json", "--control"]).arg(socket);
    let output = outcome(command);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn the_members_of_a_group_are_let_in_while_the_configuration_says_so() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can be somebody else");
        return;
    }
    const GROUP: u32 = 54321;
    let with_group = format!("{MASTER}\ncontrol_group = \"{GROUP}\"");
    let mut server = server(&with_group, &pools(1, ""));
    let socket = socket(&server);
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(server.directory.path(), open).unwrap();
    let file = || {
        let found = fs::metadata(&socket).unwrap();
        (found.mode() & 0o777, found.uid(), found.gid())
    };
    assert_eq!(file(), (0o660, 0, GROUP));
    let (status, text) = status_as_member(&socket, GROUP);
    assert_eq!(status, Some(0), "{text}");
    // The file's mode keeps others out …
    let (status, text) = status_as_member(&socket, GROUP + 1);
    assert_eq!(status, Some(4), "{text}");
    // … and where that was changed by hand, we do, and say so.
    let asked = |socket: &Path| {
        let mode = fs::Permissions::from_mode(0o666);
        fs::set_permissions(socket, mode).unwrap();
        status_as_member(socket, GROUP + 1)
    };
    let (status, text) = asked(&socket);
    assert!(status != Some(0), "{text}");
    assert!(
        text.contains("only root, user 0, members of group 54321 may ask: this is user 65534"),
        "{text}"
    );
    // A reload takes it away, and gives it back.
    server.configure(MASTER, &pools(1, ""));
    server.reload(2);
    assert_eq!(file(), (0o600, 0, nix::unistd::getegid().as_raw()));
    assert_eq!(status_as_member(&socket, GROUP).0, Some(4));
    server.configure(&with_group, &pools(1, ""));
    server.reload(3);
    assert_eq!(file(), (0o660, 0, GROUP));
    assert_eq!(status_as_member(&socket, GROUP).0, Some(0));
    server.stop();
}

#[test]
fn a_group_without_a_socket_is_a_mistake() {
    let directory = TempDir::new().unwrap();
    let echo = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\n";
    for (master, words) in [
        (
            "control_group = \"0\"",
            "`control_group` has no effect here",
        ),
        (
            "control_socket = \"c\"\ncontrol_group = \"no such\"",
            "there is no group \"no such\"",
        ),
    ] {
        let path = harness::server::write_configuration(directory.path(), master, echo);
        let mut command = preforkd();
        command.args(["check", "-c"]).arg(path);
        let output = outcome(command);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains(words), "{text}");
    }
}
