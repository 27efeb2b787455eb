//! What a worker tells of the server as a whole, to clients that may know it: what
//! the master and all workers write into shared memory, in the form that was
//! asked for.

use crate::driver;
use crate::protocol::{Readiness, View};
use crate::scoreboard;
use crate::status::{Status, auto, html, prometheus, reading};
use crate::sys::clock;
use std::time::Instant;

/// Reads it there. It is asked from helper threads, too.
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

    /// The picture as it is now; `None` where it does not hold still, or where two
    /// masters serve and the other one has the word: what it counts is not known
    /// here, and whoever asks now here and now there would see it go back.
    fn status(&self) -> Option<Status> {
        if self.table.own.is_elsewhere() {
            return None;
        }
        let unix = clock::since_1970().as_secs();
        reading::read(&self.table, Instant::now(), unix)
    }
}

impl driver::Reporter for Reporter {
    fn report(&self, view: View) -> Option<Vec<u8>> {
        let status = self.status()?;
        let text = match view {
            View::Page { refresh } => {
                let pool = &self.pool;
                html::page(&status, html::Look { pool, refresh })
            }
            // These names cannot tell pools apart.
            View::Auto => auto::text(&status, Some(&self.pool)),
            View::Json => serde_json::to_string(&status).ok()? + "\n",
            View::Metrics => prometheus::text(&status),
        };
        Some(text.into_bytes())
    }

    fn readiness(&self) -> Readiness {
        self.table.own.readiness()
    }
}
