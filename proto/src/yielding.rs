//! A chance for others, whatever the executor.
//!
//! An executor looks at its sockets after some dozens of tasks, and a task that is always ready
//! may be all of them. So what is done between two chances takes some ten microseconds, not a
//! millisecond: else a request waits for sixty of them.

use std::future::poll_fn;
use std::task::Poll;

/// Lets other tasks of the same executor run once.
pub async fn yield_now() {
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
