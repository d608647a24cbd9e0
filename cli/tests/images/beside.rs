//! etcd's own tools beside ours, from the same container: the same words of the same server, and
//! of each other's snapshots.

use crate::engine::{DEV, Engine, RUNTIME};
use crate::peers::peers;

pub(crate) fn etcds_own_tools_say_the_same(engine: &Engine) {
    let Some(programs) = peers() else { return };
    let folder = engine.folder("tools");
    for (program, name) in [(&programs.etcdctl, "etcdctl"), (&programs.etcdutl, "etcdutl")] {
        std::fs::copy(program, folder.join(name)).expect("etcd's tool can be copied");
    }
    let mount = format!("{}:/theirs", folder.display());
    let run = |words: &[&str]| {
        let start = ["run", "--rm", "--network", "container:etcd", "--volume", &mount, DEV];
        engine.must(&[&start[..], words].concat())
    };
    engine.must(&["run", "--detach", "--name", "etcd", RUNTIME]);
    engine.healthy("etcd");
    for (number, tools) in ["", "/theirs/"].into_iter().enumerate() {
        let ctl = format!("{tools}etcdctl");
        assert_eq!(run(&[&ctl, "put", &format!("key{number}"), "value"]), "OK");
        let snapshot = format!("/theirs/{number}.db");
        run(&[&ctl, "snapshot", "save", &snapshot]);
    }
    let both = |tool: &str, words: &[&str]| {
        let said = |tool: String| run(&[&[tool.as_str()], words].concat());
        let (ours, theirs) = (said(tool.to_owned()), said(format!("/theirs/{tool}")));
        assert_eq!(ours, theirs, "{tool} {words:?}");
        ours
    };
    let all = both("etcdctl", &["get", "", "--prefix", "-w", "json"]);
    assert!(all.contains("\"count\":2"), "{all}");
    both("etcdctl", &["member", "list", "-w", "table"]);
    both("etcdctl", &["endpoint", "hashkv", "-w", "json"]);
    for snapshot in ["/theirs/0.db", "/theirs/1.db"] {
        both("etcdutl", &["snapshot", "status", snapshot, "-w", "table"]);
        both("etcdutl", &["hashkv", snapshot, "-w", "json"]);
    }
}
