//! The command line. What etcd checks later than its parser is text here.

use super::inspect::Inspect;
use super::{report, tree};
use crate::command_line;
use crate::ctl::Failed;
use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use std::time::Duration;

/// An administrative command line tool for etcd3 and keel.
#[derive(Debug, Parser)]
#[command(name = "etcdutl", disable_version_flag = true, arg_required_else_help = true)]
pub(super) struct Args {
    /// How long a lock is waited for; 0 is for ever.
    #[arg(long, global = true, default_value = "10s", value_parser = command_line::duration)]
    pub(super) timeout: Duration,
    /// The output's form: fields, json, protobuf, simple or table.
    #[arg(short = 'w', long, global = true, default_value = "simple")]
    pub(super) write_out: String,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Defragments the storage of a member that does not run.
    Defrag {
        /// Required: the member's data directory.
        #[arg(long)]
        data_dir: Option<String>,
        #[arg(hide = true)]
        words: Vec<String>,
    },
    /// Manages snapshots.
    Snapshot {
        #[command(subcommand)]
        command: Snapshot,
    },
    /// Prints the KV history hash of a database file or a data directory.
    Hashkv {
        /// The file or directory.
        words: Vec<String>,
        /// Where the log of a data directory lies, if not in it.
        #[arg(long)]
        wal_dir: Option<String>,
        /// Up to this revision; zero is the latest.
        #[arg(long, default_value_t = 0)]
        rev: i64,
    },
    /// Looks inside logs, states and databases: etcd has nothing like it.
    Inspect {
        #[command(subcommand)]
        command: Inspect,
    },
    /// Prints the version of etcdutl.
    Version {
        #[arg(hide = true)]
        words: Vec<String>,
    },
    /// Generates a completion script.
    Completion {
        /// bash, zsh, fish or powershell.
        words: Vec<String>,
    },
    /// Makes a data directory fit another version of etcd.
    Migrate(Migrate),
}

/// `snapshot`.
#[derive(Debug, Subcommand)]
pub(super) enum Snapshot {
    /// Gets the status of a snapshot file, or of a data directory.
    Status {
        /// The file or directory.
        words: Vec<String>,
        /// Where the log of a data directory lies, if not in it.
        #[arg(long)]
        wal_dir: Option<String>,
    },
    /// Restores a snapshot to the data directory of a member of a new cluster.
    Restore(Box<Restore>),
}

/// `snapshot restore`.
#[derive(Debug, ClapArgs)]
pub(super) struct Restore {
    /// The snapshot file.
    pub(super) words: Vec<String>,
    /// Where to make the data directory; `<name>.etcd` where it is not said.
    #[arg(long, default_value = "")]
    pub(super) data_dir: String,
    /// Where to put the log, if not in the data directory.
    #[arg(long, default_value = "")]
    pub(super) wal_dir: String,
    /// Who begins the new cluster: name=URL,name=URL.
    #[arg(long, default_value = "default=http://localhost:2380")]
    pub(super) initial_cluster: String,
    /// The new cluster's token.
    #[arg(long, default_value = "etcd-cluster")]
    pub(super) initial_cluster_token: String,
    /// Where peers will reach this member, separated by commas.
    #[arg(long, default_value = "http://localhost:2380")]
    pub(super) initial_advertise_peer_urls: String,
    /// This member's name.
    #[arg(long, default_value = "default")]
    pub(super) name: String,
    /// Take a file without a hash, or with a wrong one: a copy of a member's database.
    #[arg(long)]
    pub(super) skip_hash_check: bool,
    /// Known for etcd's sake: files are mapped as long as they are, so it only shows in the log.
    #[arg(long, default_value_t = 10_737_418_240)]
    pub(super) initial_memory_map_size: u64,
    /// How much higher revisions go on.
    #[arg(long, default_value_t = 0)]
    pub(super) bump_revision: u64,
    /// Compact all before the raised revision: required with --bump-revision, else disallowed.
    #[arg(long)]
    pub(super) mark_compacted: bool,
}

/// `migrate`.
#[derive(Debug, ClapArgs)]
pub(super) struct Migrate {
    /// Required: the data directory.
    #[arg(long)]
    pub(super) data_dir: Option<String>,
    /// Required: the version of etcd, as X.Y; 3.5 at least.
    #[arg(long)]
    pub(super) target_version: Option<String>,
    /// Where the log lies, if not in the data directory.
    #[arg(long)]
    pub(super) wal_dir: Option<String>,
    /// For a data directory of keel's: where to write one of etcd's.
    #[arg(long)]
    pub(super) output_dir: Option<String>,
    /// Override the version where the migration fails.
    #[arg(long)]
    pub(super) force: bool,
    #[arg(hide = true)]
    words: Vec<String>,
}

/// Writes a completion script.
pub(super) fn complete(words: &[String]) -> Result<(), Failed> {
    let [word] = words else { return Err(exactly_one(words, &["completion"])) };
    let shell = match word.as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        "powershell" => Shell::PowerShell,
        _ => {
            let line = format!("invalid argument {word:?} for \"etcdutl completion\"");
            return Err(Failed::plain(line).with_usage(&["completion"]));
        }
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree(), "etcdutl", &mut script);
    report::print(&String::from_utf8_lossy(&script))
}

/// What etcd says where a command wants one word.
pub(super) fn exactly_one(words: &[String], command: &'static [&'static str]) -> Failed {
    Failed::plain(format!("accepts 1 arg(s), received {}", words.len())).with_usage(command)
}
