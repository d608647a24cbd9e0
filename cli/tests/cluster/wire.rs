//! What lies between the members of a network: one thread that takes packets from their devices
//! and carries them on, late, some of them lost, or not at all. Which are lost follows from the
//! seed and the order in which they come.

use keel_core::rng::Rng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tun_rs::SyncDevice;

/// The largest packet of a device.
pub(crate) const MTU: u16 = 1500;
/// Packets under way, at most; a switch drops what comes beyond its memory, too.
const UNDER_WAY: usize = 10_000;
/// Packets that are taken from one device before the others have their turn.
const TURN: usize = 64;

/// The address of a network's n-th end.
pub(crate) fn address(end: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(end + 1).expect("a network of a test is small"))
}

/// What happens to packets.
#[derive(Debug, Default)]
struct Weather {
    /// From whom nothing arrives at whom.
    silent: BTreeSet<(usize, usize)>,
    delay: Duration,
    /// Of a hundred packets, so many are lost.
    loss: u64,
    /// So many were.
    lost: u64,
}

/// A running wire; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    weather: Arc<Mutex<Weather>>,
    /// The carrier hears from its other end that this one is gone.
    line: Option<UnixStream>,
    carrier: Option<JoinHandle<()>>,
}

impl Wire {
    /// Carries packets between these devices, whose addresses are [`address`]es in this order.
    pub(crate) fn between(ends: Vec<SyncDevice>, seed: u64) -> io::Result<Wire> {
        for end in &ends {
            end.set_nonblocking(true)?;
        }
        let weather = Arc::<Mutex<Weather>>::default();
        let (line, other) = UnixStream::pair()?;
        let carrier = Carrier {
            ends,
            weather: Arc::clone(&weather),
            rng: Rng::new(seed),
            late: BTreeMap::new(),
            taken: 0,
        };
        let carrier = std::thread::spawn(move || carrier.run(&other));
        Ok(Wire { weather, line: Some(line), carrier: Some(carrier) })
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().expect("nobody panics who holds it")
    }

    /// What one end sends to another does not arrive; the other way it does.
    pub(crate) fn silence(&self, from: usize, to: usize) {
        self.weather().silent.insert((from, to));
    }

    /// It arrives again.
    pub(crate) fn hear(&self, from: usize, to: usize) {
        self.weather().silent.remove(&(from, to));
    }

    /// From now on every packet takes so long, and so many of a hundred are lost.
    pub(crate) fn disturb(&self, delay: Duration, loss: u64) {
        let mut weather = self.weather();
        (weather.delay, weather.loss) = (delay, loss);
    }

    /// How many packets chance has lost.
    pub(crate) fn lost(&self) -> u64 {
        self.weather().lost
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.line.take());
        let ended = self.carrier.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_none_or(|ended| ended.is_ok()), "the wire broke");
        }
    }
}

struct Carrier {
    ends: Vec<SyncDevice>,
    weather: Arc<Mutex<Weather>>,
    rng: Rng,
    /// By when they are due and, of equals, by when they came: to whom, and what.
    late: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    taken: u64,
}

impl Carrier {
    fn run(mut self, line: &UnixStream) {
        while !self.wait(line) {
            for from in 0..self.ends.len() {
                self.take(from);
            }
            self.deliver();
        }
    }

    /// Waits until a packet comes or is due; `true` when nobody holds the wire any more.
    fn wait(&self, line: &UnixStream) -> bool {
        let mut fds = vec![PollFd::new(line, PollFlags::IN)];
        fds.extend(self.ends.iter().map(|end| PollFd::new(end, PollFlags::IN)));
        let due = self.late.first_key_value().map(|((due, _), _)| {
            let left = due.saturating_duration_since(Instant::now());
            Timespec::try_from(left).expect("a delay is short")
        });
        match poll(&mut fds, due.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => !fds[0].revents().is_empty(),
            Err(error) => panic!("the devices cannot be waited for: {error}"),
        }
    }

    /// Takes what one end sends.
    fn take(&mut self, from: usize) {
        let mut packet = [0; MTU as usize];
        for _ in 0..TURN {
            // A device whose namespace is gone gives nothing, as one that is idle.
            let Ok(len) = self.ends[from].recv(&mut packet) else { return };
            let Some(to) = self.addressee(&packet[..len]) else { continue };
            let mut weather = self.weather.lock().expect("nobody panics who holds it");
            let lost = self.rng.below(100) < weather.loss;
            weather.lost += u64::from(lost);
            if lost || weather.silent.contains(&(from, to)) || self.late.len() == UNDER_WAY {
                continue;
            }
            self.taken += 1;
            let due = Instant::now() + weather.delay;
            self.late.insert((due, self.taken), (to, packet[..len].to_vec()));
        }
    }

    /// To which end a packet goes; none for what is no IPv4 between two of them.
    fn addressee(&self, packet: &[u8]) -> Option<usize> {
        let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
        let to = (0..self.ends.len()).find(|end| address(*end).octets() == to);
        to.filter(|_| packet[0] >> 4 == 4)
    }

    /// Hands over what is due. What a device does not take is lost, as on a wire.
    fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.late.first_entry()
            && first.key().0 <= now
        {
            let (to, packet) = first.remove();
            let _ = self.ends[to].send(&packet);
        }
    }
}
