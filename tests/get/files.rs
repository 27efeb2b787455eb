//! Files and what is left of them, and a terminal.

use crate::harness::terminal::Terminal;
use crate::harness::{SOON, eventually, preforkd};
use crate::scripted::Scripted;
use crate::site::{Got, PLAIN, at, get, noise, server};
use std::fs;
use std::process::Stdio;
use tempfile::TempDir;

#[test]
fn a_file_is_as_it_was_until_an_answer_takes_its_place() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    let name = path.to_str().unwrap();
    for (answer, status) in [
        ("HTTP/1.1 404 x\r\nContent-Length: 2\r\n\r\nno", 22),
        (
            "HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 2\r\n\r\nno",
            22,
        ),
        ("HTTP/1.1 304 x\r\n\r\n", 0),
        ("HTTP/1.1 200 OK\r\nContent-Le", 18),
        ("nonsense", 8),
        ("", 52),
    ] {
        fs::write(&path, "as it was").unwrap();
        let peer = Scripted::one_by_one(&[answer]);
        let got = get(&["-o", name, &peer.url("/")]);
        assert_eq!((got.status, got.text()), (status, ""), "{answer}: {got:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "as it was", "{answer}");
        fs::remove_file(&path).unwrap();
        let peer = Scripted::one_by_one(&[answer]);
        assert_eq!(get(&["-o", name, &peer.url("/")]).status, status);
        assert!(!path.exists(), "{answer}");
    }
    let peer = Scripted::one_by_one(&["HTTP/1.1 302 x\r\nLocation: /\r\n\r\n"]);
    get(&["-o", name, &peer.url("/")])
        .is_failure(22, "302 x; it leads elsewhere, where -L follows");
    fs::write(&path, "as it was").unwrap();
    let peer = Scripted::one_by_one(&[PLAIN]);
    let got = get(&["-o", name, &peer.url("/")]);
    assert_eq!((got.status, got.err.as_str()), (0, ""), "{got:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "hello");
    // Named as the address ends, here.
    let peer = Scripted::one_by_one(&[PLAIN]);
    let mut command = preforkd();
    command.current_dir(directory.path());
    command.args(["get", "-O", &peer.url("/a/.name?x/y")]);
    Got::of(command).is_fine();
    assert_eq!(
        fs::read_to_string(directory.path().join("name")).unwrap(),
        "hello"
    );
}

#[test]
fn what_was_cut_is_gone_on_with() {
    let server = server();
    let whole = noise(3_000_000);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("noise");
    let name = path.to_str().unwrap();
    // A server that breaks off.
    let mut cut =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", whole.len()).into_bytes();
    cut.extend_from_slice(&whole[..1_234_567]);
    let peer = Scripted::answering(&cut, false);
    let got = get(&["-o", name, &peer.url("/")]);
    got.is_failure(18, "1234567 of 3000000 octets");
    assert!(
        got.err
            .contains("has 1234567 octets, and -C goes on from there"),
        "{got:?}"
    );
    assert!(fs::read(&path).unwrap() == whole[..1_234_567]);
    // And one that does not.
    get(&["-C", "-o", name, &at(&server, "/noise")]).is_fine();
    assert!(fs::read(&path).unwrap() == whole);
    let again = get(&["-C", "-o", name, &at(&server, "/noise")]);
    assert_eq!((again.status, again.err.as_str()), (0, ""), "{again:?}");
    assert!(fs::read(&path).unwrap() == whole);
    // Nothing yet; and one that is longer than what is there.
    fs::remove_file(&path).unwrap();
    get(&["-C", "-o", name, &at(&server, "/noise")]).is_fine();
    assert!(fs::read(&path).unwrap() == whole);
    get(&["-C", "-o", name, &at(&server, "/text.txt")]).is_failure(33, "not the same");
    assert!(fs::read(&path).unwrap() == whole);
    // A server that sends another part, or everything.
    fs::write(&path, "hel").unwrap();
    let wrong = "HTTP/1.1 206 x\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n\r\nllo";
    let peer = Scripted::one_by_one(&[wrong]);
    get(&["-C", "-o", name, &peer.url("/")]).is_failure(33, "those from 2 on came");
    assert_eq!(fs::read_to_string(&path).unwrap(), "hel");
    for (content, said) in [
        ("lo, world", "behind its Content-Range"),
        ("l", "1 octets before"),
    ] {
        let part = "HTTP/1.1 206 x\r\nContent-Range: bytes 3-4/5\r\n\r\n";
        let peer = Scripted::answering(format!("{part}{content}").as_bytes(), false);
        get(&["-C", "-o", name, &peer.url("/")]).is_failure(33, said);
        fs::write(&path, "hel").unwrap();
    }
    let peer = Scripted::one_by_one(&[PLAIN]);
    let got = get(&["-C", "-o", name, &peer.url("/")]);
    assert!(
        got.status == 0 && got.err.contains("begins anew"),
        "{got:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "hello");
    assert!(peer.asked()[0].contains("\r\nRange: bytes=3-\r\n"));
    server.stop();
}

#[test]
fn a_terminal_gets_text_and_a_bar() {
    let content = "a\x1b[31mb\r\nc\u{202e}\0";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nX: \u{85}\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    );
    let peer = Scripted::one_by_one(&[&answer]);
    let mut command = preforkd();
    command.args(["get", "--include", &peer.url("/")]);
    let mut terminal = Terminal::start(&command, 100, 30);
    assert!(terminal.wait().success());
    let shown = || String::from_utf8_lossy(&terminal.written()).into_owned();
    eventually("what came is shown", SOON, || {
        shown().contains("\\u{0}").then_some(())
    });
    let shown = shown();
    assert!(
        shown.contains("a\\u{1b}[31mb\r\nc\\u{202e}\\u{0}"),
        "{shown:?}"
    );
    assert!(
        shown.contains("X: \\u{85}") && !shown.contains('\x1b'),
        "{shown:?}"
    );
    // A file has a bar there, and nothing anywhere else.
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    let server = server();
    let url = at(&server, "/noise");
    let mut command = preforkd();
    command.args(["get", "-o", path.to_str().unwrap(), &url]);
    let mut terminal = Terminal::start(&command, 100, 30);
    assert!(terminal.wait().success());
    eventually("a bar is shown", SOON, || {
        let shown = String::from_utf8_lossy(&terminal.written()).into_owned();
        shown.contains("2.86 MiB/2.86 MiB").then_some(())
    });
    assert!(fs::read(&path).unwrap() == noise(3_000_000));
    let got = get(&["-o", path.to_str().unwrap(), &url]);
    assert_eq!(
        (got.status, got.text(), got.err.as_str()),
        (0, "", ""),
        "{got:?}"
    );
    server.stop();
}

#[test]
fn a_reader_that_has_gone_has_read_enough() {
    let server = server();
    let mut child = preforkd()
        .args(["get", &at(&server, "/noise")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let full = fs::File::create("/dev/full").unwrap();
    let status = preforkd()
        .args(["get", &at(&server, "/text.txt")])
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(71));
    server.stop();
}
