//! What is logged, how and where (surface §9.1).

use super::settings::{Refused, Settings};
use keel_runtime_tokio::{Level, Log, LogFormat, LogOutput, Rotation};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The logger's settings, checked.
pub(super) fn log(settings: &Settings) -> Result<Log, Refused> {
    let level = match settings.text("log-level") {
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        "error" => Level::Error,
        "dpanic" | "panic" => Level::Panic,
        "fatal" => Level::Fatal,
        other => {
            return Err(Refused { line: format!("unrecognized level: {other:?}"), code: 2 });
        }
    };
    let format = match settings.text("log-format") {
        "json" => LogFormat::Json,
        "console" => LogFormat::Console,
        other => {
            return Err(Refused::value(format!(
                "unknown log format: {other}, supported values json, console"
            )));
        }
    };
    let outputs: Vec<&str> = settings.text("log-outputs").split(',').map(str::trim).collect();
    if outputs.len() > 1 && outputs.contains(&"default") {
        return Err(Refused::value("multi logoutput for \"default\" is not supported yet"));
    }
    let output = |text: &str| match text {
        "default" | "stderr" => Ok(LogOutput::Stderr),
        "stdout" => Ok(LogOutput::Stdout),
        "systemd/journal" => Err(Refused::value(
            "--log-outputs \"systemd/journal\" cannot be followed: write to stderr, which \
             systemd keeps",
        )),
        path => Ok(LogOutput::File(PathBuf::from(path))),
    };
    let mut outputs = outputs.into_iter().map(output).collect::<Result<Vec<_>, _>>()?;
    if settings.parsed("enable-log-rotation")? {
        outputs = rotated(outputs, settings.text("log-rotation-config-json"))?;
    }
    Ok(Log { level, format, outputs })
}

/// The one file among the outputs, with full ones put aside.
fn rotated(outputs: Vec<LogOutput>, config: &str) -> Result<Vec<LogOutput>, Refused> {
    let is_file = |output: &&LogOutput| matches!(output, LogOutput::File(_));
    let files = outputs.iter().filter(is_file).count();
    // As in etcd, a rotation without a file goes unnoticed beside two standard streams.
    if files > 1 || files == 0 && outputs.len() == 1 {
        return Err(Refused::value(
            "--log-outputs requires a single file path when --log-rotate-config-json is defined",
        ));
    }
    let rotation = rotation(config)?;
    let turned = |output| match output {
        LogOutput::File(path) => LogOutput::Rotated(path, rotation),
        other => other,
    };
    Ok(outputs.into_iter().map(turned).collect())
}

/// `--log-rotation-config-json`, in lumberjack's words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    /// Megabytes; zero is a hundred.
    maxsize: u64,
    /// Days; zero is for ever.
    maxage: u64,
    /// Files; zero is all.
    maxbackups: usize,
    localtime: bool,
    compress: bool,
}

/// Megabytes of a file where nothing is said.
const MEGABYTES: u64 = 100;
const DAY: u64 = 24 * 60 * 60;

fn rotation(config: &str) -> Result<Rotation, Refused> {
    let written: Written = serde_json::from_str(config).map_err(|error| {
        let what = if error.is_data() { "invalid" } else { "improperly formatted" };
        Refused::value(format!("{what} log rotation config: {error}"))
    })?;
    if written.localtime || written.compress {
        return Err(Refused::value(
            "--log-rotation-config-json: localtime and compress cannot be followed: names of full \
             files are in UTC, and files stay as they are; leave both out",
        ));
    }
    let megabytes = if written.maxsize == 0 { MEGABYTES } else { written.maxsize };
    let age = Duration::from_secs(written.maxage.saturating_mul(DAY));
    Ok(Rotation {
        bytes_max: megabytes.saturating_mul(1024 * 1024),
        age_max: (written.maxage > 0).then_some(age),
        backups_max: written.maxbackups,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_read_in_lumberjacks_words() {
        let read = rotation(r#"{"maxsize": 1, "maxage": 2, "maxbackups": 3, "localtime": false}"#);
        let age_max = Some(Duration::from_secs(2 * DAY));
        let expected = Rotation { bytes_max: 1 << 20, age_max, backups_max: 3 };
        assert_eq!(read, Ok(expected));
        let read = rotation("{}").expect("all is said by default");
        assert_eq!((read.bytes_max, read.age_max, read.backups_max), (100 << 20, None, 0));
        let told = |config: &str| rotation(config).expect_err("a mistake").line;
        assert!(told("{").starts_with("improperly formatted log rotation config: "));
        assert!(told(r#"{"maxsize": "x"}"#).starts_with("invalid log rotation config: "));
        assert!(told(r#"{"compress": true}"#).contains("cannot be followed"));
        let file = || LogOutput::File(PathBuf::from("a"));
        for outputs in [vec![LogOutput::Stderr], vec![file(), file()]] {
            assert!(rotated(outputs, "{}").is_err());
        }
        assert!(rotated(vec![LogOutput::Stderr, file()], "{}").is_ok());
    }
}
