//! The cost of an event in one room of ten thousand members, beside one of ten.
//!
//! Owns the scenario. The events arrive at a rate that both can sustain, in bursts of different members, so that the
//! commits of both rooms have the same size.

use std::time::Duration;

use super::outbox::Outboxes;
use super::pace::open_loop;
use super::process::Usage;
use super::report::{Figure, Row, Section};
use super::rooms::{self, MuteRounds, Operator, Room};
use super::world::{Setup, TIMEOUT, World, until};
use super::{BenchError, Run};
use roomkeeper::telemetry as names;

/// Members of the small room.
const FEW: usize = 10;

/// Events a second.
const RATE: u32 = 2_000;

/// Events in a burst: each for a different member, also in the small room.
const BURST: u32 = 8;

/// Rounds per room, in turn.
const ROUNDS: usize = 3;

/// The cost of an event in a room.
#[derive(Clone, Copy, Debug)]
struct Cost {
    controller: Duration,
    redis: Duration,
    /// Mean duration of a commit.
    commit: Duration,
    /// Mean number of events in a commit.
    batch: f64,
}

impl Cost {
    /// Takes the better of each figure: other load on the machine only makes figures worse.
    fn best(self, other: Self) -> Self {
        Self {
            controller: self.controller.min(other.controller),
            redis: self.redis.min(other.redis),
            commit: self.commit.min(other.commit),
            batch: self.batch.max(other.batch),
        }
    }
}

/// # Errors
/// [`BenchError`] when it cannot be measured.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let many = run.size(10_000, 50);
    let seconds = run.size(6, 1);
    let world = World::start(run, Setup::nodes(1)).await?;
    let filled = rooms::fill(run, &world, &[FEW, many]).await?;
    let operator = Operator::log_in(&world.nodes[0]);
    let mut outboxes = Outboxes::for_nodes(&world.redis, 1).await?;
    let mut rounds: Vec<(&Room, MuteRounds<'_>, Option<Cost>)> = filled
        .iter()
        .map(|room| (room, MuteRounds::new([room]), None))
        .collect();
    let bursts = u64::from(RATE / BURST) * seconds;
    for round in 1..=ROUNDS {
        for (room, members, best) in &mut rounds {
            run.show_progress(format!(
                "round {round}: {} events in a room of {} members",
                bursts * u64::from(BURST),
                room.members.len()
            ));
            let cost = fire(&world, &mut outboxes, operator, members, bursts).await?;
            *best = Some(best.map_or(cost, |best| best.best(cost)));
        }
    }
    let mut section = Section::new(format!("One room of {many} members"));
    if let [(_, _, Some(small)), (_, _, Some(large))] = rounds.as_slice() {
        for (label, large, small, has_target) in [
            ("controller's CPU", large.controller, small.controller, true),
            ("Redis' CPU", large.redis, small.redis, true),
            ("time of a commit", large.commit, small.commit, true),
        ] {
            let row = Row::new(format!("an event: {label}"), Figure::time(large));
            let row = row.beside(format!("{FEW} members"), Figure::time(small));
            section.row(if has_target { row.at_most(1.2) } else { row });
        }
        section.note(format!(
            "{:.1} events a commit in the large room, {:.1} in the small one.",
            large.batch, small.batch
        ));
    }
    section.note(format!(
        "{RATE} events a second for {seconds} s, in bursts of {BURST} at random times. Each event mutes or unmutes one of the \
         members, all of them in turn. The best of {ROUNDS} rounds for each room, in turn, on one node of one controller."
        ));
    world.stop().await?;
    Ok(section)
}

async fn fire(
    world: &World,
    outboxes: &mut Outboxes,
    operator: Operator,
    members: &mut MuteRounds<'_>,
    bursts: u64,
) -> Result<Cost, BenchError> {
    let events = bursts * u64::from(BURST);
    let node = &world.nodes[0];
    let usage = |pid| Usage::for_process(pid).map_err(BenchError::system("read /proc"));
    let costs = || {
        let controller = usage(world.controller.pid())?;
        Ok::<_, BenchError>((controller.cpu, usage(world.redis.pid())?.cpu))
    };
    let before = world.controller.metrics().await?;
    let wanted = outboxes.count_committed().await? + events;
    let cost = costs()?;
    open_loop(f64::from(RATE / BURST), bursts, |_| {
        operator.mute(node, members.by_ref().take(BURST as usize));
    });
    until("every event is committed", TIMEOUT, async || {
        Ok((outboxes.count_committed().await? >= wanted).then_some(()))
    })
    .await?;
    let spent = costs()?;
    let after = world.controller.metrics().await?;
    let each = u32::try_from(events).unwrap_or(u32::MAX);
    let commit = after.mean(&before, names::COMMIT_SECONDS);
    let batch = after.mean(&before, names::BATCH_ITEMS);
    Ok(Cost {
        controller: spent.0.saturating_sub(cost.0) / each,
        redis: spent.1.saturating_sub(cost.1) / each,
        commit: commit.map_or(Duration::ZERO, |(mean, _)| mean),
        batch: batch.map_or(0.0, |(mean, _)| mean.as_secs_f64()),
    })
}
