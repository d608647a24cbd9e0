//! Whether every command is told of in every form.

use super::forms::Form;
use super::text::{Line, scenes};
use clap::Command;
use std::collections::BTreeSet;

/// What a story need not tell of.
pub(crate) struct Exception {
    /// The command, and all below it.
    pub(crate) command: &'static str,
    /// How many forms are enough.
    pub(crate) enough: usize,
    /// Why.
    pub(crate) reason: &'static str,
}

/// A command in a form.
type Told = (String, String);

/// The commands and forms that no story tells of, and the exceptions that nothing needs.
pub(crate) fn missing(
    tree: &Command,
    stories: &[String],
    forms: &[Form],
    exceptions: &[Exception],
) -> Vec<String> {
    let told: BTreeSet<Told> = stories.iter().flat_map(|story| told(tree, story)).collect();
    let mut missing = Vec::new();
    let mut needed = BTreeSet::new();
    for command in leaves(tree, "") {
        let lacks: Vec<String> = forms
            .iter()
            .map(|form| form.name())
            .filter(|form| !told.contains(&(command.clone(), form.clone())))
            .collect();
        if lacks.is_empty() {
            continue;
        }
        let exception = exceptions.iter().find(|one| covers(one.command, &command));
        if let Some(exception) = exception {
            assert!(!exception.reason.is_empty(), "an exception says why");
            needed.insert(exception.command);
        }
        if forms.len() - lacks.len() < exception.map_or(forms.len(), |one| one.enough) {
            missing.push(format!("no story tells of `{command}` as {}", lacks.join(", ")));
        }
    }
    let idle = exceptions.iter().filter(|one| !needed.contains(one.command));
    missing.extend(idle.map(|one| format!("`{}` is no exception", one.command)));
    missing
}

fn covers(exception: &str, command: &str) -> bool {
    command.strip_prefix(exception).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// Every command that has none below it, under its whole name.
fn leaves(command: &Command, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for inner in command.get_subcommands() {
        let path = format!("{path} {}", inner.get_name()).trim_start().to_owned();
        let below = leaves(inner, &path);
        found.extend(if below.is_empty() { vec![path] } else { below });
    }
    found
}

/// What a story tells of: commands that did what they are for, and forms that they do not have.
fn told(tree: &Command, story: &str) -> Vec<Told> {
    let scenes = scenes(story);
    let mut told = Vec::new();
    for (at, scene) in scenes.iter().enumerate() {
        let (line, output) = scene.split_once('\n').expect("a scene is a line at least");
        let Some((verb, rest)) = line.split_at_checked(2) else { continue };
        match verb {
            "$ " | "% " => told.extend(form_of(tree, rest).filter(|_| is_good(output))),
            "& " => {
                let (name, rest) = rest.split_once(' ').expect("a job has a name");
                let end = scenes[at..].iter().find(|scene| scene.starts_with(&format!(". {name}")));
                let output = end.and_then(|end| end.split_once('\n')).map_or("", |end| end.1);
                told.extend(form_of(tree, rest).filter(|_| is_good(output)));
            }
            "* " | "^ " => {
                let Some((command, _)) = form_of(tree, rest) else { continue };
                for (forms, output) in sections(output) {
                    let forms = forms.filter(|_| is_good(&output)).map(String::from);
                    told.extend(forms.map(|form| (command.clone(), form)));
                }
            }
            _ => {}
        }
    }
    told
}

/// The forms over what was printed, and what was.
fn sections(output: &str) -> Vec<(impl Iterator<Item = &str>, String)> {
    let mut sections: Vec<(&str, String)> = Vec::new();
    for line in output.lines() {
        let forms = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        let known = |form: &str| super::forms::WITH_HEX.iter().any(|one| one.name() == form);
        match forms.filter(|forms| forms.split(", ").all(known)) {
            Some(forms) => sections.push((forms, String::new())),
            None => sections.iter_mut().last().into_iter().for_each(|(_, output)| {
                output.push_str(line);
                output.push('\n');
            }),
        }
    }
    sections.into_iter().map(|(forms, output)| (forms.split(", "), output)).collect()
}

/// Whether it is no mistake that was told of.
fn is_good(output: &str) -> bool {
    let mut errors = output.lines().filter_map(|line| line.strip_prefix("! Error: "));
    errors.all(|error| {
        error.ends_with("not supported as output format")
            || error.contains("is only for `--write-out=")
            || error.starts_with("marshal unsupported for type ")
    })
}

/// The command that a line names, and the form that it asks for.
fn form_of(tree: &Command, line: &str) -> Option<Told> {
    let words = [vec![tree.get_name().to_owned()], Line::of(line).words].concat();
    let matches = tree.clone().try_get_matches_from(words).ok()?;
    let (mut path, mut inner) = (Vec::new(), &matches);
    while let Some((name, below)) = inner.subcommand() {
        path.push(name);
        inner = below;
    }
    let format = inner.get_raw("write_out")?.next_back()?.to_str()?;
    let hex = matches!(inner.try_get_one::<bool>("hex"), Ok(Some(true)));
    Some((path.join(" "), format!("{format}{}", if hex { " --hex" } else { "" })))
}
