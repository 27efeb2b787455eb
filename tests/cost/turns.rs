//! Which system calls a request takes, in their order, and which a server at
//! rest makes.
//!
//! A turn begins with the call that receives a request and ends before the next
//! one. A new call in it is a difference to [`TURNS`], and says so.

use super::harness::server::write_configuration;
use super::harness::{Server, let_time_pass, preforkd};
use super::trace::{Call, Trace};
use super::work::{PIPELINE, Site, Work};
use std::collections::BTreeMap;
use std::time::Duration;
use tempfile::TempDir;

/// What a turn is made of.
pub(crate) struct Turn {
    model: &'static str,
    work: Work,
    calls: &'static str,
}

const fn turn(model: &'static str, work: Work, calls: &'static str) -> Turn {
    Turn { model, work, calls }
}

impl Turn {
    /// Whether it is a turn like this, as it may be now and then.
    fn allows(&self, calls: &str) -> bool {
        let replaced = |calls: String, (from, to): &(&str, &str)| calls.replace(from, to);
        let plain = NOW_AND_THEN.iter().fold(calls.to_owned(), replaced);
        calls == self.calls || plain == self.calls
    }
}

/// The turns, a line a work. For an event loop and a connection of its own, one
/// epoll_wait is owed to the test, see [`Work::perform`]; for a process that is forked for its connection,
/// and that has one request, its whole life.
#[rustfmt::skip]
pub(crate) const TURNS: &[Turn] = &[
    turn("prefork", Work::Small, "recvfrom newfstatat sendto"),
    turn("prefork", Work::Logged, "recvfrom newfstatat sendto"),
    turn("prefork", Work::Pipelined, "recvfrom newfstatat sendto"),
    turn("prefork", Work::Fresh, "recvfrom newfstatat sendto close accept4 setsockopt"),
    turn("prefork", Work::Unchanged, "recvfrom newfstatat sendto"),
    turn("prefork", Work::Large, "recvfrom newfstatat sendto fcntl sendfile fcntl"),
    turn("prefork", Work::Echo, "recvfrom sendto"),
    turn("event", Work::Small, "recvfrom newfstatat sendto epoll_wait"),
    turn("event", Work::Logged, "recvfrom newfstatat sendto epoll_wait"),
    turn("event", Work::Pipelined, "recvfrom newfstatat sendto epoll_wait"),
    turn("event", Work::Fresh, "recvfrom newfstatat sendto close accept4 epoll_wait epoll_wait accept4"),
    turn("event", Work::Unchanged, "recvfrom newfstatat sendto epoll_wait"),
    turn("event", Work::Large, "recvfrom newfstatat sendto sendfile epoll_wait"),
    turn("event", Work::Echo, "recvfrom sendto epoll_wait"),
    turn("threads", Work::Small, "recvfrom newfstatat sendto"),
    turn("threads", Work::Large, "recvfrom newfstatat sendto fcntl sendfile fcntl"),
    turn("threads", Work::Echo, "recvfrom sendto"),
    turn("fork", Work::Small, "recvfrom openat2 newfstatat pread64 close sendto"),
    turn("fork", Work::Large, "recvfrom openat2 newfstatat sendto fcntl sendfile close fcntl"),
    turn("fork", Work::Echo, "recvfrom sendto"),
    turn("fork", Work::Fresh, "set_robust_list dup3 dup3 prctl getpid getppid rt_sigprocmask setsockopt recvfrom openat2 newfstatat pread64 close sendto close exit_group"),
];

/// What replaces a part of a turn now and then: ten times a second a kept file
/// is looked for anew, and its content read; twice a second there are lines of
/// the access log to write.
const NOW_AND_THEN: &[(&str, &str)] = &[
    ("openat2 newfstatat close", "newfstatat"),
    ("newfstatat pread64 newfstatat", "newfstatat"),
    ("newfstatat pread64", "newfstatat"),
    ("sendto write", "sendto"),
];

/// The first of a turn: it has the request.
const BEGINS: &str = "recvfrom";
/// How many are looked at.
const COUNT: usize = 60;
/// The first ones of a connection, and the last, are not like the others.
const WARM: usize = 3;

fn server(work: Work, model: &str, site: &Site) -> Server {
    let directory = TempDir::new().unwrap();
    let master = "log = { to = \"stderr\", level = \"info\" }";
    let path = write_configuration(directory.path(), master, &work.pool(model, site));
    let mut command = preforkd();
    command.args(["run", "-c"]).arg(path);
    Server::launch(command, directory)
}

/// The only worker.
fn only_worker(server: &Server) -> u32 {
    match server.workers()[..] {
        [worker] => worker,
        ref others => panic!("not one worker: {others:?}"),
    }
}

/// What happened in each turn, and how often.
fn watch(work: Work, model: &str, site: &Site) -> BTreeMap<String, usize> {
    let server = server(work, model, site);
    let worker = only_worker(&server);
    let trace = Trace::begin(worker);
    let count = match work {
        Work::Pipelined => COUNT * PIPELINE,
        Work::Small
        | Work::Varied
        | Work::Logged
        | Work::Fresh
        | Work::Unchanged
        | Work::Large
        | Work::Echo => COUNT,
    };
    work.perform(server.address("work"), worker, model, count);
    let calls = trace.end();
    server.stop();
    let mut counts = BTreeMap::new();
    for turn in turns(&calls, worker, (work, model) == (Work::Fresh, "fork")) {
        *counts.entry(turn).or_default() += 1;
    }
    counts
}

/// The turns of whoever received most; `lives`: the whole life of each process
/// but the worker.
fn turns(calls: &[Call], worker: u32, lives: bool) -> Vec<String> {
    let mut by_pid: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for call in calls {
        by_pid.entry(call.pid).or_default().push(&call.name);
    }
    if lives {
        // The last one may not have come to its end.
        let last = calls.iter().rfind(|call| call.pid != worker);
        by_pid.retain(|&pid, _| pid != worker && last.is_some_and(|last| last.pid != pid));
        return by_pid.into_values().map(|life| life.join(" ")).collect();
    }
    let received = |calls: &Vec<&str>| calls.iter().filter(|name| **name == BEGINS).count();
    let busiest = by_pid.into_values().max_by_key(received).unwrap();
    let mut turns: Vec<String> = Vec::new();
    for name in busiest {
        match turns.last_mut() {
            Some(last) if name != BEGINS => {
                last.push(' ');
                last.push_str(name);
            }
            Some(_) => turns.push(name.to_owned()),
            None if name == BEGINS => turns.push(name.to_owned()),
            None => {}
        }
    }
    turns.pop();
    turns.split_off(WARM.min(turns.len()))
}

fn assert_turns(model: &str) {
    let site = Site::new();
    let mut faults = String::new();
    for expected in TURNS.iter().filter(|turn| turn.model == model) {
        let counts = watch(expected.work, model, &site);
        let total: usize = counts.values().sum();
        assert!(total > COUNT / 2, "too few turns: {counts:?}");
        let usual = counts.get(expected.calls).copied().unwrap_or(0);
        if usual * 2 > total && counts.keys().all(|calls| expected.allows(calls)) {
            continue;
        }
        let mut rows: Vec<_> = counts.iter().collect();
        rows.sort_by_key(|&(_, count)| std::cmp::Reverse(*count));
        faults += &format!(
            "{model}, {:?}:\n         {}\n",
            expected.work, expected.calls
        );
        for (calls, count) in &rows {
            let mark = if expected.allows(calls) { ' ' } else { '!' };
            faults += &format!("  {mark} {count:3}  {calls}\n");
        }
        let [(most, _), ..] = rows[..] else { continue };
        faults += &format!(
            "    turn({model:?}, Work::{:?}, {most:?}),\n",
            expected.work
        );
    }
    assert!(
        faults.is_empty(),
        "below what is expected, what was seen, and a line for the table:\n{faults}"
    );
}

#[test]
#[ignore = "peers: needs strace"]
fn a_prefork_worker_makes_these_calls() {
    assert_turns("prefork");
}

#[test]
#[ignore = "peers: needs strace"]
fn an_event_loop_makes_these_calls() {
    assert_turns("event");
}

#[test]
#[ignore = "peers: needs strace"]
fn a_thread_makes_these_calls() {
    assert_turns("threads");
}

#[test]
#[ignore = "peers: needs strace"]
fn a_process_for_a_connection_makes_these_calls() {
    assert_turns("fork");
}

/// What is called in a second in which nobody wants anything: the master looks
/// round, and so does the thread that watches over the others.
const AT_REST: &[(&str, &str, &str)] = &[
    ("prefork", "", "recvfrom read poll"),
    ("event", "", "recvfrom read poll"),
    ("threads", "read poll", "recvfrom read poll"),
    ("fork", "", "recvfrom read poll"),
];

/// What `of` calls in that time, without that in which it waits at its beginning.
fn rest(of: u32, span: Duration) -> String {
    let trace = Trace::begin(of);
    let_time_pass(span);
    let mut calls = trace.end();
    if calls
        .first()
        .is_some_and(|first| WAITS.contains(&&*first.name))
    {
        calls.remove(0);
    }
    let names: Vec<&str> = calls.iter().map(|call| &*call.name).collect();
    names.join(" ")
}

const WAITS: [&str; 3] = ["accept4", "epoll_wait", "poll"];

#[test]
#[ignore = "peers: needs strace"]
fn who_has_nothing_to_do_does_nothing() {
    const SECONDS: usize = 3;
    let span = Duration::from_secs(SECONDS as u64);
    let site = Site::new();
    for &(model, worker, master) in AT_REST {
        let server = server(Work::Small, model, &site);
        let pid = only_worker(&server);
        // A few requests, so that it is past its start.
        Work::Fresh.perform(server.address("work"), pid, model, WARM);
        for (name, of, each) in [("worker", pid, worker), ("master", server.pid(), master)] {
            let calls = rest(of, span);
            // The trace may begin and end within a round; and it has as many
            // as seconds begin.
            let rounds = [each; SECONDS + 2].join(" ");
            let most = each.split_whitespace().count() * (SECONDS + 1);
            assert!(
                rounds.contains(&calls) && calls.split_whitespace().count() <= most,
                "{model}: in {SECONDS} seconds of rest the {name} called\n  {calls}\nand not, once a second,\n  {each}"
            );
        }
        server.stop();
    }
}
