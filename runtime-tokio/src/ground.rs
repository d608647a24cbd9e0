//! What a server stands on, whatever its executor: where its log lines go, and its directory.

mod rotation;

use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::import::take_over;
use crate::run::executor;
use keel_proto::body::config::{Log, LogOutput};
use keel_proto::body::{Config, Failure, Journal, Sink, banner};
use rotation::{Rotated, Rotating};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// The outputs of a server and its locked directory, from which etcd's files have been taken over.
#[derive(Debug)]
pub struct Ground {
    /// Where lines go.
    pub journal: Journal,
    /// Where files lie.
    pub dir: DataDir,
}

impl Ground {
    /// Opens what the flags name. It comes before the ports: SO_REUSEPORT would let a second
    /// server bind.
    ///
    /// # Errors
    ///
    /// Says which directory another process holds, or what cannot be opened or imported.
    pub fn prepare(config: &Config) -> Result<Ground, Failure> {
        let journal = open_journal(&config.log, Clock::machine())?;
        let mut dir = DataDir::lock(&config.data_dir)?;
        banner::beginning(&journal, config);
        executor()?.block_on(take_over(dir.path(), config.wal_dir.as_deref(), &journal))?;
        if let Some(logs) = &config.wal_dir {
            dir = dir.with_logs(logs)?;
        }
        Ok(Ground { journal, dir })
    }
}

/// Opens the outputs of a log.
///
/// # Errors
///
/// A file that cannot be opened is named.
fn open_journal(log: &Log, clock: Clock) -> Result<Journal, Failure> {
    let mut sinks: Vec<Sink> = Vec::new();
    let unopened = |path: &Path, error: io::Error| {
        Failure::new(format!("--log-outputs: cannot open {}: {error}", path.display()))
    };
    for output in &log.outputs {
        sinks.push(match output {
            LogOutput::Stderr => Box::new(io::stderr()),
            // It goes out at the end of each line.
            LogOutput::Stdout => Box::new(io::stdout()),
            LogOutput::File(path) => {
                let file = OpenOptions::new().append(true).create(true).open(path);
                Box::new(file.map_err(|error| unopened(path, error))?)
            }
            LogOutput::Rotated(path, rotation) => {
                let log = Rotated::open(path, *rotation).map_err(|error| unopened(path, error))?;
                Box::new(Rotating { log, clock })
            }
        });
    }
    Ok(Journal::new(log.level, log.format, clock, sinks))
}
