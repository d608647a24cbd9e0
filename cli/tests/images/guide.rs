//! What the guide shows, with nothing changed but the image's name.

use crate::engine::{DEV, Engine, RUNTIME};

const ETCD: &str = "/usr/local/bin/etcd";
/// A single member that others reach.
const OPEN: [&str; 8] = [
    "--listen-client-urls",
    "http://0.0.0.0:2379",
    "--advertise-client-urls",
    "http://localhost:2379",
    "--listen-peer-urls",
    "http://0.0.0.0:2380",
    "--initial-advertise-peer-urls",
    "http://localhost:2380",
];
const CTL: [&str; 2] = ["etcdctl", "--endpoints=localhost:2379"];

pub(crate) fn the_image_says_what_it_is(engine: &Engine) {
    let facts = "{{.Config.User}} {{json .Config.ExposedPorts}} {{.Config.StopSignal}}";
    assert_eq!(
        engine.must(&["inspect", "--format", facts, RUNTIME]),
        "65532:65532 {\"2379/tcp\":{},\"2380/tcp\":{}} SIGTERM"
    );
    // The base of the dev image may have labels of its own.
    for (image, title) in [(RUNTIME, "keel"), (DEV, "keel-dev")] {
        let label = |name: &str| {
            let label = format!("{{{{index .Config.Labels \"org.opencontainers.image.{name}\"}}}}");
            engine.must(&["inspect", "--format", &label, image])
        };
        let labels = ["title", "licenses", "version", "revision"].map(label);
        assert_eq!(labels, [title, "Apache-2.0", env!("CARGO_PKG_VERSION"), "unknown"]);
        assert!(!label("description").is_empty(), "{image} says what it is");
    }
    let version = engine.must(&["run", "--rm", RUNTIME, ETCD, "--version"]);
    assert!(version.starts_with("etcd Version: 3.7.3"), "{version}");
    for tool in ["etcdctl", "etcdutl"] {
        let said = engine.must(&["run", "--rm", DEV, tool, "version"]);
        assert_eq!(said, format!("{tool} version: 3.7.3\nAPI version: 3.7"));
    }
    let apt = engine.must(&["run", "--rm", DEV, "sh", "-c", "id -u && command -v apt-get"]);
    assert_eq!(apt, "0\n/usr/bin/apt-get", "root, a shell and a package manager");
    engine.must(&["create", "--name", "parts", RUNTIME]);
    let folder = engine.folder("parts");
    let part = |path: &str| {
        let to = folder.join("part");
        engine.must(&["cp", &format!("parts:{path}"), &to.display().to_string()]);
        std::fs::read(to).expect("it was copied")
    };
    let trusted = part("/etc/ssl/certs/ca-certificates.crt");
    assert!(trusted.starts_with(b"-----BEGIN CERTIFICATE-----"), "certificates are in");
    let bill = part("/usr/local/share/etcd.cdx.json");
    let bill: serde_json::Value = serde_json::from_slice(&bill).expect("it is JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let parts = bill["components"].as_array().expect("it lists parts");
    for name in ["tokio", "hyper", "keel-core"] {
        assert!(parts.iter().any(|part| part["name"] == name), "{name} is not in the bill");
    }
    assert!(parts.iter().all(|part| part["name"] != "porcupine-rs"), "only tests use it");
}

pub(crate) fn a_server_is_one_command_away(engine: &Engine) {
    let run = ["run", "--detach", "-p", "2379:2379", "-p", "2380:2380", "--name", "etcd"];
    engine.must(&[&run[..], &[RUNTIME, ETCD, "--name", "node1"]].concat());
    engine.healthy("etcd");
    engine.must(&["stop", "etcd"]);
    let end = engine.must(&["inspect", "--format", "{{.State.ExitCode}}", "etcd"]);
    assert_eq!(end, "0", "a stop that was asked for is no failure");
}

pub(crate) fn the_tools_reach_a_server(engine: &Engine) {
    let run = ["run", "--detach", "-p", "2379:2379", "-p", "2380:2380", "--name", "etcd", RUNTIME];
    engine.must(&[&run[..], &[ETCD], &OPEN].concat());
    engine.healthy("etcd");
    let ctl = |words: &[&str]| engine.beside(&[], &[&CTL, words].concat());
    assert!(ctl(&["endpoint", "health"]).contains("is healthy"));
    assert_eq!(ctl(&["put", "mykey", "Hello etcd"]), "OK");
    assert_eq!(ctl(&["get", "mykey"]), "mykey\nHello etcd");
    let folder = engine.folder("backup");
    let mount = format!("{}:/backup", folder.display());
    let save = [&CTL[..], &["snapshot", "save", "/backup/snapshot.db"]].concat();
    engine.beside(&["--volume", &mount], &save);
    assert!(folder.join("snapshot.db").exists(), "the snapshot lies in the mounted folder");
}

pub(crate) fn a_volume_outlives_its_container(engine: &Engine) {
    let run =
        ["run", "--detach", "-p", "2379:2379", "--name", "etcd", "-v", "etcd-data:/etcd-data"];
    let start = [&run[..], &[RUNTIME, ETCD, "--data-dir=/etcd-data"], &OPEN].concat();
    engine.must(&start);
    engine.healthy("etcd");
    engine.beside(&[], &[&CTL[..], &["put", "kept", "yes"]].concat());
    engine.must(&["rm", "--force", "etcd"]);
    engine.must(&start);
    engine.healthy("etcd");
    let kept = engine.beside(&[], &[&CTL[..], &["get", "kept", "--print-value-only"]].concat());
    assert_eq!(kept, "yes");
}

pub(crate) fn a_read_only_root_is_enough(engine: &Engine) {
    let run = ["run", "--detach", "--read-only", "--cap-drop=ALL", "--name", "etcd"];
    let rest = ["-v", "read-only:/etcd-data", RUNTIME, ETCD, "--name", "node1"];
    engine.must(&[run, rest].concat());
    engine.healthy("etcd");
}

pub(crate) fn others_build_on_it(engine: &Engine) {
    let folder = engine.folder("theirs");
    let file = format!(
        "FROM {DEV} AS config\n\
         RUN printf 'name: theirs\\ndata-dir: /etcd-data/theirs\\n' > /etcd.yaml\n\
         FROM {RUNTIME}\n\
         COPY --from=config /etcd.yaml /etcd.yaml\n\
         CMD [\"{ETCD}\", \"--config-file=/etcd.yaml\"]\n"
    );
    std::fs::write(folder.join("Dockerfile"), file).expect("a file can be written");
    let folder = folder.display().to_string();
    engine.must(&["build", "--network=none", "--tag", "keel-test/theirs", &folder]);
    engine.must(&["run", "--detach", "--name", "theirs", "keel-test/theirs"]);
    engine.healthy("theirs");
}

pub(crate) fn a_debugger_looks_in(engine: &Engine) {
    engine.must(&["run", "--detach", "--name", "etcd", RUNTIME]);
    engine.healthy("etcd");
    let look = ["run", "--rm", "--pid", "container:etcd", DEV];
    let status = engine.must(&[&look[..], &["cat", "/proc/1/status"]].concat());
    assert!(status.starts_with("Name:\tetcd"), "{status}");
    let user = status.lines().find(|line| line.starts_with("Uid:")).unwrap_or_default();
    assert_eq!(user, "Uid:\t65532\t65532\t65532\t65532", "it is not root");
}
