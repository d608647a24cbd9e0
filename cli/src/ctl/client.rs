//! Connections to the endpoints, with etcd's time limits.

use super::Failed;
use super::args::Global;
use crate::server::duration;
use keel_proto::pb::etcdserverpb as pb;
use pb::cluster_client::ClusterClient;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::maintenance_client::MaintenanceClient;
use pb::watch_client::WatchClient;
use std::future::Future;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

/// The endpoints of a command line.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// As they were written.
    pub(super) endpoints: Vec<String>,
    channel: Channel,
    dial: Duration,
    keepalive: (Duration, Duration),
    /// How long a short command may take.
    pub(super) limit: Duration,
}

/// The largest answer that a client takes.
const ANSWER_MAX: usize = usize::MAX;

macro_rules! services {
    ($($name:ident: $client:ident),+ $(,)?) => {
        $(pub(super) fn $name(&self) -> $client<Channel> {
            $client::new(self.channel.clone())
                .max_decoding_message_size(ANSWER_MAX)
                .max_encoding_message_size(ANSWER_MAX)
        })+
    };
}

impl Client {
    /// Connects when first used; one endpoint after the other where some fail.
    pub(super) fn new(global: &Global) -> Result<Client, Failed> {
        let time = |flag: &str, text: &str| {
            let parsed = duration::parse(text);
            parsed.ok_or_else(|| Failed::plain(format!("invalid argument {text:?} for {flag}")))
        };
        let endpoints: Vec<String> = global
            .endpoints
            .split(',')
            .map(str::trim)
            .filter(|endpoint| !endpoint.is_empty())
            .map(str::to_owned)
            .collect();
        if endpoints.is_empty() {
            return Err(Failed::arguments("at least one endpoint is needed"));
        }
        let dial = time("--dial-timeout", &global.dial_timeout)?;
        let keepalive = (
            time("--keepalive-time", &global.keepalive_time)?,
            time("--keepalive-timeout", &global.keepalive_timeout)?,
        );
        let limit = time("--command-timeout", &global.command_timeout)?;
        let made = endpoints.iter().map(|endpoint| make(endpoint, dial, keepalive));
        let channel = Channel::balance_list(made.collect::<Result<Vec<_>, _>>()?.into_iter());
        Ok(Client { endpoints, channel, dial, keepalive, limit })
    }

    /// The same, for one of the endpoints alone.
    pub(super) fn only(&self, endpoint: &str) -> Result<Client, Failed> {
        let channel = make(endpoint, self.dial, self.keepalive)?.connect_lazy();
        Ok(Client { endpoints: vec![endpoint.to_owned()], channel, ..self.clone() })
    }

    /// The same, for all members of the cluster if told so.
    pub(super) async fn of(&self, cluster: bool) -> Result<Client, Failed> {
        if !cluster {
            return Ok(self.clone());
        }
        let request = pb::MemberListRequest { linearizable: true };
        let list = self.short(self.cluster().member_list(request)).await;
        let list = list.map_err(|failed| {
            failed.wrapped("failed to fetch endpoints from etcd cluster member list")
        })?;
        let endpoints = list.members.into_iter().flat_map(|member| member.client_ur_ls).collect();
        Ok(Client { endpoints, ..self.clone() })
    }

    services! {
        kv: KvClient,
        lease: LeaseClient,
        watch: WatchClient,
        maintenance: MaintenanceClient,
        cluster: ClusterClient,
    }

    /// Waits for an answer as long as a short command may take.
    pub(super) async fn short<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failed> {
        match tokio::time::timeout(self.limit, call).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Failed::plain("context deadline exceeded")),
        }
    }
}

/// Go's gRPC probes no connection more often, whatever it is told, and etcd closes those that are:
/// it takes a probe every five seconds.
const PROBE_MIN: Duration = Duration::from_secs(10);

fn make(
    endpoint: &str,
    dial: Duration,
    keepalive: (Duration, Duration),
) -> Result<Endpoint, Failed> {
    if endpoint.starts_with("https://") {
        return Err(Failed::plain(format!("{endpoint}: TLS is not spoken yet")));
    }
    let address = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let made = Endpoint::from_shared(format!("http://{address}"));
    let made = made.map_err(|error| Failed::plain(format!("{endpoint}: {error}")))?;
    Ok(made
        .connect_timeout(dial)
        .http2_keep_alive_interval(keepalive.0.max(PROBE_MIN))
        .keep_alive_timeout(keepalive.1)
        .tcp_nodelay(true))
}
