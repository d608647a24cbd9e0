//! A whole state between members: the message that announces it, and etcd's database behind it
//! (semantics §8.9, §9e.4).

use super::Spill;
use super::headers::Identity;
use super::message::{decode, encode};
use crate::bbolt::{Backend, Contents, Export, strip, survey};
use crate::wire::tree::raftpb;
use crate::yielding::yield_now;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use keel_core::members::Cluster;
use keel_core::mvcc::{Chunk, Import, Store};
use keel_core::node::Restored;
use keel_core::raft::{Body, Message};
use keel_core::state::Checkpoint;
use keel_core::{Index, NodeId, Revision, Term};
use prost::Message as _;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Where a state is posted.
pub const PATH: &str = "/raft/snapshot";
/// The announcing message, at most.
const MESSAGE_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of one piece of the database.
const PIECE: usize = 32 * 1024;
/// Records that are looked at between two chances for others: see `yielding`.
const STEP: usize = 64;
/// Bytes of a state in the making that are heap, at most, but for a last chunk.
const HELD: usize = 1024 * 1024;

/// A state on its way out, as the body of a request.
#[derive(Debug)]
pub struct Sending {
    head: Option<Bytes>,
    export: Export,
    /// Whether others had their chance since the last piece.
    rested: bool,
}

impl Sending {
    /// Prepares a state for a peer: measures it, and lets others run meanwhile.
    pub async fn prepare(
        me: &Identity,
        to: NodeId,
        message: &Message,
        state: &Checkpoint,
    ) -> Sending {
        let mut message = encode(me.member, to, message);
        if let Some(snapshot) = &mut message.snapshot {
            snapshot.data = Some(super::v2::store(&state.cluster).into());
        }
        let mut head = BytesMut::new();
        head.put_u64(message.encoded_len() as u64);
        message.encode(&mut head).expect("a buffer that grows has room");
        let mut survey = survey(Contents::of(state));
        while !survey.step(STEP) {
            yield_now().await;
        }
        Sending { head: Some(head.freeze()), export: survey.finish(), rested: true }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        self.rested = !self.rested;
        if self.rested {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.export.next_piece(PIECE).map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        // etcd sends it in chunks of unsaid number, too.
        SizeHint::default()
    }
}

/// The front of a state on its way in: the announcing message, and what of the database came
/// with it.
#[derive(Debug, Default)]
pub(super) struct Head(BytesMut);

impl Head {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The message, once it is here whole, and the first bytes of the database.
    pub(super) fn take(&mut self) -> Result<Option<(raftpb::Message, Bytes)>, String> {
        let Some(len) = self.0.first_chunk().map(|len| u64::from_be_bytes(*len)) else {
            return Ok(None);
        };
        if len > MESSAGE_MAX {
            return Err(format!("message of {len} bytes exceeds the limit"));
        }
        let len = usize::try_from(len).expect("it was bounded");
        if self.0.len() < 8 + len {
            return Ok(None);
        }
        self.0.advance(8);
        let message = self.0.split_to(len).freeze();
        let message = raftpb::Message::decode(message).map_err(|error| error.to_string())?;
        Ok(Some((message, std::mem::take(&mut self.0).freeze())))
    }
}

/// What the announcing message says.
#[derive(Clone, Debug)]
pub struct Announced {
    /// The sender.
    pub from: NodeId,
    /// In which term it was sent.
    pub term: Term,
    /// The state's last entry.
    pub index: Index,
    /// Its term.
    pub at: Term,
    /// Who votes and learns as of it.
    pub config: keel_core::raft::Config,
}

impl Announced {
    pub(super) fn of(message: raftpb::Message) -> Option<Announced> {
        let from = NodeId(message.from());
        let Message { term, body } = decode(message).ok()?;
        let Body::Snapshot { index, term: at, config } = body else { return None };
        Some(Announced { from, term, index, at, config })
    }
}

/// Makes the state of a database that came whole; lets others run meanwhile. Its records go back
/// into the spill, so that they take no heap until a checkpoint has them.
///
/// # Errors
///
/// Where the database is damaged, or not what was announced, or the spill fails.
pub async fn restored(
    cluster_id: u64,
    announced: &Announced,
    database: &[u8],
    spill: &mut dyn Spill,
) -> Result<Restored, String> {
    let mut state = whole(cluster_id, database, 0, spill).await?;
    if state.index != announced.index {
        return Err(format!(
            "the database stands at entry {}, not at {} as announced",
            state.index.0, announced.index.0
        ));
    }
    state.term = announced.at;
    state.config = announced.config.clone();
    Ok(state)
}

/// Makes the state of a file that `Maintenance.Snapshot` brought: the database, and its hash.
///
/// # Errors
///
/// Where the file is damaged or cut short, or the spill fails.
pub async fn snapshot(
    cluster_id: u64,
    file: &[u8],
    spill: &mut dyn Spill,
) -> Result<Restored, String> {
    let database = strip(file).map_err(|damage| damage.to_string())?;
    let database = database.ok_or("the snapshot is cut short")?;
    whole(cluster_id, database, 0, spill).await
}

/// Everything that a database without a hash behind it holds. With `raise` above zero the
/// revision goes on that much higher, and all before it is compacted: clients that saw a later
/// state than this one never see a revision again (semantics §9c).
///
/// # Errors
///
/// Where the database is damaged, or the spill fails.
pub async fn whole(
    cluster_id: u64,
    database: &[u8],
    raise: u64,
    spill: &mut dyn Spill,
) -> Result<Restored, String> {
    let backend = Backend::open(database).map_err(|damage| damage.to_string())?;
    let store = read(&backend, raise, spill).await?;
    if backend.auth().map_err(|damage| damage.to_string())?.enabled == Some(true) {
        return Err(String::from(
            "the cluster asks for authentication, which this build does not know",
        ));
    }
    let rest = || -> Result<Restored, crate::bbolt::Damage> {
        Ok(Restored {
            index: backend.index()?,
            term: backend.term()?,
            store,
            leases: backend.leases()?,
            alarms: backend.alarms()?,
            cluster: Cluster {
                id: cluster_id,
                members: backend.members()?,
                removed: backend.removed()?.into_iter().collect(),
                version: backend.cluster_version()?,
                downgrade: backend
                    .downgrade()?
                    .map(|job| if job.enabled { job.target } else { String::new() }),
            },
            config: backend.conf_state()?.unwrap_or_default().config(),
        })
    };
    rest().map_err(|damage| damage.to_string())
}

async fn read(backend: &Backend<'_>, raise: u64, spill: &mut dyn Spill) -> Result<Store, String> {
    let said = |damage: crate::bbolt::Damage| damage.to_string();
    let mut import = Import::new();
    let mut last = 0;
    for (nth, record) in backend.records().map_err(said)?.enumerate() {
        let (at, tombstone, bytes) = record.map_err(said)?;
        let record = Bytes::copy_from_slice(bytes);
        let pushed = import.push(at, tombstone, &record);
        pushed.map_err(|why| format!("bad database at revision {}/{}: {why}", at.main, at.sub))?;
        last = at.main;
        if import.unspilled() > HELD {
            put_down(&mut import, spill).await.map_err(|error| error.to_string())?;
        }
        if nth % STEP == 0 {
            yield_now().await;
        }
    }
    let mut compacted = backend.compacted().map_err(said)?;
    if raise > 0 {
        compacted = last.checked_add_unsigned(raise).ok_or("the revision has no room above it")?;
        let mark = Revision { main: compacted, sub: 0 };
        import.push(mark, false, &Bytes::new()).map_err(String::from)?;
    }
    Ok(import.finish(1, compacted))
}

/// Moves the chunks that are full from the heap into the spill.
async fn put_down(import: &mut Import, spill: &mut dyn Spill) -> io::Result<()> {
    let chunks = import.take_sealed();
    for chunk in &chunks {
        spill.append(&chunk.bytes)?;
        yield_now().await;
    }
    let mut spilled = spill.share()?;
    for Chunk { number, version, bytes } in chunks {
        let bytes = spilled.split_to(bytes.len());
        import.adopt(&Chunk { number, version, bytes });
    }
    Ok(())
}
