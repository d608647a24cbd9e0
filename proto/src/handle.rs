//! The one way in: how a service reaches the node.

use bytes::Bytes;
use keel_core::raft::Change;
use keel_core::{Input, Order, Proposal, Refusal, Reply, Status, Ticket, View};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};

/// What travels through the driver's inbox.
#[derive(Debug)]
pub enum Call {
    /// An input with a ticket, and who waits for the reply.
    Ask {
        /// The ticket that the input carries.
        ticket: Ticket,
        /// The input.
        input: Input,
        /// Where the reply goes.
        answer: oneshot::Sender<Result<Reply, Refusal>>,
    },
    /// The asker of this ticket went away.
    Gone(Ticket),
}

/// What the driver publishes after every drain, for anybody to read.
#[derive(Debug)]
pub struct Shared {
    latest: Mutex<(View, Status)>,
    /// Whether the member only learns: every request asks.
    learner: AtomicBool,
    ids: AtomicU64,
}

impl Shared {
    /// Begins with the state after recovery. `first_id` is etcd's generator's start: two bytes
    /// of the member id, five of the unix time in milliseconds, one of counter (semantics §4.1).
    #[must_use]
    pub fn new(view: View, status: Status, first_id: u64) -> Arc<Shared> {
        let learner = AtomicBool::new(learns(&view, &status));
        let latest = Mutex::new((view, status));
        Arc::new(Shared { latest, learner, ids: AtomicU64::new(first_id) })
    }

    /// Publishes a new state. Only the driver calls it. Gives back the state before, so that the
    /// driver chooses where the last holder's work is done.
    pub fn publish(&self, view: View, status: Status) -> View {
        self.learner.store(learns(&view, &status), Ordering::Relaxed);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, _) = std::mem::replace(&mut *latest, (view, status));
        before
    }

    /// Publishes how the node stands, where the state itself did not move.
    pub fn publish_status(&self, status: Status) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).1 = status;
    }
}

fn learns(view: &View, status: &Status) -> bool {
    view.cluster.members.get(&status.id).is_some_and(|member| member.learner)
}

/// The way in, one clone a connection or task.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: mpsc::Sender<Call>,
    /// The way of what asks nothing of the log: no queue of writes stands before it.
    ahead: mpsc::Sender<Call>,
    shared: Arc<Shared>,
}

impl Handle {
    /// A way into the driver that listens on the other ends of `inbox` and, first, of `ahead`.
    #[must_use]
    pub fn new(
        inbox: mpsc::Sender<Call>,
        ahead: mpsc::Sender<Call>,
        shared: Arc<Shared>,
    ) -> Handle {
        Handle { inbox, ahead, shared }
    }

    /// The newest applied state.
    #[must_use]
    pub fn latest(&self) -> View {
        self.shared.latest.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// How the node stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.latest.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Whether this member only learns.
    #[must_use]
    pub fn is_learner(&self) -> bool {
        self.shared.learner.load(Ordering::Relaxed)
    }

    /// A fresh id: for a request, a lease, an asker.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.shared.ids.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Puts a command into the log and waits for what applying it answers.
    pub async fn propose(&self, proposal: Proposal) -> Result<Reply, Refusal> {
        self.ask(proposal.ticket, Input::Propose { proposal }).await
    }

    /// Puts a command into the log and does not wait; it is lost where the inbox is full.
    pub fn tell(&self, proposal: Proposal) {
        let (answer, _nobody) = oneshot::channel();
        let ticket = proposal.ticket;
        let _ =
            self.inbox.try_send(Call::Ask { ticket, input: Input::Propose { proposal }, answer });
    }

    /// Waits until everything that was acknowledged before now is applied here.
    pub async fn read(&self) -> Result<View, Refusal> {
        if let Some(view) = self.certain() {
            return Ok(view);
        }
        let ticket = Ticket(self.next_id());
        match self.ask(ticket, Input::Read { ticket }).await? {
            Reply::Point(view) => Ok(view),
            other => unreachable!("a read is answered with a point, not {other:?}"),
        }
    }

    /// The newest applied state, where nobody need be asked whether it is.
    fn certain(&self) -> Option<View> {
        let latest = self.shared.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (view, status) = &*latest;
        (status.alone && view.term == status.term).then(|| view.clone())
    }

    /// Keeps many leases alive, where this member is sure to lead.
    pub async fn renew_all(&self, leases: Vec<keel_core::LeaseId>) -> Result<Vec<i64>, Refusal> {
        let ticket = Ticket(self.next_id());
        match self.ask(ticket, Input::RenewAll { ticket, leases }).await? {
            Reply::RenewAll(granted) => Ok(granted),
            other => unreachable!("renewals are answered with {other:?}"),
        }
    }

    /// Keeps a lease alive.
    pub async fn renew(&self, lease: keel_core::LeaseId) -> Result<Reply, Refusal> {
        let ticket = Ticket(self.next_id());
        self.ask(ticket, Input::Renew { ticket, lease }).await
    }

    /// Asks the node itself.
    pub async fn admin(&self, order: Order) -> Result<Reply, Refusal> {
        let ticket = Ticket(self.next_id());
        self.ask(ticket, Input::Admin { ticket, order }).await
    }

    /// Changes the membership; `make` makes the change for a ticket.
    pub async fn reconfigure(
        &self,
        make: impl FnOnce(Ticket) -> (Bytes, Arc<Change>),
    ) -> Result<Reply, Refusal> {
        let ticket = Ticket(self.next_id());
        let (bytes, change) = make(ticket);
        self.ask(ticket, Input::Reconfigure { ticket, bytes, change }).await
    }

    async fn ask(&self, ticket: Ticket, input: Input) -> Result<Reply, Refusal> {
        self.begin(ticket, input)?.await
    }

    /// Hands an input in; its reply can be waited for.
    pub(crate) fn begin(&self, ticket: Ticket, input: Input) -> Result<Waiting, Refusal> {
        let (answer, reply) = oneshot::channel();
        let way = match input {
            Input::Read { .. } | Input::Renew { .. } | Input::RenewAll { .. } => &self.ahead,
            _ => &self.inbox,
        };
        match way.try_send(Call::Ask { ticket, input, answer }) {
            Ok(()) => Ok(Waiting { inbox: self.inbox.clone(), ticket, reply, done: false }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Refusal::TooManyRequests),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Refusal::Stopped),
        }
    }
}

/// A reply to come. Tells the driver when it is dropped before that.
#[derive(Debug)]
pub(crate) struct Waiting {
    inbox: mpsc::Sender<Call>,
    ticket: Ticket,
    reply: oneshot::Receiver<Result<Reply, Refusal>>,
    done: bool,
}

impl Future for Waiting {
    type Output = Result<Reply, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.reply).poll(cx));
        self.done = true;
        Poll::Ready(reply.unwrap_or(Err(Refusal::Stopped)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.done {
            // A full inbox loses the hint; the node's own deadline ends the ticket.
            let _ = self.inbox.try_send(Call::Gone(self.ticket));
        }
    }
}
