//! `preforkd status`: what the master and its workers do, and whether there is
//! a master at all.
//!
//! Owes the exit status of LSB for the `status` of an init script, with and
//! without a control socket, and an end within seconds whatever the master
//! does. Changes nothing.

mod columns;
mod deaths;
mod line;
mod problems;
mod table;
mod verdict;
mod watch;

pub(super) use line::clean_json;

use super::{USAGE, ask, complain};
use crate::cli;
use crate::status::{Death, Status};
use line::{Line, clean};
use serde::Deserialize;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use table::Workers;
use verdict::{RUNNING, Silence, UNKNOWN, Verdict, judge};

/// Lines of the table above its workers, about: to see whether all of it fits.
const ABOVE: usize = 16;

/// Where a master can be looked for.
#[derive(Debug)]
struct Place {
    control: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

pub(super) fn run(arguments: &cli::Status) -> u8 {
    let Ok(place) = Place::of(&arguments.ask) else {
        return UNKNOWN;
    };
    if let Some(pause) = arguments.watch {
        return watch::run(arguments, &place, pause);
    }
    let question: &[u8] = if arguments.deaths {
        b"{\"query\":\"deaths\"}\n"
    } else {
        watch::QUESTION
    };
    match place.ask(question) {
        // The master runs, but that is not what was asked.
        Err(Silence::Mute(reason)) if arguments.deaths => {
            complain(clean(&format!(
                "the master does not tell of deaths: {reason}"
            )));
            UNKNOWN
        }
        Ok(line) => show(arguments, &line),
        Err(silence) => {
            let verdict = place.judge(&silence);
            if arguments.deaths && verdict.status == RUNNING {
                complain(clean(&verdict.text));
                return UNKNOWN;
            }
            say_instead(arguments.ask.json, &verdict)
        }
    }
}

impl Place {
    /// By the arguments; the error has been told.
    fn of(arguments: &cli::Ask) -> Result<Self, u8> {
        if let Some(path) = &arguments.control {
            return Ok(Self {
                control: Some(path.clone()),
                pid_file: None,
            });
        }
        let master = super::load(&arguments.config)?.config.master;
        Ok(Self {
            control: master.control_socket,
            pid_file: master.pid_file,
        })
    }

    fn judge(&self, silence: &Silence) -> Verdict {
        judge(silence, self.control.as_deref(), self.pid_file.as_deref())
    }

    fn ask(&self, question: &[u8]) -> Result<String, Silence> {
        let path = self.control.as_deref().ok_or(Silence::NoSocket)?;
        let line = ask::exchange(path, question, Some(ask::PATIENCE))
            .map_err(|error| Silence::of(&error))?;
        match Answer::of(&line) {
            Ok(Answer::Refusal(reason)) => Err(Silence::Mute(reason)),
            Ok(Answer::Barred(reason)) => Err(Silence::Barred(reason)),
            Ok(Answer::Status(_) | Answer::Deaths(_)) => Ok(line),
            Err(what) => Err(Silence::Mute(what)),
        }
    }
}

/// What a line from the control socket says.
#[derive(Debug)]
enum Answer {
    Status(Box<Status>),
    Deaths(Vec<Death>),
    /// The master does not say, for this reason.
    Refusal(String),
    /// It does not say to us, for this reason.
    Barred(String),
}

impl Answer {
    /// The error is what is wrong with the line.
    fn of(line: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            answer: String,
            #[serde(default)]
            message: String,
            #[serde(default)]
            status: u8,
            #[serde(default)]
            lines: Vec<String>,
        }
        /// Whoever is not let in is told so as if an order had failed.
        const NO_PERMISSION: u8 = 77;
        #[derive(Deserialize)]
        struct Deaths {
            deaths: Vec<Death>,
        }
        let wrong = |error: serde_json::Error| format!("this is not an answer: {error}");
        let head: Head = serde_json::from_str(line).map_err(wrong)?;
        match head.answer.as_str() {
            "status" => serde_json::from_str(line)
                .map(|status| Self::Status(Box::new(status)))
                .map_err(wrong),
            "deaths" => serde_json::from_str(line)
                .map(|Deaths { deaths }| Self::Deaths(deaths))
                .map_err(wrong),
            "error" => Ok(Self::Refusal(head.message)),
            "outcome" if head.status == NO_PERMISSION => Ok(Self::Barred(head.lines.join("; "))),
            "outcome" => Ok(Self::Refusal(head.lines.join("; "))),
            other => Err(format!("this is not an answer: {other}")),
        }
    }
}

/// Prints the answer.
fn show(arguments: &cli::Status, line: &str) -> u8 {
    if arguments.ask.json {
        print(&format!("{}\n", clean_json(line)));
        return RUNNING;
    }
    let width = width();
    let lines = match Answer::of(line) {
        Ok(Answer::Status(mut status)) => {
            if let Err(status) = narrow(&mut status, arguments.pool.as_deref()) {
                return status;
            }
            table::table(&status, workers(arguments), width)
        }
        Ok(Answer::Deaths(mut dead)) => {
            let pool = arguments.pool.as_deref();
            dead.retain(|death| pool.is_none_or(|pool| death.pool == pool));
            deaths::table(&dead, width)
        }
        Ok(Answer::Refusal(what) | Answer::Barred(what)) | Err(what) => {
            complain(clean(&what));
            return UNKNOWN;
        }
    };
    print(&text(&lines, colour()));
    RUNNING
}

/// Leaves one pool; the error is the exit status for one that there is not.
fn narrow(status: &mut Status, pool: Option<&str>) -> Result<(), u8> {
    let Some(pool) = pool else {
        return Ok(());
    };
    let names: Vec<String> = status.pools.iter().map(|one| clean(&one.name)).collect();
    status.pools.retain(|one| one.name == pool);
    status.workers.retain(|one| one.pool == pool);
    if status.pools.is_empty() && status.workers.is_empty() {
        complain(format_args!(
            "there is no pool {pool}; there is {}",
            names.join(", ")
        ));
        return Err(USAGE);
    }
    Ok(())
}

/// Which workers the table shows: on a terminal, those it has room for.
fn workers(arguments: &cli::Status) -> Workers {
    if arguments.busy {
        return Workers::Busy;
    }
    if !io::stdout().is_terminal() {
        return Workers::All;
    }
    let (_, rows) = watch::size();
    Workers::Rows(usize::from(rows).saturating_sub(ABOVE))
}

/// Says what there is to be said without an answer.
fn say_instead(json: bool, verdict: &Verdict) -> u8 {
    if verdict.status == UNKNOWN {
        complain(clean(&verdict.text));
    } else if json {
        let line = serde_json::json!({
            "answer": "none",
            "running": verdict.status == RUNNING,
            "pid": verdict.pid,
            "message": verdict.text,
        });
        print(&format!("{}\n", clean_json(&line.to_string())));
    } else {
        print(&format!("{}\n", clean(&verdict.text)));
    }
    verdict.status
}

fn text(lines: &[Line], colour: bool) -> String {
    lines
        .iter()
        .map(|line| format!("{}\n", line.text(colour)))
        .collect()
}

/// How wide the terminal is, where standard output is one.
fn width() -> Option<usize> {
    let (columns, _) = io::stdout().is_terminal().then(watch::size)?;
    Some(usize::from(columns))
}

/// Whether standard output can show colours.
fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

fn print(text: &str) {
    // A reader that has gone has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_not_taken_for_one() {
        for line in [
            "",
            "{}",
            "[]",
            "{\"answer\":\"done\"}",
            "{\"answer\":7}",
            "nul",
        ] {
            assert!(Answer::of(line).is_err(), "{line}");
        }
        let refused = Answer::of("{\"answer\":\"error\",\"message\":\"no\"}").unwrap();
        assert!(matches!(refused, Answer::Refusal(why) if why == "no"));
        let barred = "{\"answer\":\"outcome\",\"status\":77,\"lines\":[\"only root\"]}";
        assert!(matches!(Answer::of(barred).unwrap(), Answer::Barred(why) if why == "only root"));
        let deaths = Answer::of("{\"answer\":\"deaths\",\"deaths\":[{\"pid\":7}]}").unwrap();
        assert!(matches!(deaths, Answer::Deaths(all) if all[0].pid == 7));
    }
}
