//! What the core reports, as the lines that operators and their scripts know from etcd.
//!
//! The one file of a body that speaks of terms, leases and revisions: to print them.

use super::Time;
use super::config::Level;
use super::journal::{Journal, go_duration};
use crate::Metrics;
use keel_core::command::AlarmKind;
use keel_core::note::Work;
use keel_core::{Instant, NodeId, Note, Status, Term};
use serde_json::Value;
use std::time::Duration;

/// A group commit that takes longer is worth a warning, as in etcd.
const SLOW_SYNC: Duration = Duration::from_secs(1);

/// Turns notes into lines. It remembers what etcd's wording needs to know from before.
#[derive(Debug)]
pub struct Notes {
    journal: Journal,
    metrics: Metrics,
    member: NodeId,
    leader: NodeId,
    term: Term,
    /// Whether a pre-vote came before: then the election was announced with it.
    asked: bool,
    /// What was refused last.
    refused: Option<(NodeId, String)>,
    /// When the running compaction was accepted.
    compacting: Option<Instant>,
    /// From when on a step that applies is worth a warning.
    slow_apply: Duration,
}

impl Notes {
    /// Notes of one member.
    pub fn new(journal: Journal, metrics: Metrics, member: NodeId) -> Notes {
        Notes {
            journal,
            metrics,
            member,
            leader: NodeId::NONE,
            term: Term(0),
            asked: false,
            refused: None,
            compacting: None,
            slow_apply: Duration::MAX,
        }
    }

    /// The same, with a warning where applying takes longer.
    #[must_use]
    pub fn warning_from(self, slow_apply: Duration) -> Notes {
        Notes { slow_apply, ..self }
    }

    /// Changes were applied; the step that did it took this long in all.
    pub fn applied(&self, work: Work, took: Duration) {
        if work.total() == 0 {
            return;
        }
        self.metrics.applied(work, took);
        if took > self.slow_apply {
            self.metrics.slow_apply();
            let fields = [
                ("took", go_duration(took).into()),
                ("expected-duration", go_duration(self.slow_apply).into()),
                ("prefix", "".into()),
                ("request", format!("{} changes together", work.total()).into()),
                ("response", "".into()),
            ];
            self.journal.warn("apply request took too long", &fields);
        }
    }

    /// What a peer sent was not taken. The peer tries again at once, so the same reason is worth a
    /// line only once.
    pub fn refused(&mut self, peer: NodeId, why: String) {
        if self.refused.as_ref() != Some(&(peer, why.clone())) {
            let fields =
                [("remote-peer-id", peer.to_string().into()), ("reason", why.as_str().into())];
            self.journal.warn("refused what a peer sent", &fields);
            self.refused = Some((peer, why));
        }
    }

    /// A peer does not let this member hear what it says.
    pub fn refused_by(&self, peer: NodeId, why: &str) {
        let fields = [("remote-peer-id", peer.to_string().into()), ("reason", why.into())];
        let message = "a peer refuses this member; --initial-cluster and --initial-cluster-token \
                       must be the same on all members";
        self.journal.warn(message, &fields);
    }

    /// A peer says that the cluster has removed this member.
    pub fn expelled(&mut self) {
        self.journal.error(
            "the member has been permanently removed from the cluster; start a new one with an \
             empty data directory",
            &[("local-member-id", self.id())],
        );
    }

    /// The node stands like this now: another leader is worth a line.
    pub fn stand(&mut self, status: Status) {
        self.leader_changed(status.leader, status.term);
    }

    /// A group commit took this long, from the driver and back to it.
    pub fn synced(&mut self, took: Duration) {
        self.metrics.fsync(took.as_secs_f64());
        if took > SLOW_SYNC {
            let expected = ("expected-duration", go_duration(SLOW_SYNC).into());
            self.journal.warn("slow fdatasync", &[("took", go_duration(took).into()), expected]);
        }
    }

    /// A piece of the state took this long.
    pub fn stored(&mut self, took: Duration) {
        self.metrics.backend_commit(took.as_secs_f64());
    }

    /// Writes the lines of a note, if it is worth any.
    pub fn note(&mut self, time: &impl Time, note: &Note) {
        match *note {
            Note::BecameFollower { term, leader: _ } => {
                (self.term, self.asked) = (term, false);
                self.raft(format_args!("became follower at term {}", term.0));
            }
            Note::BecamePreCandidate { term } => {
                (self.term, self.asked) = (term, true);
                self.raft(format_args!("is starting a new election at term {}", term.0));
                self.raft(format_args!("became pre-candidate at term {}", term.0));
            }
            Note::BecameCandidate { term } => {
                if !self.asked {
                    let before = term.0.saturating_sub(1);
                    self.raft(format_args!("is starting a new election at term {before}"));
                }
                self.term = term;
                self.raft(format_args!("became candidate at term {}", term.0));
            }
            Note::BecameLeader { term } => {
                (self.term, self.asked) = (term, false);
                self.raft(format_args!("became leader at term {}", term.0));
            }
            Note::LeaderChanged { leader, term } => self.leader_changed(leader, term),
            Note::ProposalDropped => {
                self.raft(format_args!("no leader at term {}; dropping proposal", self.term.0));
            }
            Note::PeerRefused { peer, why } => {
                let fields = [("remote-peer-id", peer.to_string().into()), ("reason", why.into())];
                self.journal.warn("refused a message of a peer", &fields);
            }
            Note::AlarmRaised { member, kind } => self.alarm("alarm raised", member, kind),
            Note::AlarmDisarmed { member, kind } => self.alarm("alarm disarmed", member, kind),
            Note::LeaseExpired { lease } => {
                self.metrics.lease_expired();
                let lease = Value::from(format!("{:016x}", lease.0));
                self.journal.debug("lease expired", &[("lease-id", lease)]);
            }
            Note::CompactionScheduled { revision } => {
                self.compacting.get_or_insert(time.now());
                self.journal
                    .debug("scheduled compaction", &[("compact-revision", revision.into())]);
            }
            Note::CompactionFinished { revision, hash } => self.compacted(time, revision, hash),
            Note::CheckpointStarted { index } => {
                let fields = [
                    ("local-member-id", self.id()),
                    ("local-member-applied-index", index.0.into()),
                ];
                self.journal.info("triggering snapshot", &fields);
            }
            Note::CheckpointFinished { index } => {
                self.journal.info("saved snapshot to disk", &[("snapshot-index", index.0.into())]);
            }
            Note::Published => {
                let fields = [("local-member-id", self.id())];
                self.journal.info("published local member to cluster through raft", &fields);
            }
            Note::StateInstalled { from, index } => {
                let fields = [
                    ("local-member-id", self.id()),
                    ("remote-peer-id", from.to_string().into()),
                    ("incoming-snapshot-index", index.0.into()),
                ];
                self.journal.info("applied snapshot", &fields);
            }
            Note::DiskStalls { heir } => {
                let fields =
                    [("local-member-id", self.id()), ("transferee", heir.to_string().into())];
                self.journal.warn("the disk is too slow to lead; handing over", &fields);
            }
            Note::RemovedSelf => {
                let fields = [("local-member-id", self.id())];
                self.journal.warn("this member was removed from the cluster; stopping", &fields);
            }
            Note::ClusterVersion { ref version } => {
                let version = ("cluster-version", version.as_str().into());
                self.journal.info("cluster version is updated", &[version]);
            }
            Note::Downgrade { ref target } => match target.as_str() {
                "" => self.journal.info("the cluster has been downgraded", &[]),
                target => {
                    let fields = [("target-version", target.into())];
                    self.journal.warn("The server is ready to downgrade", &fields);
                }
            },
            // Too frequent for lines: they are read off the status.
            Note::Committed { .. } | Note::Applied { .. } => {}
        }
    }

    fn leader_changed(&mut self, leader: NodeId, term: Term) {
        self.term = term;
        let (before, term) = (std::mem::replace(&mut self.leader, leader), term.0);
        if leader == before {
            return;
        }
        if leader != NodeId::NONE {
            self.metrics.leader_changed();
        }
        let me = self.member;
        let line = match (before, leader) {
            (NodeId::NONE, now) => format!("raft.node: {me} elected leader {now} at term {term}"),
            (before, NodeId::NONE) => {
                format!("raft.node: {me} lost leader {before} at term {term}")
            }
            (before, now) => {
                format!("raft.node: {me} changed leader from {before} to {now} at term {term}")
            }
        };
        self.journal.raft(Level::Info, &line);
    }

    fn compacted(&mut self, time: &impl Time, revision: i64, hash: u32) {
        let begun = self.compacting.take();
        let took = begun.map(|begun| time.now().since(begun));
        self.metrics.compacted(time.unix(), took.unwrap_or_default());
        let took = took.map(go_duration);
        let fields =
            [("compact-revision", revision.into()), ("took", took.into()), ("hash", hash.into())];
        self.journal.info("finished scheduled compaction", &fields);
    }

    fn alarm(&self, what: &str, member: NodeId, kind: AlarmKind) {
        let kind = match kind {
            AlarmKind::NoSpace => "NOSPACE",
            AlarmKind::Corrupt => "CORRUPT",
        };
        self.journal.warn(what, &[("alarm", kind.into()), ("from", member.to_string().into())]);
    }

    fn id(&self) -> Value {
        Value::from(self.member.to_string())
    }

    /// A line of the logger `raft`: each begins with the member's id.
    #[track_caller]
    fn raft(&self, what: std::fmt::Arguments<'_>) {
        self.journal.raft(Level::Info, &format!("{} {what}", self.member));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::config::LogFormat;
    use crate::body::host::Still;
    use keel_core::Index;

    #[test]
    fn an_election_reads_as_in_etcd() {
        let (journal, lines) = Journal::memory(Level::Info, LogFormat::Json, Still(Duration::ZERO));
        let me = NodeId(0x99bc_a5ff_d3b6_b513);
        let mut notes = Notes::new(journal, Metrics::new(), me);
        for note in [
            Note::BecameFollower { term: Term(1), leader: NodeId::NONE },
            Note::BecamePreCandidate { term: Term(1) },
            Note::BecameCandidate { term: Term(2) },
            Note::BecameLeader { term: Term(2) },
            Note::LeaderChanged { leader: me, term: Term(2) },
            Note::Committed { index: Index(3) },
            Note::LeaderChanged { leader: NodeId(0xb), term: Term(3) },
            Note::LeaderChanged { leader: NodeId::NONE, term: Term(3) },
            Note::BecameCandidate { term: Term(4) },
        ] {
            notes.note(&Still(Duration::ZERO), &note);
        }
        let bytes = lines.lock().expect("no test thread panics with it").clone();
        let messages: Vec<String> = String::from_utf8(bytes)
            .expect("lines are text")
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect(line)["msg"].clone())
            .map(|msg| msg.as_str().expect("a message is text").to_owned())
            .collect();
        let expected = [
            "99bca5ffd3b6b513 became follower at term 1",
            "99bca5ffd3b6b513 is starting a new election at term 1",
            "99bca5ffd3b6b513 became pre-candidate at term 1",
            "99bca5ffd3b6b513 became candidate at term 2",
            "99bca5ffd3b6b513 became leader at term 2",
            "raft.node: 99bca5ffd3b6b513 elected leader 99bca5ffd3b6b513 at term 2",
            "raft.node: 99bca5ffd3b6b513 changed leader from 99bca5ffd3b6b513 to b at term 3",
            "raft.node: 99bca5ffd3b6b513 lost leader b at term 3",
            "99bca5ffd3b6b513 is starting a new election at term 3",
            "99bca5ffd3b6b513 became candidate at term 4",
        ];
        assert_eq!(messages, expected);
    }

    #[test]
    fn only_a_slow_sync_is_worth_a_line() {
        let (journal, lines) = Journal::memory(Level::Warn, LogFormat::Json, Still(Duration::ZERO));
        let mut notes = Notes::new(journal, Metrics::new(), NodeId(1));
        notes.synced(SLOW_SYNC);
        assert!(lines.lock().expect("no test thread panics with it").is_empty());
        notes.synced(Duration::from_millis(1500));
        let bytes = lines.lock().expect("no test thread panics with it").clone();
        let line = String::from_utf8(bytes).expect("lines are text");
        assert!(
            line.contains(r#""msg":"slow fdatasync","took":"1.5s","expected-duration":"1s""#),
            "{line}"
        );
    }
}
