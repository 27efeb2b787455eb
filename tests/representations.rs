//! Files over HTTP as clients see them: conditions, ranges, codings, on each
//! model, by hand and with curl where there is one.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::client::Answer;
use harness::{Client, Server, on_each_model};
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

on_each_model! { fields_and_parts compressed_here curl_is_content a_sparse_giant edits_are_seen_at_once }

/// 6 November 1994, 08:49:37 GMT: long ago for every clock.
fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

/// Writes a file that was last changed long ago.
fn put(directory: &Path, name: &str, content: &[u8]) {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    age(&path);
}

fn age(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(long_ago()).unwrap();
}

/// A server of `site`, with more keys for http. A client has time to look at what it
/// got before it asks again.
fn serve(model: &str, site: &TempDir, keys: &str) -> Server {
    let root = site.path().display();
    Server::run(&format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 2\n[pool.web.http]\nroot = \"{root}\"\nkeepalive_timeout = \"60s\"\n{keys}\n"
    ))
}

/// One request on a connection that stays.
fn ask(client: &mut Client, target: &str, fields: &str) -> Answer {
    client.send(format!(
        "GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"
    ));
    client.answer()
}

/// Octets that do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn fields_and_parts(model: &str) {
    let site = TempDir::new().unwrap();
    let content = noise(300_000);
    put(site.path(), "noise", &content);
    put(site.path(), "page.txt", b"the page itself");
    put(site.path(), "page.txt.gz", b"as if compressed");
    let server = serve(model, &site, "");
    let mut client = Client::connect(server.address("web"));

    let whole = ask(&mut client, "/noise", "");
    assert!(whole.status == 200 && whole.body == content);
    assert_eq!(whole.field("accept-ranges"), Some("bytes"));
    let tag = whole.field("etag").unwrap().to_owned();
    assert!(tag.starts_with('"'), "{tag}");
    let same = ask(&mut client, "/noise", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((same.status, same.field("etag")), (304, Some(&*tag)));
    assert_eq!(same.field("content-length"), None);
    let other = ask(&mut client, "/noise", "If-Match: \"other\"\r\n");
    assert_eq!(other.status, 412);

    let part = ask(&mut client, "/noise", "Range: bytes=100000-199999\r\n");
    assert_eq!(part.status, 206);
    assert_eq!(
        part.field("content-range"),
        Some("bytes 100000-199999/300000")
    );
    assert!(part.body == content[100_000..200_000]);
    let beyond = ask(&mut client, "/noise", "Range: bytes=300000-\r\n");
    assert_eq!(
        (beyond.status, beyond.field("content-range")),
        (416, Some("bytes */300000"))
    );

    // Parts of all sizes: copied ones, sent ones, and more than a buffer full.
    for list in [
        "0-0,299999-299999",
        "200000-299999,0-9,50000-50001",
        "0-16383,20000-36383,40000-56383,60000-76383,80000-96383,100000-116383,-1",
        "1-1,5-70000,100000-170000,200000-270000",
    ] {
        let answer = ask(&mut client, "/noise", &format!("Range: bytes={list}\r\n"));
        assert_eq!(answer.status, 206);
        let found = parts(&answer);
        let asked: Vec<(usize, usize)> = list
            .split(',')
            .map(|range| match range.split_once('-').unwrap() {
                ("", count) => (300_000 - count.parse::<usize>().unwrap(), 299_999),
                (first, last) => (first.parse().unwrap(), last.parse().unwrap()),
            })
            .collect();
        assert_eq!(found.len(), asked.len(), "{list}");
        for ((first, last, octets), wanted) in found.iter().zip(&asked) {
            assert_eq!((*first, *last), *wanted, "{list}");
            assert!(octets[..] == content[*first..=*last], "{list}");
        }
    }

    let coded = ask(&mut client, "/page.txt", "Accept-Encoding: br, gzip\r\n");
    assert_eq!(coded.body, b"as if compressed");
    assert_eq!(coded.field("content-encoding"), Some("gzip"));
    let plain = ask(&mut client, "/page.txt", "");
    assert_eq!(plain.body, b"the page itself");
    assert_ne!(plain.field("etag"), coded.field("etag"));
    for answer in [&coded, &plain] {
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
        let media = answer.field("content-type");
        assert_eq!(media, Some("text/plain; charset=utf-8"));
    }
    drop(client);
    server.stop();
}

/// Takes an answer in parts apart: first and last position, and octets of each.
fn parts(answer: &Answer) -> Vec<(usize, usize, Vec<u8>)> {
    let media = answer.field("content-type").unwrap();
    let boundary = media
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    assert_eq!(answer.field("content-range"), None);
    let mut found = Vec::new();
    let mut rest = &answer.body[..];
    let first = format!("--{boundary}\r\n");
    rest = rest.strip_prefix(first.as_bytes()).unwrap();
    loop {
        let end = rest
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        let range = head.split("Content-Range: bytes ").nth(1).unwrap();
        let (range, length) = range.split_once('/').unwrap();
        assert_eq!(length, "300000");
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let octets = rest[end + 4..end + 4 + last - first + 1].to_vec();
        rest = &rest[end + 4 + octets.len()..];
        found.push((first, last, octets));
        rest = rest
            .strip_prefix(format!("\r\n--{boundary}").as_bytes())
            .unwrap();
        if rest == b"--\r\n" {
            return found;
        }
        rest = rest.strip_prefix(b"\r\n").unwrap();
    }
}

fn compressed_here(model: &str) {
    let site = TempDir::new().unwrap();
    let text = "all the same, over and over\n".repeat(30_000);
    put(site.path(), "text.txt", text.as_bytes());
    let hexadecimal: String = noise(250_000)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    put(site.path(), "hex.txt", hexadecimal.as_bytes());
    let server = serve(model, &site, "gzip = true");
    let mut client = Client::connect(server.address("web"));
    for (target, content) in [("/text.txt", &text), ("/hex.txt", &hexadecimal)] {
        for _ in 0..2 {
            let answer = ask(&mut client, target, "Accept-Encoding: gzip\r\n");
            assert_eq!(answer.field("content-encoding"), Some("gzip"));
            assert!(answer.body.len() < content.len() * 2 / 3);
            let mut plain = String::new();
            let mut reader = flate2::read::GzDecoder::new(&answer.body[..]);
            reader.read_to_string(&mut plain).unwrap();
            assert!(plain == *content, "{target}");
        }
        let answer = ask(&mut client, target, "");
        assert!(answer.field("content-encoding").is_none() && answer.body == content.as_bytes());
    }
    drop(client);
    server.stop();
}

/// What curl writes to standard output with these arguments; `None` where
/// there is no curl.
fn curl(arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    assert!(output.status.success(), "curl {arguments:?}: {output:?}");
    Some(output.stdout)
}

fn curl_is_content(model: &str) {
    if curl(&["--version"]).is_none() {
        println!("there is no curl");
        return;
    }
    let site = TempDir::new().unwrap();
    let text = "once more with feeling\n".repeat(2000);
    put(site.path(), "text.txt", text.as_bytes());
    let server = serve(model, &site, "gzip = true");
    let address: SocketAddr = server.address("web");
    let url = format!("http://{address}/text.txt");
    let run = |arguments: &[&str]| curl(arguments).unwrap();

    assert_eq!(run(&["-r", "5-8", &url]), b"more");
    assert_eq!(run(&["-r", "-8", &url]), b"feeling\n");
    let both = run(&["-r", "0-3,10-13", &url]);
    let both = String::from_utf8(both).unwrap();
    assert!(both.contains("\r\n\r\nonce\r\n--") && both.contains("\r\n\r\nwith\r\n--"));

    let half = site.path().join("half");
    std::fs::write(&half, &text[..1234]).unwrap();
    run(&["-C", "-", "-o", half.to_str().unwrap(), &url]);
    assert_eq!(std::fs::read(&half).unwrap(), text.as_bytes());

    assert_eq!(run(&["--compressed", &url]), text.as_bytes());
    let size = run(&[
        "--compressed",
        "-o",
        "/dev/null",
        "-w",
        "%{size_download}",
        &url,
    ]);
    let size: usize = String::from_utf8(size).unwrap().parse().unwrap();
    assert!(size < text.len() / 10, "{size}");

    let status = |date: &str| run(&["-z", date, "-o", "/dev/null", "-w", "%{http_code}", &url]);
    assert_eq!(status("Sun, 06 Nov 1994 08:49:37 GMT"), b"304");
    assert_eq!(status("Sat, 05 Nov 1994 08:49:37 GMT"), b"200");
    assert_eq!(status("-Sat, 05 Nov 1994 08:49:37 GMT"), b"412");
    server.stop();
}

/// Five GiB of nothing with something in the middle and at the end: offsets
/// and lengths past 32 bits.
fn a_sparse_giant(model: &str) {
    const SIZE: u64 = 5 << 30;
    const MIDDLE: u64 = (5 << 29) + 12_345;
    const TAIL: u64 = 6 << 20;
    let site = TempDir::new().unwrap();
    let path = site.path().join("giant");
    let file = File::create(&path).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all_at(b"middle", MIDDLE).unwrap();
    file.write_all_at(b"end", SIZE - 3).unwrap();
    drop(file);
    age(&path);
    let server = serve(model, &site, "");
    let mut client = Client::connect(server.address("web"));
    let last = MIDDLE + 5;
    let part = ask(
        &mut client,
        "/giant",
        &format!("Range: bytes={MIDDLE}-{last}\r\n"),
    );
    assert_eq!((part.status, &part.body[..]), (206, &b"middle"[..]));
    let range = format!("bytes {MIDDLE}-{last}/{SIZE}");
    assert_eq!(part.field("content-range"), Some(&*range));
    let tag = part.field("etag").unwrap().to_owned();

    // A download that stopped in the middle, and that is broken off again.
    let mut second = Client::connect(server.address("web"));
    second.send(format!(
        "GET /giant HTTP/1.1\r\nHost: test\r\nRange: bytes={MIDDLE}-\r\nIf-Range: {tag}\r\n\
         Connection: close\r\n\r\n"
    ));
    let head = second.answer_to_head();
    assert_eq!(head.status, 206);
    let left = (SIZE - MIDDLE).to_string();
    assert_eq!(head.field("content-length"), Some(&*left));
    assert_eq!(second.read(6), b"middle");
    assert!(second.read(1 << 20).iter().all(|&byte| byte == 0));
    second.reset();

    let resumed = format!("Range: bytes={}-\r\nIf-Range: {tag}\r\n", SIZE - TAIL);
    let tail = ask(&mut client, "/giant", &resumed);
    assert_eq!(tail.body.len() as u64, TAIL);
    assert!(tail.body.ends_with(b"\0end"));
    drop(client);
    server.stop();
}

fn edits_are_seen_at_once(model: &str) {
    let site = TempDir::new().unwrap();
    put(site.path(), "page.txt", b"first");
    let server = serve(model, &site, "");
    let mut client = Client::connect(server.address("web"));
    let page = site.path().join("page.txt");
    let mut asked = |status: u16, body: &str| {
        let answer = ask(&mut client, "/page.txt", "");
        assert_eq!(answer.status, status, "{body}");
        if status == 200 {
            assert_eq!(String::from_utf8_lossy(&answer.body), body);
        }
    };
    for _ in 0..3 {
        asked(200, "first");
    }
    put(site.path(), "page.txt", b"in its place");
    asked(200, "in its place");
    put(site.path(), "next", b"put over it");
    std::fs::rename(site.path().join("next"), &page).unwrap();
    asked(200, "put over it");
    std::fs::remove_file(&page).unwrap();
    asked(404, "");
    put(site.path(), "page.txt", b"again");
    asked(200, "again");
    std::fs::remove_file(&page).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &page).unwrap();
    asked(403, "");
    std::fs::remove_file(&page).unwrap();
    put(site.path(), "other", b"linked");
    std::os::unix::fs::symlink("other", &page).unwrap();
    asked(200, "linked");
    std::fs::remove_file(&page).unwrap();
    std::os::unix::fs::symlink("next", &page).unwrap();
    asked(404, "");
}
