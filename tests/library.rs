//! The crate inside another program: a closure makes the protocol, one client
//! is served, a signal ends it; and a service behind a proxy, which wants what
//! follows the PROXY header on the socket.
//!
//! A server forks, so its process must have a single thread, which the usual
//! test harness has not: this program is its own. Started once more with
//! `client` and an address it is the client, and then tells its parent to stop.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

use preforkd::protocol::{
    Action, CloseReason, Ending, Manner, Outcome, Peer, Protocol, Service, Turn,
};
use preforkd::{Server, config};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const GREETING: &str = "hello from a closure";
/// What comes before the second question; the client's own octets follow it.
const HEADER: &str = "PROXY TCP4 192.0.2.7 198.51.100.2 56324 443\r\n";
const NAMED: &str = "192.0.2.7:56324, and 0 octets were taken too early";
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

/// Leaves what follows the header on the socket, as if a program read that.
struct Taking;

impl Service for Taking {
    fn connection(&self, _: &Peer) -> Box<dyn Protocol> {
        Box::new(Taken)
    }

    fn hands_over(&self) -> bool {
        true
    }
}

struct Taken;

impl Protocol for Taken {
    fn resume(&mut self, _: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        let early = turn.input.unread().len();
        let text = format!("{}, and {early} octets were taken too early", turn.peer);
        turn.output.push(text.as_bytes());
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
    let mut behind = config::Pool::with_defaults("behind", config::Service::Custom);
    let mut endpoint = config::Endpoint::from(
        config::parse_listen(&format!("unix:{}", path.with_extension("behind").display())).unwrap(),
    );
    endpoint.proxy = Some(config::Proxy {
        from: config::Clients {
            networks: Vec::new(),
            unix: true,
        },
        timeout: Duration::from_secs(10),
    });
    behind.listen = vec![endpoint];
    behind.size = config::Size::Fixed(1);
    let config = config::Config {
        master: config::Master::with_defaults(),
        pools: vec![pool, behind],
    };
    #[allow(clippy::zombie_processes)] // it outlives main, which becomes the master and reaps it
    Command::new(std::env::current_exe().unwrap())
        .arg("client")
        .arg(&path)
        .spawn()
        .unwrap();
    let name = GREETING.to_owned();
    let service = move |_: &Peer| Box::new(Greeting(name.clone())) as Box<dyn Protocol>;
    let server = Server::new(config).service("greeting", service);
    let status = server.service("behind", Taking).run();
    // The master reaps whoever ends below it, the client too: so the client
    // leaves what it got in a file.
    let answer = std::fs::read_to_string(directory.path().join(ANSWER));
    match (status, answer) {
        (Ok(0), Ok(text)) if text == format!("{GREETING}{NAMED}") => {
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
    let path = Path::new(path);
    let answers = ask(path, "").and_then(|greeting| {
        let named = ask(&path.with_extension("behind"), &format!("{HEADER}hello"))?;
        Some(greeting + &named)
    });
    let noted = answers.map(|answers| std::fs::write(path.with_file_name(ANSWER), answers));
    let parent = nix::unistd::getppid();
    nix::sys::signal::kill(parent, nix::sys::signal::Signal::SIGTERM).unwrap();
    match noted {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(_)) | None => ExitCode::FAILURE,
    }
}

/// What the server says to this; `None` where it was not there in time.
fn ask(path: &Path, question: &str) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if let Ok(mut stream) = UnixStream::connect(path) {
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .ok()?;
            stream.write_all(question.as_bytes()).ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            return Some(text);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}
