//! Transactions: which branch is taken, whether it may be, and then what it does
//! (semantics §1.6.4, §1.6.5).
//!
//! The path through all nested transactions is chosen and checked against the state before the
//! first change, so that a transaction happens whole or not at all.

use super::record::{self, Fields};
use super::store::{State, Store};
use crate::command::{
    Compare, Keys, Op, OpReply, Operand, Range, RangeReply, Refusal, Relation, Txn, TxnReply,
};
use crate::types::LeaseId;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Which branch each transaction on the way takes; one inner path an inner transaction.
struct Path {
    succeeded: bool,
    inner: Vec<Path>,
}

impl Path {
    fn branch<'a>(&self, txn: &'a Txn) -> &'a [Op] {
        if self.succeeded { &txn.success } else { &txn.failure }
    }
}

impl Store {
    /// Runs a transaction in one revision, or refuses it whole.
    pub fn txn(
        &mut self,
        txn: &Txn,
        lease_known: &dyn Fn(LeaseId) -> bool,
    ) -> Result<TxnReply, Refusal> {
        let path = self.state.path(txn);
        self.state.check(txn, &path, lease_known)?;
        let mut reply = self.run(txn, &path);
        self.finish();
        reply.revision = self.revision();
        Ok(reply)
    }

    fn run(&mut self, txn: &Txn, path: &Path) -> TxnReply {
        let mut inner = path.inner.iter();
        let mut replies = Vec::with_capacity(path.branch(txn).len());
        for op in path.branch(txn) {
            replies.push(match op {
                Op::Range(range) => OpReply::Range(self.read_inside(range)),
                Op::Put(put) => OpReply::Put(self.write_put(put)),
                Op::Delete(delete) => OpReply::Delete(self.write_delete(delete)),
                Op::Txn(txn) => {
                    let path = inner.next().expect("a path a transaction");
                    OpReply::Txn(self.run(txn, path))
                }
            });
        }
        TxnReply { revision: 0, succeeded: path.succeeded, replies }
    }

    /// A read inside a transaction sees what came before it there.
    fn read_inside(&self, range: &Range) -> RangeReply {
        let now = self.revision_inside();
        let reply = self.state.range(range, now);
        reply.expect("reads were checked before the transaction began")
    }
}

impl State {
    /// Answers a transaction that only reads.
    pub(super) fn txn(&self, txn: &Txn) -> Result<TxnReply, Refusal> {
        let path = self.path(txn);
        self.check(txn, &path, &|_| false)?;
        let replies = path.branch(txn).iter().map(|op| match op {
            Op::Range(range) => self.range(range, self.revision).map(OpReply::Range),
            Op::Put(_) | Op::Delete(_) | Op::Txn(_) => {
                unreachable!("a transaction that writes goes through the log")
            }
        });
        let replies = replies.collect::<Result<Vec<_>, Refusal>>()?;
        Ok(TxnReply { revision: self.revision, succeeded: path.succeeded, replies })
    }

    fn path(&self, txn: &Txn) -> Path {
        let mut compares = txn.compares.iter();
        let succeeded = compares.all(|compare| self.holds(compare)) || mutant!(TxnAlwaysSucceeds);
        let mut path = Path { succeeded, inner: Vec::new() };
        for op in path.branch(txn) {
            if let Op::Txn(inner) = op {
                path.inner.push(self.path(inner));
            }
        }
        path
    }

    /// Refuses what cannot be done on the path taken, in the order of its operations.
    fn check(
        &self,
        txn: &Txn,
        path: &Path,
        lease_known: &dyn Fn(LeaseId) -> bool,
    ) -> Result<(), Refusal> {
        let mut inner = path.inner.iter();
        for op in path.branch(txn) {
            match op {
                Op::Range(range) => self.check_range(range)?,
                Op::Put(put) => self.check_put(put, lease_known)?,
                Op::Delete(_) => {}
                Op::Txn(txn) => {
                    let path = inner.next().expect("a path a transaction");
                    self.check(txn, path, lease_known)?;
                }
            }
        }
        Ok(())
    }

    /// Unlike a plain range, etcd refuses negative revisions here once there was a compaction.
    fn check_range(&self, range: &Range) -> Result<(), Refusal> {
        match range.revision {
            0 => Ok(()),
            revision if revision > self.revision => Err(Refusal::FutureRevision),
            revision if revision < self.compacted => Err(Refusal::Compacted),
            _ => Ok(()),
        }
    }

    /// Whether every key of a compare satisfies it. Where there is none, zero is compared, and
    /// a value never matches.
    fn holds(&self, compare: &Compare) -> bool {
        let keys: &Keys = &compare.keys;
        let mut some = false;
        for found in self.living(keys) {
            some = true;
            if !matches(compare, &record::fields(found.record)) {
                return false;
            }
        }
        if some {
            return true;
        }
        !matches!(compare.operand, Operand::Value(_)) && matches(compare, &Fields::default())
    }
}

fn matches(compare: &Compare, fields: &Fields<'_>) -> bool {
    let ordering = match &compare.operand {
        Operand::Version(version) => fields.version.cmp(version),
        Operand::Create(revision) => fields.create.cmp(revision),
        Operand::Mod(revision) => fields.modified.cmp(revision),
        Operand::Value(value) => fields.value.cmp(value),
        Operand::Lease(lease) => fields.lease.0.cmp(lease),
        Operand::Unknown => Ordering::Equal,
    };
    match compare.relation {
        Relation::Equal => ordering == Ordering::Equal,
        Relation::Greater => ordering == Ordering::Greater,
        Relation::Less => ordering == Ordering::Less,
        Relation::NotEqual => ordering != Ordering::Equal,
        Relation::Unknown => true,
    }
}
