//! How what a checkpoint knows besides the key space stands in a file.
//!
//! Numbers are little-endian and of fixed width, strings and lists carry their length before
//! them. Each encoding begins with its version. What was written once is read for ever: the
//! bytes of every version stand in `tests/state_codec.rs`.

use crate::command::AlarmKind;
use crate::members::{Cluster, Member};
use crate::raft::Config;
use crate::state::LeaseRecord;
use crate::types::{LeaseId, NodeId};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// The version in front of each encoding.
const VERSION: u8 = 1;

/// The version of the membership's encoding: since the second it names who was removed, since
/// the third where the cluster goes back to.
const CLUSTER_VERSION: u8 = 3;

/// Bytes that a lease takes.
const LEASE_BYTES: usize = 24;

/// Bytes that an alarm takes.
const ALARM_BYTES: usize = 9;

/// Takes numbers and strings off the front of bytes from outside. `None` is "they end too soon".
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(front)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (front, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*front)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (front, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*front))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (front, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*front))
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        let (front, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(i64::from_le_bytes(*front))
    }

    /// A number of things to come, each at least `least` bytes: refused when they cannot fit.
    fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(least)? <= self.rest.len()).then_some(count)
    }

    fn string(&mut self) -> Option<String> {
        let len = self.count(1)?;
        core::str::from_utf8(self.take(len)?).ok().map(String::from)
    }

    fn strings(&mut self) -> Option<Vec<String>> {
        let count = self.count(4)?;
        (0..count).map(|_| self.string()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("lists of leases, alarms and members fit 32 bits");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, string: &str) {
    put_count(out, string.len());
    out.extend_from_slice(string.as_bytes());
}

fn put_strings(out: &mut Vec<u8>, strings: &[String]) {
    put_count(out, strings.len());
    for string in strings {
        put_string(out, string);
    }
}

/// The leases: version, count, then id, time to live and remaining time of each.
#[must_use]
pub fn encode_leases(leases: &[LeaseRecord]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + leases.len() * LEASE_BYTES);
    out.push(VERSION);
    put_count(&mut out, leases.len());
    for lease in leases {
        out.extend_from_slice(&lease.lease.0.to_le_bytes());
        out.extend_from_slice(&lease.ttl.to_le_bytes());
        out.extend_from_slice(&lease.remaining.to_le_bytes());
    }
    out
}

/// What [`encode_leases`] wrote; `None` for anything else.
#[must_use]
pub fn decode_leases(bytes: &[u8]) -> Option<Vec<LeaseRecord>> {
    let mut reader = versioned(bytes)?;
    let count = reader.count(LEASE_BYTES)?;
    let mut leases = Vec::with_capacity(count);
    for _ in 0..count {
        let lease = LeaseId(reader.i64()?);
        leases.push(LeaseRecord { lease, ttl: reader.i64()?, remaining: reader.i64()? });
    }
    reader.is_empty().then_some(leases)
}

/// The alarms: version, count, then member and kind (etcd's `AlarmType`) of each.
#[must_use]
pub fn encode_alarms(alarms: &[(NodeId, AlarmKind)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + alarms.len() * ALARM_BYTES);
    out.push(VERSION);
    put_count(&mut out, alarms.len());
    for (member, kind) in alarms {
        out.extend_from_slice(&member.0.to_le_bytes());
        out.push(match kind {
            AlarmKind::NoSpace => 1,
            AlarmKind::Corrupt => 2,
        });
    }
    out
}

/// What [`encode_alarms`] wrote; `None` for anything else.
#[must_use]
pub fn decode_alarms(bytes: &[u8]) -> Option<Vec<(NodeId, AlarmKind)>> {
    let mut reader = versioned(bytes)?;
    let count = reader.count(ALARM_BYTES)?;
    let mut alarms = Vec::with_capacity(count);
    for _ in 0..count {
        let member = NodeId(reader.u64()?);
        let kind = match reader.u8()? {
            1 => AlarmKind::NoSpace,
            2 => AlarmKind::Corrupt,
            _ => return None,
        };
        alarms.push((member, kind));
    }
    reader.is_empty().then_some(alarms)
}

/// The membership: version, cluster id, cluster version, count, then each member by id, count,
/// then the id of each member that was removed, then the downgrade's target, if there ever was one.
#[must_use]
pub fn encode_cluster(cluster: &Cluster) -> Vec<u8> {
    let mut out = Vec::new();
    out.push(CLUSTER_VERSION);
    out.extend_from_slice(&cluster.id.to_le_bytes());
    put_string(&mut out, &cluster.version);
    put_count(&mut out, cluster.members.len());
    for (id, member) in &cluster.members {
        out.extend_from_slice(&id.0.to_le_bytes());
        out.push(u8::from(member.learner));
        put_string(&mut out, &member.name);
        put_strings(&mut out, &member.peer_urls);
        put_strings(&mut out, &member.client_urls);
    }
    put_count(&mut out, cluster.removed.len());
    for id in &cluster.removed {
        out.extend_from_slice(&id.0.to_le_bytes());
    }
    put_count(&mut out, usize::from(cluster.downgrade.is_some()));
    if let Some(target) = &cluster.downgrade {
        put_string(&mut out, target);
    }
    out
}

/// What [`encode_cluster`] wrote; `None` for anything else.
#[must_use]
pub fn decode_cluster(bytes: &[u8]) -> Option<Cluster> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8().filter(|version| matches!(version, 1..=CLUSTER_VERSION))?;
    let id = reader.u64()?;
    let mut cluster = Cluster { id, version: reader.string()?, ..Cluster::default() };
    for _ in 0..reader.count(21)? {
        let id = NodeId(reader.u64()?);
        let learner = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let name = reader.string()?;
        let peer_urls = reader.strings()?;
        let client_urls = reader.strings()?;
        cluster.members.insert(id, Member { name, peer_urls, client_urls, learner });
    }
    if version > 1 {
        for _ in 0..reader.count(8)? {
            cluster.removed.insert(NodeId(reader.u64()?));
        }
    }
    if version > 2 {
        cluster.downgrade = match reader.count(4)? {
            0 => None,
            1 => Some(reader.string()?),
            _ => return None,
        };
    }
    reader.is_empty().then_some(cluster)
}

/// Who votes and who learns: version, whether a joint change leaves by itself, then the voters,
/// the outgoing voters, the learners and the learners to come, each as a list of ids.
#[must_use]
pub fn encode_config(config: &Config) -> Vec<u8> {
    let Config { voters, outgoing, learners, learners_next, auto_leave } = config;
    let mut out = Vec::new();
    out.push(VERSION);
    out.push(u8::from(*auto_leave));
    for ids in [voters, outgoing, learners, learners_next] {
        put_count(&mut out, ids.len());
        for id in ids {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
    }
    out
}

/// What [`encode_config`] wrote; `None` for anything else.
#[must_use]
pub fn decode_config(bytes: &[u8]) -> Option<Config> {
    let mut reader = versioned(bytes)?;
    let auto_leave = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut ids = || -> Option<BTreeSet<NodeId>> {
        let count = reader.count(8)?;
        (0..count).map(|_| reader.u64().map(NodeId)).collect()
    };
    let (voters, outgoing, learners, learners_next) = (ids()?, ids()?, ids()?, ids()?);
    reader.is_empty().then_some(Config { voters, outgoing, learners, learners_next, auto_leave })
}

fn versioned(bytes: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(bytes);
    (reader.u8()? == VERSION).then_some(reader)
}
