//! etcd's own Go client (its etcdctl) with three endpoints of ours: members die one after the
//! other, and its balancer finds the living ones.

use crate::calls::PATIENCE;
use crate::clients::{Ctl, Lines};
use crate::with_peers;
use keel_cli::load::cluster::Cluster;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

fn background(ctl: &Ctl<'_>, args: &[&str]) -> (Child, Lines) {
    let mut child = Command::new(ctl.program)
        .args(["--endpoints", ctl.addr])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client runs");
    let lines = Lines::of(child.stdout.take().expect("a pipe"));
    (child, lines)
}

/// A write may hit the moment without a leader, and the client does not repeat it: its user does.
fn insist(ctl: &Ctl<'_>, args: &[&str]) -> String {
    let begun = Instant::now();
    loop {
        let (success, out, err) = ctl.try_run(args, "");
        if success {
            return out;
        }
        assert!(begun.elapsed() < PATIENCE, "{args:?}: {err}");
    }
}

#[test]
fn etcds_client_goes_on_while_members_die() {
    with_peers(async |peers| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ours = PathBuf::from(env!("CARGO_BIN_EXE_etcd"));
        let started = Cluster::start(dir.path(), &vec![ours; 3], None, &[]).await;
        let mut cluster = started.expect("a cluster of ours");
        let endpoints = cluster.addrs().join(",");
        let ctl = Ctl { program: &peers.etcdctl, addr: &endpoints };
        let (mut watch, mut seen) = background(&ctl, &["watch", "--prefix", "k"]);
        let granted = insist(&ctl, &["lease", "grant", "20"]);
        let lease = granted.split_whitespace().nth(1).expect("an id").to_owned();
        insist(&ctl, &["put", "--lease", &lease, "leased", "x"]);
        let (mut renew, mut renewed) = background(&ctl, &["lease", "keep-alive", &lease]);
        renewed.next(1);
        // The stream stands once it brought something.
        insist(&ctl, &["put", "k", "begun"]);
        assert_eq!(seen.next(3), "PUT\nk\nbegun\n");
        for nth in 0..3 {
            cluster.members[nth].kill().expect("it lives");
            let (key, value) = (format!("k{nth}"), format!("without {nth}"));
            insist(&ctl, &["put", &key, &value]);
            assert_eq!(insist(&ctl, &["get", &key]), format!("{key}\n{value}\n"));
            assert_eq!(seen.next(3), format!("PUT\n{key}\n{value}\n"), "the watch moved on");
            cluster.members[nth].revive().await.expect("it comes back");
        }
        renewed.next(1);
        let left = insist(&ctl, &["lease", "timetolive", &lease, "--keys"]);
        assert!(left.contains("attached keys([leased])"), "{left}");
        for child in [&mut watch, &mut renew] {
            child.kill().expect("the client stops");
            child.wait().expect("the client ends");
        }
    });
}
