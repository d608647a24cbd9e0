//! A member's place: what outlives its process, and a look at the one that runs there.

use super::WORLD_EPOCH;
use super::disk::WorldDisk;
use super::net::WorldNet;
use super::outside::{Leak, entropy};
use super::stage::Stage;
use crate::device::Device;
use crate::member::{self, CLUSTER, id, name, url};
use crate::plan::Knobs;
use crate::random::Random;
use keel_core::View;
use keel_core::disk::{DiskOp, Lane};
use keel_core::members::{Cluster, Member};
use keel_core::planner::Options;
use keel_proto::Handle;
use keel_runtime_tokio::clock::Clock;
use keel_runtime_tokio::{
    Backend, Checks, Config, InitDaemon, Initial, Journal, Level, Limits, Listen, Log, LogFormat,
    World, start,
};
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One member's place.
pub(super) struct Seat {
    /// Which, from zero.
    pub(super) at: usize,
    pub(super) device: RefCell<Device>,
    /// A copy of it that somebody made.
    pub(super) kept: RefCell<Option<Device>>,
    /// Whether the disk was set aside and nothing whole came in its place.
    pub(super) unsettled: Cell<bool>,
    /// What each sync takes longer.
    pub(super) slow: Cell<Duration>,
    /// The power fails at the so many-th operation from now.
    pub(super) trip: Cell<Option<u64>>,
    /// It has failed, and the process does not know.
    pub(super) tripped: Cell<bool>,
    /// A bit turns before its next start.
    pub(super) rot_due: Cell<bool>,
    /// Whether its disk was lost, and its state is not back yet.
    pub(super) lost: Cell<bool>,
    /// Whether it is to be started as soon as that can end well.
    pub(super) due: Cell<bool>,
    /// Whether the process that runs has begun to take the others' state.
    pub(super) mending: Cell<bool>,
    /// Whether what it sends and gets takes longer.
    pub(super) dragged: Cell<bool>,
    /// Whether its process is to run; where it is not, its machine may still answer.
    pub(super) runs: Cell<bool>,
    /// How often it was started.
    pub(super) boots: Cell<u64>,
    /// The way to the server that runs here, once it is up.
    pub(super) handle: RefCell<Option<Handle>>,
    /// What it said when it ended by itself.
    pub(super) ended: RefCell<Option<String>>,
    /// Its newest state that was looked at.
    pub(super) looked: RefCell<Option<View>>,
    random: RefCell<Random>,
    /// The operations that the disk is at, one a lane.
    under_way: RefCell<[Option<DiskOp>; 2]>,
    lines: RefCell<Arc<Mutex<Vec<u8>>>>,
}

impl Seat {
    pub(super) fn new(at: usize, seed: u64) -> Seat {
        Seat {
            at,
            device: RefCell::default(),
            kept: RefCell::default(),
            unsettled: Cell::new(false),
            slow: Cell::default(),
            trip: Cell::default(),
            tripped: Cell::new(false),
            rot_due: Cell::new(false),
            lost: Cell::new(false),
            due: Cell::new(false),
            mending: Cell::new(false),
            dragged: Cell::new(false),
            runs: Cell::new(true),
            boots: Cell::new(0),
            handle: RefCell::default(),
            ended: RefCell::default(),
            looked: RefCell::default(),
            random: RefCell::new(Random::stream(seed, &format!("disk {at}"))),
            under_way: RefCell::default(),
            lines: RefCell::default(),
        }
    }

    /// How it is called, by its host, too.
    pub(super) fn name(&self) -> String {
        name(self.at)
    }

    /// Draws from the disk's own chance.
    pub(super) fn chance<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    /// The disk begins an operation in a lane, or has none there any more.
    pub(super) fn begins(&self, lane: Lane, op: Option<DiskOp>) {
        let lane = usize::from(lane == Lane::Bulk);
        self.under_way.borrow_mut()[lane] = op;
    }

    /// One operation more is about to be carried out; whether the power fails in it.
    pub(super) fn trips(&self) -> bool {
        let left = self.trip.get().map(|left| left - 1);
        self.trip.set(left.filter(|left| *left > 0));
        self.tripped.set(self.tripped.get() || left == Some(0));
        self.tripped.get()
    }

    /// The process is gone; `power` says how.
    pub(super) fn loses(&self, power: bool) {
        self.handle.take();
        self.looked.take();
        self.ended.take();
        self.tripped.set(false);
        self.mending.set(false);
        self.trip.set(None);
        let under_way: Vec<DiskOp> = self.under_way.take().into_iter().flatten().collect();
        let mut device = self.device.borrow_mut();
        match power {
            true => self.chance(|random| device.lose_power(&under_way, random)),
            false => device.lose_process(),
        }
    }

    /// The lines that the server has written since the last look.
    pub(super) fn lines(&self) -> String {
        let lines = self.lines.borrow();
        let bytes = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One life of the server, as production runs it.
    pub(super) async fn live(self: Rc<Seat>, stage: Rc<Stage>, config: Config, net: WorldNet) {
        let (seat, boot) = (Rc::clone(&self), self.boots.get());
        self.boots.set(boot + 1);
        let clock = match stage.leak {
            Some(Leak::Date) => Clock::machine(),
            _ => Clock::simulated(WORLD_EPOCH + Duration::from_nanos(stage.now.get().0)),
        };
        let (journal, lines) = Journal::memory(Level::Debug, LogFormat::Json, clock);
        self.lines.replace(lines);
        let chance = format!("core {} {boot}", self.at);
        let seed = match stage.leak {
            Some(Leak::Chance) => entropy(),
            _ => Random::stream(stage.knobs.seed, &chance).number(),
        };
        let disk = WorldDisk::new(Rc::clone(&stage), seat);
        let init = InitDaemon::none(&journal);
        let world = World { net, disk, clock, seed, journal, init };
        let life = async {
            let running = start(config, world).await?;
            self.handle.replace(Some(running.handle().clone()));
            running.ended().await
        };
        let ended = life.await.map_or_else(|why| why.to_string(), |()| String::from("done"));
        self.ended.replace(Some(ended));
        // The host is crashed for that, as soon as it is seen: what it has open goes then.
        std::future::pending().await
    }
}

/// What a member is told: what etcd would be told by its flags.
pub(super) fn config(at: usize, knobs: &Knobs) -> Config {
    let members = usize::try_from(knobs.members).expect("clusters are small");
    let listed = |at: usize| (id(at), listed(at));
    let first = at < members;
    let cluster =
        Cluster { id: CLUSTER, members: (0..members).map(listed).collect(), ..Cluster::default() };
    Config {
        data_dir: PathBuf::from(name(at)),
        wal_dir: None,
        listen_client: vec![listen(at, 2379)],
        listen_client_http: Vec::new(),
        listen_metrics: Vec::new(),
        listen_peer: vec![listen(at, 2380)],
        initial: if first { Initial::New } else { Initial::Existing },
        self_repair: true,
        checks: Checks::default(),
        advertise_peer_urls: vec![url(at, 2380)],
        node: member::config(at, knobs),
        cluster,
        files: Options {
            segment_bytes: knobs.segment,
            segments_kept: 2,
            state_bytes: 64 << 10,
            piece_bytes: 16 << 10,
            ..Options::default()
        },
        shards: None,
        limits: Limits {
            keepalive_interval: Duration::from_secs(1),
            keepalive_timeout: Duration::from_secs(1),
            watch_progress: Duration::from_millis(500),
            ..Limits::default()
        },
        log: Log::default(),
        shown: Vec::new(),
        drain: Duration::from_secs(1),
        backend: Backend::default(),
        recording: None,
    }
}

fn listed(at: usize) -> Member {
    Member { name: name(at), peer_urls: vec![url(at, 2380)], ..Member::default() }
}

fn listen(at: usize, port: u16) -> Listen {
    Listen { url: url(at, port), addr: ([0, 0, 0, 0], port).into() }
}
