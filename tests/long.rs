//! What takes its time: `cargo test --release -- --ignored` runs it, together
//! with the long versions in the other files.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;
#[path = "long/soak.rs"]
mod soak;

use harness::load::{Habit, Load};
use harness::{Client, MODELS, SOON, Server, eventually, process};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Read;
use tempfile::TempDir;

fn site(large: u64) -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let file = fs::File::create(directory.path().join("www/large")).unwrap();
    file.set_len(large).unwrap();
    directory
}

/// Who asks while workers are killed.
const CLIENTS: usize = 4;

/// Nobody can read a line for each of that many connections in time, and the
/// server waits for no reader of its log.
const QUIET: &str = "log = { to = \"stderr\", level = \"info\" }";

fn pools(model: &str) -> String {
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 4\nhttp.root = \"www\"\nlinger_timeout = \"100ms\"\n\
         [pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n"
    )
}

#[test]
#[ignore = "long"]
fn a_hundred_killed_workers_are_replaced() {
    for model in MODELS {
        let mut server = Server::run_with(site(0), QUIET, &pools(model));
        server.expect("killed by SIGKILL");
        server.expect("died young");
        server.expect(" for 127.0.0.1:");
        let mut witness = Client::connect(server.address("echo"));
        let load = Load::start(
            server.address("web"),
            "/",
            b"index\n",
            CLIENTS,
            Habit::Fresh,
        );
        for round in 0..100 {
            // The children of a dead worker become the master's, but no workers.
            let text = if model == "fork" {
                " idle|child"
            } else {
                "web["
            };
            let workers = eventually("four workers", SOON, || {
                let is_one = |pid: &u32| {
                    let title = process::title(*pid);
                    title.contains("web[") && text.split('|').any(|word| title.contains(word))
                };
                let found: Vec<u32> = server.workers().into_iter().filter(is_one).collect();
                (found.len() == 4).then_some(found)
            });
            let victim = workers[round % 4];
            process::signal(victim, Signal::SIGKILL);
            let line = server.log.wait_for(&format!("pid {victim} gen 1"), SOON);
            assert!(line.contains("killed by SIGKILL") && line.contains("; it was "));
            witness.send("x");
            assert_eq!(witness.read(1), b"x", "others are untouched");
        }
        server.wait_for_workers(4, "web[");
        let (answered, losses) = load.stop();
        println!(
            "{model}: {answered} answered, {} lost in 100 kills",
            losses.len()
        );
        // A killed process takes along what it was answering, and no more: with
        // several connections in one process that may be all of the clients'.
        let each = match model {
            "prefork" | "fork" => 1,
            _ => CLIENTS,
        };
        let count = losses.len();
        assert!(count <= 100 * each, "{model}: {count} lost: {}", losses[0]);
        drop(witness);
        eventually("no zombie", SOON, || {
            process::zombies(server.pid()).is_empty().then_some(())
        });
        server.stop();
    }
}

#[test]
#[ignore = "long"]
fn a_gibibyte_is_sent_from_little_memory() {
    const SIZE: u64 = 1 << 30;
    for model in MODELS {
        let server = Server::run_with(site(SIZE), "", &pools(model));
        let mut client = Client::connect(server.address("web"));
        client.send("GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let head = client.answer_to_head();
        assert_eq!(
            head.field("content-length"),
            Some(SIZE.to_string().as_str())
        );
        let (mut total, mut most) = (client.held() as u64, 0);
        let mut room = vec![0; 1 << 20];
        let mut next = 0;
        loop {
            let count = client.stream.read(&mut room).unwrap();
            if count == 0 {
                break;
            }
            assert!(room[..count].iter().all(|&byte| byte == 0));
            total += count as u64;
            if total > next {
                next += SIZE / 8;
                let memory = process::descendants(server.pid())
                    .into_iter()
                    .map(process::private_memory);
                most = memory.max().unwrap().max(most);
            }
        }
        assert_eq!(total, SIZE);
        println!("{model}: {most} KiB of its own at most");
        assert!(most < 8 << 10, "{model}: {most} KiB");
        server.stop();
    }
}

#[test]
#[ignore = "long"]
fn a_hundred_reloads_lose_no_request() {
    for model in MODELS {
        for habit in [Habit::Fresh, Habit::KeepAlive] {
            let mut server = Server::run_with(site(0), QUIET, &pools(model));
            let load = Load::start(server.address("web"), "/", b"index\n", 4, habit);
            for generation in 2..=101 {
                load.wait_for(5);
                server.reload(generation);
            }
            let (answered, losses) = load.stop();
            println!("{model} {habit:?}: {answered} answered");
            assert!(losses.is_empty(), "{model} {habit:?}: {losses:?}");
            server.stop();
        }
    }
}
