//! What clients saw, and whether one store that does one thing after the other could have
//! answered so.
//!
//! etcd says the order itself: each write has a revision, and each read the revision that it
//! saw. So no order is searched for: the one that was told is checked, against the values and
//! against real time. A search that does not know of revisions gives a second opinion.

use crate::calls::{ATTEMPT, LOOK, PATIENCE, call, insist, put_request};
use crate::search;
use keel_proto::pb::etcdserverpb as pb;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

/// One operation that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) key: usize,
    /// The write's revision, or the newest one that the read could see.
    revision: i64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Write(String),
    /// What was read, and the revision of that version.
    Read(Option<(String, i64)>),
}

/// A write that was never answered: it may have happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unanswered {
    pub(crate) begun: Instant,
    pub(crate) key: usize,
}

/// What clients do until they are told to stop, and what they saw.
#[derive(Clone, Default)]
pub(crate) struct History {
    done: Rc<RefCell<Vec<Done>>>,
    /// By the value that would have been written.
    unknown: Rc<RefCell<BTreeMap<String, Unanswered>>>,
    stop: Rc<Cell<bool>>,
    addrs: Rc<RefCell<Vec<String>>>,
}

/// Keys that clients share.
const KEYS: usize = 5;

impl History {
    /// Starts so many clients on these members.
    pub(crate) fn begin(addrs: Vec<String>, clients: usize) -> History {
        let history = History::default();
        history.move_to(addrs);
        for client in 0..clients {
            tokio::task::spawn_local(history.clone().client(client));
        }
        history
    }

    /// From now on clients use these members.
    pub(crate) fn move_to(&self, addrs: Vec<String>) {
        *self.addrs.borrow_mut() = addrs;
    }

    async fn client(self, client: usize) {
        for turn in 0.. {
            if self.stop.get() {
                return;
            }
            let addr = {
                let addrs = self.addrs.borrow();
                addrs[(client + turn) % addrs.len()].clone()
            };
            let key = (client * 3 + turn) % KEYS;
            if turn % 3 == 0 {
                self.read(&addr, key).await;
            } else {
                self.write(&addr, key, format!("{client}-{turn}")).await;
            }
        }
    }

    async fn write(&self, addr: &str, key: usize, value: String) {
        let begun = Instant::now();
        let request = put_request(&name(key), &value);
        let put: Result<pb::PutResponse, _> = call(addr, "/etcdserverpb.KV/Put", &request).await;
        match put {
            Ok(put) => {
                let revision = put.header.expect("an answer has a header").revision;
                let kind = Kind::Write(value);
                self.done.borrow_mut().push(Done {
                    begun,
                    ended: Instant::now(),
                    key,
                    revision,
                    kind,
                });
            }
            Err(_) => {
                self.unknown.borrow_mut().insert(value, Unanswered { begun, key });
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    async fn read(&self, addr: &str, key: usize) {
        let begun = Instant::now();
        let request = pb::RangeRequest { key: name(key).into(), ..Default::default() };
        let Ok(range) = call::<pb::RangeResponse>(addr, "/etcdserverpb.KV/Range", &request).await
        else {
            return tokio::time::sleep(LOOK).await;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let seen = range.kvs.first().map(|kv| (text(&kv.value), kv.mod_revision));
        let revision = range.header.expect("an answer has a header").revision;
        let kind = Kind::Read(seen);
        self.done.borrow_mut().push(Done { begun, ended: Instant::now(), key, revision, kind });
    }

    /// How many operations were answered so far.
    pub(crate) fn answered(&self) -> usize {
        self.done.borrow().len()
    }

    /// Stops the clients and checks what they saw against what is there at the end.
    pub(crate) async fn check(self, addr: &str) {
        self.stop.set(true);
        tokio::time::sleep(ATTEMPT).await;
        let writes = judged(self.done.borrow().clone(), &self.unknown.borrow());
        for ((key, at), value) in writes {
            let request =
                pb::RangeRequest { key: name(key).into(), revision: at, ..Default::default() };
            let range: pb::RangeResponse = insist(addr, "/etcdserverpb.KV/Range", &request).await;
            let kv = range.kvs.first().unwrap_or_else(|| panic!("{value} at {at} is lost"));
            assert_eq!((&kv.value[..], kv.mod_revision), (value.as_bytes(), at), "is lost");
        }
    }
}

/// Waits until clients were answered so many times more.
pub(crate) async fn answers(history: &History, more: usize) {
    let wanted = history.answered() + more;
    let begun = Instant::now();
    while history.answered() < wanted {
        assert!(begun.elapsed() < PATIENCE, "clients are not answered any more");
        tokio::time::sleep(LOOK).await;
    }
}

/// Checks what was seen against the order that was told; gives the writes that happened, by key
/// and revision.
fn judged(
    mut done: Vec<Done>,
    unknown: &BTreeMap<String, Unanswered>,
) -> BTreeMap<(usize, i64), String> {
    let mut writes: BTreeMap<(usize, i64), String> = BTreeMap::new();
    let mut revisions = BTreeSet::new();
    for one in &done {
        if let Kind::Write(value) = &one.kind {
            assert!(revisions.insert(one.revision), "two writes at {}", one.revision);
            writes.insert((one.key, one.revision), value.clone());
        }
    }
    // A read may show a write that was never answered: from then on it happened.
    for one in &done {
        if let Kind::Read(Some((value, at))) = &one.kind {
            let known = writes.entry((one.key, *at)).or_insert_with(|| value.clone());
            assert_eq!(known, value, "key {} at revision {at}", one.key);
            assert!(
                revisions.contains(at) || unknown.contains_key(value),
                "{value} was read and never written"
            );
        }
    }
    for one in &done {
        let Kind::Read(seen) = &one.kind else { continue };
        let mut before = writes.range((one.key, 0)..=(one.key, one.revision));
        let newest = before.next_back().map(|((_, at), value)| (value.clone(), *at));
        assert_eq!(*seen, newest, "key {} read at revision {}", one.key, one.revision);
    }
    check_real_time(&mut done);
    search::explain(&done, unknown);
    writes
}

/// What began after something else had ended saw at least as much, and a write more.
fn check_real_time(done: &mut [Done]) {
    done.sort_by_key(|one| one.begun);
    let mut ends: Vec<(Instant, i64)> = done.iter().map(|one| (one.ended, one.revision)).collect();
    ends.sort();
    let (mut ended, mut highest) = (0, 0);
    for one in done.iter() {
        while ends.get(ended).is_some_and(|(end, _)| *end < one.begun) {
            highest = highest.max(ends[ended].1);
            ended += 1;
        }
        let fits = match one.kind {
            Kind::Write(_) => one.revision > highest,
            Kind::Read(_) => one.revision >= highest,
        };
        assert!(fits, "{one:?} began after revision {highest} was acknowledged");
    }
}

fn name(key: usize) -> String {
    format!("/history/{key}")
}

/// Lies that the check must see: each is a history that no store could have.
mod lies {
    use super::*;
    use std::time::Duration;

    fn done(from: u64, to: u64, revision: i64, kind: Kind) -> Done {
        let zero = *ZERO.get_or_init(Instant::now);
        let at = |millis| zero + Duration::from_millis(millis);
        Done { begun: at(from), ended: at(to), key: 0, revision, kind }
    }

    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();

    fn write(value: &str) -> Kind {
        Kind::Write(value.to_owned())
    }

    fn read(value: &str, at: i64) -> Kind {
        Kind::Read(Some((value.to_owned(), at)))
    }

    fn judge(done: Vec<Done>, unknown: &[&str]) {
        judged(done, &unanswered(unknown));
    }

    fn unanswered(values: &[&str]) -> BTreeMap<String, Unanswered> {
        let begun = *ZERO.get_or_init(Instant::now);
        values.iter().map(|value| (String::from(*value), Unanswered { begun, key: 0 })).collect()
    }

    #[test]
    fn an_honest_history_passes() {
        let all = vec![
            done(0, 10, 2, write("a")),
            done(5, 20, 3, write("b")),
            done(6, 15, 2, read("a", 2)),
            done(21, 22, 4, read("c", 4)),
        ];
        judge(all, &["c"]);
    }

    #[test]
    #[should_panic(expected = "began after revision 3 was acknowledged")]
    fn a_stale_read_is_seen() {
        judge(
            vec![done(0, 1, 2, write("a")), done(2, 3, 3, write("b")), done(4, 5, 2, read("a", 2))],
            &[],
        );
    }

    #[test]
    #[should_panic(expected = "key 0 read at revision 3")]
    fn a_read_that_misses_a_write_is_seen() {
        judge(
            vec![done(0, 1, 2, write("a")), done(2, 3, 3, write("b")), done(4, 5, 3, read("a", 2))],
            &[],
        );
    }

    #[test]
    #[should_panic(expected = "two writes at 2")]
    fn a_revision_given_twice_is_seen() {
        judge(vec![done(0, 1, 2, write("a")), done(0, 1, 2, write("b"))], &[]);
    }

    #[test]
    #[should_panic(expected = "was read and never written")]
    fn a_value_out_of_nowhere_is_seen() {
        judge(vec![done(0, 1, 2, read("a", 2))], &["b"]);
    }

    /// The search alone sees what the revisions would tell.
    #[test]
    #[should_panic(expected = "no order explains 3 operations")]
    fn the_search_sees_a_stale_read() {
        let stale =
            [done(0, 1, 2, write("a")), done(2, 3, 3, write("b")), done(4, 5, 2, read("a", 2))];
        search::explain(&stale, &BTreeMap::new());
    }

    #[test]
    fn the_search_lets_an_unanswered_write_happen_late() {
        let late =
            [done(0, 1, 2, write("a")), done(2, 3, 2, read("a", 2)), done(4, 5, 3, read("c", 3))];
        search::explain(&late, &unanswered(&["c"]));
    }
}
