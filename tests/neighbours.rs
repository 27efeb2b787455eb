//! Other people's programs on the other end: ncat, netcat, socat and curl, and
//! the C programs of the textbooks (tests/textbook), as clients of ours and as
//! servers for `preforkd connect`. Every octet counts, both ways, and so does how
//! each side ends.
//!
//! A program that is not installed is named on standard error, and its test is
//! none; `.ci/run` installs them all.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::outcome;
use harness::{MODELS, SOON, Server, eventually, preforkd, process};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// Whether there is such a program; if not, says so.
fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|path| path.join(program).is_file());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// A program that has twenty seconds to live.
fn mortal(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "20"]).arg(program.as_ref());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Octets of all kinds, and a file with them. They fit into the buffers of two
/// sockets, for a client that sends all before it reads.
struct Octets {
    directory: TempDir,
    octets: Vec<u8>,
}

impl Octets {
    fn new(length: u32) -> Self {
        let octets: Vec<u8> = (0..length).map(|at| (at / 3 % 256) as u8).collect();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("octets"), &octets).unwrap();
        Self { directory, octets }
    }

    fn file(&self) -> File {
        File::open(self.directory.path().join("octets")).unwrap()
    }
}

/// What came of a program that is given the octets.
fn with_input(mut command: Command, octets: &Octets) -> Output {
    command.stdin(octets.file());
    outcome(command)
}

fn assert_echoed(output: &Output, octets: &[u8], what: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}: {text}", output.status);
    let (got, sent) = (output.stdout.len(), octets.len());
    assert!(
        output.stdout == octets,
        "{what}: {got} octets for {sent}: {text}"
    );
}

/// Compiles a C program of tests/textbook.
fn compiled(name: &str, place: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/textbook/{name}.c"));
    let program = place.join(name);
    let mut compiler = mortal("cc");
    compiler.args(["-O1", "-Wall", "-Werror", "-pthread", "-o"]);
    compiler.arg(&program).arg(source);
    let output = outcome(compiler);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {text}");
    program
}

fn serve(service: &[&str], model: &str) -> (Server, SocketAddr) {
    let server = Server::serve(&[service, &["--model", model]].concat());
    let address = server.address(service[0]);
    (server, address)
}

/// Each of them sends a file, says that nothing follows, and has it all back.
#[test]
#[ignore = "peers: needs ncat, netcat-openbsd, socat, curl, gcc"]
fn clients_get_their_octets_back() {
    for model in MODELS {
        let octets = Octets::new(300_000);
        let (server, address) = serve(&["echo"], model);
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let place = format!("TCP:{address}");
        let clients: [(&str, &[&str]); 3] = [
            ("ncat", &[&host, &port]),
            ("nc", &["-N", &host, &port]),
            // Without -t it gives the other side half a second.
            ("socat", &["-t", "15", "-", &place]),
        ];
        for (program, arguments) in clients {
            if is_there(program) {
                let mut command = mortal(program);
                command.args(arguments);
                let output = with_input(command, &octets);
                assert_echoed(&output, &octets.octets, program);
            }
        }
        server.stop();
    }
}

#[test]
#[ignore = "peers: needs ncat, netcat-openbsd, socat, curl, gcc"]
fn curl_is_a_client_of_each_service() {
    for model in MODELS {
        if !is_there("curl") {
            return;
        }
        let telnet = |address: SocketAddr| {
            let mut command = mortal("curl");
            command.args(["-s", "-m", "15", &format!("telnet://{address}")]);
            let output = outcome(command);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let (server, address) = serve(&["message", "Message received."], model);
        assert_eq!(telnet(address), "Message received.");
        server.stop();
        let (server, address) = serve(&["daytime"], model);
        let text = telnet(address);
        assert!(text.ends_with("\r\n") && text.contains(':'), "{text:?}");
        server.stop();

        let octets = Octets::new(2_000_000);
        let root = octets.directory.path().to_str().unwrap();
        let (server, address) = serve(&["http", root], model);
        let mut command = mortal("curl");
        command.args(["-sf", &format!("http://{address}/octets")]);
        assert_echoed(&outcome(command), &octets.octets, "curl");
        server.stop();
    }
}

#[test]
#[ignore = "peers: needs ncat, netcat-openbsd, socat, curl, gcc"]
fn textbook_clients_are_served() {
    for model in MODELS {
        if !is_there("cc") {
            return;
        }
        let directory = TempDir::new().unwrap();
        let client = compiled("client", directory.path());
        let with_select = compiled("select_client", directory.path());

        let (server, address) = serve(&["message", "Message received."], model);
        let port = address.port().to_string();
        let mut talk = mortal(&client);
        talk.args(["talk", &port, "Hello from client!"]);
        assert_echoed(&outcome(talk), b"Message received.", "talk");
        server.stop();

        let (server, address) = serve(&["echo"], model);
        let port = address.port().to_string();
        let octets = Octets::new(60_000);
        let mut half = mortal(&client);
        half.args(["half", &port]);
        let output = with_input(half, &octets);
        assert_echoed(&output, &octets.octets, "half");
        let octets = Octets::new(3_000_000);
        let mut command = mortal(&with_select);
        command.arg(&port);
        let output = with_input(command, &octets);
        assert_echoed(&output, &octets.octets, "select");
        // Who ends with RST is told apart, and costs nobody else anything.
        let mut reset = mortal(&client);
        reset.args(["reset", &port, "x"]);
        assert_echoed(&outcome(reset), b"", "reset");
        server.log.wait_for("closed: reset", SOON);
        let mut half = mortal(&client);
        half.args(["half", &port]);
        let octets = Octets::new(10);
        assert_echoed(&with_input(half, &octets), &octets.octets, "afterwards");
        server.stop();
    }
}

/// A server of somebody else's, on a port of 127.0.0.1.
struct Other {
    child: Child,
    port: u16,
}

impl Other {
    /// One that is told its port.
    fn told(command: impl Fn(u16) -> Command) -> Self {
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let child = command(port).spawn().unwrap();
            let mut other = Self { child, port };
            let listens = eventually("it listens or gives up", SOON, || {
                if other.child.try_wait().unwrap().is_some() {
                    return Some(false);
                }
                listens(port).then_some(true)
            });
            if listens {
                return other;
            }
        }
        panic!("it does not listen");
    }

    /// One that says which port it has.
    fn telling(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, port }
    }
}

/// Whether somebody listens there, without a connection that would be somebody's
/// only one.
fn listens(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let place = format!("0100007F:{port:04X}");
    let is_it = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&&*place) && fields.get(3) == Some(&"0A")
    };
    table.lines().any(is_it)
}

impl Drop for Other {
    fn drop(&mut self) {
        // timeout(1) passes it on.
        if let Ok(None) = self.child.try_wait() {
            process::signal(self.child.id(), nix::sys::signal::Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

/// `preforkd connect` to a port, with the octets as its input.
fn connect(port: u16, octets: &Octets) -> Output {
    let mut command = preforkd();
    command.args(["connect", "127.0.0.1", &port.to_string()]);
    with_input(command, octets)
}

/// A command line of a program, but for its words with blanks.
fn line(program: &str, arguments: &str) -> Command {
    let mut command = mortal(program);
    command.args(arguments.split(' '));
    command
}

#[test]
#[ignore = "peers: needs ncat, netcat-openbsd, socat, curl, gcc"]
fn connect_is_a_client_of_their_servers() {
    let octets = Octets::new(300_000);
    if is_there("socat") {
        let other = Other::told(|port| {
            let place = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
            line("socat", &format!("-t 15 {place} EXEC:/bin/cat"))
        });
        for _ in 0..3 {
            let output = connect(other.port, &octets);
            assert_echoed(&output, &octets.octets, "socat");
        }
    }
    // Its programs are ended with the client's input, whatever they still say: so
    // there is none.
    if is_there("ncat") {
        let other = Other::told(|port| {
            let mut command = line("ncat", &format!("-l -k 127.0.0.1 {port} --sh-exec"));
            command.arg("echo Message received.");
            command
        });
        for _ in 0..3 {
            let mut command = preforkd();
            let port = other.port.to_string();
            command.args(["connect", "127.0.0.1", &port, "--at-eof", "keep"]);
            assert_echoed(&outcome(command), b"Message received.\n", "ncat -k");
        }
    }
    // A listening ncat ends with its client's input, a listening nc with the later
    // of both: the one hears or speaks, the other does both at once.
    let nothing = Octets::new(0);
    let ours = Octets::new(123_456);
    for (program, flags, says, hears) in [
        ("ncat", "-l --send-only", &octets, &nothing),
        ("ncat", "-l --recv-only", &nothing, &ours),
        ("nc", "-l -N", &octets, &ours),
    ] {
        if !is_there(program) {
            continue;
        }
        let heard = octets.directory.path().join("heard");
        let mut other = Other::told(|port| {
            let mut command = line(program, &format!("{flags} 127.0.0.1 {port}"));
            command.stdin(says.file());
            command.stdout(File::create(&heard).unwrap());
            command
        });
        let mut command = preforkd();
        let port = other.port.to_string();
        command.args(["connect", "127.0.0.1", &port]);
        if hears.octets.is_empty() {
            command.args(["--at-eof", "keep"]);
        } else if says.octets.is_empty() {
            // It ends its direction before it hears anything.
            command.arg("--keep-sending");
        }
        assert_echoed(&with_input(command, hears), &says.octets, flags);
        let status = other.child.wait().unwrap();
        assert!(status.success(), "{program} {flags}: {status}");
        let heard = fs::read(&heard).unwrap();
        let (got, sent) = (heard.len(), hears.octets.len());
        assert!(heard == hears.octets, "{program} {flags}: {got} for {sent}");
    }
}

#[test]
#[ignore = "peers: needs ncat, netcat-openbsd, socat, curl, gcc"]
fn connect_is_a_client_of_the_textbook_servers() {
    if !is_there("cc") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let server = compiled("server", directory.path());
    let begin = |mode: &str| {
        let mut command = mortal(&server);
        command.arg(mode);
        Other::telling(command)
    };
    let octets = Octets::new(300_000);
    for mode in ["iterative", "fork", "threads", "select"] {
        let other = begin(mode);
        let output = connect(other.port, &octets);
        assert_echoed(&output, &octets.octets, mode);
        let mut command = preforkd();
        let port = other.port.to_string();
        command.args([
            "connect",
            "127.0.0.1",
            &port,
            "--send",
            "Hello from client!",
        ]);
        assert_echoed(&outcome(command), b"Hello from client!", mode);
    }
    let other = begin("udp");
    let mut command = preforkd();
    let port = other.port.to_string();
    command.args([
        "connect",
        "-u",
        "-n",
        "1",
        "127.0.0.1",
        &port,
        "--send",
        "Hello",
    ]);
    assert_echoed(&outcome(command), b"Hello", "udp");
    // Who is cut short is told so by the status: as with curl, 56.
    let other = begin("reset");
    let mut command = preforkd();
    let port = other.port.to_string();
    command.args([
        "connect",
        "127.0.0.1",
        &port,
        "--at-eof",
        "keep",
        "--send",
        "Hello",
    ]);
    let output = outcome(command);
    assert_eq!(output.status.code(), Some(56), "{output:?}");
    // And nobody there, 7.
    drop(other);
    assert_eq!(
        connect(port.parse().unwrap(), &octets).status.code(),
        Some(7)
    );
}

/// Their clients for datagrams, at our echo.
#[test]
#[ignore = "peers: needs ncat, netcat-openbsd, socat, curl, gcc"]
fn datagrams_of_their_clients_are_answered() {
    for model in ["prefork", "event"] {
        let server = Server::serve(&["echo", "--model", model, "--listen", "udp:127.0.0.1:0"]);
        let place = server.addresses_of("echo")[0].clone();
        let port = place.rsplit(':').next().unwrap().to_owned();
        let octets = Octets::new(1400);
        // ncat ends with its input, and hears no answer after it.
        if is_there("ncat") {
            let mut command = line("ncat", &format!("-u 127.0.0.1 {port}"));
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            input.write_all(&octets.octets).unwrap();
            let mut came = vec![0; octets.octets.len()];
            child.stdout.take().unwrap().read_exact(&mut came).unwrap();
            assert!(came == octets.octets, "ncat");
            drop(input);
            assert!(child.wait().unwrap().success());
        }
        let clients = [
            ("nc", format!("-u -w 1 127.0.0.1 {port}")),
            ("socat", format!("-t 1 - UDP:127.0.0.1:{port}")),
        ];
        for (program, arguments) in clients {
            if is_there(program) {
                let output = with_input(line(program, &arguments), &octets);
                let (got, sent) = (output.stdout.len(), octets.octets.len());
                assert!(
                    output.stdout == octets.octets,
                    "{program}: {got} for {sent}"
                );
            }
        }
        if is_there("cc") {
            let directory = TempDir::new().unwrap();
            let mut command = mortal(compiled("udp_client", directory.path()));
            command.args([&port, "Hello from client!"]);
            assert_echoed(&outcome(command), b"Hello from client!", "udp_client");
        }
        server.stop();
    }
}

/// `preforkd connect -u` at their servers for datagrams.
#[test]
#[ignore = "peers: needs ncat, netcat-openbsd, socat, curl, gcc"]
fn connect_sends_datagrams_to_their_servers() {
    let servers = [
        (
            "socat",
            "-T 10 UDP-LISTEN:PORT,bind=127.0.0.1,fork EXEC:/bin/cat",
        ),
        ("ncat", "-u -l -k 127.0.0.1 PORT --exec /bin/cat"),
    ];
    for (program, arguments) in servers {
        if !is_there(program) {
            continue;
        }
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = line(program, &arguments.replace("PORT", &port.to_string()))
            .spawn()
            .unwrap();
        let other = Other { child, port };
        let place = format!("0100007F:{port:04X}");
        eventually("it is there", SOON, || {
            let table = fs::read_to_string("/proc/net/udp").unwrap();
            table.contains(&place).then_some(())
        });
        let mut command = preforkd();
        command.args(["connect", "-u", "127.0.0.1", &other.port.to_string()]);
        command.args(["--send", "Hello from client!"]);
        assert_echoed(&outcome(command), b"Hello from client!", program);
    }
}
