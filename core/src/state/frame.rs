//! The bytes of a state file: frames, one after the other.
//!
//! ```text
//! frame | crc u32 | kind u32 | number u64 | version u64 | len u64 | body | zeros to 8 bytes |
//! ```
//!
//! A frame's CRC goes on from the frame before it, and the manifest says where the chain of
//! each file stands: no frame can be missing, doubled or from elsewhere. What was synced ends
//! on a sector; a frame never begins in front of zeros that fill one up.

use crate::limits::SECTOR;
use crate::state::codec::Reader;
use crate::wal::checksum;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of a frame before its body.
pub(super) const FRAME_BYTES: usize = 32;

/// The format of the files: in the first one what lives no more was no frame.
pub(super) const VERSION: u64 = 2;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The first of each file: the file's number, the format, whose it is.
    Head,
    /// A chunk of the history, by number and version.
    Chunk,
    /// Numbers of chunks that are no more.
    Gone,
    /// The open tail of the history.
    Tail,
    /// The leases.
    Leases,
    /// The alarms.
    Alarms,
    /// The membership.
    Cluster,
    /// Who votes and who learns.
    Config,
    /// The files before this one, where the manifest has no room for them.
    Listing,
    /// What lies in the chunks and lives no more.
    Dead,
}

impl Kind {
    const ALL: [Kind; 10] = [
        Kind::Head,
        Kind::Chunk,
        Kind::Gone,
        Kind::Tail,
        Kind::Leases,
        Kind::Alarms,
        Kind::Cluster,
        Kind::Config,
        Kind::Listing,
        Kind::Dead,
    ];

    /// Zero is no kind: it marks what fills a sector up.
    fn code(self) -> u32 {
        match self {
            Kind::Head => 1,
            Kind::Chunk => 2,
            Kind::Gone => 3,
            Kind::Tail => 4,
            Kind::Leases => 5,
            Kind::Alarms => 6,
            Kind::Cluster => 7,
            Kind::Config => 8,
            Kind::Listing => 9,
            Kind::Dead => 10,
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub kind: Kind,
    pub number: u64,
    pub version: u64,
    pub body: Bytes,
}

impl Frame {
    /// A frame that there is only one of.
    pub(super) fn single(kind: Kind, body: Bytes) -> Frame {
        Frame { kind, number: 0, version: 0, body }
    }

    /// The first frame of a file.
    pub(super) fn head(number: u64, cluster: u64, node: u64) -> Frame {
        let body = Bytes::from([cluster.to_le_bytes(), node.to_le_bytes()].concat());
        Frame { kind: Kind::Head, number, version: VERSION, body }
    }

    /// Bytes that it takes in a file.
    pub(super) fn bytes(&self) -> u64 {
        frame_bytes(self.body.len())
    }

    /// Its pieces and the chain after it. The body is shared.
    pub(super) fn encode(&self, chain: u32) -> ([Bytes; 3], u32) {
        let mut front = [0; FRAME_BYTES];
        front[4..8].copy_from_slice(&self.kind.code().to_le_bytes());
        front[8..16].copy_from_slice(&self.number.to_le_bytes());
        front[16..24].copy_from_slice(&self.version.to_le_bytes());
        front[24..32].copy_from_slice(&(self.body.len() as u64).to_le_bytes());
        let crc = checksum(chain, &[&front[4..], &self.body]);
        front[..4].copy_from_slice(&crc.to_le_bytes());
        let fill = self.body.len().next_multiple_of(8) - self.body.len();
        let fill = Bytes::from_static(&[0; 8]).slice(..fill);
        ([Bytes::from(front.to_vec()), self.body.clone(), fill], crc)
    }
}

/// Bytes that a frame with a body of `len` bytes takes in a file.
pub(super) fn frame_bytes(len: usize) -> u64 {
    (FRAME_BYTES + len).next_multiple_of(8) as u64
}

/// A frame that was read, and where its body lies.
pub(super) struct Found {
    pub frame: Frame,
    pub body_at: u64,
}

/// Reads the frames of a file from its start to `end`; each item says where it went wrong.
pub(super) struct Frames<'a> {
    bytes: &'a Bytes,
    at: usize,
    end: usize,
    chain: u32,
}

impl<'a> Frames<'a> {
    /// The frames before `end`, if the file is that long.
    pub(super) fn new(bytes: &'a Bytes, end: u64) -> Option<Frames<'a>> {
        let end = usize::try_from(end).ok().filter(|&end| end <= bytes.len())?;
        Some(Frames { bytes, at: 0, end, chain: 0 })
    }

    /// The next frame; `Ok(None)` at the end, `Err(offset)` at one that is not as it was
    /// written.
    pub(super) fn next(&mut self) -> Result<Option<Found>, u64> {
        loop {
            if self.at >= self.end {
                return Ok(None);
            }
            let bad = self.at as u64;
            let rest = self.bytes.get(self.at..self.end).ok_or(bad)?;
            let mut reader = Reader::new(rest);
            let crc = reader.u32().ok_or(bad)?;
            let code = reader.u32().ok_or(bad)?;
            if crc == 0 && code == 0 {
                self.at = (self.at + 1).next_multiple_of(SECTOR);
                continue;
            }
            let found = self.frame(crc, code, reader).ok_or(bad)?;
            self.chain = crc;
            self.at += usize::try_from(found.frame.bytes()).map_err(|_| bad)?;
            return Ok(Some(found));
        }
    }

    fn frame(&self, crc: u32, code: u32, mut reader: Reader<'_>) -> Option<Found> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.code() == code)?;
        let number = reader.u64()?;
        let version = reader.u64()?;
        let len = usize::try_from(reader.u64()?).ok()?;
        let body = reader.take(len)?;
        let front = self.bytes.get(self.at + 4..self.at + FRAME_BYTES)?;
        if checksum(self.chain, &[front, body]) != crc {
            return None;
        }
        let body_at = self.at + FRAME_BYTES;
        let body = self.bytes.slice(body_at..body_at + len);
        let frame = Frame { kind, number, version, body };
        Some(Found { frame, body_at: body_at as u64 })
    }

    /// The chain at the end.
    pub(super) fn chain(&self) -> u32 {
        self.chain
    }
}

/// The body of a [`Kind::Gone`] frame.
pub(super) fn encode_numbers(numbers: &[u64]) -> Bytes {
    let mut out = Vec::with_capacity(numbers.len() * 8);
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    Bytes::from(out)
}

/// What [`encode_numbers`] wrote.
pub(super) fn decode_numbers(body: &[u8]) -> Option<Vec<u64>> {
    let (numbers, rest) = body.as_chunks::<8>();
    rest.is_empty().then(|| numbers.iter().map(|&number| u64::from_le_bytes(number)).collect())
}
