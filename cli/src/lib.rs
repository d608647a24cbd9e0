//! The hand.
