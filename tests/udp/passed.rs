//! Datagrams by sockets that a service manager has bound and passed.

use super::client::{Window, ask, at, client, pause, queued};
use super::harness::passed::Passed;
use super::harness::server::write_configuration;
use super::harness::{SOON, Server, eventually, process};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use tempfile::TempDir;

const MODELS: [&str; 2] = ["prefork", "event"];

fn start(passed: &Passed, pools: &str) -> Server {
    let directory = TempDir::new().unwrap();
    let path = write_configuration(directory.path(), "pid_file = \"pid\"", pools);
    let command = passed.command("$$", &["run", "-c", path.to_str().unwrap()]);
    Server::launch(command, directory)
}

fn pool(name: &str, listen: &str, model: &str) -> String {
    format!(
        "[pool.{name}]\nlisten = {listen}\nservice = \"echo\"\nmodel = \"{model}\"\nworkers = 2\n"
    )
}

fn datagrams(model: &str) -> String {
    pool("u", "\"udp:fd:echo\"", model) + "udp.rate = 0\n"
}

/// A unit gives one name to all its sockets, whatever kind they are of.
#[test]
fn both_kinds_of_one_name_are_served_each_by_its_pool() {
    for model in MODELS {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let four = UdpSocket::bind("0.0.0.0:0").unwrap();
        let six = UdpSocket::bind("[::1]:0").unwrap();
        let passed = Passed::new(&[("echo", &stream), ("echo", &four), ("echo", &six)]);
        let pools = datagrams(model) + &pool("t", "\"fd:echo\"", model);
        let server = start(&passed, &pools);
        let places = server.addresses_of("u");
        let expected = [&four, &six].map(|one| format!("udp:{}", one.local_addr().unwrap()));
        assert_eq!(places, expected);
        // Several times, for each worker has both sockets.
        for _ in 0..8 {
            for (from, to) in [
                ("0.0.0.0", at(&server, "u", "127.0.0.1")),
                ("0.0.0.0", at(&server, "u", "127.0.0.2")),
                ("::1", six.local_addr().unwrap()),
            ] {
                assert_eq!(ask(&client(from), to, b"hello"), b"hello");
            }
        }
        let mut peer = TcpStream::connect(server.address("t")).unwrap();
        peer.write_all(b"hello").unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        server.stop();
    }
}

#[test]
fn reloads_upgrades_and_deaths_lose_no_datagram() {
    for model in MODELS {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let passed = Passed::new(&[("echo", &socket)]);
        let mut server = start(&passed, &datagrams(model));
        for line in ["killed by SIGKILL", "died young"] {
            server.expect(line);
        }
        let mut window = Window::new(socket.local_addr().unwrap());
        let flow = |window: &mut Window, done: &dyn Fn() -> bool| {
            let mut left = 300;
            while left > 0 || !done() {
                window.fill(40);
                window.take();
                left -= 1.min(left);
            }
        };
        for generation in 2..=4 {
            server.expect("as many generations live as may");
            server.signal(Signal::SIGHUP);
            let serves = format!("generation {generation} serves: ");
            flow(&mut window, &|| server.log.to_string().contains(&serves));
        }
        let before = server.pid();
        server.signal(Signal::SIGUSR2);
        flow(&mut window, &|| !process::is_alive(before));
        window.settle();
        assert_eq!(server.wait(SOON).code(), Some(0), "the first master's end");

        let place = server.directory.path().join("pid");
        let master: u32 = std::fs::read_to_string(place)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let workers = process::children(master);
        workers.iter().copied().for_each(pause);
        window.fill(100);
        process::end(&workers);
        window.settle();
        process::signal(master, Signal::SIGTERM);
        server.assert_nobody_left();
        server.assert_no_complaints();
    }
}

/// The manager keeps the socket: what nobody has taken is for who comes next.
#[test]
fn what_waits_at_a_stop_and_comes_after_it_is_answered_by_the_next_start() {
    for (first, second) in [("prefork", "event"), ("event", "prefork")] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to: SocketAddr = socket.local_addr().unwrap();
        let passed = Passed::new(&[("echo", &socket)]);
        let mut server = start(&passed, &datagrams(first));
        let mut window = Window::new(to);
        window.fill(20);
        window.settle();
        let workers = server.wait_for_workers(2, "u[");
        workers.iter().copied().for_each(pause);
        window.fill(70);
        server.signal(Signal::SIGTERM);
        for worker in workers {
            process::signal(worker, Signal::SIGCONT);
        }
        server.assert_good_end();
        // Nobody drops what comes now.
        window.fill(100);
        assert!(queued(to) > 0, "it waits");
        let server = start(&passed, &datagrams(second));
        window.settle();
        eventually("nothing is left", SOON, || (queued(to) == 0).then_some(()));
        server.stop();
    }
}

#[test]
fn a_pool_without_a_file_takes_them_as_well() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let passed = Passed::new(&[("", &socket)]);
    let arguments = ["serve", "echo", "--listen", "udp:fd:3", "-vv"];
    let directory = TempDir::new().unwrap();
    let server = Server::launch(passed.command("$$", &arguments), directory);
    let to = socket.local_addr().unwrap();
    assert_eq!(ask(&client("127.0.0.1"), to, b"hello"), b"hello");
    server.stop();
}
