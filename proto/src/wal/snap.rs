//! The file that members before 3.8 keep beside a log: the membership as of a snapshot (§9d.7).

use super::frame::continued;
use crate::pb::snappb;
use crate::peer::{message, v2};
use bytes::Bytes;
use keel_core::state::Checkpoint;
use prost::Message;

/// The file's name and bytes for a state.
#[must_use]
pub fn snap_file(state: &Checkpoint) -> (String, Bytes) {
    let mut snapshot = message::snapshot(state.index, state.term, &state.config);
    snapshot.data = Some(v2::store(&state.cluster).into());
    let data = Bytes::from(snapshot.encode_to_vec());
    let file = snappb::Snapshot { crc: Some(continued(0, &data)), data: Some(data) };
    let name = format!("{:016x}-{:016x}.snap", state.term.0, state.index.0);
    (name, file.encode_to_vec().into())
}
