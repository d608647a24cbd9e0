//! `watch`: events as they come, perhaps a command for each.

use super::Failed;
use super::args::Watch;
use super::client::Client;
use super::fields::quoted;
use super::keys::span;
use super::output::Output;
use super::words::split;
use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use keel_proto::pb::etcdserverpb as pb;
use pb::watch_request::RequestUnion;
use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;

/// Answers that may wait to be shown.
const ANSWERS: usize = 16;

pub(super) async fn run(client: &Client, output: Output, watch: Watch) -> Result<(), Failed> {
    if watch.interactive {
        return Session::open(client).interact(output).await;
    }
    let mut session = Session::open(client);
    session.create(watch)?;
    loop {
        let answer = session.answers.recv().await;
        if session.hear(answer, output)? == Heard::End {
            return Err(Failed::plain("watch is canceled by the server"));
        }
    }
}

/// What an answer meant for its watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    GoesOn,
    End,
}

/// One stream, and what is to be run for the events of each of its watches.
struct Session {
    ask: mpsc::UnboundedSender<pb::WatchRequest>,
    answers: mpsc::Receiver<Result<pb::WatchResponse, Status>>,
    /// Commands of the watches that the server has not answered yet, in the order of asking.
    asked: VecDeque<Vec<String>>,
    /// And of those that it has, by their ids.
    commands: BTreeMap<i64, Vec<String>>,
}

impl Session {
    /// Opens the stream beside the caller: etcd's server answers nothing, not even that the
    /// stream is open, before the first request.
    fn open(client: &Client) -> Session {
        let (ask, requests) = mpsc::unbounded_channel();
        let (tell, answers) = mpsc::channel(ANSWERS);
        let mut service = client.watch();
        tokio::spawn(async move {
            let requests = UnboundedReceiverStream::new(requests);
            let mut stream = match service.watch(requests).await {
                Ok(response) => response.into_inner(),
                Err(status) => {
                    // Whoever stopped listening needs no reason.
                    let _ = tell.send(Err(status)).await;
                    return;
                }
            };
            while let Some(answer) = stream.next().await {
                if tell.send(answer).await.is_err() {
                    return;
                }
            }
        });
        Session { ask, answers, asked: VecDeque::new(), commands: BTreeMap::new() }
    }

    fn create(&mut self, watch: Watch) -> Result<(), Failed> {
        let request = create_request(&watch)?;
        self.asked.push_back(watch.exec);
        self.say(RequestUnion::CreateRequest(request))
    }

    fn say(&self, request: RequestUnion) -> Result<(), Failed> {
        let request = pb::WatchRequest { request_union: Some(request) };
        self.ask.send(request).map_err(|_| Failed::plain("the stream is closed"))
    }

    /// Shows what came.
    fn hear(
        &mut self,
        answer: Option<Result<pb::WatchResponse, Status>>,
        output: Output,
    ) -> Result<Heard, Failed> {
        let answer = answer.ok_or_else(|| Failed::plain("watch is canceled by the server"))??;
        if answer.created {
            let command = self.asked.pop_front().unwrap_or_default();
            self.commands.insert(answer.watch_id, command);
        }
        if answer.canceled {
            self.commands.remove(&answer.watch_id);
            eprintln!("watch was canceled ({})", reason(&answer));
            return Ok(Heard::End);
        }
        if answer.created {
            return Ok(Heard::GoesOn);
        }
        // Progress that was asked for is told to every watch.
        let tellings = if answer.watch_id < 0 { self.commands.len() } else { 1 };
        for _ in 0..tellings {
            output.watch(&answer)?;
        }
        if let Some(command) = self.commands.get(&answer.watch_id) {
            execute(command, &answer)?;
        }
        Ok(Heard::GoesOn)
    }

    /// Follows requests from standard input until it ends, which is an error, as in etcd. A
    /// watch that ends does not end the others.
    async fn interact(mut self, output: Output) -> Result<(), Failed> {
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
                answer = self.answers.recv() => {
                    self.hear(answer, output)?;
                }
                line = lines.recv() => match line {
                    Some(line) => self.follow(&line)?,
                    None => return Err(Failed::input("error reading watch request line: EOF")),
                },
            }
        }
    }

    /// Follows one line. What cannot be understood is said and passed over, but for a flag that
    /// there is not.
    fn follow(&mut self, line: &str) -> Result<(), Failed> {
        let words = split(line).unwrap_or_default();
        match words.first().map(String::as_str) {
            Some("watch") => {
                let watch = Line::try_parse_from(&words).map_err(unknown_flag)?.watch;
                if watch.words.is_empty() {
                    eprintln!("Invalid command {line} (command type or key is not provided)");
                } else if let Err(failed) = self.create(watch) {
                    eprintln!("Invalid command {line} ({})", failed.line);
                }
            }
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

fn unknown_flag(error: clap::Error) -> Failed {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => Failed::arguments(format!("unknown flag: {flag}")),
        _ => Failed::arguments(error.to_string().lines().next().unwrap_or_default()),
    }
}

/// Two words are a range; of more, etcd takes the first for the key and passes the rest over.
fn create_request(watch: &Watch) -> Result<pb::WatchCreateRequest, Failed> {
    if watch.words.is_empty() {
        return Err(Failed::arguments("bad number of arguments"));
    }
    if watch.words.len() == 2 && watch.prefix {
        return Err(Failed::arguments("`range_end` and `--prefix` are mutually exclusive"));
    }
    let words = if watch.words.len() == 2 { &watch.words } else { &watch.words[..1] };
    let (key, range_end) = span(words, watch.prefix, false);
    Ok(pb::WatchCreateRequest {
        key: key.into(),
        range_end: range_end.into(),
        start_revision: watch.rev,
        prev_kv: watch.prev_kv,
        progress_notify: watch.progress_notify,
        ..Default::default()
    })
}

/// Why the server ended a watch.
fn reason(answer: &pb::WatchResponse) -> &str {
    match answer.compact_revision {
        0 => &answer.cancel_reason,
        _ => "etcdserver: mvcc: required revision has been compacted",
    }
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
