//! Bytes that come and go: a state on its way in, read once and forgotten.

use bytes::{Bytes, BytesMut};
use std::io;

/// Takes bytes in and gives them back as memory that need not be the heap's.
pub trait Spill {
    /// Takes more.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Everything that was taken since the last time, in one piece.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn share(&mut self) -> io::Result<Bytes>;
}

/// A spill that is memory.
#[derive(Debug, Default)]
pub struct Memory(BytesMut);

impl Spill for Memory {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn share(&mut self) -> io::Result<Bytes> {
        Ok(self.0.split().freeze())
    }
}
