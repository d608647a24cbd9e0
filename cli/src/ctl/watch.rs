//! `watch`: events as they come, perhaps a command for each.

use super::Failed;
use super::args::Watch;
use super::client::Client;
use super::fields::quoted;
use super::keys::span;
use super::output::Output;
use super::words::split;
use clap::Parser;
use keel_proto::pb::etcdserverpb as pb;
use pb::watch_request::RequestUnion;
use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

pub(super) async fn run(client: &Client, output: Output, watch: Watch) -> Result<(), Failed> {
    let mut session = Session::open(client).await?;
    if watch.interactive {
        return session.interact(output).await;
    }
    session.create(watch)?;
    loop {
        let answer = session.answers.next().await;
        session.hear(answer, output)?;
    }
}

/// One stream, and what is to be run for the events of each of its watches.
struct Session {
    ask: mpsc::UnboundedSender<pb::WatchRequest>,
    answers: tonic::Streaming<pb::WatchResponse>,
    /// Commands of the watches that the server has not answered yet, in the order of asking.
    asked: VecDeque<Vec<String>>,
    /// And of those that it has, by their ids.
    commands: BTreeMap<i64, Vec<String>>,
}

impl Session {
    async fn open(client: &Client) -> Result<Session, Failed> {
        let (ask, requests) = mpsc::unbounded_channel();
        let requests = UnboundedReceiverStream::new(requests);
        let answers = client.watch().watch(requests).await?.into_inner();
        Ok(Session { ask, answers, asked: VecDeque::new(), commands: BTreeMap::new() })
    }

    fn create(&mut self, watch: Watch) -> Result<(), Failed> {
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
        self.asked.push_back(watch.exec);
        self.say(RequestUnion::CreateRequest(create))
    }

    fn say(&self, request: RequestUnion) -> Result<(), Failed> {
        let request = pb::WatchRequest { request_union: Some(request) };
        self.ask.send(request).map_err(|_| Failed::plain("the stream is closed"))
    }

    /// Shows what came.
    fn hear(
        &mut self,
        answer: Option<Result<pb::WatchResponse, tonic::Status>>,
        output: Output,
    ) -> Result<(), Failed> {
        let answer = answer.ok_or_else(|| Failed::plain("watch is canceled by the server"))??;
        if answer.canceled {
            return Err(canceled(&answer));
        }
        if answer.created {
            let command = self.asked.pop_front().unwrap_or_default();
            self.commands.insert(answer.watch_id, command);
            return Ok(());
        }
        // Progress that was asked for is told to every watch.
        let tellings = if answer.watch_id < 0 { self.commands.len() } else { 1 };
        for _ in 0..tellings {
            output.watch(&answer)?;
        }
        match self.commands.get(&answer.watch_id) {
            Some(command) => execute(command, &answer),
            None => Ok(()),
        }
    }

    /// Follows requests from standard input until it ends, which is an error, as in etcd.
    async fn interact(&mut self, output: Output) -> Result<(), Failed> {
        let (tell, mut lines) = mpsc::unbounded_channel();
        // Standard input has no other way to be read without waiting for it.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        loop {
            tokio::select! {
                biased;
                answer = self.answers.next() => self.hear(answer, output)?,
                line = lines.recv() => match line {
                    Some(line) => self.follow(&line)?,
                    None => return Err(Failed::input("error reading watch request line: EOF")),
                },
            }
        }
    }

    fn follow(&mut self, line: &str) -> Result<(), Failed> {
        let words = split(line).unwrap_or_default();
        match words.first().map(String::as_str) {
            Some("watch") => match Line::try_parse_from(&words) {
                Ok(line) => self.create(line.watch)?,
                Err(_) => eprintln!("Invalid command {line} (command type or key is not provided)"),
            },
            Some("progress") => {
                self.say(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}))?;
            }
            Some(_) => eprintln!("Invalid command {line} (only support watch)"),
            None => eprintln!("Invalid command: {line} (watch and progress supported)"),
        }
        Ok(())
    }
}

/// A request from standard input.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    watch: Watch,
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
