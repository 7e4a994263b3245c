//! Parses tables of `show … as delim` (`show_callback` in mod_commands.c): a line of column names, a line for each row, and
//! the number of rows.
//!
//! No value is taken for another one. FreeSWITCH escapes nothing, and values come from callers. So the separator is a
//! character that hardly any value contains, and a table with an extra separator or line is refused. That is reliable,
//! because FreeSWITCH itself writes the count at the end.

use memchr::{memchr, memchr2_iter, memrchr};

use freeswitch_esl::command::DELIMITER;

/// The reason why a table is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TableError {
    /// It is not a complete table.
    #[error("not a complete table")]
    Cut,
    /// It lacks a column.
    #[error("the table has no column {0}")]
    Column(&'static str),
    /// A value contains a separator of values or rows, so the table is ambiguous.
    #[error("a value of the table contains a separator")]
    Separator,
}

/// Parses the values of these columns, row by row.
///
/// # Errors
/// Fails with a [`TableError`], possibly after some rows, which the caller must then ignore.
pub fn rows<const N: usize>(
    table: &[u8],
    columns: [&'static str; N],
    mut row: impl FnMut([&[u8]; N]),
) -> Result<(), TableError> {
    let (lines, count) = counted(table)?;
    if count == 0 {
        return if lines.is_empty() {
            Ok(())
        } else {
            Err(TableError::Separator)
        };
    }
    let head = memchr(b'\n', lines).ok_or(TableError::Cut)?;
    let (head, lines) = (&lines[..head], &lines[head + 1..]);
    let names = head.split(|byte| *byte == DELIMITER);
    // The requested column at each position.
    let places: Vec<Option<usize>> = names
        .map(|name| columns.iter().position(|c| c.as_bytes() == name))
        .collect();
    if let Some(missing) = (0..N).find(|column| !places.contains(&Some(*column))) {
        return Err(TableError::Column(columns[missing]));
    }
    let mut remaining = count;
    let (mut begin, mut position) = (0, 0);
    let mut values = [&[][..]; N];
    for end in memchr2_iter(DELIMITER, b'\n', lines) {
        if let Some(column) = places.get(position).ok_or(TableError::Separator)? {
            values[*column] = &lines[begin..end];
        }
        begin = end + 1;
        position += 1;
        if lines[end] == b'\n' {
            if position != places.len() || remaining == 0 {
                return Err(TableError::Separator);
            }
            remaining -= 1;
            position = 0;
            row(values);
        }
    }
    if remaining == 0 && begin == lines.len() {
        Ok(())
    } else {
        Err(TableError::Cut)
    }
}

/// Splits a table into its lines and its number of rows: `\n<count> total.\n` ends it.
fn counted(table: &[u8]) -> Result<(&[u8], u64), TableError> {
    let rest = table.strip_suffix(b" total.\n").ok_or(TableError::Cut)?;
    let at = memrchr(b'\n', rest).ok_or(TableError::Cut)?;
    let (lines, count) = rest.split_at(at);
    let count = std::str::from_utf8(&count[1..]).map_err(|_| TableError::Cut)?;
    Ok((lines, count.parse().map_err(|_| TableError::Cut)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn read(table: &str) -> Result<Vec<(String, String)>, TableError> {
        let mut read = Vec::new();
        let table = table.replace('|', "\x1f");
        rows(table.as_bytes(), ["dest", "uuid"], |[dest, uuid]| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            read.push((text(uuid), text(dest)));
        })?;
        Ok(read)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, TableError> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        Ok(pairs.iter().map(owned).collect())
    }

    #[test]
    fn values_are_found_by_column_name() {
        let table = "uuid|name|dest\na|x, \"y\"|1\nb|||\n\n2 total.\n";
        assert_eq!(read(table), Err(TableError::Separator));
        let table = "uuid|name|dest\na|x, \"y\"|1\nb||\n\n2 total.\n";
        assert_eq!(read(table), pairs(&[("a", "1"), ("b", "")]));
        assert_eq!(read("\n0 total.\n"), pairs(&[]));
    }

    #[test]
    fn values_are_found_at_any_alignment() {
        for length in 0..192 {
            let (long, short) = ("x".repeat(length), "y".repeat(length % 7));
            let table = format!("uuid|name|dest\n{short}|{long}|{long}\n|{short}|z\n\n2 total.\n");
            let expected = pairs(&[(&short, &long), ("", "z")]);
            assert_eq!(read(&table), expected, "{length}");
        }
    }

    #[test]
    fn missing_column_is_an_error() {
        let table = "uuid|name\na|x\n\n1 total.\n";
        assert_eq!(read(table), Err(TableError::Column("dest")));
    }

    #[test]
    fn forged_values_are_refused() {
        // A whole forged row; a row that swallows the end of the previous one; values that shift the others.
        for forged in [
            "uuid|name|dest\na|x|1\nb|forged|2\nc|y|3\n\n2 total.\n",
            "uuid|name|dest\na|x|1\nb|forged|3\n\n1 total.\n",
            "uuid|name|dest\na|x|2|1\n\n1 total.\n",
            "uuid|name|dest\na|x\n|1\n\n1 total.\n",
            "uuid|name|dest\na|x\n\n9 total.\n|1\n\n1 total.\n",
            "a\n\n0 total.\n",
        ] {
            assert_eq!(read(forged), Err(TableError::Separator), "{forged:?}");
        }
    }

    proptest! {
        /// For any values of callers, the parser returns the exact rows or refuses the table as ambiguous, so that the JSON
        /// form is read. If it reported a truncated table instead, one caller could keep a node from ever being synced.
        #[test]
        fn table_is_read_unchanged_or_refused(
            rows in prop::collection::vec(["[ax|\n0 total.]{0,8}", "[a|\n]{0,3}", "[a]{0,3}"], 0..5)
        ) {
            let mut table = String::new();
            if !rows.is_empty() {
                table.push_str("uuid|name|dest\n");
            }
            for [uuid, name, dest] in &rows {
                table.push_str(&format!("{uuid}|{name}|{dest}\n"));
            }
            table.push_str(&format!("\n{} total.\n", rows.len()));
            let separates = |value: &String| value.contains(['|', '\n']);
            if rows.iter().flatten().any(separates) {
                prop_assert_eq!(read(&table), Err(TableError::Separator));
            } else {
                let read_rows: Vec<_> = rows.into_iter().map(|[uuid, _, dest]| (uuid, dest)).collect();
                prop_assert_eq!(read(&table), Ok(read_rows));
            }
        }
    }

    #[test]
    fn truncated_table_is_refused() {
        let table = "uuid|name|dest\na|x|1\nb|y|2\n\n2 total.\n";
        for length in 0..table.len() {
            assert!(read(&table[..length]).is_err(), "{length}");
        }
        for end in ["1 total.\n", "3 total.\n", "-ERR SQL error [x]\n"] {
            let other = table.replace("2 total.\n", end);
            assert!(read(&other).is_err(), "{end:?}");
        }
        assert_eq!(
            read("uuid|name|dest\na|x|1\n\n x total.\n"),
            Err(TableError::Cut)
        );
    }
}
