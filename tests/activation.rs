//! Sockets from the service manager (sd_listen_fds(3)): the test is the manager,
//! and keeps what it passes as long as it likes.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::load::{Habit, Load};
use harness::passed::Passed;
use harness::server::{outcome, write_configuration};
use harness::{Client, SOON, Server, eventually, get, on_each_model, process};
use nix::sys::signal::Signal;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use tempfile::TempDir;

on_each_model! {
    all_sockets_of_a_name_are_served
    reloads_upgrades_and_deaths_lose_nobody
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    directory
}

fn web(listen: &str, model: &str) -> String {
    format!(
        "[pool.web]\nlisten = {listen}\nservice = \"http\"\nmodel = \"{model}\"\nworkers = 2\n\
         http.root = \"www\"\nhttp.keepalive_timeout = \"300ms\"\nlinger_timeout = \"100ms\"\n"
    )
}

const ECHO: &str = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n";

fn start(passed: &Passed, directory: TempDir, master: &str, pools: &str) -> Server {
    let path = write_configuration(directory.path(), master, pools);
    let command = passed.command("$$", &["run", "-c", path.to_str().unwrap()]);
    Server::launch(command, directory)
}

fn all_sockets_of_a_name_are_served(model: &str) {
    let ((one, first), (two, second), (three, third)) = (listener(), listener(), listener());
    let directory = directory();
    let path = directory.path().join("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let passed = Passed::new(&[("web", &one), ("web", &two), ("", &three), ("web", &unix)]);
    let pools = web("[\"fd:web\", \"fd:5\"]", model);
    let server = start(&passed, directory, "", &pools);
    for _ in 0..5 {
        for address in [first, second, third] {
            assert_eq!(get(address, "/").status, 200);
        }
        let mut client = UnixStream::connect(&path).unwrap();
        use std::io::{Read, Write};
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("index\n"), "{text}");
    }
    let places = server.addresses_of("web").join(" ");
    assert!(
        places.contains(&first.to_string()) && places.contains("unix:/"),
        "{places}"
    );
    server.stop_leaving(|_| assert!(path.exists(), "the file is the manager's"));
}

fn reloads_upgrades_and_deaths_lose_nobody(model: &str) {
    let (socket, address) = listener();
    let passed = Passed::new(&[("web", &socket)]);
    let pools = web("\"fd:web\"", model);
    let master = "pid_file = \"pid\"";
    let mut server = start(&passed, directory(), master, &pools);
    for line in ["killed by SIGKILL", "died young"] {
        server.expect(line);
    }
    let load = Load::start(address, "/", b"index\n", 2, Habit::Fresh);
    load.wait_for(50);
    server.reload(2);
    load.wait_for(50);
    // An upgrade has to pass on what nobody uses now, too.
    let place = server.directory.path().join("pid");
    server.signal(Signal::SIGUSR2);
    server.wait_for_generation(3);
    let before = server.pid();
    eventually("the old master is gone", SOON, || {
        (!process::is_alive(before)).then_some(())
    });
    load.wait_for(50);
    let (answered, losses) = load.stop();
    assert!(
        losses.is_empty(),
        "{answered} and {losses:?}\n{}",
        server.log
    );

    // A worker that dies leaves the queue to its successor.
    let master: u32 = fs::read_to_string(place).unwrap().trim().parse().unwrap();
    let workers = process::children(master);
    for &worker in &workers {
        process::signal(worker, Signal::SIGSTOP);
        eventually("each of its threads is stopped", SOON, || {
            let tasks = fs::read_dir(format!("/proc/{worker}/task")).unwrap();
            let mut tasks = tasks.map(|task| task.unwrap().file_name());
            let stopped = |name: std::ffi::OsString| {
                process::state(name.to_str()?.parse().ok()?).filter(|state| *state == 'T')
            };
            tasks.all(|task| stopped(task).is_some()).then_some(())
        });
    }
    let clients: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
    process::end(&workers);
    for mut client in clients {
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(server.wait(SOON).code(), Some(0), "the first master's end");
    process::signal(master, Signal::SIGTERM);
    server.assert_nobody_left();
    server.assert_no_complaints();
}

#[test]
fn who_comes_while_it_is_down_is_served_by_the_next_start() {
    let (socket, address) = listener();
    let passed = Passed::new(&[("web", &socket)]);
    for _ in 0..2 {
        let server = start(&passed, directory(), "", &web("\"fd:web\"", "prefork"));
        assert_eq!(get(address, "/").status, 200);
        server.stop();
    }
    let mut early = Client::connect(address);
    early.send("GET / HTTP/1.0\r\n\r\n");
    let server = start(&passed, directory(), "", &web("\"fd:web\"", "event"));
    assert_eq!(early.answer().status, 200);
    server.stop();
}

#[test]
fn what_a_reload_gives_up_another_one_has_back() {
    let ((one, first), (two, second)) = (listener(), listener());
    let passed = Passed::new(&[("one", &one), ("two", &two)]);
    let both = web("[\"fd:one\", \"fd:two\"]", "prefork");
    let master = "pid_file = \"pid\"";
    let mut server = start(&passed, directory(), master, &both);
    assert_eq!(get(second, "/").status, 200);
    server.configure(master, &web("\"fd:one\"", "prefork"));
    server.reload(2);
    let mut patient = Client::connect(second);
    patient.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(get(first, "/").status, 200);
    // Over an upgrade as well.
    let before = server.pid();
    server.signal(Signal::SIGUSR2);
    server.wait_for_generation(3);
    eventually("the old master is gone", SOON, || {
        (!process::is_alive(before)).then_some(())
    });
    let pid = fs::read_to_string(server.directory.path().join("pid")).unwrap();
    let master_pid: u32 = pid.trim().parse().unwrap();
    // By their numbers at the start.
    server.configure(master, &web("[\"fd:3\", \"fd:4\"]", "prefork"));
    process::signal(master_pid, Signal::SIGHUP);
    server.wait_for_generation(4);
    assert_eq!(patient.answer().status, 200);
    assert_eq!(get(first, "/").status, 200);
    assert_eq!(server.wait(SOON).code(), Some(0));
    process::signal(master_pid, Signal::SIGTERM);
    server.assert_nobody_left();
    server.assert_no_complaints();
}

#[test]
fn what_no_entry_names_is_told_and_closed() {
    let ((one, first), (two, second)) = (listener(), listener());
    let passed = Passed::new(&[("web", &one), ("mail", &two)]);
    let mut server = start(&passed, directory(), "", &web("\"fd:web\"", "prefork"));
    // See `keep` in src/net/activation.rs.
    let line = format!("descriptor 4 (mail, {second}) is in no `listen`: closed");
    server.log.wait_for(&line, SOON);
    server.expect(&line);
    drop((two, passed));
    // What is passed is inheritable: a program that another test is starting may
    // have a copy until it closes what it does not know.
    eventually("nobody has the other one", SOON, || {
        TcpStream::connect(second).is_err().then_some(())
    });
    assert_eq!(get(first, "/").status, 200);
    server.stop();
}

/// What a start comes to that has to fail.
fn failure(passed: &Passed, pid: &str, pools: &str) -> (Option<i32>, String) {
    let directory = directory();
    let path = write_configuration(directory.path(), "", pools);
    let output = outcome(passed.command(pid, &["run", "-c", path.to_str().unwrap()]));
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

#[test]
fn what_was_not_passed_to_us_is_not_taken() {
    let (socket, _) = listener();
    let passed = Passed::new(&[("web", &socket)]);
    let pools = web("\"fd:web\"", "prefork");
    for pid in ["1", "", "x"] {
        let (status, text) = failure(&passed, pid, &pools);
        assert_eq!(status, Some(69), "{text}");
        assert!(
            text.contains("LISTEN_FDS fd:web: the service manager passed nothing"),
            "{text}"
        );
    }
    let server = {
        let directory = directory();
        let path = write_configuration(directory.path(), "", ECHO);
        let command = passed.command("1", &["run", "-c", path.to_str().unwrap()]);
        Server::launch(command, directory)
    };
    // Nor does anybody complain of it.
    server.stop();
}

#[test]
fn a_socket_that_cannot_be_accepted_on_is_refused_with_its_reason() {
    let (socket, address) = listener();
    let client = TcpStream::connect(address).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = tempfile::tempfile().unwrap();
    let passed = Passed::new(&[
        ("client", &client),
        ("datagrams", &datagrams),
        ("file", &file),
        ("web", &socket),
    ]);
    for (listen, words) in [
        (
            "\"fd:client\"",
            "fd:client: descriptor 3: a client's connection: the unit needs Accept=no",
        ),
        (
            "\"fd:4\"",
            "fd:4: descriptor 4: a socket for datagrams: write \"udp:fd:4\"",
        ),
        ("\"fd:file\"", "fd:file: descriptor 5: not a socket"),
        (
            "\"fd:none\"",
            "fd:none: the service manager passed fd:client (3), udp:fd:datagrams (4)",
        ),
        (
            "[\"fd:web\", \"fd:6\"]",
            "fd:6: another entry has this socket",
        ),
        ("\"fd:7\"", "fd:7: the service manager passed"),
    ] {
        let (status, text) = failure(&passed, "$$", &web(listen, "prefork"));
        assert_eq!(status, Some(69), "{listen}: {text}");
        assert!(text.contains(words), "{listen}: {text}");
    }
    let echo = ECHO.replace("127.0.0.1:0", "udp:fd:web");
    let (status, text) = failure(&passed, "$$", &echo);
    assert_eq!(status, Some(69), "{text}");
    let words = "udp:fd:web: descriptor 6: a socket for connections: write \"fd:web\"";
    assert!(text.contains(words), "{text}");
}

#[test]
fn the_form_is_checked_without_the_sockets() {
    let directory = directory();
    let check = |pools: &str| {
        let path = write_configuration(directory.path(), "", pools);
        let mut command = harness::preforkd();
        command.args(["check", "-c"]).arg(path);
        let output = outcome(command);
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    let (status, text) = check(&web("[\"fd:web\", \"fd:3\", \"127.0.0.1:0\"]", "event"));
    assert_eq!(status, Some(0), "{text}");
    let echo = ECHO.replace("\"127.0.0.1:0\"", "[\"udp:fd:web\", \"udp:127.0.0.1:0\"]");
    let (status, text) = check(&format!("{echo}udp.rate = 9\n"));
    assert_eq!(status, Some(0), "{text}");
    for (listen, keys, words) in [
        (
            "\"fd:web\"",
            "accept = \"reuseport\"",
            "cannot be accepted on with \"reuseport\"",
        ),
        (
            "{ address = \"fd:web\", mode = \"0600\" }",
            "",
            "`mode` has no effect here",
        ),
        (
            "[\"fd:web\", \"fd:web\"]",
            "",
            "fd:web is listened on twice",
        ),
        ("\"fd:0\"", "", "from \"fd:3\" on"),
        (
            "\"udp:fd:web\"",
            "accept = \"reuseport\"",
            "cannot be accepted on with \"reuseport\"",
        ),
        (
            "\"udp:fd:web\"",
            "",
            "the service http cannot be had over UDP",
        ),
        (
            "{ address = \"udp:fd:web\", proxy_protocol = true }",
            "",
            "`proxy_protocol` has no effect here",
        ),
        (
            "[\"udp:fd:web\", \"fd:web\"]",
            "",
            "a pool has either datagrams or connections: fd:web wants",
        ),
    ] {
        let web = web(listen, "event");
        let (head, tail) = web.split_once("http.root").unwrap();
        let (status, text) = check(&format!("{head}{keys}\nhttp.root{tail}"));
        assert_eq!(status, Some(78), "{listen}: {text}");
        assert!(text.contains(words), "{listen}: {text}");
    }
}

#[test]
fn a_pool_without_a_file_takes_them_as_well() {
    let (socket, address) = listener();
    let passed = Passed::new(&[("web", &socket)]);
    let directory = directory();
    let www = directory.path().join("www");
    let arguments = ["serve", "http", www.to_str().unwrap(), "--listen", "fd:web"];
    let server = Server::launch(
        passed.command("$$", &[&arguments[..], &["-vv"]].concat()),
        directory,
    );
    assert_eq!(get(address, "/").status, 200);
    server.stop();
}

/// The process that it was passed to is not the one that serves.
#[test]
fn a_daemon_keeps_what_was_passed_to_its_starter() {
    let (socket, address) = listener();
    let passed = Passed::new(&[("web", &socket)]);
    let directory = directory();
    let master = "pid_file = \"pid\"\nlog = { to = \"./log\" }";
    let path = write_configuration(directory.path(), master, &web("\"fd:web\"", "prefork"));
    let arguments = ["run", "--daemon", "-c", path.to_str().unwrap()];
    let output = outcome(passed.command("$$", &arguments));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pid = fs::read_to_string(directory.path().join("pid")).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    let answer = harness::client::try_get(address, "/");
    process::signal(pid, Signal::SIGTERM);
    eventually("the daemon ends", SOON, || {
        (!process::is_alive(pid)).then_some(())
    });
    assert_eq!(answer.unwrap().status, 200);
}
