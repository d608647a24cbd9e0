//! Recordings in files: frames, each with a CRC that goes on from the one before, so that a torn
//! end is found and cut.
//!
//! ```text
//!   len: u32 LE   of the payload
//!   crc: u32 LE   of length and payload, going on from the frame before
//!   payload       of the first frame: "keel.rec" and a Header; then whatever follows, cut anywhere
//! ```

use super::code::{Code, Parse, Reader, Writer, code};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// What the first frame begins with.
const MAGIC: &[u8; 8] = b"keel.rec";

/// How files look. A recording replays on the code that made it, so this only tells those apart
/// that cannot be read at all.
const FORMAT: u32 = 1;

/// Bytes of one frame's payload, at most.
pub const FRAME_MAX: usize = 1 << 20;

const HEAD: usize = 8;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What a node began with, or how it stood.
    State,
    /// What it took in from there on.
    Inputs,
}

code!(enum Kind { 1 State, 2 Inputs });

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether it is a state or inputs.
    pub kind: Kind,
    /// The version of the code that wrote it.
    pub code: String,
    /// Which life of the member: all files of one process have the same.
    pub run: u64,
    /// Its number; a state and the inputs behind it share one.
    pub number: u64,
    /// Steps that the node had taken before.
    pub steps: u64,
    /// What the core's clock called zero, microseconds since 1970.
    pub epoch: u64,
}

code!(struct Header { kind, code, run, number, steps, epoch });

/// Puts payloads into frames.
#[derive(Debug)]
pub struct Framer {
    chain: u32,
}

impl Framer {
    /// Begins a file: gives its first frame, too.
    #[must_use]
    pub fn begin(header: &Header) -> (Framer, Vec<u8>) {
        let mut out = Writer::new();
        header.encode(&mut out);
        let mut payload = Vec::from(*MAGIC);
        payload.extend_from_slice(&FORMAT.to_le_bytes());
        payload.extend_from_slice(&out.to_bytes());
        let mut framer = Framer { chain: 0 };
        let mut frame = Vec::from(framer.head(&payload));
        frame.extend_from_slice(&payload);
        (framer, frame)
    }

    /// What goes before the next payload.
    pub fn head(&mut self, payload: &[u8]) -> [u8; HEAD] {
        assert!(payload.len() <= FRAME_MAX, "a frame is bounded");
        let len = (payload.len() as u32).to_le_bytes();
        self.chain = crate::wal::checksum(self.chain, &[&len, payload]);
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&len);
        head[4..].copy_from_slice(&self.chain.to_le_bytes());
        head
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What it says of itself.
    pub header: Header,
    /// The payloads of all whole frames behind the first, joined.
    pub body: Bytes,
    /// Bytes at its end that are no whole frame: what was being written when the process died.
    pub torn: usize,
}

/// Reads a file, and cuts what is torn off its end.
///
/// # Errors
///
/// Bytes that do not begin as a recording does.
pub fn read(bytes: &[u8], parse: Parse) -> Result<Stream, &'static str> {
    let mut rest = bytes;
    let mut chain = 0;
    let first = next(&mut rest, &mut chain).ok_or("it does not begin with a whole frame")?;
    let said = first.strip_prefix(MAGIC).ok_or("it is no recording")?;
    let (format, said) = said.split_first_chunk().ok_or("its header is too short")?;
    if u32::from_le_bytes(*format) != FORMAT {
        return Err("it is a recording of another format");
    }
    let mut reader = Reader::new(Bytes::copy_from_slice(said), parse);
    let header = Header::decode(&mut reader).ok_or("its header makes no sense")?;
    let mut body = Vec::with_capacity(rest.len());
    while let Some(payload) = next(&mut rest, &mut chain) {
        body.extend_from_slice(payload);
    }
    Ok(Stream { header, body: Bytes::from(body), torn: rest.len() })
}

/// The next payload, if its frame is whole.
fn next<'a>(rest: &mut &'a [u8], chain: &mut u32) -> Option<&'a [u8]> {
    let (len, behind) = rest.split_first_chunk::<4>()?;
    let (crc, behind) = behind.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*len)).ok().filter(|size| *size <= FRAME_MAX)?;
    let (payload, behind) = behind.split_at_checked(size)?;
    let found = crate::wal::checksum(*chain, &[len, payload]);
    if found != u32::from_le_bytes(*crc) {
        return None;
    }
    (*chain, *rest) = (found, behind);
    Some(payload)
}
