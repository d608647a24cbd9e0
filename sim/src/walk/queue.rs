//! What will happen, ordered by when, and at one moment by when it was put in.

use keel_core::Instant;
use slab::Slab;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The order is kept of small keys alone: what happens is large, and stays where it was put.
pub(super) struct Queue<T> {
    order: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    what: Slab<T>,
    /// How many were ever put in.
    number: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Queue<T> {
        Queue { order: BinaryHeap::new(), what: Slab::new(), number: 0 }
    }

    pub(super) fn push(&mut self, at: Instant, what: T) {
        self.number += 1;
        let place = self.what.insert(what);
        self.order.push(Reverse((at, self.number, place)));
    }

    /// Takes what is next, if it is due by then.
    pub(super) fn pop_until(&mut self, end: Instant) -> Option<(Instant, T)> {
        let Reverse((at, _, place)) = *self.order.peek().filter(|next| next.0.0 <= end)?;
        self.order.pop();
        Some((at, self.what.remove(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_at_one_moment_comes_in_the_order_in_which_it_was_put_in() {
        let mut queue = Queue::new();
        for (at, what) in [(7, 'c'), (3, 'a'), (7, 'd'), (9, 'e'), (3, 'b')] {
            queue.push(Instant(at), what);
        }
        let mut due =
            |end| std::iter::from_fn(|| queue.pop_until(Instant(end))).collect::<Vec<_>>();
        assert_eq!(due(2), []);
        assert_eq!(due(8).iter().map(|(_, what)| *what).collect::<String>(), "abcd");
        assert_eq!(due(9), [(Instant(9), 'e')]);
    }
}
