//! What differs from run to run: ids, ports, times, sizes, and how wide they make a table. And
//! help, whose words are ours, but whose commands and flags are etcd's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use std::path::Path;

/// Names for what is known; none where nothing differs.
pub(super) struct Masks(Option<Vec<(String, &'static str)>>);

impl Masks {
    pub(super) fn of(names: Vec<(&str, &'static str)>, dir: &Path) -> Masks {
        let dir = (dir.to_string_lossy().into_owned(), "DIR");
        let names = names.into_iter().map(|(value, name)| (value.to_owned(), name));
        Masks(Some(names.chain([dir]).collect()))
    }

    pub(super) fn none() -> Masks {
        Masks(None)
    }

    /// A line without what differs.
    pub(super) fn line(&self, line: &str) -> String {
        let mut line = line.to_owned();
        let Some(names) = &self.0 else { return line };
        for (value, name) in names {
            line = line.replace(value, name);
        }
        let line = without_sizes(&in_any_order(readable(&line)));
        // A library that spaces its words by the build makes the words of an alarm.
        let line = if line.starts_with("memberID:") { line.replace("  ", " ") } else { line };
        let mut out = String::new();
        let mut word = String::new();
        for c in line.chars().chain(['\n']) {
            if c.is_ascii_alphanumeric() || c == '.' || c == 'µ' {
                word.push(c);
                continue;
            }
            out.push_str(if is_volatile(&word) { "MASKED" } else { &word });
            word.clear();
            let widens = matches!(c, ' ' | '─') && out.ends_with(c);
            if c != '\n' && !widens {
                out.push(c);
            }
        }
        members_in_order(out)
    }
}

/// Keys that hold ids, as text where they are shown in other ways: `\x` bytes and base64. And no
/// address of the memory in which etcd has what it cannot show.
fn readable(line: &str) -> String {
    if let Some((what, _)) = line.split_once("marshal unsupported for type ") {
        let kind = line[what.len()..].split(" (").next().unwrap_or_default();
        return format!("{what}{kind}");
    }
    let hex = |text: &str| -> Option<String> {
        let pairs = text.strip_prefix("\\x")?.split("\\x");
        let bytes: Option<Vec<u8>> = pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        String::from_utf8(bytes?).ok()
    };
    if let Some(text) = hex(line).filter(|text| holds_id(text)) {
        return format!("bytes of {text}");
    }
    let Some((before, key)) = line.split_once("\"key\":\"") else { return line.to_owned() };
    let Some((key, after)) = key.split_once('"') else { return line.to_owned() };
    let text = STANDARD.decode(key).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match text.filter(|text| holds_id(text)) {
        Some(text) => format!("{before}\"key\":\"base64 of {text}\"{after}"),
        None => line.to_owned(),
    }
}

/// A lock's or an election's key ends in a lease.
fn holds_id(text: &str) -> bool {
    text.rsplit_once('/').is_some_and(|(_, id)| is_volatile(id))
}

/// Members stand by their ids, which differ from run to run.
fn in_any_order(line: String) -> String {
    let list = line.strip_prefix("ETCD_INITIAL_CLUSTER=\"").and_then(|rest| rest.strip_suffix('"'));
    let Some(list) = list else { return line };
    let mut members: Vec<&str> = list.split(',').collect();
    members.sort_unstable();
    format!("ETCD_INITIAL_CLUSTER=\"{}\"", members.join(","))
}

/// The same for members as JSON and as protobuf has them.
fn members_in_order(line: String) -> String {
    let list = line.split_once("\"members\":[").and_then(|(head, list)| {
        let list = list.strip_suffix("]}")?;
        Some((head, list.strip_prefix('{')?.strip_suffix('}')?))
    });
    if let Some((head, list)) = list {
        let mut members: Vec<&str> = list.split("},{").collect();
        members.sort_unstable();
        return format!("{head}\"members\":[{{{}}}]}}", members.join("},{"));
    }
    if !line.contains("http://") || !line.ends_with("} ") {
        return line;
    }
    let mut fields: Vec<&str> = line.split_inclusive("} ").collect();
    // The header, and the member that is told of, have lower numbers than the list.
    fields.sort_by_key(|field| (field.split(':').next(), field.contains("http://"), *field));
    fields.concat()
}

/// What is printed of several endpoints, by their names: they stand by their members' ids.
pub(super) fn endpoints_in_order(text: &str) -> String {
    if let Some(list) = text.strip_prefix("[{").and_then(|list| list.strip_suffix("}]\n")) {
        let mut each: Vec<&str> = list.split("},{").collect();
        each.sort_unstable();
        return format!("[{{{}}}]\n", each.join("},{"));
    }
    if let Some(blocks) = text.strip_suffix("\n\n").filter(|text| text.starts_with('"')) {
        let mut each: Vec<&str> = blocks.split("\n\n").collect();
        each.sort_unstable_by_key(|block| block.lines().find(|line| line.contains("http://")));
        return format!("{}\n\n", each.join("\n\n"));
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.chunk_by_mut(|one, next| one.contains("http://") == next.contains("http://")).for_each(
        |rows| {
            if rows[0].contains("http://") {
                rows.sort_unstable();
            }
        },
    );
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

/// What stands before the size of a database, or of an answer with ids in it, or before time that
/// is left.
const SIZES: [&str; 7] = [
    "\"dbSize\":",
    "\"dbSizeInUse\":",
    "\"DBSize\" : ",
    "\"DBSizeInUse\" : ",
    "received message larger than max (",
    "\"ttl\":",
    "\"TTL\" : ",
];

/// Sizes of databases: etcd's are in pages, ours in records.
fn without_sizes(line: &str) -> String {
    let mut line = line.to_owned();
    for name in SIZES {
        let mut parts = line.split(name);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let after = part.trim_start_matches(|c: char| c.is_ascii_digit());
            // What is below zero says that there is none.
            let size = if after.len() < part.len() { "SIZE" } else { "" };
            out.push_str(&format!("{name}{size}{after}"));
        }
        line = out;
    }
    let used = "system memory used : ";
    if let Some((before, after)) = line.split_once(used) {
        let unit = after.trim_start_matches(|c: char| c.is_ascii_digit() || "-.".contains(c));
        return format!("{before}{used}SIZE{unit}");
    }
    if !line.contains(" kB") && !line.contains('%') {
        return line;
    }
    let mut out: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let unit = word.trim_end_matches(',');
        let comma = if unit == word { "" } else { "," };
        let number = out.last().is_some_and(|last| last.parse::<f64>().is_ok());
        if number && ["B", "kB", "MB"].contains(&unit) {
            out.pop();
            out.push(format!("SIZE{comma}"));
        } else if unit.strip_suffix('%').is_some_and(|share| share.parse::<u8>().is_ok()) {
            out.push(format!("SHARE{comma}"));
        } else {
            out.push(word.to_owned());
        }
    }
    out.join(" ")
}

/// Long numbers, hexadecimal ids, and spans of time.
fn is_volatile(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    let id = word.len() >= 13 && word.chars().all(|c| c.is_ascii_hexdigit());
    let number = word.trim_end_matches(['m', 's', 'µ']);
    let span = number != word && number.parse::<f64>().is_ok();
    id || span
}

/// The longest names of commands, behind which etcd's help leaves one blank.
const WIDEST: usize = "make-mirror".len();

/// How help begins: with usage, or with the flags of every command.
const HELP: [&str; 3] = ["Usage:", "options can be passed to any command", "Options of every"];

/// Commands and flags of etcdutl that only ours has everywhere.
const OWN: [&str; 3] = ["inspect", "--output-dir", "--wal-dir"];

/// A text whose help is folded to the commands and flags that it tells of.
pub(super) fn folded(text: &str) -> String {
    let Some(at) = HELP.iter().find_map(|head| text.find(head)) else { return text.to_owned() };
    let before: Vec<&str> = text.lines().filter(|line| line.starts_with("Error: ")).collect();
    let (mut commands, mut flags) = (BTreeSet::new(), BTreeSet::new());
    for line in text[at..].lines() {
        let Some(item) = line.strip_prefix("  ") else { continue };
        let words: Vec<&str> = item.split_whitespace().collect();
        if words.iter().take(2).any(|word| OWN.contains(word)) {
            continue;
        }
        let long = words.iter().take(2).find(|word| word.starts_with("--"));
        if let (Some(flag), true) = (long, item.trim_start().starts_with('-')) {
            let flag = flag.split(['=', '[', '<']).next().expect("a split has a first part");
            let short = words[0].strip_suffix(',').map_or(String::new(), |s| format!("{s},"));
            flags.insert(format!("{short}{flag}"));
        } else if let Some((name, rest)) = item.split_once(' ')
            && (rest.starts_with(' ') || name.len() == WIDEST)
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            && name != "etcdctl"
        {
            commands.insert(name.to_owned());
        }
    }
    let mut out: Vec<String> = before.into_iter().map(String::from).collect();
    let list = |set: BTreeSet<String>| set.into_iter().map(|one| format!(" {one}"));
    out.push(format!("(help)\n  commands:{}", list(commands).collect::<String>()));
    out.push(format!("  flags:{}\n", list(flags).collect::<String>()));
    out.join("\n")
}
