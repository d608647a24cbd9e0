//! The schema as a server wants it: a stored version is its bytes, encoded once, when it was
//! put, and copied into every answer from there.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use keel_core::Event;
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

macro_rules! raw_message {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub Bytes);

        impl Message for $name {
            fn encode_raw(&self, buf: &mut impl BufMut) {
                buf.put_slice(&self.0);
            }

            /// Nobody sends these to a server: what comes is passed over, as unknown fields are.
            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                buf: &mut impl Buf,
                ctx: DecodeContext,
            ) -> Result<(), DecodeError> {
                prost::encoding::skip_field(wire_type, tag, buf, ctx)
            }

            fn encoded_len(&self) -> usize {
                self.0.len()
            }

            fn clear(&mut self) {
                self.0 = Bytes::new();
            }
        }
    };
}

raw_message! {
    /// An encoded `mvccpb.KeyValue`.
    Stored
}

raw_message! {
    /// An encoded `mvccpb.Event`.
    Change
}

impl Change {
    /// Encodes a change for watchers. A deletion's version is only its key and, as etcd adds
    /// it, the revision.
    #[must_use]
    pub fn of(event: &Event, prev_kv: bool) -> Change {
        let prev = event.prev.as_ref().filter(|_| prev_kv);
        let size = event.record.len() + prev.map_or(0, Bytes::len) + 32;
        let mut out = BytesMut::with_capacity(size);
        if event.tombstone {
            out.put_slice(&[0x08, 1]);
            let mut version = BytesMut::from(&event.record[..]);
            version.put_u8(3 << 3);
            prost::encoding::encode_varint(event.revision.main.cast_unsigned(), &mut version);
            field(&mut out, 2, &version);
        } else {
            field(&mut out, 2, &event.record);
        }
        if let Some(prev) = prev {
            field(&mut out, 3, prev);
        }
        Change(out.freeze())
    }
}

fn field(out: &mut BytesMut, tag: u32, body: &[u8]) {
    prost::encoding::encode_key(tag, WireType::LengthDelimited, out);
    prost::encoding::encode_varint(body.len() as u64, out);
    out.put_slice(body);
}

/// The generated tree.
#[allow(missing_docs, clippy::all, reason = "generated code is not ours to document")]
pub mod tree {
    macro_rules! packages {
        ($($name:ident),+ $(,)?) => {
            $(pub mod $name {
                include!(concat!(env!("OUT_DIR"), "/server/", stringify!($name), ".rs"));
            })+
        };
    }
    packages! {
        authpb, etcdserverpb, leasepb, membershippb, raftpb, v3electionpb, v3lockpb, walpb
    }

    pub mod health {
        include!(concat!(env!("OUT_DIR"), "/server/grpc.health.v1.rs"));
    }
}

pub use tree::etcdserverpb;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::{etcdserverpb as pb, mvccpb};
    use keel_core::Revision;

    #[test]
    fn a_client_reads_what_a_server_copies() {
        let kv = mvccpb::KeyValue {
            key: "k".into(),
            value: "v".into(),
            mod_revision: 3,
            ..Default::default()
        };
        let record = Bytes::from(kv.encode_to_vec());
        let sent = etcdserverpb::RangeResponse {
            kvs: vec![Stored(record.clone())],
            count: 1,
            ..Default::default()
        };
        let seen = pb::RangeResponse::decode(&sent.encode_to_vec()[..]).expect("a response");
        assert_eq!(seen.kvs, std::slice::from_ref(&kv));

        let event = Event {
            revision: Revision { main: 9, sub: 0 },
            tombstone: true,
            record: Bytes::from_static(&[0x0a, 1, b'k']),
            key: "k".into(),
            prev: Some(record),
            lease_before: keel_core::LeaseId::NONE,
        };
        let seen = mvccpb::Event::decode(&Change::of(&event, true).0[..]).expect("an event");
        assert_eq!(seen.r#type, 1);
        assert_eq!(seen.kv.expect("a version").mod_revision, 9);
        assert_eq!(seen.prev_kv, Some(kv));
        let without = mvccpb::Event::decode(&Change::of(&event, false).0[..]).expect("an event");
        assert_eq!(without.prev_kv, None);
    }
}
