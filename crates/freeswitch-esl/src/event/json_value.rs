//! Decoding of one value of an event in JSON: escapes and arrays. The grammar that finds a value is in `json`.

use std::borrow::Cow;

use memchr::memchr;

use crate::json::json_array;
use crate::parser::Shape;

use super::text::{hex, quirk_any_bytes};

/// Returns the inside of a JSON string without escapes. An unknown escape stands for itself, half of a surrogate pair
/// for U+FFFD.
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

/// Returns the character behind `\u`, joined with the second half of a pair if there is one.
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

/// Returns the elements of an array, decoded.
pub(super) fn json_items(raw: &[u8]) -> Vec<Cow<'_, str>> {
    let mut items = Vec::new();
    // The array was parsed when the event was indexed, so it parses again.
    let _parsed = json_array(raw, |item, shape| {
        items.push(match shape {
            Shape::JsonString => quirk_any_bytes(json_unescape(item)),
            Shape::JsonScalar | Shape::JsonArray | Shape::Line => String::from_utf8_lossy(item),
        });
    });
    items
}
