//! The program: reads the command line, hands over to a command, and ends with
//! the exit status that it gives.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // One line, in the log, wherever that is; the backtrace is for RUST_BACKTRACE.
        log::error!("panic: {}", panic.to_string().replace('\n', " "));
        if log::max_level() == log::LevelFilter::Off {
            eprintln!("preforkd: {panic}");
        }
    }));
    ExitCode::from(preforkd::command::run(std::env::args_os()))
}
