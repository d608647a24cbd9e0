//! A member that lost what it remembered, and comes back as the same one.
//!
//! What was lost may be a vote, the promise not to help an older leader that went with it, and
//! entries that a leader counts as safe here. So the member stays out of its cluster until
//!
//! - it holds a state that ends behind an entry which the others committed *after* it stopped.
//!   They did so without it, and each majority that it was part of shares one of the others with
//!   theirs, so all that it ever helped to commit stands before that entry (Raft §5.4.3); and
//! - every other voter has named the term it is in, *after* it stopped. Whoever asked it for a
//!   vote was in the term of that vote and remembers it, so no vote of it lies above the highest
//!   term named. There it counts as having voted for itself: it helps no other candidate.
//!
//! Nothing of what it says then contradicts what it said before. Etcd has no such way: there a
//! member without its disk is removed and added as another one.

use super::config::Restored;
use crate::entry::{HardState, Write};
use crate::state::Checkpoint;
use crate::types::{NodeId, Term};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The terms that the other voters named.
#[derive(Clone, Debug, Default)]
pub struct Named(Vec<Term>);

impl Named {
    /// One more of them did.
    pub fn hear(&mut self, term: Term) {
        self.0.push(term);
    }
}

/// What the disk of a member must hold before it may go on, given a state as above and the terms
/// that all other voters named.
///
/// Fails where the state's cluster does not know the member.
pub fn repaired(
    me: NodeId,
    state: Restored,
    named: &Named,
) -> Result<(Write, Arc<Checkpoint>), &'static str> {
    let cluster = &state.cluster;
    if cluster.removed.contains(&me) || !cluster.members.contains_key(&me) {
        return Err("this member does not belong to its cluster any more");
    }
    let term = named.0.iter().copied().fold(state.term, Term::max);
    let hard = HardState { term, vote: me, commit: state.index };
    let write = Write { hard: Some(hard), cut_from: None, entries: Vec::new() };
    Ok((write, Arc::new(state.checkpoint())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::{Cluster, Member};
    use crate::mvcc::Store;
    use crate::raft::Config;
    use crate::types::Index;

    fn state() -> Restored {
        let mut cluster = Cluster::default();
        for id in [1, 2, 3] {
            cluster.members.insert(NodeId(id), Member::default());
        }
        Restored {
            index: Index(40),
            term: Term(5),
            store: Store::new(),
            leases: Vec::new(),
            alarms: Vec::new(),
            cluster,
            config: Config::default(),
        }
    }

    #[test]
    fn it_goes_on_in_the_highest_term_and_has_voted_there() {
        let (write, checkpoint) =
            repaired(NodeId(2), state(), &Named(Vec::from([Term(6), Term(9)]))).expect("a member");
        let hard = HardState { term: Term(9), vote: NodeId(2), commit: Index(40) };
        assert_eq!((write.hard, write.cut_from, write.entries.len()), (Some(hard), None, 0));
        assert_eq!((checkpoint.index, checkpoint.term), (Index(40), Term(5)));
    }

    #[test]
    fn a_state_can_be_newer_than_what_was_named() {
        let (write, _) =
            repaired(NodeId(2), state(), &Named(Vec::from([Term(4)]))).expect("a member");
        assert_eq!(write.hard.map(|hard| hard.term), Some(Term(5)));
    }

    #[test]
    fn who_was_removed_stays_out() {
        assert!(repaired(NodeId(4), state(), &Named::default()).is_err());
        let mut state = state();
        state.cluster.removed.insert(NodeId(2));
        assert!(repaired(NodeId(2), state, &Named::default()).is_err());
    }
}
