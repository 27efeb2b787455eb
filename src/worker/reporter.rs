//! What a worker tells of the server as a whole, to clients that may know it.

use crate::driver;
use crate::protocol::{Readiness, View};
use crate::scoreboard;

/// Reads what the master and the workers write into shared memory.
pub(super) struct Reporter {
    table: scoreboard::View,
    /// The pool that answers.
    pool: String,
}

impl Reporter {
    pub(super) fn new(table: scoreboard::View, pool: &str) -> Self {
        Self {
            table,
            pool: pool.to_owned(),
        }
    }
}

impl driver::Reporter for Reporter {
    fn report(&self, view: View) -> Vec<u8> {
        format!("{view:?} {}\n", self.pool).into_bytes()
    }

    fn readiness(&self) -> Readiness {
        self.table.own.readiness()
    }
}
