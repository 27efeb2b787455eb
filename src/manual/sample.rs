//! A configuration file that has every key: with its default, or commented out
//! with an example where there is none.
//!
//! Owes a file that `preforkd check` accepts and that runs from a checkout. A new
//! key comes in by itself; where its kind has no value to show, a test says so.

use super::tables::{Table, tables};
use super::{sentence, without};
use crate::config::Key;

/// The service of the sample's pool.
const SERVICE: &str = "http";

/// Names in the place of the manual's own.
const NAMES: &[(&str, &str)] = &[
    ("NAME", "web"),
    ("\"HOST\"", "\"www.example.org\""),
    ("\"PATH\"", "\"/example/\""),
];

const HEAD: &str = "\
# every-key.toml: every key, what it does, what a value looks like, and what
# holds if it is left out. It runs as it is:
#
#     preforkd run -c conf/every-key.toml
#
# Nobody needs a file like this one: take from it what you change. The lines
# that are not commented out say the default; only listen, service and root have
# none, and must be there. What is commented out is an example.
#
# Durations are written \"30s\", \"250ms\", \"1m30s\"; sizes \"64KiB\", \"1MiB\".
# Relative paths count from the directory of this file. This is what
# `preforkd generate config` prints.
";

/// Values for keys that have none, by the name of the key.
const BY_NAME: &[(&str, &str)] = &[
    ("listen", "\"127.0.0.1:8080\""),
    ("service", "\"http\""),
    ("pid_file", "\"/run/preforkd/preforkd.pid\""),
    ("control_socket", "\"/run/preforkd/control.sock\""),
    ("message", "\"Message received.\\n\""),
    ("workers", "8"),
    ("start_workers", "8"),
    ("min_spare_workers", "4"),
    ("max_spare_workers", "16"),
    ("max_workers", "256"),
    ("max_connections", "10240"),
    ("backlog", "4096"),
    ("proxy_timeout", "\"3s\""),
    ("keepalive_count", "6"),
    ("fastopen", "256"),
    ("mark", "1"),
    ("root", "\"www\""),
    ("alias", "\"www\""),
    ("mime_types", "\"/etc/mime.types\""),
    ("file", "\"htpasswd\""),
    ("redirect", "\"/elsewhere/\""),
    ("respond", "\"Hello.\\n\""),
    ("auth", "\"htpasswd\""),
    ("body", "\"Hello.\\n\""),
    ("directory", "\".\""),
    ("open_files", "1024"),
    ("memory", "\"256MiB\""),
    ("open_files", "1024"),
    ("processes", "1000"),
    ("max_body", "\"1MiB\""),
    ("tag", "\"preforkd\""),
    ("burst", "40"),
    ("banner", "\"Too many connections.\\n\""),
];

/// The file.
pub(super) fn text() -> String {
    let mut text = HEAD.to_owned();
    for table in tables() {
        write(&mut text, &table);
    }
    text
}

fn write(text: &mut String, table: &Table) {
    let mark = if is_there(table) { "" } else { "#" };
    text.push_str("\n\n");
    if let Some(parent) = &table.parent {
        comment(text, parent.help);
    }
    if mark == "#" && table.is_inline() {
        comment(text, "In place of the key above, where more is to be said.");
    }
    let mut path = table.path();
    for (name, value) in NAMES {
        path = path.replace(name, value);
    }
    let header = if table.is_listed() {
        format!("{mark}[[{path}]]\n")
    } else {
        format!("{mark}[{path}]\n")
    };
    text.push_str(&header);
    for key in table.keys.iter().filter(|key| !is_a_table(key)) {
        line(text, mark, key);
    }
}

/// A key with what it does; `mark` is in front of a line that does not hold.
fn line(text: &mut String, mark: &str, key: &Key) {
    text.push('\n');
    comment(text, key.help);
    let holds = key.default.is_some() || key.otherwise == "required";
    let mut words = Vec::new();
    // "true or false" is what everybody expects there.
    if key.expected != "true or false" {
        words.push(sentence(&key.expected));
    }
    if !holds {
        words.push(without(key, "If it is left out"));
    }
    if !words.is_empty() {
        comment(text, &words.join(" "));
    }
    let mark = if holds { mark } else { "#" };
    if let Some(value) = key.default.clone().or_else(|| value(key)) {
        text.push_str(&format!("{mark}{} = {value}\n", key.name));
    }
}

/// Whether the file says the table, so that its keys hold.
fn is_there(table: &Table) -> bool {
    let Some(parent) = &table.parent else {
        return true;
    };
    is_a_table(parent) && (parent.default.is_some() || has_no_other_value(parent))
}

/// Whether a key's value is a table that has a header in this file.
fn is_a_table(key: &Key) -> bool {
    let inline = key.default.as_ref();
    inline.is_some_and(|value| value.starts_with("{ ")) || is_only_a_table(key)
}

fn is_only_a_table(key: &Key) -> bool {
    key.expected.starts_with("the table ") || key.expected.starts_with("tables ")
}

/// Whether the table is always there, or is so with the service of this pool.
fn has_no_other_value(key: &Key) -> bool {
    key.otherwise == "a table of its own"
        || key.otherwise == format!("only for service = \"{SERVICE}\"")
}

/// A right value for a key that has no default.
fn value(key: &Key) -> Option<String> {
    let known = BY_NAME.iter().find(|(name, _)| *name == key.name);
    if let Some((_, value)) = known {
        return Some((*value).to_owned());
    }
    // `"daemon"; only for syslog`
    let first = key.otherwise.split(';').next().unwrap_or_default();
    if first.parse::<u64>().is_ok() || first.starts_with('"') && first.ends_with('"') {
        return Some(first.to_owned());
    }
    let expected = key.expected.as_str();
    if expected == "true or false" {
        return Some("true".to_owned());
    }
    if expected.starts_with("a user's name") || expected.starts_with("a group's name") {
        return Some("\"www-data\"".to_owned());
    }
    // `an array of names such as ["PATH"]`, `"beneath" or "never"`
    let from = expected
        .split_once("such as ")
        .map_or(expected, |(_, rest)| rest);
    let end = match from.chars().next()? {
        '"' => from.get(1..)?.find('"')? + 2,
        '[' => from.find(']')? + 1,
        '{' => from.find('}')? + 1,
        _ => return None,
    };
    from.get(..end).map(str::to_owned)
}

/// Comments of at most 80 columns.
fn comment(text: &mut String, words: &str) {
    let mut column = 0;
    for word in words.split(' ') {
        if column > 0 && column + 1 + word.chars().count() > 80 {
            text.push('\n');
            column = 0;
        }
        let before = if column == 0 { "# " } else { " " };
        text.push_str(before);
        text.push_str(word);
        column += before.len() + word.chars().count();
    }
    text.push('\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_there_with_a_value() {
        let text = text();
        for table in tables() {
            for key in table.keys.iter().filter(|key| !is_a_table(key)) {
                let shown = key.default.clone().or_else(|| value(key));
                let shown = shown.unwrap_or_else(|| panic!("no example for {key:?}: BY_NAME"));
                let line = format!("{} = {shown}\n", key.name);
                let found =
                    text.contains(&format!("\n{line}")) || text.contains(&format!("\n#{line}"));
                assert!(found, "{line}");
            }
        }
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{longest:?}");
    }
}
