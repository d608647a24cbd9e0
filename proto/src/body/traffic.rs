//! What a listener is for, and how it speaks HTTP.

use super::Failure;
use super::config::{Limits, Listen};
use crate::Services;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::server::conn::auto;
use std::io;
use std::time::Duration;
use tonic::body::Body;

/// How long a client may take to send the head of an HTTP/1.1 request, as in etcd.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// What one stream may have sent before it is read: a request at its bound needs two windows.
const STREAM_WINDOW: u32 = 1024 * 1024;

/// What all streams of a connection may have sent before it is read.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Descriptors that are not for clients, as in etcd.
const RESERVED_DESCRIPTORS: u64 = 150;

/// What a listener is for (surface §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// gRPC and pages.
    Both,
    /// Only gRPC: the pages have a listener of their own.
    Grpc,
    /// Only pages.
    Http,
    /// Only `/metrics` and the health pages.
    Metrics,
}

impl Traffic {
    /// The flag that names such listeners.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Traffic::Both | Traffic::Grpc => "--listen-client-urls",
            Traffic::Http => "--listen-client-http-urls",
            Traffic::Metrics => "--listen-metrics-urls",
        }
    }

    /// How etcd's log calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Traffic::Both => "grpc+http",
            Traffic::Grpc => "grpc",
            Traffic::Http => "http",
            Traffic::Metrics => "metrics",
        }
    }

    /// Answers what a listener is for; the rest is not there.
    pub async fn answer(self, services: &Services, request: Request<Incoming>) -> Response<Body> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let path = request.uri().path();
        let health = ["/livez", "/readyz"].iter().any(|page| path.starts_with(page));
        let there = match self {
            Traffic::Both => true,
            Traffic::Grpc => grpc,
            Traffic::Http => !grpc,
            Traffic::Metrics => !grpc && (path == "/metrics" || path == "/health" || health),
        };
        if there {
            return services.answer(request).await;
        }
        let mut response = Response::new(Body::new(String::from("404 page not found\n")));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }
}

/// The transport's settings, one for all connections of a listener: HTTP/1.1 and HTTP/2 on one
/// port. Responses are `dated` by the machine, or not at all.
pub fn transport<E: Clone, T>(
    limits: &Limits,
    executor: E,
    timer: T,
    dated: bool,
) -> auto::Builder<E>
where
    T: hyper::rt::Timer + Clone + Send + Sync + 'static,
{
    let mut transport = auto::Builder::new(executor);
    let mut http1 = transport.http1();
    http1.timer(timer.clone()).header_read_timeout(HEAD_TIMEOUT).auto_date_header(dated);
    let mut http2 = transport.http2();
    http2
        .timer(timer)
        .auto_date_header(dated)
        .max_concurrent_streams(limits.concurrent_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if !limits.keepalive_interval.is_zero() {
        http2
            .keep_alive_interval(limits.keepalive_interval)
            .keep_alive_timeout(limits.keepalive_timeout);
    }
    transport
}

/// How many connections each listener may hold, of so many on each of so many shards, in a process
/// that may have so many descriptors.
#[must_use]
pub fn connections(descriptors: Option<u64>, shards: usize, listeners: usize) -> usize {
    let clients = descriptors.unwrap_or(u64::MAX).saturating_sub(RESERVED_DESCRIPTORS);
    let clients = usize::try_from(clients).unwrap_or(usize::MAX);
    (clients / shards.max(1) / listeners.max(1)).max(1)
}

impl Listen {
    /// The operator's line about an address of a flag, in Go's words, which scripts look for.
    #[must_use]
    pub fn refused(&self, flag: &str, error: &io::Error) -> Failure {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => String::from("address already in use"),
            io::ErrorKind::AddrNotAvailable => String::from("cannot assign requested address"),
            io::ErrorKind::PermissionDenied => String::from("permission denied"),
            _ => error.to_string(),
        };
        Failure::new(format!("{flag}: {}: listen tcp {}: bind: {why}", self.url, self.addr))
    }
}
