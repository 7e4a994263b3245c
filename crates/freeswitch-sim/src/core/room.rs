//! A conference: its members in order, its floor, its files and recordings, its variables.
//!
//! Owns the data and a conference's description in events. Leaves out its behaviour: that is `conference`.

use std::collections::VecDeque;

use super::{
    channel::Channel,
    event::{Event, Value},
};

/// The subclass of a conference's events.
pub(super) const MAINTENANCE: &str = "conference::maintenance";

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub id: u64,
    pub uuid: String,
    pub can_speak: bool,
    pub can_hear: bool,
    pub hold: bool,
    pub talking: bool,
    pub moderator: bool,
    pub ghost: bool,
    pub energy_level: i64,
    pub volume_in: i64,
    pub volume_out: i64,
    pub joined: u64,
    /// Set when it must leave; true if its call must hang up, too.
    pub kicked: bool,
    pub files: Vec<MemberFile>,
}

impl Member {
    /// Creates a member without flags: it can speak and hear.
    pub fn joined(id: u64, uuid: String, joined: u64) -> Self {
        Self {
            id,
            uuid,
            can_speak: true,
            can_hear: true,
            hold: false,
            talking: false,
            moderator: false,
            ghost: false,
            energy_level: 100,
            volume_in: 0,
            volume_out: 0,
            joined,
            kicked: false,
            files: Vec::new(),
        }
    }
}

impl Member {
    /// Sets a level by a variable of its channel. The server ignores values outside of the range.
    pub fn set_join_level(&mut self, variable: &str, value: &str) {
        let (level, range) = match variable {
            "conference_join_volume_in" => (&mut self.volume_in, -4..=4),
            "conference_join_volume_out" => (&mut self.volume_out, -4..=4),
            "conference_join_energy_level" => (&mut self.energy_level, -1..=1800),
            _ => return,
        };
        let value = value.parse().unwrap_or(0);
        if range.contains(&value) {
            *level = value;
        }
    }
}

/// A file that plays to the whole conference.
#[derive(Debug, Clone)]
pub(super) struct FileNode {
    pub serial: u64,
    pub path: String,
    pub params: Vec<(String, String)>,
    pub duration: u64,
    /// The time when it last started to play; `None` while it waits or is paused.
    pub since: Option<u64>,
    pub played: u64,
    pub volume: i64,
    pub asynchronous: bool,
}

impl FileNode {
    pub fn played(&self, now: u64) -> u64 {
        self.played + self.since.map_or(0, |since| now.saturating_sub(since))
    }
}

/// A file that plays to one member.
#[derive(Debug, Clone)]
pub(super) struct MemberFile {
    pub serial: u64,
    pub path: String,
    pub params: Vec<(String, String)>,
    pub duration: u64,
    /// The time when it began; `None` while it follows another one.
    pub started: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub path: String,
    pub started: Option<u64>,
    pub since: Option<u64>,
    pub recorded: u64,
    pub stopping: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Room {
    pub uid: String,
    pub name: String,
    pub profile: String,
    pub order: u64,
    pub created: u64,
    /// The newest first, as in the server.
    pub members: Vec<Member>,
    pub floor: Option<u64>,
    pub locked: bool,
    pub max_members: u64,
    /// A sound plays when a member enters.
    pub enter_sound: bool,
    /// The files of the sounds for entering and leaving members.
    pub sounds: [Option<String>; 2],
    /// A sound plays when a member leaves.
    pub exit_sound: bool,
    pub pin: String,
    pub vars: Vec<(String, String)>,
    pub files: VecDeque<FileNode>,
    pub async_file: Option<FileNode>,
    pub recordings: Vec<Recording>,
    pub tick_due: Option<u64>,
    /// The number of admitted channels that are not members yet.
    pub joining: u64,
    /// True if it has lost its last member, so it ends and removes calls that are still admitted. Its name no longer
    /// finds it.
    pub ending: bool,
    /// True if its thread has ended.
    pub gone: bool,
}

impl Room {
    pub fn size(&self) -> u64 {
        self.members.iter().filter(|member| !member.ghost).count() as u64
    }

    pub fn ghosts(&self) -> u64 {
        self.members.iter().filter(|member| member.ghost).count() as u64
    }

    pub fn member(&self, id: u64) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    pub fn member_mut(&mut self, id: u64) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }

    pub fn member_of(&self, uuid: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.uuid == uuid)
    }

    /// Appends the headers of every event about a conference.
    pub fn describe(&self, event: &mut Event, domain: &str) {
        event.add("Conference-Name", self.name.clone());
        event.add("Conference-Domain", domain.to_owned());
        event.add("Conference-Size", self.size());
        event.add("Conference-Ghosts", self.ghosts());
        event.add("Conference-Profile-Name", self.profile.clone());
        event.add("Conference-Unique-ID", self.uid.clone());
        for (name, value) in &self.vars {
            event
                .headers
                .push((name.clone().into(), Value::from(value.clone())));
        }
    }

    /// Appends the conference and one of its members.
    pub fn describe_member(
        &self,
        event: &mut Event,
        domain: &str,
        member: &Member,
        channel: &Channel,
        energy: u64,
    ) {
        self.describe(event, domain);
        event.add("Floor", self.floor == Some(member.id));
        channel.describe(event);
        event.add("Video", false);
        event.add("Hear", member.can_hear);
        event.add("See", true);
        event.add("Speak", member.can_speak);
        event.add("Talking", member.talking);
        event.add("Mute-Detect", false);
        event.add("Hold", member.hold);
        event.add("Member-ID", member.id);
        event.add(
            "Member-Type",
            if member.moderator {
                "moderator"
            } else {
                "member"
            },
        );
        event.add("Member-Ghost", member.ghost);
        let level = member.energy_level;
        event.add(
            "Energy-Level",
            u64::try_from(level).map_or_else(|_| Value::from(level.to_string()), Value::from),
        );
        event.add("Current-Energy", energy);
    }
}

/// Parses the parameters in front of a path: `{op=x,vol=2}http://…`.
pub(super) fn file_params(path: &str) -> (Vec<(String, String)>, &str) {
    match path.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((params, rest)) => (
            params
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            rest,
        ),
        None => (Vec::new(), path),
    }
}
