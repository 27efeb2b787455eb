//! `preforkd connect`: against our own server, and against peers that refuse,
//! are silent, slow or rude. What it does at a terminal is in `terminal`.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

#[path = "connect/datagrams.rs"]
mod datagrams;
#[path = "connect/terminal.rs"]
mod terminal;

use harness::{SOON, Server, let_time_pass, on_each_model, preforkd, uninterrupted};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

on_each_model! {
    a_client_says_hello
    a_megabyte_goes_and_comes
}

/// `preforkd connect` with these arguments, and its standard input a pipe.
fn connect(arguments: &[&str]) -> Command {
    let mut command = preforkd();
    command.arg("connect").args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end, with this for its standard input.
fn talk(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = connect(arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it has read all.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = end(child);
    writer.join().unwrap();
    output
}

/// Waits for its end, and what it has written.
fn end(child: Child) -> Output {
    let (done, wait) = std::sync::mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let output = wait.recv_timeout(SOON);
    output.expect("connect ends").unwrap()
}

/// That it ended well, and what it printed.
fn printed(output: &Output) -> &[u8] {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    &output.stdout
}

/// That it ended so, and said this on standard error.
fn assert_fails(output: &Output, status: i32, said: &str) {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("preforkd: "), "{told}");
    assert!(told.contains(said), "{said:?} in {told:?}");
}

/// A peer for one client.
fn peer<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || serve(listener.accept().unwrap().0));
    (address, server)
}

/// All that comes up to the end.
fn hear(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    heard
}

/// A port that is taken, and where nobody listens.
fn nobody() -> (Socket, SocketAddr) {
    bound("127.0.0.1:0")
}

/// An address of the loopback that no other test uses: what is free there stays
/// free.
const OWN: &str = "127.0.0.77:0";

fn bound(any: &str) -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = any.parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Megabytes of numbers, so that none of them is missed unseen.
fn megabytes(count: u32) -> Vec<u8> {
    let numbers: Vec<[u8; 4]> = (0u32..count << 18).map(u32::to_be_bytes).collect();
    numbers.concat()
}

fn a_client_says_hello(model: &str) {
    let server = Server::serve(&["echo", "--model", model]);
    let address = server.address("echo");
    let port = address.port().to_string();
    let hello = "Hello from client!";
    let output = talk(&["localhost", &port, "--send", hello], b"");
    assert_eq!(printed(&output), hello.as_bytes());
    assert!(output.stderr.is_empty(), "{output:?}");
    // The same by its other names, and with what is typed.
    let output = talk(&[&address.to_string()], b"typed");
    assert_eq!(printed(&output), b"typed");
    server.stop();
}

fn a_megabyte_goes_and_comes(model: &str) {
    let server = Server::serve(&["echo", "--model", model]);
    let sent = megabytes(10);
    let output = talk(&[&server.address("echo").to_string()], &sent);
    assert!(printed(&output) == sent, "{} octets", output.stdout.len());
    server.stop();
}

#[test]
fn both_directions_are_full_at_once() {
    // It sends all of its own before it takes an octet of ours.
    let (address, server) = peer(|mut stream| {
        stream.write_all(&megabytes(10)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        hear(&mut stream)
    });
    let input = megabytes(3);
    // Its end comes first: what it still reads is sent on request.
    let output = talk(&[&address.to_string(), "--keep-sending"], &input);
    assert!(printed(&output) == megabytes(10));
    assert!(server.join().unwrap() == input);
}

#[test]
fn a_unix_socket_is_a_place_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let target = format!("unix:{}", path.display());
    let output = talk(&[&target], b"");
    assert_fails(&output, 7, "x.sock: No such file or directory");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        stream.write_all(heard.to_uppercase().as_bytes()).unwrap();
    });
    let output = talk(&[&target], b"hello");
    assert_eq!(printed(&output), b"HELLO");
    server.join().unwrap();
}

#[test]
fn the_exit_status_tells_why_not() {
    let (_kept, closed) = nobody();
    let closed_port = closed.port().to_string();
    let refused = format!("connect {closed}: Connection refused");
    for (arguments, status, said) in [
        (&[&closed.to_string()[..]][..], 7, refused.as_str()),
        (&["localhost", &closed_port], 7, "Connection refused"),
        (&["fe80::1%none", "7"], 6, "no such interface"),
        (&["-6", "127.0.0.1", "7"], 6, "not have an IPv6 address"),
        (&["--source", "192.0.2.1", "127.0.0.1", "7"], 45, "bind"),
        (&["localhost"], 64, "has no port"),
        (&["localhost", "nonesuch"], 64, "is not a port"),
        (&["localhost", "7", "--source", "me"], 64, "connect from"),
        (&["unix:/x", "7"], 64, "has no port"),
    ] {
        assert_fails(&talk(arguments, b""), status, said);
    }
    for wrong in [
        &["localhost", "7", "-t", "0"][..],
        &["x:1", "--send", "\\q"],
    ] {
        assert_eq!(talk(wrong, b"").status.code(), Some(64), "{wrong:?}");
    }
}

#[test]
fn a_name_that_nobody_knows_is_given_up_in_time() {
    let begun = Instant::now();
    let output = talk(&["no-such-host.invalid", "7", "-t", "500ms"], b"");
    // Whether the resolver says so or says nothing, it is soon.
    assert!(matches!(output.status.code(), Some(6 | 28)), "{output:?}");
    assert!(begun.elapsed() < SOON / 2, "{:?}", begun.elapsed());
}

#[test]
fn who_does_not_answer_is_given_up_in_time() {
    // A listener whose queue is full.
    let (listener, address) = nobody();
    listener.listen(0).unwrap();
    let mut queued = Vec::new();
    while let Ok(next) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(next);
        assert!(queued.len() < 20, "it is never full");
    }
    let begun = Instant::now();
    let output = talk(&[&address.to_string(), "--timeout", "0.4"], b"");
    assert_fails(&output, 28, "no answer within ");
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert!(begun.elapsed() < SOON / 2, "{:?}", begun.elapsed());
    // What it says is how long it was, which may be a little longer.
    let told = String::from_utf8_lossy(&output.stderr);
    let (_, seconds) = told.trim_end().rsplit_once(' ').unwrap();
    let seconds: f64 = seconds.trim_end_matches('s').parse().unwrap();
    assert!((0.4..10.0).contains(&seconds), "{told}");
}

#[test]
fn a_reset_is_told_after_what_came_before() {
    let (address, server) = peer(|mut stream| {
        stream.write_all(b"so far").unwrap();
        // Until it is there: what comes after the reset is lost.
        stream.read_exact(&mut [0; 4]).unwrap();
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    });
    let mut child = connect(&[&address.to_string()]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut first = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    assert_eq!(&first, b"so far");
    stdin.write_all(b"more").unwrap();
    server.join().unwrap();
    // Its standard input is still open.
    assert_fails(&end(child), 56, "Connection reset by peer");
}

#[test]
fn half_a_close_is_waited_for_as_long_as_it_takes() {
    let (address, server) = peer(|mut stream| {
        let heard = hear(&mut stream);
        // Others cut it off after half a second.
        let_time_pass(Duration::from_millis(900));
        for octet in heard.to_ascii_uppercase() {
            stream.write_all(&[octet]).unwrap();
            let_time_pass(Duration::from_millis(5));
        }
    });
    let output = talk(&[&address.to_string(), "--send", "late and slow"], b"");
    assert_eq!(printed(&output), b"LATE AND SLOW");
    server.join().unwrap();
}

#[test]
fn who_closes_first_ends_it() {
    let (address, server) = peer(|mut stream| stream.write_all(b"bye\n").unwrap());
    // Its standard input never ends.
    let mut child = connect(&[&address.to_string()]).spawn().unwrap();
    let _stdin = child.stdin.take().unwrap();
    server.join().unwrap();
    let output = end(child);
    assert_eq!(printed(&output), b"bye\n");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn silence_ends_when_it_was_said() {
    let (address, server) = peer(|mut stream| hear(&mut stream));
    let begun = Instant::now();
    let mut child = connect(&[&address.to_string(), "--idle", "300ms"])
        .spawn()
        .unwrap();
    let _stdin = child.stdin.take().unwrap();
    assert_fails(&end(child), 28, "nothing came or went for 0.3s");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(server.join().unwrap(), b"");
}

#[test]
fn who_is_never_silent_is_not_idle() {
    let (address, server) = peer(|mut stream| {
        for _ in 0..12 {
            stream.write_all(b".").unwrap();
            let_time_pass(Duration::from_millis(100));
        }
    });
    let output = talk(&[&address.to_string(), "--idle", "900ms"], b"");
    assert_eq!(printed(&output), [b'.'; 12]);
    server.join().unwrap();
}

#[test]
fn a_reader_that_takes_its_time_is_no_silence() {
    let sent = megabytes(2);
    let all = sent.clone();
    let (address, server) = peer(move |mut stream| drop(stream.write_all(&all)));
    let mut child = connect(&[&address.to_string(), "--idle", "600ms"])
        .spawn()
        .unwrap();
    let _stdin = child.stdin.take().unwrap();
    // Longer than the silence that was allowed.
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 1000])
        .unwrap();
    let_time_pass(Duration::from_millis(1000));
    let output = end(child);
    assert!(printed(&output) == &sent[1000..], "{:?}", output.status);
    server.join().unwrap();
}

#[test]
fn what_the_end_of_the_input_is_can_be_said() {
    // It hears no end, and closes by itself.
    let (address, server) = peer(|mut stream| {
        stream.read_exact(&mut [0; 2]).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let end = uninterrupted(|| stream.read(&mut [0])).map_err(|error| error.kind());
        stream.write_all(b"open").unwrap();
        end
    });
    let output = talk(&[&address.to_string(), "--at-eof", "keep"], b"hi");
    assert_eq!(printed(&output), b"open");
    assert_eq!(server.join().unwrap(), Err(std::io::ErrorKind::WouldBlock));

    // It never closes: nobody waits for it.
    let (address, server) = peer(|mut stream| hear(&mut stream));
    let output = talk(&[&address.to_string(), "--at-eof", "quit"], b"hi");
    assert_eq!(printed(&output), b"");
    assert_eq!(server.join().unwrap(), b"hi");
}

#[test]
fn who_has_read_enough_ends_it_quietly() {
    let server = Server::serve(&["chargen"]);
    let address = server.address("chargen").to_string();
    let mut child = connect(&[&address]).spawn().unwrap();
    let _stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1000]).unwrap();
    drop(stdout);
    let output = end(child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");

    // But a device that is full is no reader that has gone.
    let mut command = connect(&[&address]);
    command.stdout(
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap(),
    );
    let output = end(command.spawn().unwrap());
    assert_fails(&output, 71, "standard output: No space left on device");
}

#[test]
fn lines_and_texts_go_as_they_are_asked_for() {
    for (arguments, input, expected) in [
        (&["--crlf"][..], "one\ntwo\r\n", &b"one\r\ntwo\r\n"[..]),
        (&["--send", r"a\r\n\t\x00\\"], "not read", b"a\r\n\t\0\\"),
        (&["--send", "one", "--send", "-two"], "not read", b"one-two"),
        (&["-C", "--send", r"GET /\n"], "not read", b"GET /\r\n"),
        (&["--send", ""], "not read", b""),
    ] {
        let (address, server) = peer(|mut stream| hear(&mut stream));
        let address = address.to_string();
        let arguments = [&[address.as_str()], arguments].concat();
        let output = talk(&arguments, input.as_bytes());
        assert_eq!(printed(&output), b"");
        assert_eq!(server.join().unwrap(), expected, "{arguments:?}");
    }
}

#[test]
fn a_dump_shows_both_directions() {
    let server = Server::serve(&["message", "\x1b[31mred"]);
    let address = server.address("message").to_string();
    let output = talk(&[&address, "--hex", "--send", "hi"], b"");
    let text = String::from_utf8(printed(&output).to_vec()).unwrap();
    let sent = "> 00000000  68 69                                             |hi|\n";
    let came = "< 00000000  1b 5b 33 31 6d 72 65 64                           |.[31mred|\n";
    assert!(text.contains(sent) && text.contains(came), "{text}");
    assert_eq!(text.len(), sent.len() + came.len(), "{text}");
    server.stop();
}

#[test]
fn it_goes_from_where_it_is_told_to() {
    let (address, server) = peer(|stream| stream.peer_addr().unwrap());
    let (kept, free) = bound(OWN);
    drop(kept);
    let from = free.to_string();
    let output = talk(&["-s", &from, &address.to_string(), "-v"], b"");
    assert_eq!(server.join().unwrap().to_string(), from);
    let told = String::from_utf8(output.stderr).unwrap();
    let line = format!("preforkd: connected to {address} from {from}\n");
    assert!(told.starts_with(&line), "{told}");
    assert!(
        told.ends_with("ended by the other side: 0 octets sent, 0 received\n"),
        "{told}"
    );
}

#[test]
fn what_took_how_long_is_told() {
    let (address, server) = peer(|mut stream| {
        let heard = hear(&mut stream);
        let_time_pass(Duration::from_millis(100));
        stream.write_all(&heard).unwrap();
    });
    let port = address.port().to_string();
    let output = talk(&["localhost", &port, "--timing", "--send", "four"], b"");
    assert_eq!(printed(&output), b"four");
    server.join().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let fields: Vec<(&str, &str)> = told
        .trim_end()
        .trim_start_matches("preforkd: ")
        .split(' ')
        .map(|field| field.split_once('=').unwrap())
        .collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["lookup", "connect", "first", "total", "sent", "received"]
    );
    assert_eq!(&fields[4..], [("sent", "4"), ("received", "4")]);
    let seconds = |at: usize| fields[at].1.trim_end_matches('s').parse::<f64>().unwrap();
    assert!(seconds(0) > 0.0 && seconds(1) > 0.0, "{told}");
    assert!(seconds(2) >= 0.1 + seconds(0) + seconds(1), "{told}");
    assert!(
        seconds(3) >= seconds(2) && seconds(3) < SOON.as_secs_f64(),
        "{told}"
    );
}

#[test]
fn it_is_done_as_often_as_it_is_said() {
    let server = Server::serve(&["echo"]);
    let address = server.address("echo").to_string();
    let output = talk(
        &[&address, "--count", "5", "--send", "again\n"],
        b"not read",
    );
    assert_eq!(printed(&output), b"again\n".repeat(5));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(": 5 complete, 0 failed; "), "{told}");
    server.stop();
    // Each that fails is told, and the status is a failure's.
    let (_kept, closed) = nobody();
    let address = closed.to_string();
    let output = talk(&[&address, "--count", "3", "--send", "again\n"], b"");
    assert_fails(&output, 7, "3 connections in");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.matches("Connection refused").count(), 3, "{told}");
}
