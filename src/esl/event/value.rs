//! How FreeSWITCH writes the values of headers: percent-encoded on a line, or as JSON.
//!
//! Owns the decoding of one value, and each oddity in it as a function named `quirk_*`. Leaves out
//! which header is meant, and the grammar that found it (`parser`).

use std::borrow::Cow;

use memchr::memchr;

use crate::esl::json;
use crate::esl::parser::Shape;

/// A value as text: bytes that are no UTF-8 replaced, an array as `ARRAY::a|:b`.
pub(super) fn decode(raw: &[u8], shape: Shape) -> Cow<'_, str> {
    match shape {
        Shape::Line => quirk_any_bytes(quirk_percent_and_literal_plus(quirk_undef_is_empty(raw))),
        Shape::JsonString => quirk_any_bytes(json_unescape(quirk_undef_is_empty(raw))),
        Shape::JsonScalar => String::from_utf8_lossy(raw),
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

/// The elements of an array; a value that is none is its only element.
pub(super) fn elements(raw: &[u8], shape: Shape) -> Vec<Cow<'_, str>> {
    match shape {
        Shape::JsonArray => json_items(raw),
        Shape::Line | Shape::JsonString | Shape::JsonScalar => {
            quirk_array_in_a_string(decode(raw, shape))
        }
    }
}

/// The name in front of a value of that shape. On a line it is written as it is.
pub(super) fn decode_name(raw: &[u8], shape: Shape) -> Cow<'_, str> {
    match shape {
        Shape::Line => String::from_utf8_lossy(raw),
        Shape::JsonString | Shape::JsonArray | Shape::JsonScalar => {
            quirk_any_bytes(json_unescape(raw))
        }
    }
}

/// How an array starts where values are strings.
const ARRAY: &str = "ARRAY::";
/// What stands between its elements.
const ARRAY_SEPARATOR: &str = "|:";

/// An empty value is written `_undef_` in a plain event, since an empty header would be dropped.
#[inline]
fn quirk_undef_is_empty(raw: &[u8]) -> &[u8] {
    if raw == b"_undef_" { b"" } else { raw }
}

/// Values of a plain event are percent-encoded, but not as a form is: `+` is a plus. A `%` that no
/// two hex digits follow is itself. What stood as `%41` in the value is not escaped again by the
/// server, and cannot be told from an `A`.
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

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|n| u8::try_from(n).ok())
}

/// Nothing is validated on its way through FreeSWITCH: a caller's name can hold any bytes. They
/// must not cost the event, since a member has joined whatever its name is.
#[inline]
fn quirk_any_bytes(value: Cow<'_, [u8]>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes)
                .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
        ),
    }
}

/// Where values are strings, an array is one string `ARRAY::a|:b`; an element that holds `|:`
/// cannot be told from two.
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

/// The inside of a JSON string without its escapes. An escape that JSON does not have stands for
/// itself, half of a surrogate pair for U+FFFD.
pub(super) fn json_unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', raw) else {
        return Cow::Borrowed(raw);
    };
    let (done, mut rest) = raw.split_at(first);
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(done);
    while let [b'\\', escape, tail @ ..] = rest {
        rest = tail;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'"' | b'\\' | b'/' => out.push(*escape),
            b'u' => {
                let (text, tail) = unicode_escape(rest);
                out.extend_from_slice(text.encode_utf8(&mut [0; 4]).as_bytes());
                rest = tail;
            }
            other => out.extend_from_slice(&[b'\\', *other]),
        }
        let plain = memchr(b'\\', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

fn four_hex(input: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, tail) = input.split_first_chunk::<4>()?;
    let mut unit = 0;
    for digit in digits {
        unit = unit << 4 | u32::from(hex(*digit)?);
    }
    Some((unit, tail))
}

/// The character behind `\u`, with the second half of a pair if there is one.
fn unicode_escape(input: &[u8]) -> (char, &[u8]) {
    let Some((unit, tail)) = four_hex(input) else {
        return (char::REPLACEMENT_CHARACTER, input);
    };
    if let Some(found) = char::from_u32(unit) {
        return (found, tail);
    }
    if (0xD800..0xDC00).contains(&unit)
        && let Some((low, after)) = tail.strip_prefix(b"\\u").and_then(four_hex)
        && (0xDC00..0xE000).contains(&low)
        && let Some(found) = char::from_u32(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
    {
        return (found, after);
    }
    (char::REPLACEMENT_CHARACTER, tail)
}

fn json_items(raw: &[u8]) -> Vec<Cow<'_, str>> {
    let mut items = Vec::new();
    // The array was walked once when the event was indexed, so it parses.
    let _parsed = json::json_array(raw, |item, shape| {
        items.push(match shape {
            Shape::JsonString => quirk_any_bytes(json_unescape(item)),
            Shape::JsonScalar | Shape::JsonArray | Shape::Line => String::from_utf8_lossy(item),
        });
    });
    items
}
