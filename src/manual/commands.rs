//! The commands and their options, as the command line defines them.
//!
//! Commands that stand beside each other and take the same are told together,
//! so that a page says each option once.

use super::roff::{Page, Piece, plain, value, word};
use super::sentence;
use clap::{Arg, ArgAction, Command};

/// Commands that take the same.
pub(super) type Family<'c> = Vec<&'c Command>;

/// The commands of the program, in their order.
pub(super) fn families(program: &Command) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    let commands = program
        .get_subcommands()
        .filter(|command| command.get_name() != "help" && !command.is_hide_set());
    for command in commands {
        match families.last_mut() {
            Some(family) if family.iter().all(|one| taken(one) == taken(command)) => {
                family.push(command);
            }
            Some(_) | None => families.push(vec![command]),
        }
    }
    families
}

/// What a command takes and by which words, to compare it.
fn taken(command: &Command) -> Vec<(&str, String)> {
    let arguments = arguments(command);
    let words = |argument: &Arg| argument.get_help().map(ToString::to_string);
    arguments
        .map(|argument| {
            (
                argument.get_id().as_str(),
                words(argument).unwrap_or_default(),
            )
        })
        .collect()
}

/// What a command takes, but for the help that each gives; what has no name first.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let named = command
        .get_arguments()
        .filter(|argument| !argument.is_positional() && argument.get_id() != "help");
    command
        .get_positionals()
        .chain(named)
        .filter(|argument| !argument.is_hide_set())
}

/// `preforkd reload|stop [-c FILE | --control PATH] [--wait]`
pub(super) fn synopsis(page: &mut Page, family: &Family<'_>) {
    let Some(first) = family.first() else {
        return;
    };
    let mut pieces: Vec<Vec<Piece>> = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    for argument in arguments(first) {
        if done.contains(&argument.get_id().as_str()) {
            continue;
        }
        // Of those that stand together no two may be given.
        let mut beside = vec![argument];
        for other in arguments(first) {
            let is_new = !done.contains(&other.get_id().as_str());
            if is_new && beside.iter().all(|one| exclude(first, one, other)) {
                beside.push(other);
            }
        }
        done.extend(beside.iter().map(|one| one.get_id().as_str()));
        pieces.push(bracketed(&beside));
    }
    page.usage(&format!("preforkd {}", names(family).join("|")), &pieces);
}

/// Whether one of the two may be given, but not both.
fn exclude(command: &Command, one: &Arg, other: &Arg) -> bool {
    let rivals = |one: &Arg, other: &Arg| {
        let rivals = command.get_arg_conflicts_with(one);
        rivals.iter().any(|rival| rival.get_id() == other.get_id())
    };
    rivals(one, other) || rivals(other, one)
}

fn names<'c>(family: &Family<'c>) -> Vec<&'c str> {
    family.iter().map(|command| command.get_name()).collect()
}

/// `[-c FILE | --control PATH]`, or `POOL` where it must be given.
fn bracketed(arguments: &[&Arg]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for argument in arguments {
        if !pieces.is_empty() {
            pieces.push(plain(" | "));
        }
        match (argument.get_short(), argument.get_long()) {
            (Some(short), _) => pieces.push(word(format!("-{short}"))),
            (None, Some(long)) => pieces.push(word(format!("--{long}"))),
            (None, None) => {}
        }
        if let Some(what) = value_of(argument) {
            if !argument.is_positional() {
                pieces.push(plain("\u{a0}"));
            }
            pieces.extend(what);
        }
    }
    if !arguments.iter().any(|argument| argument.is_required_set()) {
        pieces.insert(0, plain("["));
        pieces.push(plain("]"));
    }
    if arguments.iter().any(|argument| repeats(argument)) {
        pieces.push(plain("..."));
    }
    pieces
}

/// What the value is called, if it takes one; in brackets if it may be missing.
fn value_of(argument: &Arg) -> Option<Vec<Piece>> {
    if !argument.get_action().takes_values() {
        return None;
    }
    let names = argument.get_value_names().unwrap_or_default();
    let name = names.first()?.to_string().to_uppercase();
    let may_be_missing = argument
        .get_num_args()
        .is_some_and(|range| range.min_values() == 0);
    Some(if may_be_missing {
        vec![plain("["), value(name), plain("]")]
    } else {
        vec![value(name)]
    })
}

/// Whether it may be given several times.
fn repeats(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Append | ArgAction::Count)
}

/// Each command with what it does, then what they take.
pub(super) fn write(page: &mut Page, family: &Family<'_>) {
    page.part(&format!("preforkd {}", names(family).join(", ")));
    if let [command] = family.as_slice() {
        page.text(&told(command));
    } else {
        for command in family {
            page.entry(&[word(command.get_name())], &told(command));
        }
        page.paragraph("Each of them takes:");
    }
    if let Some(first) = family.first() {
        for argument in arguments(first) {
            option(page, argument);
        }
    }
    for command in family {
        if let Some(end) = command.get_after_help() {
            remarks(page, &end.to_string());
        }
    }
}

/// Whether a command says itself what its exit statuses mean.
pub(super) fn has_its_own_statuses(command: &Command) -> bool {
    let end = command.get_after_help().map(ToString::to_string);
    end.is_some_and(|end| end.starts_with("Exit status"))
}

/// What stands at the end of the help of a command: paragraphs, and rows of a
/// word and its meaning, `  64  wrong usage`.
fn remarks(page: &mut Page, text: &str) {
    for block in text.split("\n\n") {
        let mut words: Vec<&str> = Vec::new();
        for line in block.lines() {
            let row = line.strip_prefix("  ").and_then(|row| row.split_once("  "));
            if let Some((name, meaning)) = row {
                if !words.is_empty() {
                    page.paragraph(&words.join(" "));
                    words.clear();
                }
                page.entry(&[word(name)], &sentence(meaning.trim_start()));
            } else {
                words.push(line.trim());
            }
        }
        if !words.is_empty() {
            page.paragraph(&words.join(" "));
        }
    }
}

/// What the help says of a command, whole.
fn told(command: &Command) -> String {
    let long = command.get_long_about().or(command.get_about());
    let long = long.map(ToString::to_string).unwrap_or_default();
    let paragraphs: Vec<String> = long.split("\n\n").map(sentence).collect();
    paragraphs.join(" ")
}

fn option(page: &mut Page, argument: &Arg) {
    let mut tag = Vec::new();
    if let Some(short) = argument.get_short() {
        tag.push(word(format!("-{short}")));
    }
    if let Some(long) = argument.get_long() {
        if !tag.is_empty() {
            tag.push(plain(", "));
        }
        tag.push(word(format!("--{long}")));
    }
    if let Some(what) = value_of(argument) {
        if !tag.is_empty() {
            tag.push(plain(" "));
        }
        tag.extend(what);
    }
    let help = argument.get_long_help().or(argument.get_help());
    let mut text = sentence(&help.map(ToString::to_string).unwrap_or_default());
    let defaults: Vec<String> = argument
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if !defaults.is_empty() && argument.get_action().takes_values() {
        text.push_str(&format!(" Default: {}.", defaults.join(", ")));
    }
    page.entry(&tag, &text);
    let choices = argument.get_possible_values();
    if argument.get_action().takes_values() && !choices.is_empty() {
        page.indent();
        for choice in choices.iter().filter(|choice| !choice.is_hide_set()) {
            let help = choice.get_help().map(ToString::to_string);
            page.entry(
                &[word(choice.get_name())],
                &sentence(&help.unwrap_or_default()),
            );
        }
        page.outdent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{ArgAction, value_parser};

    /// A program with what ours has not, or not yet.
    fn program() -> Command {
        let watch = Arg::new("watch")
            .long("watch")
            .value_name("SECONDS")
            .num_args(0..=1)
            .value_parser(value_parser!(u32))
            .help("again and again");
        let once = Arg::new("once")
            .long("once")
            .action(ArgAction::SetTrue)
            .conflicts_with("watch");
        let look = Command::new("look")
            .about("Look")
            .args([watch, once])
            .after_help("Exit status, or so:\n  0   fine\n  64  not so\n\nThat is all.");
        let mut program = Command::new("p").subcommands([look, Command::new("away").hide(true)]);
        program.build();
        program
    }

    #[test]
    fn what_a_command_may_have() {
        let program = program();
        let families = families(&program);
        assert_eq!(families.len(), 1);
        let mut page = Page::new("P", "8", "2026-01-01", "", "");
        synopsis(&mut page, &families[0]);
        write(&mut page, &families[0]);
        let text = page.finish();
        for part in [
            "[\\fB\\-\\-watch\\fR\\~[\\fISECONDS\\fR] | \\fB\\-\\-once\\fR]\n",
            ".TP\n\\fB\\-\\-watch\\fR [\\fISECONDS\\fR]\nAgain and again.\n",
            ".PP\nExit status, or so:\n.TP\n\\fB0\\fR\nFine.\n.TP\n\\fB64\\fR\nNot so.\n.PP\nThat is all.\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(has_its_own_statuses(families[0][0]));
    }
}
