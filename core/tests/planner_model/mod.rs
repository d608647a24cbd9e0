//! What a member must find again after a crash: every write it was told is durable, and nothing
//! that it never wrote.

#![allow(dead_code, reason = "each test file uses its part")]

use crate::planner_disk::{Dice, Disk, Keep, Runner, recover};
use bytes::Bytes;
use keel_core::command::Command;
use keel_core::disk::{Damage, Lane};
use keel_core::entry::{Entry, EntryKind, HardState, Payload, Proposal, RawEntry, Write};
use keel_core::members::{Cluster, Member};
use keel_core::planner::{Done, Options, Planner, Recovered};
use keel_core::raft::Config;
use keel_core::state::LeaseRecord;
use keel_core::state::codec::{encode_alarms, encode_cluster, encode_config, encode_leases};
use keel_core::state::image::{Image, ImageChunk};
use keel_core::types::{Index, LeaseId, Mark, NodeId, Term, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) fn options() -> Options {
    Options {
        cluster: 0xc1,
        node: NodeId(0xa1),
        segment_bytes: 8192,
        segments_kept: 2,
        checkpoints_kept: 1,
        state_bytes: 4096,
        piece_bytes: 1024,
        group_bytes: 1500,
    }
}

pub(crate) fn payload(seed: u64, len: usize) -> Bytes {
    let mut dice = Dice::new(seed);
    Bytes::from((0..len).map(|_| dice.roll() as u8).collect::<Vec<u8>>())
}

pub(crate) fn entry(term: u64, index: u64, bytes: Bytes) -> Entry {
    let ticket = Ticket(index);
    let command = Arc::new(Command::ClusterVersion(String::new()));
    let payload = match bytes.is_empty() {
        true => Payload::Empty,
        false => Payload::Command(Proposal { bytes, ticket, command }),
    };
    Entry { term: Term(term), index: Index(index), payload }
}

/// A log as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) hard: HardState,
    pub(crate) base: u64,
    pub(crate) entries: BTreeMap<u64, (u64, Bytes)>,
}

impl Log {
    pub(crate) fn last(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(&index, _)| index).max(self.base)
    }

    pub(crate) fn write(&mut self, write: &Write) {
        if let Some(hard) = write.hard {
            self.hard = hard;
        }
        let first = write.entries.first().map(|entry| entry.index.0);
        if let Some(cut) = write.cut_from.map(|index| index.0).into_iter().chain(first).min() {
            self.entries.split_off(&cut);
        }
        if let Some(first) = first.filter(|&first| first > self.last() + 1) {
            self.entries.clear();
            self.base = first - 1;
        }
        for entry in &write.entries {
            let bytes = Bytes::copy_from_slice(entry.payload.bytes());
            self.entries.insert(entry.index.0, (entry.term.0, bytes));
        }
    }
}

/// A member's life: what it wrote, what it was promised.
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) runner: Runner,
    /// The log after each write since the last start; the first is what the start found.
    pub(crate) logs: Vec<Log>,
    first_mark: u64,
    pub(crate) acked: usize,
    /// Checkpoints since the last start, by mark; the first is what the start found.
    pub(crate) images: BTreeMap<u64, Option<Image>>,
    pub(crate) stored: u64,
    /// Checkpoints before the last start.
    past: Vec<Option<Image>>,
    /// A checkpoint was staged inside the log that holds other entries.
    replaced: Option<u64>,
    next_mark: u64,
    pub(crate) chunks: BTreeMap<u64, ImageChunk>,
    pub(crate) next_chunk: u64,
    pub(crate) lineage: u64,
}

impl World {
    pub(crate) fn new(options: Options) -> World {
        let runner = Runner::new(Planner::create(options.clone()), Disk::default());
        World {
            options,
            runner,
            logs: vec![Log::default()],
            first_mark: 1,
            acked: 0,
            images: BTreeMap::from([(0, None)]),
            stored: 0,
            past: vec![None],
            replaced: None,
            next_mark: 1,
            chunks: BTreeMap::new(),
            next_chunk: 0,
            lineage: 0,
        }
    }

    pub(crate) fn log(&self) -> &Log {
        self.logs.last().expect("never empty")
    }

    pub(crate) fn persist(&mut self, write: Write) {
        let mut log = self.log().clone();
        let first = write.entries.first().map(|entry| entry.index.0);
        if let Some(index) = self.replaced.take_if(|index| first == Some(*index + 1)) {
            log.entries.clear();
            log.base = index;
        }
        log.write(&write);
        self.logs.push(log);
        let mark = self.first_mark + self.logs.len() as u64 - 2;
        self.runner.planner.persist(Mark(mark), write);
    }

    pub(crate) fn store(&mut self, index: u64, term: u64) {
        let own = self.log().entries.get(&index).map(|&(own, _)| own);
        self.replaced = own.filter(|&own| own != term).map(|_| index);
        let image = self.image(index, term);
        let mark = self.next_mark;
        self.next_mark += 1;
        self.images.insert(mark, Some(image.clone()));
        self.runner.planner.store_image(Mark(mark), image);
    }

    fn image(&self, index: u64, term: u64) -> Image {
        let seed = index * 31 + term;
        let member = Member { name: format!("m{index}"), ..Member::default() };
        let members = BTreeMap::from([(NodeId(0xa1), member)]);
        let cluster = Cluster { id: 0xc1, members, ..Cluster::default() };
        let voters = [NodeId(0xa1), NodeId(index % 4)].into();
        let config = Config { voters, ..Config::default() };
        let leases: Vec<LeaseRecord> = (0..index % 3)
            .map(|at| LeaseRecord { lease: LeaseId(at as i64 + 1), ttl: 60, remaining: 0 })
            .collect();
        Image {
            index: Index(index),
            term: Term(term),
            revision: index as i64 + 1,
            compacted: index as i64 / 2,
            lineage: self.lineage,
            chunks: self.chunks.values().cloned().collect(),
            tail: payload(seed, (seed % 90) as usize),
            leases: Bytes::from(encode_leases(&leases)),
            dead: Bytes::new(),
            alarms: Bytes::from(encode_alarms(&[])),
            cluster: Bytes::from(encode_cluster(&cluster)),
            config: Bytes::from(encode_config(&config)),
        }
    }

    pub(crate) fn heard(&mut self, done: &Done) {
        if let Some(mark) = done.persisted {
            let acked = (mark.0 - self.first_mark + 1) as usize;
            assert!(acked > self.acked && acked < self.logs.len(), "marks rise");
            self.acked = acked;
        }
        let Some((mark, placed)) = &done.stored else {
            return;
        };
        assert!(mark.0 >= self.stored, "marks rise");
        self.stored = mark.0;
        let image = self.images[&mark.0].as_ref().expect("stored after the start");
        for place in placed {
            let bytes = self.runner.disk.read(place.file);
            let chunk = image.chunks.iter().find(|chunk| chunk.number == place.number);
            let range = place.at as usize..(place.at + place.len) as usize;
            assert_eq!(bytes.slice(range), chunk.expect("of this checkpoint").bytes);
        }
    }

    pub(crate) fn step(&mut self, lane: Lane) -> bool {
        let Some(done) = self.runner.step(lane) else {
            return false;
        };
        self.heard(&done);
        true
    }

    pub(crate) fn settle(&mut self) {
        while self.step(Lane::Log) | self.step(Lane::Bulk) {}
    }

    /// What is read back must be one of the logs since the last promise, and one of the
    /// checkpoints.
    pub(crate) fn check(&self, recovered: &Recovered) -> Result<(), String> {
        self.check_since(recovered, false)
    }

    /// The same; `older` also takes a checkpoint before the last promised one.
    pub(crate) fn check_since(&self, recovered: &Recovered, older: bool) -> Result<(), String> {
        let image = recovered.checkpoint.as_ref();
        let (index, term) = image.map_or((0, 0), |image| (image.index.0, image.term.0));
        let since = if older { 0 } else { self.stored };
        let past = self.past.iter().filter(|_| older);
        let candidates = self.images.range(since..).map(|(_, image)| image).chain(past);
        let same = |candidate: &Option<Image>| match (candidate, image) {
            (None, None) => true,
            (Some(candidate), Some(image)) => {
                (candidate.index, candidate.term) == (image.index, image.term)
                    && (candidate.revision, candidate.compacted)
                        == (image.revision, image.compacted)
                    && candidate.chunks == image.chunks
                    && candidate.tail == image.tail
                    && candidate.leases == encode_leases(&image.leases)
                    && candidate.alarms == encode_alarms(&image.alarms)
                    && candidate.cluster == encode_cluster(&image.cluster)
                    && candidate.config == encode_config(&image.config)
            }
            _ => false,
        };
        if !candidates.into_iter().any(same) {
            return Err(format!("not a checkpoint since the last promise: {index}"));
        }
        let matches = |log: &Log| expected(log, index, term) == found(recovered);
        if !self.logs[self.acked..].iter().any(matches) {
            let found = outline(found(recovered));
            let promised = outline(expected(&self.logs[self.acked], index, term));
            return Err(format!("found {found:?}\nbut promised {promised:?}"));
        }
        Ok(())
    }

    /// Starts again on what the disk holds now.
    pub(crate) fn restart(&mut self) -> Result<(), Damage> {
        let (planner, recovered) = recover(&self.runner.disk, &self.options)?;
        if let Err(why) = self.check(&recovered) {
            panic!("{why}");
        }
        let disk = std::mem::take(&mut self.runner.disk);
        self.runner = Runner::new(planner, disk);
        self.resume(recovered);
        Ok(())
    }

    fn resume(&mut self, recovered: Recovered) {
        let mut log = Log { hard: recovered.hard, ..Log::default() };
        log.base = recovered.checkpoint.as_ref().map_or(0, |image| image.index.0);
        // What the checkpoint holds is committed: no log says otherwise.
        log.entries =
            self.log().entries.range(..=log.base).map(|(at, of)| (*at, of.clone())).collect();
        for entry in &recovered.entries {
            log.entries.insert(entry.index.0, (entry.term.0, entry.bytes.clone()));
        }
        self.logs = vec![log];
        self.acked = 0;
        self.lineage = 0;
        self.replaced = None;
        self.stored = 0;
        let image = recovered.checkpoint.map(|image| {
            self.chunks = image.chunks.iter().map(|chunk| (chunk.number, chunk.clone())).collect();
            Image {
                index: image.index,
                term: image.term,
                revision: image.revision,
                compacted: image.compacted,
                lineage: 0,
                tail: image.tail,
                leases: Bytes::from(encode_leases(&image.leases)),
                dead: Bytes::new(),
                alarms: Bytes::from(encode_alarms(&image.alarms)),
                cluster: Bytes::from(encode_cluster(&image.cluster)),
                config: Bytes::from(encode_config(&image.config)),
                chunks: image.chunks,
            }
        });
        if image.is_none() {
            self.chunks.clear();
        }
        self.past.extend(std::mem::take(&mut self.images).into_values());
        self.images = BTreeMap::from([(0, image)]);
        // What a fresh start writes before the node may begin.
        while let Some(done) = self.runner.step(Lane::Log) {
            assert_eq!(done, Done::default());
        }
    }

    pub(crate) fn crash(&mut self, keep: Keep, dice: &mut Dice) {
        self.runner.disk.crash(keep, dice);
    }
}

type Found = (u64, u64, Vec<(u64, u64, Bytes)>);

/// A log's votes and its entries behind a checkpoint. The commit index is a hint and not
/// compared.
fn expected(log: &Log, index: u64, term: u64) -> Found {
    let mut entries: Vec<_> = log
        .entries
        .range(index + 1..)
        .map(|(&index, (term, bytes))| (index, *term, bytes.clone()))
        .collect();
    let old = log.entries.get(&index).is_some_and(|&(at, _)| at != term);
    if old || entries.first().is_some_and(|&(first, at, _)| first != index + 1 || at < term) {
        entries.clear();
    }
    let hard = log.hard;
    let votes = if hard.term.0 < term { (term, 0) } else { (hard.term.0, hard.vote.0) };
    (votes.0, votes.1, entries)
}

fn found(recovered: &Recovered) -> Found {
    let entry = |entry: &RawEntry| {
        assert_eq!(entry.kind, EntryKind::Normal);
        (entry.index.0, entry.term.0, entry.bytes.clone())
    };
    let hard = recovered.hard;
    (hard.term.0, hard.vote.0, recovered.entries.iter().map(entry).collect())
}

/// The same with lengths in the place of bytes, to be read.
fn outline(found: Found) -> (u64, u64, Vec<(u64, u64, usize)>) {
    let entries = found.2.into_iter().map(|(index, term, bytes)| (index, term, bytes.len()));
    (found.0, found.1, entries.collect())
}
