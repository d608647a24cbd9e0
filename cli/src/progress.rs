//! Bars on long work: for a person's terminal, and nothing for a pipe.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// A bar that counts bytes.
#[must_use]
pub(crate) fn bytes(total: u64) -> ProgressBar {
    bar(total, "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

/// A bar that counts things.
#[must_use]
pub(crate) fn things(total: u64, what: &str) -> ProgressBar {
    bar(total, &format!("{{bar:40}} {{pos}}/{{len}} {what} {{eta}}"))
}

fn bar(total: u64, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
