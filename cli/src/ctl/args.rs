//! The command line: flags of every command, and the commands. Each command's own flags stand in
//! its file.

use super::check::Check;
use super::downgrade::Downgrade;
use super::elect::Elect;
use super::endpoint::Endpoint;
use super::keys::{Compaction, Del, Get, Put};
use super::lease::Lease;
use super::lock::Lock;
use super::maintenance::{Alarm, Snapshot};
use super::member::Member;
use super::mirror::Mirror;
use super::output::Format;
use super::txn::Txn;
use super::watch::Watch;
use super::{Failed, words};
use crate::command_line;
use clap::{ArgAction, Args as ClapArgs, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::fmt::Write as _;
use std::time::Duration;

/// What stands before flags in the names of their variables.
pub(super) const PREFIX: &str = "ETCDCTL";

/// Variables that are no flag's: what `watch` watches.
pub(super) const WATCH_KEYS: [&str; 2] = ["ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"];

/// A command line client for etcd and keel.
#[derive(Debug, Parser)]
#[command(
    name = "etcdctl",
    disable_version_flag = true,
    after_help = "\"etcdctl options\" tells of the flags that every command takes."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// gRPC endpoints, separated by commas
    #[arg(long, global = true, hide = true, value_delimiter = ',', action = ArgAction::Append,
        default_value = "127.0.0.1:2379")]
    pub(crate) endpoints: Vec<String>,
    /// Say how all these flags are set
    #[arg(long, global = true, hide = true)]
    pub(crate) debug: bool,
    /// The output's form: fields, json, protobuf, simple or table
    #[arg(short = 'w', long, global = true, hide = true, default_value = "simple")]
    pub(crate) write_out: Format,
    /// Print byte strings, and some ids, in hexadecimal
    #[arg(long, global = true, hide = true)]
    pub(crate) hex: bool,
    /// How long connecting may take
    #[arg(long, global = true, hide = true, default_value = "2s",
        value_parser = command_line::duration)]
    pub(crate) dial_timeout: Duration,
    /// How long a short command may take, dialling apart; 5s
    #[arg(long, global = true, hide = true, value_parser = command_line::duration)]
    pub(crate) command_timeout: Option<Duration>,
    /// How often an idle connection is probed
    #[arg(long, global = true, hide = true, default_value = "2s",
        value_parser = command_line::duration)]
    pub(crate) keepalive_time: Duration,
    /// How long a probe may go unanswered
    #[arg(long, global = true, hide = true, default_value = "6s",
        value_parser = command_line::duration)]
    pub(crate) keepalive_timeout: Duration,
    /// How large a request may be, in bytes; 0 is 2 MiB
    #[arg(long, global = true, hide = true, default_value_t = 0)]
    pub(crate) max_request_bytes: i64,
    /// How large an answer may be, in bytes; 0 is 2 GiB
    #[arg(long, global = true, hide = true, default_value_t = 0)]
    pub(crate) max_recv_bytes: i64,
    /// Speak without TLS; there is no other way yet
    #[arg(long, global = true, hide = true, default_value = "true")]
    insecure_transport: bool,
    /// Take DNS records without proof; none are looked up yet
    #[arg(long, global = true, hide = true, default_value = "true")]
    insecure_discovery: bool,
    /// Take any certificate; TLS is not spoken yet
    #[arg(long, global = true, hide = true)]
    insecure_skip_tls_verify: bool,
    /// The client's certificate; TLS is not spoken yet
    #[arg(long, global = true, hide = true)]
    cert: Option<String>,
    /// The client's key; TLS is not spoken yet
    #[arg(long, global = true, hide = true)]
    key: Option<String>,
    /// Whose certificates to trust; TLS is not spoken yet
    #[arg(long, global = true, hide = true)]
    cacert: Option<String>,
    /// A token; authentication is not served yet
    #[arg(long, global = true, hide = true)]
    auth_jwt_token: Option<String>,
    /// username[:password]; authentication is not served yet
    #[arg(long, global = true, hide = true)]
    user: Option<String>,
    /// The user's password; authentication is not served yet
    #[arg(long, global = true, hide = true)]
    password: Option<String>,
    /// The domain whose DNS records name the endpoints; none are looked up yet
    #[arg(short = 'd', long, global = true, hide = true)]
    discovery_srv: Option<String>,
    /// The service in those records; none are looked up yet
    #[arg(long, global = true, hide = true)]
    discovery_srv_name: Option<String>,
}

impl Global {
    /// What is known and has no feature behind it yet is refused, not ignored.
    pub(crate) fn refuse_what_cannot_act(&self) -> Result<(), Failed> {
        let files = [("cert", &self.cert), ("key", &self.key), ("cacert", &self.cacert)];
        for (flag, file) in files {
            match file.as_deref() {
                Some("") => {
                    let line = format!("empty string is passed to --{flag} option");
                    return Err(Failed::arguments(line));
                }
                Some(_) => return Err(cannot_act(flag, "TLS is not spoken yet")),
                None => {}
            }
        }
        let (tls, auth) = ("TLS is not spoken yet", "there is no authentication yet");
        let dns = "endpoints are not looked up in DNS yet";
        let said = [
            (!self.insecure_transport, "insecure-transport=false", tls),
            (self.insecure_skip_tls_verify, "insecure-skip-tls-verify", tls),
            (self.user.is_some(), "user", auth),
            (self.password.is_some(), "password", auth),
            (self.auth_jwt_token.is_some(), "auth-jwt-token", auth),
            (self.discovery_srv.is_some(), "discovery-srv", dns),
            (self.discovery_srv_name.is_some(), "discovery-srv-name", dns),
            (!self.insecure_discovery, "insecure-discovery=false", dns),
        ];
        match said.into_iter().find(|(said, _, _)| *said) {
            Some((_, flag, why)) => Err(cannot_act(flag, why)),
            None => Ok(()),
        }
    }
}

fn cannot_act(flag: &str, why: &str) -> Failed {
    Failed::plain(format!("--{flag} cannot be followed: {why}"))
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Puts the given key into the store
    Put(Put),
    /// Gets the key or a range of keys
    Get(Get),
    /// Removes the specified key or range of keys
    Del(Del),
    /// Processes all the requests in one transaction
    Txn(Txn),
    /// Watches events stream on keys or prefixes
    Watch(Watch),
    /// Compacts the event history
    Compaction(Compaction),
    /// Lease related commands
    Lease {
        #[command(subcommand)]
        command: Lease,
    },
    /// Endpoint related commands
    Endpoint {
        #[command(subcommand)]
        command: Endpoint,
        /// All members of the cluster instead of the endpoints
        #[arg(long, global = true)]
        cluster: bool,
    },
    /// Membership related commands
    Member {
        #[command(subcommand)]
        command: Member,
    },
    /// Transfers leadership to another member
    MoveLeader {
        /// The member's id in hexadecimal
        words: Vec<String>,
    },
    /// Downgrade related commands
    Downgrade {
        #[command(subcommand)]
        command: Downgrade,
    },
    /// Alarm related commands
    Alarm {
        #[command(subcommand)]
        command: Alarm,
    },
    /// Manages snapshots
    Snapshot {
        #[command(subcommand)]
        command: Snapshot,
    },
    /// Defragments the storage of the members with given endpoints
    Defrag {
        /// All members of the cluster instead of the endpoints
        #[arg(long)]
        cluster: bool,
        #[arg(hide = true)]
        words: Vec<String>,
    },
    /// Holds a named lock, or runs a command under it
    Lock(Lock),
    /// Stands for election, or follows one
    Elect(Elect),
    /// Copies keys into another cluster, and follows their changes
    MakeMirror(Mirror),
    /// Checks properties of the cluster
    Check {
        #[command(subcommand)]
        command: Check,
    },
    /// Authentication is not served yet
    Auth(Unserved),
    /// Authentication is not served yet
    User(Unserved),
    /// Authentication is not served yet
    Role(Unserved),
    /// Prints the version of etcdctl
    Version {
        #[arg(hide = true)]
        words: Vec<String>,
    },
    /// Tells of the flags that every command takes
    Options {
        #[arg(hide = true)]
        words: Vec<String>,
    },
    /// Writes a completion script: bash, zsh, fish or powershell
    Completion {
        /// For which shell
        words: Vec<String>,
    },
}

/// A command of etcd's that has nothing behind it yet, with all that it may be told.
#[derive(Debug, ClapArgs)]
pub(crate) struct Unserved {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Unserved {
    pub(crate) fn refused(self, command: &str) -> Failed {
        let line = words::joined(command, &self.words);
        Failed::plain(format!("etcdctl {line} cannot be followed: there is no authentication yet"))
    }
}

/// Writes a completion script.
pub(super) fn complete(words: &[String]) -> Result<(), Failed> {
    let [shell] = words else {
        let line = format!("accepts 1 arg(s), received {}", words.len());
        return Err(Failed::plain(line).with_usage(&["completion"]));
    };
    let shell = match shell.as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        "powershell" => Shell::PowerShell,
        other => {
            let line = format!("invalid argument {other:?} for \"etcdctl completion\"");
            return Err(Failed::plain(line).with_usage(&["completion"]));
        }
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree(), "etcdctl", &mut script);
    Ok(super::output::print(&script)?)
}

/// The commands as they are parsed.
pub(super) fn tree() -> clap::Command {
    command_line::shaped(Args::command())
}

/// The flags of every command, a line each.
pub(super) fn options() -> String {
    let mut text = String::from("Options of every command:\n\n");
    let tree = tree();
    let mut flags: Vec<_> = tree.get_arguments().filter(|arg| arg.is_global_set()).collect();
    flags.sort_by_key(|arg| arg.get_long());
    for arg in flags {
        let short = arg.get_short().map_or(String::from("    "), |short| format!("-{short}, "));
        let flag = format!("{short}--{}", arg.get_long().unwrap_or_default());
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        writeln!(text, "  {flag:32} {help}").expect("writing to a string does not fail");
    }
    text
}

/// How the flags of every command are set, a variable a line.
pub(super) fn settings(matches: &clap::ArgMatches) -> String {
    let mut text = String::new();
    for arg in tree().get_arguments().filter(|arg| arg.is_global_set()) {
        let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        let name = command_line::variable(PREFIX, arg.get_long().unwrap_or_default());
        writeln!(text, "{name}={}", values.join(",")).expect("writing to a string does not fail");
    }
    text
}
