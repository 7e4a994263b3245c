//! The two ways in which the server prints JSON of its own: indented with tabs, and compact.
//!
//! Owns an ordered tree and its printing. Leaves out parsing: the model never reads JSON. Command handlers
//! build trees and print them into replies.

use std::borrow::{Borrow, Cow};
use std::fmt::Write;

use super::event::json_string;

/// A JSON value whose objects keep their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    /// `true`, `false`.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object.
    Object(Vec<(&'static str, Json<'a>)>),
    /// An object whose keys are not known beforehand.
    Map(Vec<(&'a str, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// A string that is somebody else's.
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Without any white space.
    pub fn compact(&self) -> Box<str> {
        let mut out = String::new();
        self.write(&mut out, None);
        out.into_boxed_str()
    }

    /// Appends it: without any white space, or with tabs and new lines from this depth on.
    pub fn write(&self, out: &mut String, depth: Option<usize>) {
        match self {
            Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Json::Int(number) => {
                // A String takes all that is written.
                let _ = write!(out, "{number}");
            }
            Json::Text(text) => json_string(text, out),
            Json::List(items) => {
                write_list(items.iter(), out, depth);
            }
            Json::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| (*key, value));
                write_object(fields, write_name, out, depth);
            }
            Json::Map(fields) => {
                let fields = fields.iter().map(|(key, value)| (*key, value));
                write_object(fields, json_string, out, depth);
            }
        }
    }
}

/// Appends an array, whose items may be made one after the other.
pub(super) fn write_list<'a>(
    items: impl Iterator<Item = impl Borrow<Json<'a>>>,
    out: &mut String,
    depth: Option<usize>,
) {
    out.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push_str(if depth.is_some() { ", " } else { "," });
        }
        item.borrow().write(out, depth.map(|deep| deep + 1));
    }
    out.push(']');
}

/// Appends a name that is written in this program, and in which nothing is to be escaped.
fn write_name(name: &str, out: &mut String) {
    for part in ["\"", name, "\""] {
        out.push_str(part);
    }
}

fn write_object<'a>(
    fields: impl Iterator<Item = (&'a str, &'a Json<'a>)>,
    write_key: impl Fn(&str, &mut String),
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
        write_key(key, out);
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
