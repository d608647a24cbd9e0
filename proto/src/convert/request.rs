//! Requests into commands, in etcd's order of checks (semantics §1.6.1, §1.8).

use crate::convert::duplicates;
use crate::convert::keys::keys;
use crate::refusal::Bad;
use crate::wire::etcdserverpb as pb;
use bytes::Bytes;
use keel_core::command::{
    AlarmAction, AlarmKind, Command, Compare, Delete, Op, Operand, Put, Range, Relation, SortOrder,
    SortTarget, Txn,
};
use keel_core::{LeaseId, NodeId};

/// A range, checked.
pub fn range(request: pb::RangeRequest) -> Result<Range, Bad> {
    check_key(&request.key)?;
    let order = match request.sort_order {
        0 => SortOrder::None,
        1 => SortOrder::Ascend,
        2 => SortOrder::Descend,
        _ => return Err(Bad::InvalidSortOption),
    };
    let target = match request.sort_target {
        0 => SortTarget::Key,
        1 => SortTarget::Version,
        2 => SortTarget::Create,
        3 => SortTarget::Mod,
        4 => SortTarget::Value,
        _ => return Err(Bad::InvalidSortOption),
    };
    Ok(Range {
        keys: keys(request.key, request.range_end),
        revision: request.revision,
        limit: request.limit,
        order,
        target,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod: request.min_mod_revision,
        max_mod: request.max_mod_revision,
        min_create: request.min_create_revision,
        max_create: request.max_create_revision,
    })
}

/// A put, checked.
pub fn put(request: pb::PutRequest) -> Result<Put, Bad> {
    check_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Bad::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Bad::LeaseProvided);
    }
    Ok(Put {
        key: request.key,
        value: request.value,
        lease: LeaseId(request.lease),
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    })
}

/// A delete, checked.
pub fn delete(request: pb::DeleteRangeRequest) -> Result<Delete, Bad> {
    check_key(&request.key)?;
    Ok(Delete { keys: keys(request.key, request.range_end), prev_kv: request.prev_kv })
}

/// A transaction, checked: first its form all the way down, then for keys that are put twice.
pub fn txn(request: pb::TxnRequest, ops_max: usize) -> Result<Txn, Bad> {
    check_txn(&request, ops_max)?;
    duplicates::check(&request.success)?;
    duplicates::check(&request.failure)?;
    txn_unchecked(request)
}

/// Whether every operation of a transaction's own two lists is a read: then it needs no log.
#[must_use]
pub fn is_read_only(request: &pb::TxnRequest) -> bool {
    let reads =
        |op: &pb::RequestOp| matches!(op.request, Some(pb::request_op::Request::RequestRange(_)));
    request.success.iter().all(reads) && request.failure.iter().all(reads)
}

/// Whether a transaction that only reads may be answered without a quorum round.
#[must_use]
pub fn is_serializable(request: &pb::TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|op| match &op.request {
        Some(pb::request_op::Request::RequestRange(range)) => range.serializable,
        _ => false,
    })
}

fn check_key(key: &Bytes) -> Result<(), Bad> {
    if key.is_empty() {
        return Err(Bad::EmptyKey);
    }
    Ok(())
}

fn check_txn(request: &pb::TxnRequest, ops_max: usize) -> Result<(), Bad> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    if ops > ops_max {
        return Err(Bad::TooManyOps);
    }
    for compare in &request.compare {
        check_key(&compare.key)?;
    }
    for op in request.success.iter().chain(&request.failure) {
        check_op(op, ops_max - ops)?;
    }
    Ok(())
}

fn check_op(op: &pb::RequestOp, ops_max: usize) -> Result<(), Bad> {
    use pb::request_op::Request;
    match op.request.as_ref() {
        Some(Request::RequestRange(request)) => range(request.clone()).map(|_| ()),
        Some(Request::RequestPut(request)) => put(request.clone()).map(|_| ()),
        Some(Request::RequestDeleteRange(request)) => delete(request.clone()).map(|_| ()),
        Some(Request::RequestTxn(request)) => check_txn(request, ops_max),
        None => Err(Bad::KeyNotFound),
    }
}

/// A transaction as it stands in a log, where another member has checked it.
pub fn txn_unchecked(request: pb::TxnRequest) -> Result<Txn, Bad> {
    let ops = |ops: Vec<pb::RequestOp>| ops.into_iter().map(op).collect::<Result<Vec<Op>, Bad>>();
    Ok(Txn {
        compares: request.compare.into_iter().map(compare).collect(),
        success: ops(request.success)?,
        failure: ops(request.failure)?,
    })
}

fn op(op: pb::RequestOp) -> Result<Op, Bad> {
    use pb::request_op::Request;
    match op.request {
        Some(Request::RequestRange(request)) => range(request).map(Op::Range),
        Some(Request::RequestPut(request)) => put(request).map(Op::Put),
        Some(Request::RequestDeleteRange(request)) => delete(request).map(Op::Delete),
        Some(Request::RequestTxn(request)) => txn_unchecked(request).map(Op::Txn),
        None => Err(Bad::KeyNotFound),
    }
}

/// The operand comes from the member of the union that matches the target; another one there
/// counts as zero or empty (semantics §1.6.5).
fn compare(compare: pb::Compare) -> Compare {
    use pb::compare::TargetUnion;
    let relation = match compare.result {
        0 => Relation::Equal,
        1 => Relation::Greater,
        2 => Relation::Less,
        3 => Relation::NotEqual,
        _ => Relation::Unknown,
    };
    let union = compare.target_union;
    let operand = match (compare.target, union) {
        (0, Some(TargetUnion::Version(version))) => Operand::Version(version),
        (0, _) => Operand::Version(0),
        (1, Some(TargetUnion::CreateRevision(revision))) => Operand::Create(revision),
        (1, _) => Operand::Create(0),
        (2, Some(TargetUnion::ModRevision(revision))) => Operand::Mod(revision),
        (2, _) => Operand::Mod(0),
        (3, Some(TargetUnion::Value(value))) => Operand::Value(value),
        (3, _) => Operand::Value(Bytes::new()),
        (4, Some(TargetUnion::Lease(lease))) => Operand::Lease(lease),
        (4, _) => Operand::Lease(0),
        _ => Operand::Unknown,
    };
    Compare { keys: keys(compare.key, compare.range_end), relation, operand }
}

/// An alarm request; an action that etcd does not know changes nothing and reads nothing.
pub fn alarm(request: &pb::AlarmRequest) -> Command {
    let action = match request.action {
        1 => AlarmAction::Activate,
        2 => AlarmAction::Deactivate,
        _ => AlarmAction::Get,
    };
    let kind = match request.alarm {
        1 => Some(AlarmKind::NoSpace),
        2 => Some(AlarmKind::Corrupt),
        _ => None,
    };
    Command::Alarm { action, member: NodeId(request.member_id), kind }
}
