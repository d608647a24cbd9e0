//! The hand: what operators and scripts run.
//!
//! ```text
//!   bin/etcd        server  flags and environment ─► the runtime
//!   bin/etcdctl     ctl     commands ─► gRPC ─► etcd's output formats
//!   bin/keel-bench  load    the same work for several servers, side by side
//! ```

pub mod ctl;
pub mod load;
pub mod server;
