//! The latency from the moment at which a node fires an event to the moment at which an app has received its webhook.
//!
//! Owns the scenario. The event rate does not depend on the responses. The harness's own clock measures both moments.
//! The room and the webhook's sequence, which counts the room's events, match a webhook to its event.

pub mod real;

use std::collections::HashMap;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::pace::open_loop;
use super::process::Usage;
use super::receiver::{Arrival, Receiver};
use super::report::{Figure, Row, Section, latencies, quantile, record};
use super::rooms::{self, MuteRounds, Operator, Room};
use super::stages::EVENT_STAGES;
use super::world::{Setup, TIMEOUT, World, until};
use super::{BenchError, Run};

/// Events per second, on all nodes together.
const RATE: u32 = 1_000;

/// Simulated nodes.
const NODES: usize = 4;

/// Members of each room.
const MEMBERS: usize = 3;

/// The time of each event, by its room and its sequence there.
type Fired = HashMap<(String, u64), Instant>;

/// # Errors
/// [`BenchError`] when it cannot be measured, also when a webhook is missing.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let count = run.size(200, 20);
    let seconds = run.size(20, 1);
    let receiver = Receiver::start().await?;
    let world = World::start(
        run,
        Setup {
            hook: Some(receiver.url()),
            ..Setup::nodes(NODES)
        },
    )
    .await?;
    let filled = rooms::fill(run, &world, &vec![MEMBERS; count]).await?;
    run.show_progress("waiting for the webhooks of the preparation");
    let mut sequences = wait_for_preparation(&receiver, &filled).await?;

    let events = u64::from(RATE) * seconds;
    run.show_progress(format!("{events} events in {seconds} s"));
    let usage = |pid| Usage::for_process(pid).map_err(BenchError::system("read /proc"));
    let costs = || {
        let (controller, redis) = (usage(world.controller.pid())?, usage(world.redis.pid())?);
        Ok::<_, BenchError>([controller, redis, usage(std::process::id())?])
    };
    let before = world.controller.metrics().await?;
    let cost = costs()?;
    let operators: Vec<Operator> = world.nodes.iter().map(Operator::log_in).collect();
    let mut fired = Fired::new();
    let mut rounds = MuteRounds::new(&filled);
    let late = open_loop(f64::from(RATE), events, |_| {
        let Some(next) = rounds.next() else { return };
        let room = next.0;
        let sequence = sequences.entry(room.id.clone()).or_default();
        *sequence += 1;
        fired.insert((room.id.clone(), *sequence), Instant::now());
        operators[room.node].mute(&world.nodes[room.node], [next]);
    });
    let wanted = fired.len();
    until("every webhook has arrived", TIMEOUT, async || {
        Ok((receiver.count() >= wanted).then_some(()))
    })
    .await?;
    let spent = costs()?;
    let after = world.controller.metrics().await?;
    let latency = match_webhooks(fired, receiver.take())?;

    let mut section = Section::new(format!(
        "An event fired, its webhook received: {RATE} events a second on {NODES} nodes"
    ));
    let at_most = |ms| Figure::time(std::time::Duration::from_millis(ms));
    let row =
        |what: &str, at| Row::new(format!("fired → received, {what}"), quantile(&latency, at));
    section.row(row("p50", 0.5).up_to(at_most(2)));
    section.row(row("p90", 0.9));
    section.row(row("p99", 0.99).up_to(at_most(10)));
    section.row(row("max", 1.0));
    section.row(Row::new(
        "the generator was late, p99",
        quantile(&late, 0.99),
    ));
    for (n, what) in ["the controller", "Redis", "the harness"]
        .iter()
        .enumerate()
    {
        let (cost, spent) = (cost[n], spent[n]);
        let cpu = spent.cpu.saturating_sub(cost.cpu);
        let cores = Figure::cores(cpu, spent.at - cost.at);
        section.row(Row::new(format!("CPU of {what}"), cores));
    }
    section.note(after.stages(&before, EVENT_STAGES));
    section.note(format!(
        "{wanted} events over {count} rooms, at random times, {RATE} a second on average, independent of the responses. The nodes \
         are simulated and write an event at once. A real FreeSWITCH checks for events every 20 ms, or at a wake-up; \
         `--freeswitch` measures one."
    ));
    world.stop().await?;
    Ok(section)
}

/// Waits for all webhooks of the preparation. Returns the number of events of each room.
async fn wait_for_preparation(
    receiver: &Receiver,
    filled: &[Room],
) -> Result<HashMap<String, u64>, BenchError> {
    // One event for the room, and one for each member.
    let wanted: HashMap<&str, u64> = filled
        .iter()
        .map(|room| (room.id.as_str(), 1 + room.members.len() as u64))
        .collect();
    let mut sequences: HashMap<String, u64> = HashMap::new();
    until(
        "all webhooks of the preparation have arrived",
        TIMEOUT,
        async || {
            for arrival in receiver.take() {
                if let Some((room, sequence)) = room_and_sequence(&arrival) {
                    let last = sequences.entry(room).or_default();
                    *last = sequence.max(*last);
                }
            }
            let all = wanted
                .iter()
                .all(|(room, n)| sequences.get(*room) == Some(n));
            Ok(all.then_some(()))
        },
    )
    .await?;
    Ok(sequences)
}

/// Returns the room and the sequence of a webhook; `None` for a webhook of a call.
fn room_and_sequence(arrival: &Arrival) -> Option<(String, u64)> {
    let body = arrival.json();
    let room = body["room_id"].as_str()?.to_owned();
    Some((room, body["sequence"].as_u64()?))
}

/// Returns the latencies in microseconds. A duplicate counts once.
fn match_webhooks(mut fired: Fired, arrivals: Vec<Arrival>) -> Result<Histogram<u64>, BenchError> {
    let mut latency = latencies();
    for arrival in &arrivals {
        let event = room_and_sequence(arrival).and_then(|key| fired.remove(&key));
        if let Some(event) = event {
            record(&mut latency, arrival.at.saturating_duration_since(event));
        }
    }
    match fired.len() {
        0 => Ok(latency),
        missing => {
            let why = format!("{missing} events have no webhook");
            Err(BenchError::Unexpected(why))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn arrival(at: Instant, body: &'static str) -> Arrival {
        let body = body.as_bytes().into();
        Arrival { at, body }
    }

    #[test]
    fn webhook_is_matched_by_room_and_sequence() {
        let start = Instant::now();
        let later = start + Duration::from_millis(3);
        let fired = || Fired::from([(("a".to_owned(), 7), start)]);
        let other = arrival(start, r#"{"session_uuid":"x","sequence":7}"#);
        let ours = arrival(later, r#"{"room_id":"a","sequence":7}"#);
        let latency = match_webhooks(fired(), vec![other.clone(), ours.clone(), ours]).unwrap();
        assert_eq!((latency.len(), latency.max() / 10), (1, 300));
        assert!(match_webhooks(fired(), vec![other]).is_err());
    }
}
