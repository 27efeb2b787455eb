//! Our own server, those of others, and curl as the judge.

use crate::harness::{SOON, eventually};
use crate::scripted::Scripted;
use crate::site::{Got, PLAIN, at, get, noise, server};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

#[test]
fn our_own_server_is_understood() {
    let server = server();
    let text = "once more with feeling\n";
    assert_eq!(get(&[&at(&server, "/text.txt")]).text(), text);
    assert_eq!(
        get(&["-r", "5-8", &at(&server, "/text.txt")]).text(),
        "more"
    );
    assert_eq!(
        get(&["-r", "-8", &at(&server, "/text.txt")]).text(),
        "feeling\n"
    );
    let whole = get(&["-r", "0-4", &at(&server, "/cgi-bin/say")]);
    assert!(
        whole.status == 0 && whole.err.contains("sends everything"),
        "{whole:?}"
    );
    let parts = get(&["-r", "0-3,10-13", &at(&server, "/text.txt")]);
    assert!(parts.text().contains("\r\n\r\nwith\r\n--"), "{parts:?}");
    let head = get(&["-I", &at(&server, "/text.txt")]);
    assert!(head.text().starts_with("HTTP/1.1 200 OK\r\n"), "{head:?}");
    assert!(
        head.text().contains("\r\nContent-Length: 23\r\n") && head.text().ends_with("\r\n\r\n")
    );
    assert_eq!(get(&[&at(&server, "/empty")]).text(), "");
    assert_eq!(get(&["-L", &at(&server, "/old/text.txt")]).text(), text);
    // What is compressed on its way comes out as it was.
    let packed = get(&["-v", "--compressed", &at(&server, "/")]);
    assert_eq!(packed.text(), "index\n".repeat(1000));
    assert!(
        packed.err.contains("< Content-Encoding: gzip\n"),
        "{packed:?}"
    );
    // Where there is no content there is nothing to decompress.
    let head = get(&["-I", "--compressed", &at(&server, "/")]);
    head.is_fine();
    assert!(
        head.text().contains("\r\nContent-Encoding: gzip\r\n"),
        "{head:?}"
    );
    let plain = get(&["-v", &at(&server, "/")]);
    assert!(!plain.err.contains("Content-Encoding") && plain.err.contains("> GET / HTTP/1.1\n"));
    // Not there, and whether that is a failure.
    let missing = get(&[&at(&server, "/nope")]);
    assert!(
        missing.status == 0 && missing.text().contains("404 Not Found"),
        "{missing:?}"
    );
    let missing = get(&["-f", &at(&server, "/nope")]);
    missing.is_failure(22, "/nope: 404 Not Found");
    assert_eq!(missing.text(), "");
    // A program, with content.
    let said = get(&[
        "--post",
        "a=b",
        "-H",
        "X-A: c",
        &at(&server, "/cgi-bin/say"),
    ]);
    assert_eq!(said.text(), "POST application/x-www-form-urlencoded c\na=b");
    // Every way there.
    let places = server.addresses_of("web");
    for place in places {
        let got = match place.strip_prefix("unix:") {
            Some(path) => get(&["--unix", path, "http://localhost/text.txt"]),
            None => get(&[&format!("{place}/text.txt")]),
        };
        assert_eq!(got.text(), text, "{place}: {got:?}");
    }
    let refused = get(&["-6", &at(&server, "/text.txt")]);
    assert_eq!(refused.status, 6, "{refused:?}");
    let from = get(&["-s", "127.0.0.5", &at(&server, "/text.txt")]);
    assert_eq!(from.text(), text);
    server.stop();
}

/// Whether a program is there; a test that wants it is left out otherwise.
fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|path| path.join(program).exists());
    if !found {
        eprintln!("left out: there is no {program}");
    }
    found
}

/// What curl makes of it: what it writes, and its exit status.
fn curl(arguments: &[&str]) -> (i32, Vec<u8>) {
    let mut command = Command::new("curl");
    command
        .args(["-q", "-sS", "--noproxy", "*", "--max-time", "10"])
        .args(arguments);
    command.stdin(Stdio::null());
    let got = Got::of(command);
    (got.status, got.out)
}

#[test]
fn curl_comes_to_the_same() {
    if !has("curl") {
        return;
    }
    let server = server();
    for (flags, path) in [
        (&[][..], "/text.txt"),
        (&[], "/noise"),
        (&[], "/nope"),
        (&["-f"], "/nope"),
        (&["-r", "5-8"], "/text.txt"),
        (&["-r", "-3"], "/noise"),
        (&["-r", "100-"], "/text.txt"),
        (&["-f", "-r", "100-"], "/text.txt"),
        (&["-L"], "/old/text.txt"),
        (&[], "/old/text.txt"),
        (&["-H", "Accept: application/json"], "/nope"),
        (&["-H", "X-A: b"], "/cgi-bin/say"),
        (&["-X", "OPTIONS"], "/"),
        (&["-X", "DELETE"], "/text.txt"),
        (&["--compressed"], "/"),
    ] {
        let url = at(&server, path);
        let arguments = [flags, &[&url]].concat();
        let ours = get(&arguments);
        assert_eq!((ours.status, ours.out), curl(&arguments), "{arguments:?}");
    }
    let url = at(&server, "/cgi-bin/say");
    let ours = get(&["--post", "a=b", &url]);
    assert_eq!((ours.status, ours.out), curl(&["-d", "a=b", &url]));
    // Of a bad answer: what was written, and whether it is a failure.
    for answer in [
        PLAIN,
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        "",
    ] {
        let peer = Scripted::one_by_one(&[answer]);
        let ours = get(&[&peer.url("/")]);
        let peer = Scripted::one_by_one(&[answer]);
        assert_eq!(
            (ours.status, ours.out),
            curl(&[&peer.url("/")]),
            "{answer:?}"
        );
    }
    server.stop();
}

/// A server of somebody else's; killed at the end.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same of anybody who serves `noise` and `text.txt`.
fn assert_served(base: &str, has_ranges: bool) {
    let whole = noise(300_000);
    assert!(get(&[&format!("{base}/noise")]).out == whole);
    assert_eq!(
        get(&[&format!("{base}/text.txt")]).text(),
        "once more with feeling\n"
    );
    let head = get(&["-I", &format!("{base}/noise")]);
    assert!(
        head.text()
            .to_lowercase()
            .contains("content-length: 300000\r\n"),
        "{head:?}"
    );
    get(&["-f", &format!("{base}/nope")]).is_failure(22, "404");
    get(&["--repeat", "5", &format!("{base}/noise")]).is_fine();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("part");
    fs::write(&path, &whole[..123_456]).unwrap();
    let got = get(&["-C", "-o", path.to_str().unwrap(), &format!("{base}/noise")]);
    got.is_fine();
    assert_eq!(got.err.contains("begins anew"), !has_ranges, "{got:?}");
    assert!(fs::read(&path).unwrap() == whole);
}

fn tree() -> TempDir {
    let directory = TempDir::new().unwrap();
    // Who serves it may be another user.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.path().join("noise"), noise(300_000)).unwrap();
    fs::write(
        directory.path().join("text.txt"),
        "once more with feeling\n",
    )
    .unwrap();
    directory
}

#[test]
fn the_server_of_python_is_understood() {
    if !has("python3") {
        return;
    }
    let site = tree();
    let child = Command::new("python3")
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"])
        .current_dir(site.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut other = Other(child);
    let mut line = String::new();
    let mut out = BufReader::new(other.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    // `Serving HTTP on 127.0.0.1 port 40001 (http://127.0.0.1:40001/) ...`
    let (_, rest) = line.split_once("(http://").unwrap();
    let (place, _) = rest.split_once("/)").unwrap();
    assert_served(&format!("http://{place}"), false);
}

#[test]
fn nginx_is_understood() {
    let mut command = Command::new("nginx");
    let paths = std::env::var("PATH").unwrap_or_default();
    // Where Debian has it, which is in no user's path.
    let paths = format!("{paths}:/usr/sbin");
    if !std::env::split_paths(&paths).any(|path| path.join("nginx").exists()) {
        eprintln!("left out: there is no nginx");
        return;
    }
    let (site, place) = (tree(), TempDir::new().unwrap());
    let socket = place.path().join("nginx.sock");
    let user = if nix::unistd::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let (root, own) = (site.path().display(), place.path().display());
    let text = format!(
        "daemon off; worker_processes 1; pid {own}/pid; {user} error_log {own}/log;
         events {{ worker_connections 64; }}
         http {{
           access_log off; default_type text/plain;
           client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
           fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
           server {{ listen unix:{}; root {root}; }}
         }}",
        socket.display()
    );
    let configuration = place.path().join("nginx.conf");
    fs::write(&configuration, text).unwrap();
    command.env("PATH", paths).args(["-e", "stderr", "-p"]);
    command.arg(place.path()).arg("-c").arg(&configuration);
    let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut other = Other(child.unwrap());
    let name = socket.to_str().unwrap().to_owned();
    eventually("nginx serves", SOON, || {
        assert!(other.0.try_wait().unwrap().is_none(), "nginx has ended");
        std::os::unix::net::UnixStream::connect(&name).ok()
    });
    let whole = get(&["--unix", &name, "http://localhost/noise"]);
    assert!(whole.out == noise(300_000), "{}", whole.err);
    assert_eq!(
        get(&["--unix", &name, "-r", "5-8", "http://localhost/text.txt"]).text(),
        "more"
    );
    get(&["--unix", &name, "-f", "http://localhost/nope"]).is_failure(22, "404 Not Found");
    let got = get(&[
        "--unix",
        &name,
        "--repeat",
        "20",
        "--json",
        "http://localhost/noise",
    ]);
    let told: Value = serde_json::from_str(&got.err).unwrap();
    assert_eq!(
        (&told["count"], &told["connections"]),
        (&20.into(), &1.into())
    );
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("part");
    fs::write(&path, &noise(300_000)[..123_456]).unwrap();
    let got = get(&[
        "--unix",
        &name,
        "-C",
        "-o",
        path.to_str().unwrap(),
        "http://localhost/noise",
    ]);
    assert!(got.status == 0 && got.err.is_empty(), "{got:?}");
    assert!(fs::read(&path).unwrap() == noise(300_000));
    // It goes by SIGTERM, and takes its worker along.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(other.0.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    eventually("nginx ends", SOON, || other.0.try_wait().unwrap());
}
