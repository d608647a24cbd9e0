//! What members say to each other: etcd's `raftpb.Message`, one struct of facts a kind.

use super::members::Config;
use crate::entry::{Entry, Payload};
use crate::types::{Index, NodeId, Term};
use alloc::vec::Vec;
use bytes::Bytes;

/// One message. Its term is the sender's, but for a pre-vote, which carries the term that the
/// sender would campaign in, and for what is forwarded to a leader, which carries none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The term.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

crate::recording::code!(struct Message { term, body });

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Entries behind a position that the receiver must hold (`MsgApp`).
    Append {
        /// The position before the entries.
        prev: Index,
        /// Its term.
        prev_term: Term,
        /// The entries; none is a probe.
        entries: Vec<Entry>,
        /// What the leader knows to be committed.
        commit: Index,
    },
    /// The log is held up to `index` (`MsgAppResp`).
    AppendAck {
        /// The last position held, or the one refused.
        index: Index,
        /// Where the logs may agree, if the append was refused.
        reject: Option<Hint>,
    },
    /// A vote is asked for (`MsgVote`, `MsgPreVote`).
    Vote {
        /// Whether it only asks what would be.
        pre: bool,
        /// The candidate's last position.
        last: Index,
        /// Its term.
        last_term: Term,
        /// Whether the leader itself told the candidate to campaign.
        transfer: bool,
    },
    /// The answer to it (`MsgVoteResp`, `MsgPreVoteResp`).
    VoteReply {
        /// Which of the two.
        pre: bool,
        /// Whether the vote is refused.
        reject: bool,
    },
    /// The leader lives (`MsgHeartbeat`).
    Heartbeat {
        /// What is committed and held by the receiver.
        commit: Index,
        /// Given back in the answer.
        context: Bytes,
    },
    /// The answer to it (`MsgHeartbeatResp`).
    HeartbeatAck {
        /// As it came.
        context: Bytes,
    },
    /// The receiver is too far behind for the log (`MsgSnap`). The state itself travels beside.
    Snapshot {
        /// The last position that is in it.
        index: Index,
        /// Its term.
        term: Term,
        /// Who votes and learns as of it.
        config: Config,
    },
    /// Entries for the leader to append (`MsgProp`).
    Propose {
        /// What they say.
        payloads: Vec<Payload>,
    },
    /// A read point is asked for (`MsgReadIndex`).
    ReadIndex {
        /// Given back in the answer.
        context: Bytes,
    },
    /// The answer to it (`MsgReadIndexResp`).
    ReadReply {
        /// Applying up to here is enough.
        index: Index,
        /// As it came.
        context: Bytes,
    },
    /// Somebody wants another leader (`MsgTransferLeader`).
    Transfer {
        /// Whom.
        to: NodeId,
    },
    /// Campaign now (`MsgTimeoutNow`).
    TimeoutNow,
}

crate::recording::code!(enum Body {
    1 Append { prev, prev_term, entries, commit },
    2 AppendAck { index, reject },
    3 Vote { pre, last, last_term, transfer },
    4 VoteReply { pre, reject },
    5 Heartbeat { commit, context },
    6 HeartbeatAck { context },
    7 Snapshot { index, term, config },
    8 Propose { payloads },
    9 ReadIndex { context },
    10 ReadReply { index, context },
    11 Transfer { to },
    12 TimeoutNow,
});

/// Where a follower that refuses an append may agree with the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The last position that may agree.
    pub index: Index,
    /// The follower's term there.
    pub term: Term,
}

crate::recording::code!(struct Hint { index, term });
