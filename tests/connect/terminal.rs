//! `preforkd connect` at a terminal: what is typed is edited, and what comes
//! meanwhile stands above it.

use super::{hear, peer};
use crate::harness::terminal::Terminal;
use crate::harness::{SOON, Server, eventually, preforkd, process};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::mpsc::channel;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";
const UP: &str = "\x1b[A";
const LEFT: &str = "\x1b[D";

fn start(address: SocketAddr, arguments: &[&str]) -> Terminal {
    let mut command: Command = preforkd();
    command
        .arg("connect")
        .arg(address.to_string())
        .args(arguments);
    let terminal = Terminal::start(&command, 60, 12);
    if !arguments.contains(&"--raw") {
        let raw = |_: &_| terminal.is_raw();
        terminal.wait_until("lines can be edited", raw);
    }
    terminal
}

/// Waits until a line stands there twice: typed, and echoed.
fn wait_for_both(terminal: &Terminal, line: &str) {
    terminal.wait_until(line, |picture| {
        let same = |row: &&String| row.trim_end() == line;
        picture.rows.iter().filter(same).count() == 2
    });
}

/// Waits until all of it was written: the program may be gone before that is
/// seen here.
fn wait_for_written(terminal: &Terminal, text: &[u8]) {
    let what = format!("written: {:?}", String::from_utf8_lossy(text));
    eventually(&what, SOON, || {
        let all = terminal.written();
        all.windows(text.len())
            .any(|part| part == text)
            .then_some(())
    });
}

#[test]
fn lines_are_edited_and_remembered() {
    let server = Server::serve(&["echo"]);
    let mut terminal = start(server.address("echo"), &[]);
    // A letter that was left out is put in.
    terminal.type_in(&format!("hllo{LEFT}{LEFT}{LEFT}e\r"));
    wait_for_both(&terminal, "hello");
    terminal.type_in(&format!("{UP}, again\r"));
    wait_for_both(&terminal, "hello, again");
    terminal.type_in(CTRL_D);
    assert!(terminal.wait().success());
    terminal.assert_given_back();
    server.stop();
}

#[test]
fn a_paste_is_as_good_as_typing() {
    let (address, server) = peer(|mut stream| {
        let heard = hear(&mut stream);
        stream.write_all(b"all of it\n").unwrap();
        heard
    });
    let mut terminal = start(address, &[]);
    let lines: String = (0..100).map(|number| format!("line {number}\r")).collect();
    terminal.type_in(&format!("{lines}{CTRL_D}not sent\r"));
    assert!(terminal.wait().success());
    wait_for_written(&terminal, b"all of it\r\n");
    assert_eq!(server.join().unwrap(), lines.replace('\r', "\n").as_bytes());
    terminal.assert_given_back();
}

#[test]
fn after_the_end_the_keys_for_signals_still_work() {
    let (ended, end) = channel();
    let (done, over) = channel::<()>();
    let (address, server) = peer(move |mut stream| {
        let heard = hear(&mut stream);
        ended.send(()).unwrap();
        // It says nothing, and does not close until the test is over.
        let _ = over.recv_timeout(SOON + SOON);
        heard
    });
    let mut terminal = start(address, &[]);
    terminal.type_in(&format!("bye\r{CTRL_D}"));
    end.recv_timeout(SOON).unwrap();
    terminal.type_in(CTRL_C);
    assert_eq!(terminal.wait().signal(), Some(Signal::SIGINT as i32));
    terminal.assert_given_back();
    drop(done);
    assert_eq!(server.join().unwrap(), b"bye\n");
}

#[test]
fn who_puts_it_aside_has_the_terminal_meanwhile() {
    let server = Server::serve(&["echo"]);
    // A shell with jobs: the next command runs once the first is stopped.
    let mut command = Command::new("sh");
    let script = "\"$0\" connect \"$1\"; echo is raw: $(stty | grep -c -- -icanon); fg";
    command.args(["-m", "-c", script]);
    command.arg(preforkd().get_program());
    command.arg(server.address("echo").to_string());
    let mut terminal = Terminal::start(&command, 60, 12);
    terminal.wait_until("lines can be edited", |_| terminal.is_raw());
    terminal.type_in("half a ");
    terminal.wait_until("half a line", |picture| picture.contains("half a"));
    terminal.type_in(CTRL_Z);
    wait_for_written(&terminal, b"is raw: 0");
    terminal.wait_until("lines can be edited again", |_| terminal.is_raw());
    terminal.type_in("line\r");
    wait_for_both(&terminal, "half a line");
    terminal.type_in(CTRL_D);
    assert!(terminal.wait().success());
    terminal.assert_given_back();
    server.stop();
}

#[test]
fn what_comes_does_not_garble_what_is_typed() {
    let (address, server) = peer(|mut stream| {
        let mut line = [0; 3];
        stream.read_exact(&mut line).unwrap();
        stream.write_all(b"first\r\nsecond\r\n").unwrap();
        let rest = hear(&mut stream);
        stream.write_all(b"last words, without an end").unwrap();
        rest
    });
    let mut terminal = start(address, &[]);
    terminal.type_in("go\rhalf a l");
    // What comes is above what is being typed.
    terminal.wait_until("both", |picture| {
        let at = |text: &str| picture.rows.iter().position(|row| row.trim_end() == text);
        match (at("first"), at("second"), at("half a l")) {
            (Some(first), Some(second), Some(typed)) => first < second && second < typed,
            _ => false,
        }
    });
    // The end, and the rest of the line in one go: what comes after is shown.
    terminal.type_in(&format!("ine\r{CTRL_D}"));
    assert!(terminal.wait().success());
    wait_for_written(&terminal, b"last words, without an end\r\n");
    assert_eq!(server.join().unwrap(), b"half a line\n");
    terminal.assert_given_back();
}

#[test]
fn what_comes_and_goes_at_once_is_shown() {
    // The other side says something and closes: nothing of it is lost.
    for _ in 0..5 {
        let text: String = (0..50).map(|number| format!("line {number}\n")).collect();
        let (address, server) = peer(move |mut stream| stream.write_all(text.as_bytes()).unwrap());
        let mut command: Command = preforkd();
        command.arg("connect").arg(address.to_string());
        let mut terminal = Terminal::start(&command, 60, 12);
        assert!(terminal.wait().success());
        server.join().unwrap();
        let all: String = (0..50).map(|number| format!("line {number}\r\n")).collect();
        wait_for_written(&terminal, all.as_bytes());
        terminal.assert_given_back();
    }
}

#[test]
fn what_comes_does_not_drive_the_terminal() {
    let wild = b"\x1b]0;owned\x07\x1b[2J\xff\n";
    let (address, server) = peer(move |mut stream| {
        stream.write_all(wild).unwrap();
        hear(&mut stream)
    });
    let mut terminal = start(address, &[]);
    let shown = "\\u{1b}]0;owned\\u{7}\\u{1b}[2J\\xff";
    terminal.wait_until("what came", |picture| picture.contains(shown));
    terminal.type_in(CTRL_D);
    assert!(terminal.wait().success());
    assert_eq!(server.join().unwrap(), b"");
    let all = terminal.written();
    assert!(!all.windows(4).any(|four| four == b"\x1b]0;"));
    assert!(!all.contains(&7));

    // Unless it is asked for.
    let (address, server) = peer(move |mut stream| stream.write_all(wild).unwrap());
    let mut terminal = start(address, &["--raw"]);
    assert!(terminal.wait().success());
    server.join().unwrap();
    wait_for_written(&terminal, b"\x1b]0;owned");
}

#[test]
fn however_it_ends_the_terminal_is_given_back() {
    for (ending, signal) in [
        (None, Signal::SIGINT),
        (Some(Signal::SIGINT), Signal::SIGINT),
        (Some(Signal::SIGTERM), Signal::SIGTERM),
    ] {
        let (address, server) = peer(|mut stream| hear(&mut stream));
        let mut terminal = start(address, &[]);
        match ending {
            None => terminal.type_in(&format!("half a line{CTRL_C}")),
            Some(signal) => process::signal(terminal.pid(), signal),
        }
        let status = terminal.wait();
        assert_eq!(status.signal(), Some(signal as i32), "{status:?}");
        terminal.assert_given_back();
        assert_eq!(server.join().unwrap(), b"");
    }
}
