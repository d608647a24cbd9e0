//! A member's disk under the shipped runtime: the simulated device, one operation after the other in
//! each lane, each in its time.

use super::seat::Seat;
use super::stage::Stage;
use crate::device::Fault;
use crate::oracle::Broken;
use crate::seen::Place;
use bytes::Bytes;
use keel_core::Plan;
use keel_core::disk::{DiskOp, File, Lane};
use keel_runtime_tokio::disk::{Completion, Disk, DiskFailure};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// The system's number for a device that failed.
const EIO: i32 = 5;
/// How often a member may come to look at its disk in one moment: more is a member that asks itself
/// without end, and would stop the world's time.
const LOOKS: u64 = 5000;

/// The disk of one life.
pub(super) struct WorldDisk {
    stage: Rc<Stage>,
    seat: Rc<Seat>,
    log: Work,
    bulk: Work,
    /// When it was looked at last, and how often since then.
    looked: Cell<(Instant, u64)>,
}

/// What one lane has to do.
#[derive(Default)]
struct Work {
    plans: VecDeque<(u64, VecDeque<DiskOp>)>,
    /// When the operation at the head will be done.
    due: Option<Instant>,
    /// Whether one failed: then nothing succeeds any more.
    failed: bool,
}

impl WorldDisk {
    pub(super) fn new(stage: Rc<Stage>, seat: Rc<Seat>) -> WorldDisk {
        let (log, bulk) = (Work::default(), Work::default());
        WorldDisk { stage, seat, log, bulk, looked: Cell::new((Instant::now(), 0)) }
    }

    fn work(&mut self, lane: Lane) -> &mut Work {
        match lane {
            Lane::Log => &mut self.log,
            Lane::Bulk => &mut self.bulk,
        }
    }

    /// How long the operation at a lane's head takes.
    fn takes(&self, op: Option<&DiskOp>) -> Duration {
        match op {
            Some(DiskOp::Sync { .. }) => {
                let knobs = &self.stage.knobs;
                self.seat.slow.get() + self.seat.chance(|random| random.span(knobs.sync))
            }
            Some(_) | None => Duration::ZERO,
        }
    }

    /// Sets a lane's clock for its next operation, if it has one.
    fn begin(&mut self, lane: Lane) {
        let work = self.work(lane);
        if work.due.is_some() {
            return;
        }
        let Some((_, ops)) = work.plans.front() else { return };
        let op = ops.front().cloned();
        let due = Instant::now() + self.takes(op.as_ref());
        self.work(lane).due = Some(due);
        self.seat.begins(lane, op);
    }

    /// Carries out what is due in a lane; gives the plan that ended with it.
    fn step(&mut self, lane: Lane) -> Option<Completion> {
        let (stage, seat) = (Rc::clone(&self.stage), Rc::clone(&self.seat));
        let work = self.work(lane);
        work.due = None;
        let failed = work.failed;
        let (plan, ops) = work.plans.front_mut().expect("only a lane at work has something due");
        let plan = *plan;
        let result = match ops.pop_front() {
            _ if failed => Err(keel_proto::body::disk::after_a_failure()),
            Some(op) => carry_out(&stage, &seat, &op),
            None => Ok(()),
        };
        seat.begins(lane, None);
        let over = result.is_err() || ops.is_empty();
        work.failed |= result.is_err();
        if over {
            work.plans.pop_front();
        }
        self.begin(lane);
        over.then_some(Completion { plan, lane, result })
    }

    /// Counts how often one moment sees it.
    fn look(&self) {
        let now = Instant::now();
        let (before, looks) = self.looked.get();
        let looks = if before == now { looks + 1 } else { 0 };
        self.looked.set((now, looks));
        if looks > LOOKS {
            let name = self.seat.name();
            let what = format!("{name} is turned {LOOKS} times in one moment");
            self.stage.broke(Broken::new("storm", what.as_str()));
            // The run is over, but for what this member would go on with.
            panic!("{what}");
        }
    }
}

fn carry_out(stage: &Stage, seat: &Seat, op: &DiskOp) -> Result<(), DiskFailure> {
    let mut device = seat.device.borrow_mut();
    if let DiskOp::Sync { .. } = op
        && seat.chance(|random| random.happens(stage.knobs.write_back))
    {
        seat.chance(|random| device.write_back_early(random));
    }
    let (action, source) = match device.carry_out(op) {
        Ok(()) => return Ok(()),
        Err(Fault::Full) => {
            stage.saw(Place::DiskFull);
            ("allocate", io::ErrorKind::StorageFull.into())
        }
        Err(Fault::Broken) => {
            stage.saw(Place::DiskFailed);
            ("fdatasync", io::Error::from_raw_os_error(EIO))
        }
    };
    Err(DiskFailure { action, path: name(op), source })
}

fn name(op: &DiskOp) -> String {
    let (DiskOp::Allocate { file, .. }
    | DiskOp::Write { file, .. }
    | DiskOp::Sync { file }
    | DiskOp::Publish { file }
    | DiskOp::Remove { file }) = op;
    file.name()
}

impl Disk for WorldDisk {
    fn list(&mut self) -> Result<Vec<(File, u64)>, DiskFailure> {
        Ok(self.seat.device.borrow().list())
    }

    fn read(&mut self, file: File, len: u64) -> Result<Bytes, DiskFailure> {
        let device = self.seat.device.borrow();
        match device.list().iter().find(|(listed, _)| *listed == file) {
            Some((_, there)) if *there >= len => Ok(device.read(file, 0, len)),
            _ => {
                let source = io::ErrorKind::UnexpectedEof.into();
                Err(DiskFailure { action: "read", path: file.name(), source })
            }
        }
    }

    fn submit(&mut self, plan: Plan) {
        self.work(plan.lane).plans.push_back((plan.id, plan.ops.into()));
        self.begin(plan.lane);
    }

    fn set_aside(&mut self) -> Result<String, DiskFailure> {
        let mut device = self.seat.device.borrow_mut();
        *device = device.emptied();
        self.seat.unsettled.set(true);
        Ok(String::from("aside"))
    }

    fn is_unsettled(&self) -> bool {
        self.seat.unsettled.get()
    }

    fn settled(&mut self) -> Result<(), DiskFailure> {
        self.seat.unsettled.set(false);
        Ok(())
    }

    async fn done(&mut self) -> Completion {
        self.look();
        loop {
            let lanes = [(self.log.due, Lane::Log), (self.bulk.due, Lane::Bulk)];
            let next = lanes.into_iter().filter_map(|(due, lane)| Some((due?, lane)));
            let Some((due, lane)) = next.min_by_key(|(due, _)| *due) else {
                return std::future::pending().await;
            };
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            if self.seat.trips() {
                // The power fails in this operation: nothing comes of it any more.
                return std::future::pending().await;
            }
            if let Some(end) = self.step(lane) {
                return end;
            }
        }
    }
}
