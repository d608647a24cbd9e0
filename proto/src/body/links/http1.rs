//! Requests to peers: HTTP/1.1, a connection each unless it is kept.

use crate::body::{Host, Time};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use std::io;
use std::time::Duration;
use tonic::body::Body;

/// A connection on which requests follow each other.
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    host: HeaderValue,
}

impl Connection {
    /// Connects to a peer URL.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or not by plain HTTP.
    pub(crate) async fn open<H: Host>(host: &H, url: &str) -> io::Result<Connection> {
        let Some(place) = url.strip_prefix("http://") else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{url}: TLS between members is not served yet"),
            ));
        };
        let stream = host.connect(place).await?;
        let (sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
        // It ends with the sender and the body of the last answer.
        host.spawn(async move {
            // Whoever reads the answer hears of its errors.
            let _ = connection.await;
        });
        let host = HeaderValue::try_from(place).map_err(io::Error::other)?;
        Ok(Connection { sender, host })
    }

    /// Whether another request can be sent on it.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request; the answer's body is still to be read.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
    ) -> io::Result<Response<Incoming>> {
        self.sender.ready().await.map_err(io::Error::other)?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(io::Error::other)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, self.host.clone());
        self.sender.send_request(request).await.map_err(io::Error::other)
    }
}

/// A body that is here whole.
pub(crate) fn full(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes))
}

/// The whole body of an answer, if it is within bounds.
pub(crate) async fn whole(response: Response<Incoming>, most: usize) -> io::Result<Bytes> {
    let body = Limited::new(response.into_body(), most).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(io::Error::other)
}

/// Asks one page, for so long at most.
pub async fn get<H: Host>(
    host: &H,
    url: &str,
    path: &str,
    most: usize,
    patience: Duration,
) -> io::Result<(HeaderMap, Bytes)> {
    let ask = async {
        let mut connection = Connection::open(host, url).await?;
        let headers = HeaderMap::new();
        let response = connection.send(Method::GET, path, headers, Body::empty()).await?;
        if !response.status().is_success() {
            return Err(io::Error::other(format!("{url}{path} answers {}", response.status())));
        }
        let headers = response.headers().clone();
        Ok((headers, whole(response, most).await?))
    };
    host.time().within(patience, ask).await?
}
