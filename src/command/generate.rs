//! `preforkd generate`: the manual, completions and a configuration file, to
//! standard output.

use crate::cli::Generate;

pub(super) fn run(arguments: &Generate) -> u8 {
    super::deliver(&crate::manual::text(arguments.what))
}
