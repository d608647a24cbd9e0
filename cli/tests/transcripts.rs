//! Our server answers every recorded exchange as etcd answered it, field by field.
//!
//! How a transcript reads stands in `recorder/mod.rs`. `RECORD=<etcd binary>` writes them anew.

mod common;
mod recorder;

/// How our server is started, on a machine where it can be.
fn flags() -> Option<&'static [&'static str]> {
    Some(&[])
}
