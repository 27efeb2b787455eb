//! A program for each connection, on each model, with the real program and
//! real clients.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::lease::Lease;
use harness::server::{program, write_configuration};
use harness::{Client, SOON, Server, eventually, install, let_time_pass, on_each_model, process};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

on_each_model! {
    a_program_finds_what_it_should_and_no_more
    its_complaints_are_lines_of_the_log_and_bounded
    its_complaints_go_to_the_client_on_request
    who_finishes_sending_gets_all_back
    much_goes_both_ways_at_once
    a_session_that_takes_too_long_is_ended_with_all_it_started
    a_silent_session_is_ended_and_a_busy_one_is_not
    a_client_sees_the_end_when_the_program_closes
    who_stays_in_the_group_is_ended_and_a_daemon_is_not
    to_wait_for_who_stays_costs_nothing
    a_crash_is_the_programs_own
    what_cannot_be_run_closes_in_good_order
    without_descriptors_the_client_waits
    a_reload_leaves_a_session_alone
    a_stop_waits_for_a_session_and_not_for_ever
    a_killed_worker_takes_its_program_along
    a_unix_socket_tells_who_is_there
    behind_a_proxy_the_client_it_names_is_who_is_there
    nothing_is_left_after_many
    once_is_one_session
    a_stopped_worker_is_found_with_a_session_under_way
}

/// A server with one pool called `exec`, of this command, and more keys for
/// the pool and for its program.
fn serve(model: &str, script: &str, pool: &str, program: &str) -> Server {
    serve_with(model, script, "", pool, program)
}

fn serve_with(model: &str, script: &str, master: &str, pool: &str, program: &str) -> Server {
    Server::run_with(
        TempDir::new().unwrap(),
        master,
        &configuration(model, script, pool, program),
    )
}

fn configuration(model: &str, script: &str, pool: &str, program: &str) -> String {
    let size = match model {
        "prefork" => "workers = 3",
        "threads" => "workers = 1\nthreads_per_worker = 3",
        _ => "workers = 1",
    };
    let listen = if pool.contains("listen") {
        ""
    } else {
        "listen = \"127.0.0.1:0\""
    };
    format!(
        "[pool.exec]\n{listen}\nservice = \"exec\"\nmodel = \"{model}\"\n{size}\n{pool}\n\
         [pool.exec.exec]\ncommand = [\"/bin/sh\", \"-c\", '''{script}''', \"sh\", \"an argument\"]\n{program}\n"
    )
}

fn connect(server: &Server) -> Client {
    Client::connect(server.address("exec"))
}

/// All that the program says to a client that says nothing.
fn said(server: &Server) -> String {
    let mut client = connect(server);
    client.finish();
    String::from_utf8(client.read_to_end()).unwrap()
}

/// The next line.
fn line(client: &mut Client) -> String {
    let mut line = Vec::new();
    loop {
        match client.read(1)[0] {
            b'\n' => return String::from_utf8(line).unwrap(),
            byte => line.push(byte),
        }
    }
}

fn number(client: &mut Client) -> u32 {
    line(client).trim().parse().unwrap()
}

fn assert_gone(pid: u32) {
    eventually("a process is gone", SOON, || {
        (!process::is_alive(pid)).then_some(())
    });
}

fn a_program_finds_what_it_should_and_no_more(model: &str) {
    // The shell itself reads what signals it blocks: while it starts another it
    // blocks all.
    let script = "env; echo; for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done; \
         ls /proc/$$/fd; grep flags /proc/$$/fdinfo/0; \
         while read -r a; do case $a in SigBlk*|SigIgn*) echo \"$a\";; esac; done < /proc/$$/status; \
         umask; pwd; echo $PPID; ps -o sid=,pgid= -p $$; echo $$; echo \"$0 $1\"";
    let mut server = serve(
        model,
        script,
        "",
        "environment = [\"A=b c\", \"TZ=own\"]\npass = [\"TZ\", \"HOME\", \"NOT_THERE\"]\numask = \"0077\"\ndirectory = \"/usr\"",
    );
    server.expect("no complaint of ours");
    let mut client = connect(&server);
    let (own, port) = (client.name(), server.address("exec").port());
    client.finish();
    let text = String::from_utf8(client.read_to_end()).unwrap();
    let (environment, rest) = text.split_once("\n\n").unwrap();
    let variables: BTreeMap<&str, &str> = environment
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .collect();
    let own_port = own.port().to_string();
    let home = std::env::var("HOME").unwrap_or_default();
    let mut expected = BTreeMap::from([
        ("PROTO", "TCP"),
        ("TCPLOCALIP", "127.0.0.1"),
        ("TCPREMOTEIP", "127.0.0.1"),
        ("TCPREMOTEPORT", &*own_port),
        ("TCPCONNNUM", "1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_PORT", &*own_port),
        ("A", "b c"),
        ("TZ", "own"),
        ("PWD", "/usr"),
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
    ]);
    let port = port.to_string();
    expected.insert("TCPLOCALPORT", &port);
    if std::env::var_os("HOME").is_some() {
        expected.insert("HOME", &home);
    }
    let mut variables = variables;
    // Those are the shell's own.
    for own in ["OLDPWD", "_", "SHLVL"] {
        variables.remove(own);
    }
    assert_eq!(variables, expected);
    let lines: Vec<&str> = rest.lines().map(str::trim).collect();
    assert!(lines[0].starts_with("socket:") && lines[0] == lines[1]);
    assert!(lines[2].starts_with("pipe:"), "{rest}");
    assert_eq!(lines[3..6], ["0", "1", "2"], "descriptors: {rest}");
    let flags = u32::from_str_radix(lines[6].split_whitespace().nth(1).unwrap(), 8).unwrap();
    assert_eq!(flags & 0o4000, 0, "O_NONBLOCK");
    for line in &lines[7..9] {
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        // 32 and 33 are the C library's own, which lets nobody set them.
        assert_eq!(mask & !(3 << 31), 0, "{line}");
    }
    assert_eq!((lines[9], lines[10]), ("0077", "/usr"));
    // Nobody stands between the worker and the program.
    let parent: u32 = lines[11].parse().unwrap();
    assert!(server.workers().contains(&parent), "{rest}");
    let ids: Vec<&str> = lines[12].split_whitespace().collect();
    assert_eq!(ids, [lines[13], lines[13]], "a session and a group");
    assert_eq!(lines[14], "sh an argument");
    server.stop();
}

fn its_complaints_are_lines_of_the_log_and_bounded(model: &str) {
    let script = "printf 'a \\033 complaint\\nwithout an end' >&2; \
         i=0; while [ $i -lt 1000 ]; do echo more; i=$((i+1)); done >&2";
    let mut server = serve(model, script, "", "");
    server.expect("exec /bin/sh [");
    assert_eq!(said(&server), "");
    server.log.wait_for("]: a \\u{1b} complaint", SOON);
    server.log.wait_for("]: without an endmore", SOON);
    // 1001 lines, of which 200 are written.
    server
        .log
        .wait_for("]: 801 more lines on its standard error", SOON);
    server.stop();
}

fn its_complaints_go_to_the_client_on_request(model: &str) {
    let script = "readlink /proc/$$/fd/2; echo said; echo complained >&2";
    let server = serve(model, script, "", "stderr = \"socket\"");
    let text = said(&server);
    assert!(text.starts_with("socket:"), "{text}");
    assert!(text.ends_with("said\ncomplained\n"), "{text}");
    server.stop();
}

fn who_finishes_sending_gets_all_back(model: &str) {
    let server = serve(model, "exec cat", "", "");
    for length in [0, 1, 100_000] {
        let mut client = connect(&server);
        let sent = vec![b'x'; length];
        client.send(&sent);
        client.finish();
        assert!(client.read_to_end() == sent, "{length}");
    }
    let line = server.log.wait_for("exited 0 after ", SOON);
    for part in ["exec /bin/sh [", "session ", "user ", "system ", " KiB"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(line.contains(" info: 127.0.0.1:"), "{line}");
    server.stop();
}

fn much_goes_both_ways_at_once(model: &str) {
    const MUCH: usize = 20 << 20;
    let server = serve(model, "exec cat", "", "");
    let mut client = connect(&server);
    let mut sending = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let piece: Vec<u8> = (0..1 << 16).map(|n: u32| (n % 251) as u8).collect();
        for _ in 0..MUCH >> 16 {
            sending.write_all(&piece).unwrap();
        }
        sending.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let back = client.read_to_end();
    sender.join().unwrap();
    assert_eq!(back.len(), MUCH);
    let fits = |(at, byte): (usize, &u8)| usize::from(*byte) == (at & 0xffff) % 251;
    assert!(back.iter().enumerate().all(fits));
    server.stop();
}

fn a_session_that_takes_too_long_is_ended_with_all_it_started(model: &str) {
    let script = "trap '' TERM; sleep 1000 & echo $!; echo $$; wait; while :; do sleep 1; done";
    let mut server = serve(model, script, "", "timeout = \"300ms\"\ngrace = \"200ms\"");
    server.expect("closed: program: timeout");
    // On a busy machine it may be ended before it has said who it is.
    let (begun, said) = eventually("a session that has begun", SOON, || {
        let begun = Instant::now();
        let mut client = connect(&server);
        let said = String::from_utf8(client.read_to_end()).unwrap();
        (said.lines().count() == 2).then_some((begun, said))
    });
    assert!(
        begun.elapsed() >= Duration::from_millis(500),
        "TERM was enough"
    );
    let mut pids = said.lines().map(|line| line.trim().parse().unwrap());
    let (child, program) = (pids.next().unwrap(), pids.next().unwrap());
    for pid in [child, program] {
        assert_gone(pid);
    }
    server.log.wait_for("it took too long: SIGTERM", SOON);
    server.log.wait_for("killed by SIGKILL after ", SOON);
    server.log.wait_for("closed: program: timeout", SOON);
    server.stop();
}

fn a_silent_session_is_ended_and_a_busy_one_is_not(model: &str) {
    let server = serve(model, "echo $$; exec cat", "idle_timeout = \"1s\"", "");
    let mut client = connect(&server);
    let program = number(&mut client);
    let begun = Instant::now();
    let mut last = begun;
    while begun.elapsed() < Duration::from_millis(1500) {
        last = Instant::now();
        client.send("x");
        assert_eq!(client.read(1), b"x");
        let_time_pass(Duration::from_millis(100));
    }
    assert!(process::is_alive(program));
    assert_eq!(client.read_to_end(), b"");
    // Since the last octet, which went when it was sent or later.
    assert!(last.elapsed() > Duration::from_millis(900));
    assert_gone(program);
    server.log.wait_for("]: idle: SIGTERM", SOON);
    server.stop();
}

fn a_client_sees_the_end_when_the_program_closes(model: &str) {
    let script = "echo $$; exec < /dev/null > /dev/null 2>&1; exec sleep 1000";
    let server = serve(model, script, "idle_timeout = \"1s\"", "");
    let mut client = connect(&server);
    let program = number(&mut client);
    assert_eq!(client.read_to_end(), b"");
    assert!(process::is_alive(program), "it has closed, not ended");
    drop(client);
    // Without a connection it has as much time again.
    assert_gone(program);
    server.log.wait_for("]: idle: SIGTERM", SOON);
    server.stop();
}

fn who_stays_in_the_group_is_ended_and_a_daemon_is_not(model: &str) {
    let script = "sleep 1000 & echo $!; (trap '' TERM; exec sleep 1001) & echo $!; \
         setsid sleep 1002 < /dev/null > /dev/null 2>&1 & echo $!; read line";
    let server = serve(model, script, "", "grace = \"500ms\"");
    let mut client = connect(&server);
    let pids: Vec<u32> = (0..3).map(|_| number(&mut client)).collect();
    // Each has become what it is to be.
    eventually("three who sleep", SOON, || {
        let mut sleeps = pids.iter().map(|pid| process::title(*pid));
        let named = |title: String| title.starts_with("sleep 100");
        sleeps.all(named).then_some(())
    });
    client.send("\n");
    client.read_to_end();
    assert_gone(pids[0]);
    assert_gone(pids[1]);
    assert!(process::is_alive(pids[2]), "a session of its own");
    let master = server.pid();
    eventually("the master has it", SOON, || {
        (process::parent(pids[2]) == Some(master)).then_some(())
    });
    process::end(&pids[2..]);
    server.stop();
}

/// Whatever the program's standard error is: its death is no news any more.
fn to_wait_for_who_stays_costs_nothing(model: &str) {
    let script = "trap '' TERM; sleep 1000 </dev/null >/dev/null 2>&1 & exit 0";
    for stderr in ["log", "socket"] {
        let program = format!("stderr = \"{stderr}\"\ngrace = \"1500ms\"");
        let server = serve(model, script, "", &program);
        assert_eq!(said(&server), "");
        server.log.wait_for("exited 0 after ", SOON);
        let spent = || -> Duration {
            server
                .workers()
                .into_iter()
                .map(process::processor_time)
                .sum()
        };
        let before = spent();
        let_time_pass(Duration::from_secs(1));
        let cost = spent() - before;
        assert!(cost < Duration::from_millis(100), "{stderr}: {cost:?}");
        server.stop();
    }
}

fn a_crash_is_the_programs_own(model: &str) {
    let mut server = serve(model, "kill -SEGV $$", "", "");
    server.expect("exec /bin/sh [");
    server.expect("closed: program: killed by a signal");
    let before = server.workers();
    for _ in 0..5 {
        assert_eq!(said(&server), "");
    }
    let line = server.log.wait_for("killed by SIGSEGV after ", SOON);
    assert!(line.contains(" warn: "), "{line}");
    assert_eq!(server.workers(), before);
    server.stop();
}

fn what_cannot_be_run_closes_in_good_order(model: &str) {
    const COUNT: usize = 100;
    let directory = TempDir::new().unwrap();
    let program = directory.path().join("prog");
    std::fs::copy("/bin/cat", &program).unwrap();
    let pool = configuration(model, "", "", "").replace("/bin/sh", "./prog");
    let mut server = Server::run_with(directory, "", &pool);
    server.expect("cannot be run: execve: No such file");
    server.expect("closed: program: not started");
    server.expect("more complaints");
    std::fs::remove_file(&program).unwrap();
    // All are there before the first is looked at: how many there are in a second
    // is the server's affair.
    let begin = |_| {
        let mut client = connect(&server);
        client.send("what nobody will read");
        client
    };
    let clients: Vec<Client> = (0..COUNT).map(begin).collect();
    for mut client in clients {
        assert_eq!(client.read_to_end(), b"");
    }
    server
        .log
        .wait_for("cannot be run: execve: No such file", SOON);
    let lines = server.log.lines();
    let told = |line: &&String| line.contains("cannot be run");
    let told = lines.iter().filter(told).count();
    assert!(told < COUNT, "it is bounded: {told}");
    server.stop();
}

fn without_descriptors_the_client_waits(model: &str) {
    let pool = "workers = 1".to_owned();
    let configuration = configuration(model, "exec cat", "", "").replace("workers = 3", &pool);
    let mut server = Server::run(&configuration);
    server.expect("Too many open files");
    let worker = server.workers()[0];
    let taken = PathBuf::from(format!("/proc/{worker}/fd"));
    let mut free = (0..).filter(|number: &u32| !taken.join(number.to_string()).is_symlink());
    // Room for the client, and for one more, of three.
    let limit = free.nth(2).unwrap();
    let set = |limit: &str| {
        let status = Command::new("prlimit")
            .args(["--pid", &worker.to_string()])
            .arg(format!("--nofile={limit}:1024"))
            .status();
        assert!(status.expect("prlimit(1) of util-linux").success());
    };
    set(&limit.to_string());
    let mut client = connect(&server);
    client.send("x");
    client.finish();
    server.log.wait_for("trying again, the client waits", SOON);
    set("1024");
    assert_eq!(client.read_to_end(), b"x");
    server.stop();
}

fn a_reload_leaves_a_session_alone(model: &str) {
    let mut server = serve(model, "echo $$; exec cat", "", "");
    let mut client = connect(&server);
    let program = number(&mut client);
    server.reload(2);
    server.wait_for_workers(1, "draining");
    client.send("still");
    assert_eq!(client.read(5), b"still");
    let mut other = connect(&server);
    let second = number(&mut other);
    assert_ne!(process::parent(program), process::parent(second));
    client.finish();
    assert_eq!(client.read_to_end(), b"");
    assert_gone(program);
    other.finish();
    other.read_to_end();
    server.stop();
}

fn a_stop_waits_for_a_session_and_not_for_ever(model: &str) {
    let script = "trap '' TERM; sleep 1000 & echo $!; echo $$; while :; do sleep 1; done";
    let mut server = serve_with(model, script, "graceful_timeout = \"3s\"", "", "");
    let mut client = connect(&server);
    let pids = [number(&mut client), number(&mut client)];
    let begun = Instant::now();
    server.signal(Signal::SIGTERM);
    client.read_to_end();
    assert!(begun.elapsed() > Duration::from_millis(1200), "it waited");
    for pid in pids {
        assert_gone(pid);
    }
    // By the worker, before the master lost its patience with the worker.
    server.log.wait_for("the worker leaves: SIGTERM", SOON);
    server.assert_good_end();
}

fn a_killed_worker_takes_its_program_along(model: &str) {
    let script = "trap '' TERM; sleep 1000 & echo $!; echo $$; while :; do sleep 1; done";
    let mut server = serve_with(model, script, "graceful_timeout = \"3s\"", "", "");
    server.expect("killed by SIGKILL");
    let mut client = connect(&server);
    let pids = [number(&mut client), number(&mut client)];
    let worker = process::parent(pids[1]).unwrap();
    assert!(server.workers().contains(&worker));
    process::signal(worker, Signal::SIGKILL);
    client.drain();
    for pid in pids {
        assert_gone(pid);
    }
    let mut again = connect(&server);
    number(&mut again);
    server.expect("died young");
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
}

fn a_unix_socket_tells_who_is_there(model: &str) {
    let mut server = serve(
        model,
        "env; cat",
        "listen = [\"unix:s\", \"127.0.0.1:0\"]\nidle_timeout = \"100ms\"",
        "",
    );
    // It says so.
    server.expect("`idle_timeout` has no effect on unix:");
    let path = server.directory.path().join("s");
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    // Nobody can tell how long a unix socket is silent.
    let_time_pass(Duration::from_millis(300));
    client.write_all(b"\nstill here").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    let own = nix::unistd::getpid();
    let expected = [
        "PROTO=UNIX".to_owned(),
        format!("UNIXLOCALPATH={}", path.display()),
        format!("UNIXREMOTEPID={own}"),
        format!("UNIXREMOTEEUID={}", nix::unistd::geteuid()),
        format!("UNIXREMOTEEGID={}", nix::unistd::getegid()),
        "still here".to_owned(),
    ];
    for wanted in &expected {
        assert!(text.lines().any(|line| line == wanted), "{wanted}: {text}");
    }
    assert!(
        !text.contains("REMOTE_ADDR") && !text.contains("TCP"),
        "{text}"
    );
    server.stop();
}

/// Descriptors of all workers, and children that ended and were not reaped.
fn behind_a_proxy_the_client_it_names_is_who_is_there(model: &str) {
    let script = "echo $PROTO $TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALIP $TCPLOCALPORT \
                  $REMOTE_ADDR $REMOTE_PORT; exec cat";
    let pool = "listen = { address = \"127.0.0.1:0\", proxy_protocol = true }\n\
                limits.connections_per_address = 1\nlimits.over = \"close\"";
    let mut server = serve(model, script, pool, "");
    // The lines of `tell` in src/master/crew/limits.rs.
    server.expect("its limits");
    let begin = |name: &str| {
        let mut client = connect(&server);
        // What comes behind the header is the program's.
        client.send(format!(
            "PROXY TCP4 {name} 198.51.100.2 56324 443\r\nhello\n"
        ));
        client
    };
    let mut first = begin("192.0.2.7");
    assert_eq!(
        line(&mut first),
        "TCP 192.0.2.7 56324 198.51.100.2 443 192.0.2.7 56324"
    );
    assert_eq!(line(&mut first), "hello");
    assert_eq!(
        begin("192.0.2.7").try_read_to_end().unwrap_or_default(),
        b""
    );
    let mut other = begin("192.0.2.8");
    assert!(line(&mut other).starts_with("TCP 192.0.2.8 56324 "));
    first.finish();
    assert_eq!(first.read_to_end(), b"");
    let mut again = eventually("the place is free", SOON, || {
        let mut client = begin("192.0.2.7");
        let mut room = [0; 4];
        let came = std::io::Read::read_exact(&mut client.stream, &mut room);
        came.is_ok().then_some(client)
    });
    assert!(line(&mut again).starts_with("192.0.2.7"));
    for mut client in [other, again] {
        client.finish();
        assert!(client.read_to_end().ends_with(b"hello\n"));
    }
    server.stop();
}

fn leftovers(server: &Server) -> (usize, usize) {
    let workers = server.workers();
    let descriptors = workers.iter().map(|&pid| process::descriptors(pid).len());
    let children = workers.iter().flat_map(|&pid| process::children(pid));
    (descriptors.sum(), children.count())
}

fn nothing_is_left_after_many(model: &str) {
    let server = serve(model, "cat; cat /nowhere 2> /dev/null; exit 3", "", "");
    let visit = || {
        let mut client = connect(&server);
        client.send("x");
        client.finish();
        assert_eq!(client.read_to_end(), b"x");
    };
    // Each worker has been there once.
    (0..10).for_each(|_| visit());
    let settled = || {
        eventually("nobody is left", SOON, || {
            let (descriptors, children) = leftovers(&server);
            (children == 0).then_some(descriptors)
        })
    };
    let before = settled();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..100).for_each(|_| visit()));
        }
    });
    eventually("no descriptor is left", SOON, || {
        // Before, one of them may still have been about to close its own.
        (settled() <= before).then_some(())
    });
    server.stop();
}

fn once_is_one_session(model: &str) {
    let mut server = Server::serve(&[
        "exec",
        "--once",
        "--model",
        model,
        "--listen",
        "127.0.0.1:0",
        "--",
        "cat",
    ]);
    let mut client = connect(&server);
    client.send("x");
    client.finish();
    assert_eq!(client.read_to_end(), b"x");
    server.assert_good_end();
}

#[test]
fn a_program_has_its_limits() {
    let script = "ulimit -v; ulimit -t; ulimit -n; ulimit -u; ulimit -f; ulimit -c; nice";
    let server = serve(
        "event",
        // dash has no limit of processes; on a socket bash takes itself for rsh's.
        &format!("exec bash --norc -c '{script}'"),
        "",
        "memory = \"512MiB\"\nprocessor_time = \"7s\"\nopen_files = 50\nprocesses = 4000\n\
         file_size = \"1MiB\"\ncore = 0\nnice = 3",
    );
    let text = said(&server);
    let mut lines = text.lines();
    for expected in ["524288", "7", "50", "4000", "1024", "0"] {
        assert_eq!(lines.next(), Some(expected), "{text}");
    }
    let nice = process::nicer_by(3).to_string();
    assert_eq!(lines.next(), Some(nice.as_str()), "{text}");
    server.stop();
}

/// The server raises it for itself, and programs may use select(2).
#[test]
fn descriptors_are_as_many_as_the_server_was_started_with() {
    let limits = "ulimit -S -n; ulimit -H -n";
    let pools = format!(
        "{}\n[pool.app]\nservice = \"app\"\nlisten = \"127.0.0.1:0\"\nworkers = 1\n\
         app.command = [\"sh\", \"-c\", \"echo $({limits}); exec sleep 1000\"]\n",
        configuration("prefork", limits, "", "")
    );
    let directory = TempDir::new().unwrap();
    let path = write_configuration(directory.path(), "", &pools);
    let mut command = Command::new("prlimit");
    command.args(["--nofile=300:4000", "--"]);
    command.arg(program()).args(["run", "-c"]).arg(path);
    let mut server = Server::launch(command, directory);
    let before = server.pid();
    let held = std::fs::read_to_string(format!("/proc/{before}/limits")).unwrap();
    let held = held.lines().find(|line| line.starts_with("Max open files"));
    let numbers = held.unwrap().split_ascii_whitespace().skip(3).take(2);
    assert!(numbers.eq(["4000", "4000"]), "{held:?}");
    assert_eq!(said(&server), "300\n4000\n");
    server.log.wait_for("300 4000", SOON);
    // Another program in its place does not take the raised one for its own.
    let mark = server.log.mark();
    server.signal(Signal::SIGUSR2);
    let line = server.log.wait_for("upgrade: pid ", SOON);
    server.wait_for_generation(2);
    server.log.wait_for_after(mark, "300 4000", SOON);
    eventually("the old master is gone", SOON, || {
        (!process::is_alive(before)).then_some(())
    });
    assert_eq!(said(&server), "300\n4000\n");
    let (_, pid) = line.split_once("upgrade: pid ").unwrap();
    let (pid, _) = pid.split_once(' ').unwrap();
    process::signal(pid.parse().unwrap(), Signal::SIGTERM);
    server.assert_nobody_left();
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_has_its_own_address() {
    let server = serve(
        "event",
        "env; echo; exec cat",
        "listen = { address = \"[::]:0\", v6only = false }\nidle_timeout = \"300ms\"",
        "",
    );
    let port = server.address("exec").port();
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    // Its silence is seen as well.
    let text = String::from_utf8(client.read_to_end()).unwrap();
    for wanted in [
        "TCPREMOTEIP=127.0.0.1",
        "TCPLOCALIP=127.0.0.1",
        "REMOTE_ADDR=127.0.0.1",
    ] {
        assert!(text.lines().any(|line| line == wanted), "{text}");
    }
    server.log.wait_for("]: idle: SIGTERM", SOON);
    server.stop();
}

#[test]
fn an_event_loop_has_many_sessions_and_shows_them() {
    let mut server = serve_with(
        "fork",
        "echo $$; exec cat",
        "control_socket = \"control\"",
        "max_connections = 20",
        "",
    );
    let mut clients: Vec<Client> = (0..20).map(|_| connect(&server)).collect();
    let programs: Vec<u32> = clients.iter_mut().map(number).collect();
    let worker = server.workers()[0];
    let mut children = process::children(worker);
    children.sort_unstable();
    let mut expected = programs.clone();
    expected.sort_unstable();
    assert_eq!(children, expected, "the programs, and nobody else");
    // Each has a line of its own.
    let mut shown = harness::preforkd();
    let control = server.directory.path().join("control");
    shown.args(["status", "--json", "--control"]).arg(control);
    let shown = String::from_utf8(harness::server::outcome(shown).stdout).unwrap();
    for client in &clients {
        let request = format!("\"request\":\"exec /bin/sh for {}\"", client.name());
        assert!(shown.contains(&request), "{request}: {shown}");
    }
    // One more waits in the queue until there is a place.
    let mut late = connect(&server);
    server.wait_for_workers(1, "serving 20 connections");
    let_time_pass(Duration::from_millis(300));
    assert_eq!(process::children(worker).len(), 20);
    clients.pop().unwrap().finish();
    number(&mut late);
    for client in clients.iter_mut().chain([&mut late]) {
        client.finish();
        assert_eq!(client.read_to_end(), b"");
    }
    server.expect("nothing");
    server.stop();
}

/// Whatever the deadlines of a session are, for they are none of the worker's.
fn a_stopped_worker_is_found_with_a_session_under_way(model: &str) {
    let pool = "worker_timeout = \"2s\"\nidle_timeout = \"1h\"";
    let mut server = serve(model, "echo $$; exec cat", pool, "");
    for line in ["no sign of life", "SIGKILL", "has not finished in time"] {
        server.expect(line);
    }
    let mut client = connect(&server);
    let program = number(&mut client);
    // Silent for longer than a hung worker is given, which this one is not.
    let_time_pass(Duration::from_secs(4));
    client.send("x");
    assert_eq!(client.read(1), b"x");
    let worker = process::parent(program).unwrap();
    process::signal(worker, Signal::SIGSTOP);
    let line = server.log.wait_for("no sign of life", SOON);
    assert!(line.contains("exec /bin/sh for "), "{line}");
    assert_gone(worker);
    assert_gone(program);
    let mut again = connect(&server);
    number(&mut again);
    again.finish();
    again.read_to_end();
    server.stop();
}

#[test]
fn a_start_that_takes_too_long_is_given_up() {
    let directory = TempDir::new().unwrap();
    let program = directory.path().join("prog");
    std::fs::copy("/bin/cat", &program).unwrap();
    // Long enough for a start to begin, on whatever machine.
    let pool = "worker_timeout = \"3s\"";
    let pool = configuration("event", "", pool, "").replace("/bin/sh", "./prog");
    let own = ", \"-c\", '''''', \"sh\", \"an argument\"";
    let mut server = Server::run_with(directory, "", &pool.replace(own, ""));
    server.expect("cannot be run: start: not in time");
    server.expect("closed: program: not started");
    let mut lease = Lease::of(&program);
    let mut clients = [connect(&server), connect(&server)];
    lease.wait_until_wanted();
    for client in &mut clients {
        assert_eq!(client.read_to_end(), b"");
    }
    drop(lease);
    // The worker did not hang.
    let mut client = connect(&server);
    client.send("x");
    client.finish();
    assert_eq!(client.read_to_end(), b"x");
    eventually("nobody is left", SOON, || {
        (leftovers(&server).1 == 0).then_some(())
    });
    server.stop();
}

#[test]
fn a_title_says_which_program_has_whom() {
    let server = serve("prefork", "exec cat", "", "");
    let mut client = connect(&server);
    let text = format!(" gen 1 serving exec /bin/sh for {}", client.name());
    let workers = server.workers();
    let after = eventually("the title says for how long", SOON, || {
        let mut titles = workers.iter().map(|&pid| process::title(pid));
        titles
            .find_map(|title| Some(title.split_once(&text)?.1.trim().to_owned()))
            .filter(|after| !after.is_empty())
    });
    let seconds = after.strip_suffix('s').unwrap();
    assert!(seconds.parse::<u32>().unwrap() > 0, "{after}");
    client.finish();
    client.read_to_end();
    server.stop();
}

#[test]
fn a_command_line_is_a_server() {
    let refused = |arguments: &[&str], status, words: &str| {
        let mut command = harness::preforkd();
        command.arg("serve").args(arguments);
        let output = harness::server::outcome(command);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{text}");
        assert!(text.contains(words), "{text}");
    };
    refused(&["exec"], 64, "which program?");
    refused(
        &["exec", "--", "not-a-program-of-anybody"],
        78,
        "there is no program",
    );
    refused(&["exec", "--", "./not/there"], 78, "No such file");
    refused(
        &["echo", "--", "cat"],
        64,
        "only exec and app run a program",
    );
    let script = TempDir::new().unwrap();
    install(script.path(), &[("s", "#!/bin/sh\necho \"$# $2\"\n")]);
    let path = script.path().join("s").display().to_string();
    let server = Server::serve(&[
        "exec",
        "--listen",
        "127.0.0.1:0",
        "--",
        &path,
        "-v",
        "two words",
    ]);
    assert_eq!(said(&server), "2 two words\n");
    server.stop();
}

#[test]
#[ignore = "long"]
fn two_hundred_a_second_for_a_minute() {
    const MINUTE: Duration = Duration::from_secs(60);
    const CLIENTS: u32 = 8;
    for model in ["fork", "event"] {
        let pool = "idle_timeout = \"2s\"\nmax_connections = 64";
        let own = "\"/bin/sh\", \"-c\", '''''', \"sh\", \"an argument\"";
        let pool = configuration(model, "", pool, "timeout = \"30s\"");
        let server = Server::run(&pool.replace(own, "\"/bin/cat\""));
        let visit = || {
            let mut client = connect(&server);
            client.send("0123456789");
            client.finish();
            assert_eq!(client.read_to_end(), b"0123456789");
        };
        visit();
        let (before, _) = leftovers(&server);
        // Beside them, one who says nothing.
        let mut silent = connect(&server);
        let begun = Instant::now();
        let work = |number: u32| {
            let mut times = Vec::new();
            while begun.elapsed() < MINUTE {
                let turn = u32::try_from(times.len()).unwrap() * CLIENTS + number;
                let due = begun + Duration::from_millis(5) * turn;
                let_time_pass(due.saturating_duration_since(Instant::now()));
                let visited = Instant::now();
                visit();
                times.push(visited.elapsed());
            }
            times
        };
        let (mut times, most) = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| scope.spawn(move || work(number)))
                .collect();
            let mut most = 0;
            while begun.elapsed() < MINUTE {
                most = most.max(leftovers(&server).1);
                let_time_pass(Duration::from_millis(200));
            }
            let times = clients.into_iter().flat_map(|one| one.join().unwrap());
            (times.collect::<Vec<_>>(), most)
        });
        times.sort();
        eprintln!(
            "{model}: {} sessions in {:.1} s, at most {most} programs at a time, \
             a session p50 {:?}, p99 {:?}",
            times.len(),
            begun.elapsed().as_secs_f64(),
            times[times.len() / 2],
            times[times.len() * 99 / 100],
        );
        assert!(times.len() >= 11_900, "in a minute");
        assert_eq!(silent.read_to_end(), b"", "it was idle");
        assert!(most <= 64);
        eventually("nothing is left", SOON, || {
            let (descriptors, children) = leftovers(&server);
            (descriptors <= before && children == 0).then_some(())
        });
        server.stop();
    }
}
