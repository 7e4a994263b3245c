//! The two ways in which the server prints JSON of its own: indented with tabs, and compact.
//!
//! Owns an ordered tree and its printing. Leaves out parsing: the model never reads JSON. Command handlers
//! build trees and print them into replies.

use super::event::json_string;

/// A JSON value whose objects keep their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    /// `true`, `false`.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(&'static str, Json)>),
    /// An object whose keys are not known beforehand.
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Without any white space.
    pub fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// With tabs and new lines.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }

    fn write(&self, out: &mut String, depth: Option<usize>) {
        match self {
            Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Json::Int(number) => out.push_str(&number.to_string()),
            Json::Text(text) => json_string(text, out),
            Json::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(if depth.is_some() { ", " } else { "," });
                    }
                    item.write(out, depth.map(|deep| deep + 1));
                }
                out.push(']');
            }
            Json::Object(fields) => {
                write_object(fields.iter().map(|(key, value)| (*key, value)), out, depth);
            }
            Json::Map(fields) => {
                write_object(
                    fields.iter().map(|(key, value)| (key.as_str(), value)),
                    out,
                    depth,
                );
            }
        }
    }
}

fn write_object<'a>(
    fields: impl Iterator<Item = (&'a str, &'a Json)>,
    out: &mut String,
    depth: Option<usize>,
) {
    out.push('{');
    if depth.is_some() {
        out.push('\n');
    }
    let mut first = true;
    for (key, value) in fields {
        if !first {
            out.push_str(if depth.is_some() { ",\n" } else { "," });
        }
        first = false;
        if let Some(deep) = depth {
            out.push_str(&"\t".repeat(deep + 1));
        }
        json_string(key, out);
        out.push_str(if depth.is_some() { ":\t" } else { ":" });
        value.write(out, depth.map(|deep| deep + 1));
    }
    if let Some(deep) = depth {
        if !first {
            out.push('\n');
        }
        out.push_str(&"\t".repeat(deep));
    }
    out.push('}');
}
