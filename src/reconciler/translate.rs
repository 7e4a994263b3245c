//! The only place where the Event Socket meets rooms: events, snapshots and dumps become [`News`], [`ShownRoom`]s and
//! [`Dump`]s.
//!
//! Pure. What it cannot make sense of it leaves out (a conference of another name than a room id of ours, a channel
//! whose id is not a uuid): the caller counts it. A snapshot that is not whole is an error, never an empty one.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use smol_str::SmolStr;

use crate::esl::{ConferenceAction, Event, EventKind};
use crate::ids::{ChannelId, ConferenceId, CoreId, NodeId, RecordingId, RoomId};
use crate::room::FileId;
use crate::session::{Direction, Parking};
use crate::time::Timestamp;

use super::conference_list::{self, ListedMember};
use super::news::{
    ChannelChange, ConferenceChange, Dump, Identity, ListedChannel, ListedConference, MemberBlock,
    News, ShownMember, ShownRoom, What,
};
use super::table::{self, Unclear};

/// The conference variable that says whose a room is.
pub const META_VARIABLE: &str = "roomkeeper_meta";

/// The channel variable that says how far the run of a call is ([`Mark`](crate::session::Mark)).
pub const STEP_VARIABLE: &str = "roomkeeper_step";

/// The channel variable that says which order parked it ([`Parking`]).
pub const PARK_VARIABLE: &str = "roomkeeper_park";

/// What an event means for rooms and calls; `None`: nothing.
pub fn news(event: &Event) -> Option<News> {
    let kind = event.kind();
    let what = match &kind {
        EventKind::Conference(action) => conference(event, action)?,
        EventKind::ChannelCreate => channel(event, |e| ChannelChange::Created(identity(e)))?,
        EventKind::ChannelAnswer => channel(event, |e| ChannelChange::Answered(identity(e)))?,
        EventKind::ChannelPark => channel(event, |e| ChannelChange::Parked {
            identity: identity(e),
            by: parking(e.get("variable_roomkeeper_park").as_deref()),
        })?,
        EventKind::ChannelHangup | EventKind::ChannelHangupComplete => {
            channel(event, |e| ChannelChange::HungUp {
                cause: cause(e).unwrap_or_else(|| "UNKNOWN".to_owned()),
            })?
        }
        EventKind::ChannelDestroy => {
            channel(event, |e| ChannelChange::Destroyed { cause: cause(e) })?
        }
        EventKind::ChannelExecuteComplete => {
            // Most are of applications that the dialplan runs.
            let step = event.get("Application-UUID")?.parse().ok()?;
            channel(event, |e| ChannelChange::StepEnded {
                step,
                response: e
                    .get("Application-Response")
                    .map(|r| r.into_owned())
                    .unwrap_or_default(),
            })?
        }
        EventKind::ChannelUnpark
        | EventKind::ChannelBridge
        | EventKind::BackgroundJob
        | EventKind::Heartbeat
        | EventKind::Shutdown
        | EventKind::Custom(_)
        | EventKind::Other(_) => return None,
    };
    Some(News {
        core: core(event)?,
        sequence: event.sequence()?,
        at: Timestamp::from_micros(event.timestamp_us().unwrap_or(0)),
        what,
    })
}

/// `Core-UUID` of an event.
pub fn core(event: &Event) -> Option<CoreId> {
    event.core_uuid()?.parse().ok()
}

fn channel(event: &Event, change: impl FnOnce(&Event) -> ChannelChange) -> Option<What> {
    Some(What::Channel {
        channel: event.unique_id()?.parse().ok()?,
        change: change(event),
    })
}

fn cause(event: &Event) -> Option<String> {
    event
        .hangup_cause()
        .filter(|c| !c.is_empty())
        .map(|c| c.into_owned())
}

fn conference(event: &Event, action: &ConferenceAction<'_>) -> Option<What> {
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
        ConferenceAction::FloorChange => ConferenceChange::Floor { holder: block() },
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
        | ConferenceAction::DtmfMember
        | ConferenceAction::VolumeInMember
        | ConferenceAction::VolumeOutMember
        | ConferenceAction::EnergyLevelMember => ConferenceChange::Flags(block()?),
        ConferenceAction::PlayFile => match played_file(event) {
            Some(file) => ConferenceChange::FileOpened {
                file,
                failed: event.get("Error").is_some(),
            },
            None => ConferenceChange::Other,
        },
        ConferenceAction::PlayFileDone => {
            played_file(event).map_or(ConferenceChange::Other, ConferenceChange::FileEnded)
        }
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
                length: event
                    .get("Milliseconds-Elapsed")
                    .and_then(|ms| ms.parse().ok())
                    .map(Duration::from_millis),
            },
            None => ConferenceChange::Other,
        },
        // These can be told of a member that is already on its way out, so they say nothing of its presence.
        ConferenceAction::KickMember
        | ConferenceAction::HupMember
        | ConferenceAction::PlayFileMember
        | ConferenceAction::PlayFileMemberDone
        | ConferenceAction::PauseRecording
        | ConferenceAction::ResumeRecording
        | ConferenceAction::BgdialResult
        | ConferenceAction::RejectedJoinOnly
        | ConferenceAction::Other(_) => ConferenceChange::Other,
    };
    Some(What::Conference {
        room,
        conference,
        size: event
            .conference_size()
            .and_then(|s| usize::try_from(s).ok()),
        change,
    })
}

/// Which of our recordings a path is of; `None` for one that was not asked for by us.
fn recording(path: &str) -> Option<RecordingId> {
    let (_, file) = path.rsplit_once('/')?;
    file.strip_suffix(".wav")?.parse().ok()
}

/// Which of our files an event is about; `None` for a file that was not asked for by us, such as the sound of someone
/// coming in.
fn played_file(event: &Event) -> Option<FileId> {
    quirk_file_of_its_path(&event.get("File")?)
}

/// The parameters that stand beside the path are in `play-file` those of the file that plays, whichever was opened; so
/// they are read off the path itself: `{op=<uuid>,n=<index>,vol=<decibels>}<url>`.
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

fn member_block(event: &Event) -> Option<MemberBlock> {
    Some(MemberBlock {
        channel: event.unique_id()?.parse().ok()?,
        speak: event.flag("Speak")?,
        hear: event.flag("Hear")?,
        hold: event.flag("Hold").unwrap_or(false),
        talking: event.flag("Talking").unwrap_or(false),
        identity: identity(event),
    })
}

/// Who the channel of an event is.
/// What is no number is somebody else's.
fn parking(value: Option<&str>) -> Option<Parking> {
    value?.parse().ok()
}

fn identity(event: &Event) -> Identity {
    identity_of(|name| event.get(name).map(|v| v.into_owned()))
}

fn identity_of(get: impl Fn(&str) -> Option<String>) -> Identity {
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
        // The time is zero in an event that is made at the very moment of the answer.
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

/// A transfer makes a new caller profile whose destination is the transfer's; only the first one has the number that
/// was dialled.
fn quirk_number_dialled(text: &impl Fn(&str) -> Option<String>) -> Option<String> {
    match text("Caller-Profile-Index").as_deref() {
        None | Some("1") => text("Caller-Destination-Number"),
        Some(_) => None,
    }
}

/// The callee of an originated call has the caller and the callee swapped: its `Caller-Caller-ID-Number` names the
/// dial string's context, the number that was given for it stands as the callee's.
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

/// Why an answer is not a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableSnapshot {
    /// It is not the JSON that FreeSWITCH writes, or not all of it.
    #[error("not the JSON that was asked for")]
    Json(#[from] serde_json::Error),
    /// A field says what it cannot.
    #[error("{0}")]
    Field(&'static str),
    /// A table does not tell which value is which.
    #[error(transparent)]
    Table(#[from] Unclear),
}

/// Reads `conference json_list [compact]`: the conferences of this node whose names are room ids, newest first.
///
/// # Errors
/// [`UnreadableSnapshot`]: nothing may be concluded from it.
pub fn conferences(node: NodeId, json: &[u8]) -> Result<Vec<ShownRoom>, UnreadableSnapshot> {
    all_conferences(node, json).map(|(shown, _)| shown)
}

/// The same, and every conference that is listed, whosever it is.
///
/// # Errors
/// [`UnreadableSnapshot`]: nothing may be concluded from it.
pub fn all_conferences(
    node: NodeId,
    json: &[u8],
) -> Result<(Vec<ShownRoom>, Vec<ListedConference>), UnreadableSnapshot> {
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
            recordings.extend(member.record_path.as_deref().and_then(recording));
            members.extend(shown_member(member));
        }
        shown.push(ShownRoom {
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

/// `None`: a recording, or nobody whom a channel could be found of.
fn shown_member(member: ListedMember<'_>) -> Option<ShownMember> {
    let channel: ChannelId = member.uuid?.parse().ok()?;
    let flags = member.flags?;
    Some(ShownMember {
        channel,
        can_speak: flags.can_speak,
        can_hear: flags.can_hear,
        hold: flags.hold,
        talking: flags.talking,
        has_floor: flags.has_floor,
        caller_id: member.caller_id_number.unwrap_or_default().into(),
    })
}

/// Names of callers are bytes that nobody checked; one that is not UTF-8 must not cost the snapshot.
fn quirk_lossy(json: &[u8]) -> Cow<'_, str> {
    // Almost all of them are, and that is found out faster than where one is not.
    std::str::from_utf8(json).map_or_else(|_| String::from_utf8_lossy(json), Cow::Borrowed)
}

#[derive(Deserialize)]
struct WireChannels<'a> {
    row_count: usize,
    #[serde(borrow, default)]
    rows: Vec<WireChannel<'a>>,
}

/// Of the columns of the table `channels` (switch_core_sqldb.c) those that are read.
#[derive(Deserialize)]
struct WireChannel<'a> {
    #[serde(borrow)]
    uuid: Cow<'a, str>,
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
    /// `None`: its id is none that a channel has.
    fn listed(self) -> Option<ListedChannel> {
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
        })
    }
}

/// Reads `show channels as delim`.
///
/// # Errors
/// [`UnreadableSnapshot`]: nothing may be concluded from it. [`Unclear::Separator`] and [`Unclear::Column`]: the other form
/// would tell.
pub fn channels(text: &[u8]) -> Result<Vec<ListedChannel>, UnreadableSnapshot> {
    let columns = [
        "uuid",
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
            initial_cid_num,
            initial_dest,
            direction,
            created_epoch,
            application,
        ] = values.map(quirk_lossy);
        let channel = WireChannel {
            uuid,
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

/// Reads `show channels as json`. Without calls it has no rows at all.
///
/// # Errors
/// [`UnreadableSnapshot`]: nothing may be concluded from it.
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

/// Reads `uuid_dump <uuid> json`.
///
/// # Errors
/// [`UnreadableSnapshot`].
pub fn dump(json: &[u8]) -> Result<Dump, UnreadableSnapshot> {
    let fields: std::collections::HashMap<String, serde_json::Value> =
        serde_json::from_str(&quirk_lossy(json))?;
    let get = |name: &str| fields.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    let field = |name: &'static str| get(name).ok_or(UnreadableSnapshot::Field(name));
    let parse_error = UnreadableSnapshot::Field;
    let application = get("variable_current_application");
    Ok(Dump {
        core: field("Core-UUID")?
            .parse()
            .map_err(|_| parse_error("Core-UUID"))?,
        sequence: field("Event-Sequence")?
            .parse()
            .map_err(|_| parse_error("Event-Sequence"))?,
        channel: field("Unique-ID")?
            .parse()
            .map_err(|_| parse_error("Unique-ID"))?,
        identity: identity_of(get),
        parked_by: parking(get("variable_roomkeeper_park").as_deref()),
        parked: application.as_deref() == Some("park")
            && fields
                .get("Channel-State")
                .and_then(|v| v.as_str())
                .is_some_and(|s| s == "CS_EXECUTE"),
    })
}
