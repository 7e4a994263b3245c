//! What FreeSWITCH told, freed of its headers: the words between `translate`, which reads events and snapshots,
//! and the belief, which never sees one.

use std::time::Duration;

use smol_str::SmolStr;

use crate::ids::{AppId, ChannelId, ConferenceId, CoreId, RecordingId, RoomId};
use crate::room::FileId;
use crate::session::{Direction, Parking, StepId};
use crate::time::Timestamp;

/// One event about a conference or a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// `Core-UUID`.
    pub core: CoreId,
    /// `Event-Sequence`.
    pub sequence: u64,
    /// `Event-Date-Timestamp`: FreeSWITCH's clock, up to 20 ms early.
    pub at: Timestamp,
    /// What it is about.
    pub what: What,
}

/// What an event is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A conference whose name is one of our room ids.
    Conference {
        /// The room.
        room: RoomId,
        /// `Conference-Unique-ID`.
        conference: ConferenceId,
        /// `Conference-Size`: members without ghosts, a free checksum.
        size: Option<usize>,
        /// What happened.
        change: ConferenceChange,
    },
    /// A channel.
    Channel {
        /// `Unique-ID`.
        channel: ChannelId,
        /// What happened.
        change: ChannelChange,
    },
}

/// What happened to a conference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConferenceChange {
    /// `conference-create`.
    Created,
    /// `conference-destroy`.
    Destroyed,
    /// `add-member`.
    Added(MemberBlock),
    /// `del-member`; the call itself hung up when it says so.
    Removed {
        /// Who.
        channel: ChannelId,
        /// It carries a `Hangup-Cause`.
        hung_up: bool,
        /// The conference has no member left, nor a ghost: FreeSWITCH ends it.
        last: bool,
    },
    /// `transfer`: the member is about to leave for another conference.
    Moving(ChannelId),
    /// `floor-change`.
    Floor {
        /// Who has it now.
        holder: Option<MemberBlock>,
    },
    /// `lock`, `unlock`.
    Locked(bool),
    /// `play-file`: a file was opened, or could not be.
    FileOpened {
        /// Which, as the path in front of it says.
        file: FileId,
        /// It carries an `Error`.
        failed: bool,
    },
    /// `play-file-done`: a file was closed. It can precede its opening.
    FileEnded(FileId),
    /// `start-recording` of a recording of ours.
    RecordingStarted {
        /// Which.
        recording: RecordingId,
        /// It carries an `Error`.
        failed: bool,
    },
    /// `stop-recording` of a recording of ours.
    RecordingStopped {
        /// Which.
        recording: RecordingId,
        /// `Milliseconds-Elapsed`.
        length: Option<Duration>,
    },
    /// Any other event with a member block: its flags are true all the same.
    Flags(MemberBlock),
    /// Any other event without one.
    Other,
}

impl ConferenceChange {
    /// The channel that it shows in the conference.
    pub const fn present(&self) -> Option<ChannelId> {
        match self {
            Self::Added(block)
            | Self::Flags(block)
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
            | Self::FileEnded(_)
            | Self::RecordingStarted { .. }
            | Self::RecordingStopped { .. }
            | Self::Other => None,
        }
    }

    /// Whether it is about a file that plays or is written.
    pub const fn is_about_a_file(&self) -> bool {
        matches!(
            self,
            Self::FileOpened { .. }
                | Self::FileEnded(_)
                | Self::RecordingStarted { .. }
                | Self::RecordingStopped { .. }
        )
    }

    /// Whether it is heard also when a snapshot has been taken since: a snapshot only makes one suspect that something
    /// is over, and says nothing of what plays.
    pub const fn is_heard_late(&self) -> bool {
        match self {
            Self::Destroyed
            | Self::Removed { .. }
            | Self::FileOpened { .. }
            | Self::FileEnded(_)
            | Self::RecordingStarted { .. }
            | Self::RecordingStopped { .. } => true,
            Self::Created
            | Self::Added(_)
            | Self::Moving(_)
            | Self::Floor { .. }
            | Self::Locked(_)
            | Self::Flags(_)
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
    /// Who the channel is.
    pub identity: Identity,
}

/// What happened to a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChannelChange {
    /// `CHANNEL_CREATE`.
    Created(Identity),
    /// `CHANNEL_ANSWER`.
    Answered(Identity),
    /// `CHANNEL_PARK`.
    Parked {
        /// Who it is.
        identity: Identity,
        /// `variable_roomkeeper_park`.
        by: Option<Parking>,
    },
    /// `CHANNEL_EXECUTE_COMPLETE` of a step of ours.
    StepEnded {
        /// `Application-UUID`, which was given with it.
        step: StepId,
        /// `Application-Response`.
        response: String,
    },
    /// `CHANNEL_HANGUP` or `CHANNEL_HANGUP_COMPLETE`.
    HungUp {
        /// `Hangup-Cause`.
        cause: String,
    },
    /// `CHANNEL_DESTROY`.
    Destroyed {
        /// `Hangup-Cause`, if it has one.
        cause: Option<String>,
    },
}

/// Who a channel is, as one event or dump tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The caller's number.
    pub caller_id: SmolStr,
    /// The number dialled; `None` when the call was transferred before, so that the event has another in its place.
    pub did: Option<SmolStr>,
    /// Which way it was set up.
    pub direction: Direction,
    /// `variable_roomkeeper_app`, where the event carries variables and it is an app's id.
    pub app: Option<AppId>,
    /// `Caller-Channel-Created-Time`.
    pub created_at: Option<Timestamp>,
    /// `Caller-Channel-Answered-Time`, when it was answered.
    pub answered_at: Option<Timestamp>,
}

/// What a snapshot shows of a node's conferences, fenced: it tells at least all that happened up to `fence`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The run of FreeSWITCH it is of.
    pub core: CoreId,
    /// `Event-Sequence` of the fence that was seen before it was asked for.
    pub fence: u64,
    /// The conferences whose names are room ids of this node.
    pub rooms: Vec<ShownRoom>,
}

/// One conference in a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShownRoom {
    /// `conference_name`.
    pub room: RoomId,
    /// `conference_uuid`.
    pub conference: ConferenceId,
    /// `locked`.
    pub locked: bool,
    /// `roomkeeper_meta` among its `variables`.
    pub meta: Option<String>,
    /// The members that are channels.
    pub members: Vec<ShownMember>,
    /// The recordings of ours.
    pub recordings: Vec<RecordingId>,
}

/// A conference as the list has it, whosever it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedConference {
    /// `conference_name`.
    pub name: String,
    /// The room of that name, if it is a room's.
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
pub struct ShownMember {
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
    /// `caller_id_number`: of the moment, not of the first sight.
    pub caller_id: SmolStr,
}

/// A channel as `show channels` proposes it: written late, and never wholly true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedChannel {
    /// `uuid`.
    pub channel: ChannelId,
    /// Who it is: the list keeps the numbers as they were before any transfer.
    pub identity: Identity,
    /// It ran `park` when the list was written.
    pub parked: bool,
}

/// What `uuid_dump` tells of a channel. It carries an `Event-Sequence` of its own, taken when it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dump {
    /// `Core-UUID`.
    pub core: CoreId,
    /// `Event-Sequence`.
    pub sequence: u64,
    /// `Unique-ID`.
    pub channel: ChannelId,
    /// Who it is.
    pub identity: Identity,
    /// It runs `park` (`variable_current_application`).
    pub parked: bool,
    /// `variable_roomkeeper_park`.
    pub parked_by: Option<Parking>,
}
