//! Names for what no two servers share: ids, terms, sizes, addresses.

use std::collections::BTreeMap;

/// A number from here on was made up by a server; a smaller one by the transcript.
const GENERATED_MIN: u64 = 1 << 32;

/// What stands for a value that only has to be there.
const SOME: &str = "some";

/// The names given so far.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    names: BTreeMap<(&'static str, u64), String>,
    meanings: BTreeMap<String, u64>,
}

impl Masks {
    /// What a number is shown as in this field of this message.
    pub(crate) fn number(&mut self, message: &str, field: &str, number: u64) -> Option<String> {
        let generated = number >= GENERATED_MIN;
        match (message, field) {
            ("ResponseHeader", "cluster_id") => Some(self.name("cluster", number)),
            ("ResponseHeader", "raft_term") | ("StatusResponse", "raftTerm") => {
                Some(self.name("term", number))
            }
            ("ResponseHeader", "member_id")
            | ("StatusResponse", "leader")
            | ("Member", "ID")
            | ("AlarmMember", "memberID")
                if generated =>
            {
                Some(self.name("member", number))
            }
            ("KeyValue" | "LeaderKey", "lease") if generated => Some(self.name("lease", number)),
            (lease, "ID") if generated && lease.starts_with("Lease") => {
                Some(self.name("lease", number))
            }
            // Time passes between the grant and the question.
            ("LeaseTimeToLiveResponse", "TTL") if number.cast_signed() > 0 => {
                Some(String::from(SOME))
            }
            ("StatusResponse", "dbSize" | "dbSizeInUse" | "raftIndex" | "raftAppliedIndex")
            | ("HashResponse", "hash") => Some(String::from(SOME)),
            _ => None,
        }
    }

    /// What a text is shown as in this field of this message.
    pub(crate) fn text(&mut self, message: &str, field: &str, text: &[u8]) -> Option<String> {
        match (message, field) {
            ("LockResponse" | "LeaderKey" | "KeyValue", "key") => {
                // A place in a queue, where the server chose the lease.
                let (queue, lease) = str::from_utf8(text).ok()?.rsplit_once('/')?;
                let lease = u64::from_str_radix(lease, 16).ok()?;
                let lease = (lease >= GENERATED_MIN).then(|| self.name("lease", lease))?;
                Some(format!("\"{queue}/{lease}\""))
            }
            ("Member", "peerURLs" | "clientURLs") | ("StatusResponse", "version") => {
                Some(String::from(SOME))
            }
            // A message in words: its library spaces them by the build, so that nobody parses it.
            ("StatusResponse", "errors") => {
                let text = String::from_utf8_lossy(text);
                Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
            }
            _ => None,
        }
    }

    /// The number that a name stands for.
    pub(crate) fn meaning(&self, name: &str) -> Option<u64> {
        self.meanings.get(name).copied()
    }

    /// The name of a number, by the order of appearance.
    fn name(&mut self, kind: &'static str, number: u64) -> String {
        if let Some(name) = self.names.get(&(kind, number)) {
            return name.clone();
        }
        let count = self.names.keys().filter(|(other, _)| *other == kind).count();
        let name = format!("{kind}_{}", count + 1);
        self.names.insert((kind, number), name.clone());
        self.meanings.insert(name.clone(), number);
        name
    }
}
