//! `preforkd connect --udp`.

use super::{OWN, assert_fails, connect, end, printed, talk};
use crate::harness::{SOON, let_time_pass, process, uninterrupted};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A peer that hears `count` datagrams, and answers each by `answer`, if by
/// anything; answers what it heard.
fn peer(
    count: usize,
    answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<Vec<u8>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let address = socket.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut room = vec![0; 65_536];
        let mut heard = Vec::new();
        while heard.len() < count {
            let (length, from) = uninterrupted(|| socket.recv_from(&mut room)).unwrap();
            if let Some(answer) = answer(&room[..length]) {
                socket.send_to(&answer, from).unwrap();
            }
            heard.push(room[..length].to_vec());
        }
        heard
    });
    (address, server)
}

fn echo(datagram: &[u8]) -> Option<Vec<u8>> {
    Some(datagram.to_vec())
}

#[test]
fn each_text_is_a_datagram() {
    let (address, server) = peer(3, echo);
    let port = address.port().to_string();
    let begun = Instant::now();
    let arguments = [
        "-u",
        "localhost",
        &port,
        "--idle",
        "20s",
        "--send",
        "one\\n",
        "--send",
        "",
        "--send",
        "3",
    ];
    let output = talk(&arguments, b"not read");
    assert_eq!(printed(&output), b"one\n3");
    // It has as many answers as it asked for: it waits for no more.
    assert!(begun.elapsed() < SOON / 2, "{:?}", begun.elapsed());
    assert_eq!(server.join().unwrap(), [&b"one\n"[..], b"", b"3"]);
}

#[test]
fn each_line_is_a_datagram() {
    let (address, server) = peer(3, echo);
    let output = talk(&["-u", "-C", &address.to_string()], b"one\ntwo\nno end");
    assert_eq!(printed(&output), b"one\r\ntwo\r\nno end");
    let heard = server.join().unwrap();
    assert_eq!(heard, [&b"one\r\n"[..], b"two\r\n", b"no end"]);
}

#[test]
fn the_largest_datagram_goes_and_comes() {
    let (address, server) = peer(1, echo);
    let mut line = vec![b'x'; 65_507];
    let output = talk(&["-u", &address.to_string()], &line);
    assert!(printed(&output) == line);
    assert_eq!(server.join().unwrap(), [line.clone()]);
    line.push(b'x');
    let output = talk(&["-u", &address.to_string()], &line);
    assert_fails(&output, 64, "longer than a datagram");
}

#[test]
fn nobody_at_that_port_is_told() {
    let socket = UdpSocket::bind(OWN).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    drop(socket);
    let output = talk(&["-u", &address, "--send", "hello"], b"");
    assert_fails(&output, 7, "nobody has that port");
}

#[test]
fn an_answer_is_waited_for_and_no_longer() {
    let (address, server) = peer(1, |_| None);
    let begun = Instant::now();
    let arguments = [
        "-u",
        &address.to_string(),
        "--send",
        "hello",
        "--idle",
        "0.3",
    ];
    assert_fails(&talk(&arguments, b""), 28, "no answer within 0.3s");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    server.join().unwrap();

    // Some answers are some, unless so many were asked for.
    let first = |datagram: &[u8]| (datagram == b"1").then(|| b"first".to_vec());
    let texts = ["--send", "1", "--send", "2", "--idle", "1s"];
    let (address, server) = peer(2, first);
    let output = talk(&[&["-u", &address.to_string()], &texts[..]].concat(), b"");
    assert_eq!(printed(&output), b"first");
    server.join().unwrap();
    let (address, server) = peer(2, first);
    let address = address.to_string();
    let arguments = [&["-u", "-n", "2", &address], &texts[..]].concat();
    assert_fails(&talk(&arguments, b""), 28, "1 of 2 answers");
    server.join().unwrap();
}

#[test]
fn so_many_answers_are_enough() {
    let (address, server) = peer(2, echo);
    let mut child = connect(&["-u", "--count", "2", &address.to_string()])
        .spawn()
        .unwrap();
    // Its standard input does not end.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").unwrap();
    assert_eq!(printed(&end(child)), b"one\ntwo\n");
    server.join().unwrap();
}

/// Nor does what ICMP says meanwhile, which waits until there is room again.
#[test]
fn a_reader_that_stands_still_costs_nothing() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(SOON)).unwrap();
    let port = peer.local_addr().unwrap().port().to_string();
    let mut child = connect(&["-u", "127.0.0.1", &port]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"hello\n").unwrap();
    let (_, client) = uninterrupted(|| peer.recv_from(&mut [0; 10])).unwrap();
    // More than the pipe and the program hold; some of it gets lost.
    for _ in 0..50 {
        peer.send_to(&[b'x'; 60_000], client).unwrap();
        let_time_pass(Duration::from_millis(2));
    }
    drop(peer);
    input.write_all(b"nobody is there any more\n").unwrap();
    let_time_pass(Duration::from_millis(200));
    let before = process::processor_time(child.id());
    let_time_pass(Duration::from_secs(1));
    let cost = process::processor_time(child.id()) - before;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(cost < Duration::from_millis(100), "{cost:?}");
}
