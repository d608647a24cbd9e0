//! A server process under load: started, pinned, measured and stopped by its id.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that this tool started.
#[derive(Debug)]
pub struct Server {
    /// What to call it in the table.
    pub name: String,
    /// `host:port` of its client port.
    pub addr: String,
    binary: PathBuf,
    dir: PathBuf,
    cpu: Option<usize>,
    peer: String,
    extra: Vec<String>,
    child: Child,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time, seconds.
    pub cpu: f64,
    /// Resident memory, bytes.
    pub resident: u64,
    /// Of it, what is in no file, bytes.
    pub anonymous: u64,
}

impl Server {
    /// Starts `binary` on free ports with its data in `dir`, on one core if told so.
    pub async fn start(
        name: &str,
        binary: &Path,
        dir: &Path,
        cpu: Option<usize>,
        extra: &[String],
    ) -> io::Result<Server> {
        let (client, peer) = (free_port()?, free_port()?);
        let addr = format!("127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        let (binary, dir, extra) = (binary.to_path_buf(), dir.to_path_buf(), extra.to_vec());
        let child = spawn(&binary, &dir, cpu, &addr, &peer, &extra)?;
        let name = name.to_owned();
        let mut server = Server { name, addr, binary, dir, cpu, peer, extra, child };
        server.ready().await?;
        Ok(server)
    }

    /// Stops it as an operator would and starts it again; how long until it serves.
    pub async fn restart(&mut self) -> io::Result<Duration> {
        self.stop()?;
        let begun = Instant::now();
        self.revive().await?;
        Ok(begun.elapsed())
    }

    /// Ends it as a power cut would end a process, without a word, and waits until it is gone.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again on its directory after [`stop`](Server::stop) or [`kill`](Server::kill).
    pub async fn revive(&mut self) -> io::Result<()> {
        self.child = spawn(&self.binary, &self.dir, self.cpu, &self.addr, &self.peer, &self.extra)?;
        self.ready().await
    }

    /// Waits until it answers that it is healthy.
    async fn ready(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(120) {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("{} ended: {status}", self.name)));
            }
            if healthy(&self.addr).await.unwrap_or(false) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(io::Error::other(format!("{} is not healthy after two minutes", self.name)))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub fn usage(&self) -> io::Result<Usage> {
        let pid = self.child.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold anything; the numbers begin behind it.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or("").split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        let cpu = (ticks(11) + ticks(12)) / 100.0;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            Some(line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
        };
        let resident = bytes("VmRSS:").unwrap_or(0);
        Ok(Usage { cpu, resident, anonymous: bytes("RssAnon:").unwrap_or(0) })
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) -> io::Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been stopped already; a process that is gone needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    binary: &Path,
    dir: &Path,
    cpu: Option<usize>,
    addr: &str,
    peer: &str,
    extra: &[String],
) -> io::Result<Child> {
    let client = format!("http://{addr}");
    let mut command = match cpu {
        None => Command::new(binary),
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &cpu.to_string()]).arg(binary);
            command
        }
    };
    command
        .args(["--name", "bench", "--log-level", "error"])
        .arg("--data-dir")
        .arg(dir.join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
        .args(["--initial-cluster", &format!("bench={peer}")])
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("stderr"))?)
        .spawn()
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// One `GET /health` over HTTP/1.1.
async fn healthy(addr: &str) -> io::Result<bool> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(addr).await?;
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(answer.windows(6).any(|w| w == b"\"true\""))
}
