//! A service that leaks: a worker that has grown too large is replaced, and no
//! client is lost by that.
//!
//! A server forks, so its process must have a single thread, which the usual
//! test harness has not: this program is its own. Started once more with
//! `serve` and the name of a model it is the server; without, the client.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

use preforkd::protocol::{Action, CloseReason, Ending, Manner, Outcome, Peer, Protocol, Turn};
use preforkd::{Server, config};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What each connection leaves behind, in octets.
const LEAK: usize = 1 << 20;
/// What a worker may have of its own.
const LIMIT: u64 = 16 << 20;
const SOON: Duration = Duration::from_secs(20);

/// Tells its process id, and forgets some memory.
struct Leaky;

impl Protocol for Leaky {
    fn resume(&mut self, _: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        // Written to, or the kernel would not have given it yet.
        std::mem::forget(vec![1u8; LEAK]);
        turn.output.push(std::process::id().to_string().as_bytes());
        Action::Close(Ending {
            reason: CloseReason::Complete,
            manner: Manner::Linger,
        })
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("serve") => serve(&arguments[2], Path::new(&arguments[3])),
        // What a runner asks of every test program.
        Some("--list") => {
            println!("whoever_grows_is_replaced: test");
            ExitCode::SUCCESS
        }
        Some("--ignored") => ExitCode::SUCCESS,
        Some(_) | None => {
            // Side by side: most of the time they wait for the master to look.
            std::thread::scope(|scope| {
                for model in ["prefork", "event", "threads"] {
                    scope.spawn(move || whoever_grows_is_replaced(model));
                }
                the_growth_of_a_child_is_its_own_affair();
            });
            println!("4 passed, 0 failed");
            ExitCode::SUCCESS
        }
    }
}

fn serve(model: &str, socket: &Path) -> ExitCode {
    let model = match model {
        "prefork" => config::Model::Prefork,
        "event" => config::Model::Event,
        "threads" => config::Model::Threads,
        _ => config::Model::Fork,
    };
    let pool = config::Pool::with_defaults("leaky", config::Service::Custom);
    let mut pool = pool.on_model(model, config::Accept::Shared, &config::ThisMachine);
    pool.listen = vec![
        config::parse_listen(&format!("unix:{}", socket.display()))
            .unwrap()
            .into(),
    ];
    pool.size = config::Size::Fixed(2);
    pool.max_worker_memory = LIMIT;
    pool.min_worker_lifetime = Duration::from_millis(100);
    let config = config::Config {
        master: config::Master::with_defaults(),
        pools: vec![pool],
    };
    let service = |_: &Peer| Box::new(Leaky) as Box<dyn Protocol>;
    match Server::new(config).service("leaky", service).run() {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// A running server, and the lines that it writes.
struct Running {
    child: Child,
    lines: Receiver<String>,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(model: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("leaky.sock");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve", model])
            .arg(&socket)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let mut found = stderr.lines().map_while(Result::ok);
            found.try_for_each(|line| send.send(line))
        });
        let running = Self {
            child,
            lines,
            socket,
            _directory: directory,
        };
        running.wait_for("generation 1 serves");
        running
    }

    fn wait_for(&self, pattern: &str) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("no line with {pattern:?}"));
            if line.contains(pattern) {
                return line;
            }
        }
    }

    /// Who serves us.
    fn ask(&self) -> i32 {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.parse().unwrap()
    }

    fn stop(mut self) {
        let master = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(master, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its workers leave when it does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn whoever_grows_is_replaced(model: &str) {
    let server = Running::start(model);
    let mut seen = BTreeSet::new();
    let deadline = Instant::now() + SOON;
    // One at most is looked at in a second; each asks on meanwhile.
    while seen.len() < 4 {
        assert!(Instant::now() < deadline, "{model}: {seen:?}");
        seen.insert(server.ask());
        std::thread::sleep(Duration::from_millis(20));
    }
    // The line on which this relies: `look_at_memory` in src/master/mod.rs.
    let line = server.wait_for("more than max_worker_memory: it is replaced");
    let kibibytes = line.split(" has ").nth(1).unwrap();
    let kibibytes: u64 = kibibytes.split(' ').next().unwrap().parse().unwrap();
    assert!(kibibytes * 1024 > LIMIT, "{line}");
    server.stop();
}

/// On the model `fork` it is the child that leaks, and it ends with its client.
fn the_growth_of_a_child_is_its_own_affair() {
    let server = Running::start("fork");
    let begun = Instant::now();
    let mut asked = 0;
    // More than enough, and as long as the master looks twice.
    while begun.elapsed() < Duration::from_millis(2500) || asked * LEAK as u64 <= 2 * LIMIT {
        server.ask();
        asked += 1;
        assert!(begun.elapsed() < SOON, "{asked}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let replaced = |line: &String| line.contains("it is replaced");
    assert_eq!(server.lines.try_iter().find(replaced), None);
    server.stop();
}
