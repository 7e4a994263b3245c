//! FreeSWITCH's encodings of header values: percent-encoded on a line, or JSON.
//!
//! Owns the decoding of one value, and each oddity in it as a function named `quirk_*`. Leaves out the choice of
//! headers, and the grammar that found the value (`parser`).

use std::borrow::Cow;

use memchr::memchr;

use crate::parser::Shape;

#[cfg(feature = "json")]
use super::json_value::{json_items, json_unescape};
use super::text::{hex, quirk_any_bytes};

/// Decodes a value to text: invalid UTF-8 is replaced, an array becomes `ARRAY::a|:b`.
pub(super) fn decode(raw: &[u8], shape: Shape) -> Cow<'_, str> {
    match shape {
        Shape::Line => quirk_any_bytes(quirk_percent_and_literal_plus(quirk_undef_is_empty(raw))),
        #[cfg(feature = "json")]
        Shape::JsonString => quirk_any_bytes(json_unescape(quirk_undef_is_empty(raw))),
        #[cfg(feature = "json")]
        Shape::JsonScalar => String::from_utf8_lossy(raw),
        #[cfg(feature = "json")]
        Shape::JsonArray => {
            let mut text = String::from(ARRAY);
            for (n, item) in json_items(raw).iter().enumerate() {
                if n > 0 {
                    text.push_str(ARRAY_SEPARATOR);
                }
                text.push_str(item);
            }
            Cow::Owned(text)
        }
    }
}

/// Returns the elements of an array; any other value is its only element.
pub(super) fn elements(raw: &[u8], shape: Shape) -> Vec<Cow<'_, str>> {
    match shape {
        #[cfg(feature = "json")]
        Shape::JsonArray => json_items(raw),
        #[cfg(feature = "json")]
        Shape::JsonString | Shape::JsonScalar => quirk_array_in_a_string(decode(raw, shape)),
        Shape::Line => quirk_array_in_a_string(decode(raw, shape)),
    }
}

/// Decodes the name in front of a value of that shape. On a line, names are not encoded.
pub(super) fn decode_name(raw: &[u8], shape: Shape) -> Cow<'_, str> {
    match shape {
        Shape::Line => String::from_utf8_lossy(raw),
        #[cfg(feature = "json")]
        Shape::JsonString | Shape::JsonArray | Shape::JsonScalar => {
            quirk_any_bytes(json_unescape(raw))
        }
    }
}

/// The prefix of an array in formats where values are strings.
const ARRAY: &str = "ARRAY::";
/// The separator of its elements.
const ARRAY_SEPARATOR: &str = "|:";

/// Recognizes `_undef_`, which stands for an empty value in a plain event, because an empty header would be dropped.
#[inline]
fn quirk_undef_is_empty(raw: &[u8]) -> &[u8] {
    if raw == b"_undef_" { b"" } else { raw }
}

/// Decodes a value of a plain event: percent-encoded, but unlike a form, `+` is a plus. A `%` without two hexadecimal
/// digits behind it stands for itself. The server does not escape a `%41` in the original value, so this decodes it to an
/// `A`.
#[inline]
fn quirk_percent_and_literal_plus(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'%', raw) else {
        return Cow::Borrowed(raw);
    };
    let (done, mut rest) = raw.split_at(first);
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(done);
    loop {
        match rest {
            [b'%', high, low, tail @ ..] => match hex(*high).zip(hex(*low)) {
                Some((high, low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                None => {
                    out.push(b'%');
                    rest = &rest[1..];
                }
            },
            [b'%', ..] => {
                out.extend_from_slice(rest);
                return Cow::Owned(out);
            }
            _ => {}
        }
        match memchr(b'%', rest) {
            Some(at) => {
                out.extend_from_slice(&rest[..at]);
                rest = &rest[at..];
            }
            None => {
                out.extend_from_slice(rest);
                return Cow::Owned(out);
            }
        }
    }
}

/// Splits an array in formats where values are strings: it is one string `ARRAY::a|:b`; an element that contains `|:`
/// reads as two.
fn quirk_array_in_a_string(value: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    match value {
        Cow::Borrowed(text) => match text.strip_prefix(ARRAY) {
            Some(items) => items.split(ARRAY_SEPARATOR).map(Cow::Borrowed).collect(),
            None => vec![Cow::Borrowed(text)],
        },
        Cow::Owned(text) => match text.strip_prefix(ARRAY) {
            Some(items) => items
                .split(ARRAY_SEPARATOR)
                .map(|item| Cow::Owned(item.to_owned()))
                .collect(),
            None => vec![Cow::Owned(text)],
        },
    }
}
