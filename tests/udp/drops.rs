//! What the kernel drops because nobody comes to a queue in time is told, each
//! datagram once, whatever ends in that second.

use super::client::{Window, at, dropped, pause};
use super::harness::log::Log;
use super::harness::passed::Passed;
use super::harness::server::{outcome, preforkd, write_configuration};
use super::harness::{SOON, Server, eventually, process};
use nix::sys::signal::Signal;
use std::net::{SocketAddr, UdpSocket};
use tempfile::TempDir;

/// See `look_for_drops` in src/master/crew/ledger.rs.
const LOST: &str = "datagrams lost for want of room in its queue: ";

const MASTER: &str = "pid_file = \"pid\"";

fn pool(listen: &str) -> String {
    format!("[pool.u]\nlisten = \"{listen}\"\nservice = \"echo\"\nworkers = 1\nudp.rate = 0\n")
}

/// Sends more than fit, while nobody takes any; answers how many were dropped.
fn flood(workers: &[u32], to: SocketAddr) -> u64 {
    workers.iter().copied().for_each(pause);
    // With a socket for each slot a client has its own.
    let clients: Vec<_> = (0..16)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    let before = dropped(to);
    eventually("queues are full", SOON, || {
        for client in &clients {
            for _ in 0..400 {
                client.send_to(b"flood", to).unwrap();
            }
        }
        (dropped(to) > before).then_some(())
    });
    dropped(to)
}

/// How many were told of.
fn told(log: &Log) -> u64 {
    let counts = log.lines().into_iter().filter_map(|line| {
        let (_, count) = line.split_once(LOST)?;
        count.parse::<u64>().ok()
    });
    counts.sum()
}

/// While it runs and when it is over.
fn assert_told_once(mut server: Server, lost: u64) {
    eventually("all are told of", SOON, || {
        (told(&server.log) >= lost).then_some(())
    });
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
    assert_eq!(told(&server.log), lost, "{}", server.log);
}

#[test]
fn before_a_stop() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for listen in ["udp:127.0.0.1:0", "udp:fd:echo"] {
        let passed = Passed::new(&[("echo", &socket)]);
        let directory = TempDir::new().unwrap();
        let path = write_configuration(directory.path(), MASTER, &pool(listen));
        let command = passed.command("$$", &["run", "-c", path.to_str().unwrap()]);
        let mut server = Server::launch(command, directory);
        server.expect(LOST);
        server.expect("in no `listen`: closed");
        let to = at(&server, "u", "127.0.0.1");
        let worker = server.wait_for_workers(1, "u[0]")[0];
        let lost = flood(&[worker], to);
        server.signal(Signal::SIGTERM);
        process::signal(worker, Signal::SIGCONT);
        server.assert_good_end();
        assert_eq!(told(&server.log), lost, "{listen}: {}", server.log);
    }
}

#[test]
fn before_a_reload_that_gives_the_address_up() {
    let mut server = Server::run_with(TempDir::new().unwrap(), MASTER, &pool("udp:127.0.0.1:0"));
    server.expect(LOST);
    let to = at(&server, "u", "127.0.0.1");
    let worker = server.wait_for_workers(1, "u[0]")[0];
    let lost = flood(&[worker], to);
    server.configure(MASTER, &pool("udp:127.0.0.2:0"));
    server.reload(2);
    process::signal(worker, Signal::SIGCONT);
    eventually("the old worker is gone", SOON, || {
        (!process::is_alive(worker)).then_some(())
    });
    // Who comes now finds nobody, and those are nobody's to count.
    let mut window = Window::new(at(&server, "u", "127.0.0.2"));
    window.fill(1);
    window.settle();
    assert_told_once(server, lost);
}

/// With a socket for each slot, one goes with its slot.
#[test]
fn before_a_slot_goes() {
    let control = "control_socket = \"control\"";
    let pools = pool("udp:127.0.0.1:0").replace("workers = 1", "workers = 2");
    let pools = format!("{pools}accept = \"reuseport\"\n");
    let mut server = Server::run_with(TempDir::new().unwrap(), control, &pools);
    server.expect(LOST);
    let to = at(&server, "u", "127.0.0.1");
    let workers = server.wait_for_workers(2, "u[");
    let lost = flood(&workers, to);
    let mut scale = preforkd();
    scale.args(["scale", "u", "1", "--control"]);
    scale.arg(server.directory.path().join("control"));
    assert_eq!(outcome(scale).status.code(), Some(0));
    for worker in workers {
        process::signal(worker, Signal::SIGCONT);
    }
    server.wait_for_workers(1, "u[");
    assert_told_once(server, lost);
}

/// Of two masters that have a socket one tells.
#[test]
fn before_an_upgrade() {
    let mut server = Server::run_with(TempDir::new().unwrap(), MASTER, &pool("udp:127.0.0.1:0"));
    server.expect(LOST);
    let to = at(&server, "u", "127.0.0.1");
    let worker = server.wait_for_workers(1, "u[0]")[0];
    flood(&[worker], to);
    server.signal(Signal::SIGUSR2);
    server.wait_for_generation(2);
    let place = server.directory.path().join("pid");
    let old = server.pid();
    let master = eventually("the new one has taken over", SOON, || {
        let pid: u32 = std::fs::read_to_string(&place).ok()?.trim().parse().ok()?;
        (pid != old).then_some(pid)
    });
    process::signal(worker, Signal::SIGCONT);
    assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log);
    // And what is lost from now on is told by the new one.
    let worker = process::children(master)[0];
    let lost = flood(&[worker], to);
    process::signal(master, Signal::SIGTERM);
    process::signal(worker, Signal::SIGCONT);
    server.assert_nobody_left();
    server.assert_no_complaints();
    assert_eq!(told(&server.log), lost, "{}", server.log);
}
