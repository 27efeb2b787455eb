//! How long the parts that only decide take by themselves: a head is read, an
//! answer is written, the supervisor hears of something. No socket, no process.
//!
//! `cargo bench --bench parts`, or with a part of a name behind it. The time of
//! a machine says something beside an older time of the same machine only; what
//! a whole request costs is held by tests/cost.rs.

#![allow(missing_docs, reason = "criterion's macros write functions without")]
#![allow(clippy::unwrap_used, reason = "a bench may fail by a panic")]

#[path = "parts/supervision.rs"]
mod supervision;
#[path = "parts/talk.rs"]
mod talk;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use preforkd::config::LogTarget;
use std::hint::black_box;
use supervision::Pool;
use talk::Talk;

/// As little as HTTP/1.1 allows.
const MINIMAL: &str = "GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n";
/// As curl(1) asks.
const CURL: &str = "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\n\
    User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";
/// As a browser does, to whom the page is new.
const BROWSER: &str = "GET /index.html?from=start HTTP/1.1\r\nHost: www.example.org\r\n\
    Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Referer: https://www.example.org/start/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\nCookie: theme=dark; visits=17\r\n\
    Sec-Fetch-Dest: document\r\n\r\n";
const HEADS: [(&str, &str); 3] = [("minimal", MINIMAL), ("curl", CURL), ("browser", BROWSER)];

/// From the octets of a head to the file that is wanted.
fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (name, head) in HEADS {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| {
            let setup = || Talk::new(LogTarget::Off).hears(head);
            bencher.iter_batched_ref(setup, Talk::decide, BatchSize::SmallInput);
        });
    }
}

/// From the facts of a file of 1,000 octets to a head and the content.
fn respond(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("respond");
    for (name, log) in [("plain", LogTarget::Off), ("logged", LogTarget::Stderr)] {
        group.bench_function(name, |bencher| {
            let setup = || {
                let mut talk = Talk::new(log.clone()).hears(CURL);
                talk.decide();
                talk
            };
            bencher.iter_batched_ref(setup, Talk::answer, BatchSize::SmallInput);
        });
    }
}

/// A request and its answer on a connection that has had many.
fn turn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    for (name, head) in HEADS {
        let mut talk = Talk::new(LogTarget::Off);
        group.bench_function(name, |bencher| bencher.iter(|| black_box(talk.turn(head))));
    }
}

/// What the master thinks, with 256 workers.
fn supervise(criterion: &mut Criterion) {
    const WORKERS: u32 = 256;
    let mut group = criterion.benchmark_group("supervisor");
    let mut pool = Pool::serving(WORKERS);
    group.bench_function("nothing happens", |bencher| bencher.iter(|| pool.wake()));
    let mut pool = Pool::serving(WORKERS);
    group.bench_function("a worker dies and is replaced", |bencher| {
        bencher.iter(|| pool.replace_one());
    });
    let mut pool = Pool::serving(WORKERS);
    group.bench_function("a reload", |bencher| bencher.iter(|| pool.reload()));
}

criterion_group!(parts, parse, respond, turn, supervise);
criterion_main!(parts);
