//! A database's buckets to be written anew: without the room that is free in it, or with another
//! value in a place.

use super::contents::Items;
use super::export::Bucket;
use super::read::{Cursor, Db, Shape};
use super::{Damage, values};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What is to be different in the copy: `None` for an item that goes.
type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// All buckets of a database file, ready for the writer. Their items are slices of it.
///
/// # Errors
/// Where it is damaged: everything is looked at first, so that the copy cannot end early.
pub fn copy(file: &Bytes) -> Result<Vec<Bucket>, Damage> {
    let db = Db::open(file)?;
    db.check()?;
    let mut buckets = Vec::new();
    for bucket in db.root().items() {
        let bucket = bucket?;
        let start = db.open_bucket(&bucket)?.cursor();
        let (file, shape) = (file.clone(), db.shape());
        let items = move || -> Items {
            Box::new(Walk { file: file.clone(), shape, cursor: start.clone() })
        };
        let name = Bytes::copy_from_slice(bucket.key);
        buckets.push(Bucket { name, items: Box::new(items) });
    }
    Ok(buckets)
}

/// Buckets with another version of the schema in them, or none: etcd before 3.6 knew no such
/// field.
#[must_use]
pub fn at_version(buckets: Vec<Bucket>, version: Option<&str>) -> Vec<Bucket> {
    let version = version.map(|version| Bytes::copy_from_slice(version.as_bytes()));
    let changes = Changes::from([(Bytes::from_static(values::STORAGE_VERSION), version)]);
    let fit =
        |bucket: Bucket| if bucket.name == "meta" { changed(bucket, &changes) } else { bucket };
    buckets.into_iter().map(fit).collect()
}

fn changed(bucket: Bucket, changes: &Changes) -> Bucket {
    let mut items: BTreeMap<Bytes, Bytes> = (bucket.items)().collect();
    for (key, value) in changes {
        match value {
            Some(value) => drop(items.insert(key.clone(), value.clone())),
            None => drop(items.remove(key)),
        }
    }
    let run = move || -> Items { Box::new(items.clone().into_iter()) };
    Bucket { name: bucket.name, items: Box::new(run) }
}

/// A bucket's items, each a slice of the file.
struct Walk {
    file: Bytes,
    shape: Shape,
    cursor: Cursor,
}

impl Iterator for Walk {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<(Bytes, Bytes)> {
        let item = self.cursor.next(self.shape.of(&self.file))?.ok()?;
        Some((self.file.slice_ref(item.key), self.file.slice_ref(item.value)))
    }
}
