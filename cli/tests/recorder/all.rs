//! Every transcript is a test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                super::play::play(&directory().join(concat!(stringify!($name), ".txt")));
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

transcripts! {
    compaction
    delete
    election
    errors
    kv_put_get
    lease
    limits
    lock
    maintenance
    quota
    range_options
    range_stream
    small_limits
    snapshot
    txn
    watch
    watch_progress
}

/// A transcript without a test would be skipped in silence.
#[test]
fn every_transcript_is_played() {
    let files = std::fs::read_dir(directory()).expect("the transcripts are there");
    let files: BTreeSet<_> = files
        .map(|file| file.expect("a directory can be read").path())
        .filter_map(|path| Some(String::from(path.file_stem()?.to_str()?)))
        .collect();
    let names: BTreeSet<_> = NAMES.iter().map(|name| String::from(*name)).collect();
    assert_eq!(files, names);
}
