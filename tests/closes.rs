//! Each connection ends for one reason of a closed list, and is counted under
//! it, on each model, whoever served it and whether that lives on or not.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::outcome;
use harness::{
    Client, SOON, Server, eventually, install, on_each_model, preforkd, process, uninterrupted,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

on_each_model! {
    every_reason_is_counted_once_a_connection
    answers_are_counted_by_their_class
    an_answer_that_is_not_taken_is_not_complete
}

/// Larger than what the kernel buffers for one connection.
const LARGE: u64 = 256 << 20;

fn server(model: &str) -> Server {
    let directory = TempDir::new().unwrap();
    let www = directory.path().join("www");
    std::fs::create_dir(&www).unwrap();
    std::fs::write(www.join("index.html"), "index\n").unwrap();
    std::fs::write(www.join("page.html"), [b'p'; 16_000]).unwrap();
    File::create(www.join("large"))
        .unwrap()
        .set_len(LARGE)
        .unwrap();
    let programs = [
        ("mute.cgi", "#!/bin/sh\nexit 1\n"),
        ("hang.cgi", "#!/bin/sh\nexec sleep 1000\n"),
    ];
    install(&www, &programs);
    let threads = if model == "threads" {
        "threads_per_worker = 1\n"
    } else {
        ""
    };
    let pool = |name: &str, time: &str, kept: &str, rate: &str| {
        format!(
            "[pool.{name}]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
             workers = 1\n{threads}linger_timeout = \"100ms\"\n\
             write_timeout = \"{time}\"\nsend_min_rate = \"{rate}\"\n\
             [pool.{name}.http]\nroot = \"www\"\nkeepalive_timeout = \"{kept}\"\n\
             keepalive_requests = 3\nheader_timeout = \"{time}\"\n\
             body_timeout = \"{time}\"\nbody_min_rate = \"{rate}\"\n\
             path.\"/ill\".respond = {{ status = 503 }}\n\
             path.\"*.cgi\".cgi = true\n"
        )
    };
    // What is no matter of time happens where there is time for it, as for a reload
    // while a connection is kept.
    let pools = pool("hasty", "700ms", "700ms", "1MiB")
        + &pool("patient", "400ms", "400ms", "0B")
        + &pool("calm", "60s", "2s", "0B");
    Server::run_with(directory, "control_socket = \"control\"", &pools)
}

/// What has been counted, in all pools together.
fn counts(server: &Server, key: &str) -> BTreeMap<String, u64> {
    let mut command = preforkd();
    let control = server.directory.path().join("control");
    command.args(["status", "--json", "--control"]).arg(control);
    let output = outcome(command);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut counts = BTreeMap::new();
    for pool in status["pools"].as_array().unwrap() {
        let group = pool[key].as_object().cloned().unwrap_or_default();
        let alone = [(key.to_owned(), pool[key].clone())];
        let group = group.into_iter().chain(alone);
        for (name, count) in group {
            *counts.entry(name).or_default() += count.as_u64().unwrap_or(0);
        }
    }
    // A group has no number of its own.
    counts.retain(|name, _| name != key || !status["pools"][0][key].is_object());
    counts
}

/// Waits until `count` connections in all have ended for this reason.
fn wait_for(server: &Server, reason: &str, count: u64) {
    eventually(reason, SOON, || {
        (counts(server, "closes")[reason] == count).then_some(())
    });
}

/// One connection; what is done with it ends it, and not a deadline.
fn client(server: &Server, first: &str) -> Client {
    client_of(server, "calm", first)
}

/// One that has little time.
fn hasty(server: &Server, first: &str) -> Client {
    client_of(server, "hasty", first)
}

fn client_of(server: &Server, pool: &str, first: &str) -> Client {
    let mut client = Client::connect(server.address(pool));
    client.send(first);
    client
}

/// A request that may be followed by another.
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n";
const GET_LARGE: &str = "GET /large HTTP/1.1\r\nHost: test\r\n\r\n";

/// What a client cannot bring about: `overflow` is for protocols that set
/// themselves no bound, and `internal` for our own mistakes.
const NOT_TO_BE_HAD: [&str; 2] = ["overflow", "internal"];

/// What ends a connection so.
fn provoke(server: &Server, reason: &str) {
    match reason {
        "complete" => {
            let request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
            client(server, request).read_to_end();
        }
        "peer-closed" => drop(client(server, GET).answer()),
        "cut-short" => {
            let mut client = client(server, "GET / HT");
            client.finish();
            client.read_to_end();
        }
        "idle" => drop(hasty(server, "").read_to_end()),
        "request-timeout" => drop(hasty(server, "GET / HT").read_to_end()),
        "body-timeout" => drop(hasty(server, POST).read_to_end()),
        "slow-body" => {
            let mut client = hasty(server, POST);
            let pause = Some(Duration::from_millis(20));
            client.stream.set_read_timeout(pause).unwrap();
            let answer = eventually("an end of the trickle", SOON, || {
                let _ = client.stream.write_all(b"x");
                client.try_answer(true).ok()
            });
            assert_eq!(answer.status, 408);
        }
        "write-stalled" => {
            // Where no rate is asked for, to take nothing is the one mistake.
            let mut client = Client::connect(server.address("patient"));
            client.send(GET_LARGE);
            wait_for(server, reason, 1);
        }
        "slow-reader" => {
            let client = hasty(server, "");
            SockRef::from(&client.stream)
                .set_recv_buffer_size(1 << 16)
                .unwrap();
            let mut client = client;
            client.send(GET_LARGE);
            let mut room = vec![0; 4096];
            // It takes something all the time, and gets what was under way.
            eventually("a slow reader is reset", SOON, || {
                let taken = uninterrupted(|| client.stream.read(&mut room));
                taken.is_err().then_some(())
            });
        }
        "reset" => {
            let mut client = client(server, GET_LARGE);
            client.read(100_000);
            client.reset();
        }
        "refused" => drop(client(server, "GET  / HTTP/1.1\r\n\r\n").read_to_end()),
        "request-limit" => drop(client(server, &GET.repeat(3)).read_to_end()),
        "draining" => {
            let mut client = client(server, GET);
            assert_eq!(client.answer().status, 200);
            server.signal(Signal::SIGHUP);
            client.read_to_end();
        }
        "truncated" => {
            let mut client = client(server, GET_LARGE);
            client.read(1 << 20);
            let path = server.directory.path().join("www/large");
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(0).unwrap();
            client.drain();
        }
        "program" => {
            let request = "GET /mute.cgi HTTP/1.1\r\nHost: test\r\n\r\n";
            client(server, request).read_to_end();
        }
        "killed" => {
            let request = "GET /hang.cgi HTTP/1.1\r\nHost: test\r\n\r\n";
            let mut client = client(server, request);
            let serving = eventually("somebody serves", SOON, || {
                let everyone = process::descendants(server.pid());
                // Until it runs, the program has the title of who forked it.
                let runs = |pid: &u32| process::title(*pid).contains("sleep 1000");
                everyone.iter().find(|pid| runs(pid))?;
                let busy = |pid: &u32| {
                    let title = process::title(*pid);
                    title.contains("calm[0]") && title.contains("serving")
                };
                // The one that was forked last has the connection.
                everyone.into_iter().filter(busy).max()
            });
            process::signal(serving, Signal::SIGKILL);
            client.drain();
        }
        other => panic!("nobody knows how to provoke {other}"),
    }
}

fn every_reason_is_counted_once_a_connection(model: &str) {
    let mut server = server(model);
    for line in [
        "closed: ",
        "killed by SIGKILL",
        "program mute.cgi",
        "died young",
    ] {
        server.expect(line);
    }
    // The list is the program's own: a reason that is added fails here. What
    // changes the workers or the files comes last.
    let closes = counts(&server, "closes");
    let late = ["truncated", "draining", "killed"];
    let mut reasons: Vec<&str> = closes.keys().map(String::as_str).collect();
    reasons.retain(|reason| !NOT_TO_BE_HAD.contains(reason));
    reasons.sort_by_key(|reason| late.iter().position(|one| one == reason));
    for (before, reason) in reasons.iter().enumerate() {
        provoke(&server, reason);
        wait_for(&server, reason, 1);
        let closes = counts(&server, "closes");
        let ended: u64 = closes.values().sum();
        assert_eq!(ended, before as u64 + 1, "{reason}: {closes:?}");
        let begun = counts(&server, "connections")["connections"];
        assert_eq!(begun, ended, "{reason}: {closes:?}");
    }
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
}

fn answers_are_counted_by_their_class(model: &str) {
    let mut server = server(model);
    server.expect("program mute.cgi");
    server.expect("closed: program");
    for (request, answers) in [
        ("GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n", 1),
        (
            "GET / HTTP/1.1\r\nHost: test\r\nIf-None-Match: *\r\n\r\n",
            1,
        ),
        ("GET /ill HTTP/1.1\r\nHost: test\r\n\r\n", 1),
        ("GET /mute.cgi HTTP/1.1\r\nHost: test\r\n\r\n", 1),
        // Several in one turn.
        (&GET.repeat(3), 3),
    ] {
        let mut client = client(&server, request);
        for _ in 0..answers {
            client.answer();
        }
    }
    let mut expecting = client(
        &server,
        "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(expecting.answer_to_head().status, 100);
    expecting.send("x");
    assert_eq!(expecting.answer().status, 200);
    drop(expecting);
    let expected = [("1xx", 1), ("2xx", 4), ("3xx", 1), ("4xx", 1), ("5xx", 2)];
    let expected = BTreeMap::from(expected.map(|(class, count)| (class.to_owned(), count)));
    eventually("all are counted", SOON, || {
        (counts(&server, "answers") == expected).then_some(())
    });
    let mut command = preforkd();
    let control = server.directory.path().join("control");
    command.args(["status", "--control"]).arg(control);
    let table = String::from_utf8(outcome(command).stdout).unwrap();
    let mut rows = table
        .lines()
        .skip_while(|line| !line.contains("5XX  CLOSES"));
    let row = rows.find(|line| line.starts_with("calm ")).unwrap();
    let words: Vec<&str> = row.split_whitespace().take(6).collect();
    assert_eq!(words, ["calm", "1", "4", "1", "1", "2"], "{table}");
    server.stop();
}

/// All of it is written by the protocol, and the rest waits in the driver.
fn an_answer_that_is_not_taken_is_not_complete(model: &str) {
    let server = server(model);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    // Small segments and a small window: the server's kernel takes little.
    socket.set_recv_buffer_size(2048).unwrap();
    socket.set_tcp_mss(536).unwrap();
    // From an address of its own: what the kernel remembers of connections between
    // two addresses (ip-tcp_metrics(8)) would have it send more at once.
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let [.., own] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let address = SocketAddr::from(([127, 100 + own, high, low], 0));
    socket.bind(&address.into()).unwrap();
    socket.connect(&server.address("patient").into()).unwrap();
    let mut client = Client::of(socket.into());
    let request = "GET /page.html HTTP/1.1\r\nHost: test\r\n";
    client.send(format!(
        "{request}\r\n{request}\r\n{request}Connection: close\r\n\r\n"
    ));
    wait_for(&server, "write-stalled", 1);
    assert_eq!(counts(&server, "closes").values().sum::<u64>(), 1);
    server.stop();
}
