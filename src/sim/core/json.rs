//! The two ways in which the server prints JSON of its own: indented with tabs, and compact.
//!
//! Owns the indented way, which is that of cJSON (`cJSON_Print`). Leaves out what is printed, and parsing: the model never
//! reads JSON.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

/// How it is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    /// Without any white space.
    Compact,
    /// With tabs, and a line for each field.
    Indented,
}

/// The text of it; `length` is about how long that will be, bytes.
pub(super) fn print(value: &impl Serialize, style: Style, length: usize) -> String {
    let mut text = Vec::with_capacity(length);
    let printed = match style {
        Style::Compact => {
            let mut printer = Serializer::with_formatter(&mut text, CompactFormatter);
            value.serialize(&mut printer)
        }
        Style::Indented => {
            let mut printer = Serializer::with_formatter(&mut text, Indented::default());
            value.serialize(&mut printer)
        }
    };
    debug_assert!(printed.is_ok(), "what is printed has names that are texts");
    // It is UTF-8, for every part of it is.
    String::from_utf8(text).unwrap_or_default()
}

/// An array is on the line where it begins.
#[derive(Default)]
struct Indented {
    depth: usize,
}

impl Indented {
    fn new_line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"\t"))
    }
}

impl Formatter for Indented {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        // One that is empty ends on a line of its own, too.
        self.new_line(writer)?;
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.new_line(writer)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b":\t")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_has_a_line_and_an_array_has_none() {
        let list = json!([{ "a": 1, "b": [true, { "c": "x\ty" }], "d": {}, "e": [] }, {}]);
        let text = print(&list, Style::Indented, 0);
        let expected = "[{\n\t\t\"a\":\t1,\n\t\t\"b\":\t[true, {\n\t\t\t\t\"c\":\t\"x\\ty\"\n\t\t\t}],\n\t\t\"d\":\t{\n\t\t},\n\
                        \t\t\"e\":\t[]\n\t}, {\n\t}]";
        assert_eq!(text, expected);
        assert_eq!(print(&list, Style::Compact, 0), list.to_string());
    }
}
