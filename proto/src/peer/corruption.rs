//! Whether members hold the same: their hashes compared (semantics §6.8).
//!
//! Two members whose key spaces differ at one revision, compacted at the same one, will never
//! agree again. A leader that finds one raises the CORRUPT alarm for it, and then nobody takes
//! writes; a member that finds itself alone with its hash when it starts does not serve.

use crate::service::{Desk, Services};
use crate::wire::etcdserverpb as pb;
use bytes::Bytes;
use keel_core::NodeId;
use keel_core::command::{AlarmAction, AlarmKind, Command};
use keel_core::mvcc::Hash;
use serde_json::Value;
use std::sync::Arc;
use tonic::Status;

/// The page that answers hashes.
pub const PATH: &str = "/members/hashkv";

/// The body of a question for the hash at a revision.
#[must_use]
pub fn question(revision: i64) -> Bytes {
    format!("{{\"revision\":{revision}}}").into()
}

/// What a member answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its revision of now.
    pub now: i64,
    /// The hash at the revision that was asked for.
    pub hash: Hash,
}

/// Reads an answer; fields that are zero may be left out.
#[must_use]
pub fn read(page: &Bytes) -> Option<Answer> {
    let page: Value = serde_json::from_slice(page).ok()?;
    let number = |of: &Value, name: &str| of.get(name).map_or(Some(0), Value::as_i64);
    let hash = Hash {
        hash: u32::try_from(number(&page, "hash")?).ok()?,
        revision: number(&page, "hash_revision")?,
        compacted: number(&page, "compact_revision")?,
    };
    Some(Answer { now: number(page.get("header")?, "revision")?, hash })
}

/// Looks for differences; clones share it.
#[derive(Clone, Debug)]
pub struct Checker(Arc<Desk>);

impl Checker {
    /// One that works with what services work with.
    #[must_use]
    pub fn new(services: &Services) -> Checker {
        Checker(services.desk())
    }

    /// The members to ask, if this one leads, and so is the one to look.
    #[must_use]
    pub fn others(&self) -> Option<Vec<NodeId>> {
        let (view, me) = (self.0.handle.latest(), self.0.handle.status());
        let others = view.cluster.members.keys().copied().filter(|id| *id != me.id);
        (me.leader == me.id).then(|| others.collect())
    }

    /// This member's hash, at a revision or now.
    ///
    /// # Errors
    ///
    /// The revision is gone.
    pub async fn hash(&self, revision: i64) -> Result<Hash, Status> {
        self.0.hash_kv_at(revision).await
    }

    /// The second look of a leader, after everybody was asked for what `before` is the hash of:
    /// raises the alarm for the one that is wrong and names it.
    ///
    /// # Errors
    ///
    /// What keeps this member from being sure.
    pub async fn verdict(
        &self,
        before: Hash,
        answers: &[(NodeId, Answer)],
    ) -> Result<Option<NodeId>, Status> {
        self.0.handle.read().await.map_err(crate::refusal::status)?;
        let after = self.0.hash_kv_at(0).await?;
        let me = self.0.handle.status().id;
        let Some(wrong) = suspect(me, before, after, answers) else { return Ok(None) };
        let alarm = pb::AlarmRequest {
            action: pb::alarm_request::AlarmAction::Activate.into(),
            member_id: wrong.0,
            alarm: pb::AlarmType::Corrupt.into(),
        };
        let command = Command::Alarm {
            action: AlarmAction::Activate,
            member: wrong,
            kind: Some(AlarmKind::Corrupt),
        };
        let operation = pb::InternalRaftRequest { alarm: Some(alarm), ..Default::default() };
        self.0.change(command, operation).await?;
        Ok(Some(wrong))
    }
}

/// Who holds something else, at most one at a time.
fn suspect(me: NodeId, before: Hash, after: Hash, answers: &[(NodeId, Answer)]) -> Option<NodeId> {
    let still = (before.revision, before.compacted) == (after.revision, after.compacted);
    if still && before.hash != after.hash {
        return Some(me);
    }
    let wrong = answers.iter().find(|(_, Answer { now, hash })| {
        *now > after.revision
            || hash.compacted > after.compacted
            || hash.compacted == before.compacted && hash.hash != before.hash
    });
    wrong.map(|(id, _)| *id)
}

/// Whether another's hash of the same revision contradicts this member's: a member that has
/// compacted more or less hashes something else.
#[must_use]
pub fn contradicts(mine: Hash, theirs: &Answer) -> bool {
    theirs.hash.compacted == mine.compacted && theirs.hash.hash != mine.hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);

    fn hash(hash: u32, revision: i64, compacted: i64) -> Hash {
        Hash { hash, revision, compacted }
    }

    fn answer(now: i64, of: Hash) -> (NodeId, Answer) {
        (NodeId(2), Answer { now, hash: of })
    }

    #[test]
    fn equal_hashes_raise_nobodys_alarm() {
        let mine = hash(7, 20, 5);
        // Writes go on meanwhile, and a peer may have compacted less.
        let answers = [answer(22, hash(7, 20, 5)), answer(19, hash(9, 20, 3))];
        assert_eq!(suspect(ME, mine, hash(8, 25, 5), &answers), None);
    }

    #[test]
    fn each_contradiction_has_its_culprit() {
        let mine = hash(7, 20, 5);
        assert_eq!(suspect(ME, mine, hash(8, 20, 5), &[]), Some(ME), "it changed by itself");
        let table = [
            (answer(20, hash(8, 20, 5)), "another hash of the same"),
            (answer(26, hash(7, 20, 5)), "ahead of a leader that has just been confirmed"),
            (answer(20, hash(8, 20, 6)), "compacted further than the leader"),
        ];
        for (wrong, why) in table {
            assert_eq!(suspect(ME, mine, hash(9, 25, 5), &[wrong]), Some(NodeId(2)), "{why}");
        }
    }

    #[test]
    fn an_answer_is_read_with_what_it_leaves_out() {
        let page = r#"{"header":{"revision":4},"hash":7,"compact_revision":-1,"hash_revision":4}"#;
        let read_back = read(&Bytes::from(page)).expect("an answer");
        assert_eq!(read_back, Answer { now: 4, hash: hash(7, 4, -1) });
        assert!(read(&Bytes::from(r#"{"header":{"revision":4}}"#)).is_some());
        assert_eq!(read(&Bytes::from("{}")), None);
        assert_eq!(read(&Bytes::from("nonsense")), None);
    }

    #[test]
    fn only_the_same_thing_can_contradict() {
        let mine = hash(7, 20, 5);
        assert!(contradicts(mine, &answer(20, hash(8, 20, 5)).1));
        assert!(!contradicts(mine, &answer(20, hash(8, 20, 4)).1));
        assert!(!contradicts(mine, &answer(30, hash(7, 20, 5)).1));
    }
}
