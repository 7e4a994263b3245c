//! References to rooms, calls, endpoints and deliveries: names, ids, and prefixes of ids.
//!
//! Owns which object a text refers to, and the shortest prefix of an id that refers to it. Both follow the same rules,
//! so that a shortened id in a table is accepted as an argument. Leaves out where the objects come from.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::Failure;
use super::table::{plain, sanitize};

/// The length of a UUID with hyphens.
const UUID: usize = 36;

/// The least number of characters of a shortened id behind its stem.
const SHORTEST: usize = 8;

/// The greatest number of candidates that an error lists.
const MAX_LISTED: usize = 10;

/// The kind of the object that a text refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A room, by name or id.
    Room,
    /// A call, by its caller's number or id.
    Call,
    /// A member of a room, by its caller's number or its call's id.
    Member,
    /// A webhook endpoint, by URL or id.
    Endpoint,
    /// A delivery, by id.
    Delivery,
}

impl Kind {
    const fn noun(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Call => "call",
            Self::Member => "member",
            Self::Endpoint => "webhook endpoint",
            Self::Delivery => "delivery",
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Room => "rooms",
            Self::Call => "calls",
            Self::Member => "members",
            Self::Endpoint => "webhook endpoints",
            Self::Delivery => "deliveries",
        }
    }

    /// True if a name takes precedence over a prefix. A caller chooses its number, so it must not hide another call.
    const fn has_unique_names(self) -> bool {
        matches!(self, Self::Room | Self::Endpoint)
    }
}

/// An object that a text can refer to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The id.
    pub id: String,
    /// The name, the caller's number, or the URL.
    pub name: String,
}

impl Candidate {
    /// Reads the candidates of a list, with these fields as id and name.
    pub fn from_rows(rows: &Value, id: &str, name: &str) -> Vec<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter()
            .map(|row| Self {
                id: text(&row[id]),
                name: text(&row[name]),
            })
            .collect()
    }
}

/// Returns the one candidate that `text` refers to.
///
/// A text that contains the id's stem and more is a prefix of an id. Any other text is a name, a caller's number, or a
/// prefix of an id with or without its stem.
///
/// # Errors
/// [`Failure::NotFound`], and [`Failure::Ambiguous`] with the candidates.
pub fn find<'a>(
    kind: Kind,
    text: &str,
    candidates: &'a [Candidate],
) -> Result<&'a Candidate, Failure> {
    let select = |accepts: &dyn Fn(&Candidate) -> bool| -> Vec<&'a Candidate> {
        candidates.iter().filter(|each| accepts(each)).collect()
    };
    let is_name = |each: &Candidate| !text.is_empty() && each.name == text;
    let is_prefix = |each: &Candidate| {
        !text.is_empty()
            && (each.id.starts_with(text) || each.id[stem(&each.id)..].starts_with(text))
    };
    let by_id = select(&|each| text.len() > stem(&each.id) && each.id.starts_with(text));
    let found = if !by_id.is_empty() {
        by_id
    } else if kind.has_unique_names() {
        let by_name = select(&is_name);
        if by_name.is_empty() {
            select(&is_prefix)
        } else {
            by_name
        }
    } else {
        select(&|each| is_name(each) || is_prefix(each))
    };
    match found.as_slice() {
        [] => Err(Failure::NotFound(format!(
            "there is no {} {text:?}",
            kind.noun()
        ))),
        [one] => Ok(one),
        several => Err(Failure::Ambiguous(ambiguous(kind, text, several))),
    }
}

fn ambiguous(kind: Kind, text: &str, several: &[&Candidate]) -> String {
    let mut message = format!(
        "{text:?} refers to {} {}; give more of the id:",
        several.len(),
        kind.plural()
    );
    for each in several.iter().take(MAX_LISTED) {
        // Writing to a String does not fail.
        let _ = write!(
            message,
            "\n  {}  {}",
            sanitize(&each.id),
            sanitize(&each.name)
        );
    }
    if several.len() > MAX_LISTED {
        let _ = write!(message, "\n  and {} more", several.len() - MAX_LISTED);
    }
    message
}

/// The length of the part of an id that is not random: the node and the kind.
fn stem(id: &str) -> usize {
    let before_uuid = id.len().saturating_sub(UUID);
    let is_uuid = id
        .get(before_uuid..)
        .is_some_and(|uuid| uuid::Uuid::try_parse(uuid).is_ok() && uuid.len() == UUID);
    if is_uuid {
        return before_uuid;
    }
    // `ep_` and `msg_`.
    id.find('_').map_or(0, |at| at + 1)
}

/// Ids and their shortest prefixes that are unique.
#[derive(Clone, Debug, Default)]
pub struct ShortIds(HashMap<String, String>);

impl ShortIds {
    /// Shortens each id to a prefix that no other one has: its stem and at least eight characters. All ids to which a
    /// prefix could refer must be given.
    pub fn new(ids: impl IntoIterator<Item = String>) -> Self {
        Self::with_length(ids, SHORTEST)
    }

    /// Shortens each id as [`ShortIds::new`], with at least this many characters behind its stem.
    pub fn with_length(ids: impl IntoIterator<Item = String>, shortest: usize) -> Self {
        let mut ids: Vec<String> = ids.into_iter().filter(|id| id.is_ascii()).collect();
        ids.sort_unstable();
        ids.dedup();
        let shared = |at: Option<&String>, id: &str| {
            at.map_or(0, |other| {
                other
                    .bytes()
                    .zip(id.bytes())
                    .take_while(|(a, b)| a == b)
                    .count()
            })
        };
        let short = ids.iter().enumerate().map(|(at, id)| {
            // In sorted order, the neighbours share the most.
            let before = at.checked_sub(1).and_then(|at| ids.get(at));
            let most = shared(before, id).max(shared(ids.get(at + 1), id));
            let mut length = (most + 1).max(stem(id) + shortest).min(id.len());
            if id[..length].ends_with('-') {
                length = (length + 1).min(id.len());
            }
            (id.clone(), id[..length].to_owned())
        });
        Self(short.collect())
    }

    /// Renders an id for a cell: shortened, or whole if it is none of these.
    pub fn show(&self, id: &Value) -> String {
        let short = id.as_str().and_then(|id| self.0.get(id));
        short.cloned().unwrap_or_else(|| plain(id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rooms() -> Vec<Candidate> {
        [
            ("acW68-room-d3249143-1498-4edb-a694-ac208e579e94", "lobby"),
            ("acW68-room-d3249143-1498-4edb-a694-bc208e579e94", "standup"),
            ("bbbbb-room-d9249143-1498-4edb-a694-ac208e579e94", "d3"),
        ]
        .map(|(id, name)| Candidate {
            id: id.to_owned(),
            name: name.to_owned(),
        })
        .to_vec()
    }

    fn calls() -> Vec<Candidate> {
        [
            ("acW68-10149143-1498-4edb-a694-ac208e579e94", "527121101"),
            ("acW68-20249143-1498-4edb-a694-ac208e579e94", "101"),
            // A caller with a number that looks like the id of another call.
            (
                "acW68-30249143-1498-4edb-a694-ac208e579e94",
                "acW68-20249143",
            ),
        ]
        .map(|(id, name)| Candidate {
            id: id.to_owned(),
            name: name.to_owned(),
        })
        .to_vec()
    }

    fn name<'a>(kind: Kind, text: &str, candidates: &'a [Candidate]) -> Result<&'a str, u8> {
        find(kind, text, candidates)
            .map(|found| found.name.as_str())
            .map_err(|failure| failure.exit_code())
    }

    const MISSING: Result<&str, u8> = Err(1);
    const AMBIGUOUS: Result<&str, u8> = Err(2);

    #[test]
    fn room_is_found_by_name_or_unique_prefix() {
        let rooms = rooms();
        for (text, expected) in [
            ("lobby", Ok("lobby")),
            ("lob", MISSING),
            ("", MISSING),
            (
                "acW68-room-d3249143-1498-4edb-a694-ac208e579e94",
                Ok("lobby"),
            ),
            ("acW68-room-d3249143-1498-4edb-a694-b", Ok("standup")),
            ("d3249143-1498-4edb-a694-b", Ok("standup")),
            ("bbbbb", Ok("d3")),
            ("acW68", AMBIGUOUS),
            ("acW68-room-", AMBIGUOUS),
            ("acW68-room-d3249143", AMBIGUOUS),
            ("d32", AMBIGUOUS),
            ("d9", Ok("d3")),
            // A name precedes a prefix of a UUID.
            ("d3", Ok("d3")),
            ("acW68-room-e", MISSING),
        ] {
            assert_eq!(name(Kind::Room, text, &rooms), expected, "{text}");
        }
    }

    #[test]
    fn number_of_caller_never_hides_another_call() {
        let calls = calls();
        for (text, expected) in [
            ("527121101", Ok("527121101")),
            ("52712110", MISSING),
            // A number and a prefix.
            ("101", AMBIGUOUS),
            ("acW68-20249143", Ok("101")),
            ("acW68-3", Ok("acW68-20249143")),
            ("2024", Ok("101")),
        ] {
            assert_eq!(name(Kind::Call, text, &calls), expected, "{text}");
        }
    }

    #[test]
    fn ambiguous_reference_lists_candidates() {
        let error = find(Kind::Room, "d32", &rooms()).unwrap_err().to_string();
        assert_eq!(
            error,
            "\"d32\" refers to 2 rooms; give more of the id:\n  \
             acW68-room-d3249143-1498-4edb-a694-ac208e579e94  lobby\n  \
             acW68-room-d3249143-1498-4edb-a694-bc208e579e94  standup"
        );
        let many: Vec<Candidate> = (0..13)
            .map(|number| Candidate {
                id: format!("ep_{number:032x}"),
                name: "\u{1b}[2Jhttps://h".to_owned(),
            })
            .collect();
        let error = find(Kind::Endpoint, "ep_0", &many).unwrap_err().to_string();
        assert!(error.ends_with("\n  and 3 more"), "{error}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
        assert_eq!(error.lines().count(), 12);
    }

    #[test]
    fn short_ids_have_eight_characters_or_as_many_as_are_unique() {
        let short = ShortIds::new(rooms().into_iter().map(|room| room.id));
        for (id, expected) in [
            (
                "acW68-room-d3249143-1498-4edb-a694-bc208e579e94",
                "acW68-room-d3249143-1498-4edb-a694-b",
            ),
            (
                "bbbbb-room-d9249143-1498-4edb-a694-ac208e579e94",
                "bbbbb-room-d9249143",
            ),
            ("unknown", "unknown"),
        ] {
            assert_eq!(short.show(&json!(id)), expected);
        }
        assert_eq!(ShortIds::default().show(&Value::Null), "-");
        let endpoints = ShortIds::new(["ep_b15d4a82272357b381b5eb5e5a2a9a5d".to_owned()]);
        assert_eq!(
            endpoints.show(&json!("ep_b15d4a82272357b381b5eb5e5a2a9a5d")),
            "ep_b15d4a82"
        );
    }

    proptest! {
        /// Few distinct digits, so that prefixes are often shared.
        #[test]
        fn short_id_refers_to_its_object(seeds in proptest::collection::vec((0..2_u8, 0..3_u128, 0..3_u128), 1..30)) {
            let mut candidates: Vec<Candidate> = seeds
                .iter()
                .map(|(node, high, low)| {
                    let uuid = uuid::Uuid::from_u128(high << 90 | low << 20);
                    Candidate { id: format!("node{node}-{uuid}"), name: format!("node{node}-{}", &uuid.to_string()[..8]) }
                })
                .collect();
            candidates.sort_by(|a, b| a.id.cmp(&b.id));
            candidates.dedup();
            let short = ShortIds::new(candidates.iter().map(|each| each.id.clone()));
            for each in &candidates {
                let text = short.show(&json!(each.id));
                prop_assert!(text.len() >= 6 + SHORTEST);
                for kind in [Kind::Room, Kind::Call] {
                    prop_assert_eq!(&find(kind, &text, &candidates).unwrap().id, &each.id);
                }
            }
        }
    }
}
