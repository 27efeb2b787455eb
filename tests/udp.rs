//! Datagrams: what the small services answer over UDP, whom they do not answer,
//! and that no queue is lost with a worker, a reload or a stop.
//!
//! That something is not answered is shown by what comes after it: one worker
//! takes a queue in its order, so once a later question has its answer, the
//! earlier one has had its chance.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "udp/client.rs"]
mod client;
#[path = "udp/drops.rs"]
mod drops;
mod harness;
#[path = "udp/passed.rs"]
mod passed;

use client::{Window, ask, at, client, has_nothing, impatient, pause, queued};
use harness::server::{outcome, write_configuration};
use harness::{SOON, Server, eventually, process};
use nix::sys::signal::Signal;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The line on which these tests rely: see `Tally` in src/driver/datagram.
const DROPPED: &str = "datagrams without an answer: ";

/// How many datagrams are put in a queue: fewer than fit in the usual one.
const QUEUED: u32 = 150;

fn pool(keys: &str) -> String {
    format!("[pool.u]\nservice = \"echo\"\nworkers = 1\nudp.rate = 0\n{keys}\n")
}

/// Rule 130: as it was, from the address that was asked, on every way to serve.
#[test]
fn echo_returns_what_it_gets_from_the_address_that_was_asked() {
    for (model, accept) in [
        ("prefork", "shared"),
        ("prefork", "reuseport"),
        ("event", "shared"),
        ("event", "reuseport"),
    ] {
        let server = Server::run(&format!(
            "[pool.four]\nlisten = \"udp:0.0.0.0:0\"\nservice = \"echo\"\nworkers = 2\n\
             model = \"{model}\"\naccept = \"{accept}\"\n\
             [pool.six]\nlisten = [\"udp:[::1]:0\", {{ address = \"udp:[::]:0\", v6only = false }}]\n\
             service = \"echo\"\nworkers = 2\nmodel = \"{model}\"\naccept = \"{accept}\"\n"
        ));
        let both = server.addresses_of("six")[1].strip_prefix("udp:").unwrap();
        let both = both.parse::<SocketAddr>().unwrap().port();
        let both = |ip: &str| SocketAddr::new(ip.parse().unwrap(), both);
        for (from, to) in [
            ("0.0.0.0", at(&server, "four", "127.0.0.1")),
            ("0.0.0.0", at(&server, "four", "127.0.0.2")),
            ("::", at(&server, "six", "::1")),
            ("::", both("::1")),
            ("0.0.0.0", both("127.0.0.3")),
        ] {
            let client = client(from);
            for length in [0, 1, 64, 65_507] {
                let question: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
                let answer = ask(&client, to, &question);
                assert!(answer == question, "{length} octets to {to}");
            }
        }
        server.stop();
    }
}

/// Rule 131: not who answers by itself, not us, and not everybody.
#[test]
fn reflectors_broadcasts_and_ourselves_get_no_answer() {
    let mut server = Server::run(
        "[pool.u]\nlisten = \"udp:127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n\
         [pool.wide]\nlisten = \"udp:0.0.0.0:0\"\nservice = \"echo\"\nworkers = 1\n\
         [pool.other]\nlisten = \"udp:127.0.0.1:0\"\nservice = \"chargen\"\nworkers = 1\n",
    );
    server.expect(DROPPED);
    let to = at(&server, "u", "127.0.0.1");
    let other = at(&server, "other", "127.0.0.1").port();
    let mut suspects = vec![
        impatient("127.0.0.9", to.port()).unwrap(),
        impatient("127.0.0.9", other).unwrap(),
    ];
    for port in [7, 13, 17, 19, 37] {
        match impatient("127.0.0.9", port) {
            Ok(client) => suspects.push(client),
            Err(error) => eprintln!("skipped: nothing can be sent from port {port}: {error}"),
        }
    }
    for suspect in &suspects {
        suspect.send_to(b"x", to).unwrap();
    }
    let everybody = impatient("127.0.0.9", 0).unwrap();
    let broadcast = at(&server, "wide", "127.255.255.255");
    everybody.send_to(b"x", broadcast).unwrap();
    // Who asks from elsewhere is answered, and is the last one.
    for last in [to, at(&server, "wide", "127.0.0.1")] {
        assert_eq!(ask(&client("127.0.0.9"), last, b"hello"), b"hello");
    }
    assert!(suspects.iter().all(has_nothing) && has_nothing(&everybody));
    let reflectors = format!("there were {} from ports that", suspects.len());
    server.log.wait_for(&reflectors, SOON);
    server
        .log
        .wait_for("there were 1 to or from a broadcast address", SOON);
    server.stop();
}

/// Rule 132: nothing; rule 133: one datagram for each.
#[test]
fn every_small_service_answers_a_datagram_with_one() {
    let service = |name: &str, keys: &str| {
        format!(
            "[pool.{name}]\nworkers = 1\nlisten = \"udp:127.0.0.1:0\"\nservice = \"{name}\"\n{keys}\n"
        )
    };
    let server = Server::run(
        &[
            service("discard", ""),
            service("daytime", ""),
            service("time", ""),
            service("chargen", ""),
            service("message", "message = \"Message received.\""),
        ]
        .concat(),
    );
    let ask = |pool, question: &[u8]| {
        ask(
            &client("127.0.0.1"),
            at(&server, pool, "127.0.0.1"),
            question,
        )
    };
    for question in [&b""[..], b"junk"] {
        let line = String::from_utf8(ask("daytime", question)).unwrap();
        assert!(line.ends_with("\r\n") && line.contains(", 20"), "{line:?}");
        assert_eq!(ask("time", question).len(), 4);
        assert_eq!(ask("message", question), b"Message received.");
        assert_eq!(ask("chargen", question).len(), question.len());
    }
    assert_eq!(ask("chargen", &[0; 2000]).len(), 512);
    let silent = impatient("127.0.0.1", 0).unwrap();
    silent
        .send_to(b"anything", at(&server, "discard", "127.0.0.1"))
        .unwrap();
    // It was taken, and is counted as complete, without an answer.
    serving(&server, "discard[0] gen 1 serving", || {
        silent
            .send_to(b"anything", at(&server, "discard", "127.0.0.1"))
            .unwrap();
    });
    assert!(has_nothing(&silent));
    server.stop();
}

#[test]
fn a_source_gets_its_burst_and_the_others_theirs() {
    let mut server = Server::run(
        "[pool.u]\nlisten = \"udp:127.0.0.1:0\"\nservice = \"daytime\"\nworkers = 1\n\
         [pool.u.udp]\nrate = 1\nburst = 20\n",
    );
    server.expect(DROPPED);
    let to = at(&server, "u", "127.0.0.1");
    let begun = Instant::now();
    let greedy = client("127.0.0.5");
    for _ in 0..QUEUED {
        greedy.send_to(b"", to).unwrap();
    }
    // Another port of the same host does not help.
    let again = impatient("127.0.0.5", 0).unwrap();
    again.send_to(b"", to).unwrap();
    assert!(!ask(&client("127.0.0.6"), to, b"").is_empty());
    greedy.set_nonblocking(true).unwrap();
    let mut room = [0; 99];
    let answers = std::iter::from_fn(|| greedy.recv_from(&mut room).ok()).count() as u64;
    let most = 20 + begun.elapsed().as_secs() + 1;
    assert!(
        (20..=most).contains(&answers),
        "{answers} of at most {most}"
    );
    assert!(has_nothing(&again) || begun.elapsed() > Duration::from_secs(1));
    server
        .log
        .wait_for("over the rate of their source (of 127.0.0.5)", SOON);
    server.log.wait_for("no more; in", SOON);
    server.stop();
}

#[test]
fn rules_decide_who_is_answered() {
    let rules = |keys: &str| pool(&format!("listen = \"udp:0.0.0.0:0\"\n{keys}"));
    let mut server = Server::run(&rules(
        "deny = \"127.0.0.5\"\nallow = [\"127.0.0.0/24\", \"127.0.0.5\"]",
    ));
    server.expect(DROPPED);
    let to = at(&server, "u", "127.0.0.1");
    let denied = impatient("127.0.0.5", 0).unwrap();
    denied.send_to(b"in vain", to).unwrap();
    let stranger = impatient("127.0.1.1", 0).unwrap();
    stranger.send_to(b"in vain", to).unwrap();
    // One worker answers in the order in which it was asked.
    assert_eq!(ask(&client("127.0.0.6"), to, b"hello"), b"hello");
    assert!(has_nothing(&denied) && has_nothing(&stranger));
    let line = server
        .log
        .wait_for("from those who may not ask (of 127.0", SOON);
    assert!(line.contains(DROPPED), "{line}");

    server.configure("", &rules("deny = \"127.0.0.6\""));
    server.reload(2);
    eventually("the new rules hold", SOON, || {
        denied.send_to(b"again", to).unwrap();
        let answer = denied.recv_from(&mut [0; 9]).ok();
        answer.map(drop)
    });
    server.stop();
}

#[test]
fn what_does_not_go_with_datagrams_is_refused_with_the_reason() {
    let directory = TempDir::new().unwrap();
    let long = "x".repeat(65_508);
    let long = format!("service = \"message\"\nmessage = \"{long}\"");
    for (keys, part) in [
        (
            "service = \"http\"\nhttp.root = \".\"",
            "the service http cannot be had over UDP: HTTP wants a connection",
        ),
        (
            &*long,
            "the message has 65508 octets, and a datagram holds 65507",
        ),
        (
            "service = \"echo\"\nmodel = \"threads\"",
            "the model threads has no use for datagrams",
        ),
        (
            "service = \"echo\"\nmodel = \"fork\"",
            "the model fork has no use for datagrams",
        ),
        (
            "service = \"echo\"\nmax_workers = 9",
            "`max_workers` has no effect here",
        ),
        (
            "service = \"echo\"\nmodel = \"event\"\nmax_connections = 9",
            "`max_connections` has no effect here",
        ),
        (
            "service = \"echo\"\nconnections_per_worker = 9",
            "use `requests_per_worker`",
        ),
        (
            "service = \"echo\"\ndefer_accept = \"1s\"",
            "`defer_accept` has no effect on datagrams",
        ),
        (
            "service = \"echo\"\ndenied = \"reset\"",
            "`denied` has no effect on datagrams",
        ),
        (
            "service = \"echo\"\nlimits.connections = 9",
            "`limits` has no effect on datagrams",
        ),
    ] {
        let pool = format!("[pool.u]\nlisten = \"udp:127.0.0.1:0\"\n{keys}\n");
        assert_refused(&directory, &pool, part);
    }
    for (pools, part) in [
        (
            "[pool.u]\nlisten = [\"udp:127.0.0.1:7007\", \"127.0.0.1:7007\"]\nservice = \"echo\"\n",
            "a pool has either datagrams or connections: 127.0.0.1:7007 wants a pool of its own",
        ),
        (
            "[pool.u]\nlisten = \"127.0.0.1:7007\"\nservice = \"echo\"\nudp.rate = 1\n",
            "`udp` has no effect here",
        ),
        (
            "[pool.u]\nlisten = \"udp:7007\"\nservice = \"echo\"\n\
             [pool.v]\nlisten = \"udp:127.0.0.1:7007\"\nservice = \"time\"\n",
            "udp:127.0.0.1:7007 overlaps with udp:0.0.0.0:7007",
        ),
    ] {
        assert_refused(&directory, pools, part);
    }
    // Ports of TCP and of UDP have nothing to do with each other.
    let both = "[pool.t]\nlisten = \"127.0.0.1:7007\"\nservice = \"echo\"\n\
                [pool.u]\nlisten = \"udp:127.0.0.1:7007\"\nservice = \"echo\"\n";
    let (status, text) = check(&directory, both);
    assert_eq!(status, Some(0), "{text}");
}

fn assert_refused(directory: &TempDir, pools: &str, part: &str) {
    let (status, text) = check(directory, pools);
    assert_eq!(status, Some(78), "{part}: {text}");
    assert!(text.contains(part), "{part}: {text}");
}

fn check(directory: &TempDir, pools: &str) -> (Option<i32>, String) {
    let path = write_configuration(directory.path(), "", pools);
    let mut command = harness::preforkd();
    command.arg("check").arg("-c").arg(path);
    let outcome = outcome(command);
    let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
    (outcome.status.code(), text)
}

#[test]
fn without_a_file_it_serves_one_datagram_or_many() {
    let mut once = Server::serve(&["echo", "--listen", "udp:127.0.0.1:0", "--once"]);
    let to = at(&once, "echo", "127.0.0.1");
    once.expect(DROPPED);
    // What is not answered is not the one.
    let suspect = impatient("127.0.0.9", to.port()).unwrap();
    suspect.send_to(b"x", to).unwrap();
    assert_eq!(ask(&client("127.0.0.1"), to, b"hello"), b"hello");
    once.assert_good_end();

    let many = Server::serve(&["message", "Hello.", "--listen", "udp:127.0.0.1:0"]);
    let to = at(&many, "message", "127.0.0.1");
    for _ in 0..3 {
        assert_eq!(ask(&client("127.0.0.1"), to, b"?"), b"Hello.");
    }
    many.stop();

    for (words, part) in [
        (&["http", "."][..], "HTTP wants a connection"),
        (
            &["echo", "--model", "fork"],
            "the model fork has no use for datagrams",
        ),
        (
            &["echo", "--listen", "127.0.0.1:0"],
            "a pool has either datagrams or connections",
        ),
    ] {
        let mut command = harness::preforkd();
        command
            .arg("serve")
            .args(words)
            .args(["--listen", "udp:127.0.0.1:0"]);
        let outcome = outcome(command);
        let text = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!(outcome.status.code(), Some(64), "{text}");
        assert!(text.contains(part), "{text}");
    }
}

/// Reloads, one that gives a slot less and one that gives it back among them,
/// while a hundred questions are always under way: each has its answer.
#[test]
fn reloads_lose_no_datagram() {
    for accept in ["shared", "reuseport"] {
        let keys = |workers: u32| {
            format!(
                "[pool.u]\nlisten = \"udp:127.0.0.1:0\"\nservice = \"echo\"\nudp.rate = 0\n\
                 accept = \"{accept}\"\nworkers = {workers}\n"
            )
        };
        let mut server = Server::run(&keys(3));
        server.expect("as many generations live as may");
        let to = at(&server, "u", "127.0.0.1");
        // Several clients, for with reuseport a client has its own worker.
        let mut windows: Vec<Window> = (0..8).map(|_| Window::new(to)).collect();
        for generation in 2..=12 {
            server.configure("", &keys(if generation % 2 == 0 { 1 } else { 3 }));
            let mark = server.log.mark();
            server.signal(Signal::SIGHUP);
            let serves = format!("generation {generation} serves: ");
            let mut left = 500;
            while left > 0
                || server
                    .log
                    .try_wait_for(mark, &serves, Duration::ZERO)
                    .is_none()
            {
                for window in &mut windows {
                    window.fill(12);
                    window.take();
                }
                left -= 1.min(left);
            }
        }
        windows.iter_mut().for_each(Window::settle);
        server.stop();
    }
}

/// What waits in the queue of a worker that does not come to it is answered by
/// those after it, or by the last one before a stop.
#[test]
fn what_waits_is_answered_after_a_reload_and_before_a_stop() {
    for accept in ["shared", "reuseport"] {
        let keys = format!("listen = \"udp:127.0.0.1:0\"\naccept = \"{accept}\"");
        let mut server = Server::run(&pool(&keys));
        let to = at(&server, "u", "127.0.0.1");
        let mut window = Window::new(to);
        let stopped = server.wait_for_workers(1, "u[0] gen 1")[0];
        pause(stopped);
        window.fill(QUEUED as usize);
        server.reload(2);
        window.settle();
        process::signal(stopped, Signal::SIGCONT);

        let worker = server.wait_for_workers(1, "u[0] gen 2")[0];
        eventually("the old one is gone", SOON, || {
            (!process::is_alive(stopped)).then_some(())
        });
        pause(worker);
        window.fill(QUEUED as usize);
        let mark = server.log.mark();
        server.signal(Signal::SIGTERM);
        server.log.wait_for_after(mark, "stop", SOON);
        // Whoever comes now comes too late, as after the end.
        let late = impatient("127.0.0.1", 0).unwrap();
        eventually("new datagrams are dropped", SOON, || {
            let before = queued(to);
            late.send_to(b"late", to).unwrap();
            (queued(to) == before).then_some(())
        });
        process::signal(worker, Signal::SIGCONT);
        window.settle();
        server.assert_good_end();
        assert!(
            server
                .log
                .try_wait_for(0, "clients lost in its queue", Duration::ZERO)
                .is_none()
        );
    }
}

/// With a socket for each slot nobody but its own worker can empty the queue of
/// one that goes; who asks meanwhile is led past it.
#[test]
fn a_slot_that_goes_empties_its_queue_first() {
    let keys = |workers: u32| {
        format!(
            "[pool.u]\nlisten = \"udp:127.0.0.1:0\"\nservice = \"echo\"\nudp.rate = 0\n\
             accept = \"reuseport\"\nworkers = {workers}\n"
        )
    };
    let mut server = Server::run(&keys(2));
    let to = at(&server, "u", "127.0.0.1");
    let stopped = server.wait_for_workers(2, "gen 1");
    stopped.iter().copied().for_each(pause);
    // The kernel deals clients out by a hash: of so many, each worker has some.
    let mut windows: Vec<Window> = (0..24).map(|_| Window::new(to)).collect();
    for window in &mut windows {
        window.fill(8);
    }
    server.configure("", &keys(1));
    server.reload(2);
    // What was for slot 0 is answered by its new worker, before who asks it now.
    server.wait_for_workers(1, "u[0] gen 2");
    let mut late = Window::new(to);
    for _ in 0..100 {
        late.fill(1);
        late.settle();
    }
    assert!(queued(to) > 0, "somebody waits for slot 1");
    for pid in stopped {
        process::signal(pid, Signal::SIGCONT);
    }
    windows.iter_mut().for_each(Window::settle);
    server.stop();
}

#[test]
fn a_worker_that_is_killed_takes_no_queue_along() {
    for accept in ["shared", "reuseport"] {
        let keys = format!("listen = \"udp:127.0.0.1:0\"\naccept = \"{accept}\"");
        let mut server = Server::run(&pool(&keys));
        server.expect("SIGKILL");
        server.expect("killed");
        // Where the whole test takes less than a second.
        server.expect("died young");
        let mut window = Window::new(at(&server, "u", "127.0.0.1"));
        window.fill(1);
        window.settle();
        let worker = server.wait_for_workers(1, "u[0]")[0];
        pause(worker);
        window.fill(QUEUED as usize);
        process::signal(worker, Signal::SIGKILL);
        window.settle();
        server.stop();
    }
}

#[test]
fn an_upgrade_takes_the_queue_over() {
    let mut server = Server::run_with(
        TempDir::new().unwrap(),
        "pid_file = \"pid\"\ncontrol_socket = \"control\"",
        &pool("listen = \"udp:127.0.0.1:0\"\naccept = \"reuseport\""),
    );
    let control = server.directory.path().join("control");
    let mut window = Window::new(at(&server, "u", "127.0.0.1"));
    let worker = server.wait_for_workers(1, "u[0] gen 1")[0];
    pause(worker);
    window.fill(QUEUED as usize);
    let mut upgrade = harness::preforkd();
    upgrade
        .args(["upgrade", "--wait", "--control"])
        .arg(&control);
    let upgraded = outcome(upgrade);
    assert_eq!(
        upgraded.status.code(),
        Some(0),
        "{upgraded:?}\n{}",
        server.log
    );
    window.settle();
    window.fill(QUEUED as usize);
    window.settle();
    process::signal(worker, Signal::SIGCONT);
    server.wait(SOON);
    let mut stop = harness::preforkd();
    stop.args(["stop", "--wait", "--control"]).arg(&control);
    assert_eq!(outcome(stop).status.code(), Some(0));
    server.assert_nobody_left();
    server.assert_no_complaints();
}

#[test]
fn status_title_and_log_say_what_happens() {
    let mut server = Server::run_with(
        TempDir::new().unwrap(),
        "control_socket = \"control\"",
        &pool("listen = \"udp:127.0.0.1:0\""),
    );
    server.expect("for want of room in its queue");
    let control = server.directory.path().join("control");
    let mut window = Window::new(at(&server, "u", "127.0.0.1"));
    let worker = server.wait_for_workers(1, "u[0] gen 1 idle")[0];
    window.fill(QUEUED as usize);
    window.settle();
    // They are counted when they are sent.
    eventually("all are counted", SOON, || {
        let pool = pool_status(&control);
        let counted = |name: &str, count: u64| pool[name] == count;
        (counted("requests", 150) && counted("received", 600) && counted("sent", 600)).then_some(())
    });
    // More than fit in a queue, while nobody takes them.
    pause(worker);
    for _ in 0..5000 {
        let _ = window.client.send_to(b"flood", window.to);
    }
    server
        .log
        .wait_for("datagrams lost for want of room in its queue: ", SOON);
    process::signal(worker, Signal::SIGCONT);
    server.stop();
}

/// What the status has of the one pool.
fn pool_status(control: &std::path::Path) -> serde_json::Value {
    let mut status = harness::preforkd();
    status.args(["status", "--json", "--control"]).arg(control);
    let mut status: serde_json::Value = serde_json::from_slice(&outcome(status).stdout).unwrap();
    status["pools"][0].take()
}

/// Asks again and again until a worker's title has this.
fn serving(server: &Server, title: &str, mut ask: impl FnMut()) {
    eventually(title, SOON, || {
        ask();
        let workers = server.workers();
        let shown = workers
            .into_iter()
            .any(|pid| process::title(pid).contains(title));
        shown.then_some(())
    });
}

/// A rate is that of the last second: who has had nothing for so long is idle.
#[test]
fn a_worker_at_rest_shows_no_rate() {
    // One socket is waited for in another way than two.
    for listen in [
        "\"udp:127.0.0.1:0\"",
        "[\"udp:127.0.0.1:0\", \"udp:127.0.0.2:0\"]",
    ] {
        let server = Server::run(&pool(&format!("listen = {listen}")));
        let mut window = Window::new(at(&server, "u", "127.0.0.1"));
        let mut ask = || {
            window.fill(1);
            window.settle();
        };
        // A machine that is busy may be late once, and not each time.
        let quickest = (0..3).map(|_| {
            serving(&server, "datagrams/s", &mut ask);
            (0..9).for_each(|_| ask());
            let last = Instant::now();
            server.wait_for_workers(1, "u[0] gen 1 idle");
            last.elapsed()
        });
        let quickest = quickest.min().unwrap();
        assert!(
            quickest < Duration::from_millis(1500),
            "{listen}: {quickest:?}"
        );
        server.stop();
    }
}

/// At rest a datagram costs two calls; many are received and sent by one.
#[test]
fn strace_shows_batches() {
    let server = Server::run(&pool("listen = \"udp:127.0.0.1:0\""));
    let worker = server.wait_for_workers(1, "u[0]")[0];
    let to = at(&server, "u", "127.0.0.1");
    let asker = client("127.0.0.1");
    ask(&asker, to, b"awake");
    let place = TempDir::new().unwrap();
    let path = place.path().join("calls");
    let strace = Command::new("strace")
        .args([
            "-e",
            "trace=recvmmsg,sendmmsg,poll",
            "-e",
            "abbrev=all",
            "-o",
        ])
        .arg(&path)
        .args(["-p", &worker.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut strace = match strace {
        Ok(strace) => strace,
        Err(error) => {
            eprintln!("skipped: strace: {error}");
            server.stop();
            return;
        }
    };
    let log = harness::log::Log::default();
    log.follow(strace.stderr.take().unwrap());
    let attached = eventually("strace attaches, or may not", SOON, || {
        let lines = log.lines();
        let attached = lines.iter().any(|line| line.contains(" attached"));
        (attached || strace.try_wait().unwrap().is_some()).then_some(attached)
    });
    if !attached {
        eprintln!("skipped: strace: {:?}", log.lines());
        server.stop();
        return;
    }
    for _ in 0..20 {
        ask(&asker, to, b"at rest");
    }
    let read = || std::fs::read_to_string(&path).unwrap();
    let count = |text: &str, part: &str| text.lines().filter(|line| line.contains(part)).count();
    eventually("the calls are written", SOON, || {
        (count(&read(), "sendmmsg(") == 20).then_some(())
    });
    let text = read();
    let received = text
        .lines()
        .filter(|line| line.contains("recvmmsg(") && line.ends_with("= 1"));
    assert!((19..=20).contains(&received.count()), "{text}");
    assert_eq!(count(&text, "poll("), 0, "{text}");

    // What came while the worker could not look comes by one call.
    let mut window = Window::new(to);
    pause(worker);
    window.fill(100);
    process::signal(worker, Signal::SIGCONT);
    window.settle();
    eventually("a batch is written", SOON, || {
        let text = read();
        let batch = |call: &str| {
            let mut lines = text.lines();
            lines.any(|line| line.contains(call) && line.ends_with("= 64"))
        };
        (batch("recvmmsg(") && batch("sendmmsg(")).then_some(())
    });
    process::signal(strace.id(), Signal::SIGINT);
    eventually("strace ends", SOON, || strace.try_wait().unwrap());
    server.stop();
}

/// Requests wear a worker out, and its successor takes over.
#[test]
fn a_worn_worker_is_replaced_and_nothing_is_lost() {
    let server = Server::run(&pool(
        "listen = \"udp:127.0.0.1:0\"\nrequests_per_worker = 100\nmin_worker_lifetime = \"1ms\"",
    ));
    let first = server.wait_for_workers(1, "u[0]")[0];
    let mut window = Window::new(at(&server, "u", "127.0.0.1"));
    eventually("it is replaced", SOON, || {
        window.fill(20);
        window.take();
        (!process::is_alive(first)).then_some(())
    });
    window.settle();
    server.stop();
}

/// The address family of a client's answer is the one it asked by.
#[test]
fn link_local_and_mapped_addresses_are_not_mixed_up() {
    let server = Server::run(&pool(
        "listen = { address = \"udp:[::]:0\", v6only = false }\nudp.burst = 1",
    ));
    let to = at(&server, "u", "127.0.0.1");
    let answer = ask(&client("127.0.0.4"), to, b"four");
    assert_eq!(
        (answer.as_slice(), to.ip()),
        (&b"four"[..], IpAddr::from([127, 0, 0, 1]))
    );
    server.stop();
}
