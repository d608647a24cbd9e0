//! What differs from run to run: ids, ports, times, sizes, and how wide they make a table. And
//! help, whose words are ours, but whose commands and flags are etcd's.

use crate::common::server::Server;
use std::collections::BTreeSet;
use std::path::Path;

/// Names for what is known.
pub(super) struct Masks(Vec<(String, &'static str)>);

impl Masks {
    pub(super) fn of(server: &Server, other: Option<&Server>, dir: &Path) -> Masks {
        let mut names = vec![
            (server.endpoint().to_owned(), "ENDPOINT"),
            (server.peer().to_owned(), "PEER"),
            (dir.to_string_lossy().into_owned(), "DIR"),
        ];
        names.extend(other.map(|other| (other.endpoint().to_owned(), "OTHER")));
        Masks(names)
    }

    /// A line without what differs.
    pub(super) fn line(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (value, name) in &self.0 {
            line = line.replace(value, name);
        }
        let line = without_sizes(&in_any_order(line));
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
        out
    }
}

/// Members stand by their ids, which differ from run to run.
fn in_any_order(line: String) -> String {
    let list = line.strip_prefix("ETCD_INITIAL_CLUSTER=\"").and_then(|rest| rest.strip_suffix('"'));
    let Some(list) = list else { return line };
    let mut members: Vec<&str> = list.split(',').collect();
    members.sort_unstable();
    format!("ETCD_INITIAL_CLUSTER=\"{}\"", members.join(","))
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
        if let Some(at) = line.find(name) {
            let (before, rest) = line.split_at(at + name.len());
            let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            // What is below zero says that there is none.
            if after.len() < rest.len() {
                line = format!("{before}SIZE{after}");
            }
        }
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

/// A text whose help is folded to the commands and flags that it tells of.
pub(super) fn folded(text: &str) -> String {
    let Some(at) = HELP.iter().find_map(|head| text.find(head)) else { return text.to_owned() };
    let before: Vec<&str> = text.lines().filter(|line| line.starts_with("Error: ")).collect();
    let (mut commands, mut flags) = (BTreeSet::new(), BTreeSet::new());
    for line in text[at..].lines() {
        let Some(item) = line.strip_prefix("  ") else { continue };
        let words: Vec<&str> = item.split_whitespace().collect();
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
