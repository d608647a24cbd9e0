//! One thread's share of the clients: listeners, connections, services, watches.

use crate::clock::Clock;
use crate::hub::{self, Turn};
use crate::init_daemon;
use crate::net::Net;
use crate::serve::Door;
use keel_core::Order;
use keel_core::limits::GRPC_OVERHEAD_BYTES;
use keel_core::watch;
use keel_proto::body::{Config, Failure, Journal, Stop, banner, connections};
use keel_proto::{Handle, HubCall, HubRunner, Services};
use rustix::process::{Resource, getrlimit};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long a shard waits before it asks again whether the member can serve.
const READY_PAUSE: Duration = Duration::from_millis(10);

/// Where calls to a shard's hub come out.
pub(crate) type Calls = mpsc::UnboundedReceiver<HubCall>;

/// What a shard is made of.
pub(crate) struct Shard<N> {
    /// Its number; the first one speaks for all.
    pub(crate) number: usize,
    /// How many there are.
    pub(crate) shards: usize,
    /// Where its listeners come from.
    pub(crate) net: N,
    /// What the server was told.
    pub(crate) config: Arc<Config>,
    /// The way to the driver.
    pub(crate) handle: Handle,
    /// What answers clients.
    pub(crate) services: Services,
    /// What the hub's randomness grows from.
    pub(crate) seed: u64,
    /// What time it is.
    pub(crate) clock: Clock,
    /// Where its lines go.
    pub(crate) journal: Journal,
    /// Where the init daemon wants to hear of the first shard.
    pub(crate) init_socket: Option<OsString>,
    /// Ends it.
    pub(crate) stop: Stop,
    /// Where its end is told.
    pub(crate) end: mpsc::UnboundedSender<Result<(), Failure>>,
}

impl<N: Net> Shard<N> {
    /// Runs to its end and tells it.
    pub(crate) async fn run(self, calls: Calls) {
        let result = self.live(calls).await;
        // After another shard's failure nobody listens any more.
        let _ = self.end.send(result);
    }

    /// Listens, waits until the member can serve, serves until asked to stop, and lets clients
    /// finish for as long as the configuration grants.
    async fn live(&self, calls: Calls) -> Result<(), Failure> {
        let mut listeners = Vec::new();
        for (traffic, listen) in self.config.listeners() {
            let listener = self.net.listen(listen.addr).await;
            let listener = listener.map_err(|error| listen.refused(traffic.flag(), &error))?;
            listeners.push((traffic, listen, listener));
        }
        tokio::task::spawn_local(self.hub(calls));
        if !self.ready().await {
            return Ok(());
        }
        let mut looks = JoinSet::new();
        looks.spawn_local(look_for_leader(self.services.clone(), self.config.node.election));
        let mut tasks = JoinSet::new();
        let descriptors = getrlimit(Resource::Nofile).current;
        let connections = connections(descriptors, self.shards, listeners.len());
        for (traffic, listen, listener) in listeners {
            if self.number == 0 {
                banner::serving(&self.journal, traffic, listen);
            }
            let services = self.services.clone();
            let answer = move |request| {
                let services = services.clone();
                async move { traffic.answer(&services, request).await }
            };
            let door = Door {
                answer,
                limits: self.config.limits.clone(),
                clock: self.clock,
                connections,
                traffic: self.services.traffic(),
                journal: self.journal.clone(),
                stop: self.stop.clone(),
            };
            tasks.spawn_local(door.serve(listener));
        }
        if self.number == 0 {
            init_daemon::notify(&self.journal, self.init_socket.as_deref());
        }
        self.stop.asked().await;
        if self.number == 0 {
            banner::closing(&self.journal, &self.config);
            // Better now and to a member that is up to date than by an election later. It fails
            // where somebody else leads, which is as well.
            let hand_over = self.handle.admin(Order::HandOver);
            let _ = tokio::time::timeout(self.config.node.election, hand_over).await;
        }
        let finished = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.config.drain, finished).await.is_err() {
            self.journal.info("closed client connections that did not finish in time", &[]);
        }
        Ok(())
    }

    /// The task of this shard's watches.
    fn hub(&self, calls: Calls) -> impl Future<Output = ()> + 'static {
        let limits = &self.config.limits;
        let config = watch::Config {
            progress_interval: limits.watch_progress,
            fragment_bytes: limits.request_bytes + GRPC_OVERHEAD_BYTES,
            seed: self.seed,
            ..watch::Config::default()
        };
        let metrics = self.services.metrics();
        let mut runner = HubRunner::new(config, self.handle.latest()).counted(metrics);
        hub::run(self.clock, self.stop.clone(), calls, move |now, turn| {
            runner.turn(
                now,
                match turn {
                    Turn::Call(call) => call,
                    Turn::Tick => HubCall::Tick,
                },
            );
            runner.settle()
        })
    }

    /// Waits until the member can answer a linearizable read: it has state and knows a leader.
    /// `false` is a wish to stop that came first.
    async fn ready(&self) -> bool {
        let ready = async {
            while self.handle.read().await.is_err() {
                tokio::time::sleep(READY_PAUSE).await;
            }
        };
        tokio::select! {
            biased;
            () = self.stop.asked() => false,
            () = ready => true,
        }
    }
}

/// Looks every election timeout, for ever.
async fn look_for_leader(services: Services, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        services.look_for_leader();
    }
}
