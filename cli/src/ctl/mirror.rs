//! `make-mirror`: copies keys into another cluster, and follows their changes.

use super::Failed;
use super::client::Client;
use super::keys::span;
use super::watch::COMPACTED;
use super::watcher::Watcher;
use crate::progress;
use clap::Args as ClapArgs;
use keel_proto::pb::{etcdserverpb as pb, mvccpb};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// `make-mirror`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Mirror {
    /// The endpoint of the cluster to copy to
    words: Vec<String>,
    /// Only keys that begin like this one
    #[arg(long, default_value = "")]
    prefix: String,
    /// Copy nothing that is there: follow the changes from this revision on
    #[arg(long, default_value_t = 0)]
    rev: i64,
    /// Operations that one transaction may hold
    #[arg(long, default_value_t = 128)]
    max_txn_ops: u64,
    /// What stands in the prefix's place over there
    #[arg(long, default_value = "")]
    dest_prefix: String,
    /// Nothing stands in the prefix's place over there
    #[arg(long)]
    no_dest_prefix: bool,
    /// The client's certificate; TLS is not spoken yet
    #[arg(long)]
    dest_cert: Option<String>,
    /// The client's key; TLS is not spoken yet
    #[arg(long)]
    dest_key: Option<String>,
    /// Whose certificates to trust; TLS is not spoken yet
    #[arg(long)]
    dest_cacert: Option<String>,
    /// Speak without TLS; there is no other way yet
    #[arg(long, default_value = "true")]
    dest_insecure_transport: bool,
    /// username[:password]; authentication is not served yet
    #[arg(long)]
    dest_user: Option<String>,
    /// The user's password; authentication is not served yet
    #[arg(long)]
    dest_password: Option<String>,
}

/// How often it says how many keys it has copied.
const REPORT: Duration = Duration::from_secs(30);
/// Keys that are read at a time.
const KEYS_AT_ONCE: i64 = 1000;

pub(super) async fn run(client: &Client, mirror: Mirror) -> Result<(), Failed> {
    let [destination] = mirror.words.as_slice() else {
        return Err(Failed::arguments("make-mirror takes one destination argument"));
    };
    mirror.refuse_what_cannot_act()?;
    if mirror.no_dest_prefix && !mirror.dest_prefix.is_empty() {
        return Err(Failed::arguments(
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one",
        ));
    }
    let copied = Arc::new(AtomicU64::new(0));
    tokio::spawn(report(Arc::clone(&copied)));
    let there = client.only(destination)?;
    let mut copy = Copy { here: client, there, mirror: &mirror, copied };
    let from = match mirror.rev {
        // As in etcd, the first revision is everything, too.
        ..=1 => copy.base().await? + 1,
        revision => revision,
    };
    copy.follow(from).await
}

impl Mirror {
    fn refuse_what_cannot_act(&self) -> Result<(), Failed> {
        let tls = [&self.dest_cert, &self.dest_key, &self.dest_cacert];
        if tls.into_iter().any(Option::is_some) || !self.dest_insecure_transport {
            return Err(Failed::plain(
                "--dest-cert, --dest-key, --dest-cacert and --dest-insecure-transport=false cannot \
                 be followed: TLS is not spoken yet",
            ));
        }
        if self.dest_user.is_some() || self.dest_password.is_some() {
            return Err(Failed::plain(
                "--dest-user and --dest-password cannot be followed: there is no authentication \
                 yet",
            ));
        }
        Ok(())
    }

    /// A key as it is called over there. Without a word on it, it keeps its name where all is
    /// copied, and loses its prefix where only changes are: so does etcd.
    fn renamed(&self, key: &[u8]) -> Vec<u8> {
        let whole = self.rev <= 1 && !self.no_dest_prefix && self.dest_prefix.is_empty();
        match key.strip_prefix(self.prefix.as_bytes()) {
            Some(rest) if !whole => [self.dest_prefix.as_bytes(), rest].concat(),
            _ => key.to_vec(),
        }
    }
}

/// Says every half a minute how many keys were copied, for ever.
async fn report(copied: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(REPORT).await;
        println!("{}", copied.load(Ordering::Relaxed));
    }
}

struct Copy<'a> {
    here: &'a Client,
    there: Client,
    mirror: &'a Mirror,
    copied: Arc<AtomicU64>,
}

impl Copy<'_> {
    /// Copies all keys as they are at one revision, which it says.
    async fn base(&mut self) -> Result<i64, Failed> {
        let (key, range_end) = span(slice::from_ref(&self.mirror.prefix), true, false);
        let mut range = pb::RangeRequest {
            key: key.into(),
            range_end: range_end.into(),
            limit: KEYS_AT_ONCE,
            sort_order: pb::range_request::SortOrder::Ascend.into(),
            ..Default::default()
        };
        let bar = progress::things(0, "keys");
        let mut total = 0;
        loop {
            let answer = self.here.kv().range(range.clone()).await?.into_inner();
            if range.revision == 0 {
                range.revision = answer.header.unwrap_or_default().revision;
                total = answer.count;
            }
            bar.set_length(total.unsigned_abs());
            let last = answer.kvs.last().map(|kv| kv.key.clone());
            for kv in answer.kvs {
                self.there.kv().put(self.put(&kv)).await?;
                self.copied.fetch_add(1, Ordering::Relaxed);
                bar.inc(1);
            }
            let (true, Some(last)) = (answer.more, last) else { break };
            range.key = [&last[..], &[0]].concat().into();
        }
        bar.finish_and_clear();
        Ok(range.revision)
    }

    /// Follows changes, a transaction a revision, until they cannot be followed any more.
    async fn follow(&mut self, from: i64) -> Result<(), Failed> {
        let (key, range_end) = span(slice::from_ref(&self.mirror.prefix), true, false);
        let request = pb::WatchCreateRequest {
            key: key.into(),
            range_end: range_end.into(),
            start_revision: from,
            ..Default::default()
        };
        let mut watcher = Watcher::on(self.here, request);
        loop {
            let answer = watcher.next().await?.answer;
            if answer.compact_revision != 0 {
                return Err(Failed::plain(COMPACTED));
            }
            if answer.canceled {
                return Err(Failed::plain(answer.cancel_reason));
            }
            let (mut ops, mut revision) = (Vec::new(), 0);
            for event in answer.events {
                let kv = event.kv.clone().unwrap_or_default();
                let full = ops.len() as u64 == self.mirror.max_txn_ops;
                if full || revision != 0 && kv.mod_revision > revision {
                    self.change(std::mem::take(&mut ops)).await?;
                }
                revision = kv.mod_revision;
                ops.push(self.op(event.r#type(), &kv));
                self.copied.fetch_add(1, Ordering::Relaxed);
            }
            if !ops.is_empty() {
                self.change(ops).await?;
            }
        }
    }

    async fn change(&self, success: Vec<pb::RequestOp>) -> Result<(), Failed> {
        self.there.kv().txn(pb::TxnRequest { success, ..Default::default() }).await?;
        Ok(())
    }

    fn op(&self, kind: mvccpb::event::EventType, kv: &mvccpb::KeyValue) -> pb::RequestOp {
        use pb::request_op::Request;
        let request = match kind {
            mvccpb::event::EventType::Put => Request::RequestPut(self.put(kv)),
            mvccpb::event::EventType::Delete => {
                let key = self.mirror.renamed(&kv.key).into();
                Request::RequestDeleteRange(pb::DeleteRangeRequest { key, ..Default::default() })
            }
        };
        pb::RequestOp { request: Some(request) }
    }

    fn put(&self, kv: &mvccpb::KeyValue) -> pb::PutRequest {
        let key = self.mirror.renamed(&kv.key).into();
        pb::PutRequest { key, value: kv.value.clone(), ..Default::default() }
    }
}
