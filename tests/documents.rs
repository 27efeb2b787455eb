//! README, `--help`, the samples, the scripts and the code say the same. Where
//! one of these tests fails, one of two texts is wrong; it says which to read.
#![allow(clippy::unwrap_used)]

use preforkd::cli::reference;
use preforkd::config;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    let path = root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn readme() -> String {
    read("README.md")
}

/// What the program says with these arguments, which must be a success.
fn preforkd(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_preforkd"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of `text` below the line `heading`, up to the next empty one.
fn paragraph<'t>(text: &'t str, heading: &str) -> Vec<&'t str> {
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert_eq!(lines.next(), Some(heading), "no such line in\n{text}");
    lines.take_while(|line| !line.is_empty()).collect()
}

/// The section of the README below `## heading`.
fn section(heading: &str) -> String {
    let text = readme();
    let begin = format!("\n## {heading}\n");
    let (_, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("README.md has no section `{heading}`"));
    rest.split("\n## ").next().unwrap_or(rest).to_owned()
}

/// The first cells of the rows of a table, without backquotes, lists taken apart.
fn first_cells(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" |").next());
    let entries = cells.flat_map(|cell| cell.split(", "));
    let plain = entries.map(|entry| entry.trim_matches('`').to_owned());
    plain.filter(|entry| entry != "---").collect()
}

fn commands() -> Vec<String> {
    let help = preforkd(&["help"]);
    let names = paragraph(&help, "Commands:").into_iter();
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Whether `word` stands in `text` and not as a part of a longer one.
fn mentions(text: &str, word: &str) -> bool {
    let inside = |sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '_');
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(inside) && !text[at + word.len()..].starts_with(inside)
    })
}

#[test]
fn every_command_and_flag_stands_in_the_readme() {
    let section = section("Command line");
    let mut missing = Vec::new();
    let commands = commands();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in &commands {
        if !section.contains(&format!("preforkd {command}")) {
            missing.push(format!("preforkd {command}"));
        }
        let help = preforkd(&["help", command]);
        let options = help.lines().map(str::trim_start);
        let options = options.filter(|line| line.starts_with('-') && !line.starts_with("- "));
        // `-c, --config <FILE>  What it is`
        let flags = options.flat_map(|line| {
            let words = line.split([' ', ',']).filter(|word| !word.is_empty());
            let flags = words.take_while(|word| word.starts_with(['-', '<']));
            flags.filter(|word| word.starts_with('-'))
        });
        let flags = flags.map(|flag| flag.trim_end_matches('.'));
        for flag in flags.filter(|flag| !mentions(&section, flag)) {
            missing.push(format!("{flag} of preforkd {command}"));
        }
    }
    // `- prefork: One connection at a time`, under `Possible values:`
    let help = preforkd(&["help", "serve"]);
    let values = help.lines().filter_map(|line| {
        let (value, _) = line.trim_start().strip_prefix("- ")?.split_once(':')?;
        Some(value.to_owned())
    });
    missing.extend(values.filter(|value| !mentions(&section, value)));
    assert!(
        missing.is_empty(),
        "README.md, Command line, lacks: {missing:?}"
    );
}

#[test]
fn the_readme_uses_no_flag_that_does_not_exist() {
    let help: String = commands()
        .iter()
        .map(|command| preforkd(&["help", command]))
        .collect();
    let text = readme();
    let lines = text.lines().filter(|line| line.contains("preforkd"));
    let words = lines.flat_map(|line| {
        let after = line.split("preforkd ").skip(1);
        after.flat_map(|part| part.split([' ', '`', '|', '[', ']', ')']))
    });
    let flags = words.filter(|word| word.starts_with("--") && word.len() > 2);
    let unknown: BTreeSet<&str> = flags
        .filter(|flag| !mentions(&help, flag) && !matches!(*flag, "--version" | "--help"))
        .collect();
    assert!(unknown.is_empty(), "README.md uses {unknown:?}");
}

#[test]
fn every_signal_stands_in_the_table() {
    let rows = first_cells(&section("Signals"));
    let help = preforkd(&["help"]);
    let mut names = BTreeSet::new();
    for line in paragraph(&help, "Signals to the master:") {
        // `  TERM, QUIT, INT  stop: …`
        let list = line.trim_start().split("  ").next().unwrap();
        names.extend(list.split(", ").map(str::to_owned));
    }
    assert!(names.len() >= 8, "{names:?}");
    for name in &names {
        assert!(
            rows.contains(name),
            "SIG{name} of --help is not in {rows:?}"
        );
    }
    // What it does is said in the words of the manual, and perhaps in more.
    let section = section("Signals");
    for signal in reference::SIGNALS {
        let names: Vec<String> = signal
            .names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let row = format!("\n| {} | {}", names.join(", "), signal.meaning);
        assert!(section.contains(&row), "README.md, Signals, lacks:{row} |");
    }
    // The one table of the code: `(SIGHUP, Meaning::Request(Request::Reload)),`
    let code = read("src/master/signals.rs");
    let known: BTreeSet<String> = code
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(SIG")?.split_once(", Meaning::"))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(known.is_superset(&names), "{known:?} and --help: {names:?}");
    for name in &known {
        assert!(
            rows.contains(name),
            "SIG{name} of the code is not in {rows:?}"
        );
    }
}

#[test]
fn every_exit_status_stands_in_the_table() {
    let help = preforkd(&["help"]);
    let lines = paragraph(&help, "Exit status:").into_iter();
    let told: BTreeSet<String> = lines
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    let mut rows = first_cells(&section("Exit status"));
    rows.remove("status");
    assert_eq!(rows, told, "README.md (left) and --help (right)");
    let section = section("Exit status");
    for (status, meaning) in reference::EXIT_STATUSES {
        let row = format!("\n| `{status}` | {meaning} |\n");
        assert!(
            section.contains(&row),
            "README.md, Exit status, lacks:{row}"
        );
    }
}

#[test]
fn every_exit_status_of_a_client_stands_in_its_table() {
    let section = section("Command line");
    let rows = preforkd::cli::client::rows();
    let wanted: String = rows
        .iter()
        .map(|(status, whose, meaning)| format!("| `{status}` | {whose} | {meaning} |\n"))
        .collect();
    let head = "| client status | of | meaning |\n| --- | --- | --- |\n";
    assert!(
        section.contains(&format!("{head}{wanted}\n")),
        "README.md, The client side, lacks the table\n{head}{wanted}"
    );
}

#[test]
fn every_key_stands_in_the_readme_with_its_default() {
    let section = section("Configuration");
    let mut wanted = String::new();
    let mut missing = Vec::new();
    let mut table = "";
    for key in config::keys() {
        if key.table != table {
            table = key.table;
            wanted.push_str(&format!(
                "\n### `{table}`\n\n| key | default | meaning |\n| --- | --- | --- |\n"
            ));
        }
        let default = match &key.default {
            Some(value) => format!("`{value}`"),
            None => key.otherwise.to_owned(),
        };
        let row = format!("| `{}` | {default} | {} |", key.name, key.help);
        wanted.push_str(&row);
        wanted.push('\n');
        let (_, below) = section
            .split_once(&format!("### `{table}`\n"))
            .unwrap_or(("", ""));
        let below = below.split("\n### ").next().unwrap_or_default();
        if !below.lines().any(|line| line == row) {
            missing.push(row);
        }
    }
    assert!(
        missing.is_empty(),
        "README.md, Configuration, lacks\n{}\n\nThe tables should be\n{wanted}",
        missing.join("\n")
    );
}

#[test]
fn the_readme_has_no_key_that_does_not_exist() {
    let known: BTreeSet<String> = config::keys()
        .into_iter()
        .map(|key| key.name.to_owned())
        .collect();
    let mut rows = first_cells(&section("Configuration"));
    rows.remove("key");
    assert!(
        rows.is_subset(&known),
        "{:?}",
        rows.difference(&known).collect::<Vec<_>>()
    );
}

/// Whoever comes from another server is told of nothing that is not there.
#[test]
fn what_is_called_otherwise_elsewhere_exists_here() {
    let section = section("From other servers");
    let keys = config::keys();
    let commands = commands();
    let is_right = |word: &str| {
        if let Some(rest) = word.strip_prefix("preforkd ") {
            let mut words = rest.split(' ');
            let command = words.next().unwrap().to_owned();
            let help = preforkd(&["help", &command]);
            return commands.contains(&command) && words.all(|flag| mentions(&help, flag));
        }
        if let Some((name, value)) = word.split_once(" = ") {
            let mut homes = keys.iter().filter(|key| key.name == name);
            return homes.any(|key| match value.parse::<u64>() {
                Ok(_) => key.expected.contains("number") || key.expected.contains(value),
                Err(_) => key.expected.contains(value),
            });
        }
        let signals = reference::SIGNALS.iter().flat_map(|signal| signal.names);
        keys.iter().any(|key| key.name == word || key.table == word)
            || signals.clone().any(|name| *name == word)
            // A path, a name or a value of one's own.
            || word.starts_with(['/', '*', '"'])
    };
    let mut seen = 0;
    let mut wrong = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let (there, here) = row[2..].split_once(" | ").unwrap();
        let words: Vec<&str> = here.split('`').skip(1).step_by(2).collect();
        seen += words.len();
        wrong.extend(words.into_iter().filter(|word| !is_right(word)));
        let is_head = matches!(there, "---" | "Apache" | "nginx" | "there");
        let says_none = ["no counterpart", "nothing to set", "not here"];
        let is_answered = here.contains('`') || says_none.iter().any(|none| here.contains(none));
        assert!(is_head || is_answered, "nothing is said of {there}");
    }
    assert!(seen > 100, "{seen}");
    assert!(wrong.is_empty(), "there is no {wrong:?}");
}

/// What one server calls something stands in one row: two would contradict each
/// other one day.
#[test]
fn what_is_called_otherwise_elsewhere_is_told_once() {
    let section = section("From other servers");
    let mut server = "";
    let mut seen = BTreeSet::new();
    let mut twice = Vec::new();
    for line in section.lines() {
        if let Some(title) = line.strip_prefix("### From ") {
            server = title;
        }
        let Some((there, _)) = line
            .strip_prefix("| ")
            .and_then(|row| row.split_once(" | "))
        else {
            continue;
        };
        if matches!(there, "---" | "there" | "Apache" | "nginx") {
            continue;
        }
        let (whose, names) = there.split_once(": ").unwrap_or((server, there));
        for name in names.split([',', ';']).map(str::trim) {
            if !seen.insert((whose, name)) {
                twice.push(format!("{whose}: {name}"));
            }
        }
    }
    assert!(seen.len() > 250, "{}", seen.len());
    assert!(twice.is_empty(), "README.md tells twice of {twice:?}");
}

/// What an operator may search a log for is as the program writes it.
#[test]
fn log_lines_are_quoted_as_they_are_written() {
    const PHRASES: &[&str] = &[
        "asked for by",
        "serves: ",
        "reload: ",
        "reload refused: generation ",
        " stays as it is",
        "; it was ",
        " died young, ",
        " in a row: next try in ",
        " has not finished in time",
        " cut: ",
        " of its own, more than max_worker_memory: it is replaced",
        " more of the same within ",
        " not written: more than ",
        " shows no sign of life; it is ",
        "worker after worker dies young",
        " more of the same, and none for now: ",
        " (breaker_exit_after): giving up; the last: ",
        "no worker is ready",
        "not ready any more: serving on for ",
        " (drain_delay), then stopping",
        "stopping: no new clients, finishing what is open",
        "all workers are gone: leaving",
    ];
    let page = section("Logs");
    let mut code = String::new();
    for place in ["src/master", "src/master/crew", "src/log"] {
        let entries = std::fs::read_dir(place).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        for path in paths.filter(|path| path.is_file()) {
            code.push_str(&read(path.to_str().unwrap()));
        }
    }
    for phrase in PHRASES {
        assert!(code.contains(phrase), "nobody says {phrase:?}");
        assert!(
            page.contains(phrase),
            "README.md, Logs, does not quote {phrase:?}"
        );
    }
}

#[test]
fn relative_links_lead_somewhere() {
    for document in ["README.md", "CHANGELOG.md"] {
        let text = read(document);
        let links = text.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            assert!(
                path.is_empty() || root().join(path).exists(),
                "{document}: {link} leads nowhere"
            );
            let heading = |line: &str| {
                let title = line.trim_start_matches('#').trim();
                line.starts_with('#') && title.to_lowercase().replace(' ', "-") == anchor
            };
            assert!(
                anchor.is_empty() || !path.is_empty() || text.lines().any(heading),
                "{document}: no heading for {link}"
            );
        }
    }
}

#[test]
fn every_section_stands_in_the_contents() {
    let text = readme();
    let (opening, _) = text.split_once("\n## ").unwrap();
    let links = opening.split("](#").skip(1);
    let links: Vec<&str> = links.filter_map(|rest| rest.split(')').next()).collect();
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    let mut count = 0;
    for heading in headings {
        let anchor = heading.to_lowercase().replace(' ', "-");
        assert!(links.contains(&&*anchor), "README.md: no link to {heading}");
        count += 1;
    }
    assert_eq!(links.len(), count, "README.md: {links:?}");
}

#[test]
fn the_test_command_is_the_same_everywhere() {
    let section = section("Tests");
    let (_, block) = section.split_once("```sh\n").unwrap();
    let mut lines = block.lines();
    let command = lines.next().unwrap();
    let runs = |script: &str, command: &str| {
        let text = read(script);
        text.lines().filter(|line| line.trim() == command).count()
    };
    assert!(command.starts_with("cargo "), "{command}");
    assert_eq!(
        runs("scripts/check", command),
        1,
        "scripts/check: {command}"
    );
    assert_eq!(runs(".ci/run", "scripts/check"), 1);
    // So it is with what needs other programs.
    let (_, block) = section.rsplit_once("```sh\n").unwrap();
    let command = block.lines().next().unwrap();
    assert!(command.starts_with("cargo test --test peers "), "{command}");
    assert_eq!(runs(".ci/run", command), 1, ".ci/run: {command}");
    // And so with what measures.
    let command = "cargo test --release --test cost -- --ignored --test-threads 1";
    assert_eq!(runs(".ci/run", command), 1, ".ci/run: {command}");
    assert!(section.contains(&format!("`{command}`")), "{command}");
    assert!(section.contains("`scripts/check`"));
}

#[test]
fn every_script_says_what_it_does_and_can_be_run() {
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(root().join("scripts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    scripts.push(root().join(".ci/run"));
    assert!(scripts.len() >= 3, "{scripts:?}");
    let readme = readme();
    for script in scripts {
        let shown = script.strip_prefix(root()).unwrap().display().to_string();
        let text = read(&shown);
        assert!(readme.contains(&shown), "README.md does not name {shown}");
        let mode = script.metadata().unwrap().permissions().mode();
        // What is not run is installed, and says what it is as it can.
        if !text.starts_with("#!/") {
            assert_eq!(mode & 0o111, 0, "{shown} cannot be run");
            continue;
        }
        // In an init script what LSB wants comes before all else.
        let below = text.split_once("### END INIT INFO\n\n");
        let (_, text) = below.or(text.split_once('\n')).unwrap();
        let opening: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect();
        let opening = opening.join(" ");
        assert!(
            opening.len() > 80,
            "{shown} does not open with what it does"
        );
        assert!(
            opening.to_lowercase().contains("fail") || opening.contains("status"),
            "{shown} does not say how it fails"
        );
        assert_eq!(mode & 0o111, 0o111, "{shown} cannot be run");
    }
}

#[test]
fn the_changelog_has_a_place_for_what_is_new() {
    let text = read("CHANGELOG.md");
    assert!(text.starts_with("# Changelog\n"));
    assert!(text.lines().any(|line| line == "## [Unreleased]"));
}

#[test]
fn every_sample_stands_in_the_readme() {
    let readme = readme();
    for entry in std::fs::read_dir(root().join("conf")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".toml") {
            let link = format!("(conf/{name})");
            assert!(
                readme.contains(&link),
                "README.md does not link conf/{name}"
            );
        }
    }
    assert!(readme.contains(preforkd::cli::DEFAULT_CONFIG));
}

#[test]
fn licences_are_those_of_the_package() {
    let package = read("Cargo.toml");
    assert!(package.contains("license = \"MIT OR Apache-2.0\""));
    assert!(read("LICENSE-MIT").starts_with("MIT License"));
    assert!(read("LICENSE-APACHE").contains("Version 2.0, January 2004"));
    let readme = readme();
    assert!(readme.contains("(LICENSE-MIT)") && readme.contains("(LICENSE-APACHE)"));
}
