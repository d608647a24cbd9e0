//! A second build of the same sources gives the same programs, byte for byte.

use crate::engine::{BUILT, Engine};

/// What to ask for in `KEEL_IMAGES`: it takes as long as the first build.
const ASKED: &str = "twice";
const AGAIN: &str = "keel-test/again";

pub(crate) fn a_second_build_gives_the_same_programs(engine: &Engine) {
    if std::env::var("KEEL_IMAGES").as_deref() != Ok(ASKED) {
        eprintln!("  SKIPPED: KEEL_IMAGES is not `{ASKED}`");
        return;
    }
    // The first is what the images were made of, kept by the engine.
    engine.build_ours("build", BUILT, &[]);
    engine.build_ours("build", AGAIN, &["--no-cache"]);
    let sums = |image: &str| {
        engine.must(&["run", "--rm", image, "sh", "-c", "cd /out && sha256sum bin/* share/*"])
    };
    let (first, second) = (sums(BUILT), sums(AGAIN));
    assert!(first.contains("bin/etcdutl"), "{first}");
    assert_eq!(first, second);
}
