//! What a member acknowledged survives its sudden death.

#[path = "common/kill.rs"]
mod story;

/// How our server is started, on a machine where it can be.
fn flags() -> Option<&'static [&'static str]> {
    Some(&[])
}
