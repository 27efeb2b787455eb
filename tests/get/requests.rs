//! What is sent, and where that leads.

use crate::harness::preforkd;
use crate::scripted::Scripted;
use crate::site::{PLAIN, get};
use std::fs;
use std::io::Write;
use std::process::Stdio;
use tempfile::TempDir;

#[test]
fn what_is_sent_is_what_was_said() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("data");
    fs::write(&file, "from a file\n").unwrap();
    let data = format!("@{}", file.display());
    let agent = concat!("User-Agent: preforkd/", env!("CARGO_PKG_VERSION"));
    for (flags, path, begin, end) in [
        (
            &[][..],
            "/a/../b?c=d#e",
            "GET /a/../b?c=d HTTP/1.1\r\nHost: ",
            "",
        ),
        (
            &["-H", "Host: x", "-H", "accept:"],
            "/",
            "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent",
            "",
        ),
        (&["-H", "User-Agent: y"], "/", "GET / HTTP/1.1\r\n", ""),
        (&["-X", "PURGE"], "/", "PURGE / HTTP/1.1\r\n", ""),
        (
            &["--post", "a=b&c"],
            "/",
            "POST / HTTP/1.1\r\n",
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\n\r\na=b&c",
        ),
        (
            &["--post", &data, "-X", "PUT"],
            "/",
            "PUT / HTTP/1.1\r\n",
            "Content-Type: application/octet-stream\r\nContent-Length: 12\r\n\r\nfrom a file\n",
        ),
        (
            &["--post", ""],
            "/",
            "POST / HTTP/1.1\r\n",
            "Content-Length: 0\r\n\r\n",
        ),
        (
            &["-r", "-5", "--post", "x", "-H", "Content-Type: a/b"],
            "/",
            "POST / HTTP/1.1\r\n",
            "Range: bytes=-5\r\nContent-Type: a/b\r\nContent-Length: 1\r\n\r\nx",
        ),
    ] {
        let peer = Scripted::one_by_one(&[PLAIN]);
        let url = peer.url(path);
        get(&[flags, &[&url]].concat()).is_fine();
        let asked = peer.asked().remove(0);
        assert!(asked.starts_with(begin) && asked.ends_with(end), "{asked}");
        let replaced = flags.iter().any(|flag| flag.starts_with("User-Agent"));
        assert_eq!(asked.contains(agent), !replaced, "{asked}");
    }
    // A name and a password of the address.
    let peer = Scripted::one_by_one(&[PLAIN]);
    let url = format!("http://u:p@{}/", peer.address);
    get(&[&url]).is_fine();
    assert!(peer.asked()[0].contains("\r\nAuthorization: Basic dTpw\r\n"));
    // Standard input.
    let peer = Scripted::one_by_one(&[PLAIN]);
    let mut child = preforkd()
        .args(["get", "--post", "-", &peer.url("/")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"typed").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(peer.asked()[0].ends_with("Content-Length: 5\r\n\r\ntyped"));
}

#[test]
fn redirects_are_followed_as_far_as_they_may() {
    let to = |status: u16, place: &str| {
        format!("HTTP/1.1 {status} x\r\nLocation: {place}\r\nContent-Length: 4\r\n\r\ngone")
    };
    // Relative, and an end.
    let peer = Scripted::one_by_one(&[&to(302, "../c?d"), &to(301, "?e"), PLAIN]);
    let got = get(&["-L", &peer.url("/a/b")]);
    assert_eq!((got.status, got.text()), (0, "hello"), "{got:?}");
    let lines: Vec<String> = peer
        .asked()
        .iter()
        .map(|request| request.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "GET /a/b HTTP/1.1",
            "GET /c?d HTTP/1.1",
            "GET /c?e HTTP/1.1"
        ]
    );
    // Not asked for.
    let peer = Scripted::one_by_one(&[&to(302, "/x")]);
    assert_eq!(get(&[&peer.url("/")]).text(), "gone");
    // What becomes of a POST.
    for (status, line, length) in [
        (302, "GET /x HTTP/1.1", false),
        (303, "GET /x HTTP/1.1", false),
        (307, "POST /x HTTP/1.1", true),
        (308, "POST /x HTTP/1.1", true),
    ] {
        let peer = Scripted::one_by_one(&[&to(status, "/x"), PLAIN]);
        get(&["-L", "--post", "abc", &peer.url("/")]).is_fine();
        let asked = &peer.asked()[1];
        assert!(asked.starts_with(line), "{status}: {asked}");
        assert_eq!(asked.contains("Content-Length: 3"), length, "{asked}");
        assert_eq!(asked.ends_with("abc"), length, "{asked}");
    }
    // To another port, which is told no secret.
    let other = Scripted::one_by_one(&[PLAIN]);
    let peer = Scripted::one_by_one(&[&to(307, "/same"), &to(307, &other.url("/x"))]);
    let url = format!("http://u:p@{}/", peer.address);
    get(&["-L", "-H", "Cookie: c", "-H", "X: y", &url]).is_fine();
    for asked in peer.asked() {
        assert!(
            asked.contains("Authorization: ") && asked.contains("Cookie: "),
            "{asked}"
        );
    }
    let asked = other.asked().remove(0);
    assert!(
        !asked.contains("Authorization: ") && !asked.contains("Cookie: "),
        "{asked}"
    );
    assert!(asked.contains("\r\nX: y\r\n"));
    // On and on, in a circle, and away.
    let peer = Scripted::one_by_one(&[&to(302, "/1"), &to(302, "/2"), &to(302, "/3")]);
    get(&["-L", "--max-redirects", "2", &peer.url("/")]).is_failure(47, "more than 2 times");
    let peer = Scripted::one_by_one(&[&to(302, "/1"), &to(302, "/")]);
    get(&["-L", &peer.url("/")]).is_failure(47, "in a circle");
    let peer = Scripted::one_by_one(&[&to(302, "https://127.0.0.1/")]);
    get(&["-L", &peer.url("/")]).is_failure(1, "TLS");
    let peer = Scripted::one_by_one(&[&to(302, "http://a b/\x01")]);
    get(&["-L", &peer.url("/")]).is_failure(8, "field-value");
    let peer = Scripted::one_by_one(&[&to(302, "http://a$/")]);
    get(&["-L", &peer.url("/")]).is_failure(8, "no host");
}
