//! A whole server on a real disk and real sockets, past the wire: it starts, stops, comes back,
//! and dies rather than lie.

use keel_core::command::Range;
use keel_core::disk::{File, Lane};
use keel_core::entry::EntryKind;
use keel_core::members::{Cluster, Member};
use keel_core::node::AutoCompaction;
use keel_core::{Index, Keys, NodeId, Payload, Plan, RawEntry, Refusal, Reply, Term};
use keel_proto::Handle;
use keel_proto::convert::decode_entry;
use keel_proto::pb::etcdserverpb as pb;
use keel_proto::pb::mvccpb::KeyValue;
use keel_runtime_tokio::DataDir;
use keel_runtime_tokio::Journal;
use keel_runtime_tokio::clock::Clock;
use keel_runtime_tokio::disk::{Completion, Disk, DiskFailure, MapDisk};
use keel_runtime_tokio::net::TcpNet;
use keel_runtime_tokio::{
    Backend, Config, Failure, InitDaemon, Initial, Level, Limits, Listen, Log, LogFormat, World,
    start,
};
use prost::Message;
use std::path::Path;
use std::time::Duration;

const ME: NodeId = NodeId(0xa);

fn config(dir: &Path) -> Config {
    let member = Member { name: String::from("one"), ..Member::default() };
    let cluster = Cluster { id: 0xc, members: [(ME, member)].into(), ..Cluster::default() };
    let listen =
        Listen { url: String::from("http://127.0.0.1:0"), addr: ([127, 0, 0, 1], 0).into() };
    Config {
        data_dir: dir.to_path_buf(),
        listen_client: vec![listen],
        listen_client_http: Vec::new(),
        listen_metrics: Vec::new(),
        listen_peer: Vec::new(),
        initial: Initial::New,
        wal_dir: None,
        self_repair: false,
        checks: keel_runtime_tokio::Checks::default(),
        advertise_peer_urls: Vec::new(),
        node: keel_core::Config {
            id: ME,
            cluster_id: cluster.id,
            name: String::from("one"),
            client_urls: Vec::new(),
            version: String::from("3.7.0"),
            heartbeat: Duration::from_millis(10),
            election: Duration::from_millis(100),
            pre_vote: true,
            snapshot_count: 200,
            catch_up_entries: 50,
            lease_checkpoint: false,
            quota_bytes: 0,
            strict_reconfig: true,
            learners_max: 1,
            auto_compaction: AutoCompaction::Off,
        },
        cluster,
        files: keel_core::planner::Options::default(),
        shards: None,
        limits: Limits::default(),
        log: Log::default(),
        shown: Vec::new(),
        drain: Duration::from_secs(5),
        backend: Backend::default(),
        recording: None,
    }
}

/// One life of a server on `disk`: `client` runs beside it, then it is asked to stop.
fn life<D: Disk, T>(
    dir: &Path,
    disk: impl FnOnce(MapDisk) -> D,
    client: impl AsyncFnOnce(Handle) -> T,
) -> (Result<(), Failure>, T) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a test may have a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let clock = Clock::machine();
        let (journal, _) = Journal::memory(Level::Debug, LogFormat::Json, clock);
        let lock = DataDir::lock(dir).expect("the server before is gone");
        let disk = disk(MapDisk::open(lock, Backend::default()).expect("the directory is good"));
        let init = InitDaemon::none(&journal);
        let world = World { net: TcpNet, disk, clock, seed: 7, journal, init };
        let running = start(config(dir), world).await.expect("the directory is good");
        let handle = running.handle().clone();
        while handle.read().await == Err(Refusal::NoLeader) {
            tokio::task::yield_now().await;
        }
        let told = client(handle).await;
        running.stop();
        (running.ended().await, told)
    })
}

async fn put(handle: &Handle, key: &str) -> Result<Reply, Refusal> {
    let ticket = handle.next_id();
    let request = pb::InternalRaftRequest {
        header: Some(pb::RequestHeader { id: ticket, ..pb::RequestHeader::default() }),
        put: Some(pb::PutRequest {
            key: key.to_owned().into(),
            value: "value".into(),
            ..Default::default()
        }),
        ..pb::InternalRaftRequest::default()
    };
    let bytes = request.encode_to_vec().into();
    let raw = RawEntry { term: Term(0), index: Index(0), kind: EntryKind::Normal, bytes };
    let entry = decode_entry(raw).expect("it was just encoded");
    let Payload::Command(proposal) = entry.payload else { panic!("it is a command") };
    handle.propose(proposal).await
}

fn revision(reply: Result<Reply, Refusal>) -> i64 {
    match reply {
        Ok(Reply::Put(put)) => put.revision,
        other => panic!("a put answers with a revision, not {other:?}"),
    }
}

#[test]
fn a_server_goes_on_where_it_stopped() {
    let home = tempfile::tempdir().expect("there is room");
    let (end, last) = life(
        home.path(),
        |disk| disk,
        async |handle| {
            let mut last = 1;
            for _ in 0..500 {
                let now = revision(put(&handle, "key").await);
                assert_eq!(now, last + 1);
                last = now;
            }
            last
        },
    );
    assert_eq!(end, Ok(()));
    let (end, next) =
        life(home.path(), |disk| disk, async |handle| revision(put(&handle, "key").await));
    assert_eq!((end, next), (Ok(()), last + 1));
}

#[test]
fn a_state_on_disk_is_read_back_with_the_log_behind_it() {
    let home = tempfile::tempdir().expect("there is room");
    let keys = |round: u64| (0..300).map(move |key| format!("key-{:03}-{key:03}", round % 3));
    for round in 0..6 {
        let (end, ()) = life(
            home.path(),
            |disk| disk,
            async |handle| {
                let before = handle.latest().kv;
                assert_eq!(before.revision(), 1 + i64::try_from(round).expect("it is small") * 300);
                let mut puts = tokio::task::JoinSet::new();
                for key in keys(round) {
                    let handle = handle.clone();
                    puts.spawn_local(async move { revision(put(&handle, &key).await) });
                }
                puts.join_all().await;
                let range = handle.latest().kv.range(&Range::of(Keys::All)).expect("it is now");
                assert_eq!(
                    range.count,
                    300 * i64::try_from(round + 1).expect("it is small").min(3)
                );
                for record in &range.records {
                    let kv = KeyValue::decode(record.clone()).expect("a record is a KeyValue");
                    assert_eq!(kv.value, "value");
                }
            },
        );
        assert_eq!(end, Ok(()));
    }
}

#[test]
fn concurrent_puts_share_syncs() {
    let home = tempfile::tempdir().expect("there is room");
    let counted = |disk| Counting { disk, commits: std::rc::Rc::default() };
    let mut commits = None;
    let (end, ()) = life(
        home.path(),
        |disk| {
            let disk = counted(disk);
            commits = Some(std::rc::Rc::clone(&disk.commits));
            disk
        },
        async |handle| {
            let mut puts = tokio::task::JoinSet::new();
            for _ in 0..1000 {
                let handle = handle.clone();
                puts.spawn_local(async move { revision(put(&handle, "key").await) });
            }
            let mut revisions = puts.join_all().await;
            revisions.sort_unstable();
            assert_eq!(revisions, (2..1002).collect::<Vec<i64>>());
        },
    );
    assert_eq!(end, Ok(()));
    let commits = commits.expect("the server had its disk").get();
    assert!(commits < 50, "{commits} plans for a thousand puts that came at once");
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let home = tempfile::tempdir().expect("there is room");
    let (end, acknowledged) = life(
        home.path(),
        |disk| Failing { disk, left: 20 },
        async |handle| {
            let mut acknowledged = 0;
            while put(&handle, "key").await.is_ok() {
                acknowledged += 1;
            }
            assert_eq!(put(&handle, "key").await, Err(Refusal::Stopped));
            acknowledged
        },
    );
    let line = end.expect_err("the disk failed").to_string();
    assert!(line.contains("fdatasync") && line.contains(&File::Segment(1).name()), "{line}");
    assert!((1..=20).contains(&acknowledged), "{acknowledged} puts for 20 plans of the log");
}

/// A disk whose log fails to sync after some plans.
struct Failing {
    disk: MapDisk,
    left: u32,
}

impl Disk for Failing {
    fn list(&mut self) -> Result<Vec<(File, u64)>, DiskFailure> {
        self.disk.list()
    }

    fn read(&mut self, file: File, len: u64) -> Result<bytes::Bytes, DiskFailure> {
        self.disk.read(file, len)
    }

    fn submit(&mut self, plan: Plan) {
        self.disk.submit(plan);
    }

    async fn done(&mut self) -> Completion {
        let mut end = self.disk.done().await;
        if end.lane == Lane::Log {
            if self.left == 0 {
                let source = std::io::Error::from_raw_os_error(5);
                let path = File::Segment(1).name();
                end.result = Err(DiskFailure { action: "fdatasync", path, source });
            }
            self.left = self.left.saturating_sub(1);
        }
        end
    }
}

/// A disk that counts the plans of its log.
struct Counting {
    disk: MapDisk,
    commits: std::rc::Rc<std::cell::Cell<u32>>,
}

impl Disk for Counting {
    fn list(&mut self) -> Result<Vec<(File, u64)>, DiskFailure> {
        self.disk.list()
    }

    fn read(&mut self, file: File, len: u64) -> Result<bytes::Bytes, DiskFailure> {
        self.disk.read(file, len)
    }

    fn submit(&mut self, plan: Plan) {
        if plan.lane == Lane::Log {
            self.commits.set(self.commits.get() + 1);
        }
        self.disk.submit(plan);
    }

    async fn done(&mut self) -> Completion {
        self.disk.done().await
    }
}
