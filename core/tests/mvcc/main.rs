//! The key space: its stories (see `tests/golden/mvcc`) and its properties.

mod property;
#[path = "../lease/script.rs"]
mod script;
mod story;

#[test]
fn stories() {
    script::play_all("mvcc", story::Story::new, story::run);
}
