//! The lines of a server's life, as scripts that wait for etcd know them (surface §9.3).

use super::Traffic;
use super::config::{Config, Listen};
use super::journal::{Journal, go_duration};
use crate::service::VERSION;
use keel_core::View;
use serde_json::Value;

/// Before the directory is read and the ports are bound.
pub fn beginning(journal: &Journal, config: &Config) {
    let initialized = config.data_dir.join("member").exists();
    let data_dir = Value::from(config.data_dir.display().to_string());
    let (msg, kind) = match initialized {
        true => ("server has already been initialized", "member"),
        false => ("Initialize and start etcd server", "empty"),
    };
    journal.info(msg, &[("data-dir", data_dir.clone()), ("dir-type", kind.into())]);
    let clients = ("listen-client-urls", urls(&config.listen_client));
    journal.info("configuring client listeners", &[clients]);

    let node = &config.node;
    let peers = config.cluster.members.values();
    let initial: Vec<String> = peers
        .flat_map(|member| member.peer_urls.iter().map(|url| format!("{}={url}", member.name)))
        .collect();
    let mut fields = vec![
        ("etcd-version", VERSION.into()),
        ("keel-version", env!("CARGO_PKG_VERSION").into()),
        ("member-initialized", initialized.into()),
        ("name", config.node.name.as_str().into()),
        ("data-dir", data_dir),
        ("member-dir", config.data_dir.join("member").display().to_string().into()),
        ("heartbeat-interval", go_duration(node.heartbeat).into()),
        ("election-timeout", go_duration(node.election).into()),
        ("snapshot-count", node.snapshot_count.into()),
        ("snapshot-catchup-entries", node.catch_up_entries.into()),
        ("initial-advertise-peer-urls", config.advertise_peer_urls.clone().into()),
        ("advertise-client-urls", config.node.client_urls.clone().into()),
        ("listen-client-urls", urls(&config.listen_client)),
        ("listen-metrics-urls", urls(&config.listen_metrics)),
        ("initial-cluster", initial.join(",").into()),
        ("quota-backend-bytes", node.quota_bytes.into()),
        ("max-request-bytes", config.limits.request_bytes.into()),
        ("max-concurrent-streams", config.limits.concurrent_streams.into()),
        ("pre-vote", node.pre_vote.into()),
    ];
    fields.extend(config.shown.iter().map(|(key, value)| (key.as_str(), value.clone())));
    journal.info("starting an etcd server", &fields);
}

/// Once the state is recovered: whose it is, and where it stands.
pub fn recovered(journal: &Journal, node: &keel_core::Config, view: &View) {
    journal.info("kvstore restored", &[("current-rev", view.kv.revision().into())]);
    let version = match view.cluster.version.as_str() {
        "" => "to_be_decided",
        decided => decided,
    };
    let fields = [
        ("local-member-id", node.id.to_string().into()),
        ("local-server-version", VERSION.into()),
        ("cluster-id", format!("{:x}", node.cluster_id).into()),
        ("cluster-version", version.into()),
    ];
    journal.info("starting etcd server", &fields);
}

/// Once a listener is served.
pub fn serving(journal: &Journal, traffic: Traffic, listen: &Listen) {
    if traffic == Traffic::Metrics {
        let address = Value::from(listen.url.as_str());
        return journal.info("serving metrics", &[("address", address)]);
    }
    journal.info("ready to serve client requests", &[]);
    let fields = [("traffic", traffic.name().into()), ("address", listen.addr.to_string().into())];
    journal.info("serving client traffic insecurely; this is strongly discouraged!", &fields);
}

/// When the server begins to stop.
pub fn closing(journal: &Journal, config: &Config) {
    journal.info("closing etcd server", &whose(config));
}

/// When nothing is left to do.
pub fn closed(journal: &Journal, config: &Config) {
    journal.info("closed etcd server", &whose(config));
}

fn whose(config: &Config) -> [(&'static str, Value); 4] {
    [
        ("name", config.node.name.as_str().into()),
        ("data-dir", config.data_dir.display().to_string().into()),
        ("advertise-peer-urls", config.advertise_peer_urls.clone().into()),
        ("advertise-client-urls", config.node.client_urls.clone().into()),
    ]
}

fn urls(listens: &[Listen]) -> Value {
    listens.iter().map(|listen| Value::from(listen.url.as_str())).collect()
}
