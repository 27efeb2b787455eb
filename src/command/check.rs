//! `preforkd check`: what is wrong with a configuration, and where.

use crate::cli::Check;

pub(super) fn run(arguments: &Check) -> u8 {
    let config = match super::load_to_use(&arguments.config) {
        Ok(config) => config,
        Err(status) => return status,
    };
    let text = if arguments.print {
        config.to_string()
    } else {
        let pools = config.pools.len();
        format!(
            "{}: fine, {pools} pool{}\n",
            arguments.config.display(),
            if pools == 1 { "" } else { "s" }
        )
    };
    super::deliver(&text)
}
