//! All readers on the same bytes in one run, and the table of it.
//!
//! Owns how it is timed, and what is to be reached. What else the machine does only ever makes a reader
//! slower, so each counts by its best round, and the rounds of all take turns.

use std::hint::black_box;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use bytes::Bytes;
use freeswitch_esl::{Event, Frame, FrameParser, Limits};
use roomkeeper_bench::report::{Figure, Row, Section};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use crate::readers;
use crate::traffic::Read;

/// Somebody who takes part: a name, what it does, how long it took at best.
struct Contestant<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> usize + 'a>,
    expected: usize,
    best: Duration,
}

impl<'a> Contestant<'a> {
    fn new(name: &'static str, expected: usize, run: impl FnMut() -> usize + 'a) -> Self {
        Self {
            name,
            run: Box::new(run),
            expected,
            best: Duration::MAX,
        }
    }
}

/// The clock of a contest.
#[derive(Clone, Copy)]
enum Clock {
    /// What this thread spends: what the others do does not count.
    Thread,
    /// What passes: who waits for a socket spends nothing.
    Wall,
}

impl Clock {
    fn now(self, start: Instant) -> Duration {
        match self {
            Self::Wall => start.elapsed(),
            Self::Thread => {
                let spent = clock_gettime(ClockId::ThreadCPUTime);
                Duration::try_from(spent).unwrap_or_default()
            }
        }
    }
}

/// Runs all in turns and returns what each makes of so many bytes at its best.
fn contest(
    bytes: usize,
    rounds: usize,
    clock: Clock,
    mut contestants: Vec<Contestant<'_>>,
) -> Vec<(&'static str, Figure)> {
    let start = Instant::now();
    let watched = std::io::stderr().is_terminal();
    for round in 1..=rounds {
        for who in &mut contestants {
            if watched {
                eprint!("\r\x1b[Kround {round} of {rounds}: {}", who.name);
            }
            let before = clock.now(start);
            let found = black_box((who.run)());
            who.best = who.best.min(clock.now(start) - before);
            assert_eq!(found, who.expected, "{} left something out", who.name);
        }
    }
    if watched {
        eprint!("\r\x1b[K");
    }
    contestants
        .iter()
        .map(|who| (who.name, Figure::throughput(bytes as u64, who.best)))
        .collect()
}

/// What the traffic is: events, headers and bytes of them, values that are read.
fn described(traffic: &Bytes) -> (usize, String) {
    let bodies = readers::bodies(traffic);
    let (mut headers, mut values) = (0, 0);
    let mut rest = traffic.clone();
    let mut parser = FrameParser::new(Limits::default());
    while let Ok(frame) = Frame::take(&mut parser, &mut rest) {
        let event = Event::from_frame(frame).expect("an event");
        headers += event.header_count();
        values += Read::of(&event.kind()).count();
    }
    let events = bodies.len();
    let average = |n: usize| n as f64 / events as f64;
    let text = format!(
        "{:.1} MB of recorded plain events, all recordings again and again: {events} events of {:.0} bytes, {:.0} headers \
         and {:.1} values that are read, on average.",
        traffic.len() as f64 / 1e6,
        average(bodies.iter().map(Bytes::len).sum()),
        average(headers),
        average(values),
    );
    (events, text)
}

/// Everything within one run, with the ratios that carry over to another machine.
pub fn table(runtime: &Runtime, traffic: &Bytes, rounds: usize) -> Section {
    let (events, description) = described(traffic);
    let bodies = readers::bodies(traffic);
    let lines = readers::newlines(traffic);
    let mut into = Vec::with_capacity(traffic.len());
    let bytes = traffic.len();
    let mut section = Section::new("Reading events");

    let [ours, eslrs, tokio, newlines, copy] = contest(
        bytes,
        rounds,
        Clock::Thread,
        vec![
            Contestant::new("ours", events, || readers::ours(traffic)),
            Contestant::new("eslrs", events, || readers::eslrs(runtime, traffic)),
            Contestant::new("freeswitch-esl-tokio", events, || readers::tokio(&bodies)),
            Contestant::new("memchr for every newline", lines, || {
                readers::newlines(traffic)
            }),
            Contestant::new("copying it", bytes, || readers::copy(traffic, &mut into)),
        ],
    )[..] else {
        return section;
    };
    for (peer, goal) in [
        (eslrs, Some(10.0)),
        (tokio, Some(25.0)),
        (newlines, Some(0.13)),
        (copy, None),
    ] {
        section.row(beside("events from a buffer", ours, peer, goal));
    }

    let addr = readers::server(traffic.clone());
    let [ours, bare, eslrs, tokio] = contest(
        bytes,
        rounds,
        Clock::Wall,
        vec![
            Contestant::new("ours", events, || readers::ours_over(runtime, addr)),
            Contestant::new("reading it bare", bytes, || readers::bare_read(addr)),
            Contestant::new("eslrs", events, || readers::eslrs_over(runtime, addr)),
            Contestant::new("freeswitch-esl-tokio", events, || {
                readers::tokio_over(runtime, addr)
            }),
        ],
    )[..] else {
        return section;
    };
    for (peer, goal) in [(bare, Some(0.3)), (eslrs, Some(5.0)), (tokio, None)] {
        section.row(beside("events over loopback", ours, peer, goal));
    }

    section.note(description);
    section.note(
        "All headers are indexed, and the values that the controller reads of an event are read: decoded, but for eslrs, \
         which leaves them percent-encoded. From a buffer by the CPU time of the one thread, over loopback by the clock; \
         the best round of each.",
    );
    section
}

fn beside(
    what: &str,
    (_, ours): (&str, Figure),
    (name, peer): (&str, Figure),
    goal: Option<f64>,
) -> Row {
    let row = Row::new(what, ours).beside(name, peer);
    match goal {
        Some(ratio) => row.at_least(ratio),
        None => row,
    }
}
