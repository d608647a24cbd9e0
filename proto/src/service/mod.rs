//! etcd's services, and how a request finds the one that it means.
//!
//! Every runtime serves exactly the value made here. Requests are dispatched by path to the
//! generated servers, which bring codec and status; what is not gRPC are etcd's pages.

mod cluster;
mod downgrade;
mod election;
mod health;
mod kv;
mod leaderless;
mod lease;
mod lock;
mod maintenance;
mod pages;
mod queue;
mod slow;
pub mod vars;
mod watch;

use crate::handle::Handle;
use crate::hub::HubHandle;
use crate::metrics::Metrics;
use crate::peer::Caller;
use crate::refusal;
use crate::timing::Timing;
use crate::wire::etcdserverpb as pb;
use crate::wire::etcdserverpb::cluster_server::ClusterServer;
use crate::wire::etcdserverpb::kv_server::KvServer;
use crate::wire::etcdserverpb::lease_server::LeaseServer;
use crate::wire::etcdserverpb::maintenance_server::MaintenanceServer;
use crate::wire::etcdserverpb::watch_server::WatchServer;
use crate::wire::tree::health::health_server::HealthServer;
use crate::wire::tree::v3electionpb::election_server::ElectionServer;
use crate::wire::tree::v3lockpb::lock_server::LockServer;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use keel_core::{NodeId, Refusal, View};
use leaderless::Leaderless;
use std::sync::Arc;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, StdError};

/// The version that is spoken for where one is negotiated or shown.
pub const VERSION: &str = "3.7.3";
/// The cluster version that goes with it.
pub const CLUSTER_VERSION: &str = "3.7.0";

/// What a receiver takes beside the request itself.
const GRPC_OVERHEAD: usize = 512 * 1024;

/// What services know of the member beside its state.
#[derive(Clone, Debug)]
pub struct Info {
    /// The cluster's id.
    pub cluster_id: u64,
    /// The member's id.
    pub member_id: u64,
    /// etcd's `--max-request-bytes`.
    pub request_bytes: usize,
    /// etcd's `--max-txn-ops`.
    pub txn_ops: usize,
    /// etcd's `--quota-backend-bytes`, resolved.
    pub quota_bytes: i64,
    /// The way to ask whoever leads.
    pub leader: Caller,
    /// The runtime's clock, and what is slow by it.
    pub timing: Timing,
}

/// Everything that answers clients; clones share it.
#[derive(Clone, Debug)]
pub struct Services(Arc<Servers>);

#[derive(Debug)]
struct Servers {
    desk: Arc<Desk>,
    kv: KvServer<Desk>,
    watch: WatchServer<Desk>,
    lease: LeaseServer<Desk>,
    cluster: ClusterServer<Desk>,
    maintenance: MaintenanceServer<Desk>,
    health: HealthServer<Desk>,
    lock: LockServer<Desk>,
    election: ElectionServer<Desk>,
}

/// What each service works with.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) handle: Handle,
    pub(crate) hub: HubHandle,
    pub(crate) info: Arc<Info>,
    pub(crate) metrics: Metrics,
    leaderless: Arc<Leaderless>,
}

impl Services {
    /// Services over a way into the node and to a shard's hub.
    #[must_use]
    pub fn new(handle: Handle, hub: HubHandle, info: Arc<Info>, metrics: Metrics) -> Services {
        let most = info.request_bytes + GRPC_OVERHEAD;
        let desk = Arc::new(Desk { handle, hub, info, metrics, leaderless: Arc::default() });
        macro_rules! server {
            ($server:ident) => {
                $server::from_arc(Arc::clone(&desk))
                    .max_decoding_message_size(most)
                    .max_encoding_message_size(usize::MAX)
            };
        }
        Services(Arc::new(Servers {
            kv: server!(KvServer),
            watch: server!(WatchServer),
            lease: server!(LeaseServer),
            cluster: server!(ClusterServer),
            maintenance: server!(MaintenanceServer),
            health: server!(HealthServer),
            lock: server!(LockServer),
            election: server!(ElectionServer),
            desk,
        }))
    }

    /// What the services work with.
    pub(crate) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.0.desk)
    }

    /// Looks whether the member knows a leader: due every election timeout. Streams of clients
    /// that want one end when there was none for too long.
    pub fn look_for_leader(&self) {
        let desk = &self.0.desk;
        desk.leaderless.look(desk.handle.status().leader != NodeId::NONE);
    }

    /// The newest applied state.
    #[must_use]
    pub fn view(&self) -> keel_core::View {
        self.0.desk.handle.latest()
    }

    /// The counters of bytes that come from clients and go to them.
    #[must_use]
    pub fn traffic(&self) -> (prometheus::IntCounter, prometheus::IntCounter) {
        self.0.desk.metrics.traffic()
    }

    /// The member's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.desk.metrics
    }

    /// Answers one request: gRPC by its content type, else a page.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let servers = &*self.0;
        let desk = &servers.desk;
        let kind = request.headers().get(http::header::CONTENT_TYPE);
        let grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if !grpc {
            return Box::pin(desk.page(&request)).await;
        }
        let path = request.uri().path();
        let Some((service, method)) = path.strip_prefix('/').and_then(|p| p.split_once('/')) else {
            return Status::unimplemented("malformed method name").into_http();
        };
        let timing = &desk.info.timing;
        let done = desk.metrics.begin(service, method, timing);
        let begun = timing.now();
        if let Err(status) = desk.admit(&request) {
            done.end(&status);
            return status.into_http();
        }
        // Each call is a boxed future, so that this one is small: it is moved more than once.
        let call = match service {
            "etcdserverpb.KV" => servers.kv.clone().call(request),
            "etcdserverpb.Watch" => servers.watch.clone().call(request),
            "etcdserverpb.Lease" => servers.lease.clone().call(request),
            "etcdserverpb.Cluster" => servers.cluster.clone().call(request),
            "etcdserverpb.Maintenance" => servers.maintenance.clone().call(request),
            "grpc.health.v1.Health" => servers.health.clone().call(request),
            "v3lockpb.Lock" => servers.lock.clone().call(request),
            "v3electionpb.Election" => servers.election.clone().call(request),
            service => {
                let status = match service {
                    "etcdserverpb.Auth" => not_yet(path),
                    service => Status::unimplemented(format!("unknown service {service}")),
                };
                done.end(&status);
                return status.into_http();
            }
        };
        let Ok(response) = call.await;
        // Reading and changing keys tells more of itself, in its own file.
        if let Some(path) = done.unary().filter(|path| !path.starts_with("/etcdserverpb.KV/")) {
            timing.request(path, timing.since(begun), || None);
        }
        done.answered(in_etcds_words(response))
    }
}

/// A message beyond the bound is refused by the library below; etcd's library has another code
/// and other words for it.
fn in_etcds_words(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    let numbers = status
        .message()
        .strip_prefix("Error, decoded message length too large: found ")
        .and_then(|rest| rest.strip_suffix(" bytes"))
        .and_then(|rest| rest.split_once(" bytes, the limit is: "));
    match numbers {
        Some((found, limit)) => Status::resource_exhausted(format!(
            "grpc: received message larger than max ({found} vs. {limit})"
        ))
        .into_http(),
        None => response,
    }
}

/// What a method answers whose feature comes later.
fn not_yet(path: &str) -> Status {
    Status::unimplemented(format!("keel does not serve {path} yet"))
}

impl Desk {
    /// etcd's checks before any method (semantics §1.8).
    fn admit<B>(&self, request: &Request<B>) -> Result<(), Status> {
        let headers = request.headers();
        if self.handle.is_learner() && !serves_as_learner(request.uri().path()) {
            return Err(refusal::Bad::NotForLearners.into());
        }
        if headers.get("client-api-version").is_some_and(|value| value.to_str().is_err()) {
            return Err(refusal::Bad::InvalidClientApiVersion.into());
        }
        let wants_leader = headers.get("hasleader").is_some_and(|value| value == "true");
        if wants_leader && self.handle.status().leader == NodeId::NONE {
            return Err(refusal::status(Refusal::NoLeader));
        }
        Ok(())
    }

    /// A response's header at a revision.
    pub(crate) fn header_at(&self, view: &View, revision: i64) -> Option<pb::ResponseHeader> {
        Some(pb::ResponseHeader {
            cluster_id: self.info.cluster_id,
            member_id: self.info.member_id,
            revision,
            raft_term: view.term.0,
        })
    }

    /// A response's header at a revision, in the member's term now, as etcd puts it.
    pub(crate) fn header_now(&self, revision: i64) -> Option<pb::ResponseHeader> {
        Some(pb::ResponseHeader {
            cluster_id: self.info.cluster_id,
            member_id: self.info.member_id,
            revision,
            raft_term: self.handle.status().term.0,
        })
    }

    /// A response's header now.
    pub(crate) fn header(&self) -> Option<pb::ResponseHeader> {
        let view = self.handle.latest();
        self.header_at(&view, view.kv.revision())
    }
}

/// What a learner serves; of ranges only the serializable ones (semantics §7.7).
fn serves_as_learner(path: &str) -> bool {
    let service = path.strip_prefix("/etcdserverpb.").unwrap_or_default();
    matches!(service, "KV/Range" | "Maintenance/Status" | "Maintenance/Snapshot")
}

/// A plain answer of a page.
pub(crate) fn plain(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<String>,
) -> Response<Body> {
    let body = Body::new(http_body_util::Full::new(bytes::Bytes::from(body.into())));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
