//! etcd's `key` and `range_end`, parsed.

use bytes::Bytes;
use keel_core::Keys;

/// The keys that a request means (semantics §1.3).
#[must_use]
pub fn keys(key: Bytes, range_end: Bytes) -> Keys {
    match (key.as_ref(), range_end.as_ref()) {
        (_, []) => Keys::One(key),
        ([0], [0]) => Keys::All,
        (_, [0]) => Keys::From(key),
        _ => Keys::Span { from: key, to: range_end },
    }
}
