//! What waits for the recorder's thread: filled by the driver, bounded, emptied as a whole.

use keel_core::recording::{Scribe, Writer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait at most, whatever the recording's size.
const WAITING_MAX: usize = 64 << 20;
/// Bytes at which the thread does not wait for more.
const ENOUGH: usize = 256 << 10;
/// How long it waits for more: what a kill from outside may cost.
const GATHER: Duration = Duration::from_millis(20);
/// How long the end of the process waits for the thread, and between two looks at it.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(1);
const LOOKS: u32 = 1000;

/// One thing to write.
#[derive(Debug)]
pub(super) enum Item {
    /// Goes on with what was begun.
    Inputs(Writer),
    /// The recording begins here, behind so many steps.
    State { steps: u64, state: Writer },
}

/// The queue, shared by the driver, the thread and the panic hook.
#[derive(Debug)]
pub(super) struct Queue {
    max: usize,
    waiting: Mutex<Waiting>,
    /// The thread hears of work, and whoever waits for the thread of its end.
    news: Condvar,
    done: Condvar,
    wants_state: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    items: Vec<Item>,
    weight: usize,
    /// Inputs that no item holds yet.
    inputs: Writer,
    /// What came since has no place; a new state begins the recording again.
    gap: bool,
    /// Nothing more comes: write and end.
    closed: bool,
    /// The thread writes what it took.
    busy: bool,
    /// There is no thread any more.
    gone: bool,
}

impl Waiting {
    fn weight(&self) -> usize {
        self.weight + self.inputs.len()
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.inputs.is_empty()
    }

    fn close_inputs(&mut self) {
        if !self.inputs.is_empty() {
            let inputs = std::mem::take(&mut self.inputs);
            self.weight += inputs.len();
            self.items.push(Item::Inputs(inputs));
        }
    }
}

impl Queue {
    /// An empty one for a recording of so many bytes.
    pub(super) fn new(recording: u64) -> Queue {
        let quarter = usize::try_from(recording / 4).unwrap_or(usize::MAX);
        Queue {
            max: quarter.min(WAITING_MAX),
            waiting: Mutex::default(),
            news: Condvar::new(),
            done: Condvar::new(),
            wants_state: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends to the inputs, if they have a place.
    pub(super) fn inputs(&self, put: impl FnOnce(&mut Writer)) {
        let mut waiting = self.lock();
        if waiting.gone {
            return;
        }
        if waiting.gap {
            // The scribe must go on counting.
            put(&mut Writer::new());
            return;
        }
        let before = waiting.weight();
        put(&mut waiting.inputs);
        self.wake(&mut waiting, before);
    }

    /// Begins the recording, or begins it again, with a state.
    pub(super) fn begin(&self, steps: u64, put: impl FnOnce(&mut Writer)) {
        let mut state = Writer::new();
        put(&mut state);
        let mut waiting = self.lock();
        self.wants_state.store(false, Ordering::Relaxed);
        if waiting.gone {
            return;
        }
        let before = waiting.weight();
        waiting.close_inputs();
        waiting.weight += state.len();
        waiting.items.push(Item::State { steps, state });
        waiting.gap = false;
        self.wake(&mut waiting, before);
    }

    /// Wakes the thread where it sleeps, and makes a gap where it cannot follow.
    fn wake(&self, waiting: &mut Waiting, before: usize) {
        let now = waiting.weight();
        waiting.gap |= now > self.max;
        if before == 0 || before < ENOUGH && now >= ENOUGH {
            self.news.notify_one();
        }
    }

    /// Whether the recording is to begin again: asked for after every turn, so it costs nothing.
    pub(super) fn wants_state(&self) -> bool {
        self.wants_state.load(Ordering::Relaxed)
    }

    /// Asks the driver for a state, unless one waits already.
    pub(super) fn ask_for_state(&self) {
        let waiting = self.lock();
        let comes = waiting.items.iter().any(|item| matches!(item, Item::State { .. }));
        self.wants_state.store(!comes, Ordering::Relaxed);
    }

    /// Whether there is a gap that no state has ended.
    pub(super) fn overran(&self) -> bool {
        self.lock().gap
    }

    /// Everything that waits, once there is something; nothing when the queue is closed and empty.
    pub(super) fn take(&self) -> Option<Vec<Item>> {
        let mut waiting = self.lock();
        while waiting.is_empty() && !waiting.closed {
            waiting = self.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.weight() < ENOUGH && !waiting.closed {
            let more = self.news.wait_timeout(waiting, GATHER);
            waiting = more.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.close_inputs();
        if waiting.items.is_empty() {
            waiting.gone = true;
            self.done.notify_all();
            return None;
        }
        waiting.weight = 0;
        waiting.busy = true;
        Some(std::mem::take(&mut waiting.items))
    }

    /// What was taken last is in the file.
    pub(super) fn written(&self) {
        self.lock().busy = false;
        self.done.notify_all();
    }

    /// The thread ends: nothing is kept any more.
    pub(super) fn give_up(&self) {
        let mut waiting = self.lock();
        *waiting = Waiting { gone: true, ..Waiting::default() };
        self.done.notify_all();
    }

    /// Nothing more comes: waits, but not for ever, until all is written.
    pub(super) fn close(&self) {
        self.finish(self.lock());
    }

    /// The process breaks down. The thread that does may hold the lock, so it is not waited for.
    pub(super) fn panic(&self, words: &str) {
        for _ in 0..LOOKS {
            if let Ok(mut waiting) = self.waiting.try_lock() {
                if !waiting.gone && !waiting.gap {
                    Scribe::panic(words, &mut waiting.inputs);
                }
                return self.finish(waiting);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn finish(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.closed = true;
        self.news.notify_one();
        let unfinished = |waiting: &mut Waiting| !waiting.gone;
        // Whoever waits in vain ends without the rest.
        drop(self.done.wait_timeout_while(waiting, PATIENCE, unfinished));
    }
}
