//! The HTTP servers, each configured for the work at its best and for the same
//! work: kept connections are never closed for their number of requests, all
//! connections of a measurement are served at once, and nobody logs but who
//! says so in its name.

use crate::machine::{self, MOST_CONNECTIONS, Machine, Server};
use crate::{Bench, Failure};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a server has to be able to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// Octets of the body that the floors answer with; the others have a file.
    pub(crate) body: usize,
    /// Connections at once, for who has a process for each.
    pub(crate) connections: u32,
    /// Workers of ours on the model event.
    pub(crate) workers: u32,
    /// Whether each of these has a listening socket of its own.
    pub(crate) reuseport: bool,
    /// Cores, as taskset(1) names them.
    pub(crate) cores: &'static str,
}

impl Task {
    /// One event worker, on the core of servers.
    pub(crate) fn new(body: usize, connections: u32) -> Self {
        Self {
            body,
            connections,
            workers: 1,
            reuseport: false,
            cores: machine::SERVER_CORE,
        }
    }
}

/// A server of the comparison.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    /// What must be installed; `cc` for the floors, nothing for ours.
    needs: Option<&'static str>,
    /// The floor that it is held against: one process, or one a connection.
    pub(crate) floor: &'static str,
    command: fn(&Place<'_>) -> Result<Command, Failure>,
}

/// What a server is configured with.
struct Place<'a> {
    machine: &'a Machine,
    program: &'a Path,
    address: SocketAddr,
    task: Task,
}

const LOOP: &str = "floor-epoll";
const PREFORK: &str = "floor-prefork";

/// In the order of the tables.
pub(crate) const ALL: &[Contestant] = &[
    Contestant {
        name: LOOP,
        needs: Some("cc"),
        floor: LOOP,
        command: |place| floor(place, "epoll", "memory"),
    },
    Contestant {
        name: "floor-epoll-file",
        needs: Some("cc"),
        floor: LOOP,
        command: |place| floor(place, "epoll", "file"),
    },
    Contestant {
        name: PREFORK,
        needs: Some("cc"),
        floor: PREFORK,
        command: |place| floor(place, "prefork", "memory"),
    },
    Contestant {
        name: "nginx",
        needs: Some("nginx"),
        floor: LOOP,
        command: nginx,
    },
    Contestant {
        name: "apache-prefork",
        needs: Some("apache2"),
        floor: PREFORK,
        command: |place| apache(place, "prefork"),
    },
    Contestant {
        name: "apache-event",
        needs: Some("apache2"),
        floor: LOOP,
        command: |place| apache(place, "event"),
    },
    Contestant {
        name: "lighttpd",
        needs: Some("lighttpd"),
        floor: LOOP,
        command: lighttpd,
    },
    Contestant {
        name: "h2o",
        needs: Some("h2o"),
        floor: LOOP,
        command: h2o,
    },
    Contestant {
        name: "event",
        needs: None,
        floor: LOOP,
        command: |place| ours(place, "event", false),
    },
    Contestant {
        name: "event-log",
        needs: None,
        floor: LOOP,
        command: |place| ours(place, "event", true),
    },
    Contestant {
        name: "prefork",
        needs: None,
        floor: PREFORK,
        command: |place| ours(place, "prefork", false),
    },
    Contestant {
        name: "prefork-log",
        needs: None,
        floor: PREFORK,
        command: |place| ours(place, "prefork", true),
    },
];

/// The files that are asked for: name and octets.
const FILES: [(&str, usize); 3] = [("s.html", 612), ("m.bin", 64 << 10), ("l.bin", 1 << 20)];

/// A server with this name.
///
/// # Panics
/// There is none: names are those of [`ALL`].
pub(crate) fn named(name: &str) -> &'static Contestant {
    let found = ALL.iter().find(|contestant| contestant.name == name);
    found.expect("names of contestants stand in ALL")
}

/// Those of `names` that are wanted and installed, in the order of [`ALL`]; the
/// report is told of what is left out.
pub(crate) fn present(bench: &mut Bench, names: &[&str]) -> Vec<&'static Contestant> {
    let wanted = ALL
        .iter()
        .filter(|one| names.contains(&one.name) && bench.options.wants_server(one.name));
    let (present, absent): (Vec<_>, Vec<_>) = wanted.partition(|one| {
        one.needs
            .is_none_or(|program| machine::installed(program).is_some())
    });
    if !absent.is_empty() {
        let list = absent.iter().map(|one| {
            format!(
                "{} ({} is not installed)",
                one.name,
                one.needs.unwrap_or_default()
            )
        });
        let list: Vec<String> = list.collect();
        bench.report.say(&format!("Left out: {}.", list.join(", ")));
    }
    present
}

impl Contestant {
    /// Starts it for `task`, on a port that is free.
    ///
    /// # Errors
    /// It does not serve; what it said is told.
    pub(crate) fn start(&self, bench: &Bench, task: Task) -> Result<(Server, SocketAddr), Failure> {
        files(&bench.machine)?;
        let address = machine::free_address()?;
        let place = Place {
            machine: &bench.machine,
            program: &bench.options.program,
            address,
            task,
        };
        let command = (self.command)(&place)?;
        let server = bench
            .machine
            .start(self.name, &command, address, task.cores)?;
        Ok((server, address))
    }
}

/// Makes the files, once in a run.
fn files(machine: &Machine) -> Result<(), Failure> {
    let root = root(machine);
    if !root.exists() {
        fs::create_dir(&root)?;
        for (name, octets) in FILES {
            machine.write(&format!("www/{name}"), &vec![b'x'; octets])?;
        }
    }
    Ok(())
}

fn root(machine: &Machine) -> PathBuf {
    machine.place().join("www")
}

fn ours(place: &Place<'_>, model: &str, logs: bool) -> Result<Command, Failure> {
    let Place {
        machine,
        address,
        task,
        ..
    } = place;
    let root = root(machine);
    let mut text = format!(
        "[master]\nlog = {{ to = \"stderr\", level = \"warn\" }}\n\n\
         [pool.web]\nlisten = \"{address}\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         defer_accept = \"1s\"\n"
    );
    if model == "event" {
        let accept = if task.reuseport {
            "reuseport"
        } else {
            "shared"
        };
        let _ = writeln!(
            text,
            "workers = {}\naccept = \"{accept}\"\nmax_connections = {MOST_CONNECTIONS}",
            task.workers
        );
    } else {
        let _ = writeln!(text, "workers = {}", task.connections);
    }
    let _ = write!(
        text,
        "\n[pool.web.http]\nroot = \"{}\"\nkeepalive_timeout = \"65s\"\nkeepalive_requests = 0\n",
        root.display()
    );
    if logs {
        let file = machine.place().join("access.log");
        let _ = writeln!(text, "access_log = {{ to = \"{}\" }}", file.display());
        // A line for each request: what a run leaves is gone before the next.
        let _ = fs::remove_file(file);
    }
    let mut command = Command::new(place.program);
    command
        .args(["run", "-c"])
        .arg(machine.write(&format!("{model}.toml"), text.as_bytes())?);
    Ok(command)
}

fn floor(place: &Place<'_>, model: &str, how: &str) -> Result<Command, Failure> {
    let mut command = Command::new(place.machine.compile("floor")?);
    command
        .arg(model)
        .arg(place.address.port().to_string())
        .arg(place.task.body.to_string())
        .arg(how)
        .arg(place.task.connections.to_string());
    Ok(command)
}

fn nginx(place: &Place<'_>) -> Result<Command, Failure> {
    let Place {
        machine, address, ..
    } = place;
    let directory = machine.place().display();
    let user = if is_root() { "user root;\n" } else { "" };
    let text = format!(
        "{user}daemon off;\nworker_processes 1;\n\
         pid {directory}/nginx.pid;\nerror_log {directory}/nginx.error;\n\
         events {{ worker_connections {MOST_CONNECTIONS}; }}\n\
         http {{\n\
         types {{ text/html html; application/octet-stream bin; }}\n\
         client_body_temp_path {directory}/nginx.1;\nproxy_temp_path {directory}/nginx.2;\n\
         fastcgi_temp_path {directory}/nginx.3;\nuwsgi_temp_path {directory}/nginx.4;\n\
         scgi_temp_path {directory}/nginx.5;\n\
         access_log off;\nsendfile on;\ntcp_nopush on;\n\
         keepalive_timeout 65;\nkeepalive_requests 1000000000;\n\
         open_file_cache max=64 inactive=60s;\n\
         server {{ listen {address} backlog=4096; root {}; }}\n}}\n",
        root(machine).display()
    );
    let mut command = Command::new(program("nginx"));
    command
        .arg("-p")
        .arg(machine.place())
        .arg("-c")
        .arg(machine.write("nginx.conf", text.as_bytes())?);
    Ok(command)
}

fn apache(place: &Place<'_>, model: &str) -> Result<Command, Failure> {
    let Place {
        machine,
        address,
        task,
        ..
    } = place;
    let directory = machine.place().display();
    let root = root(machine);
    let root = root.display();
    let limits = match model {
        // All the processes it will want are there from the beginning: it
        // would take seconds to come to them.
        "prefork" => format!(
            "StartServers {0}\nMinSpareServers 1\nMaxSpareServers 600\n\
             ServerLimit 600\nMaxRequestWorkers 600\n",
            task.connections
        ),
        _ => "ServerLimit 4\nStartServers 2\nThreadsPerChild 64\nThreadLimit 64\n\
              MaxRequestWorkers 256\nAsyncRequestWorkerFactor 64\n"
            .to_owned(),
    };
    let user = if is_root() {
        "User www-data\nGroup www-data\n"
    } else {
        ""
    };
    machine.write(
        "media.types",
        b"text/html html\napplication/octet-stream bin\n",
    )?;
    let text = format!(
        "ServerRoot /usr/lib/apache2\nServerName localhost\nListen {address}\nListenBacklog 4096\n\
         LoadModule mpm_{model}_module modules/mod_mpm_{model}.so\n\
         LoadModule authz_core_module modules/mod_authz_core.so\n\
         LoadModule mime_module modules/mod_mime.so\nTypesConfig {directory}/media.types\n\
         PidFile {directory}/apache.pid\nErrorLog {directory}/apache.error\n\
         DefaultRuntimeDir {directory}\nMutex sem\n{user}{limits}\
         KeepAlive On\nKeepAliveTimeout 65\nMaxKeepAliveRequests 0\nEnableSendfile On\n\
         DocumentRoot {root}\n\
         <Directory {root}>\nAllowOverride None\nRequire all granted\n</Directory>\n"
    );
    let mut command = Command::new(program("apache2"));
    command
        .args(["-D", "FOREGROUND", "-f"])
        .arg(machine.write("apache.conf", text.as_bytes())?);
    Ok(command)
}

fn lighttpd(place: &Place<'_>) -> Result<Command, Failure> {
    let Place {
        machine, address, ..
    } = place;
    let text = format!(
        "server.bind = \"{}\"\nserver.port = {}\nserver.document-root = \"{}\"\n\
         server.errorlog = \"{}/lighttpd.error\"\nserver.listen-backlog = 4096\n\
         server.max-keep-alive-requests = 1000000000\nserver.max-keep-alive-idle = 65\n\
         server.max-fds = 30000\nserver.max-connections = {MOST_CONNECTIONS}\n\
         mimetype.assign = ( \".html\" => \"text/html\", \".bin\" => \"application/octet-stream\" )\n",
        address.ip(),
        address.port(),
        root(machine).display(),
        machine.place().display(),
    );
    let mut command = Command::new(program("lighttpd"));
    command
        .args(["-D", "-f"])
        .arg(machine.write("lighttpd.conf", text.as_bytes())?);
    Ok(command)
}

fn h2o(place: &Place<'_>) -> Result<Command, Failure> {
    let Place {
        machine, address, ..
    } = place;
    let user = if is_root() { "user: root\n" } else { "" };
    let text = format!(
        "{user}num-threads: 1\nmax-connections: {MOST_CONNECTIONS}\nhttp1-request-timeout: 65\n\
         listen:\n  host: {}\n  port: {}\n\
         hosts:\n  default:\n    paths:\n      /:\n        file.dir: {}\n",
        address.ip(),
        address.port(),
        root(machine).display(),
    );
    let mut command = Command::new(program("h2o"));
    command
        .arg("-c")
        .arg(machine.write("h2o.conf", text.as_bytes())?);
    Ok(command)
}

/// Where it is, or its name, which the one who starts it will complain of.
fn program(name: &str) -> PathBuf {
    machine::installed(name).unwrap_or_else(|| PathBuf::from(name))
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
