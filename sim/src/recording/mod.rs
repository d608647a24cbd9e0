//! What a member's flight recorder kept (`etcd --recorder-dir`), and the member's life again.
//!
//! ```text
//!   directory ─► Recording: states, and the inputs behind each ─► relive ─► End
//!                                                                   │
//!                                                    until an index, a revision, a time
//! ```
//!
//! The node is the shipped one, so it does what it did: the same state, or the same broken
//! assertion. Digests that were recorded on the way are compared.

pub mod date;
mod files;
mod relive;
mod stand;

pub use files::Recording;
pub(crate) use files::parse;
pub use relive::{End, Life, Until, Witness, relive};
pub use stand::{Teller, key, stand, told};
