//! Who watches and who keeps a lease alive while members come and go beside them.

use crate::calls::{ATTEMPT, LOOK, PATIENCE, call, insist, put_request};
use keel_cli::load::http2::{Conn, Heard, Method};
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Instant;

const LEASE: i64 = 4711;
/// Seconds: without renewals it ends before the test does.
const TTL: i64 = 10;
const KEY: &str = "/beside";

/// A watcher, a writer for it, and a lease's keeper; they end when they are finished.
#[derive(Clone)]
pub(crate) struct Beside {
    addrs: Rc<RefCell<Vec<String>>>,
    stop: Rc<Cell<bool>>,
    /// Revisions that were acknowledged, and those that the watch told.
    written: Rc<RefCell<Vec<i64>>>,
    seen: Rc<RefCell<Vec<i64>>>,
}

impl Beside {
    pub(crate) async fn begin(addrs: Vec<String>) -> Beside {
        let grant = pb::LeaseGrantRequest { ttl: TTL, id: LEASE };
        let _: pb::LeaseGrantResponse =
            insist(&addrs[0], "/etcdserverpb.Lease/LeaseGrant", &grant).await;
        let put = put_request(KEY, "first");
        let first: pb::PutResponse = insist(&addrs[0], "/etcdserverpb.KV/Put", &put).await;
        let first = first.header.expect("a header").revision;
        let beside = Beside {
            addrs: Rc::new(RefCell::new(addrs)),
            stop: Rc::default(),
            written: Rc::new(RefCell::new(vec![first])),
            seen: Rc::default(),
        };
        tokio::task::spawn_local(beside.clone().write());
        tokio::task::spawn_local(beside.clone().keep());
        tokio::task::spawn_local(beside.clone().watch(first));
        beside
    }

    /// From now on these members are used.
    pub(crate) fn move_to(&self, addrs: Vec<String>) {
        *self.addrs.borrow_mut() = addrs;
    }

    fn addr(&self, turn: usize) -> String {
        let addrs = self.addrs.borrow();
        addrs[turn % addrs.len()].clone()
    }

    async fn write(self) {
        for turn in 0.. {
            if self.stop.get() {
                return;
            }
            let put = put_request(KEY, &turn.to_string());
            let put: io::Result<pb::PutResponse> =
                call(&self.addr(turn), "/etcdserverpb.KV/Put", &put).await;
            if let Ok(put) = put {
                self.written.borrow_mut().push(put.header.expect("a header").revision);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn keep(self) {
        for turn in 0.. {
            if self.stop.get() {
                return;
            }
            let request = pb::LeaseKeepAliveRequest { id: LEASE };
            let alive: io::Result<pb::LeaseKeepAliveResponse> =
                call(&self.addr(turn), "/etcdserverpb.Lease/LeaseKeepAlive", &request).await;
            if let Ok(alive) = alive {
                assert_eq!(alive.ttl, TTL, "the lease was lost");
            }
            tokio::time::sleep(LOOK * 10).await;
        }
    }

    /// Watches at one member until it goes, then at the next, from where it stood.
    async fn watch(self, first: i64) {
        let mut next = first;
        for turn in 0.. {
            // A member that is about to be removed, or that came a moment ago, may refuse.
            let _ = self.watch_at(&self.addr(turn), &mut next).await;
            if self.stop.get() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn watch_at(&self, addr: &str, next: &mut i64) -> io::Result<()> {
        let create =
            pb::WatchCreateRequest { key: KEY.into(), start_revision: *next, ..Default::default() };
        let create = pb::watch_request::RequestUnion::CreateRequest(create);
        let create = pb::WatchRequest { request_union: Some(create) };
        let mut conn = Conn::connect(addr).await?;
        let stream = conn.open(&Method::new("/etcdserverpb.Watch/Watch"));
        conn.send(stream, &create.encode_to_vec());
        while !self.stop.get() {
            // There is news all the time: a member that tells none is gone.
            let heard = tokio::time::timeout(ATTEMPT, conn.next()).await;
            let Heard::Message(_, message) = heard.map_err(|_| io::ErrorKind::TimedOut)?? else {
                return Ok(());
            };
            let told = pb::WatchResponse::decode(message).map_err(io::Error::other)?;
            for event in told.events {
                let revision = event.kv.expect("a put has a version").mod_revision;
                assert!(revision >= *next, "{revision} is told again, after {next}");
                *next = revision + 1;
                self.seen.borrow_mut().push(revision);
            }
        }
        Ok(())
    }

    /// What was acknowledged up to a revision, and not told.
    fn missed(&self, last: i64) -> Vec<i64> {
        let (written, seen) = (self.written.borrow(), self.seen.borrow());
        let missed = |revision: &i64| *revision <= last && seen.binary_search(revision).is_err();
        written.iter().copied().filter(missed).collect()
    }

    /// Waits until the watch has told everything that was acknowledged, and ends them all.
    pub(crate) async fn finish(self) {
        let last = *self.written.borrow().last().expect("the first one");
        let begun = Instant::now();
        while self.seen.borrow().last().is_none_or(|seen| *seen < last) {
            assert!(begun.elapsed() < PATIENCE, "the watch does not come to {last}");
            tokio::time::sleep(LOOK).await;
        }
        self.stop.set(true);
        let missed = self.missed(last);
        assert!(missed.is_empty(), "the watch missed {missed:?}");
        let request = pb::LeaseTimeToLiveRequest { id: LEASE, keys: false };
        let life: pb::LeaseTimeToLiveResponse =
            insist(&self.addr(0), "/etcdserverpb.Lease/LeaseTimeToLive", &request).await;
        assert_eq!(life.granted_ttl, TTL, "the lease lives");
    }
}
