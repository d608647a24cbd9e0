//! Chance: the one file that asks the machine for entropy.

use keel_proto::body::Failure;
use rustix::rand::{GetRandomFlags, getrandom};

/// A seed that no other start of any member has: what the core's randomness grows from.
pub(crate) fn seed() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    let got = getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|error| Failure::new(format!("cannot read entropy from the kernel: {error}")))?;
    // The kernel gives up to 256 bytes whole.
    assert_eq!(got, bytes.len(), "the kernel gave a part of eight bytes");
    Ok(u64::from_ne_bytes(bytes))
}
