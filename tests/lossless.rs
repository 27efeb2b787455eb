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
#[path = "lossless/table.rs"]
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use table::{Accept, Cell, Model, Operation, Promise};

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
fn every_cell_has_a_promise_or_a_reason() {
    let cells = table::cells();
    assert_eq!(cells.len(), 9 * 5 * 2 * 4);
    for cell in cells {
        if let Promise::None(reason) = table::promise(cell) {
            assert!(!reason.is_empty(), "{cell}");
        }
    }
    // The selection leaves out no value, whatever is done.
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

#[test]
#[ignore = "long"]
fn the_whole_matrix() {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let (lines, failed) = run(&table::cells());
    println!("{}", lines.join("\n"));
    assert_eq!(failed, 0);
}
