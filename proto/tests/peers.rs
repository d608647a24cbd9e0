//! Whatever a peer sends, it is read or refused: frames of both channels, and the front of a state.
//!
//! The seed is fixed, so that a failure comes again; raise `cases` to run it for long.

use keel_core::entry::{Entry, Payload};
use keel_core::raft::{Body, Message};
use keel_core::{Index, NodeId, Term};
use keel_proto::peer::message::bytes as encoded;
use keel_proto::peer::{Channel, Reader, members};
use proptest::prelude::*;

fn append(entries: u64) -> Message {
    let entry = |index| Entry { term: Term(3), index: Index(index), payload: Payload::Empty };
    Message {
        term: Term(3),
        body: Body::Append {
            prev: Index(4),
            prev_term: Term(3),
            entries: (5..5 + entries).map(entry).collect(),
            commit: Index(4),
        },
    }
}

/// Valid frames of a channel.
fn samples(channel: Channel) -> Vec<Vec<u8>> {
    let whole = |message: &Message| {
        let bytes = encoded(NodeId(1), NodeId(2), message);
        let mut frame = (bytes.len() as u64).to_be_bytes().to_vec();
        frame.extend(bytes);
        frame
    };
    let heartbeat = Message {
        term: Term(3),
        body: Body::Heartbeat { commit: Index(4), context: "12345678".into() },
    };
    match channel {
        Channel::Messages => vec![whole(&heartbeat), whole(&append(2))],
        Channel::Appends => {
            let mut marked = vec![2];
            marked.extend(whole(&append(2)));
            let mut following = vec![1];
            following.extend(1_u64.to_be_bytes());
            let entry = [0x08, 0x00, 0x10, 0x03, 0x18, 0x07];
            following.extend((entry.len() as u64).to_be_bytes());
            following.extend(entry);
            following.extend(6_u64.to_be_bytes());
            vec![marked, following, vec![0]]
        }
    }
}

/// How many messages come out before the end, or before bytes that are refused.
fn read(channel: Channel, bytes: &[u8], step: usize) -> usize {
    let mut reader = Reader::new(channel);
    let mut messages = 0;
    for piece in bytes.chunks(step.max(1)) {
        reader.feed(piece);
        loop {
            match reader.take() {
                Ok(Some(_)) => messages += 1,
                Ok(None) => break,
                Err(_) => return messages,
            }
        }
    }
    messages
}

#[test]
fn every_sample_is_read() {
    assert_eq!(read(Channel::Messages, &samples(Channel::Messages).concat(), 3), 2);
    assert_eq!(read(Channel::Appends, &samples(Channel::Appends).concat(), 3), 2);
}

fn channels() -> impl Strategy<Value = Channel> {
    prop_oneof![Just(Channel::Messages), Just(Channel::Appends)]
}

/// Valid frames one behind the other, with a cut, a changed byte or a byte too many.
fn mutated(channel: Channel) -> impl Strategy<Value = Vec<u8>> {
    let all = samples(channel).concat();
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    prop::collection::vec(mutation, 1..4).prop_map(move |mutations| {
        let mut bytes = all.clone();
        for (at, byte, how) in mutations {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes.truncate(at),
                1 => bytes[at] = byte,
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, rng_seed: prop::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_a_reader(
        channel in channels(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        step in 1..40_usize,
    ) {
        read(channel, &bytes, step);
    }

    #[test]
    fn no_mutated_frames_break_a_reader_and_pieces_make_no_difference(
        (channel, bytes) in channels().prop_flat_map(|channel| (Just(channel), mutated(channel))),
        step in 1..40_usize,
    ) {
        prop_assert_eq!(read(channel, &bytes, step), read(channel, &bytes, usize::MAX));
    }

    #[test]
    fn no_text_breaks_a_list_of_members(text in prop::collection::vec(any::<u8>(), 0..80)) {
        // It is read or refused; which of both is not the question.
        let _ = members::parse_list(&text);
        let _ = members::parse(&text);
    }
}
