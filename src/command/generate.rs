//! `preforkd generate`: the manual, completions and a configuration file, to
//! standard output.

use super::complain;
use crate::cli::Generate;
use std::io::{self, Write};

pub(super) fn run(arguments: &Generate) -> u8 {
    let text = crate::manual::text(arguments.what);
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => 0,
        // A reader that has gone has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        // But half a page in a file is none.
        Err(error) => {
            complain(format_args!("standard output: {error}"));
            71
        }
    }
}
