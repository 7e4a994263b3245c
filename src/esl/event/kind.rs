//! What an event tells of: the names, subclasses and actions that we act on.
//!
//! Owns the words of the wire and what each is good for. Leaves out the headers beside them.

use std::borrow::Cow;

/// The events we act on, by `Event-Name`, and for `CUSTOM` by `Event-Subclass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind<'a> {
    /// `CHANNEL_CREATE`
    ChannelCreate,
    /// `CHANNEL_ANSWER`
    ChannelAnswer,
    /// `CHANNEL_PARK`
    ChannelPark,
    /// `CHANNEL_UNPARK`
    ChannelUnpark,
    /// `CHANNEL_BRIDGE`
    ChannelBridge,
    /// `CHANNEL_EXECUTE_COMPLETE`
    ChannelExecuteComplete,
    /// `CHANNEL_HANGUP`
    ChannelHangup,
    /// `CHANNEL_HANGUP_COMPLETE`
    ChannelHangupComplete,
    /// `CHANNEL_DESTROY`
    ChannelDestroy,
    /// `BACKGROUND_JOB`
    BackgroundJob,
    /// `HEARTBEAT`
    Heartbeat,
    /// `SHUTDOWN`
    Shutdown,
    /// `CUSTOM conference::maintenance`, by its `Action`.
    Conference(ConferenceAction<'a>),
    /// Any other `CUSTOM`, by its `Event-Subclass`.
    Custom(Cow<'a, str>),
    /// Any other event, by its name.
    Other(Cow<'a, str>),
}

/// The subclass under which mod_conference tells of its rooms.
pub const CONFERENCE_SUBCLASS: &str = "conference::maintenance";

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $wire:literal,)*) => {
        /// What happened in a conference: `Action` of a `conference::maintenance` event.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ConferenceAction<'a> {
            $($(#[$doc])* $variant,)*
            /// Any other action, as written; empty if the event has none.
            Other(Cow<'a, str>),
        }

        impl<'a> ConferenceAction<'a> {
            /// The action that is written so.
            #[must_use]
            pub fn from_wire(action: Cow<'a, str>) -> Self {
                match action.as_ref() {
                    $($wire => Self::$variant,)*
                    _ => Self::Other(action),
                }
            }

            /// As it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $wire,)*
                    Self::Other(action) => action,
                }
            }

            /// Every action that has a name here.
            pub const KNOWN: &'static [&'static str] = &[$($wire),*];
        }
    };
}

actions! {
    /// The room exists; it has no member yet, and may never have one.
    ConferenceCreate = "conference-create",
    /// The room is gone. Can come after the next room of its name was created.
    ConferenceDestroy = "conference-destroy",
    /// A member is in; the size counts it already. Joined muted shows only as `Speak: false`.
    AddMember = "add-member",
    /// A member is out; the size is without it.
    DelMember = "del-member",
    /// Told also when it was muted already.
    MuteMember = "mute-member",
    /// Told also when it was not muted.
    UnmuteMember = "unmute-member",
    /// Cannot hear.
    DeafMember = "deaf-member",
    /// Can hear.
    UndeafMember = "undeaf-member",
    /// Held: neither speaks nor hears, and is not muted.
    HoldMember = "hold-member",
    /// No longer held.
    UnholdMember = "unhold-member",
    /// An intent; [`ConferenceAction::DelMember`] is the fact.
    KickMember = "kick-member",
    /// An intent, like kick, that ends the call too.
    HupMember = "hup-member",
    /// Speaks.
    StartTalking = "start-talking",
    /// Went silent. Not told when a talker is muted or held.
    StopTalking = "stop-talking",
    /// `Old-ID`, `New-ID`; no member block when the holder left.
    FloorChange = "floor-change",
    /// A file was queued; with `Error` it was not, and nothing follows.
    PlayFile = "play-file",
    /// A file was closed. Can precede its [`ConferenceAction::PlayFile`].
    PlayFileDone = "play-file-done",
    /// A file was queued for one member.
    PlayFileMember = "play-file-member",
    /// It was closed; no member block if the member left.
    PlayFileMemberDone = "play-file-member-done",
    /// Without `Error` the recording runs.
    StartRecording = "start-recording",
    /// The recording ended.
    StopRecording = "stop-recording",
    /// The recording pauses.
    PauseRecording = "pause-recording",
    /// The recording goes on.
    ResumeRecording = "resume-recording",
    /// To another room, by `Old-`/`New-Conference-Name`; leave and join follow.
    Transfer = "transfer",
    /// No one else gets in.
    Lock = "lock",
    /// Open again.
    Unlock = "unlock",
    /// `Digits` were dialled.
    DtmfMember = "dtmf-member",
    /// Volume of what the member says.
    VolumeInMember = "volume-in-member",
    /// Volume of what the member hears.
    VolumeOutMember = "volume-out-member",
    /// Threshold of talking.
    EnergyLevelMember = "energy-level-member",
    /// An outbound call of a room ended in `Result`.
    BgdialResult = "bgdial-result",
    /// The one refused join that is told of.
    RejectedJoinOnly = "rejected-join-only",
}
