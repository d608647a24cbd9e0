//! Assertions that break in a task: an executor swallows them, and production ends with them.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// What broke on this thread.
    static BROKEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HEARS: Once = Once::new();

/// From now on what breaks is taken down, besides what is done with it anyway.
pub(super) fn hear() {
    HEARS.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            let said = what.payload_as_str().unwrap_or("an assertion").to_owned();
            BROKEN.with_borrow_mut(|broken| {
                broken.get_or_insert(said);
            });
            before(what);
        }));
    });
}

/// What broke on this thread since the last look.
pub(super) fn take() -> Option<String> {
    BROKEN.take()
}
