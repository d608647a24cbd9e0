//! Many seeds, one after the other: what fails is kept as a plan.

use crate::nemesis::draw;
use crate::plan::{Expect, Plan};
use crate::seen::Places;
use crate::walk::{Verdict, walk};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

/// What became of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// The rule that was broken, or the assertion; nothing where all is well.
    pub failed: Option<String>,
    /// How long it lasted, simulated.
    pub lasted: Duration,
    /// A digest of everything that happened.
    pub trace: u64,
    /// Where it has been.
    pub places: Places,
}

/// Runs one seed, on a thread of its own: nothing that a thread keeps reaches the next seed.
#[must_use]
pub fn explore(seed: u64) -> Outcome {
    let run = move || catch_unwind(AssertUnwindSafe(|| walk(&draw(seed))));
    let ended = thread::spawn(run).join().unwrap_or_else(Err);
    match ended {
        Ok(Verdict { broken, lasted, trace, places, .. }) => {
            let failed = broken.map(|broken| broken.to_string());
            Outcome { seed, failed, lasted, trace, places }
        }
        Err(panic) => {
            let failed = Some(format!("panic: {}", words(&*panic)));
            let (lasted, trace, places) = (Duration::ZERO, 0, Places::default());
            Outcome { seed, failed, lasted, trace, places }
        }
    }
}

/// The plan of a seed that failed, as it is kept.
#[must_use]
pub fn kept(outcome: &Outcome) -> Plan {
    let mut plan = draw(outcome.seed);
    let why = outcome.failed.as_deref().unwrap_or("nothing is wrong with it");
    plan.why = vec![format!("Seed {} broke a rule: {why}", outcome.seed)];
    plan.expect = Expect::Ok;
    plan
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("an assertion")
}
