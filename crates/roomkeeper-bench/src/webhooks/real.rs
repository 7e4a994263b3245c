//! The same on a real FreeSWITCH, with wake-ups (the default) and without.
//!
//! Owns the section. FreeSWITCH checks every 20 ms whether a connection has events, and whenever it receives something on
//! that connection. The operator's commands arrive on another connection than the controller's, so they cause no check: an
//! event waits for the next check or for a wake-up, like an event that a caller causes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reqwest::Method;

use super::{Fired, match_webhooks, wait_for_preparation};
use crate::pace::{open_loop, run_after_pauses};
use crate::process::Usage;
use crate::receiver::Receiver;
use crate::report::{Figure, Row, Section, latencies, quantile};
use crate::rooms::{self, Member, MuteRounds, Room};
use crate::stages::EVENT_STAGES;
use crate::switch::Switch;
use crate::world::{REAL_NODE, Setup, TIMEOUT, World, until};
use crate::{BenchError, Run};

/// Rooms. Their members are fewer than the calls that FreeSWITCH accepts per second by default (30).
const ROOMS: usize = 12;

/// Members of each room.
const MEMBERS: usize = 2;

/// Pause before each event: longer than wake-ups continue after an event, which is 320 ms (`node::nudge`), and random, so
/// that the events fall at different points of the 20 ms interval.
const PAUSE: Range<Duration> = Duration::from_millis(400)..Duration::from_millis(600);

/// The pattern in which events are fired.
#[derive(Clone, Copy)]
enum Pattern {
    /// At random times, with this average rate per second.
    Busy(u32),
    /// Each after a pause.
    Idle,
}

/// The parts, in order: pattern, name, seconds or number of events (at full size, and in a smoke run), and the target of the
/// median in milliseconds.
const PARTS: [(Pattern, &str, (u64, u64), u64); 3] = [
    (Pattern::Busy(100), "100 events/s", (20, 1), 3),
    (Pattern::Busy(1_000), "1,000 events/s", (20, 1), 3),
    (Pattern::Idle, "after a pause", (100, 3), 20),
];

/// The result of one part.
struct PartResult {
    latency: Histogram<u64>,
    /// How late events were fired.
    late: Histogram<u64>,
    /// CPU of FreeSWITCH, if it runs on this machine.
    freeswitch: Option<Figure>,
    controller: Figure,
    /// The durations of the stages.
    stages: String,
}

/// # Errors
/// [`BenchError`] when it cannot be measured, also when a webhook is missing.
pub async fn measure(run: &Run<'_>, node: &(SocketAddr, String)) -> Result<Section, BenchError> {
    let mut switch = Switch::log_in(node)?;
    let woken = measure_all(run, node, &mut switch, true).await?;
    let unwoken = measure_all(run, node, &mut switch, false).await?;

    let mut section = Section::new("An event fired, its webhook received: on a real FreeSWITCH");
    let rows = PARTS.iter().zip(woken.iter().zip(&unwoken));
    for (part, (woken, unwoken)) in rows {
        let (pattern, name, _, most) = *part;
        let mut beside = |label: &str, with: Figure, without: Figure, most: Option<Figure>| {
            let row = Row::new(format!("{name}: {label}"), with).beside("no wake-ups", without);
            section.row(match most {
                Some(most) => row.up_to(most),
                None => row,
            });
        };
        let most = Figure::time(Duration::from_millis(most));
        for (label, at, most) in [
            ("p50", 0.5, Some(most)),
            ("p95", 0.95, None),
            ("p99", 0.99, None),
        ] {
            let figure = |part: &PartResult| quantile(&part.latency, at);
            let label = format!("fired → received, {label}");
            beside(&label, figure(woken), figure(unwoken), most);
        }
        if let Pattern::Busy(_) = pattern {
            let figure = |part: &PartResult| quantile(&part.late, 0.99);
            beside(
                "the generator was late, p99",
                figure(woken),
                figure(unwoken),
                None,
            );
        }
        if let (Some(with), Some(without)) = (woken.freeswitch, unwoken.freeswitch) {
            beside("CPU of FreeSWITCH", with, without, None);
        }
        let (with, without) = (woken.controller, unwoken.controller);
        beside("CPU of the controller", with, without, None);
    }
    for ((_, name, ..), part) in PARTS.iter().zip(&woken) {
        section.note(format!("{name}, with wake-ups. {}", part.stages));
    }
    let calls = ROOMS * MEMBERS;
    section.note(format!(
        "An operator on a separate connection mutes and unmutes {calls} members of {ROOMS} rooms; the clock starts \
         before the command is written. \"After a pause\" means after {} to {} ms, when wake-ups have ended.",
        PAUSE.start.as_millis(),
        PAUSE.end.as_millis()
    ));
    if woken.iter().any(|part| part.freeswitch.is_none()) {
        section.note("FreeSWITCH runs on another machine: its CPU time is not known.");
    }
    Ok(section)
}

/// Measures all parts with a controller that wakes the node (the default), or with one that does not.
async fn measure_all(
    run: &Run<'_>,
    node: &(SocketAddr, String),
    switch: &mut Switch,
    woken: bool,
) -> Result<Vec<PartResult>, BenchError> {
    let receiver = Receiver::start().await?;
    let world = World::start(
        run,
        Setup {
            freeswitch: Some(node.clone()),
            without_wake_ups: !woken,
            hook: Some(receiver.url()),
            ..Setup::default()
        },
    )
    .await?;
    let filled = fill(run, &world, switch).await?;
    run.show_progress("waiting for the webhooks of the preparation");
    let mut parts = Parts {
        sequences: wait_for_preparation(&receiver, &filled).await?,
        rounds: MuteRounds::new(&filled),
        world: &world,
        receiver: &receiver,
        switch,
    };
    let mut all = Vec::with_capacity(PARTS.len());
    for (pattern, name, (full, smoke), _) in PARTS {
        let how = if woken {
            "with wake-ups"
        } else {
            "without wake-ups"
        };
        run.show_progress(format!("a real FreeSWITCH, {how}: {name}"));
        all.push(parts.measure(pattern, run.size(full, smoke)).await?);
    }
    for room in &filled {
        let path = format!("/conferences/{}", room.id);
        let (status, answer) = world
            .controller
            .request(Method::DELETE, &path, None)
            .await?;
        if !(200..300).contains(&status) {
            let why = format!("DELETE {path} returned {status}: {answer}");
            return Err(BenchError::Unexpected(why));
        }
    }
    switch.hang_up()?;
    world.stop().await?;
    Ok(all)
}

/// Creates rooms on the node, with calls in them.
async fn fill(run: &Run<'_>, world: &World, switch: &mut Switch) -> Result<Vec<Room>, BenchError> {
    let nodes = vec![REAL_NODE.to_owned(); ROOMS];
    let created = rooms::create(run, &world.controller, &nodes).await?;
    let mut calls = Vec::with_capacity(ROOMS * MEMBERS);
    for n in 0..ROOMS * MEMBERS {
        let channel = switch.create_call(&format!("52{n:07}"))?;
        calls.push((n % ROOMS, format!("{REAL_NODE}-{channel}")));
    }
    rooms::join(run, &world.controller, &created, &calls).await?;
    let mut filled = Vec::with_capacity(ROOMS);
    for id in created {
        let members = switch.members(&id)?;
        let members = members.into_iter().map(|(channel, number)| Member {
            call: format!("{REAL_NODE}-{channel}"),
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

/// The state that all parts share.
struct Parts<'a> {
    /// The number of events of each room so far.
    sequences: HashMap<String, u64>,
    rounds: MuteRounds<'a>,
    world: &'a World,
    receiver: &'a Receiver,
    switch: &'a Switch,
}

impl Parts<'_> {
    async fn measure(&mut self, pattern: Pattern, amount: u64) -> Result<PartResult, BenchError> {
        let freeswitch = self.switch.process();
        let costs = || {
            let read = |pid| Usage::for_process(pid).map_err(BenchError::system("read /proc"));
            let controller = read(self.world.controller.pid())?;
            Ok::<_, BenchError>((controller, freeswitch.map(read).transpose()?))
        };
        let before = self.world.controller.metrics().await?;
        let cost = costs()?;
        let mut operator = self.switch.connect_operator()?;
        let mut fired = Fired::new();
        let (rounds, sequences) = (&mut self.rounds, &mut self.sequences);
        let mut fire = || {
            let Some((room, member, mute)) = rounds.next() else {
                return;
            };
            let sequence = sequences.entry(room.id.clone()).or_default();
            *sequence += 1;
            fired.insert((room.id.clone(), *sequence), Instant::now());
            operator.mute(room, member, mute);
        };
        let late = match pattern {
            Pattern::Busy(rate) => open_loop(f64::from(rate), u64::from(rate) * amount, |_| fire()),
            Pattern::Idle => {
                run_after_pauses(PAUSE, amount, fire).await;
                latencies()
            }
        };
        operator.log_out()?;
        let wanted = fired.len();
        until("every webhook has arrived", TIMEOUT, async || {
            Ok((self.receiver.count() >= wanted).then_some(()))
        })
        .await?;
        let spent = costs()?;
        let after = self.world.controller.metrics().await?;
        let latency = match_webhooks(fired, self.receiver.take())?;

        let cores = |from: Usage, to: Usage| {
            Figure::cores(to.cpu.saturating_sub(from.cpu), to.at - from.at)
        };
        Ok(PartResult {
            late,
            freeswitch: cost.1.zip(spent.1).map(|(from, to)| cores(from, to)),
            controller: cores(cost.0, spent.0),
            stages: {
                // The rest of the latency is FreeSWITCH's: the controller does not know when the event was fired.
                let known = EVENT_STAGES.iter();
                let known = known.filter_map(|(_, name)| Some(after.mean(&before, name)?.0));
                let all = latency.mean() / 1e6;
                format!(
                    "{} The remaining {:.0} of {:.0} µs pass before FreeSWITCH sends the event.",
                    after.stages(&before, EVENT_STAGES),
                    (all - known.sum::<Duration>().as_secs_f64()).max(0.0) * 1e6,
                    all * 1e6
                )
            },
            latency,
        })
    }
}
