//! wrk(1), which asks, and what it says.

use crate::{Failure, machine};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How wrk asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) path: &'a str,
    pub(crate) connections: u32,
    /// Field lines beside its own.
    pub(crate) fields: &'a [&'a str],
    /// A program in Lua that makes the requests.
    pub(crate) script: Option<&'a Path>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Answers that came whole.
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    /// Microseconds that 99 of 100 answers took at most; NaN without any.
    pub(crate) p99: f64,
    /// Connections that failed, and answers other than 2xx and 3xx.
    pub(crate) errors: f64,
}

/// Has wrk ask for `time`, with one thread on the core that the bench is on.
///
/// # Errors
/// It is not installed, or says what cannot be understood.
pub(crate) fn ask(
    address: SocketAddr,
    asking: Asking<'_>,
    time: Duration,
) -> Result<Outcome, Failure> {
    let mut command = Command::new("wrk");
    command
        .args(["-t", "1", "--latency", "-c"])
        .arg(asking.connections.to_string())
        .arg("-d")
        .arg(format!("{}s", time.as_secs()));
    for field in asking.fields {
        command.args(["-H", field]);
    }
    if let Some(script) = asking.script {
        command.arg("-s").arg(script);
    }
    command.arg(format!("http://{address}{}", asking.path));
    let text = machine::run(&mut command, time + Duration::from_secs(30))?;
    parse(&text).ok_or_else(|| format!("wrk said: {text}").into())
}

/// Reads what wrk 4 prints.
fn parse(text: &str) -> Option<Outcome> {
    let mut outcome = Outcome {
        p99: f64::NAN,
        ..Outcome::default()
    };
    let mut complete = false;
    for line in text.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        if line.contains(" requests in ") {
            outcome.requests = words.next()?.parse().ok()?;
        } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
            outcome.per_second = rate.trim().parse().ok()?;
            complete = true;
        } else if line.starts_with("99%") {
            outcome.p99 = microseconds(words.nth(1)?)?;
        } else if let Some(list) = line.strip_prefix("Socket errors:") {
            // `connect 0, read 12, write 0, timeout 3`
            for entry in list.split(',') {
                outcome.errors += entry.split_whitespace().nth(1)?.parse::<f64>().ok()?;
            }
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
            outcome.errors += count.trim().parse::<f64>().ok()?;
        }
    }
    complete.then_some(outcome)
}

/// `812.00us`, `1.20ms`, `2.00s`, `1.00m`.
fn microseconds(text: &str) -> Option<f64> {
    let unit = text.find(char::is_alphabetic)?;
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}
