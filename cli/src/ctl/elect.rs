//! `elect`: stands for election until a signal, or tells who leads.

use super::client::Client;
use super::output::Output;
use super::session::{Place, Session, oldest, queue_of};
use super::watcher::Watcher;
use super::{Failed, interrupted};
use clap::Args as ClapArgs;
use keel_proto::pb::etcdserverpb as pb;
use keel_proto::pb::mvccpb::{KeyValue, event::EventType};
use std::convert::Infallible;

/// `elect`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Elect {
    /// The election's name, and a proposal to stand with
    words: Vec<String>,
    /// Tell who leads, and what it proposes
    #[arg(short, long)]
    listen: bool,
}

/// How long a leader outlives its end, in seconds.
const TTL: i64 = 60;

pub(super) async fn run(client: &Client, output: Output, elect: Elect) -> Result<(), Failed> {
    match (elect.words.as_slice(), elect.listen) {
        ([name], true) => {
            let interrupted = interrupted()?;
            tokio::select! {
                Err(failed) = observe(client, output, name) => Err(failed),
                () = interrupted => Ok(()),
            }
        }
        ([name, proposal], false) => campaign(client, output, name, proposal).await,
        ([_], false) => Err(Failed::arguments("no proposal argument but -l not set")),
        ([_, _], true) => Err(Failed::arguments("proposal given but -l is set")),
        _ => Err(Failed::arguments(
            "elect takes one election name argument and an optional proposal argument",
        )),
    }
}

async fn campaign(
    client: &Client,
    output: Output,
    name: &str,
    proposal: &str,
) -> Result<(), Failed> {
    let mut session = Session::open(client, TTL).await?;
    let interrupted = interrupted()?;
    tokio::pin!(interrupted);
    let mut place = Place::take(client, &session, name, proposal).await?;
    tokio::select! {
        turn = place.turn(client) => turn?,
        () = &mut interrupted => {
            place.leave(client).await?;
            return Err(Failed::plain("context canceled"));
        }
    }
    output.range(&place.read(client).await?, false)?;
    tokio::select! {
        () = session.lost() => Err(Failed::plain("elect: session expired")),
        () = interrupted => place.leave(client).await,
    }
}

/// Tells of each leader, and of each of its proposals, until it cannot any more.
async fn observe(client: &Client, output: Output, name: &str) -> Result<Infallible, Failed> {
    let queue = queue_of(name);
    loop {
        let answer = client.kv().range(oldest(&queue)).await.map_err(lost)?.into_inner();
        let revision = answer.header.unwrap_or_default().revision;
        let (key, from) = match answer.kvs.first() {
            Some(kv) => {
                let key = kv.key.clone();
                output.range(&answer_of(answer.header, kv.clone()), false)?;
                (key, revision + 1)
            }
            None => {
                let kv = first(client, &queue, revision).await?;
                let header = answer
                    .header
                    .map(|header| pb::ResponseHeader { revision: kv.mod_revision, ..header });
                let (key, from) = (kv.key.clone(), kv.mod_revision + 1);
                output.range(&answer_of(header, kv), false)?;
                (key, from)
            }
        };
        follow(client, output, key.into(), from).await?;
    }
}

/// Why somebody who follows an election cannot, whatever the server said.
fn lost<E>(_: E) -> Failed {
    Failed::plain("elect: observer lost")
}

fn answer_of(header: Option<pb::ResponseHeader>, kv: KeyValue) -> pb::RangeResponse {
    pb::RangeResponse { header, kvs: vec![kv], ..Default::default() }
}

/// The first key that comes into a queue.
async fn first(client: &Client, queue: &[u8], revision: i64) -> Result<KeyValue, Failed> {
    let request = pb::WatchCreateRequest {
        key: queue.to_vec().into(),
        range_end: super::keys::behind_prefix(queue).into(),
        start_revision: revision,
        ..Default::default()
    };
    let mut watcher = Watcher::on(client, request);
    loop {
        let answer = watcher.next().await.map_err(lost)?.answer;
        if answer.canceled {
            return Err(lost(answer));
        }
        let put = answer.events.into_iter().find(|event| event.r#type() == EventType::Put);
        if let Some(kv) = put.and_then(|event| event.kv) {
            return Ok(kv);
        }
    }
}

/// Tells what a leader proposes until it leads no more.
async fn follow(client: &Client, output: Output, key: Vec<u8>, from: i64) -> Result<(), Failed> {
    let request =
        pb::WatchCreateRequest { key: key.into(), start_revision: from, ..Default::default() };
    let mut watcher = Watcher::on(client, request);
    loop {
        let answer = watcher.next().await.map_err(lost)?.answer;
        if answer.canceled {
            return Err(lost(answer));
        }
        for event in answer.events {
            match (event.r#type(), event.kv) {
                (EventType::Put, Some(kv)) => output.range(&answer_of(answer.header, kv), false)?,
                _ => return Ok(()),
            }
        }
    }
}
