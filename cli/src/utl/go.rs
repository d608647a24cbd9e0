//! What Go's libraries say of numbers, spans of time and files, which scripts look for.

use crate::ctl::Failed;
use crate::server::duration;
use std::io;
use std::time::Duration;

/// A span of time that a flag says.
pub(super) fn duration(flag: &str, text: &str) -> Result<Duration, Failed> {
    duration::parse(text).ok_or_else(|| {
        let why = match text.parse::<f64>() {
            Ok(_) => format!("time: missing unit in duration {text:?}"),
            Err(_) => format!("time: invalid duration {text:?}"),
        };
        invalid(flag, text, &why)
    })
}

/// A number that is not negative.
pub(super) fn unsigned(flag: &str, text: &str) -> Result<u64, Failed> {
    text.parse().map_err(|_| number(flag, text, "ParseUint"))
}

/// A number.
pub(super) fn signed(flag: &str, text: &str) -> Result<i64, Failed> {
    text.parse().map_err(|_| number(flag, text, "ParseInt"))
}

/// A truth.
pub(super) fn boolean(flag: &str, text: &str) -> Result<bool, Failed> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => {
            let why = format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
            Err(invalid(flag, text, &why))
        }
    }
}

fn number(flag: &str, text: &str, function: &str) -> Failed {
    let digits = text.strip_prefix('-').filter(|_| function == "ParseInt").unwrap_or(text);
    let digits_only = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let why = if digits_only { "value out of range" } else { "invalid syntax" };
    invalid(flag, text, &format!("strconv.{function}: parsing {text:?}: {why}"))
}

fn invalid(flag: &str, text: &str, why: &str) -> Failed {
    Failed::plain(format!("invalid argument {text:?} for \"--{flag}\" flag: {why}"))
}

/// A file or directory that cannot be used: `open path: no such file or directory`.
pub(super) fn path(verb: &str, path: &str, error: &io::Error) -> Failed {
    let why = match error.kind() {
        io::ErrorKind::NotFound => String::from("no such file or directory"),
        io::ErrorKind::PermissionDenied => String::from("permission denied"),
        io::ErrorKind::IsADirectory => String::from("is a directory"),
        io::ErrorKind::NotADirectory => String::from("not a directory"),
        io::ErrorKind::TimedOut => {
            return Failed::plain(format!("timeout: another process holds the lock of {path}"));
        }
        _ => error.to_string(),
    };
    Failed::plain(format!("{verb} {path}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_in_gos_words() {
        let told = |failed: Failed| failed.line;
        assert_eq!(duration("timeout", "1m").ok(), Some(Duration::from_secs(60)));
        let line = duration("timeout", "5").map_err(told).expect_err("no unit");
        let expected = "invalid argument \"5\" for \"--timeout\" flag: \
                        time: missing unit in duration \"5\"";
        assert_eq!(line, expected);
        let line = unsigned("n", "-1").map_err(told).expect_err("negative");
        assert!(line.ends_with("strconv.ParseUint: parsing \"-1\": invalid syntax"), "{line}");
        let line = signed("n", "99999999999999999999").map_err(told).expect_err("too large");
        assert!(line.ends_with("value out of range"), "{line}");
        let missing = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(path("stat", "x", &missing).line, "stat x: no such file or directory");
    }
}
