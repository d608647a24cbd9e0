//! The port for peers: on shard 0, beside the driver, from before the first election on.

use crate::clock::{Clock, stamp};
use crate::config::{Config, Limits, Listen};
use crate::failure::Failure;
use crate::journal::Journal;
use crate::links::ask_leaders;
use crate::net::Net;
use crate::run::why_not_listening;
use crate::serve::Door;
use crate::stop::Stop;
use http::Request;
use hyper::body::Incoming;
use keel_core::NodeId;
use keel_proto::peer::headers::Identity;
use keel_proto::peer::{self, Ask, Heard};
use keel_proto::{Handle, Services};
use prometheus::IntCounter;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// Connections of peers, at most: two streams, posts and questions of each.
const CONNECTIONS: usize = 4096;
/// What a question to the leader may take beside two elections, as in etcd.
const ASK_PATIENCE: Duration = Duration::from_secs(5);

/// What answers peers, and asks them on clients' behalf.
pub(crate) struct Peers {
    /// Who the member is among them.
    pub(crate) me: Identity,
    /// The way to the driver.
    pub(crate) handle: Handle,
    /// Members that it knows before its log names them.
    pub(crate) introduced: BTreeSet<NodeId>,
    /// Where the door tells what it hears.
    pub(crate) heard: mpsc::Sender<Heard>,
    /// Questions to whoever leads.
    pub(crate) asks: mpsc::Receiver<Ask>,
}

impl Peers {
    /// Listens, and serves beside the caller until asked to stop.
    pub(crate) async fn serve<N: Net>(
        self,
        net: &N,
        config: &Config,
        services: &Services,
        clock: Clock,
        journal: &Journal,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let Peers { me, handle, introduced, heard, asks } = self;
        let patience = ASK_PATIENCE + config.node.election * 2;
        let questions = ask_leaders(net.clone(), me.clone(), handle, asks, patience);
        tokio::task::spawn_local(questions);
        let date = Box::new(move || stamp(clock.unix()));
        let answers = peer::Door::new(me, services, introduced, heard, date);
        for listen in &config.listen_peer {
            let listener = net.listen(listen.addr).await;
            let listener = listener.map_err(|error| cannot_listen(listen, &error))?;
            let answers = answers.clone();
            let answer = move |request: Request<Incoming>| {
                let answers = answers.clone();
                async move { answers.answer(request).await }
            };
            let door = Door {
                answer,
                limits: Limits::default(),
                connections: CONNECTIONS,
                traffic: (uncounted()?, uncounted()?),
                journal: journal.clone(),
                stop: stop.clone(),
            };
            tokio::task::spawn_local(door.serve(listener));
            let fields = [("address", listen.addr.to_string().into())];
            journal.info("serving peer traffic", &fields);
        }
        Ok(())
    }
}

/// What goes between members is counted by peer, not by connection.
fn uncounted() -> Result<IntCounter, Failure> {
    let counter = IntCounter::new("peers", "Nobody reads this one.");
    counter.map_err(|error| Failure::new(error.to_string()))
}

/// The operator's line about an address for peers.
pub(crate) fn cannot_listen(listen: &Listen, error: &std::io::Error) -> Failure {
    why_not_listening("--listen-peer-urls", listen, error)
}
