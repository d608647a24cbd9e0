//! PENDING
use http::{Request, Response};
use hyper::body::Incoming;
use keel_core::{Boot, Entry, RawEntry, planner::Recovered};
use tonic::body::Body;
pub(crate) fn answer() -> impl Fn(Request<Incoming>) -> std::future::Ready<Response<Body>> + Clone {
    |_r| std::future::ready(Response::new(Body::empty()))
}
pub(crate) fn boot(_r: Recovered) -> Result<Boot, crate::Failure> {
    let _x: Option<(RawEntry, Entry)> = None;
    unimplemented!()
}
