//! From a seed to a plan: each kind of trouble is in or out first, then so hard, so often. What
//! happens is aimed at roles, which are found out when it happens: the leader is hit as the leader.

use crate::plan::{Action, Knobs, Level, Plan, Target};
use crate::random::Random;
use std::time::Duration;

/// Draws the plan of a seed.
#[must_use]
pub fn draw(level: Level, seed: u64) -> Plan {
    let mut random = Random::stream(seed, "nemesis");
    let mut knobs = knobs(seed, &mut random);
    if level == Level::World {
        knobs = worldly(knobs);
    }
    let end = knobs.run;
    let mut plan = Plan { level, ..Plan::calm(knobs) };
    let all: Vec<Kind> = KINDS.into_iter().filter(|kind| kind.is_on(level)).collect();
    let mut kinds: Vec<Kind> = all.iter().copied().filter(|_| random.happens(400)).collect();
    if kinds.is_empty() {
        kinds.push(*random.pick(&all));
    }
    let pause = Duration::from_millis(*random.pick(&[50, 200, 600, 1500]));
    let mut at = plan.knobs.tick * 12;
    while at < end {
        let kind = *random.pick(&kinds);
        let lasts = random.span(plan.knobs.tick * 10);
        for (after, action) in kind.actions(&plan.knobs, lasts, &mut random) {
            plan.actions.push((whole(at + after), action));
        }
        at += random.span(pause) + if random.happens(500) { lasts } else { Duration::ZERO };
    }
    // In the end a minority may be out of reach for ever: the others must do without it.
    let rots = kinds.iter().any(|kind| matches!(kind, Kind::Rot | Kind::Oblivion));
    if random.happens(150) && plan.knobs.members > 2 && plan.knobs.spare == 0 && !rots {
        for _ in 0..(plan.knobs.members - 1) / 2 {
            let number = random.between(1, plan.knobs.members);
            let given_up = Target::Member(usize::try_from(number).expect("clusters are small"));
            plan.actions.push((end - plan.knobs.tick, Action::Abandon(given_up)));
        }
    }
    plan.actions.sort_by_key(|(at, _)| *at);
    plan
}

/// In whole microseconds, as plans are written.
fn whole(span: Duration) -> Duration {
    Duration::from_micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

fn knobs(seed: u64, random: &mut Random) -> Knobs {
    let mut sometimes = |per_mille: u64, values: &[u64]| match random.happens(per_mille) {
        true => *random.pick(values),
        false => values[0],
    };
    let micros = Duration::from_micros;
    let tick = micros(sometimes(700, &[100_000, 10_000, 20_000, 50_000]));
    Knobs {
        seed,
        members: sometimes(400, &[3, 5, 1, 7, 2, 4]),
        spare: sometimes(500, &[0, 1, 2, 3]),
        strict: sometimes(800, &[1, 0]),
        clients: sometimes(500, &[3, 1, 8]),
        watchers: sometimes(500, &[1, 0, 3]),
        linger: micros(sometimes(300, &[0, 20_000, 500_000])),
        keys: sometimes(500, &[3, 1, 10]),
        think: micros(sometimes(600, &[20_000, 1000, 5000, 100_000])),
        reads: sometimes(500, &[400, 0, 800]),
        leases: sometimes(500, &[50, 0, 300]),
        delay: micros(sometimes(500, &[500, 100, 5000, 20_000])).min(tick / 4),
        drop: sometimes(500, &[0, 5, 50, 200]),
        duplicate: sometimes(400, &[0, 10, 100]),
        straggle: sometimes(400, &[0, 5, 50]),
        queue: sometimes(300, &[0, 2, 20]),
        sync: micros(sometimes(500, &[300, 50, 2000, 10_000])).min(tick / 4),
        write_back: sometimes(400, &[0, 100, 500]),
        checkpoint: sometimes(600, &[200, 5, 20, 1000]),
        catch_up: sometimes(500, &[50, 1, 5, 500]),
        segment: sometimes(500, &[64 << 10, 16 << 10, 256 << 10]),
        skew: sometimes(300, &[0, 20, 200]),
        pre_vote: sometimes(300, &[1, 0]),
        tick,
        ..Knobs::default()
    }
}

/// The same for whole servers, who have fewer knobs, and whose time goes in steps.
fn worldly(knobs: Knobs) -> Knobs {
    let (drop, duplicate, straggle, queue, skew, spare) = (0, 0, 0, 0, 0, 0);
    let tick = knobs.tick.max(Duration::from_millis(20));
    Knobs { tick, drop, duplicate, straggle, queue, skew, spare, ..knobs }
}

/// A kind of trouble.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Split,
    Isolate,
    OneWay,
    Held,
    Murder,
    Assassin,
    Blackout,
    Total,
    Stall,
    SlowDisk,
    BrokenDisk,
    FullDisk,
    Handover,
    Compaction,
    Alone,
    Mayflies,
    Flap,
    Swizzle,
    Gray,
    Drift,
    Trip,
    Rot,
    Arrival,
    Departure,
    Halves,
    Bridge,
    Hidden,
    Oblivion,
}

const KINDS: [Kind; 28] = [
    Kind::Split,
    Kind::Isolate,
    Kind::OneWay,
    Kind::Held,
    Kind::Murder,
    Kind::Assassin,
    Kind::Blackout,
    Kind::Total,
    Kind::Stall,
    Kind::SlowDisk,
    Kind::BrokenDisk,
    Kind::FullDisk,
    Kind::Handover,
    Kind::Compaction,
    Kind::Alone,
    Kind::Mayflies,
    Kind::Flap,
    Kind::Swizzle,
    Kind::Gray,
    Kind::Drift,
    Kind::Trip,
    Kind::Rot,
    Kind::Arrival,
    Kind::Departure,
    Kind::Halves,
    Kind::Bridge,
    Kind::Hidden,
    Kind::Oblivion,
];

impl Kind {
    /// Whether there is such trouble on a level.
    fn is_on(self, level: Level) -> bool {
        match self {
            Kind::Stall | Kind::Mayflies | Kind::Drift | Kind::Arrival | Kind::Departure => {
                level == Level::Core
            }
            Kind::Oblivion => level == Level::World,
            _ => true,
        }
    }

    /// What is done, and how long after the kind's beginning. `lasts` is how long it goes on.
    fn actions(
        self,
        knobs: &Knobs,
        lasts: Duration,
        random: &mut Random,
    ) -> Vec<(Duration, Action)> {
        use Action as A;
        const NOW: Duration = Duration::ZERO;
        let mut member = || {
            let number = random.between(1, knobs.members);
            Target::Member(usize::try_from(number).expect("clusters are small"))
        };
        let (one, other) = (member(), member());
        let role = *random.pick(&[Target::Leader, Target::Follower, one]);
        match self {
            Kind::Split => {
                let cuts = [(NOW, A::Cut(one, other)), (NOW, A::Cut(role, other))];
                cuts.into_iter().chain([(lasts, A::Heal)]).collect()
            }
            Kind::Isolate => vec![(NOW, A::Cut(role, Target::All)), (lasts, A::Heal)],
            Kind::OneWay => {
                let mute = match random.happens(500) {
                    true => A::Mute(role, Target::All),
                    false => A::Mute(Target::All, role),
                };
                vec![(NOW, mute), (lasts, A::Heal)]
            }
            Kind::Held => vec![(NOW, A::Hold(role, Target::All)), (lasts, A::Release)],
            Kind::Murder => vec![(NOW, A::Kill(role)), (lasts, A::Start(Target::All))],
            Kind::Assassin => {
                let soon = random.span(knobs.tick);
                let kill = if random.happens(500) { A::Kill } else { A::PowerOff };
                let steps = [(NOW, kill(Target::Leader)), (knobs.tick * 12, A::Start(Target::All))];
                let again = (knobs.tick * 14 + soon, kill(Target::Leader));
                steps.into_iter().chain([again, (knobs.tick * 30, A::Start(Target::All))]).collect()
            }
            Kind::Blackout => vec![(NOW, A::PowerOff(role)), (lasts, A::Start(Target::All))],
            Kind::Total => {
                let off = if random.happens(500) { A::PowerOff } else { A::Kill };
                vec![(NOW, off(Target::All)), (lasts / 8, A::Start(Target::All))]
            }
            Kind::Stall => vec![(NOW, A::Pause(role, whole(lasts)))],
            Kind::SlowDisk => {
                let slow = whole(random.span(knobs.tick * 4));
                vec![(NOW, A::Slow(role, slow)), (lasts, A::Slow(Target::All, NOW))]
            }
            Kind::BrokenDisk => vec![(NOW, A::Break(role)), (lasts, A::Start(Target::All))],
            Kind::FullDisk => vec![
                (NOW, A::Fill(role)),
                (lasts, A::Free(Target::All)),
                (lasts, A::Start(Target::All)),
            ],
            Kind::Handover => vec![(NOW, A::Transfer(one))],
            Kind::Compaction => vec![(NOW, A::Compact)],
            // Leaders whose entries reach nobody, or nearly: their logs differ, and whoever leads
            // next may be any of them (Raft §5.4.2, figure 8).
            Kind::Mayflies => vec![
                (NOW, A::Doom(NOW)),
                (NOW, A::Mute(Target::Leader, Target::All)),
                (knobs.tick * 30, A::Heal),
                (knobs.tick * 30, A::Doom(whole(random.span(knobs.delay * 2)))),
                (knobs.tick * 60, A::Heal),
            ],
            Kind::Flap => (0..6)
                .flat_map(|nth| {
                    let cut = (lasts * nth / 6, A::Cut(one, other));
                    [cut, (lasts * (2 * nth + 1) / 12, A::Mend(one, other))]
                })
                .collect(),
            // One link after the other goes, and they come back in another order.
            Kind::Swizzle => {
                let number = |nth: u64| usize::try_from(nth % knobs.members + 1);
                let mut order: Vec<Target> = (0..knobs.members)
                    .map(|nth| Target::Member(number(nth).expect("clusters are small")))
                    .collect();
                let parts = 2 * u32::try_from(order.len()).expect("clusters are small");
                let step = lasts / parts;
                let mut actions: Vec<_> = (0..)
                    .zip(&order)
                    .map(|(nth, peer)| (step * nth, A::Cut(role, *peer)))
                    .collect();
                order
                    .rotate_left(usize::try_from(random.below(knobs.members)).expect("it is less"));
                let mends = (parts / 2..).zip(&order);
                actions.extend(mends.map(|(nth, peer)| (step * nth, A::Mend(role, *peer))));
                actions.push((lasts, A::Heal));
                actions
            }
            Kind::Gray => {
                vec![(NOW, A::Drag(role, random.between(5, 200))), (lasts * 2, A::Heal)]
            }
            Kind::Drift => {
                vec![(NOW, A::Drift(role, random.between(1000 - knobs.skew, 1000 + knobs.skew)))]
            }
            Kind::Trip => {
                let nth = random.between(1, 60);
                vec![(NOW, A::Trip(role, nth)), (lasts, A::Start(Target::All))]
            }
            Kind::Rot => vec![
                (NOW, A::Rot(one)),
                (lasts / 4, A::Kill(one)),
                (lasts / 2, A::Start(Target::All)),
            ],
            Kind::Arrival if knobs.spare == 0 => Vec::new(),
            Kind::Arrival => {
                let number = knobs.members + random.between(1, knobs.spare);
                let new = Target::Member(usize::try_from(number).expect("clusters are small"));
                match random.below(3) {
                    0 => vec![(NOW, A::Add(new))],
                    1 => vec![(NOW, A::Teach(new)), (lasts, A::Promote(new))],
                    // It is let in, and somebody dies over it.
                    _ => vec![
                        (NOW, A::Add(new)),
                        (lasts / 50, A::Kill(role)),
                        (lasts, A::Start(Target::All)),
                    ],
                }
            }
            Kind::Departure if knobs.spare == 0 => Vec::new(),
            Kind::Departure => vec![(NOW, A::Remove(role))],
            Kind::Halves | Kind::Bridge => {
                let left = usize::from(matches!(self, Kind::Bridge));
                let (these, those) = halves(knobs.members, left, random);
                let pairs = these.iter().flat_map(|a| those.iter().map(|b| (*a, *b)));
                let cuts = pairs.map(|(a, b)| (NOW, A::Cut(a, b)));
                cuts.chain([(lasts, A::Heal)]).collect()
            }
            // Its peers reach it, and clients do not.
            Kind::Hidden => vec![(NOW, A::Hide(role)), (lasts, A::Heal)],
            // A disk is lost, and the member takes the others' state.
            Kind::Oblivion => vec![(NOW, A::Forget(one)), (lasts, A::Start(Target::All))],
            // Only the slowest survives, for a while.
            Kind::Alone => vec![
                (NOW, A::PowerOff(Target::Leader)),
                (lasts / 4, A::Kill(Target::Follower)),
                (lasts, A::Start(Target::All)),
            ],
        }
    }
}

/// Everybody on one side or the other, but for so many who are on both.
fn halves(members: u64, both: usize, random: &mut Random) -> (Vec<Target>, Vec<Target>) {
    let number = |nth: u64| usize::try_from(nth).expect("clusters are small");
    let mut all: Vec<Target> = (1..=members).map(|nth| Target::Member(number(nth))).collect();
    all.rotate_left(number(random.below(members)));
    let mut these = all.split_off(number(random.below(members)));
    these.truncate(these.len() - both);
    (these, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_one_plan_and_it_can_be_written_down() {
        for (seed, level) in (0..50).flat_map(|seed| [(seed, Level::Core), (seed, Level::World)]) {
            let plan = draw(level, seed);
            assert_eq!(plan, draw(level, seed));
            let (read, _) = Plan::parse(&plan.to_string()).expect("what is drawn is clear");
            assert_eq!(read, plan);
        }
    }
}
