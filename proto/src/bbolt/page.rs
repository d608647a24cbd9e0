//! How bytes lie in a page. All numbers are little-endian (semantics §9a.1 to §9a.6).

use bytes::{BufMut, BytesMut};

/// The page size that we write. A file says its own, so the host's does not matter.
pub const PAGE: usize = 4096;

/// A page's header, and each element of its table, in bytes.
pub(super) const HEADER: usize = 16;
/// One element of a page's table, in bytes; a bucket's header, too.
pub(super) const ELEMENT: usize = 16;

/// The page holds keys and child pages.
pub(super) const BRANCH: u16 = 0x01;
/// The page holds keys and values.
pub(super) const LEAF: u16 = 0x02;
/// The page says where the root is.
pub(super) const META: u16 = 0x04;
/// The page lists the free pages.
pub(super) const FREELIST: u16 = 0x10;

/// The element's value is a bucket.
pub(super) const IS_BUCKET: u32 = 0x01;

/// A key, at most.
pub(super) const KEY_MAX: usize = 32_768;
/// A value, at most.
pub(super) const VALUE_MAX: usize = (1 << 31) - 2;

/// A meta page's body without its checksum.
const META_BODY: usize = 56;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// A page's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u64,
    pub(super) flags: u16,
    pub(super) count: u16,
    pub(super) overflow: u32,
}

impl Header {
    pub(super) fn put(self, out: &mut BytesMut) {
        out.put_u64_le(self.id);
        out.put_u16_le(self.flags);
        out.put_u16_le(self.count);
        out.put_u32_le(self.overflow);
    }

    /// Reads the header at the start of `bytes`, if it is all there.
    pub(super) fn read(bytes: &[u8]) -> Option<Header> {
        Some(Header {
            id: u64_at(bytes, 0)?,
            flags: u16_at(bytes, 8)?,
            count: u16_at(bytes, 10)?,
            overflow: u32_at(bytes, 12)?,
        })
    }
}

/// What a meta page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_size: u32,
    /// The root bucket's page.
    pub(super) root: u64,
    /// The free pages' page; all ones where none is kept.
    pub(super) freelist: u64,
    /// One past the highest page in use.
    pub(super) high_water: u64,
    pub(super) txid: u64,
}

impl Meta {
    /// Writes the page body that follows the header.
    pub(super) fn put(self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32_le(MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(self.page_size);
        out.put_u32_le(0);
        out.put_u64_le(self.root);
        out.put_u64_le(0);
        out.put_u64_le(self.freelist);
        out.put_u64_le(self.high_water);
        out.put_u64_le(self.txid);
        let sum = fnv1a(&out[start..]);
        out.put_u64_le(sum);
    }

    /// Reads a meta page, header included. `None` if any byte of it is not as written.
    pub(super) fn read(page: &[u8]) -> Option<Meta> {
        let header = Header::read(page)?;
        let body = page.get(HEADER..HEADER + META_BODY)?;
        let sum = u64_at(page, HEADER + META_BODY)?;
        let sound = header.flags == META
            && u32_at(body, 0)? == MAGIC
            && u32_at(body, 4)? == VERSION
            && sum == fnv1a(body);
        sound.then_some(())?;
        Some(Meta {
            page_size: u32_at(body, 8)?,
            root: u64_at(body, 16)?,
            freelist: u64_at(body, 32)?,
            high_water: u64_at(body, 40)?,
            txid: u64_at(body, 48)?,
        })
    }
}

/// How many pages hold `size` bytes.
pub(super) fn pages(size: usize) -> u64 {
    size.div_ceil(PAGE) as u64
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*four))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*four))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight))
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fresh database of etcd's library: root 3, freelist 2, high water 4.
    #[test]
    fn the_checksum_of_a_fresh_file_is_etcds() {
        for (txid, sum) in [(0, 0x0751_6e11_4689_fdee), (1, 0x264c_351a_5179_480f)] {
            let meta = Meta { page_size: 4096, root: 3, freelist: 2, high_water: 4, txid };
            let mut page = BytesMut::new();
            Header { id: txid, flags: META, count: 0, overflow: 0 }.put(&mut page);
            meta.put(&mut page);
            assert_eq!(u64_at(&page, HEADER + META_BODY), Some(sum));
            assert_eq!(Meta::read(&page), Some(meta));
            page[HEADER + 20] ^= 1;
            assert_eq!(Meta::read(&page), None);
        }
    }
}
