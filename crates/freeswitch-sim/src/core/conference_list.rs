//! The lists of conferences and their members in `conference`.
//!
//! Owns the text form and the JSON form. Leaves out the commands that change the state.

use serde::{Serialize, Serializer};

use super::{
    Core,
    channel::Channel,
    json::{compact, push_number, push_text},
    room::{Member, Room},
};

/// The approximate number of bytes for a member, and for a conference without its members.
const LENGTHS: (usize, usize) = (640, 768);

/// A conference, field by field as the server prints it (`json_list` in mod_conference.c), without its members, which
/// come last.
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
}

/// The variables, in the order in which they were set.
struct Variables<'a>(&'a [(String, String)]);

impl Serialize for Variables<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(Serialize)]
struct RecordingRow<'a> {
    r#type: &'static str,
    record_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// Seconds since the epoch.
    join_time: u64,
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

    /// Returns all conferences, or one, the newest first; compact.
    pub(super) fn json_list(&self, only: Option<&str>) -> String {
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
        let mut body = String::with_capacity(lengths.sum());
        body.push('[');
        for (at, room) in rooms.into_iter().enumerate() {
            if at > 0 {
                body.push(',');
            }
            let row = compact(&self.room_row(room));
            body.push_str(row.strip_suffix('}').unwrap_or(&row));
            body.push_str(",\"members\":[");
            self.push_members(room, &mut body);
            body.push_str("]}");
        }
        body.push(']');
        body
    }

    /// Appends a conference's recordings, then its members.
    fn push_members(&self, room: &Room, body: &mut String) {
        let recordings = room.recordings.iter().filter_map(|node| {
            Some(RecordingRow {
                r#type: "recording_node",
                record_path: &node.path,
                status: node.since.is_none().then_some("paused"),
                join_time: node.started? / 1_000_000,
            })
        });
        let start = body.len();
        let next = |body: &mut String| {
            if body.len() > start {
                body.push(',');
            }
        };
        for recording in recordings {
            next(body);
            body.push_str(&compact(&recording));
        }
        for member in &room.members {
            next(body);
            match self.channels.get(&member.uuid) {
                Some(channel) => self.push_member(room, member, channel, body),
                // The member's channel is gone.
                None => body.push_str("{}"),
            }
        }
    }

    fn room_row<'a>(&self, room: &'a Room) -> RoomRow<'a> {
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
            exit_sound: room.exit_sound,
            enter_sound: room.enter_sound,
            recording: !room.recordings.is_empty(),
            video_bridge: false,
            video_floor_only: false,
            video_rfc4579: false,
            max_members: (room.max_members > 0).then_some(room.max_members),
            variables: Variables(&room.vars),
        }
    }

    /// Appends a member by hand: a full node has ten thousand, and printing them field by field would take longer than
    /// parsing them.
    fn push_member(&self, room: &Room, member: &Member, channel: &Channel, body: &mut String) {
        body.push_str("{\"type\":\"caller\",\"id\":");
        push_number(body, member.id);
        let flags = [
            (",\"flags\":{\"can_hear\":", member.can_hear && !member.hold),
            (",\"can_see\":", !member.hold),
            (",\"can_speak\":", member.can_speak && !member.hold),
            (",\"hold\":", member.hold),
            (",\"mute_detect\":", member.mute_detect),
            (",\"talking\":", member.talking),
            (
                ",\"has_video\":false,\"video_bridge\":false,\"has_floor\":",
                room.floor == Some(member.id),
            ),
            (",\"is_moderator\":", member.moderator),
        ];
        for (name, is_set) in flags {
            body.push_str(name);
            body.push_str(if is_set { "true" } else { "false" });
        }
        body.push_str(
            ",\"end_conference\":false,\"mandatory_member_end_conference\":false,\"pass_digits\":false}",
        );
        let texts = [
            (",\"uuid\":", &member.uuid),
            (",\"caller_id_name\":", &channel.profile.name),
            (",\"caller_id_number\":", &channel.profile.number),
        ];
        for (name, text) in texts {
            body.push_str(name);
            push_text(body, text);
        }
        // The time since it became a member, in seconds.
        body.push_str(",\"join_time\":");
        push_number(
            body,
            (self.now / 1_000_000).saturating_sub(member.joined / 1_000_000),
        );
        body.push_str(",\"last_talking\":0,\"energy\":");
        push_number(body, member.energy_level);
        let volumes = [
            (",\"volume_in\":", member.volume_in),
            (",\"volume_out\":", member.volume_out),
            (",\"output-volume\":", member.volume_out),
            (",\"input-volume\":", member.volume_in),
        ];
        for (name, volume) in volumes {
            body.push_str(name);
            push_number(body, volume);
        }
        body.push('}');
    }
}
