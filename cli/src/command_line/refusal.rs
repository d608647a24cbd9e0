//! What a command line that cannot be read is answered, and help.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};
use std::ffi::OsString;
use std::process::ExitCode;

/// etcd's exit code of a feature that there is not.
const BAD_FEATURE: u8 = 4;

/// Tells what is wrong, or what was asked for. A group of commands without one of them, or with
/// one that there is not, tells of those that there are.
pub(super) fn tell(root: &Command, words: &[OsString], error: &Error) -> ExitCode {
    let path = path_of(root, words);
    let command = path.last().copied().unwrap_or(root);
    match error.kind() {
        ErrorKind::DisplayHelp => {
            print!("{}", error.render());
            ExitCode::SUCCESS
        }
        ErrorKind::InvalidSubcommand if asks_for_help(words) => {
            eprintln!("Unknown help topic [`{}`]", named(error, ContextKind::InvalidSubcommand));
            // As in Go, before the flag for help is known.
            let root = root.clone().mut_arg("help", |help| help.hide(true));
            eprint!("{}", without_about(&root, &[]));
            ExitCode::SUCCESS
        }
        ErrorKind::InvalidSubcommand if path.is_empty() => {
            unknown_command(root, named(error, ContextKind::InvalidSubcommand));
            ExitCode::FAILURE
        }
        ErrorKind::InvalidSubcommand
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let names: Vec<&str> = path.iter().map(|command| command.get_name()).collect();
            print!("{}", rendered(root, &names, whole(root, &names)));
            ExitCode::SUCCESS
        }
        ErrorKind::InvalidValue if !named(error, ContextKind::InvalidValue).is_empty() => {
            // Only the output's format has a list of values.
            eprintln!("Error: unsupported output format");
            ExitCode::from(BAD_FEATURE)
        }
        _ => {
            eprintln!("Error: {}", mistake(root, command, error));
            let names: Vec<&str> = path.iter().map(|command| command.get_name()).collect();
            eprintln!("{}", without_about(root, &names));
            ExitCode::FAILURE
        }
    }
}

/// How a command is used, for a mistake that is only seen behind the parser.
pub(crate) fn usage(root: &Command, names: &[&str]) -> String {
    without_about(root, names)
}

fn without_about(root: &Command, names: &[&str]) -> String {
    let command = whole(root, names);
    rendered(root, names, command.about(None::<&str>).long_about(None::<&str>))
}

/// A command with the flags that it inherits.
fn whole(root: &Command, names: &[&str]) -> Command {
    let mut root = root.clone();
    root.build();
    let command = names.iter().try_fold(&root, |command, name| command.find_subcommand(name));
    command.unwrap_or(&root).clone()
}

/// A command's help, under its whole name.
fn rendered(root: &Command, names: &[&str], command: Command) -> String {
    let mut name = root.get_name().to_owned();
    for one in names {
        name.push(' ');
        name.push_str(one);
    }
    command.bin_name(name).render_help().to_string()
}

/// The commands that words name, one inside the other.
fn path_of<'a>(root: &'a Command, words: &[OsString]) -> Vec<&'a Command> {
    let mut path: Vec<&Command> = Vec::new();
    for word in words.iter().skip(1) {
        let Some(word) = word.to_str().filter(|word| !word.starts_with('-')) else { continue };
        let command = path.last().copied().unwrap_or(root);
        let mut found =
            command.get_subcommands().filter(|inner| inner.get_name().starts_with(word));
        let exact = command.find_subcommand(word);
        path.extend(exact.or_else(|| found.next().filter(|_| found.next().is_none())));
    }
    path
}

/// Whether the first command is `help`.
fn asks_for_help(words: &[OsString]) -> bool {
    let mut words = words.iter().skip(1).filter_map(|word| word.to_str());
    words.find(|word| !word.starts_with('-')) == Some("help")
}

fn mistake(root: &Command, command: &Command, error: &Error) -> String {
    let flag = named(error, ContextKind::InvalidArg);
    let flag = flag.split([' ', '=', '[']).next().unwrap_or_default();
    let value = named(error, ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::UnknownArgument => match flag.strip_prefix("--") {
            Some(_) => format!("unknown flag: {flag}"),
            None => {
                let first = flag.chars().nth(1).unwrap_or('-');
                format!("unknown shorthand flag: '{first}' in {flag}")
            }
        },
        ErrorKind::InvalidValue if value.is_empty() => match short_of(root, command, flag) {
            Some(short) if !std::env::args().any(|word| word == flag) => {
                format!("flag needs an argument: '{short}' in -{short}")
            }
            _ => format!("flag needs an argument: {flag}"),
        },
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map_or(String::new(), ToString::to_string);
            let shown = match short_of(root, command, flag) {
                Some(short) => format!("-{short}, {flag}"),
                None => flag.to_owned(),
            };
            format!("invalid argument {value:?} for {shown:?} flag: {why}")
        }
        _ => {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    }
}

fn short_of(root: &Command, command: &Command, flag: &str) -> Option<char> {
    let args = command.get_arguments().chain(root.get_arguments());
    let mut args = args.filter(|arg| arg.get_long() == flag.strip_prefix("--"));
    args.find_map(clap::Arg::get_short)
}

fn unknown_command(root: &Command, word: &str) {
    let name = root.get_name();
    eprintln!("Error: unknown command {word:?} for {name:?}");
    let lower = word.to_lowercase();
    let alike = |name: &str| name.starts_with(&lower) || distance(&lower, name) <= 2;
    let mut names: Vec<&str> = root.get_subcommands().map(Command::get_name).collect();
    names.push("help");
    names.sort_unstable();
    names.dedup();
    names.retain(|name| alike(name));
    if !names.is_empty() {
        eprintln!("\nDid you mean this?");
        names.iter().for_each(|name| eprintln!("\t{name}"));
        eprintln!();
    }
    eprintln!("Run '{name} --help' for usage.");
}

/// How many letters have to be added, left out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, d) in other.iter().enumerate() {
            let changed = diagonal + usize::from(c != *d);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

fn named(error: &Error, kind: ContextKind) -> &str {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_alike_are_near() {
        assert_eq!(distance("wach", "watch"), 1);
        assert_eq!(distance("l", "del"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("put", "put"), 0);
    }
}
