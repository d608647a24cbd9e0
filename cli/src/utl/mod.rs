//! The offline tool: etcd's commands on files of members that do not run.
//!
//! ```text
//!   Args (clap) ─► a command's file ─► Source (a database file, a data directory of either) ─► Report
//! ```
//!
//! What is read is locked together with other readers and never written.

mod args;
mod database;
mod go;
mod home;
mod inspect;
mod migrate;
mod report;
mod restore;
mod source;

use crate::ctl::Failed;
use args::{Args, Command, Snapshot};
use clap::{CommandFactory, Parser};
use keel_runtime_tokio::clock::Clock;
use keel_runtime_tokio::{Journal, Level, LogFormat};
use std::process::ExitCode;
use std::time::Duration;

/// What every command is told.
struct Common {
    /// `--write-out`, as it was written.
    write_out: String,
    /// How long a lock is waited for; zero is for ever.
    patience: Duration,
    journal: Journal,
}

/// Runs one command.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return refused(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(error) => Err(Failed::plain(error.to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("Error: {}", failed.line);
            ExitCode::from(failed.code)
        }
    }
}

async fn run(args: Args) -> Result<(), Failed> {
    let sink = Box::new(std::io::stderr());
    let common = Common {
        patience: go::duration("timeout", &args.timeout)?,
        write_out: args.write_out,
        journal: Journal::new(Level::Info, LogFormat::Console, Clock::machine(), vec![sink]),
    };
    match args.command {
        Command::Snapshot { command: Snapshot::Status { words, wal_dir } } => {
            database::status(&common, &words, wal_dir.as_deref()).await
        }
        Command::Snapshot { command: Snapshot::Restore(restore) } => {
            restore::run(&common, *restore).await
        }
        Command::Hashkv { words, rev, wal_dir } => {
            database::hashkv(&common, &words, &rev, wal_dir.as_deref()).await
        }
        Command::Defrag { data_dir } => database::defrag(&common, data_dir),
        Command::Migrate(migrate) => migrate::run(&common, migrate),
        Command::Inspect { command } => inspect::run(&common, command).await,
        Command::Version => {
            let api = keel_proto::service::CLUSTER_VERSION.trim_end_matches(".0");
            report::print(&format!(
                "etcdutl version: {}\nAPI version: {api}\n",
                keel_proto::service::VERSION
            ))
        }
        Command::Completion { words } => args::complete(&words),
    }
}

/// A command line that clap cannot read. Help is no failure; mistakes have etcd's words.
fn refused(error: &clap::Error) -> ExitCode {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let line = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = named(ContextKind::InvalidSubcommand);
            format!("unknown command {word:?} for \"etcdutl\"\nRun 'etcdutl --help' for usage.")
        }
        ErrorKind::UnknownArgument => {
            let flag = named(ContextKind::InvalidArg);
            match flag.strip_prefix('-').filter(|flag| !flag.starts_with('-')) {
                Some(short) => {
                    let first = short.chars().next().unwrap_or(' ');
                    format!("unknown shorthand flag: '{first}' in -{short}")
                }
                None if flag.starts_with('-') => format!("unknown flag: {flag}"),
                None => format!("unexpected argument {flag:?}"),
            }
        }
        ErrorKind::InvalidValue if named(ContextKind::InvalidValue).is_empty() => {
            let flag = named(ContextKind::InvalidArg);
            format!("flag needs an argument: {}", flag.split(' ').next().unwrap_or(flag))
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // As etcd's, a group of commands without one of them shows what there is.
            let help = error.render().to_string();
            return match report::print(&help) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failed) => ExitCode::from(failed.code),
            };
        }
        _ => {
            // Where standard error is closed nobody reads it.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    eprintln!("Error: {line}");
    ExitCode::FAILURE
}

/// The whole command line's shape.
fn command() -> clap::Command {
    Args::command()
}
