//! What a snapshot stream holds: checks its frame, and tells its buckets.

use super::masks::Masks;
use super::render::render;
use super::schema::Schema;
use bytes::Bytes;
use keel_proto::bbolt::{Backend, Damage, strip};
use keel_proto::pb::etcdserverpb::SnapshotResponse;
use prost::Message as _;

/// A blob, at most.
const BLOB_MAX: usize = 32 * 1024;

/// Describes the database that these messages carry.
pub(crate) fn describe(
    schema: &Schema,
    masks: &mut Masks,
    messages: &[Bytes],
) -> Result<Vec<String>, String> {
    let mut file = Vec::new();
    let mut lines = Vec::new();
    let decoded = messages.iter().map(|bytes| SnapshotResponse::decode(bytes.as_ref()));
    let decoded = decoded.collect::<Result<Vec<_>, _>>().map_err(|why| why.to_string())?;
    let total: usize = decoded.iter().map(|message| message.blob.len()).sum();
    for message in &decoded {
        file.extend_from_slice(&message.blob);
        // The trailer is not counted among what remains.
        let left = total.saturating_sub(file.len()).saturating_sub(32);
        if message.remaining_bytes != left as u64 || message.blob.len() > BLOB_MAX {
            lines.push(format!("{} of {left} bytes remain", message.remaining_bytes));
        }
        if message.header.is_some() || message.version != decoded[0].version {
            lines.push(String::from("a message is not like the first"));
        }
    }
    let version = decoded.first().map_or("", |message| &message.version);
    lines.push(format!("version: {version}"));
    match strip(&file) {
        Ok(Some(db)) => buckets(schema, masks, db, &mut lines).map_err(|why| why.to_string())?,
        Ok(None) => lines.push(String::from("there is no trailer")),
        Err(damage) => lines.push(damage.to_string()),
    }
    Ok(lines)
}

fn buckets(
    schema: &Schema,
    masks: &mut Masks,
    db: &[u8],
    lines: &mut Vec<String>,
) -> Result<(), Damage> {
    let backend = Backend::open(db)?;
    let mut message = |name: &str, bytes: &[u8]| match render(schema, masks, name, bytes) {
        Ok(fields) => fields.join(" "),
        Err(why) => why,
    };
    let names = backend
        .db()
        .root()
        .items()
        .map(|item| item.map(|item| String::from_utf8_lossy(item.key).into_owned()));
    lines.push(format!("buckets: {}", names.collect::<Result<Vec<_>, _>>()?.join(" ")));
    for record in backend.records()? {
        let (revision, tombstone, bytes) = record?;
        let end = if tombstone { " tombstone" } else { "" };
        let fields = message(".mvccpb.KeyValue", bytes);
        lines.push(format!("key {}.{}{end} {{ {fields} }}", revision.main, revision.sub));
    }
    for (bucket, kind, in_key) in
        [("lease", ".leasepb.Lease", false), ("alarm", ".etcdserverpb.AlarmMember", true)]
    {
        let Some(tree) = backend.db().bucket(bucket.as_bytes())? else { continue };
        for item in tree.items() {
            let item = item?;
            let fields = message(kind, if in_key { item.key } else { item.value });
            lines.push(format!("{bucket} {{ {fields} }}"));
        }
    }
    for member in backend.members()?.values() {
        let learner = if member.learner { " learner" } else { "" };
        lines.push(format!("member \"{}\"{learner}", member.name));
    }
    lines.push(format!("clusterVersion: {}", backend.cluster_version()?));
    let voters = backend.conf_state()?.map(|state| state.voters.len());
    lines.push(format!("voters: {voters:?}"));
    let (scheduled, finished) = (backend.scheduled_compaction()?, backend.finished_compaction()?);
    lines.push(format!("compaction: scheduled {scheduled:?}, finished {finished:?}"));
    lines.push(format!("storageVersion: {:?}", backend.storage_version()?));
    let positive = (backend.index()?.0 > 0, backend.term()?.0 > 0);
    lines.push(format!("index and term are there: {positive:?}"));
    let auth = backend.auth()?;
    lines.push(format!("auth: enabled {:?}, revision {}", auth.enabled, auth.revision));
    Ok(())
}
