//! One server process in a directory of its own, on loopback ports that were free a moment ago.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take until it is healthy, or until it has stopped.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often we look meanwhile.
const LOOK: Duration = Duration::from_millis(20);
/// How often a start is tried again because somebody else took the ports.
const TRIES: usize = 3;

/// The server binary of this workspace.
pub(crate) fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_etcd"))
}

/// A running server. Killed when dropped.
pub(crate) struct Server {
    binary: PathBuf,
    extra: Vec<String>,
    client: String,
    peer: String,
    child: Child,
    dir: TempDir,
}

impl Server {
    /// Starts `binary` as a fresh cluster of one and waits until it is healthy.
    pub(crate) fn start(binary: &Path) -> Server {
        Server::start_with(binary, &[])
    }

    /// The same, with more flags.
    pub(crate) fn start_with(binary: &Path, extra: &[&str]) -> Server {
        let extra: Vec<String> = extra.iter().map(|flag| String::from(*flag)).collect();
        let mut failure = String::new();
        for _ in 0..TRIES {
            let dir = TempDir::new().expect("a temporary directory can be made");
            let (client, peer) = (free_port(), free_port());
            let child = spawn(binary, &extra, dir.path(), &client, &peer);
            let (binary, extra) = (binary.to_path_buf(), extra.clone());
            let mut server = Server { binary, extra, client, peer, child, dir };
            match server.wait_until_healthy() {
                Ok(()) => return server,
                Err(why) => failure = why,
            }
        }
        panic!("the server does not start: {failure}");
    }

    /// Starts `binary` at these addresses, as a member of a cluster that the flags tell of.
    pub(crate) fn start_at(binary: &Path, flags: &[&str], client: &str, peer: &str) -> Server {
        let dir = TempDir::new().expect("a temporary directory can be made");
        let extra: Vec<String> = flags.iter().map(|flag| String::from(*flag)).collect();
        let child = spawn(binary, &extra, dir.path(), client, peer);
        let (client, peer) = (client.to_owned(), peer.to_owned());
        let binary = binary.to_path_buf();
        Server { binary, extra, client, peer, child, dir }
    }

    /// Where clients reach it: `host:port`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.client
    }

    /// Where other members would reach it: `host:port`.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// Where it keeps its state.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Asks it to stop and waits until it has. Says whether it left with success.
    pub(crate) fn stop(&mut self) -> bool {
        let asked = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "a signal can be sent");
        self.ended()
    }

    /// Waits until it has left, and says whether with success.
    pub(crate) fn ended(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                return status.success();
            }
            assert!(Instant::now() < end, "the server does not stop: {}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    /// Kills it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        // A child that has ended by itself cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same state and the same ports.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.binary, &self.extra, self.dir.path(), &self.client, &self.peer);
        if let Err(why) = self.wait_until_healthy() {
            panic!("the server does not start again: {why}");
        }
    }

    /// Waits until its cluster has the version that it serves: it is healthy a moment before.
    pub(crate) fn wait_for_version(&self) {
        let end = Instant::now() + PATIENCE;
        let decided = |page: String| page.contains(r#""etcdcluster":"3.7.0""#);
        while !http_get(&self.client, "/version").is_some_and(decided) {
            assert!(Instant::now() < end, "the cluster's version is another: {}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    fn wait_until_healthy(&mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !is_healthy(&self.client) {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                return Err(format!("it left with {status}: {}", self.log()));
            }
            if Instant::now() > end {
                return Err(format!("it is not healthy: {}", self.log()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(binary: &Path, extra: &[String], dir: &Path, client: &str, peer: &str) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("log"));
    let log = log.expect("the log file can be made");
    let output = log.try_clone().expect("a file handle can be doubled");
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    Command::new(binary)
        .args(["--name", "default", "--data-dir"])
        .arg(dir.join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(extra)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(log)
        .spawn()
        .unwrap_or_else(|why| panic!("{} cannot be started: {why}", binary.display()))
}

/// A loopback address that nobody listens on.
pub(crate) fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").to_string()
}

/// Whether the server says that it can serve.
fn is_healthy(endpoint: &str) -> bool {
    http_get(endpoint, "/health").is_some_and(|answer| answer.contains(r#""health":"true""#))
}

/// The answer to a GET over plain HTTP/1.1, head and body.
pub(crate) fn http_get(endpoint: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(endpoint).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
