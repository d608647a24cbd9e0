//! What a log says.

use super::frame::{self, End};
use super::{Damage, Record, parse_name};
use crate::convert::decode_change;
use bytes::Bytes;
use keel_core::entry::EntryKind;
use keel_core::members::minor;
use keel_core::raft::Config;
use keel_core::{HardState, Index, NodeId, RawEntry, Term};
use prost::Message;

/// What of an entry asks for a version, and nothing else of it.
#[derive(Clone, PartialEq, Message)]
struct DowngradeTest {
    #[prost(message, optional, tag = "9900")]
    test: Option<DowngradeTo>,
}

/// `DowngradeVersionTestRequest`.
#[derive(Clone, PartialEq, Message)]
struct DowngradeTo {
    #[prost(string, tag = "1")]
    version: String,
}

/// A point from which on a member can go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry before it.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// Who voted and learned then; the log's beginning has none.
    pub config: Option<Config>,
}

/// A log whose checksums all hold, as its records.
#[derive(Clone, Debug, Default)]
pub struct Wal {
    /// Each with the number of its file in `files` and its offset there.
    pub records: Vec<(usize, u64, Record)>,
    /// The files' names, in order.
    pub files: Vec<String>,
    /// Where in the last file a write was cut short by a crash.
    pub torn: Option<u64>,
}

impl Wal {
    /// Reads the files of a log, by name; others among them are passed over, as etcd does.
    ///
    /// # Errors
    /// Where a record is not what was written, or a file is missing.
    pub fn read(files: impl IntoIterator<Item = (String, Bytes)>) -> Result<Wal, Damage> {
        let named =
            files.into_iter().filter_map(|(name, bytes)| Some((parse_name(&name)?, name, bytes)));
        let mut files: Vec<_> = named.collect();
        files.sort();
        let mut wal = Wal::default();
        let mut before = None;
        let mut crc = 0;
        let count = files.len();
        for (number, ((sequence, _), name, bytes)) in files.into_iter().enumerate() {
            if before.is_some_and(|before| before + 1 != sequence) {
                let why = "the file before it is missing";
                return Err(Damage { file: name, at: 0, why });
            }
            before = Some(sequence);
            wal.files.push(name);
            crc = wal.read_file(number, &bytes, crc, number + 1 == count)?;
        }
        Ok(wal)
    }

    fn read_file(
        &mut self,
        number: usize,
        bytes: &Bytes,
        mut crc: u32,
        last: bool,
    ) -> Result<u32, Damage> {
        let mut at = 0;
        loop {
            match frame::read(bytes, at, crc) {
                Ok((record, next_crc, next)) => {
                    self.records.push((number, at as u64, record));
                    (crc, at) = (next_crc, next);
                }
                Err(End::Clean) => return Ok(crc),
                Err(End::Torn) if last => {
                    self.torn = Some(at as u64);
                    return Ok(crc);
                }
                Err(End::Torn) => {
                    return Err(self.damage(number, at as u64, "a record is cut short"));
                }
                Err(End::Bad(why)) => return Err(self.damage(number, at as u64, why)),
            }
        }
    }

    fn damage(&self, file: usize, at: u64, why: &'static str) -> Damage {
        Damage { file: self.files[file].clone(), at, why }
    }

    /// Whose log it is: cluster and member.
    #[must_use]
    pub fn owner(&self) -> Option<(u64, NodeId)> {
        self.records.iter().find_map(|(_, _, record)| match record {
            Record::Metadata { node, cluster } => Some((*cluster, NodeId(*node))),
            _ => None,
        })
    }

    /// The newest hard state.
    #[must_use]
    pub fn hard(&self) -> HardState {
        let newest = self.records.iter().rev().find_map(|(_, _, record)| match record {
            Record::State(hard) => Some(*hard),
            _ => None,
        });
        newest.unwrap_or_default()
    }

    /// The points to go on from whose entries are known to be committed.
    pub fn snapshots(&self) -> impl DoubleEndedIterator<Item = &Snapshot> {
        let commit = self.hard().commit;
        self.records.iter().filter_map(move |(_, _, record)| match record {
            Record::Snapshot(snapshot) if snapshot.index <= commit => Some(snapshot),
            _ => None,
        })
    }

    /// The entries behind an index, without a gap.
    ///
    /// # Errors
    /// Where entries right behind it are missing.
    pub fn entries_after(&self, start: Index) -> Result<Vec<RawEntry>, Damage> {
        let mut entries: Vec<RawEntry> = Vec::new();
        for (file, at, record) in &self.records {
            let Record::Entry(entry) = record else { continue };
            if entry.index <= start {
                // One with such an index voids whatever stood behind it.
                entries.clear();
                continue;
            }
            let place = usize::try_from(entry.index.0 - start.0 - 1).unwrap_or(usize::MAX);
            if place > entries.len() {
                return Err(self.damage(*file, *at, "entries before this one are missing"));
            }
            entries.truncate(place);
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    /// The oldest index that entries follow without a gap up to the log's end.
    #[must_use]
    pub fn base(&self) -> Index {
        let (mut base, mut last) = (Index(0), Index(0));
        for (_, _, record) in &self.records {
            if let Record::Entry(entry) = record {
                if entry.index > last.next() || entry.index <= base {
                    base = entry.index.prev();
                }
                last = entry.index;
            }
        }
        base
    }

    /// The oldest version of etcd that can read the entries behind an index, if any asks for one
    /// above 3.5: only the test of downgrades does (field 9900 of `InternalRaftRequest`).
    #[must_use]
    pub fn minimal_version(entries: &[RawEntry]) -> Option<(u64, u64)> {
        let normal = entries.iter().filter(|entry| entry.kind == EntryKind::Normal);
        let asked =
            normal.filter_map(|entry| DowngradeTest::decode(entry.bytes.clone()).ok()?.test);
        asked.filter_map(|test| minor(&test.version)).max().map(|asked| asked.max((3, 6)))
    }

    /// Who votes and learns as of an entry that is known to be committed: as of the newest
    /// snapshot before it, and after the changes between both.
    ///
    /// # Errors
    /// Where those entries are missing, or a change cannot be read.
    pub fn config_at(&self, index: Index) -> Result<Config, Damage> {
        let before = self.snapshots().filter(|snapshot| snapshot.index <= index);
        let from = before.max_by_key(|snapshot| snapshot.index).cloned().unwrap_or_default();
        let mut config = from.config.unwrap_or_default();
        for entry in self.entries_after(from.index)? {
            if entry.index > index || entry.kind == EntryKind::Normal {
                continue;
            }
            let v2 = entry.kind == EntryKind::ChangeV2;
            let change = decode_change(&entry.bytes, v2).map_err(|_| Damage {
                file: self.files.last().cloned().unwrap_or_default(),
                at: 0,
                why: "a change of the membership cannot be read",
            })?;
            config = config.after(&change);
        }
        Ok(config)
    }
}
