//! One thread's share of the clients: listeners, connections, services, watches.

use crate::clock::Clock;
use crate::hub::{self, Turn};
use crate::init_daemon::InitDaemon;
use crate::net::{Net, TokioHost};
use crate::serve::serve;
use keel_proto::body::shard::{self, look_for_leader};
use keel_proto::body::{Config, Door, Failure, Journal, Stop, banner, connections};
use keel_proto::{Handle, HubCall, Services};
use rustix::process::{Resource, getrlimit};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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
    /// Who wants to hear of the first shard.
    pub(crate) init: InitDaemon,
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
        if !shard::ready(&self.handle, &self.clock, &self.stop).await {
            return Ok(());
        }
        let mut looks = JoinSet::new();
        let election = self.config.node.election;
        looks.spawn_local(look_for_leader(self.clock, self.services.clone(), election));
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
                host: TokioHost { net: self.net.clone(), clock: self.clock },
                connections,
                traffic: self.services.traffic(),
                journal: self.journal.clone(),
                stop: self.stop.clone(),
            };
            tasks.spawn_local(serve(door, listener));
        }
        if self.number == 0 {
            self.init.notify();
        }
        self.stop.asked().await;
        if self.number == 0 {
            shard::closing(&self.config, &self.journal, &self.handle, &self.clock).await;
        }
        let finished = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.config.drain, finished).await.is_err() {
            self.journal.info("closed client connections that did not finish in time", &[]);
        }
        Ok(())
    }

    /// The task of this shard's watches.
    fn hub(&self, calls: Calls) -> impl Future<Output = ()> + 'static {
        let mut runner =
            shard::watches(&self.config.limits, self.seed, &self.handle, &self.services);
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
}
