//! Who belongs: members are let in, promoted and put out while everything else goes wrong, too.

use super::World;
use super::bus::leader;
use super::serve::Whose;
use crate::member::{CLUSTER, url};
use crate::oracle::Broken;
use crate::plan::Target;
use crate::seen::Place;
use keel_core::members::{Cluster, Member as Listed};
use keel_core::raft::ChangeStep;
use keel_core::{Input, NodeId};
use keel_proto::convert::change;
use keel_proto::peer::members;

/// What is asked of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Add,
    Teach,
    Promote,
    Remove,
}

/// Where a member stands, as its operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nobody has started it yet.
    Apart,
    /// It is started whenever it does not run.
    In,
    /// It was put out and knows it: it never starts again.
    Out,
}

impl World {
    /// How the plan's cluster is in the beginning.
    pub(super) fn cluster(&self) -> Cluster {
        let listed = |at: usize| (World::id(at), listed(at));
        let first = 0..self.first_members();
        Cluster { id: CLUSTER, members: first.map(listed).collect(), ..Cluster::default() }
    }

    pub(super) fn first_members(&self) -> usize {
        usize::try_from(self.plan.knobs.members).expect("clusters are small")
    }

    /// Asks the leader for a change; whoever is let in starts at once.
    pub(super) fn reconfigure(&mut self, whom: Target, wish: Wish) -> Result<(), Broken> {
        let Some(at) = self.meant(whom).first().copied() else { return Ok(()) };
        let Some(leader) = leader(self) else { return Ok(()) };
        let id = World::id(at);
        let (step, context) = match wish {
            Wish::Add => (ChangeStep::AddVoter(id), members::one(id, &listed(at))),
            Wish::Teach => {
                let learner = Listed { learner: true, ..listed(at) };
                (ChangeStep::AddLearner(id), members::one(id, &learner))
            }
            Wish::Promote => (ChangeStep::AddVoter(id), members::promotion(id)),
            // Of two voters the one that stays may need the other's vote: with either gone, a
            // cluster may wait for ever, as etcd's does.
            // Nor may one go while another one's disk is to be brought back by a majority.
            Wish::Remove if self.voters() < 3 || self.is_damaged() => return Ok(()),
            Wish::Remove => (ChangeStep::Remove(id), String::new()),
        };
        let ticket = self.ticket();
        let (bytes, change) = change(ticket, step, &context);
        self.admit(
            leader,
            ticket,
            Whose::Change(wish),
            Input::Reconfigure { ticket, bytes, change },
        )?;
        let comes = matches!(wish, Wish::Add | Wish::Teach);
        if comes && self.members[at].part == Part::Apart {
            self.members[at].part = Part::In;
            return self.start_again(at);
        }
        Ok(())
    }

    /// A change was let through.
    pub(super) fn changed(&mut self, wish: Wish) {
        match wish {
            Wish::Add | Wish::Teach => self.places.saw(Place::Joined),
            Wish::Promote => self.places.saw(Place::Promoted),
            Wish::Remove => {}
        }
    }

    /// Whether anybody's disk is, or may be found to be, damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.members.iter().any(|member| member.rot_due || member.rotten)
    }

    fn voters(&self) -> usize {
        self.newest().map_or(0, |cluster| cluster.voters().count())
    }

    /// The members as whoever has applied most knows them.
    pub(super) fn newest(&self) -> Option<std::sync::Arc<Cluster>> {
        let lives = self.members.iter().filter_map(|member| member.life.as_ref());
        let views = lives.map(|life| life.node.view());
        views.max_by_key(|view| view.index).map(|view| view.cluster)
    }

    /// Whom the quiet phase asks: who belongs to the cluster and was not given up.
    pub(super) fn counted(&self) -> Vec<usize> {
        let Some(cluster) = self.newest() else { return Vec::new() };
        let belongs = |id: &NodeId| World::place(*id);
        let places = cluster.members.keys().map(belongs);
        places.filter(|at| !self.members[*at].abandoned).collect()
    }

    /// Whom clients turn to.
    pub(super) fn serving(&self) -> Vec<usize> {
        if self.quiet {
            let counted = self.counted();
            if !counted.is_empty() {
                return counted;
            }
        }
        (0..self.members.len()).filter(|at| self.members[*at].part == Part::In).collect()
    }

    /// A member heard that it was put out, and has told what it had to.
    pub(super) fn leave(&mut self, at: usize) {
        self.tell(&format!("{} leaves", World::name(at)));
        self.places.saw(Place::Left);
        self.members[at].part = Part::Out;
        self.members[at].device.lose_process();
        self.links(at, false);
    }
}

fn listed(at: usize) -> Listed {
    let peer_urls = vec![url(at, 2380)];
    Listed { peer_urls, ..Listed::default() }
}
