//! What stands behind the port for peers, and what asks them on clients' behalf.

use super::links::ask_leaders;
use super::{Config, Failure, Host, Time, stamp};
use crate::peer::headers::Identity;
use crate::peer::{self, Ask, Heard};
use crate::{Handle, Services};
use keel_core::NodeId;
use prometheus::IntCounter;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// Connections of peers, at most: two streams, posts and questions of each.
pub const CONNECTIONS: usize = 4096;
/// What a question to the leader may take beside two elections, as in etcd.
const ASK_PATIENCE: Duration = Duration::from_secs(5);

/// What answers peers, and asks them.
#[derive(Debug)]
pub struct Peers {
    /// Who the member is among them.
    pub me: Identity,
    /// The way to the driver.
    pub(super) handle: Handle,
    /// Members that it knows before its log names them.
    pub(super) introduced: BTreeSet<NodeId>,
    /// Where the door tells what it hears.
    pub(super) heard: mpsc::Sender<Heard>,
    /// Questions to whoever leads.
    pub(super) asks: mpsc::Receiver<Ask>,
}

impl Peers {
    /// Asks what services want asked, beside the caller; gives back what answers peers.
    pub fn answer<H: Host>(self, host: &H, config: &Config, services: &Services) -> peer::Door {
        let Peers { me, handle, introduced, heard, asks } = self;
        let patience = ASK_PATIENCE + config.node.election * 2;
        host.spawn(ask_leaders(host.clone(), me.clone(), handle, asks, patience));
        let time = host.time().clone();
        let date = Box::new(move || stamp(time.unix()));
        peer::Door::new(me, services, introduced, heard, date)
    }
}

/// Counts what nobody reads: what goes between members is counted by peer, not by connection.
///
/// # Errors
///
/// None that can be: the name is a good one.
pub fn uncounted() -> Result<(IntCounter, IntCounter), Failure> {
    let counter = || IntCounter::new("peers", "Nobody reads this one.");
    let fail = |error: prometheus::Error| Failure::new(error.to_string());
    Ok((counter().map_err(fail)?, counter().map_err(fail)?))
}
