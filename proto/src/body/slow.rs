//! Lines about requests that took too long, in etcd's words.

use super::Time;
use super::date::stamp;
use super::journal::{Journal, go_duration};
use crate::timing::Slow;
use serde_json::Value;
use tokio::sync::mpsc;

/// Writes a line for each slow request, for ever.
pub(super) async fn tell_slow(journal: Journal, time: impl Time, mut slow: mpsc::Receiver<Slow>) {
    while let Some(slow) = slow.recv().await {
        tell(&journal, &time, slow);
    }
}

fn tell(journal: &Journal, time: &impl Time, slow: Slow) {
    match slow {
        Slow::Request { method, took, said } => {
            let begun = stamp(time.unix().saturating_sub(took));
            let size = |bytes: usize| Value::from(bytes);
            let (counts, content) = match said {
                Some(said) => (
                    [
                        said.request_count.into(),
                        size(said.request_bytes),
                        said.response_count.into(),
                        size(said.response_bytes),
                    ],
                    said.content,
                ),
                // etcd's numbers of what it does not count.
                None => ([-1, -1, -1, -1].map(Value::from), String::new()),
            };
            let [request_count, request_size, response_count, response_size] = counts;
            let fields = [
                ("start time", begun.into()),
                ("time spent", go_duration(took).into()),
                ("remote", "No remote client info.".into()),
                ("response type", method.into()),
                ("request count", request_count),
                ("request size", request_size),
                ("response count", response_count),
                ("response size", response_size),
                ("request content", content.into()),
            ];
            journal.warn("request stats", &fields);
        }
        Slow::Read { prefix, took, expected, request, response, error } => {
            let mut fields = vec![
                ("took", go_duration(took).into()),
                ("expected-duration", go_duration(expected).into()),
                ("prefix", prefix.into()),
                ("request", request.into()),
                ("response", response.into()),
            ];
            if !error.is_empty() {
                fields.push(("error", error.into()));
            }
            journal.warn("apply request took too long", &fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::config::{Level, LogFormat};
    use crate::body::host::Still;
    use crate::timing::Said;
    use std::time::Duration;

    #[test]
    fn slow_requests_read_as_in_etcd() {
        let time = Still(Duration::from_secs(1_787_238_795));
        let (journal, lines) = Journal::memory(Level::Info, LogFormat::Json, time);
        let took = Duration::from_millis(400);
        let method = String::from("/etcdserverpb.KV/Put");
        let said = Said { request_count: 1, request_bytes: 7, ..Said::default() };
        tell(&journal, &time, Slow::Request { method, took, said: Some(said) });
        let method = String::from("/etcdserverpb.Lease/LeaseGrant");
        tell(&journal, &time, Slow::Request { method, took, said: None });
        let expected = Duration::from_millis(100);
        let request = String::from("key:\"a\"");
        let response = String::from("range_response_count:1 size:9");
        let prefix = "read-only range ";
        let error = String::new();
        tell(&journal, &time, Slow::Read { prefix, took, expected, request, response, error });
        let bytes = lines.lock().expect("no test thread panics with it").clone();
        let text = String::from_utf8(bytes).expect("lines are text");
        let lines: Vec<&str> = text.lines().collect();
        let begins = r#""msg":"request stats","start time":"2026-08-20T15:13:14.6"#;
        let ends = r#","time spent":"400ms","remote":"No remote client info.","response type":"/etcdserverpb.KV/Put","request count":1,"request size":7,"response count":0,"response size":0,"request content":""}"#;
        assert!(lines[0].contains(begins) && lines[0].ends_with(ends), "{}", lines[0]);
        assert!(lines[1].contains(r#""request count":-1,"request size":-1"#), "{}", lines[1]);
        assert!(
            lines[2].ends_with(
                r#""msg":"apply request took too long","took":"400ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"a\"","response":"range_response_count:1 size:9"}"#
            ),
            "{}",
            lines[2]
        );
    }
}
