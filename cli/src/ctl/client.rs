//! Connections to the endpoints, with etcd's limits of time and size.

use super::Failed;
use super::args::Global;
use super::dial::Dialer;
use keel_proto::pb::etcdserverpb as pb;
use pb::cluster_client::ClusterClient;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::maintenance_client::MaintenanceClient;
use pb::watch_client::WatchClient;
use prost::Message;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

/// The endpoints of a command line.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// As they were written.
    pub(super) endpoints: Vec<String>,
    channel: Channel,
    pub(super) dial: Duration,
    keepalive: (Duration, Duration),
    /// The largest request and the largest answer, in bytes.
    sizes: (usize, usize),
    /// How long a short command may take.
    limit: Duration,
    /// Whether somebody said so.
    limited: bool,
}

/// How long a short command may take where nothing is said.
const LIMIT: Duration = Duration::from_secs(5);
/// The largest request where nothing else is said.
const REQUEST_MAX: usize = 2 * 1024 * 1024;
/// The largest answer, likewise: Go's largest length.
const ANSWER_MAX: usize = i32::MAX as usize;

macro_rules! services {
    ($($name:ident: $client:ident),+ $(,)?) => {
        $(pub(super) fn $name(&self) -> $client<Channel> {
            $client::new(self.channel.clone())
                .max_encoding_message_size(usize::MAX)
                .max_decoding_message_size(self.sizes.1)
        })+
    };
}

impl Client {
    /// Connects when first used; one endpoint after the other where some fail.
    pub(super) fn new(global: &Global) -> Result<Client, Failed> {
        let endpoints = global.endpoints.iter().map(|endpoint| endpoint.trim());
        let endpoints = endpoints.filter(|endpoint| !endpoint.is_empty()).map(str::to_owned);
        let endpoints: Vec<String> = endpoints.collect();
        let size = |bytes: i64, default| match usize::try_from(bytes) {
            Ok(bytes) if bytes > 0 => bytes,
            _ => default,
        };
        let sizes =
            (size(global.max_request_bytes, REQUEST_MAX), size(global.max_recv_bytes, ANSWER_MAX));
        if endpoints.is_empty() {
            return Err(Failed::connection("etcdclient: no available endpoints"));
        }
        let (dial, limited) = (global.dial_timeout, global.command_timeout.is_some());
        let limit = global.command_timeout.unwrap_or(LIMIT);
        let keepalive = (global.keepalive_time, global.keepalive_timeout);
        let channel = channel(&endpoints, dial, keepalive)?;
        Ok(Client { endpoints, channel, dial, keepalive, sizes, limit, limited })
    }

    /// The same, for one endpoint alone.
    pub(super) fn only(&self, endpoint: &str) -> Result<Client, Failed> {
        let endpoints = vec![endpoint.to_owned()];
        let channel = channel(&endpoints, self.dial, self.keepalive)?;
        Ok(Client { endpoints, channel, ..self.clone() })
    }

    /// The same, for all members of the cluster if told so.
    pub(super) async fn of(&self, cluster: bool) -> Result<Client, Failed> {
        if !cluster {
            return Ok(self.clone());
        }
        let request = pb::MemberListRequest { linearizable: true };
        let list = self.short(self.cluster().member_list(request)).await;
        let list = list.map_err(|failed| {
            failed.behind("failed to fetch endpoints from etcd cluster member list")
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

    /// Refuses a request that is larger than what may be sent, in grpc-go's words.
    pub(super) fn fits<T: Message>(&self, request: T) -> Result<T, Failed> {
        let (size, most) = (request.encoded_len(), self.sizes.0);
        if size > most {
            return Err(Failed::plain(format!(
                "rpc error: code = ResourceExhausted desc = trying to send message larger than \
                 max ({size} vs. {most})"
            )));
        }
        Ok(request)
    }

    /// Waits for an answer as long as a short command may take.
    pub(super) async fn short<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failed> {
        self.in_time(async { Ok(call.await?.into_inner()) }).await
    }

    /// Waits for long work: without a bound where none was said.
    pub(super) async fn in_said_time<T>(
        &self,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        if self.limited { self.in_time(work).await } else { work.await }
    }

    /// Waits for work as long as a short command may take.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        match tokio::time::timeout(self.limit, work).await {
            Ok(done) => done,
            Err(_) => Err(Failed::plain("context deadline exceeded")),
        }
    }
}

/// Go's gRPC probes no connection more often, whatever it is told, and etcd closes those that are:
/// it takes a probe every five seconds.
const PROBE_MIN: Duration = Duration::from_secs(10);

/// A channel that is connected when it is first used, and again whenever its connection breaks.
fn channel(
    endpoints: &[String],
    dial: Duration,
    (every, patience): (Duration, Duration),
) -> Result<Channel, Failed> {
    let mut addresses = Vec::new();
    for endpoint in endpoints {
        if endpoint.starts_with("https://") {
            return Err(Failed::plain(format!("{endpoint}: TLS is not spoken yet")));
        }
        let address = endpoint.strip_prefix("http://").unwrap_or(endpoint);
        addresses.push(address.trim_end_matches('/').to_owned());
    }
    let made = Endpoint::from_shared(format!("http://{}", addresses[0]));
    let made = made.map_err(|error| Failed::plain(format!("{}: {error}", endpoints[0])))?;
    Ok(made
        .http2_keep_alive_interval(every.max(PROBE_MIN))
        .keep_alive_timeout(patience)
        .connect_with_connector_lazy(Dialer::new(addresses, dial)))
}
