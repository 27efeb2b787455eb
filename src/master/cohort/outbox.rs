//! Where the decisions of the supervisor and its cohorts are put.

use super::super::message::{Command, Notice, WorkerId};
use super::{FIRST_DELAY, LONGEST_DELAY};
use std::collections::VecDeque;
use std::time::Duration;

/// Where commands are put, and what they are made with.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) commands: VecDeque<Command>,
    /// Who is cut off with the generation that he belongs to.
    pub(crate) cut: Vec<(u32, WorkerId)>,
    next_worker: u64,
    jitter: u64,
}

impl Outbox {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            commands: VecDeque::new(),
            cut: Vec::new(),
            next_worker: 1,
            jitter: seed | 1,
        }
    }

    pub(crate) fn push(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    pub(crate) fn tell(&mut self, notice: Notice) {
        self.push(Command::Tell(notice));
    }

    pub(super) fn name_worker(&mut self) -> WorkerId {
        let worker = WorkerId(self.next_worker);
        self.next_worker += 1;
        worker
    }

    /// How long to wait after the `deaths`th early death in a row: doubling,
    /// capped, and spread by a quarter either way so that slots do not march
    /// in step.
    pub(super) fn delay(&mut self, deaths: u32) -> Duration {
        let factor = 2u32.saturating_pow(deaths.saturating_sub(1));
        let delay = FIRST_DELAY.saturating_mul(factor).min(LONGEST_DELAY);
        // xorshift64: good enough to keep slots apart.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let permille = 750 + (self.jitter % 501) as u32;
        delay * permille / 1000
    }
}
