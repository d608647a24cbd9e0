//! Questions for whoever leads: asked until somebody answers or the time is up.

use super::http1::{Connection, full, whole};
use super::renewals::Renewals;
use crate::Handle;
use crate::body::{Host, Time};
use crate::peer::headers::Identity;
use crate::peer::{Answer, Ask, Question, Said};
use bytes::Bytes;
use http::{Method, StatusCode};
use keel_core::{NodeId, Refusal};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two attempts, as in etcd.
const PAUSE: Duration = Duration::from_millis(50);
/// What a member says of leases while it does not lead.
const NOT_PRIMARY: &[u8] = b"not a primary lessor";
/// A page's answer, at most.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Asks what services want asked, each question for so long at most.
pub async fn ask_leaders<H: Host>(
    host: H,
    me: Identity,
    handle: Handle,
    mut asks: mpsc::Receiver<Ask>,
    patience: Duration,
) {
    let asker = Rc::new(Asker {
        host: host.clone(),
        me,
        handle,
        patience,
        idle: RefCell::default(),
        renewals: Renewals::default(),
    });
    while let Some(Ask { what, answer }) = asks.recv().await {
        match what {
            Question::Page { path, body } => asker.clone().ask_page(path, body, answer),
            Question::Renew(lease) => asker.renew(lease, answer),
        }
    }
}

/// What every question needs.
pub(super) struct Asker<H> {
    pub(super) host: H,
    pub(super) me: Identity,
    pub(super) handle: Handle,
    patience: Duration,
    /// Connections that wait for the next question, by URL.
    idle: RefCell<BTreeMap<String, Vec<Connection>>>,
    pub(super) renewals: Renewals,
}

impl<H: Host> Asker<H> {
    /// Asks for a page, beside the caller.
    pub(super) fn ask_page(self: Rc<Self>, path: String, body: Bytes, answer: Answer) {
        let host = self.host.clone();
        host.spawn(async move {
            let asked = async {
                loop {
                    let said = self.once(&path, &body).await;
                    if let Some(Said::Page(..)) = &said {
                        return said;
                    }
                    // Whoever leads may not be sure of it yet, this member too: who asked here
                    // asks it next, and comes back if it refuses.
                    self.host.time().sleep(PAUSE).await;
                    if said.is_some() {
                        return said;
                    }
                }
            };
            let said = self.host.time().within(self.patience, asked).await;
            let said = said.ok().flatten().ok_or(Refusal::Timeout);
            // The client may have gone since.
            let _ = answer.send(said);
        });
    }

    /// One attempt at all URLs of whoever leads now.
    async fn once(&self, path: &str, body: &Bytes) -> Option<Said> {
        let leader = self.handle.status().leader;
        if leader == NodeId::NONE {
            return None;
        }
        if leader == self.me.member {
            return Some(Said::Mine);
        }
        let cluster = self.handle.latest().cluster;
        for url in &cluster.members.get(&leader)?.peer_urls {
            match self.ask(leader, url, path, body).await {
                // It does not lead any more, or not yet for sure: ask again.
                Ok((_, body)) if body.trim_ascii() == NOT_PRIMARY => {}
                Ok((status, body)) => return Some(Said::Page(status, body)),
                Err(_) => {}
            }
        }
        None
    }

    pub(super) async fn ask(
        &self,
        leader: NodeId,
        url: &str,
        path: &str,
        body: &Bytes,
    ) -> io::Result<(StatusCode, Bytes)> {
        let mut connection = match self.kept(url) {
            Some(connection) => connection,
            None => Connection::open(&self.host, url).await?,
        };
        let headers = self.me.of_request(leader);
        let response = connection.send(Method::POST, path, headers, full(body.clone())).await?;
        let status = response.status();
        let body = whole(response, ANSWER_MAX).await?;
        self.idle.borrow_mut().entry(url.to_owned()).or_default().push(connection);
        Ok((status, body))
    }

    /// A connection that waits and is still open.
    fn kept(&self, url: &str) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.get_mut(url)?;
        while let Some(connection) = idle.pop() {
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }
}
