//! Planted mistakes, hunted: each must break a rule in some seed, or stand here with the argument
//! why it breaks none. What hides from the storm shows a fault, a knob or an oracle that is
//! missing.

use crate::explore::explore;
use crate::plan::Level;
use keel_core::mutant::{Mutant, arm};
use std::fmt;

/// How a hunt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunt {
    /// Which mistake was made.
    pub mutant: Mutant,
    /// In how many seeds.
    pub tried: u64,
    /// The seed in which it was seen, and what was seen; nothing where it hid.
    pub caught: Option<(u64, String)>,
}

impl Hunt {
    /// What saw it: an oracle, or an assertion of the core.
    #[must_use]
    pub fn oracle(&self) -> Option<&str> {
        let (_, why) = self.caught.as_ref()?;
        let (oracle, _) = why.split_once(": ")?;
        Some(if oracle == "panic" { "assertion" } else { oracle })
    }
}

/// Makes a mistake in one seed after the other, until a rule breaks that holds without it. Only
/// one hunt at a time: the mistake is made in the whole process.
pub fn hunt(mutant: Mutant, seeds: impl IntoIterator<Item = u64>) -> Hunt {
    let mut tried = 0;
    for seed in seeds {
        tried += 1;
        arm(Some(mutant));
        let armed = explore(Level::Core, seed);
        arm(None);
        if let Some(why) = armed.failed
            && explore(Level::Core, seed).failed.is_none()
        {
            return Hunt { mutant, tried, caught: Some((seed, why)) };
        }
    }
    Hunt { mutant, tried, caught: None }
}

/// Why a mistake is none: nobody can tell from outside whether it was made.
#[must_use]
pub fn equivalent(mutant: Mutant) -> Option<&'static str> {
    match mutant {
        Mutant::RestoreLosesRevision => Some(
            "The newest record never dies: a compaction takes a tombstone only below its own \
             revision, and that is at most the newest one. So it has the store's revision.",
        ),
        Mutant::LastBatchUnsynced => Some(
            "Raft writes no commit index by itself, so every batch is synced, and the last one \
             of a segment before the next begins: the sync is for whoever writes one.",
        ),
        _ => None,
    }
}

/// What the walk lacks to find a mistake in a few thousand seeds: it is hunted only by name.
#[must_use]
pub fn awaits(mutant: Mutant) -> Option<&'static str> {
    match mutant {
        Mutant::OldVotesCount | Mutant::OldAcksCount => {
            Some("answers that come elections late, to a member that asks again")
        }
        Mutant::AcksWholeLog | Mutant::CommitsAheadOfAppend => {
            Some("a log that agrees with an append and differs behind it, hints or not")
        }
        Mutant::LeaderWithoutQuorum => {
            Some("a leader that is cut off for many elections, and an oracle that looks at it")
        }
        Mutant::DoubtfulLeaderRenews => {
            Some("a client that reaches a leader which wakes up and is still cut off")
        }
        Mutant::DetachForgotten => Some("keys that leave their leases"),
        Mutant::WatchStarves => Some("watchers that read slowly"),
        Mutant::ProgressAhead => Some("watchers that ask for progress"),
        Mutant::MiddleIsEnd => Some("damage to what was synced"),
        Mutant::StateSentOnce
        | Mutant::AdoptsOldChunks
        | Mutant::StateKeepsOldLog
        | Mutant::ForeignPastStays
        | Mutant::OldLineageStays => Some("crashes while a state from elsewhere settles"),
        _ => None,
    }
}

/// The mistakes with these names, or all; only those of the fast subset, if so.
///
/// # Errors
///
/// Where a name means none, or this build holds none at all.
pub fn choose(only: &[String], fast: bool) -> Result<Vec<Mutant>, String> {
    if !arm(None) {
        return Err(String::from("this build holds no mistakes: cargo sim mutants makes one"));
    }
    let named = |mutant: &Mutant, name: &str| format!("{mutant:?}").eq_ignore_ascii_case(name);
    let known = |name: &&String| !Mutant::ALL.iter().any(|mutant| named(mutant, name));
    if let Some(unknown) = only.iter().find(known) {
        return Err(format!("there is no mistake {unknown:?}"));
    }
    let mut chosen = if fast { FAST.to_vec() } else { Mutant::ALL.to_vec() };
    chosen.retain(|mutant| !only.is_empty() || awaits(*mutant).is_none());
    chosen.retain(|mutant| only.is_empty() || only.iter().any(|name| named(mutant, name)));
    Ok(chosen)
}

/// Those that a few seeds find, some of each kind.
pub const FAST: &[Mutant] = &[
    Mutant::Canary,
    Mutant::VotesTwice,
    Mutant::VoteForgotten,
    Mutant::VotesBeforeDurable,
    Mutant::AsksBeforeDurable,
    Mutant::PreVotesElect,
    Mutant::VoteOutlivesTerm,
    Mutant::NoFirstEntry,
    Mutant::AcksBeforeDurable,
    Mutant::AppliesUncommitted,
    Mutant::RefusalsIgnored,
    Mutant::ForwardsTwice,
    Mutant::ReadsBeforeApplied,
    Mutant::CheckpointBehind,
    Mutant::CheckpointAhead,
    Mutant::TicketsNeverExpire,
    Mutant::NeverExpires,
    Mutant::RevokeKeepsKeys,
    Mutant::RevokesInSilence,
    Mutant::AttachForgotten,
    Mutant::CompactionTakesLiving,
    Mutant::EventsTwice,
    Mutant::WatchSkipsFirst,
    Mutant::WatchForgetsPast,
    Mutant::FutureWatchHearsPast,
    Mutant::LogUnsynced,
    Mutant::TermUnsynced,
    Mutant::StateUnsynced,
];

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hunt { mutant, tried, .. } = self;
        let name = format!("{mutant:?}");
        match self.oracle() {
            Some(oracle) => write!(f, "{name:22} caught in {tried:6} seeds by {oracle:22}"),
            None => write!(f, "{name:22} HIDES  in {tried:6} seeds   {:22}", ""),
        }
    }
}
