//! `watch`: events as they come, perhaps a command for each.

use super::args::WATCH_KEYS;
use super::client::Client;
use super::fields::quoted;
use super::keys::span;
use super::output::{Output, print};
use super::watcher::{Told, Watcher};
use super::words::split;
use super::{Failed, exec};
use crate::command_line;
use clap::error::{ContextKind, ContextValue};
use clap::{Args as ClapArgs, CommandFactory, FromArgMatches, Parser};
use keel_proto::pb::etcdserverpb as pb;
use tokio::sync::mpsc;

/// `watch`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Watch {
    /// Key, perhaps the end of a range, and behind `--` a command to run for each event
    words: Vec<String>,
    /// Begin at this revision
    #[arg(long, default_value_t = 0)]
    rev: i64,
    /// Keys that begin like this one
    #[arg(long)]
    prefix: bool,
    /// Return pairs before
    #[arg(long)]
    prev_kv: bool,
    /// Ask for signs of progress
    #[arg(long)]
    progress_notify: bool,
    /// Read requests from standard input: `watch <key> ...`, or `progress`
    #[arg(short, long)]
    interactive: bool,
    /// A command to run for each event
    #[arg(last = true)]
    exec: Vec<String>,
}

/// What is told of a watch that begins before what is left of the history.
pub(super) const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

const BAD_NUMBER: &str = "bad number of arguments";

pub(super) async fn run(client: &Client, output: Output, watch: Watch) -> Result<(), Failed> {
    let env = Environment::read()?;
    if watch.interactive {
        return Session::new(client, env, output).interact().await;
    }
    let separator = std::env::args().any(|word| word == "--");
    let watch = env.completed(watch, separator)?;
    let mut session = Session::new(client, env, output);
    session.create(watch)?;
    loop {
        let told = session.watcher.next().await;
        if session.hear(told).await? == Heard::End {
            let line = "watch is canceled by the server";
            return Err(Failed { code: 5, ..Failed::plain(line) });
        }
    }
}

/// What the environment says to watch.
struct Environment {
    key: Option<String>,
    range_end: Option<String>,
}

impl Environment {
    fn read() -> Result<Environment, Failed> {
        let [key, range_end] =
            WATCH_KEYS.map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        match (&key, &range_end) {
            (None, Some(end)) => Err(Failed::arguments(format!(
                "ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END={end:?}"
            ))),
            _ => Ok(Environment { key, range_end }),
        }
    }

    /// A watch with the environment's key, where the line names none.
    fn completed(&self, mut watch: Watch, separator: bool) -> Result<Watch, Failed> {
        if separator && watch.exec.is_empty() {
            let why = format!("{BAD_NUMBER} (found separator --, but no commands)");
            return Err(Failed::arguments(why));
        }
        match &self.key {
            Some(_) if !watch.words.is_empty() => {
                let why = format!("{BAD_NUMBER} (found conflicting environment key)");
                return Err(Failed::arguments(why));
            }
            Some(key) => {
                watch.words =
                    [Some(key.clone()), self.range_end.clone()].into_iter().flatten().collect();
            }
            None if watch.words.is_empty() => return Err(Failed::arguments(BAD_NUMBER)),
            None => {}
        }
        Ok(watch)
    }
}

/// What an answer meant for its watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    GoesOn,
    End,
}

/// Some watches, and what is to be run for the events of each.
struct Session {
    watcher: Watcher,
    env: Environment,
    output: Output,
    /// In the order of asking; `None` where a watch has ended.
    commands: Vec<Option<Vec<String>>>,
}

impl Session {
    fn new(client: &Client, env: Environment, output: Output) -> Session {
        Session { watcher: Watcher::open(client), env, output, commands: Vec::new() }
    }

    fn create(&mut self, watch: Watch) -> Result<(), Failed> {
        let request = create_request(&watch)?;
        self.watcher.create(request);
        self.commands.push(Some(watch.exec));
        Ok(())
    }

    /// Shows what came.
    async fn hear(&mut self, told: Result<Told, Failed>) -> Result<Heard, Failed> {
        let Told { watch, answer } = match told {
            Ok(told) => told,
            Err(failed) => {
                // The stream itself is over, and all watches with it.
                eprintln!("watch was canceled ({})", failed.line);
                return Ok(Heard::End);
            }
        };
        if answer.canceled {
            eprintln!("watch was canceled ({})", reason(&answer));
        } else if answer.created {
            return Ok(Heard::GoesOn);
        }
        // Progress that was asked for is told to every watch.
        let watches = match watch {
            Some(number) => number..number + 1,
            None => 0..self.commands.len(),
        };
        for number in watches {
            let Some(command) = &self.commands[number] else { continue };
            if answer.events.is_empty() && !answer.canceled {
                let revision = answer.header.unwrap_or_default().revision;
                print(format!("progress notify: {revision}\n").as_bytes())?;
            }
            self.output.watch(&answer)?;
            execute(command, &answer).await?;
        }
        if let (true, Some(number)) = (answer.canceled, watch) {
            self.commands[number] = None;
            return Ok(Heard::End);
        }
        Ok(Heard::GoesOn)
    }

    /// Follows requests from standard input until it ends, which is an error, as in etcd. A
    /// watch that ends does not end the others.
    async fn interact(mut self) -> Result<(), Failed> {
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
                told = self.watcher.next() => {
                    self.hear(told).await?;
                }
                line = lines.recv() => match line {
                    Some(line) => self.follow(&line)?,
                    None => return Err(Failed::input("error reading watch request line: EOF")),
                },
            }
        }
    }

    /// Follows one line. What cannot be understood is said and passed over, but for a line that
    /// is a mistake in itself.
    fn follow(&mut self, line: &str) -> Result<(), Failed> {
        let words = split(line).unwrap_or_default();
        match words.first().map(String::as_str) {
            Some("watch") if words.len() < 2 && self.env.key.is_none() => {
                eprintln!("Invalid command {line} (command type or key is not provided)");
            }
            Some("watch") => {
                let separator = words.iter().any(|word| word == "--");
                let watch = self.env.completed(read(&words)?, separator)?;
                if let Err(failed) = self.create(watch) {
                    eprintln!("Invalid command {line} ({})", failed.line);
                }
            }
            Some("progress") => self.watcher.progress(),
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

fn read(words: &[String]) -> Result<Watch, Failed> {
    let matches = command_line::shaped(Line::command()).try_get_matches_from(words);
    let line = matches.and_then(|matches| Line::from_arg_matches(&matches));
    line.map(|line| line.watch).map_err(|error| match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => Failed::arguments(format!("unknown flag: {flag}")),
        _ => Failed::arguments(error.to_string().lines().next().unwrap_or_default()),
    })
}

/// Two words are a range; of more, etcd takes the first for the key and passes the rest over.
fn create_request(watch: &Watch) -> Result<pb::WatchCreateRequest, Failed> {
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
pub(super) fn reason(answer: &pb::WatchResponse) -> &str {
    match answer.compact_revision {
        0 => &answer.cancel_reason,
        _ => COMPACTED,
    }
}

/// Runs the command once for each event, with what happened in its environment.
async fn execute(words: &[String], answer: &pb::WatchResponse) -> Result<(), Failed> {
    let revision = answer.header.unwrap_or_default().revision;
    for event in &answer.events {
        let kv = event.kv.clone().unwrap_or_default();
        let environment = vec![
            ("ETCD_WATCH_REVISION", revision.to_string()),
            ("ETCD_WATCH_EVENT_TYPE", quoted(event.r#type().as_str_name().as_bytes())),
            ("ETCD_WATCH_KEY", quoted(&kv.key)),
            ("ETCD_WATCH_VALUE", quoted(&kv.value)),
        ];
        if let Err(failed) = exec::run(words, environment).await {
            let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            eprintln!("command [{}] error ({})", words.join(" "), failed.line);
            return Err(Failed::silent());
        }
    }
    Ok(())
}
