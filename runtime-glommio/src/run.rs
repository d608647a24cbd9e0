//! How a server comes up and goes down: which task runs where, in which order.

use crate::clock::Clock;
use crate::disk::ring_lane;
use crate::net::{self, Ring};
use crate::shard::{Calls, Ready, Shard};
use crate::{driver, peers, pulse};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use keel_proto::body::disk::{Disk, DiskFailure, MakeLane};
use keel_proto::body::heart::Heart;
use keel_proto::body::shard;
use keel_proto::body::{Config, Corruption, Failure, Host, Journal, OpenTape, Stop, banner};
use keel_proto::{HubHandle, Metrics, Services};
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

/// After this long tasks that never end give way to the ring: a sync that is done is found two of
/// these later at the worst. The executor's own 100 ms would hold every commit for as long
/// (reference: runtimes-and-wal.md §4, trap 1); 1 ms costs a twentieth of a put's CPU.
const PREEMPT: Duration = Duration::from_millis(3);

/// Memory that is registered with each ring for direct reads and writes, which nothing here does.
const IO_MEMORY: usize = 64 * 1024;

/// What whoever starts a server lends it.
pub struct Lent<'a, D> {
    /// Where lines go.
    pub journal: Journal,
    /// The disk, or what opens it with a lane of this runtime's for its log; whoever lends it holds
    /// the locks of its directory.
    pub disk: D,
    /// Opens the flight recorder.
    pub tape: OpenTape<'a>,
    /// What the core's randomness grows from.
    pub seed: u64,
    /// What hears that the server is ready.
    pub ready: Ready,
}

/// Serves until SIGTERM or SIGINT, then stops gracefully. Blocks the thread that calls it. The
/// caller has asked [`probe`](crate::probe), and lends what knows no executor.
///
/// # Errors
///
/// A [`Failure`] prints as the one line that the operator needs; the process exits with its code
/// then.
pub fn run<D: Disk>(
    config: Config,
    lent: Lent<'_, impl FnOnce(MakeLane) -> Result<D, DiskFailure>>,
) -> Result<(), Failure> {
    let ring = Ring { clock: Clock::machine() };
    pulse::run(&executor()?, async {
        let Lent { journal, disk, tape, seed, ready } = lent;
        let lent = Lent { journal, disk: disk(ring_lane)?, tape, seed, ready };
        serve(&Arc::new(config), lent, ring).await
    })
}

/// The life of a server, on the thread of shard 0.
async fn serve<D: Disk>(
    config: &Arc<Config>,
    lent: Lent<'_, D>,
    ring: Ring,
) -> Result<(), Failure> {
    let journal = lent.journal.clone();
    let stop = Stop::new();
    hear_signals(stop.clone(), journal.clone())?;
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shards = config.shards.unwrap_or(cores).max(1);
    let result = live(config, lent, ring, shards, &stop).await;
    banner::closed(&journal, config);
    result
}

/// Brings up the driver and the first shard here and each further shard on a thread of its own,
/// then waits for their end.
async fn live<D: Disk>(
    config: &Arc<Config>,
    lent: Lent<'_, D>,
    ring: Ring,
    shards: usize,
    stop: &Stop,
) -> Result<(), Failure> {
    let Lent { journal, disk, tape, seed, ready } = lent;
    let mut ready = Some(ready);
    let metrics = Metrics::new();
    metrics.register(prometheus::process_collector::ProcessCollector::for_self());
    let (hubs, calls): (Vec<_>, Vec<_>) = (0..shards).map(|_| HubHandle::new()).unzip();
    let heart = Heart::make(
        config,
        ring,
        disk,
        seed,
        &journal,
        metrics.clone(),
        hubs.clone(),
        stop.clone(),
        tape,
    );
    let (heart, peers, driver) = heart.await?;
    let driver = glommio::spawn_local(driver::run(driver, ring));
    let handle = heart.handle.clone();
    let services =
        |hub| Services::new(handle.clone(), hub, Arc::clone(&heart.info), metrics.clone());
    let checks = Corruption {
        host: ring,
        me: peers.me.clone(),
        services: services(hubs[0].clone()),
        journal: journal.clone(),
    };
    if config.checks.at_start {
        checks.at_start(config, &handle.latest()).await?;
    }
    if !config.checks.every.is_zero() {
        ring.spawn(checks.now_and_then(config.checks.every));
    }
    peers::serve(peers, ring, config, &services(hubs[0].clone()), &journal, stop)?;
    let (end, ends) = mpsc::unbounded_channel();
    for (number, (hub, calls)) in hubs.into_iter().zip(calls).enumerate() {
        let shard = Shard {
            number,
            shards,
            ring,
            config: Arc::clone(config),
            handle: handle.clone(),
            services: services(hub),
            seed: seed.wrapping_add(number as u64),
            journal: journal.clone(),
            ready: ready.take(),
            stop: stop.clone(),
            end: end.clone(),
        };
        if number == 0 {
            ring.spawn(shard.run(calls));
        } else {
            spawn(shard, calls)?;
        }
    }
    drop(end);
    shard::supervise(driver, &heart.finish, ends, stop).await
}

/// Puts a shard on a thread of its own.
fn spawn(shard: Shard, calls: Calls) -> Result<(), Failure> {
    let body = move || match executor() {
        Ok(executor) => {
            let end = shard.end.clone();
            let life = async {
                shard.run(calls).await;
                Ok(())
            };
            // Where nobody listens any more another shard has failed before.
            let _ = pulse::run(&executor, life).map_err(|failure| end.send(Err(failure)));
        }
        Err(failure) => drop(shard.end.send(Err(failure))),
    };
    let thread = thread::Builder::new().name(String::from("keel-shard")).spawn(body);
    thread.map(drop).map_err(|error| Failure::new(format!("cannot start a thread: {error}")))
}

/// A thread's executor and its rings.
fn executor() -> Result<LocalExecutor, Failure> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .preempt_timer(PREEMPT)
        .io_memory(IO_MEMORY)
        .make();
    executor.map_err(|error| {
        let error = net::plain(error);
        Failure::unavailable(format!(
            "--runtime=glommio: cannot make a ring: {error}; raise the limit of locked memory \
             (`ulimit -l`), or use --runtime=tokio"
        ))
    })
}

/// Stops the server at the first SIGTERM or SIGINT. glommio hears none, so a thread does.
fn hear_signals(stop: Stop, journal: Journal) -> Result<(), Failure> {
    let fail = |error| Failure::new(format!("cannot hear signals: {error}"));
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(fail)?;
    let hear = move || {
        for signal in signals.forever() {
            let name = if signal == SIGTERM { "terminated" } else { "interrupt" };
            journal.info("received signal; shutting down", &[("signal", Value::from(name))]);
            stop.ask();
        }
    };
    let thread = thread::Builder::new().name(String::from("keel-signals")).spawn(hear);
    thread.map(drop).map_err(fail)
}
