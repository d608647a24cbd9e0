//! From a seed to a plan: each kind of trouble is in or out first, then so hard, so often. What
//! happens is aimed at roles, which are found out when it happens: the leader is hit as the leader.

use crate::plan::{Action, Knobs, Plan, Target};
use crate::random::Random;
use std::time::Duration;

/// Draws the plan of a seed.
#[must_use]
pub fn draw(seed: u64) -> Plan {
    let mut random = Random::stream(seed, "nemesis");
    let knobs = knobs(seed, &mut random);
    let end = knobs.run;
    let mut plan = Plan::calm(knobs);
    let mut kinds: Vec<Kind> = KINDS.into_iter().filter(|_| random.happens(400)).collect();
    if kinds.is_empty() {
        kinds.push(*random.pick(&KINDS));
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
        clients: sometimes(500, &[3, 1, 8]),
        watchers: sometimes(500, &[1, 0, 3]),
        keys: sometimes(500, &[3, 1, 10]),
        think: micros(sometimes(600, &[20_000, 1000, 5000, 100_000])),
        reads: sometimes(500, &[400, 0, 800]),
        leases: sometimes(500, &[50, 0, 300]),
        delay: micros(sometimes(500, &[500, 100, 5000, 20_000])).min(tick / 4),
        drop: sometimes(500, &[0, 5, 50, 200]),
        duplicate: sometimes(400, &[0, 10, 100]),
        straggle: sometimes(400, &[0, 5, 50]),
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
}

const KINDS: [Kind; 16] = [
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
];

impl Kind {
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
            // Only the slowest survives, for a while.
            Kind::Alone => vec![
                (NOW, A::PowerOff(Target::Leader)),
                (lasts / 4, A::Kill(Target::Follower)),
                (lasts, A::Start(Target::All)),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_one_plan_and_it_can_be_written_down() {
        for seed in 0..50 {
            let plan = draw(seed);
            assert_eq!(plan, draw(seed));
            let (read, _) = Plan::parse(&plan.to_string()).expect("what is drawn is clear");
            assert_eq!(read, plan);
        }
    }
}
