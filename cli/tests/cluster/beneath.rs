//! A disk that lost what a file system still has in memory.

use crate::calls::{insist, put_request};
use crate::nested::Nested;
use crate::{ours, with_runtime};
use keel_cli::load::process::Server;
use keel_proto::pb::etcdserverpb as pb;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SECTOR: usize = 512;
/// What each batch of the log begins with.
const HEAD: &[u8] = b"lkb1";

/// After a sync that failed, the kernel may show what the disk never took. A start that believed it
/// would promise it.
#[test]
fn what_only_the_page_cache_holds_is_no_part_of_the_log() {
    let Some(nested) = Nested::mount() else { return };
    with_runtime(async || {
        let dir = nested.path("inner");
        let mut server = Server::start("keel", &ours(), &dir, None, &[]).await.expect("it starts");
        for key in ["on-the-disk", "in-the-cache"] {
            let put = put_request(key, "v");
            let _: pb::PutResponse = insist(&server.addr, "/etcdserverpb.KV/Put", &put).await;
        }
        server.kill().expect("it lives");
        let seen = wipe_beneath(&nested, &dir.join("data/member/log"), b"in-the-cache");
        assert!(seen, "what is in the cache only is still seen");
        server.revive().await.expect("it starts again");
        let all =
            pb::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
        let range: pb::RangeResponse = insist(&server.addr, "/etcdserverpb.KV/Range", &all).await;
        let keys: Vec<&[u8]> = range.kvs.iter().map(|kv| &kv.key[..]).collect();
        assert_eq!(keys, [b"on-the-disk"], "it goes on from what is on the disk");
    });
}

/// Takes the batch of the log that holds these words, and all behind it, from the disk beneath the
/// file system. Tells whether a reader still sees it.
fn wipe_beneath(nested: &Nested, log: &Path, words: &[u8]) -> bool {
    let files = fs::read_dir(log).expect("a directory of segments");
    let paths: Vec<PathBuf> = files.map(|file| file.expect("it can be listed").path()).collect();
    let holds = |path: &&PathBuf| place(&fs::read(path).expect("a segment"), words).is_some();
    let path = paths.iter().find(holds).expect("a segment holds the words");
    let seen = fs::read(path).expect("a segment");
    let at = place(&seen, words).expect("it was just seen");
    let heads = (0..=at / SECTOR).rev().map(|sector| sector * SECTOR);
    let from = heads.into_iter().find(|&from| seen[from..].starts_with(HEAD)).expect("a batch");
    let end = seen.iter().rposition(|&byte| byte != 0).expect("it is written") / SECTOR + 1;
    let disk = fs::OpenOptions::new().write(true).open(nested.path("outer").join("inner.img"));
    let disk = disk.expect("the file that is the disk");
    for sector in from / SECTOR..end {
        let at = disk_offset(path, sector * SECTOR);
        disk.write_all_at(&[0; SECTOR], at).expect("it can be written");
    }
    disk.sync_all().expect("it can be written");
    fs::read(path).expect("a segment") == seen
}

fn place(bytes: &[u8], words: &[u8]) -> Option<usize> {
    bytes.windows(words.len()).rposition(|window| window == words)
}

/// Where on its disk a byte of a file lies.
fn disk_offset(path: &Path, at: usize) -> u64 {
    let output = Command::new("filefrag").args(["-v", "-b512"]).arg(path).output();
    let output = output.expect("whoever has mkfs.ext4 has filefrag");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let sector = (at / SECTOR) as u64;
    let extent = |line: &str| {
        // ` 0:        0..    8191:     270336..    278527:   8192: …`
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let mut parts = line.split(':').skip(1);
        let (logical, physical) = (parts.next()?, parts.next()?);
        let (first, last) = logical.split_once("..")?;
        let (start, _) = physical.split_once("..")?;
        let (first, last, start) = (number(first)?, number(last)?, number(start)?);
        (first..=last).contains(&sector).then(|| start + sector - first)
    };
    let found = text.lines().find_map(extent).expect("the segment has blocks");
    found * SECTOR as u64 + (at % SECTOR) as u64
}
