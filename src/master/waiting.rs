//! Control clients that asked to be told how it went.

use super::control::{Answer, Control};

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    reopening: Vec<u64>,
    /// Of the last reopening: a line for each file that is still the old one.
    stuck: Vec<String>,
    reload: Vec<u64>,
    /// For the reload after the one that is under way.
    next_reload: Vec<u64>,
    upgrade: Vec<u64>,
}

impl Waiting {
    /// A client waits until every worker writes to the new log files.
    pub(super) fn for_reopening(&mut self, client: u64) {
        self.reopening.push(client);
    }

    /// A client waits for the outcome of the reload that it asked for, which
    /// is the `next` one if one is under way that has read its file already.
    pub(super) fn for_reload(&mut self, client: u64, next: bool) {
        if next {
            self.next_reload.push(client);
        } else {
            self.reload.push(client);
        }
    }

    /// A client waits for the new master.
    pub(super) fn for_upgrade(&mut self, client: u64) {
        self.upgrade.push(client);
    }

    /// These log files could not be reopened: what was moved away is still
    /// written to, and whoever waits must not take it for finished.
    pub(super) fn stuck(&mut self, lines: Vec<String>) {
        self.stuck = lines;
    }

    /// Whether somebody waits for the log files.
    pub(super) fn is_for_reopening(&self) -> bool {
        !self.reopening.is_empty()
    }

    /// Every worker writes to the new log files, as far as there are any.
    pub(super) fn reopened(&mut self, control: Option<&mut Control>) {
        let (status, lines) = if self.stuck.is_empty() {
            (0, vec![String::from("logs reopened")])
        } else {
            (71, self.stuck.clone())
        };
        tell(control, &mut self.reopening, status, lines);
    }

    /// A reload has ended, so or so.
    pub(super) fn reloaded(
        &mut self,
        control: Option<&mut Control>,
        status: u8,
        lines: Vec<String>,
    ) {
        tell(control, &mut self.reload, status, lines);
        self.reload = std::mem::take(&mut self.next_reload);
    }

    /// The new master serves, or does not.
    pub(super) fn upgraded(
        &mut self,
        control: Option<&mut Control>,
        status: u8,
        lines: Vec<String>,
    ) {
        tell(control, &mut self.upgrade, status, lines);
    }
}

fn tell(control: Option<&mut Control>, clients: &mut Vec<u64>, status: u8, lines: Vec<String>) {
    let outcome = Answer::Outcome { status, lines };
    if let Some(control) = control {
        for &client in clients.iter() {
            control.answer(client, &outcome);
        }
    }
    clients.clear();
}
