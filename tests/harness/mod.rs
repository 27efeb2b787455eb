//! Runs the real program for a test: on ports that the kernel chooses, in a
//! directory of its own, and never longer than the test.
//!
//! Nothing here sleeps and hopes: [`eventually`] is the one place that waits
//! for a state, and [`Log::wait_for`] the one that waits for a line, both with
//! a deadline. What a test starts, it ends: [`Server::stop`] asserts that the
//! end was a good one, and a drop, also by a panic, leaves no process behind.
//!
//! `server` has the running program, `control` what it says of itself, `log`
//! its lines, `process` what /proc tells, `lease` has the start of a program take
//! its time, `client` one client, `crowd` many, `ledger` what became of their
//! requests, `load` a crowd that never pauses, `passed` what a service manager
//! passes, `terminal` what a person at one sees, `own` what no other test has.

#![allow(
    dead_code,
    reason = "each test program uses some of this, and all of it is used by one"
)]

pub(crate) mod client;
pub(crate) mod control;
pub(crate) mod crowd;
pub(crate) mod lease;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod own;
pub(crate) mod passed;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod terminal;

#[allow(unused_imports, reason = "as above")]
pub(crate) use client::{Client, get};
#[allow(unused_imports, reason = "as above")]
pub(crate) use server::{Server, preforkd};

use std::time::{Duration, Instant};

/// What must happen on a machine that is busy, happens within this.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The models, as the configuration and the command line name them.
pub(crate) const MODELS: [&str; 4] = ["prefork", "event", "threads", "fork"];

/// Looks again and again until `look` answers something, and gives it back.
/// Panics with `what` once `patience` is over.
pub(crate) fn eventually<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Puts programs into a directory, each by its name and text, that anybody may
/// run. A process of its own writes them: what this one has open for writing, a
/// program that another test starts has as well, until its execve(2), and as long
/// as anybody has it the file is busy and cannot be run (ETXTBSY).
pub(crate) fn install(directory: &std::path::Path, programs: &[(&str, &str)]) {
    let sources = tempfile::TempDir::new().unwrap();
    let mut command = std::process::Command::new("install");
    command.arg("--mode=755").arg("--target-directory");
    command.arg(directory).arg("--");
    for (name, text) in programs {
        let source = sources.path().join(name);
        std::fs::write(&source, text).unwrap();
        command.arg(source);
    }
    assert!(command.status().unwrap().success(), "install(1)");
}

/// A call that waits, and again where it was interrupted: one with a time limit is
/// not begun anew by the kernel, whatever it was that interrupted it (signal(7),
/// also where nobody handles a signal).
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Lets time itself do its work, for a test of what time does; never to wait
/// for a state.
pub(crate) fn let_time_pass(time: Duration) {
    std::thread::sleep(time);
}

/// The same scenarios on each model: a module a model, a test a scenario,
/// which is a function of the model's name.
#[allow(
    unused_macros,
    reason = "not every test program has scenarios for all models"
)]
macro_rules! on_each_model {
    ($($scenario:ident)+) => {
        on_each_model!(@ prefork $($scenario)+);
        on_each_model!(@ event $($scenario)+);
        on_each_model!(@ threads $($scenario)+);
        on_each_model!(@ fork $($scenario)+);
    };
    (@ $model:ident $($scenario:ident)+) => {
        mod $model {
            $(
                #[test]
                fn $scenario() {
                    super::$scenario(stringify!($model));
                }
            )+
        }
    };
}
#[allow(
    unused_imports,
    reason = "not every test program has scenarios for all models"
)]
pub(crate) use on_each_model;
