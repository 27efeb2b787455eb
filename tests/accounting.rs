//! Counters add up: what clients have counted is what the status says, what the
//! metrics say, and what is in the access log, whatever happens meanwhile, but
//! for what killed processes had in hand.
//!
//! What that is: a request that a killed process had begun and not answered; the
//! octets and the lines of the access log of the last call, which the kernel has
//! carried out and nobody has counted; and lines that waited for company, half a
//! second at most. The first are the connections that count as `killed`, the last
//! are `requests` less `probes` less `logged`.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "accounting/clients.rs"]
mod clients;
mod harness;
#[path = "accounting/scrape.rs"]
mod scrape;
#[path = "accounting/watch.rs"]
mod watch;

use clients::{Account, Clients, LONGEST};
use harness::server::{outcome, program, write_configuration};
use harness::{MODELS, SOON, Server, eventually, on_each_model, preforkd, process};
use nix::sys::signal::Signal;
use preforkd::status::PoolStatus;
use scrape::{REQUEST, Scraper, scrape};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use watch::{Watch, counters, status};

on_each_model! {
    reloads_lose_no_count
    an_upgrade_goes_on_counting
    kills_cost_no_more_than_was_in_hand
}

const MASTER: &str = "pid_file = \"pid\"\ncontrol_socket = \"control\"\n";

fn start(model: &str) -> Server {
    let directory = TempDir::new().unwrap();
    let www = directory.path().join("www");
    fs::create_dir(&www).unwrap();
    fs::write(www.join("index.html"), "index\n").unwrap();
    fs::write(www.join("page.html"), [b'p'; 16_000]).unwrap();
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 3\nlinger_timeout = \"100ms\"\n\
         [pool.web.http]\nroot = \"www\"\naccess_log = {{ to = \"access.log\" }}\n\
         status = {{}}\n"
    );
    write_configuration(directory.path(), MASTER, &pools);
    let mut command = Command::new(program());
    command.args(["run", "-c", "preforkd.toml"]);
    command.current_dir(directory.path());
    Server::launch(command, directory)
}

fn control(server: &Server) -> PathBuf {
    server.directory.path().join("control")
}

/// How long a worker may hold a line back, and some more for a busy machine.
const HELD: Duration = Duration::from_secs(2);

/// The pool, once all connections have ended and nobody holds a line back: there
/// is one for each request, or, where there were kills, none comes any more.
fn settled(server: &Server, account: &Account, kills: u64) -> PoolStatus {
    let mut logged = (0, Instant::now());
    settle(server, account.answered(), |pool| {
        if pool.logged != logged.0 {
            logged = (pool.logged, Instant::now());
        }
        let all = pool.requests == pool.probes + pool.logged;
        all || kills > 0 && logged.1.elapsed() >= HELD
    })
}

/// The pool, once it has so many requests and all is at rest. The status may be one
/// of a moment ago, before the last of them.
fn settle(
    server: &Server,
    requests: u64,
    mut is_logged: impl FnMut(&PoolStatus) -> bool,
) -> PoolStatus {
    let control = control(server);
    let pool = eventually("all is counted", SOON, || {
        let status = status(&control)?;
        let pool = status.pools.into_iter().next()?;
        let is_logged = is_logged(&pool);
        let ended: u64 = pool.closes.values().sum();
        let deaths: u64 = pool.deaths.values().sum();
        let living = pool.spawned.checked_sub(deaths);
        // Nobody serves, and whoever was to leave has left.
        let is_calm =
            pool.active == 0 && pool.connections == ended && living == Some(pool.wanted as u64);
        (is_logged && is_calm && pool.requests >= requests).then_some(pool)
    });
    let lines = lines(server);
    if ["signal", "early", "start"]
        .iter()
        .all(|cause| pool.deaths[*cause] == 0)
    {
        assert_eq!(pool.logged, lines, "lines of the access log");
    } else {
        // Who was killed had written some, perhaps, and not yet counted them.
        let all = pool.requests - pool.probes;
        assert!(
            (pool.logged..=all).contains(&lines),
            "{lines} lines: {pool:?}"
        );
    }
    pool
}

/// Lines in the access log.
fn lines(server: &Server) -> u64 {
    let text = fs::read_to_string(server.directory.path().join("access.log"));
    text.unwrap().lines().count() as u64
}

/// The metrics say the same as the status before, and who asks for them is begun:
/// a connection, and a request that has come. Its answer is not yet counted. It is
/// in the status and in the access log afterwards; answers the pool then.
fn assert_metrics(server: &Server, before: &PoolStatus, account: &mut Account) -> PoolStatus {
    let lost = before.requests - before.probes - before.logged;
    let found = scrape(server.address("web"), account).expect("nobody is killed now");
    let mut wanted = counters(before);
    for (name, more) in [("connections", 1), ("requests", 1), ("received", REQUEST)] {
        *wanted.get_mut(name).unwrap() += more;
    }
    let mut compared = 0;
    for (series, count) in found {
        let Some((family, labels)) = series.split_once("_total{pool=\"web\"") else {
            continue;
        };
        let label = || labels.split('"').nth(1).unwrap().to_owned();
        let name = match family.strip_prefix("preforkd_").unwrap() {
            "received_bytes" => String::from("received"),
            "sent_bytes" => String::from("sent"),
            "access_log_lines" => String::from("logged"),
            "workers_spawned" => String::from("spawned"),
            // The one other label says it.
            "responses" | "closes" | "worker_deaths" => label(),
            group @ ("shed" | "shed_dry_run") => format!("{group} {}", label()),
            name => name.to_owned(),
        };
        assert_eq!(Some(&count), wanted.get(&name), "{series}\n{before:?}");
        compared += 1;
    }
    assert_eq!(compared, wanted.len(), "of {wanted:?}");
    let after = settle(server, before.requests + 1, |pool| {
        pool.requests == pool.probes + pool.logged + lost
    });
    assert_eq!(after.requests, before.requests + 1);
    assert_eq!(after.answers["2xx"], before.answers["2xx"] + 1);
    assert_eq!(after.closes["complete"], before.closes["complete"] + 1);
    after
}

/// Everything that was counted on both sides is the same.
fn assert_equal(pool: &PoolStatus, account: &Account) {
    assert_eq!(account.unanswered, 0, "{account:?}");
    assert_eq!(pool.requests, account.answered(), "{account:?}");
    let mut answers = pool.answers.clone();
    answers.retain(|_, count| *count > 0);
    assert_eq!(answers, account.answers);
    assert_eq!(pool.connections, account.connections);
    assert_eq!(pool.received, account.sent);
    assert_eq!(pool.sent, account.received);
    assert_eq!(pool.logged, account.answered(), "lines of the access log");
    assert_eq!(pool.closes["killed"], 0);
}

/// Answers in all, and clients who share them.
const BOUNDED: (u64, u64) = (2000, 4);
const WHOLE: (u64, u64) = (100_000, 8);

fn reloads_lose_no_count(model: &str) {
    reload_all_the_time(model, BOUNDED, 3);
}

fn reload_all_the_time(model: &str, (answers, count): (u64, u64), reloads: u64) {
    let mut server = start(model);
    let mut account = Account::default();
    let first = settled(&server, &account, 0);
    assert_metrics(&server, &first, &mut account);
    let watch = Watch::start(control(&server));
    let scraper = Scraper::start(server.address("web"));
    let clients = Clients::start(server.address("web"), count, answers);
    for number in 1..=reloads {
        let due = answers * number / (reloads + 1);
        eventually("some answers", 3 * SOON, || {
            (clients.answered() >= due).then_some(())
        });
        server.reload(number as u32 + 1);
    }
    account.add(&clients.join());
    account.add(&scraper.join());
    assert_eq!(account.answers.get("5xx"), None, "to ask again");
    let pool = settled(&server, &account, 0);
    println!("{model}: {account:?}\n{pool:?}");
    let pool = assert_metrics(&server, &pool, &mut account);
    if account.unanswered == 0 {
        assert_equal(&pool, &account);
    } else {
        // A kept connection that a retiring worker has closed, as it may.
        assert_within(&pool, &account, 0);
    }
    watch.stop();
    let status = status(&control(&server)).unwrap();
    assert_eq!(status.reloads, reloads);
    server.stop();
}

fn an_upgrade_goes_on_counting(model: &str) {
    let mut server = start(model);
    let watch = Watch::start(control(&server));
    let mut all = Account::default();
    all.add(&Clients::start(server.address("web"), 4, 800).join());
    let first = settled(&server, &all, 0);
    let first = assert_metrics(&server, &first, &mut all);
    assert_equal(&first, &all);
    let scraper = Scraper::start(server.address("web"));
    let started = status(&control(&server)).unwrap().started;

    let clients = Clients::start(server.address("web"), 4, 800);
    let mut command = preforkd();
    command
        .args(["upgrade", "--wait", "--control"])
        .arg(control(&server));
    assert_eq!(outcome(command).status.code(), Some(0), "{}", server.log);
    server.wait_for_generation(2);
    all.add(&clients.join());
    all.add(&scraper.join());
    assert_within(&settled(&server, &all, 0), &all, 0);
    assert_eq!(server.wait(SOON).code(), Some(0), "the first master's end");

    // It is gone, and so is all that it had counted, but for what was taken over.
    all.add(&Clients::start(server.address("web"), 4, 800).join());
    let pool = settled(&server, &all, 0);
    let pool = assert_metrics(&server, &pool, &mut all);
    assert_within(&pool, &all, 0);
    assert!(counters(&pool) != counters(&first));
    assert_eq!(status(&control(&server)).unwrap().started, started);
    watch.stop();
    let pid = fs::read_to_string(server.directory.path().join("pid")).unwrap();
    process::signal(pid.trim().parse().unwrap(), Signal::SIGTERM);
    server.assert_nobody_left();
    server.assert_no_complaints();
}

fn kills_cost_no_more_than_was_in_hand(model: &str) {
    kill_all_the_time(model, BOUNDED, 20, 0);
}

fn kill_all_the_time(model: &str, (answers, count): (u64, u64), kills: u64, reloads: u64) {
    let mut server = start(model);
    for line in [
        "killed by SIGKILL",
        "died young",
        "no worker is ready",
        "workers keep dying",
        "for 127.0.0.1:",
    ] {
        server.expect(line);
    }
    let watch = Watch::start(control(&server));
    let scraper = Scraper::start(server.address("web"));
    let clients = Clients::start(server.address("web"), count, answers);
    let mut generation = 1;
    for number in 1..=kills {
        let due = answers * number / (kills + 1);
        eventually("some answers", 3 * SOON, || {
            (clients.answered() >= due).then_some(())
        });
        // While others die young there may be none for a moment. A dead worker's
        // children are the master's as well, and no workers.
        let victims = eventually("somebody to kill", SOON, || {
            let workers = status(&control(&server))?.workers;
            let is_worker = |pid: &u32| workers.iter().any(|one| one.pid.cast_unsigned() == *pid);
            let mut found = server.workers();
            found.retain(is_worker);
            Some(found).filter(|found| !found.is_empty())
        });
        let victim = victims[number as usize % victims.len()];
        process::signal(victim, Signal::SIGKILL);
        eventually("it is dead, and no victim again", SOON, || {
            (!server.workers().contains(&victim)).then_some(())
        });
        if reloads > 0 && number % (kills / reloads) == 0 {
            generation += 1;
            server.reload(generation);
        }
    }
    let mut account = clients.join();
    account.add(&scraper.join());
    let pool = settled(&server, &account, kills);
    println!("{model}: {account:?}\n{pool:?}");
    let pool = assert_metrics(&server, &pool, &mut account);
    assert_within(&pool, &account, kills);
    // One that comes late on a busy machine is killed before it is ready.
    let died = ["signal", "early", "start"].map(|cause| pool.deaths[cause]);
    assert_eq!(died.iter().sum::<u64>(), kills, "{pool:?}");
    watch.stop();
    server.stop();
}

/// What was counted on both sides is the same, but for what killed processes, of
/// which there were so many, had in hand.
fn assert_within(pool: &PoolStatus, account: &Account, kills: u64) {
    let told = || format!("{pool:?}\n{account:?}");
    let (answered, killed) = (account.answered(), pool.closes["killed"]);
    assert!(killed == 0 || kills > 0, "{}", told());
    // Each client has one request under way at a time.
    let in_hand = pool.requests.checked_sub(answered);
    let in_hand = in_hand.unwrap_or_else(|| panic!("a request was not counted: {}", told()));
    assert!(
        in_hand <= killed && in_hand <= account.unanswered,
        "{}",
        told()
    );
    let mut more = 0;
    for (class, count) in &pool.answers {
        let seen = account.answers.get(class).copied().unwrap_or(0);
        assert!(*count >= seen, "{class}: {}", told());
        more += count - seen;
    }
    assert!(more <= in_hand, "answers that nobody got: {}", told());
    // A thread that is killed in accept(2) may take one more out of the queue
    // before it dies: that one nobody could count.
    let uncounted = account.connections.checked_sub(pool.connections);
    let most = if kills > 0 { account.unanswered } else { 0 };
    assert!(uncounted.is_some_and(|count| count <= most), "{}", told());
    assert!(pool.received >= account.sent, "{}", told());
    let most = account.sent + account.sent_in_vain;
    assert!(pool.received <= most, "{}", told());
    let octets = pool
        .sent
        .abs_diff(account.received + account.received_in_vain);
    assert!(octets <= killed * LONGEST, "{octets}: {}", told());
    // `settled` has compared the lines with what is said of them.
    let lost = pool.requests - pool.probes - pool.logged;
    assert!(lost == 0 || kills > 0, "{lost} lines: {}", told());
}

#[test]
#[ignore = "long"]
fn a_hundred_thousand_requests_add_up() {
    for model in MODELS {
        reload_all_the_time(model, WHOLE, 10);
        kill_all_the_time(model, WHOLE, 30, 10);
    }
}
