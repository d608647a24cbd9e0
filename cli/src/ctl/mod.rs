//! The client: etcd's commands, outputs and exit codes.
//!
//! ```text
//!   Args (clap) ─► a command's file ─► Client (gRPC, endpoint after endpoint) ─► Output
//! ```

mod args;
mod check;
mod client;
mod dial;
mod downgrade;
mod elect;
mod endpoint;
mod exec;
pub(crate) mod fields;
mod json;
mod keys;
mod lease;
mod lock;
mod maintenance;
mod member;
mod mirror;
pub(crate) mod output;
mod session;
mod txn;
mod watch;
mod watcher;
mod words;

use crate::command_line;
use args::{Args, Command};
use client::Client;
use output::Output;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tonic::Status;

/// Why a command ended badly: what to say, and etcd's exit code for it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) line: String,
    pub(crate) code: u8,
    /// The command whose usage is to be shown.
    pub(crate) usage: Option<&'static [&'static str]>,
}

impl Failed {
    /// Arguments that do not fit.
    pub(crate) fn arguments(line: impl Into<String>) -> Failed {
        Failed { code: 128, ..Failed::plain(line) }
    }

    /// Input that cannot be understood.
    fn input(line: impl Into<String>) -> Failed {
        Failed { code: 3, ..Failed::plain(line) }
    }

    /// A value of a flag that means nothing.
    pub(crate) fn feature(line: impl Into<String>) -> Failed {
        Failed { code: 4, ..Failed::plain(line) }
    }

    /// Anything else.
    pub(crate) fn plain(line: impl Into<String>) -> Failed {
        Failed { line: line.into(), code: 1, usage: None }
    }

    /// What has told its reason already.
    fn silent() -> Failed {
        Failed::plain("")
    }

    /// A connection that does not come to be.
    fn connection(line: impl Into<String>) -> Failed {
        Failed { code: 2, ..Failed::plain(line) }
    }

    /// With a command's usage behind the line.
    pub(crate) fn with_usage(self, command: &'static [&'static str]) -> Failed {
        Failed { usage: Some(command), ..self }
    }

    /// With more in front.
    fn wrapped(self, what: &str) -> Failed {
        Failed { line: format!("{what} ({})", self.line), ..self }
    }

    /// Behind what was wanted.
    fn behind(self, what: &str) -> Failed {
        Failed { line: format!("{what}: {}", self.line), ..self }
    }

    /// With another code.
    fn coded(self, code: u8) -> Failed {
        Failed { code, ..self }
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
            code => match beyond_bounds(text) {
                Some(words) => format!("rpc error: code = ResourceExhausted desc = {words}"),
                None => format!("rpc error: code = {code:?} desc = {text}"),
            },
        })
    }
}

/// grpc-go's words for an answer beyond the client's own bound.
fn beyond_bounds(text: &str) -> Option<String> {
    let (what, numbers) = text.split_once(" message length too large: found ")?;
    let (found, limit) = numbers.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
    let received = what == "Error, decoded";
    received.then(|| format!("grpc: received message larger than max ({found} vs. {limit})"))
}

impl From<String> for Failed {
    fn from(line: String) -> Failed {
        let unsupported = [output::NO_TABLE, output::NO_PROTOBUF].contains(&line.as_str());
        if unsupported { Failed::feature(line) } else { Failed::plain(line) }
    }
}

/// The commands and their flags.
#[must_use]
pub fn tree() -> clap::Command {
    args::tree()
}

/// Runs one command.
#[must_use]
pub fn main() -> ExitCode {
    let (args, matches) = match command_line::parse::<Args>() {
        Ok(parsed) => parsed,
        Err(end) => return end,
    };
    let local = match args.command {
        Command::Version { .. } => output::print(version().as_bytes()),
        Command::Options { .. } => output::print(args::options().as_bytes()),
        Command::Completion { ref words } => return ended(args::complete(words)),
        _ => return remote(&matches),
    };
    ended(local.map_err(Failed::plain))
}

/// Runs a command that needs a cluster, with what the environment says.
fn remote(matches: &clap::ArgMatches) -> ExitCode {
    let known = &args::WATCH_KEYS;
    let args = match command_line::with_environment::<Args>(args::PREFIX, known, matches) {
        Ok(args) => args,
        Err(Ok(end)) => return end,
        Err(Err(line)) => {
            eprintln!("{line}");
            return ExitCode::FAILURE;
        }
    };
    if args.global.debug {
        eprint!("{}", args::settings(matches));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    ended(match runtime {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(error) => Err(Failed::plain(error.to_string())),
    })
}

fn ended(done: Result<(), Failed>) -> ExitCode {
    let Err(failed) = done else { return ExitCode::SUCCESS };
    if !failed.line.is_empty() {
        eprintln!("Error: {}", failed.line);
    }
    if let Some(command) = failed.usage {
        eprintln!("{}", command_line::usage(&args::tree(), command));
    }
    ExitCode::from(failed.code)
}

fn version() -> String {
    let api = keel_proto::service::CLUSTER_VERSION.trim_end_matches(".0");
    format!("etcdctl version: {}\nAPI version: {api}\n", keel_proto::service::VERSION)
}

/// Waits for SIGINT or SIGTERM; from the call on they end nothing by themselves.
fn interrupted() -> Result<impl Future<Output = ()>, Failed> {
    let hear = |kind| signal(kind).map_err(|error| Failed::plain(error.to_string()));
    let (mut int, mut term) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            biased;
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
    })
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
        Command::MoveLeader { words } => member::move_leader(&client, output, &words).await,
        Command::Downgrade { command } => downgrade::run(&client, output, command).await,
        Command::Alarm { command } => maintenance::alarm(&client, output, command).await,
        Command::Snapshot { command } => maintenance::snapshot(&client, command).await,
        Command::Defrag { cluster, .. } => maintenance::defrag(&client.of(cluster).await?).await,
        Command::Lock(lock) => lock::run(&client, output, lock).await,
        Command::Elect(elect) => elect::run(&client, output, elect).await,
        Command::MakeMirror(mirror) => mirror::run(&client, mirror).await,
        Command::Check { command } => check::run(&client, command).await,
        Command::Auth(what) => Err(what.refused("auth")),
        Command::User(what) => Err(what.refused("user")),
        Command::Role(what) => Err(what.refused("role")),
        Command::Version { .. } | Command::Options { .. } | Command::Completion { .. } => {
            unreachable!("they are done without a client")
        }
    }
}
