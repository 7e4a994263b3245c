//! Translates FreeSWITCH's events, lists and dumps into [`SwitchEvent`]s, [`SnapshotRoom`]s and [`ChannelDump`]s.
//!
//! Pure. It leaves out objects that are not ours (a conference whose name is no room id, a channel whose id is no UUID);
//! the caller counts them. An incomplete snapshot is an error, never an empty snapshot.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use smol_str::SmolStr;

use freeswitch_esl::{ConferenceAction, Event, EventKind};
use roomkeeper_core::call::{Bridge, Direction, ParkId};
use roomkeeper_core::gather::{PressedDigit, is_digit};
use roomkeeper_core::ids::{ChannelId, ConferenceId, CoreId, NodeId, RecordingId, RoomId};
use roomkeeper_core::room::{FileId, Level, ReportedLevels};
use roomkeeper_core::time::Timestamp;

use super::conference_list::{self, ListedMember};
use super::table::{self, TableError};
use super::variables::{
    BRIDGE_CAUSE_VARIABLE, DIGITS_VARIABLE, DISPOSITION_VARIABLE, LEG_VARIABLE, PARK_VARIABLE,
    PEER_STATUS_VARIABLE, RECORDING_VARIABLE,
};
use roomkeeper_core::switch_event::{
    ChannelChange, ChannelDump, ConferenceChange, Identity, ListedChannel, ListedConference,
    MemberBlock, SnapshotMember, SnapshotRoom, SwitchEvent, SwitchEventKind,
};

/// The application of a transfer.
const BRIDGE: &str = "bridge";

/// The `originate_disposition` from the beginning of a call until its outcome (`switch_ivr_originate.c`).
const DIALLING: &str = "failure";

/// The `originate_disposition` of an answered call (`switch_ivr_originate.c`).
const ACCEPTED: &str = "call accepted";

/// The application of a coach, and the function of its tap.
const EAVESDROP: &str = "eavesdrop";

/// The beginning of the name of a channel between two nodes, on both of them: it is no call of an app. The name is FreeSWITCH's, and
/// callers choose only what follows the profile.
const RELAY: &str = "sofia/relays/";

/// Translates an event; `None` if it concerns neither rooms nor calls.
pub fn switch_event(event: &Event) -> Option<SwitchEvent> {
    let kind = event.kind();
    let what = match &kind {
        EventKind::Conference(action) => conference(event, action)?,
        _ if variable(event, LEG_VARIABLE).is_some() => channel(event, |_| ChannelChange::Leg {
            over: matches!(
                kind,
                EventKind::ChannelHangup
                    | EventKind::ChannelHangupComplete
                    | EventKind::ChannelDestroy
            ),
        })?,
        EventKind::ChannelCreate => dialled(event, |e| ChannelChange::Created(identity(e)))?,
        EventKind::ChannelProgress | EventKind::ChannelProgressMedia => {
            dialling_room(event)?;
            dialled(event, |_| ChannelChange::Ringing)?
        }
        EventKind::ChannelAnswer => dialled(event, |e| ChannelChange::Answered(identity(e)))?,
        EventKind::ChannelPark => dialled(event, |e| ChannelChange::Parked {
            identity: identity(e),
            by: parked_by(e),
            bridge: bridge(|name| variable(e, name)),
        })?,
        EventKind::ChannelBridge => {
            channel(event, |e| ChannelChange::Bridged { by: parked_by(e) })?
        }
        EventKind::ChannelHangup | EventKind::ChannelHangupComplete => {
            dialled(event, |e| ChannelChange::HungUp {
                cause: cause(e).unwrap_or_else(|| "UNKNOWN".to_owned()),
            })?
        }
        EventKind::ChannelDestroy => {
            dialled(event, |e| ChannelChange::Destroyed { cause: cause(e) })?
        }
        EventKind::ChannelExecuteComplete => {
            // Most of these belong to applications that the dialplan runs.
            let step = event.get("Application-UUID")?.parse().ok()?;
            let response = response(event)?;
            channel(event, |_| ChannelChange::StepEnded { step, response })?
        }
        EventKind::Dtmf => {
            let digit = event
                .get("DTMF-Digit")?
                .parse()
                .ok()
                .filter(|key| is_digit(*key))?;
            // In samples of 8 kHz, whatever the codec.
            let samples: u32 = event.parse("DTMF-Duration").unwrap_or(0);
            let duration_ms = samples / 8;
            let pressed = PressedDigit { digit, duration_ms };
            channel(event, |_| ChannelChange::Digit(pressed))?
        }
        EventKind::MediaBugStart => {
            // Others are recordings and the like.
            event
                .get("Media-Bug-Function")
                .filter(|function| function == EAVESDROP)?;
            channel(event, |_| ChannelChange::ListenedTo)?
        }
        EventKind::RecordStart => {
            let (room, recording) = member_recording(event)?;
            channel(event, |_| ChannelChange::RecordingStarted {
                room,
                recording,
            })?
        }
        EventKind::RecordStop => {
            let (room, recording) = member_recording(event)?;
            channel(event, |e| ChannelChange::RecordingStopped {
                room,
                recording,
                length: milliseconds(e, "variable_record_ms"),
            })?
        }
        EventKind::ChannelUnpark
        | EventKind::BackgroundJob
        | EventKind::Heartbeat
        | EventKind::Shutdown
        | EventKind::Custom(_)
        | EventKind::Other(_) => return None,
    };
    Some(SwitchEvent {
        core: core(event)?,
        sequence: event.sequence()?,
        at: Timestamp::from_micros(event.timestamp_us().unwrap_or(0)),
        kind: what,
    })
}

/// The response of an application. Digits are in variables of the channel, in the form of the checkpoint. A call that
/// hangs up while it is asked for digits ends the application first: its hang-up decides.
fn response(event: &Event) -> Option<String> {
    let text = |name: &str| event.get(name).map(Cow::into_owned).unwrap_or_default();
    if text("Application") != "play_and_get_digits" {
        return Some(text("Application-Response"));
    }
    let digits = text(&format!("variable_{DIGITS_VARIABLE}"));
    let ended = text("Answer-State") == "hangup";
    (!ended).then(|| format!("{}:{digits}", text("variable_read_result")))
}

/// The value of a channel variable in an event.
fn variable(event: &Event, name: &str) -> Option<String> {
    event.get(&format!("variable_{name}")).map(Cow::into_owned)
}

fn parked_by(event: &Event) -> Option<ParkId> {
    park_id(variable(event, PARK_VARIABLE).as_deref())
}

/// The result of the last `bridge` of a channel, from its variables; `None` while the other side rings, and before.
fn bridge(variable: impl Fn(&str) -> Option<String>) -> Option<Bridge> {
    let get = |name: &str| variable(name).filter(|value| !value.is_empty());
    let disposition = get(DISPOSITION_VARIABLE)?;
    match disposition.as_str() {
        DIALLING => None,
        "SUCCESS" | ACCEPTED => Some(Bridge::Answered {
            cause: get(BRIDGE_CAUSE_VARIABLE),
        }),
        _ => Some(Bridge::Failed {
            cause: disposition,
            sip_status: get(PEER_STATUS_VARIABLE)
                .and_then(|status| status.strip_prefix("sip:")?.parse().ok()),
        }),
    }
}

/// `Core-UUID` of an event.
pub fn core(event: &Event) -> Option<CoreId> {
    event.core_uuid()?.parse().ok()
}

/// A change of a channel; `None` if it is a relay.
fn channel(event: &Event, change: impl FnOnce(&Event) -> ChannelChange) -> Option<SwitchEventKind> {
    let name = event.get("Channel-Name");
    if name.is_some_and(|name| name.starts_with(RELAY)) {
        return None;
    }
    Some(SwitchEventKind::Channel {
        channel: event.unique_id()?.parse().ok()?,
        change: change(event),
    })
}

/// A change of a channel that a dial-out may have made.
fn dialled(event: &Event, change: impl FnOnce(&Event) -> ChannelChange) -> Option<SwitchEventKind> {
    let Some(room) = dialling_room(event) else {
        return channel(event, change);
    };
    channel(event, |event| ChannelChange::Dialled {
        room,
        change: Box::new(change(event)),
        sip_status: sip_status(event),
        answered: identity(event).answered_at.is_some(),
    })
}

/// The room that dialled the channel.
fn dialling_room(event: &Event) -> Option<RoomId> {
    event.get("variable_roomkeeper_dial")?.parse().ok()
}

/// The status of the callee's last SIP response. The first variable is not set if FreeSWITCH itself gave up.
fn sip_status(event: &Event) -> Option<u16> {
    let status = |name: &str| event.get(name)?.parse().ok();
    status("variable_sip_term_status").or_else(|| status("variable_sip_invite_failure_status"))
}

fn cause(event: &Event) -> Option<String> {
    event
        .hangup_cause()
        .filter(|c| !c.is_empty())
        .map(|c| c.into_owned())
}

fn conference(event: &Event, action: &ConferenceAction<'_>) -> Option<SwitchEventKind> {
    let room: RoomId = event.conference_name()?.parse().ok()?;
    let conference: ConferenceId = event.conference_uuid()?.parse().ok()?;
    let block = || member_block(event);
    let change = match action {
        ConferenceAction::ConferenceCreate => ConferenceChange::Created,
        ConferenceAction::ConferenceDestroy => ConferenceChange::Destroyed,
        ConferenceAction::AddMember => ConferenceChange::Added(block()?),
        ConferenceAction::DelMember => ConferenceChange::Removed {
            channel: event.unique_id()?.parse().ok()?,
            hung_up: event.hangup_cause().is_some_and(|c| !c.is_empty()),
            last: event.conference_size() == Some(0)
                && event.get("Conference-Ghosts").is_none_or(|n| n == "0"),
        },
        ConferenceAction::Transfer => ConferenceChange::Moving(event.unique_id()?.parse().ok()?),
        ConferenceAction::FloorChange => ConferenceChange::Floor {
            holder: block().filter(|_| !quirk_muted_member_talks(event)),
        },
        ConferenceAction::MuteDetect => ConferenceChange::MutedTalk(block()?),
        ConferenceAction::Lock => ConferenceChange::Locked(true),
        ConferenceAction::Unlock => ConferenceChange::Locked(false),
        ConferenceAction::MuteMember
        | ConferenceAction::UnmuteMember
        | ConferenceAction::DeafMember
        | ConferenceAction::UndeafMember
        | ConferenceAction::HoldMember
        | ConferenceAction::UnholdMember
        | ConferenceAction::StartTalking
        | ConferenceAction::StopTalking
        | ConferenceAction::DtmfMember => ConferenceChange::Flags(block()?),
        ConferenceAction::VolumeInMember => level(event, Level::VolumeIn, block()?),
        ConferenceAction::VolumeOutMember => level(event, Level::VolumeOut, block()?),
        ConferenceAction::EnergyLevelMember => level(event, Level::Energy, block()?),
        ConferenceAction::PlayFile => match played_file(event) {
            Some(file) => ConferenceChange::FileOpened {
                file,
                failed: event.get("Error").is_some(),
                member: None,
            },
            None => ConferenceChange::Other,
        },
        ConferenceAction::PlayFileDone => match played_file(event) {
            Some(file) => ConferenceChange::FileEnded { file, member: None },
            None => ConferenceChange::Other,
        },
        ConferenceAction::PlayFileMember => match member_file(event) {
            Some((file, member)) => ConferenceChange::FileOpened {
                file,
                failed: false,
                member: Some(member),
            },
            None => ConferenceChange::Other,
        },
        ConferenceAction::PlayFileMemberDone => match member_file(event) {
            Some((file, member)) => ConferenceChange::FileEnded {
                file,
                member: Some(member),
            },
            None => ConferenceChange::Other,
        },
        ConferenceAction::StartRecording => match recording(&event.get("Path")?) {
            Some(recording) => ConferenceChange::RecordingStarted {
                recording,
                failed: event.get("Error").is_some(),
            },
            None => ConferenceChange::Other,
        },
        ConferenceAction::StopRecording => match recording(&event.get("Path")?) {
            Some(recording) => ConferenceChange::RecordingStopped {
                recording,
                length: milliseconds(event, "Milliseconds-Elapsed"),
            },
            None => ConferenceChange::Other,
        },
        ConferenceAction::PauseRecording | ConferenceAction::ResumeRecording => {
            match recording(&event.get("Path")?) {
                Some(recording) => ConferenceChange::RecordingPaused {
                    recording,
                    paused: *action == ConferenceAction::PauseRecording,
                },
                None => ConferenceChange::Other,
            }
        }
        // These can arrive for a member that is already leaving, so they do not confirm its presence.
        ConferenceAction::KickMember
        | ConferenceAction::HupMember
        | ConferenceAction::BgdialResult
        | ConferenceAction::RejectedJoinOnly
        | ConferenceAction::Other(_) => ConferenceChange::Other,
    };
    Some(SwitchEventKind::Conference {
        room,
        conference,
        size: event
            .conference_size()
            .and_then(|s| usize::try_from(s).ok()),
        change,
    })
}

/// The id of our recording at this path; `None` for a recording of others.
fn recording(path: &str) -> Option<RecordingId> {
    let (_, file) = path.rsplit_once('/')?;
    file.strip_suffix(".wav")?.parse().ok()
}

/// The room that records a member, and the recording; `None` for a recording of others.
fn member_recording(event: &Event) -> Option<(RoomId, RecordingId)> {
    let recording = recording(&event.get("Record-File-Path")?)?;
    let room = event.get(&format!("variable_{RECORDING_VARIABLE}"))?;
    Some((room.parse().ok()?, recording))
}

fn milliseconds(event: &Event, header: &str) -> Option<Duration> {
    let milliseconds = event.get(header)?.parse().ok()?;
    Some(Duration::from_millis(milliseconds))
}

/// True if a channel's `uuid_buglist` has a recording into the file of this id.
pub fn lists_recording(list: &str, id: RecordingId) -> bool {
    let mut lines = list.lines().map(str::trim);
    lines.any(|line| {
        let target = line.strip_prefix("<target>");
        let path = target.and_then(|path| path.strip_suffix("</target>"));
        path.and_then(recording) == Some(id)
    })
}

/// The id of our file that an event concerns; `None` for other files, such as the sound that announces a member.
fn played_file(event: &Event) -> Option<FileId> {
    quirk_file_of_its_path(&event.get("File")?)
}

/// The id of our file that is played to one member, and that member. The event of a file that ended with its membership has
/// no member block; nothing follows from it, because the end of the membership ended the file.
fn member_file(event: &Event) -> Option<(FileId, ChannelId)> {
    Some((played_file(event)?, event.unique_id()?.parse().ok()?))
}

/// In `play-file`, the parameters beside the path belong to the file that plays, not to the opened one. So they are parsed
/// from the path itself: `{op=<uuid>,n=<index>,vol=<decibels>}<url>`.
fn quirk_file_of_its_path(path: &str) -> Option<FileId> {
    let (params, _) = path.strip_prefix('{')?.split_once('}')?;
    let param = |name: &str| {
        params
            .split(',')
            .filter_map(|param| param.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    };
    Some(FileId {
        operation: param("op")?.parse().ok()?,
        index: param("n")?.parse().ok()?,
    })
}

/// A level of a member; without its value, the event shows the flags only.
fn level(event: &Event, level: Level, block: MemberBlock) -> ConferenceChange {
    let header = match level {
        Level::VolumeIn | Level::VolumeOut => "Volume-Level",
        Level::Energy => "Energy-Level",
    };
    match event.get(header).and_then(|value| value.parse().ok()) {
        Some(value) => ConferenceChange::Level {
            block,
            level,
            value,
        },
        None => ConferenceChange::Flags(block),
    }
}

/// A member with `mute-detect` that talks while it is muted is `Talking` until it is unmuted, also while it is silent, and
/// takes the floor, although nobody hears it (seen on 1.11.3-dev).
fn quirk_muted_member_talks(event: &Event) -> bool {
    event.flag("Talking") == Some(true) && event.flag("Speak") == Some(false)
}

fn member_block(event: &Event) -> Option<MemberBlock> {
    Some(MemberBlock {
        channel: event.unique_id()?.parse().ok()?,
        speak: event.flag("Speak")?,
        hear: event.flag("Hear")?,
        hold: event.flag("Hold").unwrap_or(false),
        talking: event.flag("Talking").unwrap_or(false) && !quirk_muted_member_talks(event),
        identity: identity(event),
    })
}

/// The id of the command that parked a call. Another program's value is no number.
fn park_id(value: Option<&str>) -> Option<ParkId> {
    value?.parse().ok()
}

/// The identity of an event's channel.
fn identity(event: &Event) -> Identity {
    identity_from(|name| event.get(name).map(|v| v.into_owned()))
}

fn identity_from(get: impl Fn(&str) -> Option<String>) -> Identity {
    let text = |name: &str| get(name).filter(|v| !v.is_empty());
    let micros = |name: &str| {
        get(name)
            .and_then(|v| v.parse::<u64>().ok())
            .filter(|v| *v > 0)
            .map(Timestamp::from_micros)
    };
    let answered = get("Answer-State").is_some_and(|s| s == "answered");
    let created_at = micros("Caller-Channel-Created-Time");
    Identity {
        caller_id: quirk_caller_number(&text).into(),
        did: quirk_number_dialled(&text).map(SmolStr::from),
        direction: match get("Call-Direction")
            .or_else(|| get("Caller-Direction"))
            .as_deref()
        {
            Some("outbound") => Direction::Outbound,
            _ => Direction::Inbound,
        },
        app: text("variable_roomkeeper_app").and_then(|v| v.parse().ok()),
        created_at,
        // The time is zero in the event of the answer itself.
        answered_at: micros("Caller-Channel-Answered-Time").or(if answered {
            micros("Event-Date-Timestamp")
        } else {
            None
        }),
    }
}

fn direction(text: Option<&str>) -> Direction {
    match text {
        Some("outbound") => Direction::Outbound,
        Some(_) | None => Direction::Inbound,
    }
}

/// A transfer creates a new caller profile with the transfer's destination; only the first profile has the dialled number.
fn quirk_number_dialled(text: &impl Fn(&str) -> Option<String>) -> Option<String> {
    match text("Caller-Profile-Index").as_deref() {
        None | Some("1") => text("Caller-Destination-Number"),
        Some(_) => None,
    }
}

/// The callee's channel of an originated call has caller and callee swapped: its `Caller-Caller-ID-Number` is the dial
/// string's context, and the given number is the callee's.
fn quirk_caller_number(text: &impl Fn(&str) -> Option<String>) -> String {
    let outbound = text("Caller-Direction").is_some_and(|d| d == "outbound");
    let callee = if outbound {
        text("Caller-Orig-Caller-ID-Number").or_else(|| text("Caller-Callee-ID-Number"))
    } else {
        None
    };
    callee
        .or_else(|| text("Caller-Caller-ID-Number"))
        .unwrap_or_default()
}

/// The reason why an answer is not a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableSnapshot {
    /// It is not complete JSON of the expected form.
    #[error("not the expected JSON")]
    Json(#[from] serde_json::Error),
    /// A field is missing or invalid.
    #[error("{0}")]
    Field(&'static str),
    /// The table is refused.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Parses `conference json_list [compact]`: the conferences of this node whose names are room ids, newest first.
///
/// # Errors
/// Fails with [`UnreadableSnapshot`]; nothing may be concluded from it.
pub fn conferences(node: NodeId, json: &[u8]) -> Result<Vec<SnapshotRoom>, UnreadableSnapshot> {
    all_conferences(node, json).map(|(shown, _)| shown)
}

/// Parses the same list, and also returns every listed conference, whether or not it is a room.
///
/// # Errors
/// Fails with [`UnreadableSnapshot`]; nothing may be concluded from it.
pub fn all_conferences(
    node: NodeId,
    json: &[u8],
) -> Result<(Vec<SnapshotRoom>, Vec<ListedConference>), UnreadableSnapshot> {
    let text = quirk_lossy(json);
    let rooms = conference_list::read(&text)?;
    let mut shown = Vec::new();
    let mut listed = Vec::with_capacity(rooms.len());
    for room in rooms {
        let id = room.conference_name.parse::<RoomId>().ok();
        listed.push(ListedConference {
            name: room.conference_name.into_owned(),
            room: id,
            conference: room.conference_uuid.clone().into_owned(),
            members: room.member_count,
            age: Duration::from_secs(room.run_time),
        });
        let Some(id) = id.filter(|id| id.node() == node) else {
            continue;
        };
        let conference = room
            .conference_uuid
            .parse()
            .map_err(|_| UnreadableSnapshot::Field("conference_uuid is not a uuid"))?;
        let mut members = Vec::with_capacity(room.members.len());
        let mut recordings = Vec::new();
        for member in room.members {
            let is_paused = member.status.as_deref() == Some("paused");
            let id = member.record_path.as_deref().and_then(recording);
            recordings.extend(id.map(|id| (id, is_paused)));
            members.extend(shown_member(member));
        }
        shown.push(SnapshotRoom {
            room: id,
            conference,
            locked: room.locked,
            meta: room.meta.map(Cow::into_owned),
            members,
            recordings,
        });
    }
    Ok((shown, listed))
}

/// A listed member; `None` for a recording, or without a valid channel.
fn shown_member(member: ListedMember<'_>) -> Option<SnapshotMember> {
    let channel: ChannelId = member.uuid?.parse().ok()?;
    let flags = member.flags?;
    let is_heard = is_heard_as_listed(flags);
    Some(SnapshotMember {
        channel,
        can_speak: flags.can_speak,
        can_hear: flags.can_hear,
        hold: flags.hold,
        talking: flags.talking && is_heard,
        has_floor: flags.has_floor && is_heard,
        talked: Some(member.last_talking)
            .filter(|seconds| *seconds > 0 && is_heard)
            .map(Duration::from_secs),
        levels: ReportedLevels {
            volume_in: member.volume_in,
            volume_out: member.volume_out,
            energy: member.energy,
        },
        caller_id: member.caller_id_number.unwrap_or_default().into(),
    })
}

/// The list shows the same of a muted member as its events, see [`quirk_muted_member_talks`]: false for such a member. A
/// member that was muted while it talked does not talk.
const fn is_heard_as_listed(flags: conference_list::Flags) -> bool {
    !flags.talking || flags.can_speak || flags.hold
}

/// FreeSWITCH does not check callers' names; a name that is not UTF-8 must not make the snapshot fail.
fn quirk_lossy(json: &[u8]) -> Cow<'_, str> {
    // Almost all are UTF-8, and this check is faster than the lossy conversion.
    std::str::from_utf8(json).map_or_else(|_| String::from_utf8_lossy(json), Cow::Borrowed)
}

#[derive(Deserialize)]
struct WireChannels<'a> {
    row_count: usize,
    #[serde(borrow, default)]
    rows: Vec<WireChannel<'a>>,
}

/// The required columns of the table `channels` (switch_core_sqldb.c).
#[derive(Deserialize)]
struct WireChannel<'a> {
    #[serde(borrow)]
    uuid: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    initial_cid_num: Cow<'a, str>,
    #[serde(borrow, default)]
    initial_dest: Cow<'a, str>,
    #[serde(borrow, default)]
    direction: Cow<'a, str>,
    #[serde(borrow, default)]
    created_epoch: Cow<'a, str>,
    #[serde(borrow, default)]
    application: Cow<'a, str>,
}

impl WireChannel<'_> {
    /// The listed channel; `None` if it is a relay or its id is invalid.
    fn listed(self) -> Option<ListedChannel> {
        if self.name.starts_with(RELAY) {
            return None;
        }
        let created = self.created_epoch.parse::<u64>().ok();
        Some(ListedChannel {
            channel: self.uuid.parse().ok()?,
            identity: Identity {
                caller_id: self.initial_cid_num.into(),
                did: Some(self.initial_dest)
                    .filter(|did| !did.is_empty())
                    .map(SmolStr::from),
                direction: direction(Some(&self.direction)),
                app: None,
                created_at: created.map(|s| Timestamp::from_millis(s.saturating_mul(1000))),
                answered_at: None,
            },
            parked: self.application == "park",
            listens: self.application == EAVESDROP,
        })
    }
}

/// Parses `show channels as delim`.
///
/// # Errors
/// Fails with [`UnreadableSnapshot`]; nothing may be concluded from it. After [`TableError::Separator`] and
/// [`TableError::Column`], the JSON form can still succeed.
pub fn channels(text: &[u8]) -> Result<Vec<ListedChannel>, UnreadableSnapshot> {
    let columns = [
        "uuid",
        "name",
        "initial_cid_num",
        "initial_dest",
        "direction",
        "created_epoch",
        "application",
    ];
    let mut listed = Vec::new();
    table::rows(text, columns, |values| {
        let [
            uuid,
            name,
            initial_cid_num,
            initial_dest,
            direction,
            created_epoch,
            application,
        ] = values.map(quirk_lossy);
        let channel = WireChannel {
            uuid,
            name,
            initial_cid_num,
            initial_dest,
            direction,
            created_epoch,
            application,
        };
        listed.extend(channel.listed());
    })?;
    Ok(listed)
}

/// Parses `show channels as json`. Without calls it has no field `rows`.
///
/// # Errors
/// Fails with [`UnreadableSnapshot`]; nothing may be concluded from it.
pub fn channels_as_json(json: &[u8]) -> Result<Vec<ListedChannel>, UnreadableSnapshot> {
    let text = quirk_lossy(json);
    let listed: WireChannels<'_> = serde_json::from_str(&text)?;
    if listed.row_count != listed.rows.len() {
        return Err(UnreadableSnapshot::Field(
            "row_count is not the number of rows",
        ));
    }
    let rows = listed.rows.into_iter();
    Ok(rows.filter_map(WireChannel::listed).collect())
}

/// Parses `uuid_dump <uuid> json`.
///
/// # Errors
/// Fails with [`UnreadableSnapshot`].
pub fn dump(json: &[u8]) -> Result<ChannelDump, UnreadableSnapshot> {
    let fields: std::collections::HashMap<String, serde_json::Value> =
        serde_json::from_str(&quirk_lossy(json))?;
    let get = |name: &str| fields.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    let field = |name: &'static str| get(name).ok_or(UnreadableSnapshot::Field(name));
    let parse_error = UnreadableSnapshot::Field;
    let application = get("variable_current_application");
    let runs = fields
        .get("Channel-State")
        .and_then(|v| v.as_str())
        .is_some_and(|s| s == "CS_EXECUTE");
    let listens = runs && application.as_deref() == Some(EAVESDROP);
    let argument = get("variable_current_application_data");
    let target = argument.as_ref().filter(|_| listens);
    let is_leg = |argument: &String| argument.contains(&format!("{LEG_VARIABLE}="));
    Ok(ChannelDump {
        core: field("Core-UUID")?
            .parse()
            .map_err(|_| parse_error("Core-UUID"))?,
        sequence: field("Event-Sequence")?
            .parse()
            .map_err(|_| parse_error("Event-Sequence"))?,
        channel: field("Unique-ID")?
            .parse()
            .map_err(|_| parse_error("Unique-ID"))?,
        identity: identity_from(get),
        parked_by: park_id(get("variable_roomkeeper_park").as_deref()),
        parked: runs && application.as_deref() == Some("park"),
        listens_to: target.and_then(|target| target.parse().ok()),
        transfers: runs
            && application.as_deref() == Some(BRIDGE)
            && argument.as_ref().is_some_and(is_leg),
        bridge: bridge(|name| get(&format!("variable_{name}"))),
        is_leg: get(&format!("variable_{LEG_VARIABLE}")).is_some(),
    })
}

/// The figures of a channel's RTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaFigures {
    /// From the creation of the channel to its answer.
    pub answered: Duration,
    /// `rtp_audio_out_media_packet_count`.
    pub sent: u64,
    /// `rtp_audio_in_media_packet_count`.
    pub received: u64,
    /// `rtp_audio_in_flaw_total`: the sequence numbers that are missing between received packets.
    pub lost: u64,
    /// The square root of `rtp_audio_in_jitter_max_variance`, which is in square milliseconds.
    pub jitter: Duration,
}

/// Parses the figures in `uuid_dump <uuid> json`, which `uuid_set_media_stats` has written before.
///
/// # Errors
/// Fails with [`UnreadableSnapshot`] if the answer is no dump or lacks them.
pub fn media_figures(json: &[u8]) -> Result<MediaFigures, UnreadableSnapshot> {
    let fields: std::collections::HashMap<String, serde_json::Value> =
        serde_json::from_str(&quirk_lossy(json))?;
    let text = |name: &'static str| {
        let text = fields.get(name).and_then(|value| value.as_str());
        text.ok_or(UnreadableSnapshot::Field(name))
    };
    let number = |name: &'static str| -> Result<u64, UnreadableSnapshot> {
        let parsed = text(name)?.parse();
        parsed.map_err(|_| UnreadableSnapshot::Field(name))
    };
    let variance = "variable_rtp_audio_in_jitter_max_variance";
    let square_ms: f64 = text(variance)?
        .parse()
        .map_err(|_| UnreadableSnapshot::Field(variance))?;
    let jitter = Duration::try_from_secs_f64(square_ms.sqrt() / 1000.0)
        .map_err(|_| UnreadableSnapshot::Field(variance))?;
    let created = number("Caller-Channel-Created-Time")?;
    let answered = number("Caller-Channel-Answered-Time")?;
    Ok(MediaFigures {
        answered: Duration::from_micros(answered.saturating_sub(created)),
        sent: number("variable_rtp_audio_out_media_packet_count")?,
        received: number("variable_rtp_audio_in_media_packet_count")?,
        lost: number("variable_rtp_audio_in_flaw_total")?,
        jitter,
    })
}
