//! Locks: who is first in a name's queue holds it.

use super::Desk;
use super::queue::{Leave, Waiting, plain, queue_of};
use crate::wire::etcdserverpb as pb;
use crate::wire::tree::v3lockpb as lock;
use bytes::Bytes;
use pb::kv_server::Kv;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl lock::lock_server::Lock for Desk {
    async fn lock(
        &self,
        request: Request<lock::LockRequest>,
    ) -> Result<Response<lock::LockResponse>, Status> {
        let lock::LockRequest { name, lease } = request.into_inner();
        let lease = self.session(lease).await?;
        let queue = queue_of(&name);
        let place = self.enter(&queue, lease, Bytes::new()).await?;
        let key = place.key;
        if place.first {
            return Ok(Response::new(lock::LockResponse { header: place.header, key }));
        }
        let waiting = Waiting::new(self, key.clone(), Leave::Delete);
        self.turn(&queue, place.created).await?;
        // The lease may have ended while it waited, and the key with it.
        let mine = self.look(pb::RangeRequest { key: key.clone(), ..Default::default() }).await?;
        waiting.stay();
        if mine.kvs.is_empty() {
            return Err(Status::unknown("mutex: session is expired"));
        }
        Ok(Response::new(lock::LockResponse { header: mine.header, key }))
    }

    async fn unlock(
        &self,
        request: Request<lock::UnlockRequest>,
    ) -> Result<Response<lock::UnlockResponse>, Status> {
        let lock::UnlockRequest { key } = request.into_inner();
        let delete = pb::DeleteRangeRequest { key, ..Default::default() };
        let answer = self.delete_range(Request::new(delete)).await.map_err(plain)?;
        Ok(Response::new(lock::UnlockResponse { header: answer.into_inner().header }))
    }
}
