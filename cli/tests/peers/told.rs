//! What gRPC clients are told instead of an answer, while members come and go.

use crate::calls::{LOOK, put_request};
use keel_proto::pb::etcdserverpb as pb;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

const LEASE: i64 = 4712;
const TTL: i64 = 60;
const KEY: &str = "/told";
/// Longer than a server waits before it says that a request timed out.
const DEADLINE: Duration = Duration::from_secs(20);
/// A connection that was lost, whatever the library calls it.
const LOST: &str = "the connection is lost";

/// Status and text of each refusal, and how often it was told.
pub(crate) type Refusals = BTreeMap<String, usize>;

/// Clients that write, read and renew until they are finished.
#[derive(Clone, Default)]
pub(crate) struct Told {
    addrs: Rc<RefCell<Vec<String>>>,
    stop: Rc<Cell<bool>>,
    refusals: Rc<RefCell<Refusals>>,
    answered: Rc<Cell<usize>>,
}

impl Told {
    pub(crate) fn begin(addrs: Vec<String>) -> Told {
        let told = Told::default();
        told.move_to(addrs);
        tokio::task::spawn_local(told.clone().write());
        tokio::task::spawn_local(told.clone().read());
        tokio::task::spawn_local(told.clone().renew());
        told
    }

    /// From now on these members are used.
    pub(crate) fn move_to(&self, addrs: Vec<String>) {
        *self.addrs.borrow_mut() = addrs;
    }

    /// What was told; there were answers, too.
    pub(crate) fn finish(self) -> Refusals {
        self.stop.set(true);
        assert!(self.answered.get() > 0, "nobody was answered");
        self.refusals.take()
    }

    async fn write(self) {
        self.ask(async |channel| {
            KvClient::new(channel).put(put_request(KEY, "value")).await.map(drop)
        })
        .await;
    }

    async fn read(self) {
        let range = pb::RangeRequest { key: KEY.into(), ..Default::default() };
        self.ask(async |channel| KvClient::new(channel).range(range.clone()).await.map(drop)).await;
    }

    async fn renew(self) {
        let grant = pb::LeaseGrantRequest { id: LEASE, ttl: TTL };
        self.ask(async |channel| {
            let mut client = LeaseClient::new(channel);
            match client.lease_grant(grant).await {
                Err(status) if status.code() != Code::FailedPrecondition => return Err(status),
                // It is there since the first time.
                _ => {}
            }
            let request = pb::LeaseKeepAliveRequest { id: LEASE };
            let mut renewed = client.lease_keep_alive(tokio_stream::once(request)).await?;
            let answer = renewed.get_mut().message().await?;
            match answer {
                Some(answer) if answer.ttl == TTL => Ok(()),
                other => Err(Status::data_loss(format!("the lease is lost: {other:?}"))),
            }
        })
        .await;
    }

    /// Asks one member after the other, each over a connection that is kept.
    async fn ask(&self, call: impl AsyncFn(Channel) -> Result<(), Status>) {
        let mut channels: BTreeMap<String, Channel> = BTreeMap::new();
        for turn in 0.. {
            if self.stop.get() {
                return;
            }
            let addr = {
                let addrs = self.addrs.borrow();
                addrs[turn % addrs.len()].clone()
            };
            let channel = channels.entry(addr).or_insert_with_key(|addr| connect(addr)).clone();
            match tokio::time::timeout(DEADLINE, call(channel)).await {
                Ok(Ok(())) => self.answered.set(self.answered.get() + 1),
                Ok(Err(status)) => self.refused(text(&status)),
                Err(_) => self.refused(String::from("no answer at all")),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn refused(&self, text: String) {
        *self.refusals.borrow_mut().entry(text).or_default() += 1;
    }
}

fn connect(addr: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("an address is an URL");
    endpoint.connect_timeout(DEADLINE).connect_lazy()
}

/// As a member said it, or that there is none.
fn text(status: &Status) -> String {
    match status.source() {
        Some(_) => String::from(LOST),
        None => format!("{:?}: {}", status.code(), status.message()),
    }
}
