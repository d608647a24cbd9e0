//! Tells systemd that the server is ready, as etcd does (`Type=notify`).

use keel_proto::body::Journal;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Who started the server, and maybe wants to hear that it is ready.
#[derive(Clone, Debug)]
pub struct InitDaemon {
    journal: Journal,
    socket: Option<OsString>,
}

impl InitDaemon {
    /// The one that the environment names, if it does (`NOTIFY_SOCKET`). Log lines tell how it went.
    #[must_use]
    pub fn named(journal: &Journal) -> InitDaemon {
        InitDaemon { journal: journal.clone(), socket: std::env::var_os("NOTIFY_SOCKET") }
    }

    /// Nobody wants to hear it.
    #[must_use]
    pub fn none(journal: &Journal) -> InitDaemon {
        InitDaemon { journal: journal.clone(), socket: None }
    }

    /// Sends `READY=1`.
    pub fn notify(&self) {
        self.journal.info("notifying init daemon", &[]);
        match self.socket.as_deref().map(send).transpose() {
            Ok(_) => self.journal.info("successfully notified init daemon", &[]),
            Err(error) => {
                self.journal.error(
                    "failed to notify systemd for readiness",
                    &[("error", Value::from(error.to_string()))],
                );
            }
        }
    }
}

/// A name that begins with `@` lies in Linux's abstract namespace.
fn send(socket: &OsStr) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            let addr = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            sender.send_to_addr(b"READY=1", &addr)?;
        }
        None => {
            sender.send_to(b"READY=1", Path::new(socket))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_reaches_the_socket_that_is_named() {
        let home = tempfile::tempdir().expect("there is room");
        let path = home.path().join("notify");
        let daemon = UnixDatagram::bind(&path).expect("the path is free");
        send(path.as_os_str()).expect("the daemon listens");
        let mut buffer = [0; 16];
        let len = daemon.recv(&mut buffer).expect("something came");
        assert_eq!(&buffer[..len], b"READY=1");
    }
}
