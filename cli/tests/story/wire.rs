//! Protobuf as text, without its schema: fields by their numbers.

use std::fmt::Write as _;

/// What the bytes hold, in a line; text where they are none.
pub(super) fn shown(bytes: &[u8]) -> String {
    message(bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
}

fn message(mut bytes: &[u8]) -> Option<String> {
    let mut out = String::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        if tag >> 3 == 0 {
            return None;
        }
        write!(out, "{}:", tag >> 3).ok()?;
        match tag & 7 {
            0 => write!(out, "{} ", varint(&mut bytes)?).ok()?,
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                let (inner, rest) = bytes.split_at_checked(len)?;
                bytes = rest;
                match message(inner) {
                    Some(fields) if !inner.is_empty() => write!(out, "{{ {fields}}} ").ok()?,
                    _ => write!(out, "{:?} ", String::from_utf8_lossy(inner)).ok()?,
                }
            }
            _ => return None,
        }
    }
    Some(out)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
