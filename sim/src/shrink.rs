//! From a plan that fails to a small one that fails alike: calm knobs first, then fewer actions.
//!
//! The same rule must be broken. What the network draws depends on what was sent before, so a
//! smaller plan is tried with several seeds before it is given up.

use crate::plan::{Knobs, Plan, Slot};
use crate::run;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds that a candidate is tried with, besides its own.
const REDRAWS: u64 = 20;

/// How a plan fails: the oracle's name, or that of an assertion; nothing where it does not.
#[must_use]
pub fn failure(plan: &Plan) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| run(plan))) {
        Ok(verdict) => verdict.broken.map(|broken| broken.oracle.to_owned()),
        Err(_) => Some(String::from("panic")),
    }
}

/// Makes a failing plan smaller for as long as it fails alike. `tried` hears of each try.
///
/// # Errors
///
/// The plan does not fail.
pub fn shrink(plan: &Plan, mut tried: impl FnMut(&Plan)) -> Result<Plan, &'static str> {
    let how = failure(plan).ok_or("the plan does not fail")?;
    let mut small = plan.clone();
    loop {
        let before = small.clone();
        for name in Knobs::NAMES.into_iter().filter(|name| *name != "seed") {
            let mut calmer = small.clone();
            if calm(&mut calmer.knobs, name) {
                tried(&calmer);
                keep(&mut small, calmer, &how);
            }
        }
        let mut part = small.actions.len().div_ceil(2);
        while part > 0 {
            let mut from = 0;
            while from < small.actions.len() {
                let mut fewer = small.clone();
                fewer.actions.drain(from..(from + part).min(fewer.actions.len()));
                tried(&fewer);
                if !keep(&mut small, fewer, &how) {
                    from += part;
                }
            }
            part /= 2;
        }
        if small == before {
            return Ok(small);
        }
    }
}

/// Sets a knob to its calm value; whether that changed it.
fn calm(knobs: &mut Knobs, name: &str) -> bool {
    let mut default = Knobs::default();
    match (knobs.slot(name), default.slot(name)) {
        (Some(Slot::Count(mine)), Some(Slot::Count(calm))) => {
            std::mem::replace(mine, *calm) != *calm
        }
        (Some(Slot::Span(mine)), Some(Slot::Span(calm))) => std::mem::replace(mine, *calm) != *calm,
        _ => false,
    }
}

/// Takes a candidate that fails alike, maybe with another seed.
fn keep(small: &mut Plan, mut candidate: Plan, how: &str) -> bool {
    let seed = candidate.knobs.seed;
    for redraw in 0..=REDRAWS {
        candidate.knobs.seed = if redraw == 0 { seed } else { redraw };
        if failure(&candidate).as_deref() == Some(how) {
            *small = candidate;
            return true;
        }
    }
    false
}
