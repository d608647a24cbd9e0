//! What lives how long.
