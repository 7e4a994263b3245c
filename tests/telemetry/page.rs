//! Parses the page of metrics like Prometheus.

use std::collections::BTreeMap;

/// One series of the page.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// All series of a page, in its order.
pub fn parse(page: &str) -> Vec<Series> {
    page.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| series(line).unwrap_or_else(|| panic!("not a series: {line}")))
        .collect()
}

fn series(line: &str) -> Option<Series> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (head, ""),
    };
    // Our label values contain no comma and no quotation mark; otherwise this fails.
    let labels = labels
        .split(',')
        .filter(|label| !label.is_empty())
        .map(|label| {
            let (name, value) = label.split_once('=')?;
            let value = value.strip_prefix('"')?.strip_suffix('"')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect::<Option<_>>()?;
    Some(Series {
        name: name.to_owned(),
        labels,
        value: value.parse().ok()?,
    })
}
