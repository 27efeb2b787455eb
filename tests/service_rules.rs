//! What clients are owed, row by row, by the running program: each request of
//! the tables is sent whole, in two segments and octet by octet, to a server of
//! the model `prefork` and to one of the model `event`.
//!
//! `row` says what a row is and judges answers as a strict client would; `site`
//! is what is served; the tables follow the numbers, and `smuggling` and
//! `beyond` have what no number asks for. Rows that are a deed rather than a
//! request, for time has a part in them or somebody vanishes, are in `deeds`.
//! That a verdict depends on no cut at all is shown for every cut where the
//! protocol is tested without a socket; here it is shown that sockets and
//! drivers change nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

#[path = "service_rules/answers.rs"]
mod answers;
#[path = "service_rules/beyond.rs"]
mod beyond;
#[path = "service_rules/bodies.rs"]
mod bodies;
#[path = "service_rules/deeds.rs"]
mod deeds;
#[path = "service_rules/heads.rs"]
mod heads;
#[path = "service_rules/programs.rs"]
mod programs;
#[path = "service_rules/representations.rs"]
mod representations;
#[path = "service_rules/row.rs"]
mod row;
#[path = "service_rules/site.rs"]
mod site;
#[path = "service_rules/smuggling.rs"]
mod smuggling;

use deeds::{
    a_client_that_vanishes_ends_its_program, a_file_that_shrinks_costs_a_connection,
    a_half_closed_client_gets_its_answers, a_reader_that_hardly_reads_is_cut,
    a_refusal_is_read_by_who_still_writes, content_that_waits_is_asked_for,
    head_says_what_get_says, programs_that_hang_or_do_not_read, time_is_up_for_who_says_too_little,
};
use row::{Delivery, Row};
use site::Site;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The rows that there are; those about the PROXY header (134 to 139) are in
/// `proxied`.
const LAST: u16 = 133;
/// Rows about datagrams.
const IN_UDP: [u16; 4] = [130, 131, 132, 133];
/// Rows about the small services, which `matrix` has on every model.
const IN_MATRIX: [u16; 3] = [129, 132, 133];

/// How many clients send at once.
const CLIENTS: usize = 6;

fn tables() -> Vec<Row> {
    let mut rows = heads::rows();
    rows.extend(bodies::rows());
    rows.extend(answers::rows());
    rows.extend(representations::rows());
    rows.extend(programs::rows());
    rows.extend(smuggling::rows());
    rows.extend(beyond::rows());
    rows
}

fn the_tables(model: &str) {
    let site = Site::new(model);
    let rows = tables();
    // The rule that was broken is said in the log as well, while there are few.
    for (rule, clause) in [
        (45, "rfc9112-6.3 content-length"),
        (6, "rfc9112-5.2 obs-fold"),
        (112, "rfc6585-5"),
    ] {
        let row = rows.iter().find(|row| row.rule == rule).unwrap();
        row.run(&site, Delivery::all(row, &site)[0]).unwrap();
        site.server.log.wait_for(clause, harness::SOON);
    }
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for delivery in Delivery::all(row, &site) {
                        if let Err(fault) = row.run(&site, delivery) {
                            wrong.lock().unwrap().push(fault);
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    site.stop();
}

#[test]
fn the_tables_on_prefork() {
    the_tables("prefork");
}

#[test]
fn the_tables_on_event() {
    the_tables("event");
}

harness::on_each_model! { @ prefork
    content_that_waits_is_asked_for head_says_what_get_says a_refusal_is_read_by_who_still_writes
    a_half_closed_client_gets_its_answers time_is_up_for_who_says_too_little
    a_reader_that_hardly_reads_is_cut a_file_that_shrinks_costs_a_connection
    programs_that_hang_or_do_not_read a_client_that_vanishes_ends_its_program
}
harness::on_each_model! { @ event
    content_that_waits_is_asked_for head_says_what_get_says a_refusal_is_read_by_who_still_writes
    a_half_closed_client_gets_its_answers time_is_up_for_who_says_too_little
    a_reader_that_hardly_reads_is_cut a_file_that_shrinks_costs_a_connection
    programs_that_hang_or_do_not_read a_client_that_vanishes_ends_its_program
}

/// Each number stands in a table, or with a deed, or where it is said to be.
#[test]
fn no_row_is_forgotten() {
    let mut found: BTreeSet<u16> = tables().iter().map(|row| row.rule).collect();
    found.extend(deeds::ROWS);
    let matrix = (include_str!("matrix.rs"), &IN_MATRIX[..]);
    let udp = (include_str!("udp.rs"), &IN_UDP[..]);
    for (text, rules) in [matrix, udp] {
        let text = text.to_lowercase();
        for rule in rules {
            assert!(text.contains(&format!("rule {rule}:")), "rule {rule}");
            found.insert(*rule);
        }
    }
    let missing: Vec<u16> = (1..=LAST).filter(|rule| !found.contains(rule)).collect();
    assert!(missing.is_empty(), "no test for {missing:?}");
}
