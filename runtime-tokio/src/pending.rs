//! What `proto` gives a shard once its services are there: the two places to plug them in.

use crate::hub::Turn;
use http::{Request, Response};
use hyper::body::Incoming;
use keel_core::Instant;
use keel_core::output::Batch;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use tonic::Status;
use tonic::body::Body;

/// Answers a request as a gRPC server answers a method that it does not have.
pub(crate) fn answer(_: Request<Incoming>) -> Ready<Response<Body>> {
    ready(Status::unimplemented("no service is plugged in").into_http())
}

/// Turns a hub without streams: nobody can call it.
pub(crate) fn turn(_: Instant, turn: Turn<Arc<Batch>, Infallible>) -> Option<Instant> {
    match turn {
        Turn::Applied(_) | Turn::Tick => None,
        Turn::Call(never) => match never {},
    }
}
