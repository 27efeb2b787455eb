//! The log of the real program: its forms, its places, and what is not written.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::{outcome, program, write_configuration};
use harness::{Client, SOON, Server, eventually, get, install, on_each_model, preforkd, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

on_each_model! {
    whatever_a_client_sends_a_line_is_an_object
    whatever_a_client_sends_a_line_is_a_line
    a_flood_of_lines_is_cut_and_counted
}

/// A directory with something to serve: a password file, and programs
/// that write what they are told to standard error.
fn site() -> TempDir {
    let directory = TempDir::new().unwrap();
    let www = directory.path().join("www");
    fs::create_dir(&www).unwrap();
    fs::write(www.join("index.html"), "index\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", www.join("out\u{202e}\n\x1b[2J")).unwrap();
    // Of a password that nobody says.
    let user = format!("a:$2y$04${}\n", "a".repeat(53));
    fs::write(directory.path().join("passwords"), user).unwrap();
    let cry = "#!/bin/sh\nprintf '%b\\n' \"$QUERY_STRING\" | sed 's/+/ /g' >&2\nexit 1\n";
    let flood = "#!/bin/sh\nseq 100 >&2\nexit 1\n";
    install(&www, &[("cry", cry), ("flood", flood)]);
    directory
}

fn pool(model: &str, keys: &str) -> String {
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         workers = 2\nlinger_timeout = \"100ms\"\nhttp.root = \"www\"\n{keys}\n\
         http.path.\"/cry\" = {{ cgi = true }}\nhttp.path.\"/flood\" = {{ cgi = true }}\n\
         http.path.\"/secret/\" = {{ auth = \"passwords\" }}\n"
    )
}

/// Starts the program with a log that is no pipe; answers where it listens.
fn start(directory: TempDir, master: &str, pools: &str) -> (Server, SocketAddr) {
    let path = write_configuration(directory.path(), master, pools);
    let mut command = preforkd();
    command.arg("run").arg("-c").arg(path);
    with_address(Server::launch_with_log_file(command, directory))
}

fn with_address(server: Server) -> (Server, SocketAddr) {
    let line = server.log.wait_for("listening on web ", SOON);
    let (_, place) = line.split_once(" web ").unwrap();
    let end = place.find([',', ' ']).unwrap_or(place.len());
    let address = place[..end].parse().unwrap();
    (server, address)
}

/// Octets that would end a line, drive a terminal, or end a string of JSON,
/// wherever a client may put them.
fn send_what_is_odd(address: SocketAddr) {
    const ODD: [&[u8]; 7] = [
        b"\x1b]0;x\x07\x1b[2J",
        b"\"},{\"level\":\"error\",\"message\":\"",
        b"\\\\\\\"\\x5C\\u0022",
        "\u{2028}2026-11-21 00:00:00.000 +0000 [1] master error: all is lost\u{202e}".as_bytes(),
        b"\xff\xfe\x80\xc0\xaf",
        b"\x00\x7f\x0b\x0c\x85\xc2\x85",
        b"a\rb\tc",
    ];
    for odd in ODD {
        for (before, after) in [
            (&b"GET /"[..], &b" HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
            (b"GET / HTTP/1.1\r\nHost: ", b"\r\n\r\n"),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", b": x\r\n\r\n"),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nReferer: ",
                b"\r\nUser-Agent: \x1b[31m\r\n\r\n",
            ),
            (b"", b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (b"GET / ", b"\r\nHost: a\r\n\r\n"),
        ] {
            let mut client = Client::connect(address);
            client.send([before, odd, after].concat());
            client.finish();
            client.read_to_end();
        }
    }
    for path in [
        // What the program writes: an escape sequence, and a line of ours.
        "/cry?\\033[2J\\r\\n2026-11-21+00:00:00.000+\\0200\\0",
        "/out%E2%80%AE%0A%1B%5B2J",
        "/%0a%1b%22",
    ] {
        get(address, path);
    }
    // A name that is no word, with a password.
    let mut client = Client::connect(address);
    client.send("GET /secret/ HTTP/1.1\r\nHost: a\r\nAuthorization: Basic GyIKOng=\r\n\r\n");
    client.finish();
    client.read_to_end();
}

/// The lines of a file; what is no line of text is a mistake.
fn lines(path: &Path) -> Vec<String> {
    let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let unruly = |letter: char| letter != '\n' && preforkd::escape::is_unruly(letter);
    let line = text.lines().find(|line| line.contains(unruly));
    assert_eq!(line, None);
    text.lines().map(str::to_owned).collect()
}

fn objects(path: &Path) -> Vec<Value> {
    let parsed = lines(path).into_iter().map(|line| {
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    });
    parsed.collect()
}

fn whatever_a_client_sends_a_line_is_an_object(model: &str) {
    let (mut server, address) = start(
        site(),
        "log = { to = \"./master.log\", level = \"debug\", format = \"json\" }",
        &pool(
            model,
            "http.access_log = { to = \"./access.log\", format = \"json\" }",
        ),
    );
    let victim = server.workers()[0];
    process::signal(victim, Signal::SIGKILL);
    let log = server.directory.path().join("master.log");
    let of_event = |lines: &[Value], event: &str| -> Vec<Value> {
        let of = |line: &&Value| line["fields"]["event"] == event;
        lines.iter().filter(of).cloned().collect()
    };
    eventually("the death is told", SOON, || {
        let deaths = of_event(&objects(&log), "death");
        (!deaths.is_empty()).then_some(())
    });
    send_what_is_odd(address);
    let master = server.pid();
    // Whoever started it reads this, in the form that is asked for.
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).code(), Some(0));
    let lines = objects(&log);
    let keys = [
        "time", "level", "pid", "role", "pool", "slot", "message", "fields",
    ];
    for line in &lines {
        let object = line.as_object().unwrap();
        assert_eq!(object.len(), keys.len());
        assert!(keys.iter().all(|key| object.contains_key(*key)), "{line}");
        let time = line["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && &time[10..11] == "T");
        if line["role"] == "master" {
            assert_eq!(
                (&line["pid"], &line["pool"]),
                (&master.into(), &Value::Null)
            );
        } else {
            assert_eq!(line["pool"], "web");
            assert_eq!(line["role"], format!("web[{}]", line["slot"]));
        }
    }
    let deaths = of_event(&lines, "death");
    let death = deaths
        .iter()
        .find(|death| death["fields"]["pid"] == victim)
        .unwrap();
    assert_eq!(
        (&death["level"], &death["role"]),
        (&"error".into(), &"master".into())
    );
    let fields = &death["fields"];
    // It had served nobody yet, and on a slow machine it was not that young.
    assert!(fields["cause"] == "early" || fields["cause"] == "signal");
    assert_eq!(fields["pool"], "web");
    assert!(fields["slot"].is_u64() && fields["generation"] == 1 && fields["age"].is_f64());
    let refused = lines
        .iter()
        .find(|line| line["fields"]["reason"] == "refused")
        .unwrap();
    let fields = &refused["fields"];
    assert_eq!(fields["client"], "127.0.0.1");
    assert_eq!(fields["request_id"].as_str().unwrap().len(), 16);
    let expected = format!(
        "127.0.0.1 {}: closed: refused: {}",
        fields["request_id"].as_str().unwrap(),
        fields["rule"].as_str().unwrap()
    );
    assert_eq!(refused["message"], expected);
    let programs = lines.iter().filter(|line| {
        let message = line["message"].as_str().unwrap();
        message.contains(": program cry [")
    });
    assert!(programs.count() > 0, "the program was heard");
    assert!(objects(&server.directory.path().join("access.log")).len() >= 6 * 7);
}

fn whatever_a_client_sends_a_line_is_a_line(model: &str) {
    let (mut server, address) = start(
        site(),
        "log = { to = \"./master.log\", level = \"debug\" }",
        &pool(model, "http.access_log = \"./access.log\""),
    );
    send_what_is_odd(address);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).code(), Some(0));
    let text = lines(&server.directory.path().join("master.log"));
    for line in &text {
        let (stamp, rest) = line.split_at_checked(30).unwrap();
        assert!(stamp.starts_with("20") && rest.starts_with('['), "{line:?}");
        assert!(
            rest.contains("] master ") || rest.contains("] web["),
            "{line:?}"
        );
    }
    assert!(text.iter().any(|line| line.contains(": program cry [")));
    let combined = lines(&server.directory.path().join("access.log"));
    assert!(combined.len() >= 6 * 7);
    for line in combined {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line:?}");
        assert_eq!(line.matches('"').count(), 6, "{line:?}");
    }
}

fn a_flood_of_lines_is_cut_and_counted(model: &str) {
    let (mut server, address) = start(
        site(),
        "log = { to = \"./master.log\", level = \"info\" }",
        &pool(model, ""),
    );
    // In the model fork each child speaks for one client alone, which is cut
    // by the number of lines that one program may write.
    let runs = 12;
    let clients = (0..runs).map(|_| std::thread::spawn(move || get(address, "/flood").status));
    let clients: Vec<_> = clients.collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 500);
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).code(), Some(0));
    let text = lines(&server.directory.path().join("master.log"));
    let of_programs = |line: &&String| {
        let said = line
            .rsplit_once("]: ")
            .is_some_and(|(_, said)| said.parse::<u32>().is_ok());
        line.contains(": program flood [") && said
    };
    let told = text.iter().filter(of_programs).count();
    // A line a run says how it ended, and one each for it and its client's
    // connection which rule was broken.
    let ends = text
        .iter()
        .filter(|line| line.contains("exited 1") || line.contains(": rfc3875-"));
    let ends = ends.count();
    let counted: usize = text
        .iter()
        .filter_map(|line| {
            line.split_once(" lines were not written")?
                .0
                .rsplit(' ')
                .next()
        })
        .map(|count| count.parse::<usize>().unwrap())
        .sum();
    assert_eq!(told + ends + counted, runs * 103, "{text:#?}");
    assert!(counted > 0 || model == "fork");
}

const ECHO: &str = "[pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n";

/// The same complaint of the master, by reloads of a broken configuration.
#[test]
fn the_same_line_is_counted_and_told_when_the_master_leaves() {
    let mut server = Server::run(ECHO);
    let good = fs::read_to_string(server.configuration()).unwrap();
    fs::write(server.configuration(), good.replace("workers", "wrokers")).unwrap();
    server.expect("unknown key `wrokers`");
    server.expect("reload refused: ");
    for number in 1..=20 {
        let seen = server.log.mark();
        server.signal(Signal::SIGHUP);
        if number <= 3 {
            server.log.wait_for_after(seen, "reload refused: ", SOON);
        }
    }
    // The last ones are heard before the stop: signals that wait are one.
    server.signal(Signal::SIGTERM);
    let status = server.wait(SOON);
    assert_eq!(status.code(), Some(0));
    let in_full = "reload refused: generation 1 stays as it is";
    // Tests and people wait for these words. They come last.
    let told = server
        .log
        .wait_for("reload refused: generation 1 stays as it is (", SOON);
    let written = server
        .log
        .lines()
        .iter()
        .filter(|line| line.ends_with(in_full))
        .count();
    assert_eq!(written, 3, "{}", server.log);
    let (_, count) = told.split_once(" is (").unwrap();
    let (count, rest) = count.split_once(' ').unwrap();
    assert_eq!(rest, "more of the same within 10 s)");
    let count: u32 = count.parse().unwrap();
    assert!((1..=17).contains(&count), "{told}");
    assert!(told.contains(" master error: "), "{told}");
}

/// Nobody says anything any more, and it is told all the same.
#[test]
fn the_master_tells_what_it_counted_in_time() {
    let mut server = Server::run(ECHO);
    // Three are told, and of those after them at least one is counted.
    for number in 1..=6 {
        let seen = server.log.mark();
        server.signal(Signal::SIGUSR1);
        if number <= 3 {
            server.log.wait_for_after(seen, "log reopened", SOON);
        }
    }
    server.log.wait_for("log reopened (", SOON);
    server.expect("more of the same");
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
}

#[test]
fn a_pool_has_a_log_of_its_own() {
    let directory = site();
    let place = directory.path().to_owned();
    let pools = |log: &str| pool("event", log) + &pool("prefork", "").replace(".web", ".other");
    let own = "log = { to = \"./web.log\", level = \"debug\", format = \"json\" }";
    let master = "log = { to = \"./master.log\", level = \"info\" }\ncontrol_socket = \"control\"";
    let (mut server, address) = start(directory, master, &pools(own));
    let closed = |log: &str| {
        eventually("the end of the connection is told", SOON, || {
            // A worker that has not heard of the reload yet may serve it.
            assert_eq!(get(address, "/").status, 200);
            let lines = fs::read_to_string(place.join(log)).unwrap_or_default();
            lines
                .lines()
                .find(|line| line.contains(": closed: "))
                .map(str::to_owned)
        })
    };
    let line: Value = serde_json::from_str(&closed("web.log")).unwrap();
    assert_eq!(
        (&line["pool"], &line["level"]),
        (&"web".into(), &"debug".into())
    );
    // The master speaks of the pool in its own log, in its own form.
    let text = lines(&place.join("master.log"));
    assert!(
        text.iter().all(|line| line.contains("] master info: ")),
        "{text:#?}"
    );
    // A reload takes changes: another file, another form; then none.
    server.configure(
        master,
        &pools("log = { to = \"./new.log\", level = \"debug\" }"),
    );
    reload(&server, Some(0));
    assert!(closed("new.log").contains("] web["));
    server.configure(master, &pools("log = { level = \"debug\" }"));
    reload(&server, Some(0));
    assert!(closed("master.log").contains("] web["));
    // One that cannot be opened is refused, and nothing changes.
    fs::create_dir(place.join("directory")).unwrap();
    server.configure(master, &pools("log = \"./directory\""));
    let said = reload(&server, Some(78));
    assert!(said.contains("is a directory"), "{said}");
    let mut check = preforkd();
    check.arg("check").arg("-c").arg(server.configuration());
    let output = outcome(check);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is a directory"));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).code(), Some(0));
    let text = lines(&place.join("master.log"));
    assert!(
        text.iter().all(|line| !line.contains("] other[")),
        "{text:#?}"
    );
}

fn reload(server: &Server, status: Option<i32>) -> String {
    let mut command = preforkd();
    command.args(["reload", "--wait", "--control"]);
    command.arg(server.directory.path().join("control"));
    let output = outcome(command);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), status, "{said}");
    said.into_owned()
}

/// Standard error that is said to be the journal has the level in front.
#[test]
fn the_journal_is_told_the_level() {
    use std::os::unix::fs::MetadataExt;
    let directory = site();
    let path = write_configuration(directory.path(), "", ECHO);
    let journal = directory.path().join("journal");
    let stderr = fs::File::create(&journal).unwrap();
    let stat = stderr.metadata().unwrap();
    let said = format!("{}:{}", stat.dev(), stat.ino());
    for (stream, prefix) in [(said.as_str(), true), ("1:1", false)] {
        stderr.set_len(0).unwrap();
        let mut command = preforkd();
        command
            .arg("run")
            .arg("-c")
            .arg(&path)
            .env("JOURNAL_STREAM", stream);
        let appending = fs::File::options().append(true).open(&journal).unwrap();
        let mut child = command.stderr(appending).spawn().unwrap();
        let written = eventually("it serves", SOON, || {
            let text = fs::read_to_string(&journal).unwrap();
            text.contains("generation 1 serves").then_some(text)
        });
        process::signal(child.id(), Signal::SIGTERM);
        assert!(child.wait().unwrap().success());
        let levels = [("<6>20", " info: "), ("<7>20", " debug: ")];
        let is_right = |line: &str| {
            let marked = levels
                .iter()
                .any(|(mark, level)| line.starts_with(mark) && line.contains(level));
            marked == prefix
        };
        assert!(written.lines().all(is_right), "{written}");
    }
}

/// Facility, tag and level by pool, heard where syslogd(8) would: a mount
/// namespace has a /dev of its own.
#[test]
fn syslog_hears_each_pool_by_its_name() {
    let directory = site();
    let place = directory.path().to_owned();
    let daemon = UnixDatagram::bind(place.join("syslog")).unwrap();
    daemon.set_read_timeout(Some(SOON)).unwrap();
    fs::create_dir(place.join("dev")).unwrap();
    let master = "log = { to = \"syslog\", facility = \"local0\", level = \"info\" }";
    let web = "log = { facility = \"local1\", tag = \"site\", level = \"debug\", format = \"json\" }\n\
               http.access_log = { to = \"syslog\", facility = \"local2\", tag = \"hits\" }";
    let path = write_configuration(&place, master, &pool("prefork", web));
    let script = "set -e; cd \"$1\"; mount -t tmpfs none dev
        for one in null zero full urandom random log; do : >dev/$one; done
        for one in null zero full urandom random; do mount --bind /dev/$one dev/$one; done
        mount --bind syslog dev/log; mount --rbind dev /dev; test \"$2\" || exit 0
        exec \"$2\" run -c \"$3\"";
    let unshare = |program: &Path| {
        let mut command = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "sh", "-c", script, "sh"]);
        command.arg(&place).arg(program).arg(&path);
        command
    };
    let trial = unshare(Path::new("")).output();
    if !trial.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: no mount namespace can be made here: {trial:?}");
        return;
    }
    let command = unshare(&program());
    let (mut server, address) = with_address(Server::launch_with_log_file(command, directory));
    assert_eq!(get(address, "/").status, 200);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(SOON).code(), Some(0));
    let mut seen = BTreeSet::new();
    let mut room = [0; 16384];
    daemon.set_nonblocking(true).unwrap();
    while let Ok(count) = daemon.recv(&mut room) {
        let line = String::from_utf8(room[..count].to_vec()).unwrap();
        let (priority, rest) = line[1..].split_once('>').unwrap();
        let (priority, (tag, text)) = (
            priority.parse::<u8>().unwrap(),
            rest[16..].split_once('[').unwrap(),
        );
        let (_, text) = text.split_once("]: ").unwrap();
        match tag {
            "preforkd" => assert!(text.starts_with("master: "), "{line}"),
            "site" => {
                let object: Value = serde_json::from_str(text).unwrap();
                assert_eq!(object["pool"], "web", "{line}");
            }
            "hits" => assert!(
                text.ends_with("\"GET / HTTP/1.1\" 200 6 \"-\" \"-\""),
                "{line}"
            ),
            other => panic!("{other}: {line}"),
        }
        seen.insert((tag.to_owned(), priority >> 3, priority & 7));
    }
    // local0 is 16; informational is 6, debug 7.
    for (tag, facility, severity) in [("preforkd", 16, 6), ("site", 17, 7), ("hits", 18, 6)] {
        let expected = (tag.to_owned(), facility, severity);
        assert!(seen.contains(&expected), "{expected:?} in {seen:?}");
    }
    assert!(seen.iter().all(|(tag, facility, _)| {
        [("preforkd", 16), ("site", 17), ("hits", 18)].contains(&(tag.as_str(), *facility))
    }));
}
