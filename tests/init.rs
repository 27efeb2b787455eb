//! The Debian package under a real init: sysvinit and systemd, each as process 1
//! of a small Debian of its own.
//!
//! A directory of debootstrap becomes a machine by namespaces (unshare(1)): its
//! own processes, mounts, and a network that is a loopback and nothing else. What
//! is tried inside stands in `tests/init/sysvinit` and `tests/init/systemd`, and
//! writes a line for each thing; here machines are made, waited for and taken
//! away, also where a test fails.
//!
//! Wants root, debootstrap with a way to a Debian mirror, and what scripts/package
//! wants; `.ci/run` installs them.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;
#[path = "init/machine.rs"]
mod machine;

use machine::{Init, Machine};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A part of a scenario takes ten to thirty seconds, on a machine that is not busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs `command`, which is over in time or ended, and must be a success.
fn succeed(seconds: u32, command: &[&str]) -> String {
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after=5", &seconds.to_string()]);
    let output = bounded.args(command).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a test can be run at all; says why not.
fn is_possible() -> bool {
    let possible = nix::unistd::geteuid().is_root();
    if !possible {
        println!("skipped: only root can make a machine of a directory");
    }
    possible
}

/// The package, with the program that the other tests run as well.
fn package(directory: &Path) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/package");
    let program = harness::server::program();
    let [program, directory] = [&program, directory].map(|path| path.to_str().unwrap());
    let path = succeed(120, &[script, "--program", program, directory]);
    PathBuf::from(path.trim())
}

#[test]
#[ignore = "peers"]
fn the_package_has_no_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = package(directory.path());
    // Status 2 where there is an error.
    let found = succeed(120, &["lintian", "--allow-root", path.to_str().unwrap()]);
    println!("{found}");
    let listed = succeed(60, &["dpkg", "--contents", path.to_str().unwrap()]);
    for file in [
        " ./usr/sbin/preforkd\n",
        " ./usr/lib/systemd/system/preforkd.socket\n",
        " ./etc/init.d/preforkd\n",
        " ./usr/share/man/man8/preforkd.8.gz\n",
        " ./usr/share/man/man5/preforkd.toml.5.gz\n",
        " ./usr/share/bash-completion/completions/preforkd\n",
    ] {
        assert!(listed.contains(file), "no {file:?} in\n{listed}");
    }
}

#[test]
#[ignore = "peers"]
fn under_sysvinit_the_package_does_what_an_administrator_expects() {
    if !is_possible() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut machine = Machine::new(Init::Sysvinit, &package(directory.path()));
    for stage in ["install", "operate", "remove"] {
        machine.run(stage, PATIENCE);
    }
}

#[test]
#[ignore = "peers"]
fn under_systemd_the_package_does_what_an_administrator_expects() {
    if !is_possible() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut machine = Machine::new(Init::Systemd, &package(directory.path()));
    machine.run("systemd", PATIENCE);
}
