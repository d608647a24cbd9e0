//! Keys that a transaction would change twice (semantics §1.6.2), quirks included.
//!
//! The rule is exact because clients see it: deletions of one level cover its puts whatever
//! their order, those of earlier inner transactions cover later puts and not the other way
//! round, the two branches of one inner transaction exclude each other, and a deletion "from
//! this key on" covers nothing, because etcd takes its end for a plain key.

use crate::pb::etcdserverpb as pb;
use crate::refusal::Bad;
use bytes::Bytes;
use pb::request_op::Request;
use std::collections::BTreeSet;

/// What one list of operations changes.
#[derive(Default)]
struct Changes {
    puts: BTreeSet<Bytes>,
    deletes: Vec<Deleted>,
}

/// A deletion's interval by its raw bounds.
#[derive(Clone)]
struct Deleted {
    from: Bytes,
    to: Bytes,
}

impl Deleted {
    fn of(request: &pb::DeleteRangeRequest) -> Deleted {
        Deleted { from: request.key.clone(), to: request.range_end.clone() }
    }

    fn hits(&self, key: &[u8]) -> bool {
        if self.to.is_empty() { self.from == key } else { self.from <= key && key < self.to.as_ref() }
    }
}

/// Refuses a list that changes a key twice.
pub(super) fn check(ops: &[pb::RequestOp]) -> Result<(), Bad> {
    changes(ops).map(|_| ())
}

fn changes(ops: &[pb::RequestOp]) -> Result<Changes, Bad> {
    let mut all = Changes::default();
    for request in ops.iter().filter_map(|op| op.request.as_ref()) {
        if let Request::RequestDeleteRange(delete) = request {
            all.deletes.push(Deleted::of(delete));
        }
    }
    for request in ops.iter().filter_map(|op| op.request.as_ref()) {
        if let Request::RequestTxn(txn) = request {
            all.include(changes(&txn.success)?, changes(&txn.failure)?)?;
        }
    }
    for request in ops.iter().filter_map(|op| op.request.as_ref()) {
        if let Request::RequestPut(put) = request {
            all.put(put.key.clone())?;
        }
    }
    Ok(all)
}

impl Changes {
    fn put(&mut self, key: Bytes) -> Result<(), Bad> {
        if self.deletes.iter().any(|delete| delete.hits(&key)) || !self.puts.insert(key) {
            return Err(Bad::DuplicateKey);
        }
        Ok(())
    }

    /// Takes an inner transaction in: of its branches only one happens.
    fn include(&mut self, success: Changes, failure: Changes) -> Result<(), Bad> {
        for key in &success.puts {
            self.put(key.clone())?;
        }
        for key in failure.puts {
            if success.puts.contains(&key) {
                continue;
            }
            self.put(key)?;
        }
        self.deletes.extend(success.deletes);
        self.deletes.extend(failure.deletes);
        Ok(())
    }
}
