//! What lives how long.
//!
//! Every member keeps the same set of leases, because grants, revokes and checkpoints go
//! through the log. Time is counted by the primary alone (semantics §4.2): elsewhere a lease
//! lives forever. The lessor never deletes anything by itself: it names the leases that are
//! due, the node proposes to revoke them, and the committed entry does it everywhere.

mod clock;

use crate::command::{LeaseLife, Refusal};
use crate::limits::LEASE_TTL_MAX;
use crate::state::LeaseRecord;
use crate::types::{Instant, LeaseId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use clock::Clock;

/// What a renewal came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease starts over.
    Granted {
        /// Seconds granted.
        ttl: i64,
    },
    /// A checkpoint of the lease is in force, and the next primary would count on from it.
    /// Nothing is renewed yet: propose a checkpoint with zero seconds for this lease, and
    /// renew again when it is applied.
    Clear,
    /// No such lease here.
    Unknown,
    /// This member counts no time.
    NotPrimary,
    /// It is over, and its revocation is on the way. The answer waits for that (then it is
    /// unknown) or for a demotion (then this member is not the primary).
    Expired,
}

/// One lease.
#[derive(Clone, Debug)]
struct Lease {
    /// Seconds granted.
    ttl: i64,
    /// Seconds left at the last checkpoint; zero is "no checkpoint".
    remaining: i64,
    /// When it is over; `None` is "never", as on every member but the primary.
    expiry: Option<Instant>,
    /// The attached keys. They are copies: a slice would hold a whole record in memory.
    keys: BTreeSet<Bytes>,
}

crate::recording::code!(struct Lease { ttl, remaining, expiry, keys });

impl Lease {
    /// The seconds that a primary gives it when it begins to count.
    fn to_count(&self) -> i64 {
        if self.remaining > 0 { self.remaining } else { self.ttl }
    }
}

/// All leases, the keys attached to them, and on the primary their time.
#[derive(Clone, Debug)]
pub struct Lessor {
    /// The least seconds that a lease is granted.
    min_ttl: i64,
    /// Whether the primary proposes checkpoints.
    checkpoints: bool,
    leases: BTreeMap<LeaseId, Lease>,
    /// What is due when; `None` where this member is not the primary.
    clock: Option<Clock>,
}

crate::recording::code!(struct Lessor { min_ttl, checkpoints, leases, clock });

impl Lessor {
    /// No leases. `min_ttl` is in seconds, and follows from the election timeout (§4.1);
    /// `checkpoints` is etcd's `LeaseCheckpoint` gate.
    #[must_use]
    pub fn new(min_ttl: i64, checkpoints: bool) -> Lessor {
        Lessor { min_ttl, checkpoints, leases: BTreeMap::new(), clock: None }
    }

    /// Forgets everything, and goes on with these leases and attached keys, not as the primary.
    ///
    /// A key of a lease that is not among them is attached to nothing, as in etcd: its lease
    /// was revoked by a state that the key's record does not know of.
    pub fn restore(
        &mut self,
        leases: &[LeaseRecord],
        attached: impl Iterator<Item = (LeaseId, Bytes)>,
    ) {
        self.clock = None;
        self.leases = leases.iter().map(|record| (record.lease, self.revived(record))).collect();
        for (id, key) in attached {
            if !mutant!(RestoreForgetsKeys)
                && let Some(lease) = self.leases.get_mut(&id)
            {
                lease.keys.insert(Bytes::copy_from_slice(&key));
            }
        }
    }

    /// A lease as it was remembered, raised to what this cluster grants at least.
    fn revived(&self, record: &LeaseRecord) -> Lease {
        Lease {
            ttl: record.ttl.max(self.min_ttl),
            remaining: record.remaining,
            expiry: None,
            keys: BTreeSet::new(),
        }
    }

    /// Creates a lease, and answers the seconds that it really gets.
    ///
    /// # Errors
    ///
    /// `LeaseNotFound` for the id zero, `LeaseTtlTooLarge`, `LeaseExists`: etcd's order (§4.1).
    pub fn grant(&mut self, now: Instant, id: LeaseId, ttl: i64) -> Result<i64, Refusal> {
        if id == LeaseId::NONE {
            return Err(Refusal::LeaseNotFound);
        }
        if ttl > LEASE_TTL_MAX {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(Refusal::LeaseExists);
        }
        let ttl = ttl.max(self.min_ttl);
        let mut lease = Lease { ttl, remaining: 0, expiry: None, keys: BTreeSet::new() };
        if let Some(clock) = &mut self.clock {
            lease.expiry = Some(clock.start(now, id, ttl));
            if self.checkpoints {
                clock.plan_checkpoint(now, id, ttl);
            }
        }
        self.leases.insert(id, lease);
        Ok(ttl)
    }

    /// Ends a lease. Its keys, ascending, are for the caller to delete in one transaction.
    ///
    /// # Errors
    ///
    /// `LeaseNotFound`.
    pub fn revoke(&mut self, id: LeaseId) -> Result<Vec<Bytes>, Refusal> {
        let lease = self.leases.remove(&id).ok_or(Refusal::LeaseNotFound)?;
        if let Some(clock) = &mut self.clock {
            clock.forget(id);
        }
        Ok(lease.keys.into_iter().collect())
    }

    /// Whether there is such a lease.
    #[must_use]
    pub fn knows(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    /// How many leases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The keys attached to a lease, ascending: what a permission check looks at (§4.5).
    pub fn keys(&self, id: LeaseId) -> impl Iterator<Item = &Bytes> {
        self.leases.get(&id).into_iter().flat_map(|lease| &lease.keys)
    }

    /// A put gave the key this lease. `LeaseId::NONE` is no lease and attaches nothing.
    pub fn attach(&mut self, id: LeaseId, key: &[u8]) {
        if id == LeaseId::NONE {
            return;
        }
        let lease = self.leases.get_mut(&id);
        let lease = lease.expect("a put with an unknown lease is refused before it is stored");
        if !lease.keys.contains(key) {
            lease.keys.insert(Bytes::copy_from_slice(key));
        }
    }

    /// The key's version with this lease is replaced or deleted. The lease may be gone: a
    /// revoke removes it before the keys go.
    pub fn detach(&mut self, id: LeaseId, key: &[u8]) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    /// How long a lease has left; `None` where there is no such lease.
    #[must_use]
    pub fn life(&self, now: Instant, id: LeaseId, keys: bool) -> Option<LeaseLife> {
        let lease = self.leases.get(&id)?;
        let keys = if keys { lease.keys.iter().cloned().collect() } else { Vec::new() };
        let remaining = clock::seconds_left(lease.expiry, now);
        Some(LeaseLife { lease: id, granted: lease.ttl, remaining, keys })
    }

    /// All leases, the one that ends first in front; by id where they end together, as all do
    /// where no time is counted.
    #[must_use]
    pub fn list(&self) -> Vec<LeaseId> {
        let mut order: Vec<_> = self.leases.iter().map(|(id, l)| (l.expiry, *id)).collect();
        order.sort_unstable_by_key(|(expiry, id)| (expiry.unwrap_or(Instant(u64::MAX)), *id));
        order.into_iter().map(|(_, id)| id).collect()
    }

    /// What must be remembered of the leases, by id.
    #[must_use]
    pub fn records(&self) -> Vec<LeaseRecord> {
        let record = |(id, lease): (&LeaseId, &Lease)| LeaseRecord {
            lease: *id,
            ttl: lease.ttl,
            remaining: lease.remaining,
        };
        self.leases.iter().map(record).collect()
    }
}
