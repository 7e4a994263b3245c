//! The speed of the machine during a measurement.
//!
//! Owns the two reasons why the same program is slow at times: a host that takes CPU time from the machine, which the
//! kernel counts, and other load on the same cores, which nothing counts, so a fixed piece of work measures it. Leaves out
//! the judgement: the reader decides what a figure is worth.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Interval between two runs of the work: short enough for a measurement of one second, and long enough to cost only a few
/// thousandths of one core.
const INTERVAL: Duration = Duration::from_millis(100);

/// Runs in a row, of which the fastest counts: the first one finds the caches full of the measured program's data.
const REPETITIONS: usize = 3;

/// The share of the machine's CPU time that the host may take: below that, a figure's noise is the program's own.
const MAX_STOLEN: f64 = 0.01;

/// How much longer the work may take on average than at best.
const MAX_SLOWDOWN: f64 = 1.15;

/// The CPU time of the whole machine since its start, in ticks, and the part that its host gave to others (`steal` in
/// proc_stat(5)). If that part is large, figures say little about this machine.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    fn now() -> io::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/stat")?).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "/proc/stat has an unexpected format",
            )
        })
    }

    /// Parses the first line, the sum of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal. User includes guests.
    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?;
        let fields = fields
            .split_whitespace()
            .take(8)
            .map(|field| field.parse().ok());
        let fields: Vec<u64> = fields.collect::<Option<_>>()?;
        Some(Self {
            all: fields.iter().sum(),
            stolen: *fields.get(7)?,
        })
    }

    /// Returns the share of CPU time that the host gave to others since `before`: from 0 to 1.
    fn stolen_since(&self, before: &Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

/// The durations of the work so far.
#[derive(Clone, Copy, Debug, Default)]
struct WorkTimes {
    count: u32,
    sum: Duration,
    fastest: Option<Duration>,
}

impl WorkTimes {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.sum += took;
        self.fastest = Some(self.fastest.map_or(took, |fastest| fastest.min(took)));
    }
}

/// Measures the machine on a thread of its own until it is dropped.
#[derive(Debug)]
pub struct Gauge {
    times: Arc<Mutex<WorkTimes>>,
    /// Dropping it ends the thread.
    until: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gauge {
    /// Starts the thread. The work has run once when this returns.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start() -> io::Result<Self> {
        let work = Work::new();
        let mut first = WorkTimes::default();
        first.add(work.run());
        let times = Arc::new(Mutex::new(first));
        let (until, dropped) = channel();
        let thread = thread::Builder::new().name("gauge".to_owned()).spawn({
            let times = Arc::clone(&times);
            move || measure(&work, &times, &dropped)
        })?;
        Ok(Self {
            times,
            until: Some(until),
            thread: Some(thread),
        })
    }

    /// Reads the counters, for [`Gauge::since`].
    ///
    /// # Errors
    /// When `/proc/stat` cannot be read.
    pub fn now(&self) -> io::Result<Reading> {
        Ok(Reading {
            ticks: Ticks::now()?,
            times: *self.times.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// Returns the machine's speed since `then`.
    ///
    /// # Errors
    /// When `/proc/stat` cannot be read.
    pub fn since(&self, then: &Reading) -> io::Result<MachineSpeed> {
        let now = self.now()?;
        let count = now.times.count - then.times.count;
        // The interval was too short for a run of the work: the average of all runs counts.
        let (sum, count) = match count {
            0 => (now.times.sum, now.times.count),
            _ => (now.times.sum - then.times.sum, count),
        };
        Ok(MachineSpeed {
            stolen: now.ticks.stolen_since(&then.ticks),
            piece: sum / count.max(1),
        })
    }

    /// The shortest duration of the work since the start.
    pub fn fastest(&self) -> Duration {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.fastest.unwrap_or_default()
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        drop(self.until.take());
        if let Some(thread) = self.thread.take() {
            // The thread only parses a valid text, so it has not panicked.
            let _ = thread.join();
        }
    }
}

fn measure(work: &Work, times: &Mutex<WorkTimes>, until: &Receiver<()>) {
    while until.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let took = (0..REPETITIONS).map(|_| work.run()).min();
        let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
        times.add(took.unwrap_or_default());
    }
}

/// The counters at one moment, from [`Gauge::now`].
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    ticks: Ticks,
    times: WorkTimes,
}

/// The speed of the machine over an interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MachineSpeed {
    /// The share of CPU time that the host gave to others: from 0 to 1.
    stolen: f64,
    /// The mean CPU time of the work.
    piece: Duration,
}

impl MachineSpeed {
    /// Returns true if the machine was about as fast as at best so far.
    pub fn is_quiet(&self, fastest: Duration) -> bool {
        self.stolen <= MAX_STOLEN && self.piece <= fastest.mul_f64(MAX_SLOWDOWN)
    }

    /// The amount of work per time, to compare two intervals.
    pub fn work_rate(&self) -> f64 {
        (1.0 - self.stolen) / self.piece.as_secs_f64()
    }

    /// Describes the speed for people, beside `fastest`.
    pub fn beside(&self, fastest: Duration) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let micros = |time: Duration| time.as_secs_f64() * 1e6;
            write!(
                f,
                "the machine's host gave {:.1} % of its CPU time to others, and a fixed piece of work took {:.0} µs (fastest in this run: {:.0} µs)",
                self.stolen * 100.0,
                micros(self.piece),
                micros(fastest),
            )
        })
    }
}

/// The work: parsing JSON. A controller does much of that. It has unpredictable branches and uses all resources of a core,
/// so it takes longer while another thread uses the same core.
#[derive(Debug)]
struct Work(String);

impl Work {
    fn new() -> Self {
        let member = |id: u64| {
            json!({
                "id": id,
                "uuid": format!("5f0c9a3e-{:04x}-4d2b-9a57-{:012x}", id * 37 % 65_536, id * 7_919),
                "caller_id_name": format!("Caller {id}"),
                "caller_id_number": format!("+8210{:08}", id * 104_729 % 100_000_000),
                "join_time": id * 13 % 5_000,
                "flags": { "can_hear": true, "can_speak": true, "talking": false, "is_moderator": false },
            })
        };
        Self(Value::from_iter((0..100).map(member)).to_string())
    }

    /// Runs it once and returns this thread's CPU time, which excludes the time of others on the core.
    fn run(&self) -> Duration {
        let start = thread_cpu_time();
        // The text is valid. The result is passed on so that the compiler does not remove the work.
        black_box(serde_json::from_str::<Value>(black_box(&self.0)).ok());
        thread_cpu_time().saturating_sub(start)
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use super::*;

    #[test]
    fn stolen_share_is_of_all_cpu_time() {
        let parse = |line: &str| Ticks::parse(line).unwrap();
        let before = parse("cpu  100 0 50 800 10 0 20 20 7 0\ncpu0 1 2 3\n");
        let after = parse("cpu  150 0 60 820 10 0 30 60 9 0\ncpu0 1 2 3\n");
        assert!((after.stolen_since(&before) - 40.0 / 130.0).abs() < 1e-9);
        assert!(before.stolen_since(&before).abs() < f64::EPSILON);
        for other in ["", "cpu  1 2 3\n", "cpu0 1 2 3 4 5 6 7 8\n"] {
            assert!(Ticks::parse(other).is_none(), "{other}");
        }
        Ticks::now().unwrap();
    }

    #[test]
    fn gauge_works_until_it_is_dropped() {
        let gauge = Gauge::start().unwrap();
        let then = gauge.now().unwrap();
        // There is a figure also before the first run in this interval.
        assert!(gauge.since(&then).unwrap().piece > Duration::ZERO);
        let start = Instant::now();
        while gauge.now().unwrap().times.count < then.times.count + 2 {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "the gauge does no work"
            );
            thread::yield_now();
        }
        let speed = gauge.since(&then).unwrap();
        assert!(gauge.fastest() > Duration::ZERO);
        assert!(speed.piece >= gauge.fastest(), "{speed:?}");
        let times = Arc::downgrade(&gauge.times);
        drop(gauge);
        assert!(times.upgrade().is_none(), "the thread has ended");
    }

    #[test]
    fn slow_or_shared_machine_is_not_quiet() {
        let fastest = Duration::from_micros(100);
        let speed = |stolen, micros| MachineSpeed {
            stolen,
            piece: Duration::from_micros(micros),
        };
        assert!(speed(0.0, 100).is_quiet(fastest));
        assert!(speed(0.01, 114).is_quiet(fastest));
        assert!(!speed(0.02, 100).is_quiet(fastest));
        assert!(!speed(0.0, 120).is_quiet(fastest));
        assert!(speed(0.0, 130).work_rate() > speed(0.3, 120).work_rate());
        assert!(speed(0.05, 100).work_rate() > speed(0.0, 120).work_rate());
        assert_eq!(
            speed(0.025, 130).beside(fastest).to_string(),
            "the machine's host gave 2.5 % of its CPU time to others, and a fixed piece of work took 130 µs \
             (fastest in this run: 100 µs)",
        );
    }
}
