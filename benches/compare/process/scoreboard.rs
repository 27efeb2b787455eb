//! The share of a small HTTP request that goes into the scoreboard.
//!
//! Counted in instructions, by `valgrind --tool=callgrind`: seconds of so little
//! are noise. Two runs that differ in the number of requests alone are
//! subtracted, which leaves the steady state. What is inlined keeps the file of
//! its line, so an instruction is the scoreboard's if its line is in
//! `src/scoreboard*`; the atomic loads and stores themselves have lines of core,
//! and all of those that the process makes are taken for the scoreboard's, which
//! is too many and so a safe bound. Not in it: the arithmetic of moments in std,
//! which others use as well.
//!
//! Instructions are those of the program. The kernel's time is part of a
//! request, so the share of the processor time is smaller: it is worked out with
//! the share of user time, which the kernel tells of a run without valgrind.

use crate::machine::{SERVER_CORE, free_address, installed};
use crate::table::{Samples, Table, Verdict, figure, median};
use crate::{Bench, Failure};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const FEW: usize = 500;
const MANY: usize = 2500;
/// What the scoreboard may take of a request, in per cent.
const LIMIT: f64 = 1.0;
/// The octets of the file that is asked for.
const FILE: usize = 612;

/// Instructions of one process.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    lines: u64,
    atomics: u64,
}

/// Measures the model `event`, for which a request is the cheapest and the
/// share the largest.
///
/// # Errors
/// Valgrind fails, or the server under it.
pub(super) fn measure(bench: &mut Bench, samples: &mut Samples) -> Result<Vec<Verdict>, Failure> {
    let Some(valgrind) = installed("valgrind") else {
        bench
            .report
            .say("Not installed, and left out: valgrind, for the scoreboard's share.");
        return Ok(vec![]);
    };
    let (few, many) = (
        counted(bench, &valgrind, FEW)?,
        counted(bench, &valgrind, MANY)?,
    );
    let mut users = Vec::new();
    for _ in 0..bench.options.rounds {
        users.push(user_share(bench)?);
    }
    let user = median(users).unwrap_or(1.0);
    #[allow(clippy::cast_precision_loss, reason = "figures to look at")]
    let each = |count: fn(&Count) -> u64| {
        (count(&many).saturating_sub(count(&few))) as f64 / (MANY - FEW) as f64
    };
    let (all, lines, atomics) = (each(|c| c.all), each(|c| c.lines), each(|c| c.atomics));
    let share = (lines + atomics) / all * 100.0;
    let rows = [
        ("instructions a request", all),
        ("of them on lines of the scoreboard", lines),
        ("of them atomic, whoever's", atomics),
        ("% of the instructions, at most", share),
        ("% of user time in the processor time", user * 100.0),
        ("% of the processor time, at most", share * user),
    ];
    let title = "scoreboard: its part of a small file, kept alive, model event";
    let mut table = Table::new(title, &["what", "figure"]);
    for (what, value) in rows {
        samples.add("scoreboard", "preforkd-event", 0, what, value);
        table.row(vec![what.to_owned(), figure(Some(value))]);
    }
    bench.report.table(&table);
    let what = "scoreboard, of a small request";
    Ok(vec![Verdict::at_most(
        what,
        Some(share * user),
        LIMIT,
        " %",
    )])
}

/// A server of ours at `address` that has one small file.
fn server(bench: &Bench, address: SocketAddr) -> Result<Vec<String>, Failure> {
    let root = bench.machine.place().join("scoreboard");
    fs::create_dir_all(&root)?;
    fs::write(root.join("s.html"), vec![b'x'; FILE])?;
    let text = format!(
        "[pool.web]\nlisten = \"{address}\"\nservice = \"http\"\nmodel = \"event\"\nworkers = 1\n\
         [pool.web.http]\nkeepalive_requests = 0\nroot = \"{}\"\n",
        root.display()
    );
    let file = bench.machine.write("scoreboard.toml", text.as_bytes())?;
    let file = file.display().to_string();
    let program = bench.options.program.display().to_string();
    Ok(vec![program, "run".to_owned(), "--config".to_owned(), file])
}

/// What the worker executed, from the beginning to the end of `requests`.
fn counted(bench: &Bench, valgrind: &Path, requests: usize) -> Result<Count, Failure> {
    let address = free_address()?;
    let place = bench.machine.place().join(format!("callgrind.{requests}"));
    let mut command = Command::new(valgrind);
    // A new worker closes what it was not given, the descriptors of valgrind's
    // own gdb server among it, and at its end that would find them gone.
    command.args(["--tool=callgrind", "--vgdb=no"]);
    command.arg(format!("--callgrind-out-file={}.%p", place.display()));
    command.args(server(bench, address)?);
    let running = bench
        .machine
        .start("callgrind", &command, address, SERVER_CORE)?;
    let master = running.pid();
    let worker = running.tree().into_iter().find(|&pid| pid != master);
    let worker = worker.ok_or("callgrind: there is no worker")?;
    ask(address, requests, None)?;
    // It writes what it counted when it ends.
    drop(running);
    let written = PathBuf::from(format!("{}.{worker}", place.display()));
    let text = fs::read_to_string(&written);
    let text = text.map_err(|error| format!("{}: {error}", written.display()))?;
    Ok(count(&text))
}

/// Sums up what callgrind wrote, by the files of the lines. In its format a
/// line that begins with a position has a cost; one after `calls=` is that of
/// the callee, which has lines of its own.
fn count(text: &str) -> Count {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut total = Count::default();
    let mut file = "";
    let mut callee = false;
    for line in text.lines() {
        let position =
            line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first));
        if let Some(("fl" | "fi" | "fe", name)) = line.split_once('=') {
            // `(3) NAME` the first time, `(3)` from then on.
            let (number, rest) = name.split_once(' ').unwrap_or((name, ""));
            if !rest.is_empty() {
                names.insert(number, rest);
            }
            file = names.get(number).copied().unwrap_or_default();
        } else if line.starts_with("calls=") {
            callee = true;
        } else if position && !std::mem::take(&mut callee) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse().ok());
            let cost: u64 = cost.unwrap_or(0);
            total.all += cost;
            if file.contains("src/scoreboard") {
                total.lines += cost;
            } else if file.ends_with("core/src/sync/atomic.rs") {
                total.atomics += cost;
            }
        }
    }
    total
}

/// Asks for the file so often on one connection, at most until `until`; answers
/// how often.
fn ask(address: SocketAddr, most: usize, until: Option<Instant>) -> Result<usize, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut room = vec![0; 16 * 1024];
    for done in 0..most {
        if until.is_some_and(|until| Instant::now() > until) {
            return Ok(done);
        }
        stream.write_all(b"GET /s.html HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut answer = Vec::new();
        // The head has no x before the empty line that a count could mistake.
        while !answer.ends_with(&[b'x'; FILE]) {
            match stream.read(&mut room)? {
                0 => return Err("the server closed the connection".into()),
                count => answer.extend_from_slice(&room[..count]),
            }
        }
    }
    Ok(most)
}

/// How much of the worker's processor time is user time, 0 to 1, while it
/// answers the same requests without valgrind.
#[allow(clippy::cast_precision_loss, reason = "a share")]
fn user_share(bench: &Bench) -> Result<f64, Failure> {
    let address = free_address()?;
    let line = server(bench, address)?;
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    let running = bench
        .machine
        .start("scoreboard", &command, address, SERVER_CORE)?;
    let until = Instant::now() + bench.options.duration();
    ask(address, usize::MAX, Some(until))?;
    let mut ticks = (0u64, 0u64);
    for pid in running.tree() {
        // proc_pid_stat(5): utime and stime are fields 14 and 15, and the name,
        // which may hold anything, ends with field 2.
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, after) = text.rsplit_once(')').unwrap_or_default();
        let fields: Vec<&str> = after.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse().ok());
        ticks.0 += field(14).unwrap_or(0);
        ticks.1 += field(15).unwrap_or(0);
    }
    let all = ticks.0 + ticks.1;
    if all < 20 {
        return Err("the server was not busy for long enough to tell user time".into());
    }
    Ok(ticks.0 as f64 / all as f64)
}
