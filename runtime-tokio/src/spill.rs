//! Bytes that come and go: a state on its way in, read once and forgotten.

use bytes::{Bytes, BytesMut};
use std::io;

/// Takes bytes in and gives them back whole.
pub trait Spill {
    /// Takes more.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Everything that was taken.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn whole(self: Box<Self>) -> io::Result<Bytes>;
}

/// A spill that is memory.
#[derive(Debug, Default)]
pub struct Memory(BytesMut);

impl Spill for Memory {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn whole(self: Box<Self>) -> io::Result<Bytes> {
        Ok(self.0.freeze())
    }
}
