//! Scenario files: a plan, and behind a line of dashes what happens in it, to the line. Whole servers
//! have no such lines: each change of a server moves the bytes that pass, and so every draw.

use crate::plan::{Expect, Level, Plan};
use crate::run;
use crate::seen::Places;

/// How a scenario's run compares with its file.
#[derive(Clone, Debug)]
pub struct Told {
    /// The file as it should be: the plan as it stands, and what happened.
    pub text: String,
    /// What is wrong: it ended otherwise than the plan expects, or happened otherwise.
    pub wrong: Option<String>,
    /// Where it has been.
    pub places: Places,
}

/// Runs a scenario's text.
///
/// # Errors
///
/// The text is no plan.
pub fn tell(text: &str) -> Result<Told, String> {
    let (plan, expected) = Plan::parse(text).map_err(|unclear| unclear.to_string())?;
    let verdict = run(&plan);
    let happened = match plan.level {
        Level::Core => verdict.story.join("\n") + "\n",
        Level::World => String::new(),
    };
    let ended = match (&plan.expect, verdict.broken) {
        (Expect::Ok, None) => None,
        (Expect::Broken(oracle), Some(broken)) if broken.oracle == oracle => None,
        (Expect::Ok, Some(broken)) => Some(broken.to_string()),
        (Expect::Broken(oracle), other) => Some(format!("{oracle} should object, not {other:?}")),
    };
    let differs = || (happened != expected).then(|| difference(&expected, &happened));
    let missed = plan.reach.iter().find(|place| verdict.places.times(**place) == 0);
    let missed = missed.map(|place| format!("it does not get to {place}"));
    let wrong = ended.or(missed).or_else(differs);
    let told = text.split_once("\n---\n").map_or(text.trim_end(), |(told, _)| told);
    let text = match plan.level {
        Level::Core => format!("{told}\n---\n{happened}"),
        Level::World => format!("{told}\n"),
    };
    Ok(Told { text, wrong, places: verdict.places })
}

/// The first line in which two tellings differ.
fn difference(expected: &str, happened: &str) -> String {
    let mut lines = expected.lines();
    for (at, line) in happened.lines().enumerate() {
        let other = lines.next();
        if other != Some(line) {
            let other = other.unwrap_or("nothing");
            return format!("line {} behind the dashes: {line:?}, expected {other:?}", at + 1);
        }
    }
    format!("{:?} is expected, and does not happen", lines.next().unwrap_or_default())
}
