//! Kinds of events: names, subclasses and actions that have a type here.
//!
//! Owns the words on the wire and their meaning. Leaves out the headers of the events.

use std::borrow::Cow;

/// The kind of an event, by `Event-Name`, and for `CUSTOM` by `Event-Subclass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind<'a> {
    /// `CHANNEL_CREATE`
    ChannelCreate,
    /// `CHANNEL_PROGRESS`
    ChannelProgress,
    /// `CHANNEL_PROGRESS_MEDIA`
    ChannelProgressMedia,
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
    /// `DTMF`
    Dtmf,
    /// `MEDIA_BUG_START`
    MediaBugStart,
    /// `RECORD_START`
    RecordStart,
    /// `RECORD_STOP`
    RecordStop,
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

/// The subclass of mod_conference's events.
pub const CONFERENCE_SUBCLASS: &str = "conference::maintenance";

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $wire:literal,)*) => {
        /// A change in a conference: the `Action` of a `conference::maintenance` event.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ConferenceAction<'a> {
            $($(#[$doc])* $variant,)*
            /// Any other action, as written; empty if the event has none.
            Other(Cow<'a, str>),
        }

        impl<'a> ConferenceAction<'a> {
            /// Returns the action with this name.
            #[must_use]
            pub fn from_wire(action: Cow<'a, str>) -> Self {
                match action.as_ref() {
                    $($wire => Self::$variant,)*
                    _ => Self::Other(action),
                }
            }

            /// Returns the action as written on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $wire,)*
                    Self::Other(action) => action,
                }
            }

            /// All actions that have a variant.
            pub const KNOWN: &'static [&'static str] = &[$($wire),*];
        }
    };
}

actions! {
    /// The room exists; it has no member yet, and may never have one.
    ConferenceCreate = "conference-create",
    /// The room is gone. The event can come after the creation of the next room of its name.
    ConferenceDestroy = "conference-destroy",
    /// A member entered; the size includes it already. A member that enters muted has only `Speak: false`.
    AddMember = "add-member",
    /// A member left; the size excludes it.
    DelMember = "del-member",
    /// A member was muted, perhaps again.
    MuteMember = "mute-member",
    /// A member was unmuted, perhaps again.
    UnmuteMember = "unmute-member",
    /// Cannot hear.
    DeafMember = "deaf-member",
    /// Can hear.
    UndeafMember = "undeaf-member",
    /// On hold: can neither speak nor hear, and is not muted.
    HoldMember = "hold-member",
    /// No longer held.
    UnholdMember = "unhold-member",
    /// Announces a removal, which [`ConferenceAction::DelMember`] confirms.
    KickMember = "kick-member",
    /// Announces a removal that ends the call, too.
    HupMember = "hup-member",
    /// Began to talk.
    StartTalking = "start-talking",
    /// Stopped talking. There is no event when a talker is muted or held.
    StopTalking = "stop-talking",
    /// `Old-ID`, `New-ID`; no member block when the holder left.
    FloorChange = "floor-change",
    /// A file was queued; with `Error` it was not, and no further event follows.
    PlayFile = "play-file",
    /// A file was closed. Can precede its [`ConferenceAction::PlayFile`].
    PlayFileDone = "play-file-done",
    /// A file was queued for one member.
    PlayFileMember = "play-file-member",
    /// The file of one member was closed; no member block if the member left.
    PlayFileMemberDone = "play-file-member-done",
    /// Without `Error` the recording runs.
    StartRecording = "start-recording",
    /// The recording ended.
    StopRecording = "stop-recording",
    /// The recording pauses.
    PauseRecording = "pause-recording",
    /// The recording continues.
    ResumeRecording = "resume-recording",
    /// To another room, by `Old-`/`New-Conference-Name`; leave and join follow.
    Transfer = "transfer",
    /// Further members are refused.
    Lock = "lock",
    /// Members are admitted again.
    Unlock = "unlock",
    /// The member dialled `Digits`.
    DtmfMember = "dtmf-member",
    /// The member talks although it is muted: once for each mute, and only if it joined with `mute-detect`.
    MuteDetect = "mute-detect",
    /// The volume of the member's voice.
    VolumeInMember = "volume-in-member",
    /// The volume that the member hears.
    VolumeOutMember = "volume-out-member",
    /// The threshold of talking.
    EnergyLevelMember = "energy-level-member",
    /// An outbound call of a room ended in `Result`.
    BgdialResult = "bgdial-result",
    /// The only refused join that has an event.
    RejectedJoinOnly = "rejected-join-only",
}
