//! Workers that are programs: what each finds when it begins, what it may say,
//! how it ends, and that nobody who asks it for something is let down.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "app/ends.rs"]
mod ends;
mod harness;
#[path = "app/load.rs"]
mod load;
#[path = "app/words.rs"]
mod words;

use harness::server::{outcome, write_configuration};
use harness::{SOON, Server, eventually, get, preforkd, process};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Debian's; another one may be a script that looks for it.
const PYTHON: &str = "/usr/bin/python3";

/// Whether the programs of these tests can run; if not, a word on that.
fn has(program: &str) -> bool {
    let found = Path::new(program).exists();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// A file of tests/app/.
fn script(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/app");
    root.join(name).to_str().unwrap().to_owned()
}

/// As an array of TOML, whose strings those of JSON are.
fn array(words: &[&str]) -> String {
    serde_json::to_string(words).unwrap()
}

/// The pool web, whose program does these things, with more keys for the pool
/// and for its program.
fn pool(deeds: &[&str], keys: &str, own: &str) -> String {
    let script = script("program.py");
    let mut command = vec![PYTHON, &script];
    command.extend(deeds);
    running(&array(&command), keys, own)
}

/// The pool web with this command.
fn running(command: &str, keys: &str, own: &str) -> String {
    let workers = if keys.contains("workers") {
        ""
    } else {
        "workers = 1\n"
    };
    let listen = if keys.contains("listen") {
        ""
    } else {
        "listen = \"127.0.0.1:0\"\n"
    };
    format!(
        "[pool.web]\nservice = \"app\"\n{listen}{workers}{keys}\n\
         [pool.web.app]\ncommand = {command}\n{own}\n"
    )
}

const MASTER: &str = "control_socket = \"control\"\npid_file = \"pid\"\ngraceful_timeout = \"20s\"";
const NOTIFY: &str = "ready = \"notify\"";

/// A master with that pool.
fn start(pools: &str) -> Server {
    Server::run_with(TempDir::new().unwrap(), MASTER, pools)
}

/// What a command to the running master prints; it must succeed.
fn ask(server: &Server, words: &[&str]) -> String {
    let mut command = preforkd();
    command.args(words).arg("--control");
    command.arg(server.directory.path().join("control"));
    let output = outcome(command);
    assert_eq!(output.status.code(), Some(0), "{output:?}\n{}", server.log);
    String::from_utf8(output.stdout).unwrap()
}

/// The exit status of a start that fails, and what was said.
fn refused(pools: &str) -> (Option<i32>, String) {
    let directory = TempDir::new().unwrap();
    let path = write_configuration(directory.path(), MASTER, pools);
    let mut command = preforkd();
    command.arg("run").arg("-c").arg(path);
    let output = outcome(command);
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

/// What the program in this slot found itself in.
fn facts(server: &Server, slot: usize) -> serde_json::Value {
    let path = server.directory.path().join(format!("facts.{slot}"));
    let text = eventually("the program's facts", SOON, || {
        fs::read_to_string(&path).ok()
    });
    serde_json::from_str(&text).unwrap()
}

/// The pid of whoever answers.
fn answerer(server: &Server) -> u32 {
    let answer = get(server.address("web"), "/");
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn the_environment_and_descriptors_are_what_was_promised() {
    if !has(PYTHON) {
        return;
    }
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("home")).unwrap();
    let keys = "listen = [\"127.0.0.1:0\", \"unix:s\"]\nworkers = 2\nworker_timeout = \"7s\"";
    let own = "ready = \"notify\"\ndirectory = \"home\"\numask = \"0027\"\nnice = 3\n\
               environment = [\"A=b c\", \"EMPTY=\"]\npass = [\"PATH\", \"TZ\", \"NONE\"]\n\
               fd_names = [\"http\", \"local\"]\nopen_files = 100";
    let pools = pool(&["facts", "notify:READY=1", "serve"], keys, own);
    let path = write_configuration(directory.path(), MASTER, &pools);
    let mut command = preforkd();
    command.arg("run").arg("-c").arg(path);
    command
        .env("TZ", "UTC")
        .env("SECRET", "1")
        .env("PATH", "/usr/bin:/bin");
    let server = Server::launch(command, directory);
    for slot in 0..2 {
        let path = server.directory.path().join(format!("home/facts.{slot}"));
        let text = fs::read_to_string(path).unwrap();
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pid = found["pid"].as_u64().unwrap();
        assert!(server.workers().contains(&(pid as u32)));
        let mut variables = found["environment"].as_object().unwrap().clone();
        // The interpreter adds that one itself (PEP 538).
        variables.remove("LC_CTYPE");
        let socket = variables.remove("NOTIFY_SOCKET").unwrap();
        assert!(socket.as_str().unwrap().starts_with('@'), "{socket}");
        let expected = serde_json::json!({
            "A": "b c", "EMPTY": "", "PATH": "/usr/bin:/bin", "TZ": "UTC",
            "LISTEN_FDS": "2", "LISTEN_PID": pid.to_string(), "LISTEN_FDNAMES": "http:local",
            "PREFORKD_POOL": "web", "PREFORKD_SLOT": slot.to_string(),
            "PREFORKD_GENERATION": "1",
            "WATCHDOG_PID": pid.to_string(), "WATCHDOG_USEC": "7000000",
        });
        assert_eq!(serde_json::Value::Object(variables), expected);
        let descriptors = found["descriptors"].as_object().unwrap();
        let numbers: Vec<&str> = descriptors.keys().map(String::as_str).collect();
        assert_eq!(numbers, ["0", "1", "2", "3", "4"], "{descriptors:?}");
        assert_eq!(descriptors["0"], "/dev/null");
        assert_eq!(descriptors["1"], descriptors["2"], "one pipe, in one order");
        // The second finds it as the first has made it.
        let blocking = serde_json::json!([true, true]);
        assert!(slot == 1 || found["blocking"] == blocking, "{found}");
        assert_eq!(
            (&found["group"], &found["session"]),
            (&pid.into(), &pid.into())
        );
        let home = server.directory.path().join("home").canonicalize().unwrap();
        assert_eq!(found["directory"], home.to_str().unwrap());
        assert_eq!(
            (&found["umask"], &found["nice"]),
            (&0o027.into(), &process::nicer_by(3).into())
        );
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let files = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        assert!(files.unwrap().contains(" 100 "), "{files:?}");
    }
    server.stop();
}

#[test]
fn it_runs_as_the_user_of_its_pool() {
    if !has(PYTHON) || !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: not root");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    // Programs are read, and write, as somebody else.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let own = directory.path().join("program.py");
    fs::copy(script("program.py"), &own).unwrap();
    let deeds = ["facts", "notify:READY=1", "serve"];
    let command = [&[PYTHON, own.to_str().unwrap()][..], &deeds].concat();
    let pools = running(&array(&command), "user = \"nobody\"", NOTIFY);
    let server = Server::run_with(directory, MASTER, &pools);
    let found = facts(&server, 0);
    assert_eq!(found["uid"], 65534, "{found}");
    assert!(!found["groups"].as_array().unwrap().contains(&0.into()));
    answerer(&server);
    server.stop();
}

#[test]
fn signals_are_as_at_login() {
    // It has no child, whose end it would block signals for.
    let sh = "while read x; do case $x in Sig*) echo $x;; esac; done < /proc/self/status; \
              exec sleep 60";
    let command = array(&["/bin/sh", "-c", sh]);
    let server = start(&running(&command, "", "ready = \"100ms\""));
    for name in ["SigBlk: ", "SigIgn: "] {
        let line = server.log.wait_for(name, SOON);
        let (_, mask) = line.split_once(name).unwrap();
        // The C library keeps 32 and 33 for itself, and has whomever
        // posix_spawn(3) started ignore them: that goes on to all below it.
        let mask = u64::from_str_radix(mask, 16).unwrap() & !(0b11 << 31);
        assert_eq!(mask, 0, "{line}");
    }
    // What it does not expect ends it, and that is as good as any other way.
    server.stop();
}

#[test]
fn the_programs_serve_each_with_a_slot_of_its_own() {
    if !has(PYTHON) {
        return;
    }
    for accept in ["shared", "reuseport"] {
        let keys = format!("accept = \"{accept}\"\nworkers = 3");
        let mut server = start(&pool(&["notify:READY=1", "serve"], &keys, NOTIFY));
        let workers = server.workers();
        eventually("everybody has answered", SOON, || {
            let mut seen: Vec<u32> = (0..12).map(|_| answerer(&server)).collect();
            seen.sort_unstable();
            seen.dedup();
            assert!(seen.iter().all(|one| workers.contains(one)));
            (seen.len() == 3).then_some(())
        });
        // One dies: only its place is filled anew, on the same socket.
        server.expect("killed by SIGKILL");
        server.expect("died young");
        let ready = server.log.mark();
        process::end(&workers[..1]);
        eventually("three again", SOON, || {
            let now = server.workers();
            let kept = workers[1..].iter().all(|one| now.contains(one));
            (now.len() == 3 && kept).then_some(())
        });
        server.log.wait_for_after(ready, "is ready after", SOON);
        // Nobody has counted what it served: it is not said to be nothing.
        let line = server.log.wait_for("killed by SIGKILL", SOON);
        assert!(
            !line.contains("requests") && line.contains("; user "),
            "{line}"
        );
        ask(&server, &["scale", "web", "5", "--wait"]);
        assert_eq!(server.workers().len(), 5);
        ask(&server, &["scale", "web", "1", "--wait"]);
        assert_eq!(server.workers().len(), 1);
        server.signal(Signal::SIGTTIN);
        eventually("one more", SOON, || {
            (server.workers().len() == 2).then_some(())
        });
        answerer(&server);
        let deaths = ask(&server, &["status", "--deaths"]);
        assert!(deaths.contains("killed by SIGKILL"), "{deaths}");
        assert!(!deaths.contains("0 requests"), "{deaths}");
        server.stop();
    }
}

#[test]
fn a_reload_takes_the_new_program_or_keeps_the_old() {
    if !has(PYTHON) {
        return;
    }
    let serving = |more: &str| pool(&["notify:READY=1", "serve", more], "", NOTIFY);
    let mut server = start(&serving("exit:0"));
    let first = answerer(&server);
    server.configure(MASTER, &serving("exit:0"));
    server.reload(2);
    eventually("the old one is gone", SOON, || {
        (!process::is_alive(first)).then_some(())
    });
    let second = answerer(&server);
    for (pools, reason) in [
        (
            running("[\"/nowhere/prog\"]", "", NOTIFY),
            "the program /nowhere/prog: ",
        ),
        (running("[\"/etc/passwd\"]", "", NOTIFY), "(EACCES)"),
        (
            pool(&["exit:3"], "", NOTIFY),
            "its workers die before they serve: generation 2 stays",
        ),
    ] {
        for line in [
            "reload: ",
            "reload refused",
            "exited with status 3",
            "died young",
        ] {
            server.expect(line);
        }
        server.expect("its workers die before they serve");
        let mark = server.log.mark();
        server.configure(MASTER, &pools);
        server.signal(Signal::SIGHUP);
        server.log.wait_for_after(mark, reason, SOON);
        assert_eq!(answerer(&server), second, "{reason}");
    }
    server.stop();
}

#[test]
fn an_upgrade_hands_the_listeners_to_new_programs() {
    if !has(PYTHON) {
        return;
    }
    let mut server = start(&pool(&["notify:READY=1", "serve"], "workers = 2", NOTIFY));
    let (first, address) = (answerer(&server), server.address("web"));
    ask(&server, &["upgrade", "--wait"]);
    server.wait_for_generation(2);
    assert_eq!(server.address("web"), address);
    assert_eq!(server.wait(SOON).code(), Some(0), "the old master");
    assert!(!process::is_alive(first), "its programs went before it");
    assert_ne!(answerer(&server), first);
    let pid = fs::read_to_string(server.directory.path().join("pid")).unwrap();
    process::signal(pid.trim().parse().unwrap(), Signal::SIGTERM);
    server.assert_nobody_left();
    server.assert_no_complaints();
}

#[test]
fn without_a_file_it_is_a_command_behind_two_dashes() {
    if !has(PYTHON) {
        return;
    }
    let program = script("program.py");
    let listen = ["--listen", "127.0.0.1:0", "--workers", "2", "app", "--"];
    let words = [&listen[..], &[PYTHON, &program, "serve"]].concat();
    let mut command = preforkd();
    command.arg("serve").arg("-vv").args(words);
    let server = Server::launch(command, TempDir::new().unwrap());
    let answer = get(server.address("app"), "/");
    assert_eq!(answer.status, 200);
    assert_eq!(server.workers().len(), 2);
    server.stop();
    for (words, status, reason) in [
        (&["serve", "app"][..], 64, "which program?"),
        (&["serve", "app", "--once", "--", "cat"], 64, "--once"),
        (
            &["serve", "app", "--model", "event", "--", "cat"],
            64,
            "--model",
        ),
        (&["serve", "echo", "--", "cat"], 64, "only exec and app run"),
        (
            &["serve", "app", "--", "/nowhere/prog"],
            78,
            "/nowhere/prog",
        ),
    ] {
        let mut command = preforkd();
        command.args(words);
        let output = outcome(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
        assert!(said.contains(reason), "{words:?}: {said}");
    }
    // Why it does not start is seen without -v as well.
    let mut command = preforkd();
    let words = ["serve", "app", "--listen", "127.0.0.1:0", "--"];
    command
        .args(words)
        .args([PYTHON, "-c", "raise SystemExit('boom')"]);
    let output = outcome(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("boom\n"), "{said}");
}

#[test]
fn what_a_program_makes_meaningless_is_refused() {
    let cat = "[\"/bin/cat\"]";
    for (keys, own, reason) in [
        ("model = \"event\"", "", "`model` has no effect"),
        ("max_workers = 5", "", "nobody tells which program is idle"),
        (
            "connections_per_worker = 5",
            "",
            "tells nobody of its connections",
        ),
        ("idle_timeout = \"5s\"", "", "`idle_timeout` has no effect"),
        ("allow = \"::1\"", "", "lets in whom it likes"),
        ("deny = \"::1\"", "", "`deny` has no effect"),
        ("denied = \"reset\"", "", "`denied` has no effect"),
        ("limits.connections = 5", "", "`limits` has no effect"),
        ("", "ready = \"10s\"", "`ready` comes too late"),
        (
            "",
            "fd_names = [\"a\", \"b\"]",
            "`fd_names` has 2 names for 1 places",
        ),
        (
            "",
            "environment = [\"LISTEN_FDS=3\"]",
            "the server decides it",
        ),
        ("", "directory = \"nowhere\"", "the directory "),
        (
            "",
            "stop_signal = \"KILL\"",
            "`stop_signal` cannot be \"KILL\"",
        ),
    ] {
        let (status, said) = refused(&running(cat, keys, own));
        assert_eq!(status, Some(78), "{said}");
        assert!(said.contains(reason), "{reason} in {said}");
    }
}
