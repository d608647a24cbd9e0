//! Reads the state files back: the image that the newest manifest names, or where it is damaged.

use super::codec::{decode_alarms, decode_cluster, decode_config, decode_leases};
use super::files::Files;
use super::frame::{Frame, Frames, Kind, VERSION};
use super::image::ImageChunk;
use super::ledger::Ledger;
use super::manifest::{Listed, MANIFEST_BYTES, Manifest, decode_list};
use super::{LeaseRecord, RestoredImage};
use crate::command::AlarmKind;
use crate::disk::{Damage, DiskOp, File};
use crate::limits::PAGE;
use crate::members::Cluster;
use crate::planner::Options;
use crate::types::{Index, NodeId, Term};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// What the manifest's file says.
#[derive(Debug)]
pub(crate) enum Slots {
    /// There is none, or nothing was ever written to it.
    Empty,
    /// The first slot ever written is bad: a crash, if the log still holds everything.
    Torn,
    /// One counts: the state that it names.
    Newest(Scan),
}

/// Reads the two slots.
pub(crate) fn read_manifest(bytes: &[u8]) -> Result<Slots, Damage> {
    let damage = |why| Damage { file: File::Manifest, at: 0, why };
    if (bytes.len() as u64) < MANIFEST_BYTES {
        return Err(damage("the manifest is too short"));
    }
    let (first, second) = bytes.split_at(PAGE);
    let good = [Manifest::decode(first), Manifest::decode(second)];
    if let Some(newest) = good.into_iter().flatten().max_by_key(|slot| slot.sequence) {
        return Ok(Slots::Newest(Scan { manifest: newest, fed: BTreeMap::new() }));
    }
    let blank = |slot: &[u8]| slot.iter().take(PAGE).all(|&byte| byte == 0);
    match (blank(first), blank(second)) {
        (true, true) => Ok(Slots::Empty),
        // The first manifest is number 1, in the second slot.
        (true, false) => Ok(Slots::Torn),
        _ => Err(damage("both slots of the manifest are bad")),
    }
}

/// What brings the manifest to rest after a restart. A slot that a crash left half written is
/// wiped: the next write to it may be torn, too, and what the two leave together must not be a good
/// slot of the first, whose state is overwritten by then.
pub(crate) fn settle_manifest(bytes: &Bytes) -> Vec<DiskOp> {
    let file = File::Manifest;
    let torn = bytes
        .chunks(PAGE)
        .enumerate()
        .filter(|(_, slot)| Manifest::decode(slot).is_none() && slot.iter().any(|&byte| byte != 0));
    let wipe = torn.map(|(nth, _)| DiskOp::Write {
        file,
        at: (nth * PAGE) as u64,
        bytes: vec![Bytes::from_static(&[0; PAGE])],
    });
    wipe.chain([DiskOp::Sync { file }]).collect()
}

/// The state files as they are fed.
#[derive(Debug)]
pub(crate) struct Scan {
    manifest: Manifest,
    fed: BTreeMap<u64, Bytes>,
}

impl Scan {
    /// The last entry in it and its term.
    pub(crate) fn stored(&self) -> (Index, Term) {
        (self.manifest.index, self.manifest.term)
    }

    /// Whose state it is.
    pub(crate) fn owner(&self) -> (u64, NodeId) {
        (self.manifest.cluster, self.manifest.node)
    }

    /// The next file wanted, of those that are there. One that lists the others comes first.
    pub(crate) fn wants(&self, there: impl Fn(u64) -> bool) -> Option<u64> {
        let listed = self.listed().ok()?;
        let mut numbers = listed.iter().rev().map(|file| file.number);
        numbers.find(|number| !self.fed.contains_key(number) && there(*number))
    }

    /// Takes a whole file.
    pub(crate) fn feed(&mut self, number: u64, bytes: Bytes) -> Result<(), Damage> {
        self.fed.insert(number, bytes);
        self.listed().map(|_| ())
    }

    /// The files that count, as far as they are known.
    fn listed(&self) -> Result<Vec<Listed>, Damage> {
        let mut files = self.manifest.files.clone();
        let Some(last) = files.last().copied().filter(|_| self.manifest.listing) else {
            return Ok(files);
        };
        let Some(bytes) = self.fed.get(&last.number) else {
            return Ok(files);
        };
        let mut list = None;
        read(last, bytes, |frame, _| {
            if frame.kind == Kind::Listing {
                list = Some(decode_list(&frame.body)?);
            }
            Some(())
        })?;
        let why = "the list of state files is missing";
        let mut before = list.ok_or(Damage { file: File::State(last.number), at: 0, why })?;
        before.append(&mut files);
        Ok(before)
    }

    /// Reads everything: the image, and the planner that goes on from it. `next_file` is above
    /// every state file of the directory.
    pub(crate) fn finish(
        self,
        options: Options,
        next_file: u64,
    ) -> Result<(RestoredImage, Files, Vec<File>), Damage> {
        let mut ledger = Ledger::default();
        let mut bodies: BTreeMap<u64, ImageChunk> = BTreeMap::new();
        let listed = self.listed()?;
        for &file in &listed {
            let damage = |at, why| Damage { file: File::State(file.number), at, why };
            let bytes = self.fed.get(&file.number);
            let bytes =
                bytes.ok_or(damage(0, "a state file that the manifest names is missing"))?;
            note(&mut ledger, &mut bodies, file, bytes)?;
        }
        let newest = listed.last().map(|file| File::State(file.number));
        let manifest = &self.manifest;
        let image = restored(manifest, &ledger, bodies).ok_or(Damage {
            file: newest.unwrap_or(File::Manifest),
            at: 0,
            why: "the state lacks its tail, leases, alarms or members",
        })?;
        let len = listed.last().and_then(|file| self.fed.get(&file.number));
        let len = len.map(|bytes| bytes.len() as u64);
        let files = Files::resume(options, ledger, manifest.sequence, true, next_file, len);
        Ok((image, files, listed.iter().map(|file| File::State(file.number)).collect()))
    }
}

/// Runs over a file's frames, and refuses it if they are not what was written.
fn read(
    file: Listed,
    bytes: &Bytes,
    mut each: impl FnMut(Frame, u64) -> Option<()>,
) -> Result<(), Damage> {
    let damage = |at, why| Damage { file: File::State(file.number), at, why };
    let frames = Frames::new(bytes, file.len);
    let mut frames = frames.ok_or(damage(0, "the state file is too short"))?;
    let mut first = true;
    while let Some(found) = frames.next().map_err(|at| damage(at, "a bad frame"))? {
        let head = found.frame.kind == Kind::Head;
        if head != first || head && found.frame.number != file.number {
            return Err(damage(found.body_at, "the state file carries another file's head"));
        }
        if head && found.frame.version != VERSION {
            return Err(damage(0, "the state file's format is of another version"));
        }
        first = false;
        each(found.frame, found.body_at).ok_or(damage(found.body_at, "a frame without sense"))?;
    }
    if frames.chain() != file.chain {
        return Err(damage(file.len, "the file's frames are not those that the manifest names"));
    }
    Ok(())
}

/// Notes every frame of a file, and takes the chunks' bodies.
fn note(
    ledger: &mut Ledger,
    bodies: &mut BTreeMap<u64, ImageChunk>,
    file: Listed,
    bytes: &Bytes,
) -> Result<(), Damage> {
    read(file, bytes, |frame, body_at| {
        ledger.note(file.number, &frame, body_at)?;
        if frame.kind == Kind::Chunk {
            let (number, version) = (frame.number, frame.version);
            bodies.insert(number, ImageChunk { number, version, bytes: frame.body });
        }
        Some(())
    })?;
    ledger.close(file);
    Ok(())
}

fn restored(
    manifest: &Manifest,
    ledger: &Ledger,
    mut bodies: BTreeMap<u64, ImageChunk>,
) -> Option<RestoredImage> {
    let leases: Vec<LeaseRecord> = decode_leases(ledger.single(Kind::Leases)?)?;
    let alarms: Vec<(NodeId, AlarmKind)> = decode_alarms(ledger.single(Kind::Alarms)?)?;
    let cluster: Cluster = decode_cluster(ledger.single(Kind::Cluster)?)?;
    let config = decode_config(ledger.single(Kind::Config)?)?;
    let chunks = ledger.live().map(|(number, _)| bodies.remove(&number));
    Some(RestoredImage {
        index: manifest.index,
        term: manifest.term,
        revision: manifest.revision,
        compacted: manifest.compacted,
        chunks: chunks.collect::<Option<Vec<_>>>()?,
        tail: ledger.single(Kind::Tail)?.clone(),
        dead: ledger.single(Kind::Dead).cloned().unwrap_or_default(),
        leases,
        alarms,
        cluster,
        config,
    })
}
