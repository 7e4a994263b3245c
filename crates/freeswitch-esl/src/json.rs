//! The grammar of an event in JSON.
//!
//! Owns the offsets of names and values, in the same form as `parser` has them for lines. Leaves out the decoding of values
//! (`event`). Errors are those of `parser`.
//!
//! ```text
//! json event  = "{" [ pair *( "," pair ) ] "}"   ; flat: no object inside, see `event`
//! pair        = string ":" ( string / scalar / "[" [ item *( "," item ) ] "]" )
//! ```

use memchr::memchr2;
use nom::{Err as Stop, Parser};

use super::parser::{HeaderSpan, Limits, ParseError, Shape, Step};

fn skip_space(input: &[u8]) -> &[u8] {
    let n = input
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
        .count();
    &input[n..]
}

fn expect(byte: u8) -> impl Fn(&[u8]) -> Step<'_, ()> {
    move |input| {
        let input = skip_space(input);
        match input.first() {
            Some(b) if *b == byte => Ok((&input[1..], ())),
            Some(_) => Err(Stop::Failure(ParseError::Json { at: input.len() })),
            None => Err(Stop::Failure(ParseError::CutShort)),
        }
    }
}

/// Parses the inside of a JSON string whose opening quote was consumed, and consumes the closing one.
///
/// FreeSWITCH writes strings that it never validated: control characters and invalid UTF-8 pass, and only the quote
/// ends a string.
#[inline]
fn quirk_json_string_of_any_bytes(input: &[u8]) -> Step<'_, &[u8]> {
    let mut from = 0;
    while let Some(found) = memchr2(b'"', b'\\', input.get(from..).unwrap_or_default()) {
        let at = from + found;
        if input[at] == b'"' {
            return Ok((&input[at + 1..], &input[..at]));
        }
        from = at + 2;
    }
    Err(Stop::Failure(ParseError::CutShort))
}

/// Parses a JSON string and returns its inside.
pub(crate) fn json_string(input: &[u8]) -> Step<'_, &[u8]> {
    nom::sequence::preceded(expect(b'"'), quirk_json_string_of_any_bytes).parse(input)
}

fn json_scalar(input: &[u8]) -> Step<'_, &[u8]> {
    let n = input
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
        .count();
    if n == 0 {
        return Err(Stop::Failure(ParseError::Json { at: input.len() }));
    }
    Ok((&input[n..], &input[..n]))
}

/// Parses one element of an array: the inside of a string, or a scalar.
fn json_item(input: &[u8]) -> Step<'_, (&[u8], Shape)> {
    let input = skip_space(input);
    match input.first() {
        Some(b'"') => json_string(input).map(|(rest, s)| (rest, (s, Shape::JsonString))),
        Some(_) => json_scalar(input).map(|(rest, s)| (rest, (s, Shape::JsonScalar))),
        None => Err(Stop::Failure(ParseError::CutShort)),
    }
}

/// Parses a JSON array, brackets included, and passes its elements to `item` one by one.
pub(crate) fn json_array<'a>(
    input: &'a [u8],
    mut item: impl FnMut(&'a [u8], Shape),
) -> Step<'a, ()> {
    let (mut rest, ()) = expect(b'[')(input)?;
    if let Ok((rest, ())) = expect(b']')(rest) {
        return Ok((rest, ()));
    }
    loop {
        let (next, (text, shape)) = json_item(rest)?;
        item(text, shape);
        let next = skip_space(next);
        match next.first() {
            Some(b',') => rest = &next[1..],
            Some(b']') => return Ok((&next[1..], ())),
            Some(_) => return Err(Stop::Failure(ParseError::Json { at: next.len() })),
            None => return Err(Stop::Failure(ParseError::CutShort)),
        }
    }
}

fn json_value(input: &[u8]) -> Step<'_, (&[u8], Shape)> {
    let input = skip_space(input);
    if input.first() == Some(&b'[') {
        let (rest, ()) = json_array(input, |_, _| ())?;
        let len = input.len() - rest.len();
        return Ok((rest, (&input[..len], Shape::JsonArray)));
    }
    json_item(input)
}

/// Indexes the flat object of a JSON event that fills `message` from `start`.
///
/// Unlike in a plain event, the body is a header (`_body`), so the limit on header bytes applies to each name instead
/// of the block.
pub(crate) fn json_object(
    message: &[u8],
    start: usize,
    limits: &Limits,
    mut push: impl FnMut(HeaderSpan),
) -> Result<(), ParseError> {
    let end = message.len();
    // Leaf parsers report the remaining input, which becomes an offset here.
    let at = |e: Stop<ParseError>| match e {
        Stop::Error(ParseError::Json { at: left })
        | Stop::Failure(ParseError::Json { at: left }) => ParseError::Json { at: end - left },
        Stop::Error(other) | Stop::Failure(other) => other,
        Stop::Incomplete(_) => ParseError::CutShort,
    };
    let (mut rest, ()) = expect(b'{')(&message[start..]).map_err(at)?;
    let mut count = 0;
    if let Ok((after, ())) = expect(b'}')(rest) {
        rest = after;
    } else {
        loop {
            let (next, (name, (), (value, shape))) = (json_string, expect(b':'), json_value)
                .parse(rest)
                .map_err(at)?;
            if count == limits.headers {
                return Err(ParseError::HeaderCount {
                    limit: limits.headers,
                });
            }
            count += 1;
            // For a string, a quote stands between the value and the rest.
            let value_end = end - next.len() - usize::from(shape == Shape::JsonString);
            let name_at = end - skip_space(rest).len() + 1;
            let span = HeaderSpan::new(name_at, name, value_end - value.len(), value, shape)
                .ok_or(ParseError::Json { at: name_at })?;
            push(span);
            let next = skip_space(next);
            match next.first() {
                Some(b',') => rest = &next[1..],
                Some(b'}') => {
                    rest = &next[1..];
                    break;
                }
                Some(_) => {
                    return Err(ParseError::Json {
                        at: end - next.len(),
                    });
                }
                None => return Err(ParseError::CutShort),
            }
        }
    }
    let rest = skip_space(rest);
    if rest.is_empty() {
        Ok(())
    } else {
        Err(ParseError::Json {
            at: end - rest.len(),
        })
    }
}
