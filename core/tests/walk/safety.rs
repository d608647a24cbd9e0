//! The five sentences of the Raft paper (§5, figure 3), held against what members do. Each is
//! also tested by itself: over a walk of its own, and with a lie that it must notice.

use crate::World;
use bytes::Bytes;
use keel_core::raft::{Body, Message};
use keel_core::{Entry, Index, NodeId, Payload, Proposal, Term};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sentence {
    ElectionSafety,
    LeaderAppendOnly,
    LogMatching,
    LeaderCompleteness,
    StateMachineSafety,
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Safety {
    /// The one sentence that is looked at; all of them otherwise.
    only: Option<Sentence>,
    leaders: BTreeMap<Term, NodeId>,
    /// What is committed, and by which term at the latest it was.
    pub(crate) committed: BTreeMap<Index, Told>,
    looks: BTreeMap<Sentence, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) term: Term,
    bytes: Bytes,
    by: Term,
}

impl Safety {
    fn looks_at(&mut self, sentence: Sentence) -> bool {
        *self.looks.entry(sentence).or_default() += 1;
        self.only.is_none_or(|only| only == sentence)
    }

    /// A member leads a term, with this log.
    pub(crate) fn leads(&mut self, id: NodeId, term: Term, log: impl FnOnce() -> Vec<Entry>) {
        let first = *self.leaders.entry(term).or_insert_with(|| NodeId(0));
        if first == id {
            return;
        }
        // At most one leader can be elected in a given term.
        if self.looks_at(Sentence::ElectionSafety) {
            assert_eq!(first, NodeId(0), "{id:?} in {term:?} leads, too");
        }
        self.leaders.insert(term, id);
        // What is committed in a term is in the logs of the leaders of all higher ones.
        if self.looks_at(Sentence::LeaderCompleteness) {
            let log = log();
            for (index, told) in self.committed.iter().filter(|(_, told)| told.by < term) {
                let at = usize::try_from(index.0 - 1).expect("small");
                let held = log.get(at).is_some_and(|entry| entry.term == told.term);
                assert!(held, "{id:?} in {term:?} leads without {index:?}");
            }
        }
    }

    /// A member that led before and after takes back its log from here on, if at all.
    pub(crate) fn leader_writes(&mut self, id: NodeId, cut_from: Option<Index>) {
        // A leader never overwrites or deletes entries in its log; it only appends.
        if self.looks_at(Sentence::LeaderAppendOnly) {
            assert_eq!(cut_from, None, "{id:?} leads, and takes back what it wrote");
        }
    }

    /// Where two logs hold an entry of one term at one position, all before it is equal, too.
    pub(crate) fn logs_match(&mut self, one: &[Entry], other: &[Entry]) {
        let shared = one.iter().zip(other).rposition(|(a, b)| a.term == b.term);
        let Some(last) = shared else { return };
        if self.looks_at(Sentence::LogMatching) {
            assert!(one[..=last] == other[..=last], "logs differ before {last}");
        }
    }

    /// A member in `by` applies an entry.
    pub(crate) fn applies(&mut self, by: Term, entry: &Entry) {
        let bytes = Bytes::copy_from_slice(entry.payload.bytes());
        let told = Told { term: entry.term, bytes, by };
        let before = self.committed.entry(entry.index).or_insert_with(|| told.clone()).clone();
        // Whoever applies a position applies the same there.
        if self.looks_at(Sentence::StateMachineSafety) {
            let equal = (before.term, &before.bytes) == (told.term, &told.bytes);
            assert!(equal, "two entries are applied at {:?}: {before:?}, {told:?}", entry.index);
        }
    }
}

type Lie = fn(NodeId, NodeId, &Message) -> Option<(NodeId, NodeId, Message)>;

/// Walks with one sentence in sight, and puts a lie beside every message that makes one.
fn walk(sentence: Sentence, lie: Lie) -> u64 {
    let mut looks = 0;
    for seed in 0..40 {
        let mut world = World::new(3, seed);
        world.safety.only = Some(sentence);
        for _ in 0..4_000 {
            world.step(true);
            let told = world.flying.iter().find_map(|(from, to, m)| lie(*from, *to, m));
            world.flying.extend(told);
            world.match_logs();
        }
        looks += world.safety.looks.get(&sentence).copied().unwrap_or_default();
    }
    looks
}

/// A sentence holds where nobody lies, and is seen broken, in these words, where somebody does.
fn holds_and_is_looked_at(sentence: Sentence, lie: Lie, words: &str) {
    let looks = walk(sentence, |_, _, _| None);
    assert!(looks > 100, "{sentence:?} was looked at {looks} times");
    let caught = std::panic::catch_unwind(|| walk(sentence, lie));
    let why = caught.expect_err("it is broken, and somebody sees it");
    let why = why.downcast_ref::<String>().expect("an assertion says what it saw");
    assert!(why.contains(words), "something else was seen: {why}");
}

/// An append is acknowledged as if it were durable.
fn forged_ack(from: NodeId, to: NodeId, message: &Message) -> Option<(NodeId, NodeId, Message)> {
    let Body::Append { entries, .. } = &message.body else { return None };
    let body = Body::AppendAck { index: entries.last()?.index, reject: None };
    Some((to, from, Message { term: message.term, body }))
}

/// Whoever asks for a vote gets it.
fn forged_vote(from: NodeId, to: NodeId, message: &Message) -> Option<(NodeId, NodeId, Message)> {
    let Body::Vote { pre, .. } = message.body else { return None };
    let body = Body::VoteReply { pre, reject: false };
    Some((to, from, Message { term: message.term, body }))
}

/// An entry that was brought is brought again, and says something else.
fn forged_entry(from: NodeId, to: NodeId, message: &Message) -> Option<(NodeId, NodeId, Message)> {
    let mut message = message.clone();
    let Body::Append { entries, .. } = &mut message.body else { return None };
    let Payload::Command(Proposal { bytes, .. }) = &mut entries.first_mut()?.payload else {
        return None;
    };
    *bytes = Bytes::from_static(b"a lie");
    Some((from, to, message))
}

#[test]
fn election_safety() {
    holds_and_is_looked_at(Sentence::ElectionSafety, forged_vote, "leads, too");
}

#[test]
fn leader_append_only() {
    let looks = walk(Sentence::LeaderAppendOnly, |_, _, _| None);
    assert!(looks > 300, "it was looked at {looks} times");
    // No message makes a leader of ours do it.
    let cut = || Safety::default().leader_writes(NodeId(1), Some(Index(1)));
    assert!(std::panic::catch_unwind(cut).is_err(), "a leader that takes back is seen");
}

#[test]
fn log_matching() {
    holds_and_is_looked_at(Sentence::LogMatching, forged_entry, "logs differ");
}

#[test]
fn leader_completeness() {
    holds_and_is_looked_at(Sentence::LeaderCompleteness, forged_ack, "leads without");
}

#[test]
fn state_machine_safety() {
    holds_and_is_looked_at(Sentence::StateMachineSafety, forged_ack, "two entries");
}
