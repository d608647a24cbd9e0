//! `Maintenance.Downgrade`: going back one minor version, member by member (semantics §7.9).
//!
//! The leader lowers the cluster's version once the log allows it, and ends the job when every
//! member speaks the lower one; both are rules of `core/src/node/members.rs`.

use super::Desk;
use crate::refusal::{self, Bad};
use crate::wire::etcdserverpb as pb;
use crate::wire::tree::membershippb;
use keel_core::command::Command;
use keel_core::members::{Cluster, minor};
use pb::downgrade_request::DowngradeAction;
use tonic::Status;

impl Desk {
    /// Does what is asked; answers the cluster's version, as `major.minor`.
    pub(super) async fn downgrade_to(
        &self,
        request: pb::DowngradeRequest,
    ) -> Result<String, Status> {
        let target = match DowngradeAction::try_from(request.action) {
            Ok(DowngradeAction::Validate) => {
                self.validate(&request.version).await?;
                None
            }
            Ok(DowngradeAction::Enable) => Some(self.validate(&request.version).await?),
            Ok(DowngradeAction::Cancel) => {
                // Without a job there is nothing to end, and nothing wrong.
                let view = self.handle.read().await.map_err(refusal::status)?;
                view.cluster.target().is_some().then(String::new)
            }
            Err(_) => return Err(Status::unknown("etcdserver: unknown method")),
        };
        // The answer has the version as it was asked about: soon behind the target it is lower.
        let cluster = self.handle.latest().cluster;
        let (major, minor) = minor(&cluster.version).unwrap_or_default();
        if let Some(target) = target {
            self.set_target(target).await?;
        }
        Ok(format!("{major}.{minor}"))
    }

    /// Whether the cluster can go to a version now; gives it back as etcd writes it.
    async fn validate(&self, version: &str) -> Result<String, Status> {
        let (major, target) = parse(version).ok_or(Bad::DowngradeFormat)?;
        let view = self.handle.read().await.map_err(refusal::status)?;
        let (_, now) = minor(&view.cluster.version).ok_or(Bad::NoClusterVersion)?;
        let is_one_back = |now: u64| now.checked_sub(1) == Some(target);
        if major != 3 || !is_one_back(now) {
            return Err(Bad::DowngradeTarget.into());
        }
        if view.cluster.target().is_some() {
            return Err(Bad::DowngradeInProgress.into());
        }
        Ok(format!("{major}.{target}.0"))
    }

    async fn set_target(&self, target: String) -> Result<(), Status> {
        let set = membershippb::DowngradeInfoSetRequest {
            enabled: !target.is_empty(),
            ver: target.clone(),
        };
        let operation =
            pb::InternalRaftRequest { downgrade_info_set: Some(set), ..Default::default() };
        self.change(Command::Downgrade { target }, operation).await?;
        Ok(())
    }
}

/// What `Status` says of a downgrade.
pub(super) fn info(cluster: &Cluster) -> pb::DowngradeInfo {
    let target = cluster.target().unwrap_or_default();
    pb::DowngradeInfo { enabled: !target.is_empty(), target_version: target.to_owned() }
}

/// `major` and `minor` of `X.Y` or a semantic version `X.Y.Z` with whatever etcd takes behind it.
fn parse(version: &str) -> Option<(u64, u64)> {
    let (numbers, rest) = match version.find(['-', '+']) {
        Some(at) => version.split_at(at),
        None => (version, ""),
    };
    let parts: Vec<u64> = numbers.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    match parts[..] {
        [major, minor] if rest.is_empty() => Some((major, minor)),
        [major, minor, _] => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn versions_are_read_as_etcd_reads_them() {
        for text in ["3.6", "3.6.0", "3.6.2", "3.6.0-rc.1"] {
            assert_eq!(parse(text), Some((3, 6)), "{text}");
        }
        for text in ["", "3", "v3.6", "x", "3.6-rc", "3.6.0.0", "3.-6"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
