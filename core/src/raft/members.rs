//! Who votes, who learns, and what a majority is, also while two configurations overlap
//! (Raft thesis §4.3; semantics §8.7).

use super::{Change, ChangeStep};
use crate::types::{Index, NodeId};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// A configuration: etcd's `ConfState`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Who votes.
    pub voters: BTreeSet<NodeId>,
    /// Who voted before, while a joint change is under way; else empty.
    pub outgoing: BTreeSet<NodeId>,
    /// Who learns.
    pub learners: BTreeSet<NodeId>,
    /// Who still votes in the outgoing configuration and learns when it is left.
    pub learners_next: BTreeSet<NodeId>,
    /// Whether the joint configuration is left without being told.
    pub auto_leave: bool,
}

crate::recording::code!(struct Config { voters, outgoing, learners, learners_next, auto_leave });

/// How a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tally {
    Won,
    Lost,
    Pending,
}

impl Config {
    /// Whether a joint change is under way.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether this member votes.
    #[must_use]
    pub fn votes(&self, id: NodeId) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    /// Whether this member alone decides.
    #[must_use]
    pub fn only_voter_is(&self, id: NodeId) -> bool {
        !self.is_joint() && self.voters.len() == 1 && self.voters.contains(&id)
    }

    /// Everybody who gets the log.
    pub fn everybody(&self) -> BTreeSet<NodeId> {
        let sets = [&self.voters, &self.outgoing, &self.learners, &self.learners_next];
        sets.into_iter().flatten().copied().collect()
    }

    /// What a majority of each configuration has reached.
    pub(super) fn agreed(&self, reached: impl Fn(NodeId) -> Index) -> Index {
        let majority = |set: &BTreeSet<NodeId>| {
            let mut all: Vec<Index> = set.iter().map(|id| reached(*id)).collect();
            all.sort_unstable();
            let quorum = all.len() / 2 + usize::from(all.len() == 1 || !mutant!(CommitsByHalf));
            all.len().checked_sub(quorum).and_then(|at| all.get(at).copied())
        };
        // An empty half agrees to everything; no voters at all agree to nothing.
        match (majority(&self.voters), majority(&self.outgoing)) {
            (Some(new), Some(old)) => new.min(old),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Index::default(),
        }
    }

    /// Whether a vote is decided; `None` is an answer that did not come.
    pub(super) fn tally(&self, answer: impl Fn(NodeId) -> Option<bool>) -> Tally {
        let half = |set: &BTreeSet<NodeId>| {
            let count = |wanted| set.iter().filter(|id| answer(**id) == Some(wanted)).count();
            let quorum = set.len() / 2 + usize::from(!mutant!(ElectedByHalf));
            if set.is_empty() || count(true) >= quorum {
                Tally::Won
            } else if set.len() - count(false) < quorum {
                Tally::Lost
            } else {
                Tally::Pending
            }
        };
        match (half(&self.voters), half(&self.outgoing)) {
            (Tally::Lost, _) | (_, Tally::Lost) => Tally::Lost,
            (Tally::Won, Tally::Won) => Tally::Won,
            _ => Tally::Pending,
        }
    }

    /// The configuration after a change that raft has let through.
    #[must_use]
    pub fn after(&self, change: &Change) -> Config {
        let mut next = self.clone();
        if change.leaves_joint() {
            next.leave();
            return next;
        }
        if change.enters_joint() {
            next.outgoing = next.voters.clone();
            next.auto_leave = change.auto_leave;
        }
        for step in &change.steps {
            next.apply(*step);
        }
        next
    }

    fn leave(&mut self) {
        self.outgoing.clear();
        self.auto_leave = false;
        let promised = core::mem::take(&mut self.learners_next);
        self.learners.extend(promised);
    }

    fn apply(&mut self, step: ChangeStep) {
        match step {
            ChangeStep::AddVoter(id) => {
                self.learners.remove(&id);
                self.learners_next.remove(&id);
                self.voters.insert(id);
            }
            ChangeStep::AddLearner(id) => {
                self.voters.remove(&id);
                if self.outgoing.contains(&id) {
                    // It votes on in the outgoing half: it cannot be both.
                    self.learners_next.insert(id);
                } else {
                    self.learners.insert(id);
                }
            }
            ChangeStep::Remove(id) => {
                self.voters.remove(&id);
                self.learners.remove(&id);
                self.learners_next.remove(&id);
            }
            ChangeStep::Update(_) => {}
        }
    }
}

impl Change {
    /// The empty change that ends a joint configuration.
    #[must_use]
    pub fn leaves_joint(&self) -> bool {
        self.v2 && self.steps.is_empty() && !self.explicit
    }

    /// Whether the change goes through a joint configuration.
    #[must_use]
    pub fn enters_joint(&self) -> bool {
        self.v2 && (self.explicit || self.steps.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    #[test]
    fn a_joint_configuration_needs_both_majorities() {
        let config =
            Config { voters: ids(&[1, 2, 3]), outgoing: ids(&[3, 4, 5]), ..Config::default() };
        let reached = |id: NodeId| Index(if id.0 <= 3 { 10 } else { 1 });
        assert_eq!(config.agreed(reached), Index(1));
        assert_eq!(config.tally(|id| (id.0 <= 3).then_some(true)), Tally::Pending);
        assert_eq!(config.tally(|id| Some(id.0 <= 4)), Tally::Won);
        assert_eq!(config.tally(|id| (id.0 >= 4).then_some(false)), Tally::Lost);
    }

    #[test]
    fn a_voter_that_becomes_a_learner_waits_for_the_end_of_the_joint_change() {
        let old = Config { voters: ids(&[1, 2, 3]), ..Config::default() };
        let steps = vec![ChangeStep::AddLearner(NodeId(3)), ChangeStep::AddVoter(NodeId(4))];
        let change = Change { v2: true, steps, auto_leave: true, ..Change::default() };
        let joint = old.after(&change);
        assert_eq!((&joint.voters, &joint.outgoing), (&ids(&[1, 2, 4]), &ids(&[1, 2, 3])));
        assert_eq!((&joint.learners, &joint.learners_next), (&ids(&[]), &ids(&[3])));
        let end = joint.after(&Change { v2: true, ..Change::default() });
        assert_eq!((&end.learners, end.is_joint()), (&ids(&[3]), false));
    }

    #[test]
    fn nobody_agrees_to_nothing() {
        assert_eq!(Config::default().agreed(|_| Index(5)), Index(0));
    }
}
