//! The compose file's cluster: up, one member gone and back, all gone and back.

use crate::engine::{Engine, words};
use std::path::Path;

const MEMBERS: [&str; 3] = ["etcd1", "etcd2", "etcd3"];

pub(crate) fn three_members_live_and_come_back(engine: &Engine) {
    compose(engine, &["up", "--detach"]);
    well(engine);
    for member in MEMBERS {
        let id = compose(engine, &["ps", "--quiet", member]);
        let facts = "{{.HostConfig.RestartPolicy.Name}} {{json .NetworkSettings.Ports}} \
                     {{json .Config.Env}} {{json .Config.Cmd}}";
        let said = engine.must(&["inspect", "--format", facts, id.trim()]);
        assert!(said.starts_with("unless-stopped "), "{said}");
        assert!(said.contains(&format!("\"ETCD_NAME={member}\"")), "{said}");
        assert!(said.contains("\"--log-level=warn\""), "{said}");
        assert_eq!(said.contains("\"HostPort\""), member == "etcd1", "one port for all: {said}");
    }
    put(engine, "a", "1");
    compose(engine, &["stop", "etcd2"]);
    put(engine, "b", "2");
    compose(engine, &["start", "etcd2"]);
    well(engine);
    compose(engine, &["stop"]);
    compose(engine, &["start"]);
    well(engine);
    let all = engine.beside(&[], &["etcdctl", "get", "", "--prefix"]);
    assert_eq!(all, "a\n1\nb\n2");
    let list = engine.beside(&[], &["etcdctl", "member", "list"]);
    for member in MEMBERS {
        assert!(list.contains(&format!("started, {member}, http://{member}:2380")), "{list}");
    }
    compose(engine, &["down", "--volumes"]);
}

fn put(engine: &Engine, key: &str, value: &str) {
    assert_eq!(engine.beside(&[], &["etcdctl", "put", key, value]), "OK");
}

/// Waits until each member is healthy by its own check.
fn well(engine: &Engine) {
    for member in MEMBERS {
        let id = compose(engine, &["ps", "--quiet", member]);
        engine.healthy(id.trim());
    }
}

fn compose(engine: &Engine, args: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace above");
    let mut command = engine.client("docker-compose");
    command.arg("--file").arg(root.join("compose.yaml")).args(["--project-name", "keel"]);
    let output = command.args(args).output().expect("docker-compose can be started");
    assert!(output.status.success(), "docker-compose {args:?}\n{}", words(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
