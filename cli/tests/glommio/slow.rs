//! A disk that stands still: commits wait for it, and nobody else does.

use crate::calls::put_request;
use crate::{block_on, flags};
use keel_cli::load::calls::once;
use keel_cli::load::http2::Method;
use keel_cli::load::process::Server;
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Reads that are answered while a commit waits.
const READS: usize = 200;

/// A file system in a file of another one, which can be frozen: then what is written to the inner
/// one stays in memory, and a sync of it waits.
struct Nested {
    dir: TempDir,
}

impl Nested {
    /// None where this user may not mount.
    fn mount() -> Option<Nested> {
        let nested = Nested { dir: tempfile::tempdir().expect("a temporary directory") };
        let (outer, inner) = (nested.path("outer"), nested.path("inner"));
        let mounted = make(&nested.path("outer.img"), "700M", &outer)
            && make(&outer.join("inner.img"), "400M", &inner);
        if !mounted {
            eprintln!("SKIPPED: this user may not mount a file system that is a file");
            return None;
        }
        Some(nested)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Stands still until it is thawed.
    fn freeze(&self) {
        assert!(run("fsfreeze", &["-f".as_ref(), &self.path("outer")]), "it can be frozen");
    }

    fn thaw(&self) {
        assert!(run("fsfreeze", &["-u".as_ref(), &self.path("outer")]), "it was frozen");
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        // Whatever of it was done.
        run("fsfreeze", &["-u".as_ref(), &self.path("outer")]);
        run("umount", &["--lazy".as_ref(), &self.path("inner")]);
        run("umount", &["--lazy".as_ref(), &self.path("outer")]);
    }
}

fn make(image: &Path, size: &str, at: &Path) -> bool {
    std::fs::create_dir_all(at).expect("a directory can be made");
    run("truncate", &["-s".as_ref(), size.as_ref(), image])
        && run("mkfs.ext4", &["-q".as_ref(), image])
        // Times of files, too, are written when there is nothing else to do.
        && run("mount", &["-o".as_ref(), "loop,lazytime".as_ref(), image, at])
}

fn run(program: &str, args: &[&Path]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

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
