//! Whatever a node takes in comes back from a recording as it went, and bytes that are no
//! recording are refused.
//!
//! The seed is fixed, so that a failure comes again; raise `cases` to run it for long.

use bytes::Bytes;
use keel_core::command::{AlarmKind, Put};
use keel_core::entry::{EntryKind, RawEntry};
use keel_core::members::{Cluster, Member};
use keel_core::mvcc::{Chunk, Compaction, Store};
use keel_core::node::Restored;
use keel_core::raft::{Body, ChangeStep, Config, Hint, Message};
use keel_core::recording::{Code, Framer, Header, Kind, Reader, Writer, read};
use keel_core::state::LeaseRecord;
use keel_core::{Entry, Index, Input, LeaseId, Mark, NodeId, Order, Payload, Term, Ticket};
use keel_proto::convert::{change, decode_entry};
use keel_proto::pb::etcdserverpb as pb;
use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeSet;

fn config(cases: u32) -> ProptestConfig {
    let rng_seed = prop::test_runner::RngSeed::Fixed(1);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

fn parse(raw: RawEntry) -> Option<Entry> {
    decode_entry(raw).ok()
}

/// The bytes of an entry that puts a key.
fn put() -> impl Strategy<Value = Bytes> {
    (any::<u64>(), "[a-z]{1,20}", 0_usize..3000, any::<i64>()).prop_map(
        |(id, key, value, lease)| {
            let put = pb::PutRequest {
                key: key.into(),
                value: vec![b'v'; value].into(),
                lease,
                ..Default::default()
            };
            let header = Some(pb::RequestHeader { id, ..Default::default() });
            let request = pb::InternalRaftRequest { header, put: Some(put), ..Default::default() };
            Bytes::from(request.encode_to_vec())
        },
    )
}

fn payload() -> impl Strategy<Value = Payload> {
    let raw = |kind, bytes| RawEntry { term: Term(0), index: Index(0), kind, bytes };
    let parsed = move |raw: RawEntry| parse(raw).expect("it was just encoded").payload;
    prop_oneof![
        Just(Payload::Empty),
        put().prop_map(move |bytes| parsed(raw(EntryKind::Normal, bytes))),
        step().prop_map(move |(ticket, step)| {
            let (bytes, _) = change(ticket, step, "");
            parsed(raw(EntryKind::Change, bytes))
        }),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let term = any::<u64>().prop_map(Term);
    let index = any::<u64>().prop_map(Index);
    (term, index, payload()).prop_map(|(term, index, payload)| Entry { term, index, payload })
}

fn step() -> impl Strategy<Value = (Ticket, ChangeStep)> {
    (any::<u64>(), any::<u64>(), 0..4).prop_map(|(ticket, id, kind)| {
        let id = NodeId(id);
        let step = match kind {
            0 => ChangeStep::AddVoter(id),
            1 => ChangeStep::AddLearner(id),
            2 => ChangeStep::Remove(id),
            _ => ChangeStep::Update(id),
        };
        (Ticket(ticket), step)
    })
}

fn voting() -> impl Strategy<Value = Config> {
    let ids = || prop::collection::btree_set(any::<u64>().prop_map(NodeId), 0..4);
    (ids(), ids(), ids(), ids(), any::<bool>()).prop_map(
        |(voters, outgoing, learners, learners_next, auto_leave): (
            BTreeSet<NodeId>,
            BTreeSet<NodeId>,
            BTreeSet<NodeId>,
            BTreeSet<NodeId>,
            bool,
        )| Config { voters, outgoing, learners, learners_next, auto_leave },
    )
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..2000).prop_map(Bytes::from)
}

fn body() -> impl Strategy<Value = Body> {
    let index = || any::<u64>().prop_map(Index);
    let term = || any::<u64>().prop_map(Term);
    let hint = (index(), term()).prop_map(|(index, term)| Hint { index, term });
    let append = (index(), term(), prop::collection::vec(entry(), 0..4), index());
    let vote = (any::<bool>(), index(), term(), any::<bool>());
    prop_oneof![
        append.prop_map(|(prev, prev_term, entries, commit)| {
            Body::Append { prev, prev_term, entries, commit }
        }),
        (index(), prop::option::of(hint))
            .prop_map(|(index, reject)| Body::AppendAck { index, reject }),
        vote.prop_map(|(pre, last, last_term, transfer)| {
            Body::Vote { pre, last, last_term, transfer }
        }),
        any::<(bool, bool)>().prop_map(|(pre, reject)| Body::VoteReply { pre, reject }),
        (index(), bytes()).prop_map(|(commit, context)| Body::Heartbeat { commit, context }),
        bytes().prop_map(|context| Body::HeartbeatAck { context }),
        (index(), term(), voting()).prop_map(|(index, term, config)| Body::Snapshot {
            index,
            term,
            config
        }),
        prop::collection::vec(payload(), 0..4).prop_map(|payloads| Body::Propose { payloads }),
        bytes().prop_map(|context| Body::ReadIndex { context }),
        (index(), bytes()).prop_map(|(index, context)| Body::ReadReply { index, context }),
        any::<u64>().prop_map(|to| Body::Transfer { to: NodeId(to) }),
        Just(Body::TimeoutNow),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        (any::<i64>(), any::<bool>())
            .prop_map(|(lease, keys)| Order::TimeToLive { lease: LeaseId(lease), keys }),
        Just(Order::Leases),
        Just(Order::Export),
        any::<u64>().prop_map(|to| Order::MoveLeader { to: NodeId(to) }),
        Just(Order::HandOver),
        Just(Order::Checkpoint),
        any::<i64>().prop_map(|bytes| Order::Room { bytes }),
    ]
}

/// A store of some age: versions that died, chunks that were thinned, and ones that were not.
fn store() -> impl Strategy<Value = Store> {
    prop::collection::vec((0..30_u8, 0..300_usize, 0..40), 0..400).prop_map(|puts| {
        let mut store = Store::new();
        for (key, size, kind) in puts {
            let key = Bytes::from(vec![b'k', key]);
            let value = Bytes::from(vec![b'v'; size]);
            store.put(&Put { key, value, ..Put::default() }, &|_| true).expect("it is a plain put");
            if kind == 0 {
                // An older revision may be compacted already.
                let _ = store.compact(store.revision());
                while store.compact_step(64) != Compaction::Idle {}
            }
        }
        store.take_events();
        store
    })
}

fn restored() -> impl Strategy<Value = Restored> {
    let lease = any::<(i64, i64, i64)>().prop_map(|(lease, ttl, remaining)| LeaseRecord {
        lease: LeaseId(lease),
        ttl,
        remaining,
    });
    let alarm = any::<u64>().prop_map(|member| (NodeId(member), AlarmKind::Corrupt));
    let member = ("[a-z]{0,8}", any::<bool>()).prop_map(|(name, learner)| Member {
        peer_urls: vec![format!("http://{name}:2380")],
        client_urls: Vec::new(),
        name,
        learner,
    });
    let members = prop::collection::btree_map(any::<u64>().prop_map(NodeId), member, 0..4);
    let cluster = (members, prop::option::of("[0-9.]{0,5}")).prop_map(|(members, downgrade)| {
        Cluster { id: 7, members, version: String::from("3.7.0"), downgrade, ..Cluster::default() }
    });
    let leases = prop::collection::vec(lease, 0..4);
    let alarms = prop::collection::vec(alarm, 0..3);
    (any::<(u64, u64)>(), store(), leases, alarms, cluster, voting()).prop_map(
        |((index, term), store, leases, alarms, cluster, config)| Restored {
            index: Index(index),
            term: Term(term),
            store,
            leases,
            alarms,
            cluster,
            config,
        },
    )
}

fn input() -> impl Strategy<Value = Input> {
    let id = || any::<u64>().prop_map(NodeId);
    let ticket = || any::<u64>().prop_map(Ticket);
    let message = (any::<u64>().prop_map(Term), body());
    let message = message.prop_map(|(term, body)| Message { term, body });
    let chunk = any::<(u64, u64)>().prop_map(|(number, version)| Chunk {
        number,
        version,
        bytes: Bytes::new(),
    });
    let chunks = prop::collection::vec(chunk, 0..4);
    prop_oneof![
        Just(()).prop_map(|()| Input::Tick),
        (id(), message).prop_map(|(from, message)| Input::Peer { from, message }),
        (id(), "[0-9.]{0,9}").prop_map(|(peer, version)| Input::LinkUp { peer, version }),
        id().prop_map(|peer| Input::LinkDown { peer }),
        id().prop_map(|peer| Input::Lost { peer }),
        (id(), any::<bool>()).prop_map(|(peer, arrived)| Input::StateSent { peer, arrived }),
        (id(), any::<u64>().prop_map(Term), restored().prop_map(Box::new))
            .prop_map(|(from, term, state)| Input::State { from, term, state }),
        payload().prop_filter_map("a proposal is a command", |payload| match payload {
            Payload::Command(proposal) => Some(Input::Propose { proposal }),
            _ => None,
        }),
        ticket().prop_map(|ticket| Input::Read { ticket }),
        (ticket(), any::<i64>().prop_map(LeaseId))
            .prop_map(|(ticket, lease)| Input::Renew { ticket, lease }),
        (ticket(), prop::collection::vec(any::<i64>().prop_map(LeaseId), 0..4))
            .prop_map(|(ticket, leases)| Input::RenewAll { ticket, leases }),
        (ticket(), order()).prop_map(|(ticket, order)| Input::Admin { ticket, order }),
        step().prop_map(|(ticket, step)| {
            let (bytes, change) = change(ticket, step, "");
            Input::Reconfigure { ticket, bytes, change }
        }),
        ticket().prop_map(|ticket| Input::Forget { ticket }),
        any::<u64>().prop_map(|mark| Input::Persisted { mark: Mark(mark) }),
        (any::<u64>().prop_map(Mark), chunks)
            .prop_map(|(mark, chunks)| Input::Stored { mark, chunks }),
    ]
}

fn encoded(input: &Input) -> Bytes {
    let mut out = Writer::new();
    input.encode(&mut out);
    out.to_bytes()
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn every_input_comes_back_as_it_went(input in input()) {
        let bytes = encoded(&input);
        let mut reader = Reader::new(bytes.clone(), parse);
        let back = Input::decode(&mut reader).expect("it is what was written");
        prop_assert!(reader.is_empty());
        prop_assert_eq!(encoded(&back), bytes);
        if let (Input::State { state: went, .. }, Input::State { state: came, .. }) = (&input, &back) {
            prop_assert_eq!(went.store.digest(), came.store.digest());
            prop_assert_eq!(went.store.usage(), came.store.usage());
            prop_assert_eq!(went.store.view().hash(0), came.store.view().hash(0));
        } else {
            prop_assert_eq!(format!("{back:?}"), format!("{input:?}"));
        }
    }

    /// It may still be one, of another meaning; then it goes and comes as any other.
    #[test]
    fn bytes_that_are_no_input_are_refused(
        input in input(),
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = encoded(&input).to_vec();
        bytes.truncate(1 + cut.index(bytes.len()));
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let back = Input::decode(&mut Reader::new(Bytes::from(bytes), parse));
        if let Some(back) = back {
            let again = encoded(&back);
            prop_assert!(Input::decode(&mut Reader::new(again, parse)).is_some());
        }
    }

    /// A process may die anywhere in a write, and a disk may lie.
    #[test]
    fn a_file_is_read_up_to_its_first_frame_that_is_not_whole(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
        cut in any::<prop::sample::Index>(),
        flip in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let header = Header {
            kind: Kind::Inputs,
            code: String::from("0.1.0"),
            run: 7,
            number: 3,
            steps: 9,
            epoch: 11,
        };
        let (mut framer, mut file) = Framer::begin(&header);
        let mut ends = vec![file.len()];
        for payload in &payloads {
            file.extend_from_slice(&framer.head(payload));
            file.extend_from_slice(payload);
            ends.push(file.len());
        }
        file.truncate(1 + cut.index(file.len()));
        let mut good = file.len();
        if let Some(flip) = flip {
            good = flip.index(file.len());
            file[good] ^= 0x40;
        }
        let whole = ends.iter().take_while(|end| **end <= good).count();
        match read(&file, parse) {
            Err(_) => prop_assert_eq!(whole, 0),
            Ok(stream) => {
                prop_assert_eq!(&stream.header, &header);
                prop_assert_eq!(stream.body, payloads[..whole - 1].concat());
                prop_assert_eq!(stream.torn, file.len() - ends[whole - 1]);
            }
        }
    }
}
