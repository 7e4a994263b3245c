//! The true state of the node, for comparison in tests.
//!
//! Owns the form for tests. Leaves out FreeSWITCH's own form: that is `json_list`.

use super::{Core, channel::Channel, room::Room};

/// A member in the node's true state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberTruth {
    /// `Member-ID`.
    pub id: u64,
    /// The channel.
    pub uuid: String,
    /// Not muted.
    pub speak: bool,
    /// Not deaf.
    pub hear: bool,
    /// On hold.
    pub hold: bool,
    /// Talking.
    pub talking: bool,
    /// Holds the floor.
    pub floor: bool,
}

/// A conference in the node's true state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomTruth {
    /// `Conference-Unique-ID`.
    pub uid: String,
    /// `Conference-Name`.
    pub name: String,
    /// Locked.
    pub locked: bool,
    /// Being recorded.
    pub recording: bool,
    /// The file that plays, and those that wait.
    pub files: Vec<String>,
    /// Variables.
    pub vars: Vec<(String, String)>,
    /// Members, the newest first.
    pub members: Vec<MemberTruth>,
}

/// A channel in the node's true state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelTruth {
    /// The channel.
    pub uuid: String,
    /// Its application.
    pub application: Option<String>,
    /// The conference it is in, by `Conference-Unique-ID`.
    pub room: Option<String>,
    /// Answered.
    pub answered: bool,
    /// Its other leg.
    pub peer: Option<String>,
}

/// The true state of a node, for comparison in tests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// `Core-UUID`.
    pub core_uuid: String,
    /// Conferences, the oldest first.
    pub rooms: Vec<RoomTruth>,
    /// Channels, the oldest first.
    pub channels: Vec<ChannelTruth>,
}

impl Snapshot {
    /// Returns the live conference with this name.
    #[must_use]
    pub fn room(&self, name: &str) -> Option<&RoomTruth> {
        self.rooms.iter().find(|room| room.name == name)
    }

    /// Returns the channel with this UUID.
    #[must_use]
    pub fn channel(&self, uuid: &str) -> Option<&ChannelTruth> {
        self.channels.iter().find(|channel| channel.uuid == uuid)
    }
}

impl Core {
    /// Returns the true state of this node.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut rooms: Vec<&Room> = self.rooms.values().filter(|room| !room.gone).collect();
        rooms.sort_by_key(|room| room.order);
        let mut channels: Vec<&Channel> = self
            .channels
            .values()
            .filter(|channel| !channel.ending)
            .collect();
        channels.sort_by_key(|channel| channel.session_id);
        Snapshot {
            core_uuid: self.core_uuid.clone(),
            rooms: rooms.into_iter().map(truth_of_room).collect(),
            channels: channels
                .into_iter()
                .map(|channel| ChannelTruth {
                    uuid: channel.uuid.clone(),
                    application: channel.stack.last().map(|running| running.app.clone()),
                    room: channel.room().map(str::to_owned),
                    answered: channel.answered,
                    peer: channel.peer.clone(),
                })
                .collect(),
        }
    }
}

fn truth_of_room(room: &Room) -> RoomTruth {
    RoomTruth {
        uid: room.uid.clone(),
        name: room.name.clone(),
        locked: room.locked,
        recording: !room.recordings.is_empty(),
        files: room.files.iter().map(|file| file.path.clone()).collect(),
        vars: room.vars.clone(),
        members: room
            .members
            .iter()
            .map(|member| MemberTruth {
                id: member.id,
                uuid: member.uuid.clone(),
                speak: member.can_speak,
                hear: member.can_hear,
                hold: member.hold,
                talking: member.talking,
                floor: room.floor == Some(member.id),
            })
            .collect(),
    }
}
