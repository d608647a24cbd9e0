//! The server on io_uring: what it promises on tokio it promises here, and it says in a line where
//! a machine does not let it.
//!
//! Every suite of this directory can be run on it: `ETCD_RUNTIME=glommio cargo test -p keel-cli`.
//! Here is what every run of the tests shows.

#[path = "../common/calls.rs"]
mod calls;
#[path = "../common/mod.rs"]
mod common;
mod disk;
#[path = "../common/history.rs"]
mod history;
#[path = "../common/kill.rs"]
mod kill;
mod machine;
#[path = "../common/nested.rs"]
mod nested;
#[path = "../recorder/mod.rs"]
mod recorder;
mod refused;
#[path = "../common/search.rs"]
mod search;
mod slow;
mod together;

/// How our server is started, on a machine where it can be.
fn flags() -> Option<&'static [&'static str]> {
    match keel_runtime_glommio::probe() {
        Ok(()) => Some(&["--runtime=glommio"]),
        Err(failure) => {
            eprintln!("SKIPPED: {failure}");
            None
        }
    }
}

/// Runs a test on a thread of its own executor.
fn block_on<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

/// A runtime's flag as [`keel_cli::load`] takes it.
fn on(runtime: &str) -> Vec<String> {
    vec![format!("--runtime={runtime}")]
}
