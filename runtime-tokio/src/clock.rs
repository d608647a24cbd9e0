//! Time: the one file that asks what time it is.

use keel_core::Instant;
use keel_proto::body::Time;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Sleep;

/// Where a server's time begins, and how it tells the date.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: tokio::time::Instant,
    date: Date,
}

/// How a clock tells the date.
#[derive(Clone, Copy, Debug)]
enum Date {
    /// It asks the machine.
    Machine,
    /// It was this long after 1970 at the epoch: the simulator's answer, equal in equal runs.
    Since(Duration),
}

impl Clock {
    /// The machine's own time, from now on.
    #[must_use]
    pub fn machine() -> Clock {
        Clock { epoch: tokio::time::Instant::now(), date: Date::Machine }
    }

    /// The executor's time, which a simulator may run as fast as it likes; `unix` is the date
    /// right now.
    #[must_use]
    pub fn simulated(unix: Duration) -> Clock {
        Clock { epoch: tokio::time::Instant::now(), date: Date::Since(unix) }
    }

    /// Whether its date is the machine's.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        matches!(self.date, Date::Machine)
    }

    /// Now, as the core counts.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant(0).after(self.epoch.elapsed())
    }

    /// A moment of the core's count, as the executor's timers count.
    #[must_use]
    pub fn timer(&self, at: Instant) -> tokio::time::Instant {
        self.epoch + Duration::from_nanos(at.0)
    }

    /// The time since 1970; zero on a machine whose date lies before.
    #[must_use]
    pub fn unix(&self) -> Duration {
        match self.date {
            Date::Machine => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Date::Since(unix) => unix + self.epoch.elapsed(),
        }
    }
}

impl Time for Clock {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        Clock::now(self)
    }

    fn unix(&self) -> Duration {
        Clock::unix(self)
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        tokio::time::sleep_until(self.timer(at))
    }
}

/// Waits for a moment. One that is past is no wait, but lets the other tasks of the thread run:
/// the executor's timers are a millisecond coarse.
pub(crate) async fn passed(timer: Pin<&mut Sleep>, due: Option<tokio::time::Instant>) {
    if due.is_some_and(|due| due <= tokio::time::Instant::now()) {
        tokio::task::yield_now().await;
    } else {
        timer.await;
    }
}
