//! What every shard does, whatever its executor: when it begins, its watches, its end.

use super::config::Limits;
use super::{Config, Failure, Journal, Stop, Time, banner};
use crate::{Handle, HubRunner, Services};
use keel_core::limits::GRPC_OVERHEAD_BYTES;
use keel_core::{Order, watch};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a shard waits before it asks again whether the member can serve.
const READY_PAUSE: Duration = Duration::from_millis(10);

/// Waits until the member can answer a linearizable read: it has state and knows a leader.
/// `false` is a wish to stop that came first.
pub async fn ready(handle: &Handle, clock: &impl Time, stop: &Stop) -> bool {
    let ready = async {
        while handle.read().await.is_err() {
            clock.sleep(READY_PAUSE).await;
        }
    };
    tokio::select! {
        biased;
        () = stop.asked() => false,
        () = ready => true,
    }
}

/// Looks every election timeout, for ever.
pub async fn look_for_leader(clock: impl Time, services: Services, every: Duration) {
    loop {
        clock.sleep(every).await;
        services.look_for_leader();
    }
}

/// A shard's watches, to be turned whenever there is a reason.
#[must_use]
pub fn watches(limits: &Limits, seed: u64, handle: &Handle, services: &Services) -> HubRunner {
    let config = watch::Config {
        progress_interval: limits.watch_progress,
        fragment_bytes: limits.request_bytes + GRPC_OVERHEAD_BYTES,
        seed,
        ..watch::Config::default()
    };
    HubRunner::new(config, handle.latest()).counted(services.metrics())
}

/// What the first shard does when the member was asked to stop.
pub async fn closing(config: &Config, journal: &Journal, handle: &Handle, clock: &impl Time) {
    banner::closing(journal, config);
    // Better now and to a member that is up to date than by an election later. It fails where
    // somebody else leads, which is as well.
    let _ = clock.within(config.node.election, handle.admin(Order::HandOver)).await;
}

/// Waits for the shards, then lets the driver write its last checkpoint. Whoever fails first
/// ends everybody.
///
/// # Errors
///
/// What ended it, if nobody asked for its end.
pub async fn supervise(
    driver: impl Future<Output = Result<(), Failure>>,
    finish: &Stop,
    mut ends: mpsc::UnboundedReceiver<Result<(), Failure>>,
    stop: &Stop,
) -> Result<(), Failure> {
    let mut driver = pin!(driver);
    let mut result = Ok(());
    loop {
        tokio::select! {
            biased;
            failed = &mut driver => {
                stop.ask();
                return failed;
            }
            end = ends.recv() => match end {
                Some(Ok(())) => {}
                Some(Err(failure)) => {
                    stop.ask();
                    result = result.and(Err(failure));
                }
                None => break,
            }
        }
    }
    finish.ask();
    result.and(driver.await)
}
