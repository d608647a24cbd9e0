//! The servers that a client's story happens with: one, a second one that knows nothing of it,
//! and a member that joins the first.

use super::job;
use crate::common::server::{Server, free_port};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) struct Servers {
    etcd: PathBuf,
    server: Server,
    other: Option<Server>,
    joiner: Joiner,
}

/// Who joins the first server.
struct Joiner {
    client: String,
    peer: String,
    running: Option<Server>,
}

impl Joiner {
    fn new() -> Joiner {
        Joiner { client: free_port(), peer: free_port(), running: None }
    }
}

/// How often we look whether a server has settled.
const LOOK: Duration = Duration::from_millis(20);

/// A member alone elects itself at once, but again where its disk takes longer than this; then
/// terms would differ from run to run.
const ELECTION: &str = "--election-timeout=10000";

/// A comment that says with which flags the server starts.
const FLAGS: &str = "# flags: ";

impl Servers {
    /// Fresh servers, with the flags that a story wants the first to have.
    pub(super) fn start(etcd: &Path, story: &str) -> Servers {
        let flags = story.lines().filter_map(|line| line.strip_prefix(FLAGS));
        let flags = flags.flat_map(str::split_whitespace);
        let flags: Vec<&str> = std::iter::once(ELECTION).chain(flags).collect();
        let server = Server::start_with(etcd, &flags);
        // A server is healthy a moment before its cluster has decided on a version, which is the
        // last entry that it puts into its log by itself.
        server.wait_for_version();
        let other = story.contains("OTHER").then(|| Server::start(etcd));
        Servers { etcd: etcd.to_path_buf(), server, other, joiner: Joiner::new() }
    }

    pub(super) fn endpoint(&self) -> &str {
        self.server.endpoint()
    }

    /// Addresses, and what stands for each in a story.
    pub(super) fn names(&self) -> Vec<(&str, &'static str)> {
        let mut names = vec![
            // The longest first: others are parts of it.
            (self.joiner.peer.as_str(), "JOINERPEER"),
            (&self.joiner.client, "JOINER"),
            (self.server.endpoint(), "ENDPOINT"),
            (self.server.peer(), "PEER"),
        ];
        names.extend(self.other.as_ref().map(|other| (other.endpoint(), "OTHER")));
        names
    }

    /// Kills the server and starts it again.
    pub(super) fn restart(&mut self) {
        self.server.restart();
    }

    /// Waits until a downgrade is forgotten.
    pub(super) fn settle(&self) {
        self.server.wait_for_version();
    }

    /// Another one will join: who is removed cannot come back at once at the same address, since
    /// its id is made of that and the second.
    pub(super) fn another(&mut self) {
        self.joiner = Joiner::new();
    }

    /// Starts the member that was added last, and waits until it has a name and all that is there.
    pub(super) fn join(&mut self, tool: &Path) {
        let cluster =
            format!("default=http://{},joiner=http://{}", self.server.peer(), self.joiner.peer);
        let flags = [ELECTION, "--name=joiner", "--initial-cluster-state=existing"];
        let cluster = format!("--initial-cluster={cluster}");
        let flags = [&flags[..], &[&cluster]].concat();
        let started = Server::start_at(&self.etcd, &flags, &self.joiner.client, &self.joiner.peer);
        self.joiner.running = Some(started);
        let end = Instant::now() + job::PATIENCE;
        let started = || self.members(tool).iter().all(|member| member[1] == "started");
        let applied =
            |status: &[Vec<String>]| matches!(status, [first, joiner] if first[12] == joiner[12]);
        while !started() || !applied(&self.both(tool)) {
            assert!(Instant::now() < end, "the member that joins is not like the first");
            std::thread::sleep(LOOK);
        }
    }

    /// The member that is not the first server.
    pub(super) fn member(&self, tool: &Path) -> String {
        let own = format!("http://{}", self.server.peer());
        let members = self.members(tool);
        let mut others = members.iter().filter(|member| member[3] != own);
        let other = others.next().unwrap_or_else(|| panic!("no member was added: {members:?}"));
        other[0].clone()
    }

    /// The member that does not lead, once both know who does.
    pub(super) fn follower(&self, tool: &Path) -> String {
        let end = Instant::now() + job::PATIENCE;
        loop {
            let status = self.both(tool);
            let (leading, following): (Vec<_>, Vec<_>) =
                status.iter().partition(|member| member[8] == "true");
            if let ([_], [follower]) = (leading.as_slice(), following.as_slice()) {
                return follower[1].clone();
            }
            assert!(Instant::now() < end, "it is not clear who leads: {status:?}");
            std::thread::sleep(LOOK);
        }
    }

    /// How both stand.
    fn both(&self, tool: &Path) -> Vec<Vec<String>> {
        let both = format!("{},{}", self.server.endpoint(), self.joiner.client);
        asked(tool, &both, &["endpoint", "status"])
    }

    fn members(&self, tool: &Path) -> Vec<Vec<String>> {
        asked(tool, self.server.endpoint(), &["member", "list"])
    }
}

/// What the client prints, as columns.
fn asked(tool: &Path, endpoints: &str, words: &[&str]) -> Vec<Vec<String>> {
    let run = Command::new(tool).args(["--endpoints", endpoints]).args(words).output();
    let output = run.expect("the client can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| line.split(", ").map(String::from).collect()).collect()
}
