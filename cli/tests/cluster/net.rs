//! A network of the test's own: each member a network namespace, a bridge between them.
//!
//! ```text
//!   [member 1] eth0 ─ m1 ┐
//!   [member 2] eth0 ─ m2 ┼─ bridge [hub: this test's thread]
//!   [member 3] eth0 ─ m3 ┘
//! ```

use keel_cli::load::process::Launch;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The namespaces; gone when dropped.
pub(crate) struct Net {
    name: String,
    members: usize,
}

fn run(words: &[&str]) -> bool {
    let output = Command::new(words[0]).args(&words[1..]).output();
    output.is_ok_and(|output| output.status.success())
}

fn must(words: &[&str]) {
    assert!(run(words), "{words:?}");
}

impl Net {
    /// Makes the network, and moves this thread into its middle; none where this user may not.
    pub(crate) fn enter(members: usize) -> Option<Net> {
        static NETS: AtomicU32 = AtomicU32::new(0);
        let nth = NETS.fetch_add(1, Ordering::Relaxed);
        let net = Net { name: format!("keel-{}-{nth}", std::process::id()), members };
        let hub = net.hub();
        if !run(&["ip", "netns", "add", &hub]) {
            eprintln!("SKIPPED: this user may not make network namespaces, or there is no `ip`");
            return None;
        }
        must(&["ip", "-n", &hub, "link", "add", "bridge", "type", "bridge"]);
        must(&["ip", "-n", &hub, "addr", "add", "10.77.0.254/24", "dev", "bridge"]);
        for link in ["lo", "bridge"] {
            must(&["ip", "-n", &hub, "link", "set", link, "up"]);
        }
        for member in 0..members {
            let (space, port) = (net.space(member), port(member));
            must(&["ip", "netns", "add", &space]);
            must(&[
                "ip", "-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0",
                "netns", &space,
            ]);
            must(&["ip", "-n", &hub, "link", "set", &port, "master", "bridge", "up"]);
            let addr = format!("{}/24", ip(member));
            must(&["ip", "-n", &space, "addr", "add", &addr, "dev", "eth0"]);
            for link in ["lo", "eth0"] {
                must(&["ip", "-n", &space, "link", "set", link, "up"]);
            }
        }
        let hub = File::open(format!("/var/run/netns/{hub}")).expect("it was just made");
        move_into_link_name_space(hub.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("whoever may make a namespace may enter it");
        Some(net)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn space(&self, member: usize) -> String {
        format!("{}-{}", self.name, member + 1)
    }

    /// How a member of this network is started.
    pub(crate) fn launch(&self, member: usize, binary: &Path, dir: &Path) -> Launch {
        let name = format!("m{}", member + 1);
        Launch {
            dir: dir.join(&name),
            name,
            binary: binary.to_path_buf(),
            cpu: None,
            client: format!("{}:2379", ip(member)),
            peer: format!("{}:2380", ip(member)),
            cluster: String::new(),
            state: "new",
            extra: Vec::new(),
            under: ["ip", "netns", "exec", &self.space(member)].map(String::from).to_vec(),
        }
    }

    /// Nothing reaches the member or leaves it, as if its cable were out.
    pub(crate) fn cut(&self, member: usize) {
        must(&["ip", "-n", &self.hub(), "link", "set", &port(member), "down"]);
    }

    /// The cable is in again.
    pub(crate) fn join(&self, member: usize) {
        must(&["ip", "-n", &self.hub(), "link", "set", &port(member), "up"]);
    }

    /// What one member sends to another does not arrive; the other way it does.
    pub(crate) fn silence(&self, from: usize, to: usize) {
        must(&["ip", "-n", &self.space(from), "route", "add", "blackhole", &ip(to)]);
    }

    /// It arrives again.
    pub(crate) fn hear(&self, from: usize, to: usize) {
        must(&["ip", "-n", &self.space(from), "route", "del", "blackhole", &ip(to)]);
    }

    /// Makes what every member sends late or lost, as `tc` says it; `false` where the kernel
    /// cannot.
    pub(crate) fn disturb(&self, netem: &[&str]) -> bool {
        (0..self.members).all(|member| {
            let space = self.space(member);
            let mut words = vec!["tc", "-n", &space, "qdisc", "replace", "dev", "eth0", "root"];
            words.push("netem");
            words.extend(netem);
            run(&words)
        })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for member in 0..self.members {
            run(&["ip", "netns", "del", &self.space(member)]);
        }
        run(&["ip", "netns", "del", &self.hub()]);
    }
}

fn ip(member: usize) -> String {
    format!("10.77.0.{}", member + 1)
}

fn port(member: usize) -> String {
    format!("m{}", member + 1)
}
