//! Tables that fit the terminal, and times with a named zone.
//!
//! comfy-table computes the layout. This module adds the rules for narrow terminals: ids are never cut, because users
//! copy them. Long texts are cut first; then whole columns are omitted, and a line below names them.

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Width, presets};
use console::measure_text_width;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// Spaces between two columns.
const GAP: u16 = 2;

/// The minimum width of a cut text, in terminal columns.
const MIN_CUT_WIDTH: usize = 8;

/// The behaviour of a column in a narrow terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// Never shortened, such as an id.
    Keep,
    /// Long texts are cut.
    Cut,
    /// Omitted, the last such column first.
    Omit,
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

    /// Adds a row with one text per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.head.len(), "one text per column");
        self.rows.push(cells);
    }

    /// Renders the table in lines of at most `width` columns where possible; `None` means without a limit.
    pub fn render(&self, width: Option<usize>) -> String {
        let mut visible: Vec<usize> = (0..self.head.len()).collect();
        while width.is_some_and(|width| self.least_width(&visible) > width) {
            let spare = visible
                .iter()
                .rposition(|column| self.head[*column].1 == Fit::Omit);
            let Some(spare) = spare else { break };
            visible.remove(spare);
        }
        self.render_columns(&visible, width) + &self.name_missing(&visible)
    }

    /// The width of these columns with texts cut as far as possible.
    fn least_width(&self, visible: &[usize]) -> usize {
        let gaps = usize::from(GAP) * visible.len().saturating_sub(1);
        let widths = visible.iter().map(|column| {
            let (name, fit) = &self.head[*column];
            let texts = self
                .rows
                .iter()
                .map(|row| measure_text_width(&row[*column]));
            let name = measure_text_width(name);
            let natural = texts.max().unwrap_or(0).max(name);
            match fit {
                Fit::Keep | Fit::Omit => natural,
                Fit::Cut => natural.min(MIN_CUT_WIDTH.max(name)),
            }
        });
        widths.sum::<usize>() + gaps
    }

    /// Renders these columns, with texts cut as far as necessary.
    fn render_columns(&self, visible: &[usize], width: Option<usize>) -> String {
        let cells = |row: &[String]| {
            let texts: Vec<&str> = visible.iter().map(|column| row[*column].as_str()).collect();
            let mut cells = Row::from(texts);
            cells.max_height(1);
            cells
        };
        let names: Vec<String> = self.head.iter().map(|(name, _)| name.clone()).collect();
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::NOTHING)
            .set_truncation_indicator("…")
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(cells(&names))
            .add_rows(self.rows.iter().map(|row| cells(row)));
        if let Some(width) = width.and_then(|width| u16::try_from(width).ok()) {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        }
        let is_narrow = width.is_some_and(|width| self.least_width(visible) > width);
        let natural = table.column_max_content_widths();
        for (at, column) in table.column_iter_mut().enumerate() {
            let (name, fit) = &self.head[visible[at]];
            let shortest = MIN_CUT_WIDTH.max(measure_text_width(name));
            let shortest = u16::try_from(shortest).unwrap_or(u16::MAX).min(natural[at]);
            let gap = if at + 1 < visible.len() { GAP } else { 0 };
            column
                // No cell contains NUL, so texts are cut anywhere and not at words.
                .set_delimiter('\0')
                .set_padding((0, gap))
                .set_constraint(match fit {
                    Fit::Keep | Fit::Omit => ColumnConstraint::ContentWidth,
                    Fit::Cut if is_narrow => {
                        ColumnConstraint::Absolute(Width::Fixed(shortest + gap))
                    }
                    Fit::Cut => ColumnConstraint::LowerBoundary(Width::Fixed(shortest)),
                });
        }
        table.trim_fmt() + "\n"
    }

    /// A line that names the omitted columns, if there are any.
    fn name_missing(&self, visible: &[usize]) -> String {
        let missing: Vec<&str> = (0..self.head.len())
            .filter(|column| !visible.contains(column))
            .map(|column| self.head[column].0.as_str())
            .collect();
        if missing.is_empty() {
            return String::new();
        }
        let missing = missing.join(", ");
        format!("(columns omitted to fit the terminal: {missing}; --json shows all)\n")
    }
}

/// Renders a value for a cell; `-` for an empty one.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => sanitize(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Removes terminal control characters and bidirectional overrides: callers choose their names and numbers.
pub fn sanitize(text: &str) -> String {
    let is_bidi = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .filter(|c| !c.is_control() && !is_bidi(*c))
        .collect()
}

/// The time zone of shown times.
#[derive(Clone, Debug)]
pub struct Clock(TimeZone);

impl Clock {
    /// UTC, or the zone of this machine.
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
            // A machine without a configured zone uses UTC; a zone without a name is a local one.
            None if self.0.is_unknown() => "UTC".to_owned(),
            None => "local".to_owned(),
        }
    }

    /// The head of a column of times.
    pub fn head(&self, name: &str) -> String {
        format!("{name} ({})", self.zone())
    }

    /// Renders a time of the API, which is RFC 3339 or Unix seconds as text; other values are shown unchanged.
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
            ("MADE", Fit::Omit),
            ("BY", Fit::Omit),
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
    fn table_without_width_is_complete() {
        assert_eq!(
            table().render(None),
            "ID             NAME                        N   MADE        BY\n\
             acW68-room-1   a name that is rather long  2   2026-11-21  ann\n\
             acW68-room-22  -                           11  -           bob\n"
        );
    }

    #[test]
    fn texts_are_cut_before_columns_are_omitted_and_ids_never() {
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
             (columns omitted to fit the terminal: BY; --json shows all)\n"
        );
        assert_eq!(
            table().render(Some(5)),
            "ID             NAME      N\n\
             acW68-room-1   a name …  2\n\
             acW68-room-22  -         11\n\
             (columns omitted to fit the terminal: MADE, BY; --json shows all)\n"
        );
    }

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(plain(&json!("a\u{1b}[2Jb\u{9b}c\u{202e}d\ne")), "a[2Jbcde");
        assert_eq!(plain(&json!(["a", null])), "a,-");
        assert_eq!(plain(&json!("")), "-");
        assert_eq!(plain(&json!(false)), "no");
    }

    #[test]
    fn times_are_in_zone_of_column_head() {
        let utc = Clock::new(true);
        assert_eq!(utc.head("CREATED"), "CREATED (UTC)");
        assert_eq!(
            utc.show(&json!("2026-05-06T12:34:56Z")),
            "2026-05-06 12:34:56"
        );
        assert_eq!(utc.show(&json!("1778070896")), "2026-05-06 12:34:56");
        assert_eq!(utc.show(&Value::Null), "-");
        assert_eq!(utc.show(&json!("soon")), "soon");
        let other = Clock(TimeZone::fixed(jiff::tz::offset(2)));
        assert_eq!(other.head("CREATED"), "CREATED (local)");
        assert_eq!(other.show(&json!("1778070896")), "2026-05-06 14:34:56");
    }
}
