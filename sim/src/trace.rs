//! A digest of everything that happens: equal runs, equal digests.

/// What has happened so far, as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace(pub(crate) u64);

impl Trace {
    /// A fact.
    pub(crate) fn mark(&mut self, fact: u64) {
        self.0 = (self.0.rotate_left(5) ^ fact).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// A text.
    pub(crate) fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            self.mark(u64::from(byte));
        }
    }

    /// Bytes, eight at once.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.mark(bytes.len() as u64);
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.mark(u64::from_le_bytes(word));
        }
    }
}
