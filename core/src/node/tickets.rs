//! Who waits for what until when; every ticket ends in exactly one reply.

use crate::types::{Instant, Ticket};
use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

/// The open tickets.
///
/// All get the same time, so the order of arrival is the order of deadlines and a queue is
/// enough. Settled tickets leave the queue when they reach its front.
#[derive(Debug)]
pub(super) struct Tickets {
    timeout: Duration,
    open: BTreeMap<Ticket, Asked>,
    queue: VecDeque<(Instant, Ticket)>,
}

crate::recording::code!(struct Tickets { timeout, open, queue });

/// What is known of an open ticket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// When it was admitted.
    pub(super) at: Instant,
}

crate::recording::code!(struct Asked { at });

impl Tickets {
    /// No ticket; each will get `timeout`.
    pub(super) fn new(timeout: Duration) -> Tickets {
        Tickets { timeout, open: BTreeMap::new(), queue: VecDeque::new() }
    }

    /// Opens a ticket.
    pub(super) fn open(&mut self, now: Instant, ticket: Ticket) {
        let before = self.open.insert(ticket, Asked { at: now });
        assert!(before.is_none(), "ticket {ticket:?} is open already");
        self.queue.push_back((now.after(self.timeout), ticket));
    }

    /// Closes a ticket; tells whether somebody still waited for it.
    pub(super) fn close(&mut self, ticket: Ticket) -> bool {
        let waited = self.open.remove(&ticket).is_some();
        while self.queue.front().is_some_and(|(_, front)| !self.open.contains_key(front)) {
            self.queue.pop_front();
        }
        waited
    }

    /// Whether somebody waits for this ticket.
    pub(super) fn is_open(&self, ticket: Ticket) -> bool {
        self.open.contains_key(&ticket)
    }

    /// Closes the next ticket whose time is up.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(Ticket, Asked)> {
        while let Some(&(deadline, ticket)) = self.queue.front() {
            if let Some(&asked) = self.open.get(&ticket) {
                if deadline > now {
                    return None;
                }
                self.queue.pop_front();
                self.open.remove(&ticket);
                return Some((ticket, asked));
            }
            self.queue.pop_front();
        }
        None
    }

    /// When the next ticket's time is up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.front().map(|&(deadline, _)| deadline)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_tickets_leave_the_queue_and_never_expire() {
        let mut tickets = Tickets::new(Duration::from_secs(7));
        for n in 0..100 {
            tickets.open(Instant(n), Ticket(n));
        }
        for n in (0..100).rev() {
            assert!(tickets.close(Ticket(n)));
            assert!(!tickets.close(Ticket(n)), "a ticket closes once");
        }
        assert_eq!(tickets.deadline(), None);
        assert!(tickets.queue.is_empty());
    }

    #[test]
    fn tickets_expire_in_the_order_of_arrival() {
        let mut tickets = Tickets::new(Duration::from_nanos(10));
        tickets.open(Instant(0), Ticket(5));
        tickets.open(Instant(1), Ticket(3));
        assert!(tickets.expire(Instant(9)).is_none());
        assert_eq!(tickets.expire(Instant(11)).map(|(t, _)| t), Some(Ticket(5)));
        assert_eq!(tickets.expire(Instant(11)).map(|(t, _)| t), Some(Ticket(3)));
        assert_eq!(tickets.len(), 0);
    }
}
