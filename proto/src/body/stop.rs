//! The wish to stop, heard by every task that asks.

use std::sync::Arc;
use tokio::sync::Semaphore;

/// One clone a task. A semaphore that never has a permit and is closed once: those who wait are
/// woken in the order in which they came, so equal runs stay equal.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Semaphore>);

impl Default for Stop {
    fn default() -> Stop {
        Stop::new()
    }
}

impl Stop {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Stop {
        Stop(Arc::new(Semaphore::new(0)))
    }

    /// Asks everybody to stop; asking twice is asking once.
    pub fn ask(&self) {
        self.0.close();
    }

    /// Waits until somebody asks.
    pub async fn asked(&self) {
        let permit = self.0.acquire().await;
        assert!(permit.is_err(), "the semaphore never has a permit");
    }
}
