//! How it all ends: withdrawing, stopping and killing, and what ends it unasked.

use super::{State, Supervisor};
use crate::master::cohort::Stage;
use crate::master::message::{CohortId, Command, Notice, Verdict};
use crate::status::Readiness;
use std::time::Instant;

impl Supervisor {
    /// A stop is asked for: those who send clients here get time to hear of it,
    /// where there is somebody who serves them meanwhile. Whatever was under way
    /// has no purpose any more.
    pub(super) fn withdraw(&mut self, now: Instant) {
        let serves = self.cohorts.iter().any(|one| one.stage == Stage::Serving);
        if !serves || self.settings.drain_delay.is_zero() {
            return self.stop(now, Command::StopListening, Verdict::Stopped);
        }
        self.proclaim(Readiness::Stopping);
        if self.is_upgrading() {
            self.out.push(Command::EndSuccessor);
        }
        if let State::Proving { generation, .. } = self.state {
            self.drain_unproved(now, generation);
            self.out.push(Command::Abandon(generation));
        }
        let delay = self.settings.drain_delay;
        self.out.tell(Notice::Withdrawing { delay });
        let until = now + delay;
        self.state = State::Withdrawing { until };
    }

    /// Everybody finishes what he has; `first` says what becomes of the
    /// listeners, and the master ends with `verdict`.
    pub(super) fn stop(&mut self, now: Instant, first: Command, verdict: Verdict) {
        // After an upgrade the new master has the word.
        if first != Command::HandOver {
            self.proclaim(Readiness::Stopping);
            if self.is_upgrading() {
                self.out.push(Command::EndSuccessor);
            }
        }
        self.out.tell(Notice::Stopping);
        self.out.push(first);
        let deadline = now + self.settings.graceful_timeout;
        self.state = State::Stopping { deadline, verdict };
        for cohort in &mut self.cohorts {
            cohort.drain(deadline, &mut self.out);
        }
    }

    pub(super) fn stop_at_once(&mut self, verdict: Verdict) {
        self.out.tell(Notice::StoppingAtOnce);
        self.state = State::Killing { verdict };
        for cohort in &mut self.cohorts {
            cohort.kill_all(&mut self.out);
        }
    }

    /// Whether a stop is done, or has taken too long.
    pub(super) fn judge_stop(&mut self, now: Instant) {
        let anyone = self.workers().next().is_some();
        let verdict = match self.state {
            State::Stopping { deadline, verdict } if anyone && now >= deadline => {
                return self.stop_at_once(verdict);
            }
            State::Withdrawing { until } if now >= until => {
                return self.stop(now, Command::StopListening, Verdict::Stopped);
            }
            State::Stopping { verdict, .. } | State::Killing { verdict } => verdict,
            State::Withdrawing { .. }
            | State::Steady
            | State::Crowded
            | State::Loading { .. }
            | State::Proving { .. }
            | State::Upgrading { .. }
            | State::Ended => return,
        };
        if !anyone {
            self.out.push(Command::Exit(verdict));
            self.state = State::Ended;
        }
    }

    /// Whether a pool's workers have died for too long. A reload may be the
    /// remedy: it is not judged before that has ended, which it does.
    pub(super) fn judge_breakers(&mut self, now: Instant) {
        let (State::Steady | State::Crowded) = self.state else {
            return;
        };
        if let Some((cohort, since, at)) = self.gives_up_at()
            && at <= now
        {
            let open = now.saturating_duration_since(since);
            self.out.tell(Notice::GivingUp { cohort, open });
            self.stop(now, Command::StopListening, Verdict::WorkersDie);
        }
    }

    /// The pool whose breaker has been open longest, since when, and until
    /// when it may be.
    pub(super) fn gives_up_at(&self) -> Option<(CohortId, Instant, Instant)> {
        let patience = self.settings.breaker_exit_after?;
        let broken = self
            .cohorts
            .iter()
            .filter_map(|one| Some((one.id, one.broken_since()?)));
        let (cohort, since) = broken.min_by_key(|(_, since)| *since)?;
        Some((cohort, since, since + patience))
    }
}
