//! Nothing that rests on undurable bytes leaves (Raft §5.1, figure 2): what a member has told
//! others of its terms, votes and log it still knows after whatever crash. And no term has two
//! leaders (§5.2).

use super::Broken;
use keel_core::entry::{HardState, Write};
use keel_core::raft::{Body, Message};
use keel_core::{Index, NodeId, Term};
use std::collections::BTreeMap;

/// What one member has told others.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    term: Term,
    /// What it said first in that term.
    said: String,
    vote: Option<(Term, NodeId)>,
    /// It holds the log up to here.
    held: Index,
}

impl Promises {
    /// A message left.
    pub fn sent(&mut self, to: NodeId, message: &Message) {
        if has_own_term(message) && message.term > self.term {
            self.term = message.term;
            self.said = format!("{:?}", message.body);
        }
        match &message.body {
            Body::VoteReply { pre: false, reject: false } => self.vote = Some((message.term, to)),
            Body::AppendAck { index, reject: None } => self.held = self.held.max(*index),
            _ => {}
        }
    }

    /// A leader's word made it cut its log: what it held is not what counts.
    pub fn wrote(&mut self, write: &Write) {
        if let Some(cut) = write.cut_from {
            self.held = self.held.min(cut.prev());
        }
    }

    /// It came back with this hard state, and a log that ends here.
    ///
    /// # Errors
    ///
    /// It forgot something.
    pub fn came_back(&self, member: NodeId, hard: HardState, last: Index) -> Result<(), Broken> {
        let broken = |what| Err(Broken::new("persist-before-send", what));
        if hard.term < self.term {
            let Promises { term, said, .. } = self;
            return broken(format!(
                "{member} said {said} in {term:?} and is back in {:?}",
                hard.term
            ));
        }
        if let Some((term, whom)) = self.vote
            && term == hard.term
            && hard.vote != whom
        {
            return broken(format!("{member} voted for {whom} in {term:?} and forgot it"));
        }
        if last < self.held {
            return broken(format!(
                "{member} acknowledged entry {} and is back with {}",
                self.held.0, last.0
            ));
        }
        Ok(())
    }
}

/// Whether a message carries its sender's term: some carry the one that would be, or none.
fn has_own_term(message: &Message) -> bool {
    !matches!(
        message.body,
        Body::Vote { pre: true, .. }
            | Body::VoteReply { pre: true, .. }
            | Body::Propose { .. }
            | Body::ReadIndex { .. }
            | Body::Transfer { .. }
    )
}

/// Who led in which term.
#[derive(Clone, Debug, Default)]
pub struct Leaders {
    led: BTreeMap<Term, NodeId>,
    /// The newest term in which somebody campaigned.
    campaigned: Term,
}

impl Leaders {
    /// A member says that it leads.
    ///
    /// # Errors
    ///
    /// Another one led in the same term.
    pub fn leads(&mut self, who: NodeId, term: Term) -> Result<(), Broken> {
        let known = *self.led.entry(term).or_insert(who);
        if known == who {
            return Ok(());
        }
        let what = format!("{known} and {who} both lead in {term:?}");
        Err(Broken::new("election-safety", what))
    }

    /// How many terms had a leader.
    #[must_use]
    pub fn count(&self) -> usize {
        self.led.len()
    }

    /// A member campaigns in a term, and not only asks what would be.
    pub fn campaigns(&mut self, term: Term) {
        self.campaigned = self.campaigned.max(term);
    }

    /// A member sends something: the term that it is in was somebody's campaign (thesis §9.6).
    ///
    /// # Errors
    ///
    /// It was nobody's.
    pub fn speaks(&self, who: NodeId, message: &Message) -> Result<(), Broken> {
        // A cluster begins in the first term.
        if !has_own_term(message) || message.term <= self.campaigned.max(Term(1)) {
            return Ok(());
        }
        let what = format!("{who} is in {:?}, in which nobody campaigned", message.term);
        Err(Broken::new("terms", what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard(term: u64, vote: u64) -> HardState {
        HardState { term: Term(term), vote: NodeId(vote), commit: Index(0) }
    }

    fn promised() -> Promises {
        let mut promises = Promises::default();
        let vote = Body::VoteReply { pre: false, reject: false };
        promises.sent(NodeId(2), &Message { term: Term(4), body: vote });
        let ack = Body::AppendAck { index: Index(7), reject: None };
        promises.sent(NodeId(2), &Message { term: Term(4), body: ack });
        promises
    }

    #[test]
    fn who_remembers_is_believed() {
        promised().came_back(NodeId(1), hard(4, 2), Index(7)).expect("it forgot nothing");
        promised().came_back(NodeId(1), hard(5, 3), Index(9)).expect("it learned more");
        let mut cut = promised();
        cut.wrote(&Write { cut_from: Some(Index(3)), ..Write::default() });
        cut.came_back(NodeId(1), hard(4, 2), Index(2)).expect("a leader told it to cut");
    }

    #[test]
    fn who_forgets_is_seen() {
        for (hard, last) in [(hard(3, 0), 7), (hard(4, 3), 7), (hard(4, 2), 6)] {
            assert!(promised().came_back(NodeId(1), hard, Index(last)).is_err(), "{hard:?} {last}");
        }
    }

    #[test]
    fn a_term_of_nobody_is_seen() {
        let mut leaders = Leaders::default();
        let says = |term, body| Message { term: Term(term), body };
        let vote = |pre| Body::VoteReply { pre, reject: true };
        leaders.speaks(NodeId(2), &says(1, vote(false))).expect("the first term");
        assert!(leaders.speaks(NodeId(2), &says(2, vote(false))).is_err());
        leaders.speaks(NodeId(2), &says(2, vote(true))).expect("it says what would be");
        leaders.campaigns(Term(2));
        leaders.speaks(NodeId(2), &says(2, vote(false))).expect("somebody campaigned");
    }

    #[test]
    fn two_leaders_of_a_term_are_seen() {
        let mut leaders = Leaders::default();
        leaders.leads(NodeId(1), Term(2)).expect("the first");
        leaders.leads(NodeId(1), Term(2)).expect("the same");
        leaders.leads(NodeId(2), Term(3)).expect("another term");
        assert!(leaders.leads(NodeId(2), Term(2)).is_err());
    }
}
