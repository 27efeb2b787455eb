//! The page preforkd(8), made of the command line's own definitions.

use super::commands;
use super::roff::{Page, Piece, plain, value, word};
use super::sentence;
use crate::cli::Cli;
use crate::cli::reference::{ENVIRONMENT, EXIT_STATUSES, FILES, SIGNALS};
use clap::CommandFactory;

/// The page.
pub(super) fn page() -> String {
    let mut program = Cli::command();
    // Only then are the names of values known.
    program.build();
    let families = commands::families(&program);
    let mut page = Page::new(
        "PREFORKD",
        "8",
        super::DATE,
        &super::source(),
        "System Manager's Manual",
    );
    page.section("NAME");
    page.text("preforkd - a prefork multiprocess TCP, UDP and HTTP server daemon, and clients to try it with");
    page.section("SYNOPSIS");
    for family in &families {
        commands::synopsis(&mut page, family);
    }
    page.section("DESCRIPTION");
    description(&mut page);
    page.section("COMMANDS");
    for family in &families {
        commands::write(&mut page, family);
    }
    page.part("Help");
    let help = [
        word("preforkd help "),
        plain("["),
        value("COMMAND"),
        plain("], "),
        word("-h"),
        plain(", "),
        word("--help"),
    ];
    page.entry(&help, "Says what there is, or what a command takes.");
    let version = [word("-V"), plain(", "), word("--version")];
    page.entry(&version, "Says which version this is.");
    tables(&mut page, &families);
    page.section("EXAMPLES");
    for (what, lines) in EXAMPLES {
        page.paragraph(what);
        page.example(lines);
    }
    page.section("SEE ALSO");
    page.text(
        "`preforkd.toml`(5), `systemd.service`(5), `signal`(7), `tcp`(7), `udp`(7), `logrotate`(8), `htpasswd`(1)",
    );
    page.finish()
}

const EXAMPLES: &[(&str, &str)] = &[
    (
        "Serve a directory to this machine, until Ctrl-C:",
        "preforkd serve http ./public",
    ),
    (
        "Run a program for each connection, and talk to it from another terminal:",
        "preforkd serve exec --model fork -- /bin/cat\npreforkd connect localhost 7001",
    ),
    (
        "Check a changed configuration, and have it used, without losing a request:",
        "preforkd check && preforkd reload --wait",
    ),
    (
        "The same where no control socket is configured:",
        "preforkd check && kill -HUP \"$(cat /run/preforkd/preforkd.pid)\"",
    ),
    (
        "See what each worker does:",
        "preforkd status\nps -C preforkd -o pid,ppid,args --forest",
    ),
    (
        "Rotate a log by hand:",
        "mv access.log access.log.1\npreforkd reopen --wait && gzip access.log.1",
    ),
    (
        "Replace the program by a new version, on the same sockets:",
        "install preforkd /usr/local/bin/ && preforkd upgrade --wait",
    ),
    (
        "Ask a server for the head of an answer, and how long a thousand answers take:",
        "preforkd get -I http://127.0.0.1:8080/\npreforkd get --repeat 1000 http://127.0.0.1:8080/",
    ),
    (
        "See whether a server keeps the rules of HTTP that bind it:",
        "preforkd probe 127.0.0.1:8080 --only must",
    ),
    (
        "See every key of the configuration with the value in use:",
        "preforkd check --print",
    ),
];

fn description(page: &mut Page) {
    page.text(
        "`preforkd` serves files and programs over HTTP/1.1, runs a program for each connection, supervises \
         programs that accept for themselves, and has the small services of inetd, over TCP and UDP. \
         A master process binds, listens and forks workers; the workers accept and serve; the master \
         reaps, respawns, reloads and stops them, and never touches a client. \
         A crash, a hang or a leak costs one connection, not the service.",
    );
    page.paragraph(
        "What is served, by how many workers and how they spend themselves is said in \
         `preforkd.toml`(5), a pool of workers for each service. \
         The master takes orders by signals, see SIGNALS below, and by the commands that ask it over its \
         control socket: only root, the user that it runs as and the members of `control_group` are answered.",
    );
    page.paragraph(
        "The title of each process says what it does: `ps` shows the pool, the place of a worker in it, \
         its generation (which begins with the start and with each reload), and the client and the request \
         that it serves.",
    );
    page.paragraph(
        "`preforkd connect`, `preforkd get` and `preforkd probe` are clients, and need no master.",
    );
}

fn tables(page: &mut Page, families: &[commands::Family<'_>]) {
    page.section("SIGNALS");
    page.text("To the master:");
    for signal in SIGNALS {
        page.entry(
            &list(signal.names.iter().copied()),
            &sentence(signal.meaning),
        );
    }
    page.paragraph(
        "To a worker, `TERM` or `QUIT` retires it, and its place is filled again. \
         What else a terminal sends to the whole process group a worker leaves to the master.",
    );
    page.section("EXIT STATUS");
    for (status, meaning) in EXIT_STATUSES {
        page.entry(&[word(status.to_string())], &sentence(meaning));
    }
    let commands = families.iter().flatten();
    let own = commands.filter(|command| commands::has_its_own_statuses(command));
    let own: Vec<String> = own
        .map(|command| format!("`preforkd {}`", command.get_name()))
        .collect();
    page.paragraph(&format!(
        "These have their own, see COMMANDS: {}.",
        own.join(", ")
    ));
    page.section("ENVIRONMENT");
    for row in ENVIRONMENT {
        page.entry(&[word(row.name)], row.meaning);
    }
    page.section("FILES");
    for row in FILES {
        page.entry(&[value(row.name)], row.meaning);
    }
}

fn list<'t>(words: impl Iterator<Item = &'t str>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for name in words {
        if !pieces.is_empty() {
            pieces.push(plain(", "));
        }
        pieces.push(word(name));
    }
    pieces
}
