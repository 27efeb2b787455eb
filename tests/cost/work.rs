//! What is asked of the server, and how: each work is done one request after
//! the other by one client, so that every run takes the same ways.

use super::harness::client::{Answer, Client};
use super::harness::{SOON, let_time_pass, process};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many requests are sent at once where they are pipelined.
pub(crate) const PIPELINE: usize = 16;
const SMALL: usize = 1000;
const LARGE: usize = 64 << 10;

/// The files that are asked for.
pub(crate) struct Site {
    directory: TempDir,
}

impl Site {
    /// Writes them, and waits until they are so old that their content is kept.
    pub(crate) fn new() -> Self {
        /// As SETTLED in src/driver/files.rs, and a second more.
        const SETTLED: Duration = Duration::from_secs(4);
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("small.txt"), [b's'; SMALL]).unwrap();
        std::fs::write(directory.path().join("large.bin"), [b'l'; LARGE]).unwrap();
        let_time_pass(SETTLED);
        Self { directory }
    }
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A file of 1,000 octets over a kept connection.
    Small,
    /// The same, each time with another query, so that it must be read.
    Varied,
    /// As small, with an access log in a file.
    Logged,
    /// The same, 16 requests at once.
    Pipelined,
    /// The same, over a connection of its own.
    Fresh,
    /// The same, which the client has: 304.
    Unchanged,
    /// A file of 64 KiB over a kept connection.
    Large,
    /// 64 octets to the service `echo` and back.
    Echo,
}

impl Work {
    /// The pool `work` for it, with one worker of that model.
    pub(crate) fn pool(self, model: &str, site: &Site) -> String {
        let pool = format!(
            "[pool.work]\nlisten = \"127.0.0.1:0\"\nmodel = \"{model}\"\nworkers = 1\n\
             idle_timeout = \"10m\"\n"
        );
        let threads = match model {
            "threads" => "threads_per_worker = 1\n",
            _ => "",
        };
        let log = match self {
            Self::Logged => "{ to = \"access.log\" }",
            Self::Small
            | Self::Varied
            | Self::Pipelined
            | Self::Fresh
            | Self::Unchanged
            | Self::Large
            | Self::Echo => "\"off\"",
        };
        let service = match self {
            Self::Echo => "service = \"echo\"\n".to_owned(),
            Self::Small
            | Self::Varied
            | Self::Logged
            | Self::Pipelined
            | Self::Fresh
            | Self::Unchanged
            | Self::Large => format!(
                "service = \"http\"\n[pool.work.http]\nroot = \"{}\"\naccess_log = {log}\n\
                 keepalive_requests = 0\nkeepalive_timeout = \"60s\"\n",
                site.directory.path().display()
            ),
        };
        pool + threads + &service
    }

    /// `count` requests, each answered as it should be; `worker` answers them.
    pub(crate) fn perform(self, address: SocketAddr, worker: u32, model: &str, count: usize) {
        // An event loop looks for a request as soon as there is a client; that
        // it has come by then would be chance. So it is stopped until it has,
        // for which epoll_wait(2) returns once with EINTR.
        let held = model == "event";
        match self {
            Self::Small | Self::Logged => keep(address, count, &request("/small.txt", ""), SMALL),
            Self::Varied => {
                let mut client = Client::connect(address);
                for number in 0..count {
                    // As long as another: they differ in nothing else.
                    client.send(request(&format!("/small.txt?{number:06}"), ""));
                    expect(&client.answer(), 200, SMALL);
                }
            }
            Self::Large => keep(address, count, &request("/large.bin", ""), LARGE),
            Self::Pipelined => {
                let requests = request("/small.txt", "").repeat(PIPELINE);
                let mut client = Client::connect(address);
                for _ in 0..count / PIPELINE {
                    client.send(&requests);
                    (0..PIPELINE).for_each(|_| expect(&client.answer(), 200, SMALL));
                }
            }
            Self::Fresh => {
                let request = request("/small.txt", "Connection: close\r\n");
                for _ in 0..count {
                    wait_for(worker, "S");
                    if held {
                        process::signal(worker, Signal::SIGSTOP);
                        wait_for(worker, "Tt");
                    }
                    let mut client = Client::connect(address);
                    client.send(&request);
                    if held {
                        process::signal(worker, Signal::SIGCONT);
                    }
                    expect(&client.answer(), 200, SMALL);
                    assert!(client.read_to_end().is_empty());
                }
            }
            Self::Unchanged => {
                let mut client = Client::connect(address);
                client.send(request("/small.txt", ""));
                let answer = client.answer();
                let tag = answer.field("etag").unwrap();
                let request = request("/small.txt", &format!("If-None-Match: {tag}\r\n"));
                for _ in 0..count {
                    client.send(&request);
                    expect(&client.answer_to_head(), 304, 0);
                }
            }
            Self::Echo => {
                let mut client = Client::connect(address);
                for _ in 0..count {
                    client.send([b'e'; 64]);
                    assert_eq!(client.read(64), [b'e'; 64]);
                }
            }
        }
    }
}

/// Until the worker is in one of these states (proc_pid_stat(5)). Not
/// [`super::harness::eventually`]: in its pauses much would happen that only
/// time brings.
fn wait_for(worker: u32, states: &str) {
    let deadline = Instant::now() + SOON;
    while !process::state(worker).is_some_and(|state| states.contains(state)) {
        assert!(Instant::now() < deadline, "the worker is never in {states}");
        std::thread::yield_now();
    }
}

/// What curl sends, and more.
fn request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n{more}\r\n"
    )
}

fn keep(address: SocketAddr, count: usize, request: &str, length: usize) {
    let mut client = Client::connect(address);
    for _ in 0..count {
        client.send(request);
        expect(&client.answer(), 200, length);
    }
}

fn expect(answer: &Answer, status: u16, length: usize) {
    assert_eq!((answer.status, answer.body.len()), (status, length));
}
