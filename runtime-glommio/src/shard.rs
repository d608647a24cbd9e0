//! One thread's share of the clients: listeners, connections, services, watches.

use crate::clock::Alarm;
use crate::net::{Listener, Ring};
use crate::serve::serve;
use keel_proto::body::shard::{self, look_for_leader};
use keel_proto::body::{
    Config, Door, Failure, Host, Journal, Stop, Time, banner, connections, yield_now,
};
use keel_proto::{Handle, HubCall, Services};
use rustix::process::{Resource, getrlimit};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Calls that a hub takes before others of its thread get their turn: this executor has no budget
/// that would end a loop whose channel is never empty.
const CALLS_MAX: usize = 64;

/// What hears that the server is ready.
pub type Ready = Box<dyn FnOnce() + Send>;

/// Where calls to a shard's hub come out.
pub(crate) type Calls = mpsc::UnboundedReceiver<HubCall>;

/// What a shard is made of.
pub(crate) struct Shard {
    /// Its number; the first one speaks for all.
    pub(crate) number: usize,
    /// How many there are.
    pub(crate) shards: usize,
    /// The runtime.
    pub(crate) ring: Ring,
    /// What the server was told.
    pub(crate) config: Arc<Config>,
    /// The way to the driver.
    pub(crate) handle: Handle,
    /// What answers clients.
    pub(crate) services: Services,
    /// What the hub's randomness grows from.
    pub(crate) seed: u64,
    /// Where its lines go.
    pub(crate) journal: Journal,
    /// What hears that the first shard serves.
    pub(crate) ready: Option<Ready>,
    /// Ends it.
    pub(crate) stop: Stop,
    /// Where its end is told.
    pub(crate) end: mpsc::UnboundedSender<Result<(), Failure>>,
}

impl Shard {
    /// Runs to its end and tells it.
    pub(crate) async fn run(mut self, calls: Calls) {
        let ready = self.ready.take();
        let result = self.live(calls, ready).await;
        // After another shard's failure nobody listens any more.
        let _ = self.end.send(result);
    }

    /// Listens, waits until the member can serve, serves until asked to stop, and lets clients
    /// finish for as long as the configuration grants.
    async fn live(&self, calls: Calls, ready: Option<Ready>) -> Result<(), Failure> {
        let mut listeners = Vec::new();
        for (traffic, listen) in self.config.listeners() {
            let listener = Listener::bind(listen.addr);
            let listener = listener.map_err(|error| listen.refused(traffic.flag(), &error))?;
            listeners.push((traffic, listen, listener));
        }
        let _hub = self.ring.spawn_tied(self.hub(calls));
        let clock = self.ring.clock;
        if !shard::ready(&self.handle, &clock, &self.stop).await {
            return Ok(());
        }
        let looking = look_for_leader(clock, self.services.clone(), self.config.node.election);
        let _looks = self.ring.spawn_tied(looking);
        let mut doors = Vec::new();
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
                host: self.ring,
                connections,
                traffic: self.services.traffic(),
                journal: self.journal.clone(),
                stop: self.stop.clone(),
            };
            doors.push(glommio::spawn_local(serve(door, listener)));
        }
        if let Some(ready) = ready {
            ready();
        }
        self.stop.asked().await;
        if self.number == 0 {
            shard::closing(&self.config, &self.journal, &self.handle, &clock).await;
        }
        let finished = async {
            for door in doors {
                door.await;
            }
        };
        if clock.within(self.config.drain, finished).await.is_err() {
            self.journal.info("closed client connections that did not finish in time", &[]);
        }
        Ok(())
    }

    /// The task of this shard's watches: it turns their hub whenever there is a reason.
    fn hub(&self, mut calls: Calls) -> impl Future<Output = ()> + 'static {
        let mut runner =
            shard::watches(&self.config.limits, self.seed, &self.handle, &self.services);
        let (clock, stop) = (self.ring.clock, self.stop.clone());
        async move {
            let mut alarm = Alarm::new(clock);
            for taken in 1.. {
                let call = tokio::select! {
                    biased;
                    () = stop.asked() => return,
                    call = calls.recv() => match call {
                        Some(call) => call,
                        None => return,
                    },
                    () = alarm.comes() => HubCall::Tick,
                };
                runner.turn(clock.now(), call);
                alarm.set(runner.settle());
                if taken % CALLS_MAX == 0 {
                    yield_now().await;
                }
            }
        }
    }
}
