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
