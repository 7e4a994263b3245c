//! A comparison of all readers on the same bytes in one run, and its table.
//!
//! Owns the timing and the targets. Other load on the machine only ever makes a reader slower, so the best round of each
//! counts, and the readers take turns.

use std::hint::black_box;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use bytes::Bytes;
use freeswitch_esl::{Event, Frame, FrameParser, Limits};
use roomkeeper_bench::report::{Figure, Row, Section};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use crate::readers;
use crate::traffic::EventClass;

/// A reader in the comparison: its name, its work, and its best time.
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
    /// CPU time of this thread: other threads do not count.
    Thread,
    /// Elapsed time: waiting for a socket uses no CPU time.
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

/// Runs all readers in turn. Returns the throughput of each in its best round.
fn compare(
    bytes: usize,
    rounds: usize,
    clock: Clock,
    mut contestants: Vec<Contestant<'_>>,
) -> Vec<(&'static str, Figure)> {
    let start = Instant::now();
    let shows_progress = std::io::stderr().is_terminal();
    for round in 1..=rounds {
        for contestant in &mut contestants {
            if shows_progress {
                eprint!("\r\x1b[Kround {round} of {rounds}: {}", contestant.name);
            }
            let before = clock.now(start);
            let found = black_box((contestant.run)());
            contestant.best = contestant.best.min(clock.now(start) - before);
            assert_eq!(
                found, contestant.expected,
                "{} missed events",
                contestant.name
            );
        }
    }
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    contestants
        .iter()
        .map(|contestant| {
            (
                contestant.name,
                Figure::throughput(bytes as u64, contestant.best),
            )
        })
        .collect()
}

/// Describes the traffic: events, headers and bytes of each, values that are read.
fn describe(traffic: &Bytes) -> (usize, String) {
    let bodies = readers::bodies(traffic);
    let (mut headers, mut values) = (0, 0);
    let mut rest = traffic.clone();
    let mut parser = FrameParser::new(Limits::default());
    while let Ok(frame) = Frame::take(&mut parser, &mut rest) {
        let event = Event::from_frame(frame).expect("an event");
        headers += event.header_count();
        values += EventClass::from_kind(&event.kind()).count();
    }
    let events = bodies.len();
    let average = |n: usize| n as f64 / events as f64;
    let text = format!(
        "{:.1} MB of recorded plain events, all recordings repeated: {events} events of {:.0} bytes, {:.0} headers \
         and {:.1} read values, on average.",
        traffic.len() as f64 / 1e6,
        average(bodies.iter().map(Bytes::len).sum()),
        average(headers),
        average(values),
    );
    (events, text)
}

/// Runs all comparisons and returns the table. The ratios carry over to another machine.
pub fn table(runtime: &Runtime, traffic: &Bytes, rounds: usize) -> Section {
    let (events, description) = describe(traffic);
    let bodies = readers::bodies(traffic);
    let lines = readers::newlines(traffic);
    let mut into = Vec::with_capacity(traffic.len());
    let bytes = traffic.len();
    let mut section = Section::new("Reading events");

    let [ours, eslrs, tokio, newlines, copy] = compare(
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
    for (peer, target) in [
        (eslrs, Some(10.0)),
        (tokio, Some(25.0)),
        (newlines, Some(0.13)),
        (copy, None),
    ] {
        section.row(compared_row("events from a buffer", ours, peer, target));
    }

    let addr = readers::server(traffic.clone());
    let [ours, bare, eslrs, tokio] = compare(
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
    for (peer, target) in [(bare, Some(0.3)), (eslrs, Some(5.0)), (tokio, None)] {
        section.row(compared_row("events over loopback", ours, peer, target));
    }

    section.note(description);
    section.note(
        "All headers are indexed, and the values that the controller uses are read and decoded; eslrs leaves them \
         percent-encoded. From a buffer: CPU time of the one thread; over loopback: elapsed time. The best round of each.",
    );
    section
}

fn compared_row(
    what: &str,
    (_, ours): (&str, Figure),
    (name, peer): (&str, Figure),
    target: Option<f64>,
) -> Row {
    let row = Row::new(what, ours).beside(name, peer);
    match target {
        Some(ratio) => row.at_least(ratio),
        None => row,
    }
}
