//! The SHA-256 that follows a database in a snapshot file (semantics §9c).

use super::Damage;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A snapshot's sizes are whole sectors; what is over is the trailer.
const SECTOR: usize = 512;
/// The trailer, in bytes.
const LEN: usize = 32;

/// The trailer in the making: takes every byte of the file as it leaves.
#[derive(Clone, Debug, Default)]
pub struct Trailer(Sha256);

impl Trailer {
    /// Nothing has left yet.
    #[must_use]
    pub fn new() -> Trailer {
        Trailer::default()
    }

    /// These bytes left.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The trailer for everything that left: 32 bytes.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::copy_from_slice(&self.0.finalize())
    }
}

/// Whether a file of this length has a trailer.
#[must_use]
pub fn has_trailer(len: usize) -> bool {
    len % SECTOR == LEN
}

/// Takes the trailer off a snapshot file and checks it. A file without one is a plain copy of a
/// database, and `None`: whether that will do is the caller's decision, as in etcd.
pub fn strip(file: &[u8]) -> Result<Option<&[u8]>, Damage> {
    if !has_trailer(file.len()) {
        return Ok(None);
    }
    let (db, trailer) = file.split_at(file.len() - LEN);
    let mut sum = Trailer::new();
    sum.update(db);
    if sum.finish() != trailer {
        return Err(Damage { at: db.len() as u64, why: "the sha256 is not that of the bytes" });
    }
    Ok(Some(db))
}
