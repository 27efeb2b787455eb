//! The tables of the configuration, with the place of each in the others.

use crate::config::{self, Key};

/// A table and what stands in it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// As in the key's own words: `[master]`, or `[master] log` for one that may
    /// stand inline.
    pub(super) header: &'static str,
    /// The key that it is the value of; `[master]` and `[pool.NAME]` are nobody's.
    pub(super) parent: Option<Key>,
    /// Its keys, in the order of the manual.
    pub(super) keys: Vec<Key>,
}

impl Table {
    /// Its name as a header: `master.log`, `pool.NAME.http.path."PATH"`.
    pub(super) fn path(&self) -> String {
        let (table, key) = split(self.header);
        match key {
            Some(key) => format!("{table}.{key}"),
            None => table.to_owned(),
        }
    }

    /// Whether it may stand as `key = { … }` in the table that has the key.
    pub(super) fn is_inline(&self) -> bool {
        split(self.header).1.is_some()
    }

    /// Whether there may be several of it, one after the other.
    pub(super) fn is_listed(&self) -> bool {
        let parent = self.parent.as_ref();
        parent.is_some_and(|key| key.expected.ends_with("or an array of them"))
    }
}

/// All tables, in the order of the manual.
pub(super) fn tables() -> Vec<Table> {
    let keys = config::keys();
    let mut tables: Vec<Table> = Vec::new();
    for key in &keys {
        match tables.last_mut() {
            Some(table) if table.header == key.table => table.keys.push(key.clone()),
            Some(_) | None => tables.push(Table {
                header: key.table,
                parent: parent(key.table, &keys),
                keys: vec![key.clone()],
            }),
        }
    }
    tables
}

/// The key whose value a table is: `log` of `[master]` for `[master] log`,
/// `host` of `[pool.NAME.http]` for `[pool.NAME.http.host."HOST"]`.
fn parent(header: &str, keys: &[Key]) -> Option<Key> {
    let (table, name) = match split(header) {
        (table, Some(key)) => (table, key),
        (table, None) => {
            // A name of one's own is no key.
            let table = match table.split_once(".\"") {
                Some((before, _)) => before,
                None => table,
            };
            table.rsplit_once('.')?
        }
    };
    let home = format!("[{table}]");
    let found = keys
        .iter()
        .find(|key| key.table == home && key.name == name);
    found.cloned()
}

/// `[master] log` is the table `master` and the key `log`.
fn split(header: &str) -> (&str, Option<&str>) {
    let inner = header.trim_start_matches('[');
    match inner.split_once("] ") {
        Some((table, key)) => (table, Some(key)),
        None => (inner.trim_end_matches(']'), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_but_the_two_at_the_top_is_the_value_of_a_key() {
        for table in tables() {
            let at_the_top = matches!(table.header, "[master]" | "[pool.NAME]");
            assert_ne!(at_the_top, table.parent.is_some(), "{table:?}");
        }
    }

    #[test]
    fn places() {
        let tables = tables();
        let find = |header: &str| {
            let found = tables.iter().find(|table| table.header == header);
            found.map(|table| {
                let parent = table.parent.as_ref();
                let parent = parent.map_or("", |key| key.name);
                (table.path(), parent, table.is_inline(), table.is_listed())
            })
        };
        for (header, path, parent, inline, listed) in [
            ("[master] log", "master.log", "log", true, false),
            (
                "[pool.NAME] listen",
                "pool.NAME.listen",
                "listen",
                true,
                true,
            ),
            ("[pool.NAME.http]", "pool.NAME.http", "http", false, false),
            (
                "[pool.NAME.http.host.\"HOST\"]",
                "pool.NAME.http.host.\"HOST\"",
                "host",
                false,
                false,
            ),
            (
                "[pool.NAME.http.path.\"PATH\"] respond",
                "pool.NAME.http.path.\"PATH\".respond",
                "respond",
                true,
                false,
            ),
        ] {
            let expected = (path.to_owned(), parent, inline, listed);
            assert_eq!(find(header), Some(expected), "{header}");
        }
    }
}
