//! Streams whose clients want the member to know a leader (metadata `hasleader`): they end when
//! it has known none for too long, so that clients go to another member (surface §5).

use crate::refusal;
use keel_core::Refusal;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Looks in a row without a leader that end streams; there is one every election timeout.
const LOOKS: u32 = 3;

/// The streams that want a leader.
#[derive(Debug, Default)]
pub(crate) struct Leaderless(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Looks since a leader was seen.
    looks: u32,
    streams: Vec<oneshot::Sender<()>>,
}

impl Leaderless {
    /// What ends a stream of a client that wants a leader, or of one that does not care.
    pub(super) fn end_of(&self, metadata: &MetadataMap) -> Leaving {
        if metadata.get("hasleader").is_none_or(|value| value != "true") {
            return Leaving(None);
        }
        let (end, ended) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).streams.push(end);
        Leaving(Some(ended))
    }

    /// Looks whether there is a leader; the third time without one streams end.
    pub(super) fn look(&self, led: bool) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.looks = if led { 0 } else { inner.looks + 1 };
        inner.streams.retain(|stream| !stream.is_closed());
        if inner.looks >= LOOKS {
            for stream in std::mem::take(&mut inner.streams) {
                // Its client may just have gone.
                let _ = stream.send(());
            }
        }
    }
}

/// The end that a stream may meet.
#[derive(Debug)]
pub(super) struct Leaving(Option<oneshot::Receiver<()>>);

impl Leaving {
    /// The status that ends the stream, once it has to.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Status> {
        let ended = self.0.as_mut()?;
        match std::pin::Pin::new(ended).poll(cx) {
            Poll::Ready(Ok(())) => {
                self.0 = None;
                Some(refusal::status(Refusal::NoLeader))
            }
            // The services are gone, and the server with them.
            Poll::Ready(Err(_)) => {
                self.0 = None;
                None
            }
            Poll::Pending => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Leaderless, Leaving};
    use std::task::{Context, Waker};
    use tonic::metadata::MetadataMap;

    fn ends(leaving: &mut Leaving) -> Option<String> {
        let mut cx = Context::from_waker(Waker::noop());
        leaving.poll(&mut cx).map(|status| status.message().to_owned())
    }

    #[test]
    fn streams_that_want_a_leader_end_at_the_third_look_without_one() {
        let leaderless = Leaderless::default();
        let mut wants = MetadataMap::new();
        wants.insert("hasleader", "true".parse().expect("a value"));
        let (mut one, mut other) =
            (leaderless.end_of(&wants), leaderless.end_of(&MetadataMap::new()));
        for led in [false, false, true, false, false] {
            leaderless.look(led);
            assert_eq!(ends(&mut one), None);
        }
        leaderless.look(false);
        assert_eq!(ends(&mut one).as_deref(), Some("etcdserver: no leader"));
        assert_eq!(ends(&mut other), None);
    }
}
