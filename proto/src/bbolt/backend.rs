//! What etcd's buckets mean: what the reader gives out (semantics §9b).

use super::values::{
    ConfState, Downgrade, STORAGE_VERSION, read_alarm, read_lease, read_member, read_member_key,
    read_revision, read_u64, sound,
};
use super::{Damage, Db, Item, ItemIter, Tree};
use bytes::Bytes;
use keel_core::command::AlarmKind;
use keel_core::members::Member;
use keel_core::mvcc::Store;
use keel_core::state::LeaseRecord;
use keel_core::{Index, NodeId, Revision, Term};
use std::collections::BTreeMap;

/// A member's database, by what it says. A bucket that is not there counts as empty.
#[derive(Clone, Copy, Debug)]
pub struct Backend<'a> {
    db: Db<'a>,
}

/// Users and roles, as their encoded messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Whether it is enabled; `None` where that was never asked for.
    pub enabled: Option<bool>,
    /// How often it changed, from 1.
    pub revision: u64,
    /// By name: `authpb.User`.
    pub users: Vec<(Bytes, Bytes)>,
    /// By name: `authpb.Role`.
    pub roles: Vec<(Bytes, Bytes)>,
}

impl Default for Auth {
    /// As in a fresh member.
    fn default() -> Auth {
        Auth { enabled: None, revision: 1, users: Vec::new(), roles: Vec::new() }
    }
}

impl<'a> Backend<'a> {
    /// Reads a database file without a trailer.
    ///
    /// # Errors
    /// Where it is no sound database file.
    pub fn open(bytes: &'a [u8]) -> Result<Backend<'a>, Damage> {
        Ok(Backend { db: Db::open(bytes)? })
    }

    /// The file's pages and buckets.
    #[must_use]
    pub fn db(&self) -> Db<'a> {
        self.db
    }

    /// Every version that is still there, in the order of revisions.
    ///
    /// # Errors
    /// Where the root is damaged; the bucket's own damage comes out of the iterator.
    pub fn records(&self) -> Result<Records<'a>, Damage> {
        Ok(Records { items: self.db.bucket(b"key")?.map(|bucket| bucket.items()) })
    }

    /// Up to which revision versions shall be forgotten, whether that was finished or not; -1
    /// where it was never asked for.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn compacted(&self) -> Result<i64, Damage> {
        Ok(self.scheduled_compaction()?.max(self.finished_compaction()?).unwrap_or(-1))
    }

    /// The key space. A compaction that etcd had promised and not finished is finished in it.
    ///
    /// # Errors
    /// Where a bucket is damaged, or holds what no store can.
    pub fn store(&self) -> Result<Store, Damage> {
        let promised = self.compacted()?;
        let mut fault = None;
        let sound =
            self.records()?.map_while(|record| record.map_err(|why| fault = Some(why)).ok());
        let sound = sound.map(|(at, gone, bytes)| (at, gone, Bytes::copy_from_slice(bytes)));
        let store = Store::from_records(sound, 1, promised);
        match fault {
            Some(damage) => Err(damage),
            None => store.map_err(|why| Damage { at: 0, why }),
        }
    }

    /// The leases, by the bytes of their ids.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn leases(&self) -> Result<Vec<LeaseRecord>, Damage> {
        self.all(b"lease", |item| {
            let lease = read_lease(item.value)?;
            (item.key == lease.lease.0.to_be_bytes()).then_some(lease)
        })
    }

    /// The alarms that are raised.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn alarms(&self) -> Result<Vec<(NodeId, AlarmKind)>, Damage> {
        let alarms = self.all(b"alarm", |item| read_alarm(item.key))?;
        Ok(alarms.into_iter().flatten().collect())
    }

    /// Who belongs to the cluster.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn members(&self) -> Result<BTreeMap<NodeId, Member>, Damage> {
        let members = self.all(b"members", |item| {
            let (id, member) = read_member(item.value)?;
            (read_member_key(item.key) == Some(id)).then_some((id, member))
        })?;
        Ok(members.into_iter().collect())
    }

    /// Who belonged to the cluster once.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn removed(&self) -> Result<Vec<NodeId>, Damage> {
        self.all(b"members_removed", |item| read_member_key(item.key))
    }

    /// The negotiated version; empty where none was negotiated.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn cluster_version(&self) -> Result<String, Damage> {
        let read = |value: &[u8]| String::from_utf8(value.to_vec()).ok();
        Ok(self.one(b"cluster", b"clusterVersion", read)?.unwrap_or_default())
    }

    /// A downgrade under way.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn downgrade(&self) -> Result<Option<Downgrade>, Damage> {
        self.one(b"cluster", b"downgrade", |value| serde_json::from_slice(value).ok())
    }

    /// The last entry of the log that is in it; zero before the first.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn index(&self) -> Result<Index, Damage> {
        Ok(Index(self.one(b"meta", b"consistent_index", read_u64)?.unwrap_or(0)))
    }

    /// That entry's term; zero where a version before 3.5 wrote the file.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn term(&self) -> Result<Term, Damage> {
        Ok(Term(self.one(b"meta", b"term", read_u64)?.unwrap_or(0)))
    }

    /// Who votes, if the file says it. A file that was restored from a snapshot still says who
    /// voted in the cluster it comes from: the log's own word outranks it.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn conf_state(&self) -> Result<Option<ConfState>, Damage> {
        self.one(b"meta", b"confState", |value| serde_json::from_slice(value).ok())
    }

    /// Up to which revision versions shall be forgotten. Where it lies ahead of
    /// [`finished_compaction`](Self::finished_compaction), some of them are still there.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn scheduled_compaction(&self) -> Result<Option<i64>, Damage> {
        self.one(b"meta", b"scheduledCompactRev", read_main)
    }

    /// Up to which revision versions have been forgotten.
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn finished_compaction(&self) -> Result<Option<i64>, Damage> {
        self.one(b"meta", b"finishedCompactRev", read_main)
    }

    /// The schema's version, where the file says it (3.6 and later do).
    ///
    /// # Errors
    /// Where the bucket is damaged.
    pub fn storage_version(&self) -> Result<Option<String>, Damage> {
        self.one(b"meta", STORAGE_VERSION, |value| String::from_utf8(value.to_vec()).ok())
    }

    /// Users and roles.
    ///
    /// # Errors
    /// Where a bucket is damaged.
    pub fn auth(&self) -> Result<Auth, Damage> {
        let copy = |item: &Item<'_>| {
            Some((Bytes::copy_from_slice(item.key), Bytes::copy_from_slice(item.value)))
        };
        let enabled = |value: &[u8]| match value {
            [] | [0] => Some(false),
            [1] => Some(true),
            _ => None,
        };
        Ok(Auth {
            enabled: self.one(b"auth", b"authEnabled", enabled)?,
            revision: self.one(b"auth", b"authRevision", read_u64)?.unwrap_or(0),
            users: self.all(b"authUsers", copy)?,
            roles: self.all(b"authRoles", copy)?,
        })
    }

    /// Every item of a bucket.
    fn all<T>(
        &self,
        bucket: &[u8],
        read: impl Fn(&Item<'a>) -> Option<T>,
    ) -> Result<Vec<T>, Damage> {
        let items = self.db.bucket(bucket)?.into_iter().flat_map(|bucket: Tree<'a>| bucket.items());
        items
            .map(|item| {
                let item = item?;
                sound(read(&item), item.at, "an item that etcd does not write")
            })
            .collect()
    }

    /// One item of a bucket.
    fn one<T>(
        &self,
        bucket: &[u8],
        key: &[u8],
        read: impl Fn(&'a [u8]) -> Option<T>,
    ) -> Result<Option<T>, Damage> {
        let Some(bucket) = self.db.bucket(bucket)? else { return Ok(None) };
        let Some(item) = bucket.find(key)? else { return Ok(None) };
        sound(read(item.value), item.at, "a value that etcd does not write").map(Some)
    }
}

fn read_main(value: &[u8]) -> Option<i64> {
    read_revision(value).map(|(revision, _)| revision.main)
}

/// The versions of a database, in the order of revisions: revision, whether it is a tombstone,
/// and the encoded `mvccpb.KeyValue`. Ends after the first damage.
///
/// A version without any bytes is no key: a restore that raises the revision leaves one behind,
/// which says how far the revision goes, and counts in hashes (semantics §9b).
#[derive(Debug)]
pub struct Records<'a> {
    items: Option<ItemIter<'a>>,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(Revision, bool, &'a [u8]), Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = |item: Item<'a>| {
            let revision = read_revision(item.key);
            let (revision, tombstone) = sound(revision, item.at, "a key that is no revision")?;
            Ok((revision, tombstone, item.value))
        };
        let item = self.items.as_mut()?.next()?.and_then(read);
        if item.is_err() {
            self.items = None;
        }
        Some(item)
    }
}
