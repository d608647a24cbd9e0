//! Between etcd's messages and the core's own words.

mod duplicates;
mod entry;
mod keys;
pub mod request;

pub use entry::{BadEntry, decode_command, decode_entry};
pub use keys::keys;
