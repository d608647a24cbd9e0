//! A state that is larger than what a member may hold of it in memory while it takes it in.

use crate::calls::{LOOK, insist, wait_until_equal};
use keel_cli::load::cluster::Cluster;
use keel_proto::pb::etcdserverpb as pb;

/// Bytes of a value.
const VALUE: usize = 16 * 1024;
/// Values of a transaction: below the largest request.
const VALUES: usize = 60;
const TXNS: usize = 200;

/// Bytes of the values that [`take_in`] writes.
pub(crate) const BYTES: u64 = (VALUE * VALUES * TXNS) as u64;

/// Brings the last member a large state: while it is away more is written than the log keeps.
/// Gives the memory that it needed at most until it held what the others hold, without files'
/// pages; bytes.
pub(crate) async fn take_in(cluster: &mut Cluster) -> u64 {
    let last = cluster.members.len() - 1;
    cluster.members[last].kill().expect("it lives");
    let addr = cluster.addrs()[0].clone();
    for nth in 0..TXNS {
        let success = (0..VALUES).map(|key| put(format!("/large/{nth}/{key}"))).collect();
        let txn = pb::TxnRequest { success, ..Default::default() };
        let _: pb::TxnResponse = insist(&addr, "/etcdserverpb.KV/Txn", &txn).await;
    }
    cluster.members[last].relaunch().expect("it starts again");
    let (cluster, mut most) = (&*cluster, 0);
    let watch = async {
        loop {
            let usage = cluster.members[last].usage().expect("it lives");
            most = most.max(usage.anonymous);
            tokio::time::sleep(LOOK / 4).await;
        }
    };
    tokio::select! {
        biased;
        () = watch => {}
        _ = wait_until_equal(cluster) => {}
    }
    most
}

fn put(key: String) -> pb::RequestOp {
    let put =
        pb::PutRequest { key: key.into(), value: vec![b'v'; VALUE].into(), ..Default::default() };
    pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) }
}
