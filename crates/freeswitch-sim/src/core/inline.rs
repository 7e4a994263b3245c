//! Inline dialplans and the arguments of applications.

use super::{Value, channel::Channel};

/// Parses `app:arg,app:arg`; `m:X:` in front makes X the separator.
pub(super) fn parse_inline(text: &str) -> Vec<(String, String)> {
    let mut rest = text;
    let mut separator = ',';
    if let Some(marked) = text.strip_prefix("m:") {
        let mut chars = marked.chars();
        if let Some(mark) = chars.next()
            && let Some(behind) = chars.as_str().strip_prefix(':')
        {
            separator = mark;
            rest = behind;
        }
    }
    rest.split(separator)
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once(':') {
            Some((app, arg)) => (app.to_owned(), arg.to_owned()),
            None => (part.to_owned(), String::new()),
        })
        .collect()
}

/// Replaces `${name}` by channel variables, as in every argument of an application.
pub(super) fn expand(channel: &Channel, arg: &str) -> String {
    let mut out = String::new();
    let mut rest = arg;
    while let Some(at) = rest.find("${") {
        let Some(end) = rest[at..].find('}') else {
            break;
        };
        out.push_str(&rest[..at]);
        if let Some(Value::Text(value)) = channel
            .vars
            .iter()
            .find(|(key, _)| *key == rest[at + 2..at + end])
            .map(|(_, v)| v)
        {
            out.push_str(value);
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out
}

/// Takes the variables of one application alone from the front of its argument: `%[^^;name=value;…]`.
pub(super) fn scoped(arg: &str) -> (Vec<(String, String)>, &str) {
    let scope = arg.strip_prefix("%[").and_then(|rest| rest.split_once(']'));
    let Some((variables, rest)) = scope else {
        return (Vec::new(), arg);
    };
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    (assignments(variables).map(owned).collect(), rest)
}

/// Returns the on and off times of a tone that alternates without end.
pub(super) fn alternation(arg: &str) -> Option<(u64, u64)> {
    let tone = arg.strip_prefix("tone_stream://")?;
    if !tone.contains("loops=-1") {
        return None;
    }
    let inside = tone.split_once("%(")?.1.split_once(')')?.0;
    let mut numbers = inside.split(',').map_while(|text| text.parse::<u64>().ok());
    Some((numbers.next()? * 1000, numbers.next()? * 1000))
}

/// Returns the total length of the tones of `%(on,off,frequency)` descriptions.
pub(super) fn tone_length(arg: &str) -> Option<u64> {
    let loops = arg
        .split_once("loops=")
        .and_then(|(_, rest)| rest.split(';').next())
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(1);
    let mut total = 0;
    for part in arg.split("%(").skip(1) {
        let mut numbers = part
            .split([',', ')'])
            .map_while(|text| text.parse::<u64>().ok());
        total += numbers.next()? + numbers.next().unwrap_or(0);
    }
    Some(total * loops * 1000)
}

/// Parses the argument of `multiset`: `name=value`, separated by spaces, or by `X` after `^^X`.
pub(super) fn assignments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let marked = text.strip_prefix("^^").and_then(|rest| {
        let separator = rest.chars().next()?;
        Some((separator, &rest[separator.len_utf8()..]))
    });
    let (separator, rest) = marked.unwrap_or((' ', text));
    rest.split(separator)
        .filter_map(|pair| pair.split_once('='))
}
