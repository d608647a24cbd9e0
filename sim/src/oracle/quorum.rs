//! What is committed lies on a majority of disks (Raft §5.3): when the first member applies an
//! entry, most of those who vote hold it durably, counted on their devices and not by what they
//! say. A leader that counts what is only in memory is seen here at once, and not only when the
//! power fails.

use super::Broken;
use keel_core::entry::Write;
use keel_core::members::Cluster;
use keel_core::{Entry, Index, Mark, NodeId, Term};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// From where a write cuts the log, and the entries that it puts there.
type Part = (Option<Index>, Vec<(Index, Term)>);

/// What one member's disk holds for certain.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    /// A state that ends here is on it.
    base: Index,
    log: BTreeMap<Index, Term>,
    /// Handed out and not durable yet.
    writing: VecDeque<(Mark, Part)>,
    storing: VecDeque<(Mark, Index)>,
}

impl Durable {
    /// A member starts on this.
    #[must_use]
    pub fn recovered(base: Index, entries: &[Entry]) -> Durable {
        let log = entries.iter().map(|entry| (entry.index, entry.term)).collect();
        Durable { base, log, ..Durable::default() }
    }

    /// A write begins.
    pub fn writes(&mut self, mark: Mark, write: &Write) {
        let entries = write.entries.iter().map(|entry| (entry.index, entry.term)).collect();
        self.writing.push_back((mark, (write.cut_from, entries)));
    }

    /// A checkpoint begins.
    pub fn stores(&mut self, mark: Mark, index: Index) {
        self.storing.push_back((mark, index));
    }

    /// Writes up to here ended.
    pub fn wrote(&mut self, upto: Mark) {
        while let Some((_, part)) = self.writing.pop_front_if(|(mark, _)| *mark <= upto) {
            let (cut, entries) = part;
            if let Some(cut) = cut {
                self.log.split_off(&cut);
            }
            self.log.extend(entries);
        }
    }

    /// Checkpoints up to here ended.
    pub fn stored(&mut self, upto: Mark) {
        while let Some((_, index)) = self.storing.pop_front_if(|(mark, _)| *mark <= upto) {
            self.base = self.base.max(index);
        }
    }

    fn holds(&self, index: Index, term: Term) -> bool {
        index <= self.base || self.log.get(&index) == Some(&term)
    }
}

/// Who votes behind the newest entry that was applied, and who did before the last change of that.
#[derive(Clone, Debug, Default)]
pub struct Quorum {
    newest: Index,
    now: BTreeSet<NodeId>,
    before: BTreeSet<NodeId>,
}

impl Quorum {
    /// Somebody is the first to apply an entry. `disks` has every member's, by its id from one.
    ///
    /// # Errors
    ///
    /// Less than a majority of the voters hold it.
    pub fn applied<'a>(
        &mut self,
        index: Index,
        term: Term,
        cluster: &Cluster,
        disk: impl Fn(NodeId) -> Option<&'a Durable>,
    ) -> Result<(), Broken> {
        // Somebody else has told of this entry among others: it was judged then.
        if index <= self.newest {
            return Ok(());
        }
        // The first ones were given to the cluster when it began.
        let given = std::mem::replace(&mut self.newest, index) == Index(0);
        let voters: BTreeSet<NodeId> = cluster.voters().map(|(id, _)| id).collect();
        if voters != self.now {
            self.before = std::mem::replace(&mut self.now, voters);
        }
        let majority = |voters: &BTreeSet<NodeId>| {
            let holds = |id: &&NodeId| disk(**id).is_some_and(|disk| disk.holds(index, term));
            voters.iter().filter(holds).count() > voters.len() / 2
        };
        // A change counts for a member once it has applied it: a leader that comes back may commit
        // it anew by those who voted before, though another one has applied it long since.
        if given || majority(&self.now) || majority(&self.before) {
            return Ok(());
        }
        let what = format!("entry {} of {term:?} is applied, and on no majority of disks", index.0);
        Err(Broken::new("commit-on-quorum", what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::Payload;
    use keel_core::members::Member;

    fn entry(index: u64) -> Entry {
        Entry { term: Term(2), index: Index(index), payload: Payload::Empty }
    }

    fn cluster(members: u64) -> Cluster {
        let members = (1..=members).map(|id| (NodeId(id), Member::default())).collect();
        Cluster { members, ..Cluster::default() }
    }

    fn disk(disks: &[Durable], id: NodeId) -> Option<&Durable> {
        disks.get(usize::try_from(id.0 - 1).expect("small"))
    }

    fn judged(disks: &[Durable; 3]) -> Result<(), Broken> {
        let mut quorum = Quorum::default();
        let given = quorum.applied(Index(3), Term(1), &cluster(3), |_| None);
        given.expect("who belongs is known in the beginning");
        quorum.applied(Index(5), Term(2), &cluster(3), |id| disk(disks, id))
    }

    #[test]
    fn a_majority_of_disks_is_enough_and_less_is_seen() {
        let holds = || Durable::recovered(Index(0), &[entry(5)]);
        let lacks = Durable::default;
        judged(&[holds(), holds(), lacks()]).expect("two of three");
        judged(&[holds(), lacks(), Durable::recovered(Index(7), &[])]).expect("one in its state");
        assert!(judged(&[holds(), lacks(), lacks()]).is_err(), "one of three");

        let mut writing = lacks();
        let write = Write { entries: vec![entry(5)], ..Write::default() };
        writing.writes(Mark(1), &write);
        assert!(judged(&[holds(), writing.clone(), lacks()]).is_err(), "not durable yet");
        writing.wrote(Mark(1));
        judged(&[holds(), writing.clone(), lacks()]).expect("durable now");
        writing.writes(Mark(2), &Write { cut_from: Some(Index(4)), ..Write::default() });
        writing.wrote(Mark(2));
        assert!(judged(&[holds(), writing, lacks()]).is_err(), "cut off again");
    }

    #[test]
    fn a_leader_may_commit_the_last_change_anew_by_those_who_voted_before() {
        let upto = |last: u64| {
            let entries: Vec<Entry> = (1..=last).map(entry).collect();
            Durable::recovered(Index(0), &entries)
        };
        let mut quorum = Quorum::default();
        let disks = [upto(9), upto(2), upto(2)];
        let mut judge = |index, members| {
            quorum.applied(Index(index), Term(2), &cluster(members), |id| disk(&disks, id))
        };
        judge(2, 1).expect("it is alone");
        judge(3, 2).expect("it let another one in");
        judge(5, 2).expect("it came back, and did not know that yet");
        judge(4, 3).expect("somebody tells of it late");
        assert!(judge(6, 3).is_err(), "it was alone two changes ago");
    }
}
