//! The replicated set of alarms, and the quota that raises one (semantics §6.6).

use crate::command::{AlarmAction, AlarmKind, Command, Op, Txn};
use crate::types::NodeId;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What a put costs beside its key and value, bytes.
const PUT_OVERHEAD: i64 = 256;
/// What a lease costs, bytes.
const LEASE_COST: i64 = 64;

/// The alarms that are raised, ordered by member and kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Alarms {
    raised: Arc<Vec<(NodeId, AlarmKind)>>,
}

crate::recording::code!(struct Alarms { raised });

impl Alarms {
    /// As they were.
    pub(super) fn restore(raised: &Arc<Vec<(NodeId, AlarmKind)>>) -> Alarms {
        Alarms { raised: Arc::clone(raised) }
    }

    /// All of them, shared.
    pub(super) fn all(&self) -> &Arc<Vec<(NodeId, AlarmKind)>> {
        &self.raised
    }

    /// Whether any member raises this kind: then it binds all members.
    pub(super) fn any(&self, kind: AlarmKind) -> bool {
        self.raised.iter().any(|&(_, raised)| raised == kind)
    }

    /// Applies an alarm command; gives back what it read or changed.
    pub(super) fn apply(
        &mut self,
        action: AlarmAction,
        member: NodeId,
        kind: Option<AlarmKind>,
    ) -> Vec<(NodeId, AlarmKind)> {
        match (action, kind) {
            (AlarmAction::Get, None) => self.raised.to_vec(),
            (AlarmAction::Get, Some(kind)) => {
                self.raised.iter().copied().filter(|&(_, raised)| raised == kind).collect()
            }
            (AlarmAction::Activate, Some(kind)) => {
                if let Err(at) = self.raised.binary_search(&(member, kind)) {
                    Arc::make_mut(&mut self.raised).insert(at, (member, kind));
                }
                alloc::vec![(member, kind)]
            }
            (AlarmAction::Deactivate, Some(kind)) => {
                match self.raised.binary_search(&(member, kind)) {
                    Ok(at) => alloc::vec![Arc::make_mut(&mut self.raised).remove(at)],
                    Err(_) => Vec::new(),
                }
            }
            // No alarm is of no kind.
            (AlarmAction::Activate | AlarmAction::Deactivate, None) => Vec::new(),
        }
    }
}

/// What a command may add to the database, bytes; zero is never refused for space.
pub(super) fn cost(command: &Command) -> i64 {
    match command {
        Command::Put(put) => put_cost(put.key.len(), put.value.len()),
        Command::Txn(txn) => txn_cost(txn),
        Command::Grant { .. } => LEASE_COST,
        _ => 0,
    }
}

/// What a put may add to the database, bytes, by the lengths of its key and value.
#[must_use]
pub fn put_cost(key: usize, value: usize) -> i64 {
    i64::try_from(key + value).unwrap_or(i64::MAX).saturating_add(PUT_OVERHEAD)
}

/// Of a transaction's two lists only one is done, so the dearer one counts.
fn txn_cost(txn: &Txn) -> i64 {
    list_cost(&txn.success).max(list_cost(&txn.failure))
}

fn list_cost(ops: &[Op]) -> i64 {
    ops.iter().fold(0, |sum: i64, op| {
        sum.saturating_add(match op {
            Op::Put(put) => put_cost(put.key.len(), put.value.len()),
            Op::Txn(txn) => txn_cost(txn),
            Op::Range(_) | Op::Delete(_) => 0,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Put;
    use bytes::Bytes;

    #[test]
    fn activation_is_idempotent_and_deactivation_answers_what_was_there() {
        let mut alarms = Alarms::default();
        let one = (NodeId(1), AlarmKind::NoSpace);
        assert_eq!(alarms.apply(AlarmAction::Activate, one.0, Some(one.1)), [one]);
        assert_eq!(alarms.apply(AlarmAction::Activate, one.0, Some(one.1)), [one]);
        assert_eq!(alarms.apply(AlarmAction::Get, NodeId(9), None), [one]);
        assert_eq!(alarms.apply(AlarmAction::Get, NodeId(9), Some(AlarmKind::Corrupt)), []);
        assert_eq!(alarms.apply(AlarmAction::Activate, one.0, None), []);
        assert_eq!(alarms.apply(AlarmAction::Deactivate, one.0, None), []);
        assert_eq!(alarms.apply(AlarmAction::Deactivate, one.0, Some(one.1)), [one]);
        assert_eq!(alarms.apply(AlarmAction::Deactivate, one.0, Some(one.1)), []);
        assert!(!alarms.any(AlarmKind::NoSpace));
    }

    #[test]
    fn a_transaction_costs_its_dearer_branch() {
        let put = |n: usize| {
            Op::Put(Put {
                key: Bytes::from_static(b"k"),
                value: vec![0; n].into(),
                ..Put::default()
            })
        };
        let inner = Txn { success: vec![put(10)], failure: vec![put(1)], compares: vec![] };
        let txn =
            Txn { success: vec![put(1), Op::Txn(inner)], failure: vec![put(2)], compares: vec![] };
        assert_eq!(cost(&Command::Txn(txn)), (256 + 2) + (256 + 11));
    }
    use std::vec;
}
