//! Who returns octets: our models, a floor, and what else does it.

use crate::machine;
use crate::{Bench, Failure};
use std::net::SocketAddr;
use std::process::Command;

/// An echo server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    kind: Kind,
}

/// Whose it is.
enum Kind {
    /// Ours, on this model.
    Ours(&'static str),
    /// Ours, on this model, which runs this program for each connection.
    Exec(&'static str, Program),
    /// What nobody can be ahead of: `echo_floor.c`, in this manner.
    Floor(&'static str),
    /// `textbook.c`.
    Textbook,
    /// A program that must be installed.
    Other(&'static str),
}

/// What is run for each connection.
#[derive(Clone, Copy)]
enum Program {
    /// `echo_floor.c`, linked as any program is.
    Floor,
    /// /bin/cat.
    Cat,
}

/// What ratios are taken to.
pub(crate) const FLOOR: &str = "floor-epoll";
/// A process a connection, with nothing around it.
pub(crate) const TEXTBOOK: &str = "textbook";
/// Our process a connection.
pub(crate) const FORK: &str = "preforkd-fork";
/// A super-server with the least program that it can run.
pub(crate) const TCPSERVER: &str = "tcpserver";

/// Our super-server with the program of [`TCPSERVER`].
pub(crate) const EXEC: &str = "preforkd-exec";
/// Both with /bin/cat.
pub(crate) const CATS: (&str, &str) = ("preforkd-exec-cat", "tcpserver-cat");

/// Ours as a super-server.
pub(crate) const SUPER: &[Server] = &[
    Server {
        name: EXEC,
        kind: Kind::Exec("fork", Program::Floor),
    },
    Server {
        name: CATS.0,
        kind: Kind::Exec("fork", Program::Cat),
    },
    Server {
        name: "preforkd-exec-cat-prefork",
        kind: Kind::Exec("prefork", Program::Cat),
    },
];

/// All of them but [`SUPER`], in the order of the tables.
pub(crate) const ALL: &[Server] = &[
    Server {
        name: FLOOR,
        kind: Kind::Floor("epoll"),
    },
    Server {
        name: "floor-prefork",
        kind: Kind::Floor("prefork"),
    },
    Server {
        name: "preforkd-event",
        kind: Kind::Ours("event"),
    },
    Server {
        name: "preforkd-prefork",
        kind: Kind::Ours("prefork"),
    },
    Server {
        name: "preforkd-threads",
        kind: Kind::Ours("threads"),
    },
    Server {
        name: FORK,
        kind: Kind::Ours("fork"),
    },
    Server {
        name: TEXTBOOK,
        kind: Kind::Textbook,
    },
    Server {
        name: "xinetd",
        kind: Kind::Other("xinetd"),
    },
    Server {
        name: "socat",
        kind: Kind::Other("socat"),
    },
    Server {
        name: "socat-cat",
        kind: Kind::Other("socat"),
    },
    Server {
        name: "ncat-cat",
        kind: Kind::Other("ncat"),
    },
    Server {
        name: TCPSERVER,
        kind: Kind::Other("tcpserver"),
    },
    Server {
        name: "tcpserver-cat",
        kind: Kind::Other("tcpserver"),
    },
];

/// Those of `servers` that can be measured here and are wanted; says which are
/// not installed.
pub(crate) fn installed<'s>(bench: &mut Bench, servers: &'s [Server]) -> Vec<&'s Server> {
    let mut missing = Vec::new();
    let mut found = Vec::new();
    for server in servers {
        match server.kind {
            _ if !bench.options.wants_server(server.name) => {}
            Kind::Other(program) if machine::installed(program).is_none() => {
                missing.push(server.name);
            }
            Kind::Ours(_) | Kind::Exec(_, _) | Kind::Floor(_) | Kind::Textbook | Kind::Other(_) => {
                found.push(server)
            }
        }
    }
    if !missing.is_empty() {
        let line = format!("Not installed, and left out: {}.", missing.join(", "));
        bench.report.say(&line);
    }
    found
}

impl Server {
    /// Whether it is one of ours.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours(_) | Kind::Exec(_, _))
    }

    /// Whether it is one to be ahead of: the textbook, or another's program.
    pub(crate) fn is_other(&self) -> bool {
        matches!(self.kind, Kind::Textbook | Kind::Other(_))
    }

    /// How it is started at `address`, for `clients` connections at a time and
    /// a few more.
    ///
    /// # Errors
    /// A file cannot be written, or a program not be compiled.
    pub(crate) fn command(
        &self,
        bench: &Bench,
        address: SocketAddr,
        clients: usize,
    ) -> Result<Command, Failure> {
        let most = (clients + 8).to_string();
        let port = address.port().to_string();
        let (program, arguments) = match self.kind {
            Kind::Ours(model) => {
                let text = configuration(model, address, clients + 8, "echo");
                let file = bench
                    .machine
                    .write(&format!("{}.toml", self.name), text.as_bytes())?;
                let file = file.display().to_string();
                let program = bench.options.program.clone();
                (program, vec!["run".to_owned(), "--config".to_owned(), file])
            }
            Kind::Exec(model, run) => {
                let floor = bench.machine.compile("echo_floor")?;
                let command = match run {
                    Program::Floor => format!("[\"{}\", \"stdin\"]", floor.display()),
                    Program::Cat => "[\"/bin/cat\"]".to_owned(),
                };
                // tcpserver says nothing of its sessions either.
                let text = format!(
                    "[master]\nlog = {{ to = \"stderr\", level = \"warn\" }}\n{}\
                     [pool.echo.exec]\ncommand = {command}\n",
                    configuration(model, address, clients + 8, "exec"),
                );
                let file = bench
                    .machine
                    .write(&format!("{}.toml", self.name), text.as_bytes())?;
                let file = file.display().to_string();
                let program = bench.options.program.clone();
                (program, vec!["run".to_owned(), "--config".to_owned(), file])
            }
            Kind::Floor(manner) => {
                let program = bench.machine.compile("echo_floor")?;
                (program, vec![manner.to_owned(), port, most])
            }
            Kind::Textbook => (bench.machine.compile("textbook")?, vec![port]),
            Kind::Other(program) => {
                let arguments = self.arguments(bench, address, &most)?;
                let path = machine::installed(program);
                (path.unwrap_or_else(|| program.into()), arguments)
            }
        };
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }

    /// What a program of another's is told.
    fn arguments(
        &self,
        bench: &Bench,
        address: SocketAddr,
        most: &str,
    ) -> Result<Vec<String>, Failure> {
        let port = address.port().to_string();
        let floor = bench.machine.compile("echo_floor")?.display().to_string();
        let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=1024");
        // No look-ups of names: they are not what is measured.
        let ucspi = [
            "-H",
            "-R",
            "-l",
            "0",
            "-b",
            "1024",
            "-c",
            most,
            "127.0.0.1",
            &port,
        ];
        let line: Vec<&str> = match self.name {
            "socat" => vec![&listen, "PIPE"],
            "socat-cat" => vec![&listen, "EXEC:cat"],
            "ncat-cat" => {
                let cat = ["-n", "-l", "-k", "-m", most, "-e", "/bin/cat"];
                [&cat[..], &["127.0.0.1", &port]].concat()
            }
            TCPSERVER => [&ucspi[..], &[&floor, "stdin"]].concat(),
            "tcpserver-cat" => [&ucspi[..], &["/bin/cat"]].concat(),
            "xinetd" => {
                let file = bench
                    .machine
                    .write("xinetd.conf", super_server(&port).as_bytes())?;
                let beside = |end: &str| bench.machine.place().join(end).display().to_string();
                return Ok(vec![
                    "-dontfork".to_owned(),
                    "-f".to_owned(),
                    file.display().to_string(),
                    "-pidfile".to_owned(),
                    beside("xinetd.pid"),
                    "-filelog".to_owned(),
                    beside("xinetd.log"),
                ]);
            }
            name => return Err(format!("{name}: nobody said how it is started").into()),
        };
        Ok(line.into_iter().map(str::to_owned).collect())
    }
}

/// A pool that has a place for each of `most` clients.
fn configuration(model: &str, address: SocketAddr, most: usize, service: &str) -> String {
    let size = match model {
        "prefork" => format!("workers = {most}"),
        "threads" => format!("workers = 1\nthreads_per_worker = {most}"),
        _ => "workers = 1".to_owned(),
    };
    format!(
        "[pool.echo]\nlisten = \"{address}\"\nservice = \"{service}\"\nmodel = \"{model}\"\n{size}\n"
    )
}

/// xinetd's own echo, without its limits, which would stop it after ten
/// connections of a second.
fn super_server(port: &str) -> String {
    format!(
        "defaults\n{{\n  instances = UNLIMITED\n  per_source = UNLIMITED\n  cps = 1000000 1\n}}\n\
         service echo\n{{\n  type = INTERNAL UNLISTED\n  id = echo-stream\n  \
         socket_type = stream\n  protocol = tcp\n  user = root\n  wait = no\n  \
         port = {port}\n  bind = 127.0.0.1\n  flags = NOLIBWRAP\n  disable = no\n}}\n"
    )
}
