//! A client's deadline: `grpc-timeout`, as gRPC's transport enforces it.

use super::{Over, Time};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use keel_core::Instant;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::{Code, Status};

/// What Go's context says when its time is over.
const OVER: &str = "context deadline exceeded";

/// Answers a request within the time that its head grants: the call first, then its stream.
pub(super) async fn bounded<T: Time, A, F>(
    time: T,
    request: Request<Incoming>,
    answer: A,
) -> Response<Body>
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Body>>,
{
    let span = match granted(request.headers()) {
        // A time beyond the clock's end is no bound.
        Ok(span) => span.filter(|span| u64::try_from(span.as_nanos()).is_ok()),
        Err(status) => return status.into_http(),
    };
    let Some(span) = span else { return answer(request).await };
    let end = time.now().after(span);
    match time.within(span, answer(request)).await {
        Ok(response) => {
            response.map(|body| Body::new(Bounded { time, body, end, sleep: None, over: false }))
        }
        Err(Over) => Status::deadline_exceeded(OVER).into_http(),
    }
}

/// The time that a request's head grants.
fn granted(head: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = head.get("grpc-timeout") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    match parse(text) {
        Some(span) => Ok(Some(span)),
        None => Err(Status::internal(format!("malformed grpc-timeout: {text:?}"))),
    }
}

/// One to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A response's body that ends with `DEADLINE_EXCEEDED` if its time comes first.
struct Bounded<T: Time> {
    time: T,
    body: Body,
    end: Instant,
    /// Made once the body has to wait: most answers are whole at once.
    sleep: Option<Pin<Box<T::Sleep>>>,
    over: bool,
}

impl<T: Time> http_body::Body for Bounded<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let bounded = &mut *self;
        let sleep = || Box::pin(bounded.time.sleep_until(bounded.end));
        let sleep = bounded.sleep.get_or_insert_with(sleep);
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.over = true;
        // The stream behind it has no reader any more: its owner learns that now.
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        let status = Status::new(Code::DeadlineExceeded, OVER);
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let table = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("4999m", Some(Duration::from_millis(4999))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("5", None),
            ("5s", None),
            ("-1S", None),
            ("+1S", None),
            ("123456789S", None),
            ("1é", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
