//! When members' hashes are compared: at the start, and from time to time while this one leads.
//! What follows from them is decided in keel-proto's `peer/corruption.rs`.

use super::config::Config;
use super::failure::Failure;
use super::journal::Journal;
use super::links::http1::{Connection, full, whole};
use super::{Host, Time};
use crate::Services;
use crate::peer::corruption::{self, Answer, Checker};
use crate::peer::headers::Identity;
use http::Method;
use keel_core::members::Member;
use keel_core::{NodeId, View};
use std::io;
use std::time::Duration;

/// How long a member may take to hash what it has.
const PATIENCE: Duration = Duration::from_secs(15);
/// An answer, at most.
const ANSWER_MAX: usize = 64 * 1024;

/// Asks other members for hashes.
pub struct Corruption<H> {
    /// The way to them.
    pub host: H,
    /// Who asks.
    pub me: Identity,
    /// What answers for this member.
    pub services: Services,
    /// Where lines go.
    pub journal: Journal,
}

impl<H: Host> Corruption<H> {
    /// A member that holds something else than the others must not serve (etcd's gate
    /// `InitialCorruptCheck`). Who does not answer, or has not come so far, is no witness.
    pub async fn at_start(&self, config: &Config, view: &View) -> Result<(), Failure> {
        let checker = Checker::new(&self.services);
        let mine = checker.hash(0).await;
        let mine = mine.map_err(|error| Failure::new(error.message().to_owned()))?;
        for (id, member) in view.cluster.members.iter().filter(|(id, _)| **id != self.me.member) {
            let Some(theirs) = self.ask(*id, member, mine.revision).await else { continue };
            if corruption::contradicts(mine, &theirs) {
                let at = config.data_dir.join("member");
                return Err(Failure::new(format!(
                    "found data inconsistency with peers: at revision {} member {id} has the hash \
                     {}, this one {}; if this one is wrong, move {} away and start it with \
                     --self-repair, and it takes its state from the other members",
                    mine.revision,
                    theirs.hash.hash,
                    mine.hash,
                    at.display()
                )));
            }
        }
        self.journal.info("initial corruption checking passed; no corruption", &[]);
        Ok(())
    }

    /// Looks every so often while this member leads (`--corrupt-check-time`), for ever.
    pub async fn now_and_then(self, every: Duration) {
        loop {
            self.host.time().sleep(every).await;
            let checker = Checker::new(&self.services);
            let Some(others) = checker.others() else { continue };
            match self.look(&checker, others).await {
                Ok(None) => self.journal.info("finished corruption check", &[]),
                Ok(Some(wrong)) => {
                    let fields = [("corrupted-member-id", wrong.to_string().into())];
                    self.journal.error("found corruption; alarm is raised", &fields);
                }
                Err(error) => {
                    let fields = [("error", error.message().into())];
                    self.journal.warn("failed corruption check", &fields);
                }
            }
        }
    }

    async fn look(
        &self,
        checker: &Checker,
        others: Vec<NodeId>,
    ) -> Result<Option<NodeId>, tonic::Status> {
        let before = checker.hash(0).await?;
        let cluster = self.services.view().cluster;
        let mut answers = Vec::new();
        for id in others {
            if let Some(member) = cluster.members.get(&id)
                && let Some(answer) = self.ask(id, member, before.revision).await
            {
                answers.push((id, answer));
            }
        }
        checker.verdict(before, &answers).await
    }

    /// A member's hash at a revision; nothing where it does not answer one.
    async fn ask(&self, id: NodeId, member: &Member, revision: i64) -> Option<Answer> {
        for url in &member.peer_urls {
            let asked = self.host.time().within(PATIENCE, self.ask_at(id, url, revision)).await;
            match asked.unwrap_or_else(|over| Err(over.into())) {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    let fields = [
                        ("remote-peer-id", id.to_string().into()),
                        ("error", error.to_string().into()),
                    ];
                    self.journal.warn("failed to get a peer's hash", &fields);
                }
            }
        }
        None
    }

    async fn ask_at(&self, id: NodeId, url: &str, revision: i64) -> io::Result<Answer> {
        let mut connection = Connection::open(&self.host, url).await?;
        let (headers, body) = (self.me.of_request(id), full(corruption::question(revision)));
        let response = connection.send(Method::GET, corruption::PATH, headers, body).await?;
        let status = response.status();
        let body = whole(response, ANSWER_MAX).await?;
        if !status.is_success() {
            return Err(io::Error::other(String::from_utf8_lossy(body.trim_ascii()).into_owned()));
        }
        corruption::read(&body).ok_or_else(|| io::Error::other("an answer that is no hash"))
    }
}
