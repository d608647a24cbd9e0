//! What only the primary does: it counts.

use super::{Lease, Lessor, Renewal};
use crate::limits::{
    LEASE_CHECKPOINT_BATCH_MAX, LEASE_CHECKPOINT_INTERVAL, LEASE_EXPIRY_INTERVAL,
    LEASE_REVOKE_RATE, REQUEST_TIMEOUT_BASE,
};
use crate::recording::{Code, Reader, Writer};
use crate::types::{Instant, LeaseId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

const NANOS: i64 = 1_000_000_000;

/// Leases that may expire in one second after a promotion: less than can be revoked, so that
/// the ones that piled up don't take all of it (§4.2).
const SPREAD_RATE: i64 = (LEASE_REVOKE_RATE * 3 / 4) as i64;

/// Whole seconds between `now` and `expiry`, truncated towards zero. A lease that is never
/// over has as much left as etcd can say: the largest Go duration.
pub(super) fn seconds_left(expiry: Option<Instant>, now: Instant) -> i64 {
    let Some(expiry) = expiry else {
        return i64::MAX / NANOS;
    };
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    seconds(expiry.since(now)) - seconds(now.since(expiry))
}

/// `ttl` seconds as a span; nothing for a negative number.
fn span(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

/// An ordered set of wake-ups with at most one for each lease.
///
/// One that is put off stays where it stands until its old time comes: a lease that is kept alive
/// is put off again and again, and moves once.
#[derive(Clone, Debug, Default)]
struct Queue {
    order: BTreeSet<(Instant, LeaseId)>,
    times: BTreeMap<LeaseId, Wake>,
}

/// When somebody is woken.
#[derive(Clone, Copy, Debug)]
struct Wake {
    at: Instant,
    /// Where in the order it stands: then or before.
    stands: Instant,
}

crate::recording::code!(struct Wake { at, stands });

impl Code for Queue {
    fn encode(&self, out: &mut Writer) {
        self.times.encode(out);
    }

    fn decode(from: &mut Reader) -> Option<Queue> {
        let times = <BTreeMap<LeaseId, Wake>>::decode(from)?;
        Some(Queue { order: times.iter().map(|(id, wake)| (wake.stands, *id)).collect(), times })
    }
}

impl Queue {
    /// Many wake-ups at once, which costs a fraction of adding each.
    fn of(wakes: Vec<(Instant, LeaseId)>) -> Queue {
        let times = wakes.iter().map(|&(at, id)| (id, Wake { at, stands: at })).collect();
        Queue { order: wakes.into_iter().collect(), times }
    }

    fn set(&mut self, id: LeaseId, at: Instant) {
        if let Some(wake) = self.times.get_mut(&id)
            && wake.stands <= at
        {
            wake.at = at;
            return;
        }
        self.remove(id);
        self.times.insert(id, Wake { at, stands: at });
        self.order.insert((at, id));
    }

    fn remove(&mut self, id: LeaseId) {
        if let Some(wake) = self.times.remove(&id) {
            let was = self.order.remove(&(wake.stands, id));
            assert!(was, "a wake-up stands in both halves of its queue");
        }
    }

    /// Moves what was put off and stands first, as far as its time has come.
    fn tidy(&mut self, now: Instant) {
        while let Some(&(stands, id)) = self.order.first()
            && stands <= now
        {
            let wake = self.times.get_mut(&id).expect("a wake-up stands in both halves");
            if wake.at == stands {
                return;
            }
            wake.stands = wake.at;
            self.order.pop_first();
            self.order.insert((wake.at, id));
        }
    }

    fn contains(&self, id: LeaseId) -> bool {
        self.times.contains_key(&id)
    }

    /// When to look next: nothing is due before.
    fn first(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the first wake-up, if its time has come.
    fn pop(&mut self, now: Instant) -> Option<LeaseId> {
        self.tidy(now);
        let (at, id) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.remove(id);
        Some(id)
    }
}

/// What is due when.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// When a lease is to be revoked, or its revocation to be proposed again.
    expiries: Queue,
    /// When a lease's remaining time is to be proposed.
    checkpoints: Queue,
    /// No expired lease is handed out before this.
    next_scan: Instant,
    /// How long a revocation may take before it is proposed again: etcd's request timeout.
    retry: Duration,
}

crate::recording::code!(struct Clock { expiries, checkpoints, next_scan, retry });

impl Clock {
    /// Begins to count `ttl` seconds, and answers when they are over.
    pub(super) fn start(&mut self, now: Instant, id: LeaseId, ttl: i64) -> Instant {
        let expiry = now.after(span(ttl));
        self.expiries.set(id, expiry);
        expiry
    }

    /// Plans the next checkpoint, if the lease lives longer than until then.
    pub(super) fn plan_checkpoint(&mut self, now: Instant, id: LeaseId, left: i64) {
        if span(left) > LEASE_CHECKPOINT_INTERVAL {
            self.checkpoints.set(id, now.after(LEASE_CHECKPOINT_INTERVAL));
        }
    }

    /// The lease is gone.
    pub(super) fn forget(&mut self, id: LeaseId) {
        self.expiries.remove(id);
        self.checkpoints.remove(id);
    }

    /// When expired leases may be handed out next.
    fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|at| at.max(self.next_scan))
    }

    fn deadline(&self) -> Option<Instant> {
        [self.next_expiry(), self.checkpoints.first()].into_iter().flatten().min()
    }
}

impl Lessor {
    /// Whether this member counts time.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.clock.is_some()
    }

    /// This member begins to count: every lease starts over from its last checkpoint or its
    /// whole time, plus `extend` (the election timeout), in which nobody could renew it.
    ///
    /// Where many leases would end at once, they are moved apart, so that no more end in a
    /// second than can be revoked in it (§4.2).
    pub fn promote(&mut self, now: Instant, extend: Duration) {
        for lease in self.leases.values_mut() {
            let own = if mutant!(PromotionGivesNoTime) { 0 } else { lease.to_count() };
            lease.expiry = Some(now.after(extend).after(span(own)));
        }
        if self.leases.len() >= LEASE_REVOKE_RATE {
            self.spread(now);
        }
        let ends = self
            .leases
            .iter()
            .map(|(id, lease)| (lease.expiry.expect("every lease was just given an end"), *id));
        let long = |lease: &Lease| span(lease.to_count()) > LEASE_CHECKPOINT_INTERVAL;
        let planned = self.leases.iter().filter(|(_, lease)| self.checkpoints && long(lease));
        let planned = planned.map(|(id, _)| (now.after(LEASE_CHECKPOINT_INTERVAL), *id));
        self.clock = Some(Clock {
            expiries: Queue::of(ends.collect()),
            checkpoints: Queue::of(planned.collect()),
            next_scan: now,
            retry: REQUEST_TIMEOUT_BASE + extend * 2,
        });
    }

    /// Moves expiries apart: in a window of one second the first 750 stay, and each one more
    /// is put off by its share of a second; the window stretches with them.
    fn spread(&mut self, now: Instant) {
        let left = |lease: &Lease| {
            let expiry = lease.expiry.expect("only a primary moves expiries");
            i64::try_from(expiry.since(now).as_nanos()).unwrap_or(i64::MAX)
        };
        let mut order: Vec<_> = self.leases.iter().map(|(id, l)| (left(l), *id)).collect();
        order.sort_unstable();
        let mut base = order.first().map_or(0, |(left, _)| *left);
        let mut window = base.saturating_add(NANOS);
        let mut count = 0;
        for (left, id) in order {
            if left > window {
                (base, window, count) = (left, left.saturating_add(NANOS), 1);
                continue;
            }
            count += 1;
            if count <= SPREAD_RATE {
                continue;
            }
            let delay = (NANOS * count / SPREAD_RATE - (left - base)).max(0);
            window = base.saturating_add(delay);
            let lease = self.leases.get_mut(&id).expect("the order was made from the leases");
            lease.expiry = lease.expiry.map(|at| at.after(Duration::from_nanos(delay as u64)));
        }
    }

    /// This member no longer counts: its leases live until another one ends them.
    pub fn demote(&mut self) {
        self.clock = None;
        for lease in self.leases.values_mut() {
            lease.expiry = None;
        }
    }

    /// Keeps a lease alive.
    pub fn renew(&mut self, now: Instant, id: LeaseId) -> Renewal {
        let Some(clock) = &mut self.clock else {
            if mutant!(FollowerRenews)
                && let Some(lease) = self.leases.get(&id)
            {
                return Renewal::Granted { ttl: lease.ttl };
            }
            return Renewal::NotPrimary;
        };
        let Some(lease) = self.leases.get_mut(&id) else {
            return Renewal::Unknown;
        };
        let expiry = lease.expiry.expect("a primary's leases all have an end");
        if expiry <= now {
            return Renewal::Expired;
        }
        if lease.remaining > 0 {
            return Renewal::Clear;
        }
        if !mutant!(RenewsInName) {
            lease.expiry = Some(clock.start(now, id, lease.ttl));
        }
        if self.checkpoints && !clock.checkpoints.contains(id) {
            clock.plan_checkpoint(now, id, lease.ttl);
        }
        Renewal::Granted { ttl: lease.ttl }
    }

    /// The leases that are over, to propose their revocation: `max` and half of etcd's revoke
    /// rate at most, at most every half second. One that is still there after etcd's request
    /// timeout comes again.
    pub fn due(&mut self, now: Instant, max: usize) -> Vec<LeaseId> {
        let mut due = Vec::new();
        let Some(clock) = &mut self.clock else {
            return due;
        };
        clock.expiries.tidy(now);
        if clock.next_expiry().is_none_or(|at| at > now) {
            return due;
        }
        clock.next_scan = now.after(LEASE_EXPIRY_INTERVAL);
        while due.len() < max.min(LEASE_REVOKE_RATE / 2) {
            let Some(id) = clock.expiries.pop(now) else { break };
            assert!(self.leases.contains_key(&id), "only leases that exist are waited for");
            clock.expiries.set(id, now.after(clock.retry));
            if !mutant!(NeverExpires) {
                due.push(id);
            }
        }
        due
    }

    /// The leases whose remaining seconds are to be proposed, in one batch of bounded size.
    /// Where more are due, so is [`deadline`](Lessor::deadline).
    pub fn checkpoints_due(&mut self, now: Instant) -> Vec<(LeaseId, i64)> {
        let mut due = Vec::new();
        let Some(clock) = &mut self.clock else {
            return due;
        };
        for _ in 0..LEASE_CHECKPOINT_BATCH_MAX {
            let Some(id) = clock.checkpoints.pop(now) else { break };
            let lease = &self.leases[&id];
            let left = lease.expiry.expect("a primary's leases all have an end").since(now);
            if left.is_zero() {
                continue; // It is about to be revoked.
            }
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            clock.plan_checkpoint(now, id, seconds);
            if seconds < lease.ttl {
                due.push((id, seconds));
            }
        }
        due
    }

    /// A checkpoint is committed. The running count goes on; the next primary starts from it.
    /// Leases that are gone are passed over.
    pub fn apply_checkpoint(&mut self, checkpoint: &[(LeaseId, i64)]) {
        for (id, remaining) in checkpoint {
            if let Some(lease) = self.leases.get_mut(id) {
                lease.remaining = *remaining;
            }
        }
    }

    /// When [`due`](Lessor::due) or [`checkpoints_due`](Lessor::checkpoints_due) has something.
    /// It may be sooner, where leases were kept alive, and is never later.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.clock.as_ref().and_then(Clock::deadline)
    }
}
