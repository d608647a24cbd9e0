//! The links to the peers: what the core wants sent leaves here, what they say comes in.
//!
//! ```text
//!   driver ── send ──► Link ──► queue of appends    ─┐  endless answers to the peer's readers,
//!                           ├─► queue of messages   ─┘  served by its door into this member
//!                           └─► post: one request a message, while nobody reads
//!   driver ◄── Heard ── listen ×2: this member's readers at the peer's door
//! ```
//!
//! Nothing here waits: a queue that is full loses the message and says so, which raft expects.

mod ask;
mod grpc;
pub(crate) mod http1;
mod listen;
mod post;
mod probe;
mod renewals;
mod state;

pub use ask::ask_leaders;
pub(super) use grpc::Grpc;
pub use http1::get;
pub use state::take as take_state;

use crate::Metrics;
use crate::body::{Host, Leash, Time};
use crate::peer::headers::Identity;
use crate::peer::{Channel, Heard, Out};
use keel_core::NodeId;
use keel_core::members::Cluster;
use keel_core::raft::{Body, Message};
use keel_core::state::Checkpoint;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a peer's connection may be silent, as in etcd.
const SILENCE: Duration = Duration::from_secs(5);
/// How often something is said where there is nothing to say.
const ALIVE: Duration = Duration::from_millis(5000 / 3);
/// Messages that may wait to be posted, as in etcd.
const POSTS: usize = 64;

/// Where a peer is reached; its tasks share it with the link, which follows the membership.
type Urls = Rc<RefCell<Vec<String>>>;

/// All links of a member.
pub struct Links<H> {
    host: H,
    me: Identity,
    heard: mpsc::Sender<Heard>,
    metrics: Metrics,
    /// How long connecting may take.
    patience: Duration,
    /// Members that are reached although the log has not named them yet.
    introduced: BTreeMap<NodeId, Vec<String>>,
    links: BTreeMap<NodeId, Link>,
}

impl<H: Host> Links<H> {
    /// No links but to the members that are known beforehand.
    pub fn new(
        host: H,
        me: Identity,
        heard: mpsc::Sender<Heard>,
        metrics: Metrics,
        patience: Duration,
        introduced: BTreeMap<NodeId, Vec<String>>,
    ) -> Links<H> {
        let links = BTreeMap::new();
        Links { host, me, heard, metrics, patience, introduced, links }
    }

    /// Follows the membership: who came is linked, who went is not any more.
    pub fn follow(&mut self, cluster: &Cluster) {
        let me = self.me.member;
        let mut wanted: BTreeMap<NodeId, Vec<String>> =
            cluster.members.iter().map(|(id, member)| (*id, member.peer_urls.clone())).collect();
        if !wanted.contains_key(&me) && !cluster.removed.contains(&me) {
            // Still on its way in: who will bring the log must be reached before it came.
            let introduced = self.introduced.iter().map(|(id, urls)| (*id, urls.clone()));
            wanted.extend(introduced.filter(|(id, _)| !cluster.removed.contains(id)));
        }
        wanted.remove(&me);
        for (id, _) in self.links.extract_if(.., |id, _| !wanted.contains_key(id)) {
            self.metrics.reached(me, id, false);
            self.metrics.known(me, id, false);
        }
        for (id, urls) in wanted {
            match self.links.get(&id) {
                Some(link) => *link.urls.borrow_mut() = urls,
                None => {
                    let link = self.link(id, urls);
                    self.metrics.known(me, id, true);
                    self.links.insert(id, link);
                }
            }
        }
    }

    fn link(&self, peer: NodeId, urls: Vec<String>) -> Link {
        let urls = Rc::new(RefCell::new(urls));
        let (post, posts) = mpsc::channel(POSTS);
        let way = || self.way(peer, &urls);
        let tasks = [
            self.host.spawn_tied(listen::listen(way(), Channel::Appends)),
            self.host.spawn_tied(listen::listen(way(), Channel::Messages)),
            self.host.spawn_tied(post::post(way(), posts)),
            self.host.spawn_tied(probe::probe(way())),
        ];
        Link { urls, appends: None, messages: None, post, state: None, _tasks: tasks }
    }

    fn way(&self, peer: NodeId, urls: &Urls) -> Way<H> {
        Way {
            host: self.host.clone(),
            me: self.me.clone(),
            peer,
            urls: Rc::clone(urls),
            heard: self.heard.clone(),
            metrics: self.metrics.clone(),
            patience: self.patience,
            turn: 0,
        }
    }

    /// A peer listens: its queue takes the place of an older one.
    pub fn listens(&mut self, peer: NodeId, channel: Channel, queue: mpsc::Sender<Out>) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        self.host.spawn(keep_alive(self.host.time().clone(), queue.downgrade()));
        match channel {
            Channel::Appends => link.appends = Some(queue),
            Channel::Messages => link.messages = Some(queue),
        }
    }

    /// Begins to bring a peer a state, in place of an older one that is still on its way;
    /// `false` where there is no way to it.
    pub fn send_state(&mut self, to: NodeId, message: Message, state: Arc<Checkpoint>) -> bool {
        let Some(urls) = self.links.get(&to).map(|link| Rc::clone(&link.urls)) else {
            return false;
        };
        let sending = self.host.spawn_tied(state::send(self.way(to, &urls), message, state));
        if let Some(link) = self.links.get_mut(&to) {
            link.state = Some(sending);
        }
        true
    }

    /// The runtime that they live in.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Where its tasks tell what they hear, and count what they do.
    pub fn heard(&self) -> (mpsc::Sender<Heard>, Metrics) {
        (self.heard.clone(), self.metrics.clone())
    }

    /// Which cluster they belong to.
    pub fn cluster(&self) -> u64 {
        self.me.cluster
    }

    /// Sends, if there is room; `false` where the message is lost.
    pub fn send(&mut self, to: NodeId, message: Message) -> bool {
        let sent = self.links.get_mut(&to).is_some_and(|link| link.send(message));
        if !sent {
            self.metrics.lost(to);
        }
        sent
    }
}

/// One peer's queues. Dropping it ends the tasks that listen to the peer.
struct Link {
    urls: Urls,
    appends: Option<mpsc::Sender<Out>>,
    messages: Option<mpsc::Sender<Out>>,
    post: mpsc::Sender<Message>,
    /// The state that is on its way.
    state: Option<Leash>,
    _tasks: [Leash; 4],
}

impl Link {
    fn send(&mut self, message: Message) -> bool {
        let append = matches!(message.body, Body::Append { .. });
        let appends = if append { &mut self.appends } else { &mut None };
        let mut out = Out::Message(message);
        for queue in [appends, &mut self.messages] {
            let Some(sender) = queue else { continue };
            match sender.try_send(out) {
                Ok(()) => return true,
                Err(mpsc::error::TrySendError::Full(_)) => return false,
                Err(mpsc::error::TrySendError::Closed(back)) => {
                    *queue = None;
                    out = back;
                }
            }
        }
        let Out::Message(message) = out else { unreachable!("it was made of a message") };
        self.post.try_send(message).is_ok()
    }
}

/// Says something into a queue every now and then, for as long as it is in use.
async fn keep_alive(time: impl Time, queue: mpsc::WeakSender<Out>) {
    loop {
        time.sleep(ALIVE).await;
        let Some(queue) = queue.upgrade() else { return };
        // A full queue is sign enough.
        if let Err(mpsc::error::TrySendError::Closed(_)) = queue.try_send(Out::Alive) {
            return;
        }
    }
}

/// What the tasks of a link need to reach the peer.
struct Way<H> {
    host: H,
    me: Identity,
    peer: NodeId,
    urls: Urls,
    heard: mpsc::Sender<Heard>,
    metrics: Metrics,
    patience: Duration,
    /// Which of its URLs is tried now.
    turn: usize,
}

impl<H: Host> Way<H> {
    fn time(&self) -> &H::Time {
        self.host.time()
    }

    /// The URL to try now.
    fn url(&self) -> Option<String> {
        let urls = self.urls.borrow();
        urls.get(self.turn % urls.len().max(1)).cloned()
    }

    /// That one does not work: the next one is tried the next time.
    fn failed(&mut self) {
        self.turn += 1;
    }

    async fn tell(&self, heard: Heard) {
        match heard {
            Heard::Up { peer, .. } => self.metrics.reached(self.me.member, peer, true),
            Heard::Down { peer } => self.metrics.reached(self.me.member, peer, false),
            _ => {}
        }
        // Where nobody hears any more the server is about to end.
        let _ = self.heard.send(heard).await;
    }
}
