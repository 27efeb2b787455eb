//! The operator's lines: what each decision of the supervisor is in words.

use super::crew::Crew;
use super::message::{Notice, Request, WorkerId};
use crate::config::format_duration;
use std::time::Duration;

/// Writes the line for `notice`; `current` is the generation that serves, 0
/// before the first has proved itself.
pub(super) fn tell(notice: &Notice, crew: &mut Crew, current: u32) {
    match notice {
        Notice::BackingOff {
            cohort,
            slot,
            deaths,
            delay,
        } => log::warn!(
            "{}[{slot}] died young, {deaths} in a row: next try in {} ms",
            crew.cohort_name(*cohort),
            delay.as_millis()
        ),
        Notice::BreakerOpened { cohort, pause } => log::error!(
            "pool {}: worker after worker dies young: none is spawned for {} s, then one to try",
            crew.cohort_name(*cohort),
            pause.as_secs()
        ),
        Notice::BreakerStillOpen {
            cohort,
            open,
            probes,
        } => log::error!(
            "pool {}: workers have died young for {} now, {probes} were tried; the last: {}",
            crew.cohort_name(*cohort),
            whole_seconds(*open),
            crew.last_death(*cohort)
        ),
        // A line that a test relies on: see tests/crash.rs.
        Notice::GivingUp { cohort, open } => log::error!(
            "pool {}: no worker has lived for {} (breaker_exit_after): giving up; the last: {}",
            crew.cohort_name(*cohort),
            whole_seconds(*open),
            crew.last_death(*cohort)
        ),
        Notice::BreakerClosed(cohort) => {
            log::info!(
                "pool {}: the one that was tried lives: spawning as usual",
                crew.cohort_name(*cohort)
            );
            crew.settle_complaints(*cohort);
        }
        Notice::BreakerNeedless(cohort) => {
            log::info!(
                "pool {}: those that died young are not wanted any more: spawning as usual",
                crew.cohort_name(*cohort)
            );
            crew.settle_complaints(*cohort);
        }
        Notice::NobodyServes(cohort) => log::error!(
            "pool {}: no worker is ready: clients wait in the queue",
            crew.cohort_name(*cohort)
        ),
        Notice::SomebodyServes(cohort) => {
            log::info!(
                "pool {}: a worker is ready again",
                crew.cohort_name(*cohort)
            );
        }
        Notice::NotReady(worker) => crew.not_ready(*worker),
        Notice::Hung(worker) => log::error!(
            "worker {} shows no sign of life; it is {}",
            crew.name(*worker),
            crew.whereabouts(*worker)
        ),
        // The lines on which tests rely.
        Notice::CutShort(worker) => log::warn!(
            "worker {} has not finished in time: {} cut: {}",
            crew.name(*worker),
            connections(crew, &[*worker]),
            crew.doing(*worker)
        ),
        Notice::GenerationCut {
            generation,
            workers,
        } => log::warn!(
            "generation {generation} has not finished in time: {} with {} cut: {}",
            counted(workers.len() as u64, "worker"),
            connections(crew, workers),
            roll(crew, workers)
        ),
        Notice::AtMaximum(cohort) => log::warn!(
            "pool {} is at its maximum and all workers are busy: clients wait; consider raising max_workers",
            crew.cohort_name(*cohort)
        ),
        Notice::NotViable(generation) if current == 0 => {
            log::error!("generation {generation}: its workers die before they serve: giving up");
        }
        Notice::NotViable(generation) => log::error!(
            "generation {generation}: its workers die before they serve: generation {} stays",
            current
        ),
        Notice::ReloadQueued => log::info!("a reload is under way: the next one follows it"),
        Notice::TooManyGenerations => log::warn!(
            "as many generations live as may: the reload waits for the oldest to be gone"
        ),
        Notice::NothingToResize => {
            log::warn!("no pool has a fixed size: spare-driven ones find theirs");
        }
        Notice::SuccessorLate => {
            log::error!("upgrade: the new master was not ready in time: this one carries on");
        }
        Notice::Ignored(request, because) => {
            log::warn!("{}: not now: {because}", describe(*request));
        }
        // A line that tests rely on.
        Notice::Withdrawing { delay } => log::info!(
            "not ready any more: serving on for {} (drain_delay), then stopping",
            format_duration(*delay)
        ),
        Notice::Stopping => log::info!("stopping: no new clients, finishing what is open"),
        Notice::StoppingAtOnce => log::warn!(
            "stopping at once: ending {} with {}",
            counted(crew.len() as u64, "worker"),
            connections(crew, &crew.ids())
        ),
    }
}

/// `1m30s`: nobody cares for milliseconds here.
fn whole_seconds(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs()))
}

fn counted(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// How many connections these have open, as far as that is known.
fn connections(crew: &Crew, workers: &[WorkerId]) -> String {
    let known = workers.iter().map(|one| crew.open_connections(*one)).sum();
    if workers.iter().any(|one| crew.is_program(*one)) {
        return String::from("all the connections of its programs");
    }
    counted(known, "connection")
}

/// The first few of `workers` with what they do.
fn roll(crew: &Crew, workers: &[WorkerId]) -> String {
    const FEW: usize = 8;
    let line = |worker: &WorkerId| format!("{} {}", crew.name(*worker), crew.doing(*worker));
    let mut lines: Vec<String> = workers.iter().take(FEW).map(line).collect();
    if workers.len() > FEW {
        lines.push(format!("and {} more", workers.len() - FEW));
    }
    lines.join("; ")
}

/// The request in words.
pub(super) fn describe(request: Request) -> &'static str {
    match request {
        Request::Stop => "stop",
        Request::Reload => "reload",
        Request::Upgrade => "upgrade",
        Request::Reopen => "reopening of logs",
        Request::MoreWorkers => "one worker more",
        Request::FewerWorkers => "one worker less",
        Request::Resize { .. } => "another number of workers",
        Request::DrainWorkers => "drain of all workers",
    }
}
