//! `preforkd check`: what is wrong with a configuration, and where.

use super::{colour, complain};
use crate::cli::Check;
use crate::config::{self, ThisMachine};
use std::io::Write;

pub(super) fn run(arguments: &Check) -> u8 {
    let loaded = match config::load(&arguments.config, &ThisMachine) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(error.render(colour()));
            return error.exit_status();
        }
    };
    if !loaded.warnings.is_empty() {
        complain(loaded.warnings.render(colour()));
    }
    let text = if arguments.print {
        loaded.config.to_string()
    } else {
        let pools = loaded.config.pools.len();
        format!(
            "{}: fine, {pools} pool{}\n",
            arguments.config.display(),
            if pools == 1 { "" } else { "s" }
        )
    };
    // A reader that has gone has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    0
}
