//! Reads the state files back: the image that the newest manifest names, or where it is damaged.

use super::codec::{decode_alarms, decode_cluster, decode_config, decode_leases};
use super::files::Files;
use super::frame::{Frame, Frames, Kind, VERSION};
use super::image::ImageChunk;
use super::kept::{FIRST_PLACE, Kept, Stays};
use super::ledger::Ledger;
use super::manifest::{Listed, MANIFEST_BYTES, Manifest, decode_list};
use super::{LeaseRecord, RestoredImage};
use crate::command::AlarmKind;
use crate::disk::{Damage, DiskOp, File};
use crate::limits::PAGE;
use crate::members::Cluster;
use crate::planner::Options;
use crate::types::{Index, NodeId, Term};
use alloc::collections::{BTreeMap, BTreeSet};
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
    /// These count: the states of the newest checkpoints that stay, the newest first.
    Good(Vec<Scan>),
}

/// Reads the slots. `kept` is how many checkpoints stay; zero is all.
pub(crate) fn read_manifest(bytes: &[u8], kept: usize) -> Result<Slots, Damage> {
    let damage = |why| Damage { file: File::Manifest, at: 0, why };
    if (bytes.len() as u64) < MANIFEST_BYTES {
        return Err(damage("the manifest is too short"));
    }
    let slots = || bytes.chunks(PAGE).zip(0..);
    let good = slots().filter_map(|(slot, place)| Some((Manifest::decode(slot)?, place)));
    let mut good: Vec<Scan> = good.map(|(manifest, place)| Scan { manifest, place }).collect();
    if good.is_empty() {
        let written = slots().filter(|(slot, _)| slot.iter().any(|&byte| byte != 0));
        return match written.map(|(_, place)| place).collect::<Vec<u64>>().as_slice() {
            [] => Ok(Slots::Empty),
            [FIRST_PLACE] => Ok(Slots::Torn),
            _ => Err(damage("all slots of the manifest are bad")),
        };
    }
    good.sort_unstable_by_key(|scan| core::cmp::Reverse(scan.manifest.sequence));
    // What a rewriting published took the place of the checkpoint that it rewrote.
    good.dedup_by_key(|scan| scan.manifest.index);
    if kept > 0 {
        good.truncate(kept);
    }
    Ok(Slots::Good(good))
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

/// State files as they are fed, by number.
pub(crate) type Fed = BTreeMap<u64, Bytes>;

/// What reading one checkpoint's files gives.
pub(crate) struct Read {
    image: RestoredImage,
    ledger: Ledger,
    /// The length of the newest file, if it can be appended to.
    open: Option<u64>,
}

/// A checkpoint whose files are fed.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(super) manifest: Manifest,
    /// Where its slot stands.
    place: u64,
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
    pub(crate) fn wants(&self, fed: &Fed, there: impl Fn(u64) -> bool) -> Option<u64> {
        let listed = self.listed(fed).ok()?;
        let mut numbers = listed.iter().rev().map(|file| file.number);
        numbers.find(|number| !fed.contains_key(number) && there(*number))
    }

    /// The files that count, as far as they are known.
    fn listed(&self, fed: &Fed) -> Result<Vec<Listed>, Damage> {
        let mut files = self.manifest.files.clone();
        let Some(last) = files.last().copied().filter(|_| self.manifest.listing) else {
            return Ok(files);
        };
        let Some(bytes) = fed.get(&last.number) else {
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

    /// Reads everything that it names.
    pub(crate) fn read(&self, fed: &Fed) -> Result<Read, Damage> {
        let mut ledger = Ledger::default();
        let mut bodies: BTreeMap<u64, ImageChunk> = BTreeMap::new();
        let listed = self.listed(fed)?;
        let mut open = None;
        for &file in &listed {
            let damage = |at, why| Damage { file: File::State(file.number), at, why };
            let bytes = fed.get(&file.number);
            let bytes =
                bytes.ok_or(damage(0, "a state file that the manifest names is missing"))?;
            let format = note(&mut ledger, &mut bodies, file, bytes)?;
            // A program that reads only the older format tells it by the file's head.
            open = (format == VERSION).then_some(bytes.len() as u64);
        }
        let newest = listed.last().map(|file| File::State(file.number));
        let image = restored(&self.manifest, &ledger, bodies).ok_or(Damage {
            file: newest.unwrap_or(File::Manifest),
            at: 0,
            why: "the state lacks its tail, leases, alarms or members",
        })?;
        Ok(Read { image, ledger, open })
    }
}

/// Goes on from the `nth` of these checkpoints, which was read: its image, the planner, and the
/// files that stay. `next_file` is above every state file of the directory.
pub(crate) fn resume(
    scans: &[Scan],
    nth: usize,
    read: Read,
    fed: &Fed,
    options: Options,
    next_file: u64,
) -> (RestoredImage, Files, Vec<File>) {
    let stays = |scan: &Scan| {
        // One that cannot be read is given up with its files.
        let listed = scan.listed(fed).unwrap_or_default();
        let files: BTreeSet<u64> = listed.iter().map(|file| file.number).collect();
        Stays { place: scan.place, index: scan.manifest.index, files }
    };
    let stay: Vec<Stays> = scans[nth..].iter().rev().map(stays).collect();
    let named: BTreeSet<u64> = stay.iter().flat_map(|stays| &stays.files).copied().collect();
    let kept = Kept::new(options.checkpoints_kept, stay);
    // Bytes behind the end of an older checkpoint are a newer one's.
    let open = read.open.filter(|_| nth == 0);
    let sequence = scans[0].manifest.sequence;
    let files = Files::resume(options, read.ledger, sequence, kept, next_file, open);
    (read.image, files, named.into_iter().map(File::State).collect())
}

/// Runs over a file's frames, and refuses it if they are not what was written.
///
/// Gives the format that its head says.
fn read(
    file: Listed,
    bytes: &Bytes,
    mut each: impl FnMut(Frame, u64) -> Option<()>,
) -> Result<u64, Damage> {
    let damage = |at, why| Damage { file: File::State(file.number), at, why };
    let frames = Frames::new(bytes, file.len);
    let mut frames = frames.ok_or(damage(0, "the state file is too short"))?;
    let (mut first, mut format) = (true, VERSION);
    while let Some(found) = frames.next().map_err(|at| damage(at, "a bad frame"))? {
        let head = found.frame.kind == Kind::Head;
        if head != first || head && found.frame.number != file.number {
            return Err(damage(found.body_at, "the state file carries another file's head"));
        }
        if head {
            format = found.frame.version;
            if !(1..=VERSION).contains(&format) {
                return Err(damage(0, "the state file's format is of another version"));
            }
        }
        first = false;
        each(found.frame, found.body_at).ok_or(damage(found.body_at, "a frame without sense"))?;
    }
    if frames.chain() != file.chain {
        return Err(damage(file.len, "the file's frames are not those that the manifest names"));
    }
    Ok(format)
}

/// Notes every frame of a file, and takes the chunks' bodies; gives the file's format.
fn note(
    ledger: &mut Ledger,
    bodies: &mut BTreeMap<u64, ImageChunk>,
    file: Listed,
    bytes: &Bytes,
) -> Result<u64, Damage> {
    let format = read(file, bytes, |frame, body_at| {
        ledger.note(file.number, &frame, body_at)?;
        if frame.kind == Kind::Chunk {
            let (number, version) = (frame.number, frame.version);
            bodies.insert(number, ImageChunk { number, version, bytes: frame.body });
        }
        Some(())
    })?;
    ledger.close(file);
    Ok(format)
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
