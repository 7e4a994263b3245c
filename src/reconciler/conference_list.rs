//! Parses `conference json_list` (`conference_api_sub_json_list` and `conference_jlist` in mod_conference): each conference
//! with its members. Only the fields that are needed are parsed, hardly a third of them.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use super::variables::META_VARIABLE;

/// A conference.
#[derive(Deserialize, PartialEq, Debug)]
pub struct ListedRoom<'a> {
    /// The name.
    #[serde(borrow)]
    pub conference_name: Cow<'a, str>,
    /// The conference instance.
    #[serde(borrow)]
    pub conference_uuid: Cow<'a, str>,
    /// The number of members without recordings.
    #[serde(default)]
    pub member_count: u64,
    /// The age in seconds.
    #[serde(default)]
    pub run_time: u64,
    /// The conference is locked.
    #[serde(default)]
    pub locked: bool,
    /// The value of the variable [`META_VARIABLE`].
    #[serde(borrow, default, rename = "variables", deserialize_with = "meta")]
    pub meta: Option<Cow<'a, str>>,
    /// The members, recordings included.
    #[serde(borrow)]
    pub members: Vec<ListedMember<'a>>,
}

/// A member.
#[derive(Deserialize, PartialEq, Debug, Default)]
pub struct ListedMember<'a> {
    /// The channel; a recording has none.
    #[serde(borrow, default, deserialize_with = "text")]
    pub uuid: Option<Cow<'a, str>>,
    /// The file of a recording.
    #[serde(borrow, default, deserialize_with = "text")]
    pub record_path: Option<Cow<'a, str>>,
    /// `paused` for a recording that is paused.
    #[serde(borrow, default, deserialize_with = "text")]
    pub status: Option<Cow<'a, str>>,
    /// The caller's number.
    #[serde(borrow, default, deserialize_with = "text")]
    pub caller_id_number: Option<Cow<'a, str>>,
    /// Seconds since it talked last; 0 if it has not.
    #[serde(default)]
    pub last_talking: u64,
    /// The volume of what it says.
    #[serde(default)]
    pub volume_in: Option<i32>,
    /// The volume of what it hears.
    #[serde(default)]
    pub volume_out: Option<i32>,
    /// The energy above which it is heard.
    #[serde(default)]
    pub energy: Option<i32>,
    /// The flags.
    pub flags: Option<Flags>,
}

/// Permissions and state of a member.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags {
    /// Not deafened, and not on hold.
    pub can_hear: bool,
    /// Not muted, and not on hold.
    pub can_speak: bool,
    /// On hold.
    #[serde(default)]
    pub hold: bool,
    /// Talking now.
    #[serde(default)]
    pub talking: bool,
    /// Has the floor.
    #[serde(default)]
    pub has_floor: bool,
}

/// Text that is borrowed from the answer unless it contains escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let text = Option::<Text<'de>>::deserialize(from)?;
    Ok(text.map(|Text(text)| text))
}

/// Extracts our variable. The variables of others can have any value.
fn meta<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let mut variables = serde_json::Map::deserialize(from)?;
    Ok(match variables.remove(META_VARIABLE) {
        Some(serde_json::Value::String(meta)) => Some(Cow::Owned(meta)),
        _ => None,
    })
}

/// Parses a whole list.
///
/// # Errors
/// Fails if the text is not a complete list.
pub fn read(list: &str) -> Result<Vec<ListedRoom<'_>>, serde_json::Error> {
    serde_json::from_str(list)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// A list like FreeSWITCH's, with names and numbers chosen by callers and others.
    fn list(given: &[[String; 3]]) -> Value {
        let room = |(n, [name, number, meta]): (usize, &[String; 3])| {
            json!({
                "conference_name": format!("nodeA-room-{n}"), "member_count": 2, "ghost_count": 0, "rate": 8000,
                "run_time": n, "conference_uuid": "4ac1909f-42d6-46a2-81b7-7207f0e21f6e", "locked": n % 2 == 1,
                "variables": { "other": name, "roomkeeper_meta": meta },
                "members": [
                    { "type": "caller", "id": 43,
                      "flags": { "can_hear": true, "can_see": true, "can_speak": n % 3 == 0, "hold": false, "talking": true,
                                 "has_floor": n % 2 == 0, "pass_digits": false },
                      "uuid": "094142c4-31d4-462f-b933-a59fae78b6c8", "caller_id_name": name, "caller_id_number": number,
                      "join_time": 0, "volume_in": -3 },
                    { "type": "recording_node", "record_path": format!("/var/{number}"), "join_time": 1_790_000_000 },
                ],
            })
        };
        Value::from_iter(given.iter().enumerate().map(room))
    }

    fn plain(text: &str) -> [String; 3] {
        [text, "+8210", "eyJ2IjoxfQ"].map(str::to_owned)
    }

    #[test]
    fn compact_and_pretty_lists_are_parsed() {
        let list = list(&[
            plain("김철수"),
            plain("Max \"M\" \\ Mustermann\n"),
            plain(""),
        ]);
        for text in [
            list.to_string(),
            serde_json::to_string_pretty(&list).unwrap(),
        ] {
            let rooms = read(&text).unwrap();
            assert_eq!(rooms.len(), 3);
            assert_eq!(rooms[1].meta.as_deref(), Some("eyJ2IjoxfQ"));
            assert_eq!(
                rooms[1].members[0].caller_id_number.as_deref(),
                Some("+8210")
            );
            assert_eq!(
                rooms[1].members[1].record_path.as_deref(),
                Some("/var/+8210")
            );
        }
        assert_eq!(read("[]").unwrap(), Vec::new());
    }

    #[test]
    fn unusual_values_are_read() {
        let one = |change: &dyn Fn(&mut Value)| {
            let mut list = list(&[plain("a")]);
            change(&mut list[0]);
            list.to_string()
        };
        let escaped = one(&|room| room["members"][0]["caller_id_number"] = json!("\"quoted\""));
        let null = one(&|room| room["members"][0]["uuid"] = Value::Null);
        let other = one(&|room| room["variables"][META_VARIABLE] = json!(7));
        let twice = one(&|_| ()).replace("\"other\":", "\"roomkeeper_meta\":");
        let number = &read(&escaped).unwrap()[0].members[0].caller_id_number;
        assert_eq!(number.as_deref(), Some("\"quoted\""));
        assert_eq!(read(&null).unwrap()[0].members[0].uuid, None);
        assert_eq!(read(&other).unwrap()[0].meta, None);
        assert_eq!(read(&twice).unwrap()[0].meta.as_deref(), Some("eyJ2IjoxfQ"));
        for missing in ["conference_name", "conference_uuid", "members"] {
            let text = one(&|room| drop(room.as_object_mut().unwrap().remove(missing)));
            let why = read(&text).unwrap_err().to_string();
            assert!(why.contains(missing), "{why}");
        }
    }

    proptest! {
        /// Callers choose names and numbers.
        #[test]
        fn any_caller_text_is_parsed(
            given in prop::collection::vec(["\\PC{0,6}", "\\PC{0,6}", "[a-z]{0,3}"], 0..4),
        ) {
            let text = list(&given).to_string();
            let rooms = read(&text).unwrap();
            prop_assert_eq!(rooms.len(), given.len());
            for (room, [_, number, meta]) in rooms.iter().zip(&given) {
                prop_assert_eq!(room.members[0].caller_id_number.as_deref(), Some(number.as_str()));
                prop_assert_eq!(room.meta.as_deref(), Some(meta.as_str()));
            }
        }

        #[test]
        fn truncated_list_is_refused(length in any::<prop::sample::Index>()) {
            let text = list(&[plain("a"), plain("b")]).to_string();
            let cut = &text[..length.index(text.len())];
            prop_assert!(read(cut).is_err(), "{}", cut);
        }
    }
}
