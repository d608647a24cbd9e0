//! What the schema says, as ordinary generated types: messages and clients.

#![allow(missing_docs, clippy::all, reason = "generated code is not ours to document")]

/// The compiled schema, for tools that walk messages without knowing them.
pub static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! packages {
    ($($name:ident),+ $(,)?) => {
        $(pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/client/", stringify!($name), ".rs"));
        })+
    };
}

packages! {
    authpb, etcdserverpb, leasepb, membershippb, mvccpb, raftpb, snappb, v3electionpb, v3lockpb,
    walpb,
}

pub mod grpc {
    pub mod health {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/client/grpc.health.v1.rs"));
        }
    }
}
