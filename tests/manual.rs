//! What `preforkd generate` prints: the pages have all that the program has, the
//! file of every key is one, and with the programs that read them (ignored: they
//! are not everywhere) pages are in form and shells complete.
#![allow(clippy::unwrap_used)]

use preforkd::config::{self, ThisMachine};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the program prints.
fn preforkd(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_preforkd"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn generate(what: &str) -> String {
    preforkd(&["generate", what])
}

#[test]
fn what_does_not_fit_on_the_disk_is_not_fine() {
    let sample = root().join("conf/minimal.toml");
    let sample = sample.to_str().unwrap();
    for arguments in [
        &["generate", "config"][..],
        &["check", "--print", "-c", sample],
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_preforkd"));
        let status = command.args(arguments).stdout(full).status().unwrap();
        assert_eq!(status.code(), Some(71), "{arguments:?}");
    }
}

/// A page as it is read: without requests, fonts and escapes, in one line.
fn plain(page: &str) -> String {
    let mut text = String::new();
    for line in page.lines() {
        let line = match line.strip_prefix('.') {
            Some(request) => request.split_once(' ').map_or("", |(_, rest)| rest),
            None => line,
        };
        text.push_str(line);
        text.push(' ');
    }
    unescaped(&text)
}

/// A text without fonts and escapes.
fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (escape, sign) in [
        ("\\fB", ""),
        ("\\fI", ""),
        ("\\fR", ""),
        ("\\&", ""),
        ("\\%", ""),
        ("\\~", " "),
        ("\\-", "-"),
        ("\\(dq", "\""),
        ("\\(aq", "'"),
        ("\\(ti", "~"),
        ("\\(ha", "^"),
        ("\\(rs", "\\"),
    ] {
        text = text.replace(escape, sign);
    }
    assert!(!text.contains("\\("), "an escape is unknown here: {text}");
    text
}

/// The part of a page between this title and the next.
fn section<'p>(page: &'p str, title: &str) -> &'p str {
    let title = if title.contains(' ') {
        format!("\"{title}\"")
    } else {
        title.to_owned()
    };
    let (_, rest) = page.split_once(&format!("\n.SH {title}\n")).unwrap();
    rest.split("\n.SH ").next().unwrap()
}

/// The lines of the help below `heading`, up to an empty one.
fn listed<'h>(help: &'h str, heading: &str) -> Vec<&'h str> {
    let mut lines = help.lines().skip_while(|line| *line != heading);
    assert_eq!(lines.next(), Some(heading), "{help}");
    lines.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn the_page_has_every_command_option_and_word() {
    let page = generate("man");
    let synopsis = plain(section(&page, "SYNOPSIS"));
    let commands = plain(section(&page, "COMMANDS"));
    let help = preforkd(&["help"]);
    let names = listed(&help, "Commands:");
    let names = names
        .iter()
        .map(|line| line.split_whitespace().next().unwrap());
    let mut seen = 0;
    for name in names.filter(|name| *name != "help") {
        let is_told = |text: &str| text.split([' ', '|', ',', '"']).any(|word| word == name);
        assert!(is_told(&synopsis), "{name}: {synopsis}");
        assert!(is_told(&commands), "{name}: {commands}");
        let help = preforkd(&["help", name]);
        for line in help.lines().map(str::trim_start) {
            // `-c, --config <FILE>`, `- prefork: One connection at a time`
            let words: Vec<&str> = line.split([' ', ',', ':']).collect();
            let (flags, rest) = match words.as_slice() {
                ["-", word, ..] => (vec![*word], true),
                [first, ..] if first.starts_with('-') => {
                    let flags = words.iter().take_while(|word| !word.starts_with('<'));
                    (
                        flags
                            .copied()
                            .filter(|word| word.starts_with('-'))
                            .collect(),
                        false,
                    )
                }
                _ => continue,
            };
            for flag in flags {
                let flag = flag.trim_end_matches('.');
                assert!(
                    commands.contains(&format!("{flag} "))
                        || commands.contains(&format!("{flag},")),
                    "{flag} of {name} ({rest}): {commands}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
    for argument in ["POOL", "SERVICE", "WHAT"] {
        assert!(commands.contains(argument), "{argument}");
    }
}

#[test]
fn the_page_has_every_signal_and_exit_status() {
    let page = generate("man");
    let help = preforkd(&["help"]);
    let signals = plain(section(&page, "SIGNALS"));
    for line in listed(&help, "Signals to the master:") {
        let names = line.trim_start().split("  ").next().unwrap();
        assert!(signals.contains(&format!("{names} ")), "{names}: {signals}");
    }
    let statuses = section(&page, "EXIT STATUS");
    for line in listed(&help, "Exit status:") {
        let status = line.split_whitespace().next().unwrap();
        assert!(statuses.contains(&format!("\\fB{status}\\fR")), "{status}");
    }
    let files = plain(section(&page, "FILES"));
    assert!(files.contains(preforkd::cli::DEFAULT_CONFIG), "{files}");
}

/// The variables that the code asks the environment for by their names.
#[test]
fn the_page_has_every_variable_that_is_read() {
    let told = plain(section(&generate("man"), "ENVIRONMENT"));
    let mut found = BTreeSet::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            if !text.contains("env::var") {
                continue;
            }
            // `env::var("NAME")`, or a constant that stands there.
            for call in ["env::var_os(\"", "env::var(\"", ": &str = \""] {
                let names = text.split(call).skip(1);
                let names = names.filter_map(|rest| Some(rest.split_once('"')?.0));
                let is_name = |name: &&str| {
                    let inside = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
                    !name.is_empty() && name.bytes().all(inside)
                };
                found.extend(names.filter(is_name).map(str::to_owned));
            }
        }
    }
    assert!(found.contains("NOTIFY_SOCKET"), "{found:?}");
    for name in found {
        assert!(told.contains(&format!("{name} ")), "{name}: {told}");
    }
}

#[test]
fn the_page_of_the_configuration_has_every_key() {
    let page = plain(section(&generate("man-config"), "TABLES AND KEYS"));
    for key in config::keys() {
        let help = key.help.replace('`', "");
        assert!(page.contains(&format!("{} {help} ", key.name)), "{key:?}");
        if let Some(default) = key.default {
            assert!(page.contains(&format!("Default: {default}. ")), "{default}");
        }
    }
}

#[test]
fn the_file_of_every_key_is_the_sample() {
    let path = root().join("conf/every-key.toml");
    let sample = std::fs::read_to_string(path).unwrap();
    assert!(
        sample == generate("config"),
        "a key has come, gone or changed: preforkd generate config > conf/every-key.toml"
    );
}

/// A directory with what the examples name.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for name in ["www", "files"] {
        std::fs::create_dir(place.path().join(name)).unwrap();
    }
    // bcrypt of "x", cost 4.
    let hash = "ada:$2y$04$abcdefghijklmnopqrstuu5LhJ3jmkRvzjUSPDyZ7aYrSmxgW3Cz2\n";
    std::fs::write(place.path().join("htpasswd"), hash).unwrap();
    std::fs::write(place.path().join("mime.types"), "text/plain txt\n").unwrap();
    place
}

/// What is wrong with a file, with the lines that are about it.
fn mistakes(text: &str, place: &Path) -> Vec<String> {
    match config::parse(text, "f", place, &ThisMachine) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.lines().collect(),
    }
}

/// Each line that is commented out may be had alone, and each table as a whole,
/// but for those that need something else to be there, and say so.
#[test]
fn every_example_of_the_file_is_right() {
    let sample = generate("config");
    let place = place();
    // No machine is asked for what it may not have.
    let sample = sample.replace("/etc/mime.types", "mime.types");
    let sample = sample.replace("/run/preforkd/", "");
    let sample = sample.replace("www-data", "65534");
    assert_eq!(mistakes(&sample, place.path()), [""; 0]);
    let lines: Vec<&str> = sample.lines().collect();
    let is_header = |line: &str| line.trim_start_matches('#').starts_with('[');
    let mut tried = 0;
    for (number, line) in lines.iter().enumerate() {
        let Some(example) = line.strip_prefix('#') else {
            continue;
        };
        let mut changed = lines.clone();
        if is_header(example) {
            // `[pool.web.http.auth]` takes the place of `auth = "off"`.
            let name = example.trim_matches(['[', ']']).rsplit('.').next().unwrap();
            let table = changed[number..].iter().skip(1);
            let length = table.take_while(|line| !is_header(line)).count();
            for line in &mut changed[number..=number + length] {
                let said = line.strip_prefix('#').filter(|said| !said.starts_with(' '));
                *line = said.unwrap_or(line);
            }
            for line in &mut changed {
                if line.starts_with(&format!("{name} = ")) {
                    *line = "";
                }
            }
        } else if example.starts_with(|sign: char| sign.is_ascii_lowercase()) {
            let headers = lines[..number].iter().rev();
            let header = headers.copied().find(|line| is_header(line)).unwrap();
            if header.starts_with('#') {
                continue;
            }
            changed[number] = example;
        } else {
            continue;
        }
        let found = mistakes(&changed.join("\n"), place.path());
        let is_fine = |mistake: &String| {
            mistake.contains(" has no effect ")
                || mistake.contains("root can") && example.contains("65534")
        };
        assert!(found.iter().all(is_fine), "{example}: {found:#?}");
        tried += 1;
    }
    assert!(tried > 40, "{tried}");
}

/// What the page shows can be used as it stands.
#[test]
fn every_example_of_the_page_is_right() {
    let page = generate("man-config");
    let examples = section(&page, "EXAMPLES");
    let place = place();
    let mut seen = 0;
    for block in examples.split(".EX\n").skip(1) {
        let text = unescaped(block.split(".EE").next().unwrap());
        let text = text.replace("/srv/", "").replace("www-data", "65534");
        let text = text
            .replace("/run/preforkd/", "")
            .replace("/var/log/preforkd/", "");
        let mut found = mistakes(&text, place.path());
        found.retain(|mistake| !mistake.contains("root can"));
        assert!(found.is_empty(), "{text}\n{found:#?}");
        seen += 1;
    }
    assert!(seen >= 3, "{seen}");
}

/// What a program says of a file, all of it; it must be a success.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("MANWIDTH", "80")
        .env("LC_ALL", "C.UTF-8")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

/// Writes what is generated to a file of this name.
fn written(place: &Path, what: &str, name: &str) -> String {
    let path = place.join(name);
    std::fs::write(&path, generate(what)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
#[ignore = "peers: needs mandoc, man-db, groff-base"]
fn the_pages_are_in_form() {
    let place = tempfile::tempdir().unwrap();
    for (what, name) in [("man", "preforkd.8"), ("man-config", "preforkd.toml.5")] {
        let path = written(place.path(), what, name);
        assert_eq!(run("mandoc", &["-T", "lint", &path]), "", "{name}");
        // groff writes its warnings to standard error.
        let complaints = run(
            "groff",
            &["-man", "-K", "utf8", "-T", "utf8", "-ww", "-z", &path],
        );
        assert_eq!(complaints, "", "{name}");
        for reader in ["man", "mandoc"] {
            let shown = match reader {
                "man" => run("man", &["--warnings=w", "-l", &path]),
                _ => run("mandoc", &["-T", "utf8", &path]),
            };
            let widest = shown.lines().map(|line| line.chars().count());
            assert!(shown.len() > 5_000, "{reader} {name}: {shown}");
            if reader == "man" {
                assert!(widest.max() <= Some(80), "{name}: {shown}");
            }
        }
    }
}

/// What bash offers for the last of these words.
fn bash_offers(script: &str, words: &[&str]) -> String {
    const COMPLETE: &str = r#"
        source "$1"; shift
        COMP_WORDS=(preforkd "$@"); COMP_CWORD=$#
        compopt() { :; }
        _preforkd preforkd "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let arguments = ["--norc", "-c", COMPLETE, "bash", script];
    run("bash", &[&arguments[..], words].concat())
}

/// What fish offers for the last of these words, without what it says of it.
fn fish_offers(script: &str, words: &[&str]) -> String {
    let typed = words.join(" ");
    let command = format!("source {script}; complete -C 'preforkd {typed}'");
    let said = run("fish", &["--no-config", "-c", &command]);
    let lines = said.lines().map(|line| line.split('\t').next().unwrap());
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
#[ignore = "peers: needs bash, zsh, fish"]
fn the_shells_complete() {
    let place = tempfile::tempdir().unwrap();
    let bash = written(place.path(), "bash", "preforkd.bash");
    let fish = written(place.path(), "fish", "preforkd.fish");
    let zsh = written(place.path(), "zsh", "_preforkd");
    run("bash", &["-n", &bash]);
    run("zsh", &["-n", &zsh]);
    run("fish", &["-n", &fish]);
    let file = format!("{}/pre", place.path().display());
    let files = [format!("{file}forkd.bash"), format!("{file}forkd.fish")];
    for (words, offered) in [
        (vec!["re"], vec!["reload", "reopen"]),
        (vec!["generate", "man"], vec!["man", "man-config"]),
        (vec!["serve", "ec"], vec!["echo"]),
        (vec!["serve", "echo", "--mod"], vec!["--model"]),
        (vec!["serve", "echo", "--model", "e"], vec!["event"]),
        (vec!["scale", "web", "3", "--w"], vec!["--wait"]),
        (
            vec!["check", "--config", &file],
            vec![files[0].as_str(), files[1].as_str()],
        ),
    ] {
        for (shell, found) in [
            ("bash", bash_offers(&bash, &words)),
            ("fish", fish_offers(&fish, &words)),
        ] {
            let mut found: Vec<&str> = found.lines().collect();
            found.sort_unstable();
            assert_eq!(found, offered, "{shell}: preforkd {words:?}");
        }
    }
    // zsh completes in an editor alone: that it takes the script for this command.
    let take = "fpath=($1 $fpath); autoload -U compinit; compinit -u -D; \
                autoload +X -U _preforkd; print -r -- $_comps[preforkd] $functions[_preforkd]";
    let directory = place.path().to_str().unwrap();
    let taken = run("zsh", &["-f", "-c", take, "zsh", directory]);
    assert!(taken.starts_with("_preforkd "), "{taken}");
    assert!(taken.contains("--wait"), "{taken}");
}
