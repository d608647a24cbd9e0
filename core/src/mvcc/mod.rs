//! What every revision holds.
//!
//! ```text
//!   Store ── the single writer ──► State { Tree, History, revision, compacted }
//!     │ view(): O(1), a moment that never changes
//!     └► View ── range, count, txn, history, hash, records
//! ```
//!
//! The history holds every version once, in the order of revisions; the tree leads from a key
//! to its newest version. Both are copy-on-write, so a view costs the writer one copied path a
//! batch. The form and its figures come from the study of the state tree.
//!
//! The promises are etcd's (semantics §1): a write transaction that changes something takes
//! exactly one revision; a view is one moment; a compaction leaves the newest version of each
//! key at its revision readable.

mod chunk;
mod compact;
mod events;
mod hash;
mod history;
mod image;
mod leaf;
mod newest;
mod range;
pub mod record;
mod store;
mod tree;
mod txn;
mod view;

pub use chunk::Chunk;
pub use compact::Compaction;
pub use events::Events;
pub use hash::{Hash, Hasher};
pub use range::Page;
pub use store::{Import, Restored, Store, Usage};
pub use view::{Records, Stored, View};
