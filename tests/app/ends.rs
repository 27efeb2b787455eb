//! How programs end: by themselves, as they are told, or because they must.

use super::{
    MASTER, NOTIFY, PYTHON, answerer, array, ask, facts, has, pool, refused, running, start,
};
use crate::harness::client::try_get;
use crate::harness::{Client, SOON, Server, eventually, install, process};
use nix::sys::signal::Signal;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

#[test]
fn what_cannot_be_run_is_said_with_the_reason() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("garbage");
    install(directory.path(), &[("garbage", "\0garbage")]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let name = file.to_str().unwrap();
    let (status, said) = refused(&running(&array(&[name]), "", ""));
    assert_eq!(status, Some(78), "{said}");
    assert!(said.contains("Permission denied (EACCES)"), "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let (status, said) = refused(&running(&array(&[name]), "", ""));
    assert_eq!(status, Some(71), "{said}");
    assert!(
        said.contains("cannot start: execve: Exec format error"),
        "{said}"
    );
}

/// What makes a program of the new process takes more than the program may have.
#[test]
fn limits_are_the_programs_own() {
    let variable = |number: usize| format!("\"V{number}={}\"", "x".repeat(100));
    let variables: Vec<String> = (0..3000).map(variable).collect();
    let own = format!(
        "memory = \"16MiB\"\nenvironment = [{}]\nready = \"100ms\"",
        variables.join(",")
    );
    let server = start(&running(&array(&["/bin/sleep", "60"]), "", &own));
    assert_eq!(server.workers().len(), 1);
    server.stop();
}

#[test]
fn a_program_that_dies_at_once_is_not_started_for_ever() {
    if !has(PYTHON) {
        return;
    }
    let (status, said) = refused(&pool(&["complain:no", "exit:3"], "", "ready = \"5s\""));
    assert_eq!(status, Some(75), "{said}");
    assert!(said.contains("[start] exited with status 3"), "{said}");
    assert!(said.contains("web[0] info: no\n"), "{said}");
    // 71 is also what a worker has that could not become a program.
    let deeds = ["notify:STATUS=all is well", "exit:71"];
    let (_, said) = refused(&pool(&deeds, "", NOTIFY));
    assert!(said.contains("[start] exited with status 71"), "{said}");
    // Later: what it needs to serve is taken from it.
    let directory = TempDir::new().unwrap();
    let mark = directory.path().join("mark");
    fs::write(&mark, "").unwrap();
    let script = format!("test -e {} && exec sleep 60; exit 9", mark.display());
    let command = array(&["/bin/sh", "-c", &script]);
    let pools = running(&command, "workers = 4", "ready = \"200ms\"");
    let mut server = Server::run_with(directory, MASTER, &pools);
    for line in [
        "exited with status 9",
        "died young",
        "killed by SIGKILL",
        "more of the same",
    ] {
        server.expect(line);
    }
    server.expect("no worker is ready");
    server.expect("worker after worker dies young");
    fs::remove_file(&mark).unwrap();
    process::end(&server.workers());
    server
        .log
        .wait_for("pool web: worker after worker dies young", SOON);
    let deaths = ask(&server, &["status", "--deaths"]);
    assert!(deaths.contains("exited with status 9"), "{deaths}");
    // And it is mended.
    fs::write(&mark, "").unwrap();
    server.reload(2);
    // One of before may have been tried again meanwhile.
    eventually("four, and no more", SOON, || {
        (server.workers().len() == 4).then_some(())
    });
    server.stop();
}

#[test]
fn it_is_told_by_its_own_signal() {
    if !has(PYTHON) {
        return;
    }
    let own = format!("{NOTIFY}\nstop_signal = \"QUIT\"");
    let deeds = ["ignore:INT", "notify:READY=1", "serve", "say:finished"];
    let server = start(&pool(&deeds, "", &own));
    answerer(&server);
    let log = server.log.clone();
    server.stop();
    log.wait_for("info: finished", SOON);
    log.wait_for("[finished] exited with status 0", SOON);
}

#[test]
fn who_does_not_end_is_ended_with_its_children() {
    if !has(PYTHON) {
        return;
    }
    let master = MASTER.replace("20s", "1s");
    let deeds = ["ignore:TERM", "fork", "facts", "notify:READY=1", "sleep:60"];
    let pools = pool(&deeds, "", NOTIFY);
    let mut server = Server::run_with(TempDir::new().unwrap(), &master, &pools);
    let leader = facts(&server, 0)["pid"].as_u64().unwrap() as u32;
    let family = process::group(leader);
    assert_eq!(family.len(), 2, "it and its child");
    for line in ["stopping at once", "has not finished in time", "SIGKILL"] {
        server.expect(line);
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).code(), Some(0));
    let log = server.log.to_string();
    assert!(log.contains("all the connections of its programs"), "{log}");
    eventually("all are gone", SOON, || {
        family
            .iter()
            .all(|one| !process::is_alive(*one))
            .then_some(())
    });
    server.assert_no_complaints();
}

#[test]
fn children_go_with_their_program() {
    if !has(PYTHON) {
        return;
    }
    let deeds = ["fork", "facts", "notify:READY=1", "serve"];
    let server = start(&pool(&deeds, "", NOTIFY));
    let leader = facts(&server, 0)["pid"].as_u64().unwrap() as u32;
    let family = process::group(leader);
    assert_eq!(family.len(), 2);
    let pid = server.pid();
    server.stop();
    eventually("the child is gone", SOON, || {
        family
            .iter()
            .all(|one| !process::is_alive(*one))
            .then_some(())
    });
    assert!(!process::is_alive(pid));
}

/// A real-time signal has no name, and ends a program like any other.
#[test]
fn children_go_with_their_program_whatever_ended_it() {
    if !has(PYTHON) {
        return;
    }
    let deeds = ["fork", "facts", "notify:READY=1", "serve"];
    let mut server = start(&pool(&deeds, "", NOTIFY));
    let leader = facts(&server, 0)["pid"].as_u64().unwrap() as u32;
    let family = process::group(leader);
    assert_eq!(family.len(), 2);
    // 34 is SIGRTMIN (signal(7)).
    let kill = Command::new("sh")
        .args(["-c", "kill -34 $0", &leader.to_string()])
        .status();
    assert!(kill.unwrap().success());
    for line in ["exited with status 162", "died young"] {
        server.expect(line);
    }
    eventually("the child is gone", SOON, || {
        family
            .iter()
            .all(|one| !process::is_alive(*one))
            .then_some(())
    });
    server.stop();
}

#[test]
fn a_master_that_is_killed_takes_its_programs_along() {
    if !has(PYTHON) {
        return;
    }
    let mut server = start(&pool(&["notify:READY=1", "serve"], "workers = 2", NOTIFY));
    let programs = server.workers();
    assert_eq!(programs.len(), 2);
    server.signal(Signal::SIGKILL);
    server.wait(SOON);
    eventually("the programs are gone", SOON, || {
        programs
            .iter()
            .all(|one| !process::is_alive(*one))
            .then_some(())
    });
}

/// Who ignores its stop signal outlives a killed master, unless it shall not.
#[test]
fn whoever_ignores_its_signal_goes_with_a_killed_master_where_that_is_wanted() {
    if !has(PYTHON) {
        return;
    }
    for (own, stays) in [("", true), ("when_orphaned = \"kill\"", false)] {
        let deeds = ["ignore:TERM", "notify:READY=1", "sleep:60"];
        let mut server = start(&pool(&deeds, "", &format!("{NOTIFY}\n{own}")));
        let address = server.address("web");
        let program = server.workers()[0];
        server.signal(Signal::SIGKILL);
        server.wait(SOON);
        if stays {
            eventually("it is an orphan", SOON, || {
                (process::parent(program) != Some(server.pid())).then_some(())
            });
            assert!(process::is_alive(program), "{own}");
            TcpStream::connect(address).unwrap();
            process::end(&[program]);
        } else {
            eventually("it is gone", SOON, || {
                (!process::is_alive(program)).then_some(())
            });
        }
        eventually("the port is free", SOON, || {
            TcpStream::connect(address).is_err().then_some(())
        });
    }
}

/// A master that leaves in good order is there until its programs have finished.
#[test]
fn who_would_go_with_a_killed_master_finishes_before_one_that_leaves() {
    if !has(PYTHON) {
        return;
    }
    let own = format!("{NOTIFY}\nwhen_orphaned = \"kill\"");
    let deeds = ["notify:READY=1", "serve", "say:finished"];
    let mut server = start(&pool(&deeds, "", &own));
    let old = answerer(&server);
    let first = server.pid();
    server.signal(Signal::SIGUSR2);
    server.wait_for_generation(2);
    assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log);
    let finished = |pid: u32| format!("[{pid}] web[0] info: finished");
    server.log.wait_for(&finished(old), SOON);
    let new = answerer(&server);
    let place = server.directory.path().join("pid");
    let master = eventually("the new master has taken over", SOON, || {
        let pid: u32 = fs::read_to_string(&place).ok()?.trim().parse().ok()?;
        (pid != first).then_some(pid)
    });
    process::signal(master, Signal::SIGTERM);
    server.log.wait_for(&finished(new), SOON);
    server.assert_nobody_left();
    server.assert_no_complaints();
}

/// Connections that wait in the queue while a stop begins are served before the
/// programs are told to end; whoever comes later is refused.
fn a_stop_waits_for_the_queue(accept: &str) {
    if !has(PYTHON) {
        return;
    }
    let keys = format!("accept = \"{accept}\"\nworkers = 2");
    let server = start(&pool(&["notify:READY=1", "serve"], &keys, NOTIFY));
    let address = server.address("web");
    let programs = server.workers();
    programs
        .iter()
        .for_each(|pid| process::signal(*pid, Signal::SIGSTOP));
    let clients: Vec<Client> = (0..40).map(|_| Client::connect(address)).collect();
    eventually("all wait", SOON, || {
        (process::queues(address).iter().sum::<u64>() >= 38).then_some(())
    });
    server.signal(Signal::SIGTERM);
    server.log.wait_for("stopping: no new clients", SOON);
    eventually("newcomers are refused", SOON, || {
        let late = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200));
        late.is_err().then_some(())
    });
    programs
        .iter()
        .for_each(|pid| process::signal(*pid, Signal::SIGCONT));
    for mut client in clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    let mut server = server;
    server.assert_good_end();
}

#[test]
fn a_stop_waits_for_the_shared_queue() {
    a_stop_waits_for_the_queue("shared");
}

#[test]
fn a_stop_waits_for_the_queue_of_each() {
    a_stop_waits_for_the_queue("reuseport");
}

/// A slot of its own goes: its queue is emptied before its program is told.
#[test]
fn a_slot_that_goes_leaves_nobody_waiting() {
    if !has(PYTHON) {
        return;
    }
    let keys = "accept = \"reuseport\"\nworkers = 2";
    let server = start(&pool(&["facts", "notify:READY=1", "serve"], keys, NOTIFY));
    let address = server.address("web");
    let second = facts(&server, 1)["pid"].as_u64().unwrap() as u32;
    process::signal(second, Signal::SIGSTOP);
    let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(address)).collect();
    let mut command = crate::harness::preforkd();
    command.args(["scale", "web", "1", "--wait", "--control"]);
    command.arg(server.directory.path().join("control"));
    let mut scaling = command.spawn().unwrap();
    server.log.wait_for("1 worker", SOON);
    process::signal(second, Signal::SIGCONT);
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    assert!(scaling.wait().unwrap().success());
    assert!(!process::is_alive(second));
    server.stop();
}

#[test]
fn one_that_has_grown_too_large_is_replaced_without_a_gap() {
    if !has(PYTHON) {
        return;
    }
    // The first of them grows; whoever comes after it finds the mark.
    let directory = TempDir::new().unwrap();
    let program = super::script("program.py");
    let deeds = format!("{PYTHON} {program} notify:READY=1");
    let text = format!(
        "test -e mark && exec {deeds} serve; touch mark; exec {deeds} await:now grow:64 serve"
    );
    let command = array(&["/bin/sh", "-c", &text]);
    let keys = "max_worker_memory = \"48MiB\"\nmin_worker_lifetime = \"1ms\"";
    let server = Server::run_with(directory, MASTER, &running(&command, keys, NOTIFY));
    let [first] = server.workers()[..] else {
        panic!()
    };
    fs::write(server.directory.path().join("now"), "").unwrap();
    server
        .log
        .wait_for("more than max_worker_memory: it is replaced", SOON);
    eventually("it is gone", SOON, || {
        (!process::is_alive(first)).then_some(())
    });
    assert_ne!(answerer(&server), first);
    let lines = server.log.lines();
    assert!(!lines.iter().any(|line| line.contains("no worker is ready")));
    server.stop();
}

#[test]
fn a_program_that_says_that_it_stops_when_told_is_no_news() {
    if !has(PYTHON) {
        return;
    }
    let deeds = ["notify:READY=1", "serve", "notify:STOPPING=1"];
    let mut server = start(&pool(&deeds, "workers = 2", NOTIFY));
    server.reload(2);
    eventually("the old ones are gone", SOON, || {
        (server.workers().len() == 2).then_some(())
    });
    let log = server.log.clone();
    server.stop();
    let spawned = log.lines();
    let spawned = spawned.iter().filter(|line| line.ends_with(" spawned"));
    assert_eq!(spawned.count(), 4, "{log}");
}

#[test]
fn a_listener_that_a_program_shuts_down_listens_again() {
    if !has(PYTHON) {
        return;
    }
    let deeds = ["notify:READY=1", "serve", "shutdown"];
    let mut server = start(&pool(&deeds, "", NOTIFY));
    server.expect("shut it down for all (shutdown(2)): it listens again");
    // Who waits in accept(2) then may think that all is over.
    for line in ["exited with status 1", "died young"] {
        server.expect(line);
    }
    let first = answerer(&server);
    server.reload(2);
    // At its end the old one takes the listener from the new one.
    server.log.wait_for("shut it down for all", SOON);
    let second = eventually("an answer", SOON, || {
        try_get(server.address("web"), "/").ok()
    });
    assert_eq!(second.status, 200);
    assert_ne!(second.body, format!("{first}\n").into_bytes());
    server.stop();
}
