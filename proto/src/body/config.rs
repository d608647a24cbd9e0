//! What a server is told: plain values, checked by whoever parsed them.

use super::Traffic;
use crate::timing::Slowness;
use keel_core::planner::Options;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that a server needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// etcd's `--data-dir`.
    pub data_dir: PathBuf,
    /// Where the log lies, if not in there (`--wal-dir`).
    pub wal_dir: Option<PathBuf>,
    /// Where clients connect; at least one.
    pub listen_client: Vec<Listen>,
    /// Where clients reach `HTTP/1` pages, where that is apart (`--listen-client-http-urls`).
    pub listen_client_http: Vec<Listen>,
    /// Where only `/metrics` and the health pages are served (`--listen-metrics-urls`).
    pub listen_metrics: Vec<Listen>,
    /// Where peers connect.
    pub listen_peer: Vec<Listen>,
    /// Whether an empty disk begins a cluster or joins one (`--initial-cluster-state`).
    pub initial: Initial,
    /// Whether a member whose data is damaged or gone takes the other members' state
    /// (`--self-repair`, which etcd has not).
    pub self_repair: bool,
    /// When members' hashes are compared.
    pub checks: Checks,
    /// What it tells peers of itself (`--initial-advertise-peer-urls`).
    pub advertise_peer_urls: Vec<String>,
    /// Who the node is, what it publishes of itself, and its timing.
    pub node: keel_core::Config,
    /// The cluster that an empty disk boots into (`--initial-cluster`). A disk that has an owner
    /// keeps its own.
    pub cluster: keel_core::members::Cluster,
    /// How its files are laid out (`--max-wals`, `--max-snapshots`); whose they are is known at the
    /// start only.
    pub files: Options,
    /// How many shards accept connections; `None` is one for each core that this process may use.
    pub shards: Option<usize>,
    /// Bounds on what a client may send and hold.
    pub limits: Limits,
    /// What is logged, how and where.
    pub log: Log,
    /// Further fields of the line `starting an etcd server`: flags that only their parser knows.
    pub shown: Vec<(String, serde_json::Value)>,
    /// How long a graceful stop waits for clients to finish.
    pub drain: Duration,
    /// How log records reach the disk.
    pub backend: Backend,
    /// Whether and where all that the node takes in is kept (`--recorder-dir`).
    pub recording: Option<Recording>,
}

/// The flag that names where peers connect.
pub const LISTEN_PEER: &str = "--listen-peer-urls";

impl Config {
    /// Every address to listen on, and what for.
    #[must_use = "an iterator does nothing by itself"]
    pub fn listeners(&self) -> impl Iterator<Item = (Traffic, &Listen)> {
        let apart = !self.listen_client_http.is_empty();
        let client = if apart { Traffic::Grpc } else { Traffic::Both };
        let client = self.listen_client.iter().map(move |listen| (client, listen));
        let pages = self.listen_client_http.iter().map(|listen| (Traffic::Http, listen));
        let metrics = self.listen_metrics.iter().map(|listen| (Traffic::Metrics, listen));
        client.chain(pages).chain(metrics)
    }
}

/// When members' hashes are compared (semantics §6.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Whether a member does so before it serves: etcd's gate `InitialCorruptCheck`.
    pub at_start: bool,
    /// How often a leader does; zero is never (`--corrupt-check-time`).
    pub every: Duration,
}

/// Where the flight recorder keeps what the node takes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The directory (`--recorder-dir`).
    pub dir: PathBuf,
    /// Bytes that its files take at most (`--recorder-size`).
    pub bytes: u64,
}

/// How a member begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// It begins a cluster together with the other initial members.
    New,
    /// It joins a cluster that has added it.
    Existing,
    /// None of that: a member with data makes a cluster of itself alone (`--force-new-cluster`).
    Alone,
}

/// One address to listen on, and the URL that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// As the operator wrote it: errors and log lines name it.
    pub url: String,
    /// As the socket wants it.
    pub addr: SocketAddr,
}

/// Bounds on clients (semantics §6.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// etcd's `--max-request-bytes`: the marshalled request. The transport takes 512 KiB more.
    pub request_bytes: usize,
    /// etcd's `--max-txn-ops`.
    pub txn_ops: usize,
    /// etcd's `--max-concurrent-streams`, a connection.
    pub concurrent_streams: u32,
    /// etcd's `--grpc-keepalive-interval`: how long a connection may be silent before the server
    /// pings it; zero never pings.
    pub keepalive_interval: Duration,
    /// etcd's `--grpc-keepalive-timeout`: how long the server waits for the answer.
    pub keepalive_timeout: Duration,
    /// etcd's `--watch-progress-notify-interval`.
    pub watch_progress: Duration,
    /// Requests that may wait for the driver; more are refused as etcd refuses them.
    pub inbox: usize,
    /// From when on requests are slow enough for a line.
    pub slow: Slowness,
    /// Whether it is kept how long each method takes (`--metrics=extensive`).
    pub extensive: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_bytes: keel_core::limits::REQUEST_BYTES_MAX,
            txn_ops: keel_core::limits::TXN_OPS_MAX,
            concurrent_streams: u32::MAX,
            keepalive_interval: Duration::from_secs(2 * 60 * 60),
            keepalive_timeout: Duration::from_secs(20),
            watch_progress: keel_core::limits::WATCH_PROGRESS_INTERVAL,
            inbox: 8192,
            slow: Slowness { unary: Duration::from_millis(300), apply: Duration::from_millis(100) },
            extensive: false,
        }
    }
}

/// What is logged, how and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// etcd's `--log-level`: lines below it are dropped.
    pub level: Level,
    /// etcd's `--log-format`.
    pub format: LogFormat,
    /// etcd's `--log-outputs`; each gets every line.
    pub outputs: Vec<LogOutput>,
}

impl Default for Log {
    fn default() -> Log {
        Log { level: Level::Info, format: LogFormat::Json, outputs: vec![LogOutput::Stderr] }
    }
}

/// How much a line matters, zap's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks into one problem.
    Debug,
    /// What an operator likes to know.
    Info,
    /// What an operator should look at.
    Warn,
    /// What went wrong.
    Error,
    /// The server stops because of a broken promise (zap's `dpanic` and `panic` fall together).
    Panic,
    /// The server stops because it cannot go on.
    Fatal,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Columns between tabs.
    Console,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// The standard error stream.
    Stderr,
    /// The standard output stream.
    Stdout,
    /// The end of a file.
    File(PathBuf),
    /// The same, with full files put aside (`--enable-log-rotation`).
    Rotated(PathBuf, Rotation),
}

/// When a log file is full, and what becomes of full ones (`--log-rotation-config-json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How large a file may become, in bytes.
    pub bytes_max: u64,
    /// How old a full file may become; `None` is any age.
    pub age_max: Option<Duration>,
    /// How many full files may be there; zero is any number.
    pub backups_max: usize,
}

/// How log records reach the disk. Each is durable; benches/wal.rs compares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Copied into the mapped tail segment, then `fdatasync`.
    Map,
    /// `pwrite` on the driver's thread, then `fdatasync`. The default: as fast
    /// as the map for small commits, 1.5 times as fast for large ones, on any file system.
    #[default]
    Pwrite,
    /// `pwrite` around the page cache (`O_DIRECT`) on the helper thread, then `fdatasync`.
    Direct,
}
