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
    /// Every cut, hold and drag ends, and clients reach everybody again.
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
    /// Nothing passes between these and anybody, clients among them, until the end: the quiet
    /// phase does without them.
    Abandon(Target),
    /// What these send and get takes so many times as long.
    Drag(Target, u64),
    /// From now on their clocks run at so many thousandths of the right speed.
    Drift(Target, u64),
    /// The power fails while the disk is at its so many-th operation from now.
    Trip(Target, u64),
    /// A bit turns in what lies on the disk since long, and is found at the next start.
    Rot(Target),
    /// A bit turns, and nobody is told: what no member can make good by itself.
    Spoil(Target),
    /// Somebody copies their disks.
    Keep(Target),
    /// The process dies, and the copy is in the disk's place: what no member survives as the same.
    Revert(Target),
    /// The disk says that it has synced, and has not.
    Lie(Target),
    /// The cuts between these and those end, and no others.
    Mend(Target, Target),
    /// The leader is asked to let this one in, and it starts.
    Add(Target),
    /// The same, to learn and not to vote.
    Teach(Target),
    /// The leader is asked to let this one vote who learned.
    Promote(Target),
    /// The leader is asked to put this one out.
    Remove(Target),
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
    /// Whom it means first, if it means anybody.
    #[must_use]
    pub fn whom(&self) -> Option<Target> {
        match self {
            Action::Release | Action::Heal | Action::Compact | Action::Doom(_) => None,
            Action::Forget(these)
            | Action::Cut(these, _)
            | Action::Mute(these, _)
            | Action::Hold(these, _)
            | Action::Mend(these, _)
            | Action::Hide(these)
            | Action::Kill(these)
            | Action::PowerOff(these)
            | Action::Start(these)
            | Action::Pause(these, _)
            | Action::Slow(these, _)
            | Action::Break(these)
            | Action::Fill(these)
            | Action::Free(these)
            | Action::Transfer(these)
            | Action::Abandon(these)
            | Action::Drag(these, _)
            | Action::Drift(these, _)
            | Action::Trip(these, _)
            | Action::Rot(these)
            | Action::Spoil(these)
            | Action::Keep(these)
            | Action::Revert(these)
            | Action::Lie(these)
            | Action::Add(these)
            | Action::Teach(these)
            | Action::Promote(these)
            | Action::Remove(these) => Some(*these),
        }
    }

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
            ["abandon", these] => Action::Abandon(target(these)?),
            ["drag", these, times] => Action::Drag(target(these)?, number(times)?),
            ["drift", these, rate] => Action::Drift(target(these)?, rate_of(rate)?),
            ["trip", these, nth] => Action::Trip(target(these)?, number(nth)?),
            ["rot", these] => Action::Rot(target(these)?),
            ["spoil", these] => Action::Spoil(target(these)?),
            ["keep", these] => Action::Keep(target(these)?),
            ["revert", these] => Action::Revert(target(these)?),
            ["lie", these] => Action::Lie(target(these)?),
            ["mend", these, "and", those] => Action::Mend(target(these)?, target(those)?),
            ["add", this] => Action::Add(target(this)?),
            ["teach", this] => Action::Teach(target(this)?),
            ["promote", this] => Action::Promote(target(this)?),
            ["remove", this] => Action::Remove(target(this)?),
            _ => return Err(format!("{:?} is no action", words.join(" "))),
        })
    }
}

/// A number above zero.
fn number(word: &str) -> Result<u64, String> {
    let number = word.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{word:?} is no number above zero"))
}

/// How fast a clock runs. No clock that counts as one is further off.
fn rate_of(word: &str) -> Result<u64, String> {
    let rate = number(word)?;
    let near = (500..=1500).contains(&rate);
    near.then_some(rate).ok_or_else(|| format!("a clock runs at 500 to 1500, not at {rate}"))
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
            Action::Abandon(these) => write!(f, "abandon {these}"),
            Action::Drag(these, times) => write!(f, "drag {these} {times}"),
            Action::Drift(these, rate) => write!(f, "drift {these} {rate}"),
            Action::Trip(these, nth) => write!(f, "trip {these} {nth}"),
            Action::Rot(these) => write!(f, "rot {these}"),
            Action::Spoil(these) => write!(f, "spoil {these}"),
            Action::Keep(these) => write!(f, "keep {these}"),
            Action::Revert(these) => write!(f, "revert {these}"),
            Action::Lie(these) => write!(f, "lie {these}"),
            Action::Mend(these, those) => write!(f, "mend {these} and {those}"),
            Action::Add(this) => write!(f, "add {this}"),
            Action::Teach(this) => write!(f, "teach {this}"),
            Action::Promote(this) => write!(f, "promote {this}"),
            Action::Remove(this) => write!(f, "remove {this}"),
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
