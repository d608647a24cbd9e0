//! The old store's form of the membership, which members before 3.8 want beside a state
//! (semantics §C.4).

use keel_core::members::{Cluster, Member};
use serde_json::{Map, Value, json};

/// The tree of members, removed members and version, as etcd's first store would save it.
#[must_use]
pub(crate) fn store(cluster: &Cluster) -> String {
    let members: Map<String, Value> = cluster
        .members
        .iter()
        .map(|(id, one)| (id.to_string(), member(&format!("/0/members/{id}"), one)))
        .collect();
    let removed: Map<String, Value> = cluster
        .removed
        .iter()
        .map(|id| (id.to_string(), leaf(&format!("/0/removed_members/{id}"), "removed")))
        .collect();
    let mut zero = Map::new();
    zero.insert("members".into(), directory("/0/members", members));
    zero.insert("removed_members".into(), directory("/0/removed_members", removed));
    if !cluster.version.is_empty() {
        zero.insert("version".into(), leaf("/0/version", &cluster.version));
    }
    let mut root = Map::new();
    root.insert("0".into(), directory("/0", zero));
    root.insert("1".into(), directory("/1", Map::new()));
    let counters = [
        "getsSuccess",
        "getsFail",
        "setsSuccess",
        "setsFail",
        "deleteSuccess",
        "deleteFail",
        "updateSuccess",
        "updateFail",
        "createSuccess",
        "createFail",
        "compareAndSwapSuccess",
        "compareAndSwapFail",
        "compareAndDeleteSuccess",
        "compareAndDeleteFail",
        "expireCount",
        "watchers",
    ];
    let stats: Map<String, Value> =
        counters.iter().map(|name| ((*name).to_owned(), Value::from(0))).collect();
    let queue = json!({ "Events": null, "Size": 0, "Front": 0, "Back": 0, "Capacity": 1000 });
    json!({
        "Root": directory("/", root),
        "WatcherHub": { "EventHistory": { "Queue": queue, "StartIndex": 0, "LastIndex": 0 } },
        "CurrentIndex": 0,
        "Stats": stats,
        "CurrentVersion": 2,
    })
    .to_string()
}

fn member(path: &str, member: &Member) -> Value {
    let mut raft = Map::new();
    raft.insert("peerURLs".into(), json!(member.peer_urls));
    if member.learner {
        raft.insert("isLearner".into(), Value::from(true));
    }
    let mut children = Map::new();
    let attributes = json!({ "name": member.name, "clientURLs": member.client_urls });
    if member.is_started() {
        let path = format!("{path}/attributes");
        children.insert("attributes".into(), leaf(&path, &attributes.to_string()));
    }
    let path_of_raft = format!("{path}/raftAttributes");
    let raft = Value::Object(raft).to_string();
    children.insert("raftAttributes".into(), leaf(&path_of_raft, &raft));
    directory(path, children)
}

fn leaf(path: &str, value: &str) -> Value {
    node(path, value, Value::Null)
}

fn directory(path: &str, children: Map<String, Value>) -> Value {
    node(path, "", Value::Object(children))
}

fn node(path: &str, value: &str, children: Value) -> Value {
    json!({
        "Path": path,
        "CreatedIndex": 0,
        "ModifiedIndex": 0,
        "ExpireTime": "0001-01-01T00:00:00Z",
        "Value": value,
        "Children": children,
    })
}
