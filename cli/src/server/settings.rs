//! What the command line and the environment say, flag by flag (surface §5.1).

use super::flags::{Does, FLAGS, Flag, flag, variable};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use std::collections::BTreeMap;

/// The word that asks how a server is. etcd has none: its images have a shell for that.
const HEALTH: &str = "healthcheck";

/// Every flag's value, and which were set.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    set: BTreeMap<&'static str, Source>,
}

/// Who set a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Line,
    Environment,
    File,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Wanted {
    /// The server.
    Serve(Box<Settings>),
    /// The versions.
    Version,
    /// The list of flags.
    Help,
    /// How the server is that runs with these settings.
    Health(Box<Settings>),
}

/// A command line that cannot be followed: what to say, and with which code to exit.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// One line.
    pub line: String,
    /// The process's exit code.
    pub code: u8,
}

impl Refused {
    /// A flag that does not parse.
    fn syntax(line: impl Into<String>) -> Refused {
        Refused { line: line.into(), code: 2 }
    }

    /// A value that cannot be.
    pub fn value(line: impl Into<String>) -> Refused {
        Refused { line: line.into(), code: 1 }
    }
}

impl Settings {
    /// Reads a command line, as Go's flag package would, and the environment.
    pub fn read(
        args: impl IntoIterator<Item = String>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Wanted, Refused> {
        let mut args = args.into_iter().peekable();
        let health = args.next_if(|word| word == HEALTH).is_some();
        let wanted = Settings::read_flags(args, environment)?;
        Ok(match wanted {
            Wanted::Serve(settings) if health => Wanted::Health(settings),
            wanted => wanted,
        })
    }

    fn read_flags(
        args: impl IntoIterator<Item = String>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Wanted, Refused> {
        let mut settings = Settings {
            values: FLAGS.iter().map(|flag| (flag.name, flag.default.to_owned())).collect(),
            set: BTreeMap::new(),
        };
        let matches = command().try_get_matches_from(in_claps_form(args)?).map_err(in_gos_words)?;
        if matches.get_flag("help") {
            return Ok(Wanted::Help);
        }
        if matches.get_flag("version") {
            return Ok(Wanted::Version);
        }
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let named = environment.iter().find(|(name, _)| *name == variable("config-file"));
        let named = matches.get_one("config-file").or(named.map(|(_, value)| value));
        if let Some(path) = named.filter(|path: &&String| !path.is_empty()) {
            for (flag, value) in super::file::read(path)? {
                settings.set(flag, value, Source::File);
            }
            settings.refuse_what_cannot_act()?;
            return Ok(Wanted::Serve(Box::new(settings)));
        }
        for flag in FLAGS {
            if let Some(value) = matches.get_one::<String>(flag.name) {
                settings.set(flag, value.clone(), Source::Line);
            }
        }
        settings.read_environment(environment)?;
        settings.refuse_what_cannot_act()?;
        Ok(Wanted::Serve(Box::new(settings)))
    }

    fn set(&mut self, flag: &'static Flag, value: String, source: Source) {
        self.values.insert(flag.name, value);
        self.set.insert(flag.name, source);
    }

    fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Refused> {
        for (name, value) in environment {
            let meant = FLAGS.iter().find(|flag| variable(flag.name) == name);
            let Some(flag) = meant.filter(|_| !value.is_empty()) else { continue };
            if self.set.get(flag.name) == Some(&Source::Line) {
                return Err(Refused::value(format!(
                    "conflicting environment variable {name:?} is shadowed by corresponding \
                     command-line flag (either unset environment variable or disable flag)"
                )));
            }
            self.set(flag, value, Source::Environment);
        }
        Ok(())
    }

    /// A flag without its feature must keep its default.
    fn refuse_what_cannot_act(&self) -> Result<(), Refused> {
        for name in self.set.keys() {
            let Some(flag) = flag(name) else { continue };
            if let Does::Nothing(why) = flag.does
                && !self.is_default(flag)
            {
                return Err(Refused::value(format!(
                    "--{name} {:?} cannot be followed: {why}; leave the flag out",
                    self.text(name)
                )));
            }
        }
        Ok(())
    }

    fn is_default(&self, flag: &Flag) -> bool {
        let value = self.text(flag.name);
        value == flag.default || matches!((value, flag.default), ("0" | "0s", "0" | "0s"))
    }

    /// Whether somebody set it.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.set.contains_key(name)
    }

    /// A flag's value.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// A flag's value as another type, or etcd's words for why it is none.
    pub fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, Refused> {
        let text = self.text(name);
        text.trim().parse().map_err(|_| self.invalid(name, "parse error"))
    }

    /// A flag's duration, in Go's form.
    pub fn duration(&self, name: &'static str) -> Result<std::time::Duration, Refused> {
        let parsed = super::duration::parse(self.text(name));
        parsed.ok_or_else(|| self.invalid(name, "parse error"))
    }

    fn invalid(&self, name: &str, why: &str) -> Refused {
        let value = self.text(name);
        if self.set.get(name) == Some(&Source::Environment) {
            let variable = variable(name);
            return Refused::value(format!("invalid value {value:?} for {variable}: {why}"));
        }
        Refused::syntax(format!("invalid value {value:?} for flag -{name}: {why}"))
    }
}

/// Every flag, as clap reads it: the last of several wins, as in Go.
fn command() -> Command {
    let flags = FLAGS.iter().map(|flag| {
        let arg = Arg::new(flag.name).long(flag.name);
        match flag.switch {
            true => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            false => arg.num_args(1).allow_hyphen_values(true),
        }
    });
    Command::new("etcd")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(Arg::new("help").long("help").alias("h").action(ArgAction::SetTrue))
        .arg(Arg::new("version").long("version").action(ArgAction::SetTrue))
        .args(flags)
}

/// Go takes one dash or two, and whatever stands behind a flag for its value.
fn in_claps_form(args: impl IntoIterator<Item = String>) -> Result<Vec<String>, Refused> {
    let mut args = args.into_iter();
    let mut out = Vec::new();
    while let Some(arg) = args.next() {
        let Some(text) = dashed(&arg) else {
            return Err(Refused::value(format!("{arg:?} is not a valid flag")));
        };
        let takes_next = !text.contains('=') && flag(text).is_some_and(|flag| !flag.switch);
        match takes_next.then(|| args.next()).flatten() {
            Some(value) => out.push(format!("--{text}={value}")),
            None => out.push(format!("--{text}")),
        }
    }
    Ok(out)
}

/// What Go's package says of flags that it cannot read; scripts look for it.
fn in_gos_words(error: clap::Error) -> Refused {
    let named = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => arg.split([' ', '=']).next().unwrap_or_default(),
        _ => "",
    };
    let name = named.trim_start_matches('-');
    match error.kind() {
        ErrorKind::UnknownArgument => {
            Refused::syntax(format!("flag provided but not defined: -{name}"))
        }
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::NoEquals => {
            Refused::syntax(format!("flag needs an argument: -{name}"))
        }
        _ => Refused::syntax(error.to_string().lines().next().unwrap_or_default()),
    }
}

/// A flag with one dash or two; Go's package takes both.
fn dashed(arg: &str) -> Option<&str> {
    let text = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'))?;
    (!text.is_empty() && !text.starts_with(['-', '='])).then_some(text)
}

/// The list of flags, as `--help` shows it.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(
        "Usage:\n\n  etcd [flags]\n    Start a keel server, which serves etcd's API.\n\n  \
         etcd --version\n    Show the versions.\n\n  \
         etcd healthcheck [flags]\n    Ask the server that runs with these flags whether it is \
         ready;\n    exit with 0 if it is, with 1 if not.\n\nFlags, each also as an environment variable \
         (--data-dir is ETCD_DATA_DIR):\n\n",
    );
    for flag in FLAGS {
        text.push_str(&format!("  --{} '{}'\n", flag.name, flag.default));
        if let Does::Nothing(why) = flag.does {
            text.push_str(&format!("      Keeps its default: {why}.\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], environment: &[(&str, &str)]) -> Result<Settings, Refused> {
        let args = args.iter().map(|arg| (*arg).to_owned());
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        match Settings::read(args, environment)? {
            Wanted::Serve(settings) => Ok(*settings),
            other => panic!("{other:?} is no server"),
        }
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let settings = read(&["-name", "a", "--data-dir=/x", "--pre-vote=false"], &[]).expect("ok");
        assert_eq!(settings.text("name"), "a");
        assert_eq!(settings.text("data-dir"), "/x");
        assert_eq!(settings.text("pre-vote"), "false");
        assert_eq!(settings.text("snapshot-count"), "10000");
    }

    #[test]
    fn whatever_stands_behind_a_flag_is_its_value() {
        let settings =
            read(&["--name", "-x", "--data-dir", "--name", "--name=b", "--log-level="], &[]);
        let settings = settings.expect("ok");
        assert_eq!(settings.text("name"), "b", "the last one wins");
        assert_eq!(settings.text("data-dir"), "--name");
        assert_eq!(settings.text("log-level"), "");
        for help in ["-h", "--help", "-help"] {
            let wanted = Settings::read([help.to_owned()], []);
            assert!(matches!(wanted, Ok(Wanted::Help)), "{help}");
        }
    }

    #[test]
    fn the_environment_speaks_where_the_line_is_silent() {
        let settings = read(&[], &[("ETCD_NAME", "n"), ("ETCD_DATA_DIR", "")]).expect("ok");
        assert_eq!(settings.text("name"), "n");
        assert!(!settings.is_set("data-dir"), "an empty variable says nothing");
        let both = read(&["--name=a"], &[("ETCD_NAME", "n")]).expect_err("a conflict");
        assert!(both.line.contains("shadowed") && both.code == 1);
    }

    #[test]
    fn a_word_ahead_of_the_flags_asks_how_the_server_is() {
        let asked = ["healthcheck", "--name=a"].map(String::from);
        let wanted = Settings::read(asked, []).expect("ok");
        let Wanted::Health(settings) = wanted else { panic!("{wanted:?} asks for no health") };
        assert_eq!(settings.text("name"), "a");
        assert!(read(&["--name=a", "healthcheck"], &[]).is_err(), "it stands ahead");
    }

    #[test]
    fn what_cannot_act_is_refused_unless_it_is_the_default() {
        let refused = read(&["--cert-file=x.pem"], &[]).expect_err("no TLS yet");
        assert_eq!(
            refused.line,
            "--cert-file \"x.pem\" cannot be followed: TLS is not served yet; leave the flag out"
        );
        assert!(read(&["--memory-mlock=false"], &[]).is_ok());
        assert!(read(&["--memory-mlock"], &[]).is_err());
    }

    #[test]
    fn nonsense_is_refused_in_gos_words() {
        let unknown = read(&["--nope"], &[]).expect_err("unknown");
        assert_eq!(
            (unknown.line.as_str(), unknown.code),
            ("flag provided but not defined: -nope", 2)
        );
        let open = read(&["--name"], &[]).expect_err("open");
        assert_eq!((open.line.as_str(), open.code), ("flag needs an argument: -name", 2));
        let stray = read(&["stray"], &[]).expect_err("stray");
        assert_eq!((stray.line.as_str(), stray.code), ("\"stray\" is not a valid flag", 1));
    }
}
