//! An etcd member's files, as what a member of ours goes on from (semantics §9d.9).
//!
//! The database holds the state up to its consistent index. The log says who the member is, what
//! it voted, who votes, and what came behind that index: entries that are known to be committed
//! are applied at the start as ever, the others stay the log's tail.

use crate::convert::decode_entry;
use crate::peer::Spill;
use crate::peer::state::whole;
use crate::wal::Wal;
use keel_core::node::Restored;
use keel_core::{Boot, HardState, Index, NodeId, Write};

/// What an etcd member's files hold.
#[derive(Debug)]
pub struct Imported {
    /// The cluster's id.
    pub cluster: u64,
    /// The member's.
    pub node: NodeId,
    /// The state in the database; `None` where it holds no entry yet.
    pub state: Option<Restored>,
    /// The hard state, and the entries behind the database's.
    pub write: Write,
}

impl Imported {
    /// What a node would go on from.
    #[must_use]
    pub fn boot(self) -> Boot {
        let hard = self.write.hard.unwrap_or_default();
        Boot { hard, checkpoint: self.state, entries: self.write.entries, unwritten: None }
    }
}

/// Whether the state that a member took in last lies in a file of its own, which etcd was about
/// to put in the database's place: the index in that file's name.
#[must_use]
pub fn newer_database(wal: &Wal, database: Index) -> Option<Index> {
    let newest = wal.snapshots().map(|snapshot| snapshot.index).max()?;
    (newest > database).then_some(newest)
}

/// Puts together what a member's log and database hold; lets others run meanwhile. Records go
/// into the spill.
///
/// # Errors
///
/// Where one of both is damaged, both do not fit together, or they hold what this build does not
/// know.
pub async fn import(wal: &Wal, database: &[u8], spill: &mut dyn Spill) -> Result<Imported, String> {
    let (cluster, node) = wal.owner().ok_or("the log does not say whose it is")?;
    let mut state = whole(cluster, database, 0, spill).await?;
    let index = state.index;
    if let Some(newest) = newer_database(wal, index) {
        return Err(format!(
            "the database stands at entry {}, before {} where the log goes on",
            index.0, newest.0
        ));
    }
    let said = |damage: crate::wal::Damage| damage.to_string();
    state.config = wal.config_at(index).map_err(said)?;
    let raw = wal.entries_after(index).map_err(said)?;
    let mut hard = wal.hard();
    let last = raw.last().map_or(index, |entry| entry.index);
    if hard.commit > last {
        return Err(format!(
            "the log ends at entry {}, and knew {} to be committed",
            last.0, hard.commit.0
        ));
    }
    // etcd writes what it applies before it says that it is committed.
    hard = HardState { commit: hard.commit.max(index), ..hard };
    let entries = raw.into_iter().map(|entry| {
        let at = entry.index.0;
        decode_entry(entry).map_err(|why| format!("entry {at} of the log: {}", why.0))
    });
    let entries = entries.collect::<Result<_, _>>()?;
    let write = Write { hard: Some(hard), cut_from: None, entries };
    let state = (index > Index(0)).then_some(state);
    Ok(Imported { cluster, node, state, write })
}
