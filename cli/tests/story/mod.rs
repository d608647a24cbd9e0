//! Stories: command lines and what they print, as text that a person can read.
//!
//! ```text
//! # a comment
//! $ put key 'a value'      a command line, with the server's endpoint where it names none
//! % version                the same without it; words like A=b in front are its environment
//! * get key                a command line in every output format, with `--hex` and without
//! ^ elect name me          the same, interrupted each time once it has printed something
//! < text                   its standard input; `< "x"*100` is a line of a hundred
//! + $ lease grant 100      a line that is played before each time; - is one that is played after
//! output                   its standard output; standard error begins with `!`
//! [json, table]            the forms in which the following is printed
//! \~ text                  output that begins like one of these lines
//! = 1                      its exit code, where it is not zero
//! & lock lock name         begins a command line beside the others, under a name
//! > lock text              types a line into it
//! ~ lock text              waits until it has printed this line
//! . lock int               interrupts it and tells what it printed; `eof` ends its input, `end`
//!                          waits for its own end
//! @ restart                kills the server and starts it again; `join` starts the member that was
//!                          added, and after `another` it is another one that will join;
//!                          `settle` waits until the cluster has the server's version
//! ```
//!
//! `ENDPOINT` in a command line is the server, `OTHER` one of another cluster, `JOINER` and
//! `JOINERPEER` the member that joins, `MEMBER` that member's id, `FOLLOWER` the id of the one that
//! does not lead, `DIR` a folder, `LEASE` the lease that was granted last. `# flags: --name=value`
//! starts the server with that flag.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod count;
pub(crate) mod forms;
mod job;
mod log;
mod mask;
mod servers;
mod text;
mod wire;

use forms::{Around, Form};
use job::{Job, Said};
use mask::Masks;
use servers::Servers;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use text::{BELONGS, Line, VERBS};

pub(crate) use text::differences;

/// Who plays: a tool, and what it works on.
pub(crate) struct Cast {
    tool: PathBuf,
    stage: Stage,
    dir: TempDir,
    jobs: BTreeMap<String, Job>,
    /// The lease that was granted last.
    lease: String,
}

enum Stage {
    /// Servers, which live as long as the story. What differs from run to run is masked.
    Servers(Box<Servers>),
    /// Files, which each command finds as they were at first. They are the same in each run.
    Files(fn(&Path)),
}

impl Cast {
    /// A client and fresh servers, as a story wants to have them.
    pub(crate) fn of_client(etcd: &Path, ctl: &Path, story: &str) -> Cast {
        Cast::new(ctl, Stage::Servers(Box::new(Servers::start(etcd, story))))
    }

    /// A tool for files, and how they are made.
    pub(crate) fn of_files(utl: &Path, make: fn(&Path)) -> Cast {
        Cast::new(utl, Stage::Files(make))
    }

    fn new(tool: &Path, stage: Stage) -> Cast {
        Cast {
            tool: tool.to_path_buf(),
            stage,
            dir: TempDir::new().expect("a temporary directory can be made"),
            jobs: BTreeMap::new(),
            lease: String::new(),
        }
    }

    /// The story with what its commands print now.
    pub(crate) fn play(&mut self, text: &str) -> String {
        let mut played = String::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((verb, rest)) = line.split_at_checked(2) else { continue };
            if !VERBS.contains(&verb) {
                continue;
            }
            // A story that ends in a panic ended here.
            eprintln!("{line}");
            played.push_str(line);
            played.push('\n');
            let mut around = Around::default();
            let belongs = |line: &&str| BELONGS.iter().any(|begin| line.starts_with(begin));
            while let Some(more) = lines.next_if(belongs) {
                played.push_str(more);
                played.push('\n');
                around.take(more);
            }
            played.push_str(&self.act(verb.trim_end(), rest, &around));
        }
        assert!(self.jobs.is_empty(), "still running: {:?}", self.jobs.keys());
        played
    }

    fn act(&mut self, verb: &str, rest: &str, around: &Around) -> String {
        let (name, what) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "$" => {
                let mut job = self.start(rest, &[]);
                around.input.iter().for_each(|line| job.say(line));
                job.close();
                self.tell(job)
            }
            "%" => {
                let mut job = self.start_as_it_stands(rest);
                around.input.iter().for_each(|line| job.say(line));
                job.close();
                self.tell(job)
            }
            "*" => self.in_every_form(rest, around, false),
            "^" => self.in_every_form(rest, around, true),
            "&" => {
                let mut job = self.start(what, &[]);
                around.input.iter().for_each(|line| job.say(line));
                assert!(self.jobs.insert(name.to_owned(), job).is_none(), "two are {name}");
                String::new()
            }
            ">" => {
                self.jobs.get_mut(name).expect("a job of this name").say(what);
                String::new()
            }
            "~" => {
                let masks = self.masks();
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
                match (&mut self.stage, name) {
                    (Stage::Servers(servers), "restart") => servers.restart(),
                    (Stage::Servers(servers), "settle") => servers.settle(),
                    (Stage::Servers(servers), "another") => servers.another(),
                    (Stage::Servers(servers), "join") => servers.join(&self.tool),
                    _ => panic!("'{name}' is nothing that happens"),
                }
                String::new()
            }
            _ => String::new(),
        }
    }

    /// Starts a command line with flags in front, and with the endpoint where it names none.
    fn start(&self, line: &str, flags: &[String]) -> Job {
        let line = Line::of(line);
        let mut words = Vec::new();
        if let Stage::Servers(servers) = &self.stage
            && !line.words.iter().any(|word| word == "--endpoints")
        {
            words.extend(["--endpoints".to_owned(), servers.endpoint().to_owned()]);
        }
        words.extend_from_slice(flags);
        self.run(words, &line)
    }

    fn start_as_it_stands(&self, line: &str) -> Job {
        self.run(Vec::new(), &Line::of(line))
    }

    fn run(&self, mut words: Vec<String>, line: &Line) -> Job {
        if let Stage::Files(make) = &self.stage {
            make(self.dir.path());
        }
        words.extend(line.words.iter().map(|word| self.meant(word)));
        let environment: Vec<(String, String)> = line
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), self.meant(value)))
            .collect();
        Job::start(&self.tool, &words, &environment, self.dir.path())
    }

    /// A word with what its names stand for.
    fn meant(&self, word: &str) -> String {
        let Stage::Servers(servers) = &self.stage else { return word.to_owned() };
        let mut word = word.to_owned();
        for (value, name) in servers.names() {
            word = word.replace(name, value);
        }
        if word.contains("MEMBER") {
            word = word.replace("MEMBER", &servers.member(&self.tool));
        }
        if word.contains("FOLLOWER") {
            word = word.replace("FOLLOWER", &servers.follower(&self.tool));
        }
        word.replace("LEASE", &self.lease).replace("DIR", &self.dir.path().to_string_lossy())
    }

    fn masks(&self) -> Masks {
        match &self.stage {
            Stage::Servers(servers) => Masks::of(servers.names(), self.dir.path()),
            Stage::Files(_) => Masks::none(),
        }
    }

    /// Removes what earlier commands made of the files.
    fn forget(&mut self) {
        if let Stage::Files(_) = &self.stage {
            self.dir = TempDir::new().expect("a temporary directory can be made");
        }
    }

    /// The forms that there are.
    fn forms(&self) -> Vec<Form> {
        match &self.stage {
            Stage::Servers(_) => forms::WITH_HEX.to_vec(),
            Stage::Files(_) => forms::WITHOUT_HEX.to_vec(),
        }
    }

    fn tell(&mut self, job: Job) -> String {
        let masks = self.masks();
        let protobuf = job.has_words("protobuf");
        let any_order = job.has_words("--cluster");
        let said = job.ended();
        let granted = String::from_utf8_lossy(&said.stdout);
        let granted = granted.strip_prefix("lease ").and_then(|rest| rest.split_once(" granted"));
        if let Some((lease, _)) = granted {
            lease.clone_into(&mut self.lease);
        }
        let stdout = match protobuf && !said.stdout.is_empty() {
            true => wire::shown(&said.stdout),
            false => String::from_utf8_lossy(&said.stdout).into_owned(),
        };
        let mut told = String::new();
        for line in mask::folded(&stdout).lines() {
            told.push_str(&text::printed(&masks.line(line)));
            told.push('\n');
        }
        if any_order {
            told = mask::endpoints_in_order(&told);
        }
        told + &self.complaints(&said, &masks) + &ended(said.code)
    }

    /// Standard error.
    fn complaints(&self, said: &Said, masks: &Masks) -> String {
        let stderr = String::from_utf8_lossy(&said.stderr);
        let lines = match &self.stage {
            // etcd's client library logs its retries as JSON before the error itself, and etcdctl
            // draws its bars into pipes.
            Stage::Servers(_) => mask::folded(&stderr)
                .lines()
                .filter(|line| !line.starts_with('{') && !line.ends_with(" p/s"))
                .map(|line| masks.line(line))
                .collect(),
            Stage::Files(_) => log::compared(&stderr),
        };
        lines.iter().map(|line| format!("! {line}\n")).collect()
    }
}

/// How a process ended.
fn ended(code: Option<i32>) -> String {
    match code {
        Some(0) => String::new(),
        Some(code) => format!("= {code}\n"),
        None => String::from("= killed\n"),
    }
}
