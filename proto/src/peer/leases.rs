//! Many keep-alives in one request, which etcd has not: eight bytes each, lowest first.

/// The page of a leader that takes them.
pub(crate) const PATH: &str = "/keel/leases";
/// Leases in one request, at most.
pub(crate) const MANY: usize = 4096;

/// Lease ids, or the seconds that each was granted.
pub(crate) fn encode(numbers: impl Iterator<Item = i64>) -> Vec<u8> {
    numbers.flat_map(i64::to_le_bytes).collect()
}

/// What [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<i64>> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    rest.is_empty().then(|| numbers.iter().map(|&number| i64::from_le_bytes(number)).collect())
}
