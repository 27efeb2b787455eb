//! What installs preforkd and has it started: scripts/install in a directory, the
//! configurations that it and the image come with, and the units of systemd.
//!
//! The Debian package and what an init makes of all this is `tests/init.rs`.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::preforkd;
use harness::server::{outcome, program};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name)
}

/// What scripts/install says, which must be a success.
fn install(destdir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(script("install"));
    command.env_remove("DESTDIR").arg("--destdir").arg(destdir);
    command.arg("--program").arg(program()).args(arguments);
    let output = outcome(command);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every file below `top` with its mode and content, directories with none.
fn tree(top: &Path) -> BTreeMap<PathBuf, (u32, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.metadata().unwrap();
            let content = if metadata.is_dir() {
                left.push(path.clone());
                None
            } else {
                Some(fs::read(&path).unwrap())
            };
            let name = path.strip_prefix(top).unwrap().to_owned();
            found.insert(name, (metadata.permissions().mode() & 0o7777, content));
        }
    }
    found
}

/// The files, as paths from the top.
fn files(top: &Path) -> Vec<String> {
    let files = tree(top)
        .into_iter()
        .filter(|(_, (_, text))| text.is_some());
    files
        .map(|(path, _)| format!("/{}", path.display()))
        .collect()
}

const CONFIG: &str = "etc/preforkd/preforkd.toml";

#[test]
fn installing_twice_is_installing_once_and_uninstalling_leaves_what_is_not_ours() {
    let directory = TempDir::new().unwrap();
    let top = directory.path();
    let said = install(top, &["--dry-run", "--prefix", "/usr"]);
    assert!(said.contains("/usr/sbin/preforkd"), "{said}");
    assert!(tree(top).is_empty(), "{:?}", files(top));

    let said = install(top, &["--prefix", "/usr"]);
    let first = tree(top);
    for (path, (_, content)) in &first {
        assert!(
            content.is_none() || said.contains(path.to_str().unwrap()),
            "{path:?} is not among\n{said}"
        );
    }
    for (path, mode) in [
        ("usr/sbin/preforkd", 0o755),
        ("etc/init.d/preforkd", 0o755),
        ("usr/lib/systemd/system/preforkd.service", 0o644),
        ("usr/lib/systemd/system/preforkd.socket", 0o644),
        ("etc/logrotate.d/preforkd", 0o644),
        ("etc/default/preforkd", 0o644),
        ("var/www/html/index.html", 0o644),
        ("var/log/preforkd", 0o2750),
        (CONFIG, 0o644),
    ] {
        let found = first.get(Path::new(path)).map(|(mode, _)| *mode);
        assert_eq!(found, Some(mode), "{path}");
    }
    assert_eq!(install(top, &["--prefix", "/usr"]), "");
    assert!(tree(top) == first, "a second run changed something");

    // An edited file is kept, one that was spoilt is mended.
    fs::write(top.join(CONFIG), "edited").unwrap();
    fs::write(top.join("etc/init.d/preforkd"), "spoilt").unwrap();
    let said = install(top, &["--prefix", "/usr"]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(fs::read(top.join(CONFIG)).unwrap(), b"edited");
    fs::write(top.join("var/log/preforkd/preforkd.log"), "line").unwrap();

    install(top, &["--prefix", "/usr", "--uninstall"]);
    assert_eq!(
        files(top),
        [
            "/etc/default/preforkd",
            "/etc/preforkd/preforkd.toml",
            "/var/log/preforkd/preforkd.log",
            "/var/www/html/index.html",
        ]
    );
    assert_eq!(install(top, &["--prefix", "/usr", "--uninstall"]), "");
}

#[test]
fn a_prefix_and_a_user_are_everywhere_they_belong() {
    let directory = TempDir::new().unwrap();
    let top = directory.path();
    install(
        top,
        &["--prefix", "/opt/p", "--user", "web", "--init", "both"],
    );
    let found = files(top);
    assert!(found.contains(&"/opt/p/sbin/preforkd".to_owned()));
    for name in found.iter().filter(|name| name.starts_with("/etc")) {
        let text = fs::read_to_string(top.join(&name[1..])).unwrap();
        assert!(!text.contains("/usr/sbin/preforkd"), "{name}:\n{text}");
    }
    let unit = fs::read_to_string(top.join("etc/systemd/system/preforkd.service")).unwrap();
    assert!(unit.contains("\nExecStart=/opt/p/sbin/preforkd run\n"));
    let config = fs::read_to_string(top.join(CONFIG)).unwrap();
    assert!(config.contains("\nuser = \"web\"\n"), "{config}");

    let directory = TempDir::new().unwrap();
    install(directory.path(), &["--init", "none"]);
    let found = files(directory.path());
    assert!(found.contains(&"/usr/local/sbin/preforkd".to_owned()));
    let started = |name: &String| name.contains("init.d") || name.contains("systemd");
    assert!(!found.iter().any(started), "{found:?}");
}

#[test]
fn what_cannot_be_installed_is_refused_before_anything_is() {
    let directory = TempDir::new().unwrap();
    for (arguments, status) in [
        (&["--frob"][..], 64),
        (&["--prefix", "relative"], 64),
        (&["--prefix", "/a b"], 64),
        (&["--init", "upstart"], 64),
        (&["--program", "/nowhere/preforkd"], 69),
    ] {
        let mut command = Command::new(script("install"));
        command.env("DESTDIR", directory.path()).args(arguments);
        let output = outcome(command);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
        assert!(tree(directory.path()).is_empty(), "{arguments:?}");
    }
}

/// Their places are those of an installed system; here they are others.
#[test]
fn the_configurations_that_come_with_it_are_right() {
    for name in ["preforkd.toml", "container.toml"] {
        let directory = TempDir::new().unwrap();
        let here = directory.path().to_str().unwrap();
        let mut text = fs::read_to_string(script(name)).unwrap();
        for place in [
            "/var/www/html",
            "/srv/www",
            "/var/log/preforkd",
            "/run/preforkd",
        ] {
            text = text.replace(place, here);
        }
        let user = nix::unistd::geteuid();
        text = text.replace("\"www-data\"", &format!("\"{user}\""));
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        let mut command = preforkd();
        command.args(["check", "--config"]).arg(&path);
        let output = outcome(command);
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

/// The units are read by systemd itself: what it does not understand, and what it
/// thinks of the fence.
#[test]
#[ignore = "peers"]
fn systemd_understands_the_units() {
    let directory = TempDir::new().unwrap();
    let mut units = Vec::new();
    for name in ["preforkd.service", "preforkd.socket"] {
        let text = fs::read_to_string(script(name)).unwrap();
        let text = text.replace("/usr/sbin/preforkd", program().to_str().unwrap());
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        units.push(path);
    }
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).args(&units);
    let output = outcome(command);
    assert!(output.status.success(), "{output:?}");
    // Of other units it says what it likes.
    let said = String::from_utf8(output.stderr).unwrap();
    let ours = said.lines().filter(|line| line.contains("preforkd"));
    // What systemd 253 has brought, see the unit.
    let news = ["notify-reload", "'ReloadSignal'"];
    let bad: Vec<&str> = ours
        .filter(|line| !news.iter().any(|word| line.contains(word)))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));

    // Ten is no fence at all; what is left is what a web server does.
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=yes", "--threshold=35"]);
    let output = outcome({
        command.arg(&units[0]);
        command
    });
    let said = String::from_utf8(output.stdout).unwrap();
    println!("{}", said.lines().last().unwrap_or_default());
    assert!(output.status.success(), "{said}");
}
