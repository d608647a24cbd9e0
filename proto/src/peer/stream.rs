//! The two endless answers between members, as frames (semantics §9e.4).
//!
//! The channel of appends says in one byte what the reader can tell from the frame before: most
//! appends follow each other in one term. The state for that is per connection, on both sides.

use super::message::{decode, encode, entry, read_entry};
use crate::convert::Undecodable;
use crate::wire::tree::raftpb;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use keel_core::raft::{Body, Message};
use keel_core::{Index, NodeId, Term};
use prometheus::IntCounter;
use prost::Message as _;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// One message, at most; larger ones are no messages.
const MESSAGE_MAX: u64 = 512 * 1024 * 1024;
/// What one write gathers of what waits.
const GATHER_BYTES: usize = 256 * 1024;

/// Which of a peer's two channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Appends (`msgapp`).
    Appends,
    /// All else, and appends where the other channel is down (`message`).
    Messages,
}

impl Channel {
    /// As a path names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Channel::Appends => "msgapp",
            Channel::Messages => "message",
        }
    }
}

/// What is written into a channel.
#[derive(Clone, Debug)]
pub enum Out {
    /// A message.
    Message(Message),
    /// A sign of life where there is nothing to say.
    Alive,
}

mod mark {
    pub(super) const ALIVE: u8 = 0;
    pub(super) const FOLLOWING: u8 = 1;
    pub(super) const WHOLE: u8 = 2;
}

/// Where the reader of appends believes the log to be.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    term: Term,
    index: Index,
}

impl Place {
    fn after(message: &Message) -> Place {
        let Body::Append { prev, entries, .. } = &message.body else {
            return Place { term: message.term, index: Index::default() };
        };
        let index = entries.last().map_or(*prev, |entry| entry.index);
        Place { term: message.term, index }
    }
}

/// The writing side of a channel.
#[derive(Debug)]
struct Writer {
    channel: Channel,
    me: NodeId,
    peer: NodeId,
    place: Place,
}

impl Writer {
    fn write(&mut self, out: &mut BytesMut, what: &Out) {
        match (self.channel, what) {
            (Channel::Appends, Out::Alive) => out.put_u8(mark::ALIVE),
            (Channel::Appends, Out::Message(message)) => self.append(out, message),
            (Channel::Messages, Out::Alive) => {
                // A heartbeat of nobody to nobody; gogo's form, which has every number in it.
                let alive = raftpb::Message {
                    r#type: Some(raftpb::MessageType::MsgHeartbeat.into()),
                    to: Some(0),
                    from: Some(0),
                    ..raftpb::Message::default()
                };
                sized(out, &alive);
            }
            (Channel::Messages, Out::Message(message)) => {
                sized(out, &encode(self.me, self.peer, message));
            }
        }
    }

    fn append(&mut self, out: &mut BytesMut, message: &Message) {
        if let Body::Append { prev, prev_term, entries, commit } = &message.body
            && *prev == self.place.index
            && *prev_term == self.place.term
            && *prev_term == message.term
        {
            out.put_u8(mark::FOLLOWING);
            out.put_u64(entries.len() as u64);
            for one in entries {
                sized(out, &entry(one));
            }
            out.put_u64(commit.0);
            self.place.index = Index(self.place.index.0 + entries.len() as u64);
            return;
        }
        out.put_u8(mark::WHOLE);
        sized(out, &encode(self.me, self.peer, message));
        self.place = Place::after(message);
    }
}

fn sized(out: &mut BytesMut, message: &impl prost::Message) {
    let len = message.encoded_len();
    out.reserve(8 + len);
    out.put_u64(len as u64);
    message.encode(out).expect("a buffer that grows has room");
}

/// An answer without end: what is put into the queue, as frames.
#[derive(Debug)]
pub struct Endless {
    queue: mpsc::Receiver<Out>,
    writer: Writer,
    sent: IntCounter,
}

impl Endless {
    /// What `me` says to `peer` on a channel.
    #[must_use]
    pub fn new(
        channel: Channel,
        me: NodeId,
        peer: NodeId,
        queue: mpsc::Receiver<Out>,
        sent: IntCounter,
    ) -> Endless {
        Endless { queue, writer: Writer { channel, me, peer, place: Place::default() }, sent }
    }
}

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let mut out = BytesMut::new();
        while out.len() < GATHER_BYTES {
            match this.queue.poll_recv(cx) {
                Poll::Ready(Some(what)) => this.writer.write(&mut out, &what),
                Poll::Ready(None) if out.is_empty() => return Poll::Ready(None),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if out.is_empty() {
            return Poll::Pending;
        }
        this.sent.inc_by(out.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(out.freeze()))))
    }
}

/// The reading side of a channel: bytes in, messages out.
#[derive(Debug)]
pub struct Reader {
    channel: Channel,
    place: Place,
    rest: BytesMut,
    /// A frame is not whole before so many bytes are there.
    wants: usize,
}

impl Reader {
    /// A connection that has just been opened.
    #[must_use]
    pub fn new(channel: Channel) -> Reader {
        Reader { channel, place: Place::default(), rest: BytesMut::new(), wants: 0 }
    }

    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next message that is here whole; signs of life are passed over.
    ///
    /// # Errors
    ///
    /// Bytes that no etcd member writes: the connection is of no use any more.
    pub fn take(&mut self) -> Result<Option<Message>, Undecodable> {
        while self.rest.len() >= self.wants.max(1) {
            let Some(len) = self.frame()? else { break };
            let frame = self.rest.split_to(len).freeze();
            self.wants = 0;
            if let Some(message) = self.read(frame)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// How long the frame is that begins here, once it is here whole.
    fn frame(&mut self) -> Result<Option<usize>, Undecodable> {
        let mut scan = Scan { bytes: &self.rest, at: 0 };
        let whole = match self.channel {
            Channel::Messages => scan.sized(),
            Channel::Appends => match scan.u8() {
                None => Ok(false),
                Some(mark::ALIVE) => Ok(true),
                Some(mark::WHOLE) => scan.sized(),
                Some(mark::FOLLOWING) => scan.following(),
                Some(other) => Err(Undecodable(format!("no frame begins with {other}"))),
            },
        }?;
        if whole && scan.at <= self.rest.len() {
            return Ok(Some(scan.at));
        }
        self.wants = scan.at.max(self.rest.len() + 1);
        Ok(None)
    }

    fn read(&mut self, mut frame: Bytes) -> Result<Option<Message>, Undecodable> {
        if self.channel == Channel::Appends {
            match frame.get_u8() {
                mark::ALIVE => return Ok(None),
                mark::FOLLOWING => return self.read_following(frame).map(Some),
                _ => {}
            }
        }
        frame.advance(8);
        let raw = raftpb::Message::decode(frame)?;
        let alive = raw.r#type() == raftpb::MessageType::MsgHeartbeat;
        if alive && raw.from() == 0 && raw.to() == 0 {
            return Ok(None);
        }
        let message = decode(raw)?;
        self.place = Place::after(&message);
        Ok(Some(message))
    }

    fn read_following(&mut self, mut frame: Bytes) -> Result<Message, Undecodable> {
        let Place { term, index: prev } = self.place;
        let count = frame.get_u64();
        let mut entries = Vec::new();
        for _ in 0..count {
            let len = usize::try_from(frame.get_u64()).expect("the frame is here whole");
            let raw = raftpb::Entry::decode(frame.split_to(len))?;
            entries.push(read_entry(raw)?);
        }
        self.place.index = Index(prev.0 + count);
        let commit = Index(frame.get_u64());
        Ok(Message { term, body: Body::Append { prev, prev_term: term, entries, commit } })
    }
}

/// Looks through a frame that may not be here whole; `at` is where it is known to reach.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn u8(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn u64(&mut self) -> Option<u64> {
        let bytes = self.bytes.get(self.at..self.at + 8);
        self.at += 8;
        bytes.map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
    }

    /// Passes over a length and what it counts; `false` where it is not here yet.
    fn sized(&mut self) -> Result<bool, Undecodable> {
        let Some(len) = self.u64() else { return Ok(false) };
        if len > MESSAGE_MAX {
            return Err(Undecodable(format!("a message of {len} bytes")));
        }
        self.at += usize::try_from(len).expect("it was bounded");
        Ok(self.at <= self.bytes.len())
    }

    fn following(&mut self) -> Result<bool, Undecodable> {
        let Some(count) = self.u64() else { return Ok(false) };
        for _ in 0..count {
            if !self.sized()? {
                return Ok(false);
            }
            if self.at as u64 > MESSAGE_MAX {
                return Err(Undecodable(String::from("an append without end")));
            }
        }
        Ok(self.u64().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::entry::{Entry, Payload};

    fn append(term: u64, prev: (u64, u64), entries: &[u64], commit: u64) -> Message {
        let entry =
            |index: &u64| Entry { term: Term(term), index: Index(*index), payload: Payload::Empty };
        Message {
            term: Term(term),
            body: Body::Append {
                prev: Index(prev.0),
                prev_term: Term(prev.1),
                entries: entries.iter().map(entry).collect(),
                commit: Index(commit),
            },
        }
    }

    fn written(channel: Channel, all: &[Out]) -> BytesMut {
        let place = Place::default();
        let mut writer = Writer { channel, me: NodeId(1), peer: NodeId(2), place };
        let mut bytes = BytesMut::new();
        for one in all {
            writer.write(&mut bytes, one);
        }
        bytes
    }

    fn read(channel: Channel, bytes: &[u8], step: usize) -> Vec<Message> {
        let mut reader = Reader::new(channel);
        let mut messages = Vec::new();
        for piece in bytes.chunks(step) {
            reader.feed(piece);
            while let Some(message) = reader.take().expect("valid frames") {
                messages.push(message);
            }
        }
        messages
    }

    #[test]
    fn appends_come_back_however_they_are_cut() {
        let appends = [
            append(5, (3, 4), &[4, 5], 3),
            append(5, (5, 5), &[6], 4),
            append(5, (6, 5), &[], 6),
            append(5, (6, 5), &[7, 8], 6),
            append(6, (8, 5), &[9], 6),
            append(6, (9, 6), &[10], 6),
        ];
        let mut all: Vec<Out> = appends.iter().cloned().map(Out::Message).collect();
        all.insert(2, Out::Alive);
        let bytes = written(Channel::Appends, &all);
        for step in 1..=bytes.len() {
            assert_eq!(read(Channel::Appends, &bytes, step), appends, "in pieces of {step}");
        }
    }

    #[test]
    fn an_append_behind_the_last_one_is_only_its_entries() {
        let all = [append(5, (3, 5), &[4], 3), append(5, (4, 5), &[5], 4)];
        let first = written(Channel::Appends, &[Out::Message(all[0].clone())]).len();
        let both = written(Channel::Appends, &all.clone().map(Out::Message));
        assert_eq!((both[0], both[first]), (mark::WHOLE, mark::FOLLOWING));
        assert_eq!(both[first + 1..first + 9], 1_u64.to_be_bytes(), "one entry");
        assert_eq!(both[both.len() - 8..], 4_u64.to_be_bytes(), "the commit index");
    }

    #[test]
    fn a_sign_of_life_is_no_message() {
        let heartbeat = Message {
            term: Term(5),
            body: Body::Heartbeat { commit: Index(3), context: Bytes::new() },
        };
        let all = [Out::Alive, Out::Message(heartbeat.clone()), Out::Alive];
        let bytes = written(Channel::Messages, &all);
        for step in [1, 7, bytes.len()] {
            assert_eq!(read(Channel::Messages, &bytes, step), std::slice::from_ref(&heartbeat));
        }
    }

    #[test]
    fn a_length_beyond_all_sense_is_refused_before_it_is_waited_for() {
        let mut reader = Reader::new(Channel::Messages);
        reader.feed(&u64::MAX.to_be_bytes());
        assert!(reader.take().is_err());
        let mut reader = Reader::new(Channel::Appends);
        reader.feed(&[9]);
        assert!(reader.take().is_err());
        let mut reader = Reader::new(Channel::Appends);
        reader.feed(&[mark::FOLLOWING]);
        reader.feed(&u64::MAX.to_be_bytes());
        assert_eq!(reader.take(), Ok(None), "the entries may come");
    }
}
