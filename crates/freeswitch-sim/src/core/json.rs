//! The two forms in which the server prints JSON: compact, and indented with tabs.
//!
//! Owns the conversion, which is cJSON's (`cJSON_Print`), and helpers for JSON that is printed by hand. Leaves out the
//! content, and parsing: the model never reads JSON.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// Returns a value as compact JSON.
pub(super) fn compact(value: &impl Serialize) -> String {
    let printed = serde_json::to_string(value);
    debug_assert!(printed.is_ok(), "every printed object has text names");
    printed.unwrap_or_default()
}

/// Appends a JSON string.
pub(super) fn push_text(body: &mut String, text: &str) {
    // Almost all texts need no escapes, so each is searched to its end, many bytes at a time.
    let is_unescaped = |b: u8| b >= b' ' && b != b'"' && b != b'\\';
    if text.bytes().fold(true, |all, b| all & is_unescaped(b)) {
        body.push('"');
        body.push_str(text);
        body.push('"');
    } else {
        body.push_str(&compact(&text));
    }
}

/// Appends a number.
pub(super) fn push_number<N: fmt::Display + PartialEq + From<u8>>(body: &mut String, number: N) {
    // Most numbers are 0.
    if number == N::from(0) {
        body.push('0');
    } else {
        // Writing to a String does not fail.
        let _written = write!(body, "{number}");
    }
}

/// Indents compact JSON with tabs and a line for each field. An array starts on the line of its name.
pub(super) fn indented(compact: &str) -> String {
    let mut text = String::with_capacity(2 * compact.len());
    // For each open bracket, true if it is an object.
    let mut open: Vec<bool> = Vec::new();
    let new_line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n('\t', depth));
    };
    let (mut quoted, mut escaped) = (false, false);
    let mut rest = compact.chars().peekable();
    while let Some(c) = rest.next() {
        if quoted {
            text.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        let in_object = open.last() == Some(&true);
        match c {
            '{' => {
                open.push(true);
                text.push(c);
                if rest.peek() != Some(&'}') {
                    new_line(&mut text, open.len());
                }
            }
            '[' => {
                open.push(false);
                text.push(c);
            }
            '}' => {
                open.pop();
                // An empty one ends on its own line, too.
                new_line(&mut text, open.len());
                text.push(c);
            }
            ']' => {
                open.pop();
                text.push(c);
            }
            ',' if in_object => {
                text.push(c);
                new_line(&mut text, open.len());
            }
            ',' => text.push_str(", "),
            ':' => text.push_str(":\t"),
            other => {
                quoted = other == '"';
                text.push(other);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn indented_json_has_a_line_for_each_field_and_none_for_arrays() {
        let list = json!([{ "a": 1, "b": [true, { "c": "x\ty" }], "d": {}, "e": [] }, {}]);
        let text = indented(&compact(&list));
        let expected = "[{\n\t\t\"a\":\t1,\n\t\t\"b\":\t[true, {\n\t\t\t\t\"c\":\t\"x\\ty\"\n\t\t\t}],\n\t\t\"d\":\t{\n\t\t},\n\
                        \t\t\"e\":\t[]\n\t}, {\n\t}]";
        assert_eq!(text, expected);
    }

    #[test]
    fn indentation_leaves_strings_unchanged() {
        let list = json!([{ "a,b": "{[\"x\\\":,]}" }, { "\\": "\\" }]);
        let text = indented(&compact(&list));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            list
        );
        assert_eq!(text.matches('\n').count(), 4);
        for part in ["", "plain", "a\"b", "a\\b", "a\u{1}b", "\u{fc}\u{7f}"] {
            let mut body = String::new();
            push_text(&mut body, part);
            assert_eq!(body, compact(&part));
        }
        let mut body = String::new();
        for number in [0, 7, -12] {
            push_number(&mut body, number);
        }
        assert_eq!(body, "07-12");
    }
}
