//! Calls to another member's client port: HTTP/2, a connection each.

use crate::body::{Host, Spawner};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::Service;

/// A connection that generated clients can call through.
pub(crate) struct Grpc(SendRequest<Body>);

impl Grpc {
    /// Connects to a client URL.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or not by plain HTTP.
    pub(crate) async fn open<H: Host>(host: &H, url: &str) -> io::Result<Grpc> {
        let Some(place) = url.strip_prefix("http://") else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{url}: TLS between members is not served yet"),
            ));
        };
        let stream = host.connect(place).await?;
        let (sender, connection) =
            handshake(Spawner(host.clone()), stream).await.map_err(io::Error::other)?;
        host.spawn(async move {
            // Whoever reads the answer hears of its errors.
            let _ = connection.await;
        });
        Ok(Grpc(sender))
    }
}

impl Service<Request<Body>> for Grpc {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
