//! One thread's share of the clients: listeners, connections, services, watches.

use crate::config::{Config, Listen};
use crate::failure::Failure;
use crate::journal::Journal;
use crate::net::{Listener, Net};
use crate::serve::Door;
use crate::stop::Stop;
use keel_core::output::Batch;
use keel_proto::Handle;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long a shard waits before it asks again whether the member can serve.
const READY_PAUSE: Duration = Duration::from_millis(10);

/// What a shard is made of.
pub(crate) struct Shard<N> {
    /// Its number; the first one speaks for all.
    pub(crate) number: usize,
    /// Where its listeners come from.
    pub(crate) net: N,
    /// What the server was told.
    pub(crate) config: Arc<Config>,
    /// The way to the driver.
    pub(crate) handle: Handle,
    /// Where batches for its watchers come from.
    pub(crate) batches: mpsc::UnboundedReceiver<Arc<Batch>>,
    /// Where its lines go.
    pub(crate) journal: Journal,
    /// Ends it.
    pub(crate) stop: Stop,
}

impl<N: Net> Shard<N> {
    /// Listens, waits until the member can serve, serves until asked to stop, and lets clients
    /// finish for as long as the configuration grants.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let listeners = self.listen().await?;
        if !self.ready().await {
            return Ok(());
        }
        let mut doors = JoinSet::new();
        for (listen, listener) in listeners {
            self.tell(&listen);
            let services = self.services();
            let answer = move |request| {
                let services = services.clone();
                async move { services.call(request).await }
            };
            let (limits, journal) = (self.config.limits.clone(), self.journal.clone());
            let door = Door { answer, limits, journal, stop: self.stop.clone() };
            doors.spawn_local(door.serve(listener));
        }
        self.stop.asked().await;
        let finished = async { while doors.join_next().await.is_some() {} };
        if tokio::time::timeout(self.config.drain, finished).await.is_err() {
            self.journal.info("closed client connections that did not finish in time", &[]);
        }
        Ok(())
    }
}
