//! How a server comes up and goes down: which task runs where, in which order.

use crate::clock::Clock;
use crate::disk::{Disk, MapDisk};
use crate::driver;
use crate::ground::Ground;
use crate::init_daemon::InitDaemon;
use crate::net::{Net, TcpNet, TokioHost};
use crate::peers;
use crate::recorder::Recorder;
use crate::shard::{Calls, Shard};
use keel_proto::body::heart::Heart;
use keel_proto::body::shard;
use keel_proto::body::{Config, Corruption, Failure, Journal, Stop, banner};
use keel_proto::{Handle, HubHandle, Metrics, Services};
use serde_json::Value;
use std::sync::Arc;
use std::thread;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, LocalSet};

/// What a server lives in: the machine, or a simulator's idea of one.
pub struct World<N, D> {
    /// Where connections come from.
    pub net: N,
    /// Where files lie.
    pub disk: D,
    /// What time it is.
    pub clock: Clock,
    /// What the core's randomness grows from.
    pub seed: u64,
    /// Where lines go.
    pub journal: Journal,
    /// Who wants to hear that the server is ready.
    pub init: InitDaemon,
}

/// A server that runs beside the caller.
pub struct Running {
    handle: Handle,
    stop: Stop,
    end: JoinHandle<Result<(), Failure>>,
}

impl Running {
    /// The way in, past the sockets.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Asks it to stop gracefully.
    pub fn stop(&self) {
        self.stop.ask();
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// What ended it, if nobody asked for its end.
    pub async fn ended(self) -> Result<(), Failure> {
        joined(self.end.await)
    }
}

/// Starts a server with one shard inside the caller's `LocalSet`.
///
/// # Errors
///
/// Damage on the disk.
pub async fn start<N: Net, D: Disk>(
    config: Config,
    world: World<N, D>,
) -> Result<Running, Failure> {
    let alone = |_, _| unreachable!("there is one shard");
    launch(Arc::new(config), world, Metrics::new(), 1, alone).await
}

/// Serves until SIGTERM or SIGINT, then stops gracefully. Blocks the thread that calls it.
///
/// # Errors
///
/// A [`Failure`] prints as the one line that the operator needs; the process exits with 1 then.
pub fn run(config: Config) -> Result<(), Failure> {
    let Ground { journal, dir, seed, init } = Ground::prepare(&config)?;
    let disk = MapDisk::open(dir, config.backend)?;
    let world = World { net: TcpNet, disk, clock: Clock::machine(), seed, journal, init };
    let runtime = executor()?;
    LocalSet::new().block_on(&runtime, serve(Arc::new(config), world))
}

/// The life of a production server, on the thread of shard 0.
async fn serve(config: Arc<Config>, world: World<TcpNet, MapDisk>) -> Result<(), Failure> {
    let journal = world.journal.clone();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shards = config.shards.unwrap_or(cores).max(1);
    let metrics = Metrics::new();
    // Only here: what the process uses is no business of a simulated member.
    metrics.register(prometheus::process_collector::ProcessCollector::for_self());
    let running = launch(Arc::clone(&config), world, metrics, shards, spawn).await?;
    let signals = tokio::task::spawn_local(hear_signals(running.stop.clone(), journal.clone())?);
    let result = running.ended().await;
    signals.abort();
    banner::closed(&journal, &config);
    result
}

/// Brings up the driver and the first shard here, and each further shard where `place` puts it.
async fn launch<N: Net, D: Disk>(
    config: Arc<Config>,
    world: World<N, D>,
    metrics: Metrics,
    shards: usize,
    place: impl Fn(Shard<N>, Calls) -> Result<(), Failure>,
) -> Result<Running, Failure> {
    let World { net, disk, clock, seed, journal, init } = world;
    let (hubs, calls): (Vec<_>, Vec<_>) = (0..shards).map(|_| HubHandle::new()).unzip();
    let stop = Stop::new();
    let host = TokioHost { net: net.clone(), clock };
    let tape = |run, epoch| Recorder::tape(&config, run, epoch, &journal);
    let heart = Heart::make(
        &config,
        host.clone(),
        disk,
        seed,
        &journal,
        metrics.clone(),
        hubs.clone(),
        stop.clone(),
        &tape,
    );
    let (heart, peers, driver) = heart.await?;
    let driver = tokio::task::spawn_local(driver::run(driver, clock));
    let handle = heart.handle.clone();
    let services =
        Services::new(handle.clone(), hubs[0].clone(), Arc::clone(&heart.info), metrics.clone());
    let checks = Corruption {
        host: host.clone(),
        me: peers.me.clone(),
        services: services.clone(),
        journal: journal.clone(),
    };
    if config.checks.at_start {
        checks.at_start(&config, &handle.latest()).await?;
    }
    if !config.checks.every.is_zero() {
        tokio::task::spawn_local(checks.now_and_then(config.checks.every));
    }
    peers::serve(peers, &host, &config, &services, &journal, &stop).await?;
    let (end, ends) = mpsc::unbounded_channel();
    for (number, (hub, calls)) in hubs.into_iter().zip(calls).enumerate() {
        let services = Services::new(handle.clone(), hub, Arc::clone(&heart.info), metrics.clone());
        let shard = Shard {
            number,
            shards,
            net: net.clone(),
            config: Arc::clone(&config),
            handle: handle.clone(),
            services,
            seed: seed.wrapping_add(number as u64),
            clock,
            journal: journal.clone(),
            init: init.clone(),
            stop: stop.clone(),
            end: end.clone(),
        };
        if number == 0 {
            tokio::task::spawn_local(shard.run(calls));
        } else {
            place(shard, calls)?;
        }
    }
    let (finish, stopped) = (heart.finish, stop.clone());
    let driver = async { joined(driver.await) };
    let end = async move { shard::supervise(driver, &finish, ends, &stopped).await };
    let end = tokio::task::spawn_local(end);
    Ok(Running { handle, stop, end })
}

/// Puts a shard on a thread of its own.
fn spawn(shard: Shard<TcpNet>, calls: Calls) -> Result<(), Failure> {
    let runtime = executor()?;
    let name = format!("keel-shard-{}", shard.number);
    let body = move || LocalSet::new().block_on(&runtime, shard.run(calls));
    let thread = thread::Builder::new().name(name).spawn(body);
    thread.map(drop).map_err(|error| Failure::new(format!("cannot start a thread: {error}")))
}

/// The result of a task; its panic goes on in the one who waits for it.
fn joined(result: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    result.unwrap_or_else(|lost| match lost.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(Failure::new("the executor ended before the server")),
    })
}

/// A thread's executor.
pub(crate) fn executor() -> Result<Runtime, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("cannot start an executor: {error}")))
}

/// Stops the server at the first SIGTERM or SIGINT.
fn hear_signals(stop: Stop, journal: Journal) -> Result<impl Future<Output = ()>, Failure> {
    let hear =
        |kind| signal(kind).map_err(|error| Failure::new(format!("cannot hear signals: {error}")));
    let (mut term, mut int) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    Ok(async move {
        let name = tokio::select! {
            biased;
            _ = term.recv() => "terminated",
            _ = int.recv() => "interrupt",
        };
        journal.info("received signal; shutting down", &[("signal", Value::from(name))]);
        stop.ask();
    })
}
