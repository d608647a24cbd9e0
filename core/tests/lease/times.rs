//! Times as the stories write them.

/// A time as the stories write it, `2s` or `1500ms`, in nanoseconds.
pub(crate) fn nanos(word: &str) -> u64 {
    let (number, unit) = match word.strip_suffix("ms") {
        Some(number) => (number, 1_000_000),
        None => (word.strip_suffix('s').expect("a time ends in s or ms"), 1_000_000_000),
    };
    number.parse::<u64>().expect("a time is a whole number of s or ms") * unit
}

/// Nanoseconds as the stories write them.
pub(crate) fn time(nanos: u64) -> String {
    match nanos {
        n if n.is_multiple_of(1_000_000_000) => format!("{}s", n / 1_000_000_000),
        n => format!("{}ms", n / 1_000_000),
    }
}
