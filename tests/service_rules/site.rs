//! What is served: a site with one of everything, with limits that are easy to
//! reach, and a second pool with deadlines that are.

use crate::harness::client::Answer;
use crate::harness::{Client, Server, install};
use crate::row::PROBED;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// When the files of the site were last changed.
pub(crate) const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

pub(crate) struct Site {
    pub(crate) model: String,
    pub(crate) server: Server,
    /// What stands for the tag of a file in a row, and the tag.
    pub(crate) tags: Vec<(&'static str, String)>,
}

const SCRIPTS: &[(&str, &str)] = &[
    ("env", "printf 'Content-Type: text/plain\\n\\n'; env; cat"),
    ("say", "printf 'Content-Type: text/plain\\r\\n\\r\\n'; cat"),
    (
        "missing",
        "printf 'Status: 404 Not Here\\nContent-Type: a/b\\nX-A: b\\n\\nno'",
    ),
    ("local", "printf 'Location: /x\\n\\n'"),
    ("away", "printf 'Location: http://other.example/x\\n\\n'"),
    (
        "moved",
        "printf 'Status: 301 Moved\\nLocation: /x\\nContent-Type: a/b\\n\\nthere'",
    ),
    (
        "liar",
        "printf 'Content-Type: a/b\\nConnection: keep-alive\\nTransfer-Encoding: gzip\\n\
         Content-Length: 5\\nContent-Length: 6\\n\\nhello'",
    ),
    ("none", "printf 'Status: 204\\n\\n'"),
    ("same", "printf 'Status: 304\\nETag: \"a\"\\n\\nx'"),
    ("empty", "cat >/dev/null"),
    ("untyped", "printf 'X: y\\n\\nhello'"),
    (
        "inject",
        "printf 'Content-Type: a/b\\nX: y\\rSet-Cookie: z\\n\\nhello'",
    ),
    ("fail", "echo 'a complaint of rule 126' >&2; exit 1"),
    ("nph-x", "echo HTTP/1.1 200 OK"),
    (
        "deaf",
        "printf 'Content-Type: a/b\\n\\n'; head -c 3000000 /dev/zero",
    ),
    (
        "hang",
        "trap '' TERM\nsleep 1000 & echo $! > child\necho $$ > pid; while :; do sleep 1000; done",
    ),
    ("sleep", "echo $$ > pid; exec sleep 1000"),
];

impl Site {
    pub(crate) fn new(model: &str) -> Self {
        let directory = TempDir::new().unwrap();
        build(directory.path());
        let workers = if model == "prefork" { 10 } else { 2 };
        let mut server = Server::run_with(directory, "", &configuration(model, workers));
        // What rule 126 is about is said in the log.
        server.expect("program");
        server.expect("more complaints about requests were not written");
        let mut site = Self {
            model: model.to_owned(),
            server,
            tags: Vec::new(),
        };
        let tag = |fields: &str, target: &str| {
            let answer = site.head(target, fields);
            answer.field("ETag").unwrap().to_owned()
        };
        let tags = vec![
            ("{digits}", tag("", "/digits")),
            ("{page}", tag("", "/page.html")),
            ("{page.gz}", tag("Accept-Encoding: gzip\r\n", "/page.html")),
        ];
        site.tags = tags;
        site
    }

    pub(crate) fn address(&self, pool: &str) -> SocketAddr {
        self.server.address(pool)
    }

    pub(crate) fn root(&self) -> &Path {
        self.server.directory.path()
    }

    fn head(&self, target: &str, fields: &str) -> Answer {
        let mut client = Client::connect(self.address("web"));
        client.send(format!(
            "HEAD {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"
        ));
        client.answer_to_head()
    }

    /// A good end, and a log in which no line is of a client's making.
    pub(crate) fn stop(self) {
        self.server.stop_leaving(|directory| {
            let log = fs::read(directory.join("access.log")).unwrap();
            assert!(log.ends_with(b"\n"), "whole lines");
            for line in log
                .split(|&byte| byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                let shown = String::from_utf8_lossy(line).into_owned();
                assert!(
                    line.iter()
                        .all(|byte| byte.is_ascii_graphic() || *byte == b' '),
                    "{shown}"
                );
                assert!(line.starts_with(b"127.0.0.1 "), "{shown}");
            }
        });
    }
}

fn configuration(model: &str, workers: u32) -> String {
    let site = r#"
        [pool.POOL.http.path."/hello"]
        respond = "Hello, World!"
        [pool.POOL.http.path."/old"]
        redirect = "/new"
        [pool.POOL.http.path."/gone/"]
        respond = { status = 410, body = "gone" }
        [pool.POOL.http.path."/busy/"]
        respond = { status = 503, body = "{}", content_type = "application/json" }
        [pool.POOL.http.path."/denied/"]
        deny = "127.0.0.0/8"
        [pool.POOL.http.path."/small/"]
        alias = "www"
        max_body = "10B"
        [pool.POOL.http.path."/app/"]
        fallback = "/page.html"
        [pool.POOL.http.path."/cached/"]
        alias = "www"
        headers = { Cache-Control = "max-age=60", Expires = "Thu, 01 Jan 2099 00:00:00 GMT" }
        [pool.POOL.http.path."/paged/"]
        error_pages = { 404 = "/nothing.html", 405 = "/nothing.html" }
        [pool.POOL.http.path."/locked/"]
        auth = "htpasswd"
        [pool.POOL.http.path."/listed/"]
        listing = true
        [pool.POOL.http.path."/cgi-bin/"]
        alias = "programs"
        cgi = true
        max_body = "4MiB"
        [pool.POOL.http.path."/cgi-locked/"]
        alias = "programs"
        cgi = true
        auth = "htpasswd"
        [pool.POOL.http.host."example.org"]
        root = "other"
    "#;
    let pool = |name: &str, workers: u32, duty: &str, http: &str| {
        format!(
            "[pool.{name}]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
             workers = {workers}\n{duty}\n[pool.{name}.http]\nroot = \"www\"\nmax_body = \"1000B\"\n\
             access_log = \"access.log\"\n{http}\n{}",
            site.replace("POOL", name)
        )
    };
    let quick = "header_timeout = \"600ms\"\nbody_timeout = \"600ms\"\nkeepalive_timeout = \"600ms\"\n\
                 [pool.quick.http.cgi]\nsilence_timeout = \"300ms\"\ngrace = \"300ms\"\n";
    pool(
        "web",
        workers,
        "",
        "gzip = true\n[pool.web.http.cgi]\ngrace = \"300ms\"\n",
    ) + &pool(
        "quick",
        4,
        "write_timeout = \"600ms\"\nlinger_timeout = \"600ms\"",
        quick,
    )
}

fn build(directory: &Path) {
    let at = |name: &str| directory.join(name);
    for name in [
        "www/dir",
        "www/bare",
        "www/evil.example",
        "www/.well-known",
        "www/linked",
        "www/listed/sub",
        "www/locked",
        "www/app",
        "other",
        "programs",
    ] {
        fs::create_dir_all(at(name)).unwrap();
    }
    let put = |name: &str, content: &str| {
        fs::write(at(name), content).unwrap();
        change(&at(name), 784_111_777);
    };
    put("secret", "SECRET");
    put("www/probe", PROBED);
    put("www/index.html", "<h1>home</h1>");
    for name in ["a", "b", "x"] {
        put(&format!("www/{name}"), &format!("of {name}"));
    }
    put("www/a b.txt", "spaces");
    put("www/empty", "");
    put("www/dir/index.html", "in dir");
    put("www/.secret", "SECRET");
    put("www/.well-known/security.txt", "Contact: x");
    put("www/future", "f");
    let later = SystemTime::now() + Duration::from_secs(3600);
    change(
        &at("www/future"),
        later
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    );
    put("www/epoch", "e");
    change(&at("www/epoch"), 1);
    put("www/large", &"L".repeat(200_000));
    put("www/digits", "0123456789");
    put("www/page.html", &"page ".repeat(1000));
    put("www/page.html.gz", "(page, gzip)");
    put("www/page.html.br", "(page, br)");
    put("www/picture.png", "pixels");
    put("www/lone.txt", &"alone ".repeat(1000));
    put("www/sibling.txt", "by itself");
    put("www/nothing.html", "nothing, alas");
    put("www/smuggled", "SMUGGLED");
    put("www/locked/a", "for ada");
    put("www/listed/<b>&", "odd");
    put("other/x", "of example.org");
    for link in [
        "www/link",
        "www/linked/index.html",
        "www/listed/away",
        "www/sibling.txt.gz",
    ] {
        symlink(at("secret"), at(link)).unwrap();
    }
    let giant = File::create(at("www/giant")).unwrap();
    giant.set_len(64 << 20).unwrap();
    let scripts: Vec<(&str, String)> = SCRIPTS
        .iter()
        .map(|(name, text)| (*name, format!("#!/bin/sh\n{text}\n")))
        .collect();
    let scripts: Vec<(&str, &str)> = scripts
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    install(&at("programs"), &scripts);
    // ada:open
    let hash = bcrypt::hash("open", 4).unwrap();
    fs::write(at("htpasswd"), format!("ada:{hash}\n")).unwrap();
}

/// Sets when a file was last changed, in seconds since 1970.
fn change(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_modified(time).unwrap();
}
