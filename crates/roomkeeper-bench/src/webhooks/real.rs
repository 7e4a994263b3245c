//! The same on a real FreeSWITCH, nudged as it is by default and not nudged at all.
//!
//! Owns the section. FreeSWITCH looks every 20 ms whether there are events for a connection, or when something comes on
//! it. The operator's commands come on another connection than the controller's, so they do not make it look: an event
//! waits for the look or the nudge, as one does that a caller makes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reqwest::Method;

use super::{Fired, matched, settled};
use crate::pace::{after_pauses, open_loop};
use crate::process::Usage;
use crate::receiver::Receiver;
use crate::report::{Figure, Row, Section, latencies, quantile};
use crate::rooms::{self, Member, Room, Rounds};
use crate::stages::EVENT_STAGES;
use crate::switch::Switch;
use crate::world::{PATIENCE, REAL_NODE, Setup, World, until};
use crate::{BenchError, Run};

/// Rooms; with their members fewer calls than a FreeSWITCH takes in a second unless it is told to take more (30).
const ROOMS: usize = 12;

/// Members of each room.
const MEMBERS: usize = 2;

/// How long before each event nothing happens: longer than nudging goes on after the last one, which is 320 ms
/// (`node::nudge`), and not always by the same share of 20 ms.
const PAUSE: Range<Duration> = Duration::from_millis(400)..Duration::from_millis(600);

/// When events are fired.
#[derive(Clone, Copy)]
enum When {
    /// At random times, so many a second.
    Busy(u32),
    /// After a pause.
    Idle,
}

/// What is measured, one after the other: when, what it is called, for how many seconds or how many events (at full size,
/// and to see that it works), and what the median is to be at most.
const PARTS: [(When, &str, (u64, u64), u64); 3] = [
    (When::Busy(100), "100 events/s", (20, 1), 3),
    (When::Busy(1_000), "1,000 events/s", (20, 1), 3),
    (When::Idle, "after a pause", (100, 3), 20),
];

/// What came of one part.
struct Measured {
    latency: Histogram<u64>,
    /// How late events were fired.
    late: Histogram<u64>,
    /// What FreeSWITCH cost, if it is on this machine.
    freeswitch: Option<Figure>,
    controller: Figure,
    /// What the stages took.
    stages: String,
}

/// # Errors
/// [`BenchError`] when it cannot be measured, also when a webhook did not come.
pub async fn measure(run: &Run<'_>, node: &(SocketAddr, String)) -> Result<Section, BenchError> {
    let mut switch = Switch::at(node)?;
    let nudged = with(run, node, &mut switch, true).await?;
    let alone = with(run, node, &mut switch, false).await?;

    let mut section = Section::new("An event fired, its webhook received: on a real FreeSWITCH");
    let rows = PARTS.iter().zip(nudged.iter().zip(&alone));
    for (part, (nudged, alone)) in rows {
        let (when, name, _, most) = *part;
        let mut beside = |what: &str, with: Figure, without: Figure, most: Option<Figure>| {
            let row = Row::new(format!("{name}: {what}"), with).beside("not nudged", without);
            section.row(match most {
                Some(most) => row.up_to(most),
                None => row,
            });
        };
        let most = Figure::time(Duration::from_millis(most));
        for (what, at, most) in [
            ("p50", 0.5, Some(most)),
            ("p95", 0.95, None),
            ("p99", 0.99, None),
        ] {
            let of = |part: &Measured| quantile(&part.latency, at);
            let what = format!("fired → received, {what}");
            beside(&what, of(nudged), of(alone), most);
        }
        if let When::Busy(_) = when {
            let of = |part: &Measured| quantile(&part.late, 0.99);
            beside("the generator was late, p99", of(nudged), of(alone), None);
        }
        if let (Some(with), Some(without)) = (nudged.freeswitch, alone.freeswitch) {
            beside("CPU of FreeSWITCH", with, without, None);
        }
        let (with, without) = (nudged.controller, alone.controller);
        beside("CPU of the controller", with, without, None);
    }
    for ((_, name, ..), part) in PARTS.iter().zip(&nudged) {
        section.note(format!("{name}, nudged. {}", part.stages));
    }
    let calls = ROOMS * MEMBERS;
    section.note(format!(
        "An operator on a connection of its own mutes and unmutes {calls} members of {ROOMS} rooms there; the clock starts \
         before the command is written. \"After a pause\" is after {} to {} ms, when nudging has ended.",
        PAUSE.start.as_millis(),
        PAUSE.end.as_millis()
    ));
    if nudged.iter().any(|part| part.freeswitch.is_none()) {
        section.note("FreeSWITCH is not on this machine: what it cost is not known.");
    }
    Ok(section)
}

/// All parts, with a controller that nudges the node as it does by default, or not at all.
async fn with(
    run: &Run<'_>,
    node: &(SocketAddr, String),
    switch: &mut Switch,
    nudged: bool,
) -> Result<Vec<Measured>, BenchError> {
    let receiver = Receiver::start().await?;
    let world = World::start(
        run,
        Setup {
            freeswitch: Some(node.clone()),
            unnudged: !nudged,
            hook: Some(receiver.url()),
            ..Setup::default()
        },
    )
    .await?;
    let filled = fill(run, &world, switch).await?;
    run.says("what was told of getting ready comes in");
    let mut parts = Parts {
        numbers: settled(&receiver, &filled).await?,
        rounds: Rounds::new(&filled),
        world: &world,
        receiver: &receiver,
        switch,
    };
    let mut all = Vec::with_capacity(PARTS.len());
    for (when, name, (full, smoke), _) in PARTS {
        let how = if nudged { "nudged" } else { "not nudged" };
        run.says(format!("a real FreeSWITCH, {how}: {name}"));
        all.push(parts.measure(when, run.size(full, smoke)).await?);
    }
    for room in &filled {
        let path = format!("/conferences/{}", room.id);
        let (status, answer) = world.controller.ask(Method::DELETE, &path, None).await?;
        if !(200..300).contains(&status) {
            let why = format!("DELETE {path} was answered with {status}: {answer}");
            return Err(BenchError::Unexpected(why));
        }
    }
    switch.hang_up()?;
    world.stop().await?;
    Ok(all)
}

/// Rooms on the node with calls in them.
async fn fill(run: &Run<'_>, world: &World, switch: &mut Switch) -> Result<Vec<Room>, BenchError> {
    let nodes = vec![REAL_NODE.to_owned(); ROOMS];
    let made = rooms::make(run, &world.controller, &nodes).await?;
    let mut calls = Vec::with_capacity(ROOMS * MEMBERS);
    for n in 0..ROOMS * MEMBERS {
        let channel = switch.call(&format!("52{n:07}"))?;
        calls.push((n % ROOMS, format!("{REAL_NODE}-{channel}")));
    }
    rooms::join(run, &world.controller, &made, &calls).await?;
    let mut filled = Vec::with_capacity(ROOMS);
    for id in made {
        let members = switch.members(&id)?;
        let members = members.into_iter().map(|(channel, number)| Member {
            session: format!("{REAL_NODE}-{channel}"),
            number,
        });
        filled.push(Room {
            members: members.collect(),
            id,
            node: 0,
        });
    }
    Ok(filled)
}

/// What all parts go on with.
struct Parts<'a> {
    /// How many events there have been of each room.
    numbers: HashMap<String, u64>,
    rounds: Rounds<'a>,
    world: &'a World,
    receiver: &'a Receiver,
    switch: &'a Switch,
}

impl Parts<'_> {
    async fn measure(&mut self, when: When, much: u64) -> Result<Measured, BenchError> {
        let freeswitch = self.switch.process();
        let costs = || {
            let read = |pid| Usage::of(pid).map_err(BenchError::system("read /proc"));
            let controller = read(self.world.controller.pid())?;
            Ok::<_, BenchError>((controller, freeswitch.map(read).transpose()?))
        };
        let before = self.world.controller.moment().await?;
        let cost = costs()?;
        let mut operator = self.switch.operator()?;
        let mut fired = Fired::new();
        let (rounds, numbers) = (&mut self.rounds, &mut self.numbers);
        let mut fire = || {
            let Some((room, member, mute)) = rounds.next() else {
                return;
            };
            let number = numbers.entry(room.id.clone()).or_default();
            *number += 1;
            fired.insert((room.id.clone(), *number), Instant::now());
            operator.mute(room, member, mute);
        };
        let late = match when {
            When::Busy(rate) => open_loop(f64::from(rate), u64::from(rate) * much, |_| fire()),
            When::Idle => {
                after_pauses(PAUSE, much, fire).await;
                latencies()
            }
        };
        operator.leave()?;
        let wanted = fired.len();
        until("every webhook has come", PATIENCE, async || {
            Ok((self.receiver.count() >= wanted).then_some(()))
        })
        .await?;
        let spent = costs()?;
        let after = self.world.controller.moment().await?;
        let latency = matched(fired, self.receiver.take())?;

        let cores = |from: Usage, to: Usage| {
            Figure::cores(to.cpu.saturating_sub(from.cpu), to.at - from.at)
        };
        Ok(Measured {
            late,
            freeswitch: cost.1.zip(spent.1).map(|(from, to)| cores(from, to)),
            controller: cores(cost.0, spent.0),
            stages: {
                // Of all stages together, for the controller does not know when FreeSWITCH fired it.
                let known = EVENT_STAGES.iter();
                let known = known.filter_map(|(_, name)| Some(after.mean(&before, name)?.0));
                let all = latency.mean() / 1e6;
                format!(
                    "{} That leaves {:.0} of {:.0} µs until FreeSWITCH has told.",
                    after.stages(&before, EVENT_STAGES),
                    (all - known.sum::<Duration>().as_secs_f64()).max(0.0) * 1e6,
                    all * 1e6
                )
            },
            latency,
        })
    }
}
