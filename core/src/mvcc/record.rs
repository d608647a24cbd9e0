//! A stored version as bytes: the encoded `mvccpb.KeyValue`, as it leaves the house.
//!
//! Fields stand in ascending order, zero and empty ones are left out, as etcd's encoder writes
//! them: HashKV is taken over these bytes. A tombstone's record holds only the key.

use crate::types::LeaseId;
use alloc::vec::Vec;
use bytes::Bytes;

const KEY: u8 = 1 << 3 | 2;
const CREATE: u8 = 2 << 3;
const MOD: u8 = 3 << 3;
const VERSION: u8 = 4 << 3;
const VALUE: u8 = 5 << 3 | 2;
const LEASE: u8 = 6 << 3;

/// A record's fields. Key and value are slices of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The main revision of the first put of its generation.
    pub create: i64,
    /// The main revision of this put.
    pub modified: i64,
    /// How often the key was put in its generation.
    pub version: i64,
    /// The value.
    pub value: &'a [u8],
    /// The lease, or none.
    pub lease: LeaseId,
}

/// Writes a record behind what `out` holds.
pub fn encode(fields: &Fields<'_>, out: &mut Vec<u8>) {
    bytes(out, KEY, fields.key);
    int(out, CREATE, fields.create);
    int(out, MOD, fields.modified);
    int(out, VERSION, fields.version);
    bytes(out, VALUE, fields.value);
    int(out, LEASE, fields.lease.0);
}

/// Reads a record; `None` where the bytes are none.
#[must_use]
pub fn decode(record: &[u8]) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    let mut rest = record;
    while let Some((&tag, behind)) = rest.split_first() {
        rest = behind;
        match tag {
            KEY | VALUE => {
                let len = usize::try_from(take_varint(&mut rest)?).ok()?;
                let (body, behind) = rest.split_at_checked(len)?;
                rest = behind;
                if tag == KEY {
                    fields.key = body;
                } else {
                    fields.value = body;
                }
            }
            CREATE => fields.create = take_varint(&mut rest)?.cast_signed(),
            MOD => fields.modified = take_varint(&mut rest)?.cast_signed(),
            VERSION => fields.version = take_varint(&mut rest)?.cast_signed(),
            LEASE => fields.lease = LeaseId(take_varint(&mut rest)?.cast_signed()),
            _ => return None,
        }
    }
    Some(fields)
}

/// The fields of a record that the store itself wrote or checked when it took it in.
#[must_use]
pub fn fields(record: &[u8]) -> Fields<'_> {
    decode(record).expect("records are checked where they come in")
}

/// The key of a record, a slice of it.
#[must_use]
pub fn key(record: &Bytes) -> Bytes {
    record.slice_ref(key_of(record))
}

/// The key of a record.
#[must_use]
pub fn key_of(record: &[u8]) -> &[u8] {
    let Some((&KEY, mut rest)) = record.split_first() else { return &[] };
    let len = take_varint(&mut rest).and_then(|len| usize::try_from(len).ok());
    len.and_then(|len| rest.get(..len)).unwrap_or(&[])
}

/// The lease of a record, or none.
#[must_use]
pub fn lease(record: &[u8]) -> LeaseId {
    fields(record).lease
}

/// The record again without its value: what `keys_only` answers. etcd makes that answer from
/// its index, which knows no lease, so the lease is left out, too.
#[must_use]
pub fn without_value(record: &[u8], keep_lease: bool) -> Bytes {
    let mut fields = fields(record);
    fields.value = &[];
    if !keep_lease {
        fields.lease = LeaseId::NONE;
    }
    let mut out = Vec::with_capacity(fields.key.len() + 24);
    encode(&fields, &mut out);
    Bytes::from(out)
}

fn bytes(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    if !body.is_empty() {
        out.push(tag);
        put_varint(out, body.len() as u64);
        out.extend_from_slice(body);
    }
}

fn int(out: &mut Vec<u8>, tag: u8, value: i64) {
    if value != 0 {
        out.push(tag);
        put_varint(out, value.cast_unsigned());
    }
}

/// Writes a base-128 number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Takes a base-128 number off the front.
pub(crate) fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..10 {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f).checked_shl(7 * at)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn a_record_is_the_bytes_that_etcd_writes() {
        let fields = Fields {
            key: b"foo",
            create: 2,
            modified: 300,
            version: 1,
            value: b"bar",
            lease: LeaseId(-1),
        };
        let mut out = Vec::new();
        encode(&fields, &mut out);
        let mut expected = vec![0x0a, 3, b'f', b'o', b'o', 0x10, 2, 0x18, 0xac, 2, 0x20, 1];
        expected.extend([0x2a, 3, b'b', b'a', b'r', 0x30]);
        expected.extend([0xff; 9]);
        expected.push(1);
        assert_eq!(out, expected);
        assert_eq!(decode(&out), Some(fields));
        assert_eq!(key_of(&out), b"foo");
    }

    #[test]
    fn damaged_bytes_are_no_record() {
        for bytes in [&[0x0a][..], &[0x0a, 5, 1], &[0x10], &[0x77, 1], &[0x10, 0xff, 0xff]] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
    }
}
