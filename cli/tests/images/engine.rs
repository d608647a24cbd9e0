//! A container engine of the test's own, in a network namespace of its own: it publishes the
//! guide's ports without a word to whoever else uses them on this machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The images of this test.
pub(crate) const RUNTIME: &str = "keel-test/runtime";
pub(crate) const DEV: &str = "keel-test/dev";
/// What both are copied from: the stage that compiles.
pub(crate) const BUILT: &str = "keel-test/built";
/// And what they are built on.
pub(crate) const BUILD_BASE: &str = "keel-test/base-build";
pub(crate) const DEV_BASE: &str = "keel-test/base-dev";

/// Debian's packages of what this suite runs.
const PACKAGES: [&str; 5] = ["docker.io", "docker-compose", "iptables", "iproute2", "debootstrap"];
const PROGRAMS: [&str; 5] = ["dockerd", "docker-compose", "iptables", "ip", "debootstrap"];

/// What the engine's images, layers and volumes may grow to.
const ROOM_GIB: u64 = 12;

/// How long anything may take to become what is waited for.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);

/// The running engine; it and its namespace are gone when dropped.
pub(crate) struct Engine {
    daemon: Child,
    space: String,
    dir: TempDir,
}

impl Engine {
    /// Starts one, or says why it cannot.
    pub(crate) fn start() -> Option<Engine> {
        match Engine::try_start() {
            Ok(engine) => Some(engine),
            Err(why) => {
                eprintln!("SKIPPED: no container engine to run the images with: {why}");
                None
            }
        }
    }

    fn try_start() -> Result<Engine, String> {
        if std::env::var_os("KEEL_IMAGES").is_none() {
            return Err(String::from("KEEL_IMAGES is not set (it installs packages, as root)"));
        }
        if PROGRAMS.iter().any(|program| !is_there(program)) {
            install()?;
        }
        let dir = TempDir::new().map_err(|error| error.to_string())?;
        room(dir.path())?;
        let space = format!("keel-images-{}", std::process::id());
        let output = run("ip", &["netns", "add", &space]);
        said(&output, "a network namespace")?;
        let daemon = daemon(&space, dir.path())?;
        let engine = Engine { daemon, space, dir };
        let output = run("ip", &["-n", &engine.space, "link", "set", "lo", "up"]);
        said(&output, "the namespace's loopback")?;
        let up = engine.eventually(|engine| engine.docker(&["info"]).status.success());
        up.then_some(()).ok_or_else(|| format!("dockerd does not come up:\n{}", engine.log()))?;
        Ok(engine)
    }

    /// The engine's address, for clients.
    fn host(&self) -> String {
        format!("unix://{}/socket", self.dir.path().display())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A folder of the test's.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        folder
    }

    /// Runs a program that talks to the engine.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DOCKER_HOST", self.host()).env("DOCKER_BUILDKIT", "0").env("IMAGE", RUNTIME);
        command
    }

    /// Runs `docker` and gives what it said, whatever that is.
    pub(crate) fn docker(&self, args: &[&str]) -> Output {
        self.client("docker").args(args).output().expect("docker can be started")
    }

    /// Runs `docker`, which must succeed; gives its standard output.
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let output = self.docker(args);
        assert!(output.status.success(), "docker {args:?}\n{}", words(&output));
        String::from(String::from_utf8_lossy(&output.stdout).trim())
    }

    /// Runs `docker`, which must fail; gives all that it said.
    pub(crate) fn must_not(&self, args: &[&str]) -> String {
        let output = self.docker(args);
        assert!(!output.status.success(), "docker {args:?} succeeds\n{}", words(&output));
        words(&output)
    }

    /// Builds from this repository alone.
    pub(crate) fn build_ours(&self, target: &str, image: &str, more: &[&str]) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace above");
        let (base, dev) = (format!("BUILD_BASE={BUILD_BASE}"), format!("DEV_BASE={DEV_BASE}"));
        let root = root.display().to_string();
        let build = ["build", "--network=none", "--target", target, "--tag", image];
        let bases = ["--build-arg", &base, "--build-arg", &dev];
        self.must(&[&build[..], more, &bases, &[&root]].concat());
    }

    /// Waits until a container is healthy by its own check.
    pub(crate) fn healthy(&self, container: &str) {
        let status = ["inspect", "--format", "{{.State.Health.Status}}", container];
        let well = self.eventually(|engine| {
            let output = engine.docker(&status);
            String::from_utf8_lossy(&output.stdout).trim() == "healthy"
        });
        assert!(well, "{container} is not healthy:\n{}", words(&self.docker(&["logs", container])));
    }

    /// What a command of the dev image prints, beside the containers' published ports.
    pub(crate) fn beside(&self, more: &[&str], command: &[&str]) -> String {
        let start = ["run", "--rm", "--network", "host"];
        self.must(&[&start, more, &[DEV], command].concat())
    }

    /// Looks until it is so, or it takes too long.
    pub(crate) fn eventually(&self, is_so: impl Fn(&Engine) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            if Instant::now() > end {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }

    /// Removes every container and volume.
    pub(crate) fn sweep(&self) {
        let containers = self.docker(&["ps", "--all", "--quiet"]).stdout;
        for container in String::from_utf8_lossy(&containers).lines() {
            self.docker(&["rm", "--force", "--volumes", container]);
        }
        self.docker(&["volume", "prune", "--force"]);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.sweep();
        // By its id: it stops what it started, and takes its time for it.
        let asked = said(&run("kill", &[&self.daemon.id().to_string()]), "kill");
        let ended = self.daemon.wait().map_err(|error| error.to_string());
        // What it mounted and left would keep its folder, and that is some gigabytes.
        let space = self.dir.path().join("exec/netns/default").display().to_string();
        let freed = said(&run("umount", &[&space]), "umount");
        let removed = said(&run("ip", &["netns", "delete", &self.space]), "ip netns delete");
        let folder = std::fs::remove_dir_all(self.dir.path()).map_err(|error| error.to_string());
        if let Err(why) = asked.and(ended.map(drop)).and(freed).and(removed).and(folder) {
            eprintln!("something of the container engine is left: {why}");
        }
    }
}

/// Base images with a toolchain, a release build and its layers want their room.
fn room(dir: &Path) -> Result<(), String> {
    let disk = rustix::fs::statvfs(dir).map_err(|error| error.to_string())?;
    let free = (disk.f_bavail * disk.f_frsize) >> 30;
    let enough = free >= ROOM_GIB;
    enough.then_some(()).ok_or(format!("it wants {ROOM_GIB} GiB of disk, and {free} are free"))
}

fn daemon(space: &str, dir: &Path) -> Result<Child, String> {
    let log = File::create(dir.join("log")).map_err(|error| error.to_string())?;
    let at = |name: &str| dir.join(name).display().to_string();
    // Not `ip netns exec`: that hides the control groups, which the engine needs.
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{space}")).args(["dockerd", "--host"]);
    command.arg(format!("unix://{}", at("socket")));
    command.args(["--data-root", &at("data"), "--exec-root", &at("exec")]);
    command.args(["--pidfile", &at("pid")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(|error| format!("dockerd: {error}"))
}

fn install() -> Result<(), String> {
    said(&run("apt-get", &["update", "--quiet"]), "the list of packages")?;
    let words = ["install", "--yes", "--quiet", "--no-install-recommends"];
    said(&run("apt-get", &[&words[..], &PACKAGES[..]].concat()), "Debian's packages")
}

fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|path| path.join(program).exists())
}

fn run(program: &str, args: &[&str]) -> std::io::Result<Output> {
    Command::new(program).args(args).env("DEBIAN_FRONTEND", "noninteractive").output()
}

fn said(output: &std::io::Result<Output>, what: &str) -> Result<(), String> {
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{what}: {}", words(output).trim())),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// All that a command said.
pub(crate) fn words(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}
