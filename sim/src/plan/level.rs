//! What a plan runs on, and what there is on it.

use super::{Action, Knobs, Plan, Slot};
use std::fmt;

/// What runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Pure cores on a message bus: fast.
    #[default]
    Core,
    /// Whole servers on simulated hosts.
    World,
}

/// Knobs that whole servers have not: they turn single messages of raft, or clocks.
const CORE_ONLY: [&str; 5] = ["drop", "duplicate", "straggle", "queue", "skew"];

impl Level {
    /// One by its name.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub fn named(name: &str) -> Result<Level, String> {
        match name {
            "core" => Ok(Level::Core),
            "world" => Ok(Level::World),
            _ => Err(format!("{name:?} is no level: core and world are")),
        }
    }

    /// A plan names only what there is on its level.
    pub(super) fn check(self, plan: &Plan) -> Result<(), String> {
        if self == Level::Core {
            return Ok(());
        }
        let (mut mine, mut calm) = (plan.knobs.clone(), Knobs::default());
        for name in CORE_ONLY {
            if let (Some(Slot::Count(mine)), Some(Slot::Count(calm))) =
                (mine.slot(name), calm.slot(name))
                && mine != calm
            {
                return Err(format!("the world has no {name}"));
            }
        }
        if plan.knobs.spare > 0 {
            return Err(String::from("nobody is added in the world"));
        }
        match plan.actions.iter().find(|(_, action)| !is_of_world(action)) {
            Some((_, action)) => Err(format!("nobody can {action} in the world")),
            None => Ok(()),
        }
    }
}

/// Whether whole servers on simulated hosts can be treated so.
fn is_of_world(action: &Action) -> bool {
    !matches!(
        action,
        Action::Pause(..)
            | Action::Doom(_)
            | Action::Spoil(_)
            | Action::Drift(..)
            | Action::Add(_)
            | Action::Teach(_)
            | Action::Promote(_)
            | Action::Remove(_)
    )
}

impl fmt::Display for Level {
    /// Only what is not the ordinary one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Level::Core => Ok(()),
            Level::World => writeln!(f, "level world"),
        }
    }
}
