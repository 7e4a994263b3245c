//! How `conference` lists conferences and their members.
//!
//! Owns the text form and the JSON form. Leaves out the commands that change what they list.

use super::{
    Core,
    json::{Json, write_list},
    room::{Member, Room},
};

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
    pub(super) fn json_list(&self, only: Option<&str>, compact: bool) -> String {
        let mut rooms: Vec<&Room> = self
            .rooms
            .values()
            .filter(|room| !room.gone && only.is_none_or(|uid| uid == room.uid))
            .collect();
        rooms.sort_by_key(|room| std::cmp::Reverse(room.order));
        // One room after the other: a node can have thousands.
        let mut list = String::new();
        let rooms = rooms.into_iter().map(|room| self.room_json(room));
        write_list(rooms, &mut list, (!compact).then_some(0));
        list
    }

    fn room_json<'a>(&'a self, room: &'a Room) -> Json<'a> {
        let int = |number: u64| Json::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let off = || Json::Bool(false);
        let on = || Json::Bool(true);
        let mut fields = vec![
            ("conference_name", Json::text(&room.name)),
            ("member_count", int(room.size())),
            ("ghost_count", int(room.ghosts())),
            ("rate", int(8000)),
            (
                "run_time",
                int((self.now / 1_000_000).saturating_sub(room.created / 1_000_000)),
            ),
            ("conference_uuid", Json::text(&room.uid)),
            ("canvas_count", int(0)),
            ("max_bw_in", int(0)),
            ("force_bw_in", int(0)),
            ("video_floor_packets", int(0)),
            ("locked", Json::Bool(room.locked)),
            ("destruct", off()),
            ("wait_mod", off()),
            ("audio_always", off()),
            ("running", on()),
            ("answered", on()),
            ("enforce_min", on()),
            ("bridge_to", off()),
            ("dynamic", on()),
            ("exit_sound", on()),
            ("enter_sound", on()),
            ("recording", Json::Bool(!room.recordings.is_empty())),
            ("video_bridge", off()),
            ("video_floor_only", off()),
            ("video_rfc4579", off()),
        ];
        if room.max_members > 0 {
            fields.push(("max_members", int(room.max_members)));
        }
        let vars = room
            .vars
            .iter()
            .map(|(key, value)| (key.as_str(), Json::text(value)))
            .collect();
        fields.push(("variables", Json::Map(vars)));
        let recordings = room.recordings.iter().filter_map(|node| {
            let started = node.started?;
            Some(Json::Object(vec![
                ("type", Json::text("recording_node")),
                ("record_path", Json::text(&node.path)),
                ("join_time", int(started / 1_000_000)),
            ]))
        });
        let members = room
            .members
            .iter()
            .map(|member| self.member_json(room, member));
        fields.push(("members", Json::List(recordings.chain(members).collect())));
        Json::Object(fields)
    }

    fn member_json<'a>(&'a self, room: &Room, member: &'a Member) -> Json<'a> {
        let Some(channel) = self.channels.get(&member.uuid) else {
            return Json::Object(Vec::new());
        };
        let flag = Json::Bool;
        let age = (self.now / 1_000_000).saturating_sub(member.joined / 1_000_000);
        Json::Object(vec![
            ("type", Json::text("caller")),
            (
                "id",
                Json::Int(i64::try_from(member.id).unwrap_or(i64::MAX)),
            ),
            (
                "flags",
                Json::Object(vec![
                    ("can_hear", flag(member.can_hear && !member.hold)),
                    ("can_see", flag(!member.hold)),
                    ("can_speak", flag(member.can_speak && !member.hold)),
                    ("hold", flag(member.hold)),
                    ("mute_detect", flag(false)),
                    ("talking", flag(member.talking)),
                    ("has_video", flag(false)),
                    ("video_bridge", flag(false)),
                    ("has_floor", flag(room.floor == Some(member.id))),
                    ("is_moderator", flag(member.moderator)),
                    ("end_conference", flag(false)),
                    ("mandatory_member_end_conference", flag(false)),
                    ("pass_digits", flag(false)),
                ]),
            ),
            ("uuid", Json::text(&member.uuid)),
            ("caller_id_name", Json::text(&channel.profile.name)),
            ("caller_id_number", Json::text(&channel.profile.number)),
            (
                "join_time",
                Json::Int(i64::try_from(age).unwrap_or(i64::MAX)),
            ),
            ("last_talking", Json::Int(0)),
            (
                "energy",
                Json::Int(i64::try_from(member.energy_level).unwrap_or(i64::MAX)),
            ),
            ("volume_in", Json::Int(member.volume_in)),
            ("volume_out", Json::Int(member.volume_out)),
            ("output-volume", Json::Int(member.volume_out)),
            ("input-volume", Json::Int(member.volume_in)),
        ])
    }
}
