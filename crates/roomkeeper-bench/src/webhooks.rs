//! From the moment at which a node fires an event to the moment at which an app has its webhook.
//!
//! Owns the scenario. The events come at a rate that does not depend on what becomes of them; both moments are of the
//! harness's own clock. Which webhook is of which event is told by the room and the webhook's sequence, which counts the
//! room's events.

pub mod real;

use std::collections::HashMap;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::pace::open_loop;
use super::process::Usage;
use super::receiver::{Arrival, Receiver};
use super::report::{Figure, Row, Section, latencies, quantile, record};
use super::rooms::{self, Operator, Room, Rounds};
use super::stages::EVENT_STAGES;
use super::world::{PATIENCE, Setup, World, until};
use super::{BenchError, Run};

/// Events a second, on all nodes together.
const RATE: u32 = 1_000;

/// Simulated nodes.
const NODES: usize = 4;

/// Members of each room.
const MEMBERS: usize = 3;

/// When each event was fired, by its room and its number there.
type Fired = HashMap<(String, u64), Instant>;

/// # Errors
/// [`BenchError`] when it cannot be measured, also when a webhook did not come.
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
    run.says("what was told of getting ready comes in");
    let mut numbers = settled(&receiver, &filled).await?;

    let events = u64::from(RATE) * seconds;
    run.says(format!("{events} events in {seconds} s"));
    let read = |pid| Usage::of(pid).map_err(BenchError::system("read /proc"));
    let costs = || {
        let (controller, redis) = (read(world.controller.pid())?, read(world.redis.pid())?);
        Ok::<_, BenchError>([controller, redis, read(std::process::id())?])
    };
    let before = world.controller.moment().await?;
    let cost = costs()?;
    let operators: Vec<Operator> = world.nodes.iter().map(Operator::at).collect();
    let mut fired = Fired::new();
    let mut rounds = Rounds::new(&filled);
    let late = open_loop(f64::from(RATE), events, |_| {
        let Some(next) = rounds.next() else { return };
        let room = next.0;
        let number = numbers.entry(room.id.clone()).or_default();
        *number += 1;
        fired.insert((room.id.clone(), *number), Instant::now());
        operators[room.node].mute(&world.nodes[room.node], [next]);
    });
    let wanted = fired.len();
    until("every webhook has come", PATIENCE, async || {
        Ok((receiver.count() >= wanted).then_some(()))
    })
    .await?;
    let spent = costs()?;
    let after = world.controller.moment().await?;
    let latency = matched(fired, receiver.take())?;

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
        "{wanted} events over {count} rooms, at random times of {RATE} a second on average, whatever becomes of them. The \
         nodes are simulated, and write an event at once: FreeSWITCH looks for events every 20 ms, or when it is nudged, \
         which is measured on a real one (`--freeswitch`)."
    ));
    world.stop().await?;
    Ok(section)
}

/// Waits until all has come that was told of getting ready; how many events there have been of each room.
async fn settled(receiver: &Receiver, filled: &[Room]) -> Result<HashMap<String, u64>, BenchError> {
    // That it was made, and that each member joined.
    let wanted: HashMap<&str, u64> = filled
        .iter()
        .map(|room| (room.id.as_str(), 1 + room.members.len() as u64))
        .collect();
    let mut numbers: HashMap<String, u64> = HashMap::new();
    until(
        "all webhooks of getting ready have come",
        PATIENCE,
        async || {
            for arrival in receiver.take() {
                if let Some((room, number)) = told(&arrival) {
                    let last = numbers.entry(room).or_default();
                    *last = number.max(*last);
                }
            }
            let all = wanted.iter().all(|(room, n)| numbers.get(*room) == Some(n));
            Ok(all.then_some(()))
        },
    )
    .await?;
    Ok(numbers)
}

/// Of which room a webhook is, and the how manieth; `None` when it is of a call.
fn told(arrival: &Arrival) -> Option<(String, u64)> {
    let says = arrival.says();
    let room = says["room_id"].as_str()?.to_owned();
    Some((room, says["sequence"].as_u64()?))
}

/// How long each took, in microseconds. One that came twice counts once.
fn matched(mut fired: Fired, arrivals: Vec<Arrival>) -> Result<Histogram<u64>, BenchError> {
    let mut latency = latencies();
    for arrival in &arrivals {
        let event = told(arrival).and_then(|told| fired.remove(&told));
        if let Some(event) = event {
            record(&mut latency, arrival.at.saturating_duration_since(event));
        }
    }
    match fired.len() {
        0 => Ok(latency),
        missing => {
            let why = format!("{missing} events were told by no webhook");
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
    fn a_webhook_is_matched_by_its_room_and_number() {
        let begin = Instant::now();
        let later = begin + Duration::from_millis(3);
        let fired = || Fired::from([(("a".to_owned(), 7), begin)]);
        let other = arrival(begin, r#"{"session_uuid":"x","sequence":7}"#);
        let ours = arrival(later, r#"{"room_id":"a","sequence":7}"#);
        let latency = matched(fired(), vec![other.clone(), ours.clone(), ours]).unwrap();
        assert_eq!((latency.len(), latency.max() / 10), (1, 300));
        assert!(matched(fired(), vec![other]).is_err());
    }
}
