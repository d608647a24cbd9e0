//! The loop: inputs in, every output out, plans to the disk, then sleep until the next reason.
//!
//! Nothing here knows raft or etcd. If you are about to write an `if` about either, it belongs
//! in `core`. Its whole duty: persist in order and report what is durable, never let time go
//! back, drain before sleeping, and end the process when a disk operation fails.

use crate::clock::{Clock, passed};
use crate::disk::{Completion, Disk};
use crate::failure::Failure;
use crate::front::Front;
use crate::links::{Links, take_state};
use crate::net::Net;
use crate::notes::Notes;
use crate::recorder::Recorded;
use crate::stop::Stop;
use keel_core::disk::Lane;
use keel_core::mvcc::Chunk;
use keel_core::planner::Placed;
use keel_core::{Input, Note, Order, Output, Planner, Ticket};
use keel_proto::peer::Heard;
use keel_proto::{Call, Desk};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Inputs taken before outputs leave: one sync of the disk then serves them all.
const BATCH_MAX: usize = 1024;

/// How long a removed member goes on, as in etcd.
const LEAVE_AFTER: Duration = Duration::from_secs(1);

/// How long the last checkpoint may take. Without it the next start replays more of the log.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// Everything that the loop turns.
pub(crate) struct Driver<N, D> {
    /// Decides everything.
    pub(crate) node: Recorded,
    /// Decides bytes and order on the disk.
    pub(crate) planner: Planner,
    /// Carries the planner's plans out.
    pub(crate) disk: D,
    /// Who waits for which reply.
    pub(crate) desk: Desk,
    /// Who reads the state.
    pub(crate) front: Front,
    /// Who hears of facts.
    pub(crate) notes: Notes,
    /// What time it is.
    pub(crate) clock: Clock,
    /// Where services ask.
    pub(crate) inbox: mpsc::Receiver<Call>,
    /// What is heard of peers.
    pub(crate) news: mpsc::Receiver<Heard>,
    /// The way to the peers.
    pub(crate) links: Links<N>,
    /// Asks the whole server to stop, where the cluster does not want it any more.
    pub(crate) leave: Stop,
    /// How many plans the disk is at.
    pub(crate) plans: usize,
    /// When the log's plan was handed to the disk.
    pub(crate) commit: keel_core::Instant,
    /// And the other lane's.
    pub(crate) bulk: keel_core::Instant,
    /// How long the node took for what it heard last.
    pub(crate) stepped: Duration,
    /// The ticket of the checkpoint that ends everything.
    pub(crate) last: Ticket,
    /// Asks for that end.
    pub(crate) finish: Stop,
}

/// Why the loop woke.
enum Wake {
    Call(Call),
    Heard(Heard),
    Disk(Completion),
    Time,
    Finish,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nobody asked.
    Far,
    /// The last checkpoint is asked for.
    Asked,
    /// It is planned, or there was nothing to write: only the disk has work left.
    Planned,
}

impl<N: Net, D: Disk> Driver<N, D> {
    /// Runs until asked to finish and the disk has everything, or until the disk fails.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let mut end = End::Far;
        let mut cut_off = None;
        let mut timer = pin!(sleep_until(Instant::now()));
        let finish = self.finish.clone();
        let mut finish = pin!(finish.asked());
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            end = self.drain(end);
            self.hand_over();
            if end == End::Planned && self.plans == 0 {
                return Ok(());
            }
            let due = self.node.deadline().map(|at| self.clock.timer(at));
            let due = [due, cut_off].into_iter().flatten().min();
            if let Some(due) = due.filter(|due| *due != timer.deadline()) {
                timer.as_mut().reset(due);
            }
            let wake = tokio::select! {
                biased;
                completion = self.disk.done() => Wake::Disk(completion),
                () = finish.as_mut(), if end == End::Far => Wake::Finish,
                // Before clients, so that no load of theirs silences a leader.
                Some(heard) = self.news.recv() => Wake::Heard(heard),
                Some(call) = self.inbox.recv() => Wake::Call(call),
                () = passed(timer.as_mut(), due), if due.is_some() => Wake::Time,
            };
            let begun = self.clock.now();
            match wake {
                Wake::Disk(completion) => self.completed(completion)?,
                Wake::Call(call) => {
                    batch.push(call);
                    self.take(&mut batch);
                }
                Wake::Heard(heard) => self.hear(heard),
                Wake::Time => self.node.step(self.clock.now(), Input::Tick),
                Wake::Finish => {
                    end = End::Asked;
                    cut_off = Some(Instant::now() + FINISH_MAX);
                    let input = Input::Admin { ticket: self.last, order: Order::Checkpoint };
                    self.node.step(self.clock.now(), input);
                }
            }
            self.stepped = self.clock.now().since(begun);
            if cut_off.is_some_and(|at| at <= Instant::now()) {
                return Ok(());
            }
        }
    }

    /// Feeds one call, and the ones behind it that came meanwhile.
    fn take(&mut self, batch: &mut Vec<Call>) {
        while batch.len() < BATCH_MAX {
            let Ok(call) = self.inbox.try_recv() else { break };
            batch.push(call);
        }
        let now = self.clock.now();
        for call in batch.drain(..) {
            let input = self.desk.admit(call);
            self.node.step(now, input);
        }
    }

    /// Feeds what was heard of a peer, and what came behind it meanwhile.
    fn hear(&mut self, first: Heard) {
        let now = self.clock.now();
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
                    let spill = self.disk.spill();
                    let take = take_state(cluster, announced, pieces, spill, heard, answer);
                    tokio::task::spawn_local(take);
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
        let leave = self.leave.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(LEAVE_AFTER).await;
            leave.ask();
        });
    }

    /// Carries out every output.
    fn drain(&mut self, mut end: End) -> End {
        while let Some(output) = self.node.poll() {
            match output {
                Output::Send { to, message } => {
                    if !self.links.send(to, message) {
                        self.node.step(self.clock.now(), Input::Lost { peer: to });
                    }
                }
                Output::SendState { to, message, state } => {
                    if !self.links.send_state(to, message, state) {
                        let input = Input::StateSent { peer: to, arrived: false };
                        self.node.step(self.clock.now(), input);
                    }
                }
                Output::Members(cluster) => self.links.follow(&cluster),
                Output::Leave => self.leave(),
                Output::Persist { mark, write } => self.planner.persist(mark, write),
                Output::Store { mark, checkpoint } => self.planner.store(mark, checkpoint),
                Output::Applied(batch) => self.front.publish(&batch, self.node.status()),
                Output::Reply { ticket, .. } if ticket == self.last => end = End::Planned,
                Output::Reply { ticket, reply } => self.desk.settle(ticket, reply),
                Output::Note(note) => {
                    if let Note::Applied { work, .. } = note {
                        self.notes.applied(work, self.stepped);
                    }
                    self.notes.note(&note);
                }
            }
        }
        let status = self.node.status();
        self.notes.stand(status);
        self.front.stand(status);
        end
    }

    /// Gives each idle lane its next plan. A lane has one plan at a time: what comes while a
    /// sync is in flight gathers in the planner, and the next sync serves all of it.
    fn hand_over(&mut self) {
        for lane in [Lane::Log, Lane::Bulk] {
            while let Some(plan) = self.planner.poll(lane) {
                self.plans += 1;
                match lane {
                    Lane::Log => self.commit = self.clock.now(),
                    Lane::Bulk => self.bulk = self.clock.now(),
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
        let now = self.clock.now();
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
