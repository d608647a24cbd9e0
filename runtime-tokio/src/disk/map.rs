//! Memory that is a file: the log's tail for writing, state files for reading.
//!
//! The only file of this room with `unsafe`. What its proofs rest on: the data directory's lock
//! keeps other servers out, and this one never shortens a published file. A mapping of a file
//! that an operator truncates by hand ends the process with SIGBUS; that is the price of the map.

use bytes::Bytes;
use keel_core::disk::File;
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::fs;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// The file that commits go to, mapped whole.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    map: MmapRaw,
}

impl Tail {
    /// Maps a file at its whole length. Its blocks exist already: it was filled with zeros.
    pub(super) fn map(file: File, handle: &fs::File) -> io::Result<Tail> {
        Ok(Tail { file, map: MmapOptions::new().map_raw(handle)? })
    }

    /// Which file it is.
    pub(super) fn file(&self) -> File {
        self.file
    }

    /// Copies pieces, one after the other. The planner never plans past a segment's end.
    pub(super) fn write(&mut self, at: u64, pieces: &[Bytes]) {
        let mut at = usize::try_from(at).expect("a segment fits in memory");
        for piece in pieces {
            let end = at.checked_add(piece.len()).expect("a segment fits in memory");
            assert!(end <= self.map.len(), "a write past the end of {}", self.file.name());
            // SAFETY: `at..end` lies inside the mapping, as just asserted, and the mapping lives
            // as long as `self`. The source is a slice of other memory: nothing hands out a
            // `Bytes` over a writable tail, so the two do not overlap. No reference into the
            // mapping exists anywhere (it is used through raw pointers only), and `&mut self`
            // keeps a second writer of this process out.
            unsafe {
                let target = self.map.as_mut_ptr().add(at);
                std::ptr::copy_nonoverlapping(piece.as_ptr(), target, piece.len());
            }
            at = end;
        }
    }
}

/// A part of a file, as memory that the kernel may drop and read again. The mapping lives as long
/// as any slice of it.
pub(super) fn read(handle: &fs::File, part: Range<u64>) -> io::Result<Bytes> {
    if handle.metadata()?.len() < part.end {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file is shorter than it should be",
        ));
    }
    if part.is_empty() {
        return Ok(Bytes::new());
    }
    let len = usize::try_from(part.end - part.start).map_err(io::Error::other)?;
    // SAFETY: the file reaches to the part's end and is not shortened while the process holds the
    // directory's lock (one without a name is nobody else's at all), so every byte of the mapping
    // can be read. Nobody changes these bytes any more: the caller of `Disk::read` asks only for
    // sealed chunks, and for whole files at start, before the first plan; a spill only appends
    // behind what it shares. So the slice that the mapping derefs to never changes under a reader.
    let map = unsafe { MmapOptions::new().offset(part.start).len(len).map(handle)? };
    // Reading ahead would make large folios in the page cache; a later commit through a map
    // would then write a megabyte for a record (reference: runtimes-and-wal.md §2, trap 3).
    map.advise(Advice::Random)?;
    Ok(Bytes::from_owner(map))
}

/// A whole file, as memory that the kernel may drop and read again, and the file with its lock.
pub(super) fn whole(handle: fs::File) -> io::Result<Bytes> {
    if handle.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is as long as the file is now. Whoever writes such a file, be it etcd's
    // database or a member's data directory, does so under an exclusive lock, and the caller holds
    // a shared one: on this file, which stays open in `Locked` as long as the mapping lives, or on
    // the directory that it lies in. So nobody shortens it or changes its bytes meanwhile.
    let map = unsafe { MmapOptions::new().map(&handle)? };
    map.advise(Advice::Sequential)?;
    Ok(Bytes::from_owner(Locked { map, _handle: handle }))
}

/// A mapping, and the descriptor that the lock is on.
struct Locked {
    map: memmap2::Mmap,
    _handle: fs::File,
}

impl AsRef<[u8]> for Locked {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

/// Writes a part of a file out and waits until the device has it, without a flush. So a long
/// background write has one piece on its way, and a commit's sync never stands behind a megabyte.
pub(super) fn write_out(handle: &fs::File, at: u64, len: u64) -> io::Result<()> {
    let at = libc::off64_t::try_from(at).map_err(io::Error::other)?;
    let len = libc::off64_t::try_from(len).map_err(io::Error::other)?;
    let flags = libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open, since `handle` is borrowed; the call takes no memory.
    let result = unsafe { libc::sync_file_range(handle.as_raw_fd(), at, len, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
