//! The loop: inputs in, every output out, plans to the disk, then sleep until the next reason.
//!
//! Nothing here knows raft or etcd. If you are about to write an `if` about either, it belongs
//! in `core`. Its whole duty: persist in order and report what is durable, never let time go
//! back, drain before sleeping, and end the process when a disk operation fails.

use super::disk::{Completion, Disk};
use super::links::{Links, take_state};
use super::{Failure, Front, Host, Notes, Recorded, Stop, Time};
use crate::peer::Heard;
use crate::{Call, Desk};
use keel_core::disk::Lane;
use keel_core::mvcc::Chunk;
use keel_core::planner::Placed;
use keel_core::{Input, Instant, Note, Order, Output, Planner, Ticket};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;

/// Inputs taken before outputs leave: one sync of the disk then serves them all.
const BATCH_MAX: usize = 1024;

/// How long a removed member goes on, as in etcd.
const LEAVE_AFTER: Duration = Duration::from_secs(1);

/// How long the last checkpoint may take. Without it the next start replays more of the log.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// Everything that the loop turns. A runtime's loop is this, for as long as
/// [`settle`](Driver::settle) goes on: wait for [`wake`](Driver::wake) or the time, then
/// [`turn`](Driver::turn).
pub struct Driver<H, D> {
    /// Decides everything.
    pub(super) node: Recorded,
    /// Decides bytes and order on the disk.
    pub(super) planner: Planner,
    /// Carries the planner's plans out.
    pub(super) disk: D,
    /// Who waits for which reply.
    pub(super) desk: Desk,
    /// Who reads the state.
    pub(super) front: Front,
    /// Who hears of facts.
    pub(super) notes: Notes,
    /// Where services ask.
    pub(super) inbox: mpsc::Receiver<Call>,
    /// Where they ask what no write need come before.
    pub(super) ahead: mpsc::Receiver<Call>,
    /// What is heard of peers.
    pub(super) news: mpsc::Receiver<Heard>,
    /// The way to the peers.
    pub(super) links: Links<H>,
    /// Asks the whole server to stop, where the cluster does not want it any more.
    pub(super) leave: Stop,
    /// How many plans the disk is at.
    pub(super) plans: usize,
    /// When the log's plan was handed to the disk.
    pub(super) commit: Instant,
    /// And the other lane's.
    pub(super) bulk: Instant,
    /// How long the node took for what it heard last.
    pub(super) stepped: Duration,
    /// The ticket of the checkpoint that ends everything.
    pub(super) last: Ticket,
    /// Comes when that end is asked for.
    pub(super) finish: Pin<Box<dyn Future<Output = ()>>>,
    /// How far it has come.
    pub(super) end: End,
    /// When nothing is waited for any more.
    pub(super) cut_off: Option<Instant>,
}

/// Why the loop goes on.
#[derive(Debug)]
pub enum Wake {
    /// A service asks.
    Call(Call),
    /// A service asks what no write need come before.
    Ahead(Call),
    /// Something was heard of a peer.
    Heard(Heard),
    /// A plan has ended.
    Disk(Completion),
    /// It is time.
    Time,
    /// The end is asked for.
    Finish,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nobody asked.
    Far,
    /// The last checkpoint is asked for.
    Asked,
    /// It is planned, or there was nothing to write: only the disk has work left.
    Planned,
}

impl<H: Host, D: Disk> Driver<H, D> {
    /// Carries out what was decided, and says when the loop must go on at the latest; the end is
    /// nothing.
    pub fn settle(&mut self) -> ControlFlow<(), Option<Instant>> {
        self.drain();
        self.hand_over();
        let over = self.cut_off.is_some_and(|at| at <= self.now());
        if over || self.end == End::Planned && self.plans == 0 {
            return ControlFlow::Break(());
        }
        let due = [self.node.deadline(), self.cut_off];
        ControlFlow::Continue(due.into_iter().flatten().min())
    }

    /// Waits for the next reason that is not time; dropping the future loses nothing.
    pub async fn wake(&mut self) -> Wake {
        tokio::select! {
            biased;
            completion = self.disk.done() => Wake::Disk(completion),
            () = &mut self.finish, if self.end == End::Far => Wake::Finish,
            // Before clients, so that no load of theirs silences a leader.
            Some(heard) = self.news.recv() => Wake::Heard(heard),
            Some(call) = self.ahead.recv() => Wake::Ahead(call),
            Some(call) = self.inbox.recv() => Wake::Call(call),
        }
    }

    /// Does what a reason asks for.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub fn turn(&mut self, wake: Wake) -> Result<(), Failure> {
        let begun = self.now();
        match wake {
            Wake::Disk(completion) => self.completed(completion)?,
            Wake::Call(call) => self.take(Some(call), None),
            Wake::Ahead(call) => self.take(None, Some(call)),
            Wake::Heard(heard) => self.hear(heard),
            Wake::Time => self.node.step(self.now(), Input::Tick),
            Wake::Finish => {
                self.end = End::Asked;
                self.cut_off = Some(self.now().after(FINISH_MAX));
                let input = Input::Admin { ticket: self.last, order: Order::Checkpoint };
                self.node.step(self.now(), input);
            }
        }
        self.stepped = self.now().since(begun);
        Ok(())
    }

    fn now(&self) -> Instant {
        self.links.host().time().now()
    }

    /// Feeds a call, and the ones that came meanwhile: first those that go ahead, whose answers and
    /// rounds leave before the writes behind them are looked at.
    fn take(&mut self, call: Option<Call>, ahead: Option<Call>) {
        if self.feed(ahead, |driver| driver.ahead.try_recv().ok()) > 0 {
            self.drain();
        }
        self.feed(call, |driver| driver.inbox.try_recv().ok());
    }

    /// Feeds a first call and the ones behind it; tells how many they were.
    fn feed(&mut self, first: Option<Call>, next: impl Fn(&mut Self) -> Option<Call>) -> usize {
        let now = self.now();
        let mut fed = 0;
        let mut call = first.or_else(|| next(self));
        while let Some(taken) = call {
            let input = self.desk.admit(taken);
            self.node.step(now, input);
            fed += 1;
            call = if fed < BATCH_MAX { next(self) } else { None };
        }
        fed
    }

    /// Feeds what was heard of a peer, and what came behind it meanwhile.
    fn hear(&mut self, first: Heard) {
        let now = self.now();
        let mut heard = first;
        for taken in 1.. {
            let input = match heard {
                Heard::Message { from, message } => Input::Peer { from, message },
                Heard::Up { peer, version } => Input::LinkUp { peer, version },
                Heard::Down { peer } => Input::LinkDown { peer },
                Heard::Listens { peer, channel, queue } => {
                    self.links.listens(peer, channel, queue);
                    // What the queue before held may never be read.
                    Input::Lost { peer }
                }
                Heard::StateComes { announced, pieces, answer } => {
                    let (cluster, heard) = (self.links.cluster(), self.links.heard());
                    let host = self.links.host();
                    let spill = self.disk.spill();
                    let take = take_state(
                        host.time().clone(),
                        cluster,
                        announced,
                        pieces,
                        spill,
                        heard,
                        answer,
                    );
                    host.spawn(take);
                    Input::Tick
                }
                Heard::State { from, term, state, answer } => {
                    // The sender may have given up since.
                    let _ = answer.send(Ok(()));
                    Input::State { from, term, state }
                }
                Heard::StateSent { peer, arrived } => Input::StateSent { peer, arrived },
                Heard::RefusedBy { peer, why } => {
                    self.notes.refused_by(peer, &why);
                    Input::Tick
                }
                Heard::Refused { peer, why } => {
                    self.notes.refused(peer, why);
                    Input::Tick
                }
                Heard::Expelled => {
                    self.notes.expelled();
                    self.leave.ask();
                    return;
                }
            };
            self.node.step(now, input);
            if taken == BATCH_MAX {
                return;
            }
            let Ok(next) = self.news.try_recv() else { return };
            heard = next;
        }
    }

    /// Stops the server a little later: the peers must hear the last messages first.
    fn leave(&self) {
        let (leave, host) = (self.leave.clone(), self.links.host());
        let later = host.time().sleep(LEAVE_AFTER);
        host.spawn(async move {
            later.await;
            leave.ask();
        });
    }

    /// Carries out every output.
    fn drain(&mut self) {
        while let Some(output) = self.node.poll() {
            match output {
                Output::Send { to, message } => {
                    if !self.links.send(to, message) {
                        self.node.step(self.now(), Input::Lost { peer: to });
                    }
                }
                Output::SendState { to, message, state } => {
                    if !self.links.send_state(to, message, state) {
                        let input = Input::StateSent { peer: to, arrived: false };
                        self.node.step(self.now(), input);
                    }
                }
                Output::Members(cluster) => {
                    // Before a new member can hear of anything: it may get a vote.
                    self.front.stand(self.node.status());
                    self.links.follow(&cluster);
                }
                Output::Leave => self.leave(),
                Output::Persist { mark, write } => self.planner.persist(mark, write),
                Output::Store { mark, checkpoint } => self.planner.store(mark, checkpoint),
                Output::Applied(batch) => self.front.publish(&batch, self.node.status()),
                Output::Reply { ticket, .. } if ticket == self.last => self.end = End::Planned,
                Output::Reply { ticket, reply } => self.desk.settle(ticket, reply),
                Output::Note(note) => {
                    if let Note::Applied { work, .. } = note {
                        self.notes.applied(work, self.stepped);
                    }
                    self.notes.note(self.links.host().time(), &note);
                }
            }
        }
        let status = self.node.status();
        self.notes.stand(status);
        self.front.stand(status);
    }

    /// Gives each idle lane its next plan. A lane has one plan at a time: what comes while a
    /// sync is in flight gathers in the planner, and the next sync serves all of it.
    fn hand_over(&mut self) {
        for lane in [Lane::Log, Lane::Bulk] {
            while let Some(plan) = self.planner.poll(lane) {
                self.plans += 1;
                match lane {
                    Lane::Log => self.commit = self.now(),
                    Lane::Bulk => self.bulk = self.now(),
                }
                self.disk.submit(plan);
            }
        }
    }

    /// Tells the node what is durable now. A failure ends everything: nothing that rests on the
    /// lost bytes has left, since the node waits for exactly this report.
    fn completed(&mut self, end: Completion) -> Result<(), Failure> {
        end.result?;
        self.plans -= 1;
        let now = self.now();
        match end.lane {
            Lane::Log => self.notes.synced(now.since(self.commit)),
            Lane::Bulk => self.notes.stored(now.since(self.bulk)),
        }
        let done = self.planner.done(end.plan);
        if let Some(mark) = done.persisted {
            self.node.step(now, Input::Persisted { mark });
        }
        if let Some((mark, placed)) = done.stored {
            let chunks: Result<_, Failure> = placed.into_iter().map(|p| self.chunk(p)).collect();
            self.node.step(now, Input::Stored { mark, chunks: chunks? });
        }
        Ok(())
    }

    /// A chunk where it lies now: memory that the kernel may drop and read again.
    fn chunk(&mut self, placed: Placed) -> Result<Chunk, Failure> {
        let end = placed.at + placed.len;
        let file = self.disk.read(placed.file, end)?;
        let from = usize::try_from(placed.at).expect("it lies in a mapped file");
        let Placed { number, version, .. } = placed;
        Ok(Chunk { number, version, bytes: file.slice(from..) })
    }
}
