//! How the master stands, for whoever looks from outside: its title, and the line
//! for the service manager. None of it is said before it changes.

use super::message::{CohortId, Outlook};
use super::notify::Notifier;
use super::upgrade::Predecessor;
use super::{HEARTBEAT, Master};
use crate::sys::title::Title;
use std::time::{Duration, Instant};

/// What was said last, and where.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) notifier: Notifier,
    title: Option<Title>,
    /// The title as it is shown.
    shown: String,
    /// Something happened that is worth a look before the next one is due.
    changed: bool,
    due: Instant,
    /// The service manager waits to hear that all is ready: of a start, or of
    /// a reload that was announced.
    owes_ready: bool,
    /// The service manager knows that we stop.
    withdrawn: bool,
    /// Why the last reload changed nothing.
    refusal: Option<String>,
}

/// The title while all is well. Tests rely on it.
pub(super) const TITLE: &str = "preforkd: master";

impl Standing {
    /// With nothing said so far but the plain title, where there is one.
    pub(super) fn new(title: Option<Title>) -> Self {
        let now = Instant::now();
        Self {
            notifier: Notifier::from_environment(now),
            title,
            shown: TITLE.to_owned(),
            changed: true,
            due: now,
            owes_ready: true,
            withdrawn: false,
            refusal: None,
        }
    }

    /// Has it looked at at the next turn.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    /// A reload is under way.
    pub(super) fn reload_begins(&mut self) {
        self.owes_ready = true;
        self.notifier.reloading();
    }

    /// It was, but changed nothing, for this reason.
    pub(super) fn reload_refused(&mut self, why: &str) {
        self.refusal = Some(why.to_owned());
        self.touch();
    }

    /// A generation has taken over.
    pub(super) fn promoted(&mut self) {
        self.refusal = None;
        self.touch();
    }

    /// A stop was asked for and begins later; with all that belongs to it, it may
    /// take so long.
    pub(super) fn withdrawing(&mut self, longest: Duration) {
        self.owes_ready = false;
        self.withdrawn = true;
        self.touch();
        self.notifier.stopping(longest);
    }

    /// The stop begins, and may take so long: whatever reload was under way has no
    /// end any more.
    pub(super) fn stopping(&mut self, longest: Duration) {
        self.owes_ready = false;
        self.touch();
        if !self.withdrawn {
            self.notifier.stopping(longest);
        }
    }

    /// Another master serves from now on: it is the one to be heard.
    pub(super) fn leaves_to(&mut self, pid: u32) {
        self.owes_ready = false;
        self.touch();
        self.notifier.main_pid(pid);
        self.notifier.retire();
    }

    fn show(&mut self, title: String) {
        if title != self.shown {
            if let Some(place) = self.title {
                place.set(title.as_bytes());
            }
            self.shown = title;
        }
    }
}

impl Master {
    /// Brings up to date what is seen from outside: at once after something
    /// has happened, else once a second, for numbers change all the time.
    pub(super) fn announce(&mut self) {
        let now = Instant::now();
        let alone = self
            .succession
            .predecessor
            .as_ref()
            .is_none_or(Predecessor::has_given);
        let ready =
            self.standing.owes_ready && self.current > 0 && self.supervisor.is_steady() && alone;
        if ready || self.standing.changed || now >= self.standing.due {
            self.standing.changed = false;
            self.standing.due = now + HEARTBEAT;
            let outlooks = self.outlooks();
            let said = self.relation().into_iter().chain(self.withdrawal());
            let title = title(said, &outlooks);
            let line = self.line(&outlooks);
            self.standing.show(title);
            if ready {
                self.standing.owes_ready = false;
                self.standing.notifier.ready(&line);
            } else {
                self.standing.notifier.status(&line);
            }
        }
        self.standing.notifier.tick(now);
    }

    fn outlooks(&self) -> Vec<(&str, Outlook)> {
        let look = |cohort| {
            let outlook = self.supervisor.outlook(cohort)?;
            Some((self.crew.cohort_name(cohort), outlook))
        };
        self.cohorts().filter_map(look).collect()
    }

    /// The pools of the generation that serves, or has to prove itself.
    pub(super) fn cohorts(&self) -> impl Iterator<Item = CohortId> {
        let generation = match self.current {
            0 => self.newest,
            current => current,
        };
        self.crew.cohorts_of(generation).into_iter()
    }

    /// That a stop was asked for, before it begins.
    fn withdrawal(&self) -> Option<String> {
        let until = self.supervisor.withdraws_until()?;
        let left = until.saturating_duration_since(Instant::now());
        // Words that tests rely on.
        Some(format!(
            "not ready, stopping in {}s",
            left.as_secs_f64().ceil()
        ))
    }

    /// One line for the service manager.
    fn line(&self, pools: &[(&str, Outlook)]) -> String {
        let ready: usize = pools.iter().map(|(_, outlook)| outlook.ready).sum();
        let wanted: usize = pools.iter().map(|(_, outlook)| outlook.wanted).sum();
        let mut line = match (self.stopping, self.current) {
            (true, _) => format!("stopping, {} workers left", self.crew.len()),
            (false, 0) => String::from("starting"),
            (false, current) => {
                format!("generation {current} serves, {ready} of {wanted} workers ready")
            }
        };
        if !self.stopping {
            if let Some(withdrawal) = self.withdrawal() {
                line.push_str("; ");
                line.push_str(&withdrawal);
            }
            if let Some(trouble) = trouble(pools) {
                line.push_str("; ");
                line.push_str(&trouble);
            }
            if let Some(why) = &self.standing.refusal {
                line.push_str("; the last reload changed nothing: ");
                line.push_str(why);
            }
        }
        line
    }
}

fn title(said: impl Iterator<Item = String>, pools: &[(&str, Outlook)]) -> String {
    let said = said.chain(trouble(pools));
    said.fold(TITLE.to_owned(), |title, more| format!("{title}, {more}"))
}

/// `pool web: workers keep dying`, of the pools of which that is true.
fn trouble(pools: &[(&str, Outlook)]) -> Option<String> {
    let broken = |(_, outlook): &&(&str, Outlook)| !outlook.breaker.is_closed();
    let broken = pools.iter().filter(broken);
    let names: Vec<&str> = broken.map(|(name, _)| *name).collect();
    let plural = match names.len() {
        0 => return None,
        1 => "",
        _ => "s",
    };
    Some(format!(
        "pool{plural} {}: workers keep dying",
        names.join(", ")
    ))
}
