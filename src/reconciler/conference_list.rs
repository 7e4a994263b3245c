//! What `conference json_list` writes (`conference_api_sub_json_list` and `conference_jlist` in mod_conference): each
//! conference with its members, of which hardly a third is read.
//!
//! Owns which fields are read, and that it is quick: a controller that starts is given a gigabyte of it by a large fleet.
//! Leaves out what the fields mean.
//!
//! There are two readers of the same. The quick one knows only what almost every list has; where it meets something else, or
//! what cannot be, it gives up without having said anything, and the one that knows all of JSON reads the whole list and says
//! what is wrong with it.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use super::json::Json;
use super::translate::META_VARIABLE;

/// A conference.
#[derive(Deserialize, PartialEq, Debug)]
pub struct ListedRoom<'a> {
    /// Its name.
    #[serde(borrow)]
    pub conference_name: Cow<'a, str>,
    /// This life of it.
    #[serde(borrow)]
    pub conference_uuid: Cow<'a, str>,
    /// How many are in it, recordings not counted.
    #[serde(default)]
    pub member_count: u64,
    /// How old it is, seconds.
    #[serde(default)]
    pub run_time: u64,
    /// Nobody is let in.
    #[serde(default)]
    pub locked: bool,
    /// What the variable [`META_VARIABLE`] has been set to.
    #[serde(borrow, default, rename = "variables", deserialize_with = "meta")]
    pub meta: Option<Cow<'a, str>>,
    /// Who is in it, and what records it.
    #[serde(borrow)]
    pub members: Vec<ListedMember<'a>>,
}

/// A member.
#[derive(Deserialize, PartialEq, Debug, Default)]
pub struct ListedMember<'a> {
    /// Its channel; a recording is a member without one.
    #[serde(borrow, default, deserialize_with = "text")]
    pub uuid: Option<Cow<'a, str>>,
    /// Of a recording.
    #[serde(borrow, default, deserialize_with = "text")]
    pub record_path: Option<Cow<'a, str>>,
    /// The caller's number.
    #[serde(borrow, default, deserialize_with = "text")]
    pub caller_id_number: Option<Cow<'a, str>>,
    /// What it may, and does.
    pub flags: Option<Flags>,
}

/// What a member may, and does.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags {
    /// Not deafened, and not on hold.
    pub can_hear: bool,
    /// Not muted, and not on hold.
    pub can_speak: bool,
    /// On hold.
    #[serde(default)]
    pub hold: bool,
    /// Heard just now.
    #[serde(default)]
    pub talking: bool,
    /// Has the floor.
    #[serde(default)]
    pub has_floor: bool,
}

/// Text that is almost always as it lies in the answer.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let text = Option::<Text<'de>>::deserialize(from)?;
    Ok(text.map(|Text(text)| text))
}

/// Of all variables the one that is ours. Others have set theirs to whatever they like.
fn meta<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let mut variables = serde_json::Map::deserialize(from)?;
    Ok(match variables.remove(META_VARIABLE) {
        Some(serde_json::Value::String(meta)) => Some(Cow::Owned(meta)),
        _ => None,
    })
}

/// Reads all of it.
///
/// # Errors
/// When it is not such a list, or not all of one.
pub fn read(list: &str) -> Result<Vec<ListedRoom<'_>>, serde_json::Error> {
    match quickly(list) {
        Some(rooms) => Ok(rooms),
        None => serde_json::from_str(list),
    }
}

/// The same, or `None`.
fn quickly(list: &str) -> Option<Vec<ListedRoom<'_>>> {
    let mut json = Json::of(list);
    let mut rooms = Vec::new();
    json.array(|json| {
        rooms.push(room(json)?);
        Some(())
    })?;
    json.end()?;
    Some(rooms)
}

fn room<'a>(json: &mut Json<'a>) -> Option<ListedRoom<'a>> {
    let (mut name, mut uuid, mut members) = (None, None, None);
    let (mut member_count, mut run_time, mut locked) = (None, None, None);
    let mut variables = None;
    json.object(|json, field| match field {
        "conference_name" => once(&mut name, json.plain()?),
        "conference_uuid" => once(&mut uuid, json.plain()?),
        "member_count" => once(&mut member_count, json.number()?),
        "run_time" => once(&mut run_time, json.number()?),
        "locked" => once(&mut locked, json.boolean()?),
        "variables" => once(&mut variables, our_variable(json)?),
        "members" => {
            let about = usize::try_from(member_count.unwrap_or_default()).unwrap_or(usize::MAX);
            once(&mut members, all_members(json, about)?)
        }
        _ => json.skip(),
    })?;
    Some(ListedRoom {
        conference_name: Cow::Borrowed(name?),
        conference_uuid: Cow::Borrowed(uuid?),
        member_count: member_count.unwrap_or_default(),
        run_time: run_time.unwrap_or_default(),
        locked: locked.unwrap_or_default(),
        meta: variables.flatten().map(Cow::Borrowed),
        members: members?,
    })
}

fn our_variable<'a>(json: &mut Json<'a>) -> Option<Option<&'a str>> {
    let mut meta = None;
    json.object(|json, variable| match variable {
        META_VARIABLE => once(&mut meta, json.plain()?),
        _ => json.skip(),
    })?;
    Some(meta)
}

/// There may be as many as this, or anything that somebody has written there.
fn all_members<'a>(json: &mut Json<'a>, about: usize) -> Option<Vec<ListedMember<'a>>> {
    const LIKELY: usize = 1_024;
    let mut members = Vec::with_capacity(about.min(LIKELY));
    json.array(|json| {
        members.push(member(json)?);
        Some(())
    })?;
    Some(members)
}

fn member<'a>(json: &mut Json<'a>) -> Option<ListedMember<'a>> {
    let (mut uuid, mut record_path, mut number, mut flags) = (None, None, None, None);
    json.object(|json, field| match field {
        "uuid" => once(&mut uuid, json.plain()?),
        "record_path" => once(&mut record_path, json.plain()?),
        "caller_id_number" => once(&mut number, json.plain()?),
        "flags" => once(&mut flags, all_flags(json)?),
        _ => json.skip(),
    })?;
    Some(ListedMember {
        uuid: uuid.map(Cow::Borrowed),
        record_path: record_path.map(Cow::Borrowed),
        caller_id_number: number.map(Cow::Borrowed),
        flags,
    })
}

fn all_flags(json: &mut Json<'_>) -> Option<Flags> {
    let (mut can_hear, mut can_speak) = (None, None);
    let (mut hold, mut talking, mut has_floor) = (None, None, None);
    json.object(|json, flag| {
        let flag = match flag {
            "can_hear" => &mut can_hear,
            "can_speak" => &mut can_speak,
            "hold" => &mut hold,
            "talking" => &mut talking,
            "has_floor" => &mut has_floor,
            _ => return json.skip(),
        };
        once(flag, json.boolean()?)
    })?;
    Some(Flags {
        can_hear: can_hear?,
        can_speak: can_speak?,
        hold: hold.unwrap_or_default(),
        talking: talking.unwrap_or_default(),
        has_floor: has_floor.unwrap_or_default(),
    })
}

/// A field that is there twice is unusual: which of them counts, the other reader says.
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// A list like FreeSWITCH's, of which names and numbers are what callers and others have given it.
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
    fn an_ordinary_list_is_read_quickly_in_both_of_its_forms() {
        let list = list(&[
            plain("김철수"),
            plain("Max \"M\" \\ Mustermann\n"),
            plain(""),
        ]);
        for text in [
            list.to_string(),
            serde_json::to_string_pretty(&list).unwrap(),
        ] {
            let read = quickly(&text).unwrap();
            assert_eq!(read.len(), 3);
            assert_eq!(read, serde_json::from_str::<Vec<_>>(&text).unwrap());
            assert_eq!(read[1].meta.as_deref(), Some("eyJ2IjoxfQ"));
            assert_eq!(
                read[1].members[0].caller_id_number.as_deref(),
                Some("+8210")
            );
            assert_eq!(
                read[1].members[1].record_path.as_deref(),
                Some("/var/+8210")
            );
        }
        assert_eq!(quickly("[]"), Some(Vec::new()));
    }

    #[test]
    fn what_is_unusual_is_read_all_the_same() {
        let one = |change: &dyn Fn(&mut Value)| {
            let mut list = list(&[plain("a")]);
            change(&mut list[0]);
            list.to_string()
        };
        let escaped = one(&|room| room["members"][0]["caller_id_number"] = json!("\"quoted\""));
        let null = one(&|room| room["members"][0]["uuid"] = Value::Null);
        let other = one(&|room| room["variables"][META_VARIABLE] = json!(7));
        let twice = one(&|_| ()).replace("\"other\":", "\"roomkeeper_meta\":");
        for text in [&escaped, &null, &other, &twice] {
            assert_eq!(quickly(text), None, "{text}");
            assert_eq!(read(text).unwrap().len(), 1, "{text}");
        }
        let number = &read(&escaped).unwrap()[0].members[0].caller_id_number;
        assert_eq!(number.as_deref(), Some("\"quoted\""));
        assert_eq!(read(&other).unwrap()[0].meta, None);
        assert_eq!(read(&twice).unwrap()[0].meta.as_deref(), Some("eyJ2IjoxfQ"));
        for missing in ["conference_name", "conference_uuid", "members"] {
            let text = one(&|room| drop(room.as_object_mut().unwrap().remove(missing)));
            let why = read(&text).unwrap_err().to_string();
            assert!(why.contains(missing), "{why}");
        }
    }

    proptest! {
        /// Whatever callers write into it, and whatever becomes of it on its way: what is read quickly is what would have been
        /// read otherwise.
        #[test]
        fn both_readers_read_the_same(
            given in prop::collection::vec(["[a\"\\\\\n\u{1}é/]{0,6}", "[0-9+]{0,3}\\PC{0,1}", "[a-z]{0,3}"], 0..4),
            changes in prop::collection::vec((any::<prop::sample::Index>(), "[]\\[{}\",:0-9eE.+\\-\\\\utrfnl é]{0,2}"), 0..3),
        ) {
            let mut text: Vec<char> = list(&given).to_string().chars().collect();
            for (at, by) in changes {
                let at = at.index(text.len());
                text.splice(at..=at, by.chars());
            }
            let text = String::from_iter(text);
            if let Some(read) = quickly(&text) {
                let known = serde_json::from_str::<Vec<ListedRoom<'_>>>(&text);
                prop_assert!(known.is_ok(), "{}: {:?}", text, known);
                prop_assert_eq!(read, known.unwrap(), "{}", text);
            }
        }

        #[test]
        fn a_list_that_is_cut_is_none(length in any::<prop::sample::Index>()) {
            let text = list(&[plain("a"), plain("b")]).to_string();
            let cut = &text[..length.index(text.len())];
            prop_assert!(read(cut).is_err(), "{}", cut);
        }
    }
}
