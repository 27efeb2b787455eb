//! The servers and clients of the textbooks as one-liners: each that stands in
//! README.md is run here, as it stands there but for the port, and does what is
//! said of it.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::outcome;
use harness::{Client, SOON, Server, eventually, get, preforkd, process};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::process::Output;

const ONCE: &str = "preforkd serve message \"Message received.\" --once";
const ITERATIVE: &str = "preforkd serve echo --workers 1";
const FORK: &str = "preforkd serve echo --model fork";
const THREADS: &str = "preforkd serve echo --model threads --workers 1";
const PREFORK: &str = "preforkd serve echo --workers 4";
const REUSEPORT: &str = "preforkd serve echo --workers 4 --accept reuseport";
const EVENT: &str = "preforkd serve echo --model event --workers 1";
const DATAGRAMS: &str = "preforkd serve echo --listen udp:127.0.0.1:7007";
const FILES: &str = "preforkd serve http conf/www";
const HELLO: &str = "preforkd connect 127.0.0.1 7000 --send \"Hello from client!\"";

/// All of them.
const LINES: [&str; 10] = [
    ONCE, ITERATIVE, FORK, THREADS, PREFORK, REUSEPORT, EVENT, DATAGRAMS, FILES, HELLO,
];

/// The section of README.md.
fn section() -> String {
    let text = std::fs::read_to_string("README.md").unwrap();
    let (_, rest) = text.split_once("\n## The textbook servers\n").unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

#[test]
fn the_page_has_these_and_no_others() {
    let section = section();
    // The first table; the second is about what they show.
    let lines = section.lines().skip_while(|line| !line.starts_with("| "));
    let rows = lines.take_while(|line| line.starts_with("| "));
    let told: BTreeSet<&str> = rows
        .filter_map(|row| row.split('`').find(|cell| cell.starts_with("preforkd ")))
        .collect();
    assert_eq!(told, BTreeSet::from(LINES));
}

/// The words of a line, as a shell takes it apart, without the program's name.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    assert_eq!(words.remove(0), "preforkd");
    words
}

/// Runs a line of `serve`, on a port that the kernel chooses.
fn serve(line: &str) -> Server {
    let words = words(line);
    assert_eq!(words[0], "serve");
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    Server::serve(&arguments)
}

/// Runs the client's line, on this port.
fn hello(address: SocketAddr) -> Output {
    let port = address.port().to_string();
    let words = words(HELLO);
    let words = words
        .iter()
        .map(|word| if word == "7000" { &port } else { word });
    let mut command = preforkd();
    command.args(words);
    outcome(command)
}

fn echoes(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(client.read(text.len()), text.as_bytes());
}

/// Where the descriptors lead on which a process listens: its own TCP sockets
/// in the state LISTEN (proc_net_tcp(5)).
fn listeners(pid: u32) -> BTreeSet<String> {
    let listening: BTreeSet<String> = process::listening()
        .into_iter()
        .map(|fields| format!("socket:[{}]", fields[9]))
        .collect();
    let descriptors = process::descriptors(pid);
    let targets = descriptors.iter().filter_map(|line| line.split(' ').nth(1));
    let targets = targets.map(str::to_owned);
    targets
        .filter(|target| listening.contains(target))
        .collect()
}

#[test]
fn one_connection_then_the_end() {
    let mut server = serve(ONCE);
    let output = hello(server.address("message"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"Message received.");
    // By itself, and with status 0.
    server.assert_good_end();
}

#[test]
fn one_after_another() {
    let server = serve(ITERATIVE);
    let address = server.address("echo");
    let mut first = Client::connect(address);
    echoes(&mut first, "first");
    // The kernel lets the second in, and nobody answers it yet.
    let mut second = Client::connect(address);
    second.send("second");
    eventually("it waits in the queue", SOON, || {
        (process::queues(address) == [1]).then_some(())
    });
    echoes(&mut first, "still the first");
    first.finish();
    assert_eq!(first.read_to_end(), b"");
    assert_eq!(second.read(6), b"second");
    drop((first, second));
    server.stop();
}

#[test]
fn a_child_for_each_connection() {
    let server = serve(FORK);
    let address = server.address("echo");
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    clients
        .iter_mut()
        .for_each(|client| echoes(client, "hello"));
    let workers = server.workers();
    let children = || -> Vec<u32> {
        workers
            .iter()
            .flat_map(|&pid| process::children(pid))
            .collect()
    };
    assert_eq!(children().len(), 3);
    for child in children() {
        assert!(
            process::title(child).contains(" 127.0.0.1:"),
            "{}",
            process::title(child)
        );
    }
    drop(clients);
    eventually("they end with their clients, and are reaped", SOON, || {
        children().is_empty().then_some(())
    });
    server.stop();
}

#[test]
fn a_thread_for_each_connection() {
    let server = serve(THREADS);
    let address = server.address("echo");
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    clients
        .iter_mut()
        .for_each(|client| echoes(client, "hello"));
    let workers = server.workers();
    assert_eq!(workers.len(), 1);
    // Sixteen that serve, the last of which may still begin, and the one that
    // looks after them.
    eventually("there are seventeen threads", SOON, || {
        (process::status(workers[0], "Threads") == "17").then_some(())
    });
    assert!(process::children(workers[0]).is_empty());
    drop(clients);
    server.stop();
}

#[test]
fn processes_that_wait_on_one_socket() {
    let server = serve(PREFORK);
    let workers = server.wait_for_workers(4, "echo[");
    let listening: BTreeSet<BTreeSet<String>> = workers.into_iter().map(listeners).collect();
    assert_eq!(listening.len(), 1, "{listening:?}");
    assert_eq!(listening.first().unwrap().len(), 1);
    let address = server.address("echo");
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(address)).collect();
    clients
        .iter_mut()
        .for_each(|client| echoes(client, "hello"));
    drop(clients);
    server.stop();
}

#[test]
fn processes_with_a_socket_each() {
    let server = serve(REUSEPORT);
    let workers = server.wait_for_workers(4, "echo[");
    let listening: Vec<BTreeSet<String>> = workers.into_iter().map(listeners).collect();
    let sockets: BTreeSet<String> = listening.iter().flatten().cloned().collect();
    assert_eq!(sockets.len(), 4, "{listening:?}");
    assert!(listening.iter().all(|own| own.len() == 1), "{listening:?}");
    assert_eq!(process::queues(server.address("echo")).len(), 4);
    echoes(&mut Client::connect(server.address("echo")), "hello");
    server.stop();
}

#[test]
fn all_in_one_loop() {
    let server = serve(EVENT);
    let address = server.address("echo");
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    clients
        .iter_mut()
        .for_each(|client| echoes(client, "hello"));
    let workers = server.workers();
    assert_eq!(workers.len(), 1);
    assert_eq!(process::status(workers[0], "Threads"), "1");
    assert!(process::children(workers[0]).is_empty());
    drop(clients);
    server.stop();
}

#[test]
fn datagrams() {
    let line = DATAGRAMS.replace(":7007", ":0");
    let server = serve(&line);
    let address = server.addresses_of("echo")[0].clone();
    let address: SocketAddr = address.trim_start_matches("udp:").parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.send_to(b"Hello from client!", address).unwrap();
    let mut room = [0; 100];
    let (count, from) = socket.recv_from(&mut room).unwrap();
    assert_eq!(
        (&room[..count], from),
        (&b"Hello from client!"[..], address)
    );
    server.stop();
}

#[test]
fn a_tiny_http_server() {
    let server = serve(FILES);
    let answer = get(server.address("http"), "/");
    assert_eq!(answer.status, 200);
    let page = std::fs::read("conf/www/index.html").unwrap();
    assert_eq!(answer.body, page);
    server.stop();
}

/// Which end came how: what the section says that the log says.
#[test]
fn how_a_connection_ends_is_told() {
    let server = serve("preforkd serve echo");
    let mut orderly = Client::connect(server.address("echo"));
    echoes(&mut orderly, "a");
    orderly.finish();
    assert_eq!(orderly.read_to_end(), b"");
    // The lines are of src/driver/complaints.rs.
    server.log.wait_for("closed: complete", SOON);
    let mut torn = Client::connect(server.address("echo"));
    echoes(&mut torn, "a");
    torn.reset();
    server.log.wait_for("closed: reset", SOON);
    server.stop();
    let section = section();
    for reason in ["`closed: complete`", "`closed: reset`"] {
        assert!(section.contains(reason), "{reason}");
    }
}
