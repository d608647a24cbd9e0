//! What our server can run on, on this machine and in this build.

/// Each runtime's flag; where there is only one, it is said why.
pub(crate) fn runtimes() -> Vec<&'static str> {
    let mut all = vec!["--runtime=tokio"];
    #[cfg(feature = "glommio")]
    match keel_runtime_glommio::probe() {
        Ok(()) => all.push("--runtime=glommio"),
        Err(failure) => eprintln!("SKIPPED: {failure}"),
    }
    all
}
