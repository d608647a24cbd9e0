//! Many seeds, one after the other: what fails is kept as a plan.

use crate::nemesis::draw;
use crate::plan::{Expect, Level, Plan};
use crate::run;
use crate::seen::Places;
use crate::walk::Verdict;
use crate::world::world_twice;
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

/// Of whole servers every so many-th seed runs twice: equal plans give equal runs.
const TWICE: u64 = 16;

/// Runs one seed, on a thread of its own: nothing that a thread keeps reaches the next seed.
#[must_use]
pub fn explore(level: Level, seed: u64) -> Outcome {
    let run = move || {
        let plan = draw(level, seed);
        catch_unwind(AssertUnwindSafe(|| match level {
            Level::World if seed.is_multiple_of(TWICE) => world_twice(&plan, None),
            _ => run(&plan),
        }))
    };
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
pub fn kept(level: Level, outcome: &Outcome) -> Plan {
    let mut plan = draw(level, outcome.seed);
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
