//! Every server flag of etcd 3.7, and keel's own: what it defaults to, and whether it acts here.
//!
//! A flag whose feature does not exist yet is refused when it is set to anything but its
//! default; none is parsed and ignored.

/// What a flag does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It acts.
    Acts,
    /// It cannot act yet, or never will, and why.
    Nothing(&'static str),
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Without dashes.
    pub name: &'static str,
    /// etcd's default, as it would be written.
    pub default: &'static str,
    /// Whether it may stand without a value.
    pub switch: bool,
    /// What it does.
    pub does: Does,
}

const fn acts(name: &'static str, default: &'static str) -> Flag {
    Flag { name, default, switch: false, does: Does::Acts }
}

const fn switch(name: &'static str, default: &'static str) -> Flag {
    Flag { name, default, switch: true, does: Does::Acts }
}

const fn later(name: &'static str, default: &'static str, why: &'static str) -> Flag {
    Flag { name, default, switch: false, does: Does::Nothing(why) }
}

const fn later_switch(name: &'static str, default: &'static str, why: &'static str) -> Flag {
    Flag { name, default, switch: true, does: Does::Nothing(why) }
}

const NO_TLS: &str = "TLS is not served yet";
const NO_DISCOVERY: &str = "discovery is not served yet";
const NO_AUTH: &str = "authentication is not served yet";
const NO_BACKEND: &str = "there is no bbolt backend to tune: state lies in chunk files";
const NO_TRACING: &str = "distributed tracing is not served yet";
const NO_TUNING: &str = "peers are given five seconds";
const NO_SOCKETS: &str = "every shard listens with SO_REUSEPORT anyway";
const NO_CHECKS: &str = "hashes of compactions are not compared between members yet";

/// All of them, as etcd's help lists them.
pub const FLAGS: &[Flag] = &[
    acts("name", "default"),
    acts("data-dir", ""),
    acts("wal-dir", ""),
    acts("snapshot-count", "10000"),
    acts("snapshot-catchup-entries", "5000"),
    acts("heartbeat-interval", "100"),
    acts("election-timeout", "1000"),
    later_switch(
        "initial-election-tick-advance",
        "true",
        "a lone member leads at once; others wait",
    ),
    acts("listen-peer-urls", "http://localhost:2380"),
    acts("listen-client-urls", "http://localhost:2379"),
    acts("listen-client-http-urls", ""),
    acts("max-snapshots", "5"),
    acts("max-wals", "5"),
    later_switch("memory-mlock", "false", "memory is not locked: state is mapped from files"),
    acts("quota-backend-bytes", "0"),
    later("backend-bbolt-freelist-type", "map", NO_BACKEND),
    later("backend-batch-interval", "0s", NO_BACKEND),
    later("backend-batch-limit", "0", NO_BACKEND),
    acts("max-txn-ops", "128"),
    acts("max-request-bytes", "1572864"),
    acts("max-concurrent-streams", "4294967295"),
    later("grpc-keepalive-min-time", "5s", "a client's pings are not policed yet"),
    acts("grpc-keepalive-interval", "2h"),
    acts("grpc-keepalive-timeout", "20s"),
    later_switch("socket-reuse-port", "false", NO_SOCKETS),
    later_switch("socket-reuse-address", "false", NO_SOCKETS),
    later_switch("enable-grpc-gateway", "true", "the JSON gateway is not served yet"),
    later("raft-read-timeout", "5s", NO_TUNING),
    later("raft-write-timeout", "5s", NO_TUNING),
    acts("feature-gates", ""),
    acts("initial-advertise-peer-urls", "http://localhost:2380"),
    acts("initial-cluster", ""),
    acts("initial-cluster-state", "new"),
    acts("initial-cluster-token", "etcd-cluster"),
    acts("advertise-client-urls", "http://localhost:2379"),
    later("discovery", "", NO_DISCOVERY),
    later("discovery-token", "", NO_DISCOVERY),
    later("discovery-endpoints", "", NO_DISCOVERY),
    later("discovery-dial-timeout", "2s", NO_DISCOVERY),
    later("discovery-request-timeout", "5s", NO_DISCOVERY),
    later("discovery-keepalive-time", "2s", NO_DISCOVERY),
    later("discovery-keepalive-timeout", "6s", NO_DISCOVERY),
    later_switch("discovery-insecure-transport", "true", NO_DISCOVERY),
    later_switch("discovery-insecure-skip-tls-verify", "false", NO_DISCOVERY),
    later("discovery-cert", "", NO_DISCOVERY),
    later("discovery-key", "", NO_DISCOVERY),
    later("discovery-cacert", "", NO_DISCOVERY),
    later("discovery-user", "", NO_DISCOVERY),
    later("discovery-password", "", NO_DISCOVERY),
    later("discovery-fallback", "exit", NO_DISCOVERY),
    later("discovery-proxy", "", NO_DISCOVERY),
    later("discovery-srv", "", NO_DISCOVERY),
    later("discovery-srv-name", "", NO_DISCOVERY),
    switch("strict-reconfig-check", "true"),
    switch("pre-vote", "true"),
    acts("auto-compaction-retention", "0"),
    acts("auto-compaction-mode", "periodic"),
    later("v2-deprecation", "write-only", "there is no v2 store"),
    later("cert-file", "", NO_TLS),
    later("key-file", "", NO_TLS),
    later_switch("client-cert-auth", "false", NO_TLS),
    later("client-cert-file", "", NO_TLS),
    later("client-key-file", "", NO_TLS),
    later("client-crl-file", "", NO_TLS),
    later("client-cert-allowed-hostname", "", NO_TLS),
    later("trusted-ca-file", "", NO_TLS),
    later_switch("auto-tls", "false", NO_TLS),
    later("peer-cert-file", "", NO_TLS),
    later("peer-key-file", "", NO_TLS),
    later_switch("peer-client-cert-auth", "false", NO_TLS),
    later("peer-client-cert-file", "", NO_TLS),
    later("peer-client-key-file", "", NO_TLS),
    later("peer-trusted-ca-file", "", NO_TLS),
    later("peer-cert-allowed-cn", "", NO_TLS),
    later("peer-cert-allowed-hostname", "", NO_TLS),
    later_switch("peer-auto-tls", "false", NO_TLS),
    later_switch("peer-skip-client-san-verification", "false", NO_TLS),
    later("self-signed-cert-validity", "1", NO_TLS),
    later("peer-crl-file", "", NO_TLS),
    later("cipher-suites", "", NO_TLS),
    later("tls-min-version", "TLS1.2", NO_TLS),
    later("tls-max-version", "", NO_TLS),
    later("cors", "*", "browsers are not told which origins may read"),
    later("host-whitelist", "*", "Host headers are not checked yet"),
    later("auth-token", "simple", NO_AUTH),
    later("bcrypt-cost", "10", NO_AUTH),
    later("auth-token-ttl", "300", NO_AUTH),
    later_switch("enable-pprof", "false", "there is no Go runtime to profile"),
    acts("metrics", "basic"),
    acts("listen-metrics-urls", ""),
    later("logger", "zap", "zap's form is the only one"),
    acts("log-outputs", "default"),
    acts("log-level", "info"),
    acts("log-format", "json"),
    switch("enable-log-rotation", "false"),
    acts(
        "log-rotation-config-json",
        "{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": false, \"compress\": false}",
    ),
    acts("warning-unary-request-duration", "300ms"),
    later_switch("enable-distributed-tracing", "false", NO_TRACING),
    later("distributed-tracing-address", "localhost:4317", NO_TRACING),
    later("distributed-tracing-service-name", "etcd", NO_TRACING),
    later("distributed-tracing-instance-id", "", NO_TRACING),
    later("distributed-tracing-sampling-rate", "0", NO_TRACING),
    acts("corrupt-check-time", "0s"),
    later("compact-hash-check-time", "1m", NO_CHECKS),
    later("compaction-batch-limit", "1000", NO_BACKEND),
    later("compaction-sleep-interval", "10ms", NO_BACKEND),
    acts("watch-progress-notify-interval", "10m"),
    acts("warning-apply-duration", "100ms"),
    later("bootstrap-defrag-threshold-megabytes", "0", NO_BACKEND),
    acts("max-learners", "1"),
    later(
        "downgrade-check-time",
        "5s",
        "the leader looks whenever a member speaks another version",
    ),
    switch("force-new-cluster", "false"),
    later_switch("unsafe-no-fsync", "false", "what is acknowledged is durable, always"),
    acts("config-file", ""),
    // keel's own: etcd has no such way.
    switch("self-repair", "false"),
    acts("recorder-dir", ""),
    acts("recorder-size", "1073741824"),
    acts("runtime", "tokio"),
];

/// A flag by its name.
#[must_use]
pub fn flag(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// The variable that sets a flag.
#[must_use]
pub fn variable(name: &str) -> String {
    format!("ETCD_{}", name.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_stands_once() {
        for (at, flag) in FLAGS.iter().enumerate() {
            assert!(FLAGS[at + 1..].iter().all(|other| other.name != flag.name), "{}", flag.name);
        }
    }
}
