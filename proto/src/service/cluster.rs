//! Who belongs to the cluster. Changing that comes with replication.

use super::{Desk, not_yet};
use crate::refusal;
use crate::wire::etcdserverpb as pb;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl pb::cluster_server::Cluster for Desk {
    async fn member_add(
        &self,
        _request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        Err(not_yet("/etcdserverpb.Cluster/MemberAdd"))
    }

    async fn member_remove(
        &self,
        _request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        Err(not_yet("/etcdserverpb.Cluster/MemberRemove"))
    }

    async fn member_update(
        &self,
        _request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        Err(not_yet("/etcdserverpb.Cluster/MemberUpdate"))
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
        let members = view.cluster.members.iter().map(|(id, member)| pb::Member {
            id: id.0,
            name: member.name.clone(),
            peer_ur_ls: member.peer_urls.clone(),
            client_ur_ls: member.client_urls.clone(),
            is_learner: member.learner,
        });
        let members = members.collect();
        Ok(Response::new(pb::MemberListResponse { header: self.header_at(&view, 0), members }))
    }

    async fn member_promote(
        &self,
        _request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        Err(not_yet("/etcdserverpb.Cluster/MemberPromote"))
    }
}
