//! A table as `show … as delim` writes it (`show_callback` in mod_commands.c): a line of names, a line for each row, and
//! how many rows there were.
//!
//! Owns that no value is taken for another one. FreeSWITCH escapes nothing, and values come from callers: so what separates
//! values is a character that hardly any has, and a table that has one more of them, or one more line, is refused. That is
//! certain, because the count at its end is FreeSWITCH's own.

use memchr::{memchr, memchr2_iter, memrchr};

use crate::esl::command::DELIMITER;

/// Why nothing is concluded from a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unclear {
    /// It is not a table, or not all of one.
    #[error("not a table, or not all of it")]
    Cut,
    /// It has no such column.
    #[error("the table has no {0}")]
    Column(&'static str),
    /// A value holds what separates values or rows, so it cannot be told what is what.
    #[error("a value of the table holds what separates values")]
    Separator,
}

/// Reads the values of these columns, row by row, as they are written.
///
/// # Errors
/// [`Unclear`]: rows may have been read before, of which nothing is to be concluded.
pub fn rows<const N: usize>(
    table: &[u8],
    columns: [&'static str; N],
    mut row: impl FnMut([&[u8]; N]),
) -> Result<(), Unclear> {
    let (lines, count) = counted(table)?;
    if count == 0 {
        return if lines.is_empty() {
            Ok(())
        } else {
            Err(Unclear::Separator)
        };
    }
    let head = memchr(b'\n', lines).ok_or(Unclear::Cut)?;
    let (head, lines) = (&lines[..head], &lines[head + 1..]);
    let names = head.split(|byte| *byte == DELIMITER);
    // Which of the columns asked for stands at which place.
    let places: Vec<Option<usize>> = names
        .map(|name| columns.iter().position(|c| c.as_bytes() == name))
        .collect();
    if let Some(missing) = (0..N).find(|column| !places.contains(&Some(*column))) {
        return Err(Unclear::Column(columns[missing]));
    }
    let mut left = count;
    let (mut begin, mut place) = (0, 0);
    let mut values = [&[][..]; N];
    for end in memchr2_iter(DELIMITER, b'\n', lines) {
        if let Some(column) = places.get(place).ok_or(Unclear::Separator)? {
            values[*column] = &lines[begin..end];
        }
        begin = end + 1;
        place += 1;
        if lines[end] == b'\n' {
            if place != places.len() || left == 0 {
                return Err(Unclear::Separator);
            }
            left -= 1;
            place = 0;
            row(values);
        }
    }
    if left == 0 && begin == lines.len() {
        Ok(())
    } else {
        Err(Unclear::Cut)
    }
}

/// The lines of a table, and how many rows it says they are: `\n<count> total.\n` ends it.
fn counted(table: &[u8]) -> Result<(&[u8], u64), Unclear> {
    let rest = table.strip_suffix(b" total.\n").ok_or(Unclear::Cut)?;
    let at = memrchr(b'\n', rest).ok_or(Unclear::Cut)?;
    let (lines, count) = rest.split_at(at);
    let count = std::str::from_utf8(&count[1..]).map_err(|_| Unclear::Cut)?;
    Ok((lines, count.parse().map_err(|_| Unclear::Cut)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn read(table: &str) -> Result<Vec<(String, String)>, Unclear> {
        let mut read = Vec::new();
        let table = table.replace('|', "\x1f");
        rows(table.as_bytes(), ["dest", "uuid"], |[dest, uuid]| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            read.push((text(uuid), text(dest)));
        })?;
        Ok(read)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, Unclear> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        Ok(pairs.iter().map(owned).collect())
    }

    #[test]
    fn values_are_found_by_the_names_of_their_columns() {
        let table = "uuid|name|dest\na|x, \"y\"|1\nb|||\n\n2 total.\n";
        assert_eq!(read(table), Err(Unclear::Separator));
        let table = "uuid|name|dest\na|x, \"y\"|1\nb||\n\n2 total.\n";
        assert_eq!(read(table), pairs(&[("a", "1"), ("b", "")]));
        assert_eq!(read("\n0 total.\n"), pairs(&[]));
    }

    #[test]
    fn values_are_found_wherever_a_window_begins() {
        for length in 0..192 {
            let (long, short) = ("x".repeat(length), "y".repeat(length % 7));
            let table = format!("uuid|name|dest\n{short}|{long}|{long}\n|{short}|z\n\n2 total.\n");
            let expected = pairs(&[(&short, &long), ("", "z")]);
            assert_eq!(read(&table), expected, "{length}");
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_no_empty_value() {
        let table = "uuid|name\na|x\n\n1 total.\n";
        assert_eq!(read(table), Err(Unclear::Column("dest")));
    }

    #[test]
    fn what_a_caller_forges_is_refused() {
        // A whole row of their own; one that takes the end of the row before with it; values that move the others.
        for forged in [
            "uuid|name|dest\na|x|1\nb|forged|2\nc|y|3\n\n2 total.\n",
            "uuid|name|dest\na|x|1\nb|forged|3\n\n1 total.\n",
            "uuid|name|dest\na|x|2|1\n\n1 total.\n",
            "uuid|name|dest\na|x\n|1\n\n1 total.\n",
            "uuid|name|dest\na|x\n\n9 total.\n|1\n\n1 total.\n",
            "a\n\n0 total.\n",
        ] {
            assert_eq!(read(forged), Err(Unclear::Separator), "{forged:?}");
        }
    }

    proptest! {
        /// Whatever callers put into their values: the rows as they are, or none, and then it is said that the other form
        /// would tell. Were it taken for a table that was cut, one caller could keep a node from ever being synced.
        #[test]
        fn a_table_is_read_as_it_was_written_or_not_at_all(
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
                prop_assert_eq!(read(&table), Err(Unclear::Separator));
            } else {
                let told: Vec<_> = rows.into_iter().map(|[uuid, _, dest]| (uuid, dest)).collect();
                prop_assert_eq!(read(&table), Ok(told));
            }
        }
    }

    #[test]
    fn what_is_cut_short_is_no_shorter_table() {
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
            Err(Unclear::Cut)
        );
    }
}
