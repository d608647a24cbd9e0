//! What happens in a run, as a text that a person reads: a scenario that somebody wrote, or what
//! the explorer drew from a seed and kept because it failed.
//!
//! ```text
//! # Why this story is told.
//! members 3
//! seed 17
//! at 2s cut leader from others
//! at 4s heal
//! reach leader-left
//! expect ok
//! ---
//! what happened, written by the simulator
//! ```
//!
//! A plan is whole: knobs that it does not name have their calm values, and a seed only feeds
//! what the knobs leave open. A seed alone means nothing after the next change of the simulator.

mod action;
mod knobs;
mod level;

pub use action::{Action, Target};
pub use knobs::{Knobs, Slot};
pub use level::Level;

use crate::seen::Place;
use std::fmt;
use std::time::Duration;

/// A run, before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Why it is told: the comment lines at the top, without their marks.
    pub why: Vec<String>,
    /// What runs: pure cores, or whole servers.
    pub level: Level,
    /// How the world is.
    pub knobs: Knobs,
    /// What is done to it, by time.
    pub actions: Vec<(Duration, Action)>,
    /// Where it must have been: else it does not tell what it is told for.
    pub reach: Vec<Place>,
    /// How it must end.
    pub expect: Expect,
}

/// How a run must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No oracle objects.
    Ok,
    /// This one does: the simulator is shown to see it.
    Broken(String),
}

/// What a plan's text cannot mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclear {
    /// In which line, from one.
    pub line: usize,
    /// What about it.
    pub why: String,
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl Plan {
    /// A plan in which nothing is done.
    #[must_use]
    pub fn calm(knobs: Knobs) -> Plan {
        let (why, actions, reach) = (Vec::new(), Vec::new(), Vec::new());
        Plan { why, level: Level::Core, knobs, actions, reach, expect: Expect::Ok }
    }

    /// Reads a plan, and what stands behind its line of dashes.
    ///
    /// # Errors
    ///
    /// Names the first line that means nothing.
    pub fn parse(text: &str) -> Result<(Plan, String), Unclear> {
        let (told, happened) = text.split_once("\n---\n").unwrap_or((text, ""));
        let mut plan = Plan::calm(Knobs::default());
        for (at, line) in told.lines().enumerate() {
            let unclear = |why| Unclear { line: at + 1, why };
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                plan.why.push(comment.trim().to_owned());
            } else if !line.is_empty() {
                plan.take(line).map_err(unclear)?;
            }
        }
        plan.actions.sort_by_key(|(at, _)| *at);
        let whole = plan.knobs.check().and_then(|()| plan.level.check(&plan));
        whole.map_err(|why| Unclear { line: 0, why })?;
        Ok((plan, happened.to_owned()))
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["at", at, action @ ..] => {
                self.actions.push((span(at)?, Action::parse(action)?));
            }
            ["level", name] => self.level = Level::named(name)?,
            ["reach", name] => {
                let place = Place::named(name);
                self.reach.push(place.ok_or_else(|| format!("{name:?} is no place"))?);
            }
            ["expect", "ok"] => self.expect = Expect::Ok,
            ["expect", "broken", oracle] => self.expect = Expect::Broken((*oracle).to_owned()),
            [knob, value] => self.knobs.set(knob, value)?,
            _ => return Err(format!("{line:?} is no knob, no action and no expectation")),
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.why {
            writeln!(f, "# {line}")?;
        }
        write!(f, "{}{}", self.level, self.knobs)?;
        for (at, action) in &self.actions {
            writeln!(f, "at {} {action}", Span(*at))?;
        }
        for place in &self.reach {
            writeln!(f, "reach {place}")?;
        }
        match &self.expect {
            Expect::Ok => writeln!(f, "expect ok"),
            Expect::Broken(oracle) => writeln!(f, "expect broken {oracle}"),
        }
    }
}

/// A span of time as plans write it: the largest unit that says it in whole numbers.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match micros {
            0 => write!(f, "0s"),
            _ if micros.is_multiple_of(1_000_000) => write!(f, "{}s", micros / 1_000_000),
            _ if micros.is_multiple_of(1000) => write!(f, "{}ms", micros / 1000),
            _ => write!(f, "{micros}us"),
        }
    }
}

/// Reads a span of time.
fn span(text: &str) -> Result<Duration, String> {
    let no_span = || format!("{text:?} is no span of time: 3s, 20ms and 150us are");
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(no_span)?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| no_span())?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "us" => Ok(Duration::from_micros(number)),
        _ => Err(no_span()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Why.\nmembers 5\ndelay 1500us\nat 2s cut leader from others\n\
                        at 2500ms pause n2 3s\nreach log-cut\nexpect broken durable\n";

    #[test]
    fn a_plan_is_printed_as_it_was_read() {
        let (plan, happened) = Plan::parse(&format!("{TEXT}---\nthis\n")).expect("it is clear");
        assert_eq!(happened, "this\n");
        assert_eq!(plan.knobs.members, 5);
        let (again, _) = Plan::parse(&plan.to_string()).expect("it is clear");
        assert_eq!(again, plan);
        assert!(plan.to_string().contains("at 2500ms pause n2 3s\n"));
    }

    #[test]
    fn what_means_nothing_is_named_by_its_line() {
        for (text, line) in [
            ("members 3\nat 2s dance n1\n", 2),
            ("members three\n", 1),
            ("delay 7\n", 1),
            ("\n\nat x heal\n", 3),
            ("at 1s kill n0\n", 1),
            ("whatever 3\n", 1),
            ("reach nowhere\n", 1),
            ("members 0\n", 0),
            ("level sky\n", 1),
            ("level world\ndrop 5\n", 0),
            ("level world\nat 1s pause n1 1s\n", 0),
        ] {
            assert_eq!(Plan::parse(text).expect_err(text).line, line, "{text}");
        }
    }
}
