//! Settings into what the server is told, with etcd's checks (surface §5.3).

use super::log::log;
use super::settings::{Refused, Settings};
use super::{duration, urls};
use crate::initial::Initial as InitialCluster;
use keel_core::NodeId;
use keel_core::members::Cluster;
use keel_core::node::AutoCompaction;
use keel_core::planner::Options;
use keel_proto::body::config::{Backend, Checks, Config, Initial, Limits, Listen, Recording};
use keel_proto::service::CLUSTER_VERSION;
use keel_proto::timing::Slowness;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// etcd's quota where none is set, bytes.
const QUOTA_DEFAULT: i64 = 2 * 1024 * 1024 * 1024;
/// The longest election timeout, milliseconds.
const ELECTION_MAX: u64 = 50_000;
/// How long a graceful stop waits for clients, as etcd's request timeout.
const DRAIN: Duration = Duration::from_secs(7);
/// The smallest recording, bytes.
const RECORDER_MIN: u64 = 8 * 1024 * 1024;
/// Requests that may wait for the driver.
const INBOX: usize = 16_384;

/// Checks everything.
pub fn config(settings: &Settings) -> Result<Config, Refused> {
    if settings.is_set("listen-client-urls") && !settings.is_set("advertise-client-urls") {
        return Err(Refused::value(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ));
    }
    let name = settings.text("name").to_owned();
    let client_urls = advertised(settings, "advertise-client-urls")?;
    let peer_urls = advertised(settings, "initial-advertise-peer-urls")?;
    let listen_peer = listened(settings, "listen-peer-urls")?;
    let initial = initial(settings)?;
    let gates = gates(settings)?;
    let (cluster, id) = cluster(settings, &name, &peer_urls)?;
    let data_dir = match settings.text("data-dir") {
        "" => PathBuf::from(format!("{name}.etcd")),
        dir => PathBuf::from(dir),
    };
    let limits = Limits {
        request_bytes: settings.parsed("max-request-bytes")?,
        txn_ops: settings.parsed("max-txn-ops")?,
        concurrent_streams: settings.parsed("max-concurrent-streams")?,
        keepalive_interval: settings.duration("grpc-keepalive-interval")?,
        keepalive_timeout: settings.duration("grpc-keepalive-timeout")?,
        inbox: INBOX,
        slow: Slowness {
            unary: settings.duration("warning-unary-request-duration")?,
            apply: settings.duration("warning-apply-duration")?,
        },
        extensive: extensive(settings)?,
        watch_progress: settings.duration("watch-progress-notify-interval")?,
    };
    Ok(Config {
        data_dir,
        wal_dir: Some(settings.text("wal-dir")).filter(|dir| !dir.is_empty()).map(PathBuf::from),
        listen_client: listened(settings, "listen-client-urls")?,
        listen_client_http: listened(settings, "listen-client-http-urls")?,
        listen_metrics: listened(settings, "listen-metrics-urls")?,
        listen_peer,
        initial,
        self_repair: settings.parsed("self-repair")?,
        checks: Checks {
            at_start: gates.at_start,
            every: settings.duration("corrupt-check-time")?,
        },
        advertise_peer_urls: peer_urls,
        node: node(settings, &gates, id, cluster.id, name, client_urls)?,
        cluster,
        files: Options {
            segments_kept: settings.parsed("max-wals")?,
            checkpoints_kept: settings.parsed("max-snapshots")?,
            ..Options::default()
        },
        shards: None,
        limits,
        log: log(settings)?,
        shown: Vec::new(),
        drain: DRAIN,
        backend: Backend::default(),
        recording: recording(settings)?,
    })
}

/// What the flight recorder keeps, and where.
fn recording(settings: &Settings) -> Result<Option<Recording>, Refused> {
    let dir = settings.text("recorder-dir");
    if dir.is_empty() {
        if settings.is_set("recorder-size") {
            return Err(Refused::value("--recorder-size: name a directory with --recorder-dir"));
        }
        return Ok(None);
    }
    let bytes: u64 = settings.parsed("recorder-size")?;
    if bytes < RECORDER_MIN {
        return Err(Refused::value(format!(
            "--recorder-size[{bytes}] is too small, and should be {RECORDER_MIN} bytes at least"
        )));
    }
    Ok(Some(Recording { dir: PathBuf::from(dir), bytes }))
}

fn node(
    settings: &Settings,
    gates: &Gates,
    id: NodeId,
    cluster_id: u64,
    name: String,
    client_urls: Vec<String>,
) -> Result<keel_core::Config, Refused> {
    let heartbeat: u64 = settings.parsed("heartbeat-interval")?;
    let election: u64 = settings.parsed("election-timeout")?;
    if heartbeat == 0 {
        return Err(Refused::value("--heartbeat-interval must be >0 (set to 0ms)"));
    }
    if election == 0 {
        return Err(Refused::value("--election-timeout must be >0 (set to 0ms)"));
    }
    if 5 * heartbeat > election {
        return Err(Refused::value(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as \
             --heartbeat-interval[{heartbeat}ms]"
        )));
    }
    if election > ELECTION_MAX {
        return Err(Refused::value(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than \
             {ELECTION_MAX}ms"
        )));
    }
    let quota: i64 = settings.parsed("quota-backend-bytes")?;
    Ok(keel_core::Config {
        id,
        cluster_id,
        name,
        client_urls,
        version: CLUSTER_VERSION.to_owned(),
        heartbeat: Duration::from_millis(heartbeat),
        election: Duration::from_millis(election),
        pre_vote: settings.parsed("pre-vote")?,
        snapshot_count: settings.parsed("snapshot-count")?,
        catch_up_entries: settings.parsed("snapshot-catchup-entries")?,
        lease_checkpoint: gates.lease_checkpoint,
        quota_bytes: if quota == 0 { QUOTA_DEFAULT } else { quota },
        strict_reconfig: settings.parsed("strict-reconfig-check")?,
        learners_max: settings.parsed("max-learners")?,
        auto_compaction: auto_compaction(settings)?,
    })
}

/// The gates of etcd 3.7 and whether they are on.
const GATES: [(&str, bool); 9] = [
    ("CompactHashCheck", false),
    ("InitialCorruptCheck", false),
    ("LeaseCheckpoint", false),
    ("LeaseCheckpointPersist", false),
    ("SetMemberLocalAddr", false),
    ("StopGRPCServiceOnDefrag", false),
    ("TxnModeWriteWithSharedBuffer", true),
    ("FastLeaseKeepAlive", true),
    ("PriorityRequest", false),
];

/// The gates that can be moved.
struct Gates {
    lease_checkpoint: bool,
    at_start: bool,
}

/// Reads the gates; one whose feature does not exist is refused.
fn gates(settings: &Settings) -> Result<Gates, Refused> {
    let mut gates: BTreeMap<&str, bool> = GATES.into_iter().collect();
    for pair in settings.text("feature-gates").split(',').filter(|pair| !pair.is_empty()) {
        let Some((gate, value)) = pair.split_once('=') else {
            return Err(Refused::syntax_of_gate(format!("missing bool value for {pair}")));
        };
        let value: bool = value.parse().map_err(|_| {
            Refused::syntax_of_gate(format!("invalid value of {gate}={value}, err: parse error"))
        })?;
        let Some(held) = gates.get_mut(gate) else {
            return Err(Refused::syntax_of_gate(format!("unrecognized feature gate: {gate}")));
        };
        let moves = gate.starts_with("LeaseCheckpoint") || gate == "InitialCorruptCheck";
        if *held != value && !moves {
            return Err(Refused::value(format!(
                "feature gate {gate}={value} cannot be followed: its feature is not served yet"
            )));
        }
        *held = value;
    }
    let on = |gate| gates.get(gate).copied().unwrap_or(false);
    if on("LeaseCheckpointPersist") && !on("LeaseCheckpoint") {
        return Err(Refused::value(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate \
             LeaseCheckpoint",
        ));
    }
    Ok(Gates { lease_checkpoint: on("LeaseCheckpoint"), at_start: on("InitialCorruptCheck") })
}

impl Refused {
    fn syntax_of_gate(why: String) -> Refused {
        Refused { line: format!("invalid value for flag -feature-gates: {why}"), code: 2 }
    }
}

fn auto_compaction(settings: &Settings) -> Result<AutoCompaction, Refused> {
    let retention = settings.text("auto-compaction-retention");
    let bad = |why: &str| Refused::value(format!("error parsing CompactionRetention: {why}"));
    match settings.text("auto-compaction-mode") {
        "revision" => match retention.parse::<i64>() {
            Ok(0) => Ok(AutoCompaction::Off),
            Ok(kept) if kept > 0 => Ok(AutoCompaction::Revision(kept)),
            _ => Err(bad(retention)),
        },
        "periodic" => {
            // A plain number counts hours.
            let period = match retention.parse::<u64>() {
                Ok(hours) => Some(Duration::from_secs(hours.saturating_mul(3600))),
                Err(_) => duration::parse(retention),
            };
            match period {
                Some(Duration::ZERO) => Ok(AutoCompaction::Off),
                Some(period) => Ok(AutoCompaction::Periodic(period)),
                None => Err(bad(retention)),
            }
        }
        other => Err(Refused::value(format!("unknown auto-compaction-mode {other:?}"))),
    }
}

/// The cluster that an empty disk boots into, and this member's id in it.
fn cluster(
    settings: &Settings,
    name: &str,
    peer_urls: &[String],
) -> Result<(Cluster, NodeId), Refused> {
    let written = match settings.text("initial-cluster") {
        "" => peer_urls.iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>().join(","),
        written => written.to_owned(),
    };
    let initial = InitialCluster::parse(&written).map_err(Refused::value)?;
    let mine = initial.urls_of(name).map_err(Refused::value)?;
    let token = settings.text("initial-cluster-token");
    let cluster = initial.cluster(token).map_err(Refused::value)?;
    Ok((cluster, crate::initial::id(mine, token)))
}

/// Whether it is kept how long each method takes.
fn extensive(settings: &Settings) -> Result<bool, Refused> {
    match settings.text("metrics") {
        "basic" => Ok(false),
        "extensive" => Ok(true),
        other => Err(Refused::value(format!("--metrics {other:?} is neither basic nor extensive"))),
    }
}

/// Whether an empty disk begins a cluster or joins one.
fn initial(settings: &Settings) -> Result<Initial, Refused> {
    if settings.parsed("force-new-cluster")? {
        return Ok(Initial::Alone);
    }
    match settings.text("initial-cluster-state") {
        "new" => Ok(Initial::New),
        "existing" => Ok(Initial::Existing),
        other => Err(Refused {
            line: format!("invalid value {other:?} for flag -initial-cluster-state"),
            code: 2,
        }),
    }
}

fn advertised(settings: &Settings, flag: &'static str) -> Result<Vec<String>, Refused> {
    let urls =
        settings.text(flag).split(',').map(keel_proto::urls::normal).collect::<Result<Vec<_>, _>>();
    urls.map_err(|why| Refused::value(format!("--{flag}: {why}")))
}

fn listened(settings: &Settings, flag: &'static str) -> Result<Vec<Listen>, Refused> {
    let mut all = Vec::new();
    for text in settings.text(flag).split(',').filter(|text| !text.trim().is_empty()) {
        let refused = |why: String| Refused::value(format!("--{flag}: {why}"));
        let url = keel_proto::urls::normal(text).map_err(refused)?;
        if url.starts_with("https:") {
            return Err(refused(format!("{url}: TLS is not served yet")));
        }
        let addr = urls::socket(&url).map_err(refused)?;
        all.push(Listen { url, addr });
    }
    Ok(all)
}
