//! Drives etcd servers side by side and prints a table of ratios.

use clap::Parser;
use keel_cli::load::cluster::Cluster;
use keel_cli::load::process::Server;
use keel_cli::load::table::Table;
use keel_cli::load::{big, failover, rows, soak};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Drive etcd servers side by side, taking turns, and print medians and ratios.
#[derive(Debug, Parser)]
struct Args {
    /// Servers as name=path, flags of its own behind the path ("ring=etcd --runtime=glommio"); the
    /// first is compared to each of the others.
    #[arg(long = "server", required = true, value_parser = program)]
    servers: Vec<Program>,
    /// Rows to run; all when none is named. `big`, `no-leader` and `soak` must be named; `soak` takes
    /// its time once.
    rows: Vec<String>,
    /// How many members of each server make a cluster.
    #[arg(long, default_value_t = 1)]
    members: usize,
    /// How often the servers take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long one turn of a row lasts, seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Keys of the row `big`.
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// The core that the servers are pinned to; this tool takes another.
    #[arg(long)]
    server_core: Option<usize>,
    /// The core of this tool.
    #[arg(long)]
    client_core: Option<usize>,
    /// Where the servers' data lies; a temporary directory below it is made and removed.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Further arguments for every server, for example --server-arg=--snapshot-count=1000.
    #[arg(long = "server-arg")]
    server_args: Vec<String>,
}

/// A server to compare.
#[derive(Clone, Debug)]
struct Program {
    name: String,
    path: PathBuf,
    flags: Vec<String>,
}

fn program(text: &str) -> Result<Program, String> {
    let (name, words) = text.split_once('=').ok_or("a server is given as name=path")?;
    let mut words = words.split_whitespace().map(String::from);
    let path = words.next().ok_or("a server has a path")?;
    Ok(Program { name: name.to_owned(), path: path.into(), flags: words.collect() })
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(core) = args.client_core {
        let me = std::process::id().to_string();
        let pinned = Command::new("taskset").args(["-cp", &core.to_string(), &me]).output();
        if let Err(error) = pinned {
            eprintln!("keel-bench: cannot pin this tool: {error}");
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done =
        runtime.and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, run(&args)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keel-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> io::Result<()> {
    let base = args.dir.join(format!("keel-bench-{}", std::process::id()));
    let outcome = run_in(args, &base).await;
    std::fs::remove_dir_all(&base)?;
    let (table, names) = outcome?;
    println!("{}", table.render(&names));
    Ok(())
}

async fn run_in(args: &Args, base: &Path) -> io::Result<(Table, Vec<String>)> {
    let named = |row: &str| args.rows.iter().any(|wanted| wanted == row);
    let names: Vec<String> = args.servers.iter().map(|one| one.name.clone()).collect();
    let mut table = Table::default();
    let rows: Vec<&str> =
        rows::ROWS.into_iter().filter(|row| args.rows.is_empty() || named(row)).collect();
    if !rows.is_empty() {
        let mut servers = Vec::new();
        for one in &args.servers {
            servers.push((&one.name, start_cluster(args, base, &one.name, one).await?));
        }
        let span = Duration::from_secs(args.seconds);
        for row in rows {
            for (_, server) in &servers {
                rows::run(row, server, Duration::from_secs(1)).await?; // Warms up.
            }
            for _ in 0..args.rounds {
                for (name, server) in &servers {
                    eprintln!("{row}: {name}");
                    table.add(row, name, rows::run(row, server, span).await?);
                }
            }
        }
    }
    if named("no-leader") {
        for one in &args.servers {
            let name = &one.name;
            let mut cluster = start_cluster(args, base, &format!("{name}-leader"), one).await?;
            for _ in 0..args.rounds {
                eprintln!("no-leader: {name}");
                table.add("no-leader", name, failover::run(&mut cluster).await?);
            }
        }
    }
    if named("big") {
        for one in &args.servers {
            let name = &one.name;
            eprintln!("big: {name}");
            let mut server = start(args, base, &format!("{name}-big"), one).await?;
            table.add("big", name, big::run(&mut server, args.keys).await?);
        }
    }
    if named("soak") {
        for one in &args.servers {
            let name = &one.name;
            eprintln!("soak: {name}");
            let server = start(args, base, &format!("{name}-soak"), one).await?;
            let span = Duration::from_secs(args.seconds);
            table.add("soak", name, soak::run(&server, span).await?);
        }
    }
    Ok((table, names))
}

async fn start_cluster(
    args: &Args,
    base: &Path,
    name: &str,
    program: &Program,
) -> io::Result<Cluster> {
    let binaries = vec![program.path.clone(); args.members];
    let flags = [&args.server_args[..], &program.flags].concat();
    Cluster::start(&base.join(name), &binaries, args.server_core, &flags).await
}

async fn start(args: &Args, base: &Path, name: &str, program: &Program) -> io::Result<Server> {
    let dir = base.join(name);
    std::fs::create_dir_all(&dir)?;
    let flags = [&args.server_args[..], &program.flags].concat();
    Server::start(name, &program.path, &dir, args.server_core, &flags).await
}
