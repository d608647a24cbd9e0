//! Running a program for somebody, with Go's words for what goes wrong.

use super::Failed;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Runs a program to its end, beside the caller's other tasks.
///
/// # Errors
///
/// It could not be started, or failed: then with its exit code.
pub(super) async fn run(words: &[String], environment: Vec<(&str, String)>) -> Result<(), Failed> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).envs(environment);
    let status = tokio::task::spawn_blocking(move || command.status()).await;
    let status = status.map_err(|error| Failed::plain(error.to_string()))?;
    let status = status.map_err(|error| Failed::plain(unstarted(program, &error)))?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => {
            let code = u8::try_from(code).unwrap_or(1);
            Err(Failed { code, ..Failed::plain(format!("exit status {code}")) })
        }
        (None, signal) => {
            let name = signal.map_or(String::new(), name_of);
            Err(Failed { code: 255, ..Failed::plain(format!("signal: {name}")) })
        }
    }
}

fn unstarted(program: &str, error: &std::io::Error) -> String {
    let why = match error.kind() {
        ErrorKind::NotFound if !program.contains('/') => {
            return format!("exec: {program:?}: executable file not found in $PATH");
        }
        ErrorKind::NotFound => String::from("no such file or directory"),
        ErrorKind::PermissionDenied => String::from("permission denied"),
        _ => error.to_string(),
    };
    format!("fork/exec {program}: {why}")
}

fn name_of(signal: i32) -> String {
    match signal {
        1 => String::from("hangup"),
        2 => String::from("interrupt"),
        6 => String::from("aborted"),
        9 => String::from("killed"),
        11 => String::from("segmentation fault"),
        15 => String::from("terminated"),
        other => format!("signal {other}"),
    }
}
