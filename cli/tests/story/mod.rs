//! Stories: command lines and what they print, as text that a person can read.
//!
//! ```text
//! # a comment
//! $ put key 'a value'      a command line, with the server's endpoint where it names none
//! % version                the same without it; words like A=b in front are its environment
//! < text                   its standard input; `< "x"*100` is a line of a hundred
//! output                   its standard output; standard error begins with `!`
//! = 1                      its exit code, where it is not zero
//! & lock lock name         begins a command line beside the others, under a name
//! > lock text              types a line into it
//! ~ lock text              waits until it has printed this line
//! . lock int               interrupts it and tells what it printed; `eof` ends its input, `end`
//!                          waits for its own end
//! @ restart                kills the server and starts it again
//! ```
//!
//! `ENDPOINT` in a command line is the server, `OTHER` a second one, `DIR` a folder, `LEASE` the
//! lease that was granted last. `# flags: --name=value` starts the server with that flag.

mod job;
mod mask;
mod wire;

use crate::common::server::{Server, http_get};
use job::Job;
use mask::Masks;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Who plays.
pub(crate) struct Cast {
    etcd: PathBuf,
    ctl: PathBuf,
    server: Server,
    other: Option<Server>,
    dir: TempDir,
    jobs: BTreeMap<String, Job>,
    /// The lease that was granted last.
    lease: String,
}

/// How often we look whether a server has settled.
const LOOK: Duration = Duration::from_millis(20);

/// A member alone elects itself at once, but again where its disk takes longer than this; then
/// terms would differ from run to run.
const ELECTION: &str = "--election-timeout=10000";

/// A comment that says with which flags the server starts.
const FLAGS: &str = "# flags: ";

impl Cast {
    /// A fresh server, with the flags that a story wants it to have, and a client.
    pub(crate) fn new(etcd: &Path, ctl: &Path, story: &str) -> Cast {
        let flags = story.lines().filter_map(|line| line.strip_prefix(FLAGS));
        let flags = flags.flat_map(str::split_whitespace);
        let flags: Vec<&str> = std::iter::once(ELECTION).chain(flags).collect();
        let server = Server::start_with(etcd, &flags);
        wait_for_version(&server);
        Cast {
            etcd: etcd.to_path_buf(),
            ctl: ctl.to_path_buf(),
            server,
            other: None,
            dir: TempDir::new().expect("a temporary directory can be made"),
            jobs: BTreeMap::new(),
            lease: String::new(),
        }
    }

    /// The story with what its commands print now.
    pub(crate) fn play(&mut self, text: &str) -> String {
        if text.contains("OTHER") {
            self.other = Some(Server::start(&self.etcd));
        }
        let mut played = String::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((verb, rest)) = line.split_at_checked(2) else { continue };
            if !VERBS.contains(&verb) {
                continue;
            }
            played.push_str(line);
            played.push('\n');
            let mut input = Vec::new();
            while let Some(said) = lines.next_if(|line| line.starts_with('<')) {
                played.push_str(said);
                played.push('\n');
                input.push(typed(said[1..].trim_start()));
            }
            played.push_str(&self.act(verb.trim_end(), rest, &input));
        }
        assert!(self.jobs.is_empty(), "still running: {:?}", self.jobs.keys());
        played
    }

    fn act(&mut self, verb: &str, rest: &str, input: &[String]) -> String {
        let (name, what) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "$" | "%" => {
                let mut job = self.start(rest, verb == "$");
                input.iter().for_each(|line| job.say(line));
                job.close();
                self.tell(job)
            }
            "&" => {
                let mut job = self.start(what, true);
                input.iter().for_each(|line| job.say(line));
                assert!(self.jobs.insert(name.to_owned(), job).is_none(), "two are {name}");
                String::new()
            }
            ">" => {
                self.jobs.get_mut(name).expect("a job of this name").say(what);
                String::new()
            }
            "~" => {
                let masks = Masks::of(&self.server, self.other.as_ref(), self.dir.path());
                let job = self.jobs.get_mut(name).expect("a job of this name");
                job.wait_for(|line| masks.line(line) == what, what);
                String::new()
            }
            "." => {
                let mut job = self.jobs.remove(name).expect("a job of this name");
                match what {
                    "int" => job.interrupt(),
                    "eof" => job.close(),
                    "end" => {}
                    other => panic!("'{other}' is no way to end a job"),
                }
                self.tell(job)
            }
            "@" => {
                self.server.restart();
                String::new()
            }
            _ => String::new(),
        }
    }

    fn start(&self, line: &str, endpoint: bool) -> Job {
        let mut words = words(line).into_iter().peekable();
        let mut environment = Vec::new();
        while let Some(word) = words.next_if(|word| word.contains('=') && !word.starts_with('-')) {
            let (name, value) = word.split_once('=').expect("it was looked for");
            environment.push((name.to_owned(), self.meant(value)));
        }
        let words: Vec<String> = words.map(|word| self.meant(&word)).collect();
        let endpoint = endpoint && !words.iter().any(|word| word == "--endpoints");
        let mut all = Vec::new();
        if endpoint {
            all.extend(["--endpoints".to_owned(), self.server.endpoint().to_owned()]);
        }
        all.extend(words);
        Job::start(&self.ctl, &all, &environment)
    }

    /// A word with what its names stand for.
    fn meant(&self, word: &str) -> String {
        let other = self.other.as_ref().map_or("OTHER", Server::endpoint);
        word.replace("ENDPOINT", self.server.endpoint())
            .replace("OTHER", other)
            .replace("LEASE", &self.lease)
            .replace("DIR", &self.dir.path().to_string_lossy())
    }

    fn tell(&mut self, job: Job) -> String {
        let masks = Masks::of(&self.server, self.other.as_ref(), self.dir.path());
        let protobuf = job.has_words("protobuf");
        let said = job.ended();
        let mut told = String::new();
        let granted = String::from_utf8_lossy(&said.stdout);
        let granted = granted.strip_prefix("lease ").and_then(|rest| rest.split_once(" granted"));
        if let Some((lease, _)) = granted {
            lease.clone_into(&mut self.lease);
        }
        let stdout = match protobuf && !said.stdout.is_empty() {
            true => wire::shown(&said.stdout),
            false => String::from_utf8_lossy(&said.stdout).into_owned(),
        };
        for line in mask::folded(&stdout).lines() {
            told.push_str(&masks.line(line));
            told.push('\n');
        }
        for line in mask::folded(&String::from_utf8_lossy(&said.stderr)).lines() {
            // etcd's client library logs its retries as JSON before the error itself.
            if !line.starts_with('{') {
                told.push_str(&format!("! {}\n", masks.line(line)));
            }
        }
        match said.code {
            Some(0) => {}
            Some(code) => told.push_str(&format!("= {code}\n")),
            None => told.push_str("= killed\n"),
        }
        told
    }
}

/// A server is healthy a moment before its cluster has decided on a version, which is the last entry
/// that it puts into its log by itself.
fn wait_for_version(server: &Server) {
    let end = Instant::now() + job::PATIENCE;
    let undecided = |page: String| page.contains("not_decided");
    while http_get(server.endpoint(), "/version").is_none_or(undecided) {
        assert!(Instant::now() < end, "no version is decided: {}", server.log());
        std::thread::sleep(LOOK);
    }
}

/// Where two tellings of a story differ: the command lines, and what is due and what came.
pub(crate) fn differences(due: &str, came: &str) -> String {
    let (due, came) = (scenes(due), scenes(came));
    let mut told = String::new();
    for (due, came) in due.iter().zip(&came).filter(|(due, came)| due != came) {
        told.push_str(&format!("--- due\n{due}--- came\n{came}"));
    }
    if due.len() != came.len() {
        told.push_str(&format!("{} scenes are due, {} came\n", due.len(), came.len()));
    }
    told
}

/// A story's command lines, each with what it prints.
fn scenes(story: &str) -> Vec<String> {
    let mut scenes: Vec<String> = Vec::new();
    for line in story.lines() {
        match scenes.last_mut() {
            Some(scene) if !VERBS.iter().any(|verb| line.starts_with(verb)) => {
                scene.push_str(line);
                scene.push('\n');
            }
            _ => scenes.push(format!("{line}\n")),
        }
    }
    scenes
}

/// How lines begin that are not printed.
const VERBS: [&str; 8] = ["# ", "$ ", "% ", "& ", "> ", "~ ", ". ", "@ "];

/// What a line of input means.
fn typed(said: &str) -> String {
    let many = said.strip_prefix('"').and_then(|rest| rest.split_once("\"*"));
    match many {
        Some((text, count)) => text.repeat(count.parse().expect("a count")),
        None => said.to_owned(),
    }
}

/// A command line's words: blanks divide, single quotes keep together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    words
}
