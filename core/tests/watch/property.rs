//! Whatever happens in whatever order, every watch hears what it asked for.

use crate::store::{Change, Store};
use bytes::Bytes;
use keel_core::types::{Instant, Revision};
use keel_core::watch::{Answer, Config, Delivery, Hub, HubInput, StreamId, Watch};
use keel_core::{Event, Keys};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::BTreeMap;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A batch of transactions; where it is lost, the hub finds a gap.
    Apply {
        transactions: Vec<Vec<(u8, bool)>>,
        lost: bool,
    },
    Create {
        stream: u64,
        watch: Watch,
    },
    Cancel {
        stream: u64,
        id: i64,
    },
    Progress {
        stream: u64,
    },
    /// The client takes this many of the deliveries that wait.
    Take {
        stream: u64,
        count: usize,
    },
    /// Forgets all but so many revisions.
    Compact {
        keep: i64,
    },
    Tick {
        seconds: u64,
    },
    Reopen {
        stream: u64,
    },
}

const STREAMS: u64 = 3;
const WINDOW: usize = 700;

fn key(number: u8) -> Bytes {
    Bytes::from(format!("k{number}"))
}

fn keys() -> impl Strategy<Value = Keys> {
    prop_oneof![
        4 => (0u8..6).prop_map(|n| Keys::One(key(n))),
        3 => (0u8..5, 1u8..5).prop_map(|(n, more)| Keys::Span { from: key(n), to: key(n + more) }),
        1 => (0u8..6).prop_map(|n| Keys::From(key(n))),
        1 => Just(Keys::All),
    ]
}

fn watch() -> impl Strategy<Value = Watch> {
    let flags = prop::array::uniform5(prop::bool::weighted(0.2));
    (0i64..4, keys(), 0i64..60, flags).prop_map(|(id, keys, start, flags)| {
        let [progress, no_put, no_delete, prev_kv, fragment] = flags;
        Watch { id, keys: Some(keys), start, progress, no_put, no_delete, prev_kv, fragment }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let transaction = prop::collection::vec((0u8..6, prop::bool::weighted(0.7)), 1..4);
    let transactions = prop::collection::vec(transaction, 0..4);
    let stream = 0..STREAMS;
    prop_oneof![
        8 => (transactions, prop::bool::weighted(0.1))
            .prop_map(|(transactions, lost)| Step::Apply { transactions, lost }),
        4 => (stream.clone(), watch()).prop_map(|(stream, watch)| Step::Create { stream, watch }),
        1 => (stream.clone(), 0i64..6).prop_map(|(stream, id)| Step::Cancel { stream, id }),
        2 => stream.clone().prop_map(|stream| Step::Progress { stream }),
        4 => (stream.clone(), 1usize..8).prop_map(|(stream, count)| Step::Take { stream, count }),
        1 => (0i64..20).prop_map(|keep| Step::Compact { keep }),
        1 => (1u64..400).prop_map(|seconds| Step::Tick { seconds }),
        1 => stream.prop_map(|stream| Step::Reopen { stream }),
    ]
}

/// What is known of a watch from what was delivered for it.
#[derive(Debug)]
struct Heard {
    watch: Watch,
    /// The first revision that it wants.
    start: i64,
    events: Vec<Revision>,
    /// The last answer was cut inside a revision.
    open_fragment: bool,
    compacted: Option<i64>,
}

#[derive(Debug, Default)]
struct Client {
    id: u64,
    credit: i64,
    waiting: Vec<usize>,
    /// Creates that wait for their answer.
    asked: Vec<(Watch, i64)>,
    watches: BTreeMap<i64, Heard>,
}

struct World {
    now: Instant,
    store: Store,
    hub: Hub,
    history: Vec<Event>,
    clients: Vec<Client>,
    opened: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let store = Store::new();
        let small = Config { fragment_bytes: 200, answer_bytes: 150, ..Config::default() };
        let config = Config { scan_max: 3, catch_up_max: 2, seed, ..small };
        let hub = Hub::new(config, store.view());
        let mut world = World {
            now: Instant(0),
            store,
            hub,
            history: Vec::new(),
            clients: Vec::new(),
            opened: 0,
        };
        for _ in 0..STREAMS {
            world.clients.push(Client::default());
        }
        (0..STREAMS).for_each(|stream| world.open(stream));
        world
    }

    fn open(&mut self, stream: u64) {
        self.opened += 1;
        let id = self.opened;
        self.clients[stream as usize] = Client { id, ..Client::default() };
        self.step(HubInput::Open { stream: StreamId(id) });
        self.credit(stream as usize, WINDOW);
    }

    fn credit(&mut self, client: usize, bytes: usize) {
        self.clients[client].credit += bytes as i64;
        let stream = StreamId(self.clients[client].id);
        self.step(HubInput::Credit { stream, bytes });
    }

    fn step(&mut self, input: HubInput) {
        self.hub.step(self.now, input);
        while let Some(delivery) = self.hub.poll() {
            self.hear(delivery);
        }
    }

    /// Steps as long as the hub asks for it.
    fn settle(&mut self) {
        while self.hub.deadline() == Some(self.now) {
            self.step(HubInput::Tick);
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Apply { transactions, lost } => {
                let changes: Vec<_> = transactions.iter().map(|t| changes(t)).collect();
                let batch = self.store.apply(&changes);
                self.history.extend(batch.events.iter().cloned());
                if !lost {
                    self.step(HubInput::Applied(batch));
                }
            }
            Step::Create { stream, watch } => {
                let client = &mut self.clients[stream as usize];
                client.asked.push((watch.clone(), self.hub.view().kv.revision()));
                let stream = StreamId(client.id);
                self.step(HubInput::Create { stream, watch });
                assert!(self.clients.iter().all(|client| client.asked.is_empty()), "unanswered");
            }
            Step::Cancel { stream, id } => {
                let stream = StreamId(self.clients[stream as usize].id);
                self.step(HubInput::Cancel { stream, id });
            }
            Step::Progress { stream } => {
                let stream = StreamId(self.clients[stream as usize].id);
                self.step(HubInput::Progress { stream });
            }
            Step::Take { stream, count } => self.take(stream as usize, count),
            Step::Compact { keep } => {
                let revision = self.store.view().kv.revision() - keep;
                if revision > self.store.view().kv.compacted() && revision > 0 {
                    let batch = self.store.compact(revision);
                    self.step(HubInput::Applied(batch));
                }
            }
            Step::Tick { seconds } => {
                self.now = Instant(self.now.0 + seconds * 1_000_000_000);
                self.step(HubInput::Tick);
            }
            Step::Reopen { stream } => {
                let id = StreamId(self.clients[stream as usize].id);
                self.step(HubInput::Close { stream: id });
                self.open(stream);
            }
        }
    }

    fn take(&mut self, client: usize, count: usize) {
        let waiting = &mut self.clients[client].waiting;
        let count = count.min(waiting.len());
        let bytes: usize = waiting.drain(..count).sum();
        if count > 0 {
            self.credit(client, bytes);
        }
    }

    /// Checks one delivery as it comes out.
    fn hear(&mut self, delivery: Delivery) {
        let at = self.clients.iter().position(|client| client.id == delivery.stream.0);
        let client = &mut self.clients[at.expect("nothing comes for a stream that is closed")];
        let credit = client.credit;
        client.credit -= delivery.cost as i64;
        client.waiting.push(delivery.cost);
        let Delivery { id, revision, .. } = delivery;
        match delivery.answer {
            Answer::Created => {
                let (watch, known) = client.asked.remove(0);
                assert_eq!(revision, known);
                let start = if watch.start == 0 { known + 1 } else { watch.start };
                let (events, compacted) = (Vec::new(), None);
                let heard = Heard { watch, start, events, open_fragment: false, compacted };
                assert!(client.watches.insert(id, heard).is_none(), "an id is given twice");
            }
            Answer::Refused { .. } => {
                let (watch, _) = client.asked.remove(0);
                assert!(client.watches.contains_key(&watch.id), "refused for no reason");
            }
            Answer::Canceled { compacted: 0, .. } => {
                let heard = client.watches.remove(&id).expect("only what exists is canceled");
                check_prefix(&heard, &self.history, None);
            }
            Answer::Canceled { compacted, .. } => {
                assert_eq!(revision, 0);
                client.watches.get_mut(&id).expect("it exists").compacted = Some(compacted);
            }
            Answer::Progress => {
                for (_, heard) in client.watches.iter().filter(|(own, _)| id == -1 || **own == id) {
                    assert!(heard.compacted.is_none(), "an ended watch holds it back");
                    check_prefix(heard, &self.history, Some(revision));
                }
            }
            Answer::Events { events, fragment, prev_kv } => {
                let heard = client.watches.get_mut(&id).expect("it was created before");
                assert_eq!(prev_kv, heard.watch.prev_kv);
                assert!(heard.compacted.is_none(), "nothing follows the end");
                assert!(!events.is_empty() && (credit > 0 || heard.open_fragment), "overdrawn");
                assert!(!fragment || heard.watch.fragment, "cut without leave");
                assert!(events.last().expect("not empty").revision.main <= revision);
                if let (Some(last), false) = (heard.events.last(), heard.open_fragment) {
                    assert!(events[0].revision.main > last.main, "a revision is split");
                }
                heard.open_fragment = fragment;
                heard.events.extend(events.iter().map(|event| event.revision));
            }
        }
    }

    /// All clients take everything, until nothing is left to say.
    fn drain(&mut self) {
        let batch = self.store.apply(&[]);
        self.step(HubInput::Applied(batch));
        for _ in 0..10_000 {
            self.settle();
            for client in 0..self.clients.len() {
                self.take(client, usize::MAX);
            }
            let idle = self.clients.iter().all(|client| client.waiting.is_empty());
            if idle && self.hub.deadline() != Some(self.now) {
                return;
            }
        }
        panic!("the hub never comes to rest");
    }
}

fn changes(transaction: &[(u8, bool)]) -> Vec<Change> {
    let mut changes: BTreeMap<u8, bool> = BTreeMap::new();
    changes.extend(transaction.iter().copied());
    let value = |put: bool| put.then(|| "v".repeat(30));
    let change = |(n, put)| (String::from_utf8_lossy(&key(n)).into_owned(), value(put));
    changes.into_iter().map(change).collect()
}

/// What a watch must have heard, up to a revision.
fn expected(heard: &Heard, history: &[Event], upto: i64) -> Vec<Revision> {
    let Watch { keys, no_put, no_delete, .. } = &heard.watch;
    let keys = keys.as_ref().expect("no test asks for nothing");
    let wants = |event: &&Event| {
        let filtered = if event.tombstone { *no_delete } else { *no_put };
        !filtered && keys.contain(&event.key) && event.revision.main >= heard.start
    };
    let events = history.iter().filter(|event| event.revision.main <= upto).filter(wants);
    events.map(|event| event.revision).collect()
}

/// What was heard is the beginning of what is expected, and where `upto` is given all of it.
fn check_prefix(heard: &Heard, history: &[Event], upto: Option<i64>) {
    let all = expected(heard, history, upto.unwrap_or(i64::MAX));
    assert!(all.starts_with(&heard.events), "{heard:?}\nexpected {all:?}");
    assert!(upto.is_none() || all.len() == heard.events.len(), "{heard:?}\nexpected {all:?}");
}

/// The same cases in every run.
fn fixed(cases: u32) -> ProptestConfig {
    let rng_seed = RngSeed::Fixed(3);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(fixed(400))]

    /// To each watch exactly the model's events in order: no loss, no double, no revision
    /// split without leave, nothing beyond the credit, and progress only when it is true.
    #[test]
    fn every_watch_hears_what_it_asked_for(
        steps in prop::collection::vec(step(), 1..120),
        seed: u64,
    ) {
        let mut world = World::new(seed);
        for step in steps {
            world.run(step);
        }
        world.drain();
        let revision = world.hub.view().kv.revision();
        for heard in world.clients.iter().flat_map(|client| client.watches.values()) {
            match heard.compacted {
                None => check_prefix(heard, &world.history, Some(revision)),
                Some(compacted) => {
                    check_prefix(heard, &world.history, None);
                    let all = expected(heard, &world.history, i64::MAX);
                    let next = all.get(heard.events.len()).map_or(heard.start, |next| next.main);
                    prop_assert!(next.min(heard.start) < compacted, "{heard:?}");
                }
            }
        }
    }
}
