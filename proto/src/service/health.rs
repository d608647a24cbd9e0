//! gRPC's own health service.

use super::Desk;
use crate::wire::tree::health as pb;
use pb::health_check_response::ServingStatus;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::{Request, Response, Status};

impl Desk {
    /// The server as a whole serves; a service of another name is unknown.
    fn standing(&self, service: &str) -> Result<ServingStatus, Status> {
        if !service.is_empty() {
            return Err(Status::not_found("unknown service"));
        }
        Ok(ServingStatus::Serving)
    }
}

#[tonic::async_trait]
impl pb::health_server::Health for Desk {
    async fn check(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        let status = self.standing(&request.into_inner().service)?.into();
        Ok(Response::new(pb::HealthCheckResponse { status }))
    }

    type WatchStream = Standing;

    async fn watch(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<Standing>, Status> {
        let standing = self.standing(&request.into_inner().service);
        let status = standing.unwrap_or(ServingStatus::ServiceUnknown).into();
        Ok(Response::new(Standing(Some(pb::HealthCheckResponse { status }))))
    }
}

/// Says how the server stands, and then nothing: it stands so until the stream breaks.
#[derive(Debug)]
pub(crate) struct Standing(Option<pb::HealthCheckResponse>);

impl tokio_stream::Stream for Standing {
    type Item = Result<pb::HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.take() {
            Some(response) => Poll::Ready(Some(Ok(response))),
            None => Poll::Pending,
        }
    }
}
