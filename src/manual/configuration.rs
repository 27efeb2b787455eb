//! The page preforkd.toml(5), made of the tables of the configuration.

use super::roff::{Page, value, word};
use super::tables::{Table, tables};
use super::{sentence, without};
use crate::cli::DEFAULT_CONFIG;
use crate::config::Key;

/// The page.
pub(super) fn page() -> String {
    let mut page = Page::new(
        "PREFORKD.TOML",
        "5",
        super::DATE,
        &super::source(),
        "File Formats Manual",
    );
    page.section("NAME");
    page.text("preforkd.toml - the configuration of preforkd(8)");
    page.section("DESCRIPTION");
    for paragraph in DESCRIPTION {
        page.paragraph(paragraph);
    }
    for (title, paragraphs) in FORMS {
        page.part(title);
        for paragraph in *paragraphs {
            page.paragraph(paragraph);
        }
    }
    page.section("TABLES AND KEYS");
    page.text(
        "Of each key first what it does, then what a value looks like, then what holds where it is left out.",
    );
    for one in tables() {
        table(&mut page, &one);
    }
    page.section("EXAMPLES");
    for (what, lines) in EXAMPLES {
        page.paragraph(what);
        page.example(lines);
    }
    page.section("FILES");
    page.entry(
        &[value(DEFAULT_CONFIG)],
        "Where it is looked for, unless `--config` says otherwise.",
    );
    page.section("SEE ALSO");
    page.text("`preforkd`(8), `htpasswd`(1), `syslog`(3), `listen`(2), `unix`(7)");
    page.paragraph(
        "`preforkd generate config` prints a file with every key, and `preforkd check --print` \
         what a file comes to.",
    );
    page.finish()
}

const DESCRIPTION: &[&str] = &[
    "The file is TOML. One table, `[master]`, is about the server as a whole; it may be missing. \
     Each table `[pool.NAME]` is a pool: addresses, a service, and workers of its own. There is at least one. \
     A name has 1 to 32 letters, digits, hyphens and underscores; process titles, logs and the status have it.",
    "An unknown key is a mistake, and so is a value that is out of its range. `preforkd check` shows all mistakes \
     at once, each with its line. The master reads the file when it starts, and again at each reload: where there \
     is a mistake in it then, all stays as it is.",
];

/// How values are written, and what they mean together.
const FORMS: &[(&str, &[&str])] = &[
    (
        "Durations and sizes",
        &[
            "A duration is a text of whole numbers with the units `h`, `m`, `s` and `ms`, largest first: \
             `\"30s\"`, `\"250ms\"`, `\"1m30s\"`. A bare number is refused.",
            "A size is a text of a whole number and one unit: `B` for octets, `KiB`, `MiB`, `GiB`, `TiB` by 1024, \
             `kB`, `MB`, `GB`, `TB` by 1000. A bare number is octets.",
        ],
    ),
    (
        "Paths",
        &["A relative path counts from the directory of the file, wherever the server is started."],
    ),
    (
        "Addresses",
        &[
            "To listen on: `127.0.0.1:8080`; `[::1]:8080`, for IPv6 in brackets; `:8080` or `8080` for every IPv4 address; \
             `[::]:8080` for every IPv6 address; `localhost:8080` for 127.0.0.1; `unix:PATH` for a unix stream socket; `fd:NAME` for the sockets that the service manager \
             passes by this name, `fd:3` for the one of this number; `udp:` before any of these but `unix:` for datagrams. \
             Names are not looked up. Port 0 is a port that the kernel chooses, and the log says which.",
            "Clients: an address, or a prefix such as `10.0.0.0/8` or `2001:db8::/32`; `unix:` is everybody who comes by a \
             unix socket. An IPv4 address on an IPv6 socket counts as IPv4.",
        ],
    ),
    (
        "Hosts and paths",
        &[
            "`[pool.NAME.http]` is the default host: it answers for every host that has no table of its own, and what it \
             says holds for the others unless they say otherwise. An exact name comes first, then the longest `*.` that \
             fits. Case, port and a dot at the end do not matter.",
            "A rule for a path is a table by the path, not percent-encoded: `/x` is exactly this path, `/x/` the directory \
             and all below it, `*.css` every name with this extension. The rules that fit lie on top of each other, and the \
             upper one counts: the default host, the host, the paths that contain the path from the shortest to the longest, \
             the path itself, its extension. At most one of `alias`, `redirect` and `respond` is under a path.",
            "Of `allow` and `deny` the longest prefix that fits the client decides; where both name the same one, it is \
             refused. Whoever fits none comes in if `allow` is empty.",
        ],
    ),
    (
        "A program for each connection",
        &[
            "The service exec gives each connection to a program of its own, as inetd does: the socket is its descriptors 0 and \
             1. Its environment is `environment`, what `pass` names, a PATH, and what the connection decides: on TCP `PROTO`, \
             `TCPLOCALIP`, `TCPLOCALPORT`, `TCPREMOTEIP`, `TCPREMOTEPORT`, `TCPCONNNUM` (how many connections the worker has \
             from this address), `REMOTE_ADDR`, `REMOTE_PORT`; on a unix socket `PROTO`, `UNIXLOCALPATH`, `UNIXREMOTEPID`, \
             `UNIXREMOTEEUID`, `UNIXREMOTEEGID`.",
            "The socket is the program's alone, and the client sees the end when it has closed it. `idle_timeout` of the pool \
             counts from the last octet in either direction, or from when the connection is known to be gone; on a unix socket, of which \
             nobody can tell, `timeout` alone holds. Who is ended gets SIGTERM with its whole process group, and \
             SIGKILL after `grace`; when a program has ended, those that it left in its group get the same. Who has \
             made a session of its own, a daemon, is let go.",
        ],
    ),
];

/// What is said of a table, beside the sentence of its key.
const REMARKS: &[(&str, &str)] = &[
    ("[master]", "The server as a whole."),
    (
        "[pool.NAME]",
        "A pool: addresses, a service, and workers of its own.",
    ),
    (
        "[pool.NAME] listen",
        "In place of an address, where more is to be said of it; in an array both forms may stand beside each other. \
         What is said of the socket holds for each connection that it accepts. A reload changes it, for new connections; \
         those that are open, or wait, keep what they have. What the kernel refuses fails a start or a reload.",
    ),
    (
        "[pool.NAME.limits]",
        "They hold for all workers of the pool together, before the first octet of a connection.",
    ),
    ("[pool.NAME.http]", "It is the default host as well."),
    (
        "[pool.NAME.app]",
        "The program inherits the listeners as descriptors from 3 on, in the order of `listen`, and accepts on them itself. \
         Its environment is `PATH`, what is listed here, `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` (sd_listen_fds(3)), \
         `PREFORKD_POOL`, `PREFORKD_SLOT` and `PREFORKD_GENERATION`; and with `ready = \"notify\"` also `NOTIFY_SOCKET`, `WATCHDOG_USEC` and \
         `WATCHDOG_PID`: it has to say `READY=1` within `spawn_timeout`, and who has said `WATCHDOG=1` once owes it every \
         `worker_timeout`. At `stop_signal` it should stop accepting, finish what it has, and end; it is killed with its process \
         group at the end of `graceful_timeout`.",
    ),
    (
        "[pool.NAME.http.host.\"HOST\"]",
        "HOST is a name such as `www.example.org`, or `*.example.org` for every name below example.org.",
    ),
    (
        "[pool.NAME.http.path.\"PATH\"]",
        "In `[pool.NAME.http.host.\"HOST\".path.\"PATH\"]` they are of this host alone.",
    ),
];

const EXAMPLES: &[(&str, &str)] = &[
    (
        "The least that serves:",
        "[pool.web]
listen = \"127.0.0.1:8080\"
service = \"http\"
http.root = \"/srv/www\"",
    ),
    (
        "A daemon that root starts, with two hosts on the usual port:",
        "[master]
pid_file = \"/run/preforkd/preforkd.pid\"
control_socket = \"/run/preforkd/control.sock\"
user = \"www-data\"
log = { to = \"syslog\", level = \"info\" }

[pool.web]
listen = [\":80\", \"[::]:80\"]
service = \"http\"
model = \"event\"
workers = \"auto\"

[pool.web.http]
root = \"/srv/www\"
access_log = \"/var/log/preforkd/access.log\"

[pool.web.http.path.\"/old/\"]
redirect = \"/new/\"

[pool.web.http.host.\"files.example.org\"]
root = \"/srv/files\"
listing = true
allow = [\"10.0.0.0/8\", \"unix:\"]",
    ),
    (
        "A program for each connection, forty at most:",
        "[pool.finger]
listen = \":79\"
service = \"exec\"
model = \"fork\"
max_connections = 40
user = \"nobody\"

[pool.finger.exec]
command = [\"/bin/sh\", \"/usr/local/lib/finger\"]",
    ),
    (
        "A server in Python that accepts on descriptor 3, four times:",
        "[pool.api]
listen = \"127.0.0.1:8080\"
service = \"app\"
workers = 4

[pool.api.app]
command = [\"/usr/bin/python3\", \"server.py\"]
directory = \"/srv/www\"
ready = \"notify\"",
    ),
    (
        "Behind a proxy on this machine that says who its client is:",
        "[pool.web]
listen = \"unix:/run/preforkd/web.sock\"
service = \"http\"

[pool.web.http]
root = \"/srv/www\"
trusted_proxies = [\"unix:\"]
forwarded = \"x-forwarded-for\"",
    ),
];

fn table(page: &mut Page, table: &Table) {
    let path = table.path();
    let title = if table.is_listed() {
        format!("[[{path}]]")
    } else {
        format!("[{path}]")
    };
    page.part(&title);
    let mut said = Vec::new();
    if let Some(parent) = &table.parent {
        said.push(parent.help.to_owned());
    }
    let remarks = REMARKS.iter().filter(|(header, _)| *header == table.header);
    said.extend(remarks.map(|(_, remark)| (*remark).to_owned()));
    if let (true, Some(parent)) = (table.is_inline(), &table.parent) {
        let home = parent.table;
        let key = parent.name;
        said.push(format!(
            "It may stand in `{home}` as `{key} = {{\u{a0}…\u{a0}}}`."
        ));
    }
    page.text(&said.join(" "));
    for key in &table.keys {
        page.entry(&[word(key.name)], key.help);
        page.next_line(&form(key));
    }
}

/// What a value looks like, and what holds without one.
fn form(key: &Key) -> String {
    let expected = sentence(&key.expected.replace("this file", "the file"));
    format!("{expected} {}", without(key, "Default"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remark_is_about_a_table() {
        let headers: Vec<&str> = tables().iter().map(|table| table.header).collect();
        for (header, _) in REMARKS {
            assert!(headers.contains(header), "{header}");
        }
    }
}
