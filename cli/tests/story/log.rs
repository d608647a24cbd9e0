//! The log on standard error of a tool that works on files: its lines as they are compared.

use super::mask::folded;

/// What is compared of standard error, a line each.
pub(super) fn compared(stderr: &str) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let stderr = folded(stderr);
    let mut lines = stderr.lines().peekable();
    while let Some(line) = lines.next() {
        // Where a logger stood: a function, and its place behind a tab.
        let is_place = |line: &str| line.starts_with('\t');
        if is_place(line) || lines.peek().is_some_and(|next| is_place(next)) {
            continue;
        }
        let said = match logged(line) {
            Some(said) => said,
            None => Some(line.to_owned()),
        };
        // etcd says some errors twice, before its help and after it.
        if let Some(said) = said.filter(|said| !told.contains(said)) {
            told.push(said);
        }
    }
    told
}

/// What only one of both does, or says in its own way.
const OWN: [&str; 4] = ["Trimming", "resolved URL", "the snapshot is damaged", "retrying WAL"];

/// The fields that are compared.
const FIELDS: [&str; 9] = [
    "path",
    "data-dir",
    "storage-version",
    "new-storage-version",
    "error",
    "target-storage-version",
    "cluster-id",
    "added-peer-id",
    "added-peer-peer-urls",
];

/// A line of the log, if it is one, and what of it is compared, if anything: level, message and
/// some fields. Times, and where a logger stood, are not.
fn logged(line: &str) -> Option<Option<String>> {
    let mut columns = line.split('\t').peekable();
    let time = columns.next()?;
    if !(time.starts_with("20") && time.ends_with('Z')) {
        return None;
    }
    let level = columns.next()?;
    // A logger's name has no line number.
    if columns.next_if(|column| !column.contains(':')).is_some() {
        return Some(None);
    }
    let message = columns.nth(1)?;
    if OWN.iter().any(|own| message.starts_with(own)) {
        return Some(None);
    }
    let fields = columns.next().unwrap_or("{}");
    let fields: serde_json::Value = serde_json::from_str(fields).expect("fields are JSON");
    let said: Vec<String> =
        FIELDS.iter().filter_map(|name| Some(format!(" {name}={}", fields.get(name)?))).collect();
    Some(Some(format!("{level} {message}{}", said.concat())))
}
