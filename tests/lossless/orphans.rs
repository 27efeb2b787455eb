//! The master is killed (SIGKILL) in the middle of something. Whatever it was,
//! its workers are gone within seconds, the port is free, and the next start
//! works.

use super::cell::site;
use crate::harness::{Client, SOON, Server, eventually, own, preforkd, process};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A worker without a master is gone after five seconds; the rest is for a busy
/// machine.
const ORPHANS: Duration = Duration::from_secs(20);
/// From the exec to the kill, at most.
const SPAN: Duration = Duration::from_millis(50);

fn pools(address: SocketAddr, model: &str, workers: u32) -> String {
    format!(
        "[pool.web]\nlisten = \"{address}\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = {workers}\nhttp.root = \"www\"\nhttp.header_timeout = \"60s\"\n\
         linger_timeout = \"100ms\"\n"
    )
}

const MASTER: &str = "control_socket = \"control\"\npid_file = \"pid\"\ngraceful_timeout = \"1m\"";

/// What the master is doing when it is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// It was told to reload a moment ago.
    Loading,
    /// The first worker of a new generation is there.
    Proving,
    /// An old worker has a client, and a new generation serves.
    Draining,
    /// It was told to stop, and a worker has a client.
    Stopping,
}

/// Kills the master in that phase.
pub(crate) fn killed_while(phase: Phase, model: &str) {
    let address = own::address();
    let text = pools(address, model, 16);
    let mut server = Server::run_with(site(), MASTER, &text);
    server.expect("the master is gone");
    server.expect("the master died while this worker was born");
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHo");
    // Who waits in the queue has begun nothing.
    eventually("somebody reads it", SOON, || {
        let mut titles = process::descendants(server.pid())
            .into_iter()
            .map(process::title);
        titles.find(|title| title.contains("reading") || title.contains("serving"))
    });
    match phase {
        Phase::Loading => server.signal(Signal::SIGHUP),
        Phase::Proving => {
            server.signal(Signal::SIGHUP);
            eventually("a new worker", SOON, || {
                let mut titles = server.workers().into_iter().map(process::title);
                titles.find(|title| title.contains("gen 2"))
            });
        }
        Phase::Draining => server.reload(2),
        Phase::Stopping => {
            server.signal(Signal::SIGTERM);
            server.log.wait_for("stopping: no new clients", SOON);
        }
    }
    server.signal(Signal::SIGKILL);
    server.wait(SOON);
    client.send("st: test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().status, 200, "what was begun is finished");
    // And one who never comes to an end keeps nobody alive.
    let killed = Instant::now();
    let group = server.pid();
    eventually("the orphans are gone", ORPHANS, || {
        process::group(group).is_empty().then_some(())
    });
    server.assert_no_complaints();
    println!("{phase:?} {model}: gone after {:?}", killed.elapsed());
    starts(server.directory.path());
}

/// A client that does nothing holds up no orphan that was draining already.
pub(crate) fn drains_without_a_master(model: &str) {
    let address = own::address();
    let mut server = Server::run_with(site(), MASTER, &pools(address, model, 2));
    server.expect("the master is gone");
    let mut client = Client::connect(address);
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    client.read(1000);
    server.reload(2);
    // Who was idle is gone as soon as the old generation has been told to go.
    server.wait_for_workers(1, "gen 1 ");
    server.signal(Signal::SIGKILL);
    server.wait(SOON);
    let group = server.pid();
    eventually("the orphans are gone", ORPHANS, || {
        process::group(group).is_empty().then_some(())
    });
    starts(server.directory.path());
}

/// Kills masters at any moment of their start, `times` times.
pub(crate) fn killed_at_birth(times: u64) {
    let directory = site();
    let address = own::address();
    let mut random: u64 = 0x2545_F491_4F6C_DD1D;
    let mut slowest = Duration::ZERO;
    for round in 0..times {
        let model = ["prefork", "event", "threads", "fork"][(round % 4) as usize];
        let text = pools(address, model, 8);
        let path = crate::harness::server::write_configuration(directory.path(), MASTER, &text);
        let mut command = preforkd();
        command.arg("run").arg("-c").arg(path).process_group(0);
        // A moment that nobody has chosen.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let delay = SPAN * (random % 1024) as u32 / 1024;
        let killed = kill_after(command, delay);
        slowest = slowest.max(killed);
    }
    println!("{times} masters killed at birth: the last process was gone after {slowest:?}");
    starts(directory.path());
}

/// Runs `command` for so long; answers how long it took afterwards until
/// nobody was left.
fn kill_after(mut command: Command, delay: Duration) -> Duration {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    crate::harness::let_time_pass(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    eventually("nobody is left", ORPHANS, || {
        process::group(child.id()).is_empty().then_some(())
    });
    killed.elapsed()
}

/// That the same configuration can be started again, in the same place.
fn starts(directory: &Path) {
    let mut command = preforkd();
    command
        .arg("run")
        .arg("-c")
        .arg(directory.join("preforkd.toml"));
    let server = Server::launch(command, tempfile::TempDir::new().unwrap());
    assert_eq!(crate::harness::get(server.address("web"), "/").status, 200);
    server.stop();
}
