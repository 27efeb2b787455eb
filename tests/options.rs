//! The options of a listener's socket in the real program: what its connections
//! have of them, as ss(8) sees it, over reloads, upgrades and groups; and that
//! what is refused fails as a whole, with its name.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::{outcome, write_configuration};
use harness::{Client, SOON, Server, eventually, on_each_model, own, preforkd, process};
use nix::sys::signal::Signal;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

on_each_model! {
    a_reload_changes_what_new_connections_have
}

/// What ss says of the server's end of the connection from `client`, at rest;
/// `None` without ss.
fn seen(server: SocketAddr, client: &Client) -> Option<String> {
    eventually("what was sent is acknowledged", SOON, || {
        let mut command = Command::new("ss");
        command.args(["-Htnoim", "src", &server.to_string(), "dst"]);
        command.arg(client.name().to_string());
        let Ok(output) = command.output() else {
            eprintln!("skipped: ss of iproute2 is not installed");
            return Some(None);
        };
        let text = String::from_utf8(output.stdout).unwrap();
        // Until then that timer runs, and hides the others.
        (!text.contains("timer:(on,")).then_some(Some(text))
    })
}

/// A client, once somebody serves it.
fn served(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send("x");
    assert_eq!(client.read(1), b"x");
    client
}

fn pool(model: &str, keys: &str, options: &str) -> String {
    format!(
        "[pool.echo]\nservice = \"echo\"\nmodel = \"{model}\"\n{keys}\n\
         listen = {{ address = \"127.0.0.1:0\"{options} }}\n"
    )
}

const OPTIONS: &str = ", keepalive = true, keepalive_idle = \"50m\", rcvbuf = 20000, \
                       sndbuf = 30000, tos = \"AF21\"";

/// Whether a connection has what [`OPTIONS`] says.
fn has_options(seen: &str) -> bool {
    let all = ["timer:(keepalive,", "rb40000", "tb60000"];
    let has = all.map(|part| seen.contains(part));
    assert!(
        has == [true; 3] || has == [false; 3],
        "all or nothing: {seen}"
    );
    has[0]
}

fn a_reload_changes_what_new_connections_have(model: &str) {
    let mut server = Server::run(&pool(model, "", ""));
    let address = server.address("echo");
    let plain = served(address);
    let Some(without) = seen(address, &plain) else {
        return;
    };
    assert!(!has_options(&without), "{without}");
    for (generation, options) in [(2, OPTIONS), (3, "")] {
        server.configure("", &pool(model, "", options));
        server.reload(generation);
        assert_eq!(server.address("echo"), address, "the socket stays");
        // The workers before it may take one more, with what it came with.
        eventually("new connections have the new options", SOON, || {
            let found = seen(address, &served(address)).unwrap();
            (has_options(&found) != options.is_empty()).then_some(())
        });
        let before = seen(address, &plain).unwrap();
        assert!(
            !has_options(&before),
            "what is open stays as it is: {before}"
        );
    }
    drop(plain);
    server.stop();
}

#[test]
fn each_member_of_a_group_has_them_after_a_resize_and_an_upgrade() {
    let place = TempDir::new().unwrap();
    let copy = place.path().join("preforkd");
    own::copy(&copy);
    let keys = "accept = \"reuseport\"\nworkers = 3";
    let master = "pid_file = \"pid\"\ncontrol_socket = \"control\"";
    let path = write_configuration(place.path(), master, &pool("event", keys, OPTIONS));
    let mut command = Command::new(&copy);
    command
        .args(["run", "-c"])
        .arg(path)
        .current_dir(place.path());
    let mut server = Server::launch(command, place);
    let address = server.address("echo");
    let all_have = || {
        // Twenty of them miss none of five members but once in a hundred times.
        for _ in 0..20 {
            let Some(found) = seen(address, &served(address)) else {
                return;
            };
            assert!(has_options(&found), "{found}");
        }
    };
    all_have();
    let mut scale = preforkd();
    scale.args(["scale", "echo", "5", "--wait", "--control"]);
    scale.arg(server.directory.path().join("control"));
    let scaled = outcome(scale);
    assert!(scaled.status.success(), "{scaled:?}");
    all_have();
    server.reload(2);
    all_have();
    server.signal(Signal::SIGUSR2);
    server.wait_for_generation(3);
    all_have();
    assert_eq!(server.wait(SOON).code(), Some(0), "the first master's end");
    all_have();
    let master = fs::read_to_string(server.directory.path().join("pid")).unwrap();
    process::signal(master.trim().parse().unwrap(), Signal::SIGTERM);
    server.assert_nobody_left();
}

/// What ss says of the sockets for datagrams at this address, a line each.
fn seen_datagrams(server: &Server) -> Option<Vec<String>> {
    let addresses = server.addresses_of("u");
    let place = addresses[0].strip_prefix("udp:").unwrap();
    let mut command = Command::new("ss");
    command.args(["-Hunaom", "src", place]);
    let Ok(output) = command.output() else {
        eprintln!("skipped: ss of iproute2 is not installed");
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| line.contains("skmem:"));
    Some(lines.map(str::to_owned).collect())
}

#[test]
fn sockets_for_datagrams_have_theirs_and_a_reload_changes_them() {
    for (accept, sockets) in [("shared", 1), ("reuseport", 2)] {
        let pool = |options: &str| {
            format!(
                "[pool.u]\nservice = \"echo\"\nworkers = 2\naccept = \"{accept}\"\n\
                 listen = {{ address = \"udp:127.0.0.1:0\"{options} }}\n"
            )
        };
        let told = pool(", rcvbuf = 20000, sndbuf = 30000, tos = \"AF21\"");
        let mut server = Server::run(&told);
        let has = |server: &Server| {
            let lines = seen_datagrams(server)?;
            assert_eq!(lines.len(), sockets, "{lines:?}");
            let has = |line: &String| line.contains("rb40000,") && line.contains("tb60000,");
            let count = lines.iter().filter(|line| has(line)).count();
            assert!(count == 0 || count == sockets, "all or none: {lines:?}");
            Some(count == sockets)
        };
        let Some(begun) = has(&server) else {
            return;
        };
        assert!(begun, "{accept}");
        for (generation, pools, expected) in [(2, pool(""), false), (3, told.clone(), true)] {
            server.configure("", &pools);
            server.reload(generation);
            assert_eq!(has(&server), Some(expected), "{accept}");
        }
        server.stop();
    }
}

/// The program, in the hands of a user without rights and in a directory that
/// this one can read.
fn as_nobody(place: &TempDir) -> Option<(Command, PathBuf)> {
    let mut probe = Command::new("setpriv");
    let who = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let possible = probe.args(who).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("skipped: setpriv(1) cannot change the user here");
        return None;
    }
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = place.path().join("preforkd");
    own::copy(&copy);
    let mut command = Command::new("setpriv");
    command.args(who).arg(&copy);
    Some((command, copy))
}

#[test]
fn what_is_refused_fails_the_start_by_its_name() {
    for (options, name) in [
        ("mark = 7", "SO_MARK"),
        ("transparent = true", "IP_TRANSPARENT"),
    ] {
        let place = TempDir::new().unwrap();
        let Some((mut command, _)) = as_nobody(&place) else {
            return;
        };
        let address = own::address();
        let pools = format!(
            "[pool.echo]\nservice = \"echo\"\nlisten = {{ address = \"{address}\", {options} }}\n"
        );
        let path = write_configuration(place.path(), "", &pools);
        command.args(["run", "-c"]).arg(path);
        let output = outcome(command);
        let text = String::from_utf8(output.stderr).unwrap();
        let line = format!("{name} {address}: operation not permitted");
        assert!(text.contains(&line), "{text}");
        assert_eq!(output.status.code(), Some(77), "{text}");
    }
}

#[test]
fn what_is_refused_fails_a_reload_and_all_goes_on() {
    let place = TempDir::new().unwrap();
    let Some((mut command, _)) = as_nobody(&place) else {
        return;
    };
    let path = write_configuration(place.path(), "", &pool("event", "", OPTIONS));
    command.args(["run", "-c"]).arg(path);
    let mut server = Server::launch(command, place);
    let address = server.address("echo");
    for (options, name) in [
        (", mark = 7", "SO_MARK"),
        (", rcvbuf = \"1GiB\"", "SO_RCVBUF"),
    ] {
        server.configure("", &pool("event", "", options));
        server.expect(name);
        server.expect("reload refused: generation 1 stays as it is");
        server.signal(Signal::SIGHUP);
        let line = server.log.wait_for(&format!("{name} {address}: "), SOON);
        let reason = if name == "SO_MARK" {
            "operation not permitted"
        } else {
            "1073741824 octets are more than net.core.rmem_max allows"
        };
        assert!(line.contains(reason), "{line}");
    }
    // The listener is as it was: nothing of the other one was set.
    if let Some(found) = seen(address, &served(address)) {
        assert!(has_options(&found), "{found}");
    }
    server.configure("", &pool("event", "", OPTIONS));
    server.signal(Signal::SIGHUP);
    server.wait_for_generation(2);
    server.stop();
}

#[test]
fn an_option_is_printed_and_a_wrong_one_has_its_line() {
    let place = TempDir::new().unwrap();
    let options = format!("{OPTIONS}, proxy_protocol = true, fin_timeout = \"9s\"");
    let path = write_configuration(place.path(), "", &pool("event", "", &options));
    let mut command = preforkd();
    command.args(["check", "--print", "-c"]).arg(&path);
    let text = String::from_utf8(outcome(command).stdout).unwrap();
    let expected = "listen = [{ address = \"127.0.0.1:0\", proxy_protocol = true, \
                    proxy_from = [\"127.0.0.0/8\", \"::1\", \"unix:\"], proxy_timeout = \"3s\", \
                    keepalive = true, keepalive_idle = \"50m\", fin_timeout = \"9s\", \
                    rcvbuf = \"20000B\", sndbuf = \"30000B\", tos = \"AF21\" }]\n";
    assert!(text.contains(expected), "{text}");
    let path = write_configuration(place.path(), "", &pool("event", "", ", tos = \"AF99\""));
    let mut command = preforkd();
    command.args(["check", "-c"]).arg(&path);
    let output = outcome(command);
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    for part in [
        "preforkd.toml:8:",
        "`tos` cannot be \"AF99\"",
        "a class such as",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
