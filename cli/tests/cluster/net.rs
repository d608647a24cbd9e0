//! A network of the test's own: each member a network namespace whose one way out is a device
//! that the test holds the other side of.
//!
//! ```text
//!   [member 1] eth0 ─┐
//!   [member 2] eth0 ─┼─ wire
//!   [member 3] eth0 ─┤
//!   [hub]      eth0 ─┘   this test's thread: the clients
//! ```

use crate::wire::{MTU, Wire, address};
use keel_cli::load::process::Launch;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tun_rs::{DeviceBuilder, SyncDevice};

/// The namespaces and what lies between them; gone when dropped.
pub(crate) struct Net {
    spaces: Spaces,
    wire: Wire,
}

/// Namespaces, the hub last.
struct Spaces(Vec<String>);

impl Drop for Spaces {
    fn drop(&mut self) {
        for space in &self.0 {
            run(&["ip", "netns", "del", space]);
        }
    }
}

fn run(words: &[&str]) -> bool {
    let output = Command::new(words[0]).args(&words[1..]).output();
    output.is_ok_and(|output| output.status.success())
}

impl Net {
    /// Makes the network, and moves this thread into its middle; none where this user may not.
    /// Equal seeds lose equal packets.
    pub(crate) fn enter(members: usize, seed: u64) -> Option<Net> {
        static NETS: AtomicU32 = AtomicU32::new(0);
        let nth = NETS.fetch_add(1, Ordering::Relaxed);
        let mut spaces = Spaces(Vec::new());
        let mut ends = Vec::new();
        for end in 0..=members {
            let space = format!("keel-{}-{nth}-{}", std::process::id(), end + 1);
            if !run(&["ip", "netns", "add", &space]) {
                eprintln!("SKIPPED: this user may not make network namespaces, or has no `ip`");
                return None;
            }
            spaces.0.push(space.clone());
            assert!(run(&["ip", "-n", &space, "link", "set", "lo", "up"]), "{space}");
            let device = std::thread::spawn(move || device(&space, end)).join();
            ends.push(device.expect("no panic").expect("whoever makes namespaces makes devices"));
        }
        let hub = spaces.0.last().expect("the hub was made last");
        move_into(hub).expect("whoever may make a namespace may enter it");
        Some(Net { spaces, wire: Wire::between(ends, seed).expect("a wire") })
    }

    fn hub(&self) -> usize {
        self.spaces.0.len() - 1
    }

    /// How a member of this network is started.
    pub(crate) fn launch(&self, member: usize, binary: &Path, dir: &Path) -> Launch {
        let name = format!("m{}", member + 1);
        let space = &self.spaces.0[member];
        Launch {
            dir: dir.join(&name),
            name,
            binary: binary.to_path_buf(),
            cpu: None,
            client: format!("{}:2379", address(member)),
            peer: format!("{}:2380", address(member)),
            cluster: String::new(),
            state: "new",
            extra: Vec::new(),
            under: ["ip", "netns", "exec", space].map(String::from).to_vec(),
        }
    }

    /// Nothing reaches the member or leaves it, as if its cable were out.
    pub(crate) fn cut(&self, member: usize) {
        for other in 0..=self.hub() {
            self.wire.silence(member, other);
            self.wire.silence(other, member);
        }
    }

    /// The cable is in again.
    pub(crate) fn join(&self, member: usize) {
        for other in 0..=self.hub() {
            self.wire.hear(member, other);
            self.wire.hear(other, member);
        }
    }

    /// What one member sends to another does not arrive; the other way it does.
    pub(crate) fn silence(&self, from: usize, to: usize) {
        self.wire.silence(from, to);
    }

    /// It arrives again.
    pub(crate) fn hear(&self, from: usize, to: usize) {
        self.wire.hear(from, to);
    }

    /// Every packet takes so long from now on, and so many of a hundred are lost.
    pub(crate) fn disturb(&self, delay: Duration, loss: u64) {
        self.wire.disturb(delay, loss);
    }

    /// How many packets were lost so.
    pub(crate) fn lost(&self) -> u64 {
        self.wire.lost()
    }
}

/// Moves this thread into a namespace.
fn move_into(space: &str) -> io::Result<()> {
    let space = File::open(format!("/var/run/netns/{space}"))?;
    Ok(move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Makes the device of one end, in its namespace.
fn device(space: &str, end: usize) -> io::Result<SyncDevice> {
    move_into(space)?;
    DeviceBuilder::new().name("eth0").ipv4(address(end), 24, None).mtu(MTU).build_sync()
}
