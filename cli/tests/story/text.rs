//! How a story is read: scenes, lines, words.

/// How lines begin that are not printed.
pub(super) const VERBS: [&str; 10] = ["# ", "$ ", "% ", "* ", "^ ", "& ", "> ", "~ ", ". ", "@ "];

/// What follows a command line and belongs to it: its input, what goes before it, what after.
pub(super) const BELONGS: [&str; 3] = ["<", "+ ", "- "];

/// A line of output, which is not taken for one of the story's.
pub(super) fn printed(line: &str) -> String {
    let is_taken = VERBS.iter().chain(&BELONGS).any(|begin| line.starts_with(begin));
    format!("{}{line}", if is_taken { "\\" } else { "" })
}

/// A story's command lines, each with what it prints.
pub(super) fn scenes(story: &str) -> Vec<String> {
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

/// What a line of input means.
pub(super) fn typed(said: &str) -> String {
    let many = said.strip_prefix('"').and_then(|rest| rest.split_once("\"*"));
    match many {
        Some((text, count)) => text.repeat(count.parse().expect("a count")),
        None => said.to_owned(),
    }
}

/// A command line as it is written.
pub(super) struct Line {
    /// What its process finds in its environment besides.
    pub(super) environment: Vec<(String, String)>,
    pub(super) words: Vec<String>,
}

impl Line {
    pub(super) fn of(text: &str) -> Line {
        let mut words = words(text).into_iter().peekable();
        let mut environment = Vec::new();
        while let Some(word) = words.next_if(|word| word.contains('=') && !word.starts_with('-')) {
            let (name, value) = word.split_once('=').expect("it was looked for");
            environment.push((name.to_owned(), value.to_owned()));
        }
        Line { environment, words: words.collect() }
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
