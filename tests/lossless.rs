//! Nothing is lost: what happens to clients while a server is reloaded,
//! resized, stopped, or loses a process.
//!
//! `cargo test` runs a selection of the matrix; the whole, and the figures,
//! are `cargo test --release --test lossless -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

#[path = "lossless/cell.rs"]
mod cell;
#[path = "lossless/haul.rs"]
mod haul;
#[path = "lossless/namespace.rs"]
mod namespace;
#[path = "lossless/orphans.rs"]
mod orphans;
#[path = "lossless/table.rs"]
mod table;

use harness::on_each_model;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use table::{Accept, Cell, Model, Operation};

/// How many cells are run side by side: most of their time they wait.
const SIDE_BY_SIDE: usize = 5;

/// Long tests do not disturb each other's figures.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs cells; answers a line for each, and how many failed.
fn run(cells: &[Cell]) -> (Vec<String>, usize) {
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    let lines = Mutex::new(vec![String::new(); cells.len()]);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(&cell) = cells.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let index = cells.iter().position(|one| *one == cell).unwrap();
                    let outcome = catch_unwind(AssertUnwindSafe(|| cell::run(cell)));
                    let text = outcome.unwrap_or_else(|panic| {
                        failed.fetch_add(1, Ordering::SeqCst);
                        let text = panic.downcast_ref::<String>();
                        let first = text.and_then(|text| text.lines().next());
                        format!("✗ {}", first.unwrap_or("a panic"))
                    });
                    lines.lock().unwrap()[index] = format!("{:40} {text}", cell.to_string());
                }
            });
        }
    });
    (lines.into_inner().unwrap(), failed.into_inner())
}

fn run_selection(operation: Operation) {
    let mut cells = table::selection();
    cells.retain(|cell| cell.operation == operation);
    let (lines, failed) = run(&cells);
    assert_eq!(failed, 0, "\n{}", lines.join("\n"));
}

macro_rules! selection {
    ($($name:ident $operation:ident)+) => {
        $(
            #[test]
            fn $name() {
                run_selection(Operation::$operation);
            }
        )+
    };
}

selection! {
    term_finishes_what_is_open Term
    hup_loses_nothing Hup
    usr1_loses_nothing Usr1
    usr2_loses_nothing Usr2
    ttin_loses_nothing Ttin
    ttou_loses_nothing Ttou
    winch_loses_nothing Winch
    a_killed_worker_loses_its_own KillWorker
    a_killed_master_loses_no_begun_request KillMaster
}

#[test]
fn every_cell_is_in_the_table_and_every_value_in_the_selection() {
    let cells = table::cells();
    assert_eq!(cells.len(), 9 * 5 * 2 * 4);
    let twice = |(index, cell): (usize, &Cell)| cells[..index].contains(cell);
    assert!(!cells.iter().enumerate().any(twice));
    // Whatever is done, is done on every model and in both ways of accepting.
    let selection = table::selection();
    for operation in Operation::ALL {
        let of = |cell: &&Cell| cell.operation == operation;
        let cells: Vec<_> = selection.iter().filter(of).collect();
        for model in Model::ALL {
            assert!(cells.iter().any(|cell| cell.model == model));
        }
        for accept in Accept::ALL {
            assert!(cells.iter().any(|cell| cell.accept == accept));
        }
    }
}

on_each_model! {
    a_master_is_killed_while_it_loads
    a_master_is_killed_while_a_generation_proves_itself
    a_master_is_killed_while_workers_drain
    a_master_is_killed_while_it_stops
    a_worker_that_drains_goes_when_the_master_is_killed
    process_one_reaps_strangers_and_is_not_confused_by_them
}

fn a_master_is_killed_while_it_loads(model: &str) {
    orphans::killed_while(orphans::Phase::Loading, model);
}

fn a_master_is_killed_while_a_generation_proves_itself(model: &str) {
    orphans::killed_while(orphans::Phase::Proving, model);
}

fn a_master_is_killed_while_workers_drain(model: &str) {
    orphans::killed_while(orphans::Phase::Draining, model);
}

fn a_master_is_killed_while_it_stops(model: &str) {
    orphans::killed_while(orphans::Phase::Stopping, model);
}

fn a_worker_that_drains_goes_when_the_master_is_killed(model: &str) {
    orphans::drains_without_a_master(model);
}

#[test]
fn masters_are_killed_at_birth() {
    orphans::killed_at_birth(20);
}

#[test]
#[ignore = "long"]
fn hundreds_of_masters_are_killed_at_birth() {
    let _alone = alone();
    orphans::killed_at_birth(600);
}

fn process_one_reaps_strangers_and_is_not_confused_by_them(model: &str) {
    if namespace::is_possible() {
        namespace::process_one(model);
    }
}

/// Waits until no other long test runs.
fn alone() -> MutexGuard<'static, ()> {
    // Whoever failed meanwhile has no word in it.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! hauls {
    ($($name:ident $model:ident $accept:ident)+) => {
        mod two_hundred_reloads_and_a_hundred_kills {
            $(
                #[test]
                #[ignore = "long"]
                fn $name() {
                    let _alone = super::alone();
                    super::haul::run(super::Model::$model, super::Accept::$accept);
                }
            )+
        }
    };
}

hauls! {
    prefork_shared Prefork Shared
    prefork_reuseport Prefork Reuseport
    event_shared Event Shared
    event_reuseport Event Reuseport
    threads_shared Threads Shared
    threads_reuseport Threads Reuseport
    fork_shared Fork Shared
    fork_reuseport Fork Reuseport
}

#[test]
#[ignore = "long"]
fn the_whole_matrix() {
    let _alone = alone();
    let (lines, failed) = run(&table::cells());
    println!("{}", lines.join("\n"));
    assert_eq!(failed, 0);
}
