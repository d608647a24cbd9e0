//! Command lines as etcd's tools read them: the ways of Go's flags, over clap's parser.
//!
//! A switch takes a value behind `=`, a flag said twice counts the last time, commands go by the
//! beginnings of their names, flags of every command have variables in the environment, and
//! mistakes are told in the words that scripts look for.

mod refusal;
mod values;

pub(crate) use refusal::usage;

use clap::builder::{StyledStr, ValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Parser};
use std::any::TypeId;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// Parses the process's command line.
///
/// # Errors
///
/// The process's end, where help was asked for or a mistake was made; it is told already.
pub(crate) fn parse<P: Parser>() -> Result<(P, ArgMatches), ExitCode> {
    let command = shaped(P::command());
    let words: Vec<OsString> = std::env::args_os().collect();
    let matches = command.clone().try_get_matches_from(&words);
    let parsed = matches.and_then(|matches| Ok((P::from_arg_matches(&matches)?, matches)));
    parsed.map_err(|error| refusal::tell(&command, &words, &error))
}

/// The same with the environment's word on flags of every command: `PREFIX_WRITE_OUT` is
/// `--write-out`.
///
/// # Errors
///
/// The process's end, as [`parse`]; and the line that says which variable and flag conflict.
pub(crate) fn with_environment<P: Parser>(
    prefix: &str,
    known: &[&str],
    matches: &ArgMatches,
) -> Result<P, Result<ExitCode, String>> {
    let command = shaped(P::command());
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let mut names = Vec::new();
    for arg in command.get_arguments().filter(|arg| arg.is_global_set()) {
        let Some(flag) = arg.get_long() else { continue };
        let name = variable(prefix, flag);
        let said = matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        if let Some(value) = std::env::var_os(&name) {
            if said {
                let what = "conflicting environment variable is shadowed by corresponding \
                            command-line flag (either unset environment variable or disable flag)";
                return Err(Err(telling("fatal", what, &name)));
            }
            if value.is_empty() {
                names.push(name);
                continue;
            }
            let mut word = OsString::from(format!("--{flag}="));
            word.push(value);
            take(&command, &mut words, word, &name);
        }
        names.push(name);
    }
    warn_of_unknown(prefix, &names, known);
    let matches = command.clone().try_get_matches_from(&words);
    let parsed = matches.and_then(|matches| P::from_arg_matches(&matches));
    parsed.map_err(|error| Ok(refusal::tell(&command, &words, &error)))
}

/// The environment's variable of a flag.
pub(crate) fn variable(prefix: &str, flag: &str) -> String {
    format!("{prefix}_{}", flag.to_ascii_uppercase().replace('-', "_"))
}

/// Takes a variable's value as if it stood on the command line. As in etcd, a value that cannot
/// be read changes nothing; here it is said.
fn take(command: &Command, words: &mut Vec<OsString>, word: OsString, name: &str) {
    let mut more = words.clone();
    more.insert(1, word);
    match command.clone().try_get_matches_from(&more) {
        // What the format is called is looked at where it is used.
        Err(error) if error.kind() == clap::error::ErrorKind::ValueValidation => {
            warning("environment variable cannot be read", name);
        }
        _ => *words = more,
    }
}

fn warn_of_unknown(prefix: &str, names: &[String], known: &[&str]) {
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(&format!("{prefix}_")))
        else {
            continue;
        };
        if !names.iter().any(|one| one == name) && !known.contains(&name) {
            let text = format!("{name}={}", value.to_string_lossy());
            warning("unrecognized environment variable", &text);
        }
    }
}

fn warning(what: &str, variable: &str) {
    eprintln!("{}", telling("warn", what, variable));
}

fn telling(level: &str, what: &str, variable: &str) -> String {
    let line = serde_json::json!({
        "level": level, "msg": what, "environment-variable": variable,
    });
    line.to_string()
}

/// A tree of commands in the shape of Go's; what stands behind the root's help stands behind all.
pub(crate) fn shaped(command: Command) -> Command {
    let hint = command.get_after_help().cloned().unwrap_or_default();
    shape(command, &hint, true)
}

fn shape(command: Command, hint: &StyledStr, root: bool) -> Command {
    // Where the flags of every command are told of apart, help's is.
    let hidden = root && command.get_arguments().all(Arg::is_hide_set);
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).hide(hidden);
    let name = command.get_name().to_owned();
    let command = command
        .after_help(hint.clone())
        .infer_subcommands(true)
        .args_override_self(true)
        .disable_help_subcommand(!root)
        .disable_help_flag(true)
        .arg(help.help(format!("help for {name}")))
        .mut_args(shaped_arg);
    command.mut_subcommands(|inner| shape(inner, hint, false))
}

fn shaped_arg(arg: Arg) -> Arg {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        let default = arg.get_default_values().first().cloned().unwrap_or_else(|| "false".into());
        return arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value(default)
            .default_missing_value("true")
            .value_parser(ValueParser::new(values::boolean))
            .hide_default_value(true);
    }
    if arg.is_positional() {
        return arg;
    }
    let kind = arg.get_value_parser().type_id();
    let arg = if kind == TypeId::of::<i64>() {
        arg.value_parser(ValueParser::new(values::integer))
    } else if kind == TypeId::of::<u64>() {
        arg.value_parser(ValueParser::new(values::unsigned))
    } else if kind == TypeId::of::<Duration>() {
        arg.value_parser(ValueParser::new(values::duration))
    } else {
        arg
    };
    if arg.get_action().takes_values() { arg.allow_hyphen_values(true) } else { arg }
}

/// A span of time, before [`shaped`] gives it Go's parser.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text)
}
