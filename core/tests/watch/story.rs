//! The commands of the hub's stories.
//!
//! ```text
//! open 1 1000                     a stream with a window; `open 1` never runs out of credit
//! create 1 a:c start=3 prev       keys: `a`, `a:c`, `a:` (from), `:` (all), `-` (refused)
//! put a=1,del b | put c=2         revisions by `|`, changes by `,`: one batch
//! missed put a=1                  applied, but the batch never came
//! install put a=1                 the new state comes without its events, as a snapshot's
//! late put a=1                    applied, but the batch comes with the next `arrive`
//! new hub                         a hub that begins at the store's state
//! take all                        from now on answers are taken as soon as they come
//! unread put a=1                  one step, and what comes out waits
//! once create 1 a                 one step; else as many as the hub asks for
//! ```

use crate::store::{Change, Store};
use crate::times::{nanos, time};
use bytes::Bytes;
use keel_core::types::Instant;
use keel_core::watch::{Answer, Config, Delivery, Hub, HubInput, StreamId, Watch};
use keel_core::{Batch, Event, Keys};
use std::sync::Arc;

pub(crate) struct Story {
    now: Instant,
    store: Store,
    hub: Hub,
    /// Whether answers are taken, and their cost credited, as soon as they come.
    taken: bool,
    /// Batches that are still on their way.
    held: Vec<Arc<Batch>>,
    /// Whether nobody polls.
    deaf: bool,
    /// Whether the hub is called again while it asks for it.
    patient: bool,
}

impl Story {
    pub(crate) fn new() -> Story {
        let store = Store::new();
        let small = Config { fragment_bytes: 1000, scan_max: 10, ..Config::default() };
        let config = Config { catch_up_max: 3, ..small };
        let hub = Hub::new(config, store.view());
        Story {
            now: Instant(0),
            store,
            hub,
            taken: false,
            held: Vec::new(),
            deaf: false,
            patient: true,
        }
    }

    /// Steps, and then as often as the hub asks to be called at once.
    fn step(&mut self, input: HubInput) -> Vec<String> {
        let mut told = Vec::new();
        self.hub.step(self.now, input);
        if self.deaf {
            return told;
        }
        loop {
            while let Some(delivery) = self.hub.poll() {
                told.push(tell(&delivery));
                if self.taken {
                    let Delivery { stream, cost: bytes, .. } = delivery;
                    self.hub.step(self.now, HubInput::Credit { stream, bytes });
                }
            }
            if !self.patient || self.hub.deadline() != Some(self.now) {
                return told;
            }
            self.hub.step(self.now, HubInput::Tick);
        }
    }
}

pub(crate) fn run(story: &mut Story, words: &[&str]) -> Vec<String> {
    let stream = |word: &str| StreamId(word.parse().expect("a stream's number"));
    let number = |word: &str| word.parse::<i64>().expect("a number");
    match *words {
        ["at", at] => {
            story.now = Instant(nanos(at));
            story.step(HubInput::Tick)
        }
        ["take", "all"] => {
            story.taken = true;
            Vec::new()
        }
        ["once", ref command @ ..] => {
            story.patient = false;
            let told = run(story, command);
            story.patient = true;
            told
        }
        ["unread", ref command @ ..] => {
            story.deaf = true;
            let told = run(story, command);
            story.deaf = false;
            told
        }
        ["tick"] => story.step(HubInput::Tick),
        ["open", id] => {
            let mut told = story.step(HubInput::Open { stream: stream(id) });
            told.extend(story.step(HubInput::Credit { stream: stream(id), bytes: usize::MAX / 4 }));
            told
        }
        ["open", id, bytes] => {
            let mut told = story.step(HubInput::Open { stream: stream(id) });
            let bytes = bytes.parse().expect("a number of bytes");
            told.extend(story.step(HubInput::Credit { stream: stream(id), bytes }));
            told
        }
        ["close", id] => story.step(HubInput::Close { stream: stream(id) }),
        ["create", id, keys, ref options @ ..] => {
            story.step(HubInput::Create { stream: stream(id), watch: watch(keys, options) })
        }
        ["cancel", on, id] => story.step(HubInput::Cancel { stream: stream(on), id: number(id) }),
        ["progress", id] => story.step(HubInput::Progress { stream: stream(id) }),
        ["credit", id, bytes] => {
            let bytes = bytes.parse().expect("a number of bytes");
            story.step(HubInput::Credit { stream: stream(id), bytes })
        }
        ["compact", revision] => {
            let batch = story.store.compact(number(revision));
            story.step(HubInput::Applied(batch))
        }
        ["late", ref rest @ ..] => {
            story.held.push(story.store.apply(&transactions(rest)));
            Vec::new()
        }
        ["arrive"] => {
            let held = std::mem::take(&mut story.held);
            held.into_iter().flat_map(|batch| story.step(HubInput::Applied(batch))).collect()
        }
        ["new", "hub"] => {
            story.hub = Hub::new(Config::default(), story.store.view());
            Vec::new()
        }
        ["install", ref rest @ ..] => {
            let Batch { view, before, .. } = (*story.store.apply(&transactions(rest))).clone();
            let batch = Batch { view, before, events: Vec::new() };
            story.step(HubInput::Applied(Arc::new(batch)))
        }
        ["missed", "compact", revision] => {
            story.store.compact(number(revision));
            Vec::new()
        }
        ["missed", ref rest @ ..] => {
            story.store.apply(&transactions(rest));
            Vec::new()
        }
        ["put" | "del" | "big", ..] => {
            let batch = story.store.apply(&transactions(words));
            story.step(HubInput::Applied(batch))
        }
        ["puts", key, count] => {
            let changes = (0..number(count)).map(|n| vec![(key.to_string(), Some(n.to_string()))]);
            let batch = story.store.apply(&changes.collect::<Vec<_>>());
            story.step(HubInput::Applied(batch))
        }
        ["deadline"] => vec![story.hub.deadline().map_or("none".into(), |at| time(at.0))],
        ["counts"] => vec![format!("{:?}", story.hub.counts())],
        _ => panic!("no such command: {words:?}"),
    }
}

fn watch(keys: &str, options: &[&str]) -> Watch {
    let mut watch = Watch {
        id: 0,
        keys: keys_of(keys),
        start: 0,
        progress: false,
        no_put: false,
        no_delete: false,
        prev_kv: false,
        fragment: false,
    };
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("id", id) => watch.id = id.parse().expect("a number"),
            ("start", start) => watch.start = start.parse().expect("a number"),
            ("progress", _) => watch.progress = true,
            ("no-put", _) => watch.no_put = true,
            ("no-delete", _) => watch.no_delete = true,
            ("prev", _) => watch.prev_kv = true,
            ("fragment", _) => watch.fragment = true,
            _ => panic!("no such option: {option}"),
        }
    }
    watch
}

fn keys_of(word: &str) -> Option<Keys> {
    let bytes = |text: &str| Bytes::from(text.to_string());
    Some(match word.split_once(':') {
        _ if word == "-" => return None,
        None => Keys::One(bytes(word)),
        Some(("", "")) => Keys::All,
        Some((from, "")) => Keys::From(bytes(from)),
        Some((from, to)) => Keys::Span { from: bytes(from), to: bytes(to) },
    })
}

fn transactions(words: &[&str]) -> Vec<Vec<Change>> {
    let text = words.join(" ");
    let revisions = text.split('|').map(|revision| revision.split(',').map(change).collect());
    revisions.collect()
}

fn change(text: &str) -> Change {
    let words: Vec<_> = text.split_whitespace().collect();
    match words[..] {
        ["put", pair] => {
            let (key, value) = pair.split_once('=').expect("key=value");
            (key.into(), Some(value.into()))
        }
        ["big", key] => (key.into(), Some("x".repeat(400))),
        ["del", key] => (key.into(), None),
        _ => panic!("no such change: {text}"),
    }
}

/// One delivery as a line.
fn tell(delivery: &Delivery) -> String {
    let Delivery { stream, id, revision, answer, .. } = delivery;
    let told = match answer {
        Answer::Created => "created".into(),
        Answer::Refused { reason } => format!("refused: {reason}"),
        Answer::Canceled { compacted: 0, reason } => format!("canceled {reason}"),
        Answer::Canceled { compacted, .. } => format!("canceled, compacted at {compacted}"),
        Answer::Progress => "progress".into(),
        Answer::Events { events, prev_kv, fragment } => {
            let told: Vec<_> = match &events[..] {
                [first, .., last] if events.len() > 8 => {
                    let count = format!("{} events:", events.len());
                    vec![
                        count,
                        tell_event(first, *prev_kv),
                        "..".into(),
                        tell_event(last, *prev_kv),
                    ]
                }
                few => few.iter().map(|event| tell_event(event, *prev_kv)).collect(),
            };
            told.join(" ") + if *fragment { " (more follows)" } else { "" }
        }
    };
    format!("{}/{id} @{revision} {}", stream.0, told.trim_end())
}

fn tell_event(event: &Event, prev_kv: bool) -> String {
    let what = if event.tombstone { "del" } else { "put" };
    let key = String::from_utf8_lossy(&event.key);
    let prev = if prev_kv && event.prev.is_some() { "+prev" } else { "" };
    format!("{what} {key}#{}{prev}", event.revision.main)
}
