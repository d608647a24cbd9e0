//! `/debug/vars`: how consensus stands at this moment, as etcd publishes it through Go's expvar.

use bytes::Bytes;
use keel_core::{Status, Term};
use serde_json::{Value, json};

/// The page's path.
pub const PATH: &str = "/debug/vars";

/// The page. Ids are hexadecimal, numbers are numbers.
pub(super) fn page(status: &Status) -> String {
    let role = if status.leader == status.id { "StateLeader" } else { "StateFollower" };
    let raft = json!({
        "id": status.id.to_string(),
        "term": status.term.0,
        "commit": status.commit.0,
        "lead": status.leader.to_string(),
        "raftState": role,
        "applied": status.applied.0,
    });
    format!("{{\n\"raft.status\": {raft}\n}}\n")
}

/// The term that a member's page names.
#[must_use]
pub fn term(page: &Bytes) -> Option<Term> {
    let page: Value = serde_json::from_slice(page).ok()?;
    page.get("raft.status")?.get("term")?.as_u64().map(Term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_term_is_read_from_our_page_and_from_etcds() {
        let status = Status { term: Term(7), ..Status::default() };
        assert_eq!(term(&page(&status).into()), Some(Term(7)));
        let etcds = r#"{"cmdline": ["etcd"], "raft.status": {"id":"8e9e05c52164694d","term":2}}"#;
        assert_eq!(term(&Bytes::from(etcds)), Some(Term(2)));
        assert_eq!(term(&Bytes::from("{}")), None);
    }
}
