//! Every bound in the system, and what they owe to each other.

use core::time::Duration;

/// Entries applied in one step; the rest makes `deadline()` due at once.
pub const APPLY_MAX: usize = 4096;

/// History records visited by one step of a compaction.
pub const COMPACT_MAX: usize = 256;

/// Bytes logged before a checkpoint is due, however few the entries: bounds what a restart
/// replays and what the log keeps on disk.
pub const CHECKPOINT_LOG_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of entries that stay in memory behind a checkpoint for members that lag; who lags by
/// more takes the state.
pub const CATCH_UP_BYTES: usize = 32 * 1024 * 1024;

/// etcd's bound on `committed - applied` before it refuses proposals (semantics §6.3).
pub const APPLY_LAG_MAX: u64 = 5000;

/// A marshalled `InternalRaftRequest`, at most; etcd's `--max-request-bytes` default.
pub const REQUEST_BYTES_MAX: usize = 1_572_864;

/// Operations in one list of a transaction; etcd's `--max-txn-ops` default.
pub const TXN_OPS_MAX: usize = 128;

/// A lease's time to live, seconds (semantics §4.1).
pub const LEASE_TTL_MAX: i64 = 9_000_000_000;

/// Leases revoked in a second, at most (semantics §4.2).
pub const LEASE_REVOKE_RATE: usize = 1000;

/// How often the primary looks for expired leases (semantics §4.2).
pub const LEASE_EXPIRY_INTERVAL: Duration = Duration::from_millis(500);

/// Bytes of one append to a follower (semantics §8.1).
pub const APPEND_BYTES_MAX: usize = 512 * 1024;

/// Appends in flight to one follower (semantics §8.1).
pub const APPENDS_IN_FLIGHT_MAX: usize = 512;

/// How often the primary remembers how long its long leases have left (semantics §4.4).
pub const LEASE_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);

/// Leases in one checkpoint entry (semantics §4.4).
pub const LEASE_CHECKPOINT_BATCH_MAX: usize = 1000;

/// What etcd gives a request before it gives up, besides two election timeouts (semantics §6.4).
pub const REQUEST_TIMEOUT_BASE: Duration = Duration::from_secs(5);

/// Revisions are joined in one watch answer up to this many encoded bytes.
pub const WATCH_ANSWER_BYTES: usize = 256 * 1024;

/// What etcd's gRPC messages may be larger than a request: a watch answer that may be split
/// is, where it would reach the request's bound and this (semantics §3.5).
pub const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;

/// History records that watches which are behind read in one step.
pub const WATCH_SCAN_MAX: usize = 1024;

/// Watches that catch up together in one step.
pub const WATCH_CATCH_UP_MAX: usize = 1024;

/// How often an idle watch that asked for it gets a sign of progress; etcd's default.
pub const WATCH_PROGRESS_INTERVAL: Duration = Duration::from_secs(600);

/// One log segment's file, as in etcd.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// One state file, unless a single chunk needs more.
pub const STATE_BYTES: u64 = 32 * 1024 * 1024;

/// One write on the bulk lane: more at once stalls the commits beside it.
pub const PIECE_BYTES: u64 = 128 * 1024;

/// One group commit, unless a single write needs more.
pub const GROUP_BYTES: u64 = 4 * 1024 * 1024;

/// What a torn write can damage at once.
pub const SECTOR: usize = 512;

/// What a sync in flight covers at once.
pub const PAGE: usize = 4096;

const _: () = assert!(REQUEST_BYTES_MAX as u64 * 8 < SEGMENT_BYTES);
const _: () = assert!(PAGE.is_multiple_of(SECTOR));
const _: () = assert!(WATCH_ANSWER_BYTES < GRPC_OVERHEAD_BYTES);
const _: () = assert!(COMPACT_MAX < APPLY_MAX);
const _: () = assert!(PIECE_BYTES.is_multiple_of(PAGE as u64));
const _: () = assert!(GROUP_BYTES * 2 < SEGMENT_BYTES);
