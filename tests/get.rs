//! `preforkd get`: beside servers that break off, stall, lie and lead astray,
//! our own, others', and with curl as the judge.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "get/faults.rs"]
mod faults;
#[path = "get/files.rs"]
mod files;
mod harness;
#[path = "get/others.rs"]
mod others;
#[path = "get/requests.rs"]
mod requests;
#[path = "get/scripted.rs"]
mod scripted;
#[path = "get/site.rs"]
mod site;
#[path = "get/times.rs"]
mod times;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_exit_status_stands_in_the_readme() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, section) = readme.split_once("### Asking a server\n").unwrap();
    let section = section.split("\n### ").next().unwrap();
    let rows: BTreeSet<&str> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    for (status, meaning) in preforkd::cli::get::exit_statuses() {
        let row = format!("| `{status}` | {meaning} |");
        assert!(
            rows.contains(row.as_str()),
            "README.md, Asking a server, lacks\n{row}"
        );
    }
}
