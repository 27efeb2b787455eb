//! The operator's lines: what each decision of the supervisor is in words.

use super::crew::Crew;
use super::message::{Notice, Request};

/// The master's title where nothing else is to be said.
pub(super) const TITLE: &str = "preforkd: master";

/// Writes the line for `notice`; `current` is the generation that serves, 0
/// before the first has proved itself.
pub(super) fn tell(notice: &Notice, crew: &Crew, current: u32) {
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
        Notice::BreakerClosed(cohort) => log::info!(
            "pool {}: the one that was tried lives: spawning as usual",
            crew.cohort_name(*cohort)
        ),
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
        Notice::NotReady(worker) => {
            log::error!("worker {} was not READY in time", crew.name(*worker))
        }
        Notice::Hung(worker) => log::error!(
            "worker {} shows no sign of life; it is {}",
            crew.name(*worker),
            crew.whereabouts(*worker)
        ),
        Notice::CutShort(worker) => {
            log::warn!("worker {} has not finished in time", crew.name(*worker));
        }
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
        Notice::Stopping => log::info!("stopping: no new clients, finishing what is open"),
        Notice::StoppingAtOnce => log::warn!("stopping at once: ending {} workers", crew.len()),
    }
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
        Request::DrainWorkers => "drain of all workers",
    }
}
