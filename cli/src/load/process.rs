//! A server process under load: started, pinned, measured and stopped by its id.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// etcd's `--name`.
    pub name: String,
    /// The program.
    pub binary: PathBuf,
    /// Where its data and its last words lie.
    pub dir: PathBuf,
    /// The core that it is pinned to.
    pub cpu: Option<usize>,
    /// `host:port` for clients.
    pub client: String,
    /// `host:port` for peers.
    pub peer: String,
    /// etcd's `--initial-cluster`.
    pub cluster: String,
    /// etcd's `--initial-cluster-state`.
    pub state: &'static str,
    /// Further arguments.
    pub extra: Vec<String>,
    /// What stands before the program: `ip netns exec …`, for one.
    pub under: Vec<String>,
}

/// A server that this tool started.
#[derive(Debug)]
pub struct Server {
    /// What to call it in the table.
    pub name: String,
    /// `host:port` of its client port.
    pub addr: String,
    launch: Launch,
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
    /// Open files and sockets.
    pub descriptors: usize,
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
        let (client, peer) = (free_addr()?, free_addr()?);
        let launch = Launch {
            name: String::from("bench"),
            binary: binary.to_path_buf(),
            dir: dir.to_path_buf(),
            cpu,
            client,
            cluster: format!("bench=http://{peer}"),
            peer,
            state: "new",
            extra: extra.to_vec(),
            under: Vec::new(),
        };
        let mut server = Server::launch(launch)?;
        name.clone_into(&mut server.name);
        server.ready().await?;
        Ok(server)
    }

    /// Starts a member and does not wait for it.
    pub fn launch(launch: Launch) -> io::Result<Server> {
        let child = spawn(&launch)?;
        let (name, addr) = (launch.name.clone(), launch.client.clone());
        Ok(Server { name, addr, launch, child })
    }

    /// How it was started.
    #[must_use]
    pub fn launched(&self) -> &Launch {
        &self.launch
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
        self.relaunch()?;
        self.ready().await
    }

    /// The same, without waiting for it.
    pub fn relaunch(&mut self) -> io::Result<()> {
        self.child = spawn(&self.launch)?;
        Ok(())
    }

    /// Sends it a signal by its name: `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-s", name, &pid]).status().map(drop)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it said before it ended.
    #[must_use]
    pub fn last_words(&self) -> String {
        fs::read_to_string(self.launch.dir.join("stderr")).unwrap_or_default()
    }

    /// Waits until it answers that it is healthy.
    pub async fn ready(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(120) {
            if let Some(status) = self.child.try_wait()? {
                let said = self.last_words();
                return Err(io::Error::other(format!("{} ended: {status}\n{said}", self.name)));
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
        let anonymous = bytes("RssAnon:").unwrap_or(0);
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Usage { cpu, resident, anonymous, descriptors })
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) -> io::Result<()> {
        self.signal("TERM")?;
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

fn spawn(launch: &Launch) -> io::Result<Child> {
    let Launch { name, binary, dir, cpu, client, peer, cluster, state, extra, under } = launch;
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    let mut words = under.clone();
    if let Some(cpu) = cpu {
        words.extend(["taskset", "-c", &cpu.to_string()].map(String::from));
    }
    words.push(binary.display().to_string());
    Command::new(&words[0])
        .args(&words[1..])
        .args(["--name", name, "--log-level", "error"])
        .arg("--data-dir")
        .arg(dir.join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", cluster, "--initial-cluster-state", state])
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("stderr"))?)
        .spawn()
}

/// A loopback address that nobody listens on.
pub fn free_addr() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
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
