//! Mistakes that are planted, to see whether the simulator finds each of them.
//!
//! ```text
//!   if mutant!(VotesTwice) || self.vote == NodeId::NONE { .. }      a site: one word in a line
//!   keel-sim mutants ─► arm(VotesTwice) ─► seeds, until an oracle or an assertion objects
//! ```
//!
//! Nothing of this ships. What decides is the profile, by `cfg(debug_assertions)`: where it is
//! off, as in every release build, `mutant!` is the word `false`, so that a site is the code
//! around it and no more. A cargo feature would be less safe: the simulator is a member of the
//! workspace like the server, cargo builds the core once for both with the features of both, and
//! `cargo build --release` would then plant into `etcd` what the simulator asked for. A `--cfg`
//! in `RUSTFLAGS` would be as safe, and would build every dependency a second time wherever the
//! tests run. So tests and the simulator have one build that holds all mistakes, asleep; at most
//! one is awake, and only the simulator wakes one. cli/tests/tidy.rs holds all this in place.

#[cfg(debug_assertions)]
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Whether this mistake is to be made. In what ships: never.
#[cfg(debug_assertions)]
macro_rules! mutant {
    ($($name:ident)|+) => {
        $($crate::mutant::is_armed($crate::mutant::Mutant::$name))||+
    };
}

#[cfg(not(debug_assertions))]
macro_rules! mutant {
    ($($name:ident)|+) => {
        false
    };
}

/// The one that is made, by its number from one; zero is none.
#[cfg(debug_assertions)]
static ARMED: AtomicU8 = AtomicU8::new(0);

#[cfg(debug_assertions)]
pub(crate) fn is_armed(mutant: Mutant) -> bool {
    ARMED.load(Relaxed) == mutant as u8 + 1
}

/// From here on this mistake is made in the whole process, or none. Whether this build holds any.
pub fn arm(mutant: Option<Mutant>) -> bool {
    #[cfg(debug_assertions)]
    ARMED.store(mutant.map_or(0, |mutant| mutant as u8 + 1), Relaxed);
    #[cfg(not(debug_assertions))]
    let _ = mutant;
    cfg!(debug_assertions)
}

macro_rules! mutants {
    ($($name:ident: $what:literal,)*) => {
        /// A mistake, by what it does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Mutant {
            $(#[doc = $what] $name,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &'static [Mutant] = &[$(Mutant::$name),*];

            /// What it does, in a sentence.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self {
                    $(Mutant::$name => $what,)*
                }
            }
        }
    };
}

mutants! {
    Canary: "Every ticket is answered twice: seen by the first seed, or the pipeline is broken.",

    // Raft: terms and votes.
    VotesTwice: "A vote is given although another candidate has it.",
    VotesForShorterLog: "A vote is given to a candidate whose log lacks entries.",
    VoteForgotten: "The vote is not part of what is saved.",
    VotesBeforeDurable: "The answer to a candidate leaves before the vote is on the disk.",
    AsksBeforeDurable: "A candidate asks for votes before its term is on the disk.",
    SpeaksInUndurableTerm: "What rests on the term alone leaves before the term is on the disk.",
    ElectedByHalf: "Half of the voters elect a leader.",
    OldVotesCount: "A vote of an older term counts in this one.",
    PreVotesElect: "Who would win takes itself for elected.",
    VoteOutlivesTerm: "A new term begins with the vote of the old one.",
    LeaderIgnoresTerms: "A leader that hears of a newer term goes on leading.",
    PreVoteRaisesTerms: "Who is asked what would be takes the candidate's term for its own.",
    LeaderWithoutQuorum: "A leader that hears of no majority goes on leading.",
    NoFirstEntry: "A leader appends nothing of its own when it is elected.",

    // Raft: the log.
    CommitsOldTerms: "An entry of an older term, alone in an append, is committed by its copies.",
    CommitsByHalf: "Half of the voters commit an entry.",
    CountsUndurable: "A leader counts, and applies, what is not on its own disk.",
    KeepsConflicts: "Entries that conflict with the leader's stay.",
    AppendsAnywhere: "The term before the entries of an append is not compared.",
    AcksWholeLog: "A follower acknowledges all that it has, whoever sent it.",
    AcksBeforeDurable: "An append is acknowledged before it is on the disk.",
    DuplicateOvertakes: "The answer to a duplicate does not wait for the write under way.",
    OldAcksCount: "An acknowledgement of an older term counts in this one.",
    CommitsAheadOfAppend: "A follower commits behind what the leader has compared.",
    CommitsAheadOfMatch: "A heartbeat commits behind what the follower is known to hold.",
    AppliesUncommitted: "What is on the disk is applied, committed or not.",
    RefusalsIgnored: "A leader that probes a log does not go back.",
    ProbesOnce: "A probe that was lost is not sent again.",
    StateSentOnce: "A state that did not arrive is not sent again.",
    ForwardsTwice: "A follower forwards what was proposed two times.",

    // Reads.
    ReadsUnconfirmed: "A leader answers reads without asking whether it still leads.",
    ReadsBeforeFirstCommit: "A leader answers reads before it has committed anything.",
    JoinsReadRound: "Who asks while a round is under way is answered with it.",
    ReadsBeforeApplied: "A read point is answered before it is applied.",
    ReadsAskedOnce: "A round of reads without an answer is not asked again.",

    // The node.
    CheckpointBehind: "A checkpoint names the entry before its last.",
    CheckpointAhead: "A checkpoint names an entry that it does not hold.",
    AcksStateAtOnce: "A state from elsewhere is acknowledged before it is on the disk.",
    AdoptsOldChunks: "Chunks of a state that was replaced are taken for the new one's.",
    TicketsNeverExpire: "A ticket that nobody answers stays open.",

    // Leases.
    FollowerRenews: "A member that does not lead promises to keep a lease alive.",
    DoubtfulLeaderRenews: "A leader that stood still renews leases without asking whether it leads.",
    OldLeaderExpires: "A deposed leader goes on counting, and revokes.",
    PromotionGivesNoTime: "A new leader gives leases an election's time, not their own.",
    RenewsInName: "A renewal is answered and not made.",
    NeverExpires: "No lease is ever due.",
    RevokeKeepsKeys: "A lease goes and its keys stay.",
    RevokesInSilence: "The keys of a lease go without a word to anybody.",
    RestoreForgetsKeys: "After a restart no key hangs on its lease.",
    CheckpointLosesLeases: "A checkpoint holds no leases.",
    AttachForgotten: "A put does not hang its key on the lease.",
    DetachForgotten: "A key that was put without a lease still goes with the old one.",

    // The store.
    CompactionTakesTombstone: "A compaction takes the tombstone at its own revision, too.",
    CompactionTakesLiving: "A compaction takes the version that a key has now.",
    RestoreLosesRevision: "A restored store begins at its last record's revision.",
    DeadLiveAgain: "A restored store has what had died in its chunks.",
    VersionsStandStill: "A key's version does not rise.",
    TxnAlwaysSucceeds: "A transaction's compares are not looked at.",
    EventsTwice: "The last change is told again with the next.",

    // Watches.
    WatchSkipsFirst: "A watch of the past begins one revision late.",
    WatchForgetsPast: "A watch of the past hears only of what comes.",
    FutureWatchHearsPast: "A watch of the future hears of what comes before it.",
    WatchStarves: "What a stream has no credit for is lost.",
    GapUnnoticed: "A batch behind a gap is taken for the next.",
    CompactedWatchGoesOn: "A watch that compaction overtook goes on behind it.",
    ProgressAhead: "A stream is told that it heard everything while it is behind.",

    // The log on disk.
    LogUnsynced: "A batch is not synced.",
    TermUnsynced: "A term or vote alone is not synced.",
    HeaderUnsynced: "A segment's header is not synced before its first batch.",
    LastBatchUnsynced: "A segment's last batch is not synced before the next segment.",
    CutUnwritten: "A cut of the log is not written.",
    BadRecordsCount: "A record's checksum is not looked at.",
    MiddleIsEnd: "A bad batch is the log's end, whatever lies behind it.",
    PageCacheTrusted: "A restart does not sync what it has read.",
    ReleasesTooMuch: "Segments go that no checkpoint makes void.",
    StateKeepsOldLog: "A state from elsewhere leaves the log's other entries in force.",
    ForeignPastStays: "Entries stay whose past a state from elsewhere has replaced.",

    // The state on disk.
    StateUnsynced: "A manifest is written before what it names is synced.",
    OneSlot: "Every manifest is written over the one before.",
    ThinnedChunkStays: "A chunk that was written anew stays as it was in the files.",
    OldLineageStays: "Chunks of a state that was replaced stay in force in the files.",
    HalfDeadIsDead: "A state file goes when half of it is dead.",
}
