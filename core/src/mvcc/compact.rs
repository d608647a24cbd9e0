//! Forgetting: at once for readers, in bounded steps for memory (semantics §2).
//!
//! A compaction at C from P walks the history from P to C: each change there supersedes its
//! key's version before it, which dies; a tombstone below C dies, too, and its key leaves the
//! index if nothing newer came. A tombstone exactly at C stays for watchers that begin at C,
//! and goes with the next compaction.
//!
//! Before that the records are hashed as etcd hashes them while it compacts, so that members
//! can compare (semantics §6.7).

use super::hash::{Hash, Hasher};
use super::history::History;
use super::record;
use super::store::{State, Store};
use super::tree::Tree;
use super::view::View;
use crate::command::Refusal;
use alloc::collections::VecDeque;

/// Hashes of compactions that are remembered, as in etcd.
const HASHES_KEPT: usize = 10;

/// What a step of compaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// There was nothing to do.
    Idle,
    /// There is more to do.
    Working,
    /// A compaction ended with this step.
    Finished {
        /// The oldest revision that is still readable.
        revision: i64,
        /// The hash over what it scanned, and the compacted revision that it is from; zero if
        /// the one before it was still under way when this one was asked for.
        hash: u32,
        /// The compacted revision before.
        previous: i64,
    },
}

/// Compactions that are accepted and not finished, one after the other.
#[derive(Debug, Default)]
pub(super) struct Compactions {
    queue: VecDeque<Job>,
}

#[derive(Debug)]
struct Job {
    previous: i64,
    revision: i64,
    work: Work,
}

#[derive(Debug)]
enum Work {
    /// Not begun; whether a hash is wanted.
    Waiting { hashed: bool },
    /// Hashing what is there before anything goes.
    Hashing(alloc::boxed::Box<Hasher>),
    /// Killing from this position on; the hash is known.
    Trimming { at: u64, hash: Option<Hash> },
}

impl Store {
    /// Makes `revision` the oldest readable one, at once.
    pub fn compact(&mut self, revision: i64) -> Result<(), Refusal> {
        let state = &mut self.state;
        if revision <= state.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > state.revision {
            return Err(Refusal::FutureRevision);
        }
        let previous = core::mem::replace(&mut state.compacted, revision);
        let work = Work::Waiting { hashed: self.compactions.queue.is_empty() };
        self.compactions.queue.push_back(Job { previous, revision, work });
        Ok(())
    }

    /// Whether a compaction has work left.
    #[must_use]
    pub fn compacting(&self) -> bool {
        !self.compactions.queue.is_empty()
    }

    /// One step of the oldest compaction, over at most `max` records.
    pub fn compact_step(&mut self, max: usize) -> Compaction {
        let Some(job) = self.compactions.queue.front_mut() else { return Compaction::Idle };
        let state = &mut self.state;
        match &mut job.work {
            Work::Waiting { hashed: true } => {
                let view = View::of(state.clone());
                let hasher = Hasher::compaction(view, job.previous, job.revision);
                job.work = Work::Hashing(alloc::boxed::Box::new(hasher));
            }
            Work::Waiting { hashed: false } => job.work = trimming(state, job.previous, None),
            Work::Hashing(hasher) => {
                if hasher.step(max) {
                    let hash = hasher.hash();
                    job.work = trimming(state, job.previous, Some(hash));
                }
            }
            Work::Trimming { at, hash } => {
                if trim_some(state, at, job.revision, max) {
                    return Compaction::Working;
                }
                if let Some(hash) = hash {
                    state.hashes.push(*hash);
                    if state.hashes.len() > HASHES_KEPT {
                        state.hashes.remove(0);
                    }
                }
                let hash = hash.map_or(0, |hash| hash.hash);
                let (revision, previous) = (job.revision, job.previous);
                self.compactions.queue.pop_front();
                return Compaction::Finished { revision, hash, previous };
            }
        }
        Compaction::Working
    }
}

fn trimming(state: &State, previous: i64, hash: Option<Hash>) -> Work {
    Work::Trimming { at: state.history.position_of(previous), hash }
}

/// Trims on from a position; `false` when the compacted revision is reached.
fn trim_some(state: &mut State, at: &mut u64, revision: i64, max: usize) -> bool {
    for _ in 0..max {
        if *at >= state.history.end() {
            return false;
        }
        if state.history.get(*at).is_some_and(|found| found.link.main > revision) {
            return false;
        }
        trim(&mut state.tree, &mut state.history, *at, revision);
        *at += 1;
    }
    true
}

/// What one change kills once `compacted` is the oldest readable revision.
pub(super) fn trim(tree: &mut Tree, history: &mut History, at: u64, compacted: i64) {
    let Some(found) = history.get(at).filter(|found| found.link.main <= compacted) else { return };
    let superseded = found.prev();
    let below = compacted + i64::from(mutant!(CompactionTakesTombstone));
    let gone = found.link.tombstone && found.link.main < below;
    if gone {
        let key = record::key_of(found.record).to_vec();
        // The index must not point at a version that dies.
        if tree.get(history, &key).is_some_and(|slot| slot.at == at) {
            tree.remove(history, &key);
        }
    }
    if let Some(prev) = superseded {
        history.kill(if mutant!(CompactionTakesLiving) { at } else { prev });
    }
    if gone {
        history.kill(at);
    }
}
