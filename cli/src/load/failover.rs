//! How long nobody leads when the leader dies without a word.

use super::calls::once;
use super::cluster::Cluster;
use super::http2::Method;
use super::rows::{Figure, put_request};
use keel_proto::pb::etcdserverpb as pb;
use prost::Message;
use std::io;
use std::time::{Duration, Instant};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);
/// What was forwarded to the dead leader is never answered: an attempt is given up after this.
const ATTEMPT: Duration = Duration::from_millis(100);
/// A cluster that is without a leader for longer is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Kills the leader, waits until another member takes a put, and brings the old one back.
pub async fn run(cluster: &mut Cluster) -> io::Result<Vec<Figure>> {
    let leader = leader(cluster).await?;
    let other = (leader + 1) % cluster.members.len();
    let addr = cluster.members[other].addr.clone();
    let put = put_request(String::from("/bench/failover"), 16).encode_to_vec();
    let method = Method::new("/etcdserverpb.KV/Put");
    cluster.members[leader].kill()?;
    let begun = Instant::now();
    loop {
        let tried = tokio::time::timeout(ATTEMPT, once(&addr, &method, &put)).await;
        if matches!(tried, Ok(Ok(_))) {
            break;
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other("nobody came to lead"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    let took = begun.elapsed().as_secs_f64();
    cluster.members[leader].revive().await?;
    Ok(vec![Figure { name: "until a put s", value: took, more_is_better: false }])
}

/// Which member leads.
pub async fn leader(cluster: &Cluster) -> io::Result<usize> {
    let begun = Instant::now();
    let method = Method::new("/etcdserverpb.Maintenance/Status");
    while begun.elapsed() < PATIENCE {
        for (nth, member) in cluster.members.iter().enumerate() {
            let Ok(answer) = once(&member.addr, &method, &[]).await else { continue };
            let status = pb::StatusResponse::decode(answer).map_err(io::Error::other)?;
            let me = status.header.unwrap_or_default().member_id;
            if status.leader != 0 && status.leader == me {
                return Ok(nth);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(io::Error::other("nobody leads"))
}
