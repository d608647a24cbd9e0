//! What the schema says, as generated types: messages, clients and server traits.

#![allow(missing_docs, clippy::all, reason = "generated code is not ours to document")]

/// The compiled schema, for tools that walk messages without knowing them.
pub static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! packages {
    ($($name:ident: $package:literal),+ $(,)?) => {
        $(pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
        })+
    };
}

packages! {
    authpb: "authpb",
    etcdserverpb: "etcdserverpb",
    leasepb: "leasepb",
    membershippb: "membershippb",
    mvccpb: "mvccpb",
    raftpb: "raftpb",
    snappb: "snappb",
    v3electionpb: "v3electionpb",
    v3lockpb: "v3lockpb",
    walpb: "walpb",
}

pub mod grpc {
    pub mod health {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
        }
    }
}
