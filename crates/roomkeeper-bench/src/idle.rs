//! An idle fleet: the cost of a hundred connected nodes.
//!
//! Owns the scenario. The only traffic is heartbeats, pings, lease renewals and timed snapshots of empty nodes.

use std::time::Duration;

use super::process::Usage;
use super::report::{Figure, Row, Section};
use super::world::{Setup, World};
use super::{BenchError, Run};

/// # Errors
/// [`BenchError`] when the fleet does not start.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let nodes = run.nodes();
    let duration = Duration::from_secs(run.size(60, 2));
    run.show_progress(format!("idle: {nodes} nodes connect"));
    let world = World::start(run, Setup::nodes(nodes)).await?;
    run.show_progress(format!("idle: {duration:?} without traffic"));
    let read_usage =
        || Usage::for_process(world.controller.pid()).map_err(BenchError::system("read /proc"));
    let before = read_usage()?;
    tokio::time::sleep(duration).await;
    let after = read_usage()?;

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
    section.note(format!("Measured over {:.0} s.", took.as_secs_f64()));
    world.stop().await?;
    Ok(section)
}
