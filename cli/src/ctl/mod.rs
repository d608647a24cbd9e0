//! The client: etcd's commands, outputs and exit codes.
//!
//! ```text
//!   Args (clap) ─► a command's file ─► Client (gRPC, endpoint after endpoint) ─► Output
//! ```

mod args;
mod client;
mod downgrade;
mod endpoint;
pub(crate) mod fields;
mod json;
mod keys;
mod lease;
mod maintenance;
mod member;
pub(crate) mod output;
mod perf;
mod txn;
mod watch;
mod words;

use args::{Args, Command};
use clap::Parser;
use client::Client;
use output::Output;
use std::process::ExitCode;
use tonic::Status;

/// Why a command ended badly: what to say, and etcd's exit code for it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) line: String,
    pub(crate) code: u8,
}

impl Failed {
    /// Arguments that do not fit.
    pub(crate) fn arguments(line: impl Into<String>) -> Failed {
        Failed { line: line.into(), code: 128 }
    }

    /// Input that cannot be understood.
    fn input(line: impl Into<String>) -> Failed {
        Failed { line: line.into(), code: 3 }
    }

    /// A value of a flag that means nothing.
    pub(crate) fn feature(line: impl Into<String>) -> Failed {
        Failed { line: line.into(), code: 4 }
    }

    /// Anything else.
    pub(crate) fn plain(line: impl Into<String>) -> Failed {
        Failed { line: line.into(), code: 1 }
    }

    /// With more in front.
    fn wrapped(self, what: &str) -> Failed {
        Failed { line: format!("{what} ({})", self.line), ..self }
    }
}

impl From<Status> for Failed {
    /// A client shows a server's text; its own failures carry their code.
    fn from(status: Status) -> Failed {
        let text = status.message();
        Failed::plain(match status.code() {
            _ if text.starts_with("etcdserver:") => text.to_owned(),
            tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => {
                String::from("context deadline exceeded")
            }
            code => format!("rpc error: code = {code:?} desc = {text}"),
        })
    }
}

impl From<String> for Failed {
    fn from(line: String) -> Failed {
        let unsupported = [output::NO_TABLE, output::NO_PROTOBUF].contains(&line.as_str());
        if unsupported { Failed::feature(line) } else { Failed::plain(line) }
    }
}

/// Runs one command.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            return refused(&error);
        }
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

/// Arguments that are none. Help and version are no failures; the rest has etcd's code, and its
/// words where it is a mistake that scripts know.
fn refused(error: &clap::Error) -> ExitCode {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    match error.kind() {
        ErrorKind::InvalidValue if named(ContextKind::InvalidArg).starts_with("--write-out") => {
            eprintln!("Error: {}", output::NO_FORM);
            return ExitCode::from(4);
        }
        ErrorKind::InvalidSubcommand => {
            let command = named(ContextKind::InvalidSubcommand);
            eprintln!("Error: unknown command {command:?} for \"etcdctl\"");
            eprintln!("Run 'etcdctl --help' for usage.");
        }
        _ => {
            // Where standard error is closed nobody reads it.
            let _ = error.print();
        }
    }
    ExitCode::from(u8::from(error.use_stderr()))
}

async fn run(args: Args) -> Result<(), Failed> {
    let Args { global, command } = args;
    global.refuse_what_cannot_act()?;
    let output = Output { format: global.write_out, hex: global.hex };
    let client = Client::new(&global)?;
    match command {
        Command::Put(put) => keys::put(&client, output, put).await,
        Command::Get(get) => keys::get(&client, output, get).await,
        Command::Del(del) => keys::del(&client, output, del).await,
        Command::Txn(txn) => txn::run(&client, output, txn).await,
        Command::Watch(watch) => watch::run(&client, output, watch).await,
        Command::Compaction(compaction) => keys::compaction(&client, compaction).await,
        Command::Lease { command } => lease::run(&client, output, command).await,
        Command::Endpoint { command, cluster } => {
            endpoint::run(&client.of(cluster).await?, output, command).await
        }
        Command::Member { command } => member::run(&client, output, command).await,
        Command::MoveLeader { words } => member::move_leader(&client, &words).await,
        Command::Downgrade { command } => downgrade::run(&client, output, command).await,
        Command::Alarm { command } => maintenance::alarm(&client, output, command).await,
        Command::Snapshot { command } => maintenance::snapshot(&client, command).await,
        Command::Defrag { cluster } => maintenance::defrag(&client.of(cluster).await?).await,
        Command::Check { command } => perf::run(&client, command).await,
        Command::Version => {
            let api = keel_proto::service::CLUSTER_VERSION.trim_end_matches(".0");
            let version = keel_proto::service::VERSION;
            println!("etcdctl version: {version}\nAPI version: {api}");
            Ok(())
        }
        Command::Completion { shell } => {
            args::complete(shell);
            Ok(())
        }
    }
}
