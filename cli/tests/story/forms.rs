//! A command in every form that `--write-out` and `--hex` give it.

use super::Cast;
use super::job::Job;

/// A form of an output, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) format: &'static str,
    pub(crate) hex: bool,
}

/// The forms of etcdctl: `--hex` says nothing to the last two.
pub(crate) const WITH_HEX: [Form; 8] = [
    Form { format: "simple", hex: false },
    Form { format: "simple", hex: true },
    Form { format: "fields", hex: false },
    Form { format: "fields", hex: true },
    Form { format: "json", hex: false },
    Form { format: "json", hex: true },
    Form { format: "table", hex: false },
    Form { format: "protobuf", hex: false },
];

/// The forms of etcdutl, which knows no `--hex`.
pub(crate) const WITHOUT_HEX: [Form; 5] =
    [WITH_HEX[0], WITH_HEX[2], WITH_HEX[4], WITH_HEX[6], WITH_HEX[7]];

impl Form {
    /// As it stands over what is printed in it.
    pub(super) fn name(self) -> String {
        format!("{}{}", self.format, if self.hex { " --hex" } else { "" })
    }

    fn flags(self) -> Vec<String> {
        let hex = self.hex.then(|| String::from("--hex"));
        ["-w", self.format].map(String::from).into_iter().chain(hex).collect()
    }
}

/// What belongs to a line: what is typed into it, and the lines before and after each time.
#[derive(Default)]
pub(super) struct Around {
    pub(super) input: Vec<String>,
    before: Vec<String>,
    after: Vec<String>,
}

impl Around {
    /// Takes a line of a story.
    pub(super) fn take(&mut self, line: &str) {
        match line.split_at_checked(2) {
            Some(("+ ", rest)) => self.before.push(rest.to_owned()),
            Some(("- ", rest)) => self.after.push(rest.to_owned()),
            _ => self.input.push(super::text::typed(line[1..].trim_start())),
        }
    }
}

impl Cast {
    /// Plays a line in each form. What is the same in several forms is told once.
    pub(super) fn in_every_form(&mut self, line: &str, around: &Around, interrupt: bool) -> String {
        let mut told: Vec<(String, String)> = Vec::new();
        for form in self.forms() {
            self.forget();
            self.aside(&around.before);
            let job = self.start(line, &form.flags());
            let output = self.until_its_end(job, &around.input, interrupt);
            self.aside(&around.after);
            match told.last_mut().filter(|(_, last)| *last == output) {
                Some((names, _)) => *names = format!("{names}, {}", form.name()),
                None => told.push((form.name(), output)),
            }
        }
        told.iter().map(|(names, output)| format!("[{names}]\n{output}")).collect()
    }

    fn until_its_end(&mut self, mut job: Job, input: &[String], interrupt: bool) -> String {
        for line in input {
            job.say(line);
        }
        if interrupt {
            if job.says_something() {
                job.interrupt();
            }
        } else {
            job.close();
        }
        self.tell(job)
    }

    /// Lines of which nothing is told, since they do not fail.
    fn aside(&mut self, lines: &[String]) {
        for line in lines {
            let (verb, rest) = line.split_at_checked(2).expect("a line begins with its verb");
            let told = self.act(verb.trim_end(), rest, &Around::default());
            assert!(!told.lines().any(|line| line.starts_with("= ")), "{line}: {told}");
        }
    }
}
