//! Transcripts: what a client asks and what an etcd answers, as text that a person can read.
//!
//! ```text
//! # a comment
//! KV.Put key: "a" value: "1"
//! ----
//! header { cluster_id: cluster_1 member_id: member_1 revision: 2 raft_term: term_1 }
//! ```
//!
//! A block is one or more actions, a line of four dashes, and the answers; a blank line ends it.
//! A line that begins with a space goes on with the action before. The actions:
//!
//! ```text
//! Service.Method fields...   call it, with all of its answers
//! begin NAME Service.Method fields...   call it and do not wait: `end` tells its answer
//! drop NAME                  lose interest in a call or a stream
//! open NAME Service.Method   begin a stream
//! send NAME fields...        say something on it
//! recv NAME [N]              one or N messages of it
//! events NAME N              N watch events of it, however they are spread over messages
//! end NAME                   say no more; how the stream ends
//! snapshot                   take one, check its frame, and tell what is in it
//! ```
//!
//! A comment `# flags: --name=value` starts the file's server with that flag.
//!
//! Fields are the protobuf's own names and nested by braces. `"x"*1000` is a string of a thousand
//! `x`, and `field*3` says the field three times. Identities that no two servers share stand as
//! names in the order of their appearance (`lease_1`), and a request can use them.

mod all;
pub(crate) mod client;
pub(crate) mod encode;
pub(crate) mod masks;
pub(crate) mod play;
pub(crate) mod render;
pub(crate) mod schema;
pub(crate) mod script;
pub(crate) mod snapshot;
