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

use crate::command_line;
use crate::ctl::Failed;
use args::{Args, Command, Snapshot};
use clap::CommandFactory;
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

/// The commands and their flags.
#[must_use]
pub fn tree() -> clap::Command {
    command_line::shaped(Args::command())
}

/// Runs one command.
#[must_use]
pub fn main() -> ExitCode {
    let args = match command_line::parse::<Args>() {
        Ok((args, _)) => args,
        Err(end) => return end,
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
            if let Some(command) = failed.usage {
                eprintln!("{}", command_line::usage(&tree(), command));
            }
            ExitCode::from(failed.code)
        }
    }
}

async fn run(args: Args) -> Result<(), Failed> {
    let sink = Box::new(std::io::stderr());
    let common = Common {
        patience: args.timeout,
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
            database::hashkv(&common, &words, rev, wal_dir.as_deref()).await
        }
        Command::Defrag { data_dir, .. } => database::defrag(&common, data_dir),
        Command::Migrate(migrate) => migrate::run(&common, migrate),
        Command::Inspect { command } => inspect::run(&common, command).await,
        Command::Version { .. } => {
            let api = keel_proto::service::CLUSTER_VERSION.trim_end_matches(".0");
            report::print(&format!(
                "etcdutl version: {}\nAPI version: {api}\n",
                keel_proto::service::VERSION
            ))
        }
        Command::Completion { words } => args::complete(&words),
    }
}
