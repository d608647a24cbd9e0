//! The walk: one plan, from its first event to its verdict.
//!
//! ```text
//!   queue ─► Happening ─► member.rs  a member is turned: step, drain, disk
//!                     ├─► bus.rs     a message arrives, or does not
//!                     ├─► client.rs  a client asks, hears, loses patience
//!                     └─► faults.rs  the plan's next action; roster.rs, who belongs
//! ```
//!
//! First the storm, for as long as the plan says; then everything is healed, and in the quiet
//! phase the cluster must become live again: everybody answered, all members equal, all leases
//! that nobody renews gone, all watchers at the head.

mod bus;
mod client;
mod clock;
mod faults;
mod film;
mod lanes;
mod member;
mod queue;
mod quiet;
mod repair;
mod roster;
mod serve;
mod start;
mod tape;
mod watcher;

use crate::history::History;
use crate::oracle::canon::Canon;
use crate::oracle::promise::Leaders;
use crate::oracle::quorum::Quorum;
use crate::oracle::storm::Events;
use crate::oracle::versions::Versions;
use crate::oracle::{Broken, equal, lease, linear, search, watch};
use crate::plan::Plan;
use crate::random::Random;
use crate::seen::{Place, Places};
use crate::trace::Trace;
use bus::Bus;
use client::Client;
use keel_core::disk::Lane;
use keel_core::watch::StreamId;
use keel_core::{Instant, NodeId};
use member::Member;
use queue::Queue;
use std::rc::Rc;
use std::time::Duration;
use tape::Shelf;
use watcher::Watcher;

pub use film::{Content, Fate, Role, Sent, Stand, Timeline, walk_filmed};
pub use tape::Tape;

/// Every so many-th seed's history is searched for an order, too.
const SAMPLE: u64 = 16;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The rule that was broken, if one was.
    pub broken: Option<Broken>,
    /// What happened, line by line, as a person tells it.
    pub story: Vec<String>,
    /// A digest of everything that happened: equal runs, equal digests.
    pub trace: u64,
    /// How long it lasted, simulated.
    pub lasted: Duration,
    /// How many things happened.
    pub events: u64,
    /// Where it has been.
    pub places: Places,
}

/// Something that happens at a moment.
#[derive(Debug)]
enum Happening {
    /// A member's timer.
    Wake { member: usize, boot: u64 },
    /// The operation at the head of a lane is done.
    Disk { member: usize, boot: u64, lane: Lane },
    /// Something arrives at a member.
    Arrive { to: usize, what: bus::Parcel },
    /// It had arrived while the process stood still.
    Handed { to: usize, what: bus::Parcel },
    /// A client's next operation.
    Act { client: usize },
    /// A client's request reaches a member.
    Request { client: usize, operation: usize, member: usize },
    /// An answer reaches its client.
    Answer { client: usize, operation: usize, outcome: crate::history::Outcome },
    /// A client gives an operation up.
    Patience { client: usize, operation: usize },
    /// A member whose disk is damaged takes its next step back.
    Repair { member: usize },
    /// A watcher looks whether its stream still lives.
    Watch { watcher: usize },
    /// Nobody hears a member any more.
    Silence { member: usize },
    /// A watcher has read an answer.
    Took { watcher: usize, stream: StreamId, bytes: usize },
    /// The plan's next action.
    Action { number: usize },
}

/// Runs a plan.
#[must_use]
pub fn walk(plan: &Plan) -> Verdict {
    run(&mut World::new(plan.clone()))
}

/// Runs a plan, and writes down what each member takes in, life by life.
#[must_use]
pub fn walk_recorded(plan: &Plan) -> (Verdict, Vec<Tape>) {
    let shelf = Shelf::default();
    let verdict = run(&mut World { shelf: Some(Rc::clone(&shelf)), ..World::new(plan.clone()) });
    (verdict, shelf.take())
}

fn run(world: &mut World) -> Verdict {
    let broken = world.live().err();
    world.verdict(broken)
}

/// Everything that there is.
struct World {
    plan: Plan,
    now: Instant,
    queue: Queue<Happening>,
    members: Vec<Member>,
    bus: Bus,
    clients: Vec<Client>,
    watchers: Vec<Watcher>,
    disks: Random,
    history: History,
    canon: Canon,
    versions: Versions,
    leaders: Leaders,
    quorum: Quorum,
    next_ticket: u64,
    next_lease: i64,
    /// Where lives are kept that are written down, if they are.
    shelf: Option<Shelf>,
    /// Where it is taken down how the run looks, if it is.
    film: Option<Timeline>,
    /// Whether the storm is over.
    quiet: bool,
    /// Whoever is elected next is silenced, so long after that.
    doom: Option<Duration>,
    story: Vec<String>,
    trace: Trace,
    events: Events,
    places: Places,
}

impl World {
    fn new(plan: Plan) -> World {
        let knobs = &plan.knobs;
        let seed = knobs.seed;
        let size = knobs.members + knobs.spare;
        let size = usize::try_from(size).expect("clusters are small");
        let members = (0..size).map(|at| Member::new(at, knobs)).collect();
        let clients = (0..knobs.clients).map(|number| Client::new(seed, number)).collect();
        let watchers = (0..knobs.watchers).map(|number| Watcher::new(seed, number)).collect();
        World {
            now: Instant(0),
            queue: Queue::new(),
            members,
            bus: Bus::new(knobs),
            clients,
            watchers,
            disks: Random::stream(seed, "disk"),
            history: History::default(),
            canon: Canon::default(),
            versions: Versions::default(),
            leaders: Leaders::default(),
            quorum: Quorum::default(),
            next_ticket: 1,
            next_lease: 1,
            shelf: None,
            film: None,
            quiet: false,
            doom: None,
            story: Vec::new(),
            trace: Trace::default(),
            events: Events::default(),
            places: Places::default(),
            plan,
        }
    }

    fn live(&mut self) -> Result<(), Broken> {
        for member in 0..self.first_members() {
            self.start_again(member)?;
        }
        for client in 0..self.clients.len() {
            self.soon(Duration::from_millis(10), Happening::Act { client });
        }
        for watcher in 0..self.watchers.len() {
            self.soon(Duration::from_millis(10), Happening::Watch { watcher });
        }
        for number in 0..self.plan.actions.len() {
            let at = Instant(0).after(self.plan.actions[number].0);
            self.at(at, Happening::Action { number });
        }
        self.run_until(Instant(0).after(self.plan.knobs.run))?;
        self.calm_down()?;
        self.judge()
    }

    /// What there is to say of a run that is over.
    fn verdict(&mut self, broken: Option<Broken>) -> Verdict {
        let ending = match &broken {
            None => String::from("ok"),
            Some(broken) => format!("broken {broken}"),
        };
        self.tell(&ending);
        Verdict {
            broken,
            story: std::mem::take(&mut self.story),
            trace: self.trace.0,
            lasted: self.now.since(Instant(0)),
            events: self.events.0,
            places: std::mem::take(&mut self.places),
        }
    }

    /// Lets happen what is due until then.
    fn run_until(&mut self, end: Instant) -> Result<(), Broken> {
        self.film_stands();
        while let Some((at, happening)) = self.queue.pop_until(end) {
            self.now = at;
            self.events.happen(at)?;
            self.mark(at.0);
            self.happen(happening)?;
            self.film_stands();
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        match happening {
            Happening::Wake { member, boot } => self.woken(member, boot),
            Happening::Disk { member, boot, lane } => self.disk_done(member, boot, lane),
            Happening::Arrive { to, what } => self.arrived(to, what),
            Happening::Handed { to, what } => self.handed(to, what),
            Happening::Act { client } => {
                self.act(client);
                Ok(())
            }
            Happening::Request { client, operation, member } => {
                self.film_request(operation, member);
                self.request(client, operation, member)
            }
            Happening::Answer { client, operation, outcome } => {
                self.answered(client, operation, outcome);
                Ok(())
            }
            Happening::Patience { client, operation } => {
                self.give_up(client, operation);
                Ok(())
            }
            Happening::Repair { member } => self.repair(member),
            Happening::Watch { watcher } => self.look_at_stream(watcher),
            Happening::Silence { member } => {
                if !self.quiet {
                    self.silence(member);
                }
                Ok(())
            }
            Happening::Took { watcher, stream, bytes } => self.took(watcher, stream, bytes),
            Happening::Action { number } => self.act_on(number),
        }
    }

    /// The oracles that look at everything, once all is over.
    fn judge(&mut self) -> Result<(), Broken> {
        for _ in 0..linear::check(&self.history, &self.canon)? {
            self.places.saw(Place::SilentSuccess);
        }
        if self.plan.knobs.seed.is_multiple_of(SAMPLE) {
            search::check(&self.history)?;
        }
        self.versions.check()?;
        lease::check(&self.history, &self.canon, self.plan.knobs.skew)?;
        for watcher in &self.watchers {
            for seen in watcher.ear.all() {
                watch::check(seen, &self.canon, &self.history)?;
            }
        }
        equal::check(&self.canon, &self.stores())?;
        let line = format!(
            "{} operations, {} of them answered, revision {}",
            self.history.0.len(),
            self.history.successes(),
            self.canon.head()
        );
        self.tell(&line);
        Ok(())
    }

    /// Something will happen then.
    fn at(&mut self, at: Instant, happening: Happening) {
        self.queue.push(at.max(self.now), happening);
    }

    fn soon(&mut self, after: Duration, happening: Happening) {
        self.at(self.now.after(after), happening);
    }

    /// Feeds the digest of everything.
    fn mark(&mut self, fact: u64) {
        self.trace.mark(fact);
    }

    /// A line of the story.
    fn tell(&mut self, line: &str) {
        let millis = self.now.0 / 1_000_000;
        self.story.push(format!("{}.{:03} {line}", millis / 1000, millis % 1000));
        self.trace.text(line);
    }

    /// How members are called.
    fn name(member: usize) -> String {
        crate::member::name(member)
    }

    fn id(member: usize) -> NodeId {
        crate::member::id(member)
    }

    fn place(id: NodeId) -> usize {
        usize::try_from(id.0).expect("ids are small") - 1
    }
}
