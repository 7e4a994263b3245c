//! What the machine could do while something was measured.
//!
//! Owns what makes the same program slow at other times: a host that gives the machine's CPU time to others, which the
//! kernel counts, and others on the same cores, which nothing counts, so that it is measured by a piece of work that is
//! always the same. Leaves out what becomes of it: whether a figure is worth something, whoever reads it judges.

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

/// How often the piece of work is done: often enough for what takes a second, and rarely enough to cost a few thousandths of
/// one core.
const EVERY: Duration = Duration::from_millis(100);

/// How often it is done in a row, of which the fastest counts: the first finds the caches full of what is measured.
const IN_A_ROW: usize = 3;

/// Which share of the machine's CPU time the host may take: what is left of a figure's noise then is the program's own.
const LITTLE: f64 = 0.01;

/// How much longer than at best the piece of work may take on average.
const MUCH_SLOWER: f64 = 1.15;

/// The CPU time of all of the machine since it was started, in ticks, and how much of it its host gave to others: while that
/// is much, figures say little of this machine (`steal` in proc_stat(5)).
#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    fn now() -> io::Result<Self> {
        Self::told(&fs::read_to_string("/proc/stat")?).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "/proc/stat is not as it should be",
            )
        })
    }

    /// The first line is that of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user.
    fn told(stat: &str) -> Option<Self> {
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

    /// Which share of its time the host gave to others since `before`: from 0 to 1.
    fn stolen_since(&self, before: &Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

/// How long the piece of work took so far.
#[derive(Clone, Copy, Debug, Default)]
struct Pieces {
    count: u32,
    sum: Duration,
    fastest: Option<Duration>,
}

impl Pieces {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.sum += took;
        self.fastest = Some(self.fastest.map_or(took, |fastest| fastest.min(took)));
    }
}

/// Measures the machine on a thread of its own until it is dropped.
#[derive(Debug)]
pub struct Gauge {
    pieces: Arc<Mutex<Pieces>>,
    /// Dropped to end it.
    until: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gauge {
    /// Starts; the piece of work has been done once when it returns.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start() -> io::Result<Self> {
        let work = Work::new();
        let mut first = Pieces::default();
        first.add(work.once());
        let pieces = Arc::new(Mutex::new(first));
        let (until, dropped) = channel();
        let thread = thread::Builder::new().name("gauge".to_owned()).spawn({
            let pieces = Arc::clone(&pieces);
            move || measure(&work, &pieces, &dropped)
        })?;
        Ok(Self {
            pieces,
            until: Some(until),
            thread: Some(thread),
        })
    }

    /// Now, for [`Gauge::since`].
    ///
    /// # Errors
    /// When `/proc/stat` cannot be read.
    pub fn now(&self) -> io::Result<Moment> {
        Ok(Moment {
            ticks: Ticks::now()?,
            pieces: *self.pieces.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }

    /// What the machine could do since then.
    ///
    /// # Errors
    /// When `/proc/stat` cannot be read.
    pub fn since(&self, then: &Moment) -> io::Result<Meanwhile> {
        let now = self.now()?;
        let count = now.pieces.count - then.pieces.count;
        // Nothing was done in a time that was too short for it: then it is as it was.
        let (sum, count) = match count {
            0 => (now.pieces.sum, now.pieces.count),
            _ => (now.pieces.sum - then.pieces.sum, count),
        };
        Ok(Meanwhile {
            stolen: now.ticks.stolen_since(&then.ticks),
            piece: sum / count.max(1),
        })
    }

    /// How long the piece of work took at best, since it was started.
    pub fn fastest(&self) -> Duration {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.fastest.unwrap_or_default()
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        drop(self.until.take());
        if let Some(thread) = self.thread.take() {
            // All that it does is to read a text that can be read: it has not panicked.
            let _ = thread.join();
        }
    }
}

fn measure(work: &Work, pieces: &Mutex<Pieces>, until: &Receiver<()>) {
    while until.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let took = (0..IN_A_ROW).map(|_| work.once()).min();
        let mut pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.add(took.unwrap_or_default());
    }
}

/// When [`Gauge::now`] was asked.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    ticks: Ticks,
    pieces: Pieces,
}

/// What the machine could do for a while.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Meanwhile {
    /// Which share of its time the host gave to others: from 0 to 1.
    stolen: f64,
    /// How much CPU time the piece of work took on average.
    piece: Duration,
}

impl Meanwhile {
    /// Whether it was about as fast as it can be, as far as that has been seen.
    pub fn is_quiet(&self, fastest: Duration) -> bool {
        self.stolen <= LITTLE && self.piece <= fastest.mul_f64(MUCH_SLOWER)
    }

    /// How much of the work could be done in a while, to compare with another.
    pub fn speed(&self) -> f64 {
        (1.0 - self.stolen) / self.piece.as_secs_f64()
    }

    /// For people, `fastest` beside it.
    pub fn beside(&self, fastest: Duration) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let micros = |time: Duration| time.as_secs_f64() * 1e6;
            write!(
                f,
                "the machine's host gave {:.1} % of its CPU time to others, and a piece of work that is always the same took {:.0} µs; {:.0} µs is the fastest that it has been in this run",
                self.stolen * 100.0,
                micros(self.piece),
                micros(fastest),
            )
        })
    }
}

/// The piece of work: JSON is read. That is much of what a controller does, it has jumps that are not foreseen, and it makes
/// use of all that a core has, so that it takes longer while another makes use of the same core.
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

    /// The CPU time of this thread that it takes. That leaves out when others had the core.
    fn once(&self) -> Duration {
        let begun = own_time();
        // It is ours and can be read; what came of it is looked at so that it is not left out.
        black_box(serde_json::from_str::<Value>(black_box(&self.0)).ok());
        own_time().saturating_sub(begun)
    }
}

fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use super::*;

    #[test]
    fn what_the_host_gave_to_others_is_a_share_of_all() {
        let told = |line: &str| Ticks::told(line).unwrap();
        let before = told("cpu  100 0 50 800 10 0 20 20 7 0\ncpu0 1 2 3\n");
        let after = told("cpu  150 0 60 820 10 0 30 60 9 0\ncpu0 1 2 3\n");
        assert!((after.stolen_since(&before) - 40.0 / 130.0).abs() < 1e-9);
        assert!(before.stolen_since(&before).abs() < f64::EPSILON);
        for other in ["", "cpu  1 2 3\n", "cpu0 1 2 3 4 5 6 7 8\n"] {
            assert!(Ticks::told(other).is_none(), "{other}");
        }
        Ticks::now().unwrap();
    }

    #[test]
    fn the_gauge_does_its_piece_of_work_until_it_is_dropped() {
        let gauge = Gauge::start().unwrap();
        let then = gauge.now().unwrap();
        // There is a figure also before the first one in this while.
        assert!(gauge.since(&then).unwrap().piece > Duration::ZERO);
        let begun = Instant::now();
        while gauge.now().unwrap().pieces.count < then.pieces.count + 2 {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does nothing");
            thread::yield_now();
        }
        let meanwhile = gauge.since(&then).unwrap();
        assert!(gauge.fastest() > Duration::ZERO);
        assert!(meanwhile.piece >= gauge.fastest(), "{meanwhile:?}");
        let pieces = Arc::downgrade(&gauge.pieces);
        drop(gauge);
        assert!(pieces.upgrade().is_none(), "the thread has ended");
    }

    #[test]
    fn a_machine_that_is_slow_or_shared_is_not_quiet() {
        let fastest = Duration::from_micros(100);
        let of = |stolen, micros| Meanwhile {
            stolen,
            piece: Duration::from_micros(micros),
        };
        assert!(of(0.0, 100).is_quiet(fastest));
        assert!(of(0.01, 114).is_quiet(fastest));
        assert!(!of(0.02, 100).is_quiet(fastest));
        assert!(!of(0.0, 120).is_quiet(fastest));
        assert!(of(0.0, 130).speed() > of(0.3, 120).speed());
        assert!(of(0.05, 100).speed() > of(0.0, 120).speed());
        assert_eq!(
            of(0.025, 130).beside(fastest).to_string(),
            "the machine's host gave 2.5 % of its CPU time to others, and a piece of work that is always the same took 130 µs; \
             100 µs is the fastest that it has been in this run",
        );
    }
}
