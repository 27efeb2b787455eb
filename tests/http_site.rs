//! Hosts, rules for paths, passwords and listings of the real program, on each
//! model.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::client::Answer;
use harness::lease::Lease;
use harness::{Client, SOON, Server, eventually, get, on_each_model, process};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

on_each_model! {
    what_is_configured_is_served
    files_of_two_policies_stay_apart
    a_file_that_somebody_has_a_lease_on_is_busy
}

/// Ends the threads that look at it, also when the test fails.
struct Over<'f>(&'f AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// ada:open and ada:wrong.
const ADA: &str = "Authorization: Basic YWRhOm9wZW4=\r\n";
const WRONG: &str = "Authorization: Basic YWRhOndyb25n\r\n";

fn write_password(directory: &Path, password: &str, cost: u32) {
    let hash = bcrypt::hash(password, cost).unwrap();
    fs::write(directory.join("htpasswd"), format!("ada:{hash}\n")).unwrap();
}

/// A site with one of everything.
fn site(cost: u32) -> TempDir {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["www/private", "www/sub", "other", "dl"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    fs::write(at("www/index.html"), "index\n").unwrap();
    fs::write(at("www/404.html"), "nothing, alas\n").unwrap();
    fs::write(at("www/page.txt"), "a page\n").unwrap();
    fs::write(at("www/packed"), "as if compressed").unwrap();
    symlink("packed", at("www/page.txt.gz")).unwrap();
    fs::write(at("www/private/page"), "for ada\n").unwrap();
    fs::write(at("www/sub/a b&c"), "odd\n").unwrap();
    fs::write(at("secret"), "secret\n").unwrap();
    symlink(at("secret"), at("www/sub/escape")).unwrap();
    symlink("../index.html", at("www/sub/inside")).unwrap();
    fs::write(at("other/index.html"), "other\n").unwrap();
    symlink("index.html", at("other/link")).unwrap();
    fs::write(at("dl/file"), "download\n").unwrap();
    write_password(directory.path(), "open", cost);
    directory
}

fn configuration(model: &str, workers: u32) -> String {
    let workers = match model {
        "fork" => String::new(),
        _ => format!("workers = {workers}\n"),
    };
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n{workers}\
         linger_timeout = \"100ms\"\n\
         [pool.web.http]\nroot = \"www\"\nkeepalive_timeout = \"300ms\"\n\
         error_pages = {{ 404 = \"/404.html\" }}\n\
         headers = {{ Cache-Control = \"max-age=60\" }}\n\
         [pool.web.http.path.\"/hello\"]\nrespond = \"Hello, World!\"\n\
         [pool.web.http.path.\"/old/\"]\nredirect = \"/new/\"\n\
         [pool.web.http.path.\"/dl/\"]\nalias = \"dl\"\n\
         [pool.web.http.path.\"/denied/\"]\ndeny = \"127.0.0.0/8\"\n\
         [pool.web.http.path.\"/private/\"]\nauth = \"htpasswd\"\n\
         [pool.web.http.path.\"/sub/\"]\nlisting = true\n\
         [pool.web.http.host.\"other.example\"]\nroot = \"other\"\nsymlinks = \"never\"\n\
         [pool.web.http.host.\"strict.example\"]\nroot = \"www\"\nsymlinks = \"never\"\n"
    )
}

fn ask(address: SocketAddr, target: &str, fields: &str) -> Answer {
    ask_patiently(address, target, fields, SOON)
}

fn ask_patiently(address: SocketAddr, target: &str, fields: &str, patience: Duration) -> Answer {
    let mut client = Client::connect(address);
    client.stream.set_read_timeout(Some(patience)).unwrap();
    client.send(format!(
        "GET {target} HTTP/1.1\r\nHost: test\r\n{fields}Connection: close\r\n\r\n"
    ));
    client.answer()
}

/// A listing: its length is told by the end of the connection.
fn list(address: SocketAddr, target: &str, fields: &str) -> String {
    let mut client = Client::connect(address);
    client.send(format!("GET {target} HTTP/1.0\r\n{fields}\r\n"));
    let text = String::from_utf8(client.read_to_end()).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    text
}

fn what_is_configured_is_served(model: &str) {
    let mut server = Server::run_with(site(4), "", &configuration(model, 2));
    let address = server.address("web");

    assert_eq!(get(address, "/hello").body, b"Hello, World!");
    let moved = get(address, "/old/x?y");
    assert_eq!(
        (moved.status, moved.field("location")),
        (301, Some("/new/x?y"))
    );
    assert_eq!(get(address, "/dl/file").body, b"download\n");
    assert_eq!(get(address, "/denied/x").status, 403);
    let missing = get(address, "/none");
    assert_eq!(
        (missing.status, &missing.body[..]),
        (404, &b"nothing, alas\n"[..])
    );

    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: Other.Example.:80\r\n\r\n");
    assert_eq!(client.answer().body, b"other\n");
    client.send("GET http://other.example/link HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.answer().status, 403, "no link is followed there");
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().body, b"index\n");

    let locked = ask(address, "/private/page", "");
    assert_eq!(locked.status, 401);
    assert_eq!(
        locked.field("www-authenticate"),
        Some("Basic realm=\"restricted\", charset=\"UTF-8\"")
    );
    assert_eq!(ask(address, "/private/page", WRONG).status, 401);
    assert_eq!(ask(address, "/private/page", ADA).body, b"for ada\n");

    // Rule 111: a link that leads out is no row.
    let page = list(address, "/sub/", "");
    assert!(page.contains("href=\"a%20b%26c\">a b&amp;c</a>"), "{page}");
    assert!(
        page.contains("\">inside</a>") && !page.contains("escape"),
        "{page}"
    );
    let json = list(address, "/sub/", "Accept: application/json\r\n");
    assert!(json.contains("\"name\":\"a b&c\""), "{json}");
    assert_eq!(get(address, "/sub/escape").status, 403);

    // A reload reads the password file again.
    write_password(server.directory.path(), "wrong", 4);
    server.reload(2);
    // A worker of before may have accepted one more.
    eventually("the new password holds", SOON, || {
        let status = |fields| ask(address, "/private/page", fields).status;
        (status(ADA) == 401 && status(WRONG) == 200).then_some(())
    });
    server.stop();
}

/// The same directory under two policies for links: the sibling of a file is
/// there for one host and not for the other, whoever looked for it first; and
/// what a rule says of caches is the same in whatever is sent of the file.
fn files_of_two_policies_stay_apart(model: &str) {
    let server = Server::run_with(site(4), "", &configuration(model, 2));
    let mut client = Client::connect(server.address("web"));
    let mut ask = |host: &str, target: &str, fields: &str| {
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n{fields}\r\n"
        ));
        client.answer()
    };
    for host in ["strict.example", "test", "strict.example", "test"] {
        let (coding, body) = match host {
            "test" => (Some("gzip"), &b"as if compressed"[..]),
            _ => (None, &b"a page\n"[..]),
        };
        let whole = ask(host, "/page.txt", "");
        assert_eq!(
            (whole.field("content-encoding"), &whole.body[..]),
            (coding, body)
        );
        let part = ask(host, "/page.txt", "Range: bytes=2-4\r\n");
        assert_eq!((part.status, &part.body[..]), (206, &body[2..=4]));
        let parts = ask(host, "/page.txt", "Range: bytes=0-0,-1\r\n");
        assert_eq!(parts.status, 206);
        let tag = whole.field("etag").unwrap();
        let same = ask(host, "/page.txt", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(same.status, 304);
        for answer in [&part, &parts, &same] {
            for name in ["cache-control", "vary", "etag"] {
                assert!(answer.field(name).is_some(), "{name}");
                assert_eq!(answer.field(name), whole.field(name));
            }
        }
    }
    // What stands for an error is sent whole and as it is.
    let missing = ask("test", "/none", "Range: bytes=0-1\r\nIf-None-Match: *\r\n");
    assert_eq!(
        (missing.status, &missing.body[..]),
        (404, &b"nothing, alas\n"[..])
    );
    assert_eq!(missing.field("cache-control"), None);
    drop(client);
    server.stop();
}

/// How many entries, and how long the name of each is: more than [`LITTLE`].
const MANY: usize = 20_000;
const LONG: usize = 240;
/// What sorting may hold, and what the listing needs besides, in KiB.
const LITTLE: u64 = 4 * 1024;

#[test]
fn a_large_directory_is_listed_in_little_memory() {
    const { assert!(MANY * LONG > LITTLE as usize * 1024) };
    // One for all: to make it takes longer than to list it.
    let directory = site(4);
    let large = directory.path().join("www/sub");
    // One file by many names is soon made.
    let file = directory.path().join("secret");
    for number in 0..MANY {
        let name = format!("entry-{number:0width$}", width = LONG - 6);
        fs::hard_link(&file, large.join(name)).unwrap();
    }
    // The others run the driver of prefork.
    for model in ["prefork", "event"] {
        let configuration = configuration(model, 1).replace("\"www\"", &at(&directory, "www"));
        assert_listed_in_little_memory(model, &configuration);
    }
}

/// The path of what is in `directory`, as the configuration has it.
fn at(directory: &TempDir, name: &str) -> String {
    format!("\"{}\"", directory.path().join(name).display())
}

fn assert_listed_in_little_memory(model: &str, configuration: &str) {
    let server = Server::run_with(site(4), "", configuration);
    let address = server.address("web");
    assert_eq!(get(address, "/hello").status, 200);
    let worker = server.workers()[0];
    let peak = || {
        let text = process::status(worker, "VmHWM");
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap()
    };
    let before = peak();
    // Somebody who reads slowly must not make it hold more.
    let page = list(address, "/sub/", "");
    let rows = page.matches("\">entry-").count();
    assert_eq!(rows, MANY);
    assert!(page.contains("too many entries to sort"));
    assert!(page.ends_with("</html>\n"));
    let grown = peak() - before;
    eprintln!("{model}: {MANY} entries, {grown} KiB more at the peak");
    assert!(grown < LITTLE, "the worker grew by {grown} KiB");
    server.stop();
}

/// Rule 111, while it happens: a name that is now a file and now a link that
/// leads out, as a file, as an index and in a listing.
/// As Samba and an NFS server take them on files that a client has open.
fn a_file_that_somebody_has_a_lease_on_is_busy(model: &str) {
    let directory = site(4);
    let mut server = Server::run_with(directory, "", &configuration(model, 1));
    server.expect("leased to somebody");
    server.expect("closed: internal");
    let address = server.address("web");
    let mut lease = Lease::of(&server.directory.path().join("www/page.txt"));
    let found = ask(address, "/page.txt", "");
    assert_eq!(found.status, 503);
    assert!(found.field("Retry-After").is_some(), "{}", found.head);
    lease.wait_until_wanted();
    assert_eq!(ask(address, "/", "").status, 200);
    drop(lease);
    assert_eq!(ask(address, "/page.txt", "").body, b"a page\n");
    server.stop();
}

#[test]
fn a_link_that_is_swapped_in_leads_nowhere() {
    let directory = site(4);
    let www = directory.path().join("www");
    fs::create_dir(www.join("dir")).unwrap();
    fs::write(www.join("plain"), "plain\n").unwrap();
    let server = Server::run_with(directory, "", &configuration("event", 1));
    let address = server.address("web");
    let secret = server.directory.path().join("secret");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = Over(&over);
        scope.spawn(|| {
            let temporary = www.join("temporary");
            while !over.load(Ordering::Relaxed) {
                for name in ["swapped", "dir/index.html", "sub/swapped"] {
                    symlink(&secret, &temporary).unwrap();
                    fs::rename(&temporary, www.join(name)).unwrap();
                    fs::copy(www.join("plain"), &temporary).unwrap();
                    fs::rename(&temporary, www.join(name)).unwrap();
                }
            }
        });
        let mut seen = std::collections::BTreeSet::new();
        let deadline = Instant::now() + SOON;
        while seen.len() < 2 || !seen.contains(&200) {
            assert!(Instant::now() < deadline, "only {seen:?} were seen");
            for target in ["/swapped", "/dir/", "/sub/swapped"] {
                for _ in 0..50 {
                    let answer = get(address, target);
                    assert!(!answer.body.starts_with(b"secret"), "of {target}");
                    seen.insert(answer.status);
                }
            }
            let size = "\"name\":\"swapped\",\"href\":\"swapped\",\"type\":\"file\",\"size\":7";
            let json = list(address, "/sub/", "Accept: application/json\r\n");
            assert!(!json.contains(size), "the size of what is outside");
        }
    });
    server.stop();
}

/// Eight clients who say wrong passwords all the time hold up nobody else.
#[test]
fn passwords_do_not_hold_up_the_event_loop() {
    // As many rounds as take a good while on this machine, in this build.
    let begin = Instant::now();
    bcrypt::hash("x", 4).unwrap();
    let mut hash = begin.elapsed();
    let mut cost = 4;
    while hash < Duration::from_millis(300) {
        (cost, hash) = (cost + 1, hash * 2);
    }
    let server = Server::run_with(site(cost), "", &configuration("event", 1));
    let address = server.address("web");
    let (over, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let _end = Over(&over);
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Seven others may be first, and a hash takes its time.
                    let answer = ask_patiently(address, "/private/page", WRONG, 6 * SOON);
                    assert_eq!(answer.status, 401);
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let time = || {
            let begin = Instant::now();
            assert_eq!(get(address, "/hello").status, 200);
            begin.elapsed()
        };
        // Until they are at it.
        while refused.load(Ordering::Relaxed) == 0 {
            time();
        }
        (0..200).map(|_| time()).collect()
    });
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    eprintln!("a hash takes {hash:?}, the 99th of 100 plain requests {p99:?}");
    assert!(p99 < hash / 2, "{p99:?}, where a hash takes {hash:?}");
    server.stop();
}

/// More of them at once than can wait are told so, and it passes.
#[test]
fn too_many_passwords_are_refused_with_a_time_to_come_again() {
    let begin = Instant::now();
    bcrypt::hash("x", 4).unwrap();
    let (mut cost, mut hash) = (4, begin.elapsed());
    while hash < Duration::from_millis(25) {
        (cost, hash) = (cost + 1, hash * 2);
    }
    let mut server = Server::run_with(site(cost), "", &configuration("event", 1));
    server.expect("too many passwords wait");
    server.expect("more complaints about requests were not written");
    let address = server.address("web");
    // All are there before the first is answered.
    let mut clients: Vec<Client> = (0..80).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(format!(
            "GET /private/page HTTP/1.1\r\nHost: test\r\n{WRONG}Connection: close\r\n\r\n"
        ));
    }
    let answers: Vec<Answer> = clients.iter_mut().map(Client::answer).collect();
    let of = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!(of(401) + of(503), answers.len());
    assert!(of(401) >= 32 && of(503) >= 1, "{} with 401", of(401));
    let refused = answers.iter().find(|answer| answer.status == 503).unwrap();
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(ask(address, "/private/page", ADA).status, 200);
    server.stop();
}
