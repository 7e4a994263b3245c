//! What the controller says of its own stages: its page of metrics at two moments, and the difference.
//!
//! Owns reading that page. Leaves out what the metrics mean: `telemetry` says.

use std::collections::BTreeMap;
use std::time::Duration;

use roomkeeper::telemetry as names;

/// The stages on the way of an event, in order, as people call them.
pub const EVENT_STAGES: &[(&str, &str)] = &[
    ("waits for the actor", names::ESL_QUEUE_SECONDS),
    ("batch applied", names::APPLY_SECONDS),
    ("commit", names::COMMIT_SECONDS),
    ("waits in the outbox", names::WEBHOOK_HAND_OVER_SECONDS),
    ("POST", names::WEBHOOK_ATTEMPT_SECONDS),
];

/// All series of one moment, summed over their labels: name to value.
#[derive(Clone, Debug, Default)]
pub struct Moment(BTreeMap<String, f64>);

impl Moment {
    /// Reads a page in the text format of Prometheus; lines that are none of its series are skipped.
    pub fn read(page: &str) -> Self {
        Self::sum_of(page, |_| true)
    }

    /// The same of the series that are of this node.
    pub fn of_node(page: &str, node: &str) -> Self {
        let label = format!("node=\"{node}\"");
        Self::sum_of(page, |line| line.contains(&label))
    }

    fn sum_of(page: &str, counts: impl Fn(&str) -> bool) -> Self {
        let mut sums = BTreeMap::new();
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        for line in lines.filter(|line| counts(line)) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let name = series.split('{').next().unwrap_or(series);
            if let Ok(value) = value.parse::<f64>() {
                *sums.entry(name.to_owned()).or_insert(0.0) += value;
            }
        }
        Self(sums)
    }

    /// A counter or a gauge, summed over its labels; 0 when it is not there.
    pub fn sum(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// How much a counter has grown since.
    pub fn grown(&self, since: &Self, name: &str) -> f64 {
        self.sum(name) - since.sum(name)
    }

    /// The mean and the number of what a histogram in seconds has counted since; `None` when that is nothing.
    pub fn mean(&self, since: &Self, name: &str) -> Option<(Duration, u64)> {
        let count = self.grown(since, &format!("{name}_count"));
        let sum = self.grown(since, &format!("{name}_sum"));
        // Whole numbers, and never that many.
        (count >= 1.0).then(|| {
            (
                Duration::from_secs_f64((sum / count).max(0.0)),
                count as u64,
            )
        })
    }

    /// The means of these stages since, as a sentence that names the slowest.
    pub fn stages(&self, since: &Self, stages: &[(&str, &str)]) -> String {
        let means: Vec<(&str, Duration, u64)> = stages
            .iter()
            .filter_map(|(what, name)| {
                let (mean, count) = self.mean(since, name)?;
                Some((*what, mean, count))
            })
            .collect();
        let Some(slowest) = means.iter().max_by_key(|(_, mean, _)| *mean) else {
            return "No stage counted anything.".to_owned();
        };
        let told: Vec<String> = means
            .iter()
            .map(|(what, mean, count)| {
                format!("{what} {:.0} µs (× {count})", mean.as_secs_f64() * 1e6)
            })
            .collect();
        format!(
            "Stages, means: {}. Slowest: {}.",
            told.join(", "),
            slowest.0
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const BEFORE: &str = "\
# TYPE a_seconds histogram
a_seconds_sum{node=\"x\"} 1
a_seconds_count{node=\"x\"} 10
total{node=\"x\"} 5
";
    const AFTER: &str = "\
a_seconds_sum{node=\"x\"} 2.5
a_seconds_sum{node=\"y\"} 0.5
a_seconds_count{node=\"x\"} 20
a_seconds_count{node=\"y\"} 10
b_seconds_sum 0.001
b_seconds_count 1
total{node=\"x\"} 7
";

    #[test]
    fn what_was_counted_between_two_moments_is_over_all_nodes() {
        let (before, after) = (Moment::read(BEFORE), Moment::read(AFTER));
        assert!((after.grown(&before, "total") - 2.0).abs() < 1e-9);
        assert_eq!(
            after.mean(&before, "a_seconds"),
            Some((Duration::from_millis(100), 20))
        );
        assert_eq!(after.mean(&before, "nothing"), None);
        let of_one = Moment::of_node(AFTER, "y");
        assert!((of_one.sum("a_seconds_count") - 10.0).abs() < 1e-9);
        assert_eq!(
            after.stages(
                &before,
                &[
                    ("first", "a_seconds"),
                    ("second", "b_seconds"),
                    ("none", "c")
                ]
            ),
            "Stages, means: first 100000 µs (× 20), second 1000 µs (× 1). Slowest: first."
        );
    }
}
