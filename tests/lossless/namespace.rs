//! The master as process 1 of a PID namespace, as in a container: whoever
//! loses its parent in there becomes its child (pid_namespaces(7)).

use super::cell::site;
use crate::harness::server::{outcome, program, write_configuration};
use crate::harness::{Client, SOON, Server, eventually, get, install, process};
use nix::sys::signal::Signal;
use std::process::{Command, Output};

/// Whether this test may make namespaces here; says so where it may not.
pub(crate) fn is_possible() -> bool {
    let trial = unshare().arg("true").output();
    let possible = trial.as_ref().is_ok_and(|output| output.status.success());
    if !possible {
        println!("skipped: no PID namespace can be made here: {trial:?}");
    }
    possible
}

/// unshare(1) of util-linux; for anybody but root in a user namespace.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command
}

/// Runs `script` within the namespace of `master`.
fn within(master: u32, script: &str) -> Output {
    let mut command = Command::new("nsenter");
    command.args(["--target", &master.to_string(), "--pid", "--mount"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--preserve-credentials"]);
    }
    command.args(["sh", "-c", script]).output().unwrap()
}

/// Who is in the namespace of `master`: state, waiting signals and name of each.
fn inside(master: u32) -> Vec<String> {
    let mut all = process::descendants(master);
    all.push(master);
    let facts = ["NSpid", "State", "ShdPnd", "SigBlk", "Name"];
    let told = |pid: u32| facts.map(|fact| process::status(pid, fact)).join(" ");
    all.into_iter().map(told).collect()
}

/// A master that is process 1, from its start to its end.
pub(crate) fn process_one(model: &str) {
    let directory = site();
    // A program that leaves somebody behind, out of its own session.
    let script = r#"#!/bin/sh
left=$(setsid sh -c 'echo $$; exec sleep 300 </dev/null >/dev/null 2>&1' &)
printf 'Content-Type: text/plain\nContent-Length: %d\n\n%s' ${#left} "$left"
"#;
    install(&directory.path().join("www"), &[("leave", script)]);
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 3\nhttp.root = \"www\"\nlinger_timeout = \"100ms\"\n\
         http.path.\"/leave\".cgi = true\n"
    );
    let path = write_configuration(directory.path(), "graceful_timeout = \"10s\"", &pools);
    let mut command = unshare();
    command.arg(program()).arg("run").arg("-c").arg(path);
    let mut server = Server::launch(command, directory);
    let address = server.address("web");
    let [master] = process::children(server.pid())[..] else {
        panic!("unshare has one child");
    };
    assert!(
        process::status(master, "NSpid").ends_with("\t1"),
        "it is process 1"
    );
    // Its number in there is 1, and that is how its workers know it.
    assert_eq!(get(address, "/").status, 200);
    let workers = process::children(master);
    assert_eq!(workers.len(), 3);

    // Strangers that lose their parent, and end in every way that a worker may.
    for end in [
        "exit 0",
        "exit 71",
        "exit 75",
        "kill -9 $$",
        "kill -TERM $$",
    ] {
        // Once it is the master's: a shell may take leave of its children itself.
        let script = format!(
            "sh -c 'until read -r _ _ _ parent _ </proc/$$/stat && [ $parent = 1 ]; do \
             sleep 0.01; done; {end}' >/dev/null 2>&1 & echo $!"
        );
        let mark = server.log.mark();
        let output = within(master, &script);
        assert!(output.status.success(), "{output:?}");
        let stranger = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // The line on which this relies: `settle` in src/master/crew/leave.rs.
        let line = format!("reaped {stranger}, which is not a worker");
        let told = server.log.try_wait_for(mark, &line, SOON);
        assert!(
            told.is_some(),
            "{end}: {:?}\n{}",
            inside(master),
            server.log
        );
    }
    let zombies = || process::zombies(master).is_empty().then_some(());
    eventually("no zombie", SOON, zombies);
    assert_eq!(process::children(master), workers, "no worker was touched");

    // A worker's death is still told from a stranger's.
    server.expect("killed by SIGKILL");
    server.expect("died young");
    process::signal(workers[0], Signal::SIGKILL);
    server.log.wait_for("killed by SIGKILL", SOON);
    eventually("a new worker", SOON, || {
        let now = process::children(master);
        (now.len() == 3 && !now.contains(&workers[0])).then_some(())
    });

    // What a worker's program leaves behind becomes ours, whoever dies.
    let before = process::children(master);
    let answer = get(address, "/leave");
    assert_eq!(answer.status, 200, "{answer:?}");
    let left = String::from_utf8_lossy(&answer.body).trim().to_owned();
    let orphan = eventually("it is the master's child", SOON, || {
        let now = process::children(master);
        now.into_iter()
            .find(|pid| !before.contains(pid) && process::title(*pid).contains("sleep"))
    });
    let mark = server.log.mark();
    process::signal(orphan, Signal::SIGKILL);
    let line = format!("reaped {left}, which is not a worker");
    server.log.wait_for_after(mark, &line, SOON);
    eventually("no zombie", SOON, zombies);

    // A reload.
    process::signal(master, Signal::SIGHUP);
    server.wait_for_generation(2);
    assert_eq!(get(server.address("web"), "/").status, 200);
    eventually("the old workers are gone", SOON, || {
        let now = process::children(master);
        (now.len() == 3 && now.iter().all(|pid| process::title(*pid).contains("gen 2")))
            .then_some(())
    });
    let address = server.address("web");

    // A stop, with a client.
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHo");
    process::signal(master, Signal::SIGTERM);
    server.log.wait_for("stopping: no new clients", SOON);
    client.send("st: test\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    drop(client);
    server.assert_good_end();

    // Its exit status is that of the container.
    let directory = site();
    let path = write_configuration(directory.path(), "nonsense = 1", "");
    let mut command = unshare();
    command.arg(program()).arg("run").arg("-c").arg(path);
    assert_eq!(outcome(command).status.code(), Some(78));
}
