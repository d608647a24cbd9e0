//! The hand: what operators and scripts run.
//!
//! ```text
//!   bin/etcd        server  flags and environment ─► the runtime
//!   bin/etcdctl     ctl     commands ─► gRPC ─► etcd's output formats
//!   bin/etcdutl     utl     files of members that do not run ─► figures, copies, directories
//!   bin/keel-bench  load    the same work for several servers, side by side
//! ```

mod command_line;
pub mod ctl;
mod initial;
pub mod load;
mod progress;
pub mod server;
pub mod utl;
