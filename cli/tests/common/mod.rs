//! What the black-box tests share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod server;
pub(crate) mod shells;
