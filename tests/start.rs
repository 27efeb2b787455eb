//! Starting: in the background, beside another one, with addresses of every
//! kind, as root for somebody else; and with which status a start fails.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::{outcome, write_configuration};
use harness::{Client, SOON, Server, eventually, own, preforkd, process};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;
use tempfile::TempDir;

const ECHO: &str = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 2\n";

/// A daemon, known by its pid file.
struct Daemon {
    pid: u32,
    directory: TempDir,
}

/// What a daemon's `[master]` says.
const DAEMON: &str = "pid_file = \"pid\"\ncontrol_socket = \"control\"\n\
                      log = { to = \"./log\", level = \"debug\" }\n";

impl Daemon {
    fn start(directory: TempDir) -> Self {
        write_configuration(directory.path(), DAEMON, ECHO);
        let output = catch_unwind(|| start_in(directory.path())).unwrap_or_else(|panic| {
            // It may be running all the same.
            let text = fs::read_to_string(directory.path().join("pid")).unwrap_or_default();
            if let Ok(pid) = text.trim().parse() {
                drop(Self {
                    pid,
                    directory: TempDir::new().unwrap(),
                });
            }
            resume_unwind(panic)
        });
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let pid = fs::read_to_string(directory.path().join("pid")).unwrap();
        Self {
            pid: pid.trim().parse().unwrap(),
            directory,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn address(&self) -> SocketAddr {
        address_in(&self.log())
    }

    fn stop(self) {
        process::signal(self.pid, Signal::SIGTERM);
        eventually("the daemon ends", SOON, || {
            (!process::is_alive(self.pid)).then_some(())
        });
        assert!(process::group(self.pid).is_empty());
        assert!(!self.directory.path().join("pid").exists());
        assert!(!self.directory.path().join("control").exists());
        let log = self.log();
        assert!(
            !log.contains(" error: ") && !log.contains(" warn: "),
            "{log}"
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if process::is_alive(self.pid) && process::title(self.pid).starts_with("preforkd") {
            let mut pids = process::descendants(self.pid);
            pids.push(self.pid);
            process::end(&pids);
        }
    }
}

fn address_in(log: &str) -> SocketAddr {
    let (_, rest) = log.split_once("serves: echo ").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// `run --daemon` with the configuration in `directory`. That it answers at
/// all says that nobody keeps the starter's output open.
fn start_in(directory: &Path) -> Output {
    let mut command = preforkd();
    command
        .args(["run", "--daemon", "-c"])
        .arg(directory.join("preforkd.toml"));
    outcome(command)
}

fn assert_echoes(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.send("x");
    assert_eq!(client.read(1), b"x");
}

#[test]
fn a_daemon_serves_when_its_starter_has_ended() {
    let daemon = Daemon::start(TempDir::new().unwrap());
    for _ in 0..20 {
        assert_echoes(daemon.address());
    }
    let ready = process::children(daemon.pid);
    assert_eq!(ready.len(), 2);
    eventually("whoever served is idle again", SOON, || {
        let mut titles = ready.iter().map(|&pid| process::title(pid));
        titles.all(|title| title.ends_with(" idle")).then_some(())
    });
    assert_eq!(
        fs::read_link(format!("/proc/{}/cwd", daemon.pid)).unwrap(),
        Path::new("/")
    );
    for pid in ready.iter().chain([&daemon.pid]) {
        for fd in 0..3 {
            let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
            assert_eq!(
                target,
                Path::new("/dev/null"),
                "{fd} of {}",
                process::title(*pid)
            );
        }
    }
    // The first worker was forked before the log was in force.
    let log = daemon.log();
    assert!(
        log.contains("] echo[0] debug: 127.0.0.1:") || log.contains("] echo[1] debug: 127"),
        "{log}"
    );
    daemon.stop();
}

#[test]
fn a_second_start_is_refused_with_the_pid_of_the_first() {
    let daemon = Daemon::start(TempDir::new().unwrap());
    let again = start_in(daemon.directory.path());
    assert_eq!(again.status.code(), Some(69));
    let message = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(message.contains(&daemon.pid.to_string()), "{message}");
    assert_echoes(daemon.address());
    daemon.stop();
}

#[test]
fn a_stale_pid_file_and_a_stale_control_socket_are_no_obstacle() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("pid"), "1\n").unwrap();
    own::stale_socket(&directory.path().join("control"));
    Daemon::start(directory).stop();
    // What a killed master leaves is stale too.
    let mut daemon = Daemon::start(TempDir::new().unwrap());
    let workers = process::children(daemon.pid);
    process::end(&[daemon.pid]);
    eventually("its workers go", SOON, || {
        workers
            .iter()
            .all(|&pid| !process::is_alive(pid))
            .then_some(())
    });
    fs::remove_file(daemon.directory.path().join("log")).unwrap();
    let directory = std::mem::replace(&mut daemon.directory, TempDir::new().unwrap());
    Daemon::start(directory).stop();
}

#[test]
fn a_taken_port_is_69_and_said_to_the_starter() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for accept in ["shared", "reuseport"] {
        let pools = ECHO.replace("127.0.0.1:0", &address);
        let pools = format!("{pools}accept = \"{accept}\"\n");
        write_configuration(directory.path(), DAEMON, &pools);
        for flags in [&["run", "-c"][..], &["run", "--daemon", "-c"]] {
            let path = directory.path().join("preforkd.toml");
            let output = preforkd().args(flags).arg(path).output().unwrap();
            assert_eq!(output.status.code(), Some(69), "{output:?}");
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                message.contains(&address) && message.contains("in use"),
                "{message}"
            );
        }
        assert!(!directory.path().join("pid").exists());
    }
}

#[test]
fn two_servers_never_share_a_reuseport_address() {
    let first = Server::serve(&["echo", "--accept", "reuseport", "--workers", "2"]);
    let address = first.address("echo").to_string();
    let arguments = [
        "serve",
        "echo",
        "--accept",
        "reuseport",
        "--listen",
        &address,
    ];
    let output = preforkd().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    first.stop();
}

#[test]
fn a_broken_configuration_is_78_and_says_where() {
    let directory = TempDir::new().unwrap();
    let path = write_configuration(directory.path(), DAEMON, &ECHO.replace("2", "none"));
    for flags in [
        &["run", "-c"][..],
        &["run", "--daemon", "-c"],
        &["check", "-c"],
    ] {
        let output = preforkd().args(flags).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("preforkd.toml:9:"), "{message}");
    }
}

#[test]
fn a_configuration_that_may_not_be_read_is_77() {
    if !nix::unistd::geteuid().is_root() {
        let directory = TempDir::new().unwrap();
        let path = write_configuration(directory.path(), DAEMON, ECHO);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        let output = preforkd().args(["run", "-c"]).arg(path).output().unwrap();
        assert_eq!(output.status.code(), Some(77), "{output:?}");
        return;
    }
    let Some(mut unprivileged) = as_nobody() else {
        return;
    };
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = write_configuration(directory.path(), DAEMON, ECHO);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let program = copy_for_everybody(directory.path());
    let output = unprivileged
        .arg(program)
        .args(["run", "-c"])
        .arg(path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(77), "{output:?}");
}

/// `setpriv` to a user without rights, where there is one.
fn as_nobody() -> Option<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    let mut probe = Command::new("setpriv");
    probe.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
        "true",
    ]);
    match probe.status() {
        Ok(status) if status.success() => Some(command),
        Ok(_) | Err(_) => {
            println!("skipped: setpriv(1) cannot change the user here");
            None
        }
    }
}

/// The program may lie where only its owner can go.
fn copy_for_everybody(directory: &Path) -> std::path::PathBuf {
    let copy = directory.join("preforkd");
    own::copy(&copy);
    copy
}

#[test]
fn workers_of_root_run_as_the_configured_user() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can start workers as somebody else");
        return;
    }
    let Ok(Some(user)) = nix::unistd::User::from_name("nobody") else {
        println!("skipped: there is no user nobody");
        return;
    };
    for model in harness::MODELS {
        let pools = format!("{ECHO}model = \"{model}\"\n");
        let master = "user = \"nobody\"\n";
        let mut server = Server::run_with(TempDir::new().unwrap(), master, &pools);
        let check = |server: &Server| {
            let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
            for pid in server.workers() {
                assert_eq!(process::status(pid, "Uid"), [uid.as_str(); 4].join("\t"));
                assert_eq!(process::status(pid, "Gid"), [gid.as_str(); 4].join("\t"));
                let groups = process::status(pid, "Groups");
                assert!(groups.is_empty() || groups == gid, "{groups}");
                let capabilities = process::status(pid, "CapEff");
                assert!(
                    capabilities.bytes().all(|digit| digit == b'0'),
                    "{capabilities}"
                );
            }
        };
        check(&server);
        assert_eq!(process::status(server.pid(), "Uid"), "0\t0\t0\t0");
        assert_echoes(server.address("echo"));
        server.reload(2);
        server.wait_for_workers(0, "gen 1 ");
        check(&server);
        // PR_SET_PDEATHSIG must have been set after the change of user.
        server.expect("the master is gone");
        server.signal(Signal::SIGKILL);
        server.wait(SOON);
        server.assert_nobody_left();
    }
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_the_server() {
    for model in harness::MODELS {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("echo.sock");
        // What a server left that was killed.
        own::stale_socket(&path);
        let pools = format!(
            "[pool.echo]\nlisten = {{ address = \"unix:echo.sock\", mode = \"0640\" }}\n\
             service = \"echo\"\nmodel = \"{model}\"\nworkers = 2\n"
        );
        let mut server = Server::run_with(directory, "", &pools);
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        for generation in 2..=3 {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(b"hello").unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
            server.reload(generation);
        }
        server.stop_leaving(|directory| assert!(!directory.join("echo.sock").exists()));
    }
}

#[test]
fn a_file_in_the_place_of_the_control_socket_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("precious");
    fs::write(&path, "precious").unwrap();
    let pool = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n";
    write_configuration(directory.path(), "control_socket = \"precious\"", pool);
    let output = start_in(directory.path());
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("precious");
    fs::write(&path, "data").unwrap();
    let place = format!("unix:{}", path.display());
    let output = preforkd()
        .args(["serve", "echo", "--listen", &place])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert_eq!(fs::read(&path).unwrap(), b"data");
}

#[test]
fn ipv6_with_and_without_ipv4() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: there is no IPv6 here");
        return;
    }
    for v6only in [true, false] {
        let pools = format!(
            "[pool.echo]\nlisten = {{ address = \"[::]:0\", v6only = {v6only} }}\n\
             service = \"echo\"\nworkers = 2\n"
        );
        let server = Server::run(&pools);
        let port = server.address("echo").port();
        assert_echoes(SocketAddr::new("::1".parse().unwrap(), port));
        // Where no other test can have the same port.
        let other = SocketAddr::new(own::ip().into(), port);
        if v6only {
            assert!(Client::try_connect(other).is_err());
        } else {
            assert_echoes(other);
        }
        server.stop();
    }
}

#[test]
fn several_addresses_of_one_pool() {
    for model in harness::MODELS {
        let arguments = [
            "echo",
            "--model",
            model,
            "--workers",
            "2",
            "--listen",
            "127.0.0.1:0",
            "--listen",
            "127.0.0.2:0",
        ];
        let server = Server::serve(&arguments);
        let places: Vec<SocketAddr> = server
            .addresses_of("echo")
            .iter()
            .map(|place| place.parse().unwrap())
            .collect();
        assert_eq!(places.len(), 2);
        for _ in 0..5 {
            places.iter().for_each(|&place| assert_echoes(place));
        }
        server.stop();
    }
}

#[test]
fn many_workers_start_quickly_and_share_their_memory() {
    let begun = Instant::now();
    let server = Server::run(&ECHO.replace("workers = 2", "workers = 64"));
    let workers = server.wait_for_workers(64, "echo[");
    println!("64 workers in {:?}", begun.elapsed());
    let shares: u64 = workers
        .iter()
        .map(|&pid| process::proportional_memory(pid))
        .sum();
    println!("PSS {} KiB a worker", shares / 64);
    assert!(shares / 64 < 2048, "{shares} KiB");
    server.stop();
}

#[test]
fn who_finds_no_process_waits_for_one() {
    if as_nobody().is_none() || !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can count the processes of a user of its own");
        return;
    }
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let pool = ECHO.replace("workers = 2", "workers = 1\nmodel = \"fork\"");
    let path = write_configuration(directory.path(), "", &pool);
    // The master, its worker, and two children, of a user whom nobody else is.
    let user = 100_000 + std::process::id();
    let mut command = Command::new("setpriv");
    command
        .args([&format!("--reuid={user}"), &format!("--regid={user}")])
        .args(["--clear-groups", "--", "prlimit", "--nproc=4:4", "--"])
        .arg(copy_for_everybody(directory.path()))
        .args(["run", "-c"])
        .arg(path);
    let mut server = Server::launch(command, directory);
    server.expect("clients wait in the queue");
    // Some kernels let only root filter what a socket receives.
    server.expect("refusing new clients");
    let mut clients: Vec<Client> = (0..12)
        .map(|_| Client::connect(server.address("echo")))
        .collect();
    server.log.wait_for("clients wait in the queue", SOON);
    for client in &mut clients {
        client.send("x");
        client.finish();
    }
    for client in &mut clients {
        assert_eq!(client.read_to_end(), b"x", "{}", server.log);
    }
    server.stop();
}

#[test]
fn a_server_without_proc_serves() {
    let directory = TempDir::new().unwrap();
    let path = write_configuration(directory.path(), "", ECHO);
    let script = "umount -l /proc && exec \"$@\"";
    let mut probe = Command::new("unshare");
    let probe = probe
        .args(["-m", "sh", "-c", script, "sh", "true"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped: unshare(1) cannot take /proc away here");
        return;
    }
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(harness::server::program())
        .args(["run", "-c"])
        .arg(path);
    let server = Server::launch(command, directory);
    assert_echoes(server.address("echo"));
    server.stop();
}
