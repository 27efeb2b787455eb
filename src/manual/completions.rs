//! Completions for shells, made of the command line's own definitions.

use crate::cli::Cli;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

/// The script that a shell reads.
pub(super) fn script(shell: Shell) -> String {
    let mut program = Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "preforkd", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Fish {
        script.push_str(&words_of_fish(&program));
    }
    script
}

/// What the generator leaves out for fish: words that stand without an option,
/// such as the services of `preforkd serve`.
fn words_of_fish(program: &Command) -> String {
    let mut script = String::new();
    for command in program.get_subcommands() {
        let name = command.get_name();
        for argument in command.get_positionals() {
            let choices = argument.get_possible_values();
            let words: Vec<&str> = choices.iter().map(|choice| choice.get_name()).collect();
            let words = words.join(" ");
            for choice in &choices {
                let help = choice.get_help().map(ToString::to_string);
                let help = help.unwrap_or_default().replace('\'', "\\'");
                let word = choice.get_name();
                script.push_str(&format!(
                    "complete -c preforkd -n \"__fish_preforkd_using_subcommand {name}; \
                     and not __fish_seen_subcommand_from {words}\" -f -a \"{word}\" -d '{help}'\n"
                ));
            }
        }
    }
    script
}
