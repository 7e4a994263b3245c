//! Events are hints, the snapshot is the truth: after any faults, once the system is quiet, the node state matches the
//! node, and the webhooks of each app form one consistent history.
//!
//! A seed determines a schedule: calls, API callers, and faults between a model of FreeSWITCH, two replicas of the pure
//! core and their store. The test runs many schedules; one that breaks an invariant is shortened and printed. The
//! invariants are I1 to I5:
//!
//! - **I1** rooms and calls match the node, one snapshot after the system is quiet (two, if the first one or events
//!   since then require it);
//! - **I2** a creation or deletion that was confirmed to a caller lasts;
//! - **I3** each transition is reported once, under its own id, numbered without gaps;
//! - **I4** joined and left alternate;
//! - **I5** no write of an epoch that is over is accepted.
//!
//! `ROOMKEEPER_SIMULATION_SCHEDULES` sets the number of schedules, `ROOMKEEPER_SIMULATION_FROM` the first seed, and
//! `ROOMKEEPER_SIMULATION_SEED` runs exactly one.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "another function handles the other steps"
)]

mod faults;
mod node;
mod replica;
mod rng;
mod schedule;
mod webhook_log;
mod world;

use std::any::Any;
use std::cell::Cell;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use faults::{Fault, Faults};
use schedule::Schedule;
use world::World;

/// In a run of at least this many schedules, every kind of fault must have fired.
const ENOUGH: u64 = 1_000;

const DEFAULT: u64 = 4_000;

thread_local! {
    /// Suppresses the output of panics of the core, which are reported by their message instead.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs a schedule. Returns the failure, if there was one.
fn run(schedule: &Schedule, traced: bool) -> (Result<(), String>, Faults, String) {
    let mut world = World::new(schedule.mood, schedule.recovers, traced);
    QUIET.set(true);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run(schedule)));
    QUIET.set(false);
    let result = ended.unwrap_or_else(|panic| Err(format!("panic: {}", description(&*panic))));
    let trace = world.trace();
    (result, world.shared.faults, trace)
}

fn description(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_default()
}

/// Shortens a failing schedule: drops large pieces first, then smaller ones, while the same failure remains.
fn shorten(mut schedule: Schedule, why: &str) -> Schedule {
    // A different failure would be a different defect.
    let kind = |why: &str| why.split(':').next().unwrap_or_default().to_owned();
    let found = kind(why);
    let mut piece = schedule.steps.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < schedule.steps.len() {
            let mut shorter = schedule.clone();
            let end = (at + piece).min(shorter.steps.len());
            shorter.steps.drain(at..end);
            match run(&shorter, false).0 {
                Err(why) if kind(&why) == found => schedule = shorter,
                _ => at += piece,
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    schedule
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}

/// Prints past the test harness, which captures the output of a test.
fn say(text: &str) {
    let mut out = std::io::stderr().lock();
    let _closed = writeln!(out, "{text}");
}

fn report(seed: u64, why: &str) -> String {
    let schedule = Schedule::from_seed(seed);
    let steps = schedule.steps.len();
    let short = shorten(schedule, why);
    let (result, _, trace) = run(&short, true);
    let why_short = result.err().unwrap_or_default();
    format!(
        "seed {seed} ({:?}, {steps} steps): {why}\nthe shortest that still fails, {} steps:\n{trace}{why_short}\n\
         replay: ROOMKEEPER_SIMULATION_SEED={seed} cargo test --test simulation",
        short.mood,
        short.steps.len(),
    )
}

#[test]
fn node_state_matches_the_node_after_any_faults() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !QUIET.get() {
            hook(info);
        }
    }));
    let one = number("ROOMKEEPER_SIMULATION_SEED");
    let first = one
        .or_else(|| number("ROOMKEEPER_SIMULATION_FROM"))
        .unwrap_or(0);
    let count = match one {
        Some(_) => 1,
        None => number("ROOMKEEPER_SIMULATION_SCHEDULES").unwrap_or(DEFAULT),
    };
    let start = Instant::now();
    let next = AtomicU64::new(0);
    let total: Mutex<Faults> = Mutex::default();
    let failed: Mutex<Option<(u64, String)>> = Mutex::default();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut faults = Faults::default();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let (result, fired, _) = run(&Schedule::from_seed(first + at), false);
                    faults.add(&fired);
                    if let Err(why) = result {
                        let mut failed = failed.lock().unwrap();
                        if failed.as_ref().is_none_or(|(first, _)| at < *first) {
                            *failed = Some((at, why));
                        }
                        next.store(count, Ordering::Relaxed);
                        break;
                    }
                }
                total.lock().unwrap().add(&faults);
            });
        }
    });
    if let Some((at, why)) = failed.into_inner().unwrap() {
        let text = report(first + at, &why);
        panic!("found by schedule {} of {count}: {text}", at + 1);
    }
    let took = start.elapsed();
    let faults = total.into_inner().unwrap();
    say(&format!(
        "{count} schedules from seed {first} in {:.1} s, {:.0} a second",
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64()
    ));
    for fault in Fault::ALL {
        say(&format!(
            "{:>9} {}",
            faults.count(*fault),
            fault.description()
        ));
    }
    if count >= ENOUGH {
        let never: Vec<&str> = Fault::ALL
            .iter()
            .filter(|fault| faults.count(**fault) == 0)
            .map(|fault| fault.description())
            .collect();
        assert!(never.is_empty(), "these faults never fired: {never:?}");
    }
}
