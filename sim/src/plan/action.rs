//! What is done to a cluster, and to whom.

use super::{Span, span};
use std::fmt;
use std::time::Duration;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process dies and its disk is empty: what no member survives as the same one.
    Forget(Target),
    /// Nothing passes between these and those, either way.
    Cut(Target, Target),
    /// What these send does not reach those; the other way is open.
    Mute(Target, Target),
    /// What these and those send each other waits, and comes all at once at `release`.
    Hold(Target, Target),
    /// What was held comes.
    Release,
    /// Every cut and hold ends.
    Heal,
    /// Clients do not reach these any more.
    Hide(Target),
    /// The process dies; the page cache lives on.
    Kill(Target),
    /// The power fails: what was not durable may be anything.
    PowerOff(Target),
    /// The process starts, if it does not run.
    Start(Target),
    /// The process stands still for so long, and its timers with it.
    Pause(Target, Duration),
    /// The disk takes this much longer for each sync, from now on.
    Slow(Target, Duration),
    /// The disk's syncs fail from now on.
    Break(Target),
    /// No space is left on the disk.
    Fill(Target),
    /// There is space again.
    Free(Target),
    /// The leader is asked to hand over to this one.
    Transfer(Target),
    /// Whoever is elected next is not heard any more by the others, so long after that.
    Doom(Duration),
    /// A client compacts at the newest revision.
    Compact,
}

/// Whom an action means: found out when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The member that leads in the highest term, if one does.
    Leader,
    /// The first member that does not.
    Follower,
    /// All that do not.
    Others,
    /// Everybody.
    All,
    /// This one, from one.
    Member(usize),
}

impl Action {
    pub(super) fn parse(words: &[&str]) -> Result<Action, String> {
        Ok(match words {
            ["cut", these, "from", those] => Action::Cut(target(these)?, target(those)?),
            ["mute", these, "to", those] => Action::Mute(target(these)?, target(those)?),
            ["hold", these, "from", those] => Action::Hold(target(these)?, target(those)?),
            ["release"] => Action::Release,
            ["heal"] => Action::Heal,
            ["hide", these] => Action::Hide(target(these)?),
            ["kill", these] => Action::Kill(target(these)?),
            ["power-off", these] => Action::PowerOff(target(these)?),
            ["forget", these] => Action::Forget(target(these)?),
            ["start", these] => Action::Start(target(these)?),
            ["pause", these, long] => Action::Pause(target(these)?, span(long)?),
            ["slow", these, long] => Action::Slow(target(these)?, span(long)?),
            ["break", these] => Action::Break(target(these)?),
            ["fill", these] => Action::Fill(target(these)?),
            ["free", these] => Action::Free(target(these)?),
            ["transfer", this] => Action::Transfer(target(this)?),
            ["doom", soon] => Action::Doom(span(soon)?),
            ["compact"] => Action::Compact,
            _ => return Err(format!("{:?} is no action", words.join(" "))),
        })
    }
}

fn target(word: &str) -> Result<Target, String> {
    let member = || word.strip_prefix('n')?.parse().ok().filter(|number| *number > 0);
    match word {
        "leader" => Ok(Target::Leader),
        "follower" => Ok(Target::Follower),
        "others" => Ok(Target::Others),
        "all" => Ok(Target::All),
        _ => member()
            .map(Target::Member)
            .ok_or_else(|| format!("{word:?} is nobody: leader, follower, others, all and n1 are")),
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Cut(these, those) => write!(f, "cut {these} from {those}"),
            Action::Mute(these, those) => write!(f, "mute {these} to {those}"),
            Action::Hold(these, those) => write!(f, "hold {these} from {those}"),
            Action::Release => write!(f, "release"),
            Action::Heal => write!(f, "heal"),
            Action::Hide(these) => write!(f, "hide {these}"),
            Action::Kill(these) => write!(f, "kill {these}"),
            Action::PowerOff(these) => write!(f, "power-off {these}"),
            Action::Forget(these) => write!(f, "forget {these}"),
            Action::Start(these) => write!(f, "start {these}"),
            Action::Pause(these, long) => write!(f, "pause {these} {}", Span(*long)),
            Action::Slow(these, long) => write!(f, "slow {these} {}", Span(*long)),
            Action::Break(these) => write!(f, "break {these}"),
            Action::Fill(these) => write!(f, "fill {these}"),
            Action::Free(these) => write!(f, "free {these}"),
            Action::Transfer(this) => write!(f, "transfer {this}"),
            Action::Doom(soon) => write!(f, "doom {}", Span(*soon)),
            Action::Compact => write!(f, "compact"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Leader => write!(f, "leader"),
            Target::Follower => write!(f, "follower"),
            Target::Others => write!(f, "others"),
            Target::All => write!(f, "all"),
            Target::Member(number) => write!(f, "n{number}"),
        }
    }
}
