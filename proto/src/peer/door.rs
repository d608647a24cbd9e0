//! What a member answers its peers (semantics §9e.3, surface §4.5).

use super::headers::{self, Identity};
use super::message::decode;
use super::state::{Announced, Head};
use super::stream::{Channel, Endless, Out};
use super::{leases, members};
use crate::service::{Desk, Services, plain};
use crate::wire::etcdserverpb as pb;
use crate::wire::tree::{leasepb, raftpb};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Limited};
use keel_core::node::Restored;
use keel_core::raft::Message;
use keel_core::{LeaseId, NodeId, Order, Refusal, Reply, Term};
use prost::Message as _;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tonic::body::Body;
use tonic::codegen::StdError;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";

/// One message, at most.
const MESSAGE_MAX: usize = 64 * 1024 * 1024;
/// A question about a lease, at most.
const LEASE_MAX: usize = 64 * 1024;
/// Pieces of a state that may wait to be taken in.
const PIECES: usize = 16;
/// Messages that may wait for a peer to read them, as in etcd.
const QUEUE: usize = 4096;

/// What is heard of peers.
#[derive(Debug)]
pub enum Heard {
    /// A peer says something.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A peer listens: what is put into the queue reaches it.
    Listens {
        /// Who.
        peer: NodeId,
        /// To what.
        channel: Channel,
        /// Where to put it.
        queue: mpsc::Sender<Out>,
    },
    /// A peer begins to send its state; the pieces follow.
    StateComes {
        /// What it is.
        announced: Announced,
        /// The database.
        pieces: mpsc::Receiver<Piece>,
        /// How taking it in ended.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// A peer's state is here, whole.
    State {
        /// From whom.
        from: NodeId,
        /// In which term it was sent.
        term: Term,
        /// What it is.
        state: Box<Restored>,
        /// That it is here.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// How bringing a peer the state ended.
    StateSent {
        /// Whose.
        peer: NodeId,
        /// Whether it has it.
        arrived: bool,
    },
    /// A peer can be reached, and speaks this version.
    Up {
        /// Who.
        peer: NodeId,
        /// As `major.minor.patch`.
        version: String,
    },
    /// A peer cannot be reached any more.
    Down {
        /// Who.
        peer: NodeId,
    },
    /// What a peer sent could not be read, or not be taken in.
    Refused {
        /// Whose.
        peer: NodeId,
        /// Why.
        why: String,
    },
    /// A peer lets this member hear nothing: it belongs to another cluster, or is too old.
    RefusedBy {
        /// Who.
        peer: NodeId,
        /// Why, in its words.
        why: String,
    },
    /// A peer says that this member was removed from the cluster.
    Expelled,
}

/// A part of a database on its way.
#[derive(Debug)]
pub enum Piece {
    /// More of it.
    Bytes(Bytes),
    /// It is whole.
    End,
}

/// Answers peers; clones share it.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    me: Identity,
    desk: Arc<Desk>,
    /// Members of the cluster that this one is about to join, known before its log tells them.
    introduced: BTreeSet<NodeId>,
    heard: mpsc::Sender<Heard>,
    /// The date, as RFC 3339 writes it.
    date: Date,
}

/// Tells the date.
pub type Date = Box<dyn Fn() -> String + Send + Sync>;

type Refused = (StatusCode, String);

fn refused(status: StatusCode, text: impl Into<String>) -> Refused {
    (status, text.into())
}

impl Door {
    /// A door of this member; what comes in goes to `heard`.
    #[must_use]
    pub fn new(
        me: Identity,
        services: &Services,
        introduced: BTreeSet<NodeId>,
        heard: mpsc::Sender<Heard>,
        date: Date,
    ) -> Door {
        Door(Arc::new(Inner { me, desk: services.desk(), introduced, heard, date }))
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let inner = &*self.0;
        let mut response = match inner.route(request).await {
            Ok(response) => response,
            Err((status, text)) => plain(status, TEXT, text + "\n"),
        };
        response.headers_mut().extend(inner.me.of_response());
        response
    }
}

impl Inner {
    async fn route<B>(&self, request: Request<B>) -> Result<Response<Body>, Refused>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let path = request.uri().path().to_owned();
        if let Some(rest) = path.strip_prefix("/raft/stream/") {
            method(&request, Method::GET)?;
            return self.stream(request.headers(), rest).await;
        }
        if let Some(id) = path.strip_prefix("/members/promote/") {
            method(&request, Method::POST)?;
            return self.promote(id).await;
        }
        match path.as_str() {
            "/raft" => {
                method(&request, Method::POST)?;
                self.message(request).await
            }
            super::state::PATH => {
                method(&request, Method::POST)?;
                self.state(request).await
            }
            "/raft/probing" => {
                let now = (self.date)();
                Ok(plain(StatusCode::OK, JSON, format!("{{\"OK\":true,\"Now\":\"{now}\"}}\n")))
            }
            "/members" => {
                method(&request, Method::GET)?;
                let list = members::list(&self.desk.handle.latest().cluster);
                Ok(plain(StatusCode::OK, JSON, list + "\n"))
            }
            super::corruption::PATH => {
                method(&request, Method::GET)?;
                self.hash_kv(request).await
            }
            "/leases" => {
                method(&request, Method::POST)?;
                self.keep_alive(request).await
            }
            leases::PATH => {
                method(&request, Method::POST)?;
                self.keep_all_alive(request).await
            }
            "/leases/internal" => {
                method(&request, Method::POST)?;
                self.time_to_live(request).await
            }
            "/downgrade/enabled" => match self.desk.handle.read().await {
                Ok(view) => {
                    let enabled = view.cluster.target().is_some();
                    Ok(plain(StatusCode::OK, TEXT, enabled.to_string()))
                }
                Err(why) => {
                    let why = crate::refusal::status(why);
                    let text = format!("failed linearized read: {}", why.message());
                    Err(refused(StatusCode::INTERNAL_SERVER_ERROR, text))
                }
            },
            "/version" => Ok(self.desk.version()),
            _ => Err(refused(StatusCode::NOT_FOUND, "404 page not found")),
        }
    }

    /// Opens one of the endless answers.
    async fn stream(
        &self,
        headers: &http::HeaderMap,
        rest: &str,
    ) -> Result<Response<Body>, Refused> {
        self.me.admit(headers).map_err(|(status, text)| refused(status, text))?;
        let (channel, from) = rest.split_once('/').unwrap_or((rest, ""));
        let channel = match channel {
            "msgapp" => Channel::Appends,
            "message" => Channel::Messages,
            _ => return Err(refused(StatusCode::NOT_FOUND, "invalid path")),
        };
        let from = u64::from_str_radix(from, 16).map(NodeId);
        let from = from.map_err(|_| refused(StatusCode::NOT_FOUND, "invalid from"))?;
        if self.is_removed(from) {
            return Err(refused(StatusCode::GONE, "removed member"));
        }
        if !self.is_member(from) {
            return Err(refused(StatusCode::NOT_FOUND, "error sender not found"));
        }
        if headers::to(headers) != Some(self.me.member) {
            return Err(refused(StatusCode::PRECONDITION_FAILED, "to field mismatch"));
        }
        let (queue, messages) = mpsc::channel(QUEUE);
        self.hear(Heard::Listens { peer: from, channel, queue }).await?;
        let sent = self.desk.metrics.sent_to(from);
        let endless = Endless::new(channel, self.me.member, from, messages, sent);
        Ok(Response::new(Body::new(endless)))
    }

    fn is_removed(&self, id: NodeId) -> bool {
        self.desk.handle.latest().cluster.removed.contains(&id)
    }

    fn is_member(&self, id: NodeId) -> bool {
        let members = &self.desk.handle.latest().cluster.members;
        members.contains_key(&id)
            || !members.contains_key(&self.me.member) && self.introduced.contains(&id)
    }

    async fn hear(&self, heard: Heard) -> Result<(), Refused> {
        let sent = self.heard.send(heard).await;
        sent.map_err(|_| refused(StatusCode::SERVICE_UNAVAILABLE, "server is stopping"))
    }

    /// One message that came by itself.
    async fn message<B>(&self, request: Request<B>) -> Result<Response<Body>, Refused>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let bad = |text| refused(StatusCode::BAD_REQUEST, text);
        self.me.admit(request.headers()).map_err(|(status, text)| refused(status, text))?;
        let sender = headers::from(request.headers());
        let bad = |text| {
            if let Some(sender) = sender {
                self.desk.metrics.unreadable(sender);
            }
            bad(text)
        };
        let body = collect(request, MESSAGE_MAX).await;
        let body = body.ok_or_else(|| bad("error reading raft message"))?;
        let raw = raftpb::Message::decode(body);
        let raw = raw.map_err(|_| bad("error unmarshalling raft message"))?;
        let (from, to) = (NodeId(raw.from()), NodeId(raw.to()));
        if self.is_removed(from) {
            return Ok(forbidden("cannot process message from removed member"));
        }
        if to != self.me.member {
            return Ok(forbidden("cannot process message to mismatch member"));
        }
        let message = decode(raw).map_err(|_| bad("error unmarshalling raft message"))?;
        self.hear(Heard::Message { from, message }).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// A whole state: the message in front is read here, the database by whoever has a place
    /// for it.
    async fn state<B>(&self, request: Request<B>) -> Result<Response<Body>, Refused>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        self.me.admit(request.headers()).map_err(|(status, text)| refused(status, text))?;
        let undecodable = |why: String| {
            let text = format!("failed to decode raft message ({why})");
            refused(StatusCode::BAD_REQUEST, text)
        };
        let mut body = Box::pin(request.into_body());
        let mut head = Head::default();
        let (message, first) = loop {
            if let Some(whole) = head.take().map_err(undecodable)? {
                break whole;
            }
            let bytes = next_bytes(&mut body).await.map_err(undecodable)?;
            let ended = || undecodable(String::from("unexpected EOF"));
            head.feed(&bytes.ok_or_else(ended)?);
        };
        if self.is_removed(NodeId(message.from())) {
            return Ok(forbidden("cannot process message from removed member"));
        }
        if NodeId(message.to()) != self.me.member {
            return Ok(forbidden("cannot process message to mismatch member"));
        }
        let Some(announced) = Announced::of(message) else {
            return Err(refused(StatusCode::BAD_REQUEST, "wrong raft message type"));
        };
        let failed = |why: String| {
            let text = format!("failed to save KV snapshot ({why})");
            refused(StatusCode::INTERNAL_SERVER_ERROR, text)
        };
        let (pieces, receiver) = mpsc::channel(PIECES);
        let (answer, taken) = oneshot::channel();
        self.hear(Heard::StateComes { announced, pieces: receiver, answer }).await?;
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            if pieces.send(Piece::Bytes(bytes)).await.is_err() {
                break; // Whoever takes it in has given up, and says why.
            }
            piece = next_bytes(&mut body).await.map_err(failed)?;
        }
        // The same.
        let _ = pieces.send(Piece::End).await;
        drop(pieces);
        let taken = taken.await.unwrap_or_else(|_| Err(String::from("server is stopping")));
        taken.map(|()| empty(StatusCode::NO_CONTENT)).map_err(failed)
    }

    async fn keep_alive<B>(&self, request: Request<B>) -> Result<Response<Body>, Refused>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let body = lease_body(request).await?;
        let request = pb::LeaseKeepAliveRequest::decode(body)
            .map_err(|_| refused(StatusCode::BAD_REQUEST, "error unmarshalling request"))?;
        let ttl = match self.desk.handle.renew(LeaseId(request.id)).await {
            Ok(Reply::Renew { ttl: 0, .. }) | Err(Refusal::LeaseNotFound) => {
                return Err(refused(StatusCode::NOT_FOUND, "lease not found"));
            }
            Ok(Reply::Renew { ttl, .. }) => ttl,
            Ok(other) => unreachable!("a renewal is not answered with {other:?}"),
            Err(why) => return Err(lease_refused(why, StatusCode::BAD_REQUEST)),
        };
        let response = pb::LeaseKeepAliveResponse { header: None, id: request.id, ttl };
        Ok(protobuf(response.encode_to_vec()))
    }

    /// Only where this member is sure to lead; zero is a lease that must be asked for by itself.
    async fn keep_all_alive<B>(&self, request: Request<B>) -> Result<Response<Body>, Refused>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let body = lease_body(request).await?;
        let ids = leases::decode(&body).filter(|ids| ids.len() <= leases::MANY);
        let ids =
            ids.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "error unmarshalling request"))?;
        let renewed = self.desk.handle.renew_all(ids.into_iter().map(LeaseId).collect()).await;
        let renewed = renewed.map_err(|why| lease_refused(why, StatusCode::BAD_REQUEST))?;
        Ok(protobuf(leases::encode(renewed.into_iter())))
    }

    async fn time_to_live<B>(&self, request: Request<B>) -> Result<Response<Body>, Refused>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let body = lease_body(request).await?;
        let request = leasepb::LeaseInternalRequest::decode(body)
            .map_err(|_| refused(StatusCode::BAD_REQUEST, "error unmarshalling request"))?;
        let request = request.lease_time_to_live_request.unwrap_or_default();
        let order = Order::TimeToLive { lease: LeaseId(request.id), keys: request.keys };
        let life = match self.desk.handle.admin(order).await {
            Ok(Reply::TimeToLive(life)) => life,
            Ok(other) => unreachable!("a time to live is not answered with {other:?}"),
            Err(why) => return Err(lease_refused(why, StatusCode::INTERNAL_SERVER_ERROR)),
        };
        let Some(life) = life else {
            return Err(refused(StatusCode::NOT_FOUND, "lease not found"));
        };
        let response = pb::LeaseTimeToLiveResponse {
            header: self.desk.header(),
            id: request.id,
            ttl: life.remaining,
            granted_ttl: life.granted,
            keys: life.keys,
        };
        let response =
            leasepb::LeaseInternalResponse { lease_time_to_live_response: Some(response) };
        Ok(protobuf(response.encode_to_vec()))
    }

    async fn promote(&self, id: &str) -> Result<Response<Body>, Refused> {
        let Ok(id) = id.parse().map(NodeId) else {
            let text = format!("member {id} not found in cluster");
            return Err(refused(StatusCode::NOT_FOUND, text));
        };
        match self.desk.promote(id).await {
            Ok(cluster) => Ok(plain(StatusCode::OK, JSON, members::list(&cluster) + "\n")),
            Err(Refusal::MemberNotFound) => {
                Err(refused(StatusCode::NOT_FOUND, "membership: ID not found"))
            }
            Err(Refusal::NotLearner) => Err(refused(
                StatusCode::PRECONDITION_FAILED,
                "membership: can only promote a learner member",
            )),
            Err(why @ Refusal::LearnerNotReady) => {
                Err(refused(StatusCode::PRECONDITION_FAILED, crate::refusal::status(why).message()))
            }
            Err(why) => {
                let text = crate::refusal::status(why).message().to_owned();
                Err(refused(StatusCode::INTERNAL_SERVER_ERROR, text))
            }
        }
    }

    async fn hash_kv<B>(&self, request: Request<B>) -> Result<Response<Body>, Refused>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        if headers::cluster(request.headers()).is_some_and(|id| id != self.me.cluster) {
            return Err(refused(StatusCode::PRECONDITION_FAILED, "cluster ID mismatch"));
        }
        let bad = || refused(StatusCode::BAD_REQUEST, "error unmarshalling request");
        let body = collect(request, LEASE_MAX).await.ok_or_else(bad)?;
        let json: serde_json::Value = serde_json::from_slice(&body).map_err(|_| bad())?;
        let revision = json.get("revision").and_then(serde_json::Value::as_i64).unwrap_or(0);
        let hash = self.desk.hash_kv_at(revision).await.map_err(|status| {
            let text = status.message().trim_start_matches("etcdserver: ").to_owned();
            refused(StatusCode::BAD_REQUEST, text)
        })?;
        let now = self.desk.handle.latest().kv.revision();
        let mut answer = format!("{{\"header\":{{\"revision\":{now}}}");
        for (name, value) in [
            ("hash", i64::from(hash.hash)),
            ("compact_revision", hash.compacted),
            ("hash_revision", hash.revision),
        ] {
            if value != 0 {
                answer.push_str(&format!(",\"{name}\":{value}"));
            }
        }
        Ok(plain(StatusCode::OK, JSON, answer + "}"))
    }
}

/// The next bytes of a body; nothing at its end.
async fn next_bytes<B>(body: &mut std::pin::Pin<Box<B>>) -> Result<Option<Bytes>, String>
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(error.into().to_string()),
            Some(Ok(frame)) => {
                if let Ok(mut data) = frame.into_data() {
                    let len = bytes::Buf::remaining(&data);
                    return Ok(Some(bytes::Buf::copy_to_bytes(&mut data, len)));
                }
            }
        }
    }
}

/// The whole body, if it is within bounds and comes to its end.
async fn collect<B>(request: Request<B>, most: usize) -> Option<Bytes>
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    let body = Limited::new(request.into_body(), most);
    Some(Box::pin(body.collect()).await.ok()?.to_bytes())
}

async fn lease_body<B>(request: Request<B>) -> Result<Bytes, Refused>
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    let body = collect(request, LEASE_MAX).await;
    body.ok_or_else(|| refused(StatusCode::PAYLOAD_TOO_LARGE, "request body too large"))
}

fn lease_refused(why: Refusal, otherwise: StatusCode) -> Refused {
    let text = crate::refusal::status(why).message().to_owned();
    match why {
        Refusal::TimeoutWaitApplied => refused(
            StatusCode::REQUEST_TIMEOUT,
            "waiting for node to catch up its applied index has timed out",
        ),
        Refusal::NotLeader => refused(otherwise, "not a primary lessor"),
        _ => refused(otherwise, text),
    }
}

fn method<B>(request: &Request<B>, wanted: Method) -> Result<(), Refused> {
    if request.method() == wanted {
        return Ok(());
    }
    Err(refused(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"))
}

fn forbidden(text: &str) -> Response<Body> {
    plain(StatusCode::FORBIDDEN, JSON, format!("{{\"message\":\"{text}\"}}"))
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn protobuf(bytes: Vec<u8>) -> Response<Body> {
    let body = Body::new(http_body_util::Full::new(Bytes::from(bytes)));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    response
}
