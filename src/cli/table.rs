//! Tables that fit the terminal, and times in a zone that is named.
//!
//! An id is never cut: it is there to be copied. Where a row is too long, texts that may be cut are, and then columns
//! that can be spared are left out and named below.

use console::{measure_text_width, pad_str, truncate_str};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// Between two columns.
const GAP: usize = 2;

/// No text is cut to less.
const SHORTEST: usize = 8;

/// What may be done to a column when there is too little room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// Nothing: an id.
    Keep,
    /// Its longest texts are cut.
    Cut,
    /// It is left out; the last one first.
    Spare,
}

/// A table of texts.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<(String, Fit)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no row.
    pub fn new<'a>(head: impl IntoIterator<Item = (&'a str, Fit)>) -> Self {
        Self {
            head: head
                .into_iter()
                .map(|(name, fit)| (name.to_owned(), fit))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, a text for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.head.len(), "a text for each column");
        self.rows.push(cells);
    }

    /// The table in lines of at most `width` columns, if that can be; `None`: as wide as it is.
    pub fn render(&self, width: Option<usize>) -> String {
        let natural: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let texts = self.rows.iter().filter_map(|row| row.get(column));
                let head = measure_text_width(&self.head[column].0);
                texts
                    .map(|text| measure_text_width(text))
                    .max()
                    .unwrap_or(0)
                    .max(head)
            })
            .collect();
        let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
        let mut left_out = Vec::new();
        if let Some(width) = width {
            self.cut(&mut widths, width);
            while total(&widths) > width {
                let spare = (0..widths.len())
                    .rev()
                    .find(|at| self.head[*at].1 == Fit::Spare && widths[*at].is_some());
                let Some(spare) = spare else { break };
                widths[spare] = None;
                left_out.push(self.head[spare].0.as_str());
                // What was cut for it may be longer again.
                for (at, kept) in widths.iter_mut().enumerate() {
                    if kept.is_some() {
                        *kept = Some(natural[at]);
                    }
                }
                self.cut(&mut widths, width);
            }
        }
        let mut text = String::new();
        let head: Vec<String> = self.head.iter().map(|(name, _)| name.clone()).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            let cells = row.iter().zip(&widths).filter_map(|(cell, width)| {
                let width = (*width)?;
                let cut = truncate_str(cell, width, "…");
                Some(pad_str(&cut, width, console::Alignment::Left, None).into_owned())
            });
            let line: Vec<String> = cells.collect();
            text.push_str(line.join(&" ".repeat(GAP)).trim_end());
            text.push('\n');
        }
        if !left_out.is_empty() {
            left_out.reverse();
            text.push_str(&format!(
                "(left out for want of room: {}; --json has all)\n",
                left_out.join(", ")
            ));
        }
        text
    }

    /// Cuts the longest of the columns that may be cut, until all fit or none is left to cut.
    fn cut(&self, widths: &mut [Option<usize>], width: usize) {
        while total(widths) > width {
            let longest = widths
                .iter_mut()
                .zip(&self.head)
                .filter(|(_, (_, fit))| *fit == Fit::Cut)
                .filter_map(|(kept, (name, _))| {
                    let least = SHORTEST.max(measure_text_width(name));
                    kept.as_mut().filter(|kept| **kept > least)
                })
                .max_by_key(|kept| **kept);
            match longest {
                Some(kept) => *kept -= 1,
                None => break,
            }
        }
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let kept: Vec<usize> = widths.iter().flatten().copied().collect();
    kept.iter().sum::<usize>() + GAP * kept.len().saturating_sub(1)
}

/// A value in a cell; `-` for none.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => harmless(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        other @ (Value::Number(_) | Value::Object(_)) => other.to_string(),
    }
}

/// A text without what a terminal would act on: callers choose their names and numbers.
pub fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .filter(|c| !c.is_control() && !turns(*c))
        .collect()
}

/// In which zone times are shown.
#[derive(Clone, Debug)]
pub struct Clock(TimeZone);

impl Clock {
    /// UTC, or where this machine is.
    pub fn new(utc: bool) -> Self {
        Self(if utc {
            TimeZone::UTC
        } else {
            TimeZone::system()
        })
    }

    /// The zone's name, for the head of a column.
    pub fn zone(&self) -> String {
        match self.0.iana_name() {
            Some("Etc/UTC" | "Etc/UCT" | "UTC" | "Zulu") => "UTC".to_owned(),
            Some(name) => name.to_owned(),
            // A machine that does not know where it is counts in UTC; a zone without a name is the machine's own.
            None if self.0.is_unknown() => "UTC".to_owned(),
            None => "local".to_owned(),
        }
    }

    /// The head of a column of times.
    pub fn head(&self, name: &str) -> String {
        format!("{name} ({})", self.zone())
    }

    /// A time of the API, which is RFC 3339 or a text of unix seconds; what is neither is shown as it is.
    pub fn show(&self, value: &Value) -> String {
        let text = value.as_str().unwrap_or_default();
        let at = match text.parse::<i64>() {
            Ok(seconds) => Timestamp::from_second(seconds).ok(),
            Err(_) => text.parse::<Timestamp>().ok(),
        };
        match at {
            Some(at) => at
                .to_zoned(self.0.clone())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string(),
            None => plain(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            ("ID", Fit::Keep),
            ("NAME", Fit::Cut),
            ("N", Fit::Keep),
            ("MADE", Fit::Spare),
            ("BY", Fit::Spare),
        ]);
        table.row(
            [
                "acW68-room-1",
                "a name that is rather long",
                "2",
                "2026-11-21",
                "ann",
            ]
            .map(str::to_owned),
        );
        table.row(["acW68-room-22", "-", "11", "-", "bob"].map(str::to_owned));
        table
    }

    #[test]
    fn a_program_gets_all_of_it() {
        assert_eq!(
            table().render(None),
            "ID             NAME                        N   MADE        BY\n\
             acW68-room-1   a name that is rather long  2   2026-11-21  ann\n\
             acW68-room-22  -                           11  -           bob\n"
        );
    }

    #[test]
    fn texts_are_cut_before_columns_are_left_out_and_ids_never() {
        assert_eq!(
            table().render(Some(50)),
            "ID             NAME            N   MADE        BY\n\
             acW68-room-1   a name that i…  2   2026-11-21  ann\n\
             acW68-room-22  -               11  -           bob\n"
        );
        assert_eq!(
            table().render(Some(40)),
            "ID             NAME       N   MADE\n\
             acW68-room-1   a name t…  2   2026-11-21\n\
             acW68-room-22  -          11  -\n\
             (left out for want of room: BY; --json has all)\n"
        );
        assert_eq!(
            table().render(Some(5)),
            "ID             NAME      N\n\
             acW68-room-1   a name …  2\n\
             acW68-room-22  -         11\n\
             (left out for want of room: MADE, BY; --json has all)\n"
        );
    }

    #[test]
    fn what_a_terminal_would_act_on_is_not_shown_to_it() {
        assert_eq!(plain(&json!("a\u{1b}[2Jb\u{9b}c\u{202e}d\ne")), "a[2Jbcde");
        assert_eq!(plain(&json!(["a", null])), "a,-");
        assert_eq!(plain(&json!("")), "-");
        assert_eq!(plain(&json!(false)), "no");
    }

    #[test]
    fn times_are_in_the_zone_that_the_head_names() {
        let utc = Clock::new(true);
        assert_eq!(utc.head("CREATED"), "CREATED (UTC)");
        assert_eq!(
            utc.show(&json!("2026-05-06T12:34:56Z")),
            "2026-05-06 12:34:56"
        );
        assert_eq!(utc.show(&json!("1778070896")), "2026-05-06 12:34:56");
        assert_eq!(utc.show(&Value::Null), "-");
        assert_eq!(utc.show(&json!("soon")), "soon");
        let there = Clock(TimeZone::fixed(jiff::tz::offset(2)));
        assert_eq!(there.head("CREATED"), "CREATED (local)");
        assert_eq!(there.show(&json!("1778070896")), "2026-05-06 14:34:56");
    }
}
