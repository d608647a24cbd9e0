//! Drives etcd servers side by side and prints a table of ratios.

use clap::Parser;
use keel_cli::load::cluster::Cluster;
use keel_cli::load::process::Server;
use keel_cli::load::table::Table;
use keel_cli::load::{big, failover, rows};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Drive etcd servers side by side, taking turns, and print medians and ratios.
#[derive(Debug, Parser)]
struct Args {
    /// Servers as name=path; the first is compared to the second.
    #[arg(long = "server", required = true, value_parser = name_and_path)]
    servers: Vec<(String, PathBuf)>,
    /// Rows to run; all when none is named. `big` and `no-leader` must be named.
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

fn name_and_path(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("a server is given as name=path")?;
    Ok((name.to_owned(), PathBuf::from(path)))
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
    let names: Vec<String> = args.servers.iter().map(|(name, _)| name.clone()).collect();
    let mut table = Table::default();
    let rows: Vec<&str> =
        rows::ROWS.into_iter().filter(|row| args.rows.is_empty() || named(row)).collect();
    if !rows.is_empty() {
        let mut servers = Vec::new();
        for (name, path) in &args.servers {
            servers.push((name, start_cluster(args, base, name, path).await?));
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
        for (name, path) in &args.servers {
            let mut cluster = start_cluster(args, base, &format!("{name}-leader"), path).await?;
            for _ in 0..args.rounds {
                eprintln!("no-leader: {name}");
                table.add("no-leader", name, failover::run(&mut cluster).await?);
            }
        }
    }
    if named("big") {
        for (name, path) in &args.servers {
            eprintln!("big: {name}");
            let mut server = start(args, base, &format!("{name}-big"), path).await?;
            table.add("big", name, big::run(&mut server, args.keys).await?);
        }
    }
    Ok((table, names))
}

async fn start_cluster(args: &Args, base: &Path, name: &str, path: &Path) -> io::Result<Cluster> {
    let binaries = vec![path.to_path_buf(); args.members];
    Cluster::start(&base.join(name), &binaries, args.server_core, &args.server_args).await
}

async fn start(args: &Args, base: &Path, name: &str, path: &Path) -> io::Result<Server> {
    let dir = base.join(name);
    std::fs::create_dir_all(&dir)?;
    Server::start(name, path, &dir, args.server_core, &args.server_args).await
}
