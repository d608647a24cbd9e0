//! Who belongs to the cluster, and changing that (semantics §7.5).

use super::Desk;
use crate::convert;
use crate::ids;
use crate::peer::{Said, members};
use crate::refusal;
use crate::urls;
use crate::wire::etcdserverpb as pb;
use http::StatusCode;
use keel_core::members::{Cluster, Member};
use keel_core::raft::ChangeStep;
use keel_core::{NodeId, Refusal, Reply};
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl pb::cluster_server::Cluster for Desk {
    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        let request = request.into_inner();
        let peer_urls = request.peer_ur_ls.iter().map(|url| urls::normal(url).ok());
        let peer_urls = peer_urls.collect::<Option<Vec<String>>>().filter(|urls| !urls.is_empty());
        let mut peer_urls = peer_urls.ok_or(refusal::Bad::BadUrls)?;
        peer_urls.sort();
        let learner = request.is_learner;
        // An id is never used twice, so what makes it must never come again either.
        let id = ids::member(&peer_urls, &self.handle.next_id().to_string());
        let member = Member { peer_urls, learner, ..Member::default() };
        let step = if learner { ChangeStep::AddLearner(id) } else { ChangeStep::AddVoter(id) };
        let cluster = self.reconfigure(step, &members::one(id, &member)).await;
        let cluster = cluster.map_err(refusal::status)?;
        Ok(Response::new(pb::MemberAddResponse {
            header: self.header_now(0),
            member: cluster.members.get(&id).map(|member| message(id, member)),
            members: list(&cluster),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        let id = NodeId(request.into_inner().id);
        let cluster = self.reconfigure(ChangeStep::Remove(id), "").await;
        let cluster = cluster.map_err(refusal::status)?;
        let members = list(&cluster);
        Ok(Response::new(pb::MemberRemoveResponse { header: self.header_now(0), members }))
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        let request = request.into_inner();
        let id = NodeId(request.id);
        // etcd's server does not look at these URLs; its clients do.
        let member = Member { peer_urls: request.peer_ur_ls, ..Member::default() };
        let context = members::one(id, &member);
        let cluster = self.reconfigure(ChangeStep::Update(id), &context).await;
        let cluster = cluster.map_err(refusal::status)?;
        let members = list(&cluster);
        Ok(Response::new(pb::MemberUpdateResponse { header: self.header_now(0), members }))
    }

    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let view = if request.into_inner().linearizable {
            self.handle.read().await.map_err(refusal::status)?
        } else {
            self.handle.latest()
        };
        let members = list(&view.cluster);
        Ok(Response::new(pb::MemberListResponse { header: self.header_at(&view, 0), members }))
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        let id = NodeId(request.into_inner().id);
        let members = match self.promote(id).await {
            Ok(cluster) => list(&cluster),
            Err(Refusal::NotLeader) => self.promote_by_leader(id).await?,
            Err(why) => return Err(refusal::status(why)),
        };
        Ok(Response::new(pb::MemberPromoteResponse { header: self.header_now(0), members }))
    }
}

impl Desk {
    /// Puts a change of the membership into the log and waits until it took effect.
    async fn reconfigure(&self, step: ChangeStep, context: &str) -> Result<Arc<Cluster>, Refusal> {
        let make = |ticket| convert::change(ticket, step, context);
        match self.handle.reconfigure(make).await? {
            Reply::Members(cluster) => Ok(cluster),
            other => unreachable!("a change of members is not answered with {other:?}"),
        }
    }

    /// Makes a voter of a learner; only the leader can.
    pub(crate) async fn promote(&self, id: NodeId) -> Result<Arc<Cluster>, Refusal> {
        let done = self.reconfigure(ChangeStep::AddVoter(id), &members::promotion(id)).await;
        if done.is_ok() {
            self.metrics.learner_promoted();
        }
        done
    }

    async fn promote_by_leader(&self, id: NodeId) -> Result<Vec<pb::Member>, Status> {
        let said = self.info.leader.ask(format!("/members/promote/{}", id.0), Vec::new()).await;
        let refusal = match said.map_err(refusal::status)? {
            Said::Mine | Said::Renewed(_) => {
                let cluster = self.promote(id).await.map_err(refusal::status)?;
                return Ok(list(&cluster));
            }
            Said::Page(StatusCode::OK, body) => {
                let members = members::parse_list(&body).unwrap_or_default();
                return Ok(list(&Cluster { members, ..Cluster::default() }));
            }
            Said::Page(StatusCode::NOT_FOUND, _) => Refusal::MemberNotFound,
            Said::Page(StatusCode::PRECONDITION_FAILED, body) => {
                let ready = body.windows(7).any(|word| word == b"in sync");
                if ready { Refusal::LearnerNotReady } else { Refusal::NotLearner }
            }
            Said::Page(_, body) => {
                let text = String::from_utf8_lossy(&body).trim_end().to_owned();
                return Err(Status::unknown(text));
            }
        };
        Err(refusal::status(refusal))
    }
}

fn list(cluster: &Cluster) -> Vec<pb::Member> {
    cluster.members.iter().map(|(id, member)| message(*id, member)).collect()
}

fn message(id: NodeId, member: &Member) -> pb::Member {
    pb::Member {
        id: id.0,
        name: member.name.clone(),
        peer_ur_ls: member.peer_urls.clone(),
        client_ur_ls: member.client_urls.clone(),
        is_learner: member.learner,
    }
}
