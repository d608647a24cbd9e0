//! Raft, told as stories (see `tests/golden/raft`).

#[path = "../lease/script.rs"]
mod script;
mod story;

#[test]
fn stories() {
    script::play_all("raft", story::Story::new, story::run);
}
