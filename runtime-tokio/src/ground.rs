//! What a server stands on, whatever its executor: where its log lines go, and its directory.

mod rotation;

use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::entropy;
use crate::import::take_over;
use crate::init_daemon::InitDaemon;
use crate::net::TcpNet;
use crate::run::executor;
use keel_proto::body::config::{LISTEN_PEER, Log, LogOutput};
use keel_proto::body::{Config, Failure, Journal, Sink, banner};
use rotation::{Rotated, Rotating};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Between two looks at a port that is taken, and how often there is another look.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSES_MAX: usize = 100;

/// The outputs of a server, its chance, and its locked directory, from which etcd's files have been
/// taken over.
#[derive(Debug)]
pub struct Ground {
    /// Where lines go.
    pub journal: Journal,
    /// Where files lie.
    pub dir: DataDir,
    /// What the core's randomness grows from.
    pub seed: u64,
    /// Who wants to hear that the server is ready.
    pub init: InitDaemon,
}

impl Ground {
    /// Opens what the flags name, and looks whether the ports are free: the directory first, since
    /// SO_REUSEPORT would let a second server bind.
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
        refuse_taken_ports(config)?;
        let (seed, init) = (entropy::seed()?, InitDaemon::named(&journal));
        Ok(Ground { journal, dir, seed, init })
    }
}

/// Finds a port that somebody else listens on, which SO_REUSEPORT would hide.
fn refuse_taken_ports(config: &Config) -> Result<(), Failure> {
    let free = |addr| patiently(|| TcpNet::probe(addr), || thread::sleep(PAUSE));
    for listen in &config.listen_peer {
        free(listen.addr).map_err(|error| listen.refused(LISTEN_PEER, &error))?;
    }
    for (traffic, listen) in config.listeners() {
        free(listen.addr).map_err(|error| listen.refused(traffic.flag(), &error))?;
    }
    Ok(())
}

/// Asks again while a port is taken: a member that was killed on io_uring is gone before the kernel
/// has closed the sockets in its ring, 5 to 23 ms where it was measured, and whoever starts it
/// again does so at once.
fn patiently(mut probe: impl FnMut() -> io::Result<()>, mut pause: impl FnMut()) -> io::Result<()> {
    for _ in 0..PAUSES_MAX {
        match probe() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => pause(),
            answer => return answer,
        }
    }
    probe()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a port says that is taken for a while, and after how many pauses.
    fn asked(taken: usize, then: io::ErrorKind) -> (Option<io::ErrorKind>, usize) {
        let (mut looks, mut pauses) = (0, 0);
        let probe = || {
            looks += 1;
            match looks > taken {
                true if then == io::ErrorKind::Other => Ok(()),
                true => Err(then.into()),
                false => Err(io::ErrorKind::AddrInUse.into()),
            }
        };
        let answer = patiently(probe, || pauses += 1);
        (answer.err().map(|error| error.kind()), pauses)
    }

    #[test]
    fn a_port_that_is_taken_is_asked_again_but_not_for_ever() {
        let free = io::ErrorKind::Other;
        assert_eq!(asked(0, free), (None, 0));
        assert_eq!(asked(3, free), (None, 3));
        assert_eq!(asked(usize::MAX, free), (Some(io::ErrorKind::AddrInUse), PAUSES_MAX));
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(asked(2, denied), (Some(denied), 2), "nothing else is waited for");
    }
}
