//! How `conference` lists conferences and their members.
//!
//! Owns the text form and the JSON form. Leaves out the commands that change what they list.

use std::sync::LazyLock;

use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Core,
    channel::Channel,
    json::{Style, print},
    room::{Member, Room},
};

/// About how many bytes there are of a member, and of a conference without its members.
const LENGTHS: (usize, usize) = (640, 768);

/// A conference, field by field as the server prints it (`json_list` in mod_conference.c).
#[derive(Serialize)]
struct RoomRow<'a> {
    conference_name: &'a str,
    member_count: u64,
    ghost_count: u64,
    rate: u64,
    /// Seconds.
    run_time: u64,
    conference_uuid: &'a str,
    canvas_count: u64,
    max_bw_in: u64,
    force_bw_in: u64,
    video_floor_packets: u64,
    locked: bool,
    destruct: bool,
    wait_mod: bool,
    audio_always: bool,
    running: bool,
    answered: bool,
    enforce_min: bool,
    bridge_to: bool,
    dynamic: bool,
    exit_sound: bool,
    enter_sound: bool,
    recording: bool,
    video_bridge: bool,
    video_floor_only: bool,
    video_rfc4579: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_members: Option<u64>,
    variables: Variables<'a>,
    members: Members<'a>,
}

/// What was set, in the order in which it was.
struct Variables<'a>(&'a [(String, String)]);

impl Serialize for Variables<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// All that a conference lists: what records it, and then who is in it.
struct Members<'a> {
    core: &'a Core,
    room: &'a Room,
    style: Style,
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let recordings = self.room.recordings.iter().filter_map(|node| {
            Some(Row::Recording(RecordingRow {
                r#type: "recording_node",
                record_path: &node.path,
                join_time: node.started? / 1_000_000,
            }))
        });
        let members = self.room.members.iter().map(|member| {
            let channel = self.core.channels.get(&member.uuid);
            channel.map_or(Row::Nobody {}, |channel| {
                Row::Member(self.core.member_row(self.room, member, channel, self.style))
            })
        });
        serializer.collect_seq(recordings.chain(members))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Row<'a> {
    Recording(RecordingRow<'a>),
    Member(MemberRow<'a>),
    /// A member whose call is not there any more.
    Nobody {},
}

#[derive(Serialize)]
struct RecordingRow<'a> {
    r#type: &'static str,
    record_path: &'a str,
    /// Seconds since the epoch.
    join_time: u64,
}

#[derive(Serialize)]
struct MemberRow<'a> {
    r#type: &'static str,
    id: u64,
    flags: Flags,
    uuid: &'a str,
    caller_id_name: &'a str,
    caller_id_number: &'a str,
    /// For how many seconds it has been a member.
    join_time: u64,
    last_talking: u64,
    energy: u64,
    volume_in: i64,
    volume_out: i64,
    #[serde(rename = "output-volume")]
    output_volume: i64,
    #[serde(rename = "input-volume")]
    input_volume: i64,
}

/// What a member is and does.
#[derive(Serialize)]
#[serde(untagged)]
enum Flags {
    Fields(FlagsRow),
    /// The same in the compact way, printed before: a third of a list is flags, and there are few combinations of them.
    Printed(&'static RawValue),
}

impl Flags {
    fn of(set: FlagsSet, style: Style) -> Self {
        static PRINTED: LazyLock<Vec<Box<RawValue>>> = LazyLock::new(|| {
            let all = (0..1 << FlagsSet::COUNT).map(FlagsSet::numbered);
            let printed = all.map(|set| to_raw_value(&FlagsRow::from(set)).unwrap_or_default());
            printed.collect()
        });
        match style {
            Style::Indented => Self::Fields(set.into()),
            Style::Compact => Self::Printed(&PRINTED[set.number()]),
        }
    }
}

/// The flags that the model knows.
#[derive(Clone, Copy)]
struct FlagsSet {
    can_hear: bool,
    can_speak: bool,
    hold: bool,
    talking: bool,
    has_floor: bool,
    is_moderator: bool,
}

impl FlagsSet {
    const COUNT: usize = 6;

    fn number(self) -> usize {
        let set = [
            self.can_hear,
            self.can_speak,
            self.hold,
            self.talking,
            self.has_floor,
            self.is_moderator,
        ];
        set.into_iter()
            .fold(0, |number, flag| number << 1 | usize::from(flag))
    }

    fn numbered(number: usize) -> Self {
        let flag = |at: usize| number >> (Self::COUNT - 1 - at) & 1 == 1;
        Self {
            can_hear: flag(0),
            can_speak: flag(1),
            hold: flag(2),
            talking: flag(3),
            has_floor: flag(4),
            is_moderator: flag(5),
        }
    }
}

impl From<FlagsSet> for FlagsRow {
    fn from(set: FlagsSet) -> Self {
        Self {
            can_hear: set.can_hear && !set.hold,
            can_see: !set.hold,
            can_speak: set.can_speak && !set.hold,
            hold: set.hold,
            mute_detect: false,
            talking: set.talking,
            has_video: false,
            video_bridge: false,
            has_floor: set.has_floor,
            is_moderator: set.is_moderator,
            end_conference: false,
            mandatory_member_end_conference: false,
            pass_digits: false,
        }
    }
}

#[derive(Serialize)]
struct FlagsRow {
    can_hear: bool,
    can_see: bool,
    can_speak: bool,
    hold: bool,
    mute_detect: bool,
    talking: bool,
    has_video: bool,
    video_bridge: bool,
    has_floor: bool,
    is_moderator: bool,
    end_conference: bool,
    mandatory_member_end_conference: bool,
    pass_digits: bool,
}

impl Core {
    pub(super) fn list_all(&self) -> String {
        let mut rooms: Vec<&Room> = self.rooms.values().filter(|room| !room.gone).collect();
        if rooms.is_empty() {
            return "+OK No active conferences.\n".into();
        }
        rooms.sort_by_key(|room| room.order);
        let mut body = String::new();
        for room in rooms {
            body.push_str(&format!(
                "+OK Conference {} ({} member{} rate: 8000 flags: running|answered|enforce_min|dynamic|exit_sound|enter_sound)\n",
                room.name,
                room.size(),
                if room.size() == 1 { "" } else { "s" }
            ));
            body.push_str(&self.list_members(&room.uid));
        }
        body
    }

    pub(super) fn list_members(&self, uid: &str) -> String {
        let Some(room) = self.rooms.get(uid) else {
            return String::new();
        };
        let mut body = String::new();
        for member in &room.members {
            let Some(channel) = self.channels.get(&member.uuid) else {
                continue;
            };
            let mut flags = Vec::new();
            for (set, flag) in [
                (member.can_hear, "hear"),
                (member.can_speak, "speak"),
                (member.talking, "talking"),
                (room.floor == Some(member.id), "floor"),
                (member.hold, "hold"),
                (member.moderator, "moderator"),
            ] {
                if set {
                    flags.push(flag);
                }
            }
            body.push_str(&format!(
                "{};{};{};{};{};{};{};{};{}\n",
                member.id,
                channel.name,
                channel.uuid,
                channel.profile.name,
                channel.profile.number,
                flags.join("|"),
                member.volume_in,
                member.volume_out,
                member.energy_level
            ));
        }
        body
    }

    /// All conferences, or one, the newest first.
    pub(super) fn json_list(&self, only: Option<&str>, style: Style) -> String {
        let mut rooms: Vec<&Room> = self
            .rooms
            .values()
            .filter(|room| !room.gone && only.is_none_or(|uid| uid == room.uid))
            .collect();
        rooms.sort_by_key(|room| std::cmp::Reverse(room.order));
        let (member, without) = LENGTHS;
        let lengths = rooms
            .iter()
            .map(|room| without + member * room.members.len());
        let length = lengths.sum();
        let rows: Vec<_> = rooms
            .into_iter()
            .map(|room| self.room_row(room, style))
            .collect();
        print(&rows, style, length)
    }

    fn room_row<'a>(&'a self, room: &'a Room, style: Style) -> RoomRow<'a> {
        RoomRow {
            conference_name: &room.name,
            member_count: room.size(),
            ghost_count: room.ghosts(),
            rate: 8000,
            run_time: (self.now / 1_000_000).saturating_sub(room.created / 1_000_000),
            conference_uuid: &room.uid,
            canvas_count: 0,
            max_bw_in: 0,
            force_bw_in: 0,
            video_floor_packets: 0,
            locked: room.locked,
            destruct: false,
            wait_mod: false,
            audio_always: false,
            running: true,
            answered: true,
            enforce_min: true,
            bridge_to: false,
            dynamic: true,
            exit_sound: true,
            enter_sound: true,
            recording: !room.recordings.is_empty(),
            video_bridge: false,
            video_floor_only: false,
            video_rfc4579: false,
            max_members: (room.max_members > 0).then_some(room.max_members),
            variables: Variables(&room.vars),
            members: Members {
                core: self,
                room,
                style,
            },
        }
    }

    fn member_row<'a>(
        &self,
        room: &Room,
        member: &'a Member,
        channel: &'a Channel,
        style: Style,
    ) -> MemberRow<'a> {
        let set = FlagsSet {
            can_hear: member.can_hear,
            can_speak: member.can_speak,
            hold: member.hold,
            talking: member.talking,
            has_floor: room.floor == Some(member.id),
            is_moderator: member.moderator,
        };
        MemberRow {
            r#type: "caller",
            id: member.id,
            flags: Flags::of(set, style),
            uuid: &member.uuid,
            caller_id_name: &channel.profile.name,
            caller_id_number: &channel.profile.number,
            join_time: (self.now / 1_000_000).saturating_sub(member.joined / 1_000_000),
            last_talking: 0,
            energy: member.energy_level,
            volume_in: member.volume_in,
            volume_out: member.volume_out,
            output_volume: member.volume_out,
            input_volume: member.volume_in,
        }
    }
}
