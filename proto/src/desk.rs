//! The one way out: which ticket belongs to which waiting service.

use crate::handle::Call;
use keel_core::{Input, Refusal, Reply, Ticket};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Lives in the driver.
#[derive(Debug, Default)]
pub struct Desk {
    waiting: BTreeMap<Ticket, oneshot::Sender<Result<Reply, Refusal>>>,
}

impl Desk {
    /// Nobody waits.
    #[must_use]
    pub fn new() -> Desk {
        Desk::default()
    }

    /// Takes a call's ticket in and gives its input on.
    pub fn admit(&mut self, call: Call) -> Input {
        match call {
            Call::Ask { ticket, input, answer } => {
                let before = self.waiting.insert(ticket, answer);
                assert!(before.is_none(), "ticket {ticket:?} asks twice");
                input
            }
            Call::Gone(ticket) => {
                self.waiting.remove(&ticket);
                Input::Forget { ticket }
            }
        }
    }

    /// Hands a reply to whoever waits for it. Nobody waits for a proposal of another member.
    pub fn settle(&mut self, ticket: Ticket, reply: Result<Reply, Refusal>) {
        if let Some(answer) = self.waiting.remove(&ticket) {
            // The asker may have gone since; its reply then has no reader.
            let _ = answer.send(reply);
        }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
