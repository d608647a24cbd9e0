//! A disk that stands still: commits wait for it, and nobody else does.

use crate::calls::put_request;
use crate::nested::Nested;
use crate::{block_on, flags};
use keel_cli::load::calls::once;
use keel_cli::load::http2::Method;
use keel_cli::load::process::Server;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;

/// Reads that are answered while a commit waits.
const READS: usize = 200;

#[test]
fn a_commit_that_waits_for_the_disk_stops_nobody_else() {
    let Some(flags) = flags() else { return };
    let Some(nested) = Nested::mount() else { return };
    block_on(async {
        let flags: Vec<String> = flags.iter().map(|flag| String::from(*flag)).collect();
        let binary = crate::common::server::ours();
        let server = Server::start("keel", &binary, &nested.path("inner"), None, &flags).await;
        let server = server.expect("the server starts");
        let (put, range) =
            (Method::new("/etcdserverpb.KV/Put"), Method::new("/etcdserverpb.KV/Range"));
        let write = async |value: &str| {
            let request = put_request("key", value).encode_to_vec();
            once(&server.addr, &put, &request).await.expect("it is written")
        };
        write("before").await;
        nested.freeze();
        let mut write = Box::pin(write("after"));
        let request = pb::RangeRequest {
            key: b"key".as_slice().into(),
            serializable: true,
            ..Default::default()
        };
        let request = request.encode_to_vec();
        for _ in 0..READS {
            tokio::select! {
                biased;
                _ = write.as_mut() => panic!("acknowledged, and not on the disk"),
                answer = once(&server.addr, &range, &request) => {
                    let answer = answer.expect("reads go on");
                    let answer = pb::RangeResponse::decode(answer).expect("a range's answer");
                    assert_eq!(&answer.kvs[0].value[..], b"before", "it is not durable yet");
                }
            }
        }
        nested.thaw();
        write.await;
    });
}
