//! The grammar of an event in JSON.
//!
//! Owns where names and values lie in it, in the same form as `parser` has it for lines. Leaves out how
//! a value is decoded (`event`). What broke is told by `parser`'s error.
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

/// The inside of a JSON string whose opening quote was consumed; the closing one is consumed.
///
/// FreeSWITCH writes strings it never validated: control characters and bytes that are no UTF-8
/// pass, only the quote ends a string.
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

/// A JSON string, as its inside.
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

/// One element of an array: a string's inside or a scalar.
fn json_item(input: &[u8]) -> Step<'_, (&[u8], Shape)> {
    let input = skip_space(input);
    match input.first() {
        Some(b'"') => json_string(input).map(|(rest, s)| (rest, (s, Shape::JsonString))),
        Some(_) => json_scalar(input).map(|(rest, s)| (rest, (s, Shape::JsonScalar))),
        None => Err(Stop::Failure(ParseError::CutShort)),
    }
}

/// The elements of a JSON array, brackets included, handed to `item` one by one.
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

/// Indexes the flat object of an event in JSON that fills `message` from `start`.
///
/// Unlike in a plain event the body is a header like any other (`_body`), so the limit on header
/// bytes does not apply to the block; it applies to every single name.
pub(crate) fn json_object(
    message: &[u8],
    start: usize,
    limits: &Limits,
    mut push: impl FnMut(HeaderSpan),
) -> Result<(), ParseError> {
    let end = message.len();
    // Leaves report what was left of the input, which is turned into an offset here.
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
            // A quote, when there is one, stands between the value and what is left.
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
