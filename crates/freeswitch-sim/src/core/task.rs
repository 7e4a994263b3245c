//! Scheduled work of the model's threads.

use super::ConnId;

/// A step of a thread.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// A channel's thread runs until it waits.
    Run(String),
    /// A leg of an originated call does its next step.
    Leg(LegStep, String),
    /// A call from outside does its next step.
    Inbound(LegStep, String),
    /// The callee of a call that the node made does its next step.
    Callee(CalleeStep, String),
    /// A recovered call starts again.
    Recovered(String),
    /// A channel requests to enter the conference of its running application, which has this id.
    Join(String, String),
    /// An admitted channel becomes a member of this conference.
    Add(String, String, Admission),
    /// A channel is hung up by its peer.
    PeerHangup(String, &'static str),
    /// A channel finds its peer gone.
    PeerNotice(String),
    Report(String),
    Destroy(String),
    ParkTimeout(String, u64, &'static str),
    /// The other side of this channel starts or stops to speak; the number is the tone's.
    Tone(String, u64, u64, u64, bool),
    TalkStart(String),
    TalkStop(String),
    Floor(String),
    RoomEnd(String),
    RoomGone(String),
    /// The file at the head of a conference's queue ends; the number is its serial.
    FileDone(String, u64),
    /// A file that plays to one member ends; the last number is its serial.
    MemberFileDone(String, u64, u64),
    FilesStop(String, Vec<u64>),
    RecordStart(String, String),
    RecordStop(String, String),
    PlayOpened(u64, Play),
    Job(u64),
    Sql(String),
    /// A slow command has its answer.
    Done(u64, &'static str),
    Heartbeat,
    AuthTimeout(ConnId),
    /// The thread of a connection has slept for its time.
    CheckEvents(ConnId),
    ShutdownNotice,
}

/// The steps until a new channel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegStep {
    Create,
    Answer,
    Answered,
    Run,
}

/// The steps of a callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CalleeStep {
    Ring,
    Answer,
    /// A final SIP response with this status.
    Refuse(u16),
    /// The caller gives up.
    Timeout,
}

/// A channel that a conference has let in and that is not a member yet.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    pub room: String,
    pub id: u64,
    pub mute: bool,
    pub deaf: bool,
    pub mute_detect: bool,
    pub moderator: bool,
    pub ghost: bool,
    pub call_key: String,
}

/// A file that takes time to open.
#[derive(Debug, Clone)]
pub(super) struct Play {
    pub room: String,
    pub path: String,
    pub member: Option<String>,
    pub asynchronous: bool,
}
