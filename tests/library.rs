//! The crate inside another program: a closure makes the protocol, one client
//! is served, a signal ends it.
//!
//! A server forks, so its process must have a single thread, which the usual
//! test harness has not: this program is its own. Started once more with
//! `client` and an address it is the client, and then tells its parent to stop.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

use preforkd::protocol::{Action, CloseReason, Ending, Manner, Outcome, Peer, Protocol, Turn};
use preforkd::{Server, config};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const GREETING: &str = "hello from a closure";
/// The file in which the client leaves what it got.
const ANSWER: &str = "answer";

/// Greets with a name that the closure gave it, and leaves.
struct Greeting(String);

impl Protocol for Greeting {
    fn resume(&mut self, _: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        turn.output.push(self.0.as_bytes());
        Action::Close(Ending {
            reason: CloseReason::Complete,
            manner: Manner::Linger,
        })
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("client") => client(&arguments[2]),
        // What a runner asks of every test program.
        Some("--list") => {
            println!("a_closure_serves: test");
            ExitCode::SUCCESS
        }
        Some("--ignored") => ExitCode::SUCCESS,
        Some(_) | None => server(),
    }
}

fn server() -> ExitCode {
    // The library cannot be asked which port it got; a name in a directory of
    // our own is free for certain.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greeting.sock");
    let mut pool = config::Pool::with_defaults("greeting", config::Service::Custom);
    pool.listen = vec![
        config::parse_listen(&format!("unix:{}", path.display()))
            .unwrap()
            .into(),
    ];
    pool.size = config::Size::Fixed(2);
    let config = config::Config {
        master: config::Master::with_defaults(),
        pools: vec![pool],
    };
    #[allow(clippy::zombie_processes)] // it outlives main, which becomes the master and reaps it
    Command::new(std::env::current_exe().unwrap())
        .arg("client")
        .arg(&path)
        .spawn()
        .unwrap();
    let name = GREETING.to_owned();
    let service = move |_: &Peer| Box::new(Greeting(name.clone())) as Box<dyn Protocol>;
    let status = Server::new(config).service("greeting", service).run();
    // The master reaps whoever ends below it, the client too: so the client
    // leaves what it got in a file.
    let answer = std::fs::read_to_string(directory.path().join(ANSWER));
    match (status, answer) {
        (Ok(0), Ok(text)) if text == GREETING => {
            println!("1 passed, 0 failed");
            ExitCode::SUCCESS
        }
        (status, answer) => {
            println!("0 passed, 1 failed: the server: {status:?}; the client: {answer:?}");
            ExitCode::FAILURE
        }
    }
}

/// Asks, takes note of the answer, and ends the server in either case.
fn client(path: &str) -> ExitCode {
    let noted =
        ask(path).map(|answer| std::fs::write(Path::new(path).with_file_name(ANSWER), answer));
    let parent = nix::unistd::getppid();
    nix::sys::signal::kill(parent, nix::sys::signal::Signal::SIGTERM).unwrap();
    match noted {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(_)) | None => ExitCode::FAILURE,
    }
}

/// What the server says; `None` where it was not there in time.
fn ask(path: &str) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if let Ok(mut stream) = UnixStream::connect(path) {
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            return Some(text);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}
