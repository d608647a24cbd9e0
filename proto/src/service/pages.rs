//! etcd's pages beside gRPC (surface §4.3).

use super::{Desk, VERSION, plain, vars};
use crate::bbolt::storage_version;
use http::{Method, Request, Response, StatusCode};
use keel_core::NodeId;
use keel_core::command::{AlarmKind, Keys, Range};
use std::fmt::Write;
use tonic::body::Body;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// As expvar writes it.
const JSON_UTF8: &str = "application/json; charset=utf-8";

/// What `/livez` and `/readyz` look at.
const LIVE: [&str; 1] = ["serializable_read"];
const READY: [&str; 4] =
    ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];

impl Desk {
    /// Answers what is not gRPC.
    pub(super) async fn page<B>(&self, request: &Request<B>) -> Response<Body> {
        let path = request.uri().path();
        if path == "/metrics" {
            return plain(StatusCode::OK, crate::metrics::CONTENT_TYPE, self.exposition());
        }
        if path == vars::PATH {
            return plain(StatusCode::OK, JSON_UTF8, vars::page(&self.handle.status()));
        }
        let live = path.strip_prefix("/livez");
        let ready = path.strip_prefix("/readyz");
        if !matches!(path, "/health" | "/version") && live.is_none() && ready.is_none() {
            return plain(StatusCode::NOT_FOUND, TEXT, "404 page not found\n");
        }
        if request.method() != Method::GET {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, TEXT, "Method Not Allowed\n");
            let allow = http::HeaderValue::from_static("GET");
            response.headers_mut().insert(http::header::ALLOW, allow);
            return response;
        }
        let query = Query::of(request.uri().query().unwrap_or(""));
        match (path, live, ready) {
            ("/health", ..) => self.health(&query).await,
            ("/version", ..) => self.version(),
            (_, Some(rest), _) => self.checks(rest, &LIVE, &query).await,
            (_, _, Some(rest)) => self.checks(rest, &READY, &query).await,
            _ => unreachable!("every other path is not found above"),
        }
    }

    /// What this member, its cluster and its storage speak.
    pub(crate) fn version(&self) -> Response<Body> {
        let view = self.handle.latest();
        let decided = &view.cluster.version;
        let cluster = if decided.is_empty() { "not_decided" } else { decided };
        let storage = if decided.is_empty() { "unknown" } else { storage_version(&view.cluster) };
        let body = format!(
            "{{\"etcdserver\":\"{VERSION}\",\"etcdcluster\":\"{cluster}\",\"storage\":\"{storage}\"}}"
        );
        plain(StatusCode::OK, JSON, body)
    }

    /// The old page: alarms, then a leader, then a read.
    async fn health(&self, query: &Query) -> Response<Body> {
        let reason = self.unhealthy(query).await;
        self.metrics.health(reason.is_none());
        match reason {
            None => plain(StatusCode::OK, JSON, "{\"health\":\"true\",\"reason\":\"\"}"),
            Some(reason) => {
                let body = format!("{{\"health\":\"false\",\"reason\":\"{reason}\"}}\n");
                plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, body)
            }
        }
    }

    async fn unhealthy(&self, query: &Query) -> Option<String> {
        for (_, kind) in self.handle.latest().alarms.iter() {
            let name = match kind {
                AlarmKind::NoSpace => "NOSPACE",
                AlarmKind::Corrupt => "CORRUPT",
            };
            if !query.excludes(name) {
                return Some(format!("ALARM {name}"));
            }
        }
        let serializable = query.has("serializable", "true");
        if !serializable && self.handle.status().leader == NodeId::NONE {
            return Some(String::from("RAFT NO LEADER"));
        }
        let read = self.read_check(serializable).await;
        read.err().map(|error| format!("RANGE ERROR:{error}"))
    }

    /// Reads a key, as etcd's checks do.
    async fn read_check(&self, serializable: bool) -> Result<(), String> {
        let view = if serializable { Ok(self.handle.latest()) } else { self.handle.read().await };
        let range = Range {
            limit: 1,
            keys_only: true,
            ..Range::of(Keys::One(bytes::Bytes::from_static(b"health")))
        };
        let read = view.and_then(|view| view.kv.range(&range));
        read.map(|_| ()).map_err(|refusal| crate::refusal::status(refusal).message().to_owned())
    }

    async fn checks(&self, rest: &str, all: &[&str], query: &Query) -> Response<Body> {
        let wanted: Vec<&str> = match rest.strip_prefix('/') {
            Some(one) if all.contains(&one) => vec![one],
            None if rest.is_empty() => {
                all.iter().copied().filter(|name| !query.excludes(name)).collect()
            }
            _ => return plain(StatusCode::NOT_FOUND, TEXT, "404 page not found\n"),
        };
        let mut lines = String::new();
        let mut failed = false;
        for name in wanted {
            let result = self.check(name).await;
            match &result {
                Ok(()) => writeln!(lines, "[+]{name} ok"),
                Err(error) => writeln!(lines, "[-]{name} failed: {error}"),
            }
            .expect("writing to a string does not fail");
            failed |= result.is_err();
        }
        if failed {
            return plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines);
        }
        let verbose = if query.names("verbose") { lines } else { String::new() };
        plain(StatusCode::OK, TEXT, verbose + "ok\n")
    }

    async fn check(&self, name: &str) -> Result<(), String> {
        match name {
            "data_corruption" => {
                let corrupt = |(_, kind): &(NodeId, AlarmKind)| *kind == AlarmKind::Corrupt;
                if self.handle.latest().alarms.iter().any(corrupt) {
                    return Err(String::from("alarm activated: CORRUPT"));
                }
                Ok(())
            }
            "serializable_read" => self.read_check(true).await,
            "linearizable_read" => self.read_check(false).await,
            "non_learner" => {
                let (view, id) = (self.handle.latest(), self.handle.status().id);
                if view.cluster.members.get(&id).is_some_and(|member| member.learner) {
                    return Err(String::from("not supported for learner"));
                }
                Ok(())
            }
            other => unreachable!("{other} is not among the checks"),
        }
    }

    fn exposition(&self) -> String {
        let (view, status) = (self.handle.latest(), self.handle.status());
        self.metrics.exposition(&view, &status, self.info.quota_bytes)
    }
}

/// A page's query.
struct Query(Vec<(String, String)>);

impl Query {
    /// Names and values of these pages hold nothing that is escaped.
    fn of(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        });
        Query(pairs.collect())
    }

    fn names(&self, name: &str) -> bool {
        self.0.iter().any(|(one, _)| one == name)
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.0.iter().any(|(one, set)| one == name && set == value)
    }

    fn excludes(&self, what: &str) -> bool {
        self.has("exclude", what)
    }
}
