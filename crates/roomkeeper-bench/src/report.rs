//! The table that a benchmark prints: measured figures, beside a limit or a peer from the same run, and whether they reach
//! their targets.
//!
//! Owns figures, ratios and their formats. Leaves out how anything is measured. The harness fills it, and so do the
//! benchmarks under `benches/`.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::machine::MachineSpeed;

/// The unit of a figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Events per second.
    PerSecond,
    /// Bytes per second.
    BytesPerSecond,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share of one core, 1 being all of it.
    Cores,
    /// A count.
    Count,
}

/// A measured value with its unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figure {
    /// The value.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
}

impl Figure {
    /// A rate: `count` in the time `took`.
    pub fn rate(count: u64, took: Duration) -> Self {
        Self {
            value: count as f64 / took.as_secs_f64(),
            unit: Unit::PerSecond,
        }
    }

    /// A rate of bytes.
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

    /// A count.
    pub fn count(count: u64) -> Self {
        Self {
            value: count as f64,
            unit: Unit::Count,
        }
    }

    /// CPU time per elapsed time.
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

/// Formats a number with commas, without decimals from 10 on.
fn thousands(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The target of a row.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Target {
    /// No target.
    None,
    /// Minimum ratio to the figure beside.
    RatioAtLeast(f64),
    /// Maximum ratio to the figure beside.
    RatioAtMost(f64),
    /// Maximum of the figure itself.
    AtMost(Figure),
}

/// One line of the table.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    what: String,
    measured: Figure,
    beside: Option<(String, Figure)>,
    target: Target,
}

impl Row {
    /// A row without a target.
    pub fn new(what: impl Into<String>, measured: Figure) -> Self {
        Self {
            what: what.into(),
            measured,
            beside: None,
            target: Target::None,
        }
    }

    /// Adds a limit or a peer, in the same unit, measured in the same run.
    #[must_use]
    pub fn beside(mut self, name: impl Into<String>, figure: Figure) -> Self {
        self.beside = Some((name.into(), figure));
        self
    }

    /// Sets the minimum ratio to the figure beside.
    #[must_use]
    pub fn at_least(mut self, ratio: f64) -> Self {
        self.target = Target::RatioAtLeast(ratio);
        self
    }

    /// Sets the maximum ratio to the figure beside.
    #[must_use]
    pub fn at_most(mut self, ratio: f64) -> Self {
        self.target = Target::RatioAtMost(ratio);
        self
    }

    /// Sets the maximum of the figure itself.
    #[must_use]
    pub fn up_to(mut self, most: Figure) -> Self {
        self.target = Target::AtMost(most);
        self
    }

    /// Returns the ratio to the figure beside.
    pub fn ratio(&self) -> Option<f64> {
        self.beside
            .as_ref()
            .map(|(_, figure)| self.measured.value / figure.value)
    }

    /// Returns whether the row reaches its target; `None` without a target.
    pub fn reached(&self) -> Option<bool> {
        match self.target {
            Target::None => None,
            Target::RatioAtLeast(least) => Some(self.ratio()? >= least),
            Target::RatioAtMost(most) => Some(self.ratio()? <= most),
            Target::AtMost(most) => Some(self.measured.value <= most.value),
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
            match self.target {
                Target::None => String::new(),
                Target::RatioAtLeast(least) => format!("≥ {least} ×"),
                Target::RatioAtMost(most) => format!("≤ {most} ×"),
                Target::AtMost(most) => format!("≤ {most}"),
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

/// The results of one scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Section {
    title: String,
    rows: Vec<Row>,
    notes: Vec<String>,
    speed: Option<MachineSpeed>,
}

impl Section {
    /// An empty table.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            rows: Vec::new(),
            notes: Vec::new(),
            speed: None,
        }
    }

    /// Adds a row.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds the percentiles of a latency in microseconds, without targets.
    pub fn percentiles(&mut self, what: &str, latency: &Histogram<u64>) {
        for (name, at) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            self.row(Row::new(format!("{what}, {name}"), quantile(latency, at)));
        }
    }

    /// Adds a paragraph below the table, such as the method or the slowest stage.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Sets the machine's speed during the figures that depend on it, for a scenario in which they are only a part of the work.
    pub fn set_speed(&mut self, speed: MachineSpeed) {
        self.speed = Some(speed);
    }

    /// Returns the speed that [`Section::set_speed`] set.
    pub fn speed(&self) -> Option<MachineSpeed> {
        self.speed
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// A quantile of a latency in microseconds; `at` is 0.5 for the median.
pub fn quantile(latency: &Histogram<u64>, at: f64) -> Figure {
    Figure::time(Duration::from_micros(latency.value_at_quantile(at)))
}

/// A histogram for latencies in microseconds, with three significant digits.
///
/// # Panics
/// Never: the library supports three digits.
#[must_use]
pub fn latencies() -> Histogram<u64> {
    #[allow(clippy::unwrap_used, reason = "the library supports 3 digits")]
    Histogram::new(3).unwrap()
}

/// Adds a duration to a histogram of [`latencies`].
pub fn record(latencies: &mut Histogram<u64>, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // The histogram resizes itself; only a value larger than any memory does not fit.
    let _ = latencies.record(micros);
}

/// The results of one run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    sections: Vec<Section>,
}

impl Report {
    /// Adds the results of a scenario.
    pub fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Returns true if no row misses its target.
    pub fn all_reached(&self) -> bool {
        self.sections
            .iter()
            .flat_map(Section::rows)
            .all(|row| row.reached() != Some(false))
    }

    /// Formats the report as Markdown with aligned columns.
    pub fn markdown(&self) -> String {
        self.sections
            .iter()
            .map(Section::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Formats the report for programs.
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
    "target",
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
    fn ratio_is_to_the_figure_beside() {
        let row = Row::new("parse", per_second(500.0)).beside("a peer", per_second(50.0));
        assert_eq!(row.ratio(), Some(10.0));
        assert_eq!(row.reached(), None);
        assert_eq!(row.clone().at_least(10.0).reached(), Some(true));
        assert_eq!(row.clone().at_least(10.1).reached(), Some(false));
        assert_eq!(row.at_most(9.9).reached(), Some(false));
    }

    #[test]
    fn quantiles_are_of_the_recorded_latencies() {
        let mut all = latencies();
        for ms in [1, 2, 3, 4_000] {
            record(&mut all, Duration::from_millis(ms));
        }
        assert_eq!(quantile(&all, 0.5).to_string(), "2.00 ms");
        assert_eq!(quantile(&all, 1.0).to_string(), "4.0 s");
    }

    #[test]
    fn maximum_applies_to_the_figure_itself() {
        let row = Row::new("p50", Figure::time(Duration::from_millis(2)));
        let at_most = |ms| Figure::time(Duration::from_millis(ms));
        assert_eq!(row.clone().up_to(at_most(2)).reached(), Some(true));
        assert_eq!(row.up_to(at_most(1)).reached(), Some(false));
    }

    #[test]
    fn figures_have_readable_units() {
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
    fn report_table_marks_missed_targets() {
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

| what          | measured | limit or peer | ratio  | target | reached |
|---------------|----------|---------------|--------|--------|---------|
| from a buffer | 500/s    | a peer: 100/s | 5.00 × | ≥ 10 × | **no**  |

Best of 9.
";
        assert_eq!(report.markdown(), expected);
    }
}
