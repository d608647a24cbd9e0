//! A beat, so that no executor sleeps on work for long.
//!
//! glommio 0.9 looks whether a turn's time is over before it runs the turn's first task. Where it is
//! over already, since the thread had no core for that long, it takes the turn for an idle one and
//! sleeps until something comes from outside, with tasks that are ready. Whoever waits for a time
//! ends that sleep; a member that started waited for its disk alone, and one start in two thousand,
//! with four busy programs a core, never came to its end. So here somebody always waits for a time.

use glommio::LocalExecutor;
use glommio::timer::sleep;
use std::time::Duration;

/// How long work that is ready may be slept on.
const BEAT: Duration = Duration::from_millis(10);

/// Runs a life to its end on an executor that wakes up by itself.
pub(crate) fn run<T>(executor: &LocalExecutor, life: impl Future<Output = T>) -> T {
    executor.run(async {
        // It waits from now on: glommio polls what is spawned at once.
        glommio::spawn_local(beat()).detach();
        life.await
    })
}

async fn beat() {
    loop {
        sleep(BEAT).await;
    }
}
