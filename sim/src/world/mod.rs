//! The world: whole servers as production runs them, on virtual time in one thread. Only the
//! network, the disk, the clock and the seed are the simulator's.
//!
//! ```text
//!   plan ─► faults ──► turmoil: hosts n1.. (runtime-tokio's start, WorldNet, WorldDisk)
//!                               hosts c1.. and w1.. (clients and watchers: gRPC over WorldNet)
//!                │                 │ after each step: eyes.rs reads what is applied, and the log
//!                ▼                 ▼
//!              Seats ◄────────── Stage: history, canon, story, trace ─► oracles ─► Verdict
//! ```
//!
//! The walk finds most of what is wrong with the core, a hundred times faster; the world is for what
//! the walk leaves out: services, connections, deadlines, links to peers, recovery, the driver's loop.
//! turmoil's TCP sends nothing again: what a cut swallowed is missing for ever, so that a connection
//! over it is silent, and everybody here must notice that by himself.

mod client;
mod disk;
mod eyes;
mod faults;
mod line;
mod links;
mod net;
mod outside;
mod panics;
mod quiet;
mod seat;
mod stage;
mod watcher;

use crate::ear::Ear;
use crate::explore::words;
use crate::oracle::promise::Leaders;
use crate::oracle::versions::Versions;
use crate::oracle::{Broken, equal, lease, linear, search, watch};
use crate::plan::Plan;
use crate::random::Random;
use crate::seen::Place;
use crate::walk::{Timeline, Verdict};
use client::Client;
use keel_core::Instant;
use links::Links;
use net::WorldNet;
pub use outside::Leak;
use outside::Patience;
use seat::Seat;
use stage::Stage;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};
use watcher::Watcher;

/// When every simulated run begins.
const WORLD_EPOCH: Duration = Duration::from_secs(1_787_238_795);
/// How far time goes in a step.
const STEP: Duration = Duration::from_millis(1);
/// What a thread's stack may take: a call that calls itself must be told from one that is deep.
const STACK: usize = 256 << 20;
/// Every so many-th seed's history is searched for an order, too.
const SAMPLE: u64 = 16;

/// Runs a plan, on a thread of its own: nothing that a thread keeps reaches the next run.
#[must_use]
pub fn world(plan: &Plan) -> Verdict {
    on_a_thread(plan, None).0
}

/// The same, with how it looked: messages between members are bytes here, and are not in it.
#[must_use]
pub fn world_filmed(plan: &Plan) -> (Verdict, Timeline) {
    on_a_thread(plan, None)
}

/// Runs a plan twice: equal plans give equal runs, down to the bytes that pass.
#[must_use]
pub fn world_twice(plan: &Plan, leak: Option<Leak>) -> Verdict {
    let ((mut one, _), (other, _)) = (on_a_thread(plan, leak), on_a_thread(plan, leak));
    if (one.trace, one.events) != (other.trace, other.events) {
        let mut lines = one.story.iter().zip(&other.story);
        let line = lines.find(|(one, other)| one != other);
        let what = match line {
            Some((one, other)) => format!("once {one:?}, and then {other:?}"),
            None => String::from("other bytes pass in an equal story"),
        };
        one.broken = Some(Broken::new("determinism", what));
    }
    one
}

fn on_a_thread(plan: &Plan, leak: Option<Leak>) -> (Verdict, Timeline) {
    panics::hear();
    let plan = plan.clone();
    let thread = thread::Builder::new().stack_size(STACK);
    let run = move || {
        let mut world = World::new(plan, leak);
        let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
        let broken = match lived {
            Ok(lived) => lived.err(),
            Err(panic) => {
                let said = Broken::new("assertion", words(&*panic));
                Some(world.stage.check().err().unwrap_or(said))
            }
        };
        (world.verdict(broken), world.stage.film())
    };
    let run = thread.spawn(run).expect("the system gives a thread");
    run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Everything that there is.
struct World {
    plan: Plan,
    sim: turmoil::Sim<'static>,
    stage: Rc<Stage>,
    seats: Vec<Rc<Seat>>,
    /// How often each client was answered since the storm is over.
    successes: Vec<Rc<Cell<u64>>>,
    watchers: Vec<Rc<RefCell<Ear>>>,
    links: Links,
    /// How many orders were given.
    operators: u64,
    leaders: Leaders,
    versions: Versions,
    patience: Patience,
}

impl World {
    fn new(plan: Plan, leak: Option<Leak>) -> World {
        let knobs = plan.knobs.clone();
        let stage = Rc::new(Stage::new(knobs.clone(), leak));
        let mut sim = turmoil::Builder::new()
            .epoch(UNIX_EPOCH + WORLD_EPOCH)
            .rng_seed(Random::stream(knobs.seed, "network").number())
            .tick_duration(STEP)
            .simulation_duration(Duration::MAX)
            .min_message_latency(knobs.delay / 2)
            .max_message_latency(knobs.delay / 2 + knobs.delay * 8)
            .tcp_capacity(4096)
            .build();
        let size = |count: u64| usize::try_from(count).expect("clusters are small");
        let members = size(knobs.members);
        let seats: Vec<Rc<Seat>> =
            (0..members).map(|at| Rc::new(Seat::new(at, knobs.seed))).collect();
        for seat in &seats {
            let (stage, seat) = (Rc::clone(&stage), Rc::clone(seat));
            sim.host(seat.name(), move || {
                let config = seat::config(seat.at, &stage.knobs);
                let net = WorldNet { stage: Rc::clone(&stage), host: seat.at as u64 };
                let (runs, seat, stage) = (seat.runs.get(), Rc::clone(&seat), Rc::clone(&stage));
                async move {
                    match runs {
                        true => seat.live(stage, config, net).await,
                        false => std::future::pending().await,
                    }
                    Ok(())
                }
            });
        }
        let net = |host| WorldNet { stage: Rc::clone(&stage), host };
        let mut successes = Vec::new();
        for number in 0..size(knobs.clients) {
            let answered = Rc::new(Cell::new(0));
            let client = Client {
                stage: Rc::clone(&stage),
                net: net(100 + number as u64),
                number,
                members,
                successes: Rc::clone(&answered),
            };
            sim.client(format!("c{}", number + 1), async move {
                client.live().await;
                Ok(())
            });
            successes.push(answered);
        }
        let mut watchers = Vec::new();
        for number in 0..size(knobs.watchers) {
            let ear = Rc::new(RefCell::new(Ear::new(knobs.seed, number as u64)));
            let watcher = Watcher {
                stage: Rc::clone(&stage),
                net: net(200 + number as u64),
                number,
                members,
                ear: Rc::clone(&ear),
            };
            sim.client(format!("w{}", number + 1), async move {
                watcher.live().await;
                Ok(())
            });
            watchers.push(ear);
        }
        World {
            plan,
            sim,
            stage,
            seats,
            successes,
            watchers,
            links: Links::default(),
            operators: 0,
            leaders: Leaders::default(),
            versions: Versions::default(),
            patience: Patience::new(),
        }
    }

    fn live(&mut self) -> Result<(), Broken> {
        for (at, action) in self.plan.actions.clone() {
            self.run_until(Instant(0).after(at.min(self.plan.knobs.run)))?;
            self.act(&action);
        }
        self.run_until(Instant(0).after(self.plan.knobs.run))?;
        self.calm_down()?;
        self.judge()
    }

    /// Lets time pass until then.
    fn run_until(&mut self, end: Instant) -> Result<(), Broken> {
        while self.stage.now.get() < end {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Broken> {
        let stepped = self.sim.step();
        self.stage.check()?;
        if let Some(said) = panics::take() {
            return Err(Broken::new("assertion", said));
        }
        stepped.map_err(|error| Broken::new("assertion", error.to_string()))?;
        self.stage.now.set(Instant(0).after(self.sim.elapsed()));
        self.look()?;
        if self.patience.is_over() {
            return Err(Broken::new("storm", "the run takes too long"));
        }
        Ok(())
    }

    /// The oracles that look at everything, once all is over.
    fn judge(&mut self) -> Result<(), Broken> {
        let stage = Rc::clone(&self.stage);
        let (history, canon) = (stage.history.borrow(), stage.canon.borrow());
        for _ in 0..linear::check(&history, &canon)? {
            stage.saw(Place::SilentSuccess);
        }
        if self.plan.knobs.seed.is_multiple_of(SAMPLE) {
            search::check(&history)?;
        }
        self.versions.check()?;
        lease::check(&history, &canon, 0)?;
        for ear in &self.watchers {
            for seen in ear.borrow().all() {
                watch::check(seen, &canon, &history)?;
            }
        }
        equal::check(&canon, &self.stores())?;
        let line = format!(
            "{} operations, {} of them answered, revision {}",
            history.0.len(),
            history.successes(),
            canon.head()
        );
        stage.tell(&line);
        Ok(())
    }

    /// What there is to say of a run that is over.
    fn verdict(&mut self, broken: Option<Broken>) -> Verdict {
        let ending = match &broken {
            None => String::from("ok"),
            Some(broken) => format!("broken {broken}"),
        };
        self.stage.tell(&ending);
        let lasted = self.stage.now.get().since(Instant(0));
        let (story, trace, events, places) = self.stage.summary();
        Verdict { broken, story, trace, lasted, events, places }
    }
}
