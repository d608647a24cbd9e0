//! `watch`: events as they come, perhaps a command for each.

use super::Failed;
use super::args::Watch;
use super::client::Client;
use super::fields::quoted;
use super::keys::span;
use super::output::Output;
use keel_proto::pb::etcdserverpb as pb;
use pb::watch_request::RequestUnion;
use std::process::Command;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

pub(super) async fn run(client: &Client, output: Output, watch: Watch) -> Result<(), Failed> {
    if watch.words.is_empty() || watch.words.len() > 2 {
        return Err(Failed::arguments("bad number of arguments"));
    }
    if watch.words.len() == 2 && watch.prefix {
        return Err(Failed::arguments("`range_end` and `--prefix` are mutually exclusive"));
    }
    let (key, range_end) = span(&watch.words, watch.prefix, false);
    let create = pb::WatchCreateRequest {
        key: key.into(),
        range_end: range_end.into(),
        start_revision: watch.rev,
        prev_kv: watch.prev_kv,
        progress_notify: watch.progress_notify,
        ..Default::default()
    };
    let (ask, requests) = mpsc::unbounded_channel();
    let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    ask.send(request).map_err(|_| Failed::plain("the stream is closed"))?;
    let requests = UnboundedReceiverStream::new(requests);
    let mut answers = client.watch().watch(requests).await?.into_inner();
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        if answer.canceled {
            return Err(canceled(&answer));
        }
        if answer.created {
            continue;
        }
        output.watch(&answer)?;
        if !watch.exec.is_empty() {
            execute(&watch.exec, &answer)?;
        }
    }
    Err(Failed::plain("watch is canceled by the server"))
}

fn canceled(answer: &pb::WatchResponse) -> Failed {
    let reason = match answer.compact_revision {
        0 => answer.cancel_reason.clone(),
        _ => String::from("etcdserver: mvcc: required revision has been compacted"),
    };
    eprintln!("watch was canceled ({reason})");
    Failed::plain("watch is canceled by the server")
}

/// Runs the command once for each event, with what happened in its environment.
fn execute(words: &[String], answer: &pb::WatchResponse) -> Result<(), Failed> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let revision = answer.header.unwrap_or_default().revision;
    for event in &answer.events {
        let kv = event.kv.clone().unwrap_or_default();
        let status = Command::new(program)
            .args(arguments)
            .env("ETCD_WATCH_REVISION", revision.to_string())
            .env("ETCD_WATCH_EVENT_TYPE", quoted(event.r#type().as_str_name().as_bytes()))
            .env("ETCD_WATCH_KEY", quoted(&kv.key))
            .env("ETCD_WATCH_VALUE", quoted(&kv.value))
            .status();
        if let Err(error) = status {
            return Err(Failed::plain(format!("command {words:?} error ({error})")));
        }
    }
    Ok(())
}
