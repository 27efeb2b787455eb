//! `preforkd reload`, `upgrade`, `stop`, `reopen`, `scale`: an order to the running
//! master over its control socket.

use super::status::clean_json;
use super::{CONFIG, SOFTWARE, UNAVAILABLE, complain};
use crate::cli::Ask;
use crate::escape;
use crate::master::control::Query;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The master answers at once or not at all, unless it is asked to wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(arguments: &Ask, query: &Query) -> u8 {
    let path = match socket_path(arguments) {
        Ok(path) => path,
        Err(status) => return status,
    };
    let line = match ask(&path, query) {
        Ok(line) => line,
        Err(error) => {
            complain(format_args!("control socket {}: {error}", path.display()));
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => UNAVAILABLE,
                io::ErrorKind::PermissionDenied => 77,
                _ => 71,
            };
        }
    };
    let Ok(answer) = serde_json::from_str::<Value>(&line) else {
        complain(format_args!(
            "{}: this is not an answer: {}",
            path.display(),
            tame(&line)
        ));
        return SOFTWARE;
    };
    if let Some(message) = answer.get("message").and_then(Value::as_str) {
        complain(tame(message));
        return SOFTWARE;
    }
    let status = answer.get("status").and_then(Value::as_u64).unwrap_or(0);
    let status = u8::try_from(status).unwrap_or(SOFTWARE);
    if arguments.json {
        print(&format!("{}\n", clean_json(&line)));
    }
    let lines = answer["lines"].as_array().into_iter().flatten();
    for line in lines.filter_map(Value::as_str).filter(|_| !arguments.json) {
        if status == 0 {
            print(&format!("{}\n", tame(line)));
        } else {
            complain(tame(line));
        }
    }
    status
}

fn socket_path(arguments: &Ask) -> Result<PathBuf, u8> {
    if let Some(path) = &arguments.control {
        return Ok(path.clone());
    }
    let config = super::load(&arguments.config)?.config;
    config.master.control_socket.ok_or_else(|| {
        complain(format_args!(
            "{}: it names no control_socket",
            arguments.config.display()
        ));
        CONFIG
    })
}

fn ask(path: &Path, query: &Query) -> io::Result<String> {
    let mut question = serde_json::to_vec(query)?;
    question.push(b'\n');
    match exchange(path, &question, (!query.waits()).then_some(PATIENCE)) {
        // The master is gone: done.
        Err(error)
            if error.kind() == io::ErrorKind::UnexpectedEof
                && *query == (Query::Stop { wait: true }) =>
        {
            Ok(String::from("{\"answer\":\"done\"}"))
        }
        heard => heard,
    }
}

/// Sends a line and answers the next one, without its end. Waits at most as
/// long as [`PATIENCE`] to be let in and heard, and `patience` for the answer,
/// all of it; without one for ever.
///
/// # Errors
/// As connect(2), write(2) and read(2); `UnexpectedEof` where the master ends
/// the connection instead.
pub(super) fn exchange(
    path: &Path,
    question: &[u8],
    patience: Option<Duration>,
) -> io::Result<String> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // It bounds connect(2) as well, which waits for a place in the queue.
    socket.set_write_timeout(Some(PATIENCE))?;
    socket
        .connect(&SockAddr::unix(path)?)
        .map_err(|error| late(error, PATIENCE))?;
    let mut stream = UnixStream::from(OwnedFd::from(socket));
    match stream.write_all(question) {
        // Whoever is not let in is told why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| late(error, PATIENCE))?,
    }
    let deadline = patience.map(|patience| (Instant::now() + patience, patience));
    let mut line = Vec::new();
    let mut room = [0; 16 * 1024];
    loop {
        if let Some((end, patience)) = deadline {
            let left = end.saturating_duration_since(Instant::now());
            // 0 would mean for ever.
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            if left.is_zero() {
                return Err(late(io::ErrorKind::WouldBlock.into(), patience));
            }
        }
        let count = match stream.read(&mut room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| late(error, patience.unwrap_or_default()))?,
        };
        line.extend_from_slice(&room[..count]);
        if let Some(end) = memchr::memchr(b'\n', &line) {
            line.truncate(end);
            return String::from_utf8(line).map_err(io::Error::other);
        }
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, CLOSED));
        }
    }
}

/// What is told of a master that ends, or ends a connection for its silence.
pub(super) const CLOSED: &str = "the master closed the connection without an answer";

fn late(error: io::Error, patience: Duration) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::other(format!("no answer within {} s", patience.as_secs()))
        }
        _ => error,
    }
}

/// A text from the other side, with nothing in it that a terminal obeys.
fn tame(text: &str) -> String {
    let mut tame = String::new();
    escape::plain(text, &mut tame);
    tame
}

fn print(text: &str) {
    // A reader that has gone has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
}
