//! A transcript file: blocks of actions and the answers that are due.

use std::path::{Path, PathBuf};

/// What stands between actions and answers.
const DASHES: &str = "----";

/// A comment that says with which flags the server starts.
const FLAGS: &str = "# flags: ";

/// A file's blocks.
pub(crate) struct Script {
    path: PathBuf,
    pub(crate) blocks: Vec<Block>,
    /// What follows the last block.
    tail: Vec<String>,
}

/// One exchange.
pub(crate) struct Block {
    /// Comments and blank lines before it.
    before: Vec<String>,
    /// The file's line of its first action, from 1.
    pub(crate) line: usize,
    /// Its lines of actions, as they stand.
    lines: Vec<String>,
    /// The answers that are due; `None` where nobody has recorded them yet.
    pub(crate) answers: Option<Vec<String>>,
}

impl Block {
    /// The actions: a line that begins with a space goes on with the one before.
    pub(crate) fn actions(&self) -> Vec<String> {
        let mut actions: Vec<String> = Vec::new();
        for line in &self.lines {
            match actions.last_mut() {
                Some(action) if line.starts_with(' ') => action.push_str(line),
                _ => actions.push(line.clone()),
            }
        }
        actions
    }
}

impl Script {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Script {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|why| panic!("{} cannot be read: {why}", path.display()));
        let mut script = Script { path: path.into(), blocks: Vec::new(), tail: Vec::new() };
        let mut lines = text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            if line.is_empty() || line.starts_with('#') {
                script.tail.push(String::from(line));
                continue;
            }
            let before = std::mem::take(&mut script.tail);
            let mut block =
                Block { before, line: number + 1, lines: vec![String::from(line)], answers: None };
            while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
                match &mut block.answers {
                    None if line == DASHES => block.answers = Some(Vec::new()),
                    None => block.lines.push(String::from(line)),
                    Some(answers) => answers.push(String::from(line)),
                }
            }
            script.blocks.push(block);
        }
        script
    }

    /// The flags that the file wants its server to have.
    pub(crate) fn flags(&self) -> Vec<&str> {
        let comments = self.blocks.iter().flat_map(|block| &block.before);
        let flags = comments.filter_map(|line| line.strip_prefix(FLAGS));
        flags.flat_map(str::split_whitespace).collect()
    }

    /// Writes the file anew with the answers as they are now.
    pub(crate) fn write(&self) {
        let mut text = String::new();
        let mut line = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        for block in &self.blocks {
            block.before.iter().chain(&block.lines).for_each(|one| line(one));
            line(DASHES);
            block.answers.iter().flatten().for_each(|one| line(one));
        }
        self.tail.iter().for_each(|one| line(one));
        std::fs::write(&self.path, text)
            .unwrap_or_else(|why| panic!("{} cannot be written: {why}", self.path.display()));
    }
}
