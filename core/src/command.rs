//! What can be asked and what can be answered, in the core's own words.
//!
//! `proto` parses a request into these once, at the wire; after that nothing can be
//! malformed. Keys and values are slices of the request's own buffer.

use crate::types::{LeaseId, NodeId, Revision};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// Which keys a request means (etcd's `key` and `range_end`, parsed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Exactly this key (`range_end` empty).
    One(Bytes),
    /// `from <= key < to`; empty when `to <= from`.
    Span {
        /// The first key.
        from: Bytes,
        /// The first key that is no longer meant.
        to: Bytes,
    },
    /// This key and all after it (`range_end` is one zero byte).
    From(Bytes),
    /// Every key (`key` and `range_end` are one zero byte each).
    All,
}

impl Keys {
    /// Whether `key` is meant.
    #[must_use]
    pub fn contain(&self, key: &[u8]) -> bool {
        match self {
            Keys::One(one) => one == key,
            Keys::Span { from, to } => from <= key && key < to.as_ref(),
            Keys::From(from) => from <= key,
            Keys::All => true,
        }
    }

    /// The first key that can be meant.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        match self {
            Keys::One(key) | Keys::From(key) | Keys::Span { from: key, .. } => key,
            Keys::All => &[],
        }
    }
}

/// What a committed entry does to the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Put one key.
    Put(Put),
    /// Delete keys.
    Delete(Delete),
    /// Compare, then one of two lists of operations.
    Txn(Txn),
    /// Forget history up to a revision (semantics §2).
    Compact {
        /// The oldest revision that stays readable.
        revision: i64,
        /// Answer only once the old versions are gone.
        physical: bool,
    },
    /// Create a lease. The id is already chosen when the command is proposed.
    Grant {
        /// Its id.
        lease: LeaseId,
        /// Wanted time to live, seconds.
        ttl: i64,
    },
    /// End a lease and delete its keys.
    Revoke {
        /// Which one.
        lease: LeaseId,
    },
    /// Remember how long leases have left (semantics §4.4): lease, seconds.
    Checkpoint(Vec<(LeaseId, i64)>),
    /// Read or change the replicated set of alarms.
    Alarm {
        /// What to do.
        action: AlarmAction,
        /// Whose alarm; taken from the request as it is.
        member: NodeId,
        /// Which kind; `None` means all kinds on a get.
        kind: Option<AlarmKind>,
    },
    /// A member publishes its name and client URLs.
    Publish {
        /// The member.
        member: NodeId,
        /// Its name.
        name: String,
        /// Where clients reach it.
        client_urls: Vec<String>,
    },
    /// The cluster's version is decided.
    ClusterVersion(String),
    /// Begin to go back to a version; an empty one ends that (semantics §7.9).
    Downgrade {
        /// As `major.minor.0`.
        target: String,
    },
    /// A range that somebody proposed through the log: changes nothing.
    Range(Box<Range>),
}

impl Command {
    /// Which of them it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Command::Put(_) => Kind::Put,
            Command::Delete(_) => Kind::Delete,
            Command::Txn(_) => Kind::Txn,
            Command::Compact { .. } => Kind::Compact,
            Command::Grant { .. } => Kind::Grant,
            Command::Revoke { .. } => Kind::Revoke,
            Command::Checkpoint(_) => Kind::Checkpoint,
            Command::Alarm { .. } => Kind::Alarm,
            Command::Publish { .. } => Kind::Publish,
            Command::ClusterVersion(_) => Kind::ClusterVersion,
            Command::Downgrade { .. } => Kind::Downgrade,
            Command::Range(_) => Kind::Range,
        }
    }
}

/// A kind of commands, to count and measure by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// [`Command::Put`].
    Put,
    /// [`Command::Delete`].
    Delete,
    /// [`Command::Txn`].
    Txn,
    /// [`Command::Compact`].
    Compact,
    /// [`Command::Grant`].
    Grant,
    /// [`Command::Revoke`].
    Revoke,
    /// [`Command::Checkpoint`].
    Checkpoint,
    /// [`Command::Alarm`].
    Alarm,
    /// [`Command::Publish`].
    Publish,
    /// [`Command::ClusterVersion`].
    ClusterVersion,
    /// [`Command::Downgrade`].
    Downgrade,
    /// [`Command::Range`].
    Range,
}

impl Kind {
    /// All of them, each at its number.
    pub const ALL: [Kind; 12] = [
        Kind::Put,
        Kind::Delete,
        Kind::Txn,
        Kind::Compact,
        Kind::Grant,
        Kind::Revoke,
        Kind::Checkpoint,
        Kind::Alarm,
        Kind::Publish,
        Kind::ClusterVersion,
        Kind::Downgrade,
        Kind::Range,
    ];
}

/// Put one key (semantics §1.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The lease to attach, or none.
    pub lease: LeaseId,
    /// Answer with the version before.
    pub prev_kv: bool,
    /// Keep the value that is there.
    pub ignore_value: bool,
    /// Keep the lease that is there.
    pub ignore_lease: bool,
}

/// Delete keys (semantics §1.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Which keys.
    pub keys: Keys,
    /// Answer with the versions before.
    pub prev_kv: bool,
}

/// Compare, then one of two lists (semantics §1.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub compares: Vec<Compare>,
    /// What happens if they do.
    pub success: Vec<Op>,
    /// What happens if they don't.
    pub failure: Vec<Op>,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read.
    Range(Range),
    /// Put.
    Put(Put),
    /// Delete.
    Delete(Delete),
    /// A transaction inside the transaction.
    Txn(Txn),
}

/// One condition of a transaction (semantics §1.6.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Every key of these must satisfy it.
    pub keys: Keys,
    /// How to compare.
    pub relation: Relation,
    /// With what, and which side of the key it is compared to.
    pub operand: Operand,
}

/// How a compare relates the key's side to the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Equal.
    Equal,
    /// Greater.
    Greater,
    /// Less.
    Less,
    /// Not equal.
    NotEqual,
    /// A number that etcd does not know: always true.
    Unknown,
}

/// The operand of a compare; the variant is its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// How often the key was put in its generation.
    Version(i64),
    /// The revision of the first put of its generation.
    Create(i64),
    /// The revision of its last put.
    Mod(i64),
    /// Its value, byte by byte.
    Value(Bytes),
    /// Its lease.
    Lease(i64),
    /// A target that etcd does not know: compares zero with zero.
    Unknown,
}

/// Read keys (semantics §1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which keys.
    pub keys: Keys,
    /// As of which revision; zero or less is "now".
    pub revision: i64,
    /// How many at most; zero or less is "all".
    pub limit: i64,
    /// The order asked for.
    pub order: SortOrder,
    /// What to order by.
    pub target: SortTarget,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
    /// Drop smaller modification revisions; zero is "not set".
    pub min_mod: i64,
    /// Drop larger modification revisions; zero is "not set".
    pub max_mod: i64,
    /// Drop smaller creation revisions; zero is "not set".
    pub min_create: i64,
    /// Drop larger creation revisions; zero is "not set".
    pub max_create: i64,
}

impl Range {
    /// Every version of `keys` that is alive now, in key order.
    #[must_use]
    pub fn of(keys: Keys) -> Range {
        Range {
            keys,
            revision: 0,
            limit: 0,
            order: SortOrder::None,
            target: SortTarget::Key,
            keys_only: false,
            count_only: false,
            min_mod: 0,
            max_mod: 0,
            min_create: 0,
            max_create: 0,
        }
    }
}

/// The order of a range's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortOrder {
    /// Not asked for.
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// What a range's answer is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    Key,
    /// The version in its generation.
    Version,
    /// The creation revision.
    Create,
    /// The modification revision.
    Mod,
    /// The value, byte by byte.
    Value,
}

/// What to do with the alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmAction {
    /// List them.
    Get,
    /// Raise one.
    Activate,
    /// Take one back.
    Deactivate,
}

/// The kinds of alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// The quota is used up: no puts.
    NoSpace,
    /// Members disagree: no writes.
    Corrupt,
}

crate::recording::code!(enum AlarmKind { 1 NoSpace, 2 Corrupt });

/// A stored version: the encoded `mvccpb.KeyValue`, as it lies in the history and as it leaves
/// the house. A tombstone's holds only the key.
pub type Record = Bytes;

/// What a committed command answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Of a put.
    Put(PutReply),
    /// Of a delete.
    Delete(DeleteReply),
    /// Of a transaction.
    Txn(TxnReply),
    /// Of a compaction: the store's revision.
    Compact {
        /// The store's revision.
        revision: i64,
    },
    /// Of a lease grant.
    Grant {
        /// The lease.
        lease: LeaseId,
        /// Its effective time to live, seconds.
        ttl: i64,
        /// The store's revision.
        revision: i64,
    },
    /// Of a lease revoke: the store's revision after it.
    Revoke {
        /// The store's revision after the deletion of its keys.
        revision: i64,
    },
    /// Of a renewal: `ttl` is zero where the lease is unknown.
    Renew {
        /// The lease.
        lease: LeaseId,
        /// Seconds granted, zero where it is unknown.
        ttl: i64,
        /// The store's revision before the renewal.
        revision: i64,
    },
    /// Of many renewals: the seconds granted to each, zero where it must be asked for alone.
    RenewAll(Vec<i64>),
    /// How long a lease has left; `None` where it is unknown.
    TimeToLive(Option<LeaseLife>),
    /// All leases, by remaining time.
    Leases(Vec<LeaseId>),
    /// The alarms that an alarm command read, raised or took back.
    Alarms(Vec<(NodeId, AlarmKind)>),
    /// Of a change of the membership: who belongs to it now.
    Members(Arc<crate::members::Cluster>),
    /// The command took effect and has nothing else to say.
    Done,
    /// A linearizable point is reached: read this view.
    Point(crate::View),
    /// Everything that a copy of the state needs.
    Export(Arc<crate::state::Checkpoint>),
}

/// Of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutReply {
    /// The main revision of the put.
    pub revision: i64,
    /// The version before, if asked for and there.
    pub prev: Option<Record>,
}

/// Of a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteReply {
    /// See semantics §1.5: the revision after this transaction's changes so far.
    pub revision: i64,
    /// How many keys went.
    pub deleted: i64,
    /// Their versions before, in key order, if asked for.
    pub prevs: Vec<Record>,
}

/// Of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnReply {
    /// The store's revision after it.
    pub revision: i64,
    /// Whether all compares held.
    pub succeeded: bool,
    /// Answers, aligned with the operations of the branch taken.
    pub replies: Vec<OpReply>,
}

/// Of one operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpReply {
    /// Of a read.
    Range(RangeReply),
    /// Of a put.
    Put(PutReply),
    /// Of a delete.
    Delete(DeleteReply),
    /// Of an inner transaction; etcd leaves its header empty.
    Txn(TxnReply),
}

/// Of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeReply {
    /// The store's revision at the moment of the read.
    pub revision: i64,
    /// The versions found. With `keys_only` they are encoded anew without the value.
    pub records: Vec<Record>,
    /// Whether the limit cut some off.
    pub more: bool,
    /// How many keys the range holds, before filters and limit.
    pub count: i64,
}

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseLife {
    /// The lease.
    pub lease: LeaseId,
    /// Seconds granted.
    pub granted: i64,
    /// Whole seconds left, truncated; zero or less when it is about to be revoked.
    pub remaining: i64,
    /// The attached keys, if asked for.
    pub keys: Vec<Bytes>,
}

/// A change of the key space, as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub revision: Revision,
    /// Whether it is a deletion.
    pub tombstone: bool,
    /// The record: for a deletion it holds only the key, and `revision.main` is what the wire
    /// adds as `mod_revision`.
    pub record: Record,
    /// The key, a slice of the record.
    pub key: Bytes,
    /// The version before this revision, if it is still there and not a tombstone. What
    /// another change of the same revision put does not count: etcd reads it at the revision
    /// before.
    pub prev: Option<Record>,
    /// The lease of the version right before this change, of the same revision or not.
    pub lease_before: LeaseId,
}

/// Why something was not done. `proto` owns the one table from these to etcd's codes and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The revision is compacted.
    Compacted,
    /// The revision lies ahead.
    FutureRevision,
    /// `ignore_value` or `ignore_lease` on a key that is not there.
    KeyNotFound,
    /// The lease is unknown.
    LeaseNotFound,
    /// The lease id is taken.
    LeaseExists,
    /// The time to live is beyond etcd's bound.
    LeaseTtlTooLarge,
    /// The quota is used up.
    NoSpace,
    /// The cluster is marked corrupt.
    Corrupt,
    /// Too far behind with applying.
    TooManyRequests,
    /// The request's entry is beyond the bound.
    TooLarge,
    /// No leader is known.
    NoLeader,
    /// This member does not lead.
    NotLeader,
    /// The leader changed while a read waited.
    LeaderChanged,
    /// This member's lessor counts no time.
    NotPrimary,
    /// Time ran out; the outcome is unknown.
    Timeout,
    /// Time ran out, and a leader failed meanwhile.
    TimeoutLeaderFailure,
    /// Time ran out, and the connection to a quorum was lost meanwhile.
    TimeoutConnectionLost,
    /// Applying took too long.
    TimeoutWaitApplied,
    /// No leader was known until time ran out: the command never entered the log.
    DeadlineExceeded,
    /// Raft dropped the proposal.
    ProposalDropped,
    /// No member has this id, or it was removed.
    MemberNotFound,
    /// The id is a member's already.
    MemberExists,
    /// A peer URL is another member's.
    PeerUrlExists,
    /// There are as many learners as may be.
    TooManyLearners,
    /// Only a learner can be promoted.
    NotLearner,
    /// The learner lags too far behind to be promoted.
    LearnerNotReady,
    /// Too few voters have ever run for this change.
    NotEnoughStarted,
    /// Too few voters are connected for this change.
    Unhealthy,
    /// Nobody who could lead has this id.
    BadTransferee,
    /// The leadership did not move in time.
    TransferTimeout,
    /// The asker went away.
    Canceled,
    /// The server is stopping.
    Stopped,
}
