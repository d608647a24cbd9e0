//! Keep-alives for whoever leads: those that come while one request is under way go together in
//! the next.
//!
//! etcd's page takes one lease, so a leader that lacks ours is asked for each by itself, and so is
//! one that cannot say at once what becomes of a lease.

use super::ask::Asker;
use crate::body::{Host, Time};
use crate::pb::etcdserverpb as pb;
use crate::peer::{Answer, Said, leases};
use bytes::Bytes;
use http::StatusCode;
use keel_core::{NodeId, Term};
use prost::Message;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// etcd's page.
const PAGE: &str = "/leases";
/// How long a request for many may take before each is asked for by itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// A lease, and who wants to hear of it.
type Wanted = (i64, Answer);

/// Those that wait.
#[derive(Default)]
pub(super) struct Renewals {
    wanted: RefCell<Vec<Wanted>>,
    under_way: Cell<bool>,
    /// The leader, and its term, that does not know our page.
    one_by_one: Cell<Option<(NodeId, Term)>>,
}

impl<H: Host> Asker<H> {
    /// Wants a lease kept alive.
    pub(super) fn renew(self: &Rc<Self>, lease: i64, answer: Answer) {
        self.renewals.wanted.borrow_mut().push((lease, answer));
        if !self.renewals.under_way.replace(true) {
            self.host.spawn(Rc::clone(self).renew_wanted());
        }
    }

    async fn renew_wanted(self: Rc<Self>) {
        loop {
            let wanted = {
                let mut wanted = self.renewals.wanted.borrow_mut();
                let many = wanted.len().min(leases::MANY);
                wanted.drain(..many).collect::<Vec<Wanted>>()
            };
            if wanted.is_empty() {
                self.renewals.under_way.set(false);
                return;
            }
            let renewed = self.host.time().within(PATIENCE, self.renew_all(&wanted)).await;
            let renewed = renewed.ok().flatten().unwrap_or_else(|| vec![0; wanted.len()]);
            for ((lease, answer), ttl) in wanted.into_iter().zip(renewed) {
                if ttl > 0 {
                    // The client may have gone since.
                    let _ = answer.send(Ok(Said::Renewed(ttl)));
                } else {
                    let body = pb::LeaseKeepAliveRequest { id: lease }.encode_to_vec();
                    Rc::clone(&self).ask_page(PAGE.to_owned(), body.into(), answer);
                }
            }
        }
    }

    /// Asks for all of them at once: the seconds that each gets, or zero.
    async fn renew_all(&self, wanted: &[Wanted]) -> Option<Vec<i64>> {
        let status = self.handle.status();
        let leader = (status.leader, status.term);
        let strange = self.renewals.one_by_one.get() == Some(leader);
        if leader.0 == NodeId::NONE || leader.0 == self.me.member || strange {
            return None;
        }
        let cluster = self.handle.latest().cluster;
        let body = Bytes::from(leases::encode(wanted.iter().map(|(lease, _)| *lease)));
        for url in &cluster.members.get(&leader.0)?.peer_urls {
            let Ok((status, body)) = self.ask(leader.0, url, leases::PATH, &body).await else {
                continue;
            };
            if status == StatusCode::NOT_FOUND {
                self.renewals.one_by_one.set(Some(leader));
            }
            let whole = |renewed: &Vec<i64>| renewed.len() == wanted.len();
            return leases::decode(&body).filter(whole).filter(|_| status == StatusCode::OK);
        }
        None
    }
}
