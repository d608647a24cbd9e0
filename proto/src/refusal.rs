//! The one table from reasons to etcd's codes and texts (surface §2). Clients match the text.

use keel_core::Refusal;
use tonic::{Code, Status};

/// A request that is refused where it is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// No key.
    EmptyKey,
    /// An operation of a transaction that is none.
    KeyNotFound,
    /// `ignore_value` beside a value.
    ValueProvided,
    /// `ignore_lease` beside a lease.
    LeaseProvided,
    /// More operations than `--max-txn-ops`.
    TooManyOps,
    /// A key that a transaction changes twice.
    DuplicateKey,
    /// A number that is no sort order or target.
    InvalidSortOption,
    /// An entry beyond `--max-request-bytes`.
    RequestTooLarge,
    /// `client-api-version` metadata that is not UTF-8.
    InvalidClientApiVersion,
    /// A member's URLs that are none.
    BadUrls,
    /// What a learner does not serve.
    NotForLearners,
    /// No version to go back to.
    DowngradeFormat,
    /// A version that is not the one before.
    DowngradeTarget,
    /// The cluster goes back to one already.
    DowngradeInProgress,
    /// The cluster has no version yet.
    NoClusterVersion,
    /// RangeStream in another order than the keys'.
    NoSortOrders,
    /// RangeStream with a revision filter.
    NoRevisionFilters,
}

impl Bad {
    /// etcd's code and text.
    #[must_use]
    pub fn status(self) -> Status {
        let (code, text) = match self {
            Bad::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
            Bad::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
            Bad::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
            Bad::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
            Bad::TooManyOps => {
                (Code::InvalidArgument, "etcdserver: too many operations in txn request")
            }
            Bad::DuplicateKey => {
                (Code::InvalidArgument, "etcdserver: duplicate key given in txn request")
            }
            Bad::InvalidSortOption => (Code::InvalidArgument, "etcdserver: invalid sort option"),
            Bad::RequestTooLarge => (Code::InvalidArgument, "etcdserver: request is too large"),
            Bad::InvalidClientApiVersion => {
                (Code::InvalidArgument, "etcdserver: invalid client api version")
            }
            Bad::BadUrls => (Code::InvalidArgument, "etcdserver: given member URLs are invalid"),
            Bad::NotForLearners => {
                (Code::FailedPrecondition, "etcdserver: rpc not supported for learner")
            }
            Bad::DowngradeFormat => {
                (Code::InvalidArgument, "etcdserver: wrong downgrade target version format")
            }
            Bad::DowngradeTarget => {
                (Code::InvalidArgument, "etcdserver: invalid downgrade target version")
            }
            Bad::DowngradeInProgress => {
                (Code::FailedPrecondition, "etcdserver: cluster has a downgrade job in progress")
            }
            Bad::NoClusterVersion => {
                (Code::FailedPrecondition, "etcdserver: cluster version not found during downgrade")
            }
            Bad::NoSortOrders => {
                (Code::Unimplemented, "RangeStream does not support custom sort orders")
            }
            Bad::NoRevisionFilters => {
                (Code::Unimplemented, "RangeStream does not support revision filters")
            }
        };
        Status::new(code, text)
    }
}

impl From<Bad> for Status {
    fn from(bad: Bad) -> Status {
        bad.status()
    }
}

/// etcd's code and text for what the node refuses.
#[must_use]
pub fn status(refusal: Refusal) -> Status {
    let (code, text) = match refusal {
        Refusal::Compacted => {
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted")
        }
        Refusal::FutureRevision => {
            (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision")
        }
        Refusal::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
        Refusal::LeaseNotFound => (Code::NotFound, "etcdserver: requested lease not found"),
        Refusal::LeaseExists => (Code::FailedPrecondition, "etcdserver: lease already exists"),
        Refusal::LeaseTtlTooLarge => (Code::OutOfRange, "etcdserver: too large lease TTL"),
        Refusal::NoSpace => (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
        Refusal::Corrupt => (Code::DataLoss, "etcdserver: corrupt cluster"),
        // etcd sends its client-side error here, which carries no code.
        Refusal::TooManyRequests => (Code::Unknown, "etcdserver: too many requests"),
        Refusal::TooLarge => (Code::InvalidArgument, "etcdserver: request is too large"),
        Refusal::NoLeader => (Code::Unavailable, "etcdserver: no leader"),
        Refusal::NotLeader => (Code::FailedPrecondition, "etcdserver: not leader"),
        Refusal::LeaderChanged => (Code::Unavailable, "etcdserver: leader changed"),
        Refusal::NotPrimary => (Code::Unknown, "not a primary lessor"),
        Refusal::Timeout => (Code::Unavailable, "etcdserver: request timed out"),
        Refusal::TimeoutLeaderFailure => (
            Code::Unavailable,
            "etcdserver: request timed out, possibly due to previous leader failure",
        ),
        Refusal::TimeoutConnectionLost => {
            (Code::Unavailable, "etcdserver: request timed out, possibly due to connection lost")
        }
        Refusal::TimeoutWaitApplied => (
            Code::Unavailable,
            "etcdserver: request timed out, waiting for the applied index took too long",
        ),
        Refusal::DeadlineExceeded => (Code::DeadlineExceeded, "context deadline exceeded"),
        Refusal::ProposalDropped => (Code::Unknown, "raft proposal dropped"),
        Refusal::MemberNotFound => (Code::NotFound, "etcdserver: member not found"),
        Refusal::MemberExists => (Code::FailedPrecondition, "etcdserver: member ID already exist"),
        Refusal::PeerUrlExists => {
            (Code::FailedPrecondition, "etcdserver: Peer URLs already exists")
        }
        Refusal::TooManyLearners => {
            (Code::FailedPrecondition, "etcdserver: too many learner members in cluster")
        }
        Refusal::NotLearner => {
            (Code::FailedPrecondition, "etcdserver: can only promote a learner member")
        }
        Refusal::LearnerNotReady => (
            Code::FailedPrecondition,
            "etcdserver: can only promote a learner member which is in sync with leader",
        ),
        // etcd sends its client-side error here, which carries no code.
        Refusal::NotEnoughStarted => {
            (Code::Unknown, "etcdserver: re-configuration failed due to not enough started members")
        }
        Refusal::Unhealthy => (Code::Unavailable, "etcdserver: unhealthy cluster"),
        Refusal::BadTransferee => (Code::FailedPrecondition, "etcdserver: bad leader transferee"),
        Refusal::TransferTimeout => {
            (Code::Unknown, "etcdserver: request timed out, leader transfer took too long")
        }
        Refusal::Canceled => (Code::Cancelled, "etcdserver: request canceled"),
        Refusal::Stopped => (Code::Unavailable, "etcdserver: server stopped"),
    };
    Status::new(code, text)
}
