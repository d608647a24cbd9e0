//! Between the wire's messages and the core's words: parse, don't validate twice.

mod change;
mod duplicates;
mod entry;
mod keys;
pub mod request;

pub use change::{alone, bootstrap, change, decode_change};
pub use entry::{Undecodable, decode_entry, propose};
pub use keys::keys;
