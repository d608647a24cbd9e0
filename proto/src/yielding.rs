//! A chance for others, whatever the executor.

use std::future::poll_fn;
use std::task::Poll;

/// Lets other tasks of the same executor run once.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
