//! A store as a recording holds it: see [`crate::recording`].

use super::history::History;
use super::store::{State, Store};
use super::{Chunk, Hash};
use crate::recording::{Code, Reader, Writer};
use alloc::vec::Vec;
use bytes::Bytes;

crate::recording::code!(struct Hash { hash, revision, compacted });

impl State {
    /// Gives its bytes out, piece by piece.
    pub(crate) fn pieces<E>(&self, each: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let State { tree: _, history, revision, compacted, hashes } = self;
        let mut out = Writer::new();
        revision.encode(&mut out);
        compacted.encode(&mut out);
        hashes.encode(&mut out);
        out.pieces(each)?;
        history.pieces(each)
    }
}

impl Code for Store {
    /// Takes a view of it. Its compactions are not in there: a store that compacts is not
    /// recorded.
    fn encode(&self, out: &mut Writer) {
        assert!(self.is_at_rest(), "a store is recorded between its changes");
        out.store(self.view());
    }

    fn decode(from: &mut Reader) -> Option<Store> {
        let (revision, compacted) = (i64::decode(from)?, i64::decode(from)?);
        let hashes = <Vec<Hash>>::decode(from)?;
        Store::recorded(History::decode(from)?, revision, compacted, hashes)
    }
}

/// A chunk stands as its name. Its bytes are those that the store has for it already, and whoever
/// replays takes them from there.
impl Code for Chunk {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.number);
        out.fixed(self.version);
    }

    fn decode(from: &mut Reader) -> Option<Chunk> {
        Some(Chunk { number: from.u64()?, version: from.fixed()?, bytes: Bytes::new() })
    }
}
