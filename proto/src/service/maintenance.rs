//! Looking after a member.

use super::{CLUSTER_VERSION, Desk, VERSION, downgrade};
use crate::bbolt::{Contents, Export, Survey, Trailer, WholeHash, storage_version, survey};
use crate::convert::request;
use crate::refusal;
use crate::wire::etcdserverpb as pb;
use crate::yielding::yield_now;
use bytes::Bytes;
use keel_core::command::AlarmKind;
use keel_core::state::Checkpoint;
use keel_core::{NodeId, Order, Reply};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::{Request, Response, Status};

/// Records hashed between two chances for others: see `yielding`.
const HASH_STEP: usize = 64;
/// Bytes of one message of a snapshot.
const SNAPSHOT_PIECE: usize = 32 * 1024;
/// Records measured between two chances for others.
const SURVEY_STEP: usize = 128;

#[tonic::async_trait]
impl pb::maintenance_server::Maintenance for Desk {
    async fn alarm(
        &self,
        request: Request<pb::AlarmRequest>,
    ) -> Result<Response<pb::AlarmResponse>, Status> {
        let request = request.into_inner();
        let command = request::alarm(&request);
        let operation = pb::InternalRaftRequest { alarm: Some(request), ..Default::default() };
        let alarms = match self.change(command, operation).await? {
            Reply::Alarms(alarms) => alarms,
            other => unreachable!("an alarm is not answered with {other:?}"),
        };
        let alarms = alarms.into_iter().map(|(member, kind)| pb::AlarmMember {
            member_id: member.0,
            alarm: alarm_type(kind).into(),
        });
        let alarms = alarms.collect();
        Ok(Response::new(pb::AlarmResponse { header: self.header(), alarms }))
    }

    async fn status(
        &self,
        _request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let (view, status) = (self.handle.latest(), self.handle.status());
        let usage = view.kv.usage();
        let mut errors: Vec<String> = Vec::new();
        if status.leader == NodeId::NONE {
            errors.push(String::from("etcdserver: no leader"));
        }
        for (member, kind) in view.alarms.iter() {
            let name = alarm_type(*kind).as_str_name();
            errors.push(format!("memberID:{} alarm:{name} ", member.0));
        }
        let learner = view.cluster.members.get(&status.id).is_some_and(|member| member.learner);
        Ok(Response::new(pb::StatusResponse {
            header: self.header_at(&view, view.kv.revision()),
            version: VERSION.to_owned(),
            db_size: usage.total,
            leader: status.leader.0,
            raft_index: status.commit.0,
            raft_term: status.term.0,
            raft_applied_index: status.applied.0,
            errors,
            db_size_in_use: usage.in_use,
            is_learner: learner,
            storage_version: storage_version(&view.cluster).to_owned(),
            db_size_quota: self.info.quota_bytes,
            downgrade_info: Some(downgrade::info(&view.cluster)),
        }))
    }

    /// Dead memory is given back as compactions go, and dead files are rewritten in the
    /// background: there is nothing left to do.
    async fn defragment(
        &self,
        _request: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        Ok(Response::new(pb::DefragmentResponse { header: None }))
    }

    /// etcd's hash over its whole database.
    async fn hash(
        &self,
        _request: Request<pb::HashRequest>,
    ) -> Result<Response<pb::HashResponse>, Status> {
        let begun = self.info.timing.now();
        let mut hash = WholeHash::new(Contents::of(&*self.export().await?));
        while !hash.step(HASH_STEP) {
            yield_now().await;
        }
        self.metrics.hash_of_all(self.info.timing.since(begun));
        Ok(Response::new(pb::HashResponse { header: self.header(), hash: hash.finish() }))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        let hash = self.hash_kv_at(request.into_inner().revision).await?;
        Ok(Response::new(pb::HashKvResponse {
            header: self.header(),
            hash: hash.hash,
            compact_revision: hash.compacted,
            hash_revision: hash.revision,
        }))
    }

    type SnapshotStream = SnapshotStream;

    async fn snapshot(
        &self,
        _request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<SnapshotStream>, Status> {
        let state = self.export().await?;
        let mut survey: Survey = survey(Contents::of(&state));
        while !survey.step(SURVEY_STEP) {
            yield_now().await;
        }
        Ok(Response::new(SnapshotStream::new(survey.finish())))
    }

    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        let order = Order::MoveLeader { to: NodeId(request.into_inner().target_id) };
        self.handle.admin(order).await.map_err(refusal::status)?;
        // As etcd's, without a header.
        Ok(Response::new(pb::MoveLeaderResponse { header: None }))
    }

    async fn downgrade(
        &self,
        request: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        let version = self.downgrade_to(request.into_inner()).await?;
        let header = self.header_now(self.handle.latest().kv.revision());
        Ok(Response::new(pb::DowngradeResponse { header, version }))
    }
}

impl Desk {
    /// The whole state, as of now.
    async fn export(&self) -> Result<Arc<Checkpoint>, Status> {
        match self.handle.admin(Order::Export).await.map_err(refusal::status)? {
            Reply::Export(state) => Ok(state),
            other => unreachable!("an export is not answered with {other:?}"),
        }
    }

    pub(crate) async fn hash_kv_at(&self, revision: i64) -> Result<keel_core::mvcc::Hash, Status> {
        let begun = self.info.timing.now();
        let view = self.handle.latest();
        let mut hasher = match view.kv.hasher(revision).map_err(refusal::status)? {
            Ok(hash) => return Ok(hash),
            Err(hasher) => hasher,
        };
        while !hasher.step(HASH_STEP) {
            yield_now().await;
        }
        self.metrics.hash_of_revision(self.info.timing.since(begun));
        Ok(hasher.hash())
    }
}

fn alarm_type(kind: AlarmKind) -> pb::AlarmType {
    match kind {
        AlarmKind::NoSpace => pb::AlarmType::Nospace,
        AlarmKind::Corrupt => pb::AlarmType::Corrupt,
    }
}

/// A database in pieces, and its hash behind it (semantics §9c).
pub(crate) struct SnapshotStream {
    export: Export,
    trailer: Option<Trailer>,
    remaining: u64,
    /// Whether others had their chance since the last piece.
    rested: bool,
}

impl SnapshotStream {
    fn new(export: Export) -> SnapshotStream {
        let remaining = export.total_len();
        SnapshotStream { export, trailer: Some(Trailer::new()), remaining, rested: true }
    }

    fn piece(&mut self) -> Option<(Bytes, u64)> {
        if let Some(piece) = self.export.next_piece(SNAPSHOT_PIECE) {
            self.remaining -= piece.len() as u64;
            if let Some(trailer) = &mut self.trailer {
                trailer.update(&piece);
            }
            return Some((piece, self.remaining));
        }
        let trailer = self.trailer.take()?;
        Some((trailer.finish(), 0))
    }
}

impl tokio_stream::Stream for SnapshotStream {
    type Item = Result<pb::SnapshotResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // A client with a wide window would have the shard to itself for the whole database.
        self.rested = !self.rested;
        if self.rested {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.piece().map(|(blob, remaining_bytes)| {
            let version = CLUSTER_VERSION.to_owned();
            Ok(pb::SnapshotResponse { header: None, remaining_bytes, blob, version })
        }))
    }
}
