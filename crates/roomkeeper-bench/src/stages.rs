//! The durations of the controller's stages: its metrics page at two moments, and the difference.
//!
//! Owns parsing that page. Leaves out the meaning of the metrics, which is documented in `telemetry`.

use std::collections::BTreeMap;
use std::time::Duration;

use roomkeeper::telemetry as names;

/// The stages of an event, in order, with readable names.
pub const EVENT_STAGES: &[(&str, &str)] = &[
    ("wait for the actor", names::ESL_QUEUE_SECONDS),
    ("apply batch", names::APPLY_SECONDS),
    ("commit", names::COMMIT_SECONDS),
    ("wait in the outbox", names::WEBHOOK_HAND_OVER_SECONDS),
    ("POST", names::WEBHOOK_ATTEMPT_SECONDS),
];

/// All series at one moment, summed over their labels: name to value.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Parses a page in the text format of Prometheus; skips other lines.
    pub fn parse(page: &str) -> Self {
        Self::sum_where(page, |_| true)
    }

    /// Parses only the series of this node.
    pub fn parse_for_node(page: &str, node: &str) -> Self {
        let label = format!("node=\"{node}\"");
        Self::sum_where(page, |line| line.contains(&label))
    }

    fn sum_where(page: &str, counts: impl Fn(&str) -> bool) -> Self {
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

    /// A counter or a gauge, summed over its labels; 0 when absent.
    pub fn sum(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// The increase of a counter since `since`.
    pub fn increase(&self, since: &Self, name: &str) -> f64 {
        self.sum(name) - since.sum(name)
    }

    /// The mean and the count of a histogram in seconds since `since`; `None` without values.
    pub fn mean(&self, since: &Self, name: &str) -> Option<(Duration, u64)> {
        let count = self.increase(since, &format!("{name}_count"));
        let sum = self.increase(since, &format!("{name}_sum"));
        // Counts are whole numbers below 2^53.
        (count >= 1.0).then(|| {
            (
                Duration::from_secs_f64((sum / count).max(0.0)),
                count as u64,
            )
        })
    }

    /// Describes the means of these stages since `since`, and names the slowest.
    pub fn stages(&self, since: &Self, stages: &[(&str, &str)]) -> String {
        let means: Vec<(&str, Duration, u64)> = stages
            .iter()
            .filter_map(|(what, name)| {
                let (mean, count) = self.mean(since, name)?;
                Some((*what, mean, count))
            })
            .collect();
        let Some(slowest) = means.iter().max_by_key(|(_, mean, _)| *mean) else {
            return "No stage recorded a duration.".to_owned();
        };
        let described: Vec<String> = means
            .iter()
            .map(|(what, mean, count)| {
                format!("{what} {:.0} µs (× {count})", mean.as_secs_f64() * 1e6)
            })
            .collect();
        format!(
            "Stage means: {}. Slowest: {}.",
            described.join(", "),
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
    fn difference_of_two_moments_sums_all_nodes() {
        let (before, after) = (Metrics::parse(BEFORE), Metrics::parse(AFTER));
        assert!((after.increase(&before, "total") - 2.0).abs() < 1e-9);
        assert_eq!(
            after.mean(&before, "a_seconds"),
            Some((Duration::from_millis(100), 20))
        );
        assert_eq!(after.mean(&before, "nothing"), None);
        let one_node = Metrics::parse_for_node(AFTER, "y");
        assert!((one_node.sum("a_seconds_count") - 10.0).abs() < 1e-9);
        assert_eq!(
            after.stages(
                &before,
                &[
                    ("first", "a_seconds"),
                    ("second", "b_seconds"),
                    ("none", "c")
                ]
            ),
            "Stage means: first 100000 µs (× 20), second 1000 µs (× 1). Slowest: first."
        );
    }
}
