//! Switch events and snapshots, decoded: the interface between `translate`, which reads FreeSWITCH's headers, and the
//! node state, which never sees one.

use std::time::Duration;

use smol_str::SmolStr;

use crate::call::{Bridge, Direction, ParkId, StepId};
use crate::gather::PressedDigit;
use crate::ids::{AppId, ChannelId, ConferenceId, CoreId, RecordingId, RoomId};
use crate::room::{FileId, Level, ReportedLevels};
use crate::time::Timestamp;

/// An event about a conference or a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwitchEvent {
    /// `Core-UUID`.
    pub core: CoreId,
    /// `Event-Sequence`.
    pub sequence: u64,
    /// `Event-Date-Timestamp`: FreeSWITCH's clock, up to 20 ms early.
    pub at: Timestamp,
    /// The classified event.
    pub kind: SwitchEventKind,
}

/// The subject of an event and its change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SwitchEventKind {
    /// A conference whose name is one of our room ids.
    Conference {
        /// The room.
        room: RoomId,
        /// `Conference-Unique-ID`.
        conference: ConferenceId,
        /// `Conference-Size`: members without ghosts, a checksum that costs nothing.
        size: Option<usize>,
        /// The change.
        change: ConferenceChange,
    },
    /// A channel.
    Channel {
        /// `Unique-ID`.
        channel: ChannelId,
        /// The change.
        change: ChannelChange,
    },
}

/// A change of a conference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConferenceChange {
    /// `conference-create`.
    Created,
    /// `conference-destroy`.
    Destroyed,
    /// `add-member`.
    Added(MemberBlock),
    /// `del-member`, also of a call that hangs up.
    Removed {
        /// The channel.
        channel: ChannelId,
        /// True if the event carries a `Hangup-Cause`.
        hung_up: bool,
        /// True if the conference has neither members nor ghosts left: FreeSWITCH ends it.
        last: bool,
    },
    /// `transfer`: the member is about to leave for another conference.
    Moving(ChannelId),
    /// `floor-change`.
    Floor {
        /// The member that has the floor.
        holder: Option<MemberBlock>,
    },
    /// `lock`, `unlock`.
    Locked(bool),
    /// `play-file`: a file was opened, or could not be; `play-file-member`: one for a member was opened.
    FileOpened {
        /// The file, according to the parameters in front of its path.
        file: FileId,
        /// True if the event carries an `Error`.
        failed: bool,
        /// The member that alone hears it.
        member: Option<ChannelId>,
    },
    /// `play-file-done`, `play-file-member-done`: a file was closed. It can precede its opening.
    FileEnded {
        /// The file, according to the parameters in front of its path.
        file: FileId,
        /// The member that alone heard it.
        member: Option<ChannelId>,
    },
    /// `start-recording` of a recording of ours.
    RecordingStarted {
        /// The recording.
        recording: RecordingId,
        /// True if the event carries an `Error`.
        failed: bool,
    },
    /// `stop-recording` of a recording of ours.
    RecordingStopped {
        /// The recording.
        recording: RecordingId,
        /// `Milliseconds-Elapsed`.
        length: Option<Duration>,
    },
    /// `pause-recording` or `resume-recording` of a recording of ours.
    RecordingPaused {
        /// The recording.
        recording: RecordingId,
        /// True if it is paused.
        paused: bool,
    },
    /// `mute-detect`: the member talks although it is muted.
    MutedTalk(MemberBlock),
    /// `volume-in-member`, `volume-out-member`, `energy-level-member`.
    Level {
        /// The member, whose flags are valid.
        block: MemberBlock,
        /// The level.
        level: Level,
        /// Its value.
        value: i32,
    },
    /// Any other event with a member block, whose flags are valid.
    Flags(MemberBlock),
    /// Any other event without one.
    Other,
}

impl ConferenceChange {
    /// Returns the channel that the event shows in the conference.
    pub const fn present(&self) -> Option<ChannelId> {
        match self {
            Self::Added(block)
            | Self::Flags(block)
            | Self::MutedTalk(block)
            | Self::Level { block, .. }
            | Self::Floor {
                holder: Some(block),
            } => Some(block.channel),
            Self::Moving(channel) => Some(*channel),
            Self::Created
            | Self::Destroyed
            | Self::Removed { .. }
            | Self::Floor { holder: None }
            | Self::Locked(_)
            | Self::FileOpened { .. }
            | Self::FileEnded { .. }
            | Self::RecordingStarted { .. }
            | Self::RecordingStopped { .. }
            | Self::RecordingPaused { .. }
            | Self::Other => None,
        }
    }

    /// Returns true if the event concerns a file that plays or is recorded.
    pub const fn is_about_file(&self) -> bool {
        matches!(
            self,
            Self::FileOpened { .. }
                | Self::FileEnded { .. }
                | Self::RecordingStarted { .. }
                | Self::RecordingStopped { .. }
                | Self::RecordingPaused { .. }
        )
    }

    /// Returns true if the event counts even after a newer snapshot: a snapshot only makes a missing member a suspect,
    /// and does not cover the playback.
    pub const fn counts_after_snapshot(&self) -> bool {
        match self {
            Self::Destroyed
            | Self::Removed { .. }
            | Self::FileOpened { .. }
            | Self::FileEnded { .. }
            | Self::RecordingStarted { .. }
            | Self::RecordingStopped { .. } => true,
            Self::Created
            | Self::Added(_)
            | Self::Moving(_)
            | Self::Floor { .. }
            | Self::Locked(_)
            | Self::Flags(_)
            | Self::MutedTalk(_)
            | Self::Level { .. }
            | Self::RecordingPaused { .. }
            | Self::Other => false,
        }
    }
}

/// The member block of a conference event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberBlock {
    /// `Unique-ID`.
    pub channel: ChannelId,
    /// `Speak`.
    pub speak: bool,
    /// `Hear`.
    pub hear: bool,
    /// `Hold`.
    pub hold: bool,
    /// `Talking`.
    pub talking: bool,
    /// The identity of the channel.
    pub identity: Identity,
}

/// A change of a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChannelChange {
    /// `CHANNEL_CREATE`.
    Created(Identity),
    /// `CHANNEL_PROGRESS` or `CHANNEL_PROGRESS_MEDIA` of a dialled channel.
    Ringing,
    /// `CHANNEL_ANSWER`.
    Answered(Identity),
    /// `CHANNEL_PARK`.
    Parked {
        /// The identity of the channel.
        identity: Identity,
        /// `variable_roomkeeper_park`.
        by: Option<ParkId>,
        /// The result of the last transfer that the channel carries.
        bridge: Option<Bridge>,
    },
    /// `CHANNEL_BRIDGE` of a call: it is connected with the other side of a transfer.
    Bridged {
        /// `variable_roomkeeper_park`: the id of the park that follows.
        by: Option<ParkId>,
    },
    /// Any event of a channel that is the other side of a transfer.
    Leg {
        /// True if the channel has ended.
        over: bool,
    },
    /// `DTMF`: the channel received a digit.
    Digit(PressedDigit),
    /// `CHANNEL_EXECUTE_COMPLETE` of a step of ours.
    StepEnded {
        /// `Application-UUID`, which was sent with the step.
        step: StepId,
        /// `Application-Response`.
        response: String,
    },
    /// `MEDIA_BUG_START` of an `eavesdrop`: another call listens to this channel. The event does not name that call.
    ListenedTo,
    /// `RECORD_START` of a recording of ours.
    RecordingStarted {
        /// `variable_roomkeeper_recording_room`.
        room: RoomId,
        /// The recording.
        recording: RecordingId,
    },
    /// `RECORD_STOP` of a recording of ours.
    RecordingStopped {
        /// `variable_roomkeeper_recording_room`.
        room: RoomId,
        /// The recording.
        recording: RecordingId,
        /// `variable_record_ms`.
        length: Option<Duration>,
    },
    /// `CHANNEL_HANGUP` or `CHANNEL_HANGUP_COMPLETE`.
    HungUp {
        /// `Hangup-Cause`.
        cause: String,
    },
    /// `CHANNEL_DESTROY`.
    Destroyed {
        /// `Hangup-Cause`, if present.
        cause: Option<String>,
    },
    /// A change of a channel that a dial-out made.
    Dialled {
        /// `variable_roomkeeper_dial`: the room that dialled.
        room: RoomId,
        /// The change.
        change: Box<ChannelChange>,
        /// The status of the callee's last SIP response.
        sip_status: Option<u16>,
        /// True if the callee has answered before: an end of the channel tells it even if the event of the answer is lost.
        answered: bool,
    },
}

impl ChannelChange {
    /// Returns the change without the part about a dial-out.
    pub fn of_channel_mut(&mut self) -> &mut Self {
        if let Self::Dialled { change, .. } = self {
            change
        } else {
            self
        }
    }
}

/// The identity of a channel, from one event or dump.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The caller's number.
    pub caller_id: SmolStr,
    /// The dialled number; `None` if the call was transferred before, because the event then has another in its place.
    pub did: Option<SmolStr>,
    /// Inbound or outbound.
    pub direction: Direction,
    /// `variable_roomkeeper_app`, if the event carries variables and this one is an app's id.
    pub app: Option<AppId>,
    /// `Caller-Channel-Created-Time`.
    pub created_at: Option<Timestamp>,
    /// `Caller-Channel-Answered-Time`, if it was answered.
    pub answered_at: Option<Timestamp>,
}

/// A snapshot of a node's conferences. It includes at least all changes up to `fence`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The core.
    pub core: CoreId,
    /// `Event-Sequence` of the fence that arrived before the snapshot was requested.
    pub fence: u64,
    /// The conferences whose names are room ids of this node.
    pub rooms: Vec<SnapshotRoom>,
}

/// One conference in a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotRoom {
    /// `conference_name`.
    pub room: RoomId,
    /// `conference_uuid`.
    pub conference: ConferenceId,
    /// `locked`.
    pub locked: bool,
    /// `roomkeeper_meta` among its `variables`.
    pub meta: Option<String>,
    /// The members that are channels.
    pub members: Vec<SnapshotMember>,
    /// The recordings of ours, each with true if it is paused.
    pub recordings: Vec<(RecordingId, bool)>,
}

/// A conference in FreeSWITCH's list, whether it is ours or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedConference {
    /// `conference_name`.
    pub name: String,
    /// The room of that name, if the name is a room id.
    pub room: Option<RoomId>,
    /// `conference_uuid`.
    pub conference: String,
    /// `member_count`.
    pub members: u64,
    /// `run_time`.
    pub age: Duration,
}

/// One member in a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotMember {
    /// `uuid`.
    pub channel: ChannelId,
    /// `flags.can_speak`, which hold clears.
    pub can_speak: bool,
    /// `flags.can_hear`, which hold clears.
    pub can_hear: bool,
    /// `flags.hold`.
    pub hold: bool,
    /// `flags.talking`.
    pub talking: bool,
    /// `flags.has_floor`.
    pub has_floor: bool,
    /// `last_talking`: the time since it talked last; `None` if it has not.
    pub talked: Option<Duration>,
    /// `volume_in`, `volume_out` and `energy`.
    pub levels: ReportedLevels,
    /// `caller_id_number`: the present one, not that of the first event.
    pub caller_id: SmolStr,
}

/// A channel in the list of `show channels`, which FreeSWITCH writes late, so it is never quite accurate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedChannel {
    /// `uuid`.
    pub channel: ChannelId,
    /// The identity: the list keeps the numbers from before any transfer.
    pub identity: Identity,
    /// True if it ran `park` when the list was written.
    pub parked: bool,
    /// True if it listened to another channel then.
    pub listens: bool,
}

/// The result of `uuid_dump` for a channel. It carries its own `Event-Sequence`, taken when it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelDump {
    /// `Core-UUID`.
    pub core: CoreId,
    /// `Event-Sequence`.
    pub sequence: u64,
    /// `Unique-ID`.
    pub channel: ChannelId,
    /// The identity.
    pub identity: Identity,
    /// True if it runs `park` (`variable_current_application`).
    pub parked: bool,
    /// `variable_roomkeeper_park`.
    pub parked_by: Option<ParkId>,
    /// The channel that it listens to, if it runs `eavesdrop`.
    pub listens_to: Option<ChannelId>,
    /// True if it runs the `bridge` of a transfer.
    pub transfers: bool,
    /// The result of its last transfer.
    pub bridge: Option<Bridge>,
    /// True if it is the other side of a transfer.
    pub is_leg: bool,
}
