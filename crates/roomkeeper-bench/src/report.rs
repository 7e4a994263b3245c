//! The table that a benchmark prints: what was measured, beside a limit or a peer that was measured in the same run, and
//! whether that is what is to be reached.
//!
//! Owns figures, ratios and how they are written. Leaves out how anything is measured. The harness fills it, and so do
//! the benchmarks under `benches/`.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::machine::Meanwhile;

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// So many a second.
    PerSecond,
    /// Bytes a second.
    BytesPerSecond,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share of one core, 1 being all of it.
    Cores,
    /// So many.
    Count,
}

/// Something that was measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figure {
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
}

impl Figure {
    /// So many in this time.
    pub fn rate(count: u64, took: Duration) -> Self {
        Self {
            value: count as f64 / took.as_secs_f64(),
            unit: Unit::PerSecond,
        }
    }

    /// So many bytes in this time.
    pub fn throughput(bytes: u64, took: Duration) -> Self {
        Self {
            value: bytes as f64 / took.as_secs_f64(),
            unit: Unit::BytesPerSecond,
        }
    }

    /// A time.
    pub fn time(time: Duration) -> Self {
        Self {
            value: time.as_secs_f64(),
            unit: Unit::Seconds,
        }
    }

    /// A size.
    pub fn bytes(bytes: u64) -> Self {
        Self {
            value: bytes as f64,
            unit: Unit::Bytes,
        }
    }

    /// So many.
    pub fn count(count: u64) -> Self {
        Self {
            value: count as f64,
            unit: Unit::Count,
        }
    }

    /// CPU time spent in this time.
    pub fn cores(cpu: Duration, took: Duration) -> Self {
        Self {
            value: cpu.as_secs_f64() / took.as_secs_f64(),
            unit: Unit::Cores,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.value;
        match self.unit {
            Unit::PerSecond => write!(f, "{}/s", thousands(v)),
            Unit::Count => write!(f, "{}", thousands(v)),
            Unit::BytesPerSecond => write!(f, "{} MB/s", thousands(v / 1e6)),
            Unit::Seconds if v < 0.000_1 => write!(f, "{:.1} µs", v * 1e6),
            Unit::Seconds if v < 0.001 => write!(f, "{:.0} µs", v * 1e6),
            Unit::Seconds if v < 0.1 => write!(f, "{:.2} ms", v * 1e3),
            Unit::Seconds if v < 1.0 => write!(f, "{:.0} ms", v * 1e3),
            Unit::Seconds => write!(f, "{v:.1} s"),
            Unit::Bytes if v < 10_240.0 => write!(f, "{} B", thousands(v)),
            Unit::Bytes => write!(f, "{:.1} MiB", v / 1_048_576.0),
            Unit::Cores => write!(f, "{:.1} %", v * 100.0),
        }
    }
}

/// Three digits that matter, with commas.
fn thousands(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut written = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// What is to be reached.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Goal {
    /// Nothing: it is only told.
    Told,
    /// The ratio to what it stands beside is at least this.
    RatioAtLeast(f64),
    /// The ratio to what it stands beside is at most this.
    RatioAtMost(f64),
    /// It is at most this itself.
    AtMost(Figure),
}

/// One line of the table.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    what: String,
    measured: Figure,
    beside: Option<(String, Figure)>,
    goal: Goal,
}

impl Row {
    /// Something that was measured, with nothing to reach.
    pub fn new(what: impl Into<String>, measured: Figure) -> Self {
        Self {
            what: what.into(),
            measured,
            beside: None,
            goal: Goal::Told,
        }
    }

    /// A limit or a peer, in the same unit, measured in the same run.
    #[must_use]
    pub fn beside(mut self, name: impl Into<String>, figure: Figure) -> Self {
        self.beside = Some((name.into(), figure));
        self
    }

    /// The ratio to what it stands beside is to be at least this.
    #[must_use]
    pub fn at_least(mut self, ratio: f64) -> Self {
        self.goal = Goal::RatioAtLeast(ratio);
        self
    }

    /// The ratio to what it stands beside is to be at most this.
    #[must_use]
    pub fn at_most(mut self, ratio: f64) -> Self {
        self.goal = Goal::RatioAtMost(ratio);
        self
    }

    /// The figure itself is to be at most this.
    #[must_use]
    pub fn up_to(mut self, most: Figure) -> Self {
        self.goal = Goal::AtMost(most);
        self
    }

    /// How many times that which it stands beside.
    pub fn ratio(&self) -> Option<f64> {
        self.beside
            .as_ref()
            .map(|(_, figure)| self.measured.value / figure.value)
    }

    /// Whether it is what it is to be; `None` when there is nothing to reach.
    pub fn reached(&self) -> Option<bool> {
        match self.goal {
            Goal::Told => None,
            Goal::RatioAtLeast(least) => Some(self.ratio()? >= least),
            Goal::RatioAtMost(most) => Some(self.ratio()? <= most),
            Goal::AtMost(most) => Some(self.measured.value <= most.value),
        }
    }

    fn cells(&self) -> [String; 6] {
        [
            self.what.clone(),
            self.measured.to_string(),
            self.beside
                .as_ref()
                .map_or_else(String::new, |(name, figure)| format!("{name}: {figure}")),
            self.ratio().map_or_else(String::new, times),
            match self.goal {
                Goal::Told => String::new(),
                Goal::RatioAtLeast(least) => format!("≥ {least} ×"),
                Goal::RatioAtMost(most) => format!("≤ {most} ×"),
                Goal::AtMost(most) => format!("≤ {most}"),
            },
            match self.reached() {
                None => String::new(),
                Some(true) => "yes".to_owned(),
                Some(false) => "**no**".to_owned(),
            },
        ]
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what,
            "measured": self.measured.value,
            "unit": format!("{:?}", self.measured.unit),
            "beside": self.beside.as_ref().map(|(name, figure)| json!({ "name": name, "measured": figure.value })),
            "ratio": self.ratio(),
            "to_reach": self.cells()[4],
            "reached": self.reached(),
        })
    }
}

fn times(ratio: f64) -> String {
    match ratio {
        r if r >= 100.0 => format!("{r:.0} ×"),
        r if r >= 10.0 => format!("{r:.1} ×"),
        r => format!("{r:.2} ×"),
    }
}

/// What one scenario measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Section {
    title: String,
    rows: Vec<Row>,
    notes: Vec<String>,
    of_time: Option<Meanwhile>,
}

impl Section {
    /// A table with no line yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            rows: Vec::new(),
            notes: Vec::new(),
            of_time: None,
        }
    }

    /// Adds a line.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds the percentiles of a latency that was recorded in microseconds, without anything to reach.
    pub fn percentiles(&mut self, what: &str, latency: &Histogram<u64>) {
        for (name, at) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            self.row(Row::new(format!("{what}, {name}"), quantile(latency, at)));
        }
    }

    /// Adds a sentence below the table: how it was done, which stage was slowest.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Says what the machine could do while the figures were taken that depend on it, when that is but a part of all that
    /// was done.
    pub fn took_time(&mut self, meanwhile: Meanwhile) {
        self.of_time = Some(meanwhile);
    }

    /// The same, for whoever reads it.
    pub fn of_time(&self) -> Option<Meanwhile> {
        self.of_time
    }

    /// Its lines.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// A point of a latency that was recorded in microseconds; `at` is 0.5 for the median.
pub fn quantile(latency: &Histogram<u64>, at: f64) -> Figure {
    Figure::time(Duration::from_micros(latency.value_at_quantile(at)))
}

/// A histogram for latencies in microseconds, with three digits that matter.
///
/// # Panics
/// Never: three digits are within what the library can do.
#[must_use]
pub fn latencies() -> Histogram<u64> {
    #[allow(clippy::unwrap_used, reason = "3 is a number of digits that it knows")]
    Histogram::new(3).unwrap()
}

/// Counts one more, of a histogram of [`latencies`].
pub fn record(latencies: &mut Histogram<u64>, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // It grows with what it is told; only what no machine has the memory for does not fit.
    let _ = latencies.record(micros);
}

/// All that was measured in one run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    sections: Vec<Section>,
}

impl Report {
    /// Adds what a scenario measured.
    pub fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Whether all that was to be reached was.
    pub fn all_reached(&self) -> bool {
        self.sections
            .iter()
            .flat_map(Section::rows)
            .all(|row| row.reached() != Some(false))
    }

    /// As a page of Markdown, its columns aligned for people.
    pub fn markdown(&self) -> String {
        self.sections
            .iter()
            .map(Section::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let sections: Vec<Value> = self
            .sections
            .iter()
            .map(|section| {
                json!({
                    "title": section.title,
                    "rows": section.rows.iter().map(Row::json).collect::<Vec<_>>(),
                    "notes": section.notes,
                })
            })
            .collect();
        json!({ "sections": sections, "all_reached": self.all_reached() })
    }
}

const HEAD: [&str; 6] = [
    "what",
    "measured",
    "limit or peer",
    "ratio",
    "to reach",
    "reached",
];

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 6]> = self.rows.iter().map(Row::cells).collect();
        let head = HEAD.map(str::to_owned);
        let width = |column: usize| {
            let cells = std::iter::once(&head).chain(&rows);
            cells
                .map(|cells| console::measure_text_width(&cells[column]))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String; 6]| {
            for (cell, width) in cells.iter().zip(&widths) {
                let pad = width - console::measure_text_width(cell);
                write!(f, "| {cell}{} ", " ".repeat(pad))?;
            }
            writeln!(f, "|")
        };
        writeln!(f, "## {}\n", self.title)?;
        line(f, &head)?;
        for width in &widths {
            write!(f, "|{}", "-".repeat(width + 2))?;
        }
        writeln!(f, "|")?;
        for row in &rows {
            line(f, row)?;
        }
        for note in &self.notes {
            write!(f, "\n{note}\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn per_second(value: f64) -> Figure {
        Figure {
            value,
            unit: Unit::PerSecond,
        }
    }

    #[test]
    fn a_ratio_is_to_what_stands_beside_it() {
        let row = Row::new("parse", per_second(500.0)).beside("a peer", per_second(50.0));
        assert_eq!(row.ratio(), Some(10.0));
        assert_eq!(row.reached(), None);
        assert_eq!(row.clone().at_least(10.0).reached(), Some(true));
        assert_eq!(row.clone().at_least(10.1).reached(), Some(false));
        assert_eq!(row.at_most(9.9).reached(), Some(false));
    }

    #[test]
    fn a_latency_is_told_as_it_was_recorded() {
        let mut all = latencies();
        for ms in [1, 2, 3, 4_000] {
            record(&mut all, Duration::from_millis(ms));
        }
        assert_eq!(quantile(&all, 0.5).to_string(), "2.00 ms");
        assert_eq!(quantile(&all, 1.0).to_string(), "4.0 s");
    }

    #[test]
    fn a_bound_is_of_the_figure_itself() {
        let row = Row::new("p50", Figure::time(Duration::from_millis(2)));
        let at_most = |ms| Figure::time(Duration::from_millis(ms));
        assert_eq!(row.clone().up_to(at_most(2)).reached(), Some(true));
        assert_eq!(row.up_to(at_most(1)).reached(), Some(false));
    }

    #[test]
    fn figures_are_written_as_people_read_them() {
        for (figure, text) in [
            (per_second(1_234_567.4), "1,234,567/s"),
            (per_second(0.5), "0.50/s"),
            (Figure::time(Duration::from_nanos(12_340)), "12.3 µs"),
            (Figure::time(Duration::from_micros(812)), "812 µs"),
            (Figure::time(Duration::from_micros(2_346)), "2.35 ms"),
            (Figure::time(Duration::from_millis(812)), "812 ms"),
            (Figure::time(Duration::from_secs(3)), "3.0 s"),
            (Figure::bytes(812), "812 B"),
            (Figure::bytes(64 << 20), "64.0 MiB"),
            (
                Figure::throughput(2_280_000_000, Duration::from_secs(1)),
                "2,280 MB/s",
            ),
            (
                Figure::cores(Duration::from_millis(5), Duration::from_secs(1)),
                "0.5 %",
            ),
        ] {
            assert_eq!(figure.to_string(), text);
        }
    }

    #[test]
    fn a_report_is_a_table_that_says_what_was_missed() {
        let mut section = Section::new("Reading events");
        section.row(
            Row::new("from a buffer", per_second(500.0))
                .beside("a peer", per_second(100.0))
                .at_least(10.0),
        );
        section.note("Best of 9.");
        let mut report = Report::default();
        report.add(section);
        assert!(!report.all_reached());
        assert_eq!(report.json()["sections"][0]["rows"][0]["ratio"], 5.0);
        let expected = "\
## Reading events

| what          | measured | limit or peer | ratio  | to reach | reached |
|---------------|----------|---------------|--------|----------|---------|
| from a buffer | 500/s    | a peer: 100/s | 5.00 × | ≥ 10 ×   | **no**  |

Best of 9.
";
        assert_eq!(report.markdown(), expected);
    }
}
