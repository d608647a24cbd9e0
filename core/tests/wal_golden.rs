//! Stories of the log and the state files, to be read: `tests/golden/wal/*.txt`. A line that
//! begins with `>` is an order, the lines below it are what came of it. `REWRITE=1` writes them.
//!
//! ```text
//! persist MARK [hard=TERM/VOTE/COMMIT] [cut=INDEX] [entries=TERM:FIRST..LAST*BYTES]
//! store MARK index=I term=T [chunks=NUMBER*BYTES,..]
//! run log|bulk [OPS]     carries the lane's next plan out, or only its first operations
//! crash none|all|N       of the sectors that no sync covered, so many stay
//! flip FILE AT           turns a bit round; FILE is s1, d1 (state) or m
//! recover                reads everything back and goes on from there
//! look                   reads everything back and goes on as if it had not
//! hex FILE FROM LEN      shows bytes
//! ```

mod planner_disk;
mod planner_model;

use bytes::Bytes;
use keel_core::disk::{DiskOp, File, Lane};
use keel_core::entry::{HardState, Write};
use keel_core::members::Cluster;
use keel_core::planner::{Done, Plan, Planner};
use keel_core::raft::Config;
use keel_core::state::codec::{encode_alarms, encode_cluster, encode_config, encode_leases};
use keel_core::state::image::{Image, ImageChunk};
use keel_core::types::{Index, Mark, NodeId, Term};
use planner_disk::{Dice, Disk, Keep, recover};
use planner_model::{entry, options, payload};
use std::fmt::Write as _;
use std::path::Path;

struct Story {
    planner: Planner,
    disk: Disk,
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
}

fn name(file: File) -> String {
    match file {
        File::Segment(number) => format!("s{number}"),
        File::State(number) => format!("d{number}"),
        File::Manifest => "m".into(),
    }
}

fn file(word: &str) -> File {
    match word.split_at(1) {
        ("s", rest) => File::Segment(number(rest)),
        ("d", rest) => File::State(number(rest)),
        _ => File::Manifest,
    }
}

impl Story {
    fn order(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "persist" => self.persist(&words),
            "store" => self.store(&words),
            "run" => self.run(&words),
            "crash" => {
                let keep = match words[1] {
                    "none" => Keep::Old,
                    "all" => Keep::New,
                    count => Keep::First(number(count) as usize),
                };
                self.disk.crash(keep, &mut Dice::new(0));
                String::new()
            }
            "flip" => {
                self.disk.flip(file(words[1]), number(words[2]) as usize, 0);
                String::new()
            }
            "recover" => self.recover(true),
            "look" => self.recover(false),
            "hex" => self.hex(&words),
            other => panic!("no order: {other}"),
        }
    }

    fn persist(&mut self, words: &[&str]) -> String {
        let mut write = Write::default();
        for word in &words[2..] {
            let (key, value) = word.split_once('=').expect("key=value");
            let parts: Vec<u64> = value
                .split(['/', ':', '.', '*'])
                .filter(|part| !part.is_empty())
                .map(number)
                .collect();
            match key {
                "hard" => {
                    let (term, vote) = (Term(parts[0]), NodeId(parts[1]));
                    write.hard = Some(HardState { term, vote, commit: Index(parts[2]) });
                }
                "cut" => write.cut_from = Some(Index(parts[0])),
                "entries" => {
                    let one = |index| entry(parts[0], index, payload(index, parts[3] as usize));
                    write.entries = (parts[1]..=parts[2]).map(one).collect();
                }
                other => panic!("no such part of a write: {other}"),
            }
        }
        self.planner.persist(Mark(number(words[1])), write);
        String::new()
    }

    fn store(&mut self, words: &[&str]) -> String {
        let mut image = Image {
            index: Index(0),
            term: Term(0),
            revision: 2,
            compacted: 1,
            lineage: 0,
            chunks: Vec::new(),
            tail: Bytes::from_static(b"tail"),
            leases: Bytes::from(encode_leases(&[])),
            dead: Bytes::new(),
            alarms: Bytes::from(encode_alarms(&[])),
            cluster: Bytes::from(encode_cluster(&Cluster::default())),
            config: Bytes::from(encode_config(&Config::default())),
        };
        for word in &words[2..] {
            let (key, value) = word.split_once('=').expect("key=value");
            match key {
                "index" => image.index = Index(number(value)),
                "term" => image.term = Term(number(value)),
                "chunks" => {
                    for chunk in value.split(',') {
                        let (at, len) = chunk.split_once('*').expect("number*bytes");
                        let (at, len) = (number(at), number(len));
                        let bytes = payload(at, len as usize);
                        image.chunks.push(ImageChunk { number: at, version: len, bytes });
                    }
                }
                other => panic!("no such part of a checkpoint: {other}"),
            }
        }
        self.planner.store_image(Mark(number(words[1])), image);
        String::new()
    }

    fn run(&mut self, words: &[&str]) -> String {
        let lane = if words[1] == "log" { Lane::Log } else { Lane::Bulk };
        let Some(Plan { id, ops, .. }) = self.planner.poll(lane) else {
            return "nothing to do\n".into();
        };
        let count = words.get(2).map_or(ops.len(), |word| number(word) as usize);
        let mut out = String::new();
        for op in &ops[..count] {
            self.disk.carry_out(op);
            out += &shown(op);
        }
        if count == ops.len() {
            out += &told(&self.planner.done(id));
        }
        out
    }

    fn recover(&mut self, goes_on: bool) -> String {
        let (planner, recovered) = match recover(&self.disk, &options()) {
            Ok(recovered) => recovered,
            Err(damage) => {
                return format!("damage {} at {}: {}\n", name(damage.file), damage.at, damage.why);
            }
        };
        if goes_on {
            self.planner = planner;
        }
        let hard = recovered.hard;
        let mut out = String::new();
        let _ = writeln!(out, "hard {}/{}/{}", hard.term.0, hard.vote.0, hard.commit.0);
        if let Some(image) = recovered.checkpoint {
            let chunks: Vec<String> = image
                .chunks
                .iter()
                .map(|chunk| {
                    assert_eq!(chunk.bytes, payload(chunk.number, chunk.bytes.len()));
                    format!("{}*{}", chunk.number, chunk.bytes.len())
                })
                .collect();
            let (index, term) = (image.index.0, image.term.0);
            let _ =
                writeln!(out, "checkpoint index={index} term={term} chunks={}", chunks.join(","));
        }
        for entry in recovered.entries {
            let bytes = payload(entry.index.0, entry.bytes.len());
            assert_eq!(entry.bytes, bytes, "the bytes are those that were written");
            let _ = writeln!(out, "entry {}:{}*{}", entry.term.0, entry.index.0, bytes.len());
        }
        out
    }

    fn hex(&self, words: &[&str]) -> String {
        let bytes = self.disk.read(file(words[1]));
        let (from, len) = (number(words[2]) as usize, number(words[3]) as usize);
        let mut out = String::new();
        for (line, bytes) in bytes[from..from + len].chunks(16).enumerate() {
            let _ = write!(out, "{:5}", from + line * 16);
            for byte in bytes {
                let _ = write!(out, " {byte:02x}");
            }
            out.push('\n');
        }
        out
    }
}

fn shown(op: &DiskOp) -> String {
    match op {
        DiskOp::Allocate { file, len } => format!("allocate {} {len}\n", name(*file)),
        DiskOp::Write { file, at, bytes } => {
            let bytes = bytes.concat();
            let crc = crc32fast::hash(&bytes);
            format!("write {} {at}+{} crc {crc:08x}\n", name(*file), bytes.len())
        }
        DiskOp::Sync { file } => format!("sync {}\n", name(*file)),
        DiskOp::Publish { file } => format!("publish {}\n", name(*file)),
        DiskOp::Remove { file } => format!("remove {}\n", name(*file)),
    }
}

fn told(done: &Done) -> String {
    let mut out = String::new();
    if let Some(mark) = done.persisted {
        let _ = writeln!(out, "persisted {}", mark.0);
    }
    if let Some((mark, placed)) = &done.stored {
        let _ = writeln!(out, "stored {}", mark.0);
        for place in placed {
            let (file, at, len) = (name(place.file), place.at, place.len);
            let _ = writeln!(out, "  chunk {} in {file} {at}+{len}", place.number);
        }
    }
    out
}

fn told_again(text: &str) -> String {
    let planner = Planner::create(options());
    let mut story = Story { planner, disk: Disk::default() };
    let mut out = String::new();
    for line in text.lines() {
        match line.strip_prefix('>') {
            Some(order) => {
                out += line;
                out.push('\n');
                out += &story.order(order);
            }
            None if line.is_empty() || line.starts_with('#') => {
                out += line;
                out.push('\n');
            }
            None => {}
        }
    }
    out
}

#[test]
fn stories_are_told_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wal");
    let mut stories: Vec<_> = std::fs::read_dir(folder)
        .expect("stories")
        .map(|file| file.expect("a file").path())
        .collect();
    stories.sort();
    assert!(stories.len() >= 4, "the stories are there");
    for path in stories {
        let text = std::fs::read_to_string(&path).expect("a story");
        let again = told_again(&text);
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&path, again).expect("written");
        } else {
            assert_eq!(again, text, "{}", path.display());
        }
    }
}
