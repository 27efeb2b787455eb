//! The configuration from outside: the files of conf/ are right, and a wrong
//! file is answered with its line and column.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use preforkd::config::{self, Listen, LoadError, Loaded, Model, Service, Size, ThisMachine};

fn conf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf")
}

fn load(name: &str) -> Loaded {
    match config::load(&conf().join(name), &ThisMachine) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{error}"),
    }
}

/// Loads a text from a directory that holds a directory `www` and a file `file`.
fn load_text(text: &str) -> (Result<Loaded, LoadError>, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let path = directory.path().join("test.toml");
    std::fs::write(&path, text).unwrap();
    (
        config::load(&path, &ThisMachine),
        path.display().to_string(),
    )
}

#[test]
fn every_file_in_conf_is_right_and_reads_back() {
    let mut seen = 0;
    for entry in std::fs::read_dir(conf()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let loaded = load(name);
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        let shown = loaded.config.to_string();
        let again = config::parse(&shown, "shown", Path::new("/nowhere"), &ThisMachine);
        assert_eq!(again.unwrap().config, loaded.config, "{name}\n{shown}");
        seen += 1;
    }
    assert!(seen >= 3, "{seen} files in conf/");
}

#[test]
fn the_sample_serves_the_site_and_echo_on_the_loopback() {
    let config = load("preforkd.toml").config;
    assert_eq!(
        (config.master.pid_file, config.master.control_socket),
        (None, None)
    );
    let [web, echo] = config.pools.try_into().unwrap();
    assert_eq!(
        web.listen,
        [config::parse_listen("127.0.0.1:8080").unwrap().into()]
    );
    assert_eq!(
        echo.listen,
        [config::parse_listen("127.0.0.1:7007").unwrap().into()]
    );
    assert_eq!((web.model, echo.service), (Model::Prefork, Service::Echo));
    let Service::Http(http) = web.service else {
        panic!("{:?}", web.service);
    };
    assert_eq!(http.root, conf().join("www"));
    assert!(matches!(web.size, Size::Spare { max: 64, .. }));
}

/// What the sample shows as a default is the default.
#[test]
fn the_sample_shows_true_defaults() {
    let sample = std::fs::read_to_string(conf().join("preforkd.toml")).unwrap();
    let mut checked = BTreeSet::new();
    for key in config::keys() {
        let Some(default) = key.default else {
            continue;
        };
        let commented = format!("#{} = ", key.name);
        for line in sample.lines() {
            // A table is an example of what else can be said.
            if let Some(value) = line.strip_prefix(&commented)
                && !value.starts_with('{')
            {
                assert_eq!(value, default, "{line}");
                checked.insert(key.name);
            }
        }
    }
    assert!(checked.len() >= 15, "{checked:?}");
}

#[test]
fn services_toml_has_every_small_service_on_loopback_and_every_model() {
    let config = load("services.toml").config;
    let services: BTreeSet<_> = config
        .pools
        .iter()
        .map(|pool| pool.service.name())
        .collect();
    let expected = ["echo", "discard", "daytime", "time", "chargen", "message"];
    assert_eq!(services, BTreeSet::from(expected));
    let models: BTreeSet<_> = config.pools.iter().map(|pool| pool.model.name()).collect();
    assert_eq!(models.len(), 4);
    for endpoint in config.pools.iter().flat_map(|pool| &pool.listen) {
        let listen = &endpoint.listen;
        let (Listen::Tcp { address, .. } | Listen::Udp { address, .. }) = listen else {
            panic!("{listen}");
        };
        assert!(
            address.ip().is_loopback() && address.port() > 1024,
            "{listen}"
        );
    }
}

const ECHO: &str = "[pool.a]\nservice = \"echo\"\nlisten = \"127.0.0.1:7007\"\n";
const HTTP: &str = "[pool.a]\nservice = \"http\"\nlisten = \"127.0.0.1:8080\"\n[pool.a.http]\n";

#[test]
fn a_wrong_file_is_answered_with_line_and_column() {
    for (text, place, message, expected) in [
        (
            format!("{ECHO}worker = 3\n"),
            "4:1",
            "unknown key `worker` in [pool.a]",
            "did you mean `workers`?",
        ),
        (
            format!("{ECHO}workers = 1.5\n"),
            "4:11",
            "`workers` is a float",
            "a whole number from 1 to 4096",
        ),
        (
            format!("{ECHO}workers = 5000\n"),
            "4:11",
            "`workers` is out of range",
            "a whole number from 1 to 4096",
        ),
        (
            format!("{ECHO}idle_timeout = \"30\"\n"),
            "4:16",
            "`idle_timeout` is no duration: 30 has no unit",
            "such as \"30s\"",
        ),
        (
            format!("{ECHO}idle_timeout = 30\n"),
            "4:16",
            "`idle_timeout` is a bare number",
            "write \"30s\"",
        ),
        (
            format!("{ECHO}idle_timeout = \"2h26m\"\nwrite_timeout = \"25h\""),
            "5:17",
            "`write_timeout` is out of range",
            "from 1ms to 24h",
        ),
        (
            format!("{ECHO}model = \"preforc\"\n"),
            "4:9",
            "`model` cannot be \"preforc\"",
            "did you mean \"prefork\"?",
        ),
        (
            format!("{ECHO}user = \"no-such-user-here\"\n"),
            "4:8",
            "there is no user \"no-such-user-here\"",
            "a user of this machine",
        ),
        (
            format!("{HTTP}root = \"gone\"\n"),
            "5:8",
            "gone: No such file or directory (ENOENT)",
            "expected a directory",
        ),
        (
            format!("{HTTP}root = \"file\"\n"),
            "5:8",
            "file is not a directory",
            "expected a directory",
        ),
        (
            format!("{HTTP}root = \"www\"\nmax_header = \"65KiB\""),
            "6:14",
            "`max_header` is out of range",
            "to 64KiB",
        ),
        (
            format!("{HTTP}root = \"www\"\naccess_log = \"gone/a.log\""),
            "6:14",
            "gone: No such file or directory (ENOENT)",
            "a directory that exists",
        ),
        (
            format!("{ECHO}[pool.b]\nservice = \"echo\"\nlisten = [\"7007\"]"),
            "6:11",
            "0.0.0.0:7007 overlaps with 127.0.0.1:7007",
            "taken here",
        ),
        (
            "[pool.a]\nservice = \"echo\"\nlisten = \"udp:unix:x\"".to_owned(),
            "3:10",
            "\"udp:unix:x\" is not an address",
            "UDP has an address and a port",
        ),
        (
            "[pool.a]\nservice = \"echo\"\nlisten = \"fd:2\"".to_owned(),
            "3:10",
            "\"fd:2\" is not an address",
            "from \"fd:3\" on",
        ),
        (
            "[master]\nlog = syslog".to_owned(),
            "2:7",
            "string values must be quoted",
            "",
        ),
        ("[master]\n[master]".to_owned(), "2:2", "duplicate key", ""),
        ("# ä\n\t[master".to_owned(), "2:9", "unclosed table", ""),
        (
            String::new(),
            "1:1",
            "there is no pool",
            "a table [pool.NAME]",
        ),
    ] {
        let (loaded, path) = load_text(&text);
        let error = loaded.unwrap_err();
        assert_eq!(error.exit_status(), 78);
        let shown = error.to_string();
        let first = shown.lines().next().unwrap();
        let begin = format!("{path}:{place}: error: ");
        assert!(first.starts_with(&begin), "{place}\n{text}\n{shown}");
        assert!(first.contains(message), "{message}\n{text}\n{shown}");
        assert!(shown.contains(expected), "{expected}\n{text}\n{shown}");
        assert!(shown.contains('^'), "{shown}");
        assert_eq!(error.lines().len(), 1, "{shown}");
    }
}

#[test]
fn mistakes_come_together_in_the_order_of_the_file() {
    let text = "\
[master]
graceful_timeout = \"soon\"
max_generations = 1
lgo = \"stderr\"

[pool.a]
listen = [\"127.0.0.1:7007\", \"localhost:7007\"]
service = \"echo\"
max_connections = 3

[pool.a.http]
root = \"gone\"

[pool.b]
service = \"htpt\"
";
    let (loaded, path) = load_text(text);
    let LoadError::Mistakes(mistakes) = loaded.unwrap_err() else {
        panic!("the file can be read");
    };
    let places: Vec<String> = mistakes
        .lines()
        .map(|line| {
            line.strip_prefix(&path)
                .unwrap()
                .split(": ")
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        places,
        [
            ":2:20", ":3:19", ":4:1", ":7:29", ":9:1", ":11:9", ":14:7", ":15:11"
        ],
        "{mistakes}"
    );
}
