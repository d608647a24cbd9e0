//! One reply a ticket: none that was not asked for, none twice, and in the end none that is
//! missing.

use super::Broken;
use keel_core::Ticket;
use std::collections::BTreeMap;

/// What a member still owes, and what its asker keeps beside each ticket.
#[derive(Clone, Debug)]
pub struct Owed<T>(BTreeMap<Ticket, T>);

impl<T> Default for Owed<T> {
    fn default() -> Owed<T> {
        Owed(BTreeMap::new())
    }
}

impl<T> Owed<T> {
    /// Somebody asks.
    ///
    /// # Panics
    ///
    /// Where the ticket is taken: they are ours to give out.
    pub fn ask(&mut self, ticket: Ticket, asked: T) {
        let before = self.0.insert(ticket, asked);
        assert!(before.is_none(), "{ticket:?} is given out twice");
    }

    /// A reply comes; gives what its asker kept.
    ///
    /// # Errors
    ///
    /// Nothing is owed for it.
    pub fn pay(&mut self, ticket: Ticket) -> Result<T, Broken> {
        let owed = self.0.remove(&ticket);
        owed.ok_or_else(|| Broken::new("one-reply", format!("{ticket:?} is owed nothing")))
    }

    /// What is not answered yet, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_answered_once() {
        let mut owed = Owed::default();
        owed.ask(Ticket(1), 'a');
        owed.ask(Ticket(2), 'b');
        assert_eq!(owed.pay(Ticket(1)), Ok('a'));
        assert!(owed.pay(Ticket(1)).is_err(), "it was answered");
        assert!(owed.pay(Ticket(3)).is_err(), "nobody asked");
        assert_eq!(owed.open().collect::<Vec<_>>(), [&'b']);
    }
}
