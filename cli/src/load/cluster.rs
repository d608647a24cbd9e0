//! Several members of one cluster, each a process.

use super::process::{Launch, Server, Usage, free_addr};
use std::io;
use std::path::{Path, PathBuf};

/// A cluster that this tool started.
#[derive(Debug)]
pub struct Cluster {
    /// Its members.
    pub members: Vec<Server>,
    dir: PathBuf,
    extra: Vec<String>,
    /// Members that were ever started: each has its own name and directory.
    started: usize,
}

impl Cluster {
    /// Starts a member of each program, on loopback, with its data in a directory below `dir`,
    /// and waits until all are healthy.
    pub async fn start(
        dir: &Path,
        binaries: &[PathBuf],
        cpu: Option<usize>,
        extra: &[String],
    ) -> io::Result<Cluster> {
        Cluster::launch(dir, Cluster::plan(dir, binaries, cpu, extra)?).await
    }

    /// How [`start`](Cluster::start) starts them, but for their `--initial-cluster`.
    pub fn plan(
        dir: &Path,
        binaries: &[PathBuf],
        cpu: Option<usize>,
        extra: &[String],
    ) -> io::Result<Vec<Launch>> {
        let addrs = || -> io::Result<_> { Ok((free_addr()?, free_addr()?)) };
        let addrs: Vec<(String, String)> =
            binaries.iter().map(|_| addrs()).collect::<Result<_, _>>()?;
        let launches = binaries.iter().zip(addrs).enumerate();
        let launch = |(nth, (binary, (client, peer))): (usize, (&PathBuf, _))| Launch {
            name: format!("m{}", nth + 1),
            binary: binary.clone(),
            dir: dir.join(format!("m{}", nth + 1)),
            cpu,
            client,
            peer,
            cluster: String::new(),
            state: "new",
            extra: extra.to_vec(),
            under: Vec::new(),
        };
        Ok(launches.map(launch).collect())
    }

    /// The same, of members that are described already but for their `--initial-cluster`.
    pub async fn launch(dir: &Path, mut launches: Vec<Launch>) -> io::Result<Cluster> {
        let all: Vec<String> =
            launches.iter().map(|one| format!("{}=http://{}", one.name, one.peer)).collect();
        for launch in &mut launches {
            launch.cluster = all.join(",");
            std::fs::create_dir_all(&launch.dir)?;
        }
        let extra = launches.first().map(|one| one.extra.clone()).unwrap_or_default();
        let started = launches.len();
        let members = launches.into_iter().map(Server::launch).collect::<Result<_, _>>()?;
        let mut cluster = Cluster { members, dir: dir.to_path_buf(), extra, started };
        for member in &mut cluster.members {
            member.ready().await?;
        }
        Ok(cluster)
    }

    /// A member that is to join: `add` tells the cluster of its peer URL.
    pub fn newcomer(&mut self, binary: &Path) -> io::Result<Launch> {
        self.started += 1;
        let name = format!("m{}", self.started);
        let dir = self.dir.join(&name);
        std::fs::create_dir_all(&dir)?;
        let peer = free_addr()?;
        let mut all: Vec<String> = self
            .members
            .iter()
            .map(|one| format!("{}=http://{}", one.name, one.launched().peer))
            .collect();
        all.push(format!("{name}=http://{peer}"));
        Ok(Launch {
            name,
            binary: binary.to_path_buf(),
            dir,
            cpu: None,
            client: free_addr()?,
            peer,
            cluster: all.join(","),
            state: "existing",
            extra: self.extra.clone(),
            under: Vec::new(),
        })
    }

    /// Where clients reach its members.
    #[must_use]
    pub fn addrs(&self) -> Vec<String> {
        self.members.iter().map(|member| member.addr.clone()).collect()
    }

    /// What all of them have used so far.
    pub fn usage(&self) -> io::Result<Usage> {
        let mut sum = Usage::default();
        for member in &self.members {
            let one = member.usage()?;
            sum.cpu += one.cpu;
            sum.resident += one.resident;
            sum.anonymous += one.anonymous;
            sum.descriptors += one.descriptors;
        }
        Ok(sum)
    }
}
