//! `preforkd status`, `reload`, `upgrade`, `stop`, `reopen`, `scale`: a question to
//! the running master over its control socket.

use super::{CONFIG, SOFTWARE, UNAVAILABLE, complain};
use crate::cli::Ask;
use crate::master::control::Query;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The master answers at once or not at all, unless it is asked to wait.
const PATIENCE: Duration = Duration::from_secs(5);

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
            "{}: this is not an answer: {line}",
            path.display()
        ));
        return SOFTWARE;
    };
    if let Some(message) = answer.get("message").and_then(Value::as_str) {
        complain(message);
        return SOFTWARE;
    }
    let status = answer.get("status").and_then(Value::as_u64).unwrap_or(0);
    let status = u8::try_from(status).unwrap_or(SOFTWARE);
    if arguments.json {
        print(&format!("{line}\n"));
    } else if *query == Query::Status && status == 0 {
        print(&table(&answer));
    }
    let lines = answer["lines"].as_array().into_iter().flatten();
    for line in lines.filter_map(Value::as_str).filter(|_| !arguments.json) {
        if status == 0 {
            print(&format!("{line}\n"));
        } else {
            complain(line);
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
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout((!query.waits()).then_some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = serde_json::to_vec(query)?;
    question.push(b'\n');
    match stream.write_all(&question) {
        // Whoever is not let in is told why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let limit = PATIENCE.as_secs();
                io::Error::other(format!("no answer within {limit} s"))
            }
            _ => error,
        })?;
    if line.is_empty() && *query == (Query::Stop { wait: true }) {
        // The master is gone: done.
        return Ok(String::from("{\"answer\":\"done\"}"));
    }
    if line.is_empty() {
        return Err(io::Error::other(
            "the master closed the connection: only root and its own user may ask",
        ));
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn print(text: &str) {
    // A reader that has gone has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The status as a person reads it.
fn table(answer: &Value) -> String {
    let text = |value: &Value, key: &str| match &value[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = format!(
        "master {} {}, generation {}\nlistening on {}\nqueue_dropped {}\n\n{:<16} {:>4} {:<8} {:>6} {:>6} {:<8} {:>11} {:>11}  DEATHS\n",
        text(answer, "pid"),
        text(answer, "state"),
        text(answer, "generation"),
        text(answer, "listening"),
        text(answer, "queue_dropped"),
        "POOL",
        "GEN",
        "MODEL",
        "WANTED",
        "READY",
        "BREAKER",
        "CONNECTIONS",
        "REQUESTS",
    );
    for pool in answer["pools"].as_array().into_iter().flatten() {
        lines.push_str(&format!(
            "{:<16} {:>4} {:<8} {:>6} {:>6} {:<8} {:>11} {:>11}  {}\n",
            text(pool, "name"),
            text(pool, "generation"),
            text(pool, "model"),
            text(pool, "wanted"),
            text(pool, "ready"),
            text(pool, "breaker"),
            text(pool, "connections"),
            text(pool, "requests"),
            counted(&pool["deaths"]),
        ));
    }
    lines.push_str(&format!(
        "\n{:<16} {:>9} {:>9} {:>9} {:>9} {:>9}  CLOSES\n",
        "POOL", "1XX", "2XX", "3XX", "4XX", "5XX",
    ));
    for pool in answer["pools"].as_array().into_iter().flatten() {
        let answers = &pool["answers"];
        lines.push_str(&format!(
            "{:<16} {:>9} {:>9} {:>9} {:>9} {:>9}  {}\n",
            text(pool, "name"),
            text(answers, "1xx"),
            text(answers, "2xx"),
            text(answers, "3xx"),
            text(answers, "4xx"),
            text(answers, "5xx"),
            counted(&pool["closes"]),
        ));
    }
    lines.push_str(&format!(
        "\n{:<16} {:>8} {:>4} {:<9} {:>7} {:>11} {:>11}  DOING\n",
        "WORKER", "PID", "GEN", "PHASE", "AGE", "CONNECTIONS", "REQUESTS",
    ));
    for worker in answer["workers"].as_array().into_iter().flatten() {
        let name = format!("{}[{}]", text(worker, "pool"), text(worker, "slot"));
        lines.push_str(&format!(
            "{name:<16} {:>8} {:>4} {:<9} {:>6}s {:>11} {:>11}  {}\n",
            text(worker, "pid"),
            text(worker, "generation"),
            text(worker, "phase"),
            text(worker, "age"),
            text(worker, "connections"),
            text(worker, "requests"),
            text(worker, "doing"),
        ));
    }
    lines
}

/// `early 2, signal 1`: what there was of each kind.
fn counted(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten();
    let counts = counts.filter(|(_, count)| count.as_u64() != Some(0));
    let words: Vec<String> = counts
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    if words.is_empty() {
        String::from("none")
    } else {
        words.join(", ")
    }
}
