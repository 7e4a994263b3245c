//! A fleet on which nothing happens: what it costs to keep a hundred nodes connected.
//!
//! Owns the scenario. Heartbeats, pings, lease renewals and timed snapshots of empty nodes are all there is.

use std::time::Duration;

use super::process::Usage;
use super::report::{Figure, Row, Section};
use super::world::{Setup, World};
use super::{BenchError, Run};

/// # Errors
/// [`BenchError`] when the fleet cannot be started.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let nodes = run.nodes();
    let lasts = Duration::from_secs(run.size(60, 2));
    run.says(format!("idle: {nodes} nodes connect"));
    let world = World::start(run, Setup::nodes(nodes)).await?;
    run.says(format!("idle: {lasts:?} of nothing"));
    let read = || Usage::of(world.controller.pid()).map_err(BenchError::system("read /proc"));
    let before = read()?;
    tokio::time::sleep(lasts).await;
    let after = read()?;

    let mut section = Section::new(format!("Idle: {nodes} nodes connected"));
    let took = after.at - before.at;
    section.row(
        Row::new(
            "CPU of the controller",
            Figure::cores(after.cpu.saturating_sub(before.cpu), took),
        )
        .up_to(Figure::cores(
            Duration::from_millis(10),
            Duration::from_secs(1),
        )),
    );
    section.row(
        Row::new("memory of the controller", Figure::bytes(after.resident))
            .up_to(Figure::bytes(60 << 20)),
    );
    section.note(format!("Over {:.0} s.", took.as_secs_f64()));
    world.stop().await?;
    Ok(section)
}
