//! Base images made here, from Debian's packages and this machine's own Rust: no registry is asked.

use crate::engine::{BUILD_BASE, DEV_BASE, Engine};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a build needs of Debian, beside its minimum.
const INCLUDED: &str = "--include=ca-certificates,gcc,libc6-dev,binutils";
const RUST: &str = "usr/local/rust";
const CARGO: &str = "usr/local/cargo";

/// Makes both; says why it cannot where Debian's packages are out of reach.
pub(crate) fn make(engine: &Engine) -> Result<(), String> {
    let debian = engine.folder("debian");
    let mut bootstrap = Command::new("debootstrap");
    bootstrap.args(["--variant=minbase", INCLUDED, "bookworm"]).arg(&debian).args(mirror());
    let output = bootstrap.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("debootstrap: {}", crate::engine::words(&output)));
    }
    import(engine, &debian, DEV_BASE, &[]);
    add_rust(&debian);
    let path = format!("ENV PATH=/{RUST}/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let home = format!("ENV CARGO_HOME=/{CARGO}");
    import(engine, &debian, BUILD_BASE, &[&path, &home, "ENV CARGO_NET_OFFLINE=true"]);
    Ok(())
}

/// Where this machine has Debian's packages from.
fn mirror() -> Option<String> {
    let lists = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let files = lists.map(|entry| entry.path()).chain([PathBuf::from("/etc/apt/sources.list")]);
    let lines = files.filter_map(|file| std::fs::read_to_string(file).ok()).collect::<String>();
    let mut words = lines.lines().filter_map(|line| {
        let rest = line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb "))?;
        let is_debian = |word: &&str| word.trim_end_matches('/').ends_with("/debian");
        rest.split_whitespace().find(is_debian).map(String::from)
    });
    words.next()
}

/// This machine's toolchain, and the crates that it has fetched for this workspace.
fn add_rust(root: &Path) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace above");
    must(Command::new("cargo").args(["fetch", "--locked"]).current_dir(workspace));
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs");
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).expect("cargo's home");
    for (from, to) in [
        (sysroot.join("bin"), format!("{RUST}/bin")),
        (sysroot.join("lib"), format!("{RUST}/lib")),
        (home.join("registry"), format!("{CARGO}/registry")),
    ] {
        let to = root.join(to);
        std::fs::create_dir_all(to.parent().expect("it has one")).expect("a folder can be made");
        must(Command::new("cp").arg("--archive").args([from, to]));
    }
}

/// Makes a file tree an image.
fn import(engine: &Engine, root: &Path, image: &str, changes: &[&str]) {
    let mut tar = Command::new("tar")
        .arg("--directory")
        .arg(root)
        .args(["--create", "."])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar can be started");
    let bytes = tar.stdout.take().expect("it is piped");
    let mut docker = engine.client("docker");
    docker.arg("import");
    for change in changes {
        docker.args(["--change", change]);
    }
    must(docker.args(["-", image]).stdin(bytes));
    assert!(tar.wait().expect("tar ends").success(), "tar of {}", root.display());
}

fn must(command: &mut Command) {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}\n{}", crate::engine::words(&output));
}
