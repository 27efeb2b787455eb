//! The manual: two pages, completions for shells, and a configuration file that
//! has every key. `preforkd generate` prints them.
//!
//! Owes that nothing is said twice: commands and options come from `cli`, tables
//! and keys from `config`, with their sentences; here is only what stands
//! between these. Never looks at the machine: the same program makes the same
//! pages everywhere.

mod commands;
mod completions;
mod configuration;
mod program;
mod roff;
mod sample;
mod tables;

use crate::cli::Generated;
use crate::config::Key;
use clap_complete::Shell;

/// When the words in this room, or those that they are made of, were last gone
/// through as a whole: the date that the pages bear.
const DATE: &str = "2026-11-21";

/// The text of what is asked for.
pub fn text(what: Generated) -> String {
    match what {
        Generated::Man => program::page(),
        Generated::ManConfig => configuration::page(),
        Generated::Bash => completions::script(Shell::Bash),
        Generated::Zsh => completions::script(Shell::Zsh),
        Generated::Fish => completions::script(Shell::Fish),
        Generated::Config => sample::text(),
    }
}

/// What the foot of a page says it belongs to.
fn source() -> String {
    format!("preforkd {}", env!("CARGO_PKG_VERSION"))
}

/// What holds without a key, behind `name`: "Default: " or the like.
fn without(key: &Key, name: &str) -> String {
    match (&key.default, key.otherwise) {
        (Some(value), _) => format!("{name}: `{value}`."),
        (None, "required") => "It must be there.".to_owned(),
        // What a value looks like has said which.
        (None, "a table of its own") => String::new(),
        (None, what) if what.starts_with("only ") => sentence(what),
        (None, what) => format!("{name}: {what}."),
    }
}

/// With a capital at the beginning and a full stop at the end.
fn sentence(text: &str) -> String {
    let mut signs = text.chars();
    let first = signs.next().map(|sign| sign.to_uppercase().to_string());
    let stop = if text.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    format!("{}{}{stop}", first.unwrap_or_default(), signs.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_one() {
        let parts: Vec<&str> = DATE.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [4, 2, 2]);
        let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
        assert!(parts.iter().all(is_number), "{DATE}");
    }
}
