//! The watch hub: its stories (see `tests/golden/watch`) and its properties.

mod property;
#[path = "../lease/script.rs"]
mod script;
mod store;
mod story;
#[path = "../lease/times.rs"]
mod times;

#[test]
fn stories() {
    script::play_all("watch", story::Story::new, story::run);
}
