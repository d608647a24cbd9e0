//! What every revision holds.

use bytes::Bytes;

/// The single writer.
#[derive(Debug)]
pub struct Store {}

/// One moment of the key space.
#[derive(Clone, Debug)]
pub struct View {}

/// A sealed run of the history, as bytes that can lie in a file.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Its number: positions `64 * number` and up.
    pub number: u64,
    /// Its bytes.
    pub bytes: Bytes,
}
