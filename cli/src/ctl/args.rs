//! The command line, as clap reads it.

use super::Failed;
use super::output::Format;
use clap::{ArgAction, Args as ClapArgs, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

/// A simple command line client for etcd v3.
#[derive(Debug, Parser)]
#[command(name = "etcdctl", disable_version_flag = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// gRPC endpoints, separated by commas.
    #[arg(long, global = true, env = "ETCDCTL_ENDPOINTS", default_value = "127.0.0.1:2379")]
    pub(crate) endpoints: String,
    /// How long connecting may take.
    #[arg(long, global = true, env = "ETCDCTL_DIAL_TIMEOUT", default_value = "2s")]
    pub(crate) dial_timeout: String,
    /// How long a short command may take, dialling apart.
    #[arg(long, global = true, env = "ETCDCTL_COMMAND_TIMEOUT", default_value = "5s")]
    pub(crate) command_timeout: String,
    /// How often an idle connection is probed.
    #[arg(long, global = true, env = "ETCDCTL_KEEPALIVE_TIME", default_value = "2s")]
    pub(crate) keepalive_time: String,
    /// How long a probe may go unanswered.
    #[arg(long, global = true, env = "ETCDCTL_KEEPALIVE_TIMEOUT", default_value = "6s")]
    pub(crate) keepalive_timeout: String,
    /// The output's form.
    #[arg(short = 'w', long, global = true, env = "ETCDCTL_WRITE_OUT", default_value = "simple")]
    pub(crate) write_out: Format,
    /// Print byte strings as hexadecimal.
    #[arg(long, global = true, env = "ETCDCTL_HEX", action = ArgAction::SetTrue)]
    pub(crate) hex: bool,
    /// username[:password]; authentication is not served yet.
    #[arg(long, global = true, env = "ETCDCTL_USER", hide = true)]
    user: Option<String>,
    /// TLS is not spoken yet.
    #[arg(long, global = true, env = "ETCDCTL_CACERT", hide = true)]
    cacert: Option<String>,
    /// TLS is not spoken yet.
    #[arg(long, global = true, env = "ETCDCTL_CERT", hide = true)]
    cert: Option<String>,
    /// TLS is not spoken yet.
    #[arg(long, global = true, env = "ETCDCTL_KEY", hide = true)]
    key: Option<String>,
}

impl Global {
    /// What is known and has no feature behind it yet is refused, not ignored.
    pub(crate) fn refuse_what_cannot_act(&self) -> Result<(), Failed> {
        if self.user.is_some() {
            return Err(Failed::plain("--user cannot be followed: no authentication yet"));
        }
        if self.cacert.is_some() || self.cert.is_some() || self.key.is_some() {
            return Err(Failed::plain(
                "--cacert, --cert and --key cannot be followed: TLS is not spoken yet",
            ));
        }
        Ok(())
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Puts the given key into the store.
    Put(Put),
    /// Gets the key or a range of keys.
    Get(Get),
    /// Removes the specified key or range of keys.
    Del(Del),
    /// Processes all the requests in one transaction.
    Txn(Txn),
    /// Watches events stream on keys or prefixes.
    Watch(Watch),
    /// Compacts the event history.
    Compaction(Compaction),
    /// Lease related commands.
    Lease {
        #[command(subcommand)]
        command: Lease,
    },
    /// Endpoint related commands.
    Endpoint {
        #[command(subcommand)]
        command: Endpoint,
        /// All members of the cluster instead of the endpoints.
        #[arg(long, global = true)]
        cluster: bool,
    },
    /// Membership related commands.
    Member {
        #[command(subcommand)]
        command: Member,
    },
    /// Transfers leadership to another etcd cluster member.
    MoveLeader {
        /// The id in hexadecimal.
        words: Vec<String>,
    },
    /// Downgrade related commands.
    Downgrade {
        #[command(subcommand)]
        command: Downgrade,
    },
    /// Alarm related commands.
    Alarm {
        #[command(subcommand)]
        command: Alarm,
    },
    /// Manages etcd node snapshots.
    Snapshot {
        #[command(subcommand)]
        command: Snapshot,
    },
    /// Defragments the storage of the members with given endpoints.
    Defrag {
        /// All members of the cluster instead of the endpoints.
        #[arg(long)]
        cluster: bool,
    },
    /// Commands for checking properties of the cluster.
    Check {
        #[command(subcommand)]
        command: Check,
    },
    /// Prints the version of etcdctl.
    Version,
    /// Generates a completion script.
    Completion {
        /// For which shell.
        shell: Shell,
    },
}

/// `put`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Put {
    /// Key and value; the value may come from standard input.
    pub(crate) words: Vec<String>,
    /// Lease id in hexadecimal.
    #[arg(long, default_value = "0")]
    pub(crate) lease: String,
    /// Return the pair before.
    #[arg(long)]
    pub(crate) prev_kv: bool,
    /// Keep the current value.
    #[arg(long)]
    pub(crate) ignore_value: bool,
    /// Keep the current lease.
    #[arg(long)]
    pub(crate) ignore_lease: bool,
}

/// `get`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Get {
    /// Key, and perhaps the end of a range.
    pub(crate) words: Vec<String>,
    /// Linearizable (l) or serializable (s).
    #[arg(long, default_value = "l")]
    pub(crate) consistency: String,
    /// ASCEND or DESCEND.
    #[arg(long, default_value = "")]
    pub(crate) order: String,
    /// CREATE, KEY, MODIFY, VALUE or VERSION.
    #[arg(long, default_value = "")]
    pub(crate) sort_by: String,
    /// At most so many results.
    #[arg(long, default_value_t = 0)]
    pub(crate) limit: i64,
    /// Keys that begin like this one.
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Keys from this one on.
    #[arg(long)]
    pub(crate) from_key: bool,
    /// As of this revision.
    #[arg(long, default_value_t = 0)]
    pub(crate) rev: i64,
    /// Only keys.
    #[arg(long)]
    pub(crate) keys_only: bool,
    /// Only the count; with -w fields.
    #[arg(long)]
    pub(crate) count_only: bool,
    /// Only values, with the simple form.
    #[arg(long)]
    pub(crate) print_value_only: bool,
    /// Drop smaller creation revisions.
    #[arg(long, default_value_t = 0)]
    pub(crate) min_create_rev: i64,
    /// Drop larger creation revisions.
    #[arg(long, default_value_t = 0)]
    pub(crate) max_create_rev: i64,
    /// Drop smaller modification revisions.
    #[arg(long, default_value_t = 0)]
    pub(crate) min_mod_rev: i64,
    /// Drop larger modification revisions.
    #[arg(long, default_value_t = 0)]
    pub(crate) max_mod_rev: i64,
}

/// `del`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Del {
    /// Key, and perhaps the end of a range.
    pub(crate) words: Vec<String>,
    /// Keys that begin like this one.
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Keys from this one on.
    #[arg(long)]
    pub(crate) from_key: bool,
    /// Delete the half-open range of both words.
    #[arg(long)]
    pub(crate) range: bool,
    /// Return what was deleted.
    #[arg(long)]
    pub(crate) prev_kv: bool,
}

/// `txn`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Txn {
    /// Ask for each part.
    #[arg(short, long)]
    pub(crate) interactive: bool,
}

/// `watch`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Watch {
    /// Key, perhaps the end of a range, and behind `--` a command to run for each event.
    pub(crate) words: Vec<String>,
    /// Begin at this revision.
    #[arg(long, default_value_t = 0)]
    pub(crate) rev: i64,
    /// Keys that begin like this one.
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Return pairs before.
    #[arg(long)]
    pub(crate) prev_kv: bool,
    /// Ask for signs of progress.
    #[arg(long)]
    pub(crate) progress_notify: bool,
    /// Read requests from standard input: `watch <key> ...`, or `progress`.
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// A command to run for each event.
    #[arg(last = true)]
    pub(crate) exec: Vec<String>,
}

/// `compaction`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Compaction {
    /// The oldest revision to keep.
    pub(crate) words: Vec<String>,
    /// Wait until the old versions are gone.
    #[arg(long)]
    pub(crate) physical: bool,
}

/// `lease`.
#[derive(Debug, Subcommand)]
pub(crate) enum Lease {
    /// Creates leases.
    Grant {
        /// Seconds.
        words: Vec<String>,
    },
    /// Revokes leases.
    Revoke {
        /// The id in hexadecimal.
        words: Vec<String>,
    },
    /// Gets lease information.
    Timetolive {
        /// The id in hexadecimal.
        words: Vec<String>,
        /// With its keys.
        #[arg(long)]
        keys: bool,
    },
    /// Lists all active leases.
    List,
    /// Keeps leases alive.
    KeepAlive {
        /// The id in hexadecimal.
        words: Vec<String>,
        /// Only once.
        #[arg(long)]
        once: bool,
    },
}

/// `endpoint`.
#[derive(Debug, Subcommand)]
pub(crate) enum Endpoint {
    /// Checks the healthiness of endpoints.
    Health,
    /// Prints out the status of endpoints.
    Status,
    /// Prints the KV history hash of each endpoint.
    Hashkv {
        /// Up to this revision; zero is all.
        #[arg(long, default_value_t = 0)]
        rev: i64,
    },
}

/// `member`.
#[derive(Debug, Subcommand)]
pub(crate) enum Member {
    /// Adds a member into the cluster.
    Add {
        /// The new member's name.
        words: Vec<String>,
        /// Where its peers will reach it, separated by commas.
        #[arg(long, default_value = "")]
        peer_urls: String,
        /// It only learns.
        #[arg(long)]
        learner: bool,
    },
    /// Removes a member from the cluster.
    Remove {
        /// The id in hexadecimal.
        words: Vec<String>,
    },
    /// Updates a member in the cluster.
    Update {
        /// The id in hexadecimal.
        words: Vec<String>,
        /// Where its peers will reach it, separated by commas.
        #[arg(long, default_value = "")]
        peer_urls: String,
    },
    /// Promotes a non-voting member in the cluster.
    Promote {
        /// The id in hexadecimal.
        words: Vec<String>,
    },
    /// Lists all members in the cluster.
    List {
        /// Linearizable (l) or serializable (s).
        #[arg(long, default_value = "l")]
        consistency: String,
    },
}

/// `downgrade`.
#[derive(Debug, Subcommand)]
pub(crate) enum Downgrade {
    /// Validates the downgrade to a version.
    Validate {
        /// The version.
        words: Vec<String>,
    },
    /// Starts a downgrade.
    Enable {
        /// The version.
        words: Vec<String>,
    },
    /// Cancels the downgrade under way.
    Cancel,
}

/// `alarm`.
#[derive(Debug, Subcommand)]
pub(crate) enum Alarm {
    /// Lists all alarms.
    List,
    /// Disarms all alarms.
    Disarm,
}

/// `snapshot`.
#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Stores a backend snapshot to a given file.
    Save {
        /// The file.
        words: Vec<String>,
    },
}

/// `check`.
#[derive(Debug, Subcommand)]
pub(crate) enum Check {
    /// Checks the performance of the cluster.
    Perf {
        /// s, m, l or xl.
        #[arg(long, default_value = "s")]
        load: String,
        /// Where its keys lie.
        #[arg(long, default_value = "/etcdctl-check-perf/")]
        prefix: String,
        /// Compact the history afterwards.
        #[arg(long)]
        auto_compact: bool,
    },
}

/// Writes a completion script.
pub(super) fn complete(shell: Shell) {
    let mut command = Args::command();
    clap_complete::generate(shell, &mut command, "etcdctl", &mut std::io::stdout());
}
